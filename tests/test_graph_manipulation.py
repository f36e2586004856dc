"""clone, bind, checkpoint, wait_on: which keys change, who waits for whom, what stays shared."""

import subprocess
import sys
import threading
from operator import add

import pytest

import oxidask
from oxidask import annotate, compute, delayed
from oxidask.delayed import Delayed
from oxidask.graph_manipulation import bind, checkpoint, clone, wait_on


def inc(x):
    return x + 1


class Blocks:
    """A collection of another library: some blocks of one name, in a graph that is a dictionary."""

    def __init__(self, graph, name, count):
        self.graph, self.name, self.count = graph, name, count

    def __dask_graph__(self):
        return self.graph

    def __dask_keys__(self):
        return [[(self.name, i)] for i in range(self.count)]

    def __dask_postcompute__(self):
        return (lambda results: [one for (one,) in results]), ()

    def __dask_postpersist__(self):
        return self._rebuild, (self.count,)

    def _rebuild(self, graph, count, *, rename=None):
        name = self.name if rename is None else rename.get(self.name, self.name)
        return Blocks(graph, name, count)


def blocks(count=3):
    graph = {("load-1", i): i for i in range(count)}
    graph.update({("inc-2", i): (inc, ("load-1", i)) for i in range(count)})
    graph.update(
        {("sum-3", i): (sum, [("inc-2", i), (add, 1, ("inc-2", i))]) for i in range(count)}
    )
    return Blocks(graph, "sum-3", count)


def keys(lazy):
    return set(lazy.__dask_graph__())


def total():
    a = delayed(inc)(1, dask_key_name="a")
    b = delayed(inc)(a, dask_key_name="b-2")
    return a, b, delayed(sum)([a, b, b], dask_key_name="total")


# ---- clone ----


@pytest.mark.covers("graph_manipulation.clone")
def test_clones_share_no_task_and_have_equal_values():
    *_, whole = total()
    copy = clone(whole)
    assert isinstance(copy, Delayed)
    assert keys(copy) & keys(whole) == set()
    assert len(keys(copy)) == 3
    assert compute(whole, copy) == (8, 8)


def test_clones_keep_their_prefix():
    a, b, whole = total()
    random = delayed(inc)(1)
    pure = delayed(inc, pure=True)(1)
    for lazy, prefix in [(a, "a-"), (b, "b-"), (whole, "total-"), (random, "inc-"), (pure, "inc-")]:
        assert clone(lazy).key.startswith(prefix)
        assert clone(lazy).key != lazy.key
    name, number = clone(delayed(inc)(1, dask_key_name=("t", 5))).key
    assert name.startswith("t-")
    assert number == 5
    assert clone(delayed(inc)(1, dask_key_name=7)).key.startswith("int-")


def test_equal_seeds_give_equal_keys():
    *_, whole = total()
    assert clone(whole, seed=1).key == clone(whole, seed=1).key
    assert clone(whole, seed=1).key != clone(whole, seed=2).key
    assert clone(whole, seed=b"x").key == clone(whole, seed=b"x").key
    assert clone(whole).key != clone(whole).key
    assert keys(clone(blocks(), seed=1)) == keys(clone(blocks(), seed=1))


def test_keys_of_a_seed_are_the_same_in_another_process():
    script = (
        "from oxidask import delayed; from oxidask.graph_manipulation import clone;"
        "print(clone(delayed(abs)(1, dask_key_name='a'), seed=5).key)"
    )
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == clone(delayed(abs)(1, dask_key_name="a"), seed=5).key


def test_what_is_omitted_stays_shared():
    a, _, whole = total()
    copy = clone(whole, omit=a)
    assert keys(copy) & keys(whole) == {"a"}
    assert len(keys(copy)) == 3
    assert clone(whole, omit=[{"x": whole}]).key == "total"


def test_omitted_tasks_are_told_by_key_not_by_object():
    _, b, whole = total()
    other = delayed(inc)(delayed(inc)(1, dask_key_name="a"), dask_key_name="b-2")
    assert keys(clone(whole, omit=other)) & keys(whole) == {"a", "b-2"}
    assert keys(clone(whole, omit=b)) & keys(whole) == {"a", "b-2"}


