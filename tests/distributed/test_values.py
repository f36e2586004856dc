"""Values on their way: what comes back equals what was sent, may be written to, and is alone."""

import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import hashlib
import pathlib

import numpy as np
import pytest
from gates import wait_until

from oxidask.distributed import wait

pd = pytest.importorskip("pandas")

PENDING = {}

MB = 2**20


def same(value):
    return value


def make(name):
    """Make a value in a worker."""
    return VALUES[name]()


@dataclasses.dataclass
class Point:
    x: object
    y: object = 0


class Colour(enum.Enum):
    RED = "red"


Pair = collections.namedtuple("Pair", "first second")


def noncontiguous():
    return np.arange(600_000).reshape(600, 1000)[::2, ::3]


def masked():
    return np.ma.masked_greater(np.arange(200_000.0), 100_000.0)


def structured():
    dtype = [("a", "i4"), ("b", "f8"), ("c", "U3")]
    values = np.zeros(50_000, dtype)
    values["a"] = np.arange(50_000)
    values["c"] = "xyz"
    return values


def mixed_frame():
    rows = 15_000
    return pd.DataFrame(
        {
            "whole": np.arange(rows),
            "real": np.linspace(0, 1, rows),
            "text": [f"row {i % 97}" for i in range(rows)],
            "kind": pd.Categorical(["a", "b", "c"] * (rows // 3)),
            "when": pd.date_range("2024-01-01", periods=rows, freq="s"),
            "maybe": pd.array([1, None] * (rows // 2), dtype="Int64"),
        }
    )


def indexed_frame():
    index = pd.MultiIndex.from_product([range(300), list("abcde")], names=["number", "letter"])
    return pd.DataFrame({"x": np.arange(1500.0), "y": ["é"] * 1500}, index=index)


def cyclic():
    value = [1]
    value.append(value)
    return value


#: Arrays and their kin, by name: small enough to be copied along, and large enough not to be.
ARRAYS = {
    "zero-dimensional": lambda: np.array(5.0),
    "scalar": lambda: np.float32(1.5),
    "empty": lambda: np.empty((0, 3)),
    "small": lambda: np.arange(10),
    "middling": lambda: np.arange(30_000),
    "large": lambda: np.random.default_rng(0).random((700, 700)),
    "fortran": lambda: np.asfortranarray(np.arange(1_000_000.0).reshape(1000, 1000)),
    "non-contiguous": noncontiguous,
    "reversed": lambda: np.arange(300_000)[::-1],
    "broadcast": lambda: np.broadcast_to(np.arange(1000), (500, 1000)),
    "structured": structured,
    "objects": lambda: np.array([1, "two", [3], None], dtype=object),
    "text": lambda: np.array(["a", "bcd"] * 50_000),
    "bytes": lambda: np.array([b"a", b"bcd"] * 50_000),
    "dates": lambda: np.arange("2024-01-01", "2024-12-31", dtype="datetime64[m]"),
    "durations": lambda: np.arange(200_000).astype("timedelta64[s]"),
    "complex": lambda: np.arange(100_000) * 1j,
    "booleans": lambda: np.arange(2_000_000) % 2 == 0,
    "half": lambda: (np.arange(100_000) % 1000).astype("f2"),
    "big-endian": lambda: np.arange(200_000).astype(">i4"),
    "masked": masked,
    "matrix of size one": lambda: np.ones((1, 1, 1, 1)),
}

FRAMES = {
    "frame": mixed_frame,
    "frame with two indices": indexed_frame,
    "empty frame": lambda: pd.DataFrame({"a": pd.Series([], dtype="f8")}),
    "frame of one block": lambda: pd.DataFrame(np.ones((2000, 100))),
    "series": lambda: pd.Series(np.arange(200_000), name="s"),
    "series of text": lambda: pd.Series(["a", None, "ü"] * 40_000),
    "series of strings": lambda: pd.Series(["a", None, "ü"] * 40_000, dtype="string"),
    "categories": lambda: pd.Series(list("abc") * 7_000, dtype="category"),
    "dates with zone": lambda: pd.Series(
        pd.date_range("2024-01-01", periods=50_000, freq="min", tz="Europe/Berlin")
    ),
    "periods": lambda: pd.Series(pd.period_range("2020", periods=30, freq="M")),
    "intervals": lambda: pd.Series(pd.interval_range(0, 50)),
    "index": lambda: pd.Index(np.arange(100_000), name="i"),
    "range index": lambda: pd.RangeIndex(5),
}

PLAIN = {
    "none": lambda: None,
    "true": lambda: True,
    "small integer": lambda: -7,
    "integer of 64 bits": lambda: 2**63,
    "long integer": lambda: -(3**500),
    "real": lambda: 0.1,
    "minus zero": lambda: -0.0,
    "infinity": lambda: float("inf"),
    "complex number": lambda: 1 - 2j,
    "empty text": lambda: "",
    "text with surrogates": lambda: "a\ud800b",
    "text with zero": lambda: "a\0b",
    "text of 1 MB": lambda: "ünï" * (MB // 5),
    "bytes of 1 MB": lambda: bytes(range(256)) * (MB // 256),
    "bytearray of 1 MB": lambda: bytearray(range(256)) * (MB // 256),
    "empty tuple": lambda: (),
    "deep tuple": lambda: ((1, (2, ("three",))), ()),
    "list": lambda: [1, [2.0, [None]]],
    "dictionary": lambda: {"a": {1: (2,)}, (1, 2): [3]},
    "ordered dictionary": lambda: collections.OrderedDict(b=1, a=2),
    "default dictionary": lambda: collections.defaultdict(list, a=[1]),
    "set": lambda: {1, "two", (3,)},
    "frozenset": lambda: frozenset([1, 2]),
    "slice": lambda: slice(1, None, 2),
    "range": lambda: range(3, 30, 4),
    "ellipsis": lambda: ...,
    "type": lambda: dict,
    "function": lambda: same,
    "named tuple": lambda: Pair(1, [2]),
    "dataclass": lambda: Point(1, np.int8(3)),
    "enumeration": lambda: Colour.RED,
    "date": lambda: datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
    "decimal": lambda: decimal.Decimal("1.10"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "path": lambda: pathlib.Path("/tmp/x"),
    "exception": lambda: ValueError("as a value"),
    "long list": lambda: list(range(100_000)),
    "containers with arrays": lambda: {
        "a": [np.arange(200_000), (np.ones(5), "b")],
        "c": Pair(np.zeros((300, 300)), {"d": np.arange(3)}),
    },
}

VALUES = {**ARRAYS, **FRAMES, **PLAIN}


def assert_same(one, other):
    """Check that two values are equal in type, content, and whether they may be written to."""
    assert type(one) is type(other)
    if isinstance(one, np.ma.MaskedArray):
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.filled(0), other.filled(0))
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_freq=False)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, check_freq=False)
    elif isinstance(one, pd.Index):
        pd.testing.assert_index_equal(one, other, exact=True)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    elif isinstance(one, Exception):
        assert one.args == other.args
    elif isinstance(one, set | frozenset):
        # In whatever order: that of colliding hashes is the one in which they came.
        assert one == other
    else:
        assert repr(one) == repr(other)
        assert one == other or one != one


@pytest.mark.parametrize("name", VALUES)
def test_results_equal_what_was_made(client, name):
    assert_same(client.submit(make, name).result(), make(name))


@pytest.mark.parametrize("name", VALUES)
def test_arguments_and_results_equal_what_was_sent(client, name):
    value = make(name)
    assert_same(client.submit(same, value, pure=False).result(), value)


@pytest.mark.parametrize("name", VALUES)
def test_scattered_values_equal_what_was_sent(client, name):
    value = make(name)
    (future,) = client.scatter([value])
    assert_same(future.result(), value)


@pytest.mark.parametrize("name", VALUES)
def test_inputs_of_tasks_equal_what_was_made(client, name):
    made = client.submit(make, name, pure=False)
    results = client.gather([client.submit(same, made, pure=False) for _ in range(2)])
    for result in results:
        assert_same(result, make(name))


@pytest.mark.parametrize("name", [name for name in ARRAYS if name not in ("scalar", "broadcast")])
def test_arrays_may_be_written_to_as_before(client, name):
    result = client.submit(make, name, pure=False).result()
    assert result.flags.writeable
    if result.size and result.dtype != object:
        result[...] = np.zeros_like(result)


def test_a_read_only_array_comes_back_as_it_was(client):
    def make_read_only(size):
        values = np.arange(size)
        values.flags.writeable = False
        return values

    for size in (10, 1_000_000):
        assert client.submit(make_read_only, size).result().flags.writeable is False


@pytest.mark.parametrize("name", ["middling", "large", "fortran", "structured"])
def test_results_alias_nothing(client, name):
    future = client.submit(make, name)
    first, second = future.result(), future.result()
    (third,) = client.gather([future])
    for one, other in [(first, second), (first, third), (second, third)]:
        assert not np.shares_memory(one, other)
    first[...] = np.zeros_like(first)
    assert_same(second, make(name))
    assert_same(future.result(), make(name))


@pytest.mark.parametrize("name", ["frame", "frame of one block", "series", "series of text"])
def test_frames_alias_nothing(client, name):
    future = client.submit(make, name)
    first = future.result()
    if isinstance(first, pd.DataFrame):
        for column in first.columns:
            first.loc[:5, column] = first[column].iloc[-1]
    else:
        first.iloc[:5] = first.iloc[-1]
    assert_same(future.result(), make(name))


def test_a_written_bytearray_is_alone(client):
    future = client.submit(make, "bytearray of 1 MB")
    first = future.result()
    first[0] = 99
    assert future.result() == make("bytearray of 1 MB")


def check_writers(client, mode, writers, expected):
    """Check that tasks wrote to what only they see, or, in one process, could not write."""
    if mode == "processes":
        assert client.gather(writers) == [expected] * len(writers)
        return
    for writer in writers:
        with pytest.raises(ValueError, match="read-only") as caught:
            writer.result()
        assert any("x = x.copy()" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("size", [10, 30_000, 1_000_000])
def test_writing_to_an_input_reaches_nobody_else(client, mode, size):
    def overwrite(values):
        values[...] = -1
        return int(values.sum())

    source = client.submit(np.arange, size)
    writers = [client.submit(overwrite, source, pure=False) for _ in range(4)]
    check_writers(client, mode, writers, -size)
    readers = [client.submit(np.sum, source, pure=False) for _ in range(4)]
    assert client.gather(readers) == [size * (size - 1) // 2] * 4
    np.testing.assert_array_equal(source.result(), np.arange(size))


def test_writing_to_a_frame_reaches_nobody_else(client):
    def overwrite(frame):
        frame["real"] = -1.0
        frame.loc[:, "whole"] = 0
        frame.loc[:10, "text"] = "changed"
        frame["text"] = frame["text"].str.upper()
        frame.iloc[3, 0] = 5
        return float(frame["real"].sum())

    source = client.submit(mixed_frame)
    rows = len(mixed_frame())
    assert (
        client.gather([client.submit(overwrite, source, pure=False) for _ in range(3)])
        == [-float(rows)] * 3
    )
    for result in client.gather([client.submit(same, source, pure=False) for _ in range(2)]):
        assert_same(result, mixed_frame())
    assert_same(source.result(), mixed_frame())


def test_writing_to_scattered_data_reaches_nobody_else(client, mode):
    def overwrite(values):
        values += 1
        return int(values[0])

    mine = np.zeros(500_000, dtype=np.int64)
    source = client.scatter(mine, broadcast=True)
    writers = [client.submit(overwrite, source, pure=False) for _ in range(4)]
    check_writers(client, mode, writers, 1)
    assert not mine.any()
    mine[:] = 7
    assert not source.result().any()


def test_what_a_task_returned_and_still_writes_to_is_not_seen(client):
    def remember():
        import builtins

        builtins.kept_by_a_test = np.zeros(300_000)
        return builtins.kept_by_a_test

    def change():
        import builtins

        values = getattr(builtins, "kept_by_a_test", None)
        if values is not None:
            values += 1

    def forget():
        import builtins

        vars(builtins).pop("kept_by_a_test", None)

    future = client.submit(remember)
    wait(future)
    client.run(change)
    assert not future.result().any()
    client.run(forget)


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "str", "array"])
def test_values_of_100_mb(client, kind):
    size = 100 * MB

    def make_long(kind, size):
        block = b"0123456789abcdef" * (size // 16)
        return {
            "bytes": lambda: block,
            "bytearray": lambda: bytearray(block),
            "str": lambda: block.decode(),
            "array": lambda: np.frombuffer(block, "u1").copy(),
        }[kind]()

    def digest(value):
        return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()

    result = client.submit(make_long, kind, size).result()
    assert type(result) is type(make_long(kind, 16))
    assert len(result) == size
    assert digest(result) == digest(make_long(kind, size))


def test_a_value_that_holds_itself(client):
    result = client.submit(cyclic).result()
    assert result[1] is result


def test_shared_parts_of_a_result_stay_shared(client):
    def shared():
        values = np.arange(100_000)
        return [values, values]

    first, second = client.submit(shared).result()
    assert first is second


def test_thousands_of_large_results_do_not_pile_up(client, mode):
    """The memory of released results is used again, or given back."""
    for _ in range(40):
        futures = [client.submit(np.ones, 2_500_000, pure=False) for _ in range(2)]
        assert [result.sum() for result in client.gather(futures)] == [2_500_000.0] * 2
    del futures
    if mode == "processes":

        def shared_bytes():
            import os

            sizes = {}
            for entry in os.scandir("/proc/self/fd"):
                if "memfd:" in os.readlink(entry.path):
                    about = os.stat(entry.path)
                    sizes[about.st_ino] = about.st_blocks * 512
            return sum(sizes.values())

        wait_until(
            lambda: max(client.run(shared_bytes).values()) < 400 * MB, "memory is given back"
        )


def test_copies_of_results_are_ordinary_objects(client):
    result = client.submit(np.arange, 1_000_000).result()
    assert_same(copy.deepcopy(result), np.arange(1_000_000))
    frame = client.submit(mixed_frame).result()
    assert_same(frame.copy(), mixed_frame())
    assert_same(
        frame.groupby("kind", observed=True)["real"].sum(),
        mixed_frame().groupby("kind", observed=True)["real"].sum(),
    )


def test_a_result_outlives_its_future_client_and_cluster():
    from oxidask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        result = client.submit(np.arange, 1_000_000).result()
    assert_same(result, np.arange(1_000_000))
    result[:] = 0
    del result
