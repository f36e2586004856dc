"""Delayed, from the outside: making tasks, and the values that come out of them."""

import collections
import copy
import dataclasses
import inspect
import operator
import pickle
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Mapping

import numpy as np
import pytest

import oxidask
from oxidask import compute, config, delayed, is_dask_collection, persist
from oxidask.delayed import Delayed


def inc(i):
    return i + 1


def add(a, b=0):
    return a + b


def everything(*args, **kwargs):
    """Return what it is called with."""
    return args, kwargs


@dataclasses.dataclass
class Point:
    x: object
    y: object = 0


@dataclasses.dataclass(frozen=True)
class FrozenPoint:
    x: object
    y: object = 0


@dataclasses.dataclass
class Derived:
    x: object
    doubled: object = dataclasses.field(init=False, default=None)

    def __post_init__(self):
        if not isinstance(self.x, Delayed):
            self.doubled = "made by __post_init__"


Pair = collections.namedtuple("Pair", "first second")


class Box:
    """An object with an item, an attribute and methods."""

    def __init__(self, value):
        self.value = value

    def plus(self, other, factor=1):
        return self.value + factor * other

    def __getitem__(self, index):
        return self.value, index

    def __eq__(self, other):
        return isinstance(other, Box) and self.value == other.value

    __hash__ = None


@pytest.fixture
def three():
    return delayed(3)


# ---- Making them ----


@pytest.mark.covers("delayed.delayed")
def test_delayed_is_a_function_though_a_module_has_its_name():
    assert oxidask.delayed is delayed
    assert oxidask.delayed is not sys.modules["oxidask.delayed"]
    assert sys.modules["oxidask.delayed"].Delayed is Delayed
    assert inspect.isfunction(oxidask.delayed)


@pytest.mark.covers("delayed")
def test_the_signature_of_delayed_is_that_of_dask():
    assert list(inspect.signature(delayed).parameters) == [
        "obj",
        "name",
        "pure",
        "nout",
        "traverse",
    ]


@pytest.mark.covers("delayed.Delayed.compute")
def test_a_decorated_function_makes_tasks():
    @delayed
    def triple(x):
        return 3 * x

    assert isinstance(triple, Delayed)
    assert isinstance(triple(2), Delayed)
    assert triple(2).compute() == 6


def test_a_decorator_takes_arguments():
    @delayed(pure=True, nout=2)
    def halves(x):
        return x / 2, x / 2

    left, right = halves(4)
    assert compute(left, right) == (2, 2)
    assert halves(4).key == halves(4).key


def test_a_decorator_takes_no_arguments_in_brackets():
    @delayed()
    def same(x):
        return x

    assert same(1).compute() == 1


def test_nothing_runs_before_compute():
    calls = []
    task = delayed(calls.append)(1)
    assert calls == []
    task.compute()
    assert calls == [1]


@pytest.mark.parametrize(
    "value", [1, "text", None, [1, [2]], {"a": 1}, (), {1, 2}, 2.5, b"x", range(3), Box(3), int]
)
def test_a_wrapped_value_comes_back_equal(value):
    assert delayed(value).compute() == value


def test_a_delayed_that_is_wrapped_again_is_the_same_value(three):
    assert delayed(three).compute() == 3
    assert delayed(three).key == three.key


@pytest.mark.covers("delayed.Delayed.key")
def test_a_name_is_the_key_of_the_leaf():
    assert delayed(1, name="one").key == "one"
    assert delayed([1, 2], name=("list", 0)).compute() == [1, 2]
    assert delayed([1, 2], name=("list", 0)).key == ("list", 0)


@pytest.mark.parametrize("name", [[1], {}, object(), ("a", [1])])
def test_a_name_that_cannot_be_a_key_is_an_error(name):
    with pytest.raises(TypeError, match="key"):
        delayed(1, name=name)


def test_keys_begin_with_the_name_of_the_function():
    assert delayed(inc)(1).key.startswith("inc-")


def test_an_equal_value_has_an_equal_key_if_pure():
    assert delayed([1, 2], pure=True).key == delayed([1, 2], pure=True).key
    assert delayed([1, 2], pure=True).key != delayed([1, 3], pure=True).key


# ---- pure, nout, names ----


def test_impure_calls_are_tasks_of_their_own():
    assert delayed(inc)(1).key != delayed(inc)(1).key


def test_pure_calls_with_equal_arguments_are_one_task():
    pure_inc = delayed(inc, pure=True)
    assert pure_inc(1).key == pure_inc(1).key
    assert pure_inc(1).key != pure_inc(2).key
    assert pure_inc(pure_inc(1)).key == pure_inc(pure_inc(1)).key
    assert pure_inc(1).key != delayed(add, pure=True)(1).key


