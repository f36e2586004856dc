"""The helpers of `oxidask.utils`."""

from __future__ import annotations

import functools
import operator
import os
import pickle
import subprocess
import sys
import threading
import types
from collections import OrderedDict, namedtuple
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import oxidask
from oxidask import utils


def test_every_public_name_exists_and_is_described():
    assert len(set(utils.__all__)) == len(utils.__all__)
    for name in utils.__all__:
        found = getattr(utils, name)
        assert not callable(found) or name == "M" or found.__doc__, name


# --- Text ---


@pytest.mark.covers("utils.format_bytes")
@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (921, "921 B"),
        (922, "0.90 kiB"),
        (1024, "1.00 kiB"),
        (943_718, "921.60 kiB"),
        (943_719, "0.90 MiB"),
        (10**9, "0.93 GiB"),
        (10**12, "0.91 TiB"),
        (10**16, "8.88 PiB"),
        (2**60, "1024.00 PiB"),
        (-5, "-5 B"),
    ],
)
def test_bytes_are_written_in_the_largest_unit_that_suits(n, text):
    assert utils.format_bytes(n) == text


@pytest.mark.covers("utils.parse_bytes")
@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("100", 100),
        ("100 MB", 10**8),
        ("5.4 kB", 5400),
        ("1kiB", 1024),
        ("1 KiB", 1024),
        ("1Ki", 1024),
        ("1K", 1000),
        ("1e6", 10**6),
        ("1e6 kB", 10**9),
        ("1e-3MB", 1000),
        ("MB", 10**6),
        (" 12 kb ", 12_000),
        ("1 tib", 2**40),
        ("-5kB", -5000),
        (123, 123),
        (123.9, 123),
    ],
)
def test_bytes_are_read_from_text(text, n):
    assert utils.parse_bytes(text) == n


@pytest.mark.parametrize("text", ["5 foos", "1EB", "1.5.6", "kB 1", "1,000", "5 MiB/s"])
def test_what_is_no_number_of_bytes_is_an_error_that_shows_it(text):
    with pytest.raises(ValueError, match=r"parse_bytes\('"):
        utils.parse_bytes(text)


def test_bytes_are_a_text_or_a_number():
    with pytest.raises(TypeError, match="5 MB"):
        utils.parse_bytes(None)


@pytest.mark.parametrize("n", [0, 1, 999, 123_456, 10**9, 10**13, 3 * 2**50])
def test_what_is_written_can_be_read(n):
    assert utils.parse_bytes(utils.format_bytes(n)) == pytest.approx(n, rel=0.01)


@pytest.mark.covers("utils.format_time")
@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 us"),
        (1e-7, "0.10 us"),
        (0.00123, "1.23 ms"),
        (1, "1.00 s"),
        (600, "600.00 s"),
        (601, "10m 1s"),
        (7200, "120m 0s"),
        (7201, "2hr 0m"),
        (172_800, "48hr 0m"),
        (172_801, "2d 0hr"),
        (1e6, "11d 13hr"),
    ],
)
def test_seconds_are_written_in_the_units_that_suit(seconds, text):
    assert utils.format_time(seconds) == text


@pytest.mark.covers("utils.parse_timedelta")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3s", 3),
        ("3.5 seconds", 3.5),
        ("300ms", 0.3),
        ("5m", 300),
        ("1.5 h", 5400),
        ("1 day", 86_400),
        ("2 weeks", 1_209_600),
        ("5 us", 5e-6),
        ("5 µs", 5e-6),
        ("1 ns", 1e-9),
        ("H", 3600),
        ("2 Seconds", 2),
        ("7", 7),
        (5, 5),
        (5.5, 5.5),
        (timedelta(minutes=2), 120),
        (None, None),
    ],
)
def test_durations_are_read_from_text(text, seconds):
    assert utils.parse_timedelta(text) == (seconds and pytest.approx(seconds))


def test_a_number_alone_has_the_default_unit():
    assert utils.parse_timedelta("5", default="ms") == 0.005
    assert utils.parse_timedelta(5, default="minutes") == 300
    assert utils.parse_timedelta("5 h", default="ms") == 18_000
    with pytest.raises(ValueError, match="unit is missing"):
        utils.parse_timedelta("5", default=False)
    with pytest.raises(TypeError, match="default="):
        utils.parse_timedelta(5, default=None)


