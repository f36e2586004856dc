"""scheduler="processes": workers that are started with first use and kept for the next."""

import concurrent.futures
import functools
import io
import operator
import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from gates import wait_until

import oxidask
from oxidask import _processes, compute, delayed, multiprocessing
from oxidask.callbacks import Callback
from oxidask.diagnostics import Profiler, ProgressBar
from oxidask.distributed import Client, KilledWorker, LocalCluster


@pytest.fixture(autouse=True)
def _no_workers_are_left():
    yield
    _processes.close()


def process_id(*_):
    return os.getpid()


def kill_yourself():
    os.kill(os.getpid(), signal.SIGKILL)


def pids(count=4, **options):
    """Return the processes that tasks ran in."""
    tasks = [delayed(process_id, pure=False)(i) for i in range(count)]
    return set(compute(tasks, **options)[0])


def run_script(text):
    """Run a script to its good end; return what it printed."""
    command = [sys.executable, "-c", textwrap.dedent(text)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["processes", "multiprocessing"])
def test_tasks_run_in_other_processes(name):
    assert os.getpid() not in pids(scheduler=name)
    with oxidask.config.set(scheduler=name):
        assert os.getpid() not in pids()
    assert pids(scheduler="sync") == {os.getpid()}


def test_workers_serve_one_computation_after_the_other():
    first = pids(scheduler="processes", num_workers=1)
    assert pids(scheduler="processes", num_workers=1) == first


def test_num_workers_is_the_number_of_processes():
    for size in (1, 3):
        assert compute(delayed(5), scheduler="processes", num_workers=size) == (5,)
        assert [pool.size for pool in _processes._pools] == [size]
    with oxidask.config.set(num_workers=2):
        compute(delayed(5), scheduler="processes")
        assert [pool.size for pool in _processes._pools] == [2]


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "2"])
def test_a_number_of_processes_is_an_int_from_1(size):
    with pytest.raises(ValueError, match=f"num_workers={size!r}"):
        compute(delayed(5), scheduler="processes", num_workers=size)


def test_workers_see_the_environment_of_the_computation(monkeypatch, tmp_path):
    look = delayed(os.environ.get, pure=False)
    assert look("OXIDASK_TEST_WORD").compute(scheduler="processes", num_workers=1) is None
    monkeypatch.setenv("OXIDASK_TEST_WORD", "hello")
    assert look("OXIDASK_TEST_WORD").compute(scheduler="processes", num_workers=1) == "hello"
    monkeypatch.chdir(tmp_path)
    folder = delayed(os.getcwd, pure=False)()
    assert folder.compute(scheduler="processes", num_workers=1) == str(tmp_path)


def test_it_is_nobodys_default():
    pids(scheduler="processes")
    assert oxidask.config.get("scheduler") is None
    with pytest.raises(ValueError, match="no Client"):
        Client.current()


def test_a_client_stays_the_default():
    with LocalCluster(n_workers=1, processes=False) as cluster, Client(cluster) as client:
        assert os.getpid() not in pids(scheduler="processes")
        assert Client.current() is client
        assert pids() == {os.getpid()}


def test_errors_come_out_as_they_were_raised():
    with pytest.raises(ZeroDivisionError) as caught:
        delayed(operator.truediv)(1, 0).compute(scheduler="processes")
    assert any("truediv" in note for note in caught.value.__notes__)


def test_a_task_that_kills_its_process_is_an_error_and_the_next_computation_works():
    with pytest.raises(KilledWorker, match="signal 9"):
        delayed(kill_yourself)().compute(scheduler="processes")
    assert delayed(operator.add)(1, 2).compute(scheduler="processes") == 3


def test_arrays_and_lambdas_travel():
    x = delayed(np.arange)(300_000.0)
    y = delayed(lambda a: a * 2)(x)
    assert np.array_equal(y.compute(scheduler="processes"), np.arange(300_000.0) * 2)


def test_persisted_values_are_here():
    (x,) = oxidask.persist(delayed(process_id)(), scheduler="processes")
    assert x.compute(scheduler="sync") != os.getpid()


def test_threads_compute_side_by_side():
    results = []

    def work(i):
        results.append(delayed(operator.add)(i, 1).compute(scheduler="processes"))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(1, 9))
    assert len(_processes._pools) == 1


def test_within_a_worker_its_own_threads_compute():
    def nested():
        return delayed(process_id, pure=False)().compute(scheduler="processes") == os.getpid()

    assert delayed(nested)().compute(scheduler="processes")