def test_pure_in_the_call_wins_over_pure_of_the_function():
    assert delayed(inc)(1, pure=True).key == delayed(inc)(1, pure=True).key
    pure_inc = delayed(inc, pure=True)
    assert pure_inc(1, pure=False).key != pure_inc(1, pure=False).key


def test_pure_does_not_reach_the_function():
    assert delayed(everything)(1, pure=True, z=2).compute() == ((1,), {"z": 2})


def test_keyword_arguments_are_told_from_positional_ones():
    pure_add = delayed(add, pure=True)
    assert pure_add(1, b=2).key != pure_add(1, 2, 3).key
    assert delayed(everything, pure=True)(1, 2).key != delayed(everything, pure=True)(1, x=2).key
    assert pure_add(1, b=2).compute() == 3


def test_equal_pure_calls_run_once():
    calls = []

    @delayed(pure=True)
    def noted(x):
        calls.append(x)
        return x

    assert compute(noted(1), noted(1), [noted(1)], noted(2)) == (1, 1, [1], 2)
    assert sorted(calls) == [1, 2]


def test_equal_impure_calls_run_each():
    calls = []
    noted = delayed(calls.append)
    compute(noted(1), noted(1))
    assert calls == [1, 1]


def test_the_setting_delayed_pure_decides_where_nothing_was_said():
    with config.set(delayed_pure=True):
        assert delayed(inc)(1).key == delayed(inc)(1).key
        assert delayed(inc, pure=False)(1).key != delayed(inc, pure=False)(1).key
    assert delayed(inc)(1).key != delayed(inc)(1).key


def test_dask_key_name_is_the_key_and_does_not_reach_the_function():
    task = delayed(everything)(1, z=2, dask_key_name="mine")
    assert task.key == "mine"
    assert task.compute() == ((1,), {"z": 2})
    assert delayed(everything)(dask_key_name=("x", 0)).key == ("x", 0)


@pytest.mark.parametrize("name", [[1], {}, object(), ("a", None)])
def test_a_dask_key_name_that_cannot_be_a_key_is_an_error(name):
    with pytest.raises(TypeError, match="dask_key_name"):
        delayed(inc)(1, dask_key_name=name)


def test_two_tasks_with_one_key_are_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"'q'.*different"):
        compute(delayed(inc)(1, dask_key_name="q"), delayed(inc)(2, dask_key_name="q"))


@pytest.mark.covers("delayed.Delayed.__iter__")
def test_outputs_can_be_unpacked_if_their_number_is_known():
    quotient, rest = delayed(divmod, nout=2)(17, 5)
    assert compute(quotient, rest) == (3, 2)


@pytest.mark.covers("delayed.Delayed.__len__")
@pytest.mark.parametrize("nout", [0, 1, 2, 5])
def test_a_known_length_is_that_of_iteration(nout):
    task = delayed(lambda: tuple(range(nout)), nout=nout)()
    assert len(task) == nout
    assert compute(*task) == tuple(range(nout))


@pytest.mark.parametrize("nout", [-1, 1.5, "2", True, [2]])
def test_an_impossible_nout_is_an_error(nout):
    with pytest.raises(ValueError, match="nout"):
        delayed(inc, nout=nout)


# ---- Containers ----

CONTAINERS = {
    "list": (lambda d: [d, 4], [3, 4]),
    "tuple": (lambda d: (d, 4), (3, 4)),
    "set": (lambda d: {d, 4}, {3, 4}),
    "frozenset": (lambda d: frozenset([d, 4]), frozenset([3, 4])),
    "dict": (lambda d: {"a": d}, {"a": 3}),
    "dict with a lazy key": (lambda d: {d: "a"}, {3: "a"}),
    "dict with a lazy part in a key": (lambda d: {(d, 1): d}, {(3, 1): 3}),
    "slice": (lambda d: slice(None, d, 2), slice(None, 3, 2)),
    "dataclass": (lambda d: Point(d, 1), Point(3, 1)),
    "frozen dataclass": (lambda d: FrozenPoint(1, d), FrozenPoint(1, 3)),
    "namedtuple": (lambda d: Pair(1, d), Pair(1, 3)),
    "list iterator": (lambda d: iter([d, 1]), [3, 1]),
    "tuple iterator": (lambda d: iter((d, 1)), (3, 1)),
    "set iterator": (lambda d: iter({d}), {3}),
    "ordered dict": (
        lambda d: collections.OrderedDict(b=d, a=1),
        collections.OrderedDict(b=3, a=1),
    ),
    "nested": (
        lambda d: [{"a": (Point({d}, [Pair(slice(d), {d: [d]})]),)}],
        [{"a": (Point({3}, [Pair(slice(3), {3: [3]})]),)}],
    ),
}