@pytest.mark.parametrize("text", ["", "foo", "5 foo", "1 hour 5", "x s", "ss"])
def test_what_is_no_duration_is_an_error(text):
    with pytest.raises(ValueError, match="parse_timedelta"):
        utils.parse_timedelta(text)


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("x", "x"),
        ("x-1-2-3", "x"),
        ("x-2-3-abc", "x"),
        ("('x-2',1)", "x"),
        ("('data','a')", "data"),
        ("_(x)", "x"),
        ("hello-world-1", "hello-world"),
        (b"hello-world-1", "hello-world"),
        ("ae05086432ca935f6eba409a8ecd4896", "data"),
        ("<module.submodule.myclass object at 0xdaf372", "myclass"),
        (None, "Other"),
        (5, "Other"),
        ("", "Other"),
        ("-", "Other"),
        (("x-1", 2), "x"),
        ("foo-bar-abcdefabcd", "foo-bar-abcdefabcd"),
        ("x-abcdefab", "x"),
        ("x-abcdefabc1", "x"),
        ("sum-aggregate-1234abcd12", "sum-aggregate"),
        ("a-b-c", "a-b-c"),
        ("load_f-0", "load_f"),
        ("x_1", "x_1"),
        ("a-1-b", "a"),
        ("from-delayed-123abc", "from-delayed"),
    ],
)
def test_the_prefix_of_a_key(key, prefix):
    assert utils.key_split(key) == prefix


def test_numbers_in_names_are_compared_as_numbers():
    assert sorted(["f10", "f2", "f1b3", "f1b20"], key=utils.natural_sort_key) == [
        "f1b3",
        "f1b20",
        "f2",
        "f10",
    ]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (print, "print"),
        (functools.partial(functools.partial(int, base=2)), "int"),
        (lambda x: x, "lambda"),
        ("a".upper, "upper"),
        (np.add, "add"),
        (OrderedDict, "OrderedDict"),
        (pd.DataFrame.sum, "sum"),
    ],
)
def test_names_of_functions(function, name):
    assert utils.funcname(function) == name


def test_names_of_types():
    assert utils.typename(5) == "int"
    assert utils.typename(np.ndarray) == utils.typename(np.ones(1)) == "numpy.ndarray"
    assert utils.typename(threading.Thread, short=True) == "threading.Thread"


def test_keys_become_text():
    assert utils.stringify(("x", 1)) == "('x', 1)"
    assert utils.stringify(b"x") == b"x"
    graph = {"k": [("x", 1), (abs, ("x", 1)), ("y", 1), []]}
    assert utils.stringify(graph, exclusive=[("x", 1)]) == {
        "k": ["('x', 1)", (abs, "('x', 1)"), ("y", 1), []]
    }


def test_short_sizes():
    assert [utils.memory_repr(n) for n in (0, 5000, 2**32, 2**50)] == [
        "0.0 bytes",
        "4.9 KB",
        "4.0 GB",
        "1024.0 TB",
    ]


# --- Calls ---


@pytest.mark.covers("utils.apply")
def test_apply_gives_arguments_and_keywords():
    assert utils.apply(max, [1, 2]) == 2
    assert utils.apply(max, [[1, -2]], {"key": abs}) == -2
    assert oxidask.get({"x": (utils.apply, int, ["101"], {"base": 2})}, "x") == 5


def test_arguments_of_functions():
    assert utils.has_keyword(lambda a, b=1: 0, "b")
    assert not utils.has_keyword(lambda **kwargs: 0, "b")
    assert not utils.has_keyword(5, "b")


@pytest.mark.parametrize(
    ("caller", "argument", "expected"),
    [
        (utils.methodcaller("upper"), "a", "A"),
        (utils.M.upper, "a", "A"),
        (utils.itemgetter(1), "ab", "b"),
    ],
)
def test_callers_can_be_pickled_and_compared(caller, argument, expected):
    copy = pickle.loads(pickle.dumps(caller))
    assert copy(argument) == expected
    assert copy == caller
    assert hash(copy) == hash(caller)
    assert caller != utils.methodcaller("lower")


