"""Client: submit, map, gather, scatter, compute, persist, get, and what they return."""

import collections
import operator
import os
import sys
import threading

import pytest
from gates import Gate, wait_until

import oxidask
from oxidask import delayed
from oxidask.distributed import (
    CancelledError,
    Client,
    Future,
    LocalCluster,
    default_client,
    fire_and_forget,
    futures_of,
    wait,
)

#: Tests of what is not built yet, with what they wait for.
PENDING = {}

Pair = collections.namedtuple("Pair", "first second")


def inc(i):
    return i + 1


def double(i, times=2):
    return i * times


def fail(message="no"):
    raise ValueError(message)


def fail_unless_even(i):
    if i % 2:
        raise ValueError(f"{i} is odd")
    return i


def arguments(*args, **kwargs):
    return args, kwargs


def process_id():
    return os.getpid()


def thread_name():
    return threading.current_thread().name


def call_tally(tally, value=None):
    tally.add()
    return value


# ---- submit ----


def test_submit_returns_the_result_of_the_call(client):
    future = client.submit(inc, 1)
    assert isinstance(future, Future)
    assert future.result() == 2


def test_submit_passes_positional_and_keyword_arguments(client):
    future = client.submit(arguments, 1, "two", [3], four=4, five={"six": 7})
    assert future.result() == ((1, "two", [3]), {"four": 4, "five": {"six": 7}})


@pytest.mark.parametrize("function", [len, operator.length_hint, lambda x: len(x)])
def test_submit_takes_builtins_and_lambdas(client, function):
    assert client.submit(function, [1, 2, 3]).result() == 3


def test_submit_takes_closures_methods_partials_and_classes(client):
    offset = 10

    class Local:
        def __init__(self, value):
            self.value = value

        def plus(self, other):
            return self.value + other

    assert client.submit(lambda x: x + offset, 1).result() == 11
    assert client.submit(Local(3).plus, 4).result() == 7
    assert client.submit(Local, 5).result().value == 5
    assert client.submit("{} {}".format, "a", "b").result() == "a b"


def test_equal_calls_are_one_task(client, tally):
    first = client.submit(call_tally, tally, 5)
    again = client.submit(call_tally, tally, 5)
    other = client.submit(call_tally, tally, 6)
    assert first.key == again.key != other.key
    assert client.gather([first, again, other]) == [5, 5, 6]
    assert len(tally) == 2


def test_impure_calls_are_tasks_of_their_own(client, tally):
    futures = [client.submit(call_tally, tally, 5, pure=False) for _ in range(3)]
    wait(futures)
    assert len({future.key for future in futures}) == 3
    assert len(tally) == 3


def test_a_live_key_is_not_run_again(client, tally):
    first = client.submit(call_tally, tally, 1, key="mine")
    assert first.key == "mine"
    assert first.result() == 1
    assert client.submit(call_tally, tally, 1, key="mine").result() == 1
    assert len(tally) == 1


def test_a_key_may_be_a_tuple(client):
    future = client.submit(inc, 1, key=("mine", 0))
    assert future.key == ("mine", 0)
    assert future.result() == 2


def test_a_released_key_is_run_again(client, tally):
    for _ in range(2):
        future = client.submit(call_tally, tally, key="again")
        assert future.result() is None
        del future
    assert len(tally) == 2


def test_keys_begin_with_the_name_of_the_function(client):
    assert client.submit(inc, 1).key.startswith("inc-")


def test_submit_of_what_cannot_be_called_is_an_error_at_once(client):
    with pytest.raises(TypeError, match=r"submit: .* 5 is not callable"):
        client.submit(5)


def test_futures_stand_for_their_results(client):
    x = client.submit(inc, 1)
    y = client.submit(inc, x)
    assert client.submit(operator.add, x, y).result() == 5