@pytest.mark.parametrize("make", ["argument", "keyword", "wrapped", "computed", "persisted"])
@pytest.mark.parametrize(("lazy", "value"), CONTAINERS.values(), ids=CONTAINERS)
def test_containers_keep_their_type_and_hold_results(three, lazy, value, make):
    container = lazy(three)
    match make:
        case "argument":
            found = delayed(everything)(container).compute()[0][0]
        case "keyword":
            found = delayed(everything)(z=container).compute()[1]["z"]
        case "wrapped":
            found = delayed(container).compute()
        case "computed":
            (found,) = compute(container)
        case "persisted":
            (found,) = compute(*persist(container))
    assert type(found) is type(value)
    assert found == value


def test_a_container_without_lazy_parts_is_passed_by_reference():
    plain = [1, {"a": [2]}]
    assert delayed(lambda x: x)(plain).compute() is plain


@pytest.mark.parametrize("values", [[], [1, 2], [[1], "a"], [(1, [None])]])
@pytest.mark.parametrize("kind", [list, tuple])
def test_an_iterator_without_lazy_parts_keeps_what_it_gives(kind, values):
    assert delayed(list)(iter(kind(values))).compute() == values
    (left,) = compute(iter(kind(values)))
    assert list(left) == values


def test_a_very_deep_container_is_searched(three):
    deep = three
    for _ in range(50_000):
        deep = [deep]
    found = delayed(lambda x: x)(deep).compute()
    depth = 0
    while isinstance(found, list):
        (found,) = found
        depth += 1
    assert (found, depth) == (3, 50_000)
    while isinstance(deep, list):
        deep = deep[0]


def test_traverse_false_passes_a_container_as_it_is(three):
    container = [three, 1]
    assert delayed(container, traverse=False).compute() is container
    assert delayed(container).compute() == [3, 1]
    assert delayed(three, traverse=False).compute() == 3


def test_a_container_that_contains_itself_is_an_error_that_says_what_to_do(three):
    knot = [three]
    knot.append(knot)
    with pytest.raises(ValueError, match=r"contains itself.*traverse=False"):
        delayed(everything)(knot)
    assert delayed(knot, traverse=False).compute() is knot


def test_one_list_twice_is_not_a_list_inside_itself(three):
    part = [three]
    assert delayed(everything)([part, part]).compute() == (([[3], [3]],), {})


def test_attributes_beside_the_fields_of_a_dataclass_are_kept(three):
    point = Point(three)
    point.extra = [three]
    found = delayed(lambda p: p)(point).compute()
    assert (found.x, found.y, found.extra) == (3, 0, [3])
    assert isinstance(point.x, Delayed)


def test_a_dataclass_with_fields_that_init_does_not_take_keeps_them(three):
    made = Derived(three)
    made.doubled = three * 2
    found = delayed(lambda p: p)(made).compute()
    assert (found.x, found.doubled) == (3, 6)


def test_a_dataclass_itself_is_a_value_like_any_class():
    assert delayed(Point)(1, 2).compute() == Point(1, 2)
    assert delayed(everything)(Point).compute() == ((Point,), {})


def test_subclasses_of_containers_are_passed_as_they_are(three):
    class Special(list):
        pass

    special = Special([three])
    assert delayed(lambda x: x)(special).compute() is special


@pytest.mark.covers("delayed.Delayed.__call__")
def test_lazy_functions_can_be_called():
    assert delayed(lambda: inc)()(4).compute() == 5


def test_lazy_arguments_and_keywords_arrive_as_values(three):
    assert delayed(everything)(three, [three], z=three, w={"q": three}).compute() == (
        (3, [3]),
        {"z": 3, "w": {"q": 3}},
    )


# ---- Operators ----

