"""Tokens: what agrees, what differs, and that neither depends on the process."""

import dataclasses
import decimal
import functools
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxidask import config
from oxidask.tokenize import TokenizationError, normalize_token, tokenize


def token(*args, **kwargs):
    return tokenize(*args, ensure_deterministic=True, **kwargs)


def run_python(code, **variables):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def sample_function(x):
    return x + 1


@dataclasses.dataclass
class Point:
    x: object
    y: object = 2


@dataclasses.dataclass
class OtherPoint:
    x: object
    y: object = 2


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class WithOwnToken:
    def __init__(self, content, comment):
        self.content, self.comment = content, comment

    def __dask_tokenize__(self):
        return self.content


def adder(amount):
    return lambda x: x + amount


# --- Plain values ---

# Tokens are promised to stay as they are: a value that changes here makes every stored key of
# a user useless, and needs a line in the change log.
GOLDEN = {
    "None": "ddcad1f56a870f4ae9e5d8fb79215abd",
    "True": "f8aaef236db77021534a33db9fccd56f",
    "0": "a772431d10c64ea68296ca26dfee56c3",
    "1": "7ed3f5e9402508c2310cff2d72519fc5",
    "-1": "b34f8d85a4ee33597acfda68afa4ef7f",
    "2**63": "299910f7b3bd202db5f4586068c7eacd",
    "-(2**200)": "2cbc3ad72b8442ab0d2e75db490a4fa4",
    "0.0": "d05b60abfb43b5aaab8a43d6dbae90b2",
    "-0.0": "6d4843aede480d605b87c053988306f2",
    "1.5": "d91f8bde6932ef2432a79d943fa0fc0e",
    "1j": "c587b95b7a947f147a002ddd3d691b9b",
    "''": "fd780c95ba295e852e7c050fb677734f",
    "'abc'": "3a0e3698dd8040fb6d1bf182ab3654bc",
    "'\\ud800'": "1229e60b82bd76ff85b4f7187705acca",
    "'x' * 10_000": "70ae1ffdabdf0b6b9ec32ffefc7d52d1",
    "b'abc'": "49e031b0fd96852566991e622431cf26",
    "bytearray(b'abc')": "065f468f90a3b40d5503451b872016c5",
    "memoryview(b'abc')": "b60173a52feecd5fc6c583d05b391537",
    "...": "9d4879d4880ef184160be4e29fbe2ca4",
    "[]": "63025a35c150cf43641a95e42962ae92",
    "[1, 'a', None]": "57c84ef820de7b726c21ec3a6615df37",
    "[0] * 100_000": "bd41971c21ad159295c50b28f7af2926",
    "(1, (2, (3,)))": "77147f47bff426e6ad14e31aaf4db472",
    "{'b': 1, 'a': [2]}": "f76b4200e2d4900ecfead86360c3cdd7",
    "{1, 2.0, 'c'}": "20325b06a698d67a26884ff703f7cf75",
    "frozenset('abc')": "c6880b474d5d22763e80e1a889e93e61",
    "slice(1, None, 2)": "7a4ad9deee96d3cd3eccd79b9716f969",
    "range(3)": "d442aa6129e30f55e423c0bfb651be06",
    "int": "161a77fd9dcbde87449a07311beb99bb",
    "len": "e8d423ad368d4e6cf91975fb34b3edaf",
    "json.dumps": "816587d7a5cb49d7df102c147723299c",
    "np.arange(6).reshape(2, 3).T": "50e4770644171ac417fb39d97fe63d17",
    "np.arange(3, dtype='>i4')": "cc285dcc21c29ef29b2b627f70487f1a",
    "np.array(['a', 'bc'])": "72f3db51828d58866e523f1e59f36086",
    "np.array(['2000'], 'M8[D]')": "0b46b611b96dee3547c3a95e5bdc998e",
    "np.float32(0.5)": "fc8b0215420944b4c7926bd134678280",
    "np.dtype('f8')": "d7bae9ecc36ddc437d2c4734dc4e8013",
    "decimal.Decimal('1.5')": "3a8a6f456cdac1e260333a655a90bac2",
    "WithOwnToken(1, '')": "c672e60525e32ebb24cd278f7e120c55",
}

