"""Helpers for graphs that are dictionaries."""

from __future__ import annotations

import random
from operator import add, mul

import pytest

import oxidask
from oxidask import core, delayed


def inc(x):
    return x + 1


GRAPH = {
    "x": 1,
    "y": (inc, "x"),
    "z": (sum, ["x", (inc, "y")]),
    "w": ["x", "y", 3],
    "v": "x",
    ("t", 0): (add, "y", ("t", 1)),
    ("t", 1): 5,
}


@pytest.mark.covers("istask")
def test_a_task_is_a_tuple_that_begins_with_a_function():
    assert oxidask.istask((inc, 1))
    assert oxidask.istask((inc,))
    for other in [(), (1, inc), [inc, 1], inc, "x", ("x", 0)]:
        assert not oxidask.istask(other)


@pytest.mark.parametrize("key", ["x", b"x", 1, 1.5, ("x", 0), ("x", ("y", 2)), ()])
def test_what_can_be_a_key(key):
    assert core.iskey(key)
    core.validate_key(key)


@pytest.mark.parametrize("key", [None, True, [1], ("x", None), ("x", [1]), (inc, 1), {"x"}])
def test_what_cannot_be_a_key(key):
    assert not core.iskey(key)
    with pytest.raises(TypeError, match="a key is a str"):
        core.validate_key(key)


def test_ishashable():
    assert core.ishashable((1, "x"))
    assert not core.ishashable((1, []))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("x", []),
        ("y", ["x"]),
        ("z", ["x", "y"]),
        ("w", ["x", "y"]),
        ("v", ["x"]),
        (("t", 0), ["y", ("t", 1)]),
    ],
)
def test_dependencies_are_the_keys_in_a_task(key, expected):
    assert core.get_dependencies(GRAPH, key, as_list=True) == expected
    assert core.get_dependencies(GRAPH, key) == set(expected)


def test_dependencies_of_a_task_that_is_not_in_the_graph():
    assert core.get_dependencies(GRAPH, task=(add, "x", "unknown")) == {"x"}
    with pytest.raises(ValueError, match="key of a task"):
        core.get_dependencies(GRAPH)
    with pytest.raises(KeyError):
        core.get_dependencies(GRAPH, "unknown")


def test_values_that_are_no_keys_are_not_taken_for_keys():
    assert core.get_dependencies({1: 2, "x": (str, b"1", "1", None)}, "x") == set()
    # As in any dictionary.
    assert core.get_dependencies({1: 2, "x": (str, True)}, "x") == {1}
    assert core.get({1: 2, "x": (str, True)}, "x") == "2"
    assert core.keys_in_tasks({"x"}, [{"k": "x"}, {"x"}, None, b"y"]) == {"x"}


def test_dependencies_and_dependents():
    dependencies, dependents = core.get_deps(GRAPH)
    assert dependencies["z"] == {"x", "y"}
    assert dependents["x"] == {"y", "z", "w", "v"}
    assert dependents["z"] == set()
    assert core.reverse_dict({"a": ["b", "c"], "b": ["c"], "c": []}) == {
        "a": set(),
        "b": {"a"},
        "c": {"a", "b"},
    }


def test_flatten_looks_into_lists_only():
    assert list(core.flatten([[1, 2], [3, [4]], (5, [6])])) == [1, 2, 3, 4, (5, [6])]
    assert list(core.flatten((1, (2, [3])), container=tuple)) == [1, 2, [3]]
    assert list(core.flatten("abc")) == ["abc"]
    assert list(core.flatten([])) == []


def test_each_key_comes_after_what_it_needs():
    chooser = random.Random(1)
    graph = {0: 1.5}
    for key in range(1, 300):
        graph[key] = (sum, chooser.choices(range(key), k=3))
    shuffled = list(graph)
    chooser.shuffle(shuffled)
    order = core.toposort({key: graph[key] for key in shuffled})
    place = {key: number for number, key in enumerate(order)}
    assert sorted(order) == sorted(graph)
    for key in graph:
        assert all(place[other] < place[key] for other in core.get_dependencies(graph, key))