def test_containers_and_other_values_keep_their_place():
    a, b, _ = total()
    x, (y, rest) = clone(a, [{"b": b}, 5])
    assert isinstance(x, Delayed)
    assert compute(y["b"], rest) == (3, 5)
    assert clone() == ()
    assert clone(5) == 5


def test_clones_of_several_share_what_the_originals_shared():
    a, b, whole = total()
    copies = clone(a, b, whole)
    assert len(keys(copies[2])) == 3
    assert {one.key for one in copies} == keys(copies[2])


def test_clones_keep_length_annotations_and_origin():
    with annotate(retries=2):
        pair = delayed(divmod, nout=2)(7, 2)
    copy = clone(pair)
    assert len(copy) == 2
    assert copy._annotations == {"retries": 2}
    assert copy._origin == pair._origin
    quotient, rest = copy
    assert compute(quotient, rest) == (3, 1)


def test_a_cloned_function_can_be_called():
    function = clone(delayed(inc))
    assert function(1).compute() == 2
    method = clone(delayed("a b").split)
    assert method().compute() == ["a", "b"]


def test_inputs_of_one_key_stay_one_task():
    one, other = (delayed(inc)(1, dask_key_name="same") for _ in range(2))
    both = delayed(add)(one, other)
    assert len(keys(both)) == 2
    copy = clone(both)
    assert len(keys(copy)) == 2
    assert copy.compute() == 4


# ---- bind ----


@pytest.mark.covers("graph_manipulation.bind")
def test_children_run_after_parents():
    log = []
    parents = [delayed(log.append)(i) for i in range(20)]
    first = delayed(lambda: len(log))()
    second = delayed(lambda x: x)(first)
    for _ in range(5):
        log.clear()
        assert bind(second, parents).compute() == 20


def test_only_tasks_without_renamed_inputs_wait_themselves():
    a, _, whole = total()
    parent = delayed(inc)(5, dask_key_name="parent")
    bound = bind(whole, parent)
    # parent, its checkpoint, and the three tasks.
    assert len(keys(bound)) == 5
    tied = [key for key, task in bound.dask.items() if "checkpoint" in str(task)]
    assert [key.partition("-")[0] for key in tied if not key.startswith("checkpoint")] == ["a"]
    assert bound.compute() == 8
    bound = bind(whole, parent, omit=a)
    assert keys(bound) & keys(whole) == {"a"}
    tied = [key for key, task in bound.dask.items() if "checkpoint" in str(task)]
    assert [key.partition("-")[0] for key in tied if not key.startswith("checkpoint")] == ["b"]
    assert bound.compute() == 8


def test_bound_tasks_keep_their_group_and_prefix():
    children = [delayed(inc)(i) for i in range(3)]
    bound = bind(children, delayed(inc)(5))
    assert all(child.key.startswith("inc-") for child in bound)
    assert {child._prefix for child in bound} == {"inc"}
    assert compute(*bound) == (1, 2, 3)


def test_binding_keeps_containers_and_takes_any():
    a, b, *_ = total()
    bound = bind([a, {"b": b}], {"parents": [delayed(inc)(1)]})
    assert compute(bound) == ([2, {"b": 3}],)
    assert bind(5, a) == 5
    assert bind(a, 5).compute() == 2
    assert bind(a, None).compute() == 2


def test_a_parent_may_be_among_what_the_child_needs():
    a, _, whole = total()
    bound = bind(whole, a, omit=a)
    assert bound.compute() == 8
    bound = bind(whole, a)
    assert len(keys(bound)) == 5
    assert bound.compute() == 8


# ---- checkpoint ----


@pytest.mark.covers("graph_manipulation.checkpoint")
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 65, 300])
@pytest.mark.parametrize("split_every", [None, False, 2, 3])
def test_a_checkpoint_is_none_when_all_have_run(count, split_every):
    log = []
    done = checkpoint([delayed(log.append)(i) for i in range(count)], split_every=split_every)
    assert done.compute() is None
    assert sorted(log) == list(range(count))


