"""Graphs that are dictionaries: what is a key or a task in them, and what needs what.

In such a graph a tuple whose first element is callable is a task, lists nest, and a key stands for
its result. No function here recurses, so chains of any length work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from oxidask._rebuild import Literal

__all__ = [
    "flatten",
    "get",
    "get_dependencies",
    "get_deps",
    "getcycle",
    "isdag",
    "ishashable",
    "iskey",
    "istask",
    "keys_in_tasks",
    "literal",
    "preorder_traversal",
    "quote",
    "reverse_dict",
    "subs",
    "toposort",
    "validate_key",
]

_Item = TypeVar("_Item")

_NOTHING = object()

#: A value that is neither taken for a task nor for a key; see `quote`.
literal = Literal


# --- Keys and tasks -----------------------------------------------------------------------------


def istask(x: Any) -> bool:
    """Say whether an object is a task: a tuple whose first element is callable.

    Parameters
    ----------
    x : object

    Returns
    -------
    bool

    Examples
    --------
    >>> from oxidask.core import istask
    >>> istask((abs, -1)), istask((1, 2)), istask(abs)
    (True, False, False)
    """
    return type(x) is tuple and len(x) > 0 and callable(x[0])


def ishashable(x: Any) -> bool:
    """Say whether an object has a hash.

    Parameters
    ----------
    x : object

    Returns
    -------
    bool

    Examples
    --------
    >>> from oxidask.core import ishashable
    >>> ishashable((1, 2)), ishashable((1, [2]))
    (True, False)
    """
    try:
        hash(x)
    except TypeError:
        return False
    return True


def iskey(key: Any) -> bool:
    """Say whether an object can be a key: a str, bytes, int, float, or a tuple of such.

    Parameters
    ----------
    key : object

    Returns
    -------
    bool

    Examples
    --------
    >>> from oxidask.core import iskey
    >>> iskey(("x", 0)), iskey(True), iskey((abs, 1))
    (True, False, False)
    """
    return _part_that_is_no_key(key) is _NOTHING


def validate_key(key: Any) -> None:
    """Raise an error if an object cannot be a key.

    Parameters
    ----------
    key : object

    Raises
    ------
    TypeError
        If it is no str, bytes, int or float, and no tuple of such.

    Examples
    --------
    >>> from oxidask.core import validate_key
    >>> validate_key(("x", 0))
    """
    part = _part_that_is_no_key(key)
    if part is not _NOTHING:
        inside = "" if part is key else f" inside {key!r}"
        raise TypeError(
            f"a key is a str, bytes, int, float or a tuple of such, not {part!r} of type "
            f"{type(part).__name__}{inside}"
        )


def _part_that_is_no_key(key: Any) -> Any:
    stack = [key]
    while stack:
        part = stack.pop()
        if type(part) is tuple:
            stack.extend(part)
        elif isinstance(part, bool) or not isinstance(part, str | bytes | int | float):
            return part
    return _NOTHING


def quote(x: Any) -> Any:
    """Wrap a value that would be taken for a task or searched for keys.

    Parameters
    ----------
    x : object

    Returns
    -------
    object
        A task that gives `x`, if it is a task, a list or a dict; else `x` itself.

    Examples
    --------
    >>> from oxidask.core import get, quote
    >>> get({"x": 1, "y": quote(["x", "x"])}, "y")
    ['x', 'x']
    >>> quote(1)
    1
    """
    if istask(x) or type(x) in (list, dict):
        return (literal(x),)
    return x


# --- Looking into tasks -------------------------------------------------------------------------


def _may_be_key(part: Any) -> bool:
    return isinstance(part, str | bytes | int | float | tuple) and ishashable(part)


def _inputs_of(task: Any) -> Collection[Any] | None:
    """Return what a task object of another library needs, or None if it is none."""
    kind = type(task)
    if callable(task) and hasattr(kind, "dependencies") and hasattr(kind, "substitute"):
        found: Collection[Any] = task.dependencies
        return found
    return None


def _keys_in(task: Any, keys: Collection[Any]) -> Iterator[Any]:
    """Give the keys that a value of a graph refers to, from left to right."""
    stack = [task]
    while stack:
        part = stack.pop()
        if istask(part):
            stack.extend(reversed(part[1:]))
        elif type(part) is list:
            stack.extend(reversed(part))
        elif type(part) is dict:
            stack.extend(reversed(part.values()))
        elif _may_be_key(part):
            if part in keys:
                yield part
        else:
            yield from (key for key in _inputs_of(part) or () if key in keys)


def keys_in_tasks(
    keys: Collection[Any], tasks: Iterable[Any], as_list: bool = False
) -> set[Any] | list[Any]:
    """Find the keys that tasks refer to.

    Parameters
    ----------
    keys : collection
        The keys to look for; a mapping or a set is fast.
    tasks : iterable
        Tasks, or lists and dictionaries with tasks inside.
    as_list : bool, default False
        Whether to return a list, with each key as often as it is used.

    Returns
    -------
    set or list

    Examples
    --------
    >>> from oxidask.core import keys_in_tasks
    >>> keys_in_tasks({"x", "y"}, [(sum, ["x", (abs, "x"), "z"])])
    {'x'}
    """
    found = [key for task in tasks for key in _keys_in(task, keys)]
    return found if as_list else set(found)


def get_dependencies(
    dsk: Mapping[Any, Any], key: Any = None, task: Any = _NOTHING, as_list: bool = False
) -> set[Any] | list[Any]:
    """Find the keys that a task of a graph needs.

    Parameters
    ----------
    dsk : mapping
        The graph.
    key : key, optional
        Whose task is looked at.
    task : object, optional
        A task to look at, instead of that of `key`.
    as_list : bool, default False
        Whether to return a list, with each key as often as it is used.

    Returns
    -------
    set or list

    Raises
    ------
    KeyError
        If `key` is not in the graph.
    ValueError
        If there is neither `key` nor `task`.

    Examples
    --------
    >>> from operator import add
    >>> from oxidask.core import get_dependencies
    >>> graph = {"x": 1, "y": (add, "x", 10), "z": (add, "y", (add, "x", "y"))}
    >>> sorted(get_dependencies(graph, "z"))
    ['x', 'y']
    >>> get_dependencies(graph, "z", as_list=True)
    ['y', 'x', 'y']
    """
    if task is _NOTHING:
        if key is None:
            raise ValueError("get_dependencies: give the key of a task, or task=")
        task = dsk[key]
    return keys_in_tasks(dsk, [task], as_list=as_list)


def get_deps(dsk: Mapping[Any, Any]) -> tuple[dict[Any, set[Any]], dict[Any, set[Any]]]:
    """Find what each key of a graph needs, and what needs it.

    Parameters
    ----------
    dsk : mapping
        The graph.

    Returns
    -------
    dependencies, dependents : dict
        From each key to a set of keys.

    Examples
    --------
    >>> from oxidask.core import get_deps
    >>> get_deps({"x": 1, "y": (abs, "x")})
    ({'x': set(), 'y': {'x'}}, {'x': {'y'}, 'y': set()})
    """
    dependencies = {key: set(_keys_in(task, dsk)) for key, task in dsk.items()}
    return dependencies, reverse_dict(dependencies)


def subs(task: Any, key: Any, val: Any) -> Any:
    """Replace a key in a task.

    Parameters
    ----------
    task : object
        A task, with tasks and lists inside.
    key : key
        What is replaced.
    val : object
        What stands there instead.

    Returns
    -------
    object
        The new task; `task` is not changed.

    Examples
    --------
    >>> from operator import add
    >>> from oxidask.core import subs
    >>> subs((add, "x", ["x", 1]), "x", 5) == (add, 5, [5, 1])
    True
    """
    return _replaced(task, lambda part: val if part == key else part)


def _replaced(task: Any, value_of: Callable[[Any], Any]) -> Any:
    """Return a task with `value_of(part)` for each part that may be a key."""
    # Postfix: what is inside a container is replaced before the container is made again.
    done: list[Any] = []
    work: list[tuple[Any, bool]] = [(task, False)]
    while work:
        part, is_open = work.pop()
        if is_open:
            begin = len(done) - len(part)
            done[begin:] = [type(part)(done[begin:])]
        elif istask(part) or type(part) is list:
            work.append((part, True))
            begin = 1 if istask(part) else 0
            work.extend((inner, False) for inner in reversed(part[begin:]))
            done.extend(part[:begin])
        else:
            done.append(value_of(part) if _may_be_key(part) else part)
    return done[0]


def preorder_traversal(task: Any) -> Iterator[Any]:
    """Give all parts of a task: each function and list before what it is applied to.

    Parameters
    ----------
    task : object

    Yields
    ------
    object
        Functions, values and keys; `list` where a list begins.

    Examples
    --------
    >>> from oxidask.core import preorder_traversal
    >>> list(preorder_traversal((sum, [1, (abs, -2)])))[1:]
    [<class 'list'>, 1, <built-in function abs>, -2]
    """
    stack = [task]
    while stack:
        part = stack.pop()
        if istask(part):
            stack.extend(reversed(part[1:]))
            yield part[0]
        elif type(part) is list:
            stack.extend(reversed(part))
            yield list
        else:
            yield part


# --- Graphs as a whole --------------------------------------------------------------------------


def flatten(seq: Iterable[Any] | str, container: Any = list) -> Iterator[Any]:
    """Give the elements of nested lists, one by one.

    Parameters
    ----------
    seq : iterable
        Looked into whatever it is; a str is one element.
    container : type or tuple of types, default list
        What is looked into inside.

    Yields
    ------
    object

    Examples
    --------
    >>> from oxidask.core import flatten
    >>> list(flatten([("x", 0), [("x", 1), [("x", 2)]]]))
    [('x', 0), ('x', 1), ('x', 2)]
    """
    if isinstance(seq, str):
        yield seq
        return
    stack = [iter(seq)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, container):
                stack.append(iter(item))
                break
            yield item
        else:
            stack.pop()


def reverse_dict(d: Mapping[_Item, Iterable[_Item]]) -> dict[_Item, set[_Item]]:
    """Turn a mapping from each key to others round.

    Parameters
    ----------
    d : mapping
        From keys to iterables of keys.

    Returns
    -------
    dict
        From each key to the set of those that lead to it.

    Examples
    --------
    >>> from oxidask.core import reverse_dict
    >>> reverse_dict({"y": ["x"], "x": []})
    {'y': set(), 'x': {'y'}}
    """
    reverse: dict[_Item, set[_Item]] = {key: set() for key in d}
    for key, others in d.items():
        for other in others:
            reverse.setdefault(other, set()).add(key)
    return reverse


def toposort(
    dsk: Mapping[Any, Any], dependencies: Mapping[Any, Iterable[Any]] | None = None
) -> list[Any]:
    """List the keys of a graph so that each comes after what it needs.

    Parameters
    ----------
    dsk : mapping
        The graph.
    dependencies : mapping, optional
        From each key to those it needs, if they are known already.

    Returns
    -------
    list

    Raises
    ------
    RuntimeError
        If tasks need each other in a circle.

    Examples
    --------
    >>> from operator import add
    >>> from oxidask.core import toposort
    >>> toposort({"z": (add, "x", "y"), "y": (abs, "x"), "x": 1})
    ['x', 'y', 'z']
    """
    order, cycle = _walk(dsk, dsk, dependencies)
    if cycle:
        shown = " -> ".join(map(repr, cycle[:12])) + (" -> …" if len(cycle) > 12 else "")
        raise RuntimeError(f"toposort: these tasks need each other in a circle: {shown}")
    return order


def getcycle(d: Mapping[Any, Any], keys: Any) -> list[Any]:
    """Find tasks that need each other in a circle.

    Parameters
    ----------
    d : mapping
        The graph.
    keys : key or list of keys
        Where to begin.

    Returns
    -------
    list
        The keys of one circle, the first again at the end; empty if there is none.

    Examples
    --------
    >>> from oxidask.core import getcycle
    >>> getcycle({"x": (abs, "y"), "y": (abs, "x")}, "x")
    ['x', 'y', 'x']
    >>> getcycle({"x": 1, "y": (abs, "x")}, "y")
    []
    """
    _, cycle = _walk(d, keys if isinstance(keys, list) else [keys], None)
    return cycle


def isdag(d: Mapping[Any, Any], keys: Any) -> bool:
    """Say whether no task among those that keys need leads back to itself.

    Parameters
    ----------
    d : mapping
        The graph.
    keys : key or list of keys
        Where to begin.

    Returns
    -------
    bool

    Examples
    --------
    >>> from oxidask.core import isdag
    >>> isdag({"x": 1, "y": (abs, "x")}, "y")
    True
    """
    return not getcycle(d, keys)


def _walk(
    dsk: Mapping[Any, Any],
    keys: Iterable[Any],
    dependencies: Mapping[Any, Iterable[Any]] | None,
) -> tuple[list[Any], list[Any]]:
    """Return keys and all that they need, inputs first, and a cycle if one was met."""
    order: list[Any] = []
    done: set[Any] = set()
    # The keys between a root and the one that is looked at, with their inputs still to do.
    path: dict[Any, Iterator[Any]] = {}

    def inputs_of(key: Any) -> Iterator[Any]:
        if dependencies is not None:
            return iter(dependencies[key])
        return _keys_in(dsk[key], dsk)

    for root in keys:
        following: Any = root
        while True:
            if following is not _NOTHING and following not in done:
                if following in path:
                    on_path = list(path)
                    return order, [*on_path[on_path.index(following) :], following]
                path[following] = inputs_of(following)
            if not path:
                break
            key, inputs = next(reversed(path.items()))
            following = next(inputs, _NOTHING)
            if following is _NOTHING:
                del path[key]
                done.add(key)
                order.append(key)
    return order, []


def get(dsk: Mapping[Any, Any], out: Any, cache: Any = None) -> Any:
    """Compute keys of a graph in the calling thread.

    Parameters
    ----------
    dsk : mapping
        From keys to tasks.
    out : key or nested list of keys
        What to compute.
    cache : None
        Not supported: raises NotImplementedError; put known results into the graph.

    Returns
    -------
    object or nested tuple
        The results, nested like `out`.

    Examples
    --------
    >>> from operator import add
    >>> from oxidask.core import get
    >>> get({"x": 1, "y": (add, "x", 10)}, ["x", "y"])
    (1, 11)
    """
    from oxidask.local import get_sync

    if cache is not None:
        raise NotImplementedError(
            "core.get(cache=): known results are part of the graph: get({**dsk, **cache}, out)"
        )
    return get_sync(dsk, out)
