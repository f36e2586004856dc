"""Tasks that ask for something of their worker, and what happens if nobody has it."""

import os
import signal

import pytest
from gates import wait_until

from oxidask import annotate, config, delayed
from oxidask.distributed import (
    Client,
    KilledWorker,
    LocalCluster,
    NoValidWorkerError,
    get_worker,
    wait,
)

PENDING = {}


@pytest.fixture(scope="module")
def cluster(mode):
    """Start two workers, '0' and '1', with two threads and a GPU each."""
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=mode == "processes", resources={"GPU": 1}
    ) as cluster:
        yield cluster


def where(*_):
    return get_worker().name


@pytest.mark.parametrize("name", ["0", "1", 0, 1])
def test_a_task_runs_on_the_worker_that_it_names(client, name):
    futures = client.map(where, range(8), workers=name, pure=False)
    futures.append(client.submit(where, workers=[name], pure=False))
    assert set(client.gather(futures)) == {str(name)}


def test_the_name_of_the_host_stands_for_all_its_workers(client):
    assert client.submit(where, workers="localhost", pure=False).result() in ("0", "1")
    assert client.submit(where, workers="127.0.0.1", pure=False).result() in ("0", "1")


def test_graphs_and_blocks_of_annotate_ask_too(client):
    with annotate(workers="1"):
        inner = delayed(where)()
    outer = delayed(lambda inner: (inner, where()))(inner)
    assert client.compute(outer, workers="0").result() == ("1", "0")
    assert outer.compute(workers=["0"]) == ("1", "0")
    assert client.persist(delayed(where)(), workers="1").compute() == "1"
    assert client.get({"x": (where,)}, "x", workers="0") == "0"


def test_others_run_a_task_if_those_that_it_names_are_not_there(client):
    future = client.submit(where, workers=["nobody"], allow_other_workers=True, pure=False)
    assert future.result() in ("0", "1")
    future = client.submit(where, workers=["1"], allow_other_workers=True, pure=False)
    assert future.result() == "1"


def test_what_nobody_has_is_told_at_once(client):
    future = client.submit(where, workers=["nobody"], pure=False)
    said = client.why(future)
    assert "no-worker" in said
    assert "'nobody'" in said.replace('"', "'")
    assert client.scheduler_info()["tasks"]["no-worker"] == 1
    reader = client.submit(where, future)
    assert "nobody" in client.why(reader)
    # It can be let go of.
    future.cancel()
    wait(reader)
    assert reader.status == "cancelled"
    much = client.submit(where, resources={"GPU": 2}, pure=False)
    assert "GPU=2" in client.why(much)
    assert "each with GPU=1" in client.why(much)
    much.cancel()


def test_workers_say_what_they_have(client):
    workers = client.scheduler_info()["workers"]
    assert [worker["resources"] for worker in workers.values()] == [{"GPU": 1.0}] * 2


def test_tasks_take_no_more_than_a_worker_has(client, gate, tally):
    def use(gate, tally, _):
        tally.add(where())
        gate.pass_through()

    futures = client.map(use, [gate] * 5, [tally] * 5, range(5), resources={"GPU": 1})
    wait_until(lambda: len(tally) == 2, "a task runs on each worker")
    # Threads are free: tasks that ask for nothing run beside them.
    assert set(client.gather(client.map(abs, [-1, -2, -3]))) == {1, 2, 3}
    assert sorted(tally.marks()) == ["0", "1"]
    assert "asks for GPU=1" in "".join(client.why(future) for future in futures)
    gate.open()
    client.gather(futures)
    assert len(tally) == 5


def test_parts_of_a_resource_can_be_taken(client, gate, tally):
    def use(gate, tally, _):
        tally.add(where())
        gate.pass_through()

    futures = client.map(use, [gate] * 5, [tally] * 5, range(5), resources={"GPU": 0.5}, pure=False)
    wait_until(lambda: len(tally) == 4, "two tasks run on each worker")
    assert sorted(tally.marks()) == ["0", "0", "1", "1"]
    gate.open()
    client.gather(futures)


@pytest.mark.parametrize("processes", [False, True])
def test_a_task_that_nobody_can_run_fails_in_time(processes):
    with config.set({"distributed.scheduler.no-workers-timeout": "50ms"}):
        cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=processes)
    with cluster, Client(cluster) as client:
        future = client.submit(where, resources={"TPU": 1}, pure=False)
        reader = client.submit(where, future)
        with pytest.raises(NoValidWorkerError, match=r"TPU=1.*without resources"):
            reader.result(timeout=20)
        # Others go on.
        assert client.submit(where).result() == "0"


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"workers": [1.5]}, TypeError, "names of workers are meant"),
        ({"workers": {"x": "0"}}, NotImplementedError, "annotate"),
        ({"allow_other_workers": True}, ValueError, "name the workers"),
        ({"resources": "GPU"}, TypeError, "a dictionary"),
        ({"resources": {"GPU": "one"}}, TypeError, "a text and a number"),
        ({"resources": {"GPU": -1}}, ValueError, "no amount"),
        ({"resources": {"GPU": float("nan")}}, ValueError, "no amount"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(client, options, error, said):
    with pytest.raises(error, match=said):
        client.submit(where, **options)
    with pytest.raises(error, match=said):
        client.map(where, [1], **options)


def test_a_cluster_refuses_amounts_that_are_none():
    with pytest.raises(ValueError, match=r"LocalCluster\(resources=\): 'GPU': -1 is no amount"):
        LocalCluster(processes=False, resources={"GPU": -1})


@pytest.mark.parametrize(
    "setting", [{"allowed-failures": -1}, {"allowed-failures": "3"}, {"no-workers-timeout": "-1s"}]
)
def test_limits_that_make_no_sense_are_refused(setting):
    (name, value), *_ = setting.items()
    name = f"distributed.scheduler.{name}"
    with config.set({name: value}), pytest.raises(ValueError, match=name):
        LocalCluster(processes=False)


def test_tasks_that_raise_are_tried_again(client, tally):
    def fails_at_first(tally):
        if tally.add() < 3:
            raise ValueError("not yet")
        return len(tally)

    assert client.submit(fails_at_first, tally, retries=2).result() == 3


def kill_yourself(gate):
    gate.pass_through()
    os.kill(os.getpid(), signal.SIGKILL)


def stand_beside(gate, tally, number):
    tally.add()
    gate.pass_through()
    return number


def test_tasks_that_kill_their_worker_do_not_harm_those_beside_them(gate, tally):
    with (
        config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=2, threads_per_worker=4) as cluster,
        Client(cluster) as client,
    ):
        killers = client.map(kill_yourself, [gate] * 2, pure=False)
        innocents = client.map(stand_beside, [gate] * 20, [tally] * 20, range(20))
        wait_until(lambda: len(tally) >= 6, "all threads have a task")
        gate.open()
        assert client.gather(innocents) == list(range(20))
        for killer in killers:
            with pytest.raises(KilledWorker, match="signal 9"):
                killer.result(timeout=60)


def test_many_killers_never_make_innocents_fail():
    def die_or_live(number):
        if number % 20 == 7:
            os._exit(9)
        return number

    with (
        config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=2, threads_per_worker=4) as cluster,
        Client(cluster) as client,
    ):
        futures = client.map(die_or_live, range(200))
        wait(futures)
        failed = [number for number, future in enumerate(futures) if future.status == "error"]
        assert failed == list(range(7, 200, 20))
