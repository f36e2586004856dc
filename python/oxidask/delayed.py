"""`delayed`: functions whose calls make tasks instead of running.

A call of a delayed function returns a `Delayed` at once: a task with references to the tasks that
it needs. Nothing is copied or merged, so building a graph takes the same time for each call however
large the graph is. `compute` collects what is needed and runs it.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from oxidask import _core, threaded
from oxidask._core import Delayed
from oxidask._errors import shorten_traceback
from oxidask._protocol import replace_name_in_key
from oxidask.core import flatten

__all__ = ["Delayed", "delayed"]


class _NoValue:
    def __repr__(self) -> str:
        return "<no value>"


_NO_VALUE = _NoValue()


def delayed(
    obj: Any = _NO_VALUE,
    name: Hashable | None = None,
    pure: bool | None = None,
    nout: int | None = None,
    traverse: bool = True,
) -> Any:
    """Wrap a function so that its calls are lazy, or a value so that it is a lazy value.

    Works as a decorator too, with or without arguments. Computes nothing.

    Parameters
    ----------
    obj : object
        A function, or any other value. Lazy objects inside lists, tuples, sets, dictionaries,
        slices, dataclass instances and namedtuples are found at any depth.
    name : key, optional
        The key of the value itself, instead of one made from its type or name.
    pure : bool, optional
        Whether equal calls give equal results, so that they become one task with a key made from
        their content. If not given, the setting ``delayed_pure`` decides, which is False at first:
        then each call is a task of its own.
    nout : int, optional
        How many values a call returns; then the lazy result can be unpacked and has a `len`.
    traverse : bool, default True
        Whether to look for lazy objects inside `obj`. False saves the time for large containers
        and uses `obj` as it is.

    Returns
    -------
    Delayed

    Raises
    ------
    ValueError
        If `nout` is not an int from 0.
    TypeError
        If `name` cannot be a key.

    Examples
    --------
    >>> from oxidask import delayed
    >>> @delayed
    ... def inc(i):
    ...     return i + 1
    >>> total = delayed(sum)([inc(1), inc(2), inc(3)])
    >>> total.compute()
    9

    Several outputs:

    >>> quotient, rest = delayed(divmod, nout=2)(17, 5)
    >>> (quotient * 10 + rest).compute()
    32
    """
    if obj is _NO_VALUE:
        return functools.partial(delayed, name=name, pure=pure, nout=nout, traverse=traverse)
    if not isinstance(obj, Delayed) and _core.is_collection(obj):
        from oxidask.base import _concrete_value_of

        return _concrete_value_of(obj)
    return _core.make_leaf(obj, name, pure, nout, traverse)


def _warn_about_visualise() -> None:
    warnings.warn(
        "`visualise` is looked up as `visualize`; write `visualize`, or delayed(getattr)(x, "
        "'visualise') for an attribute of that name",
        UserWarning,
        stacklevel=2,
    )


# The methods of Delayed that are not worth a line of Rust are attached here, so that they are plain
# Python functions with signatures.


def _compute(self: Delayed, **kwargs: Any) -> Any:
    """Run the task and all that it needs, and return its result.

    Parameters
    ----------
    **kwargs
        As for `oxidask.compute`: ``scheduler=``, ``num_workers=``, ``optimize_graph=``.

    Returns
    -------
    object

    Examples
    --------
    >>> from oxidask import delayed
    >>> delayed(pow)(2, 10).compute()
    1024
    """
    from oxidask.base import compute

    try:
        (result,) = compute(self, traverse=False, **kwargs)
    except BaseException as error:
        shorten_traceback(error)
        raise
    return result


def _persist(self: Delayed, **kwargs: Any) -> Delayed:
    """Run the task now and return a lazy value of the same key that holds the result.

    Parameters
    ----------
    **kwargs
        As for `oxidask.compute`.

    Returns
    -------
    Delayed

    Examples
    --------
    >>> from oxidask import delayed
    >>> two = delayed(max)(1, 2).persist()
    >>> (two + 1).compute()
    3
    """
    from oxidask.base import persist

    try:
        (result,) = persist(self, traverse=False, **kwargs)
    except BaseException as error:
        shorten_traceback(error)
        raise
    assert isinstance(result, Delayed)
    return result


def _visualize(
    self: Delayed,
    filename: str | None = "mydask",
    format: str | None = None,
    optimize_graph: bool = False,
    **kwargs: Any,
) -> Any:
    """Draw the graph of the task; see `oxidask.visualize`.

    Parameters
    ----------
    filename : str, optional
        Where to write; None writes nothing.
    format : str, optional
        The kind of file; by default that of the filename's suffix, or png.
    optimize_graph : bool, default False
        Whether to draw the graph as it is run.
    **kwargs
        As for `oxidask.visualize`.

    Returns
    -------
    oxidask.drawing.Picture

    Examples
    --------
    >>> from oxidask import delayed
    >>> delayed(sum)([1, 2]).visualize(filename=None).svg.startswith("<svg")
    True
    """
    from oxidask.base import visualize

    return visualize(
        self, filename=filename, format=format, optimize_graph=optimize_graph, **kwargs
    )


def _optimize(self: Delayed, **kwargs: Any) -> Delayed:
    """Return an equal lazy value whose graph is optimised; see `oxidask.optimize`.

    Parameters
    ----------
    **kwargs
        As for `oxidask.optimize`.

    Returns
    -------
    Delayed

    Examples
    --------
    >>> from oxidask import delayed
    >>> x = delayed(abs)(-1)
    >>> x.optimize().key == x.key
    True
    """
    from oxidask.base import optimize

    (result,) = optimize(self, **kwargs)
    assert isinstance(result, Delayed)
    return result


def _dask_graph(self: Delayed) -> _core.GraphView:
    return _core.GraphView([self])


def _dask_keys(self: Delayed) -> list[Any]:
    return [self.key]


def _dask_layers(self: Delayed) -> tuple[str, ...]:
    return (str(self.key),)


def _single_result(results: list[Any]) -> Any:
    return results[0]


def _dask_postcompute(self: Delayed) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return _single_result, ()


def _rebuild(
    graph: Mapping[Any, Any],
    key: Hashable,
    length: int | None,
    rename: Mapping[str, str] | None = None,
) -> Delayed:
    return Delayed(replace_name_in_key(key, rename) if rename else key, graph, length)


def _dask_postpersist(self: Delayed) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return _rebuild, (self.key, self._length)


def _dask_tokenize(self: Delayed) -> Any:
    return self.key


def _dask_optimize(dsk: Mapping[Any, Any], keys: Any, **kwargs: Any) -> _core.GraphView:
    return _core.GraphView(_core.tasks_of_graph(list(flatten([keys])), dsk))


def _repr_html(self: Delayed) -> str:
    import html

    tasks = len(_core.GraphView([self]))
    return (
        '<table style="border-collapse:collapse"><tbody>'
        f"<tr><th style='text-align:left'>Delayed</th><td><code>{html.escape(repr(self.key))}"
        "</code></td></tr>"
        f"<tr><th style='text-align:left'>Tasks</th><td>{tasks:,}</td></tr>"
        "</tbody></table>"
    )


_methods: dict[str, Any] = {
    "compute": _compute,
    "persist": _persist,
    "visualize": _visualize,
    "optimize": _optimize,
    "dask": property(_dask_graph, doc="The graph, as a read-only mapping from keys to tasks."),
    "_repr_html_": _repr_html,
    "__dask_graph__": _dask_graph,
    "__dask_keys__": _dask_keys,
    "__dask_layers__": _dask_layers,
    "__dask_postcompute__": _dask_postcompute,
    "__dask_postpersist__": _dask_postpersist,
    "__dask_tokenize__": _dask_tokenize,
    "__dask_scheduler__": staticmethod(threaded.get),
    "__dask_optimize__": staticmethod(_dask_optimize),
}
for _name, _method in _methods.items():
    if callable(_method) and not isinstance(_method, staticmethod):
        _method.__name__ = _name
        _method.__qualname__ = f"Delayed.{_name}"
    setattr(Delayed, _name, _method)

# The view of a graph is a mapping, with what mappings get for free.
for _name in ("keys", "items", "values", "get", "__eq__"):
    setattr(_core.GraphView, _name, getattr(Mapping, _name))
Mapping.register(_core.GraphView)