DIFFERENT = [
    *(None, True, False, 1, 0, -1, 1.0, 0.0, -0.0, float("nan"), float("inf"), 1 + 0j, 0j),
    *("1", "", "a", "None", b"1", b"", bytearray(b"1"), memoryview(b"1"), memoryview(b"")),
    *(2**63, 2**64, -(2**63), -(2**63) - 1, 2**200, -(2**200), "\ud800", "\ud801", "é"),
    *(..., NotImplemented, [], (), {}, set(), frozenset(), [1], (1,), {1}, frozenset([1])),
    *([None], [[]], [[], []], [[[]]], [[1], 2], [[1, 2]], [1, [2]], [1, 2], [2, 1], (1, 2)),
    *({1: 2}, {2: 1}, {1: 2, 3: 4}, {1: 4, 3: 2}, {"1": 2}, [(1, 2)], [1, 2, 3, 4], ((1, 2), 3)),
    *(["ab", "c"], ["a", "bc"], ["abc"], "abc", b"abc", ["a", "b", "c"]),
    *(slice(1), slice(1, 2), slice(1, 2, 3), slice(None), range(1), range(1, 2), range(0, 4, 2)),
    *(int, str, "int", len, [len], sample_function, np.sin, np.cos, np.sum, np, os, dict.get),
    *(np.float64, np.dtype("f8"), np.dtype("f4"), np.dtype(">f8"), np.dtype(object)),
    *(np.dtype([("a", "f8")]), np.dtype([("b", "f8")]), np.dtype([("a", "f4")])),
    *(np.int8(1), np.int64(1), np.float64(1), np.float32(1), np.bool_(True), np.str_("1")),
    *(np.longdouble(1), np.longdouble(2), np.datetime64("2000"), np.datetime64("2000-01-01")),
    *(decimal.Decimal("1"), decimal.Decimal("1.0"), Point(1), Point(2), Point(1, 3)),
    *(OtherPoint(1), Plain(), Plain(a=1), Plain(a=2), Plain(b=1), Point, OtherPoint, Plain),
    *(functools.partial(sample_function, 1), functools.partial(sample_function, 2)),
    *(functools.partial(sample_function, x=1), "x" * 5000, "x" * 5001, b"x" * 5000, [1] * 5000),
    *([1] * 5001, (1,) * 5000, bytearray(5000), bytes(5000), memoryview(bytes(5000))),
    *([0] * 16, [0] * 17, [0.0] * 17),
]


def test_different_values_have_different_tokens():
    seen = {}
    for value in DIFFERENT:
        assert seen.setdefault(token(value), value) is value, (value, seen[token(value)])


def test_calls_differ_by_the_number_and_names_of_arguments():
    calls = [token(), token(None), token(1), token(1, 1), token((1, 1)), token([1, 1])]
    calls += [token(a=1), token(b=1), token({"a": 1}), token(1, a=1), token(1, {"a": 1})]
    assert len(set(calls)) == len(calls)
    assert token(1, a=2, b=3) == token(1, b=3, a=2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {1: {}, 2: []}, "b": 2}, {"b": 2, "a": {2: [], 1: {}}}),
        ({(1, "x"): 1, (2, "y"): 2}, {(2, "y"): 2, (1, "x"): 1}),
        (set("abcdef"), set("fedcba")),
        ({frozenset("abc"), frozenset("def")}, {frozenset("fed"), frozenset("cba")}),
        ([[1], [1]], [[1]] * 2),
        (float("nan"), float("nan")),
        (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
        (np.arange(10)[::2], np.arange(0, 10, 2)),
        (np.arange(10)[::-1], np.arange(9, -1, -1)),
        (np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)[1:], None),
        (np.broadcast_to(np.float32(3), (4, 5)), np.full((4, 5), 3, "f4")),
        (memoryview(b"abcdef")[::2], memoryview(b"ace")),
        (Plain(a=1, b=2), Plain(b=2, a=1)),
        (Point([1]), Point([1])),
        (WithOwnToken([1], "first"), WithOwnToken([1], "second")),
        (adder(1), adder(1)),
        (functools.partial(adder(1), x=1), functools.partial(adder(1), x=1)),
        (Plain(a={"x", "y", "z"}), Plain(a={"z", "y", "x"})),
    ],
)
def test_equal_values_have_equal_tokens(one, other):
    if other is None:
        other = one.copy()
    assert token(one) == token(other)


