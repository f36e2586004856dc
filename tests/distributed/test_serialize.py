"""Pickles of values and errors, apart from any cluster; and any plain value through one."""

import builtins
import ctypes
import pickle
import subprocess
import sys
import threading
import time
import traceback

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oxidask import TaskError, _serialize
from oxidask.distributed import Client

PENDING = {}

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**64), max_value=2**64)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.text(alphabet=st.characters(categories=["Cs", "Lu"]), max_size=5)
    | st.binary(),
    lambda parts: (
        st.lists(parts, max_size=5)
        | st.lists(parts, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(), parts, max_size=5)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=5)
        | st.sets(st.integers() | st.text(max_size=3), max_size=5)
    ),
    max_leaves=20,
)


def normal(value):
    """Return a text that equal values share, with their types; sets have no order."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__}{sorted(map(normal, value))}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}{[normal(part) for part in value]}"
    if isinstance(value, dict):
        return f"dict{[(normal(key), normal(part)) for key, part in value.items()]}"
    return f"{type(value).__name__} {value!r}"


def same(*values, **named):
    return values, named


@pytest.fixture(scope="module")
def lasting_client(cluster):
    """Connect one client for all examples."""
    with Client(cluster) as client:
        yield client


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(PLAIN, max_size=4), named=PLAIN)
def test_any_plain_value_goes_to_a_task_and_back(lasting_client, values, named):
    result = lasting_client.submit(same, *values, named=named, pure=False).result()
    assert normal(result) == normal((tuple(values), {"named": named}))


@settings(max_examples=100, deadline=None)
@given(value=PLAIN)
def test_any_plain_value_is_pickled_and_read(value):
    assert normal(_serialize.load(_serialize.dump(value))) == normal(value)
    pickled, buffers = _serialize.dump_apart(value)
    assert normal(_serialize.load_apart(pickled, buffers)) == normal(value)


@pytest.mark.parametrize(
    ("value", "way"),
    [
        ([1, 2, "three"], "plain"),
        ({"a": 1.5}, "plain"),
        ({1, 2}, "plain"),
        (list(range(1000)), "live"),
        ([[1]], "live"),
        (object(), "live"),
        (np.arange(3), "apart"),
        (np.array([1, None]), "live"),
        (b"x" * 100_000, "apart"),
        ("x" * 100_000, "apart"),
        (bytearray(5), "apart"),
    ],
)
def test_the_way_a_result_is_kept(value, way):
    assert _serialize.way_of(value) == way


def test_buffers_stand_beside_the_pickle():
    values = np.arange(100_000)
    pickled, buffers = _serialize.dump_apart({"a": values, "b": [values]})
    assert len(pickled) < 1000
    assert [buffer.nbytes for buffer in buffers] == [values.nbytes]


def test_functions_of_the_main_script_travel_by_value(tmp_path):
    script = (
        "import sys\nfrom oxidask import _serialize\n"
        "factor = 3\ndef scaled(x):\n    return x * factor\n"
        "sys.stdout.buffer.write(_serialize.dump(scaled))\n"
    )
    (tmp_path / "script.py").write_text(script)
    made = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, check=True
    )
    assert _serialize.load(made.stdout)(2) == 6


def test_functions_of_modules_travel_by_name():
    assert len(_serialize.dump(same)) < 100
    assert _serialize.load(_serialize.dump(same)) is same


def raised(function, *args):
    """Return what a call raises, as it arrives."""
    try:
        function(*args)
    except BaseException as error:
        return _serialize.load_error(_serialize.dump_error(error))
    raise AssertionError("it raises")


def test_an_error_arrives_with_the_lines_that_raised_it():
    def inner():
        raise ValueError("here")

    error = raised(inner)
    assert isinstance(error, ValueError)
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert (last.name, last.line) == ("inner", 'raise ValueError("here")')
    assert last.filename == __file__


def test_a_cause_of_an_error_that_cannot_be_pickled_is_described():
    class Stubborn(Exception):
        def __reduce__(self):
            raise TypeError("no")

    def fail():
        raise ValueError("outer") from Stubborn("inner")

    error = raised(fail)
    assert isinstance(error, ValueError)
    assert isinstance(error.__cause__, TaskError)
    assert "Stubborn: inner" in str(error.__cause__)


def test_errors_in_a_circle_end():
    def fail():
        one, other = ValueError("one"), KeyError("other")
        one.__cause__, other.__cause__ = other, one
        raise one

    error = raised(fail)
    assert isinstance(error, ValueError)
    assert isinstance(error.__cause__, KeyError)


def test_an_error_without_a_description_is_still_one():
    assert isinstance(_serialize.load_error(b""), TaskError)


def test_dumping_an_error_leaves_it_as_it_was():
    try:
        raise ValueError("kept")
    except ValueError as caught:
        error = caught
    before = error.__traceback__
    _serialize.dump_error(error)
    assert error.__traceback__ is before


def test_garbled_pickles_are_errors():
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        _serialize.load(b"\x80")


def test_a_value_survives_that_another_thread_was_stopped_in_an_import(tmp_path, monkeypatch):
    (tmp_path / "slowly_imported.py").write_text(
        "import builtins\nbuiltins.slow_import()\ndef inc(i):\n    return i + 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    pickled = b"cslowly_imported\ninc\n."
    imports = threading.Event()

    def wait_in_first_import():
        if not imports.is_set():
            imports.set()
            while True:
                time.sleep(0.001)

    monkeypatch.setattr(builtins, "slow_import", wait_in_first_import, raising=False)
    outcomes = []

    def read():
        try:
            outcomes.append(_serialize.load(pickled)(1))
        except BaseException as error:
            outcomes.append(type(error))

    first, second = threading.Thread(target=read), threading.Thread(target=read)
    try:
        first.start()
        assert imports.wait(20)
        second.start()
        # The second thread stands in `import_ensure_initialized`, where nobody can see it.
        time.sleep(0.3)
        stop = ctypes.pythonapi.PyThreadState_SetAsyncExc
        assert stop(ctypes.c_ulong(first.ident), ctypes.py_object(ZeroDivisionError)) == 1
        first.join(20)
        second.join(20)
        assert outcomes == [ZeroDivisionError, 2]
    finally:
        sys.modules.pop("slowly_imported", None)


def test_a_missing_key_is_no_missing_module():
    for key in ("no_module_of_this_name", "os", ("os",), "a..b", ""):
        with pytest.raises(KeyError) as caught:
            _serialize.load(pickle.dumps(Failing(key)))
        assert caught.value.args == (key,)


class Failing:
    """A value that cannot be read again."""

    def __init__(self, key):
        self.key = key

    def __reduce__(self):
        return _raise, (self.key,)


def _raise(key):
    raise KeyError(key)