BINARY = {
    "+": (operator.add, 7, 3),
    "-": (operator.sub, 7, 3),
    "*": (operator.mul, 7, 3),
    "/": (operator.truediv, 7, 3),
    "//": (operator.floordiv, 7, 3),
    "%": (operator.mod, 7, 3),
    "**": (operator.pow, 7, 3),
    "<<": (operator.lshift, 7, 3),
    ">>": (operator.rshift, 7, 1),
    "&": (operator.and_, 6, 3),
    "|": (operator.or_, 6, 3),
    "^": (operator.xor, 6, 3),
    "divmod": (divmod, 7, 3),
    "pow": (pow, 7, 3),
    "<": (operator.lt, 7, 3),
    "<=": (operator.le, 7, 3),
    "==": (operator.eq, 7, 7),
    "!=": (operator.ne, 7, 7),
    ">": (operator.gt, 7, 3),
    ">=": (operator.ge, 7, 3),
}


@pytest.mark.covers("delayed.Delayed.__radd__")
@pytest.mark.parametrize(("function", "left", "right"), BINARY.values(), ids=BINARY)
def test_binary_operators_and_their_reflections_are_lazy(function, left, right):
    expected = function(left, right)
    for task in (
        function(delayed(left), right),
        function(left, delayed(right)),
        function(delayed(left), delayed(right)),
    ):
        assert isinstance(task, Delayed)
        assert task.compute() == expected
        assert type(task.compute()) is type(expected)


def test_matrix_products_are_lazy_on_both_sides():
    matrix = np.arange(4).reshape(2, 2)
    assert np.array_equal((delayed(matrix) @ delayed(matrix)).compute(), matrix @ matrix)
    nested = delayed(lambda: matrix)() @ matrix
    assert np.array_equal(nested.compute(), matrix @ matrix)

    class Left:
        __matmul__ = None

        def __init__(self):
            pass

    class Right:
        def __rmatmul__(self, other):
            return "right", other

    assert (5 @ delayed(Right())).compute() == ("right", 5)


UNARY = {
    "-": operator.neg,
    "+": operator.pos,
    "~": operator.invert,
    "abs": abs,
    "round": round,
}


@pytest.mark.parametrize("function", UNARY.values(), ids=UNARY)
def test_unary_operators_are_lazy(function):
    task = function(delayed(-7))
    assert isinstance(task, Delayed)
    assert task.compute() == function(-7)


def test_round_takes_digits_and_pow_a_modulus():
    assert round(delayed(2.718), 1).compute() == 2.7
    assert pow(delayed(7), 3, 5).compute() == pow(7, 3, 5)


def test_an_operator_in_place_makes_a_new_task(three):
    before = three
    three += 1
    three *= 2
    assert (before.compute(), three.compute()) == (3, 8)


def test_operators_items_and_attributes_are_pure(three):
    for make in (
        lambda: three + 1,
        lambda: 1 - three,
        lambda: -three,
        lambda: three[0],
        lambda: three.real,
        lambda: three == 3,
        lambda: abs(three),
    ):
        assert make().key == make().key
    assert (three + 1).key != (1 + three).key
    assert (three + 1).key != (three - 1).key
    assert three[0].key != three[1].key
    assert three.real.key != three.imag.key


def test_one_task_is_made_of_equal_operations():
    x = delayed(inc)(1)
    assert len(delayed(everything)([x + 1 for _ in range(10)]).dask) == 3


# ---- Attributes, items, methods ----


@pytest.mark.covers("delayed.Delayed.__getattr__", "delayed.Delayed.__getitem__")
def test_attributes_items_and_methods_are_lazy():
    box = delayed(Box)(10)
    assert box.value.compute() == 10
    assert box[1:2].compute() == (10, slice(1, 2))
    assert box[1, ...].compute() == (10, (1, Ellipsis))
    assert box[delayed(5)].compute() == (10, 5)
    assert box[delayed(1) : 2].compute() == (10, slice(1, 2))
    assert box.plus(1).compute() == 11
    assert box.plus(1, factor=delayed(3)).compute() == 13
    assert box.plus.compute()(5) == 15


def test_a_method_call_is_impure_unless_it_is_said():
    box = delayed(Box, pure=True)(10)
    assert box.plus(1).key != box.plus(1).key
    assert box.plus(1, pure=True).key == box.plus(1, pure=True).key


def test_a_method_call_takes_a_key():
    assert delayed(Box)(1).plus(2, dask_key_name="sum").key == "sum"
    assert delayed(Box)(1).plus(2, dask_key_name="sum").compute() == 3


def test_any_public_attribute_is_there_until_it_is_computed(three):
    assert hasattr(three, "dtype")
    with pytest.raises(AttributeError, match="nothing_like_this"):
        three.nothing_like_this.compute()


@pytest.mark.parametrize("name", ["_x", "__array__", "__array_interface__", "_repr_mimebundle_"])
def test_names_with_an_underscore_are_not_lazy(three, name):
    with pytest.raises(AttributeError, match=name):
        getattr(three, name)


