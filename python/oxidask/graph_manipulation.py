"""Graphs with other keys or further dependencies: clone, bind, checkpoint, wait_on.

They take lazy objects of every kind: `Delayed`, whose tasks Rust writes anew in one pass, and other
collections that follow the protocol, whose graphs are mappings. Nothing here computes.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from oxidask import _core
from oxidask._core import Delayed, GraphView
from oxidask.base import get_name_from_key, unpack_collections
from oxidask.core import flatten
from oxidask.delayed import delayed
from oxidask.tokenize import tokenize

__all__ = ["bind", "checkpoint", "clone", "wait_on"]

#: How many results one task of a checkpoint waits for, where nothing else is said.
_SPLIT_EVERY = 8


def clone(
    *collections: Any, omit: Any = None, seed: Hashable = None, assume_layers: bool = True
) -> Any:
    """Return lazy objects with equal values under other keys, so that they share no task.

    Parameters
    ----------
    *collections : object
        Lazy objects, or containers of them.
    omit : object, optional
        Lazy objects, or containers of them; their tasks are not cloned but shared.
    seed : int, bytes or any other value that can be hashed, optional
        Equal seeds give equal keys. If not given, keys are new each time.
    assume_layers : bool, default True
        Taken for compatibility: tasks are told apart by their keys, which costs little.

    Returns
    -------
    object or tuple
        As many as there are arguments; of one argument not in a tuple.

    Examples
    --------
    >>> from oxidask import compute, delayed
    >>> load = delayed(list)("ab")
    >>> again = clone(load)
    >>> again.key == load.key, compute(load, again)
    (False, (['a', 'b'], ['a', 'b']))
    """
    cloned: tuple[Any, ...] = bind(
        collections, None, omit=omit, seed=seed, assume_layers=assume_layers
    )
    return cloned[0] if len(cloned) == 1 else cloned


def bind(
    children: Any,
    parents: Any,
    *,
    omit: Any = None,
    seed: Hashable = None,
    assume_layers: bool = True,
    split_every: int | bool | None = None,
) -> Any:
    """Return lazy objects with equal values that are computed only after others.

    Their tasks get other keys. Those that need no other task of theirs wait for `parents`.

    Parameters
    ----------
    children : object
        A lazy object, or a container of them.
    parents : object
        A lazy object, or a container of them, to wait for.
    omit : object, optional
        Lazy objects, or containers of them; their tasks stay as they are and do not wait.
    seed : int, bytes or any other value that can be hashed, optional
        Equal seeds give equal keys. If not given, keys are new each time.
    assume_layers : bool, default True
        Taken for compatibility: tasks are told apart by their keys, which costs little.
    split_every : int or False, optional
        As for `checkpoint`.

    Returns
    -------
    object
        `children` with other lazy objects.

    Examples
    --------
    >>> from oxidask import delayed
    >>> log = []
    >>> write = delayed(log.append)("written")
    >>> read = delayed(lambda: list(log))()
    >>> bind(read, write).compute()
    ['written']
    """
    blocker = None if parents is None else checkpoint(parents, split_every=split_every)
    seed_bytes = secrets.token_bytes(16) if seed is None else tokenize(seed).encode()
    kept, _ = unpack_collections(omit)
    found, repack = unpack_collections(children)
    own = iter(
        _core.cloned(
            [one for one in found if isinstance(one, Delayed)],
            [task for one in kept for task in _all_tasks(one)],
            seed_bytes,
            None if blocker is None else (blocker, _bound),
        )
    )
    kept_keys: set[Hashable] | None = None
    made = []
    for collection in found:
        if isinstance(collection, Delayed):
            made.append(next(own))
            continue
        if kept_keys is None:
            kept_keys = {key for one in kept for key in _graph(one)}
        made.append(_cloned_collection(collection, kept_keys, seed_bytes, blocker))
    (bound,) = repack(made)
    return bound


def checkpoint(*collections: Any, split_every: int | bool | None = None) -> Delayed:
    """Return a lazy None that is there when all parts of lazy objects were computed.

    Parameters
    ----------
    *collections : object
        Lazy objects, or containers of them.
    split_every : int or False, optional
        How many parts, at least 2, one task waits for; by default 8. More are waited for by a tree
        of tasks, so that no result is kept for long. False: one task waits for all.

    Returns
    -------
    Delayed
        Its value is None.

    Raises
    ------
    ValueError
        If `split_every` is less than 2.

    Examples
    --------
    >>> from oxidask import delayed
    >>> log = []
    >>> done = checkpoint(*[delayed(log.append)(i) for i in range(20)])
    >>> done.compute() is None, sorted(log) == list(range(20))
    (True, True)
    """
    width = _width(split_every)
    wait_for = delayed(_checkpoint, pure=True)
    found, _ = unpack_collections(*collections)
    level = [wait_for(task) for one in found for task in _key_tasks(one)]
    while len(level) > 1:
        step = len(level) if width is None else width
        level = [wait_for(*level[at : at + step]) for at in range(0, len(level), step)]
    (done,) = level or [wait_for()]
    assert isinstance(done, Delayed)
    return done


def wait_on(*collections: Any, split_every: int | bool | None = None) -> Any:
    """Return lazy objects with equal values whose parts are there only when all of them are.

    Parameters
    ----------
    *collections : object
        Lazy objects, or containers of them.
    split_every : int or False, optional
        As for `checkpoint`.

    Returns
    -------
    object or tuple
        As many as there are arguments; of one argument not in a tuple.

    Examples
    --------
    >>> from oxidask import delayed
    >>> low, high = wait_on(delayed(min)([1, 2]), delayed(max)([1, 2]))
    >>> (high - low).compute()  # begins when both are there
    1
    """
    found, repack = unpack_collections(*collections)
    blocker = checkpoint(*found, split_every=split_every)
    wait: dict[int | None, Any] = {}
    made = []
    for one in found:
        if not isinstance(one, Delayed):
            made.append(_waiting_collection(one, blocker))
            continue
        if one._length not in wait:
            wait[one._length] = delayed(_wait_on, pure=True, nout=one._length)
        made.append(wait[one._length](one, blocker))
    waiting = repack(made)
    return waiting[0] if len(waiting) == 1 else waiting


def _width(split_every: int | bool | None) -> int | None:
    """Return how many inputs a task of a checkpoint has; None for all."""
    if split_every is None:
        return _SPLIT_EVERY
    if split_every is False:
        return None
    width = int(split_every)
    if width < 2:
        raise ValueError(
            f"split_every={split_every!r}: a task waits for 2 parts or more; give an int from 2, "
            "False for all at once, or None for the default"
        )
    return width


# ---- What the tasks call; their names begin the keys ----


def _checkpoint(*parts: Any) -> None:
    """Wait for all arguments."""


def _wait_on(value: Any, blocker: None) -> Any:
    """Return the first argument, when the second is there too."""
    return value


_checkpoint.__name__ = "checkpoint"
_wait_on.__name__ = "wait_on"
_bound = _wait_on


# ---- Collections ----


def _graph(collection: Any) -> Mapping[Hashable, Any]:
    graph = collection.__dask_graph__()
    return graph if isinstance(graph, Mapping) else dict(graph)


def _keys(collection: Any) -> Iterator[Hashable]:
    return flatten([collection.__dask_keys__()])


def _key_tasks(collection: Any) -> list[Delayed]:
    """Return the tasks of the parts of a collection."""
    if isinstance(collection, Delayed):
        return [collection]
    return _core.tasks_of_graph(list(_keys(collection)), _graph(collection))


def _all_tasks(collection: Any) -> list[Delayed]:
    """Return tasks from which all tasks of a collection can be reached."""
    if isinstance(collection, Delayed):
        return [collection]
    graph = _graph(collection)
    return _core.tasks_of_graph(list(graph), graph)


# ---- Collections that are not Delayed ----


def _cloned_collection(
    collection: Any, kept: set[Hashable], seed: bytes, blocker: Delayed | None
) -> Any:
    graph = _graph(collection)
    clones = _Clones(seed)
    names = {key: clones.key(key) for key in graph if key not in kept}
    made: dict[Hashable, Any] = {}
    for key, task in graph.items():
        if key not in names:
            made[key] = task
            continue
        renamed, is_bound = _renamed_task(task, names, names[key])
        if blocker is not None and not is_bound:
            renamed = (_bound, renamed, blocker.key)
        made[names[key]] = renamed
    if blocker is not None:
        made.update(GraphView([blocker]))
    own_names = {get_name_from_key(key) for key in _keys(collection) if key in names}
    rename: dict[Hashable, Hashable] = {name: clones.key(name) for name in own_names}
    return _rebuilt(collection, made, rename)


def _waiting_collection(collection: Any, blocker: Delayed) -> Any:
    made = {**_graph(collection), **GraphView([blocker])}
    rename: dict[Hashable, Hashable] = {}
    for key in _keys(collection):
        name = get_name_from_key(key)
        if name not in rename:
            rename[name] = f"wait_on-{tokenize(name, blocker.key)}"
        new = (rename[name], *key[1:]) if isinstance(key, tuple) else rename[name]
        made[new] = (_wait_on, key, blocker.key)
    return _rebuilt(collection, made, rename)


def _rebuilt(
    collection: Any, graph: Mapping[Hashable, Any], rename: Mapping[Hashable, Hashable]
) -> Any:
    rebuild, extra = collection.__dask_postpersist__()
    return rebuild(graph, *extra, rename=rename)


class _Clones:
    """Names of cloned keys; those of one collection share few first parts."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._names: dict[str, Hashable] = {}

    def key(self, key: Any) -> Hashable:
        if isinstance(key, tuple) and key and isinstance(key[0], str):
            if key[0] not in self._names:
                self._names[key[0]] = _core.clone_key(key[0], self._seed)
            return (self._names[key[0]], *key[1:])
        name: Hashable = _core.clone_key(key, self._seed)
        return name


