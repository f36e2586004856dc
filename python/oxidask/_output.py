"""What tasks print and log in a worker process: it goes to the client that submitted the task."""

from __future__ import annotations

import contextlib
import contextvars
import io
import logging
import os
import pickle
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from oxidask import config
from oxidask._core import Executor


class Speaker:
    """For whom a coroutine and what it has started speak, and whether it waits for tasks.

    Attributes
    ----------
    thread : int
        The number of the thread that waits for the coroutine.
    changed : Event
        Set when there is something for that thread to look at.
    waits : int
        How many waits for tasks there are in the coroutine: meanwhile the thread lends its slot.
    """

    #: No thread has this number: what goes on after its coroutine has ended speaks for nobody.
    NOBODY = 2**64 - 1

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.changed = threading.Event()
        self.waits = 0
        #: Those of the coroutines in the same event loop.
        self.neighbours: set[Speaker] = set()
        self._blocked: list[list[Speaker]] = []
        self._lock = threading.Lock()

    def count_await(self, change: int) -> None:
        """Take down that the coroutine begins (1) or ceases (-1) to await a task."""
        with self._lock:
            self.waits += change
        self.changed.set()

    def count_wait(self, change: int) -> None:
        """Take down that it begins (1) or ceases (-1) to wait for tasks without ``await``.

        Then none of the coroutines of its event loop can go on, so that all of them wait.
        """
        if change > 0:
            self._blocked.append([self, *(one for one in list(self.neighbours) if one is not self)])
            blocked = self._blocked[-1]
        else:
            blocked = self._blocked.pop()
        for one in blocked:
            one.count_await(change)


#: Who speaks in this context, if that is not the thread.
speaker: contextvars.ContextVar[Speaker | None] = contextvars.ContextVar("speaker", default=None)

#: Kinds of output; `distributed/_show.py` and `output.rs` know them too.
STDOUT, STDERR, LOG, WARNING = range(4)

_executor: Executor | None = None


@contextlib.contextmanager
def waiting_for_tasks() -> Iterator[None]:
    """Lend the slot of the coroutine that runs, if one does, inside a block that waits."""
    one = speaker.get()
    if one is None:
        yield
        return
    one.count_await(1)
    try:
        yield
    finally:
        one.count_await(-1)


def _thread() -> int:
    """Return the number of the thread that runs the task here; 0 stands for the calling one."""
    one = speaker.get()
    return 0 if one is None else one.thread


class _Stream(io.TextIOBase):
    """Stands for ``sys.stdout`` or ``sys.stderr``: tasks write to their client, others as before.

    It is made once for the process, and asks the executor who writes: a task that prints nothing
    pays nothing.
    """

    def __init__(self, executor: Executor, kind: int, inherited: TextIO) -> None:
        self._executor = executor
        self._kind = kind
        self._inherited = inherited

    def write(self, text: str) -> int:
        """Write text; what the task has written goes off with each complete line."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._kind == STDERR:
            # Like the real one it takes any text.
            text = text.encode("utf-8", "backslashreplace").decode("utf-8")
        if not self._executor.write_output(_thread(), self._kind, text):
            self._inherited.write(text)
        return len(text)

    def flush(self) -> None:
        """Send what has no line end yet."""
        self._executor.flush_output(_thread(), self._kind)
        self._inherited.flush()

    def writable(self) -> bool:
        """Say that this can be written to."""
        return True

    def isatty(self) -> bool:
        """Say whether the stream that the process inherited is a terminal."""
        return self._inherited.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the inherited stream; what is written there stays here."""
        return self._inherited.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the inherited stream."""
        return self._inherited.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What the inherited stream does with text that cannot be encoded."""
        return self._inherited.errors

    @property
    def buffer(self) -> Any:
        """The binary file under the inherited stream."""
        return self._inherited.buffer


