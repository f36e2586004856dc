"""Who waits for news of other processes listens itself: no thread is woken only to wake another."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gates import Gate, wait_until

from oxidask.distributed import Client, KilledWorker, LocalCluster, wait

CALLS = 40
ROUNDS = 10


def own_thread():
    return os.getpid(), threading.get_native_id()


def is_asleep(process, thread):
    text = Path(f"/proc/{process}/task/{thread}/stat").read_text()
    return text.rpartition(") ")[2].startswith("S")


def return_when_asleep(process, thread, value):
    wait_until(lambda: is_asleep(process, thread), "the client waits")
    return value


def sleeps(process, name):
    """Count how often a process's threads of a name have gone to sleep."""
    total = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        if (thread / "comm").read_text().strip() == name:
            fields = dict(
                line.split(":", 1) for line in (thread / "status").read_text().splitlines()
            )
            total += int(fields["voluntary_ctxt_switches"])
    return total


def kill_yourself():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster():
    """Start one worker process, whatever else modules run with."""
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    """Connect a client of its own for each test."""
    with Client(cluster) as client:
        client.wait_for_workers(1, timeout=30)
        yield client


def test_a_call_wakes_who_runs_it_and_who_waits_for_it_and_nobody_else(client):
    here, there = own_thread(), client.submit(own_thread, pure=False).result()

    def count():
        return sleeps(here[0], "oxidask-node"), sleeps(there[0], "oxidask-reader")

    # Both look at the clock now and then, and where processors are scarce a call takes that long.
    fewest = [CALLS, CALLS]
    for turn in range(ROUNDS):
        before = count()
        for i in range(CALLS):
            wait_until(lambda: is_asleep(*there), "the worker waits")
            assert client.submit(return_when_asleep, *here, (turn, i)).result() == (turn, i)
        more = [now - then for now, then in zip(count(), before, strict=True)]
        fewest = [min(pair) for pair in zip(fewest, more, strict=True)]
    assert max(fewest) < CALLS / 4, fewest


def test_threads_that_wait_at_once_hear_for_each_other(client, tmp_path):
    gates = [Gate(tmp_path / name) for name in "abc"]
    with ThreadPoolExecutor(len(gates)) as threads:
        futures = [client.submit(gate.pass_through, i) for i, gate in enumerate(gates)]
        waiting = [threads.submit(future.result, 60) for future in futures]
        for i, gate in enumerate(gates):
            gate.wait_for_somebody()
            gate.open()
            assert waiting[i].result() == i


def test_two_clients_of_one_process_wait_at_once(cluster, client, tmp_path):
    gate = Gate(tmp_path / "gate")
    with Client(cluster, set_as_default=False) as other, ThreadPoolExecutor(2) as threads:
        first = threads.submit(client.submit(gate.pass_through, 1).result, 60)
        gate.wait_for_somebody()
        second = threads.submit(other.submit(abs, -2).result, 60)
        gate.open()
        assert (first.result(), second.result()) == (1, 2)


def test_a_worker_that_dies_while_its_client_listens_is_replaced(client, tmp_path):
    gate = Gate(tmp_path / "gate")
    pid = client.submit(os.getpid, pure=False).result()
    future = client.submit(gate.pass_through, 5)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(future.result, 60)
        gate.wait_for_somebody()
        os.kill(pid, signal.SIGKILL)
        gate.open()
        assert waiting.result() == 5
    with pytest.raises(KilledWorker):
        client.submit(kill_yourself, pure=False).result(60)
    assert client.submit(abs, -3).result(60) == 3


def test_one_client_is_closed_while_another_one_listens(cluster, tmp_path):
    gate = Gate(tmp_path / "gate")
    with ThreadPoolExecutor(2) as threads, Client(cluster, set_as_default=False) as stays:
        leaves = Client(cluster, set_as_default=False)
        futures = [leaves.submit(gate.pass_through, 1), stays.submit(gate.pass_through, 2)]
        waiting = [threads.submit(future.result, 60) for future in futures]
        gate.wait_for_somebody()
        leaves.close()
        with pytest.raises(Exception, match="closed"):
            waiting[0].result()
        gate.open()
        assert waiting[1].result() == 2


def test_news_of_many_tasks_reaches_who_waits_for_the_last(client):
    futures = client.map(abs, range(-5000, 0))
    wait(futures, timeout=60)
    assert client.gather(futures) == list(range(5000, 0, -1))


def test_a_forked_child_that_waits_leaves_the_news_to_its_parent():
    script = """
        import os, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from oxidask.distributed import Client
        client = Client(n_workers=1, threads_per_worker=2)
        pending = client.submit(time.sleep, 600, pure=False)
        child = os.fork()
        if child == 0:
            try:
                pending.result(timeout=0.3)
            except TimeoutError:
                os._exit(0)
            os._exit(1)
        ended, count = 0, 0
        while not ended:
            count += 1
            assert client.submit(abs, -count).result(timeout=60) == count
            ended, status = os.waitpid(child, os.WNOHANG)
        print(status)
        pending.cancel()
        client.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "0\n", "")
