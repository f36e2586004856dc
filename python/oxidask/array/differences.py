"""Differences of neighbours, and what is made of groups of neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from oxidask.array import _kernels_shapes
from oxidask.array._chunks import block_at, is_unknown, starts_of
from oxidask.array._expressions import AxisMap, Expression, along, empty_like
from oxidask.array._mapped import Mapped, Reading
from oxidask.array._rechunk import rechunk
from oxidask.array.core import Array, _array, asarray, broadcast_to, concatenate
from oxidask.array.routines import _axis

__all__ = ["coarsen", "diff", "ediff1d", "gradient"]


def _known(array: Array, axis: int, name: str) -> None:
    if is_unknown(array.chunks[axis]):
        raise ValueError(
            f"{name}: the length of axis {axis} is not known; call compute_chunk_sizes() first"
        )


def _windows(
    operand: Expression, axis: int, bounds: Sequence[tuple[int, int]]
) -> tuple[Reading, Any]:
    """Return the blocks that hold stretches of an axis, and which part of each belongs to them.

    Stretches may overlap.
    """
    lengths = operand.chunks[axis]
    rows: list[list[int]] = []
    cuts: list[tuple[slice, ...]] = []
    starts = starts_of(lengths)
    for begin, end in bounds:
        first = min(block_at(starts, begin), len(lengths) - 1)
        blocks = [first]
        while starts[blocks[-1] + 1] < end:
            blocks.append(blocks[-1] + 1)
        rows.append(blocks)
        cuts.append(
            tuple(
                slice(max(begin - starts[one], 0), min(end, starts[one + 1]) - starts[one])
                for one in blocks
            )
        )
    maps: list[AxisMap] = list(range(operand.ndim))
    maps[axis] = (axis, rows)
    return Reading(operand, maps, True), along(axis, cuts)


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    """Return differences of neighbours along an axis.

    Parameters
    ----------
    a : Array
        The array.
    n : int, default 1
        How often differences are taken.
    axis : int, default -1
        The axis.
    prepend, append : Array or scalar, optional
        What is put before and behind the array first.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.diff(da.asarray([1, 4, 9]), prepend=0).compute()
    array([1, 3, 5])
    """
    a = asarray(a)
    if not a.ndim:
        raise ValueError("diff: an array of at least one axis is needed")
    axis = _axis(axis, a.ndim)
    n = int(n)
    if n < 0:
        raise ValueError(f"diff: differences are taken 0 times or more, not {n} times")
    if n == 0:
        return a
    parts = [_beside(one, a, axis) for one in (prepend, a, append) if one is not None]
    if len(parts) > 1:
        a = concatenate(parts, axis)
    _known(a, axis, "diff")
    length = a.shape[axis]
    n = min(n, length)
    lengths: list[int] = []
    left = length - n
    for one in a.chunks[axis]:
        lengths.append(min(one, left))
        left -= lengths[-1]
    lengths = [one for one in lengths if one] or [0]
    starts = starts_of(lengths)
    bounds = [(begin, begin + one + n) for begin, one in zip(starts, lengths, strict=False)]
    reading, cuts = _windows(a._expr, axis, bounds)
    chunks = (*a.chunks[:axis], tuple(lengths), *a.chunks[axis + 1 :])
    dtype = np.diff(np.zeros(n + 1, a.dtype), n).dtype
    meta = empty_like(a._meta, a.ndim, dtype)
    args = [reading, cuts, axis, n]
    return _array(Mapped("diff", (axis, n), _kernels_shapes.diff, args, chunks, meta))


def _beside(value: Any, a: Array, axis: int) -> Array:
    """Return what stands beside an array: one layer of a scalar."""
    one = asarray(value)
    if one.ndim:
        return one
    return broadcast_to(one, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Array:
    """Return differences of neighbours in the flattened array.

    Parameters
    ----------
    ary : Array
        The array.
    to_end, to_begin : Array or scalar, optional
        What is put behind and before the differences.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.ediff1d(da.asarray([1, 4, 9]), to_end=0).compute()
    array([3, 5, 0])
    """
    ary = asarray(ary).ravel()
    for name, one in (("to_end", to_end), ("to_begin", to_begin)):
        if one is not None and not np.can_cast(asarray(one).dtype, ary.dtype, "same_kind"):
            raise TypeError(
                f"ediff1d: {name} of dtype {asarray(one).dtype} does not fit elements of "
                f"{ary.dtype}"
            )
    result = diff(ary)
    parts = [
        None if one is None else asarray(one).astype(result.dtype).ravel()
        for one in (to_begin, to_end)
    ]
    if parts[0] is None and parts[1] is None:
        return result
    return concatenate([one for one in (parts[0], result, parts[1]) if one is not None])


def gradient(f: Any, *varargs: Any, axis: Any = None, **kwargs: Any) -> Any:
    """Return slopes: differences of the neighbours on both sides by their distance.

    Parameters
    ----------
    f : Array
        The array.
    *varargs : scalar or array
        The distance of neighbours, or their coordinates: one for all axes, or one for each.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    **kwargs
        ``edge_order``: 1 or 2, as for NumPy.

    Returns
    -------
    Array, or list of Array
        One for each axis, if there are several.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.gradient(da.asarray([1.0, 2.0, 4.0, 7.0])).compute()
    array([1. , 1.5, 2.5, 3. ])
    """
    f = asarray(f)
    edge_order = kwargs.pop("edge_order", 1)
    if kwargs:
        raise TypeError(f"gradient: there is no argument {sorted(kwargs)[0]!r}")
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order is 1 or 2, not {edge_order!r}")
    if axis is None:
        axes = list(range(f.ndim))
    else:
        axes = [_axis(one, f.ndim) for one in (axis if isinstance(axis, tuple | list) else [axis])]
    if len(set(axes)) < len(axes):
        raise ValueError(f"gradient: an axis stands twice in {axis!r}")
    if len(varargs) not in (0, 1, len(axes)):
        raise TypeError(
            f"gradient: {len(varargs)} distances for {len(axes)} axes; give none, one, or one for "
            "each"
        )
    spacings = list(varargs) * (len(axes) if len(varargs) == 1 else 1) or [1.0] * len(axes)
    results = [
        _slope(f, one, _spacing(spacing, f.shape[one], one), edge_order)
        for one, spacing in zip(axes, spacings, strict=True)
    ]
    if len(results) == 1:
        return results[0]
    return results


def _spacing(spacing: Any, length: int, axis: int) -> Any:
    if isinstance(spacing, Array):
        spacing = spacing.compute()
    values = np.asarray(spacing)
    if not values.ndim:
        return values[()]
    if values.shape != (length,):
        raise ValueError(
            f"gradient: coordinates of shape {values.shape} for axis {axis} of {length} elements"
        )
    return values


def _slope(f: Array, axis: int, spacing: Any, edge_order: int) -> Array:
    _known(f, axis, "gradient")
    length = f.shape[axis]
    if length < edge_order + 1:
        raise ValueError(
            f"gradient: axis {axis} has {length} elements, and edge_order={edge_order} needs at "
            f"least {edge_order + 1}"
        )
    bounds, kept = [], []
    # Blocks of no elements make none, but are there.
    lengths = tuple(one for one in f.chunks[axis] if one)
    starts = starts_of(lengths)
    for begin, end in pairwise(starts):
        low, high = max(0, begin - 1), min(length, end + 1)
        if begin == 0:
            high = max(high, edge_order + 1)
        if end == length:
            low = min(low, length - edge_order - 1)
        bounds.append((low, high))
        kept.append(slice(begin - low, end - low))
    reading, cuts = _windows(f._expr, axis, bounds)
    own = spacing
    if isinstance(spacing, np.ndarray):
        own = along(axis, [spacing[low:high] for low, high in bounds])
    with np.errstate(all="ignore"):
        dtype = np.gradient(np.ones(4, f.dtype), spacing if np.ndim(spacing) == 0 else 1.0).dtype
    meta = empty_like(f._meta, f.ndim, dtype)
    chunks = (*f.chunks[:axis], lengths, *f.chunks[axis + 1 :])
    args = [reading, cuts, axis, along(axis, kept), own, edge_order]
    token = (axis, spacing, edge_order)
    return _array(Mapped("gradient", token, _kernels_shapes.slopes, args, chunks, meta))


def coarsen(
    reduction: Callable[..., Any],
    x: Any,
    axes: Mapping[int, int],
    trim_excess: bool = False,
    **kwargs: Any,
) -> Array:
    """Reduce neighbours that stand in small boxes of one size.

    Parameters
    ----------
    reduction : callable
        Such as `numpy.mean`: it takes ``axis=`` with a tuple.
    x : Array
        The array.
    axes : dict
        For each axis how many neighbours become one.
    trim_excess : bool, default False
        Whether elements that do not fill a box are left out; else they are an error.
    **kwargs
        Given to the function.

    Returns
    -------
    Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> da.coarsen(np.sum, da.arange(6, chunks=4), {0: 2}).compute()
    array([1, 5, 9])
    """
    x = asarray(x)
    if not axes:
        return x
    if isinstance(reduction, np.ufunc):
        raise TypeError(f"coarsen: {reduction} is no reduction; take {reduction.__name__}.reduce")
    reduction = getattr(reduction, "_function", reduction)
    if getattr(reduction, "__module__", "").startswith("oxidask."):
        reduction = getattr(np, reduction.__name__)
    sizes = {_axis(axis, x.ndim): int(size) for axis, size in axes.items()}
    chunks = list(x.chunks)
    for axis, size in sizes.items():
        _known(x, axis, "coarsen")
        if size < 1:
            raise ValueError(f"coarsen: at least one neighbour becomes one, not {size}")
        length = x.shape[axis]
        if length % size:
            if not trim_excess:
                raise ValueError(
                    f"coarsen: {size} does not divide the {length} elements of axis {axis}; say "
                    "trim_excess=True to leave out the rest"
                )
            x = x[(*(slice(None),) * axis, slice(length - length % size))]
            length -= length % size
        # Boundaries move to the next box before them.
        cuts = sorted({start // size * size for start in starts_of(x.chunks[axis])})
        chunks[axis] = tuple(b - a for a, b in pairwise(cuts)) or (0,)
    expression = rechunk(x._expr, tuple(chunks))
    new = tuple(
        tuple(length // sizes.get(axis, 1) for length in lengths)
        for axis, lengths in enumerate(chunks)
    )
    one = np.ones(tuple(sizes.get(axis, 1) for axis in range(x.ndim)), x.dtype)
    meta = empty_like(x._meta, x.ndim, _kernels_shapes.coarsen(one, reduction, sizes, kwargs).dtype)
    args = [Reading(expression, range(x.ndim)), reduction, sizes, kwargs]
    token = (reduction, sizes, kwargs)
    return _array(Mapped("coarsen", token, _kernels_shapes.coarsen, args, new, meta))
