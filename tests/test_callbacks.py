"""Callbacks: what they are told, in which thread, and that what they raise ends the computation."""

import gc
import os
import sqlite3
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from operator import add

import pytest

import oxidask
from oxidask import compute, config, delayed, local, threaded
from oxidask.callbacks import Callback, add_callbacks
from oxidask.diagnostics import ProgressBar


def inc(x):
    return x + 1


def boom(x):
    raise ValueError("no")


GRAPH = {"x": 1, "y": (inc, "x"), "z": (inc, "y"), "w": (sum, ["y", "z"])}


class Log(Callback):
    """Writes down what it is told."""

    def __init__(self):
        self.events = []
        self.threads = set()

    def _note(self, *event):
        self.events.append(event)
        self.threads.add(threading.get_ident())

    def _start(self, dsk):
        self._note("start", set(dsk))

    def _start_state(self, dsk, state):
        self._note("start_state")

    def _pretask(self, key, dsk, state):
        self._note("pretask", key)

    def _posttask(self, key, result, dsk, state, worker_id):
        assert isinstance(worker_id, int)
        self._note("posttask", key, result)

    def _finish(self, dsk, state, errored):
        self._note("finish", errored)

    def keys(self, kind):
        return [event[1] for event in self.events if event[0] == kind]


def chain(length=5):
    value = delayed(inc)(0, dask_key_name="inc-0")
    for number in range(1, length):
        value = delayed(inc)(value, dask_key_name=f"inc-{number}")
    return value


def wide(count=50):
    return delayed(sum)([delayed(inc)(i) for i in range(count)])


@pytest.fixture(autouse=True)
def _nothing_stays_registered():
    yield
    assert not Callback.active


def pool_threads(graph, keys, **kwargs):
    with ThreadPoolExecutor(2) as pool:
        return threaded.get(graph, keys, pool=pool, **kwargs)


def pool_of_multiprocessing(graph, keys, **kwargs):
    with ThreadPool(2) as pool:
        return threaded.get(graph, keys, pool=pool, **kwargs)


GETS = [oxidask.get, local.get_sync, threaded.get, pool_threads, pool_of_multiprocessing]


@pytest.mark.covers("callbacks.Callback", "diagnostics.Callback")
@pytest.mark.parametrize("get", GETS)
def test_each_task_is_told_between_start_and_finish(get):
    with Log() as log:
        assert get(GRAPH, ["w", "z"]) == (5, 3)
    assert log.events == [
        ("start", {"w", "x", "y", "z"}),
        ("start_state",),
        ("pretask", "y"),
        ("posttask", "y", 2),
        ("pretask", "z"),
        ("posttask", "z", 3),
        ("pretask", "w"),
        ("posttask", "w", 5),
        ("finish", False),
    ]


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_hooks_are_called_in_the_thread_that_asked(scheduler):
    with Log() as log:
        assert wide().compute(scheduler=scheduler) == sum(range(51))
    assert log.threads == {threading.get_ident()}
    assert len(log.keys("pretask")) == len(log.keys("posttask")) == 51
    assert set(log.keys("pretask")) == set(log.keys("posttask"))


def test_things_that_belong_to_a_thread_can_be_used_in_hooks():
    database = sqlite3.connect(":memory:")
    database.execute("create table tasks (key text)")
    tell = Callback(
        posttask=lambda key, *rest: database.execute("insert into tasks values (?)", (str(key),))
    )
    with tell:
        wide().compute(scheduler="threads", num_workers=2)
    assert database.execute("select count(*) from tasks").fetchone() == (51,)
    database.close()


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_a_task_runs_after_its_pretask(scheduler):
    told, ran_before = set(), []

    def task(name):
        ran_before.append(name in told)
        return name

    with Callback(pretask=lambda key, dsk, state: told.add(key)):
        compute(
            *[delayed(task)(f"t{i}", dask_key_name=f"t{i}") for i in range(40)],
            scheduler=scheduler,
        )
    assert ran_before == [True] * 40


