"""Clients and futures inside an event loop: what waits gives an awaitable instead.

A blocking call runs in a thread of its own, so that the loop goes on. Futures need no thread: they
tell the loop when they are done.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from oxidask import _output
from oxidask._core import Future
from oxidask.distributed import _callbacks
from oxidask.distributed.client import Client, futures_of

_T = TypeVar("_T")

#: Methods of a client that wait for the cluster.
_WAITING = (
    *("scatter", "get", "cancel", "retry", "why", "nthreads", "ncores", "wait_for_workers"),
    *("run", "restart", "restart_workers", "close", "shutdown"),
)


def loop_runs() -> bool:
    """Say whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def in_thread(function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
    """Call a function that blocks, in a thread of its own.

    The threads of `asyncio.to_thread` are few, and all may come to wait for each other's tasks.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def tell(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        # The loop may have ended, or the wait was given up.
        if not done.done():
            set_outcome(outcome)

    def call() -> None:
        try:
            outcome: Any = function(*args, **kwargs)
            setter: Callable[[Any], None] = done.set_result
        except BaseException as error:
            outcome, setter = error, done.set_exception
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, setter, outcome)

    # In this context: it says who prints, and in which cell of a notebook.
    run = contextvars.copy_context().run
    threading.Thread(target=run, args=(call,), name="oxidask-await", daemon=True).start()
    with _output.waiting_for_tasks():
        return await done


async def all_done(futures: list[Future], ends_with_error: bool) -> None:
    """Wait until futures are done, or one of them has failed.

    Parameters
    ----------
    futures : list of Future
    ends_with_error : bool
        Whether a failure ends the wait.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    lock = threading.Lock()
    left = len(futures)

    def end() -> None:
        if not over.done():
            over.set_result(None)

    def count(future: Future) -> None:
        nonlocal left
        with lock:
            left -= 1
            is_over = left == 0 or (ends_with_error and future.status != "finished")
        if is_over and not loop.is_closed():
            loop.call_soon_threadsafe(end)

    if not futures:
        return
    for future in futures:
        _callbacks.add(future, count)
    with _output.waiting_for_tasks():
        await over


async def when_done(future: Future, function: Callable[[], _T], limit: float | None) -> _T:
    """Wait for a future, then call a function.

    Raises
    ------
    TimeoutError
        If it is not done within so many seconds.
    """
    try:
        await asyncio.wait_for(all_done([future], False), limit)
    except TimeoutError:
        raise TimeoutError(
            f"the result was not there after {limit} s; the task goes on: wait longer, or ask "
            "client.why(future)"
        ) from None
    # What is to be fetched takes a moment.
    return function() if future._is_here() else await in_thread(function)


class AsynchronousClient(Client):
    """A `Client` for code that runs in an event loop: made by ``Client(asynchronous=True)``.

    `submit` and `map` return futures at once, as ever. Methods that wait return awaitables, and so
    do `Future.result`, `Future.exception` and `wait`.

    Examples
    --------
    >>> import asyncio
    >>> from oxidask.distributed import Client
    >>> async def main():
    ...     async with Client(asynchronous=True, processes=False) as client:
    ...         future = client.submit(abs, -1)
    ...         return await future, await client.gather([future])
    >>> asyncio.run(main())
    (1, [1])
    """

    @property
    def asynchronous(self) -> bool:
        """Whether calls return awaitables: yes."""
        return True

    async def gather(
        self,
        futures: Any,
        errors: str = "raise",
        direct: bool | None = None,
        asynchronous: bool | None = None,
    ) -> Any:
        """Wait for futures and return their results in the same containers; see `Client.gather`."""
        await all_done(futures_of(futures), errors == "raise")
        return await in_thread(Client.gather, self, futures, errors)

    def compute(  # type: ignore[override]
        self, collections: Any, sync: bool = False, **kwargs: Any
    ) -> Any:
        """Compute lazy objects in the cluster; with ``sync=True`` an awaitable of results."""
        futures = Client.compute(self, collections, **kwargs)
        return self.gather(futures) if sync else futures

    def __await__(self) -> Generator[Any, None, AsynchronousClient]:
        return _given(self).__await__()

    async def __aenter__(self) -> AsynchronousClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await in_thread(Client.close, self)

    def __enter__(self) -> AsynchronousClient:
        raise TypeError("a Client(asynchronous=True) is for `async with`; leave `asynchronous` out")

    def __del__(self) -> None:
        if getattr(self, "status", "closed") != "closed":
            Client.close(self)

    def __repr__(self) -> str:
        return f"<Client: {self.status}, asynchronous>"


async def _given(value: _T) -> _T:
    return value


def _awaitable(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    method: Callable[..., Any] = getattr(Client, name)

    @functools.wraps(method)
    async def call(self: AsynchronousClient, *args: Any, **kwargs: Any) -> Any:
        return await in_thread(method, self, *args, **kwargs)

    return call


for _name in _WAITING:
    setattr(AsynchronousClient, _name, _awaitable(_name))
