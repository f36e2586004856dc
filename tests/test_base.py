"""What `oxidask.base` offers to libraries with collections of their own."""

from __future__ import annotations

import html
import re
import threading
from operator import add

import pytest

import oxidask
from oxidask import base, compute, delayed, local, threaded
from oxidask.delayed import Delayed


def inc(x):
    return x + 1


class Numbers(base.DaskMethodsMixin):
    """A collection with one key for each number."""

    __dask_scheduler__ = staticmethod(threaded.get)

    def __init__(self, graph, keys):
        self._graph = graph
        self._keys = keys

    def __dask_graph__(self):
        return self._graph

    def __dask_keys__(self):
        return self._keys

    def __dask_postcompute__(self):
        return list, ()

    def __dask_postpersist__(self):
        return self._rebuild, (self._keys,)

    def __dask_tokenize__(self):
        return str(self._keys)

    @classmethod
    def _rebuild(cls, graph, keys, rename=None):
        keys = [base.replace_name_in_key(key, rename or {}) for key in keys]
        return cls(graph, keys)


@pytest.fixture
def numbers():
    return Numbers({("n-1", 0): 1, ("n-1", 1): (inc, ("n-1", 0))}, [("n-1", 0), ("n-1", 1)])


@pytest.mark.covers("base.DaskMethodsMixin")
def test_a_collection_gets_compute_persist_and_visualize(numbers):
    assert numbers.compute() == [1, 2]
    assert numbers.compute(scheduler="sync") == [1, 2]
    persisted = numbers.persist()
    assert type(persisted) is Numbers
    assert persisted.__dask_graph__() == {("n-1", 0): 1, ("n-1", 1): 2}
    assert numbers.visualize(filename=None).svg.startswith("<svg")


def test_a_fused_collection_is_persisted_as_its_own_kind(numbers):
    with oxidask.config.set({"optimization.fuse.delayed": True}):
        persisted, value = oxidask.persist(numbers, delayed(inc)(delayed(inc)(1)))
    assert type(persisted) is Numbers
    assert persisted.compute() == [1, 2]
    assert value.compute() == 3


# --- Finding collections ---


def test_collections_are_found_and_replaced(numbers):
    x, y = delayed(1), delayed(2)
    collections, repack = base.unpack_collections(x, [numbers, {"a": (x, y)}], 3, numbers)
    assert len(collections) == 3
    names = {id(x): "x", id(numbers): "n", id(y): "y"}
    assert repack([names[id(one)] for one in collections]) == (
        "x",
        ["n", {"a": ("x", "y")}],
        3,
        "n",
    )
    with pytest.raises(ValueError, match="2 values for 3 collections"):
        repack([1, 2])


def test_without_traverse_collections_at_the_top_are_found_only(numbers):
    x = delayed(1)
    collections, repack = base.unpack_collections(x, [numbers], traverse=False)
    assert [id(one) for one in collections] == [id(x)]
    assert repack(iter([5])) == (5, [numbers])
    assert base.unpack_collections(1, [2])[0] == []
    assert base.unpack_collections(1, [2])[1]([]) == (1, [2])


def test_a_collection_is_optimised_by_itself_and_keeps_its_kind(numbers):
    class Halved(Numbers):
        @staticmethod
        def __dask_optimize__(graph, keys, **kwargs):
            return {key: graph[key] for key in graph if key[1] == 0}

    halved = Halved(numbers.__dask_graph__(), [("n-1", 0)])
    x = delayed(inc)(1)
    (found, [again, plain]), y = oxidask.optimize([halved, [x, 5]], numbers)
    assert type(found) is Halved
    assert list(found.__dask_graph__()) == [("n-1", 0)]
    assert (again.key, plain) == (x.key, 5)
    assert type(y) is Numbers
    assert compute(found, again, y) == ([1], 2, [1, 2])


