"""Large arguments and functions of calls are in shared memory, once for however many calls."""

import json
import os
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from gates import wait_until

from oxidask import delayed
from oxidask.distributed import Client, LocalCluster, wait

MB = 2**20


@pytest.fixture(scope="module", params=["near", "far"])
def distance(request):
    """Say whether the client is in the process of the cluster."""
    return request.param


@pytest.fixture(scope="module")
def cluster():
    """Start two workers that are processes."""
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster:
        yield cluster


@pytest.fixture
def client(cluster, distance):
    """Connect as a client of this process, or as any other process would."""
    with Client(cluster if distance == "near" else cluster.scheduler_address) as client:
        yield client
    with Client(cluster) as other:
        wait_until(lambda: stored(other) == 0, "shared memory is empty")


def stored(client):
    """Return the bytes in shared memory."""
    return json.loads(client._session.ask("workers"))["stored_nbytes"]


def total(array, i=0):
    return float(array.sum()) + i


def add_up(*arrays):
    return float(sum(array.sum() for array in arrays))


def total_of_parts(parts, named):
    return total(parts["a"][0]) + total(named)


def change(array, i):
    array[0] += i
    return float(array[0])


def bytes_received():
    """Return what this worker has read from files and sockets."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


def test_many_calls_refer_to_one_copy(client):
    array = np.ones(MB)  # 8 MiB
    futures = client.map(total, [array] * 100, range(100))
    assert client.gather(futures) == [float(MB) + i for i in range(100)]
    assert stored(client) <= array.nbytes + 4096
    del futures


def test_calls_submitted_one_by_one_share_a_copy(client):
    array = np.ones(MB)
    futures = [client.submit(total, array, i) for i in range(10)]
    assert client.gather(futures) == [float(MB) + i for i in range(10)]
    assert stored(client) <= array.nbytes + 4096
    del futures


def test_workers_do_not_read_large_arguments_from_their_sockets(client):
    before = sum(client.run(bytes_received).values())
    futures = client.map(total, [np.ones(4 * MB)] * 20, range(20))
    client.gather(futures)
    assert sum(client.run(bytes_received).values()) - before < MB
    del futures


def test_large_arguments_of_delayed_calls(client):
    array = np.arange(float(MB))
    (result,) = client.gather(client.compute([delayed(add_up)(array, delayed(np.copy)(array))]))
    assert result == 2 * array.sum()


def test_large_arguments_in_containers_and_by_name(client):
    array = np.ones(MB)
    before = sum(client.run(bytes_received).values())
    future = client.submit(total_of_parts, {"a": [array]}, named=array)
    assert future.result() == 2 * MB
    assert sum(client.run(bytes_received).values()) - before < MB
    del future


def test_equal_arguments_are_one_copy(client):
    futures = client.map(total, [np.ones(MB), np.ones(MB)], [1, 2])
    assert client.gather(futures) == [MB + 1, MB + 2]
    assert stored(client) <= 8 * MB + 4096
    del futures


def test_a_call_writes_to_a_copy_of_its_own(client):
    array = np.zeros(MB)
    futures = client.map(change, [array] * 8, range(8))
    assert client.gather(futures) == list(range(8))
    assert array[0] == 0
    del futures


@pytest.mark.parametrize("size", [100_000, 8 * MB])
def test_large_closures(client, size):
    array = np.ones(size // 8)
    futures = client.map(lambda i: array.sum() + i, range(20))
    assert client.gather(futures) == [size // 8 + i for i in range(20)]
    assert size <= stored(client) <= size + 65536
    del futures


def test_a_long_text_and_long_bytes(client):
    futures = client.map(len, ["x" * 10_000_000, b"y" * 10_000_001, bytearray(10_000_002)])
    assert client.gather(futures) == [10_000_000, 10_000_001, 10_000_002]
    del futures


def test_memory_is_free_when_the_last_call_is_forgotten(client):
    array = np.ones(MB)
    first = client.submit(total, array)
    second = client.submit(pow, first, 2)
    assert second.result() == float(MB) ** 2
    del first
    # The call may have to run again as long as somebody needs what was made of it.
    assert stored(client) >= array.nbytes
    del second
    wait_until(lambda: stored(client) == 0, "the argument's memory is free")


def test_a_worker_that_died_does_not_keep_memory(client, cluster):
    array = np.ones(MB)
    future = client.submit(total, array)
    assert future.result() == MB
    del future
    again = client.submit(lambda array: os.kill(os.getpid(), 9), array)
    again.exception()
    del again
    client.wait_for_workers(2, timeout=30)
    wait_until(lambda: stored(client) == 0, "nothing holds the argument")


def test_a_call_that_cannot_be_written_leaves_nothing(client):
    array = np.ones(MB)
    for _ in range(50):
        with pytest.raises(TypeError, match="pickle"):
            client.submit(total, array, (i for i in range(3)), pure=False)
    assert arena_bytes() < 100 * MB
    assert stored(client) == 0


def arena_bytes():
    """Return the bytes that the memory files of this process take."""
    found = 0
    for entry in os.scandir("/proc/self/fd"):
        try:
            if "memfd:oxidask" in os.readlink(entry.path):
                found = max(found, os.stat(entry.path).st_blocks * 512)
        except OSError:
            continue
    return found


def memory_files():
    """Return the memory files of this process."""
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return {os.stat(link).st_ino for link in links if is_memory_file(link)}


def is_memory_file(link):
    try:
        return "memfd:oxidask-client" in os.readlink(link)
    except OSError:
        return False


def test_a_closed_client_keeps_no_memory_though_its_name_lives_on(cluster):
    before = memory_files()
    with Client(cluster, set_as_default=False) as client:
        future = client.scatter(np.arange(float(MB)))
        assert client.submit(total, future, 1).result() > 0
        read = future.result()
        assert len(memory_files() - before) == 1
    wait_until(lambda: not memory_files() - before, "its memory is given back")
    assert np.array_equal(read, np.arange(float(MB)))
    assert client.status == "closed"


def test_scattered_values_of_any_client_are_in_shared_memory(client):
    array = np.arange(float(MB))
    future = client.scatter(array)
    before = sum(client.run(bytes_received).values())
    assert client.gather(client.map(total, [future] * 4, range(4)))[3] == array.sum() + 3
    assert sum(client.run(bytes_received).values()) - before < MB
    assert np.array_equal(future.result(), array)
    assert stored(client) >= array.nbytes
    del future


def test_the_memory_of_scattered_values_that_nobody_waited_for_is_given_back(client):
    """Neither of those that were dropped at once, nor behind tasks that fill all threads."""
    client.map(time.sleep, [0.5] * 4, pure=False)
    for number in range(20):
        client.scatter(np.full(MB, float(number)))
    running = client.map(time.sleep, [0.1] * 4, pure=False)
    for number in range(20):
        client.scatter(np.full(MB, float(number)), hash=False)
    wait(running)
    wait_until(lambda: stored(client) == 0, "all was dropped")
    assert arena_bytes() < 100 * MB


def test_the_memory_of_a_client_that_ends_is_given_back(cluster):
    script = """
        import sys
        import numpy as np
        from oxidask.distributed import Client

        client = Client(sys.argv[1])
        future = client.scatter(np.ones(2**20))
        more = client.submit(np.sum, np.ones(10**6))
        print(client.submit(np.sum, future).result(), more.result())
        import os
        os._exit(0)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), cluster.scheduler_address]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == "1048576.0 1000000.0\n"
    with Client(cluster) as client:
        wait_until(lambda: stored(client) == 0, "shared memory is empty")
