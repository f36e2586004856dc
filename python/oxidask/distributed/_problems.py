"""Errors of clusters: what a future raises when its task did not return."""

from __future__ import annotations

import concurrent.futures
from typing import Any

from oxidask._errors import OxidaskError, TaskOutOfTime
from oxidask._output import text_of_output

#: Lines of output that the error for a task that killed its worker shows at most.
_MOST_LINES = 10


class CancelledError(concurrent.futures.CancelledError):
    """The task was cancelled, or something that it needs."""


class KilledWorker(OxidaskError):
    """A task was given up because workers died while they ran it.

    Attributes
    ----------
    task : str
        Key of the task.
    last_worker : str
        How the last of the workers died.
    allowed_failures : int
        How many deaths a task may be part of.
    last_words : str
        The last that it printed and logged before that; empty if nothing.
    """

    def __init__(
        self, task: str, last_worker: str, allowed_failures: int, last_words: str = ""
    ) -> None:
        super().__init__(task, last_worker, allowed_failures, last_words)
        self.task = task
        self.last_worker = last_worker
        self.allowed_failures = allowed_failures
        self.last_words = last_words

    def __str__(self) -> str:
        deaths = self.allowed_failures + 1
        workers = "a worker" if deaths == 1 else f"{deaths} workers"
        said = f" The last that it printed or logged:\n{self.last_words}" if self.last_words else ""
        return (
            f"task {self.task!r} was given up after {workers} died while they ran it alone; the "
            f"last one {self.last_worker}. Run it alone in this process to see why: "
            f"compute(scheduler='sync').{said}"
        )


class TimeLimitError(OxidaskError, TimeoutError):
    """A task ran longer than `oxidask.annotate` has allowed.

    Attributes
    ----------
    task : str
        Key of the task.
    limit : float
        Seconds that it may run.
    did_stop : bool
        Whether it stopped when it was told to; otherwise what ran it was given up with it.
    """

    def __init__(self, task: str, limit: float, did_stop: bool = True) -> None:
        more = (
            "was stopped"
            if did_stop
            else "did not stop, so its worker process, or the thread that ran it, was given up"
        )
        super().__init__(
            f"task {task!r} ran longer than its limit of {limit:g} s and {more}; raise the limit, "
            "annotate(timeout=), or split the task into shorter ones"
        )
        self.task = task
        self.limit = limit
        self.did_stop = did_stop

    def __reduce__(self) -> Any:
        return type(self), (self.task, self.limit, self.did_stop)


class NoValidWorkerError(OxidaskError):
    """No worker could run a task within the time allowed."""


class NotEnoughMemoryError(OxidaskError, MemoryError):
    """A task was not started, because there is no memory for it.

    Attributes
    ----------
    task : str
        Key of the task.
    needed, available : int
        Bytes.
    """

    def __init__(self, task: str, needed: int, available: int, disk: str | None = None) -> None:
        super().__init__(task, needed, available, disk)
        self.task = task
        self.needed = needed
        self.available = available
        self.disk = disk

    def __str__(self) -> str:
        if self.disk is None:
            return (
                f"task {self.task!r} was not started: its inputs have {self.needed} bytes, and the "
                f"workers of this machine may have {self.available} bytes together; use smaller "
                "chunks, or raise memory_limit="
            )
        return (
            f"task {self.task!r} was not started: the results and workers of this machine have "
            f"{self.needed} bytes, may have {self.available} together (memory_limit=), and results "
            f"cannot be moved to disk: {self.disk}"
        )


class ClusterClosedError(CancelledError):
    """The cluster ended, or the client was closed, before the task did."""


def raised(error: BaseException, key: str) -> BaseException:
    """Return what a task raised, with a note that names the task."""
    note = f"oxidask: raised by task {key!r}"
    if not any(other.startswith(note) for other in getattr(error, "__notes__", ())):
        error.add_note(note)
    return error


def unusable(error: BaseException, key: str) -> BaseException:
    """Return why a result cannot be had, with a note that names its task."""
    error.add_note(f"oxidask: task {key!r} returned it; return what can be pickled")
    return error


def unreadable(error: BaseException, key: str) -> BaseException:
    """Return why a result cannot be read in this process, with a note that names its task."""
    note = f"oxidask: task {key!r} returned what cannot be read here; return what pickle can read"
    if isinstance(error, Exception) and note not in getattr(error, "__notes__", ()):
        error.add_note(note)
    return error


def out_of_time(key: str, limit: float, error: BaseException | None) -> BaseException:
    """Return the error for a task whose time was up; it was stopped with `error`, if it stopped."""
    late = TimeLimitError(key, limit, error is not None)
    if isinstance(error, TaskOutOfTime):
        # It says where the task was.
        late.__context__ = error.__context__
        return late.with_traceback(error.__traceback__)
    late.__cause__ = error
    return late


def killed(key: str, times: int, cause: str, last_words: list[tuple[int, Any]]) -> BaseException:
    """Return the error for a task whose workers died; it said these pieces of output last."""
    lines = "".join(map(text_of_output, last_words)).splitlines()
    return KilledWorker(key, cause or "died", times - 1, "\n".join(lines[-_MOST_LINES:]))


def cancelled(key: str, reason: str) -> BaseException:
    """Return the error for a task that was cancelled."""
    why = f": {reason}" if reason else ""
    return CancelledError(f"task {key!r} was cancelled{why}")


def died_in_a_call() -> BaseException:
    """Return the error for a function that a worker did not live to answer."""
    return OxidaskError(
        "a worker died before it answered; another takes its place: call run() again, or pass "
        "on_error='ignore' to get what the others return"
    )


def stopped_in_a_call(pid: int) -> BaseException:
    """Return the error for a function that a worker does not answer whose process stands still."""
    return OxidaskError(
        f"a worker did not answer: its process {pid} has been stopped, by a signal or a debugger, "
        "for longer than the setting 'distributed.scheduler.worker-ttl' gives; send it SIGCONT and "
        "call run() again, or pass on_error='ignore' to get what the others return"
    )


def no_worker(key: str, reason: str) -> BaseException:
    """Return the error for a task that nobody could run."""
    return NoValidWorkerError(
        f"no worker could run task {key!r} in the time that the setting "
        f"'distributed.scheduler.no-workers-timeout' gives: {reason}; ask for what there is, or "
        "start workers that have it"
    )


def no_memory(key: str, needed: int, available: int, disk: str | None) -> BaseException:
    """Return the error for a task that there is no memory for."""
    return NotEnoughMemoryError(key, needed, available, disk)


def lost(key: str) -> BaseException:
    """Return the error for data that is gone."""
    if not key:
        return CancelledError(
            "a Future came from another process, but its result was released meanwhile; keep the "
            "Future there until it has arrived"
        )
    return CancelledError(
        f"the data of {key!r} is gone, because its Future was dropped, and a result that was made "
        "from it was lost with its worker; scatter it again, and keep its Future as long as what "
        "is made from it is needed"
    )


def unknown(task: int) -> BaseException:
    """Return the error for a task that needs one that was released."""
    return CancelledError(
        f"the task needs another one (number {task}) that was released; keep its Future until the "
        "task that needs it was submitted"
    )


def closed(reason: str) -> BaseException:
    """Return the error for futures of a connection that ended."""
    return ClusterClosedError(f"the result cannot come any more: {reason}")