def test_tasks_of_a_checkpoint_wait_for_as_many_as_is_said():
    parts = [delayed(inc)(i) for i in range(100)]
    for split_every, most in [(None, 8), (2, 2), (7, 7), (False, 100)]:
        graph = checkpoint(*parts, split_every=split_every).dask
        assert max(len(task) - 1 for task in graph.values()) == most


def test_a_checkpoint_keeps_no_result():
    alive, most = [0], [0]
    lock = threading.Lock()

    class Value:
        def __init__(self, i):
            with lock:
                alive[0] += 1
                most[0] = max(most[0], alive[0])

        def __del__(self):
            with lock:
                alive[0] -= 1

    checkpoint(*[delayed(Value)(i) for i in range(200)]).compute(scheduler="sync")
    assert most[0] <= 2


@pytest.mark.parametrize("split_every", [1, 0, -1, True])
def test_a_checkpoint_of_less_than_two_is_refused(split_every):
    with pytest.raises(ValueError, match="split_every"):
        checkpoint(delayed(inc)(1), split_every=split_every)


def test_equal_checkpoints_have_one_key():
    a, b, _ = total()
    assert checkpoint(a, b).key == checkpoint(a, b).key
    assert checkpoint(a, b).key != checkpoint(b).key
    assert checkpoint(a).key.startswith("checkpoint-")


# ---- wait_on ----


@pytest.mark.covers("graph_manipulation.wait_on")
def test_nothing_goes_on_before_all_are_there():
    log = []
    parts = [delayed(log.append)(i) for i in range(20)]
    seen = [delayed(lambda x: len(log))(part) for part in wait_on(*parts)]
    assert compute(*seen) == (20,) * 20


def test_waiting_keeps_values_lengths_and_containers():
    pair = delayed(divmod, nout=2)(7, 2)
    waiting, (one, five) = wait_on(pair, [delayed(inc)(0), 5])
    assert len(waiting) == 2
    assert compute(waiting, one, five) == ((3, 1), 1, 5)
    assert waiting.key.startswith("wait_on-")
    assert isinstance(wait_on(pair), Delayed)
    assert wait_on(5) == 5
    assert wait_on() == ()


# ---- Collections of other libraries ----


def test_a_collection_is_cloned_under_other_keys():
    lazy = blocks()
    copy = clone(lazy)
    assert isinstance(copy, Blocks)
    assert copy.name.startswith("sum-")
    assert keys(copy) & keys(lazy) == set()
    assert len(keys(copy)) == 9
    assert compute(lazy, copy) == ([3, 5, 7], [3, 5, 7])


def test_a_collection_shares_what_is_omitted():
    lazy = blocks()
    loads = Blocks(lazy.graph, "load-1", 3)
    loads.graph = {key: task for key, task in lazy.graph.items() if key[0] == "load-1"}
    copy = clone(lazy, omit=loads)
    assert keys(copy) & keys(lazy) == {("load-1", i) for i in range(3)}
    assert compute(copy) == ([3, 5, 7],)


def test_a_collection_is_bound_to_tasks_and_tasks_to_a_collection():
    log = []
    parents = [delayed(log.append)(i) for i in range(10)]
    graph = {("seen", i): (lambda: len(log),) for i in range(3)}
    for _ in range(5):
        log.clear()
        assert compute(bind(Blocks(graph, "seen", 3), parents)) == ([10, 10, 10],)
    graph = {("note", i): (log.append, i) for i in range(3)}
    log.clear()
    seen = delayed(lambda: len(log))()
    assert bind(seen, Blocks(graph, "note", 3)).compute() == 3


def test_a_collection_waits_and_is_waited_for():
    log = []
    graph = {("note", i): (log.append, i) for i in range(3)}
    lazy, one = wait_on(Blocks(graph, "note", 3), delayed(log.append)(3))
    assert isinstance(lazy, Blocks)
    assert lazy.name.startswith("wait_on-")
    seen = delayed(lambda *_: len(log))(lazy, one)
    assert seen.compute() == 4
    assert checkpoint(blocks()).compute() is None


