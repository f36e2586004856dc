"""`LocalCluster`: workers on this machine."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import secrets
import shutil
import tempfile
import threading
import weakref
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from oxidask import _core, _output, _zygote, config
from oxidask._core import Session
from oxidask.distributed import _asking, _default, _nested
from oxidask.distributed._problems import ClusterClosedError
from oxidask.distributed.deploy import _leftovers, _page
from oxidask.distributed.deploy._memory import MemoryLimits, limit_of, limits_of
from oxidask.utils import parse_timedelta

if TYPE_CHECKING:
    from oxidask.distributed.client import Client

_alive: weakref.WeakSet[LocalCluster] = weakref.WeakSet()

#: How long workers may take to start.
_START_SECONDS = 60.0

#: Options of Dask's that change nothing here: workers have no pages, there is no event loop, and
#: nothing to silence.
_WITHOUT_EFFECT = frozenset(
    {
        *("worker_dashboard_address", "silence_logs", "loop", "start"),
    }
)
#: Options of Dask's that promise what is not there yet, and what to do meanwhile.
_NOT_YET = {
    "security": "the cluster listens on a socket that only you can open",
    "worker_class": "workers are processes or threads: processes=True or False",
    "scheduler_kwargs": "the scheduler takes no options yet",
    **dict.fromkeys(
        ("host", "ip", "interface", "protocol", "scheduler_port"),
        "the cluster does not listen on a network",
    ),
}


class LocalCluster:
    """Start workers on this machine.

    Parameters
    ----------
    n_workers : int, optional
        How many. By default one a core with ``processes=True``, otherwise one.
    threads_per_worker : int, optional
        Threads of each; by default the cores are shared out.
    processes : bool, default True
        Whether workers are processes; otherwise they are threads of this one.
    memory_limit : str, int, float or None, default "auto"
        What each worker process may have: ``"4GB"``, bytes, a part of the machine's memory such as
        ``0.25``, each worker's share of it with ``"auto"``; no limit with None or 0. Results that
        do not fit go to disk; see :doc:`/guide/memory`. Threads of this process share its memory,
        so a limit is refused with ``processes=False``.
    local_directory : str, optional
        Where results go that do not fit into memory: by default the setting
        ``temporary-directory``, or a folder for temporary files that is on disk.
    name : str, optional
        A name, for whoever looks.
    asynchronous : bool, default False
        Whether `close` returns an awaitable. ``async with`` works in any case.
    resources : dict, optional
        What each worker has for tasks that ask for it: ``{"GPU": 1}``. Tasks that take more in all
        do not run at the same time.
    dashboard_address : str or None, default ":8787"
        The port of the page behind ``dashboard_link``, or the next one that is free; ``":0"`` for
        any, None for no page. It is served on 127.0.0.1, to whoever has the link.
    record : str or path, optional
        A file in which the run is kept while it goes on, for ``oxidask observe``; in a folder it
        gets a name of its own. By default the setting ``distributed.observer.record``; False for
        none. See :doc:`/guide/observe`.
    **kwargs
        Other options of Dask's: those that change nothing here, such as ``silence_logs``, are
        taken; those that promise what is not there yet raise NotImplementedError.

    Examples
    --------
    >>> from oxidask.distributed import Client, LocalCluster
    >>> with LocalCluster(processes=False) as cluster, Client(cluster) as client:
    ...     client.submit(abs, -1).result()
    1
    """

    def __init__(
        self,
        name: str | None = None,
        n_workers: int | None = None,
        threads_per_worker: int | None = None,
        processes: bool | None = None,
        asynchronous: bool = False,
        resources: dict[str, float] | None = None,
        dashboard_address: Any = ":8787",
        memory_limit: Any = "auto",
        local_directory: str | os.PathLike[str] | None = None,
        record: str | os.PathLike[str] | bool | None = None,
        **kwargs: Any,
    ) -> None:
        self.asynchronous = asynchronous
        _check_options(kwargs)
        port = _page.port_of(dashboard_address)
        _check_number("n_workers", n_workers, 0)
        _check_number("threads_per_worker", threads_per_worker, 1)
        amounts = _asking.amounts_of("LocalCluster(resources=)", resources)
        limit = limit_of(memory_limit, n_workers or 1)
        if processes is False and limit is not None and memory_limit != "auto":
            raise NotImplementedError(
                f"LocalCluster(processes=False, memory_limit={memory_limit!r}): the memory of "
                "workers that are threads is that of this process, which nobody can limit for you; "
                "leave memory_limit out, or use processes=True"
            )
        self.name = name or "local"
        self.status = "starting"
        self.scheduler_address = "inproc"
        self.dashboard_link = ""
        cores = _core.cpu_count()
        processes = True if processes is None else processes
        if n_workers is None:
            n_workers = cores if processes else 1
        threads = threads_per_worker or max(cores // max(n_workers, 1), 1)
        self._threads: list[threading.Thread] = []
        self._folder: str | None = None
        self._cluster: _core.ThreadCluster | _core.ProcessCluster | None = None
        self._executors: list[_core.Executor] = []
        self._task_client: Client | None = None
        self._lock = threading.Lock()
        self._page: _core.Page | None = None
        recording = _page.recording_of(record)
        try:
            if processes:
                memory = limits_of(memory_limit, n_workers, local_directory)
                self._start_processes(n_workers, threads, amounts, memory)
            else:
                self._cluster = cluster = _core.ThreadCluster(
                    secrets.randbits(128), _limits(), amounts
                )
                for number in range(n_workers):
                    self._start_worker(cluster, threads, number)
            assert self._cluster is not None
            self._start_page(self._cluster, port, recording)
        except BaseException:
            self._close()
            raise
        self.status = "running"
        _alive.add(self)

    def _start_processes(
        self,
        n_workers: int,
        threads: int,
        resources: list[tuple[str, int]],
        memory: MemoryLimits | None,
    ) -> None:
        base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        _leftovers.remove(base)
        self._folder = tempfile.mkdtemp(prefix=_leftovers.PREFIX, dir=base)
        self.scheduler_address = f"unix://{self._folder}/{_leftovers.SOCKET}"
        cores = _core.cpu_count()
        interpreter = _zygote.interpreter()
        interpreter.environment.update(_output.settings_for_workers())
        self._cluster = cluster = _core.ProcessCluster(
            secrets.randbits(128),
            _limits(),
            resources,
            self._folder,
            n_workers,
            threads,
            max(cores // max(n_workers, 1), 1),
            interpreter,
            random.SystemRandom().randrange(1, 2**32),
            memory,
        )
        if not cluster.wait_for_workers(n_workers, _START_SECONDS):
            raise TimeoutError(
                f"LocalCluster: {n_workers} workers were not there after {_START_SECONDS:.0f} s; "
                "start fewer with n_workers=, or use processes=False"
            )

    def _start_page(
        self,
        cluster: _core.ThreadCluster | _core.ProcessCluster,
        port: int | None,
        recording: _core.Recording | None,
    ) -> None:
        self._page = _page.start(cluster, port, recording)
        if self._page is None or not self._page.link:
            return
        self.dashboard_link = self._page.link
        if self._folder is not None:
            # For clients in other processes of this user, who alone can enter the folder.
            with open(
                os.path.join(self._folder, _leftovers.LINK_FILE), "w", encoding="utf-8"
            ) as file:
                file.write(self.dashboard_link)

    def _start_worker(self, cluster: _core.ThreadCluster, threads: int, number: int) -> None:
        executor = cluster.add_worker(threads, None)
        worker = _nested.Worker(str(number), self.scheduler_address, threads)
        _nested.worker_added(executor, worker, self)
        self._executors.append(executor)
        for number in range(threads):
            self._start_thread(executor.serve, f"oxidask-worker-{number}")
        self._start_thread(executor.serve_chores, "oxidask-service")

    def _start_thread(self, target: Any, name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _connect(self) -> Session:
        if self._cluster is None or self.status == "closed":
            raise ClusterClosedError("this cluster was closed; make a new one: LocalCluster()")
        return Session.near(self._cluster)

    def _client_for_tasks(self) -> Client:
        """Return the client for what tasks of threads of this process submit."""
        from oxidask.distributed import client

        current = _default.current()
        if current is not None and current.cluster is self and current.status == "running":
            return current
        # Several tasks may be the first.
        with self._lock:
            if self._task_client is None:
                self._task_client = client.Client(self, set_as_default=False)
            return self._task_client

    def _restart(self, workers: list[int], cancels: bool) -> None:
        if isinstance(self._cluster, _core.ProcessCluster):
            self._cluster.restart(workers, cancels)
            return
        if self._cluster is not None and cancels:
            self._cluster.cancel_all("the cluster was restarted")
        raise NotImplementedError(
            "threads cannot be started anew, so this cluster keeps its workers"
            + ("; all work was cancelled" if cancels else "")
            + ": use processes=True for workers that can be restarted"
        )

    def close(self, timeout: Any = None) -> Any:
        """End the cluster; tasks that run go on to their end, unseen.

        Returns
        -------
        None
            Or an awaitable, with ``asynchronous=True``.
        """
        if self.asynchronous:
            from oxidask.distributed import _asynchronous

            if _asynchronous.loop_runs():
                return _asynchronous.in_thread(self._close)
        return self._close()

    async def __aenter__(self) -> LocalCluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        from oxidask.distributed import _asynchronous

        await _asynchronous.in_thread(self._close)

    def __await__(self) -> Generator[Any, None, LocalCluster]:
        from oxidask.distributed import _asynchronous

        return _asynchronous._given(self).__await__()

    def _close(self) -> None:
        if self.status == "closed":
            return
        self.status = "closed"
        for executor in self._executors:
            _nested.worker_removed(executor)
        if self._task_client is not None:
            self._task_client.close()
        if self._page is not None:
            self._page.close()
        if isinstance(self._cluster, _core.ProcessCluster):
            self._cluster.close(1.0)
        elif self._cluster is not None:
            self._cluster.close("the cluster was closed")
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(0.3)

    def __enter__(self) -> LocalCluster:
        return self

    def __repr__(self) -> str:
        name = type(self).__name__
        if self.status != "running":
            return f"<{name}: {self.status}>"
        # Without the token, for it is printed where others may read it.
        page = self.dashboard_link.partition("?")[0]
        return f"<{name}: {self.scheduler_address!r} dashboard={page!r}>"

    def _repr_html_(self) -> str:
        from oxidask.distributed import _reprs, client

        if self.status != "running":
            return _reprs.closed(type(self).__name__)
        with client.Client(self, set_as_default=False) as one:
            return _reprs.client_html(one, type(self).__name__)

    def __exit__(self, *_: object) -> None:
        self._close()

    def __del__(self) -> None:
        # A cluster that was refused has no status.
        if getattr(self, "status", "closed") != "closed":
            self._close()


def _limits() -> tuple[int, float | None, float | None]:
    """Return how many deaths a task may cause, how long it waits for a worker, or a stopped one."""
    failures = config.get("distributed.scheduler.allowed-failures", 3)
    if isinstance(failures, bool) or not isinstance(failures, int) or failures < 0:
        raise ValueError(
            f"distributed.scheduler.allowed-failures={failures!r}: an int from 0 is meant"
        )
    return failures, _time_of("no-workers-timeout"), _time_of("worker-ttl")


def _time_of(setting: str) -> float | None:
    """Return the seconds of a setting of the scheduler; None for no end."""
    time = config.get(f"distributed.scheduler.{setting}", None)
    seconds = None if time is None else float(parse_timedelta(time))
    if seconds is not None and not seconds >= 0:
        raise ValueError(
            f"distributed.scheduler.{setting}={time!r}: a time from 0 is meant, or None for no end"
        )
    return seconds


def _check_options(options: dict[str, Any]) -> None:
    for option, value in options.items():
        if option in _WITHOUT_EFFECT:
            continue
        if option not in _NOT_YET:
            raise TypeError(f"LocalCluster({option}=): there is no such option")
        # What asks for nothing is granted: None, False, 0, an empty dictionary, "auto".
        if value and value != "auto":
            raise NotImplementedError(
                f"LocalCluster({option}={value!r}) is not there yet; leave it out: "
                f"{_NOT_YET[option]}"
            )


def _check_number(option: str, number: Any, least: int) -> None:
    if number is None:
        return
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise ValueError(f"LocalCluster({option}={number!r}): an int from {least} is meant")


class ClusterElsewhere:
    """A cluster that another process of this user has started."""

    def __init__(self, address: str) -> None:
        self.scheduler_address = address
        self.dashboard_link = ""
        folder = os.path.dirname(address.removeprefix("unix://"))
        # A cluster without a page has no such file, and one that has ended not even the folder.
        with (
            contextlib.suppress(OSError),
            open(os.path.join(folder, _leftovers.LINK_FILE), encoding="utf-8") as file,
        ):
            self.dashboard_link = file.read()

    def _connect(self) -> Session:
        path = self.scheduler_address.removeprefix("unix://")
        try:
            return Session.far(path)
        except OSError as error:
            raise OSError(
                f"Client({self.scheduler_address!r}): no cluster answers there ({error}); its "
                "process may have ended"
            ) from error

    def _restart(self, workers: list[int], cancels: bool) -> None:
        raise NotImplementedError("restart a cluster from the process that started it")

    def close(self) -> None:
        """Do nothing: the cluster belongs to the process that started it."""

    _close = close


@atexit.register
def _close_all() -> None:
    for cluster in list(_alive):
        cluster._close()


def _forget_parent() -> None:
    """In a child process: the workers and the folder are its parent's."""
    for cluster in list(_alive):
        cluster.status = "closed"
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
