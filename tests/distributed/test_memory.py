"""Memory is limited: results go to disk, less is started, and what cannot be is said."""

import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest
from gates import wait_until

from oxidask import config
from oxidask.distributed import (
    Client,
    KilledWorker,
    LocalCluster,
    NotEnoughMemoryError,
    wait,
)
from oxidask.distributed.deploy._memory import limit_of, limits_of

PENDING = {}

CHUNK = 4_000_000
LIMIT = 100_000_000


def chunk(number):
    return np.full(CHUNK // 8, number, dtype=np.float64)


def total(*arrays):
    return float(sum(array.sum() for array in arrays))


def listed(number):
    """Make an object that stays in its worker until somebody needs it."""
    return [chunk(number) for _ in range(4)]


def total_of_lists(lists):
    return total(*lists)


def allocate(nbytes):
    return int(np.ones(nbytes, dtype=np.uint8)[::4096].sum())


def spilled(client):
    info = client.scheduler_info()["workers"]
    return next(iter(info.values()))["metrics"]["spilled_bytes"]["disk"]


def status(client):
    info = client.scheduler_info()["workers"]
    return next(iter(info.values()))["status"]


@pytest.fixture(scope="module")
def cluster():
    """Start two worker processes that together may have 200 MB."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, memory_limit=LIMIT
    ) as cluster:
        yield cluster


@contextmanager
def full_disk():
    """Make each file end before an object would, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# ---- Spilling ----


def test_results_that_do_not_fit_go_to_disk_and_come_back_right(client):
    chunks = client.map(chunk, range(100), pure=False)
    wait(chunks)
    assert spilled(client) > 100 * CHUNK - 2 * LIMIT
    sums = client.map(total, chunks, pure=False)
    assert client.gather(sums) == [CHUNK / 8 * number for number in range(100)]
    assert np.array_equal(chunks[0].result(), chunk(0))
    pairs = [client.submit(total, chunks[i], chunks[99 - i], pure=False) for i in range(50)]
    assert client.gather(pairs) == [CHUNK / 8 * 99] * 50


def test_disk_space_of_released_results_is_given_back(client):
    chunks = client.map(chunk, range(80), pure=False)
    wait(chunks)
    assert spilled(client) > 0
    del chunks
    wait_until(lambda: spilled(client) == 0, "nothing is on disk")


def test_views_of_results_on_disk_may_be_written_to_and_reach_nobody(client):
    chunks = client.map(chunk, range(80), pure=False)
    wait(chunks)
    first = chunks[0].result()
    first += 1
    assert np.array_equal(chunks[0].result(), chunk(0))
    assert client.submit(total, chunks[0], pure=False).result() == 0


def test_objects_of_workers_go_to_disk_too(client):
    lists = client.map(listed, range(25), pure=False)
    wait(lists)
    assert spilled(client) > 0
    sums = client.map(total_of_lists, lists, pure=False)
    assert client.gather(sums) == [CHUNK / 8 * 4 * number for number in range(25)]


def test_scattered_values_go_to_disk_too(client):
    chunks = [client.scatter(chunk(number), hash=False) for number in range(80)]
    wait(chunks)
    wait_until(lambda: spilled(client) > 0, "something is on disk")
    sums = client.map(total, chunks, pure=False)
    assert client.gather(sums) == [CHUNK / 8 * number for number in range(80)]


def test_a_graph_whose_results_are_used_once_needs_no_disk(client):
    sums = [
        client.submit(total, client.submit(chunk, number, pure=False), pure=False)
        for number in range(100)
    ]
    assert client.gather(sums) == [CHUNK / 8 * number for number in range(100)]


# ---- What cannot be ----


def test_a_task_whose_inputs_never_fit_is_refused_with_both_numbers(client):
    chunks = client.map(chunk, range(60), pure=False)
    sum_of_all = client.submit(total, *chunks, pure=False, key="sum of all")
    with pytest.raises(NotEnoughMemoryError, match=r"'sum of all' was not started") as caught:
        sum_of_all.result(timeout=60)
    assert (caught.value.needed, caught.value.available) == (60 * CHUNK, 2 * LIMIT)
    assert isinstance(caught.value, MemoryError)
    for number in (caught.value.needed, caught.value.available):
        assert str(number) in str(caught.value)
    assert client.submit(total, chunks[0], pure=False).result() == 0


def test_a_worker_that_takes_too_much_is_ended_and_its_task_named(client):
    kept = client.map(chunk, range(10), pure=False)
    wait(kept)
    with pytest.raises(KilledWorker, match="memory grew from") as caught:
        client.submit(allocate, 20 * LIMIT, key="glutton", pure=False).result(timeout=60)
    assert "while it ran glutton" in str(caught.value)
    assert str(LIMIT) in str(caught.value)
    client.wait_for_workers(2, timeout=30)
    sums = client.map(total, kept, pure=False)
    assert client.gather(sums) == [CHUNK / 8 * number for number in range(10)]


def test_with_a_full_disk_tasks_fail_with_the_reason_and_the_cluster_goes_on():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=30)
        with full_disk():
            chunks = client.map(chunk, range(100), pure=False)
            wait(chunks)
            failed = [future for future in chunks if future.status == "error"]
            assert 0 < len(failed) < 100
            with pytest.raises(NotEnoughMemoryError, match=r"cannot be moved to disk: .* no room"):
                failed[0].result()
            good = next(future for future in chunks if future.status == "finished")
            assert client.submit(total, good, pure=False).result(timeout=30) >= 0
        del chunks, failed, good
        wait_until(lambda: status(client) == "running", "memory is free again")
        again = client.map(chunk, range(100), pure=False)
        assert client.gather(client.map(total, again)) == [CHUNK / 8 * i for i in range(100)]


