"""Callbacks: what is told how computations of this process go.

Callbacks of users are told of each task. Those of our own, such as the progress bar, are told when
a computation begins and ends, and read what the engine counts and records in between.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, MutableSet
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from oxidask._core import Computation, Delayed

__all__ = ["Callback", "add_callbacks"]

_HOOKS = ("_start", "_start_state", "_pretask", "_posttask", "_finish")

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Active(MutableSet[Any]):
    """The callbacks that are told of the next computation, in the order of their registration.

    One that was registered twice is told once, and must be unregistered twice. Threads may change
    it at once: the tuple of members is replaced as a whole, under a lock.
    """

    def __init__(self) -> None:
        self._members: tuple[Any, ...] = ()
        self._lock = threading.Lock()

    def __contains__(self, callback: object) -> bool:
        return any(one is callback for one in self._members)

    def __iter__(self) -> Iterator[Any]:
        return iter({id(one): one for one in self._members}.values())

    def __len__(self) -> int:
        return len({id(one) for one in self._members})

    def __bool__(self) -> bool:
        return bool(self._members)

    def add(self, value: Any) -> None:
        with self._lock:
            self._members = (*self._members, value)

    def discard(self, value: Any) -> None:
        with self._lock:
            before = self._members
            for place, one in enumerate(before):
                if one is value:
                    self._members = before[:place] + before[place + 1 :]
                    break

    def _forget_parent(self) -> None:
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return repr(set(self))


class Callback:
    """Told how computations go: subclass it, or pass functions.

    Use it in a `with` block, or `register` it for the whole program. Hooks are called for
    computations in threads and in the calling thread, one at a time, in the thread that asked for
    the computation. What a hook raises ends the computation and comes out of it. A callback is told
    of one computation at a time: others that begin meanwhile, in tasks or other threads, are not
    told.

    Subclasses define ``_start``, ``_start_state``, ``_pretask``, ``_posttask`` and ``_finish``,
    those that they need, with the arguments below.

    Parameters
    ----------
    start : callable, optional
        ``start(dsk)``: a computation of the graph `dsk`, a mapping from keys to tasks, is asked
        for. ``dsk[key] = value`` puts a value in the place of a task.
    start_state : callable, optional
        ``start_state(dsk, state)``: it begins; nothing has run.
    pretask : callable, optional
        ``pretask(key, dsk, state)``: a task begins. It runs when this has returned.
    posttask : callable, optional
        ``posttask(key, result, dsk, state, worker_id)``: a task has returned `result`; `worker_id`
        is the number of its thread. Other tasks go on meanwhile. Not called for tasks that raise.
    finish : callable, optional
        ``finish(dsk, state, errored)``: the computation is over, and `errored` if it failed. Called
        wherever ``start`` was.

    Attributes
    ----------
    active : set
        What is registered now.

    Notes
    -----
    `state` is a mapping of views: looking at one costs what it shows, its `len` nothing. Values
    that are in the graph as they are, such as ``delayed([1, 2])``, are there from the beginning; no
    hooks are called for them.

    =================  =================================================================
    ``dependencies``   from each key to the set of keys that it needs
    ``dependents``     from each key to the set of keys that need it
    ``waiting``        from keys that cannot run yet to the inputs that they miss
    ``waiting_data``   from keys that are not released to the dependents that have not run
    ``ready``          list of keys that can run; the last is the next
    ``running``        set of keys that run
    ``finished``       set of keys that have returned
    ``cache``          from keys to results that are kept, values included
    ``released``       set of keys whose result nobody needs any more, values included
    =================  =================================================================

    Examples
    --------
    >>> from oxidask import delayed
    >>> def tell(key, result, dsk, state, worker_id):
    ...     print(key, "is", result)
    >>> with Callback(posttask=tell):
    ...     total = delayed(sum)([1, 2], dask_key_name="total").compute()
    total is 3
    """

    active: ClassVar[Any] = _Active()

    #: What the engine keeps for callbacks of our own, which are told by `_begin` and `_end`:
    #: "nothing", "counts" or "spans". None for callbacks of users.
    _watches: ClassVar[str | None] = None

    _start: Callable[..., Any]
    _start_state: Callable[..., Any]
    _pretask: Callable[..., Any]
    _posttask: Callable[..., Any]
    _finish: Callable[..., Any]

    def __init__(
        self,
        start: Callable[..., Any] | None = None,
        start_state: Callable[..., Any] | None = None,
        pretask: Callable[..., Any] | None = None,
        posttask: Callable[..., Any] | None = None,
        finish: Callable[..., Any] | None = None,
    ) -> None:
        functions = (start, start_state, pretask, posttask, finish)
        for name, function in zip(_HOOKS, functions, strict=True):
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"Callback({name[1:]}={function!r}): a function is needed")
            setattr(self, name, function)

    @property
    def _callback(self) -> tuple[Callable[..., Any] | None, ...]:
        return tuple(getattr(self, name, None) for name in _HOOKS)

    def register(self) -> None:
        """Have it told of all computations from now on.

        Examples
        --------
        >>> callback = Callback()
        >>> callback.register()
        >>> callback in Callback.active
        True
        >>> callback.unregister()
        """
        Callback.active.add(self)

    def unregister(self) -> None:
        """Have it told no more.

        Raises
        ------
        KeyError
            If it is not registered.

        Examples
        --------
        >>> callback = Callback()
        >>> callback.register()
        >>> callback.unregister()
        """
        if self not in Callback.active:
            raise KeyError(f"this {type(self).__name__} is not registered; call register() first")
        Callback.active.discard(self)

    def __enter__(self) -> Self:
        self.register()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        Callback.active.discard(self)

    def _begin(self, computation: Computation) -> None:
        """Take note that a computation begins."""

    def _end(self, computation: Computation, failed: bool) -> None:
        """Take note that it is over."""


class add_callbacks:
    """Register several callbacks while a `with` block runs.

    Parameters
    ----------
    *callbacks : Callback or tuple
        A tuple holds start, start_state, pretask, posttask and finish; None for what is not needed.

    Examples
    --------
    >>> from oxidask import delayed
    >>> with add_callbacks(Callback(finish=lambda dsk, state, errored: print(len(dsk), "task"))):
    ...     delayed(sum)([1, 2]).compute()
    1 task
    3
    """

    def __init__(self, *callbacks: Callback | tuple[Callable[..., Any] | None, ...]) -> None:
        self._callbacks = [_callback_of(one) for one in callbacks]

    def __enter__(self) -> None:
        for callback in self._callbacks:
            callback.register()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for callback in self._callbacks:
            Callback.active.discard(callback)


def _callback_of(callback: Any) -> Callback:
    if isinstance(callback, Callback):
        return callback
    if isinstance(callback, tuple) and len(callback) == len(_HOOKS):
        return Callback(*callback)
    raise TypeError(
        f"{callback!r} is no callback; make a Callback, or a tuple of five functions or None: "
        "start, start_state, pretask, posttask, finish"
    )


def fed_by_engine(function: _Function) -> _Function:
    """Mark a hook of ours that does nothing: the engine tells in another way.

    It is there for subclasses, which may call it.
    """
    function._is_fed_by_engine = True  # type: ignore[attr-defined]
    return function


def _hook(callback: Callback, name: str) -> Callable[..., Any] | None:
    function: Callable[..., Any] | None = getattr(callback, name, None)
    return None if getattr(function, "_is_fed_by_engine", False) else function


# ---- Running with callbacks ----

#: Those that are told of a computation now, by their id.
_busy: set[int] = set()
_busy_lock = threading.Lock()


def _forget_parent() -> None:
    global _busy_lock
    _busy_lock = threading.Lock()
    Callback.active._forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


def run(
    tasks: list[Delayed],
    threads: int,
    go: Callable[[Computation], list[Any]],
    callbacks: Iterable[Any] | None,
) -> list[Any]:
    """Compute tasks, and tell callbacks.

    Parameters
    ----------
    tasks : list of Delayed
    threads : int
        How many take part.
    go : callable
        Runs a computation and returns its results.
    callbacks : iterable of Callback, optional
        Instead of those that are active.

    Returns
    -------
    list
        The results of `tasks`.
    """
    wanted = [_callback_of(one) for one in (Callback.active if callbacks is None else callbacks)]
    with _busy_lock:
        free = [one for one in wanted if id(one) not in _busy]
        _busy.update(map(id, free))
    try:
        return (
            go(Computation(tasks, threads, "nothing", in_slabs=True))
            if not free
            else _Told(free).run(tasks, threads, go)
        )
    finally:
        with _busy_lock:
            _busy.difference_update(map(id, free))


class _Told:
    """The callbacks of one computation."""

    def __init__(self, callbacks: list[Callback]) -> None:
        self._callbacks = callbacks
        #: Who is to be told of the end, each as a function of whether the computation failed.
        self._ends: list[Callable[[bool], Any]] = []

    def run(
        self, tasks: list[Delayed], threads: int, go: Callable[[Computation], list[Any]]
    ) -> list[Any]:
        # No `contextlib` here: it sets attributes of exceptions that pass, which exceptions of
        # users may refuse.
        failed = True
        try:
            tasks = self._tell_start(tasks)
            kinds = [one._watches for one in self._callbacks]
            watching = next((kind for kind in ("spans", "counts") if kind in kinds), "nothing")
            computation = Computation(tasks, threads, watching)
            self._tell_start_state(computation)
            for callback in self._callbacks:
                if callback._watches is not None:
                    callback._begin(computation)
                    self._ends.append(_end_of(callback, computation))
            results = go(computation)
            failed = False
            return results
        finally:
            self._tell_end(failed)

    def _tell_start(self, tasks: list[Delayed]) -> list[Delayed]:
        if not any(_hook(one, name) for one in self._callbacks for name in _HOOKS):
            return tasks
        from oxidask import _callback_views

        self._graph = _callback_views.Graph(tasks)
        self._state: Any = {}
        for callback in self._callbacks:
            start, finish = _hook(callback, "_start"), _hook(callback, "_finish")
            if start is not None:
                start(self._graph)
            if finish is not None:
                self._ends.append(self._end_by_hook(finish))
        return self._graph.settle()

    def _end_by_hook(self, finish: Callable[..., Any]) -> Callable[[bool], Any]:
        return lambda failed: finish(self._graph, self._state, failed)

    def _tell_start_state(self, computation: Computation) -> None:
        hooks = {
            name: [hook for one in self._callbacks if (hook := _hook(one, name)) is not None]
            for name in _HOOKS[1:]
        }
        if not any(hooks.values()):
            return
        from oxidask import _callback_views

        states = computation.task_states()
        self._graph.show(computation.graph)
        self._state = _callback_views.State(states)
        for start_state in hooks["_start_state"]:
            start_state(self._graph, self._state)
        computation.tell(hooks["_pretask"], hooks["_posttask"], self._graph, self._state, states)

    def _tell_end(self, failed: bool) -> None:
        # Whoever was told of the beginning is told of the end, though another one raises.
        while self._ends:
            try:
                self._ends.pop(0)(failed)
            except BaseException:
                self._tell_end(True)
                raise


def _end_of(callback: Callback, computation: Computation) -> Callable[[bool], None]:
    return lambda failed: callback._end(computation, failed)
