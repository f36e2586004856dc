"""Which elements: by places, by conditions, point by point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from oxidask.array import _kernels_shapes
from oxidask.array._chunks import is_unknown, starts_of
from oxidask.array._expressions import AxisMap, Expression, along, empty_like, every
from oxidask.array._mapped import Mapped, Reading
from oxidask.array._slicing import Take
from oxidask.array.core import Array, _array, asarray, elemwise
from oxidask.array.routines import _axis

__all__ = [
    "argwhere",
    "choose",
    "compress",
    "count_nonzero",
    "extract",
    "flatnonzero",
    "nonzero",
    "piecewise",
    "select",
    "shuffle",
    "take",
]


def take(a: Any, indices: Any, axis: int = 0) -> Array:
    """Pick elements along an axis by their places.

    Parameters
    ----------
    a : Array
        The array.
    indices : int, slice or array of int
        The places.
    axis : int, default 0
        The axis.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.take(da.arange(5, chunks=2), [3, 0]).compute()
    array([3, 0])
    """
    a = asarray(a)
    axis = _axis(axis, a.ndim)
    before = (slice(None),) * axis
    if isinstance(indices, Array):
        return _taken_by_lazy(a, indices, axis)
    if isinstance(indices, slice | int):
        return a[(*before, indices)]
    indices = np.asarray(indices)
    if indices.ndim == 0:
        return a[(*before, int(indices))]
    if not indices.size:
        indices = indices.astype(np.intp)
    flat = a[(*before, indices.ravel())]
    if indices.ndim == 1:
        return flat
    return flat.reshape(a.shape[:axis] + indices.shape + a.shape[axis + 1 :])


def _taken_by_lazy(a: Array, indices: Array, axis: int) -> Array:
    """Pick by places that are lazy: what each block has of them, then all of it together."""
    if indices.dtype.kind not in "iu":
        raise IndexError(f"take: places are ints, not {indices.dtype}")
    if is_unknown(a.chunks[axis]):
        raise ValueError(
            f"take: the length of axis {axis} is not known; call compute_chunk_sizes() first"
        )
    if indices.ndim != 1:
        flat = _taken_by_lazy(a, indices.ravel(), axis)
        if not indices.ndim:
            return flat[(*(slice(None),) * axis, 0)]
        return flat.reshape(a.shape[:axis] + indices.shape + a.shape[axis + 1 :])
    chunks = (*a.chunks[:axis], indices.chunks[0], *a.chunks[axis + 1 :])
    starts = starts_of(a.chunks[axis])
    count = len(a.chunks[axis])
    # One axis more in front: for each block along the axis what it has.
    maps: list[AxisMap] = [place + 1 for place in range(a.ndim)]
    maps[axis] = 0
    args = [
        Reading(a._expr, maps),
        Reading(indices._expr, [axis + 1]),
        along(0, starts[:-1]),
        starts[-1],
        axis,
    ]
    parts = Mapped(
        "take-part", axis, _kernels_shapes.part_of_places, args, ((1,) * count, *chunks), a._meta
    )
    every_part: list[AxisMap] = [every(count), *range(a.ndim)]
    args = [Reading(parts, every_part, True), Reading(indices._expr, [axis]), starts[-1], axis]
    return _array(Mapped("take", axis, _kernels_shapes.put_at_places, args, chunks, a._meta))


def compress(condition: Any, a: Any, axis: int | None = None) -> Array:
    """Pick elements along an axis by truth values.

    Parameters
    ----------
    condition : array of bool
        It has one axis; what it is too short for is left out.
    a : Array
        The array.
    axis : int, optional
        The axis; by default the array is flattened.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.compress([True, False, True], da.arange(3)).compute()
    array([0, 2])
    """
    a = asarray(a)
    if axis is None:
        a, axis = a.ravel(), 0
    axis = _axis(axis, a.ndim)
    is_lazy = isinstance(condition, Array)
    condition = condition if is_lazy else np.asarray(condition)
    if condition.ndim != 1:
        raise ValueError(f"compress: the condition has one axis, not {condition.ndim}")
    condition = condition.astype(bool)
    length = a.shape[axis]
    if len(condition) > length:
        if is_lazy or condition[length:].any():
            raise IndexError(
                f"compress: {len(condition)} truth values for an axis of {length} elements"
            )
        condition = condition[:length]
    before = (slice(None),) * axis
    if len(condition) < length:
        a = a[(*before, slice(len(condition)))]
    return a[(*before, condition)]


def extract(condition: Any, arr: Any) -> Array:
    """Pick elements of the flattened array by truth values.

    Parameters
    ----------
    condition : array of bool
        As many truth values as elements.
    arr : Array
        The array.

    Returns
    -------
    Array
        Its length is not known before computing.

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.arange(4)
    >>> da.extract(x % 2 == 1, x).compute()
    array([1, 3])
    """
    condition = asarray(condition).astype(bool)
    return compress(condition.ravel(), asarray(arr).ravel())


def choose(a: Any, choices: Any) -> Array:
    """Choose each element from one of several arrays.

    Parameters
    ----------
    a : Array of int
        From which one.
    choices : sequence of Array
        The arrays.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.choose(da.asarray([1, 0]), [[1, 2], [3, 4]]).compute()
    array([3, 2])
    """
    if isinstance(choices, np.ndarray | Array):
        choices = [choices[place] for place in range(len(choices))]
    dtype = np.result_type(*(asarray(one).dtype for one in choices))
    return elemwise(_kernels_shapes.choose, asarray(a), *choices, meta_dtype=dtype)


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Array:
    """Choose each element from the array of the first condition that is true there.

    Parameters
    ----------
    condlist : sequence of Array of bool
        The conditions.
    choicelist : sequence of Array
        What is chosen where they are true.
    default : scalar, default 0
        What stands where none is true.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.arange(4)
    >>> da.select([x < 1, x > 2], [x, x * 10], default=-1).compute()
    array([ 0, -1, -1, 30])
    """
    if len(condlist) != len(choicelist):
        raise ValueError(
            f"select: {len(condlist)} conditions and {len(choicelist)} choices; give as many"
        )
    if not len(condlist):
        raise ValueError("select: at least one condition is needed")
    conditions = [asarray(one) for one in condlist]
    for place, one in enumerate(conditions):
        if one.dtype != bool:
            raise TypeError(
                f"select: condition {place} has elements of {one.dtype}, and not truth values"
            )
    result = default
    # Python's numbers do not make elements longer.
    dtype = np.result_type(
        *(
            one if type(one) in (int, float, complex) else asarray(one).dtype
            for one in [*choicelist, default]
        )
    )
    for condition, choice in zip(reversed(conditions), reversed(list(choicelist)), strict=True):
        result = elemwise(np.where, condition, choice, result)
    return result.astype(dtype)


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Array:
    """Call functions with elements for which conditions are true.

    Parameters
    ----------
    x : Array
        The array.
    condlist : sequence of Array of bool
        The conditions.
    funclist : sequence of callable or scalar
        One for each condition, and perhaps one more for what is left.
    *args, **kw
        Given to the functions.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.arange(4)
    >>> da.piecewise(x, [x < 2], [0, lambda v: v * 2]).compute()
    array([0, 0, 4, 6])
    """
    x = asarray(x)
    if isinstance(condlist, Array | np.ndarray) and condlist.ndim == x.ndim:
        condlist = [condlist]
    conditions = [asarray(one) for one in condlist]
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise ValueError(
            f"piecewise: {len(conditions)} conditions take {len(conditions)} functions, or one "
            f"more, not {len(funclist)}"
        )
    call = _kernels_shapes.Piecewise(tuple(funclist), args, kw)
    return elemwise(call, x, *conditions, meta_dtype=x.dtype)


def _counted(operand: Expression) -> tuple[Any, ...]:
    """Return lengths that are not known, one for each block."""
    return (np.nan,) * math.prod(operand.grid)


def argwhere(a: Any) -> Array:
    """Return the places of elements that are not zero, one in each row.

    Parameters
    ----------
    a : Array
        The array.

    Returns
    -------
    Array
        The number of rows is not known before computing.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.argwhere(da.asarray([[0, 3], [4, 0]])).compute()
    array([[0, 1],
           [1, 0]])
    """
    a = asarray(a)
    if any(map(is_unknown, a.chunks)):
        raise ValueError(
            "argwhere: lengths of the array are not known, so places are not; call "
            "compute_chunk_sizes() on it first"
        )
    if not a.ndim:
        a = a.reshape(1)
        return argwhere(a)[:, :0]
    # Blocks of whole rows keep NumPy's order.
    if any(count > 1 for count in a.numblocks[1:]):
        a = a.ravel() if 0 in a.shape else _in_order(a)
    ndim = a.ndim
    starts = along(0, starts_of(a.chunks[0])[:-1])
    maps: list[AxisMap] = [0, *([None] * (ndim - 1))]
    args = [Reading(a._expr, maps), starts]
    chunks = (_counted(a._expr), (ndim,))
    meta = empty_like(a._meta, 2, np.intp)
    return _array(Mapped("argwhere", None, _kernels_shapes.argwhere, args, chunks, meta))


def _in_order(a: Array) -> Array:
    """Return an array cut along its first axis only."""
    limit = max(1, math.prod(a.chunksize) // max(1, math.prod(a.shape[1:])))
    rows = a.chunks[0] if max(a.chunks[0]) <= limit else limit
    return a.rechunk({0: rows, **dict.fromkeys(range(1, a.ndim), -1)})


def nonzero(a: Any) -> tuple[Array, ...]:
    """Return the places of elements that are not zero: one array for each axis.

    Parameters
    ----------
    a : Array
        The array.

    Returns
    -------
    tuple of Array
        Their lengths are not known before computing.

    Examples
    --------
    >>> import oxidask.array as da
    >>> [one.compute().tolist() for one in da.nonzero(da.asarray([[0, 3], [4, 0]]))]
    [[0, 1], [1, 0]]
    """
    a = asarray(a)
    if not a.ndim:
        raise ValueError("nonzero: an array without axes has no places; use atleast_1d")
    places = argwhere(a)
    return tuple(places[:, axis] for axis in range(a.ndim))


def flatnonzero(a: Any) -> Array:
    """Return the places of elements that are not zero in the flattened array.

    Parameters
    ----------
    a : Array
        The array.

    Returns
    -------
    Array
        Its length is not known before computing.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.flatnonzero(da.asarray([[0, 3], [4, 0]])).compute()
    array([1, 2])
    """
    return argwhere(asarray(a).ravel())[:, 0]


def count_nonzero(a: Any, axis: Any = None) -> Array:
    """Return how many elements are not zero.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.count_nonzero(da.arange(5)).compute())
    4
    """
    a = asarray(a)
    return elemwise(_kernels_shapes.is_nonzero, a, meta_dtype=bool).sum(axis=axis, dtype=np.intp)


def shuffle(x: Any, indexer: Any, axis: int, chunks: Any = "auto") -> Array:
    """Bring elements of an axis into another order, given as groups of places.

    Elements of a group come into one block; blocks get about as long as those of `x`.

    Parameters
    ----------
    x : Array
        The array.
    indexer : sequence of sequences of int
        For each group the places of its elements.
    axis : int
        The axis.
    chunks : "auto"
        Blocks have about as many elements as those of `x`; nothing else is supported.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.shuffle(da.arange(6, chunks=3), [[5, 0], [1], [2, 3, 4]], axis=0).compute()
    array([5, 0, 1, 2, 3, 4])
    """
    x = asarray(x)
    if chunks != "auto":
        raise NotImplementedError(
            f"shuffle(chunks={chunks!r}): only 'auto' is there; rechunk the result"
        )
    axis = _axis(axis, x.ndim)
    if is_unknown(x.chunks[axis]):
        raise ValueError(
            f"shuffle: the length of axis {axis} is not known; call compute_chunk_sizes() first"
        )
    if not isinstance(indexer, list | tuple) or not all(
        isinstance(one, list | tuple | np.ndarray) for one in indexer
    ):
        raise ValueError(f"shuffle: give a list of lists of places, not {indexer!r}")
    groups = [np.asarray(one, dtype=np.intp) for one in indexer if len(one)]
    places = np.concatenate(groups) if groups else np.empty(0, dtype=np.intp)
    length = x.shape[axis]
    bad = places[(places < 0) | (places >= length)]
    if bad.size:
        raise IndexError(f"index {bad[0]} is out of bounds for axis {axis} with size {length}")
    bounds = _bounds_of_groups([len(one) for one in groups], max(x.chunks[axis]))
    return _array(Take(x._expr, places, axis, bounds))


def _bounds_of_groups(lengths: Sequence[int], size: int) -> list[int]:
    """Return where blocks begin and end so that groups stay whole; long ones are cut."""
    bounds = [0]
    for begin, length in zip(accumulate(lengths, initial=0), lengths, strict=False):
        end = begin + length
        if end - bounds[-1] > size * 5 // 4 and begin > bounds[-1]:
            bounds.append(begin)
        while end - bounds[-1] > size * 5 // 4:
            bounds.append(bounds[-1] + size)
    total = sum(lengths)
    if total > bounds[-1]:
        bounds.append(total)
    return bounds


class VIndex:
    """Points of an array: ``x.vindex[[0, 3], [1, 2]]`` picks ``x[0, 1]`` and ``x[3, 2]``."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def __getitem__(self, index: Any) -> Array:
        return _points(self._array, index)


