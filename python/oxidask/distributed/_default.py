"""Which client is the default of `compute` and its kin; light, for everybody imports it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from oxidask import config

if TYPE_CHECKING:
    from oxidask.distributed.client import Client

_lock = threading.Lock()
_clients: list[Client] = []
#: The name by which the configuration says that the default client computes.
_NAME = "oxidask.distributed"
_scheduler_before: Any = None


def push(client: Client) -> None:
    """Make a client the default."""
    global _scheduler_before
    with _lock:
        if not _clients:
            _scheduler_before = config.get("scheduler", None)
            config.set(scheduler=_NAME)
        _clients.append(client)


def remove(client: Client) -> None:
    """Undo the last `push` of a client: the one before it is the default again."""
    with _lock:
        # A block with `as_current` makes a client the default once more: the last one ends first.
        for place in reversed(range(len(_clients))):
            if _clients[place] is client:
                del _clients[place]
                break
        else:
            return
        if not _clients and config.get("scheduler", None) == _NAME:
            config.set(scheduler=_scheduler_before)


def forget(client: Client) -> None:
    """Make a client, which is closed, nobody's default any more."""
    while client in _clients:
        remove(client)


def current() -> Client | None:
    """Return the default client, if there is one."""
    # In one step, for the last one may go at any moment.
    last = _clients[-1:]
    return last[0] if last else None


def after_fork() -> None:
    """Forget the clients of the parent: their threads are not here."""
    global _lock
    _lock = threading.Lock()
    for client in list(_clients):
        forget(client)