def test_visualise_warns_and_finds_visualize(three):
    with pytest.warns(UserWarning, match="visualize"):
        method = three.visualise
    assert method.__name__ == "visualize"


def test_a_delayed_function_in_a_class_is_a_method():
    class Counter:
        start = 10

        @delayed
        def plus(self, x):
            return self.start + x

    assert Counter().plus(5).compute() == 15
    assert Counter.plus(Counter(), 6).compute() == 16
    bound = Counter().plus
    assert inspect.ismethod(bound)
    assert isinstance(Counter.plus, Delayed)


def test_a_bound_method_of_an_object_can_be_delayed():
    assert delayed(Box(1).plus)(2).compute() == 3
    assert delayed(Box(1).plus)(2).key.startswith("plus-")


# ---- What a lazy value refuses ----

REFUSED = {
    "bool": (lambda d: bool(d), "truth"),
    "if": (lambda d: 1 if d else 2, "truth"),
    "and": (lambda d: d and 1, "truth"),
    "not": (lambda d: not d, "truth"),
    "iteration": (lambda d: list(d), "nout"),
    "for": (lambda d: [None for _ in d], "nout"),
    "unpacking": (lambda d: (lambda *args: args)(*d), "nout"),
    "len": (lambda d: len(d), "nout"),
    "in": (lambda d: 3 in d, "operator.contains"),
    "assigned attribute": (lambda d: setattr(d, "x", 1), "immutable.*x"),
    "deleted attribute": (lambda d: delattr(d, "x"), "immutable.*x"),
    "assigned item": (lambda d: operator.setitem(d, "k", 1), "immutable.*k"),
    "deleted item": (lambda d: operator.delitem(d, "k"), "immutable.*k"),
    "int": (lambda d: int(d), "int"),
    "float": (lambda d: float(d), "float"),
    "index": (lambda d: [1, 2][d], "indices"),
}


@pytest.mark.covers(
    "delayed.Delayed.__bool__", "delayed.Delayed.__setattr__", "delayed.Delayed.__setitem__"
)
@pytest.mark.parametrize(("use", "message"), REFUSED.values(), ids=REFUSED)
def test_what_needs_the_value_is_a_type_error_that_says_what_to_do(three, use, message):
    with pytest.raises(TypeError, match=message):
        use(three)


def test_a_lazy_value_can_be_hashed_by_its_key(three):
    assert hash(three) == hash(three.key)
    named = delayed(inc)(1, dask_key_name=("a", 1))
    assert hash(named) == hash(("a", 1))
    assert {three: 1}[three] == 1
    assert len({three, three, named}) == 2


# ---- copy, pickle, inspect ----


def test_a_copy_is_the_object_itself(three):
    task = delayed(inc)(three)
    assert copy.copy(task) is task
    assert copy.deepcopy(task) is task
    assert copy.deepcopy([task])[0] is task


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_task_has_its_key_and_its_value(protocol):
    task = delayed(add)(delayed(inc)(1), b=5)
    task = delayed(sum)([task, task * 2, delayed([1, 2])[0]])
    again = pickle.loads(pickle.dumps(task, protocol))
    assert again.key == task.key
    assert again.compute() == task.compute() == 22
    assert dict(again.dask).keys() == dict(task.dask).keys()


def test_a_pickled_leaf_and_attribute_behave_as_before():
    leaf = pickle.loads(pickle.dumps(delayed(inc, pure=True)))
    assert leaf(1).key == delayed(inc, pure=True)(1).key
    pair = pickle.loads(pickle.dumps(delayed(divmod, nout=2)))
    assert compute(*pair(17, 5)) == (3, 2)
    outputs = pickle.loads(pickle.dumps(delayed(divmod, nout=2)(17, 5)))
    assert compute(*outputs) == (3, 2)
    method = pickle.loads(pickle.dumps(delayed(Box)(1).plus))
    assert method(2).compute() == 3


def test_a_chain_of_100_000_tasks_is_pickled_without_recursion():
    chain = delayed(0)
    for _ in range(100_000):
        chain = delayed(inc)(chain)
    again = pickle.loads(pickle.dumps(chain))
    assert again.key == chain.key
    assert again.compute() == 100_000


def test_tasks_that_are_shared_are_shared_after_pickling():
    shared = delayed(inc)(1)
    both = delayed(everything)(shared, shared, [shared + 1, shared + 1])
    assert len(pickle.loads(pickle.dumps(both)).dask) == len(both.dask) == 3