def test_futures_at_any_depth_of_containers_stand_for_their_results(client):
    x, y = client.submit(inc, 1), client.submit(inc, 2)
    nested = [x, (y, {"a": [x]}), {"b": (y,)}]
    assert client.submit(arguments, nested, {x}).result() == (
        ([2, (3, {"a": [2]}), {"b": (3,)}], {2}),
        {},
    )


def test_futures_as_keyword_arguments_stand_for_their_results(client):
    x = client.submit(inc, 1)
    assert client.submit(arguments, a=x, b=[x]).result() == ((), {"a": 2, "b": [2]})


def test_a_future_may_be_dropped_once_what_needs_it_was_submitted(client, gate):
    x = client.submit(gate.pass_through, 1)
    y = client.submit(inc, x)
    del x
    gate.open()
    assert y.result() == 2


def test_long_chains_of_futures(client):
    future = client.submit(inc, 0)
    for _ in range(999):
        future = client.submit(inc, future)
    assert future.result() == 1000


def test_lazy_arguments_are_computed(client):
    assert client.submit(inc, delayed(inc)(1)).result() == 3


def test_an_error_reaches_what_depends_on_it(client):
    failed = client.submit(fail, "first")
    with pytest.raises(ValueError, match="first") as caught:
        client.submit(inc, failed).result()
    assert any("fail-" in note for note in caught.value.__notes__)


def test_retries_run_a_failing_call_again(client, tally):
    def fail_twice():
        if tally.add() < 3:
            raise ValueError("not yet")
        return "now"

    assert client.submit(fail_twice, retries=2, pure=False).result() == "now"
    assert len(tally) == 3


def test_retries_end(client, tally):
    def always():
        tally.add()
        raise ValueError("never")

    future = client.submit(always, retries=1, pure=False)
    with pytest.raises(ValueError, match="never"):
        future.result()
    assert len(tally) == 2


@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_larger_priorities_run_first(processes, tally, tmp_path):
    gate, last = Gate(tmp_path / "gate"), Gate(tmp_path / "last")
    # Of functions that have not run before, nothing is given ahead to busy workers.
    with Client(n_workers=2, threads_per_worker=1, processes=processes) as client:
        busy = [client.submit(one.pass_through, pure=False) for one in (gate, last)]
        gate.wait_for_somebody()
        last.wait_for_somebody()
        futures = [
            client.submit(tally.add, mark, priority=priority, pure=False)
            for priority, mark in enumerate("abcdefgh")
        ]
        # One worker is free now, so that the order is what it was told.
        gate.open()
        wait(futures)
        last.open()
        wait(busy)
    assert tally.marks() == "hgfedcba"


@pytest.mark.parametrize("method", ["submit", "map"])
def test_options_that_are_not_there_yet_say_so(client, method):
    with pytest.raises(NotImplementedError, match="actor"):
        getattr(client, method)(inc, [1], actor=True)


def test_tasks_run_where_the_mode_says(client, mode):
    processes = {client.submit(process_id, pure=False).result() for _ in range(4)}
    assert (os.getpid() in processes) == (mode == "threads")
    assert client.submit(thread_name).result().startswith("oxidask-worker")


def test_async_functions_are_tasks(client):
    async def later(x):
        import asyncio

        await asyncio.sleep(0)
        return x + 1

    assert client.submit(later, 1).result() == 2


def test_compute_inside_a_task_uses_the_cluster(client):
    def inner():
        from oxidask.distributed import get_client

        assert get_client().status == "running"
        return delayed(inc)(1).compute()

    assert client.submit(inner).result() == 2


# ---- map ----


def test_map_calls_for_each_element(client):
    futures = client.map(inc, range(10))
    assert isinstance(futures, list)
    assert client.gather(futures) == list(range(1, 11))


def test_map_ends_with_the_shortest_iterable(client):
    assert client.gather(client.map(operator.add, range(100), [10, 20, 30])) == [10, 21, 32]


