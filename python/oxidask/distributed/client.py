"""`Client`: submits work to a cluster and waits for it."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from oxidask import _core
from oxidask._core import Delayed, Future, Session, Unpacked
from oxidask._names import funcname
from oxidask.base import _time_limit_of_block
from oxidask.distributed import _absent, _asking, _callbacks, _default, _future, _nested, _show
from oxidask.distributed._future import _seconds
from oxidask.distributed._problems import ClusterClosedError

_clients: weakref.WeakValueDictionary[int, Client] = weakref.WeakValueDictionary()


def _client_of(session: int) -> Client:
    client = _clients.get(session)
    if client is None:
        raise ValueError("the client of this future is gone")
    return client


def _living_clients() -> list[Client]:
    # The table may grow in another thread: its references are copied in one step, its values not.
    living = [reference() for reference in _clients.valuerefs()]
    return [client for client in living if client is not None]


def _open_clients() -> list[Client]:
    return [client for client in _living_clients() if client.status == "running"]


class Client:
    """Connect to a cluster, or start one on this machine.

    Parameters
    ----------
    address : LocalCluster, str or None
        The cluster, or where it is: the ``scheduler_address`` of a cluster of processes. None
        starts a `LocalCluster` with the other arguments.
    set_as_default : bool, default True
        Whether `compute`, `persist` and their kin use this client from now on.
    asynchronous : bool, default False
        Whether it is for code in an event loop: methods that wait return awaitables.
    name : str, optional
        A name, for whoever looks.
    **kwargs
        For `LocalCluster`: ``n_workers``, ``threads_per_worker``, ``processes``, …

    Examples
    --------
    >>> from oxidask.distributed import Client
    >>> with Client(processes=False) as client:
    ...     future = client.submit(sum, [1, 2, 3])
    ...     future.result()
    6
    """

    def __new__(cls, *args: Any, asynchronous: bool = False, **kwargs: Any) -> Client:
        """Make the kind of client that suits an event loop, if it is for one."""
        if asynchronous and cls is Client:
            from oxidask.distributed._asynchronous import AsynchronousClient

            cls = AsynchronousClient
        return object.__new__(cls)

    def __init__(
        self,
        address: Any = None,
        loop: None = None,
        timeout: Any = None,
        set_as_default: bool = True,
        scheduler_file: str | None = None,
        security: Any = None,
        asynchronous: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if scheduler_file is not None or security is not None:
            raise NotImplementedError(
                "Client(scheduler_file=, security=): clusters over a network are not there yet; "
                "use LocalCluster"
            )
        self._owns_cluster = False
        if address is None:
            from oxidask.distributed.deploy.local import LocalCluster

            address = LocalCluster(**kwargs)
            self._owns_cluster = True
        elif kwargs:
            raise TypeError(
                f"Client(address, {', '.join(kwargs)}=): these belong to LocalCluster, not to a "
                "client of a cluster that is there"
            )
        if isinstance(address, str) and address.startswith("unix://"):
            from oxidask.distributed.deploy.local import ClusterElsewhere

            address = ClusterElsewhere(address)
        if not hasattr(address, "_connect"):
            raise NotImplementedError(
                f"Client({address!r}): clusters over a network are not there yet; pass a "
                "LocalCluster, or nothing to start one"
            )
        self.cluster = address
        self.name = name
        self._session: Session = address._connect()
        self.id = f"Client-{self._session.number}"
        self.status = "running"
        self._set_as_default = set_as_default
        _clients[self._session.number] = self
        if self.asynchronous:
            _future._asynchronous.add(self._session.number)
        if not self._session.is_one_process:
            _show.start(self._session)
        if set_as_default:
            _default.push(self)

    @property
    def _open_session(self) -> Session:
        if self.status == "closed":
            raise ClusterClosedError("this client was closed; make a new one: Client(cluster)")
        _show.note_cell(self._session.number)
        return self._session

    def _asked(
        self, method: str, workers: Any, allow_other_workers: Any, resources: Any
    ) -> _asking.Asked | None:
        address = self.cluster.scheduler_address
        return _asking.asked(method, workers, allow_other_workers, resources, address)

    def _asked_by_options(self, method: str, options: dict[str, Any]) -> _asking.Asked | None:
        names = ("workers", "allow_other_workers", "resources")
        return self._asked(method, *(options.get(name) for name in names))

    # ---- Work ----

    def submit(
        self,
        func: Callable[..., Any],
        *args: Any,
        key: Any = None,
        workers: Any = None,
        resources: Any = None,
        retries: int | None = None,
        priority: int = 0,
        fifo_timeout: Any = None,
        allow_other_workers: bool = False,
        actor: bool = False,
        actors: bool = False,
        pure: bool = True,
        **kwargs: Any,
    ) -> Future:
        """Run a call in the cluster.

        Parameters
        ----------
        func : callable
        *args, **kwargs
            Arguments. Futures and lazy objects in them, at any depth of lists, tuples, sets and
            dictionaries, stand for their results.
        key : str, optional
            The name of the task. One that is alive is returned instead of running it again.
        workers : str or list of str, optional
            Names of the workers that may run it, as in `scheduler_info`. If none of them is there,
            the task waits, as `why` tells, and fails after the time that the setting
            ``distributed.scheduler.no-workers-timeout`` gives.
        allow_other_workers : bool, default False
            Whether others may run it as long as none of these is there.
        resources : dict, optional
            How much it takes while it runs of what workers have: ``{"GPU": 1}``; see
            `LocalCluster`.
        retries : int, optional
            How often a call that raises is tried again.
        priority : int, default 0
            Larger ones start first. In a task it is the task's own unless one is given. Of tasks
            that are known to be short a worker is given some milliseconds of work ahead; those
            are not overtaken by what other workers are given.
        pure : bool, default True
            Whether equal calls are the same task. False for functions that do not return the same
            each time.

        Returns
        -------
        Future

        Examples
        --------
        >>> from oxidask.distributed import Client
        >>> with Client(processes=False) as client:
        ...     x = client.submit(abs, -2)
        ...     y = client.submit(pow, x, 3)
        ...     y.result()
        8
        """
        _check_actors("submit", actor or actors)
        asked = self._asked("submit", workers, allow_other_workers, resources)
        if not callable(func):
            raise TypeError(f"submit: the first argument is called, but {func!r} is not callable")
        return self._open_session.submit(
            func,
            args,
            kwargs,
            _prefix_of(func),
            key,
            pure,
            priority,
            retries or 0,
            asked,
            _time_limit_of_block(),
        )

    def map(
        self,
        func: Callable[..., Any],
        *iterables: Iterable[Any],
        key: Any = None,
        workers: Any = None,
        retries: int | None = None,
        resources: Any = None,
        priority: int = 0,
        allow_other_workers: bool = False,
        fifo_timeout: Any = None,
        actor: bool = False,
        actors: bool = False,
        pure: bool = True,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[Future]:
        """Run a call for each element of some iterables, up to the end of the shortest.

        Parameters
        ----------
        func : callable
        *iterables : iterable
            Arguments of each call, one from each.
        key : str or list of str, optional
            The first part of the keys, or all of them.
        batch_size : int, optional
            Taken for compatibility: calls are always sent in batches.
        retries, priority, pure, workers, allow_other_workers, resources, **kwargs
            As for `submit`; the same for all calls.

        Returns
        -------
        list of Future

        Examples
        --------
        >>> from oxidask.distributed import Client
        >>> with Client(processes=False) as client:
        ...     client.gather(client.map(pow, range(4), [2, 2, 2, 2]))
        [0, 1, 4, 9]
        """
        _check_actors("map", actor or actors)
        asked = self._asked("map", workers, allow_other_workers, resources)
        if not callable(func):
            raise TypeError(f"map: the first argument is called, but {func!r} is not callable")
        if not iterables:
            raise ValueError("map: give at least one iterable; for one call use submit")
        label, keys = _prefix_of(func), None
        if isinstance(key, str):
            label = key
        elif key is not None:
            keys = list(key)
            rows = list(zip(*iterables, strict=False))
            if len(keys) != len(rows):
                raise ValueError(
                    f"map: {len(keys)} keys were given for {len(rows)} calls; give one for each "
                    "call, or a text with which all keys begin"
                )
            iterables = tuple(zip(*rows, strict=True)) or iterables
        return self._open_session.map(
            func,
            list(iterables),
            kwargs,
            label,
            keys,
            pure,
            priority,
            retries or 0,
            asked,
            _time_limit_of_block(),
        )

    def gather(
        self,
        futures: Any,
        errors: str = "raise",
        direct: bool | None = None,
        asynchronous: bool | None = None,
    ) -> Any:
        """Wait for futures and return their results in the same containers.

        Parameters
        ----------
        futures : Future or container
            Futures in lists, tuples, sets and dictionaries, at any depth.
        errors : {"raise", "skip"}
            Whether to raise the first error, or to leave failed futures out of containers; a
            single one that failed is None.

        Returns
        -------
        object
        """
        if errors not in ("raise", "skip"):
            raise ValueError(f"gather(errors={errors!r}): 'raise' or 'skip' is meant")
        _show.note_cell(self._session.number)
        if isinstance(futures, Future):
            results = self._session.gather([futures], errors == "skip")
            return results[0] if results else None
        if isinstance(futures, Iterator):
            futures = list(futures)
        if isinstance(futures, list) and all(type(one) is Future for one in futures):
            return self._session.gather(futures, errors == "skip")
        flat: list[Future] = []
        _collect_futures(futures, flat)
        unique = list(dict.fromkeys(flat))
        if errors == "skip":
            _wait(unique, None, "ALL_COMPLETED")
            unique = [future for future in unique if future.status == "finished"]
        values = dict(zip(unique, self._session.gather(unique, False), strict=True))
        return _filled(futures, values)

    def scatter(
        self,
        data: Any,
        workers: Any = None,
        broadcast: bool | int = False,
        direct: bool | None = None,
        hash: bool = True,
        timeout: Any = None,
        asynchronous: bool | None = None,
    ) -> Any:
        """Put data into the cluster.

        Parameters
        ----------
        data : object, list, tuple, set or dict
            A list, tuple, set or dictionary is scattered element by element.
        broadcast : bool or int, default False
            Taken for compatibility: on one host all workers read the same memory.
        hash : bool, default True
            Whether equal data is the same task.

        Returns
        -------
        Future, or a container of futures like `data`
        """
        if workers is not None:
            raise NotImplementedError(
                "scatter(workers=): data is kept in memory that all workers of this host read; "
                "leave it out"
            )
        if isinstance(data, dict):
            return {name: self._scattered(value, hash) for name, value in data.items()}
        if isinstance(data, list | tuple | set | frozenset):
            return type(data)(self._scattered(value, hash) for value in data)
        if isinstance(data, range | Iterator):
            return [self._scattered(value, hash) for value in data]
        return self._scattered(data, hash)

    def _scattered(self, value: Any, is_hashed: bool) -> Future:
        return self._open_session.scatter(value, type(value).__name__, is_hashed)

    def compute(
        self,
        collections: Any,
        sync: bool = False,
        optimize_graph: bool = True,
        workers: Any = None,
        allow_other_workers: bool = False,
        resources: Any = None,
        retries: int = 0,
        priority: int = 0,
        fifo_timeout: Any = None,
        actors: Any = None,
        traverse: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Compute lazy objects in the cluster.

        Parameters
        ----------
        collections : lazy object, or list of them
        sync : bool, default False
            Whether to wait and return the results.
        retries, priority, workers, allow_other_workers, resources
            As for `submit`, for each task that was made outside of blocks that say it: `annotate`.

        Returns
        -------
        Future, list of Future, or results
            One future for one object; others in the list are returned as they are.
        """
        _check_actors("compute", bool(actors))
        asked = self._asked("compute", workers, allow_other_workers, resources)
        is_many = isinstance(collections, list | tuple | set | frozenset)
        given = list(collections) if is_many else [collections]
        tasks = self._tasks_of(given, optimize_graph)
        lazy = [task for task in tasks if task is not None]
        futures = iter(self._open_session.submit_graph(lazy, priority, retries, asked))
        result = [
            one if task is None else next(futures) for one, task in zip(given, tasks, strict=True)
        ]
        if sync:
            result = Client.gather(self, result)
        return result if is_many else result[0]

    def _tasks_of(self, given: list[Any], optimize_graph: bool) -> list[Delayed | None]:
        from oxidask import base

        for one in given:
            base._check_fits(one)
        tasks = [
            base._concrete_value_of(one) if base.is_dask_collection(one) else None for one in given
        ]
        lazy = [task for task in tasks if task is not None]
        optimized = iter(base._optimized(lazy) if optimize_graph and lazy else lazy)
        return [None if task is None else next(optimized) for task in tasks]

    def persist(
        self,
        collections: Any,
        optimize_graph: bool = True,
        workers: Any = None,
        allow_other_workers: bool | None = None,
        resources: Any = None,
        retries: int | None = None,
        priority: int = 0,
        fifo_timeout: Any = None,
        actors: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Compute lazy objects in the cluster and keep the results there.

        Returns
        -------
        lazy object, or list of them
            Equal ones whose results are, or will be, in the cluster.
        """
        _check_actors("persist", bool(actors))
        asked = self._asked("persist", workers, allow_other_workers, resources)
        is_many = isinstance(collections, list | tuple | set | frozenset)
        given = list(collections) if is_many else [collections]
        result = self._persisted(given, optimize_graph, retries or 0, priority, asked)
        return result if is_many else result[0]

    def _persisted(
        self,
        given: list[Any],
        optimize_graph: bool,
        retries: int,
        priority: int,
        asked: _asking.Asked | None = None,
    ) -> list[Any]:
        from oxidask import base

        parts = [base._parts_to_hold(one) for one in given if base.is_dask_collection(one)]
        tasks = [part for some, _ in parts for part in some]
        optimized = base._optimized(tasks) if optimize_graph and tasks else tasks
        futures = iter(self._open_session.submit_graph(optimized, priority, retries, asked))
        kept = iter([rebuild([next(futures) for _ in some]) for some, rebuild in parts])
        return [next(kept) if base.is_dask_collection(one) else one for one in given]

    def _persisted_by_options(
        self, given: list[Any], optimize_graph: bool, options: dict[str, Any]
    ) -> list[Any]:
        """Keep results in the cluster, for `persist` whose default scheduler this client is."""
        return self._persisted(
            given,
            optimize_graph,
            options.get("retries") or 0,
            options.get("priority") or 0,
            self._asked_by_options("persist", options),
        )

    def get(self, dsk: Any, keys: Any, sync: bool = True, **kwargs: Any) -> Any:
        """Run a graph that is a dictionary.

        Parameters
        ----------
        dsk : mapping
            Tasks by key.
        keys : key or nested lists of keys
        sync : bool, default True
            Whether to wait; otherwise futures are returned.

        Returns
        -------
        object
            Results, or futures, nested as `keys`.
        """
        from oxidask import base

        tasks = base._nested_tasks(keys if isinstance(keys, list) else [keys], dsk)
        flat: list[Delayed] = []
        _flatten(tasks, flat)
        futures = self._open_session.submit_graph(
            flat,
            kwargs.get("priority") or 0,
            kwargs.get("retries") or 0,
            self._asked_by_options("get", kwargs),
        )
        filled = _refilled(tasks, iter(futures))
        result = Client.gather(self, filled) if sync else filled
        return result if isinstance(keys, list) else result[0]

    # ---- Futures ----

    def cancel(
        self,
        futures: Any,
        asynchronous: bool | None = None,
        force: bool = False,
        reason: str | None = None,
        msg: str | None = None,
    ) -> None:
        """Cancel tasks, and what needs them; running Python code is interrupted.

        Parameters
        ----------
        futures : Future or container of futures
        reason, msg : str, optional
            Why; whoever waits for the results is told.
        """
        self._session.cancel(futures_of(futures), msg or reason or "")

    def retry(self, futures: Any, asynchronous: bool | None = None) -> None:
        """Try tasks that failed again, with what they need."""
        self._session.retry(futures_of(futures))

    def futures_of(self, futures: Any) -> list[Future]:
        """Return the futures in containers and in persisted collections."""
        return futures_of(futures)

    def why(self, future: Future | None = None) -> Any:
        """Say why a future is not done.

        Parameters
        ----------
        future : Future, optional
            By default all futures of this client are looked at, and those that are not done are
            explained together.

        Returns
        -------
        str
            A sentence for each step: what it waits for, down to what does not wait.
        """
        from oxidask.distributed import _why

        return _why.explain(self, future)

    def get_task_stream(
        self,
        start: float | None = None,
        stop: float | None = None,
        count: int | None = None,
        plot: Any = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Return what workers did, task by task.

        Parameters
        ----------
        start, stop : float, optional
            Seconds since 1970; by default all that is remembered.
        count : int, optional
            At most so many of the newest.

        Returns
        -------
        list of dict
            As `get_task_stream.data` has it.
        """
        from oxidask.distributed import _task_stream

        if plot:
            raise NotImplementedError(
                "get_task_stream(plot=) is not there yet; leave it out, and open dashboard_link"
            )
        found = _task_stream.collect(self, start, stop)
        return found if count is None else found[max(len(found) - count, 0) :]

    # ---- The cluster ----

    def scheduler_info(self, n_workers: int = -1, **kwargs: Any) -> dict[str, Any]:
        """Return a description of the scheduler and its workers.

        Returns
        -------
        dict
            ``type``, ``id``, ``address``, and ``workers``: a dictionary by worker's name with
            ``nthreads``, ``pid``, ``name``, ``finished``, ``resources``, ``status`` ("running",
            "paused" when memory is short, or "stopped" when a signal or a debugger has stopped its
            process), ``stopped_for`` (seconds; None if it runs) and ``metrics``, of which
            ``memory`` has the bytes that only the worker's process has, and ``spilled_bytes`` those
            of its host on disk;
            ``tasks``: how many are in which state.
        """
        told = json.loads(self._open_session.ask("workers"))
        workers = {
            str(one["name"]): {
                "type": "Worker",
                "id": one["worker"],
                "name": one["name"],
                "pid": one["pid"],
                "nthreads": one["threads"],
                "finished": one["finished"],
                "resources": one["resources"],
                "status": told["pressure"] if one["stopped"] is None else "stopped",
                "stopped_for": one["stopped"],
                "metrics": {
                    "memory": one["memory"],
                    "spilled_bytes": {"memory": 0, "disk": told["spilled_nbytes"]},
                    "host_memory": told["memory_nbytes"],
                },
            }
            for one in told["workers"][: None if n_workers < 0 else n_workers]
        }
        return {
            "type": "Scheduler",
            "id": self.id,
            "address": self.cluster.scheduler_address,
            "workers": workers,
            "tasks": told["states"],
        }

    def nthreads(self, workers: Any = None, **kwargs: Any) -> dict[str, int]:
        """Return the number of threads of each worker."""
        info = Client.scheduler_info(self)["workers"]
        return {name: one["nthreads"] for name, one in info.items()}

    ncores = nthreads

    def wait_for_workers(self, n_workers: int, timeout: Any = None) -> None:
        """Wait until so many workers are there.

        Raises
        ------
        TimeoutError
            If they are not there in time.
        """
        limit = _seconds(timeout)
        until = None if limit is None else time.monotonic() + limit
        while True:
            there = len(Client.scheduler_info(self)["workers"])
            if there >= n_workers:
                return
            if until is not None and time.monotonic() > until:
                raise TimeoutError(f"{there} of {n_workers} workers are there after {limit} s")
            time.sleep(0.01)

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        workers: Any = None,
        wait: bool = True,
        nanny: bool = False,
        on_error: str = "raise",
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Call a function in every worker now, outside of tasks.

        Parameters
        ----------
        function : callable
        workers : list of str, optional
            Names of workers; by default all.
        on_error : {"raise", "return", "ignore"}
            What to do with exceptions. A worker that dies, or whose process stands still for longer
            than ``distributed.scheduler.worker-ttl``, counts as one that raised.

        Returns
        -------
        dict
            What it returned, by worker's name.
        """
        if nanny or not wait:
            raise NotImplementedError(
                "run(nanny=True) and run(wait=False) are not there yet; leave them out"
            )
        if on_error not in ("raise", "return", "ignore"):
            raise ValueError(f"run(on_error={on_error!r}): 'raise', 'return' or 'ignore' is meant")
        info = Client.scheduler_info(self)["workers"]
        unknown = [name for name in workers or [] if name not in info]
        if unknown:
            raise ValueError(
                f"run: there is no worker {unknown[0]!r}; the workers are {sorted(info)}"
            )
        chosen = {
            one["id"]: name for name, one in info.items() if workers is None or name in workers
        }
        answers = self._open_session.call(list(chosen), function, args, kwargs)
        results: dict[str, Any] = {}
        for worker, is_good, value in answers:
            if is_good or on_error == "return":
                results[chosen[worker]] = value
            elif on_error == "raise":
                raise value
        return results

    @property
    def dashboard_link(self) -> str:
        """The address of the cluster's page, or an empty text."""
        return str(self.cluster.dashboard_link)

    @property
    def asynchronous(self) -> bool:
        """Whether calls return awaitables: no."""
        return False

    @classmethod
    def current(cls, allow_global: bool = True) -> Client:
        """Return the default client.

        Raises
        ------
        ValueError
            If there is none.
        """
        return _nested.get_client() if allow_global else default_client()

    @contextlib.contextmanager
    def as_current(self) -> Iterator[Client]:
        """Make this client the default inside a block."""
        _default.push(self)
        try:
            yield self
        finally:
            _default.remove(self)

    def _run_tasks(self, tasks: list[Delayed], **options: Any) -> list[Any]:
        """Compute tasks for `compute` and its kin, whose default scheduler this client is."""
        futures = self._open_session.submit_graph(
            tasks,
            options.get("priority") or 0,
            options.get("retries") or 0,
            self._asked_by_options("compute", options),
        )
        return self._session.gather(futures, False)

    def restart(self, timeout: Any = None, wait_for_workers: bool = True, **kwargs: Any) -> Client:
        """Cancel all work in the cluster, of all its clients, and start its workers anew.

        Parameters
        ----------
        timeout : float or str, optional
            How long to wait for the new workers; 60 seconds by default.
        wait_for_workers : bool, default True
            Whether to wait for them.

        Returns
        -------
        Client
            This one. Its futures are cancelled.

        Raises
        ------
        TimeoutError
            If the workers are not there in time.
        """
        self._restart(None, True, timeout, wait_for_workers)
        return self

    def restart_workers(
        self,
        workers: list[str],
        timeout: Any = None,
        raise_for_error: bool = True,
    ) -> dict[str, str]:
        """Start some workers anew; what they ran runs again, elsewhere or there.

        Parameters
        ----------
        workers : list of str
            Names of workers.
        timeout : float or str, optional
            How long to wait for the new workers; 60 seconds by default.
        raise_for_error : bool, default True
            Whether to raise TimeoutError if they are not there in time.

        Returns
        -------
        dict
            "OK" or "timed out", by worker's name. The new workers have new names.
        """
        try:
            self._restart(list(workers), False, timeout, True)
        except TimeoutError:
            if raise_for_error:
                raise
            return dict.fromkeys(workers, "timed out")
        return dict.fromkeys(workers, "OK")

    def _restart(self, names: list[str] | None, cancels: bool, timeout: Any, waits: bool) -> None:
        before = Client.scheduler_info(self)["workers"]
        unknown = [name for name in names or [] if name not in before]
        if unknown:
            raise ValueError(
                f"restart_workers: there is no worker {unknown[0]!r}; the workers are "
                f"{sorted(before)}"
            )
        old = {one["id"] for name, one in before.items() if names is None or name in names}
        self.cluster._restart(sorted(old), cancels)
        limit = 60.0 if timeout is None else _seconds(timeout)
        until = time.monotonic() + (limit or 0.0)
        while waits:
            there = {one["id"] for one in Client.scheduler_info(self)["workers"].values()}
            if not there & old and len(there) >= len(before):
                return
            if time.monotonic() > until:
                raise TimeoutError(f"the workers were not there again after {limit} s")
            time.sleep(0.01)

    def close(self, timeout: Any = None) -> None:
        """Disconnect; results that only this client wanted are released.

        A cluster that the client started ends too.
        """
        if self.status == "closed":
            return
        self.status = "closed"
        _default.forget(self)
        _callbacks.forget(self._session.number)
        _show.stop(self._session.number)
        self._session.close()
        if self._owns_cluster:
            self.cluster._close()

    def shutdown(self) -> None:
        """Close the cluster, whoever started it, and the client."""
        Client.close(self)
        self.cluster._close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        Client.close(self)

    def __del__(self) -> None:
        # A client that was never made has no status; at the end of Python all were closed.
        if getattr(self, "status", "closed") != "closed" and not sys.is_finalizing():
            self.close()

    def __repr__(self) -> str:
        if self.status == "closed":
            return "<Client: closed>"
        workers = Client.scheduler_info(self)["workers"]
        threads = sum(one["nthreads"] for one in workers.values())
        address = self.cluster.scheduler_address
        return f"<Client: {address!r} workers={len(workers)} threads={threads}>"

    def _repr_html_(self) -> str:
        from oxidask.distributed import _reprs

        return _reprs.client_html(self)

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Client cannot be sent to another process; call get_client() inside the task"
        )


