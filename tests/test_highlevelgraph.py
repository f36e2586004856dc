"""Graphs in layers."""

from __future__ import annotations

from operator import add

import pytest

import oxidask
from oxidask import annotate, base, compute, delayed
from oxidask.highlevelgraph import HighLevelGraph, Layer, MaterializedLayer


def inc(x):
    return x + 1


@pytest.fixture
def graph():
    return HighLevelGraph(
        {
            "load": {("load", i): i for i in range(3)},
            "inc": {("inc", i): (inc, ("load", i)) for i in range(3)},
            "sum": {"sum": (sum, [("inc", i) for i in range(3)])},
            "other": {"other": (inc, ("load", 0))},
        },
        {"load": set(), "inc": {"load"}, "sum": ["inc"], "other": {"load"}},
    )


class Lazy(base.DaskMethodsMixin):
    def __init__(self, graph, name, keys):
        self._graph, self._name, self._keys = graph, name, keys

    def __dask_graph__(self):
        return self._graph

    def __dask_layers__(self):
        return (self._name,)

    def __dask_keys__(self):
        return self._keys

    def __dask_postcompute__(self):
        return list, ()

    def __dask_tokenize__(self):
        return self._name


def test_it_is_a_mapping_of_all_keys(graph):
    assert len(graph) == 8
    assert graph["sum"][0] is sum
    assert graph[("inc", 1)] == (inc, ("load", 1))
    assert graph[("load", 2)] == 2
    assert ("load", 0) in graph
    assert "nothing" not in graph
    with pytest.raises(KeyError):
        graph["nothing"]
    assert dict(graph) == graph.to_dict() == {key: graph[key] for key in graph}
    assert type(graph.to_dict()) is dict


def test_layers_know_what_they_need(graph):
    assert graph.dependencies["sum"] == {"inc"}
    assert graph.dependents == {
        "load": {"inc", "other"},
        "inc": {"sum"},
        "sum": set(),
        "other": set(),
    }
    assert all(isinstance(layer, MaterializedLayer) for layer in graph.layers.values())
    assert graph.get_all_external_keys() == set(graph)
    assert graph.get_all_dependencies()["sum"] == {("inc", 0), ("inc", 1), ("inc", 2)}
    assert repr(graph).splitlines()[1] == " 0. load: MaterializedLayer"


def test_it_is_computed_like_any_graph(graph):
    assert oxidask.get(graph, ["sum", ["other"]]) == (6, (1,))
    assert oxidask.delayed(sum)(Lazy(graph, "inc", [("inc", 0), ("inc", 2)])).compute() == 4
    assert compute(Lazy(graph, "sum", ["sum"])) == ([6],)


def test_a_new_layer_is_put_on_collections(graph):
    one = Lazy(graph, "sum", ["sum"])
    two = delayed(inc)(1, dask_key_name="two")
    new = HighLevelGraph.from_collections("new", {"new": (add, "sum", "two")}, [one, two])
    assert new.dependencies["new"] == {"sum", "two"}
    assert new.dependencies["sum"] == {"inc"}
    assert new.layers.keys() == {*graph.layers, "two", "new"}
    assert oxidask.get(new, "new") == 8
    new.validate()

    class Plain(base.DaskMethodsMixin):
        def __dask_graph__(self):
            return {("p", 0): 1, ("p", 1): 2}

        def __dask_keys__(self):
            return [("p", 0), ("p", 1)]

    plain = HighLevelGraph.from_collections("new", {"new": (inc, ("p", 1))}, [Plain()])
    assert plain.dependencies == {"p": set(), "new": {"p"}}
    alone = HighLevelGraph.from_collections("alone", {"x": 1})
    assert alone.dependencies == {"alone": set()}
    with pytest.raises(TypeError, match="not a lazy object"):
        HighLevelGraph.from_collections("new", {}, [5])


def test_graphs_are_merged(graph):
    merged = HighLevelGraph.merge(graph, HighLevelGraph({"b": {"y": 2}}, {"b": set()}), {"z": 3})
    assert merged.to_dict() == {**graph, "y": 2, "z": 3}
    assert merged.dependencies["sum"] == {"inc"}
    with pytest.raises(TypeError, match="no graph"):
        HighLevelGraph.merge(graph, 5)


def test_what_is_not_needed_is_culled(graph):
    culled = graph.cull([("inc", 1)])
    assert culled.to_dict() == {("load", 1): 1, ("inc", 1): (inc, ("load", 1))}
    assert culled.dependencies == {"load": set(), "inc": {"load"}}
    assert culled.get_all_dependencies() == {("load", 1): set(), ("inc", 1): {("load", 1)}}
    assert graph.cull("sum").to_dict() == {k: v for k, v in graph.items() if k != "other"}
    assert len(graph) == 8
    assert graph.cull_layers(["other"]).layers.keys() == {"load", "other"}


def test_keys_inside_a_layer_are_culled():
    layer = {"a": 1, "b": (inc, "a"), "c": (inc, "b"), "d": (inc, "a")}
    culled = HighLevelGraph({"one": layer}, {"one": set()}).cull({"c"})
    assert set(culled) == {"a", "b", "c"}


class Squares(Layer):
    """A layer that makes its tasks when asked for."""

    def __init__(self, count):
        super().__init__()
        self.count = count
        self.made = []

    def __getitem__(self, key):
        if key not in list(self):
            raise KeyError(key)
        self.made.append(key)
        return (pow, key[1], 2)

    def __iter__(self):
        return (("square", i) for i in range(self.count))

    def __len__(self):
        return self.count

    def is_materialized(self):
        return False


def test_a_layer_may_make_its_tasks_late():
    layer = Squares(1000)
    graph = HighLevelGraph({"square": layer}, {"square": set()})
    assert layer.made == []
    assert oxidask.get(graph.cull([("square", 3)]), ("square", 3)) == 9
    assert set(layer.made) == {("square", 3)}


def test_layers_keep_the_annotations_in_force():
    with annotate(priority=3):
        layer = MaterializedLayer({"x": 1}, annotations={"retries": 2})
    assert layer.annotations == {"priority": 3, "retries": 2}
    assert MaterializedLayer({"x": 1}).annotations is None


def test_wrong_dependencies_are_errors(graph):
    graph.validate()
    graph.dependencies["sum"] = {"load"}
    with pytest.raises(ValueError, match=r"'sum' is said to need \['load'\]"):
        graph.validate()
    graph.dependencies["sum"] = {"nothing"}
    with pytest.raises(ValueError, match="'nothing' is missing"):
        graph.validate()
    del graph.dependencies["sum"]
    with pytest.raises(ValueError, match="'sum' has no dependencies"):
        graph.validate()


def test_layers_are_drawn(graph):
    svg = graph.visualize(filename=None).svg
    for name in graph.layers:
        assert name in svg


def test_a_copy_has_the_same_layers(graph):
    copied = graph.copy()
    copied.layers["new"] = MaterializedLayer({"new": 1})
    assert "new" not in graph.layers
    assert dict(graph) == {key: task for key, task in copied.items() if key != "new"}
