"""Shows what tasks print and log where their client is: in its terminal, or its notebook cell."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import logging
import pickle
import sys
import threading
import warnings
from typing import Any

from oxidask import _worker
from oxidask._core import Session
from oxidask._output import LOG, STDERR, STDOUT, WARNING

logger = logging.getLogger("oxidask.distributed")

#: The kind of output that counts lines that a worker has left out; `output.rs` makes it.
_LEFT_OUT = WARNING + 1
#: How long a thread that waits for a result waits for another one that shows no more output, in
#: seconds: whoever reads it may have stopped reading.
_PATIENCE = 1.0

_printers: dict[int, _Printer] = {}


class _Printer:
    """Shows the output that comes for one client.

    A thread shows it as it comes. A call that waits for results shows what is there before it
    returns, so that what a task has printed is visible then.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.RLock()
        self._left: collections.deque[tuple[int, Any]] = collections.deque()
        #: Pieces that were shown so far.
        self._shown = 0
        #: What tells a notebook's kernel in which cell to show output.
        self.cell = contextvars.copy_context()
        # In a worker the tasks that wait show it, and their own clients see it then.
        if not _worker.is_worker():
            self._start()

    def _start(self) -> None:
        threading.Thread(target=self._serve, name="oxidask-output", daemon=True).start()

    def _serve(self) -> None:
        while self._session.wait_for_output(60.0) or self._session.closed() is None:
            self.cell.copy().run(self.show)

    def show(self) -> None:
        """Show all that is there."""
        shown = self._shown
        while not self._lock.acquire(timeout=_PATIENCE):
            if self._shown == shown:
                return
            shown = self._shown
        try:
            while True:
                pieces, dropped = self._session.output()
                self._left.extend(pieces)
                if dropped:
                    self._left.append((_LEFT_OUT, dropped))
                if not self._left:
                    break
                while self._left:
                    kind, payload = self._left.popleft()
                    try:
                        _show(kind, payload)
                    except Exception:
                        logger.exception("output of a task could not be shown")
                    self._shown += 1
                for stream in (sys.stdout, sys.stderr):
                    with contextlib.suppress(OSError, ValueError, AttributeError):
                        stream.flush()
        finally:
            self._lock.release()


def _show(kind: int, payload: Any) -> None:
    if kind == STDOUT:
        _write(sys.stdout, payload)
    elif kind == STDERR:
        _write(sys.stderr, payload)
    elif kind == LOG:
        record = logging.makeLogRecord(pickle.loads(payload))
        of_record = logging.getLogger(record.name)
        if of_record.isEnabledFor(record.levelno):
            of_record.handle(record)
    elif kind == WARNING:
        message, category = pickle.loads(payload)
        warnings.warn(message, category, stacklevel=1)
    else:
        lines = "1 line" if payload == 1 else f"{payload:,} lines"
        _write(
            sys.stderr,
            f"oxidask: {lines} that tasks printed were left out, for there were too many in a "
            "short time; print less, or set distributed.output.lines-per-second before the "
            "cluster starts\n",
        )


def _write(stream: Any, text: str) -> None:
    # A program without a terminal, or one that has closed it, misses nothing.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.write(text)


def start(session: Session) -> None:
    """Show output of tasks of a client from now on."""
    _printers[session.number] = _Printer(session)


def show(number: int) -> None:
    """Show what has come for the client whose session has this number."""
    printer = _printers.get(number)
    if printer is not None:
        printer.show()


def note_cell(number: int) -> None:
    """Show output that comes in the cell that runs now: it submits, or waits."""
    if "ipykernel" in sys.modules and number in _printers:
        _printers[number].cell = contextvars.copy_context()


def stop(number: int) -> None:
    """Show what has come, and no more."""
    show(number)
    _printers.pop(number, None)
