"""Worker processes behind ``scheduler="processes"``: started with first use, kept for the next."""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from oxidask import _core, config
from oxidask._core import Delayed
from oxidask.callbacks import _HOOKS, Callback, _callback_of, _hook

if TYPE_CHECKING:
    from oxidask.distributed import Client

#: What a worker takes from this process when it starts: one that was started with something else
#: must not run what is computed now.
_Surroundings = tuple[str, list[str], dict[str, str]]


class _Pool:
    """Some worker processes, and a client of theirs that is nobody's default."""

    def __init__(self, size: int, surroundings: _Surroundings) -> None:
        from oxidask.distributed import Client, LocalCluster

        self.size = size
        self.surroundings = surroundings
        #: Computations that run.
        self.users = 0
        self.idle_since = time.monotonic()
        self._cluster = LocalCluster(
            name="processes", n_workers=size, threads_per_worker=1, dashboard_address=None
        )
        self.client: Client = Client(self._cluster, set_as_default=False)

    @property
    def is_closed(self) -> bool:
        return self._cluster.status == "closed"

    def fits(self, size: int, surroundings: _Surroundings) -> bool:
        return self.size == size and self.surroundings == surroundings

    def close(self) -> None:
        self.client.close()
        self._cluster.close()

    def disown(self) -> None:
        """Leave the workers alone when this object goes."""
        self.client.status = self._cluster.status = "closed"


#: Guards what follows; `_ended` is told of each end of a computation.
_ended = threading.Condition()
_pools: list[_Pool] = []
_keeper: threading.Thread | None = None


def compute(
    tasks: list[Delayed], num_workers: int | None = None, callbacks: Iterable[Any] | None = None
) -> list[Any]:
    """Compute tasks in worker processes.

    Parameters
    ----------
    tasks : list of Delayed
    num_workers : int, optional
        How many processes; by default the setting, or one a core.
    callbacks : iterable of Callback, optional
        Instead of those that are active. Progress bars are told; those that want to hear of each
        task raise NotImplementedError.

    Returns
    -------
    list
        The results of `tasks`.
    """
    told = [_checked(one) for one in (Callback.active if callbacks is None else callbacks)]
    pool = _take(_size(num_workers))
    try:
        return _run_and_tell(pool, tasks, told) if told else pool.client._run_tasks(tasks)
    finally:
        _give_back(pool)


# ---- Callbacks ----


def _checked(given: Any) -> Callback:
    """Return a callback that needs no news of single tasks."""
    callback = _callback_of(given)
    hears_of_tasks = any(_hook(callback, name) is not None for name in _HOOKS)
    if hears_of_tasks or callback._watches == "spans":
        raise NotImplementedError(
            f"scheduler='processes' with {callback!r}: callbacks are told of tasks in this process "
            "only; use scheduler='threads', or leave it out"
        )
    return callback


def _run_and_tell(pool: _Pool, tasks: list[Delayed], callbacks: list[Callback]) -> list[Any]:
    progress: Any = _Progress(pool, tasks)
    begun: list[Callback] = []
    failed = True
    try:
        for callback in callbacks:
            callback._begin(progress)
            begun.append(callback)
        results = pool.client._run_tasks(tasks)
        progress.is_done = True
        failed = False
        return results
    finally:
        for callback in begun:
            callback._end(progress, failed)


class _Progress:
    """What a progress bar asks of a computation.

    Workers say how many tasks they ended: if several computations use them at once, bars run ahead.
    """

    def __init__(self, pool: _Pool, tasks: list[Delayed]) -> None:
        self._client = pool.client
        self._total = len(_core.GraphView(tasks))
        self._begin = time.monotonic()
        self._before = self._ended()
        self.is_done = False

    def _ended(self) -> int:
        answer = json.loads(self._client._session.ask("workers"))
        return sum(worker["finished"] for worker in answer["workers"])

    def progress(self) -> tuple[int, int, float]:
        done = self._total if self.is_done else self._ended() - self._before
        return max(0, min(done, self._total)), self._total, time.monotonic() - self._begin


# ---- Workers ----


def _size(num_workers: int | None) -> int:
    if num_workers is None:
        num_workers = config.get("num_workers", None)
    size = num_workers if num_workers is not None else _core.cpu_count()
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"num_workers={size!r}: the number of processes is an int from 1")
    return size


def _take(size: int) -> _Pool:
    """Return a pool, which is in use from now on."""
    surroundings = os.getcwd(), list(sys.path), dict(os.environ)
    with _ended:
        for pool in list(_pools):
            if pool.is_closed:
                # As at the end of the program, when exit handlers of the user may compute.
                _pools.remove(pool)
            elif pool.users == 0 and not pool.fits(size, surroundings):
                # It would only take memory from the one that is wanted now.
                _end(pool)
        for pool in _pools:
            if pool.fits(size, surroundings):
                break
        else:
            pool = _Pool(size, surroundings)
            _pools.append(pool)
        pool.users += 1
        return pool


def _give_back(pool: _Pool) -> None:
    global _keeper
    with _ended:
        if pool not in _pools:
            return
        pool.users -= 1
        if pool.users > 0:
            return
        pool.idle_since = time.monotonic()
        if _idle_timeout() <= 0:
            _end(pool)
        elif _keeper is None:
            _keeper = threading.Thread(target=_keep, name="oxidask-processes", daemon=True)
            _keeper.start()
        _ended.notify_all()


def _end(pool: _Pool) -> None:
    _pools.remove(pool)
    pool.close()


def _idle_timeout() -> float:
    from oxidask.distributed._future import _seconds

    seconds = _seconds(config.get("multiprocessing.idle-timeout"))
    return float("inf") if seconds is None else seconds


def _keep() -> None:
    """End pools that nobody has used for a while, until there is none."""
    global _keeper
    with _ended:
        while _pools:
            timeout = _idle_timeout()
            now = time.monotonic()
            left = [pool.idle_since + timeout - now for pool in _pools if pool.users == 0]
            if left and min(left) <= 0:
                for pool in list(_pools):
                    if pool.users == 0 and pool.idle_since + timeout <= now:
                        _end(pool)
                continue
            # The setting may change meanwhile: look again now and then.
            _ended.wait(min([*left, 1.0]))
        _keeper = None


@atexit.register
def close() -> None:
    """End all pools that are not in use; the next computation starts one again."""
    with _ended:
        for pool in list(_pools):
            if pool.users == 0:
                _end(pool)
        _ended.notify_all()


def _forget_parent() -> None:
    """In a child process: the workers are its parent's."""
    global _ended, _keeper
    _ended = threading.Condition()
    for pool in _pools:
        pool.disown()
    _pools.clear()
    _keeper = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