def test_map_over_nothing_is_an_empty_list(client):
    assert client.map(inc, []) == []
    assert client.gather([]) == []


def test_map_takes_generators_and_infinite_iterables(client):
    import itertools

    futures = client.map(operator.mul, (i for i in range(4)), itertools.count(1))
    assert client.gather(futures) == [0, 2, 6, 12]


def test_map_passes_keywords_to_each_call(client):
    assert client.gather(client.map(double, range(3), times=3)) == [0, 3, 6]


def test_map_takes_a_future_as_keyword(client):
    times = client.submit(inc, 9)
    assert client.gather(client.map(double, range(3), times=times)) == [0, 10, 20]


def test_map_over_futures(client):
    assert client.gather(client.map(inc, client.map(inc, range(5)))) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_map_in_batches_gives_the_same(client, batch_size):
    futures = client.map(inc, range(10), batch_size=batch_size)
    assert client.gather(futures) == list(range(1, 11))


def test_map_with_the_first_part_of_keys(client):
    futures = client.map(inc, range(3), key="mine")
    assert [future.key.partition("-")[0] for future in futures] == ["mine"] * 3
    assert len({future.key for future in futures}) == 3


def test_map_with_all_keys(client):
    futures = client.map(inc, range(3), key=["a", "b", "c"])
    assert [future.key for future in futures] == ["a", "b", "c"]
    assert client.gather(futures) == [1, 2, 3]


def test_map_with_too_few_keys_is_an_error(client):
    with pytest.raises(ValueError, match=r"map: .*2 keys.*3"):
        client.map(inc, range(3), key=["a", "b"])


def test_equal_elements_of_a_map_are_one_task(client, tally):
    futures = client.map(call_tally, [tally] * 3, [1, 1, 2])
    assert client.gather(futures) == [1, 1, 2]
    assert len(tally) == 2
    assert futures[0].key == client.submit(call_tally, tally, 1).key


def test_impure_maps_run_each_element(client, tally):
    client.gather(client.map(call_tally, [tally] * 3, pure=False))
    assert len(tally) == 3


def test_map_without_iterables_is_an_error(client):
    with pytest.raises(ValueError, match="map: give at least one iterable"):
        client.map(inc)


def test_map_of_what_cannot_be_called_is_an_error(client):
    with pytest.raises(TypeError, match=r"map: .*'inc' is not callable"):
        client.map("inc", [1])


def test_an_iterable_that_raises_raises_from_map_and_the_client_goes_on(client):
    def broken():
        yield 1
        raise KeyError("in the iterable")

    with pytest.raises(KeyError, match="in the iterable"):
        client.map(inc, broken())
    assert client.submit(inc, 1).result() == 2


def test_map_over_many_elements(client):
    futures = client.map(inc, range(20_000))
    assert client.gather(futures) == list(range(1, 20_001))


# ---- gather ----


def test_gather_of_one_future(client):
    assert client.gather(client.submit(inc, 1)) == 2


def test_gather_keeps_containers(client):
    x, y = client.submit(inc, 1), client.submit(inc, 2)
    nested = {"a": [x, (y, 5)], "b": {"c": y}, "d": Pair(x, [y]), "e": "text", "f": {x}}
    assert client.gather(nested) == {
        "a": [2, (3, 5)],
        "b": {"c": 3},
        "d": Pair(2, [3]),
        "e": "text",
        "f": {2},
    }
    assert isinstance(client.gather(Pair(x, y)), Pair)
    assert client.gather((x, y)) == (2, 3)
    assert client.gather({x, y}) == {2, 3}


def test_gather_of_an_iterator(client):
    assert client.gather(client.submit(inc, i) for i in range(3)) == [1, 2, 3]


def test_gather_of_the_same_future_twice(client):
    x = client.submit(inc, 1)
    assert client.gather([x, x]) == [2, 2]


