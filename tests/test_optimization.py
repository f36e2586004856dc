"""Optimisations of graphs that are dictionaries: less is left, results stay."""

from __future__ import annotations

import random
from functools import partial
from operator import add, mul

import pytest

import oxidask
from oxidask import config, optimization
from oxidask.core import get_dependencies
from oxidask.optimization import (
    cull,
    functions_of,
    fuse,
    fuse_linear,
    inline,
    inline_functions,
)


def inc(x):
    return x + 1


def dbl(x):
    return 2 * x


GRAPH = {
    "x": 1,
    "y": (inc, "x"),
    "z": (add, "y", 10),
    "w": (dbl, (inc, "y")),
    "out": (add, "z", "w"),
    "dead": (inc, "out"),
}


def random_graph(seed):
    chooser = random.Random(seed)
    graph = {}
    for number in range(40):
        key = chooser.choice([f"k-{number}", ("k", number)])
        inputs = chooser.choices(list(graph), k=chooser.randint(1, 3)) if graph else []
        if not inputs or chooser.random() < 0.1:
            graph[key] = number
        elif chooser.random() < 0.1:
            graph[key] = inputs[0]
        elif len(inputs) == 1:
            graph[key] = (chooser.choice([inc, dbl]), inputs[0])
        else:
            graph[key] = (sum, [inputs[0], (inc, inputs[1]), *inputs[2:]])
    return graph, chooser.sample(list(graph), 5)


OPTIMISATIONS = {
    "cull": lambda graph, keys: cull(graph, keys)[0],
    "inline": lambda graph, keys: inline(graph, keys[:2]),
    "inline_functions": lambda graph, keys: inline_functions(graph, keys, [inc], True),
    "fuse_linear": lambda graph, keys: fuse_linear(graph, keys)[0],
    "fuse_linear, no names": lambda graph, keys: fuse_linear(graph, keys, rename_keys=False)[0],
    "fuse": lambda graph, keys: fuse(graph, keys)[0],
    "fuse widely": lambda graph, keys: fuse(graph, keys, ave_width=5)[0],
    "all": lambda graph, keys: fuse(inline_functions(cull(graph, keys)[0], keys, [dbl]), keys)[0],
}


@pytest.mark.parametrize("name", OPTIMISATIONS)
def test_results_stay_and_the_graph_that_was_given_too(name):
    for seed in range(20):
        graph, keys = random_graph(seed)
        before = dict(graph)
        optimised = OPTIMISATIONS[name](graph, keys)
        assert oxidask.get(optimised, keys) == oxidask.get(graph, keys), seed
        assert graph == before
        assert list(graph) == list(before)


@pytest.mark.parametrize("function", [fuse_linear, fuse, partial(fuse, ave_width=5)])
def test_the_dependencies_returned_are_those_of_the_new_graph(function):
    for seed in range(20):
        graph, keys = random_graph(seed)
        fused, dependencies = function(graph, keys)
        assert dependencies == {key: get_dependencies(fused, key) for key in fused}


def test_what_is_not_needed_is_culled():
    graph, dependencies = cull(GRAPH, ["z", ["w"]])
    assert set(graph) == {"x", "y", "z", "w"}
    assert dependencies == {"z": ["y"], "w": ["y"], "y": ["x"], "x": []}
    assert cull(GRAPH, []) == ({}, {})
    assert set(cull(GRAPH, "y")[0]) == {"x", "y"}
    with pytest.raises(KeyError):
        cull(GRAPH, ["unknown"])


def test_constants_and_chosen_keys_are_inlined():
    assert inline(GRAPH) == {**GRAPH, "y": (inc, 1)}
    assert inline(GRAPH, ["y", "w"], inline_constants=False) == {
        "x": 1,
        "y": (inc, "x"),
        "z": (add, (inc, "x"), 10),
        "w": (dbl, (inc, (inc, "x"))),
        "out": (add, "z", (dbl, (inc, (inc, "x")))),
        "dead": (inc, "out"),
    }
    assert inline({"x": 1, "y": "x", "z": (add, "y", 1)}) == {"x": 1, "y": 1, "z": (add, 1, 1)}


def test_cheap_functions_are_inlined():
    assert inline_functions(GRAPH, ["out"], [inc]) == {
        "x": 1,
        "z": (add, (inc, "x"), 10),
        "w": (dbl, (inc, (inc, "x"))),
        "out": (add, "z", "w"),
        "dead": (inc, "out"),
    }
    assert inline_functions(GRAPH, ["y", "out"], [inc])["y"] == (inc, "x")
    assert inline_functions(GRAPH, ["out"]) == GRAPH
    graph = {"x": 1, "y": (partial(add, 1), "x"), "z": (dbl, "y")}
    assert set(inline_functions(graph, ["z"], [add])) == {"x", "z"}