def test_square_brackets_call_a_function():
    assert utils.IndexCallable(lambda index: index)[1, 2:] == (1, slice(2, None))


def test_a_docstring_is_taken_from_another_class():
    class Mine:
        @utils.derived_from(list, ua_args=["reverse"], inconsistencies="it does nothing")
        def sort(self):
            pass

    assert list.sort.__doc__.splitlines()[0] in Mine.sort.__doc__
    assert "reverse" in Mine.sort.__doc__
    assert "it does nothing" in Mine.sort.__doc__


def test_a_module_that_is_missing_is_an_error_that_says_what_to_do():
    assert utils.import_required("math", "").pi > 3
    with pytest.raises(RuntimeError, match="install it"):
        utils.import_required("no_such_module", "install it")


# --- Containers ---


def test_functions_go_through_nested_lists():
    assert utils.deepmap(abs, [[-1], [-2, [-3]]]) == [[1], [2, [3]]]
    assert utils.deepmap(operator.add, [1, [2]], [3, [4]]) == [4, [6]]
    assert utils.ndeepmap(2, abs, [[-1, -2], [-3]]) == [[1, 2], [3]]
    assert utils.ndeepmap(0, abs, [-1]) == utils.ndeepmap(0, abs, -1) == 1


def test_containers_become_others():
    proxy = types.MappingProxyType({"a": 1})
    assert type(utils.ensure_dict(proxy)) is dict
    plain = {"a": 1}
    assert utils.ensure_dict(plain) is plain
    assert utils.ensure_dict(plain, copy=True) is not plain
    some = {1}
    assert utils.ensure_set(some) is some
    assert utils.ensure_set([1, 1]) == some
    assert utils.ensure_bytes("é") == "é".encode()
    assert utils.ensure_bytes(bytearray(b"a")) == b"a"
    assert utils.ensure_unicode(b"a") == utils.ensure_unicode("a") == "a"
    with pytest.raises(TypeError, match="neither text nor"):
        utils.ensure_unicode(5)
    assert utils.unzip([(1, 2), (3, 4)], 2) == [(1, 3), (2, 4)]
    assert utils.unzip([], 2) == [(), ()]


# --- Kinds ---


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.ones(2), "arraylike"),
        (np.array(1), "arraylike"),
        (pd.DataFrame({"a": [1]}), "dataframe_like"),
        (pd.Index([1]), "index_like"),
        (np.float64(1), None),
        (np.ndarray, None),
        (pd.DataFrame, None),
        ([1], None),
        (5, None),
    ],
)
def test_each_object_is_of_its_kind_only(value, kind):
    for name in ("arraylike", "dataframe_like", "index_like", "series_like"):
        if kind == "index_like" and name == "arraylike":
            continue
        assert getattr(utils, f"is_{name}")(value) == (name == kind), name


def test_a_series_is_like_an_array_too():
    series = pd.Series([1])
    assert utils.is_series_like(series)
    assert utils.is_arraylike(series)
    assert not utils.is_index_like(series)


def test_namedtuples_and_whole_numbers():
    assert utils.is_namedtuple_instance(namedtuple("Pair", "a b")(1, 2))
    assert not utils.is_namedtuple_instance((1, 2))
    for number, is_whole in [
        (1, True),
        (np.int8(1), True),
        (2.0, True),
        (2.5, False),
        ("2", False),
    ]:
        assert utils.is_integer(number) == is_whole


# --- Locks ---


@pytest.mark.covers("utils.SerializableLock")
def test_copies_of_a_lock_are_one_lock():
    lock = utils.SerializableLock()
    copy = pickle.loads(pickle.dumps(lock))
    with lock:
        assert copy.locked()
        assert not copy.acquire(blocking=False)
    assert copy.acquire(timeout=1)
    assert lock.locked()
    copy.release()
    assert str(lock.token) in repr(lock)


def test_locks_of_one_token_are_one_lock_and_others_are_not():
    assert utils.SerializableLock("a").lock is utils.SerializableLock("a").lock
    assert utils.SerializableLock("a").lock is not utils.SerializableLock("b").lock
    assert utils.SerializableLock().token != utils.SerializableLock().token