def test_gather_of_plain_values_returns_them(client):
    assert client.gather([1, "a", None]) == [1, "a", None]


def test_gather_raises_the_first_error(client):
    with pytest.raises(ValueError, match="1 is odd"):
        client.gather(client.map(fail_unless_even, [0, 1, 2]))


def test_gather_raises_before_the_others_are_done(client, gate):
    waiting = client.submit(gate.pass_through)
    failed = client.submit(fail, "early")
    with pytest.raises(ValueError, match="early"):
        client.gather([waiting, failed])
    assert waiting.status == "pending"


def test_gather_skips_errors_if_asked(client):
    futures = client.map(fail_unless_even, range(5))
    assert client.gather(futures, errors="skip") == [0, 2, 4]
    assert client.gather({"a": futures[:2], "b": (futures[1],)}, errors="skip") == {
        "a": [0],
        "b": (),
    }
    assert client.gather({"x": futures[1], "y": futures[2]}, errors="skip") == {"y": 2}


def test_gather_of_one_failed_future_with_skip_is_none(client):
    assert client.gather(client.submit(fail), errors="skip") is None


def test_gather_says_which_ways_to_treat_errors_there_are(client):
    with pytest.raises(ValueError, match=r"gather\(errors='ignore'\): 'raise' or 'skip'"):
        client.gather([], errors="ignore")


# ---- scatter ----


def test_scatter_of_a_list_is_a_list_of_futures(client):
    futures = client.scatter([1, "two", [3]])
    assert isinstance(futures, list)
    assert client.gather(futures) == [1, "two", [3]]


def test_scatter_of_a_dictionary_keeps_its_keys(client):
    futures = client.scatter({"x": 1, "y": [2]})
    assert set(futures) == {"x", "y"}
    assert client.gather(futures) == {"x": 1, "y": [2]}


@pytest.mark.parametrize("kind", [tuple, set, frozenset])
def test_scatter_keeps_other_containers(client, kind):
    futures = client.scatter(kind([1, 2]))
    assert type(futures) is kind
    assert client.gather(futures) == kind([1, 2])


@pytest.mark.parametrize("value", [5, "text", None, 2.5, b"bytes"])
def test_scatter_of_one_value_is_one_future(client, value):
    future = client.scatter(value)
    assert isinstance(future, Future)
    assert future.result() == value


def test_scatter_of_an_iterator_is_a_list_of_futures(client):
    assert client.gather(client.scatter(iter([1, 2]))) == [1, 2]
    assert client.gather(client.scatter(range(3))) == [0, 1, 2]


def test_equal_data_is_scattered_once(client):
    first, again = client.scatter([1, 2]), client.scatter([1, 2])
    assert [future.key for future in first] == [future.key for future in again]


def test_scatter_without_hash_makes_keys_of_their_own(client):
    first, again = client.scatter(1, hash=False), client.scatter(1, hash=False)
    assert first.key != again.key
    assert client.gather([first, again]) == [1, 1]


@pytest.mark.parametrize("broadcast", [True, 2])
def test_scatter_to_all(client, broadcast):
    assert client.scatter({"a": 1}, broadcast=broadcast)["a"].result() == 1


def test_scattered_values_are_arguments(client):
    x, y = client.scatter([10, 20])
    assert client.submit(operator.add, x, y).result() == 30


def test_scattered_arrays_are_arguments(client):
    np = pytest.importorskip("numpy")
    data = np.arange(1_000_000)
    future = client.scatter(data, broadcast=True)
    futures = [client.submit(np.sum, future, pure=False) for _ in range(4)]
    assert client.gather(futures) == [data.sum()] * 4


def test_scattered_values_are_what_they_were_then(client):
    data = {"a": [1]}
    future = client.scatter([data])[0]
    data["a"].append(2)
    # In one process nothing is copied; another process has its own.
    assert future.result()["a"][0] == 1


# ---- compute, persist, get ----