def test_inspect_works_on_a_lazy_value(three):
    for predicate in (inspect.isfunction, inspect.isclass, inspect.ismodule, inspect.isgenerator):
        assert not predicate(three)
    assert inspect.isfunction(Delayed.compute)
    assert list(inspect.signature(Delayed.compute).parameters) == ["self", "kwargs"]
    assert "filename" in inspect.signature(Delayed.visualize).parameters
    assert inspect.getdoc(Delayed)
    assert {"compute", "persist", "visualize", "key", "dask"} <= set(dir(three))
    assert inspect.getmembers(Delayed)


def test_a_weak_reference_can_be_made():
    task = delayed(inc)(1)
    reference = weakref.ref(task)
    assert reference() is task
    del task
    assert reference() is None


# ---- numpy ----


def test_a_mean_of_lazy_arrays_is_lazy_and_so_is_what_follows():
    arrays = [np.arange(4.0) + i for i in range(5)]
    samples = [delayed(np.add)(np.arange(4.0), i) for i in range(5)]

    def statistics(samples):
        mean = np.mean(samples, axis=0)
        mean_of_squares = np.mean([sample**2 for sample in samples], axis=0)
        error = (mean_of_squares - mean**2) ** 0.5 / len(samples) ** 0.5
        return mean, error

    mean, error = statistics(samples)
    assert isinstance(mean, Delayed)
    assert isinstance(error, Delayed)
    for found, expected in zip(compute(mean, error), statistics(arrays), strict=True):
        np.testing.assert_allclose(found, expected)


def test_a_sum_of_lazy_arrays_is_lazy():
    samples = [delayed(np.ones)(3) for _ in range(4)]
    assert np.array_equal(np.sum(samples, axis=0).compute(), np.full(3, 4.0))


def test_an_array_on_the_left_gives_an_array_of_lazy_values():
    total = np.arange(3) + delayed(1)
    assert type(total) is np.ndarray
    assert total.dtype == object
    assert all(isinstance(one, Delayed) for one in total)
    assert compute(*total) == (1, 2, 3)


@pytest.mark.parametrize(
    "function", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
)
@pytest.mark.parametrize("scalar", [np.float64(2.5), np.int32(2), np.float32(1.5)])
def test_a_numpy_scalar_on_either_side_stays_lazy(function, scalar):
    for task, expected in (
        (function(scalar, delayed(3.0)), function(scalar, 3.0)),
        (function(delayed(3.0), scalar), function(3.0, scalar)),
    ):
        assert isinstance(task, Delayed)
        assert task.compute() == pytest.approx(expected)


def test_an_object_array_holds_lazy_values(three):
    array = np.array([three, three + 1])
    assert array.shape == (2,)
    assert array.dtype == object


# ---- Raw graphs ----


def test_a_raw_graph_is_run():
    assert Delayed("b", {"a": 1, "b": (inc, "a")}).compute() == 2
    assert Delayed("b", {"a": 1, "b": (inc, "a")}).key == "b"


def test_a_raw_graph_has_nested_tasks_lists_and_aliases():
    graph = {
        "a": 1,
        ("a", 0): (add, (inc, (inc, "a")), 10),
        "list": ["a", [("a", 0), (inc, "a")]],
        "alias": ("a", 0),
        "total": (sum, ["a", ("a", 0), (inc, "alias")]),
        "literal": ("x", "a", 1),
        "no arguments": (dict,),
        b"bytes": (add, 5, 6),
        7: (inc, b"bytes"),
    }
    found = {key: Delayed(key, graph).compute() for key in graph}
    assert found == {
        "a": 1,
        ("a", 0): 13,
        "list": [1, [13, 2]],
        "alias": 13,
        "total": 28,
        "literal": ("x", "a", 1),
        "no arguments": {},
        b"bytes": 11,
        7: 12,
    }


def test_a_lazy_value_in_a_raw_graph_is_a_value_like_any_other(three):
    found = Delayed("b", {"b": (lambda x: x, three)}).compute()
    assert isinstance(found, Delayed)
    assert found.key == three.key


def test_a_namedtuple_in_a_raw_graph_is_a_value_even_if_it_begins_with_a_function():
    pair = Pair(inc, 1)
    assert Delayed("b", {"b": pair}).compute() is pair


@pytest.mark.covers("delayed.Delayed")
def test_a_raw_graph_with_a_length_is_unpacked():
    first, second = Delayed("p", {"p": (divmod, 17, 5)}, length=2)
    assert compute(first, second) == (3, 2)