def test_a_token_is_32_hexadecimal_digits():
    assert len(token(1)) == 32
    assert int(token(1), 16) >= 0


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=20)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.lists(st.tuples(st.text(max_size=2), inner), max_size=3).map(dict)
        | st.builds(slice, inner, inner, inner)
    ),
    max_leaves=12,
)


def in_order_of_keys(value):
    """Write a value so that the texts are equal just when the tokens have to be."""
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({','.join(map(in_order_of_keys, value))})"
    if isinstance(value, dict):
        entries = sorted(f"{key!r}:{in_order_of_keys(item)}" for key, item in value.items())
        return f"dict({','.join(entries)})"
    if isinstance(value, slice):
        return f"slice{in_order_of_keys((value.start, value.stop, value.step))}"
    return repr(value)


@pytest.mark.covers("tokenize.tokenize")
@given(plain_values, plain_values)
def test_tokens_agree_exactly_when_values_do(one, other):
    assert (token(one) == token(other)) == (in_order_of_keys(one) == in_order_of_keys(other))


@given(plain_values)
def test_a_copy_has_the_same_token(value):
    import pickle

    assert token(pickle.loads(pickle.dumps(value))) == token(value)


@given(st.lists(st.lists(st.integers(0, 3), max_size=20), max_size=20))
def test_short_and_long_containers_are_told_apart_by_content_only(value):
    padded = [*value, list(range(20))]
    assert (token(value) == token(padded)) is False
    assert token(padded) == token([list(inner) for inner in padded])


# --- Shape of the containers ---


@pytest.mark.parametrize("wrap", [lambda x: [x], lambda x: (x,), lambda x: {"a": x}, Point])
def test_nesting_may_be_deep(wrap):
    depth = 20_000 if wrap is Point else 100_000
    one, other, shallower = 1, 2, 1
    for level in range(depth):
        one, other = wrap(one), wrap(other)
        shallower = wrap(shallower) if level else shallower
    assert len({token(one), token(other), token(shallower)}) == 3
    del shallower
    while not isinstance(one, int):  # Objects this deep cannot be freed in one go.
        one = one.x if wrap is Point else next(iter(one.values() if type(one) is dict else one))
        other = (
            other.x
            if wrap is Point
            else next(iter(other.values() if type(other) is dict else other))
        )


def test_what_is_shared_is_hashed_once():
    shared = [1]
    for _ in range(200):
        shared = [shared, shared]
    unshared = [[[1], [1]], [[1], [1]]]
    small = [1]
    for _ in range(2):
        small = [small, small]
    assert token(shared) != token([shared])
    assert token(small) == token(unshared)


def cyclic_list(*items):
    value = list(items)
    value.append(value)
    return value


def test_cyclic_values_have_tokens():
    assert token(cyclic_list(1)) == token(cyclic_list(1))
    assert token(cyclic_list(1)) != token(cyclic_list(2))
    assert token(cyclic_list(1)) != token(cyclic_list())
    assert token([cyclic_list(1)]) != token(cyclic_list(1))


def test_tokens_of_cyclic_values_do_not_depend_on_the_order_of_entries():
    def looped(names):
        value = {}
        for name in names:
            value[name] = {"self": value, "name": name}
        return value

    assert token(looped("abcd")) == token(looped("dcba"))
    assert token(looped("abcd")) != token(looped("abc"))


def test_objects_that_refer_to_each_other_have_tokens():
    def pair(value):
        parent, child = Point("parent"), Point("child", value)
        parent.y, child.x = child, parent
        return parent

    assert token(pair(1)) == token(pair(1))
    assert token(pair(1)) != token(pair(2))


def test_a_value_all_of_whose_parts_refer_to_each_other_ends():
    parts = [[] for _ in range(100)]
    for part in parts:
        part.extend(parts)
    assert token(parts) == token(parts)


def test_an_element_that_leads_back_to_its_set_has_no_deterministic_token():
    element = Plain()
    element.around = {element}
    with pytest.raises(TokenizationError, match="Plain: it is in a set"):
        token(element)
    assert tokenize(element) != tokenize(element)


# --- NumPy and pandas ---