class _Parts:
    """A container whose parts are being renamed."""

    def __init__(self, kind: type, length: int) -> None:
        self.kind = kind
        self.length = length


def _renamed_task(
    task: Any, names: Mapping[Hashable, Hashable], new_key: Hashable
) -> tuple[Any, bool]:
    """Return a task that uses other names, and whether it used any of the old ones."""
    if _is_task_object(task):
        uses = any(key in names for key in task.dependencies)
        return task.substitute(dict(names), key=new_key), uses
    uses = False
    done: list[Any] = []
    work: list[Any] = [task]
    while work:
        part = work.pop()
        if type(part) is _Parts:
            parts = done[len(done) - part.length :]
            del done[len(done) - part.length :]
            done.append(part.kind(parts))
        elif type(part) is list or (type(part) is tuple and part and callable(part[0])):
            work.append(_Parts(type(part), len(part)))
            work.extend(reversed(part))
        elif _is_task_object(part):
            uses = uses or any(key in names for key in part.dependencies)
            done.append(part.substitute(dict(names)))
        else:
            is_key = isinstance(part, str | bytes | int | float | tuple) and _has(names, part)
            uses = uses or is_key
            done.append(names[part] if is_key else part)
    return done[0], uses


def _has(names: Mapping[Hashable, Hashable], part: Any) -> bool:
    try:
        return part in names
    except TypeError:  # A tuple that holds what cannot be hashed is no key.
        return False


def _is_task_object(task: Any) -> bool:
    """Say whether something is a task object of another library."""
    kind = type(task)
    return callable(task) and hasattr(kind, "dependencies") and hasattr(kind, "substitute")
