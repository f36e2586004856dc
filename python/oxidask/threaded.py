"""The scheduler of threads, for graphs that are dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oxidask.base import _get, named_schedulers

__all__ = ["get"]


def get(
    dsk: Mapping[Any, Any],
    keys: Any,
    cache: Any = None,
    num_workers: int | None = None,
    pool: Any = None,
    **kwargs: Any,
) -> Any:
    """Compute keys of a graph in threads.

    Parameters
    ----------
    dsk : mapping
        From keys to tasks; a task is a tuple of a callable and its arguments.
    keys : key or nested list of keys
        What to compute.
    cache : None
        Not supported: raises NotImplementedError; keep results with `persist`.
    num_workers : int, optional
        Threads that take part; by default all cores.
    pool : concurrent.futures.ThreadPoolExecutor or multiprocessing.pool.ThreadPool, optional
        Threads to use instead of our own.
    **kwargs
        ``callbacks``: a list of callbacks to tell instead of those that are active. Others are
        taken for compatibility; schedulers have different ones.

    Returns
    -------
    object or nested tuple
        The results, nested like `keys`.

    Examples
    --------
    >>> from operator import add
    >>> get({"x": 1, "y": (add, "x", 10)}, ["x", "y"])
    (1, 11)
    """
    if cache is not None:
        raise NotImplementedError(
            "threaded.get(cache=): a cache of results is not supported; persist() what is to be "
            "kept and use it in the graph"
        )
    return _get(
        dsk, keys, "threads", num_workers=num_workers, pool=pool, callbacks=kwargs.get("callbacks")
    )


for _name in ("threads", "threading", "threaded"):
    named_schedulers[_name] = get
