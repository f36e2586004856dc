"""Calls functions when futures are done, in one background thread a session."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from oxidask._core import Future, Session, Watcher

logger = logging.getLogger("oxidask.distributed")


class _Caller:
    """The thread of one session, started with its first callback."""

    def __init__(self, session: Session) -> None:
        self._watcher: Watcher = session.watch()
        self._session = session
        self._waiting: dict[int, list[tuple[Future, Callable[[Future], Any]]]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._serve, name="oxidask-callbacks", daemon=True).start()

    def add(self, future: Future, function: Callable[[Future], Any]) -> None:
        with self._lock:
            self._waiting.setdefault(future._task, []).append((future, function))
        self._watcher.add([future])

    def _serve(self) -> None:
        while True:
            number = self._watcher.next(0.5)
            if number is None:
                if self._session.closed() is not None and not self._waiting:
                    return
                continue
            with self._lock:
                due = self._waiting.pop(number, [])
            for future, function in due:
                try:
                    function(future)
                except BaseException:
                    logger.exception("a callback of %r raised", future)
            # The last reference to a future must not live on in this frame.
            due = []
            future = function = None  # type: ignore[assignment]


#: Changed in single steps, without a lock: a client that nobody has any more is closed wherever the
#: garbage collector finds it, and that may be in the middle of `add`.
_callers: dict[int, _Caller] = {}


def add(future: Future, function: Callable[[Future], Any]) -> None:
    """Call a function with the future when it is done; at once, in the thread, if it is."""
    from oxidask.distributed import client

    number = future._session
    caller = _callers.get(number)
    if caller is None:
        new = _Caller(client._client_of(number)._session)
        caller = _callers.setdefault(number, new)
        if caller is new:
            caller.start()
    caller.add(future, function)


def forget(number: int) -> None:
    """Let go of a session that was closed."""
    _callers.pop(number, None)