def test_the_state_has_the_parts_that_dask_has():
    seen = {}

    def plain(state):
        links = ("dependencies", "dependents", "waiting", "waiting_data")
        return {
            **{part: dict(state[part]) for part in links},
            "cache": dict(state["cache"]),
            "ready": list(state["ready"]),
            **{part: set(state[part]) for part in ("running", "finished", "released")},
        }

    def start_state(dsk, state):
        assert set(state) == set(plain(state))
        seen["start"] = plain(state)

    def pretask(key, dsk, state):
        seen["pre", key] = plain(state)

    def posttask(key, result, dsk, state, worker_id):
        seen["post", key] = plain(state)

    def finish(dsk, state, errored):
        seen["finish"] = plain(state)

    with Callback(start_state=start_state, pretask=pretask, posttask=posttask, finish=finish):
        local.get_sync(GRAPH, ["w", "z"])
    everything = {
        "dependencies": {"z": {"y"}, "y": {"x"}, "x": set(), "w": {"y", "z"}},
        "dependents": {"z": {"w"}, "y": {"w", "z"}, "x": {"y"}, "w": set()},
    }
    # What Dask's synchronous scheduler shows for the same graph.
    assert seen["start"] == {
        **everything,
        "waiting": {"z": {"y"}, "w": {"y", "z"}},
        "waiting_data": {"z": {"w"}, "y": {"w", "z"}, "x": {"y"}, "w": set()},
        "cache": {"x": 1},
        "ready": ["y"],
        "running": set(),
        "finished": set(),
        "released": set(),
    }
    assert seen["pre", "y"] == {**seen["start"], "ready": [], "running": {"y"}}
    assert seen["post", "y"] == {
        **everything,
        "waiting": {"w": {"z"}},
        "waiting_data": {"z": {"w"}, "y": {"w", "z"}, "w": set()},
        "cache": {"y": 2},
        "ready": ["z"],
        "running": set(),
        "finished": {"y"},
        "released": {"x"},
    }
    assert seen["post", "w"] == seen["finish"]
    assert seen["finish"] == {
        **everything,
        "waiting": {},
        "waiting_data": {"z": set(), "w": set()},
        "cache": {"z": 3, "w": 5},
        "ready": [],
        "running": set(),
        "finished": {"w", "y", "z"},
        "released": {"x", "y"},
    }


def test_counting_a_part_agrees_with_listing_it():
    sizes = []

    def check(key, result, dsk, state, worker_id):
        for part in state:
            assert len(state[part]) == len(list(state[part])), part
            assert all(key in state[part] for key in state[part]), part
        assert key in state["finished"]
        assert key not in state["running"]
        assert "nothing" not in state["finished"]
        assert [] not in state["finished"]
        total = sum(len(state[part]) for part in ("ready", "waiting", "running", "finished"))
        sizes.append(total)

    with Callback(posttask=check):
        delayed(sum)([wide(10), chain(), delayed([1, 2])[0]]).compute()
    assert sizes == [18] * 18


def test_parts_are_sets_and_mappings():
    def look(dsk, state):
        assert state["finished"] == set()
        assert state["ready"] == ["y"]
        assert "y" in state["ready"]
        assert state["ready"][-1] == "y"
        assert state["dependencies"]["w"] & {"y"} == {"y"}
        assert {"y", "q"} & state["running"] == set()
        assert state["cache"].get("y") is None
        assert repr(state["cache"]) == "{'x': 1}"
        with pytest.raises(KeyError):
            state["cache"]["y"]
        with pytest.raises(KeyError):
            state["waiting"]["y"]
        with pytest.raises(KeyError):
            state["nothing"]

    with Callback(start_state=look):
        local.get_sync(GRAPH, "w")


