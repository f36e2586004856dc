"""The scheduler of processes, for graphs that are dictionaries: not there yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["get"]


def get(
    dsk: Mapping[Any, Any],
    keys: Any,
    num_workers: int | None = None,
    func_loads: Callable[[bytes], Any] | None = None,
    func_dumps: Callable[[Any], bytes] | None = None,
    optimize_graph: bool = True,
    pool: Any = None,
    initializer: Callable[[], object] | None = None,
    chunksize: int | None = None,
    **kwargs: Any,
) -> Any:
    """Compute keys of a graph in processes: not there yet.

    Parameters
    ----------
    dsk : mapping
        From keys to tasks.
    keys : key or nested list of keys
        What to compute.
    num_workers, func_loads, func_dumps, optimize_graph, pool, initializer, chunksize, **kwargs
        As for Dask.

    Raises
    ------
    NotImplementedError
        Always.
    """
    raise NotImplementedError(
        "multiprocessing.get: processes are not there yet; use oxidask.threaded.get, or "
        "oxidask.get to debug"
    )
