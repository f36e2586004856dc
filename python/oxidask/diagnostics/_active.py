"""Who watches computations now. Light, because every computation asks."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol


class Watched(Protocol):
    """What a watcher sees of a computation."""

    def progress(self) -> tuple[int, int, float]:
        """Return tasks that are done, all tasks, and seconds since the beginning."""


class Watcher(Protocol):
    """What is told when computations begin and end."""

    def _begin(self, computation: Watched) -> None: ...

    def _end(self, computation: Watched, failed: bool) -> None: ...


#: Those who watch now. What a computation records is settled when it is made, so whoever makes one
#: takes a copy of this list before.
watchers: list[Watcher] = []


class watch:
    """Tell watchers that a computation begins, and how it ends.

    A class and no generator: `contextlib` sets attributes of exceptions that pass, which exceptions
    of users may refuse.
    """

    def __init__(self, computation: Watched, watchers: Sequence[Watcher]) -> None:
        self._computation = computation
        self._watchers = watchers
        self._told: list[Watcher] = []

    def __enter__(self) -> None:
        try:
            for watcher in self._watchers:
                watcher._begin(self._computation)
                self._told.append(watcher)
        except BaseException:
            self._tell_end(failed=True)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tell_end(failed=kind is not None)

    def _tell_end(self, failed: bool) -> None:
        # Whoever was told of the beginning is told of the end, though another one raises.
        while self._told:
            try:
                self._told.pop()._end(self._computation, failed)
            except BaseException:
                self._tell_end(failed)
                raise