for _name, _way_around in _absent.WAYS_AROUND.items():
    setattr(Client, _name, _absent.method("Client", _name, _way_around))


def _check_actors(method: str, actor: bool) -> None:
    if actor:
        raise NotImplementedError(
            f"{method}(actor=True): actors are not there yet; keep state in a task's result"
        )


def _prefix_of(function: Any) -> str:
    return funcname(function)


def _collect_futures(part: Any, into: list[Future]) -> None:
    stack = [part]
    while stack:
        one = stack.pop()
        if isinstance(one, Future):
            into.append(one)
        elif isinstance(one, list | tuple | set | frozenset):
            stack.extend(one)
        elif isinstance(one, dict):
            stack.extend(one.values())


def _filled(part: Any, values: dict[Future, Any]) -> Any:
    if isinstance(part, Future):
        return values[part]
    if isinstance(part, list | set | frozenset):
        kept = [one for one in part if not isinstance(one, Future) or one in values]
        return type(part)(_filled(one, values) for one in kept)
    if isinstance(part, tuple):
        kept = [_filled(o, values) for o in part if not isinstance(o, Future) or o in values]
        return type(part)(*kept) if hasattr(part, "_fields") else tuple(kept)
    if isinstance(part, dict):
        return {
            name: _filled(one, values)
            for name, one in part.items()
            if not isinstance(one, Future) or one in values
        }
    return part


