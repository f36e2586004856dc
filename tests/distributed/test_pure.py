"""Equal calls are one task, and only equal ones: what a function refers to counts."""

import functools
import random

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

PENDING = {}

FACTOR = 10
FACTORS = [10]
TABLE = {"factor": 10}


@pytest.fixture
def main_module(mode):
    """Make functions whose globals this test may change, as those of a script or notebook."""
    import types

    module = types.ModuleType("__main__")

    def define(source):
        exec(source, module.__dict__)
        return module.__dict__

    return define


def test_a_changed_global_is_seen_by_the_next_submit(client, main_module):
    names = main_module("factor = 10\ndef scaled(x):\n    return x * factor\n")
    first = client.submit(names["scaled"], 1)
    assert first.result() == 10
    names["factor"] = 20
    second = client.submit(names["scaled"], 1)
    assert second.key != first.key
    assert second.result() == 20


def test_a_mutated_list_that_a_function_refers_to_is_seen(client, main_module):
    names = main_module("factors = [10]\ndef scaled(x):\n    return x * factors[0]\n")
    first = client.submit(names["scaled"], 1)
    assert first.result() == 10
    names["factors"][0] = 20
    second = client.submit(names["scaled"], 1)
    assert second.key != first.key
    assert second.result() == 20


def test_a_mutated_list_in_a_closure_is_seen(client):
    factors = [10]

    def scaled(x):
        return x * factors[0]

    first = client.submit(scaled, 1)
    assert first.result() == 10
    factors[0] = 20
    assert client.submit(scaled, 1).result() == 20


def test_a_changed_closure_cell_is_seen(client):
    factor = 10

    def scaled(x):
        return x * factor

    assert client.submit(scaled, 1).result() == 10
    factor = 20
    assert client.submit(scaled, 1).result() == 20


def test_a_changed_default_is_seen(client):
    def scaled(x, factor=10):
        return x * factor

    assert client.submit(scaled, 1).result() == 10
    scaled.__defaults__ = (20,)
    assert client.submit(scaled, 1).result() == 20


def test_a_mutable_default_is_seen(client):
    def scaled(x, factors=[10]):  # noqa: B006
        return x * factors[0]

    assert client.submit(scaled, 1).result() == 10
    scaled.__defaults__[0][0] = 20
    assert client.submit(scaled, 1).result() == 20


def test_a_changed_function_that_a_function_calls_is_seen(client, main_module):
    names = main_module("def inner(x):\n    return x + 1\ndef outer(x):\n    return inner(x)\n")
    assert client.submit(names["outer"], 1).result() == 2
    main_module("def inner(x):\n    return x + 100\n")
    assert client.submit(names["outer"], 1).result() == 101


def test_a_function_that_is_defined_again_is_another(client, main_module):
    names = main_module("def f(x):\n    return x + 1\n")
    first = client.submit(names["f"], 1)
    assert first.result() == 2
    main_module("def f(x):\n    return x + 2\n")
    assert client.submit(names["f"], 1).result() == 3


def test_a_function_that_is_defined_again_the_same_is_the_same(client, main_module):
    names = main_module("def f(x):\n    return x + 1\n")
    first = client.submit(names["f"], 1)
    main_module("def f(x):\n    return x + 1\n")
    assert client.submit(names["f"], 1).key == first.key


def test_the_state_of_a_bound_method_counts(client):
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, x):
            return x * self.factor

        def method(self, x):
            return x * self.factor

    scale = Scale(10)
    assert client.submit(scale, 1).result() == 10
    assert client.submit(scale.method, 1).result() == 10
    scale.factor = 20
    assert client.submit(scale, 1).result() == 20
    assert client.submit(scale.method, 1).result() == 20


def test_the_arguments_of_a_partial_count(client):
    first = client.submit(functools.partial(pow, 2), 3)
    second = client.submit(functools.partial(pow, 3), 3)
    assert (first.result(), second.result()) == (8, 27)


@pytest.mark.parametrize("size", [3, 100_000])
def test_a_mutated_array_is_another_argument(client, size):
    values = np.arange(size)
    first = client.submit(np.sum, values)
    assert client.submit(np.sum, values).key == first.key
    assert first.result() == values.sum()
    values[0] = 1_000
    second = client.submit(np.sum, values)
    assert second.key != first.key
    assert second.result() == values.sum()


def test_a_mutated_frame_is_another_argument(client):
    frame = pd.DataFrame({"x": np.arange(1000), "y": ["a"] * 1000})
    first = client.submit(len, frame)
    assert client.submit(len, frame).key == first.key
    frame.loc[0, "y"] = "b"
    assert client.submit(len, frame).key != first.key


def test_a_mutated_list_is_another_argument(client):
    values = [1, [2]]
    first = client.submit(repr, values)
    assert first.result() == "[1, [2]]"
    values[1].append(3)
    assert client.submit(repr, values).result() == "[1, [2, 3]]"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ("1", 1),
        ("a", b"a"),
        ((1, 2), [1, 2]),
        ([1, [2]], [[1], 2]),
        ({1: 2}, {2: 1}),
        (np.float32(1), np.float64(1)),
        (np.zeros(4), np.zeros((2, 2))),
        (np.zeros(2, "i4"), np.zeros(1, "i8")),
        (pd.Series([1], name="a"), pd.Series([1], name="b")),
    ],
)
def test_values_that_differ_in_type_or_shape_are_different_arguments(client, one, other):
    assert client.submit(type, one).key != client.submit(type, other).key


def test_order_of_keywords_does_not_count_but_their_names_do(client):
    first = client.submit(dict, a=1, b=2)
    assert client.submit(dict, b=2, a=1).result() == {"a": 1, "b": 2}
    assert client.submit(dict, a=1, c=2).key != first.key


def test_positional_and_keyword_arguments_are_different_calls(client):
    def f(*args, **kwargs):
        return args, kwargs

    assert client.submit(f, 1).result() == ((1,), {})
    assert client.submit(f, x=1).result() == ((), {"x": 1})
    assert client.submit(f, ("x", 1)).result() == ((("x", 1),), {})


def test_random_numbers_with_pure_false_differ(client):
    # `random.random` itself would be sent with the state of its generator.
    futures = [client.submit(lambda: random.random(), pure=False) for _ in range(5)]
    assert len(set(client.gather(futures))) == 5
    assert len(set(client.gather(client.map(lambda _: random.random(), [0] * 5, pure=False)))) == 5


def test_map_and_submit_agree_on_what_is_equal(client):
    values = np.arange(10)
    single = client.submit(np.sum, values)
    (mapped,) = client.map(np.sum, [values])
    assert single.key == mapped.key


def test_two_lambdas_of_one_line_are_different(client):
    first, second = (lambda x: x + 1), (lambda x: x + 2)
    assert (client.submit(first, 1).result(), client.submit(second, 1).result()) == (2, 3)