def test_functions_of_a_task():
    assert functions_of((add, (inc, 1), [(dbl, 2)])) == {add, inc, dbl}
    assert functions_of((partial(partial(add, 1)), 2)) == {add}
    assert functions_of("x") == set()


CHAIN = {"inc-1": (inc, 1), "dbl-2": (dbl, "inc-1"), "add-3": (add, "dbl-2", 3)}


def test_a_chain_becomes_one_task():
    whole = (add, (dbl, (inc, 1)), 3)
    for function in (fuse, fuse_linear):
        graph, _ = function(CHAIN, rename_keys=False)
        assert graph == {"add-3": whole}
        graph, _ = function(CHAIN, keys=["dbl-2"], rename_keys=False)
        assert graph == {"dbl-2": (dbl, (inc, 1)), "add-3": (add, "dbl-2", 3)}
    assert fuse(CHAIN)[0] == {"add-3": "dbl-inc-add-3", "dbl-inc-add-3": whole}
    assert fuse_linear(CHAIN)[0] == {"add-3": "inc-dbl-add-3", "inc-dbl-add-3": whole}


def test_the_user_may_name_what_was_fused():
    seen = []

    def name(keys):
        seen.append(list(keys))
        return "mine"

    assert set(fuse(CHAIN, rename_keys=name)[0]) == {"add-3", "mine"}
    assert set(fuse_linear(CHAIN, rename_keys=name)[0]) == {"add-3", "mine"}
    assert seen == [["inc-1", "dbl-2", "add-3"], ["add-3", "dbl-2", "inc-1"]]


def test_indices_of_keys_stay_in_names():
    graph = {("a", 0): (inc, 1), ("b", 0): (dbl, ("a", 0)), ("c", 0): (inc, ("b", 0))}
    assert fuse(graph)[0][("c", 0)] == ("a-b-c", 0)
    assert optimization.default_fused_keys_renamer([1, 2]) is None
    long = optimization.default_fused_keys_renamer(["x" * 150, "y-1"])
    assert len(long) == 120
    assert long != optimization.default_fused_keys_renamer(["x" * 151, "y-1"])


def tree(depth):
    graph = {}
    for level in range(depth + 1):
        for i in range(2 ** (depth - level)):
            below = (level - 1, 2 * i), (level - 1, 2 * i + 1)
            graph[level, i] = (add, *below) if level else (inc, i)
    return graph


@pytest.mark.parametrize(
    ("ave_width", "left"), [(1, 15), (1.9, 15), (2, 7), (3, 3), (4, 3), (8, 1)]
)
def test_the_average_width_says_how_much_of_a_tree_becomes_one_task(ave_width, left):
    graph, _ = fuse(tree(3), rename_keys=False, ave_width=ave_width)
    assert len(graph) == left
    assert oxidask.get(graph, (3, 0)) == oxidask.get(tree(3), (3, 0))


def test_the_limits_of_what_becomes_one_task():
    def left(**limits):
        return len(fuse(tree(3), rename_keys=False, ave_width=8, **limits)[0])

    assert [left(max_width=width) for width in (1, 2, 3, 4, 8)] == [15, 5, 5, 3, 1]
    assert [left(max_height=height) for height in (1, 2, 3)] == [5, 3, 1]
    # Inputs that others need too come in at each level.
    shared = {f"s{i}": (inc, i) for i in range(4)}
    graph = {**shared, "f0": (inc, "s0"), "all": list(shared)}
    graph |= {f"f{i}": (mul, f"f{i - 1}", f"s{i}") for i in range(1, 4)}
    assert "f0" in fuse(graph, rename_keys=False)[0]
    deep = fuse(graph, rename_keys=False, ave_width=3, max_depth_new_edges=5)[0]
    assert {"f0", "f1", "f2"} & set(deep) == set()


def test_what_is_not_said_is_read_from_the_settings():
    with config.set({"optimization.fuse.ave-width": 8, "optimization.fuse.rename-keys": False}):
        assert len(fuse(tree(3))[0]) == 1


def test_a_key_that_is_needed_inside_a_dictionary_stays():
    graph = {"x": (inc, 1), "y": (inc, {"k": "x"})}
    for function in (fuse, fuse_linear):
        assert "x" in function(graph, rename_keys=False)[0]


def test_a_long_chain_is_fused_without_recursion():
    graph = {key: (inc, key - 1) for key in range(1, 20_000)} | {0: 0.5}
    fused, _ = fuse(graph, keys=[19_999], rename_keys=False)
    assert list(fused) == [19_999]
    assert oxidask.get(fused, 19_999) == 19_999.5