def test_compute_of_one_lazy_value_is_one_future(client):
    future = client.compute(delayed(inc)(1))
    assert isinstance(future, Future)
    assert future.result() == 2


def test_compute_of_a_list_is_a_list_of_futures(client):
    x = delayed(inc)(1)
    futures = client.compute([x, delayed(operator.add)(x, 10)])
    assert [type(future) for future in futures] == [Future, Future]
    assert client.gather(futures) == [2, 12]


def test_compute_returns_plain_values_as_they_are(client):
    futures = client.compute([delayed(inc)(1), 7])
    assert futures[1] == 7
    assert client.compute([delayed(inc)(1), 7], sync=True) == [2, 7]


def test_compute_sync_waits(client):
    assert client.compute(delayed(inc)(1), sync=True) == 2


def test_compute_shares_work_between_calls(client, tally):
    shared = delayed(call_tally, pure=True)(tally, 1)
    first = client.compute(delayed(inc)(shared))
    second = client.compute(delayed(double)(shared))
    assert client.gather([first, second]) == [2, 2]
    assert len(tally) in (1, 2)  # 2 if the first had ended and let go of the shared result.


def test_compute_of_a_graph_with_a_failing_task(client):
    with pytest.raises(ValueError, match="deep inside"):
        client.compute(delayed(inc)(delayed(fail)("deep inside")), sync=True)


def test_compute_of_a_wide_and_deep_graph(client):
    level = [delayed(inc)(i) for i in range(256)]
    while len(level) > 1:
        level = [delayed(operator.add)(a, b) for a, b in zip(level[::2], level[1::2], strict=True)]
    assert client.compute(level[0], sync=True) == sum(range(1, 257))
    chain = delayed(inc)(0)
    for _ in range(5_000):
        chain = delayed(inc)(chain)
    assert client.compute(chain, sync=True) == 5_001


def test_a_client_is_the_default_scheduler(client, mode):
    processes = oxidask.compute(*[delayed(process_id, pure=False)() for _ in range(2)])
    assert (os.getpid() in processes) == (mode == "threads")
    assert delayed(inc)(1).compute() == 2


def test_other_schedulers_are_still_there_for_the_asking(client):
    assert delayed(process_id, pure=False)().compute(scheduler="sync") == os.getpid()


def test_a_client_is_a_scheduler_by_name(client):
    assert delayed(inc)(1).compute(scheduler=client) == 2


def test_a_graph_that_holds_futures(client):
    x = client.submit(inc, 1)
    assert client.compute(delayed(operator.add)(x, 10), sync=True) == 12


def test_persist_keeps_results_in_the_cluster(client, tally):
    x = client.persist(delayed(call_tally, pure=True)(tally, 5))
    assert isinstance(x, type(delayed(1)))
    assert x.compute() == 5
    assert delayed(inc)(x).compute() == 6
    assert len(tally) == 1
    (future,) = futures_of(x)
    assert future.result() == 5


def test_persist_of_a_list(client):
    first, second = client.persist([delayed(inc)(1), delayed(inc)(2)])
    assert (first.compute(), second.compute()) == (2, 3)
    (persisted,) = oxidask.persist(delayed(inc)(3))
    assert persisted.compute() == 4


class Squares(oxidask.base.DaskMethodsMixin):
    """A collection of somebody else's."""

    def __init__(self, keys, graph):
        self.keys, self.graph = keys, graph

    def __dask_graph__(self):
        return self.graph

    def __dask_keys__(self):
        return self.keys

    def __dask_postcompute__(self):
        return list, ()

    def __dask_postpersist__(self):
        return lambda graph: Squares(self.keys, graph), ()


def test_collections_of_others_are_persisted_in_the_cluster(client, tally):
    x = Squares(["a", "b"], {"a": (call_tally, tally, 4), "b": (double, "a")})
    for held in (client.persist(x), x.persist()):
        wait(held)
        assert [future.key for future in futures_of(held)] == ["a", "b"]
        assert held.compute() == [4, 8]
    # Keys say what is the same.
    assert len(tally) == 1


