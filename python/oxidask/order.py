"""In which order the tasks of a graph run."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

from oxidask._core import GraphView, tasks_of_graph

__all__ = ["order"]


def order(
    dsk: Mapping[Any, Any],
    dependencies: Mapping[Any, Collection[Hashable]] | None = None,
    *,
    return_stats: bool = False,
) -> dict[Any, int]:
    """Rank the tasks of a graph: the smallest rank runs first.

    Each task comes behind what it needs. Beyond that the order keeps few results alive at once:
    a result can be freed when its last reader ran. Schedulers start tasks in this order, as far
    as their inputs are there.

    Parameters
    ----------
    dsk : mapping
        A graph: from keys to tasks, as `oxidask.get` takes it, or ``x.dask`` of a lazy value.
    dependencies : mapping, optional
        From each key of `dsk` to the keys that it needs, if you know them: then the tasks
        themselves are not looked at. Keys that `dsk` has not are taken to be there already.
    return_stats : False
        Not supported: raises NotImplementedError.

    Returns
    -------
    dict
        From each key to its rank, 0 to ``len(dsk) - 1``.

    Raises
    ------
    RuntimeError
        If tasks need each other in a circle.
    ValueError
        If `dependencies` leaves out a key of `dsk`.

    Examples
    --------
    >>> from operator import add
    >>> ranks = order({"a": 1, "b": 2, "c": (add, "a", "b")})
    >>> ranks["c"]
    2

    The tasks in the order in which they run:

    >>> graph = {"sum": (sum, ["x", "y"]), "x": (abs, -1), "y": (abs, -2)}
    >>> ranks = order(graph)
    >>> sorted(graph, key=ranks.get)
    ['x', 'y', 'sum']
    """
    if return_stats:
        raise NotImplementedError(
            "order(return_stats=True): only ranks are worked out; leave return_stats out"
        )
    if dependencies is not None:
        left_out = next((key for key in dsk if key not in dependencies), None)
        if left_out is not None:
            raise ValueError(
                f"order: the key {left_out!r} is not in dependencies; give the keys that each key "
                "of dsk needs, an empty set for none"
            )
        dsk = {key: [*dependencies[key]] for key in dsk}
    if not isinstance(dsk, GraphView):
        # Not a mapping: the error about it says so.
        keys = list(dsk) if isinstance(dsk, Mapping) else [""]
        dsk = GraphView(tasks_of_graph(keys, dsk))
    return dsk.ranks()
