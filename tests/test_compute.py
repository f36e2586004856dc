"""compute, persist, optimize and annotate: what comes back, and how often tasks run."""

import collections
import concurrent.futures
import dataclasses
import gc
import operator
import sysconfig
import threading
from multiprocessing.pool import ThreadPool

import pytest

import oxidask
from oxidask import annotate, compute, config, delayed, get_annotations, optimize, persist, threaded
from oxidask.delayed import Delayed

SYNC_NAMES = ["sync", "synchronous", "single-threaded"]
THREAD_NAMES = ["threads", "threading", "threaded"]

Pair = collections.namedtuple("Pair", "first second")


@dataclasses.dataclass
class Point:
    x: object
    y: object = 0


def inc(i):
    return i + 1


def thread_name():
    return threading.current_thread().name


class Calls:
    """Delayed functions that count how often they run."""

    def __init__(self):
        self.seen = []

    def note(self, x, *inputs):
        self.seen.append(x)
        return x

    def lazily(self, x, *inputs):
        return delayed(self.note)(x, *inputs)


@pytest.fixture
def calls():
    return Calls()


# ---- What comes back ----


@pytest.mark.covers("compute")
def test_compute_returns_a_tuple_with_one_value_for_each_argument():
    x = delayed(inc)(1)
    assert compute(x) == (2,)
    assert compute(x, 5, x + 1, "text") == (2, 5, 3, "text")
    assert x.compute() == 2


def test_compute_without_anything_lazy_returns_the_arguments_themselves():
    arguments = ([1, {"a": 2}], {3}, object(), "text")
    found = compute(*arguments)
    assert isinstance(found, tuple)
    assert all(one is other for one, other in zip(found, arguments, strict=True))
    assert compute() == ()
    assert persist() == ()
    assert persist(1, [2]) == (1, [2])
    assert optimize(1, [2]) == (1, [2])


def test_containers_come_back_as_they_were_with_results_inside():
    d = delayed(inc)(2)
    found = compute(
        [d, {"a": (d, 4)}], {d}, Point(d, 1), Pair(d, 2), slice(d, None), iter([d]), {d: d}, 5
    )
    assert found == (
        [3, {"a": (3, 4)}],
        {3},
        Point(3, 1),
        Pair(3, 2),
        slice(3, None),
        [3],
        {3: 3},
        5,
    )


def test_traverse_false_leaves_containers_as_they_are():
    d = delayed(inc)(2)
    container = [d]
    found = compute(d, container, traverse=False)
    assert found[0] == 3
    assert found[1] is container
    assert persist(container, traverse=False)[0] is container
    assert optimize(container, traverse=False)[0] is container


def test_the_old_name_of_scheduler_is_an_error_that_says_the_new_one():
    with pytest.raises(TypeError, match="scheduler="):
        compute(delayed(1), get=threaded.get)


ITERATORS = {
    "generator": lambda x: (one for one in [x, 5]),
    "map": lambda x: map(operator.itemgetter(0), [(x,), (5,)]),
    "filter": lambda x: filter(lambda one: True, [x, 5]),
    "values": lambda x: iter({"a": x, "b": 5}.values()),
}


@pytest.mark.parametrize("make", ITERATORS.values(), ids=ITERATORS)
def test_iterators_become_lists(make):
    x = delayed(inc)(1)
    assert compute(make(x)) == ([2, 5],)
    assert compute({"k": make(x)}) == ({"k": [2, 5]},)
    assert [one.compute() for one in persist(make(x))[0][:1]] == [2]
    # Nothing of an iterator without lazy values is lost.
    assert list(compute(make(3))[0]) == [3, 5]
    untouched = make(x)
    assert compute(untouched, traverse=False) == (untouched,)