def test_tasks_of_lazy_values_in_other_graphs_run_once():
    log = []
    note = delayed(log.append)(1)
    graph = {**note.dask, ("x", 0): (list, [note.key])}
    lazy = Blocks(graph, "x", 1)
    assert compute(lazy, note) == ([[None]], None)
    assert compute(note, lazy) == (None, [[None]])
    assert log == [1, 1]
    # Keys that end alike are not the same.
    other = "other" + note.key.removeprefix("append")
    assert compute(note, Blocks({other: 5, ("x", 0): (list, [other])}, "x", 1)) == (None, [[5]])
    assert keys(clone(delayed(list)([note]), omit=lazy)) & keys(note) == {note.key}


def test_a_delayed_that_uses_a_collection_omits_its_tasks():
    lazy = blocks()
    whole = delayed(sum)(lazy)
    assert whole.compute() == 15
    copy = clone(whole, omit=lazy)
    assert keys(copy) & keys(whole) == keys(lazy)
    assert copy.compute() == 15


def test_task_objects_of_other_libraries_are_renamed():
    class Task:
        def __init__(self, function, *inputs):
            self.function, self.inputs = function, inputs

        @property
        def dependencies(self):
            return set(self.inputs)

        def substitute(self, names, key=None):
            return Task(self.function, *[names.get(one, one) for one in self.inputs])

        def __call__(self, values):
            return self.function(*[values[one] for one in self.inputs])

    graph = {
        ("a", 0): Task(lambda: 1),
        ("b", 0): Task(inc, ("a", 0)),
        ("c", 0): [Task(inc, ("b", 0))],
    }
    copy = clone(Blocks(graph, "c", 1))
    assert keys(copy) & set(graph) == set()
    assert compute(copy) == ([[3]],)
    bound = bind(Blocks(graph, "c", 1), delayed(inc)(1))
    assert compute(bound) == ([[3]],)


def test_task_objects_of_other_libraries_do_not_stand_bare_in_graphs():
    class Task:
        dependencies = frozenset()

        def substitute(self, names, key=None):
            return self

        def __call__(self, values):
            return 1

    lazy = Blocks({("a", 0): Task()}, "a", 1)
    graph = dict(checkpoint(lazy).dask)
    # Whoever reads the graph as tuples would run it in the place of an argument.
    assert not any(isinstance(part, Task) for task in graph.values() for part in task)
    assert oxidask.get(graph, ("a", 0)) == 1


def test_get_takes_what_has_a_graph():
    assert oxidask.get(blocks(), [("sum-3", 0), ("sum-3", 1)]) == (3, 5)


def test_odd_values_in_graphs_stay_as_they_are():
    graph = {("x", 0): (list, ("y", [1])), ("x", 1): {"a": 1}, ("x", 2): True}
    copy = clone(Blocks(graph, "x", 3))
    assert compute(copy) == ([["y", [1]], {"a": 1}, True],)


# ---- Size ----


def test_long_chains_and_wide_graphs_work():
    value = delayed(inc)(0)
    for _ in range(100_000):
        value = delayed(inc)(value)
    parent = delayed(inc)(1)
    assert bind(value, parent).compute() == 100_001
    assert clone(value, omit=value).key == value.key
    wide = [delayed(inc)(i) for i in range(20_000)]
    copies = clone(wide)
    assert compute(copies[-1]) == (20_000,)
    deep = {f"k-{i}": (inc, f"k-{i - 1}") if i else 0 for i in range(20_000)}

    class One(Blocks):
        def __dask_keys__(self):
            return [self.name]

        def __dask_postcompute__(self):
            return (lambda results: results[0]), ()

        def _rebuild(self, graph, count, *, rename=None):
            return One(graph, rename.get(self.name, self.name), count)

    assert compute(clone(One(deep, "k-19999", 1))) == (19_999,)


def test_a_graph_of_deeply_nested_calls_is_cloned():
    task = 0
    for _ in range(5000):
        task = (inc, task)
    copy = clone(Blocks({("x", 0): task}, "x", 1))
    assert compute(copy) == ([5000],)
    assert oxidask.get(dict(copy.graph), [(copy.name, 0)]) == (5000,)
