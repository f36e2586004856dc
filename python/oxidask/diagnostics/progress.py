"""A progress bar in text, drawn from the engine's records."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import Self, TextIO

from oxidask.diagnostics import _active
from oxidask.diagnostics._active import Watched


def _format_time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


class ProgressBar:
    """Show a bar while computations run in this process.

    Use it in a `with` block, or `register` it for the whole program. Computations that start while
    one is shown, from tasks or other threads, are not shown by themselves. In a terminal the line
    is drawn again and again; anywhere else it is printed once, at the end.

    Parameters
    ----------
    minimum : float, default 0
        Seconds; computations that take less show nothing.
    width : int, default 40
        Characters between the brackets.
    dt : float, default 0.1
        Seconds between two drawings.
    out : file, optional
        Where to print; by default `sys.stdout`, as it is when the computation begins.

    Examples
    --------
    >>> from oxidask import delayed
    >>> with ProgressBar(minimum=60):
    ...     delayed(sum)([1, 2]).compute()
    3
    """

    def __init__(
        self, minimum: float = 0, width: int = 40, dt: float = 0.1, out: TextIO | None = None
    ) -> None:
        if dt <= 0:
            raise ValueError(f"ProgressBar(dt={dt!r}): seconds between drawings are more than 0")
        if width < 1:
            raise ValueError(f"ProgressBar(width={width!r}): at least 1 character is needed")
        self._minimum = minimum
        self._width = width
        self._dt = dt
        self._out = out
        self._lock = threading.Lock()
        self._shown: Watched | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def register(self) -> None:
        """Show the bar for all computations from now on.

        Examples
        --------
        >>> bar = ProgressBar(minimum=60)
        >>> bar.register()
        >>> bar.unregister()
        """
        _active.watchers.append(self)

    def unregister(self) -> None:
        """Show the bar no more.

        Raises
        ------
        ValueError
            If it is not registered.

        Examples
        --------
        >>> bar = ProgressBar(minimum=60)
        >>> bar.register()
        >>> bar.unregister()
        """
        if self not in _active.watchers:
            raise ValueError("this ProgressBar is not registered; call register() first")
        _active.watchers.remove(self)

    def __enter__(self) -> Self:
        self.register()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unregister()

    def _begin(self, computation: Watched) -> None:
        with self._lock:
            if self._shown is not None:
                return
            self._shown = computation
        out = self._out if self._out is not None else sys.stdout
        self._stop = threading.Event()
        if out.isatty():
            self._thread = threading.Thread(
                target=self._draw_until_stopped,
                args=(computation, out, self._stop),
                name="oxidask-progress",
                daemon=True,
            )
            self._thread.start()

    def _end(self, computation: Watched, failed: bool) -> None:
        if self._shown is not computation:
            return
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        out = self._out if self._out is not None else sys.stdout
        done, total, seconds = computation.progress()
        if seconds >= self._minimum:
            start = "\r" if out.isatty() else ""
            ending = "  (stopped by an error)" if failed else ""
            out.write(f"{start}{self._line(done, total, seconds)}{ending}\n")
            out.flush()
        with self._lock:
            self._shown = None

    def _draw_until_stopped(self, computation: Watched, out: TextIO, stop: threading.Event) -> None:
        while not stop.wait(self._dt):
            done, total, seconds = computation.progress()
            if seconds >= self._minimum:
                out.write(f"\r{self._line(done, total, seconds)}")
                out.flush()

    def _line(self, done: int, total: int, seconds: float) -> str:
        share = done / total if total else 1.0
        filled = int(self._width * share)
        bar = "#" * filled + " " * (self._width - filled)
        return f"[{bar}] | {int(100 * share):3d}% | {done}/{total} tasks | {_format_time(seconds)}"