def test_ready_tasks_stand_in_the_order_to_run_from_the_end():
    ran, expected = [], []

    def pretask(key, dsk, state):
        ran.append(key)

    def start_state(dsk, state):
        expected.extend(state["ready"])

    with Callback(start_state=start_state, pretask=pretask):
        compute(*[delayed(inc)(i) for i in range(20)], scheduler="sync")
    assert ran == expected[::-1]


def test_the_graph_is_a_mapping_with_tasks():
    with Callback(start=lambda dsk: seen.append(dict(dsk))):
        seen = []
        threaded.get(GRAPH, "y")
    assert seen == [{"x": 1, "y": (inc, "x")}]


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_start_may_put_values_in_the_place_of_tasks(scheduler):
    with Log() as log, Callback(start=lambda dsk: dsk.__setitem__("inc-3", 100)):
        assert chain().compute(scheduler=scheduler) == 101
    assert log.keys("pretask") == ["inc-4"]


def test_start_may_put_another_task_in_the_place_of_one():
    def start(dsk):
        dsk["z"] = (add, "y", 40)
        assert dsk["z"] == (add, "y", 40)
        assert len(dsk) == 4

    with Callback(start=start):
        assert oxidask.get(GRAPH, "w") == 44


def test_the_graph_says_what_cannot_be_done_with_it():
    def start(dsk):
        with pytest.raises(KeyError, match="nothing would use it"):
            dsk["new"] = 1
        with pytest.raises(TypeError, match="cannot be deleted"):
            del dsk["y"]

    def start_state(dsk, state):
        with pytest.raises(TypeError, match="has begun"):
            dsk["y"] = 1

    with Callback(start=start, start_state=start_state):
        assert oxidask.get(GRAPH, "y") == 2


HOOKS = ["start", "start_state", "pretask", "posttask", "finish"]


class HookError(Exception):
    pass


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("scheduler", ["threads", "sync", "pool"])
def test_what_a_hook_raises_ends_the_computation(hook, scheduler):
    def fail(*args):
        raise HookError(hook)

    with Log() as log, Callback(**{hook: fail}), ThreadPoolExecutor(2) as pool:
        with pytest.raises(HookError, match=hook):
            wide(200).compute(scheduler=pool if scheduler == "pool" else scheduler)
        assert log.events[-1] == ("finish", hook != "finish")
        if hook in ("pretask", "posttask"):
            assert len(log.keys("posttask")) == (1 if hook == "posttask" else 0)
    # Nothing is left that would disturb what follows.
    assert wide(200).compute() == sum(range(201))


def test_no_task_starts_after_a_hook_has_failed():
    started = []

    def task(i):
        started.append(i)

    def pretask(key, dsk, state):
        if len(state["finished"]) >= 5:
            raise HookError

    tasks = [delayed(task)(i) for i in range(300)]
    with Callback(pretask=pretask), pytest.raises(HookError):
        compute(*tasks, num_workers=2)
    assert len(started) <= 7


def test_a_failing_task_is_told_by_finish_only():
    with Log() as log, pytest.raises(ValueError, match="no"):
        delayed(boom)(1, dask_key_name="boom").compute()
    assert [event[0] for event in log.events] == ["start", "start_state", "pretask", "finish"]
    assert log.events[-1] == ("finish", True)


def test_a_task_that_is_tried_again_is_told_each_time_it_begins():
    tries = []

    def sometimes():
        tries.append(1)
        if len(tries) < 3:
            raise OSError("busy")
        return "data"

    with oxidask.annotate(retries=3):
        task = delayed(sometimes)(dask_key_name="t")
    with Log() as log:
        assert task.compute() == "data"
    assert log.keys("pretask") == ["t"] * 3
    assert log.keys("posttask") == ["t"]


def test_exceptions_that_refuse_attributes_pass():
    class Stubborn(Exception):
        def __setattr__(self, name, value):
            raise AttributeError(name)

    def fail():
        raise Stubborn("as it is")

    with Log() as log, pytest.raises(Stubborn, match="as it is"):
        delayed(fail)().compute()
    assert log.events[-1] == ("finish", True)


