"""A cache that keeps results between computations, as long as they are worth their memory."""

from __future__ import annotations

import sys
from collections.abc import Hashable, MutableMapping
from numbers import Number
from time import perf_counter
from typing import Any, Protocol

from oxidask._rebuild import Literal
from oxidask.callbacks import Callback
from oxidask.sizeof import sizeof

__all__ = ["Cache"]


class _Cachey(Protocol):
    """What is used of a cache: the interface of `cachey.Cache`."""

    @property
    def data(self) -> MutableMapping[Any, Any]:
        """What is kept now."""

    def put(self, key: Any, value: Any, cost: float, nbytes: int | None = None) -> Any:
        """Offer a value; the cache decides whether to keep it, and for how long."""


class Cache(Callback):
    """Keep results of tasks, and use them in later computations.

    Results are kept by their key. So this is of use for tasks whose keys say what they compute:
    ``pure=True``, ``dask_key_name=``, and graphs that are dictionaries. It is a callback: use it in
    a `with` block, or `register` it.

    Parameters
    ----------
    cache : int, float or cache
        So many bytes in a `cachey.Cache`, for which the package cachey is needed; or an object with
        its interface: a mapping ``data`` of what is kept, and
        ``put(key, value, cost=seconds / bytes / 1e9, nbytes=bytes)``.
    *args, **kwargs
        Others for `cachey.Cache`, when `cache` is a number.

    Attributes
    ----------
    cache : cache

    Raises
    ------
    ImportError
        If `cache` is a number and cachey is not installed.
    TypeError
        If `cache` is something else.

    Examples
    --------
    >>> from oxidask import delayed
    >>> class Everything:
    ...     def __init__(self):
    ...         self.data = {}
    ...
    ...     def put(self, key, value, cost, nbytes=None):
    ...         self.data[key] = value
    >>> slow = delayed(lambda: print("runs") or 5, pure=True)
    >>> with Cache(Everything()):
    ...     slow().compute()
    ...     slow().compute()
    runs
    5
    5
    """

    def __init__(self, cache: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(cache, Number):
            cache = _cachey_cache(cache, args, kwargs)
        elif args or kwargs:
            raise TypeError(
                "Cache(cache, …): further arguments are for a new cachey.Cache; give the number "
                "of its bytes first, or pass them when you make the cache yourself"
            )
        if not (hasattr(cache, "data") and callable(getattr(cache, "put", None))):
            raise TypeError(
                f"Cache({cache!r}): a number of bytes is needed, or an object with `data` and "
                "`put` such as cachey.Cache"
            )
        self.cache: _Cachey = cache
        self._begun: dict[Hashable, float] = {}
        #: Seconds that it takes to make a result anew, with the slowest of its inputs.
        self._seconds: dict[Hashable, float] = {}

    def _start(self, dsk: Any) -> None:
        self._seconds = {}
        for key, value in list(self.cache.data.items()):
            if key in dsk:
                dsk[key] = (Literal(value),)

    def _pretask(self, key: Hashable, dsk: Any, state: Any) -> None:
        self._begun[key] = perf_counter()

    def _posttask(self, key: Hashable, value: Any, dsk: Any, state: Any, id: Any) -> None:
        inputs = state["dependencies"][key]
        seconds = perf_counter() - self._begun.pop(key)
        seconds += max((self._seconds.get(one, 0.0) for one in inputs), default=0.0)
        self._seconds[key] = seconds
        nbytes = sizeof(value) + 4 * sys.getsizeof(key)
        self.cache.put(key, value, cost=seconds / nbytes / 1e9, nbytes=nbytes)

    def _finish(self, dsk: Any, state: Any, errored: bool) -> None:
        self._begun.clear()
        self._seconds.clear()


def _cachey_cache(nbytes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        from cachey import Cache as CacheyCache  # type: ignore[import-not-found]
    except ImportError as error:
        raise ImportError(
            f"Cache({nbytes!r}): a cache of so many bytes is one of the package cachey, which "
            f"cannot be imported ({error}); pip install cachey, or pass a cache of your own"
        ) from error
    return CacheyCache(nbytes, *args, **kwargs)