def test_no_file_is_left_on_disk(tmp_path):
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit=LIMIT, local_directory=tmp_path / "new"
        ) as cluster,
        Client(cluster) as client,
    ):
        chunks = client.map(chunk, range(50), pure=False)
        wait(chunks)
        assert spilled(client) > 0
        assert os.listdir(tmp_path / "new") == []


# ---- Limits ----


@pytest.mark.parametrize(
    ("memory_limit", "nbytes"),
    [("4GB", 4_000_000_000), (1_000_000, 1_000_000), ("1 MiB", 1 << 20), (5e8, 500_000_000)],
)
def test_a_limit_may_be_text_or_bytes(memory_limit, nbytes):
    assert limit_of(memory_limit, 3) == nbytes


@pytest.mark.parametrize("memory_limit", [None, 0, "0", False])
def test_no_limit_is_none(memory_limit):
    assert limit_of(memory_limit, 3) is None
    assert limits_of(memory_limit, 3, None) is None


def test_a_limit_may_be_a_part_of_the_machine():
    whole = limit_of(1.0, 4)
    assert limit_of(0.25, 1) == whole // 4
    assert limit_of("auto", 4) == whole // 4
    assert limit_of("1000 TB", 4) == whole


@pytest.mark.parametrize("memory_limit", ["much", -1, True, "nan", float("inf"), object()])
def test_what_is_no_size_is_refused(memory_limit):
    with pytest.raises(ValueError, match=r"LocalCluster\(memory_limit=.*'4GB'"):
        LocalCluster(n_workers=1, memory_limit=memory_limit)


def test_the_parts_of_the_limit_come_from_the_configuration():
    limits = limits_of("1 GB", 2, "/somewhere")
    assert limits.budget == 2_000_000_000
    assert (limits.spill_at, limits.roots_at, limits.pause_at) == (12e8, 15e8, 18e8)
    assert (limits.worker_limit, limits.folder) == (1_000_000_000, "/somewhere")
    with config.set(
        {"distributed.worker.memory": {"target": 0.5, "pause": 0.7, "terminate": False}}
    ):
        limits = limits_of("1 GB", 2, None)
    assert (limits.spill_at, limits.roots_at, limits.pause_at) == (10e8, 12e8, 14e8)
    assert limits.worker_limit > 10**18
    with config.set({"distributed.worker.memory": {"target": False, "spill": False}}):
        limits = limits_of("1 GB", 2, None)
    assert limits.folder is None
    with (
        config.set({"distributed.worker.memory.pause": 3}),
        pytest.raises(ValueError, match=r"memory\.pause: 3 is no part"),
    ):
        limits_of("1 GB", 2, None)


def test_threads_of_this_process_take_no_limit():
    with pytest.raises(NotImplementedError, match="processes=True"):
        LocalCluster(processes=False, memory_limit="1GB")
    for memory_limit in ("auto", None, 0):
        LocalCluster(processes=False, n_workers=1, memory_limit=memory_limit).close()