def test_computations_in_tasks_are_not_told():
    def nested():
        return wide(5).compute()

    with Log() as log:
        assert delayed(nested)(dask_key_name="outer").compute() == 15
    assert log.keys("posttask") == ["outer"]


def test_a_callback_of_a_task_itself_is_told_of_what_the_task_computes():
    inner = Log()

    def nested():
        with inner:
            return wide(5).compute()

    with Log() as log:
        assert delayed(nested)(dask_key_name="outer").compute(num_workers=1) == 15
    assert log.keys("posttask") == ["outer"]
    assert len(inner.keys("posttask")) == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hook_may_compute(workers):
    results = []

    def posttask(key, result, dsk, state, worker_id):
        results.append(wide(20).compute(num_workers=workers))

    with Callback(posttask=posttask, pretask=lambda *args: chain(3).compute()):
        assert wide(10).compute(num_workers=workers) == 55
    assert results == [sum(range(21))] * 11


def test_a_hook_may_compute_in_the_pool_that_runs_the_tasks():
    with (
        ThreadPoolExecutor(1) as pool,
        config.set(pool=pool),
        Callback(pretask=lambda *args: chain(3).compute()),
    ):
        assert wide(10).compute() == 55


def test_functions_and_subclasses_work_alike():
    class Silent(Callback):
        def __init__(self):
            """Not calling the base is what many subclasses do."""

    keys = []
    with Silent(), Callback(posttask=lambda key, *rest: keys.append(key)):
        chain(2).compute()
    assert keys == ["inc-0", "inc-1"]
    with pytest.raises(TypeError, match="posttask=5"):
        Callback(posttask=5)


def test_registered_callbacks_are_told_until_they_are_not():
    log = Log()
    log.register()
    assert log in Callback.active
    assert Callback.active == {log}
    assert len(Callback.active) == 1
    chain(1).compute()
    log.unregister()
    chain(1).compute()
    assert len(log.keys("posttask")) == 1
    with pytest.raises(KeyError, match="not registered"):
        log.unregister()


def test_a_block_in_a_block_leaves_the_outer_one_registered():
    log = Log()
    with log:
        with log:
            chain(1).compute()
        assert log in Callback.active
        chain(1).compute()
    chain(1).compute()
    assert len(log.keys("posttask")) == 2


def test_equal_functions_are_told_as_often_as_they_are_registered():
    keys = []

    def posttask(key, *rest):
        keys.append(key)

    with Callback(posttask=posttask), Callback(posttask=posttask):
        chain(1).compute()
    assert keys == ["inc-0"] * 2


def test_callbacks_are_told_in_order_of_registration():
    order = []
    first, second = (Callback(start=lambda dsk, n=n: order.append(n)) for n in (1, 2))
    with second, first:
        chain(1).compute()
    assert order == [2, 1]


def test_add_callbacks_takes_tuples_too():
    log = Log()
    with add_callbacks(log, (None, None, None, None, lambda *args: log.events.append("tuple"))):
        chain(1).compute()
    assert log.events[-1] == "tuple"
    with pytest.raises(TypeError, match="no callback"):
        add_callbacks((1, 2))


def test_callbacks_of_a_call_replace_the_active_ones():
    with Log() as log:
        own = Log()
        chain(2).compute(callbacks=[own])
        oxidask.get(GRAPH, "w", callbacks=[])
        threaded.get(GRAPH, "w", callbacks=[own._callback])
    assert log.events == []
    assert own.keys("posttask") == ["inc-0", "inc-1", "y", "z", "w"]


def test_computations_of_two_threads_are_told_one_at_a_time():
    runs, ended = threading.Event(), threading.Event()

    def first():
        runs.set()
        assert ended.wait(30)

    with Log() as log:
        thread = threading.Thread(target=delayed(first)(dask_key_name="first").compute)
        thread.start()
        assert runs.wait(30)
        assert chain().compute() == 5
        ended.set()
        thread.join()
        assert log.keys("posttask") == ["first"]
        chain(1).compute()
    assert log.keys("posttask") == ["first", "inc-0"]