@pytest.mark.parametrize("optimize_graph", [True, False])
def test_results_do_not_depend_on_optimisation(optimize_graph):
    x = delayed(inc)(delayed(inc)(1))
    assert compute(x, [x * 2], optimize_graph=optimize_graph) == (3, [6])
    assert x.compute(optimize_graph=optimize_graph) == 3


@pytest.mark.covers("persist")
def test_persist_returns_containers_of_lazy_values_that_are_done(calls):
    x, y = calls.lazily(1), calls.lazily(2)
    (persisted,) = persist([x, {"a": (y, 5)}])
    assert isinstance(persisted, list)
    assert isinstance(persisted[0], Delayed)
    assert persisted[0].key == x.key
    assert isinstance(persisted[1]["a"][0], Delayed)
    assert persisted[1]["a"][1] == 5
    assert sorted(calls.seen) == [1, 2]
    assert compute(persisted) == ([1, {"a": (2, 5)}],)
    assert compute(persisted[0] + persisted[1]["a"][0]) == (3,)
    assert sorted(calls.seen) == [1, 2]


def test_persist_drops_what_the_results_needed():
    x = delayed(inc)(delayed(inc)(delayed(inc)(0)))
    assert len(x.dask) == 3
    assert len(x.persist().dask) == 1


# ---- What runs ----


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_what_is_shared_runs_once(calls, scheduler):
    shared = calls.lazily("shared")
    left, right = calls.lazily("left", shared), calls.lazily("right", shared, [shared])
    compute(left, right, [left, {"a": shared}], scheduler=scheduler)
    assert sorted(calls.seen) == ["left", "right", "shared"]


def test_what_is_not_needed_does_not_run(calls):
    needed = calls.lazily("needed")
    calls.lazily("on top", needed)
    calls.lazily("beside")
    needed.compute()
    assert calls.seen == ["needed"]


def test_two_computations_run_everything_twice(calls):
    x = calls.lazily(1)
    x.compute()
    x.compute()
    assert calls.seen == [1, 1]


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_tasks_run_after_what_they_need(scheduler):
    order = []

    def note(x, *inputs):
        order.append(x)
        return x

    rows = [[delayed(note)((0, j)) for j in range(6)]]
    for i in range(1, 6):
        above = rows[-1]
        rows.append([delayed(note)((i, j), above[j], above[j - 1]) for j in range(6)])
    compute(rows[-1], scheduler=scheduler)
    place = {key: number for number, key in enumerate(order)}
    assert len(place) == len(order) == 36
    for i in range(1, 6):
        for j in range(6):
            assert place[i - 1, j] < place[i, j]
            assert place[i - 1, (j - 1) % 6] < place[i, j]


# ---- When results are dropped ----


