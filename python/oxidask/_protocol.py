"""For libraries with collections of their own: what `oxidask.base` offers beside `compute`.

A collection has ``__dask_graph__``, ``__dask_keys__``, ``__dask_postcompute__`` and
``__dask_postpersist__``; here are the methods that it gets for free, and what reads its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from oxidask import _core
from oxidask._core import Delayed, Unpacked

_Key = TypeVar("_Key", bound=Hashable)


class DaskMethodsMixin:
    """Gives a collection the methods ``compute``, ``persist`` and ``visualize``.

    Examples
    --------
    >>> import oxidask
    >>> class Squares(oxidask.base.DaskMethodsMixin):
    ...     def __init__(self, count):
    ...         self._keys = [("square", i) for i in range(count)]
    ...     def __dask_graph__(self):
    ...         return {key: (pow, key[1], 2) for key in self._keys}
    ...     def __dask_keys__(self):
    ...         return self._keys
    ...     def __dask_postcompute__(self):
    ...         return list, ()
    >>> Squares(4).compute()
    [0, 1, 4, 9]
    """

    __slots__ = ("__weakref__",)

    def compute(self, **kwargs: Any) -> Any:
        """Compute the collection and return its concrete value.

        Parameters
        ----------
        **kwargs
            As for `oxidask.compute`.

        Returns
        -------
        object
        """
        from oxidask.base import compute

        (result,) = compute(self, traverse=False, **kwargs)
        return result

    def persist(self, **kwargs: Any) -> Any:
        """Compute the collection and return one of the same kind that holds the results.

        Parameters
        ----------
        **kwargs
            As for `oxidask.persist`.

        Returns
        -------
        object
        """
        from oxidask.base import persist

        (result,) = persist(self, traverse=False, **kwargs)
        return result

    def visualize(
        self,
        filename: str | None = "mydask",
        format: str | None = None,
        optimize_graph: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Draw the graph of the collection.

        Parameters
        ----------
        filename, format, optimize_graph, **kwargs
            As for `oxidask.visualize`.

        Returns
        -------
        oxidask.drawing.Picture
        """
        from oxidask.base import visualize

        return visualize(
            self, filename=filename, format=format, optimize_graph=optimize_graph, **kwargs
        )


def unpack_collections(
    *args: Any, traverse: bool = True
) -> tuple[list[Any], Callable[[Iterable[Any]], tuple[Any, ...]]]:
    """Find the lazy objects in arguments.

    Parameters
    ----------
    *args : object
        Lazy objects, containers of them, or anything else.
    traverse : bool, default True
        Whether to look inside lists, tuples, sets, dictionaries, dataclass instances and so on.

    Returns
    -------
    collections : list
        The lazy objects, each once.
    repack : callable
        Takes a value for each of them, and returns the arguments as a tuple with these in their
        places.

    Examples
    --------
    >>> from oxidask import delayed
    >>> from oxidask.base import unpack_collections
    >>> x = delayed(1)
    >>> collections, repack = unpack_collections(x, {"a": [x, 2]})
    >>> len(collections), repack([10])
    (1, (10, {'a': [10, 2]}))
    """
    # Delayed stand in for other collections, which the walk in Rust does not keep.
    stand_ins: dict[int, Delayed] = {}
    found: dict[int, Any] = {}

    def stand_in_for(collection: Any) -> Delayed:
        if id(collection) not in stand_ins:
            task = _core.make_leaf(None, None, False, None, False)
            stand_ins[id(collection)] = task
            found[id(task)] = collection
        return stand_ins[id(collection)]

    unpacked = Unpacked(args, traverse, stand_in_for)
    collections = [found.get(id(task), task) for task in unpacked.tasks]

    def repack(values: Iterable[Any]) -> tuple[Any, ...]:
        values = list(values)
        if len(values) != len(collections):
            raise ValueError(
                f"repack: {len(values)} values for {len(collections)} collections; give one for "
                "each, in their order"
            )
        result: tuple[Any, ...] = unpacked.repack(values)
        return result

    return collections, repack


# --- Keys ---------------------------------------------------------------------------------------


def get_name_from_key(key: Any) -> str:
    """Return the name of the collection that a key belongs to.

    Parameters
    ----------
    key : str, or tuple that begins with one

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If the key is of another kind.

    Examples
    --------
    >>> from oxidask.base import get_name_from_key
    >>> get_name_from_key(("x-123", 0, 1)), get_name_from_key("total")
    ('x-123', 'total')
    """
    if isinstance(key, tuple) and key and isinstance(key[0], str):
        return key[0]
    if isinstance(key, str):
        return key
    raise TypeError(
        f"a key of a collection is a str or a tuple that begins with one, not {key!r} of type "
        f"{type(key).__name__}"
    )


