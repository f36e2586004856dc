"""Methods of `Future` that are not worth Rust."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from oxidask._core import Future
from oxidask.distributed import _callbacks, _nested, _show

if TYPE_CHECKING:
    from oxidask.distributed.client import Client

#: Sessions of asynchronous clients.
_asynchronous: set[int] = set()


def _result(self: Future, timeout: Any = None) -> Any:
    """Wait for the result and return it.

    Parameters
    ----------
    timeout : float or str, optional
        Seconds to wait, or text such as ``"2s"``.

    Returns
    -------
    object
        What the task returned.

    Raises
    ------
    Exception
        What the task raised, as it was raised.
    TimeoutError
        If the result is not there in time; the task goes on.
    CancelledError
        If the task was cancelled.
    """
    _show.note_cell(self._session)
    if self._session in _asynchronous:
        return _later(self, self._result, timeout)
    return self._result(_seconds(timeout))


def _later(self: Future, function: Callable[[], Any], timeout: Any) -> Any:
    """Wait in the event loop, then call a function that finds the future done."""
    from oxidask.distributed import _asynchronous

    _show.note_cell(self._session)
    return _asynchronous.when_done(self, function, _seconds(timeout))


def _exception(self: Future, timeout: Any = None, **_kwargs: Any) -> BaseException | None:
    """Wait for the end of the task; return what it raised, or None."""
    if self._session in _asynchronous:
        return _later(self, self._exception, timeout)  # type: ignore[no-any-return]
    return self._exception(_seconds(timeout))


def _traceback(self: Future, timeout: Any = None, **_kwargs: Any) -> TracebackType | None:
    """Wait for the end of the task; return the traceback of what it raised, or None."""
    if self._session in _asynchronous:
        frames = lambda: getattr(self._exception(), "__traceback__", None)  # noqa: E731
        return _later(self, frames, timeout)  # type: ignore[no-any-return]
    error = self._exception(_seconds(timeout))
    return None if error is None else error.__traceback__


def _cancel(
    self: Future, reason: str | None = None, msg: str | None = None, **_kwargs: Any
) -> None:
    """Cancel the task, and what needs it."""
    self._cancel(msg or reason or "")


def _retry(self: Future, **_kwargs: Any) -> None:
    """Try a task that failed again."""
    self.client._session.retry([self])


def _release(self: Future) -> None:
    """Give up the result, as if this future were gone.

    The result goes once no other future and no task needs it.
    """
    self._release()


def _add_done_callback(self: Future, fn: Callable[[Future], Any]) -> None:
    """Call a function with this future when it is done, in a background thread.

    Parameters
    ----------
    fn : callable
        Gets the future. What it raises is logged.
    """
    _callbacks.add(self, fn)


def _client(self: Future) -> Client:
    """Return the client that made the future."""
    from oxidask.distributed import client

    return client._client_of(self._session)


def _type(self: Future) -> type | None:
    """Return the type of the result, once it is there."""
    return type(self._result()) if self.status == "finished" else None


def _await(self: Future) -> Generator[Any, None, Any]:
    return _later(self, self._result, None).__await__()  # type: ignore[no-any-return]


def _reduce(self: Future) -> Any:
    return _nested.make_future, self._identity()


def _repr(self: Future) -> str:
    return f"<Future: {self.status}, key: {self.key}>"


def _repr_html(self: Future) -> str:
    from html import escape

    return f"<b>Future: {escape(str(self.key))}</b> <code>{self.status}</code>"


def _seconds(timeout: Any) -> float | None:
    if timeout is None or isinstance(timeout, int | float):
        return timeout
    from oxidask.utils import parse_timedelta

    return float(parse_timedelta(timeout))


for _name, _function in {
    "result": _result,
    "exception": _exception,
    "traceback": _traceback,
    "cancel": _cancel,
    "retry": _retry,
    "release": _release,
    "add_done_callback": _add_done_callback,
    "client": property(_client),
    "executor": property(_client),
    "type": property(_type),
    "__await__": _await,
    "__reduce__": _reduce,
    "__repr__": _repr,
    "_repr_html_": _repr_html,
}.items():
    setattr(Future, _name, _function)
