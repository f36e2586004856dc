"""Values on their way between processes: pickles, buffers beside them, exceptions.

Pickle does the work where it can; cloudpickle takes functions and classes that no module of
another process has: those of the main script, lambdas, and what is defined inside functions.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import pickle
import sys
import traceback
import types
from collections import ChainMap
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from oxidask._errors import TaskError
from oxidask.sizeof import sizeof

_PROTOCOL = 5

#: Packages whose values are mostly large buffers: these go to shared memory.
_BUFFER_PACKAGES = frozenset({"numpy", "pandas", "pyarrow", "polars"})
#: Containers up to this many plain values are copied rather than kept in their worker.
_SMALL = 64
#: How far into a value the part that cannot be pickled is looked for.
_DEEPEST = 20
#: How often another thread may break off an import that a value needs.
_IMPORTS = 5
_PLAIN = (int, float, str, bytes, bool, complex, type(None))


def _names_main(pickled: bytes) -> bool:
    return b"__main__" in pickled


def dump(value: Any) -> bytes:
    """Pickle a value so that another process can read it."""
    try:
        pickled = pickle.dumps(value, _PROTOCOL)
    except Exception:
        return _cloud(value, None)
    return _cloud(value, None) if _names_main(pickled) else pickled


def load(pickled: bytes) -> Any:
    """Read a pickle."""
    return _loads(pickled, ())


def dump_apart(value: Any) -> tuple[bytes, list[memoryview]]:
    """Pickle a value without its large buffers, which are returned beside it."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        pickled = pickle.dumps(value, _PROTOCOL, buffer_callback=buffers.append)
        if _names_main(pickled):
            buffers.clear()
            pickled = _cloud(value, buffers.append)
    except Exception:
        buffers.clear()
        pickled = _cloud(value, buffers.append)
    return pickled, [buffer.raw() for buffer in buffers]


def load_apart(pickled: bytes, buffers: list[Any]) -> Any:
    """Read a pickle whose buffers stand beside it."""
    return _loads(pickled, buffers)


def _loads(pickled: bytes, buffers: Iterable[Any]) -> Any:
    for _ in range(_IMPORTS):
        try:
            return pickle.loads(pickled, buffers=buffers)
        except KeyError as error:
            if not _is_import_of_another(error):
                raise
    return pickle.loads(pickled, buffers=buffers)


def _is_import_of_another(error: KeyError) -> bool:
    """Whether a module is missing because another thread, that imported it, was stopped.

    CPython tells a thread that has waited for that import just the name of the module. Tasks are
    stopped by exceptions, wherever they are.
    """
    name = error.args[0] if len(error.args) == 1 else None
    if type(name) is not str or name in sys.modules:
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _cloud(value: Any, buffer_callback: Any) -> bytes:
    with io.BytesIO() as file:
        try:
            _cloud_pickler()(file, protocol=_PROTOCOL, buffer_callback=buffer_callback).dump(value)
        except Exception as error:
            error.add_note(_why_not(value))
            raise
        return file.getvalue()


def _why_not(value: Any) -> str:
    """Say which part of a value cannot be pickled."""
    path, part = "", value
    for _ in range(_DEEPEST):
        for step, inner in _parts_of(part):
            if not _can_be_pickled(inner):
                path, part = path + step, inner
                break
        else:
            break
    kind, inner_kind = type(value).__qualname__, type(part).__qualname__
    where = f": its part {path} is a {inner_kind}, which cannot be pickled" if path else ""
    return f"oxidask: a {kind} cannot be sent to another process{where}"


def _parts_of(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{place}]", part) for place, part in enumerate(value))
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        names = value.__code__.co_freevars
        for name, cell in zip(names, value.__closure__ or (), strict=False):
            with contextlib.suppress(ValueError):  # An empty cell.
                yield f".{name}", cell.cell_contents
        for name in value.__code__.co_names:
            if name in value.__globals__:
                yield f".{name}", value.__globals__[name]
    elif isinstance(getattr(value, "__dict__", None), dict):
        yield from ((f".{name}", part) for name, part in vars(value).items())


def _can_be_pickled(value: Any) -> bool:
    try:
        with io.BytesIO() as file:
            _cloud_pickler()(file, protocol=_PROTOCOL).dump(value)
    except Exception:
        return False
    return True


@functools.cache
def _cloud_pickler() -> type:
    """Return cloudpickle's pickler, taught to keep the names of source files."""
    import cloudpickle  # type: ignore[import-untyped]

    def reduced(code: types.CodeType) -> Any:
        make, parts = known[types.CodeType](code)
        # It leaves the name out; tracebacks without it show no source lines.
        kept = (code.co_filename if part == "<dynamic-code>" else part for part in parts)
        return make, tuple(kept)

    known = cloudpickle.Pickler.dispatch_table

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table: ClassVar[Any] = ChainMap({types.CodeType: reduced}, known)

    return Pickler