def _flatten(part: Any, into: list[Any]) -> None:
    if isinstance(part, list):
        for one in part:
            _flatten(one, into)
    else:
        into.append(part)


def _refilled(part: Any, items: Iterator[Any]) -> Any:
    return [_refilled(one, items) for one in part] if isinstance(part, list) else next(items)


@atexit.register
def _close_all() -> None:
    for client in _living_clients():
        Client.close(client)


def _forget_parent() -> None:
    """In a child process: what these clients would say, their parent's connection would send."""
    for client in _living_clients():
        client.status = "closed"
    _clients.clear()
    _default.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


# ---- Functions ----


def default_client(c: Client | None = None) -> Client:
    """Return the default client.

    Parameters
    ----------
    c : Client, optional
        Returned as it is, if given.

    Raises
    ------
    ValueError
        If no client was made.
    """
    client = c or _default.current()
    if client is None:
        raise ValueError("there is no Client; make one: Client()")
    return client


def futures_of(o: Any, client: Client | None = None) -> list[Future]:
    """Return the futures in containers and in persisted lazy objects.

    Parameters
    ----------
    o : object

    Returns
    -------
    list of Future
        Each once.
    """
    from oxidask import base

    found: list[Future] = []
    stack = [o]
    while stack:
        one = stack.pop()
        if isinstance(one, Future):
            found.append(one)
        elif isinstance(one, list | tuple | set | frozenset):
            stack.extend(one)
        elif isinstance(one, dict):
            stack.extend(one.values())
        elif base.is_dask_collection(one):
            found.extend(reversed(_core.futures_in_graph(base._parts_to_hold(one)[0])))
    return list(dict.fromkeys(reversed(found)))


