"""What stands where when elements are sorted: the largest, medians, percentiles."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from oxidask.array import _kernels_shapes
from oxidask.array._chunks import is_unknown, starts_of
from oxidask.array._expressions import AxisMap, along, empty_like
from oxidask.array._mapped import Mapped, Reading
from oxidask.array.core import Array, _array, asarray, handle_out
from oxidask.array.reductions import Reduction, _axes, _split
from oxidask.array.routines import _axis

__all__ = [
    "argtopk",
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "percentile",
    "quantile",
    "topk",
]


def topk(a: Any, k: int, axis: int = -1, split_every: Any = None) -> Array:
    """Return the largest elements along an axis, the largest first.

    Parameters
    ----------
    a : Array
        The array.
    k : int
        How many; of a negative number as many of the smallest, the smallest first.
    axis : int, default -1
        The axis.
    split_every : int or dict, optional
        How many blocks make a group of the tree.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.topk(da.asarray([5, 1, 3, 6]), 2).compute()
    array([6, 5])
    >>> da.topk(da.asarray([5, 1, 3, 6]), -2).compute()
    array([1, 3])
    """
    a, axis, k, count = _of_top(a, k, axis, "topk")
    result = Reduction(
        "topk",
        a._expr,
        (axis,),
        True,
        a._meta,
        _split(split_every, (axis,), a.ndim),
        (_kernels_shapes.largest, (k, axis)),
        (_kernels_shapes.largest_of_parts, (k, axis)),
        (_kernels_shapes.sorted_largest, (k, axis)),
        count,
    )
    return _array(result)


def argtopk(a: Any, k: int, axis: int = -1, split_every: Any = None) -> Array:
    """Return where the largest elements along an axis stand, that of the largest first.

    Parameters
    ----------
    a : Array
        The array.
    k : int
        How many; of a negative number as many of the smallest, that of the smallest first.
    axis : int, default -1
        The axis.
    split_every : int or dict, optional
        How many blocks make a group of the tree.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.argtopk(da.asarray([5, 1, 3, 6]), 2).compute()
    array([3, 0])
    """
    a, axis, k, count = _of_top(a, k, axis, "argtopk")
    starts = along(axis, starts_of(a.chunks[axis])[:-1])
    args = [Reading(a._expr, range(a.ndim)), starts, axis]
    placed = Mapped("argtopk-places", axis, _kernels_shapes.with_places, args, a.chunks, a._meta)
    result = Reduction(
        "argtopk",
        placed,
        (axis,),
        True,
        empty_like(a._meta, a.ndim, np.intp),
        _split(split_every, (axis,), a.ndim),
        (_kernels_shapes.places_of_largest, (k, axis)),
        (_kernels_shapes.places_of_largest_of_parts, (k, axis)),
        (_kernels_shapes.sorted_places, (k, axis)),
        count,
    )
    return _array(result)


def _of_top(a: Any, k: int, axis: int, name: str) -> tuple[Array, int, int, int]:
    a = asarray(a)
    if not isinstance(k, Integral):
        raise TypeError(f"{name}: k is an int, not {k!r}")
    axis = _axis(axis, a.ndim)
    if is_unknown(a.chunks[axis]):
        raise ValueError(
            f"{name}: the length of axis {axis} is not known; call compute_chunk_sizes() first"
        )
    return a, axis, int(k), min(abs(int(k)), a.shape[axis])


# ---- Medians and quantiles ----


def median(a: Any, axis: Any = None, keepdims: bool = False, out: Any = None) -> Array:
    """Return medians along axes, each of which becomes one block.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int
        Along which axes.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.median(da.asarray([[1, 2, 9], [4, 5, 6]]), axis=1).compute()
    array([2., 5.])
    """
    return _along_whole("median", np.median, a, axis, keepdims, out, {})


def nanmedian(a: Any, axis: Any = None, keepdims: bool = False, out: Any = None) -> Array:
    """Return medians of what is not NaN along axes, each of which becomes one block.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int
        Along which axes.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.nanmedian(da.asarray([[1, float("nan"), 3]]), axis=1).compute()
    array([2.])
    """
    return _along_whole("nanmedian", np.nanmedian, a, axis, keepdims, out, {})


def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
    interpolation: Any = None,
) -> Array:
    """Return quantiles along axes, each of which becomes one block.

    Parameters
    ----------
    a : Array
        The array.
    q : float or sequence of float
        Which quantiles, from 0 to 1.
    axis : int or tuple of int
        Along which axes.
    out : Array, optional
        What stands for the result from now on.
    overwrite_input : bool, default False
        Taken for compatibility: blocks are never overwritten.
    method : str, default "linear"
        What lies between two elements: one of NumPy's methods.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    weights : array, optional
        Weights, as for NumPy; they are no lazy array.
    interpolation : str, optional
        The older name of `method`.

    Returns
    -------
    Array
        If `q` is a sequence, its first axis has one entry for each.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.quantile(da.asarray([[1, 2, 4]]), 0.25, axis=1).compute()
    array([1.5])
    """
    options = _quantile_options("quantile", q, method, weights, interpolation, 1)
    return _along_whole("quantile", np.quantile, a, axis, keepdims, out, options)


def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
    interpolation: Any = None,
) -> Array:
    """Return quantiles of what is not NaN along axes, each of which becomes one block.

    Parameters
    ----------
    a : Array
        The array.
    q : float or sequence of float
        Which quantiles, from 0 to 1.
    axis : int or tuple of int
        Along which axes.
    out : Array, optional
        What stands for the result from now on.
    overwrite_input : bool, default False
        Taken for compatibility: blocks are never overwritten.
    method : str, default "linear"
        What lies between two elements: one of NumPy's methods.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    weights : array, optional
        Weights, as for NumPy; they are no lazy array.
    interpolation : str, optional
        The older name of `method`.

    Returns
    -------
    Array
        If `q` is a sequence, its first axis has one entry for each.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.nanquantile(da.asarray([[1, float("nan"), 2]]), 0.5, axis=1).compute()
    array([1.5])
    """
    options = _quantile_options("nanquantile", q, method, weights, interpolation, 1)
    return _along_whole("nanquantile", np.nanquantile, a, axis, keepdims, out, options)


def nanpercentile(a: Any, q: Any, axis: Any = None, **kwargs: Any) -> Array:
    """Return percentiles of what is not NaN along an axis, which becomes one block.

    Parameters
    ----------
    a : Array
        The array.
    q : float or sequence of float
        Which percentiles, from 0 to 100.
    axis : int or tuple of int
        Along which axes.
    **kwargs
        As for `nanquantile`: ``method``, ``keepdims``, …

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.nanpercentile(da.asarray([[1, float("nan"), 2]]), 50, axis=1).compute()
    array([1.5])
    """
    return nanquantile(a, _share(a, q), axis, **kwargs)


def _share(a: Any, q: Any) -> Any:
    """Return quantiles of percentiles; a number does not make elements longer."""
    dtype = asarray(a).dtype
    return np.true_divide(q, dtype.type(100) if dtype.kind == "f" else 100)


def _quantile_options(
    name: str, q: Any, method: str, weights: Any, interpolation: Any, most: int
) -> dict[str, Any]:
    if isinstance(q, Array) or isinstance(weights, Array):
        raise NotImplementedError(f"{name}: q and weights that are lazy; compute() them first")
    values = np.asarray(q)
    if values.size and not (values.min() >= 0 and values.max() <= most):
        raise ValueError(f"{name}: q is from 0 to {most}, not {q!r}")
    options: dict[str, Any] = {
        "q": q if isinstance(q, int | float) else values,
        "method": interpolation or method,
    }
    if weights is not None:
        options["weights"] = np.asarray(weights)
    return options


def _along_whole(
    name: str,
    function: Callable[..., Any],
    a: Any,
    axis: Any,
    keepdims: bool,
    out: Any,
    options: dict[str, Any],
) -> Array:
    """Call a function of NumPy with blocks that are whole along some axes."""
    a = asarray(a)
    if axis is None and a.ndim != 1:
        raise NotImplementedError(
            f"{name}: of all elements of an array of {a.ndim} axes, since they would become one "
            f"block; say so by axis={tuple(range(a.ndim))}"
        )
    axes = _axes(axis, a.ndim)
    for one in axes:
        if is_unknown(a.chunks[one]) and len(a.chunks[one]) > 1:
            raise ValueError(
                f"{name}: the length of axis {one} is not known; call compute_chunk_sizes() first"
            )
    if any(len(a.chunks[one]) > 1 for one in axes):
        a = a.rechunk(_whole_along(a, axes))
    options = {**options, "axis": axes if len(axes) > 1 else axes[0], "keepdims": keepdims}
    new = np.shape(options["q"]) if "q" in options else ()
    chunks: list[tuple[Any, ...]] = [(length,) for length in new]
    maps: list[AxisMap] = []
    for one, lengths in enumerate(a.chunks):
        maps.append(None if one in axes else len(chunks))
        if one not in axes:
            chunks.append(lengths)
        elif keepdims:
            chunks.append((1,))
    tried = {key: options[key] for key in ("q", "method") if key in options}
    dtype = np.asarray(function(np.ones(2, a.dtype), **tried)).dtype
    args = [Reading(a._expr, maps), function, options]
    meta = empty_like(a._meta, len(chunks), dtype)
    token = (name, options)
    call = _kernels_shapes.along_whole
    return handle_out(out, _array(Mapped(name, token, call, args, tuple(chunks), meta)))


def _whole_along(a: Array, axes: tuple[int, ...]) -> dict[int, Any]:
    """Return chunks that are whole along some axes, and in others so short that blocks fit."""
    return {
        axis: -1 if axis in axes else ("auto" if _is_cut(a, axes) else a.chunks[axis])
        for axis in range(a.ndim)
    }


def _is_cut(a: Array, axes: tuple[int, ...]) -> bool:
    """Say whether other axes are to be cut anew, since blocks would get much larger."""
    from oxidask import config
    from oxidask.utils import parse_bytes

    if any(map(is_unknown, a.chunks)) or a.dtype.hasobject:
        return False
    elements = a.dtype.itemsize
    for axis in range(a.ndim):
        elements *= a.shape[axis] if axis in axes else max(a.chunks[axis])
    return elements > parse_bytes(config.get("array.chunk-size"))


def percentile(
    a: Any,
    q: Any,
    method: str = "linear",
    internal_method: str = "default",
    **kwargs: Any,
) -> Array:
    """Return percentiles of an array of one axis, nearly: from a part of the elements.

    Of each block at most 16384 elements are kept, at even distances when sorted, and of each group
    of blocks as many. So results are exact up to that number of elements, and else are elements
    whose place among the sorted ones is off by 1/16384 of all for each level of the tree, at most.
    For exact results take `quantile` with ``axis=0``, which makes one block of all elements.

    Parameters
    ----------
    a : Array
        An array of one axis. For several, ``axis=`` is needed, and results are exact.
    q : float or sequence of float
        Which percentiles, from 0 to 100.
    method : str, default "linear"
        What lies between two elements: "linear", "lower", "higher", "midpoint" or "nearest".
    internal_method : {"default", "dask", "tdigest"}
        Taken for compatibility; the last one needs a package that is not used here.
    **kwargs
        ``axis`` and the other arguments of `quantile`, for several axes; ``interpolation`` is an
        older name of `method`.

    Returns
    -------
    Array
        It has one entry for each of `q`.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.percentile(da.arange(101, chunks=20), [10, 50]).compute()
    array([10., 50.])
    """
    a = asarray(a)
    if internal_method not in ("default", "dask", "tdigest"):
        raise ValueError(
            f"percentile: internal_method is 'default' or 'dask', not {internal_method!r}"
        )
    if internal_method == "tdigest":
        raise NotImplementedError(
            "percentile(internal_method='tdigest'): take 'default', or quantile(axis=0) for exact "
            "results"
        )
    if not isinstance(method, str):
        # NumPy's third argument.
        kwargs, method = {"axis": method, **kwargs}, "linear"
    how: Any = kwargs.pop("interpolation", None) or method
    if kwargs.get("axis") is not None or a.ndim != 1:
        return quantile(a, _share(a, q), method=how, **kwargs)
    kwargs.pop("axis", None)
    if kwargs:
        raise TypeError(f"percentile: there is no argument {sorted(kwargs)[0]!r} for one axis")
    if how not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise ValueError(
            "percentile: method is 'linear', 'lower', 'higher', 'midpoint' or 'nearest', not "
            f"{how!r}; take quantile(axis=0) for NumPy's others"
        )
    if not a.shape[0]:
        raise ValueError("percentile: an array without elements has no percentiles")
    options = _quantile_options("percentile", q, how, None, None, 100)
    values = np.asarray(options["q"], dtype=float)
    dtype = np.asarray(np.percentile(np.ones(2, a.dtype), options["q"], method=how)).dtype
    result = Reduction(
        "percentile",
        a._expr,
        (0,),
        values.ndim > 0,
        empty_like(a._meta, min(values.ndim, 1), dtype),
        _split(None, (0,), 1),
        (_kernels_shapes.sketch, ()),
        (_kernels_shapes.merged_sketches, ()),
        (_kernels_shapes.percentiles, (values.ravel() if values.ndim else values, how, dtype)),
        values.size,
    )
    return _array(result) if values.ndim < 2 else _array(result).reshape(values.shape)