class _LogHandler(logging.Handler):
    """Takes records for which a task has set up no handler: its client's loggers handle them."""

    def __init__(self, executor: Executor, level: int, last_resort: logging.Handler | None) -> None:
        super().__init__(level)
        self._executor = executor
        self._last_resort = last_resort

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record to the client of the task that runs, if one does."""
        fields = dict(record.__dict__, msg=record.getMessage(), args=None, exc_info=None)
        if record.exc_info:
            fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
        try:
            body = pickle.dumps(fields)
        except Exception:
            # Fields that somebody has added and that stay here.
            plain = (str, int, float, type(None))
            fields = {name: value for name, value in fields.items() if isinstance(value, plain)}
            body = pickle.dumps(fields)
        is_sent = self._executor.say_output(_thread(), LOG, body)
        if not is_sent and self._last_resort is not None:
            self._last_resort.handle(record)


def text_of_output(piece: tuple[int, Any]) -> str:
    """Return what a piece of output would show in a terminal; it ends with a line end."""
    kind, payload = piece
    try:
        if kind in (STDOUT, STDERR):
            text = str(payload)
        elif kind == LOG:
            text = logging.Formatter("%(levelname)s %(name)s: %(message)s").format(
                logging.makeLogRecord(pickle.loads(payload))
            )
        elif kind == WARNING:
            message, category = pickle.loads(payload)
            text = f"{category.__name__}: {message}"
        else:
            text = f"({payload:,} lines were left out)"
    except Exception as error:
        text = f"(output that cannot be read: {error!r})"
    return text if text.endswith("\n") else text + "\n"


def settings_for_workers() -> dict[str, str]:
    """Return the settings of this process for output, as environment variables.

    Raises
    ------
    ValueError
        If one makes no sense: the worker that reads it could tell nobody.
    """
    settings = config.get("distributed.output")
    rate = settings["lines-per-second"]
    if isinstance(rate, bool) or not isinstance(rate, int | float | None) or (rate or 0) < 0:
        raise ValueError(
            f"distributed.output.lines-per-second={rate!r}: a number from 0 is meant; 0 leaves "
            "output in the workers"
        )
    level = settings["log-level"]
    if not isinstance(_level_of(level), int):
        raise ValueError(
            f"distributed.output.log-level={level!r}: 'warning', 'info' or another level of "
            "`logging` is meant, or its number"
        )
    return {
        f"OXIDASK_DISTRIBUTED__OUTPUT__{name.replace('-', '_').upper()}": repr(value)
        for name, value in settings.items()
    }


def _level_of(level: Any) -> Any:
    """Return the number of a level of `logging`; something else if there is no such level."""
    return level if isinstance(level, int) else logging.getLevelName(str(level).upper())


def install(executor: Executor) -> None:
    """Send the output of tasks of this process to their clients, as the settings say."""
    global _executor
    rate = config.get("distributed.output.lines-per-second")
    if not rate:
        return
    _executor = executor
    executor.limit_output(float(rate))
    inherited = sys.stdout, sys.stderr
    if sys.stdout is not None:
        sys.stdout = _Stream(executor, STDOUT, sys.stdout)
    if sys.stderr is not None:
        sys.stderr = _Stream(executor, STDERR, sys.stderr)
    level = _level_of(config.get("distributed.output.log-level"))
    logging.getLogger().setLevel(level)
    last_resort = logging.lastResort
    logging.lastResort = _LogHandler(executor, level, last_resort)

    def undo() -> None:
        """In a child that a task has forked nobody may use the worker's connection."""
        global _executor
        _executor = None
        sys.stdout, sys.stderr = inherited
        logging.lastResort = last_resort

    os.register_at_fork(after_in_child=undo)


def print(
    *args: Any,
    sep: str | None = " ",
    end: str | None = "\n",
    file: TextIO | None = None,
    flush: bool = False,
) -> None:
    """Print as the builtin function does; from a task, to the client that submitted it.

    What tasks print with the builtin `print` goes there too: this one is for code that comes from
    Dask.

    Parameters
    ----------
    *args : object
    sep, end : str
    file : sys.stdout, sys.stderr or None
    flush : bool, default False

    Examples
    --------
    >>> from oxidask.distributed import print
    >>> print("one", "two", sep=", ")
    one, two
    """
    import builtins

    if file not in (None, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        raise TypeError(
            f"print(file={file!r}): sys.stdout, sys.stderr or None is meant; for other files use "
            "the builtin print"
        )
    if file is not None:
        file = sys.stderr if file in (sys.stderr, sys.__stderr__) else sys.stdout
    builtins.print(*args, sep=sep, end=end, file=file, flush=flush)


def warn(
    message: str | Warning,
    category: type[Warning] | None = UserWarning,
    stacklevel: int = 1,
    source: Any = None,
) -> None:
    """Warn as `warnings.warn` does; from a task, in the process of the client that submitted it.

    Parameters
    ----------
    message : str or Warning
    category : type, default UserWarning
    stacklevel : int, default 1
    source : object, optional
        As for `warnings.warn`.

    Examples
    --------
    >>> import warnings
    >>> from oxidask.distributed import warn
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("look")
    >>> str(caught[0].message)
    'look'
    """
    if _executor is not None:
        body = pickle.dumps((message, category))
        if _executor.say_output(_thread(), WARNING, body):
            return
    warnings.warn(message, category, stacklevel + 1, source)