def test_the_graph_of_a_collection_is_drawn_and_no_task_of_ours(numbers):
    class Half(Numbers):
        @staticmethod
        def __dask_optimize__(graph, keys, **kwargs):
            return {key: value for key, value in graph.items() if key[1] == 0}

    both = {*numbers.__dask_graph__()}
    assert titles(numbers.visualize(filename=None)) == {str(key) for key in both}
    half = Half(numbers.__dask_graph__(), [("n-1", 0)])
    drawn = oxidask.visualize([half, delayed(1, name="x")], filename=None, optimize_graph=True)
    assert titles(drawn) == {str(("n-1", 0)), "x"}


def titles(picture):
    found = re.findall(r"<title>(.*?)</title>", picture.svg, flags=re.DOTALL)
    names = {html.unescape(title).splitlines()[0] for title in found}
    return {name for name in names if not name.startswith("Task graph")}


# --- Keys ---


def test_names_in_keys():
    assert base.get_name_from_key(("x-1", 0, 2)) == base.get_name_from_key("x-1") == "x-1"
    assert base.replace_name_in_key(("x", 0), {"x": "y"}) == ("y", 0)
    assert base.replace_name_in_key("x", {"x": "y"}) == "y"
    assert base.replace_name_in_key("z", {"x": "y"}) == "z"


@pytest.mark.parametrize("key", [1, b"x", 1.5, (1, 2), (), None])
def test_a_key_without_a_name_is_an_error_that_shows_it(key):
    for function in (
        base.get_name_from_key,
        lambda key: base.replace_name_in_key(key, {}),
        lambda key: base.clone_key(key, 1),
    ):
        with pytest.raises(TypeError, match="begins with one, not"):
            function(key)


def test_clones_of_a_key_follow_from_the_seed():
    key = ("sum-1234abcd", 0, 1)
    clone = base.clone_key(key, 1)
    assert clone[0].startswith("sum-")
    assert clone[1:] == (0, 1)
    assert clone == base.clone_key(key, 1)
    assert base.clone_key("sum-1234abcd", 1) == clone[0]
    others = [key, base.clone_key(key, 2), base.clone_key(("sum-1234abce", 0, 1), 1)]
    assert clone not in others


def test_names_of_a_collection(numbers):
    assert base.get_collection_names(numbers) == {"n-1"}
    assert base.get_collection_names(delayed(1, name="one")) == {"one"}
    with pytest.raises(TypeError, match="not a lazy object"):
        base.get_collection_names(1)


def test_a_persisted_value_can_be_renamed():
    x = delayed(1, name="x")
    rebuild, extra = x.__dask_postpersist__()
    assert rebuild({"y": 5}, *extra, rename={"x": "y"}).compute() == 5


# --- Graphs ---


def test_graphs_of_collections_are_merged(numbers):
    x = delayed(inc)(1, dask_key_name="x")
    graph = base.collections_to_dsk([numbers, x])
    assert graph == {**numbers.__dask_graph__(), "x": (inc, 1)}
    assert base.dont_optimize(graph, ["x"]) is graph
    assert base.optimization_function(numbers) is base.dont_optimize


def test_a_graph_is_computed_as_that_of_a_collection():
    graph = {"x": 1, "y": (inc, "x")}
    assert base.compute_as_if_collection(Delayed, graph, ["x", ["y"]]) == (1, (2,))
    assert base.compute_as_if_collection(Numbers, graph, "y", scheduler="sync") == 2


def test_a_graph_is_drawn():
    picture = base.visualize_dsk({"x": 1, "y": (inc, "x")}, filename=None)
    assert picture.svg.count("<title>y") == 1
    with pytest.raises(NotImplementedError, match="color='order'"):
        base.visualize_dsk({"x": 1}, o={"x": 0})


@pytest.mark.parametrize("get", [oxidask.get, threaded.get])
def test_keys_may_be_nested_deeply(get):
    keys = "x"
    for _ in range(20_000):
        keys = [keys]
    result = get({"x": 7}, keys)
    for _ in range(20_000):
        (result,) = result
    assert result == 7


