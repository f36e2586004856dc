"""Starts threads for the engine: Python's own, so that names, debuggers and coverage work."""

from __future__ import annotations

import atexit
import contextvars
import itertools
import sysconfig
import threading

from oxidask import _core

_numbers = itertools.count()

#: Seconds without a task after which a thread calls `_tidy_up`. Without a GIL an object belongs to
#: the thread that made it: when another gives up the last reference, it is dropped once its owner
#: runs Python code. Results of tasks would stay for as long as their thread has nothing to do.
_REST = 1.0 if sysconfig.get_config_var("Py_GIL_DISABLED") else None


def _tidy_up() -> None:
    """Do nothing: Python drops what waits for this thread before it runs a function."""


def start() -> None:
    """Start one thread that runs tasks until the program ends."""
    number = next(_numbers)
    if number == 0:
        atexit.register(_core.shut_down)
    # A context of its own: on free-threaded builds from 3.14 on a thread inherits that of whoever
    # starts it, and what was in force there at that moment would be in force for all later tasks.
    serve = contextvars.Context().run
    name = f"oxidask-worker-{number}"
    threading.Thread(
        target=serve, args=(_core.serve, _REST, _tidy_up), name=name, daemon=True
    ).start()
