"""Starts threads for the engine: Python's own, so that names, debuggers and coverage work."""

from __future__ import annotations

import atexit
import threading

from oxidask import _core

_started = 0
_is_registered = False


def start() -> None:
    """Start one thread that runs tasks until the program ends."""
    global _started, _is_registered
    if not _is_registered:
        _is_registered = True
        atexit.register(_core.shut_down)
    _started += 1
    name = f"oxidask-worker-{_started - 1}"
    threading.Thread(target=_core.serve, name=name, daemon=True).start()