def test_a_lock_guards_tasks():
    lock = utils.SerializableLock()
    inside, most = [], []

    @oxidask.delayed
    def work(i):
        with lock:
            inside.append(i)
            most.append(len(inside))
            inside.remove(i)

    oxidask.compute([work(i) for i in range(200)], num_workers=4)
    assert set(most) == {1}


# --- Dispatch ---


@pytest.fixture
def describe():
    dispatch = utils.Dispatch("describe")

    @dispatch.register(int)
    def of_int(x, *args, **kwargs):
        return "int", args, kwargs

    @dispatch.register((float, str))
    def of_others(x):
        return "float or str"

    return dispatch


@pytest.mark.covers("utils.Dispatch")
def test_the_type_of_the_first_argument_chooses(describe):
    assert describe(1, 2, k=3) == ("int", (2,), {"k": 3})
    assert describe(True) == ("int", (), {})
    assert describe(1.5) == describe("x") == "float or str"
    assert describe.dispatch(bool) is describe.dispatch(int)
    assert describe.__name__ == "describe"


def test_a_type_without_a_function_is_an_error_that_names_it(describe):
    with pytest.raises(TypeError, match=r"describe: nothing is registered for builtins\.dict"):
        describe({})
    describe.register(object, lambda x: "anything")
    assert describe({}) == "anything"
    assert describe.register(dict, len) is len
    assert describe({"a": 1}) == 1


def test_functions_of_a_package_are_registered_when_its_first_object_comes(describe):
    loaded = []

    @describe.register_lazy("numpy")
    def register():
        loaded.append(1)
        describe.register(np.ndarray, lambda x: "array")

    describe(1)
    assert loaded == []
    assert describe(np.ones(1)) == describe(np.ones(2)) == "array"
    assert loaded == [1]


# --- Files ---


def test_temporary_files_and_folders_are_removed(tmp_path):
    with utils.tmpfile(".csv", dir=str(tmp_path)) as name:
        assert not os.path.exists(name)
        Path(name).write_text("x")
    with utils.tmpdir(dir=str(tmp_path)) as folder:
        Path(folder, "inside").write_text("x")
    with utils.tmpfile(dir=str(tmp_path)) as name:
        os.mkdir(name)
    assert list(tmp_path.iterdir()) == []


def test_the_setting_says_where_temporary_files_are(tmp_path):
    with (
        oxidask.config.set({"temporary-directory": str(tmp_path)}),
        utils.tmpfile() as name,
        utils.tmpdir() as folder,
    ):
        assert Path(name).parent == Path(folder).parent == tmp_path


def test_files_with_text_are_there_in_the_block(tmp_path):
    before = os.getcwd()
    with utils.filetext("a,b", "csv") as name:
        assert name.endswith(".csv")
        assert Path(name).read_text() == "a,b"
    with utils.filetexts({"a.csv": b"1", "sub/b.csv": b"2"}, mode="b") as names:
        assert [Path(name).read_bytes() for name in names] == [b"1", b"2"]
        assert os.getcwd() != before
    with utils.changed_cwd(tmp_path):
        assert Path.cwd() == tmp_path
    assert os.getcwd() == before


# --- Random numbers ---


def test_states_for_random_numbers_differ_and_follow_from_the_seed():
    one, two = utils.random_state_data(2, random_state=5)
    assert not np.array_equal(one, two)
    again = utils.random_state_data(2, random_state=np.random.RandomState(5))
    assert np.array_equal(again, [one, two])
    np.random.RandomState(one).uniform()


# --- Import ---


def test_after_the_import_modules_are_there_as_attributes_but_not_loaded():
    code = (
        "import oxidask, sys\n"
        "names = 'datasets highlevelgraph multiprocessing optimization sizeof system typing '\n"
        "names += 'utils'\n"
        "assert not [n for n in names.split() if f'oxidask.{n}' in sys.modules]\n"
        "assert oxidask.utils.parse_bytes('1 kB') == 1000\n"
        "for n in names.split(): getattr(oxidask, n)\n"
        "assert 'numpy' not in sys.modules and 'pandas' not in sys.modules\n"
        "assert not hasattr(oxidask, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