def test_a_circle_is_found_and_shown():
    graph = {"a": (inc, "b"), "b": (inc, "c"), "c": (inc, "b"), "d": 1}
    assert core.getcycle(graph, "a") == ["b", "c", "b"]
    assert core.getcycle(graph, ["d"]) == []
    assert core.isdag(graph, "d")
    assert not core.isdag(graph, ["d", "a"])
    with pytest.raises(RuntimeError, match="'b' -> 'c' -> 'b'"):
        core.toposort(graph)


def test_a_key_is_replaced_in_lists_and_tasks_but_not_in_other_tuples():
    task = (add, (inc, "x"), ["x", ("x", 0), "y"])
    assert core.subs(task, "x", (inc, 1)) == (add, (inc, (inc, 1)), [(inc, 1), ("x", 0), "y"])
    assert core.subs(task, ("x", 0), 5) == (add, (inc, "x"), ["x", 5, "y"])
    assert core.subs("x", "x", 3) == 3
    assert core.subs((add, 1, {}), 1, 5) == (add, 5, {})


def test_quoted_values_stay_as_they_are():
    for value in [(inc, 1), ["x"], {"k": "x"}]:
        assert core.get({"x": 1, "q": core.quote(value)}, "q") is value
    assert core.quote("x") == "x"
    assert core.literal([1]).data == [1]


def test_the_parts_of_a_task_in_order():
    parts = core.preorder_traversal((add, 1, [2, (mul, 3, 4)]))
    assert list(parts) == [add, 1, list, 2, mul, 3, 4]


def test_get_computes_nested_keys():
    assert core.get(GRAPH, ["x", ["z", [("t", 0)]], "w"]) == (1, (4, (7,)), [1, 2, 3])
    with pytest.raises(NotImplementedError, match="part of the graph"):
        core.get(GRAPH, "x", cache={})


def test_nothing_recurses():
    depth = 20_000
    chain = {key: (inc, key - 1) for key in range(1, depth)} | {0: 0.5}
    assert core.toposort(dict(reversed(chain.items())))[-1] == depth - 1
    nested, keys, task = [], 0, 1
    for _ in range(depth):
        nested, keys, task = [nested], [keys], (inc, task)
    assert list(core.flatten(nested)) == []
    assert core.get_dependencies({1: 2}, task=task) == {1}
    replaced = core.subs(task, 1, "y")
    assert core.get_dependencies({"y": 2}, task=replaced) == {"y"}
    assert sum(1 for _ in core.preorder_traversal(task)) == depth + 1
    result = core.get({0: 7}, keys)
    for _ in range(depth):
        (result,) = result
    assert result == 7


class Task:
    """A task object as other libraries have it: it says what it needs and is called with it."""

    def __init__(self, function, *needed):
        self.function = function
        self.needed = needed

    @property
    def dependencies(self):
        return self.needed

    def substitute(self, renamed):
        return Task(self.function, *(renamed.get(key, key) for key in self.needed))

    def __call__(self, values):
        return self.function(*(values[key] for key in self.needed))


def test_task_objects_of_other_libraries_tell_what_they_need():
    graph = {"x": 1, "y": Task(inc, "x"), "z": [Task(add, "x", "y"), "y"]}
    assert core.get_dependencies(graph, "z", as_list=True) == ["x", "y", "y"]
    assert core.toposort(dict(reversed(graph.items()))) == ["x", "y", "z"]
    assert core.get(graph, "z") == [3, 2]


def test_the_graph_of_a_lazy_value_is_a_graph_like_others():
    x = delayed(inc)(1, dask_key_name="x")
    y = delayed(add)(x, 2, dask_key_name="y")
    assert core.get_dependencies(y.dask, "y") == {"x"}
    assert core.toposort(y.dask) == ["x", "y"]
