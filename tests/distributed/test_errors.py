"""What goes wrong on the way: values, exceptions and functions that cannot travel."""

import pickle
import sys
import threading
import traceback

import pytest

from oxidask import TaskError
from oxidask.distributed import Client, wait

PENDING = {}


class TwoArguments(Exception):
    """Its class cannot be called with what pickle keeps of it, one argument."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("this exception stays at home")


class UnreadableElsewhere(Exception):
    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise RuntimeError("cannot be read")


class BadText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def inc(i):
    return i + 1


def raise_it(kind, *args):
    raise kind(*args)


def recurse(depth):
    return recurse(depth + 1)


def in_a_local_class():
    class LocalError(ValueError):
        pass

    raise LocalError("from inside")


# ---- Exceptions ----


def test_an_exception_with_two_arguments_arrives_as_it_was_raised(client):
    error = client.submit(raise_it, TwoArguments, 7, "seven").exception()
    assert type(error) is TwoArguments
    assert (error.code, error.reason) == (7, "seven")
    assert str(error) == "7: seven"
    assert "in raise_it" in "".join(traceback.format_exception(error))


def test_an_exception_of_a_local_class_with_two_arguments_arrives_too(client):
    class Local(LookupError):
        def __init__(self, *, code):
            super().__init__(f"code {code}")
            self.code = code

    def fail():
        raise Local(code=5)

    error = client.submit(fail).exception()
    assert isinstance(error, LookupError)
    assert (type(error).__name__, str(error), error.code) == ("Local", "code 5", 5)


@pytest.mark.parametrize("kind", [Unpicklable, UnreadableElsewhere])
def test_an_exception_that_cannot_be_pickled_is_described(client, mode, kind):
    error = client.submit(raise_it, kind, "what it says").exception()
    if mode == "threads":
        assert isinstance(error, kind)
        return
    assert isinstance(error, TaskError)
    assert f"{kind.__name__}: what it says" in str(error)
    assert "in raise_it" in str(error)
    assert any("raise_it-" in note for note in error.__notes__)


def test_an_exception_without_text_is_named(client, mode):
    error = client.submit(raise_it, BadText).exception()
    assert type(error).__name__ in ("BadText", "TaskError")


def test_an_exception_of_a_local_class_keeps_its_base(client):
    with pytest.raises(ValueError, match="from inside") as caught:
        client.submit(in_a_local_class).result()
    assert type(caught.value).__name__ == "LocalError"


def test_causes_and_contexts_come_along(client):
    def chained():
        try:
            {}["missing"]
        except KeyError as error:
            raise ValueError("because of it") from error

    def in_handling():
        try:
            {}["missing"]
        except KeyError:
            raise ValueError("while handling it")  # noqa: B904

    def quiet():
        try:
            {}["missing"]
        except KeyError:
            raise ValueError("alone") from None

    error = client.submit(chained).exception()
    assert isinstance(error.__cause__, KeyError)
    assert error.__cause__.args == ("missing",)
    shown = "".join(traceback.format_exception(error))
    assert "direct cause" in shown
    assert '{}["missing"]' in shown

    error = client.submit(in_handling).exception()
    assert isinstance(error.__context__, KeyError)
    assert error.__cause__ is None
    assert "During handling" in "".join(traceback.format_exception(error))

    error = client.submit(quiet).exception()
    assert "KeyError" not in "".join(traceback.format_exception(error))


def test_groups_of_exceptions_come_along(client):
    def several():
        raise ExceptionGroup("two", [ValueError("a"), KeyError("b")])

    error = client.submit(several).exception()
    assert isinstance(error, ExceptionGroup)
    assert [type(part) for part in error.exceptions] == [ValueError, KeyError]


def test_notes_and_attributes_of_exceptions_come_along(client):
    def noted():
        error = OSError(2, "No such file", "name.txt")
        error.add_note("a note of the user")
        error.extra = {"more": 1}
        raise error

    error = client.submit(noted).exception()
    assert (error.errno, error.filename) == (2, "name.txt")
    assert "a note of the user" in error.__notes__
    assert error.extra == {"more": 1}


@pytest.mark.parametrize(
    "kind", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, StopAsyncIteration]
)
def test_exceptions_that_mean_something_to_python_are_only_the_tasks(client, kind):
    error = client.submit(raise_it, kind, "5").exception()
    assert type(error) is kind
    assert error.args == ("5",)
    assert client.submit(inc, 1).result() == 2
    assert len(client.scheduler_info()["workers"]) == 2


def test_deep_recursion_is_an_error_of_the_task(client):
    error = client.submit(recurse, 0).exception()
    assert isinstance(error, RecursionError)
    assert client.submit(inc, 1).result() == 2


def test_a_deeply_nested_result(client):
    def nest(depth):
        value = []
        for _ in range(depth):
            value = [value]
        return value

    def depth_of(value):
        depth = 0
        while value:
            (value,) = value
            depth += 1
        return depth

    assert depth_of(client.submit(nest, 50).result()) == 50
    future = client.submit(nest, 100_000)
    wait(future)
    # In one process it stays where it is; pickle cannot follow it to another, which is said.
    error = future.exception()
    if error is None:
        try:
            assert depth_of(future.result()) == 100_000
        except pickle.PicklingError as problem:
            assert "recursion" in str(problem)  # noqa: PT017
    else:
        assert "recursion" in str(error)
    del future, error
    assert client.submit(inc, 1).result() == 2


def test_a_failing_argument_count_is_the_tasks_error(client):
    with pytest.raises(TypeError, match="inc"):
        client.submit(inc).result()


# ---- Values that stay at home ----


def test_a_result_that_cannot_be_pickled_names_key_type_and_part(client, mode):
    future = client.submit(lambda: {"a": [threading.Lock()]}, key="locked")
    if mode == "threads":
        assert list(future.result()) == ["a"]
        return
    with pytest.raises(TypeError, match="lock") as caught:
        future.result()
    said = "".join(traceback.format_exception(caught.value))
    assert "locked" in said
    assert "dict" in said


def test_a_result_that_cannot_be_read_again_is_an_error(client, mode):
    class Trap:
        def __reduce__(self):
            return _refuse, ()

    future = client.submit(Trap)
    if mode == "threads":
        assert future.result() is not None
        return
    with pytest.raises(Exception, match="cannot be read"):
        future.result()
    assert client.submit(inc, 1).result() == 2


def test_an_argument_that_cannot_be_pickled_is_an_error_at_once(client, mode):
    lock = threading.Lock()
    if mode == "threads":
        assert client.submit(type, lock, pure=False).result() is type(lock)
        return
    with pytest.raises(TypeError, match="lock"):
        client.submit(type, lock, pure=False)
    with pytest.raises(TypeError, match="lock"):
        client.map(type, [1, lock], pure=False)
    with pytest.raises(TypeError, match="lock"):
        client.scatter([lock], hash=False)
    with pytest.raises(TypeError, match="lock"):
        client.submit(lambda: lock, pure=False)
    assert client.submit(inc, 1).result() == 2


def test_an_argument_that_cannot_be_read_is_an_error_of_its_task(client, mode):
    class Trap:
        def __reduce__(self):
            return _refuse, ()

    future = client.submit(type, Trap(), pure=False)
    if mode == "threads":
        assert future.result().__name__ == "Trap"
        return
    with pytest.raises(RuntimeError, match="cannot be read"):
        future.result()


def test_a_function_that_workers_cannot_import_is_an_error_of_its_task(client, mode, tmp_path):
    """A module that only this process can see: its path is no longer there for workers."""
    if mode == "threads":
        pytest.skip("there is one process")
    module = tmp_path / "only_here_for_a_test.py"
    module.write_text("def f(x):\n    return x + 1\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import only_here_for_a_test

        future = client.submit(only_here_for_a_test.f, 1)
        with pytest.raises(ModuleNotFoundError, match="only_here_for_a_test"):
            future.result()
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["only_here_for_a_test"]
    assert client.submit(inc, 1).result() == 2


def test_errors_stay_apart_from_what_is_right(client):
    futures = [client.submit(inc if i % 3 else recurse, i) for i in range(12)]
    errors = [future.exception() for future in futures]
    assert [error is None for error in errors] == [bool(i % 3) for i in range(12)]


def test_the_same_exception_object_twice_is_not_noted_twice(cluster):
    error = ValueError("one for all")

    def fail(_):
        raise error

    with Client(cluster) as client:
        for future in client.map(fail, range(3)):
            with pytest.raises(ValueError, match="one for all"):
                future.result()