def test_results_are_not_kept_by_callbacks_after_the_computation():
    class Value:
        pass

    alive = weakref.WeakSet()

    def make():
        value = Value()
        alive.add(value)
        return value

    with Log() as log:
        delayed(lambda value: None)(delayed(make)()).compute()
    log.events.clear()
    while alive:  # The thread that ran the task may drop its result a moment later.
        gc.collect()


def test_results_that_wait_for_a_slow_callback_are_bounded():
    class Value:
        pass

    alive = weakref.WeakSet()
    most = []

    def make():
        value = Value()
        alive.add(value)
        return value

    def posttask(*args):
        most.append(len(alive))

    parts = [delayed(lambda value: 0)(delayed(make)()) for _ in range(2000)]
    with Callback(posttask=posttask):
        assert delayed(sum)(parts).compute(num_workers=2) == 0
    assert max(most) < 200


def test_ctrl_c_in_a_hook_ends_the_computation():
    def posttask(*args):
        raise KeyboardInterrupt

    with Callback(posttask=posttask), pytest.raises(KeyboardInterrupt):
        wide(100).compute()
    assert wide(10).compute() == 55


def test_persist_and_compute_of_several_are_told():
    with Log() as log:
        oxidask.persist(chain(2))
        compute(chain(1), [chain(3)])
    assert log.keys("finish") == [False, False]
    assert len(log.keys("posttask")) == 5


def test_a_subclass_of_the_progress_bar_has_hooks_and_is_told(capsys):
    class Bar(ProgressBar):
        def __init__(self):
            super().__init__(width=5)
            self.keys = []

        def _start(self, dsk):
            super()._start(dsk)
            self.keys.append(len(dsk))

        def _pretask(self, key, dsk, state):
            super()._pretask(key, dsk, state)
            self.keys.append(key)

        def _finish(self, dsk, state, errored):
            super()._finish(dsk, state, errored)
            self.keys.append(errored)

    with Bar() as bar:
        chain(2).compute()
    assert bar.keys == [2, "inc-0", "inc-1", False]
    assert "2/2 tasks" in capsys.readouterr().out
    assert isinstance(bar, Callback)
    assert bar.last_duration > 0


def test_the_progress_bar_alone_asks_for_no_hook(monkeypatch, capsys):
    def never(self):
        raise AssertionError("the graph was looked at")

    monkeypatch.setattr("oxidask._callback_views.Graph._graph", never)
    with ProgressBar():
        chain(2).compute()
    assert "2/2 tasks" in capsys.readouterr().out


def test_a_child_process_forgets_who_is_told():
    read, write = os.pipe()
    with Log() as log:

        def fork():
            child = os.fork()
            if child == 0:
                other = Log()
                with other:
                    value = chain(3).compute()
                os.write(write, b"%d %d" % (value, len(other.keys("posttask"))))
                os._exit(0)
            os.waitpid(child, 0)

        delayed(fork)().compute(scheduler="sync")
    assert os.read(read, 10) == b"3 3"
    os.close(read)
    os.close(write)
    assert len(log.keys("posttask")) == 1


def test_a_pool_that_gives_fewer_threads_than_it_says_does_the_work():
    with ThreadPoolExecutor(1) as pool:

        class Stingy:
            _max_workers = 3
            given = 0

            def submit(self, function):
                if self.given == 1:
                    raise RuntimeError("cannot schedule new futures")
                self.given += 1
                return pool.submit(function)

        with Log() as log:
            assert wide(10).compute(scheduler=Stingy()) == 55
        stingy = Stingy()
        stingy.given = 1
        with pytest.raises(RuntimeError, match="cannot schedule"):
            wide(10).compute(scheduler=stingy)
    assert len(log.keys("posttask")) == 11
