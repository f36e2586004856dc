"""Workers that stand still are shown, their tasks run elsewhere, and they are welcome back."""

import contextlib
import json
import os
import signal
import urllib.request

import numpy as np
import pytest
from gates import wait_until

from oxidask import OxidaskError, config
from oxidask.distributed import Client, LocalCluster, wait

PENDING = {}


def inc(number):
    return number + 1


def process_id():
    return os.getpid()


def array(number):
    return np.full(100_000, float(number))


def total(values):
    return float(values.sum())


@pytest.fixture
def patience():
    """How long a worker may stand still."""
    return "100ms"


@pytest.fixture
def client(patience):
    with (
        config.set({"distributed.scheduler.worker-ttl": patience}),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True) as cluster,
        Client(cluster) as client,
    ):
        yield client


def processes(client):
    return {name: one["pid"] for name, one in client.scheduler_info()["workers"].items()}


def status_of(client, name):
    return client.scheduler_info()["workers"][name]["status"]


@contextlib.contextmanager
def stopped(client, name):
    """Stop a worker, wait until that is seen, and let it go on in the end."""
    pid = processes(client)[name]
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: status_of(client, name) == "stopped", "it is seen to be stopped")
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: status_of(client, name) == "running", "it is seen to go on")


def states_on_page(client):
    """Return the state of each worker as the dashboard has it."""
    address, token = client.dashboard_link.split("/status?token=")
    request = urllib.request.Request(
        f"{address}/api/v1/workers", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return {one["name"]: one["state"] for one in json.loads(answer.read())["workers"]}


def at_first(client, function, *args, **options):
    """Submit to the first worker, or to the other one while the first is given up."""
    return client.submit(
        function, *args, workers="0", allow_other_workers=True, pure=False, **options
    )


@pytest.mark.parametrize("patience", [None])
def test_a_stopped_worker_is_shown_wherever_one_looks(client, gate):
    held = at_first(client, gate.pass_through, "through", key="held")
    gate.wait_for_somebody()
    with stopped(client, "0") as pid:
        for words in ("has been stopped for", "SIGCONT", str(pid), "worker-ttl' is None"):
            assert words in client.why(held)
        assert "Stopped by a signal or a debugger: 0." in client.why()
        assert client.scheduler_info()["workers"]["0"]["stopped_for"] >= 0
        wait_until(lambda: states_on_page(client)["0"] == "stopped", "the dashboard shows it")
        assert states_on_page(client)["1"] == "running"
        gate.open()
        assert held.status == "pending"
    assert held.result(timeout=60) == "through"
    assert "topped" not in client.why()
    wait_until(lambda: states_on_page(client)["0"] == "running", "the dashboard shows that, too")
    assert client.scheduler_info()["workers"]["0"]["stopped_for"] is None


@pytest.mark.parametrize("patience", ["1 hour"])
def test_a_worker_that_stands_still_for_a_moment_keeps_its_task(client, gate, tally):
    def count_and_pass():
        tally.add()
        return gate.pass_through("through")

    held = at_first(client, count_and_pass)
    gate.wait_for_somebody()
    with stopped(client, "0"):
        assert "3600 s its tasks run elsewhere" in client.why(held)
    gate.open()
    assert held.result(timeout=60) == "through"
    assert len(tally) == 1


def test_what_a_stopped_worker_has_runs_elsewhere_and_it_is_welcome_back(client, gate, tally):
    def count_and_pass():
        tally.add()
        return gate.pass_through(os.getpid())

    kept = at_first(client, array, 3)
    only_there = at_first(client, lambda: [object()])
    held = at_first(client, count_and_pass)
    behind = [at_first(client, inc, number) for number in range(20)]
    wait([kept, only_there])
    gate.wait_for_somebody()
    with stopped(client, "0") as pid:
        wait_until(lambda: len(tally) == 2, "the task runs on the other worker")
        gate.open()
        assert held.result(timeout=60) == processes(client)["1"]
        assert client.gather(behind) == list(range(1, 21))
        assert client.submit(len, only_there, pure=False).result(timeout=60) == 1
        assert client.submit(total, kept, pure=False).result(timeout=60) == 300_000
        # All of the cluster's work goes to the one that runs.
        pids = client.gather(client.map(lambda _: os.getpid(), range(20), pure=False))
        assert set(pids) == {processes(client)["1"]}
    # The same process, which has ended what it had in vain, is given work again.
    assert processes(client)["0"] == pid
    wait_until(
        lambda: client.submit(process_id, workers="0", pure=False).result(timeout=60) == pid,
        "it works again",
    )
    assert held.result() == processes(client)["1"]
    assert client.submit(total, kept, pure=False).result(timeout=60) == 300_000
    assert len(tally) == 2


def test_a_stopped_worker_may_be_killed(client, gate):
    held = at_first(client, gate.pass_through, "through")
    gate.wait_for_somebody()
    pid = processes(client)["0"]
    os.kill(pid, signal.SIGSTOP)
    gate.open()
    assert held.result(timeout=60) == "through"
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: len(processes(client)) == 2 and pid not in processes(client).values(),
        "another one takes its place",
    )
    assert client.gather(client.map(inc, range(100), pure=False)) == list(range(1, 101))


def test_while_all_workers_are_stopped_that_is_said(client):
    pids = processes(client).values()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    future = client.submit(inc, 1, pure=False)
    wait_until(lambda: "no-worker" in client.why(future), "both are given up")
    why = client.why(future)
    for words in ("all workers were stopped", "send SIGCONT", *map(str, pids)):
        assert words in why
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    assert future.result(timeout=60) == 2


def test_a_stopped_worker_answers_no_call_and_others_do(client):
    """Neither one that was stopped during the call, nor one that was before."""
    with stopped(client, "0") as pid:
        for _ in range(2):
            answers = client.run(process_id, on_error="return")
            assert answers["1"] == processes(client)["1"]
            error = answers["0"]
            assert isinstance(error, OxidaskError)
            for words in (f"its process {pid} has been stopped", "SIGCONT", "worker-ttl"):
                assert words in str(error)
        with pytest.raises(OxidaskError, match="has been stopped"):
            client.run(process_id)
        assert client.run(process_id, on_error="ignore") == {"1": processes(client)["1"]}
        assert client.run(process_id, workers=["1"]) == {"1": processes(client)["1"]}
    wait_until(lambda: len(client.run(process_id, on_error="ignore")) == 2, "both answer again")
    assert client.run(process_id) == processes(client)


def test_a_cluster_with_a_stopped_worker_can_be_closed():
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        pid = processes(client)["0"]
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: status_of(client, "0") == "stopped", "it is seen to be stopped")
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "it has ended")


def test_workers_that_stop_and_go_on_at_any_time_change_no_result(client):
    """Each is stopped long enough to be given up, while results of all kinds are made."""
    chunks = client.map(array, range(40), pure=False)
    for _ in range(3):
        for name in ("0", "1"):
            with stopped(client, name):
                lists = client.map(lambda values: [values], chunks, pure=False)
                sums = client.map(lambda one: total(one[0]), lists, pure=False)
                assert client.gather(sums) == [1e5 * number for number in range(40)]
    assert len(processes(client)) == 2


@pytest.mark.parametrize("patience", ["soon", -1])
def test_what_is_no_time_is_refused(patience):
    with (
        config.set({"distributed.scheduler.worker-ttl": patience}),
        pytest.raises(ValueError, match=r"soon|worker-ttl=-1: a time from 0 is meant"),
    ):
        LocalCluster(n_workers=1)