def test_arrays_differ_by_content_shape_and_dtype():
    base = np.arange(12.0)
    changed = base.copy()
    changed[7] = 100
    arrays = [
        *(base, changed, base.reshape(3, 4), base.reshape(4, 3), base.astype("f4")),
        *(base.astype(">f8"), base.view("i8"), base.view("M8[ns]"), base.view("M8[s]")),
        *(base.view("m8[s]"), base.astype(complex), base.astype(str), base.astype(object)),
        *(base.reshape(3, 4).T, base.tolist(), tuple(base), base.astype("g"), base.astype("G")),
        *(np.zeros(0), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(0, "i8"), np.array(1.0)),
        *(np.ma.array(base), np.ma.array(base, mask=base > 3), base.astype("S5")),
    ]
    tokens = [token(array) for array in arrays]
    assert len(set(tokens)) == len(arrays)
    assert tokens == [
        token(array.copy()) if hasattr(array, "copy") else token(array) for array in arrays
    ]


@pytest.mark.parametrize("size", [2_000, 300_000])
def test_every_byte_of_an_array_counts(size):
    array = np.zeros(size)
    tokens = {token(array)}
    for place in (0, 1, size // 2, size - 1):
        array[place] = 1
        tokens.add(token(array))
        array[place] = 0
    assert len(tokens) == 5
    assert token(array) in tokens


def test_layout_does_not_count_for_large_arrays():
    array = np.arange(3_000_000).reshape(3, 1000, 1000)
    assert token(array.transpose(2, 1, 0)) == token(np.ascontiguousarray(array.T))
    assert token(array[:, ::2, ::3]) == token(array[:, ::2, ::3].copy())


def test_padding_does_not_count():
    aligned = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    arrays = [np.frombuffer(bytes([fill]) * 32, np.uint8).copy().view(aligned) for fill in (1, 2)]
    for array in arrays:
        array["a"], array["b"] = 3, 4.5
    assert arrays[0].tobytes() != arrays[1].tobytes()
    assert token(arrays[0]) == token(arrays[1])
    assert token(arrays[0][0]) == token(arrays[1][0])
    arrays[1]["a"][0] = 5
    assert token(arrays[0]) != token(arrays[1])


def test_object_arrays_are_hashed_by_their_elements():
    def array(last):
        result = np.empty(3, object)
        result[:] = [[1], "a", last]
        return result

    assert token(array({1, 2})) == token(array({2, 1}))
    assert token(array(1)) != token(array(2))
    assert token(array(1)) != token(array(1).reshape(3, 1))


def test_a_read_only_file_mapping_is_hashed_by_its_file(tmp_path):
    path = tmp_path / "data.bin"
    np.arange(100.0).tofile(path)
    mapped = np.memmap(path, dtype=float, mode="r")
    assert token(mapped) == token(np.memmap(path, dtype=float, mode="r"))
    assert token(mapped[10:20]) != token(mapped[11:21])
    assert token(mapped[10:20]) != token(mapped[10:21])
    before = token(mapped)
    np.arange(1.0, 101.0).tofile(path)
    os.utime(path, ns=(1, 1))
    assert token(np.memmap(path, dtype=float, mode="r")) != before


def frame():
    return pd.DataFrame(
        {
            "number": [1, 2, 3],
            "text": ["a", None, "c"],
            "category": pd.Categorical(["x", "y", "x"]),
            "time": pd.date_range("2000", periods=3, tz="Europe/Paris"),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "sparse": pd.arrays.SparseArray([0, 0, 1]),
            "period": pd.period_range("2000", periods=3, freq="D"),
            "interval": pd.interval_range(0, 3),
        },
        index=pd.Index([10, 20, 30], name="key"),
    )


def test_equal_frames_agree():
    assert token(frame()) == token(frame())
    assert token(frame()) == token(frame().copy())
    assert token(frame()[["number", "text"]]) == token(frame().iloc[:, :2])
    for name in frame():
        assert token(frame()[name]) == token(frame()[name]), name
        assert token(frame()[name].array) == token(frame()[name].array.copy()), name


def test_each_part_of_a_frame_counts():
    changes = {
        "value": lambda df: df.assign(number=[1, 2, 4]),
        "dtype": lambda df: df.astype({"number": "int32"}),
        "text": lambda df: df.assign(text=["a", "b", "c"]),
        "categories": lambda df: df.assign(category=df.category.cat.add_categories("z")),
        "order": lambda df: df.assign(category=df.category.cat.as_ordered()),
        "zone": lambda df: df.assign(time=df.time.dt.tz_convert("UTC")),
        "missing": lambda df: df.assign(nullable=pd.array([1, 2, 3], dtype="Int64")),
        "index": lambda df: df.set_axis([10, 20, 31]),
        "index name": lambda df: df.rename_axis("other"),
        "column name": lambda df: df.rename(columns={"number": "count"}),
        "column order": lambda df: df[df.columns[::-1]],
        "rows": lambda df: df.iloc[:2],
        "levels": lambda df: df.set_index("text", append=True),
    }
    tokens = {token(frame())} | {token(change(frame())) for change in changes.values()}
    assert len(tokens) == len(changes) + 1


def test_kinds_of_index_and_array_differ():
    values = [
        *(pd.RangeIndex(3), pd.Index([0, 1, 2]), pd.Index([0, 1, 2], name="x")),
        *(pd.Index([0.0, 1.0, 2.0]), pd.Series([0, 1, 2]), pd.Series([0, 1, 2], name="x")),
        *(pd.MultiIndex.from_product([[1, 2], ["a"]]), pd.MultiIndex.from_product([[1, 2], ["b"]])),
        *(pd.array([1, 2], dtype="Int64"), pd.array([1, 2], dtype="Int32"), np.array([1, 2])),
        *(pd.CategoricalDtype(["a"]), pd.CategoricalDtype(["b"]), pd.NaT, pd.NA),
        *(pd.Timestamp("2000"), pd.Timestamp("2000", tz="UTC"), pd.Timedelta(1)),
    ]
    assert len({token(value) for value in values}) == len(values)


def test_what_lies_below_a_missing_value_does_not_count():
    one = pd.array([1, 2, 3], dtype="Int64")
    other = pd.array([1, 7, 3], dtype="Int64")
    assert token(one) != token(other)
    one[1] = other[1] = pd.NA
    assert token(one) == token(other)


# --- Functions and classes ---


def test_a_new_value_in_a_closure_makes_a_new_token():
    assert token(adder(1)) != token(adder(2))
    assert token(lambda x: x + 1) != token(lambda x: x + 2)
    assert token(lambda x, y=1: x) != token(lambda x, y=2: x)


def test_methods_differ_by_object_and_name():
    one, other = WithOwnToken(1, ""), WithOwnToken(2, "")
    methods = [one.__dask_tokenize__, other.__dask_tokenize__, [1].append, [2].append, [1].extend]
    methods += ["a".upper, "b".upper, str.upper, str.lower, (1).__add__, (2).__add__]
    assert len({token(method) for method in methods}) == len(methods)
    assert token(one.__dask_tokenize__) == token(WithOwnToken(1, "").__dask_tokenize__)


def test_functions_of_the_main_script_are_hashed_by_what_they_do():
    code = (
        "from oxidask.tokenize import tokenize\n"
        "FACTOR = {factor}\n"
        "def scale(x): return x * FACTOR\n"
        "def unrelated(): return {unrelated}\n"
        "class Model:\n"
        "    def fit(self, x): return scale(x)\n"
        "def work(x): return Model().fit(x)\n"
        "print(tokenize(work, Model(), ensure_deterministic=True))\n"
    )
    first = run_python(code.format(factor=2, unrelated=1))
    assert first == run_python("# moved down\n\n" + code.format(factor=2, unrelated=5))
    assert first != run_python(code.format(factor=3, unrelated=1))


# Many kinds of objects, all of `__main__`; the tokens are printed.
OBJECTS = """
import abc, collections, dataclasses, datetime, decimal, enum, fractions, functools, json, logging
import operator, pathlib, random, re, typing, uuid
import numpy as np, pandas as pd
from oxidask.tokenize import tokenize

LIMIT = 5
def helper(x): return x + LIMIT
def calls_helper(x): return helper(x)
def recursive(n): return recursive(n - 1) if n else np.sum(LIMIT)
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
class Base(abc.ABC):
    __slots__ = ("x", "__dict__")
    def __init__(self, x=1):
        super().__init__()
        self.x = x
    @property
    def value(self): return self.x
    @staticmethod
    def static(): return Base
    @classmethod
    def own(cls): return cls
    @functools.cached_property
    def cached(self): return 1
@dataclasses.dataclass
class Data:
    a: int
    b: list = dataclasses.field(default_factory=list)
Named = collections.namedtuple("Named", "a b")
class Typed(typing.NamedTuple):
    a: int
class Color(enum.Enum):
    RED = 1
    BLUE = "x"
class Flag(enum.Flag):
    A = 1
    B = 2
class Set(set): pass
class List(list): pass
class Dict(dict): pass
@functools.lru_cache
def cached(x): return x
@functools.wraps(helper)
def wrapper(x): return helper(x)
tree = Data(1)
tree.b.append(tree)
looped = {}
looped.update({name: [looped, name] for name in set("abcdef")})
objects = dict(
    function=calls_helper, recursive=recursive, mutual=(even, odd), cls=Base, instance=Base(),
    data=Data(1, [2]), named=Named(1, 2), typed=Typed(1), color=Color.RED, enum=Color,
    flag=Flag.A | Flag.B, set=Set("abcdef"), list=List([1]), dict=Dict(a=1), cached=cached,
    wrapper=wrapper, tree=tree, looped=looped, in_set=lambda x: x in {"a", "b", "c"},
    static=Base.static, own=Base.own, plain_set=set("abcdef"), frozen=frozenset("abcdef"),
    datetime=datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc),
    decimal=decimal.Decimal("1.5"), fraction=fractions.Fraction(1, 3), uuid=uuid.UUID(int=5),
    path=pathlib.Path("/a/b"), pattern=re.compile("a+", re.I), module=np,
    partial=functools.partial(helper, x=2), ordered=collections.OrderedDict(a=1),
    deque=collections.deque([1]), counter=collections.Counter("abca"), ufunc=np.sin,
    default=collections.defaultdict(list, {c: c for c in set("abcdef")}), numpy=np.sum,
    getter=operator.itemgetter(1), alias=list[int], error=ValueError("x"),
    logger=logging.getLogger("a"), random=random.Random(3), state=np.random.RandomState(0),
    generator=np.random.default_rng(0), masked=np.ma.array([1, 2], mask=[0, 1]),
    frame=pd.DataFrame({"a": ["x", None], "b": pd.Categorical([{1}, {1}][:0] or ["p", "q"])}),
    objects=np.array([set("abcdef"), None], dtype=object), proxy=Base.__dict__["value"],
    structured=np.zeros(2, [("a", "i1"), ("b", "O")]), day=pd.offsets.Day(2),
    polynomial=np.polynomial.Polynomial([1, 2]), any=typing.Any, vectorized=np.vectorize(abs),
)
print(json.dumps({name: tokenize(x, ensure_deterministic=True) for name, x in objects.items()}))
"""


def test_tokens_are_the_same_in_every_process():
    first, *others = (json.loads(run_python(OBJECTS, PYTHONHASHSEED=seed)) for seed in "012")
    assert len(first) > 40
    assert len(set(first.values())) == len(first)
    for other in others:
        assert {name for name in first if first[name] != other[name]} == set()


def test_numpy_and_pandas_are_not_imported():
    found = run_python(
        "import sys\n"
        "from oxidask.tokenize import tokenize\n"
        "tokenize(1, [2], {'a': {3}}, lambda x: x, len, sys, ValueError('x'))\n"
        "print(sorted({'numpy', 'pandas', 'yaml', 'cloudpickle'} & set(sys.modules)))"
    )
    assert found == "[]"


# --- Objects ---


def test_an_object_that_changed_has_a_new_token():
    for value in (Plain(a=[1]), Point([1]), [Point([1])], {"a": Plain(a=[1])}):
        before = token(value)
        inner = value
        while not isinstance(inner, (Plain, Point)):
            inner = inner[0] if isinstance(inner, list) else inner["a"]
        (inner.a if isinstance(inner, Plain) else inner.x).append(2)
        assert token(value) != before


def test_an_objects_own_method_decides():
    assert token(WithOwnToken(1, "a")) == token(WithOwnToken(1, "b"))
    assert token(WithOwnToken(1, "a")) != token(WithOwnToken(2, "a"))
    assert token(WithOwnToken) == token(WithOwnToken)
    assert token(WithOwnToken(1, "a")) != token(1)


def test_attributes_of_any_name_are_no_method():
    class Magic:
        def __getattr__(self, name):
            if name.startswith("__") and name != "__dask_tokenize__":
                raise AttributeError(name)
            return lambda: 1 / 0

    assert token(Magic()) == token(Magic())


class CountsPickles:
    """Gives pickle another state each time."""

    count = 0

    def __getstate__(self):
        type(self).count += 1
        return {"count": self.count}


@pytest.mark.covers("tokenize.TokenizationError")
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (object, "builtins.object"),
        (threading.Lock, "_thread.lock"),
        (lambda: [Plain(a=threading.Lock())], "_thread.lock"),
        (lambda: (x for x in ()), "builtins.generator"),
        (CountsPickles, "CountsPickles"),
        (lambda: Plain(a=[CountsPickles()]), "CountsPickles"),
        (lambda: np.frompyfunc(abs, 1, 1), "numpy.ufunc"),
        (lambda: np.array([object()]), "builtins.object"),
    ],
)
def test_an_object_without_a_rule_is_random_or_an_error(make, name):
    value = make()
    assert tokenize(value) != tokenize(value)
    assert tokenize(value, ensure_deterministic=False) != tokenize(value)
    with pytest.raises(TokenizationError, match=name) as raised:
        tokenize(value, ensure_deterministic=True)
    assert "__dask_tokenize__" in str(raised.value)
    assert "normalize_token.register" in str(raised.value)
    with (
        config.set({"tokenize.ensure-deterministic": True}),
        pytest.raises(TokenizationError, match=name),
    ):
        tokenize(value)
    with config.set({"tokenize.ensure-deterministic": True}):
        assert tokenize(value, ensure_deterministic=False) != tokenize(
            value, ensure_deterministic=False
        )


