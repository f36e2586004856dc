"""`oxidask.order.order`: ranks of graphs that are dictionaries, and of lazy values."""

from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxidask import delayed
from oxidask.order import order


def assert_valid(ranks, dependencies):
    """Ranks count the keys, and each key comes behind what it needs."""
    assert sorted(ranks.values()) == list(range(len(dependencies)))
    for key, needed in dependencies.items():
        assert all(ranks[other] < ranks[key] for other in needed)


def test_each_key_gets_a_rank_behind_what_it_needs():
    ranks = order({"sum": (sum, ["b", ("x", 1)]), ("x", 1): 5, "b": (add, ("x", 1), 1)})
    assert ranks == {("x", 1): 0, "b": 1, "sum": 2}


def test_nested_calls_and_aliases_count_as_needs():
    graph = {"c": (sum, [(add, "a", "b"), 1]), "a": "alias", "alias": 1, "b": 2}
    assert_valid(order(graph), {"c": ["a", "b"], "a": ["alias"], "alias": [], "b": []})


def test_an_empty_graph_has_no_ranks():
    assert order({}) == {}


def test_a_lazy_value_has_ranks_for_its_graph():
    total = delayed(sum)([delayed(abs)(-1), delayed(abs)(-2)])
    ranks = order(total.dask)
    assert set(ranks) == set(total.dask)
    assert ranks[total.key] == len(total.dask) - 1


def test_a_tree_is_reduced_as_soon_as_parts_of_it_are_there():
    graph = {("x", i): (abs, i) for i in range(4)}
    graph |= {("pair", i): (add, ("x", 2 * i), ("x", 2 * i + 1)) for i in range(2)}
    graph["sum"] = (add, ("pair", 0), ("pair", 1))
    ranks = order(graph)
    first, second = sorted([ranks["pair", 0], ranks["pair", 1]])
    assert (first, second, ranks["sum"]) == (2, 5, 6)


def test_given_dependencies_are_taken_instead_of_the_tasks():
    ranks = order({"a": object(), "b": object()}, dependencies={"a": {"b"}, "b": set()})
    assert ranks == {"b": 0, "a": 1}


def test_needs_that_are_not_in_the_graph_are_taken_to_be_there():
    assert order({"a": 1}, dependencies={"a": ["known elsewhere"]}) == {"a": 0}


def test_dependencies_must_name_each_key():
    with pytest.raises(ValueError, match=r"order: the key 'b' is not in dependencies; give"):
        order({"a": 1, "b": 1}, dependencies={"a": []})


@pytest.mark.parametrize(
    "arguments",
    [({"a": (abs, "b"), "b": (abs, "a")},), ({"a": 1, "b": 2}, {"a": ["b"], "b": ["a"]})],
    ids=["tasks", "dependencies"],
)
def test_a_cycle_is_an_error_that_names_it(arguments):
    with pytest.raises(RuntimeError, match="the graph has a cycle: 'a' needs 'b' needs 'a'"):
        order(*arguments)


def test_what_is_no_graph_is_refused():
    with pytest.raises(TypeError, match="a graph is a mapping from keys to tasks, not 5"):
        order(5)


def test_statistics_are_not_there():
    with pytest.raises(NotImplementedError, match="leave return_stats out"):
        order({}, return_stats=True)


@given(st.lists(st.lists(st.integers(0, 100), max_size=4), max_size=40))
def test_orders_of_random_graphs_are_valid(rows):
    dependencies = {
        f"k{i}": sorted({f"k{number % i}" for number in row} if i else ())
        for i, row in enumerate(rows)
    }
    graph = {key: (len, [*needed]) for key, needed in dependencies.items()}
    ranks = order(graph)
    assert_valid(ranks, dependencies)
    assert order(dict.fromkeys(graph), dependencies=dependencies) == ranks


def test_a_chain_of_many_tasks_is_ordered():
    graph = {f"x{i}": (abs, f"x{i - 1}") for i in range(1, 100_000)} | {"x0": -1}
    assert order(graph) == {f"x{i}": i for i in range(100_000)}


def test_the_sync_scheduler_runs_in_this_order():
    ran = []

    @delayed
    def note(name, *inputs):
        ran.append(name)

    parts = [note(f"x{i}", dask_key_name=f"x{i}") for i in range(9)]
    pairs = [note(f"y{i}", parts[i], parts[-i], dask_key_name=f"y{i}") for i in range(5)]
    total = note("sum", *pairs, dask_key_name="sum")
    total.compute(scheduler="sync")
    ranks = order(total.dask)
    assert ran == sorted(ranks, key=ranks.get)
