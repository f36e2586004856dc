"""The opportunistic cache: what it offers to the cache it was given, and what it takes from it."""

import gc
import sys
import types
import weakref

import numpy as np
import pytest

import oxidask
from oxidask import compute, delayed
from oxidask.cache import Cache
from oxidask.callbacks import Callback


class Everything:
    """Keeps what it is offered; has the interface of `cachey.Cache`."""

    def __init__(self, nbytes=None, limit=0):
        self.available_bytes, self.limit = nbytes, limit
        self.data = {}
        self.offers = {}

    def put(self, key, value, cost, nbytes=None):
        self.data[key] = value
        self.offers[key] = (cost, nbytes)


RUNS = []


def note_and_double(x):
    RUNS.append(x)
    return 2 * x


def counted():
    """Return a pure function and the list of its calls, which is not part of its content."""
    RUNS.clear()
    return delayed(note_and_double, pure=True), RUNS


@pytest.mark.covers("cache.Cache")
@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_results_are_used_again(scheduler):
    double, runs = counted()
    with Cache(Everything()):
        assert double(double(1)).compute(scheduler=scheduler) == 4
        assert double(double(1)).compute(scheduler=scheduler) == 4
        assert runs == [1, 2]
        assert double(double(double(1))).compute(scheduler=scheduler) == 8
        assert runs == [1, 2, 4]
    assert double(double(1)).compute(scheduler=scheduler) == 4
    assert runs == [1, 2, 4, 1, 2]


def test_results_of_graphs_that_are_dictionaries_are_used_again():
    runs = []
    graph = {"x": (runs.append, 1), "y": (list, [["x", 1]])}
    with Cache(Everything()) as cache:
        assert oxidask.get(graph, "y") == [[None, 1]]
        assert oxidask.get(graph, ["y", "x"]) == ([[None, 1]], None)
    assert runs == [1]
    assert cache.cache.data == {"x": None, "y": [[None, 1]]}


@pytest.mark.parametrize("value", [(print, 1), "x", ["x"], ("x", 0), None, {"x": 1}])
def test_kept_values_are_taken_for_nothing_else(value):
    store = Everything()
    store.data["y"] = value
    graph = {"x": 1, ("x", 0): 2, "y": (str, "x"), "z": (lambda y: y, "y")}
    with Cache(store):
        assert oxidask.get(graph, ["y", "z"]) == (value, value)


def test_what_is_used_again_tells_no_hook():
    double, _ = counted()
    keys = []
    with Cache(Everything()), Callback(pretask=lambda key, dsk, state: keys.append(key)):
        compute(double(1), double(2))
        compute(double(2), double(3))
    assert len(keys) == 3


def test_the_size_of_a_value_and_the_time_to_make_it_are_offered():
    zeros = delayed(np.zeros, pure=True)(1000, dask_key_name="zeros")
    with Cache(Everything()) as cache:
        zeros.sum(dask_key_name="sum").compute()
    cost, nbytes = cache.cache.offers["zeros"]
    assert 8000 <= nbytes < 9000
    assert cost > 0
    cost_of_sum, nbytes_of_sum = cache.cache.offers["sum"]
    # Making the sum anew takes the time of its input as well.
    assert cost_of_sum * nbytes_of_sum > cost * nbytes


def test_bytes_make_a_cache_of_cachey(monkeypatch):
    cachey = types.ModuleType("cachey")
    cachey.Cache = Everything
    monkeypatch.setitem(sys.modules, "cachey", cachey)
    cache = Cache(1e6, limit=2)
    assert cache.cache.available_bytes == 1e6
    assert cache.cache.limit == 2


def test_without_cachey_bytes_are_refused_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "cachey", None)
    with pytest.raises(ImportError, match="pip install cachey"):
        Cache(1e6)


def test_other_arguments_are_refused():
    with pytest.raises(TypeError, match="further arguments"):
        Cache(Everything(), limit=2)
    with pytest.raises(TypeError, match="`data` and `put`"):
        Cache("1 GB")


def test_nothing_is_kept_but_by_the_cache():
    class Value:
        pass

    alive = weakref.WeakSet()

    def make():
        value = Value()
        alive.add(value)
        return value

    class Nothing(Everything):
        def put(self, key, value, cost, nbytes=None):
            """Keep nothing."""

    with Cache(Nothing()):
        delayed(lambda value: 1)(delayed(make, pure=True)()).compute()
        while alive:  # The thread that ran the task may drop its result a moment later.
            gc.collect()