class DoneAndNotDoneFutures(NamedTuple):
    """What `wait` returns."""

    done: set[Future]
    not_done: set[Future]


def wait(fs: Any, timeout: Any = None, return_when: str = "ALL_COMPLETED") -> Any:
    """Wait until futures are done, in whatever way.

    Parameters
    ----------
    fs : Future or container of futures
    timeout : float or str, optional
        Seconds to wait.
    return_when : {"ALL_COMPLETED", "FIRST_COMPLETED"}

    Returns
    -------
    named pair of sets
        ``done`` and ``not_done``; an awaitable of it for futures of an asynchronous client.

    Raises
    ------
    TimeoutError
        If time is up.
    """
    futures = futures_of(fs)
    if return_when not in ("ALL_COMPLETED", "FIRST_COMPLETED"):
        raise NotImplementedError(
            f"wait(return_when={return_when!r}): 'ALL_COMPLETED' or 'FIRST_COMPLETED' is meant"
        )
    limit = _seconds(timeout)
    if futures and futures[0]._session in _future._asynchronous:
        from oxidask.distributed._asynchronous import in_thread

        return in_thread(_wait, futures, limit, return_when)
    return _wait(futures, limit, return_when)


def _wait(futures: list[Future], limit: float | None, return_when: str) -> DoneAndNotDoneFutures:
    if futures:
        session = _client_of(futures[0]._session)._session
        _show.note_cell(session.number)
        waits = session.wait_all if return_when == "ALL_COMPLETED" else session.wait_any
        if not waits(futures, limit):
            left = sum(not future.done() for future in futures)
            raise TimeoutError(f"{left} of {len(futures)} futures are not done after {limit} s")
    done = {future for future in futures if future.done()}
    return DoneAndNotDoneFutures(done, set(futures) - done)


