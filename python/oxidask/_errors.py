"""Errors of our own, and what is added to the user's."""

from __future__ import annotations

import re
import threading
from types import TracebackType

from oxidask import config


class OxidaskError(Exception):
    """Base of the errors that no builtin exception fits."""


class TaskError(OxidaskError, RuntimeError):
    """A task ended in a way that cannot be passed on as it was raised."""


def _place(origin: tuple[str, int] | None) -> str:
    if origin is None:
        return ""
    import linecache

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


class TaskStopped(BaseException):
    """Raised inside a task that was cancelled; only to be caught for cleaning up."""


class TaskOutOfTime(TaskStopped):
    """Raised inside a task whose time is up; only to be caught for cleaning up."""


def shorten_traceback(error: BaseException) -> None:
    """Take frames of the engine out of a traceback, as ``admin.traceback.shorten`` says.

    Between the line that computes and the frames of the task nothing is left. The innermost frame
    stays whatever it is: it says where the error was raised.

    Parameters
    ----------
    error : BaseException
        What is being handled. After this a bare ``raise`` adds no frame of the one who calls.
    """
    patterns = config.get("admin.traceback.shorten", None) or ()
    pattern = "|".join([patterns] if isinstance(patterns, str) else patterns)
    try:
        is_left_out = re.compile(pattern).search
    except re.error:
        # A mistake in a setting must not hide the user's error.
        return
    if not pattern:
        return
    kept: list[TracebackType] = []
    entry = error.__traceback__
    while entry is not None:
        if entry.tb_next is None or not is_left_out(entry.tb_frame.f_code.co_filename):
            kept.append(entry)
        entry = entry.tb_next
    rest = None
    for entry in reversed(kept):
        rest = TracebackType(rest, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    # Not by assignment: classes of errors may forbid it, frozen dataclasses for example.
    error.with_traceback(rest)
