"""Errors of our own, and what is added to the user's."""

from __future__ import annotations

import linecache
import threading


class OxidaskError(Exception):
    """Base of the errors that no builtin exception fits."""


class TaskError(OxidaskError, RuntimeError):
    """A task ended in a way that cannot be passed on as it was raised."""


def _place(origin: tuple[str, int] | None) -> str:
    if origin is None:
        return ""
    filename, line = origin
    source = linecache.getline(filename, line).strip()
    return f"\n  made at {filename}:{line}" + (f": {source}" if source else "")


def _with_note(error: BaseException, key: str, origin: tuple[str, int] | None) -> BaseException:
    thread = threading.current_thread().name
    error.add_note(f"oxidask: raised by task {key!r} in thread {thread!r}{_place(origin)}")
    return error


def _task_that_exited(error: SystemExit, key: str, origin: tuple[str, int] | None) -> BaseException:
    replaced = TaskError(
        f"task {key!r} called sys.exit({error.code!r}); a task cannot end the program: return a "
        f"value or raise an exception, and exit where compute() was called{_place(origin)}"
    )
    replaced.__cause__ = error
    return replaced