def test_a_key_that_is_not_in_the_graph_is_an_error_that_names_it():
    with pytest.raises(KeyError, match="'z' is not in the graph"):
        Delayed("z", {"a": 1})


def test_a_graph_that_is_no_mapping_is_an_error():
    with pytest.raises(TypeError, match="mapping"):
        Delayed("z", 5)


@pytest.mark.parametrize("length", [1, 2, 5000])
def test_a_cycle_is_an_error_that_shows_it(length):
    graph = {f"k{i}": (inc, f"k{(i + 1) % length}") for i in range(length)}
    with pytest.raises(RuntimeError, match=r"cycle.*needs 'k") as caught:
        Delayed("k0", graph)
    assert len(str(caught.value)) < 2000


def test_a_long_raw_graph_needs_no_recursion():
    graph = {i: (inc, i - 1) for i in range(1, 100_000)}
    graph[0] = 0.5
    assert Delayed(99_999, graph).compute() == 99_999.5


def test_a_raw_task_that_is_nested_deeply_needs_no_recursion():
    task = (inc, 0)
    for _ in range(20_000):
        task = (inc, task)
    assert Delayed("a", {"a": task}).compute() == 20_001


# ---- The graph of a lazy value ----


@pytest.mark.covers("delayed.Delayed.dask")
def test_the_graph_is_a_read_only_mapping():
    a = delayed(inc)(1, dask_key_name="a")
    b = delayed(add)(a, b=[a, 2], dask_key_name="b")
    graph = b.dask
    assert isinstance(graph, Mapping)
    assert len(graph) == 2
    assert set(graph) == set(graph.keys()) == {"a", "b"}
    assert graph["a"] == (inc, 1)
    assert graph.get("nothing") is None
    assert graph.get("nothing", 5) == 5
    assert "a" in graph
    assert "nothing" not in graph
    assert [] not in graph
    assert dict(graph) == dict(graph.items())
    assert len(list(graph.values())) == 2
    assert graph == dict(graph)
    with pytest.raises(KeyError, match="nothing"):
        graph["nothing"]
    with pytest.raises(TypeError):
        graph["a"] = 1


def test_the_graph_of_a_lazy_value_can_be_run_as_a_raw_graph(three):
    task = delayed(everything)(
        three, [three, {"a": three}], (three,), slice(three), z={three}, w="a"
    )
    task = delayed(everything)(task, "b", ("a", 1))
    assert Delayed(task.key, dict(task.dask)).compute() == task.compute()
    assert oxidask.get(task.dask, task.key) == task.compute()


def test_strings_that_look_like_keys_stay_strings_in_the_graph():
    a = delayed(inc)(1, dask_key_name="a")
    task = delayed(everything)(a, "a", ["a"], dask_key_name="b")
    assert task.compute() == ((2, "a", ["a"]), {})
    assert Delayed("b", dict(task.dask)).compute() == ((2, "a", ["a"]), {})


# ---- Showing ----


def test_the_representation_names_the_key():
    assert repr(delayed(inc)(1, dask_key_name="mine")) == "Delayed('mine')"
    assert str(delayed(inc)(1, dask_key_name=("a", 0))) == "Delayed(('a', 0))"


def test_the_table_for_notebooks_escapes_the_key():
    table = delayed(inc)(1, dask_key_name="<b>&")._repr_html_()
    assert table.startswith("<table")
    assert "&lt;b&gt;&amp;" in table
    assert "<b>" not in table


# ---- Persisted values ----


@pytest.mark.covers("delayed.Delayed.persist")
def test_a_persisted_value_has_its_key_and_is_not_run_again():
    calls = []

    @delayed
    def noted():
        calls.append(1)
        return 5

    x = noted()
    y = x.persist()
    assert isinstance(y, Delayed)
    assert y.key == x.key
    assert (y.compute(), (y + 1).compute(), calls) == (5, 6, [1])
    assert len(y.dask) == 1


def test_a_persisted_value_can_still_be_unpacked():
    pair = delayed(divmod, nout=2)(17, 5).persist()
    assert len(pair) == 2
    assert compute(*pair) == (3, 2)


def test_a_persisted_list_of_lazy_looking_things_is_a_value():
    value = [("a", inc), (inc, 1), "a"]
    assert delayed(lambda: value)().persist().compute() is value


# ---- The collection protocol ----


