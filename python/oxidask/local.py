"""The scheduler that runs in the calling thread, for graphs that are dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oxidask.base import _get, named_schedulers

__all__ = ["get_sync"]


def get_sync(dsk: Mapping[Any, Any], keys: Any, **kwargs: Any) -> Any:
    """Compute keys of a graph in the calling thread, in a fixed order.

    Parameters
    ----------
    dsk : mapping
        From keys to tasks; a task is a tuple of a callable and its arguments.
    keys : key or nested list of keys
        What to compute.
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
    >>> get_sync({"x": 1, "y": (add, "x", 10)}, "y")
    11
    """
    return _get(dsk, keys, "sync", callbacks=kwargs.get("callbacks"))


for _name in ("sync", "synchronous", "single-threaded"):
    named_schedulers[_name] = get_sync
