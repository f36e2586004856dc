"""Clients inside tasks: work that submits work, and waits for it.

A task that waits for a future lends its slot to other tasks; nothing has to be called for that.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from oxidask import _core

if TYPE_CHECKING:
    from oxidask._core import Executor, Future
    from oxidask.distributed.client import Client
    from oxidask.distributed.deploy.local import LocalCluster


class Worker(NamedTuple):
    """The worker that runs a task, as `get_worker` tells it."""

    #: How users call it, in ``workers=`` and `Client.run`.
    name: str
    #: Where the cluster is.
    address: str
    #: How many tasks it runs at once.
    nthreads: int


#: Workers of this process by the number of their executor, with their cluster if it is here, too.
_workers: dict[int, tuple[Worker, weakref.ref[LocalCluster] | None]] = {}
#: The client for tasks of a worker process.
_client_of_process: Client | None = None
_lock = threading.Lock()


def worker_added(executor: Executor, worker: Worker, cluster: LocalCluster | None = None) -> None:
    """Take down which worker an executor runs tasks for."""
    _workers[executor.number] = worker, None if cluster is None else weakref.ref(cluster)


def worker_removed(executor: Executor) -> None:
    """Forget the worker of an executor."""
    _workers.pop(executor.number, None)


def _running_worker() -> tuple[Worker, weakref.ref[LocalCluster] | None] | None:
    executor = _core.executor_of_running_task()
    return None if executor is None else _workers.get(executor.number)


def client_of_task() -> Client | None:
    """Return the client for what the running task submits; None outside of tasks."""
    found = _running_worker()
    if found is None:
        return None
    worker, cluster = found
    if cluster is None:
        return _client_for_process(worker.address)
    here = cluster()
    return None if here is None else here._client_for_tasks()


def _client_for_process(address: str) -> Client:
    global _client_of_process
    with _lock:
        if _client_of_process is None or _client_of_process.status == "closed":
            from oxidask.distributed.client import Client

            _client_of_process = Client(address, set_as_default=False)
        return _client_of_process


def client_of_worker_process() -> Client | None:
    """Return the client of this process, if it is a worker's."""
    for worker, cluster in list(_workers.values()):
        if cluster is None:
            return _client_for_process(worker.address)
    return None


def client_of_cluster(identity: int, number: int) -> Client:
    """Return a client of a cluster for a future that came from elsewhere.

    Parameters
    ----------
    identity : int
        The cluster.
    number : int
        The client that made the future; preferred, if it is here.
    """
    from oxidask.distributed import _default, client

    known: list[Client | None] = [client_of_task(), _default.current()]
    known += client._open_clients()
    here = [one for one in known if one is not None and one.status == "running"]
    ours = [one for one in here if one._session.identity()[0] == identity]
    for one in ours:
        if one._session.identity()[1] == number:
            return one
    if ours:
        return ours[0]
    own = client_of_worker_process()
    if own is not None and own._session.identity()[0] == identity:
        return own
    raise ValueError(
        "a Future came to a process that has no Client of its cluster; make one before: "
        "Client(cluster.scheduler_address)"
    )


def make_future(cluster: int, client: int, task: int, identity: int, key: Any) -> Future:
    """Make a future again that was pickled."""
    session = client_of_cluster(cluster, client)._session
    return session.adopt(client, task, identity, key)


# ---- Names of Dask's ----


def get_client(address: Any = None, timeout: Any = None, resolve_address: bool = True) -> Client:
    """Return a client: in a task that of its cluster, elsewhere the default client.

    Parameters
    ----------
    address : str, optional
        A cluster other than the task's: a new client of it, which is to be closed.

    Returns
    -------
    Client

    Raises
    ------
    ValueError
        Outside of tasks, if there is no client.

    Examples
    --------
    >>> from oxidask.distributed import Client, get_client
    >>> def both(i):
    ...     client = get_client()
    ...     return sum(client.gather(client.map(abs, [i, -i])))
    >>> with Client(processes=False) as client:
    ...     client.submit(both, 3).result()
    6
    """
    from oxidask.distributed.client import Client, default_client

    client = client_of_task() or client_of_worker_process()
    if client is not None and address in (None, client.cluster.scheduler_address):
        return client
    if address is not None:
        return Client(address, set_as_default=False)
    return default_client()


@contextlib.contextmanager
def worker_client(timeout: Any = None, separate_thread: bool = True) -> Iterator[Client]:
    """Get a client for a task, in a block.

    Parameters
    ----------
    separate_thread : bool, default True
        Whether the task gives up its slot in the block; it waits for one at the end. Waiting for
        futures lends it in any case.

    Yields
    ------
    Client

    Raises
    ------
    ValueError
        Outside of tasks.
    """
    client = client_of_task()
    if client is None:
        raise ValueError("worker_client() is for tasks; elsewhere use Client() or get_client()")
    if not separate_thread:
        yield client
        return
    secede()
    try:
        yield client
    finally:
        rejoin()


def secede() -> None:
    """Give up the slot of the running task for as long as it runs, so that another one starts.

    A task that waits for futures lends its slot in any case. This is for tasks that wait for
    something else, such as a lock or a file.

    Raises
    ------
    ValueError
        Outside of tasks.
    """
    if not _core.leave_slot_of_task():
        raise ValueError("secede() is for tasks: no task runs in this thread")


def rejoin() -> None:
    """Wait for a slot for the running task, which gave its own up with `secede`.

    Raises
    ------
    ValueError
        Outside of tasks.
    """
    if not _core.return_to_slot_of_task():
        raise ValueError("rejoin() is for tasks: no task runs in this thread")


def get_worker() -> Worker:
    """Return the worker that runs the calling task.

    Returns
    -------
    Worker
        With ``name``, ``address`` and ``nthreads``.

    Raises
    ------
    ValueError
        Outside of tasks.

    Examples
    --------
    >>> from oxidask.distributed import Client, get_worker
    >>> with Client(processes=False, n_workers=1) as client:
    ...     client.submit(lambda: get_worker().name).result()
    '0'
    """
    found = _running_worker()
    if found is None:
        raise ValueError("get_worker() is for tasks: no task runs in this thread")
    return found[0]


def after_fork() -> None:
    """Forget what belongs to the parent."""
    global _client_of_process
    _workers.clear()
    _client_of_process = None


os.register_at_fork(after_in_child=after_fork)
