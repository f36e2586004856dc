"""Futures and clusters: submit work as it comes, see it finish, cancel it.

Start with `Client`: it starts a cluster on this machine, or connects to one that is there.
"""

from __future__ import annotations

import builtins

from oxidask._core import Future
from oxidask._output import print, warn
from oxidask.distributed import _future  # noqa: F401  (gives Future its Python methods)
from oxidask.distributed._nested import (
    get_client,
    get_worker,
    rejoin,
    secede,
    worker_client,
)
from oxidask.distributed._problems import (
    CancelledError,
    ClusterClosedError,
    KilledWorker,
    NotEnoughMemoryError,
    NoValidWorkerError,
    TimeLimitError,
)
from oxidask.distributed._progress import progress
from oxidask.distributed._task_stream import get_task_stream
from oxidask.distributed.client import (
    Client,
    as_completed,
    default_client,
    fire_and_forget,
    futures_of,
    wait,
)
from oxidask.distributed.deploy.local import LocalCluster

TimeoutError = builtins.TimeoutError

__all__ = [
    "CancelledError",
    "Client",
    "ClusterClosedError",
    "Future",
    "KilledWorker",
    "LocalCluster",
    "NoValidWorkerError",
    "NotEnoughMemoryError",
    "TimeLimitError",
    "as_completed",
    "default_client",
    "fire_and_forget",
    "futures_of",
    "get_client",
    "get_task_stream",
    "get_worker",
    "print",
    "progress",
    "rejoin",
    "secede",
    "wait",
    "warn",
    "worker_client",
]