def test_the_keys_of_a_collection_may_be_nested_deeply():
    keys = ["x"]
    for _ in range(20_000):
        keys = [keys]
    nested = Numbers({"x": 7}, keys)
    (result,) = nested.compute()
    for _ in range(20_000):
        (result,) = result
    assert result == 7


# --- Schedulers ---


@pytest.mark.parametrize("name", ["sync", "synchronous", "single-threaded"])
def test_names_of_the_calling_thread(name):
    assert base.named_schedulers[name] is local.get_sync
    assert base.get_scheduler(scheduler=name) is local.get_sync


@pytest.mark.parametrize("name", ["threads", "threading", "threaded"])
def test_names_of_threads(name):
    assert base.named_schedulers[name] is threaded.get
    assert base.get_scheduler(scheduler=name) is threaded.get


def test_the_scheduler_is_what_was_said_or_set_or_the_default_of_the_collection(numbers):
    def mine(dsk, keys, **kwargs):
        return oxidask.get(dsk, keys)

    assert base.get_scheduler() is None
    assert base.get_scheduler(scheduler=mine) is mine
    assert base.get_scheduler(collections=[numbers, numbers]) is threaded.get
    assert base.get_scheduler(cls=Numbers) is threaded.get
    assert base.get_scheduler(collections=[numbers, delayed(1)]) is threaded.get
    assert base.get_scheduler(cls=int) is None
    with oxidask.config.set(scheduler="sync"):
        assert base.get_scheduler(collections=[numbers]) is local.get_sync
    with pytest.raises(TypeError, match="scheduler="):
        base.get_scheduler(get=mine)


def where(_):
    return threading.current_thread() is threading.main_thread()


def test_a_collection_is_computed_by_its_own_scheduler():
    seen = []

    class Own(Numbers):
        @staticmethod
        def __dask_scheduler__(dsk, keys, **kwargs):
            seen.append(kwargs)
            return oxidask.get(dsk, keys)

    class Here(Numbers):
        __dask_scheduler__ = staticmethod(local.get_sync)

    graph = {("w", 0): (where, 1)}
    assert Own(graph, [("w", 0)]).compute(extra=5) == [True]
    assert seen == [{"extra": 5}]
    assert Here(graph, [("w", 0)]).compute() == [True]
    assert Numbers(graph, [("w", 0)]).compute() == [False]
    assert Here(graph, [("w", 0)]).compute(scheduler="threads") == [False]
    assert compute(Here(graph, [("w", 0)]), delayed(where)(1)) == ([True], True)


def test_collections_whose_schedulers_differ_are_computed_by_one_that_is_said():
    class Here(Numbers):
        __dask_scheduler__ = staticmethod(local.get_sync)

    both = Numbers({"x": 1}, ["x"]), Here({"y": 2}, ["y"])
    with pytest.raises(ValueError, match="different default schedulers"):
        compute(*both)
    assert compute(*both, scheduler="threads") == ([1], [2])


def test_collections_of_dask_are_computed_by_our_threads():
    def never(dsk, keys, **kwargs):
        raise AssertionError("this is Dask's scheduler")

    members = {"__module__": "dask.bag.core", "__dask_scheduler__": staticmethod(never)}
    bag = type("Bag", (Numbers,), members)({"x": (where, 1)}, ["x"])
    assert compute(bag, Numbers({"y": (where, 1)}, ["y"])) == ([False], [False])


def test_tokens_and_the_rest_are_found_in_base_too():
    assert base.tokenize is oxidask.tokenize
    assert base.normalize_token is oxidask.normalize_token
    for name in base.__all__:
        assert getattr(base, name) is not None


def test_a_graph_with_nested_tasks_runs_in_each_scheduler():
    graph = {"x": 1, "y": (add, (inc, (inc, "x")), (sum, ["x", (inc, "x")]))}
    for name in ("sync", "threads"):
        assert base.get_scheduler(scheduler=name)(graph, ["y", ["x"]]) == (6, (1,))
