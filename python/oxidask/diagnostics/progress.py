"""A progress bar in text, drawn from the engine's records."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, ClassVar, Protocol, TextIO

from oxidask.callbacks import Callback, fed_by_engine


class _Computation(Protocol):
    """What the bar sees of a computation."""

    def progress(self) -> tuple[int, int, float]:
        """Return tasks that are done, all tasks, and seconds since the beginning."""


def _format_time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


class ProgressBar(Callback):
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

    _watches: ClassVar[str | None] = "counts"

    #: Seconds that the last computation took.
    last_duration: float | None = None

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
        self._line: _Line | None = None

    @fed_by_engine
    def _start(self, dsk: Any) -> None:
        """Do nothing; here for subclasses, as the hooks below."""

    @fed_by_engine
    def _pretask(self, key: Any, dsk: Any, state: Any) -> None: ...

    @fed_by_engine
    def _posttask(self, key: Any, result: Any, dsk: Any, state: Any, worker_id: Any) -> None: ...

    @fed_by_engine
    def _finish(self, dsk: Any, state: Any, errored: bool) -> None: ...

    def _begin(self, computation: _Computation) -> None:
        out = self._out if self._out is not None else sys.stdout
        if out is None:  # Python was started without a standard output.
            return
        with self._lock:
            if self._line is None:
                line = _Line(computation, out, self._minimum, self._width)
                line.start(self._dt)
                self._line = line

    def _end(self, computation: _Computation, failed: bool) -> None:
        with self._lock:
            line = self._line
        if line is None or line.computation is not computation:
            return
        try:
            _, _, self.last_duration = computation.progress()
            line.finish(failed)
        finally:
            # Also when the file was closed, or Ctrl-C came: the next computation is shown again.
            self._line = None


class _Line:
    """The line of one computation: drawn again and again in a terminal, once anywhere else."""

    def __init__(self, computation: _Computation, out: TextIO, minimum: float, width: int) -> None:
        self.computation = computation
        self._out = out
        self._minimum = minimum
        self._width = width
        self._is_terminal = _is_terminal(out)
        self._drawn = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, dt: float) -> None:
        if self._is_terminal:
            self._thread = threading.Thread(
                target=self._draw_until_stopped, args=(dt,), name="oxidask-progress", daemon=True
            )
            self._thread.start()

    def finish(self, failed: bool) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._draw("  (stopped by an error)\n" if failed else "\n")

    def _draw_until_stopped(self, dt: float) -> None:
        while not self._stop.wait(dt):
            self._draw("")

    def _draw(self, ending: str) -> None:
        done, total, seconds = self.computation.progress()
        if seconds < self._minimum:
            return
        text = self._text(done, total, seconds)
        if self._is_terminal:
            # Spaces wipe out the rest of a longer line: an hour is shorter than 59 minutes.
            text, self._drawn = f"\r{text.ljust(self._drawn)}", len(text)
        self._out.write(text + ending)
        flush = getattr(self._out, "flush", None)
        if flush is not None:
            flush()

    def _text(self, done: int, total: int, seconds: float) -> str:
        share = done / total if total else 1.0
        counts = f" | {int(100 * share):3d}% | {done}/{total} tasks | {_format_time(seconds)}"
        width = self._width
        columns = _columns(self._out) if self._is_terminal else 0
        if columns:
            # A line that the terminal breaks in two could not be drawn over.
            width = max(1, min(width, columns - len(counts) - len("[]") - 1))
        filled = int(width * share)
        return f"[{'#' * filled}{' ' * (width - filled)}]{counts}"


def _is_terminal(out: TextIO) -> bool:
    """Say whether lines can be drawn over; what only has `write` is no terminal."""
    isatty = getattr(out, "isatty", None)
    return isatty is not None and isatty()


def _columns(out: TextIO) -> int:
    """Return how many characters a line of the terminal has, or 0 if it does not say."""
    try:
        return os.get_terminal_size(out.fileno()).columns
    except (AttributeError, OSError, ValueError):
        return 0