@pytest.mark.covers("is_dask_collection")
def test_a_lazy_value_speaks_the_collection_protocol():
    task = delayed(add)(1, b=2)
    assert is_dask_collection(task)
    assert not is_dask_collection(3)
    assert not is_dask_collection(Delayed)
    assert task.__dask_keys__() == [task.key]
    assert dict(task.__dask_graph__()).keys() == {task.key}
    assert task.__dask_tokenize__() == task.key
    assert task.__dask_layers__() == (task.key,)
    results = task.__dask_scheduler__(task.__dask_graph__(), task.__dask_keys__())
    finalize, extra = task.__dask_postcompute__()
    assert finalize(results, *extra) == 3
    rebuild, extra = task.__dask_postpersist__()
    rebuilt = rebuild({task.key: 3}, *extra)
    assert (rebuilt.key, rebuilt.compute()) == (task.key, 3)
    renamed = rebuild({"new": 3}, *extra, rename={task.key: "new"})
    assert (renamed.key, renamed.compute()) == ("new", 3)
    optimised = task.__dask_optimize__(task.__dask_graph__(), task.__dask_keys__())
    assert optimised.keys() == {task.key}


class Parts:
    """A collection of another library: a dictionary as graph, one key for each part."""

    optimised = 0

    def __init__(self, graph, keys):
        self.graph = graph
        self.keys = keys

    def __dask_graph__(self):
        return self.graph

    def __dask_keys__(self):
        return self.keys

    def __dask_postcompute__(self):
        return (lambda results, mark: (mark, results)), ("parts",)

    def __dask_postpersist__(self):
        return self._rebuild, (self.keys,)

    @classmethod
    def _rebuild(cls, graph, keys, rename=None):
        return cls(graph, keys)

    @classmethod
    def __dask_optimize__(cls, graph, keys, **kwargs):
        cls.optimised += 1
        return graph

    def __dask_tokenize__(self):
        return tuple(map(str, self.keys))

    @staticmethod
    def __dask_scheduler__(graph, keys, **kwargs):
        return oxidask.get(graph, keys, **kwargs)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def parts(calls):
    def noted(x):
        calls.append(x)
        return x

    return Parts({("p", 0): (noted, 1), ("p", 1): (inc, ("p", 0))}, [("p", 0), ("p", 1)])


def test_another_collection_is_computed_by_its_protocol(parts, calls):
    before = Parts.optimised
    assert is_dask_collection(parts)
    mark, results = compute(parts, 5)[0]
    assert (mark, list(results)) == ("parts", [1, 2])
    assert calls == [1]
    assert Parts.optimised == before + 1


def test_nested_keys_of_a_collection_give_nested_results():
    nested = Parts({"a": 1, "b": (inc, "a")}, [["a"], ["b", "a"]])
    _, results = compute(nested)[0]
    assert [list(part) for part in results] == [[1], [2, 1]]


def test_another_collection_arrives_as_its_concrete_value(parts):
    (value, listed), _ = delayed(everything)(parts, [parts]).compute()
    assert (value[0], list(value[1])) == ("parts", [1, 2])
    assert (listed[0][0], list(listed[0][1])) == ("parts", [1, 2])
    assert list(delayed(parts).compute()[1]) == [1, 2]


def test_another_collection_is_persisted_as_its_own_kind(parts, calls):
    (persisted,) = persist(parts)
    assert isinstance(persisted, Parts)
    assert calls == [1]
    assert list(compute(persisted)[0][1]) == [1, 2]
    assert calls == [1]


def test_a_collection_without_a_graph_is_a_plain_value():
    empty = Parts(None, [])
    assert not is_dask_collection(empty)
    assert compute(empty) == (empty,)
    assert delayed(lambda x: x)(empty).compute() is empty


def test_lazy_values_and_other_collections_are_computed_together(parts):
    value, other = compute(delayed(inc)(1), parts)
    assert value == 2
    assert list(other[1]) == [1, 2]


# ---- Between processes ----


def test_keys_of_impure_calls_differ_between_processes():
    script = textwrap.dedent(
        """
        from oxidask import delayed
        print(delayed(len)([]).key, delayed(len, pure=True)([]).key)
        """
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    }
    impure, pure = zip(*(line.split() for line in printed), strict=True)
    assert len(set(impure)) == 2
    assert len(set(pure)) == 1


def test_a_pickled_task_keeps_which_inputs_are_one_task():
    one, other = (delayed(inc)(10, dask_key_name="same") for _ in range(2))
    nested = delayed(max)(delayed(inc)(1), delayed(operator.sub)(one, other), one)
    copy = pickle.loads(pickle.dumps(nested))
    assert copy.compute() == nested.compute() == 11
    difference = delayed(max)(delayed(inc)(1), delayed(operator.add)(one, other))
    assert pickle.loads(pickle.dumps(difference)).compute() == 22
