"""`sizeof`: close to what objects take, and quick."""

from __future__ import annotations

import array
import sys
from collections import namedtuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from oxidask.sizeof import sizeof


@pytest.mark.covers("sizeof.sizeof")
@pytest.mark.parametrize("value", [1, 1.5, None, "x" * 100, range(5), object(), print])
def test_plain_objects_are_what_python_says(value):
    assert sizeof(value) == sys.getsizeof(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"x" * 100, 100),
        (bytearray(100), 100),
        (memoryview(b"x" * 100), 100),
        (memoryview(np.ones(100)), 800),
        (array.array("d", [1.0] * 100), 800),
        (np.ones(1000), 8000),
        (np.empty(0), 0),
        (np.ones((100, 100))[::2, ::2], 20_000),
        (np.ones((100, 100))[::-1], 80_000),
        (np.broadcast_to(np.float64(1), (1000, 1000)), 8),
        (np.broadcast_to(np.ones(1000), (1000, 1000)), 8000),
        (np.lib.stride_tricks.sliding_window_view(np.ones(1000), 100), 8000),
        (np.array(["abc"] * 10), 120),
        (np.array(5), 8),
    ],
)
def test_buffers_are_their_bytes(value, expected):
    assert sizeof(value) == expected


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize("make", [list, tuple, set, frozenset, lambda parts: Pair(*parts)])
def test_small_containers_are_exact(make):
    value = make(["a" * 1000, b"b" * 1000])
    assert sizeof(value) == sys.getsizeof(value) + sys.getsizeof("a" * 1000) + 1000


def test_a_dictionary_is_its_keys_and_values():
    value = {"a" * 50: b"x" * 1000, "b" * 50: [b"y" * 500]}
    keys = 2 * sys.getsizeof("a" * 50)
    assert sizeof(value) == sys.getsizeof(value) + keys + 1000 + sys.getsizeof([1]) + 500


@pytest.mark.parametrize(
    "make",
    [
        lambda n: [bytes(100) + bytes([i % 256]) for i in range(n)],
        lambda n: tuple(np.ones(12) * i for i in range(n)),
        lambda n: {bytes(100) + i.to_bytes(4, "big") for i in range(n)},
        lambda n: {i: bytes(100) + bytes([i % 256]) for i in range(n)},
        lambda n: [[bytes(90) + bytes([i % 256])] for i in range(n)],
    ],
)
def test_large_containers_are_estimated_from_a_sample(make):
    value = make(20_000)
    parts = value.values() if isinstance(value, dict) else value
    real = sum(sizeof(one) for one in parts)
    if isinstance(value, dict):
        real += sum(map(sys.getsizeof, value))
    real += sys.getsizeof(value)
    assert 0.9 * real < sizeof(value) < 1.1 * real


def test_few_elements_of_a_large_container_are_looked_at():
    looked_at = []

    class Noted:
        def __sizeof__(self):
            looked_at.append(1)
            return 100

    for value in ([Noted() for _ in range(10_000)], {i: Noted() for i in range(10_000)}):
        looked_at.clear()
        sizeof(value)
        assert 1 <= len(looked_at) <= 10


def test_one_object_many_times_is_counted_once():
    big = np.ones(1000)
    assert sizeof([big] * 1000) == sys.getsizeof([None] * 1000) + 8000


def test_containers_inside_themselves_and_deep_ones_have_a_size():
    inside = []
    inside.append(inside)
    assert sizeof(inside) > 0
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert sizeof(deep) > 0


def test_a_class_that_cannot_tell_its_size_has_one():
    class Broken:
        def __sizeof__(self):
            raise ValueError("no")

    assert sizeof(Broken()) > 0
    assert sizeof([Broken()]) > 0


def test_what_has_nbytes_is_counted_with_them():
    class Wrapped:
        @property
        def nbytes(self):
            return 5000

    class Failing:
        @property
        def nbytes(self):
            raise RuntimeError("not now")

    assert 5000 <= sizeof(Wrapped()) < 5500
    assert sizeof(Failing()) > 0


def test_arrays_of_objects_are_sampled():
    values = np.array([bytes(1000) + bytes([i % 256]) for i in range(1000)], dtype=object)
    assert 0.95 * 1_009_000 < sizeof(values) < 1.05 * 1_009_000
    same = np.array([bytes(1000)] * 1000, dtype=object)
    assert sizeof(same) == 8000 + 1000


FRAME = pd.DataFrame(
    {
        "number": np.arange(5000),
        "text": [f"text number {i}" for i in range(5000)],
        "object": pd.Series([f"text number {i}" for i in range(5000)], dtype=object),
        "category": pd.Categorical(["one", "two"] * 2500),
        "time": pd.date_range("2000-01-01", periods=5000),
        "nullable": pd.array([1, None] * 2500, dtype="Int64"),
    }
)


@pytest.mark.parametrize("name", [*FRAME.columns, None])
def test_pandas_objects_are_close_to_what_pandas_says(name):
    value = FRAME if name is None else FRAME[name]
    said = value.memory_usage(deep=True)
    said = said if name else said.sum()
    assert 0.8 * said < sizeof(value) < 1.25 * said + 2000


def test_each_kind_of_index_has_a_size():
    text = pd.Index([f"text number {i}" for i in range(5000)], dtype=object)
    assert sizeof(pd.RangeIndex(10**9)) < 1000
    assert 0.9 < sizeof(text) / text.memory_usage(deep=True) < 1.1
    pairs = pd.MultiIndex.from_product([range(100), ["a", "b"]])
    assert 0.5 * pairs.nbytes < sizeof(pairs) < pairs.nbytes + 5000
    assert sizeof(pd.Index(np.arange(1000))) >= 8000


def test_wide_frames_are_estimated():
    wide = pd.DataFrame(np.ones((100, 2000)))
    assert 0.9 < sizeof(wide) / wide.memory_usage().sum() < 1.1


def test_arrow_objects_are_their_buffers():
    table = pa.table({"number": range(1000), "text": ["x" * 10] * 1000})
    for value in (table, table["number"], table.to_batches()[0], table["text"].combine_chunks()):
        assert 0.9 * value.nbytes < sizeof(value) < 1.1 * value.nbytes + 200
    # A slice keeps the whole of its buffers.
    assert sizeof(table.slice(0, 10)) == sizeof(table)
    assert sizeof(pa.py_buffer(b"x" * 100)) == 100


def test_a_users_type_can_be_registered():
    class Handle:
        pass

    @sizeof.register(Handle)
    def size_of_handle(handle):
        return 12345

    assert sizeof(Handle()) == 12345
    assert sizeof([Handle()]) == sys.getsizeof([None]) + 12345