def test_persist_by_default_keeps_results_in_the_cluster(client, tally):
    x = delayed(call_tally, pure=True)(tally, 5).persist()
    assert len(futures_of(x)) == 1
    assert x.compute() == 5
    assert len(tally) == 1


def test_get_runs_a_graph_that_is_a_dictionary(client):
    graph = {"x": 1, "y": (inc, "x"), "z": (operator.add, "y", 10)}
    assert client.get(graph, "z") == 12
    assert client.get(graph, ["y", ["z", "x"]]) == [2, [12, 1]]
    futures = client.get(graph, ["y", "z"], sync=False)
    assert client.gather(futures) == [2, 12]


def test_get_of_an_unknown_key_names_it(client):
    with pytest.raises(KeyError, match="the key 'nowhere' is not in the graph"):
        client.get({"x": 1}, "nowhere")


# ---- cancel and retry ----


def test_cancelling_a_queued_task(client, gate, tally):
    busy = [client.submit(gate.pass_through, i, pure=False) for i in range(2)]
    gate.wait_for_somebody()
    queued = client.map(call_tally, [tally] * 5, range(5), pure=False)
    client.cancel(queued)
    for future in queued:
        with pytest.raises(CancelledError, match=r"call_tally-.* was cancelled"):
            future.result()
        assert future.cancelled()
        assert future.status == "cancelled"
    gate.open()
    assert client.gather(busy) == [0, 1]
    assert len(tally) == 0


class SlowToLoad:
    """A function that stands at a gate while a worker reads it, and then leaves a mark."""

    def __init__(self, gate, tally):
        self.gate = gate
        self.tally = tally

    def __call__(self, number):
        return abs(number)

    def __reduce__(self):
        return load_slowly, (self.gate, self.tally)


def load_slowly(gate, tally):
    gate.pass_through()
    tally.add()
    return abs


def test_a_cancel_does_not_break_off_an_import(client, gate, tally, mode):
    """What a task's function imports is there for later tasks, so it must be whole."""
    if mode == "threads":
        pytest.skip("functions are not read from pickles")
    future = client.submit(SlowToLoad(gate, tally), -1, pure=False)
    gate.wait_for_somebody()
    future.cancel()
    client.run(abs, -1)  # Workers hear this after the cancel.
    gate.open()
    wait_until(lambda: len(tally) == 1, "the function is loaded")
    assert client.gather(client.map(inc, range(20), pure=False)) == list(range(1, 21))


def test_cancelling_a_running_task_frees_its_slot(client, tally):
    def forever():
        tally.add()
        while True:
            pass

    kept = client.submit(inc, 41)
    assert kept.result() == 42
    loops = [client.submit(forever, pure=False) for _ in range(2)]
    wait_until(lambda: len(tally) == 2, "both loops run")
    client.cancel(loops)
    with pytest.raises(CancelledError):
        loops[0].result()
    assert client.gather(client.map(inc, range(100))) == list(range(1, 101))
    assert kept.result() == 42


def test_cancelling_reaches_what_depends_on_it(client, gate):
    first = client.submit(gate.pass_through, 1)
    second = client.submit(inc, first)
    first.cancel()
    with pytest.raises(CancelledError):
        second.result()


def test_the_reason_of_a_cancellation_is_told(client, gate):
    future = client.submit(gate.pass_through, 1)
    future.cancel(msg="changed my mind")
    with pytest.raises(CancelledError, match="changed my mind"):
        future.result()


def test_retrying_a_failed_task(client, tally):
    def fail_once():
        if tally.add() == 1:
            raise ValueError("once")
        return "fine"

    future = client.submit(fail_once, pure=False)
    with pytest.raises(ValueError, match="once"):
        future.result()
    client.retry([future])
    assert future.result() == "fine"