def test_the_same_object_twice_in_a_call_is_described_once():
    described = []

    class Counted:
        def __dask_tokenize__(self):
            described.append(self)
            return 1

    value = Counted()
    token(value, [value], {"a": value})
    assert described == [value]


def test_what_is_asked_for_holds_in_calls_of_an_objects_method():
    class Wrapper:
        def __dask_tokenize__(self):
            return tokenize(object())

    assert tokenize(Wrapper()) != tokenize(Wrapper())
    with pytest.raises(TokenizationError):
        tokenize(Wrapper(), ensure_deterministic=True)
    assert tokenize(object())  # The demand ended with its call.


def test_an_error_in_an_objects_method_is_the_users():
    class Broken:
        def __dask_tokenize__(self):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        tokenize([Broken()])


# --- normalize_token ---


def test_a_registered_function_decides_before_the_objects_method():
    class Base(WithOwnToken): ...

    class Derived(Base): ...

    normalize_token.register(Base, lambda value: value.comment)
    assert token(Derived(1, "a")) == token(Derived(2, "a"))
    assert token(Derived(1, "a")) != token(Derived(1, "b"))
    assert token(Derived(1, "a")) != token(Base(1, "a"))
    assert normalize_token(Derived(1, "a")) == "a"
    assert normalize_token.dispatch(Derived)(Derived(1, "a")) == "a"