def replace_name_in_key(key: _Key, rename: Mapping[str, str]) -> _Key:
    """Give a key another name.

    Parameters
    ----------
    key : str, or tuple that begins with one
    rename : mapping
        New names by old ones.

    Returns
    -------
    key
        The key itself if its name is not in `rename`.

    Examples
    --------
    >>> from oxidask.base import replace_name_in_key
    >>> replace_name_in_key(("x", 0), {"x": "y"})
    ('y', 0)
    """
    renamed: _Key = _with_name(key, rename.get(name := get_name_from_key(key), name))
    return renamed


def clone_key(key: _Key, seed: Hashable) -> _Key:
    """Make a new key from a key; the same for the same seed.

    Parameters
    ----------
    key : str, or tuple that begins with one
    seed : hashable
        What tells clones apart.

    Returns
    -------
    key
        It keeps the prefix, and the indices of a tuple.

    Examples
    --------
    >>> from oxidask.base import clone_key
    >>> name, index = clone_key(("sum-1234abcd", 0), seed=1)
    >>> name[:4], index, name == clone_key("sum-1234abcd", seed=1)
    ('sum-', 0, True)
    """
    from oxidask.tokenize import tokenize

    get_name_from_key(key)
    cloned: _Key = _core.clone_key(key, tokenize(seed).encode())
    return cloned


def _with_name(key: Any, name: str) -> Any:
    return (name, *key[1:]) if isinstance(key, tuple) else name


def get_collection_names(collection: Any) -> set[str]:
    """Return the names in the keys of a collection.

    Parameters
    ----------
    collection : lazy object

    Returns
    -------
    set of str

    Examples
    --------
    >>> from oxidask import delayed
    >>> from oxidask.base import get_collection_names
    >>> get_collection_names(delayed(1, name="one"))
    {'one'}
    """
    from oxidask.core import flatten

    if not _core.is_collection(collection):
        raise TypeError(f"get_collection_names: {collection!r} is not a lazy object")
    return {get_name_from_key(key) for key in flatten(collection.__dask_keys__())}


# --- Graphs -------------------------------------------------------------------------------------


def dont_optimize(dsk: Any, keys: Any, **kwargs: Any) -> Any:
    """Return a graph as it is: the optimisation of collections that have none.

    Parameters
    ----------
    dsk : mapping
        The graph.
    keys, **kwargs
        Taken for compatibility.

    Returns
    -------
    mapping
        `dsk`.

    Examples
    --------
    >>> from oxidask.base import dont_optimize
    >>> dont_optimize({"x": 1}, ["x"])
    {'x': 1}
    """
    return dsk


def optimization_function(x: Any) -> Callable[..., Any]:
    """Return the function that optimises graphs of a collection.

    Parameters
    ----------
    x : lazy object

    Returns
    -------
    callable
        Takes a graph and keys.

    Examples
    --------
    >>> from oxidask import delayed
    >>> from oxidask.base import optimization_function
    >>> x = delayed(abs)(-1, dask_key_name="x")
    >>> list(optimization_function(x)(x.dask, ["x"]))
    ['x']
    """
    found: Callable[..., Any] = getattr(x, "__dask_optimize__", dont_optimize)
    return found


def collections_to_dsk(
    collections: Sequence[Any], optimize_graph: bool = True, **kwargs: Any
) -> dict[Any, Any]:
    """Merge the graphs of lazy objects into one dictionary.

    Parameters
    ----------
    collections : sequence of lazy objects
    optimize_graph : bool, default True
        Whether each collection's own optimisation is applied first.
    **kwargs
        Passed to the optimisations.

    Returns
    -------
    dict

    Examples
    --------
    >>> from oxidask import delayed
    >>> from oxidask.base import collections_to_dsk
    >>> x = delayed(abs)(-1, dask_key_name="x")
    >>> collections_to_dsk([x, delayed(2, name="two")])
    {'x': (<built-in function abs>, -1), 'two': 2}
    """
    merged: dict[Any, Any] = {}
    for collection in collections:
        graph = collection.__dask_graph__()
        if optimize_graph:
            optimize = optimization_function(collection)
            graph = optimize(graph, collection.__dask_keys__(), **kwargs)
        merged.update(graph)
    return merged