def test_dropping_the_last_future_of_a_queued_task_cancels_it(client, gate, tally):
    busy = [client.submit(gate.pass_through, i, pure=False) for i in range(2)]
    gate.wait_for_somebody()
    dropped = client.map(call_tally, [tally] * 5, range(5), pure=False)
    del dropped
    last = client.submit(inc, 1)
    gate.open()
    assert last.result() == 2
    wait(busy)
    assert len(tally) == 0


def test_fired_tasks_run_although_nobody_keeps_them(client, gate, tally):
    busy = [client.submit(gate.pass_through, i, pure=False) for i in range(2)]
    gate.wait_for_somebody()
    fire_and_forget(client.submit(call_tally, tally))
    fire_and_forget([client.submit(call_tally, tally, i) for i in range(2)])
    fire_and_forget(delayed(call_tally)(tally))
    gate.open()
    wait(busy)
    wait_until(lambda: len(tally) == 4, "all fired tasks ran")


# ---- The cluster ----


def test_scheduler_info_tells_of_the_workers(client, cluster, mode):
    info = client.scheduler_info()
    assert info["type"] == "Scheduler"
    assert info["address"] == cluster.scheduler_address
    assert len(info["workers"]) == 2
    for worker in info["workers"].values():
        assert worker["nthreads"] == 1
        assert (worker["pid"] == os.getpid()) == (mode == "threads")
    assert len(client.scheduler_info(n_workers=1)["workers"]) == 1
    assert list(client.nthreads().values()) == [1, 1]
    assert client.ncores() == client.nthreads()


def test_waiting_for_workers_that_do_not_come_ends_in_time(client):
    client.wait_for_workers(2)
    with pytest.raises(TimeoutError, match=r"2 of 3 workers are there"):
        client.wait_for_workers(3, timeout="50ms")


def test_run_calls_in_every_worker(client, mode):
    answers = client.run(process_id)
    assert set(answers) == set(client.scheduler_info()["workers"])
    assert (set(answers.values()) == {os.getpid()}) == (mode == "threads")


def test_run_passes_arguments(client):
    answers = client.run(arguments, 1, two=2)
    assert list(answers.values()) == [((1,), {"two": 2})] * 2


def test_run_in_chosen_workers(client):
    name = next(iter(client.scheduler_info()["workers"]))
    assert list(client.run(inc, 1, workers=[name])) == [name]


def test_run_in_an_unknown_worker_names_it(client):
    with pytest.raises(ValueError, match=r"run: .*'nobody'"):
        client.run(inc, 1, workers=["nobody"])


def test_run_raises_returns_or_ignores_errors(client):
    with pytest.raises(ValueError, match="in a worker"):
        client.run(fail, "in a worker")
    returned = client.run(fail, "in a worker", on_error="return")
    assert [str(error) for error in returned.values()] == ["in a worker"] * 2
    assert client.run(fail, on_error="ignore") == {}
    with pytest.raises(ValueError, match=r"run\(on_error='maybe'\)"):
        client.run(inc, 1, on_error="maybe")


def test_run_works_while_all_threads_are_busy(client, gate):
    busy = [client.submit(gate.pass_through, i, pure=False) for i in range(2)]
    gate.wait_for_somebody()
    assert list(client.run(inc, 1).values()) == [2, 2]
    gate.open()
    wait(busy)


def test_why_names_what_a_future_waits_for(client, gate):
    first = client.submit(gate.pass_through, 1)
    second = client.submit(inc, first)
    gate.wait_for_somebody()
    said = client.why(second)
    assert first.key in said
    assert "runs" in said or "running" in said


def test_why_of_a_finished_future_says_so(client):
    future = client.submit(inc, 1)
    wait(future)
    assert "finished" in client.why(future) or "done" in client.why(future)


# ---- Clients ----