def test_register_takes_several_types_and_is_a_decorator():
    class One: ...

    class Two: ...

    @normalize_token.register((One, Two))
    def describe(value):
        return 5

    assert normalize_token(One()) == normalize_token(Two()) == 5
    assert normalize_token.dispatch(One) is describe
    assert token(One()) != token(Two())


def test_what_a_function_gives_is_hashed_by_the_same_rules():
    class Holder:
        def __init__(self, *content):
            self.content = content

    normalize_token.register(Holder, lambda holder: holder.content)
    assert token(Holder({"a", "b"}, Plain(a=1))) == token(Holder({"b", "a"}, Plain(a=1)))
    assert token(Holder(Plain(a=1))) != token(Holder(Plain(a=2)))
    assert token(Holder(Holder(1))) != token(Holder(1))


@pytest.mark.covers("tokenize.normalize_token")
def test_normalize_token_describes_every_object():
    assert normalize_token(1) == 1
    assert normalize_token("a") == "a"
    assert normalize_token(WithOwnToken([1], "")) == [1]
    assert normalize_token([1, 2]) == ("builtins.list", token([1, 2]))
    assert normalize_token(np.arange(3)) != normalize_token(np.arange(4))


def test_a_function_for_a_builtin_type_turns_its_fast_path_off():
    found = run_python(
        "from oxidask.tokenize import normalize_token, tokenize\n"
        "before = tokenize([1, 2]), tokenize([2, 1]), tokenize((1, 2)), tokenize({'a': [[1, 2]]})\n"
        "normalize_token.register(list, lambda value: sorted(value))\n"
        "after = tokenize([1, 2]), tokenize([2, 1]), tokenize((1, 2)), tokenize({'a': [[1, 2]]})\n"
        "print([one == other for one, other in zip(before, after)], after[0] == after[1])\n"
        "normalize_token.register(int, lambda value: value % 2)\n"
        "print(tokenize(1) == tokenize(3), tokenize(1) == tokenize(2), tokenize((5, 2.0)) =="
        " tokenize((7, 2.0)), tokenize(True) == tokenize(False), tokenize(5.0) == tokenize(7.0))"
    )
    assert found == "[False, False, True, False] True\nTrue False True False False"