def _points(x: Array, index: Any) -> Array:
    """Pick points: arrays of places are broadcast, and their axes come first in the result."""
    entries = list(index) if isinstance(index, tuple) else [index]
    if any(one is None for one in entries):
        raise IndexError("vindex: new axes cannot be made by it; index with None before or after")
    if Ellipsis in [one for one in entries if not hasattr(one, "dtype")]:
        place = next(at for at, one in enumerate(entries) if one is Ellipsis)
        entries[place : place + 1] = [slice(None)] * (x.ndim - len(entries) + 1)
    if len(entries) > x.ndim:
        raise IndexError(
            f"too many indices: {len(entries)} for an array of {x.ndim} axes and shape {x.shape}"
        )
    entries += [slice(None)] * (x.ndim - len(entries))
    if any(isinstance(one, Array) for one in entries):
        raise NotImplementedError("vindex: places that are lazy; compute() them first")
    # Slices are cut first, in the usual way.
    x = x[tuple(one if isinstance(one, slice) else slice(None) for one in entries)]
    axes = [axis for axis, one in enumerate(entries) if not isinstance(one, slice)]
    if not axes:
        raise IndexError("vindex: give an array of places for at least one axis; else use x[...]")
    arrays: list[Any] = []
    for axis in axes:
        if is_unknown(x.chunks[axis]):
            raise ValueError(
                f"vindex: the length of axis {axis} is not known; call compute_chunk_sizes() first"
            )
        one = np.asarray(entries[axis])
        if one.dtype == bool:
            if one.shape != (x.shape[axis],):
                raise IndexError(
                    f"vindex: {one.size} truth values for axis {axis} of {x.shape[axis]} elements"
                )
            one = np.flatnonzero(one)
        if not one.size:
            one = one.astype(np.intp)
        if one.dtype.kind not in "iu":
            raise IndexError(f"vindex: places are ints or truth values, not {one.dtype}")
        length = x.shape[axis]
        bad = one[(one < -length) | (one >= length)]
        if bad.size:
            raise IndexError(
                f"vindex: index {bad.flat[0]} is out of bounds for axis {axis} with size {length}"
            )
        arrays.append(np.where(one < 0, one + length, one).astype(np.intp))
    try:
        arrays = list(np.broadcast_arrays(*arrays))
    except ValueError:
        raise IndexError(
            "vindex: arrays of places could not be broadcast together with shapes "
            + " ".join(str(one.shape) for one in arrays)
        ) from None
    shape = arrays[0].shape
    points = _array(_picked_points(x, axes, [one.ravel() for one in arrays]))
    return points if len(shape) == 1 else points.reshape(shape + points.shape[1:])


