"""The scheduler of processes, for graphs that are dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from oxidask.base import _get, named_schedulers

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
    """Compute keys of a graph in processes.

    The processes are started with the first use and kept for the next ones. They end when nobody
    has used them for as long as the setting ``multiprocessing.idle-timeout`` says (60 s; 0 ends
    them at once, None never), and at the end of the program.

    Parameters
    ----------
    dsk : mapping
        From keys to tasks; a task is a tuple of a callable and its arguments.
    keys : key or nested list of keys
        What to compute.
    num_workers : int, optional
        How many processes, of one thread each; by default one a core.
    func_loads, func_dumps, initializer : None
        Not supported: raise NotImplementedError.
    pool : thread pool, optional
        Threads that compute instead, as in Dask. A pool of processes raises NotImplementedError.
    optimize_graph, chunksize, **kwargs
        Taken for compatibility. ``callbacks``: progress bars, instead of those that are active;
        callbacks that want to hear of each task raise NotImplementedError.

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
    if func_loads is not None or func_dumps is not None:
        raise NotImplementedError(
            "multiprocessing.get(func_loads=, func_dumps=): values are pickled, by cloudpickle "
            "where pickle cannot; give your types a __reduce__, or register them with copyreg"
        )
    if initializer is not None:
        raise NotImplementedError(
            "multiprocessing.get(initializer=) is not supported; call the function at the begin of "
            "your tasks, or use a Client and client.run"
        )
    return _get(
        dsk,
        keys,
        "processes",
        num_workers=num_workers,
        pool=pool,
        callbacks=kwargs.get("callbacks"),
    )


for _name in ("processes", "multiprocessing"):
    named_schedulers[_name] = get