def test_a_function_for_numpy_turns_its_fast_path_off():
    found = run_python(
        "from oxidask.tokenize import normalize_token, tokenize\n"
        "@normalize_token.register_lazy('numpy')\n"
        "def register():\n"
        "    import numpy\n"
        "    normalize_token.register(numpy.ndarray, lambda array: array.shape)\n"
        "import numpy as np\n"
        "print(tokenize(np.zeros(3)) == tokenize(np.ones(3)),"
        " tokenize(np.zeros(3)) == tokenize(np.zeros(4)),"
        " tokenize(np.float64(1)) == tokenize(np.float64(1)),"
        " tokenize(np.float64(1)) == tokenize(np.float64(2)))"
    )
    assert found == "True False True False"


def test_register_lazy_waits_for_the_first_object_of_the_package():
    found = run_python(
        "from oxidask.tokenize import normalize_token, tokenize\n"
        "import fractions\n"
        "called = []\n"
        "def register():\n"
        "    called.append(1)\n"
        "    normalize_token.register(fractions.Fraction, lambda value: value.numerator)\n"
        "assert normalize_token.register_lazy('fractions', register) is register\n"
        "tokenize(1, 'a')\n"
        "print(called)\n"
        "Half, Third = fractions.Fraction(1, 2), fractions.Fraction(1, 3)\n"
        "print(tokenize(Half) == tokenize(Third), tokenize(Half), called)\n"
    )
    first, second = found.splitlines()
    assert first == "[]"
    assert second.startswith("True ")
    assert second.endswith("[1]")