def way_of(value: Any) -> str:
    """Say how a result is kept.

    Returns
    -------
    str
        "plain": copied along, it is small; "apart": in shared memory, it is mostly buffers;
        "live": as an object of its process until somebody else needs it.
    """
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        if len(value) <= _SMALL and all(type(part) in _PLAIN for part in value):
            return "plain"
        return "live"
    if kind is dict:
        if len(value) <= _SMALL and all(
            type(key) in _PLAIN and type(part) in _PLAIN for key, part in value.items()
        ):
            return "plain"
        return "live"
    if kind in (bytearray, memoryview, str, bytes):
        return "apart"
    package = kind.__module__.partition(".")[0]
    if package not in _BUFFER_PACKAGES:
        return "live"
    if package == "numpy":
        dtype = getattr(value, "dtype", None)
        return "live" if dtype is None or dtype.hasobject else "apart"
    return "apart"


def nbytes(value: Any) -> int:
    """Return roughly how many bytes a value takes."""
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    try:
        return int(sizeof(value))
    except Exception:
        # The user's own `__sizeof__` may fail; its result is as good without.
        return 64


# ---- Exceptions ----


def _frames_of(trace: types.TracebackType | None) -> list[tuple[str, str, int]]:
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append((code.co_filename, code.co_name, trace.tb_lineno))
        trace = trace.tb_next
    return frames


def dump_error(error: BaseException) -> bytes:
    """Pickle an exception with its frames, causes and notes.

    One that cannot be pickled, or not be read again, becomes a `TaskError` that says so.
    """
    chain: list[tuple[bytes | None, str, list[tuple[str, str, int]], str]] = []
    relation = ""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(chain) < 20:
        seen.add(id(current))
        text = "".join(traceback.format_exception(current)) if not chain else ""
        said = _said(current) + "\0" + text
        frames = _frames_of(current.__traceback__)
        chain.append((_pickled_error(current), said, frames, relation))
        if current.__cause__ is not None:
            current, relation = current.__cause__, "cause"
        elif current.__suppress_context__:
            current = None
        else:
            current, relation = current.__context__, "context"
    return pickle.dumps(chain, _PROTOCOL)


def _said(error: BaseException) -> str:
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    try:
        return f"{name}: {error}"
    except Exception:
        return name


def _pickled_error(error: BaseException) -> bytes | None:
    # The traceback and the chain travel apart.
    saved = error.__traceback__, error.__cause__, error.__context__, error.__suppress_context__
    try:
        error.__traceback__ = None
        return _pickled_if_readable(error) or _pickled_if_readable(_WithoutInit(error))
    finally:
        error.__traceback__, error.__cause__, error.__context__ = saved[:3]
        error.__suppress_context__ = saved[3]


def _pickled_if_readable(error: BaseException | _WithoutInit) -> bytes | None:
    kind = error.kind if isinstance(error, _WithoutInit) else type(error)
    try:
        pickled = dump(error)
        again = load(pickled)
        # A class of the main script is another one each time it is read.
        return pickled if type(again).__name__ == kind.__name__ else None
    except BaseException:
        return None


class _WithoutInit:
    """Is read as an exception whose `__init__` is not called.

    Exceptions are pickled with what they gave to `Exception.__init__`, and read by calling their
    class with that; many classes take other arguments.
    """

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.kind = type(error)

    def __reduce__(self) -> Any:
        if self.kind.__reduce__ is not BaseException.__reduce__:
            raise TypeError(f"{self.kind.__qualname__} says itself how it is pickled")
        return _error_without_init, (self.kind, self.error.args, vars(self.error))


def _error_without_init(
    kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]
) -> BaseException:
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


def load_error(pickled: bytes) -> BaseException:
    """Make the exception of `dump_error` again, as it was raised, with the user's frames."""
    if not pickled:
        return TaskError("a task raised an exception that could not be described")
    errors: list[BaseException] = []
    for data, said, frames, relation in pickle.loads(pickled):
        error = _loaded_error(data, said)
        error.__traceback__ = _traceback_of(frames)
        if errors and relation == "cause":
            errors[-1].__cause__ = error
        elif errors:
            errors[-1].__context__ = error
        errors.append(error)
    return errors[0]


def _loaded_error(data: bytes | None, said: str) -> BaseException:
    summary, _, text = said.partition("\0")
    if data is not None:
        try:
            error = load(data)
        except BaseException as problem:
            text += f"\n(reading it here failed: {problem!r})"
        else:
            if isinstance(error, BaseException):
                return error
    message = f"a task raised an exception that cannot be pickled: {summary}"
    return TaskError(f"{message}\n\n{text}" if text else message)


def _traceback_of(frames: list[tuple[str, str, int]]) -> types.TracebackType | None:
    """Return a traceback that shows these frames."""
    trace: types.TracebackType | None = None
    for filename, name, line in reversed(frames):
        stub = compile("raise _Stop", filename, "exec")
        code = stub.replace(co_name=name, co_qualname=name, co_firstlineno=max(line, 1))
        try:
            exec(code, {"_Stop": _Stop, "__name__": name, "__file__": filename})
        except _Stop as stop:
            own = stop.__traceback__
            inner = own.tb_next if own is not None else None
            if inner is not None:
                trace = types.TracebackType(trace, inner.tb_frame, inner.tb_lasti, line)
    return trace


class _Stop(Exception):
    """Raised to get a frame."""
