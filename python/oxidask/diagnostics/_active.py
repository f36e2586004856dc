"""Who watches computations now. Light, because every computation asks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol


class Watched(Protocol):
    """What a watcher sees of a computation."""

    def progress(self) -> tuple[int, int, float]:
        """Return tasks that are done, all tasks, and seconds since the beginning."""


class Watcher(Protocol):
    """What is told when computations begin and end."""

    def _begin(self, computation: Watched) -> None: ...

    def _end(self, computation: Watched, failed: bool) -> None: ...


watchers: list[Watcher] = []


def is_watched() -> bool:
    """Return whether anybody needs records."""
    return bool(watchers)


@contextlib.contextmanager
def watch(computation: Watched) -> Iterator[None]:
    """Tell everybody who watches that a computation begins, and how it ends."""
    told = list(watchers)
    if not told:
        yield
        return
    for watcher in told:
        watcher._begin(computation)
    failed = True
    try:
        yield
        failed = False
    finally:
        for watcher in reversed(told):
            watcher._end(computation, failed)