# --- Threads ---


def test_many_threads_get_the_same_tokens():
    values = [np.arange(500_000), {"a": [1, {2, 3}]}, frame(), adder(3), Plain(a=1)]
    expected = [token(value) for value in values]
    results = []

    def work():
        results.extend([token(value) for value in values] == expected for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 20


def test_tokens_of_plain_values_stay_as_they_are():
    found = {text: tokenize(eval(text)) for text in GOLDEN}
    assert found == GOLDEN


def test_large_content_is_hashed_in_blocks_whatever_its_layout():
    rows = np.random.default_rng(5).integers(0, 255, (3_001, 8_009), dtype=np.uint8)
    token = tokenize(rows)
    assert tokenize(np.asfortranarray(rows)) == token
    wide = np.zeros((3_001, 2 * 8_009), dtype=np.uint8)
    wide[:, ::2] = rows
    assert tokenize(wide[:, ::2]) == token
    assert tokenize(rows.reshape(8_009, 3_001)) != token
    tokens = {token}
    for place in (0, 8 * 2**20 - 1, 8 * 2**20, 20_000_000, rows.size - 1):
        other = rows.copy()
        other.flat[place] ^= 1
        tokens.add(tokenize(other))
        tokens.add(tokenize(other.tobytes()))
    assert len(tokens) == 11
    # Two blocks that change places are another array.
    block = 8 * 2**20
    swapped = rows.copy().reshape(-1)
    swapped[:block], swapped[block : 2 * block] = (
        swapped[block : 2 * block].copy(),
        swapped[:block].copy(),
    )
    assert tokenize(swapped.reshape(rows.shape)) not in tokens