def test_workers_end_when_nobody_used_them_for_a_while():
    with oxidask.config.set({"multiprocessing.idle-timeout": 0.01}):
        pids(scheduler="processes")
        wait_until(lambda: not _processes._pools and _processes._keeper is None, "they end")
    with oxidask.config.set({"multiprocessing.idle-timeout": 0}):
        pids(scheduler="processes")
        assert not _processes._pools
    with oxidask.config.set({"multiprocessing.idle-timeout": "1h"}):
        pids(scheduler="processes")
        assert _processes._pools


def test_workers_end_with_the_program():
    script = """
        import os
        from oxidask import compute, delayed

        print(*compute([delayed(os.getpid, pure=False)() for _ in range(4)], scheduler="processes"))
    """
    for pid in run_script(script).strip(" []\n").split(", "):
        wait_until(functools.partial(is_gone, int(pid)), f"process {pid} ends")


def is_gone(pid):
    return not os.path.exists(f"/proc/{pid}")


def test_a_forked_child_starts_workers_of_its_own():
    script = """
        import os, sys
        from oxidask import compute, delayed
        from oxidask.distributed import Client

        def pids():
            tasks = [delayed(os.getpid, pure=False)() for _ in range(4)]
            return set(compute(tasks, scheduler="processes")[0])

        client = Client(n_workers=1, threads_per_worker=1)
        first = pids()
        child = os.fork()
        if child == 0:
            # The parent's client is not the default here, and ends nothing when it goes.
            assert delayed(os.getpid)().compute() == os.getpid()
            assert client.status == "closed"
            del client
            sys.exit(0 if pids().isdisjoint(first) else 1)
        print(os.waitpid(child, 0)[1], pids() <= first, client.submit(abs, -1).result())
    """
    assert run_script(script) == "0 True 1\n"


def test_a_progress_bar_shows_how_far_it_is():
    x = delayed(operator.add)(1, 2)
    printed = io.StringIO()
    with ProgressBar(out=printed) as bar:
        assert x.compute(scheduler="processes") == 3
        with pytest.raises(ZeroDivisionError):
            (x / 0).compute(scheduler="processes")
    good, bad = printed.getvalue().splitlines()
    assert "| 100% | 1/1 tasks |" in good
    assert "/2 tasks |" in bad
    assert bad.endswith("(stopped by an error)")
    assert bar.last_duration > 0


def test_a_progress_bar_counts_tasks_that_workers_ended(gate):
    bar = _Asked()
    first = [delayed(operator.add)(i, 1) for i in range(3)]
    last = delayed(lambda parts, gate: gate.pass_through(sum(parts)))(first, gate)
    with bar, concurrent.futures.ThreadPoolExecutor(1) as threads:
        running = threads.submit(last.compute, scheduler="processes")
        gate.wait_for_somebody()
        assert bar.computation.progress()[:2] == (3, 4)
        gate.open()
        assert running.result() == 6
    assert bar.computation.progress()[:2] == (4, 4)


class _Asked(Callback):
    """A callback that watches counts, as a bar does."""

    _watches = "counts"

    def _begin(self, computation):
        self.computation = computation


# ---- What is not there ----


def test_callbacks_that_hear_of_tasks_are_refused_with_a_way_around():
    for callback in (Callback(pretask=print), Callback(finish=print), Profiler()):
        with callback, pytest.raises(NotImplementedError, match="scheduler='threads'"):
            compute(delayed(5), scheduler="processes")
    with Profiler():
        # An empty list of callbacks asks for none.
        assert compute(delayed(5), scheduler="processes", callbacks=[]) == (5,)


def test_a_pool_of_processes_is_refused():
    with (
        concurrent.futures.ProcessPoolExecutor(1) as pool,
        pytest.raises(NotImplementedError, match="num_workers="),
    ):
        compute(delayed(5), scheduler="processes", pool=pool)


def test_threads_of_a_pool_compute_if_there_is_one():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pids(scheduler="processes", pool=pool) == {os.getpid()}


# ---- Graphs that are dictionaries ----


@pytest.mark.covers("multiprocessing.get")
def test_get_computes_keys_of_a_dictionary():
    graph = {"x": 1, "y": (operator.add, "x", 10), "pid": (process_id,)}
    assert multiprocessing.get(graph, ["y", ["x"]], num_workers=1) == (11, (1,))
    assert multiprocessing.get(graph, "pid") != os.getpid()
    assert oxidask.base.get_scheduler(scheduler="processes") is multiprocessing.get


@pytest.mark.parametrize("option", ["func_loads", "func_dumps", "initializer"])
def test_what_get_does_not_take(option):
    with pytest.raises(NotImplementedError, match=option):
        multiprocessing.get({"x": 1}, "x", **{option: len})