class as_completed:
    """Iterate over futures in the order in which they are done.

    Parameters
    ----------
    futures : iterable of Future, optional
    with_results : bool, default False
        Whether to yield pairs of future and result.
    raise_errors : bool, default True
        With results: whether to raise what a task raised; otherwise it stands for the result.
    timeout : float or str, optional
        Seconds that all may take; TimeoutError after that.

    Examples
    --------
    >>> from oxidask.distributed import Client, as_completed
    >>> with Client(processes=False) as client:
    ...     futures = client.map(abs, [-1, -2])
    ...     sorted(result for _, result in as_completed(futures, with_results=True))
    [1, 2]
    """

    def __init__(
        self,
        futures: Iterable[Future] | None = None,
        loop: None = None,
        with_results: bool = False,
        raise_errors: bool = True,
        *,
        timeout: Any = None,
    ) -> None:
        self.with_results = with_results
        self.raise_errors = raise_errors
        limit = _seconds(timeout)
        self._until = None if limit is None else time.monotonic() + limit
        self._waiting: dict[int, list[Future]] = {}
        self._count = 0
        self._watcher: _core.Watcher | None = None
        self._lock = threading.Lock()
        if futures is not None:
            self.update(futures)

    def update(self, futures: Iterable[Future]) -> None:
        """Add futures."""
        added = list(futures)
        for future in added:
            if not isinstance(future, Future):
                raise TypeError(f"as_completed: a Future is needed, not {future!r}")
        if not added:
            return
        with self._lock:
            if self._watcher is None:
                self._watcher = _client_of(added[0]._session)._session.watch()
            for future in added:
                self._waiting.setdefault(future._task, []).append(future)
            self._count += len(added)
        self._watcher.add(added)

    def add(self, future: Future) -> None:
        """Add a future."""
        self.update([future])

    def count(self) -> int:
        """Return how many futures were not yielded yet."""
        return self._count

    def is_empty(self) -> bool:
        """Say whether all futures were yielded."""
        return self._count == 0

    def has_ready(self) -> bool:
        """Say whether a future is done that was not yielded."""
        return self._watcher is not None and len(self._watcher) > 0

    def clear(self) -> None:
        """Forget all futures."""
        with self._lock:
            self._waiting.clear()
            self._count = 0
            self._watcher = None

    def __iter__(self) -> as_completed:
        return self

    def _next_future(self, left: float | None) -> Future:
        watcher = self._watcher
        if self._count == 0 or watcher is None:
            raise StopIteration
        number = watcher.next(left)
        if number is None:
            raise TimeoutError(f"{self._count} futures are not done")
        with self._lock:
            futures = self._waiting[number]
            future = futures.pop()
            if not futures:
                del self._waiting[number]
            self._count -= 1
        return future

    def __next__(self) -> Any:
        left = None if self._until is None else max(self._until - time.monotonic(), 0)
        future = self._next_future(left)
        return self._with_result(future)

    next = __next__

    def _with_result(self, future: Future) -> Any:
        if not self.with_results:
            return future
        if self.raise_errors:
            return future, future.result()
        error = future.exception()
        if error is None:
            return future, future.result()
        return future, (type(error), error, error.__traceback__)

    def next_batch(self, block: bool = True) -> list[Any]:
        """Return all futures that are done by now; with `block` wait for the first."""
        batch = [next(self)] if block else []
        while self._count and self.has_ready():
            batch.append(next(self))
        return batch

    def batches(self) -> Iterator[list[Any]]:
        """Yield lists of futures that are done."""
        while self._count:
            yield self.next_batch()

    def __aiter__(self) -> as_completed:
        return self

    async def __anext__(self) -> Any:
        import asyncio

        if self._count == 0:
            raise StopAsyncIteration
        return await asyncio.to_thread(self.__next__)


_fired: set[Future] = set()


def fire_and_forget(obj: Any) -> None:
    """Run tasks to their end although nobody keeps their futures.

    Parameters
    ----------
    obj : Future, lazy object, or container of them
        Lazy objects are computed by the default client.
    """
    lazy = Unpacked((obj,), True, _as_task).tasks if not isinstance(obj, Future) else []
    futures = futures_of(obj)
    if lazy:
        futures += default_client().compute(lazy)
    for future in futures:
        _fired.add(future)
        future.add_done_callback(_fired.discard)


def _as_task(collection: Any) -> Delayed:
    from oxidask import base

    return base._concrete_value_of(collection)
