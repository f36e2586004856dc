"""Workers die: the task that killed them is named, and nothing else is lost."""

import ctypes
import os
import signal
import time

import numpy as np
import pytest
from gates import wait_until

from oxidask import OxidaskError
from oxidask.distributed import CancelledError, Client, KilledWorker, LocalCluster, wait

PENDING = {}


def inc(i):
    return i + 1


def process_id():
    return os.getpid()


def kill_yourself():
    os.kill(os.getpid(), signal.SIGKILL)


def leave(status):
    os._exit(status)


def abort():
    os.abort()


def read_nothing():
    ctypes.string_at(0)


@pytest.fixture
def client(client):
    """Wait until those that the test before has killed are replaced, not only listed still."""
    wait_until(lambda: len(client.run(process_id, on_error="ignore")) == 2, "two workers answer")
    return client


WAYS_TO_DIE = {
    "SIGKILL": (kill_yourself, (), "signal 9"),
    "os._exit": (leave, (3,), "status 3"),
    "segmentation fault": (read_nothing, (), "signal 11"),
    "abort": (abort, (), "signal 6"),
}


@pytest.fixture(scope="module")
def cluster():
    """Start two worker processes, whatever else modules run with."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True) as cluster:
        yield cluster


@pytest.mark.parametrize("way", WAYS_TO_DIE)
def test_a_task_that_kills_its_process_is_named_with_the_cause(client, way):
    function, args, cause = WAYS_TO_DIE[way]
    before = client.map(inc, range(50), pure=False)
    killer = client.submit(function, *args, key=f"killer-{way}", pure=False)
    after = client.map(inc, range(50), pure=False)
    with pytest.raises(KilledWorker, match=cause) as caught:
        killer.result(timeout=20)
    assert caught.value.task == f"killer-{way}"
    assert caught.value.allowed_failures == 3
    assert cause in caught.value.last_worker
    assert f"killer-{way}" in str(caught.value)
    assert client.gather(before + after) == [*range(1, 51)] * 2
    client.wait_for_workers(2, timeout=20)
    assert len(client.run(process_id)) == 2


def test_an_error_of_a_killer_may_be_asked_for(client):
    error = client.submit(leave, 5, pure=False).exception(timeout=20)
    assert isinstance(error, KilledWorker)
    assert "status 5" in str(error)


def test_a_worker_killed_from_outside_costs_nothing_but_time(client, gate):
    busy = client.submit(gate.pass_through, "done", pure=False)
    gate.wait_for_somebody()
    done = client.map(inc, range(20), pure=False)
    wait(done)
    for process in set(client.run(process_id).values()):
        os.kill(process, signal.SIGKILL)
    gate.open()
    assert busy.result(timeout=20) == "done"
    assert client.gather(done) == list(range(1, 21))
    assert client.gather(client.map(inc, range(100))) == list(range(1, 101))
    client.wait_for_workers(2, timeout=20)


def test_an_idle_worker_that_dies_is_replaced(client):
    victims = set(client.run(process_id).values())
    victim = min(victims)
    os.kill(victim, signal.SIGKILL)

    def replaced():
        pids = {one["pid"] for one in client.scheduler_info()["workers"].values()}
        return len(pids) == 2 and victim not in pids

    wait_until(replaced, "another worker is there")
    assert victim not in client.run(process_id).values()


def test_a_task_that_dies_once_is_tried_again(client, tally):
    def die_once():
        if tally.add() == 1:
            os._exit(1)
        return "alive"

    assert client.submit(die_once, pure=False).result(timeout=20) == "alive"
    assert len(tally) == 2


def test_bystanders_of_a_killer_are_not_blamed(client):
    """Tasks that stand in the queue of a dying worker, or run beside the killer, go on."""
    killers = [client.submit(leave, 1, pure=False) for _ in range(2)]
    bystanders = client.map(inc, range(300), pure=False)
    assert client.gather(bystanders) == list(range(1, 301))
    for killer in killers:
        with pytest.raises(KilledWorker):
            killer.result(timeout=30)


def test_results_of_a_dead_worker_are_made_again(client):
    made = client.submit(lambda: [object()], pure=False)  # A live object: it stays in its worker.
    wait(made)
    for process in set(client.run(process_id).values()):
        os.kill(process, signal.SIGKILL)
    assert client.submit(len, made).result(timeout=20) == 1


def test_large_results_outlive_their_workers(client):
    np = pytest.importorskip("numpy")
    made = client.submit(np.arange, 1_000_000, pure=False)
    wait(made)
    for process in set(client.run(process_id).values()):
        os.kill(process, signal.SIGKILL)
    assert made.result(timeout=20).sum() == 499_999_500_000


def test_scattered_values_outlive_workers(client):
    np = pytest.importorskip("numpy")
    data = client.scatter(np.arange(1_000_000))
    for process in set(client.run(process_id).values()):
        os.kill(process, signal.SIGKILL)
    assert client.submit(np.sum, data).result(timeout=20) == 499_999_500_000


def test_a_worker_that_dies_in_a_call_is_told_as_such(client):
    with pytest.raises(OxidaskError, match="a worker died before it answered"):
        client.run(os._exit, 3)
    assert client.run(os._exit, 3, on_error="ignore") == {}
    assert client.submit(inc, 1).result(timeout=20) == 2


def test_workers_do_not_outlive_their_cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        processes = set(client.run(process_id).values())
        client.submit(time.sleep, 600, pure=False)
        assert len(processes) == 2
    wait_until(
        lambda: not any(os.path.exists(f"/proc/{process}") for process in processes),
        "all workers ended",
    )


def many_times_the_first(numbers):
    return [float(numbers[0])] * 100  # Too long to be sent along: it stays in its worker.


def kill_the_worker(client):
    (pid,) = client.run(process_id).values()
    os.kill(pid, signal.SIGKILL)


def test_data_that_was_dropped_is_missed_and_never_something_else():
    """Its memory is used anew: what was made from it must not be made from what is there now."""
    with Client(n_workers=1, threads_per_worker=1) as client:
        data = client.scatter(np.full(100_000, 7.0))
        made = client.submit(many_times_the_first, data)
        wait(made)
        del data
        wait_until(lambda: client.scheduler_info()["tasks"]["memory"] == 1, "the data is dropped")
        others = [client.scatter(np.full(100_000, float(i))) for i in range(3)]
        wait(others)
        kill_the_worker(client)
        with pytest.raises(CancelledError, match="scatter it again, and keep its Future"):
            made.result(timeout=60)


def test_data_whose_future_is_kept_survives_the_worker():
    with Client(n_workers=1, threads_per_worker=1) as client:
        data = client.scatter(np.full(100_000, 7.0))
        made = client.submit(many_times_the_first, data)
        wait(made)
        kill_the_worker(client)
        assert made.result(timeout=60) == [7.0] * 100