def is_free_threaded():
    """Say whether an object may wait for the thread that made it, to be dropped there."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


class Live:
    """Counts how many results are alive, and the most there were."""

    now = peak = 0
    lock = threading.Lock()

    def __init__(self, *inputs):
        with Live.lock:
            Live.now += 1
            Live.peak = max(Live.peak, Live.now)

    def __del__(self):
        with Live.lock:
            Live.now -= 1


@pytest.fixture
def live():
    gc.collect()
    Live.now = Live.peak = 0
    return Live


def test_a_chain_holds_two_results_at_a_time(live):
    last = delayed(Live)()
    for _ in range(200):
        last = delayed(Live)(last)
    delayed(id)(last).compute(scheduler="sync")
    assert (live.now, live.peak) == (0, 2)


def test_a_chain_in_threads_holds_two_results_at_a_time(live):
    last = delayed(Live)()
    for _ in range(200):
        last = delayed(Live)(last)
    delayed(id)(last).compute(scheduler="threads")
    assert live.now == 0
    assert live.peak == 2


@pytest.mark.parametrize("depth", [1, 2, 5, 8])
def test_a_tree_holds_one_result_for_each_level(live, depth):
    level = [delayed(Live)() for _ in range(2**depth)]
    while len(level) > 1:
        level = [delayed(Live)(*level[i : i + 2]) for i in range(0, len(level), 2)]
    delayed(id)(level[0]).compute(scheduler="sync")
    assert live.now == 0
    assert live.peak == depth + 2


@pytest.mark.parametrize("n", [5, 30])
def test_a_grid_of_n_by_n_holds_one_row_and_one_result_more(live, n):
    grid = {}
    for i in range(n):
        for j in range(n):
            inputs = [grid[place] for place in ((i - 1, j), (i, j - 1)) if place in grid]
            grid[i, j] = delayed(Live)(*inputs)
    delayed(id)(grid[n - 1, n - 1]).compute(scheduler="sync")
    assert live.now == 0
    assert live.peak == n + 1


def test_many_independent_results_are_reduced_as_they_come(live):
    def load(i):
        return Live()

    counted = [delayed(lambda x: 1)(delayed(load)(i)) for i in range(100)]
    assert delayed(sum)(counted).compute(scheduler="sync") == 100
    assert (live.now, live.peak) == (0, 1)


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_results_that_are_asked_for_belong_to_the_caller_alone(live, scheduler):
    made = [delayed(Live)() for _ in range(10)]
    for _ in range(50):
        found = compute(*made, scheduler=scheduler)
        assert live.now == 10
        del found
        if is_free_threaded():
            gc.collect()  # or else they go when the thread that made them runs Python code again
        assert live.now == 0


# ---- Schedulers ----


@pytest.mark.parametrize("name", [*SYNC_NAMES, "Sync"])
def test_names_of_the_scheduler_in_the_calling_thread(name):
    assert delayed(thread_name)().compute(scheduler=name) == thread_name()


@pytest.mark.parametrize("name", [*THREAD_NAMES, "Threads"])
def test_names_of_the_scheduler_with_threads(name):
    assert delayed(thread_name)().compute(scheduler=name) != thread_name()


def test_threads_are_the_default():
    assert delayed(thread_name)().compute() != thread_name()


def test_an_unknown_name_of_a_scheduler_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'thread'.*'threads'.*'sync'"):
        compute(delayed(1), scheduler="thread")


@pytest.mark.parametrize("name", ["distributed", "dask.distributed"])
def test_a_cluster_without_a_client_is_an_error(name):
    with pytest.raises(ValueError, match="Client"):
        compute(delayed(1), scheduler=name)


@pytest.mark.parametrize("scheduler", [5, object(), ["threads"]])
def test_a_scheduler_of_another_type_is_an_error(scheduler):
    with pytest.raises(TypeError, match="scheduler"):
        compute(delayed(1), scheduler=scheduler)


@pytest.mark.parametrize("num_workers", [0, -1, 1.5, "2", True])
def test_an_impossible_number_of_workers_is_an_error_that_shows_it(num_workers):
    with pytest.raises(ValueError, match=f"num_workers={num_workers!r}"):
        compute(delayed(1), num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [1, 2, 7])
def test_results_do_not_depend_on_the_number_of_workers(num_workers):
    tasks = [delayed(inc)(i) for i in range(50)]
    assert delayed(sum)(tasks).compute(num_workers=num_workers) == 1275


def test_one_worker_runs_one_task_at_a_time():
    running, most = [0], [0]
    lock = threading.Lock()

    def watch(i):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        for _ in range(1000):
            pass
        with lock:
            running[0] -= 1

    compute(*[delayed(watch)(i) for i in range(100)], num_workers=1)
    assert most == [1]


@pytest.fixture
def executor():
    with concurrent.futures.ThreadPoolExecutor(3, thread_name_prefix="mine") as executor:
        yield executor


def test_tasks_run_in_the_threads_of_an_executor(executor):
    tasks = [delayed(thread_name)() for _ in range(20)]
    for options in ({"pool": executor}, {"scheduler": executor}):
        assert {name.split("_")[0] for name in compute(*tasks, **options)} == {"mine"}


def test_tasks_run_in_the_threads_of_a_pool():
    with ThreadPool(2) as pool:
        inside = set(pool.map(lambda _: thread_name(), range(10)))
        names = set(compute(*[delayed(thread_name)() for _ in range(20)], pool=pool))
        names |= set(compute(*[delayed(thread_name)() for _ in range(20)], scheduler=pool))
    assert names
    assert all("ThreadPool" in name or name in inside or "Thread-" in name for name in names)
    assert not any(name.startswith("oxidask") for name in names)
    assert thread_name() not in names


def test_an_executor_can_be_used_again(executor):
    for i in range(20):
        assert delayed(inc)(i).compute(pool=executor) == i + 1


def test_an_error_in_the_thread_of_an_executor_comes_out(executor):
    with pytest.raises(ZeroDivisionError):
        compute(delayed(operator.truediv)(1, 0), pool=executor)
    assert delayed(inc)(1).compute(pool=executor) == 2


@pytest.mark.parametrize("busy", [1, 2])
def test_threads_that_an_executor_takes_back_are_replaced_by_the_caller(busy):
    release, computing = threading.Event(), threading.Event()
    executor = concurrent.futures.ThreadPoolExecutor(2)
    for _ in range(busy):
        executor.submit(release.wait, 60)
    meeting = threading.Barrier(3 - busy, timeout=60)
    names = []

    def work():
        computing.set()
        meeting.wait()
        names.append(thread_name())

    def take_back():
        # With one thread of two lent, the other loan is still in the queue.
        assert busy == 2 or computing.wait(60)
        while executor._work_queue.empty():
            pass
        executor.shutdown(wait=False, cancel_futures=True)

    taker = threading.Thread(target=take_back)
    taker.start()
    compute(*[delayed(work)() for _ in range(3 - busy)], scheduler=executor)
    assert thread_name() in names
    assert len(set(names)) == 3 - busy
    release.set()
    taker.join()
    executor.shutdown()


def test_a_pool_of_processes_is_refused():
    with (
        concurrent.futures.ProcessPoolExecutor(1) as executor,
        pytest.raises(NotImplementedError, match="thread pool"),
    ):
        compute(delayed(1), scheduler=executor)


def test_a_function_can_be_the_scheduler():
    seen = []

    def get(graph, keys, **kwargs):
        seen.append((dict(graph), keys, kwargs))
        return oxidask.get(graph, keys)

    a = delayed(inc)(1, dask_key_name="a")
    b = delayed(inc)(a, dask_key_name="b")
    assert compute(b, [a], scheduler=get, speed=5) == (3, [2])
    assert seen == [({"a": (inc, 1), "b": (inc, "a")}, ["b", "a"], {"speed": 5})]


def test_the_scheduler_of_the_configuration_is_used():
    with config.set(scheduler="sync"):
        assert delayed(thread_name)().compute() == thread_name()
        assert delayed(thread_name)().compute(scheduler="threads") != thread_name()
        assert delayed(thread_name)().persist().compute() == thread_name()
    assert delayed(thread_name)().compute() != thread_name()


def test_a_wrong_scheduler_in_the_configuration_is_an_error():
    with config.set(scheduler="nothing"), pytest.raises(ValueError, match="nothing"):
        delayed(1).compute()


def test_the_number_of_workers_is_read_from_the_configuration():
    with config.set(num_workers=0), pytest.raises(ValueError, match="num_workers"):
        delayed(1).compute()
    with config.set(num_workers=1):
        assert delayed(inc)(1).compute() == 2


def test_the_pool_is_read_from_the_configuration(executor):
    with config.set(pool=executor):
        assert delayed(thread_name)().compute().startswith("mine")


# ---- get, for graphs that are dictionaries ----

GRAPH = {"a": 1, "b": (inc, "a"), ("c", 0): (sum, ["a", "b"])}


@pytest.mark.covers("get")
@pytest.mark.parametrize("get", [oxidask.get, threaded.get], ids=["sync", "threads"])
def test_get_returns_results_nested_like_the_keys(get):
    assert get(GRAPH, "b") == 2
    assert get(GRAPH, ("c", 0)) == 3
    assert get(GRAPH, ["b"]) == (2,)
    assert get(GRAPH, ["a", ["b", ["a"]], [("c", 0)]]) == (1, (2, (1,)), (3,))
    assert get(GRAPH, []) == ()
    assert get(GRAPH, [[], ["a"]]) == ((), (1,))


@pytest.mark.parametrize("get", [oxidask.get, threaded.get], ids=["sync", "threads"])
def test_get_of_an_unknown_key_is_an_error_that_names_it(get):
    with pytest.raises(KeyError, match="nothing"):
        get(GRAPH, ["a", "nothing"])


@pytest.mark.covers("threaded.get")
def test_get_in_threads_takes_workers_and_pools(executor):
    graph = dict.fromkeys(range(10), (thread_name,))
    assert all(name.startswith("mine") for name in threaded.get(graph, list(graph), pool=executor))
    assert threaded.get(GRAPH, "b", num_workers=1) == 2
    with pytest.raises(NotImplementedError, match="persist"):
        threaded.get(GRAPH, "b", cache={})


@pytest.mark.covers("local.get_sync")
def test_get_in_the_calling_thread_runs_there():
    assert oxidask.get({"a": (thread_name,)}, "a") == thread_name()


# ---- annotate ----


@pytest.mark.covers("get_annotations")
def test_annotations_in_force_nest_and_the_inner_one_wins():
    assert get_annotations() == {}
    with annotate(priority=1, note="outer"):
        with annotate(priority=2):
            assert get_annotations() == {"priority": 2, "note": "outer"}
        assert get_annotations() == {"priority": 1, "note": "outer"}
    assert get_annotations() == {}


def test_annotations_end_when_the_block_raises():
    with pytest.raises(RuntimeError), annotate(note=1):
        raise RuntimeError
    assert get_annotations() == {}


def test_annotations_of_one_thread_are_not_those_of_another():
    seen = []
    with annotate(note=1):
        thread = threading.Thread(target=lambda: seen.append(get_annotations()))
        thread.start()
        thread.join()
    assert seen == [{}]


def test_changing_what_get_annotations_returned_changes_nothing():
    with annotate(note=1):
        get_annotations()["note"] = 2
        assert get_annotations() == {"note": 1}


def failing(times, seen):
    """Return a function that raises the first `times` times."""

    def flaky():
        seen.append(1)
        if len(seen) <= times:
            raise OSError(len(seen))
        return len(seen)

    return flaky


@pytest.mark.covers("annotate")
@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_a_task_with_retries_is_tried_again(scheduler):
    seen = []
    with annotate(retries=3):
        task = delayed(failing(3, seen))()
    assert task.compute(scheduler=scheduler) == 4


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_a_task_is_not_tried_more_often_than_it_was_said(scheduler):
    seen = []
    with annotate(retries=2):
        task = delayed(failing(5, seen))()
    with pytest.raises(OSError, match="3"):
        task.compute(scheduler=scheduler)
    assert len(seen) == 3


def test_retries_are_those_in_force_when_the_task_was_made():
    seen = []
    before = delayed(failing(1, seen))()
    with annotate(retries=5):
        function = delayed(failing(1, seen))
        with pytest.raises(OSError, match="1"):
            before.compute()
    seen.clear()
    with pytest.raises(OSError, match="1"):
        function().compute()


def test_the_inner_retries_win():
    seen = []
    with annotate(retries=5), annotate(retries=0):
        task = delayed(failing(1, seen))()
    with pytest.raises(OSError, match="1"):
        task.compute()


def test_each_computation_has_all_retries():
    seen = []
    with annotate(retries=1):
        task = delayed(failing(1, seen))()
    assert task.compute() == 2
    seen.clear()
    assert task.compute() == 2


@pytest.mark.parametrize("retries", [-1, 1.5, "2", True, [1]])
def test_impossible_retries_are_an_error(retries):
    with pytest.raises(TypeError, match="retries"), annotate(retries=retries):
        pass
    assert get_annotations() == {}


@pytest.mark.parametrize(("name", "value"), [("priority", "high"), ("workers", 5)])
def test_impossible_annotations_are_an_error(name, value):
    with pytest.raises(TypeError, match=name), annotate(**{name: value}):
        pass


def test_any_other_annotation_is_allowed():
    with annotate(
        priority=1.5, workers=["a"], resources={"GPU": 1}, allow_other_workers=True, anything=object
    ):
        task = delayed(inc)(1)
    assert task.compute() == 2


# ---- optimize and fusion ----


@pytest.fixture
def fusion():
    with config.set({"optimization.fuse.delayed": True}):
        yield


def chain(length, function=inc):
    last = delayed(function)(0)
    for _ in range(length - 1):
        last = delayed(function)(last)
    return last


def test_without_the_setting_graphs_stay_as_they_are():
    last = chain(5)
    assert set(last.optimize().dask) == set(last.dask)


@pytest.mark.usefixtures("fusion")
def test_a_chain_is_fused_into_one_task_with_the_key_of_its_end():
    last = chain(11)
    fused = last.optimize()
    assert fused.key == last.key
    assert len(last.dask) == 11
    assert len(fused.dask) == 1
    assert fused.compute() == last.compute() == 11


@pytest.mark.covers("optimize")
@pytest.mark.usefixtures("fusion")
def test_what_is_asked_for_keeps_its_key():
    middle = chain(5)
    last = delayed(inc)(delayed(inc)(middle))
    (one, (two,)) = optimize(middle, [last])
    assert (one.key, two.key) == (middle.key, last.key)
    assert len(two.dask) == 2
    assert compute(one, two) == (5, 7)


@pytest.mark.usefixtures("fusion")
def test_fused_graphs_run_every_task_once(calls):
    shared = calls.lazily(1, calls.lazily(0))
    left, right = calls.lazily(2, shared), calls.lazily(3, shared)
    top = delayed(sum)([left, right])
    assert top.compute() == 5
    assert sorted(calls.seen) == [0, 1, 2, 3]


@pytest.mark.usefixtures("fusion")
def test_tasks_with_unlike_annotations_are_not_fused():
    seen = []
    with annotate(retries=2):
        flaky = delayed(failing(2, seen))()
    last = delayed(inc)(flaky)
    assert len(last.optimize().dask) == 2
    assert last.compute() == 4


@pytest.mark.usefixtures("fusion")
def test_fusion_is_off_where_it_is_switched_off():
    last = chain(4)
    with config.set({"optimization.fuse.active": False}):
        assert len(last.optimize().dask) == 4
    assert last.compute(optimize_graph=False) == 4


@pytest.mark.usefixtures("fusion")
def test_an_error_in_a_fused_task_comes_out():
    last = delayed(inc)(delayed(operator.truediv)(delayed(inc)(1), 0))
    with pytest.raises(ZeroDivisionError):
        last.compute()


@pytest.mark.usefixtures("fusion")
def test_a_long_chain_is_fused_without_recursion():
    assert chain(100_000).compute() == 100_000


@pytest.mark.usefixtures("fusion")
def test_a_function_with_keywords_and_containers_is_fused():
    def gather(*args, **kwargs):
        return args, kwargs

    first = delayed(gather)(1, a=[delayed(inc)(1)])
    last = delayed(gather)({"x": (first,)}, z=slice(delayed(inc)(5)))
    with config.set({"optimization.fuse.delayed": False}):
        expected = last.compute()
    assert last.compute() == expected
