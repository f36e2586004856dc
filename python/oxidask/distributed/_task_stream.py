"""What threads of workers did, task by task: the task stream of the dashboard, as data."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxidask.distributed.client import Client

#: Kinds of stretches, as the observer numbers them.
_KINDS = ("compute", "failed", "serialize", "running", "stopped")
#: So long it may take until the observer has heard of a task that has ended.
_DELAY = 0.3


class get_task_stream:
    """Collect what workers do while a block runs.

    Parameters
    ----------
    client : Client, optional
        By default the current one. Its cluster is one of this process, and has a page.
    plot : bool, default False
        Not there yet: the dashboard draws it.
    filename : str
        Not used.

    Attributes
    ----------
    data : list of dict
        After the block, one for each stretch of a thread's time in which a task ran: ``name``,
        ``worker``, ``thread``, ``status`` ("OK" or "error") and ``startstops``, a list of
        dictionaries with ``action``, ``start`` and ``stop`` (seconds since 1970). At most the
        newest ten thousand.

    Examples
    --------
    >>> from oxidask.distributed import Client, get_task_stream
    >>> with Client(n_workers=1, processes=False, dashboard_address=":0") as client:
    ...     with get_task_stream(client) as stream:
    ...         results = client.gather(client.map(abs, [-1, 2]))
    ...     len(stream.data)
    2
    """

    def __init__(
        self, client: Client | None = None, plot: Any = False, filename: str = "task-stream.html"
    ) -> None:
        if plot:
            raise NotImplementedError(
                "get_task_stream(plot=) is not there yet; leave it out, and open the Stream page "
                "of client.dashboard_link"
            )
        from oxidask.distributed.client import default_client

        self.client = default_client() if client is None else client
        self.data: list[dict[str, Any]] = []
        self._begin = 0.0

    def __enter__(self) -> get_task_stream:
        self._begin = time.time()
        return self

    def __exit__(self, *_: object) -> None:
        self.data = collect(self.client, self._begin)


def collect(
    client: Client, start: float | None = None, stop: float | None = None
) -> list[dict[str, Any]]:
    """Return what ran between two moments, in seconds since 1970."""
    page = getattr(client.cluster, "_page", None)
    if page is None:
        raise NotImplementedError(
            "the task stream is known where a LocalCluster of this process has a page: leave "
            "dashboard_address= as it is, or use `oxidask observe stream` from elsewhere"
        )
    time.sleep(_DELAY)
    overview = json.loads(page.answer("overview", ""))
    zero = overview["started_at"]
    begin = max((start or 0.0) - zero, 0.0)
    end = (stop - zero) if stop is not None else overview["now"] + 1.0
    told = json.loads(page.answer("stream", f"t0={begin}&t1={end}"))
    if told["mode"] != "spans":
        raise ValueError(
            "the task stream is too long to be told task by task; choose a shorter time with "
            "start= and stop=, or write the run to a file with LocalCluster(record=)"
        )
    return _stretches(told, zero)


def _stretches(told: dict[str, Any], zero: float) -> list[dict[str, Any]]:
    spans = told["spans"]
    columns = [spans[name] for name in ("row", "start", "duration", "group", "kind")]
    stretches = []
    for row, start, duration, group, kind in zip(*columns, strict=True):
        action = _KINDS[kind]
        if action not in ("compute", "failed"):
            continue
        place = told["rows"][row]
        stretches.append(
            {
                "name": told["groups"].get(str(group), {}).get("name", ""),
                "worker": place["name"],
                "thread": place["thread"],
                "status": "OK" if action == "compute" else "error",
                "startstops": [
                    {"action": "compute", "start": zero + start, "stop": zero + start + duration}
                ],
            }
        )
    return stretches