def _picked_points(x: Array, axes: Sequence[int], places: Sequence[Any]) -> Expression:
    """Return the points as the first axis of the result; each task reads the blocks it needs."""
    count = len(places[0])
    size = max(1, max(max(x.chunks[axis]) for axis in axes))
    lengths = [min(size, count - begin) for begin in range(0, count, size)] or [0]
    starts = [np.asarray(starts_of(x.chunks[axis])) for axis in axes]
    blocks_of = [
        np.searchsorted(begin, one, side="right") - 1
        for begin, one in zip(starts, places, strict=True)
    ]
    rows: list[list[list[int]]] = [[] for _ in axes]
    plans: list[Any] = []
    for begin, length in zip(starts_of(lengths), lengths, strict=False):
        part = slice(begin, begin + length)
        read: list[list[int]] = []
        for row, blocks in zip(rows, blocks_of, strict=True):
            found = np.unique(blocks[part]).tolist() or [0]
            read.append(found)
            row.append(found)
        which = [
            np.searchsorted(found, blocks[part])
            for found, blocks in zip(read, blocks_of, strict=True)
        ]
        flat = np.ravel_multi_index(which, [len(found) for found in read])
        inner = [
            one[part] - begin_of[blocks[part]]
            for one, begin_of, blocks in zip(places, starts, blocks_of, strict=True)
        ]
        plans.append((flat, inner))
    other = [axis for axis in range(x.ndim) if axis not in axes]
    maps: list[AxisMap] = [
        (0, rows[list(axes).index(axis)]) if axis in axes else 1 + other.index(axis)
        for axis in range(x.ndim)
    ]
    chunks = (tuple(lengths), *(x.chunks[axis] for axis in other))
    args = [Reading(x._expr, maps, True), along(0, plans), tuple(axes)]
    meta = empty_like(x._meta, len(chunks))
    token = (tuple(axes), list(places))
    return Mapped("vindex-merge", token, _kernels_shapes.points, args, chunks, meta)
