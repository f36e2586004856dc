"""Starts threads for the engine: Python's own, so that names, debuggers and coverage work."""

from __future__ import annotations

import atexit
import contextvars
import itertools
import threading

from oxidask import _core

_numbers = itertools.count()


def start() -> None:
    """Start one thread that runs tasks until the program ends."""
    number = next(_numbers)
    if number == 0:
        atexit.register(_core.shut_down)
    # A context of its own: on free-threaded builds from 3.14 on a thread inherits that of whoever
    # starts it, and what was in force there at that moment would be in force for all later tasks.
    serve = contextvars.Context().run
    name = f"oxidask-worker-{number}"
    threading.Thread(target=serve, args=(_core.serve,), name=name, daemon=True).start()