def test_clients_of_one_cluster_share_nothing_with_the_same_key(cluster):
    with Client(cluster) as one, Client(cluster) as other:
        first = one.submit(inc, 1, key="shared")
        second = other.submit(inc, 2, key="shared")
        assert (first.result(), second.result()) == (2, 3)


def test_the_client_before_is_the_default_again(cluster):
    with Client(cluster) as outer:
        assert default_client() is outer
        with Client(cluster) as inner:
            assert default_client() is inner
            assert Client.current() is inner
            with outer.as_current():
                assert default_client() is outer
            assert default_client() is inner
        assert default_client() is outer
        with Client(cluster, set_as_default=False):
            assert default_client() is outer
    with pytest.raises(ValueError, match=r"there is no Client; make one"):
        default_client()


def test_a_closed_client_says_so(cluster):
    client = Client(cluster)
    waiting = client.submit(inc, 1)
    client.close()
    client.close()
    assert client.status == "closed"
    assert repr(client) == "<Client: closed>"
    with pytest.raises(CancelledError, match="client was closed"):
        client.submit(inc, 1).result()
    assert waiting.status in ("finished", "cancelled")


def test_a_client_describes_itself(client, cluster):
    assert repr(client) == f"<Client: {cluster.scheduler_address!r} workers=2 threads=2>"


def test_a_client_is_not_sent_to_tasks(client, mode):
    if mode == "threads":
        assert client.submit(lambda: client.status).result() == "running"
        return
    with pytest.raises(TypeError, match=r"call get_client\(\) inside the task"):
        client.submit(lambda: client.status)


def test_what_belongs_to_clusters_is_refused_with_a_cluster(cluster):
    with pytest.raises(TypeError, match=r"n_workers=\): these belong to LocalCluster"):
        Client(cluster, n_workers=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tcp://127.0.0.1:8786",), "over a network are not there yet"),
        ((None, None, None, True, "file.json"), "scheduler_file="),
        ((None, None, None, True, None, "security"), "security="),
    ],
)
def test_clients_over_a_network_are_not_there_yet(arguments, said):
    with pytest.raises(NotImplementedError, match=said):
        Client(*arguments)


@pytest.mark.parametrize(
    "name",
    [
        *("run_on_scheduler", "who_has", "has_what", "processing"),
        *("nbytes", "call_stack", "profile", "get_versions"),
        *("get_worker_logs", "get_scheduler_logs", "log_event", "get_events", "subscribe_topic"),
        *("unsubscribe_topic", "upload_file", "register_plugin", "unregister_worker_plugin"),
        *("unregister_scheduler_plugin", "register_worker_callbacks", "publish_dataset"),
        *("get_dataset", "list_datasets", "unpublish_dataset", "replicate", "rebalance"),
        *("retire_workers", "set_metadata", "get_metadata", "get_executor"),
        *("normalize_collection", "dump_cluster_state", "write_scheduler_file"),
        *("forward_logging", "unforward_logging", "benchmark_hardware", "story", "sync"),
    ],
)
def test_methods_that_are_not_there_yet_say_what_to_do(client, name):
    with pytest.raises(NotImplementedError, match=rf"Client\.{name} is not there yet; "):
        getattr(client, name)()


def test_a_cluster_by_default_is_made_by_the_client():
    with Client(n_workers=1, threads_per_worker=1, processes=False) as client:
        cluster = client.cluster
        assert isinstance(cluster, LocalCluster)
        assert client.submit(inc, 1).result() == 2
    assert cluster.status == "closed"


def test_shutdown_closes_the_cluster_of_somebody_else():
    cluster = LocalCluster(n_workers=1, processes=False)
    Client(cluster).shutdown()
    assert cluster.status == "closed"


def test_importing_distributed_starts_nothing():
    import subprocess

    code = "import oxidask.distributed, threading; print(threading.active_count())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert printed.stdout.strip() == b"1"
