"""Optimisations of graphs that are dictionaries, for collections of other libraries.

`cull` leaves out what is not needed; `inline` and `inline_functions` put cheap tasks into those
that need them; `fuse_linear` and `fuse` make one task of several. The graph that they are given
stays as it is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oxidask import config
from oxidask._names import prefix_of_key
from oxidask.core import (
    _replaced,
    flatten,
    get_dependencies,
    ishashable,
    istask,
    reverse_dict,
    toposort,
)
from oxidask.tokenize import tokenize

__all__ = [
    "cull",
    "default_fused_keys_renamer",
    "default_fused_linear_keys_renamer",
    "functions_of",
    "fuse",
    "fuse_linear",
    "inline",
    "inline_functions",
    "unwrap_partial",
]

_Graph = dict[Any, Any]
_Renamer = Callable[[list[Any]], Any]

_FROM_CONFIG: Any = object()


def _keys_of(keys: Any) -> list[Any]:
    if keys is None:
        return []
    return list(flatten([list(keys) if isinstance(keys, set | frozenset) else keys]))


def _dependencies_of(
    dsk: Mapping[Any, Any], dependencies: Mapping[Any, Collection[Any]] | None
) -> dict[Any, set[Any]]:
    if dependencies is None:
        return {key: set(get_dependencies(dsk, key)) for key in dsk}
    return {key: set(dependencies[key]) for key in dsk}


def _with_inner(task: Any, inner: Mapping[Any, Any]) -> Any:
    """Return a task with tasks in the place of keys."""
    return _replaced(task, lambda part: inner.get(part, part))


def cull(dsk: Mapping[Any, Any], keys: Any) -> tuple[_Graph, dict[Any, list[Any]]]:
    """Leave out the tasks that keys do not need.

    Parameters
    ----------
    dsk : mapping
        The graph.
    keys : key or nested list of keys
        What is to be computed.

    Returns
    -------
    graph : dict
    dependencies : dict
        From each key that is left to the list of those it needs, each as often as it is used.

    Examples
    --------
    >>> from operator import add
    >>> from oxidask.optimization import cull
    >>> graph, dependencies = cull({"x": 1, "y": (add, "x", 10), "z": (add, "x", 20)}, "y")
    >>> sorted(graph), dependencies
    (['x', 'y'], {'y': ['x'], 'x': []})
    """
    culled: _Graph = {}
    dependencies: dict[Any, list[Any]] = {}
    stack = _keys_of(keys)
    while stack:
        key = stack.pop()
        if key in culled:
            continue
        culled[key] = dsk[key]
        dependencies[key] = list(get_dependencies(dsk, key, as_list=True))
        stack.extend(dependencies[key])
    return culled, dependencies


# --- Inlining -----------------------------------------------------------------------------------


def inline(
    dsk: Mapping[Any, Any],
    keys: Any = None,
    inline_constants: bool = True,
    dependencies: Mapping[Any, Collection[Any]] | None = None,
) -> _Graph:
    """Put the values of keys into the tasks that need them.

    Parameters
    ----------
    dsk : mapping
        The graph.
    keys : key or list of keys, optional
        What is put into others.
    inline_constants : bool, default True
        Whether all keys that hold a value, not a task, are put into others too.
    dependencies : mapping, optional
        From each key to those it needs, if they are known already.

    Returns
    -------
    dict
        All keys are still there.

    Examples
    --------
    >>> from operator import add
    >>> from oxidask.optimization import inline
    >>> inline({"x": 1, "y": (add, "x", 2)})["y"][1:]
    (1, 2)
    """
    needs = _dependencies_of(dsk, dependencies)
    chosen = set(_keys_of(keys))
    if inline_constants:
        chosen |= {
            key
            for key, task in dsk.items()
            if (ishashable(task) and task in dsk) or (not needs[key] and not istask(task))
        }
    result: _Graph = {}
    for key in toposort(dsk, dependencies=needs):
        inner = {needed: result[needed] for needed in needs[key] if needed in chosen}
        result[key] = _with_inner(dsk[key], inner) if inner else dsk[key]
    return {key: result[key] for key in dsk}


def inline_functions(
    dsk: Mapping[Any, Any],
    output: Any,
    fast_functions: Iterable[Callable[..., Any]] | None = None,
    inline_constants: bool = False,
    dependencies: Mapping[Any, Collection[Any]] | None = None,
) -> _Graph:
    """Put tasks that are cheap into those that need them.

    Parameters
    ----------
    dsk : mapping
        The graph.
    output : list of keys
        What stays, because it is to be computed.
    fast_functions : iterable of callable, optional
        Tasks that call these only are cheap.
    inline_constants : bool, default False
        As for `inline`.
    dependencies : mapping, optional
        From each key to those it needs, if they are known already.

    Returns
    -------
    dict

    Examples
    --------
    >>> from oxidask.optimization import inline_functions
    >>> graph = {"x": 1, "y": (abs, "x"), "z": (sum, ["y"])}
    >>> inline_functions(graph, ["z"], [abs])
    {'x': 1, 'z': (<built-in function sum>, [(<built-in function abs>, 'x')])}
    """
    fast = set(fast_functions or ())
    if not fast:
        return dict(dsk)
    needs = _dependencies_of(dsk, dependencies)
    needed_by = reverse_dict(needs)
    wanted = set(_keys_of(output))
    cheap = [
        key
        for key, task in dsk.items()
        if istask(task) and needed_by[key] and key not in wanted and functions_of(task) <= fast
    ]
    inlined = inline(dsk, cheap, inline_constants, needs)
    for key in cheap:
        del inlined[key]
    return inlined


def functions_of(task: Any) -> set[Callable[..., Any]]:
    """Return the functions that a task calls, at any depth.

    Parameters
    ----------
    task : object

    Returns
    -------
    set of callable
        The functions inside partial objects.

    Examples
    --------
    >>> from oxidask.optimization import functions_of
    >>> functions_of((abs, (sum, [1, 2]))) == {abs, sum}
    True
    """
    found: set[Callable[..., Any]] = set()
    stack = [task]
    while stack:
        part = stack.pop()
        if istask(part):
            found.add(unwrap_partial(part[0]))
            stack.extend(part[1:])
        elif type(part) is list:
            stack.extend(part)
    return found


def unwrap_partial(func: Any) -> Any:
    """Return the function inside partial objects.

    Parameters
    ----------
    func : callable

    Returns
    -------
    callable

    Examples
    --------
    >>> from functools import partial
    >>> from oxidask.optimization import unwrap_partial
    >>> unwrap_partial(partial(abs, -1))
    <built-in function abs>
    """
    while isinstance(func, functools.partial):
        func = func.func
    return func


# --- Fusing -------------------------------------------------------------------------------------


def fuse_linear(
    dsk: Mapping[Any, Any],
    keys: Any = None,
    dependencies: Mapping[Any, Collection[Any]] | None = None,
    rename_keys: bool | _Renamer = True,
) -> tuple[_Graph, dict[Any, set[Any]]]:
    """Make one task of each chain of tasks that need nothing else and are needed by nothing else.

    Parameters
    ----------
    dsk : mapping
        The graph.
    keys : key or list of keys, optional
        What stays, because it is to be computed.
    dependencies : mapping, optional
        From each key to those it needs, if they are known already.
    rename_keys : bool or callable, default True
        Whether the new task gets a name made of the names in the chain, and the key of the last
        leads to it; a function takes the keys, the first in the chain first, and returns the name.

    Returns
    -------
    graph : dict
    dependencies : dict
        From each key to the set of those it needs.

    Examples
    --------
    >>> from oxidask.optimization import fuse_linear
    >>> graph, _ = fuse_linear({"a": 1, "b": (abs, "a"), "c": (str, "b")}, rename_keys=False)
    >>> graph
    {'c': (<class 'str'>, (<built-in function abs>, 1))}
    """
    needs = _dependencies_of(dsk, dependencies)
    chains = _joined(dsk, needs, set(_keys_of(keys)), lambda group: group.is_chain)
    renamer = default_fused_linear_keys_renamer if rename_keys is True else rename_keys or None
    return _graph_of(chains, renamer and (lambda parts: renamer(parts[::-1])))


def fuse(
    dsk: Mapping[Any, Any],
    keys: Any = None,
    dependencies: Mapping[Any, Collection[Any]] | None = None,
    ave_width: float = _FROM_CONFIG,
    max_width: float | None = _FROM_CONFIG,
    max_height: float | None = _FROM_CONFIG,
    max_depth_new_edges: float | None = _FROM_CONFIG,
    rename_keys: bool | _Renamer = _FROM_CONFIG,
) -> tuple[_Graph, dict[Any, set[Any]]]:
    """Make one task of several where that costs little parallelism.

    Tasks that one task alone needs are put into it: in chains always, where several come together
    if they are few enough.

    Parameters
    ----------
    dsk : mapping
        The graph.
    keys : key or list of keys, optional
        What stays, because it is to be computed.
    dependencies : mapping, optional
        From each key to those it needs, if they are known already.
    ave_width : float, optional
        How many tasks without common inputs, divided by the depth of what is put together, become
        one; by default the setting ``optimization.fuse.ave-width``, which is 1: chains only.
    max_width, max_height, max_depth_new_edges : float, optional
        Limits of what becomes one task: its inputs that lie beside each other, its depth, and the
        depth if inputs from outside come to it at several places; by default the settings.
    rename_keys : bool or callable, optional
        As for `fuse_linear`; by default the setting ``optimization.fuse.rename-keys``.

    Returns
    -------
    graph : dict
    dependencies : dict
        From each key to the set of those it needs.

    Examples
    --------
    >>> from operator import add
    >>> from oxidask.optimization import fuse
    >>> graph = {"a": (abs, -1), "b": (abs, -2), "c": (add, "a", "b"), "d": (str, "c")}
    >>> sorted(fuse(graph, rename_keys=False)[0])
    ['a', 'b', 'd']
    >>> sorted(fuse(graph, rename_keys=False, ave_width=2)[0])
    ['d']
    """
    ave_width = _setting("ave-width", ave_width)
    max_width = _setting("max-width", max_width)
    max_height = _setting("max-height", max_height)
    max_depth = _setting("max-depth-new-edges", max_depth_new_edges)
    rename_keys = _setting("rename-keys", rename_keys)
    widest = 1.5 + ave_width * math.log(ave_width + 1) if max_width is None else max_width
    deepest = 1.5 * ave_width if max_depth is None else max_depth

    def is_worth_it(group: _Group) -> bool:
        return group.is_chain or (
            group.count + group.has_new_edges <= ave_width * group.height
            and group.width <= widest
            and (max_height is None or group.height <= max_height)
            and (not group.has_new_edges or group.height < deepest)
        )

    needs = _dependencies_of(dsk, dependencies)
    groups = _joined(dsk, needs, set(_keys_of(keys)), is_worth_it)
    renamer = default_fused_keys_renamer if rename_keys is True else rename_keys or None
    return _graph_of(groups, renamer)


def _setting(name: str, given: Any) -> Any:
    return config.get(f"optimization.fuse.{name}") if given is _FROM_CONFIG else given


@dataclass
class _Group:
    """Tasks that become one: the last of them, and what it takes in."""

    key: Any
    task: Any
    #: Keys from outside that it needs.
    edges: set[Any]
    #: What was taken in: groups of its inputs.
    inner: list[_Group]
    #: Tasks below the last one, levels below it, and tasks that lie beside each other.
    count: int = 0
    height: int = 0
    width: int = 1
    is_chain: bool = True
    #: Whether keys from outside are needed at more than one place.
    has_new_edges: bool = False


def _joined(
    dsk: Mapping[Any, Any],
    needs: Mapping[Any, set[Any]],
    wanted: set[Any],
    is_worth_it: Callable[[_Group], bool],
) -> dict[Any, _Group]:
    """Put tasks into the only one that needs them, where that is worth it."""
    needed_by = reverse_dict(needs)
    groups: dict[Any, _Group] = {}
    for key in toposort(dsk, dependencies=needs):
        alone = _Group(key, dsk[key], needs[key], [])
        inner = {
            needed: groups[needed]
            for needed in get_dependencies(dsk, key, as_list=True)
            if len(needed_by[needed]) == 1 and needed not in wanted
        }
        joined = _join(alone, list(inner.values())) if inner else None
        if joined is None or not is_worth_it(joined):
            groups[key] = alone
            continue
        groups[key] = joined
        for needed in inner:
            del groups[needed]
    return groups


def _join(outer: _Group, inner: list[_Group]) -> _Group | None:
    """Return one group of several; None if a task is not where it could be replaced."""
    found: set[Any] = set()
    tasks = {group.key: group.task for group in inner}

    def task_of(part: Any) -> Any:
        if part not in tasks:
            return part
        found.add(part)
        return tasks[part]

    task = _replaced(outer.task, task_of)
    if found != set(tasks):
        return None
    own_edges = outer.edges - set(tasks)
    inner_edges: set[Any] = set().union(*(group.edges for group in inner))
    return _Group(
        outer.key,
        task,
        own_edges | inner_edges,
        inner,
        count=sum(group.count + 1 for group in inner),
        height=max(group.height for group in inner) + 1,
        width=sum(group.width for group in inner),
        is_chain=len(outer.edges) == 1,
        has_new_edges=not own_edges <= inner_edges
        or any(group.edges != inner_edges for group in inner),
    )


def _graph_of(
    groups: Mapping[Any, _Group], renamer: _Renamer | None
) -> tuple[_Graph, dict[Any, set[Any]]]:
    graph: _Graph = {}
    dependencies: dict[Any, set[Any]] = {}
    for key, group in groups.items():
        name = renamer(_parts_of(group)) if renamer and group.inner else None
        if name is not None and name not in groups and name not in graph:
            graph[key], dependencies[key] = name, {name}
            key = name
        graph[key], dependencies[key] = group.task, set(group.edges)
    return graph, dependencies


def _parts_of(group: _Group) -> list[Any]:
    """Return the keys inside a group, each after those it needs."""
    parts: list[Any] = []
    stack: list[tuple[_Group, bool]] = [(group, False)]
    while stack:
        one, is_open = stack.pop()
        if is_open:
            parts.append(one.key)
        else:
            stack.append((one, True))
            stack.extend((inner, False) for inner in reversed(one.inner))
    return parts


def default_fused_linear_keys_renamer(keys: list[Any]) -> Any:
    """Make a name for a chain of tasks: their prefixes, and the key of the last whole.

    Parameters
    ----------
    keys : list of keys
        The last in the chain first.

    Returns
    -------
    key or None
        None if the last key is no str, and no tuple that begins with one.

    Examples
    --------
    >>> from oxidask.optimization import default_fused_linear_keys_renamer
    >>> default_fused_linear_keys_renamer(["add-3", "dbl-2", "inc-1"])
    'inc-dbl-add-3'
    """
    last, *others = keys
    return _name_with_prefixes([prefix_of_key(key) for key in reversed(others)], last)


def default_fused_keys_renamer(keys: list[Any], max_fused_key_length: int = 120) -> Any:
    """Make a name for tasks that become one: their prefixes, and the key of the last whole.

    Parameters
    ----------
    keys : list of keys
        Each after those it needs.
    max_fused_key_length : int, optional
        Longer names are cut.

    Returns
    -------
    key or None
        None if the last key is no str, and no tuple that begins with one.

    Examples
    --------
    >>> from oxidask.optimization import default_fused_keys_renamer
    >>> default_fused_keys_renamer([("inc-1", 0), ("dbl-2", 0), ("add-3", 0)])
    ('dbl-inc-add-3', 0)
    """
    *others, last = keys
    prefixes = {prefix_of_key(key) for key in others} - {prefix_of_key(last)}
    return _name_with_prefixes(sorted(prefixes), last, max_fused_key_length)


def _name_with_prefixes(prefixes: list[str], last: Any, longest: int | None = None) -> Any:
    name = last[0] if isinstance(last, tuple) and last else last
    if not isinstance(name, str):
        return None
    name = "-".join([*prefixes, name])
    if longest and len(name) > longest:
        name = f"{name[: longest - 5]}-{tokenize(name)[:4]}"
    return (name, *last[1:]) if isinstance(last, tuple) else name
