"""Who watches computations now. Light, because every computation asks."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
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


watchers: list[Watcher] = []


def is_watched() -> bool:
    """Return whether anybody needs records."""
    return bool(watchers)


@contextlib.contextmanager
def watch(computation: Watched) -> Iterator[None]:
    """Tell everybody who watches that a computation begins, and how it ends.

    Whoever was told of the beginning is told of the end, though another one raised.
    """
    if not watchers:
        yield
        return
    with contextlib.ExitStack() as ends:
        for watcher in list(watchers):
            watcher._begin(computation)
            ends.push(functools.partial(_tell_end, watcher, computation))
        yield


def _tell_end(
    watcher: Watcher,
    computation: Watched,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    watcher._end(computation, failed=kind is not None)
