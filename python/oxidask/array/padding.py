"""More of the same: what is put around an array, repeated, or moved in a circle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import numpy as np

from oxidask.array import _kernels_shapes
from oxidask.array._blocks import Picked
from oxidask.array._chunks import is_unknown
from oxidask.array._expressions import AxisMap
from oxidask.array._mapped import Mapped, Reading
from oxidask.array._rechunk import rechunk
from oxidask.array.core import Array, _array, asarray, broadcast_to, concatenate
from oxidask.array.creation import full
from oxidask.array.reshape import _no_longer
from oxidask.array.routines import _axis, flip, moveaxis, transpose

__all__ = ["fliplr", "flipud", "pad", "repeat", "roll", "rollaxis", "rot90", "tile"]

#: The arguments that the modes of padding take.
OPTIONS: dict[str, tuple[str, ...]] = {
    "constant": ("constant_values",),
    "edge": (),
    "empty": (),
    "linear_ramp": ("end_values",),
    "maximum": ("stat_length",),
    "mean": ("stat_length",),
    "median": ("stat_length",),
    "minimum": ("stat_length",),
    "reflect": ("reflect_type",),
    "symmetric": ("reflect_type",),
    "wrap": (),
}


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Array:
    """Put elements around an array.

    Parameters
    ----------
    array : Array
        The array.
    pad_width : int, pair of int, sequence of pairs, or dict
        How many elements come before and behind, along all axes or for each.
    mode : str or callable, default "constant"
        What they are, as for NumPy: "constant", "edge", "empty", "linear_ramp", "maximum", "mean",
        "median", "minimum", "reflect", "symmetric", "wrap", or a function that fills vectors in
        place.
    **kwargs
        What a mode takes besides: ``constant_values``, ``end_values``, ``stat_length``,
        ``reflect_type``; or what the function is given.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.pad(da.arange(3), (1, 2), mode="edge").compute()
    array([0, 0, 1, 2, 2, 2])
    """
    array = asarray(array)
    if any(map(is_unknown, array.chunks)):
        raise ValueError(
            "pad: lengths of the array are not known; call compute_chunk_sizes() on it first"
        )
    widths = _widths(pad_width, array.ndim)
    if callable(mode):
        return _padded_by(array, widths, mode, kwargs)
    if mode not in OPTIONS:
        raise ValueError(f"pad: there is no mode {mode!r}; take one of {sorted(OPTIONS)}")
    unknown = set(kwargs) - set(OPTIONS[mode])
    if unknown:
        raise ValueError(f"pad: mode {mode!r} takes no argument {sorted(unknown)[0]!r}")
    if 0 in array.shape and mode not in ("constant", "empty"):
        for axis, (length, width) in enumerate(zip(array.shape, widths, strict=True)):
            if not length and any(width):
                raise ValueError(
                    f"pad: axis {axis} has no elements, so only the modes 'constant' and 'empty' "
                    f"can extend it, not {mode!r}"
                )
    for axis, width in enumerate(widths):
        if any(width):
            array = _padded(array, axis, width, mode, kwargs)
    return array


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, Mapping):
        spelled: list[Any] = [(0, 0)] * ndim
        for axis, one in pad_width.items():
            spelled[_axis(axis, ndim)] = (one, one) if isinstance(one, Integral) else tuple(one)
        pad_width = spelled
    widths = np.asarray(pad_width)
    if widths.dtype.kind not in "iu":
        raise TypeError(f"pad: pad_width has ints, not {pad_width!r}")
    pairs = _pairs(widths, ndim, "pad_width")
    if (widths < 0).any():
        raise ValueError(f"pad: pad_width is not negative: {pad_width!r}")
    return [(int(before), int(behind)) for before, behind in pairs]


def _pairs(values: Any, ndim: int, name: str) -> list[tuple[Any, Any]]:
    """Return two values for each axis, of a value, a pair, or a pair for each axis."""
    if values is None:
        return [(None, None)] * ndim
    try:
        spelled = np.broadcast_to(np.asarray(values), (ndim, 2))
    except ValueError:
        raise ValueError(
            f"pad: {name}={values!r} is no value, pair, or sequence of {ndim} pairs"
        ) from None
    return [(before, behind) for before, behind in spelled]


def _padded(
    array: Array, axis: int, width: tuple[int, int], mode: str, options: dict[str, Any]
) -> Array:
    if mode in ("constant", "empty"):
        values = _pairs(options.get("constant_values", 0), array.ndim, "constant_values")[axis]
        parts = [
            full(_with(array.shape, axis, one), value, dtype=array.dtype, chunks=chunks)
            for one, value in zip(width, values, strict=True)
            for chunks in [_chunks_of(array, axis, one)]
        ]
        return _around(array, axis, parts)
    if mode == "wrap":
        return _wrapped(array, axis, width)
    if mode in ("reflect", "symmetric"):
        if array.shape[axis] > 1:
            kind = options.get("reflect_type", "even")
            return _reflected(array, axis, width, mode == "symmetric", kind)
        mode = "edge"
    if mode == "edge":
        return _repeated_around(array, axis, width, _edges(array, axis))
    if mode == "linear_ramp":
        ends = _pairs(options.get("end_values", 0), array.ndim, "end_values")[axis]
        ramps = [
            _ramp(edge, axis, one, end, place == 1)
            for place, (edge, one, end) in enumerate(
                zip(_edges(array, axis), width, ends, strict=True)
            )
        ]
        return _around(array, axis, ramps)
    lengths = _pairs(options.get("stat_length"), array.ndim, "stat_length")[axis]
    return _repeated_around(array, axis, width, _statistics(array, axis, mode, lengths))


def _with(shape: tuple[Any, ...], axis: int, length: Any) -> tuple[Any, ...]:
    return (*shape[:axis], length, *shape[axis + 1 :])


def _chunks_of(array: Array, axis: int, length: int) -> tuple[Any, ...]:
    """Return chunks of what comes before or behind: blocks not longer than those of the array."""
    size = max(1, max(array.chunks[axis]))
    return _with(array.chunks, axis, _no_longer((length,), size) if length else (0,))


def _around(array: Array, axis: int, parts: list[Array]) -> Array:
    before, behind = parts
    return concatenate([one for one in (before, array, behind) if one.shape[axis]], axis)


def _cut(array: Array, axis: int, *limits: int | None) -> Array:
    return array[(*(slice(None),) * axis, slice(*limits))]


def _edges(array: Array, axis: int) -> list[Array]:
    length = array.shape[axis]
    return [_cut(array, axis, 0, 1), _cut(array, axis, length - 1, length)]


def _repeated_around(array: Array, axis: int, width: tuple[int, int], ones: list[Array]) -> Array:
    parts = [
        broadcast_to(one, _with(array.shape, axis, length), _chunks_of(array, axis, length))
        if length
        else _cut(array, axis, 0, 0)
        for one, length in zip(ones, width, strict=True)
    ]
    return _around(array, axis, parts)


def _ramp(edge: Array, axis: int, width: int, end: Any, is_behind: bool) -> Array:
    maps: list[AxisMap] = list(range(edge.ndim))
    maps[axis] = None
    args = [Reading(edge._expr, maps), axis, width, end, is_behind]
    chunks = _with(edge.chunks, axis, (width,))
    token = (axis, width, end, is_behind)
    return _array(Mapped("pad", token, _kernels_shapes.ramp, args, chunks, edge._meta))


def _statistics(array: Array, axis: int, mode: str, lengths: tuple[Any, Any]) -> list[Array]:
    from oxidask.array import order, reductions

    whole = array.shape[axis]
    finders: dict[str, Any] = {
        "maximum": reductions.max,
        "mean": reductions.mean,
        "median": order.median,
        "minimum": reductions.min,
    }
    find = finders[mode]
    parts = []
    for one, is_behind in zip(lengths, (False, True), strict=True):
        length = whole if one is None else min(int(one), whole)
        if length < 0:
            raise ValueError(f"pad: stat_length is not negative: {length}")
        if not length and mode in ("maximum", "minimum"):
            raise ValueError("pad: a stat_length of 0 has no maximum or minimum")
        part = _cut(array, axis, whole - length, whole) if is_behind else _cut(array, axis, length)
        found = find(part, axis=axis, keepdims=True)
        if array.dtype.kind in "iu" and found.dtype.kind == "f":
            found = found.round()
        parts.append(found.astype(array.dtype))
    return parts


def _wrapped(array: Array, axis: int, width: tuple[int, int]) -> Array:
    length = array.shape[axis]
    before, behind = width
    parts = [_cut(array, axis, length - before % length, length)] if before % length else []
    parts += [array] * (before // length + 1 + behind // length)
    if behind % length:
        parts.append(_cut(array, axis, behind % length))
    return concatenate(parts, axis)


def _reflected(
    array: Array, axis: int, width: tuple[int, int], with_edge: bool, kind: str
) -> Array:
    if kind not in ("even", "odd"):
        raise ValueError(f"pad: reflect_type is 'even' or 'odd', not {kind!r}")
    period = array.shape[axis] - (not with_edge)
    before, behind = width
    # What is longer than the array is filled in several rounds.
    while before or behind:
        length = array.shape[axis]
        usable = (length - (not with_edge)) // period * period
        shift = int(with_edge)
        parts = []
        take = min(usable, before)
        first = _cut(array, axis, 1 - shift, take - shift + 1)
        parts.append((flip(first, axis), 0, take))
        after = min(usable, behind)
        last = _cut(array, axis, length + shift - 1 - after, length + shift - 1)
        parts.append((flip(last, axis), length - 1, after))
        new = [
            2 * _cut(array, axis, edge, edge + 1) - one if kind == "odd" and count else one
            for one, edge, count in parts
        ]
        array = _around(array, axis, [one.astype(array.dtype) for one in new])
        before, behind = before - take, behind - after
    return array


def _padded_by(
    array: Array, widths: list[tuple[int, int]], function: Callable[..., Any], options: Any
) -> Array:
    """Let a function of the user's fill vectors along each axis, as NumPy does."""
    for axis, width in enumerate(widths):
        if any(width):
            array = _padded(array, axis, width, "constant", {})
    for axis, width in enumerate(widths):
        array = array.rechunk({axis: -1, **{one: None for one in range(array.ndim) if one != axis}})
        args = [Reading(array._expr, range(array.ndim)), function, axis, width, options]
        token = (function, axis, width, options)
        array = _array(
            Mapped("pad", token, _kernels_shapes.fill_vectors, args, array.chunks, array._meta)
        )
    return array


def tile(A: Any, reps: Any) -> Array:
    """Repeat a whole array along axes.

    Parameters
    ----------
    A : Array
        The array.
    reps : int or sequence of int
        How often, along each axis; the last stands for the last axis.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.tile(da.arange(2), (2, 2)).compute()
    array([[0, 1, 0, 1],
           [0, 1, 0, 1]])
    """
    array = asarray(A)
    counts = tuple(reps) if isinstance(reps, tuple | list | np.ndarray) else (reps,)
    for one in counts:
        if not isinstance(one, Integral) or one < 0:
            raise ValueError(f"tile: an array is repeated 0 times or more, not {one!r}: {reps!r}")
    array = array[(*(None,) * (len(counts) - array.ndim), ...)]
    counts = (1,) * (array.ndim - len(counts)) + tuple(int(one) for one in counts)
    if 0 in counts:
        array = array[tuple(slice(0, 0) if one == 0 else slice(None) for one in counts)]
    if all(one <= 1 for one in counts):
        return array
    picked = [list(range(n)) * max(1, one) for n, one in zip(array.numblocks, counts, strict=True)]
    return _array(Picked(array._expr, picked))


def repeat(a: Any, repeats: Any, axis: int | None = None) -> Array:
    """Repeat elements.

    Parameters
    ----------
    a : Array
        The array.
    repeats : int or sequence of int
        How often, all or each along the axis.
    axis : int, optional
        The axis; by default the array is flattened.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.repeat(da.arange(3), 2).compute()
    array([0, 0, 1, 1, 2, 2])
    """
    a = asarray(a)
    if axis is None:
        a, axis = a.ravel(), 0
    axis = _axis(axis, a.ndim)
    before = (slice(None),) * axis
    if not isinstance(repeats, Integral):
        if isinstance(repeats, Array):
            raise NotImplementedError("repeat: numbers that are lazy; compute() them first")
        counts = np.asarray(repeats)
        if counts.size != 1:
            if counts.shape != (a.shape[axis],):
                raise ValueError(
                    f"repeat: {counts.size} numbers for an axis of {a.shape[axis]} elements"
                )
            if (counts < 0).any():
                raise ValueError(f"repeat: elements are repeated 0 times or more, not {repeats!r}")
            return a[(*before, np.repeat(np.arange(len(counts)), counts))]
        repeats = int(counts.reshape(()))
    if repeats < 0:
        raise ValueError(f"repeat: elements are repeated 0 times or more, not {repeats} times")
    if repeats == 0:
        return a[(*before, slice(0, 0))]
    if repeats == 1:
        return a
    expression = a._expr
    if not any(map(is_unknown, a.chunks)):
        # Blocks of the result are as long as those of the array.
        lengths = _no_longer(a.chunks[axis], max(1, max(a.chunks[axis]) // int(repeats)))
        expression = rechunk(expression, _with(a.chunks, axis, lengths))
    lengths = tuple(length * int(repeats) for length in expression.chunks[axis])
    args = [Reading(expression, range(a.ndim)), int(repeats), axis]
    chunks = _with(expression.chunks, axis, lengths)
    return _array(Mapped("repeat", (repeats, axis), np.repeat, args, chunks, a._meta))


def roll(array: Any, shift: Any, axis: Any = None) -> Array:
    """Move elements in a circle.

    Parameters
    ----------
    array : Array
        The array.
    shift : int or tuple of int
        By how many places.
    axis : int or tuple of int, optional
        Along which axes; by default in the flattened array.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.roll(da.arange(4), 1).compute()
    array([3, 0, 1, 2])
    """
    array = asarray(array)
    if axis is None:
        if not isinstance(shift, Integral):
            raise TypeError(f"roll: without an axis, shift is an int, not {shift!r}")
        return roll(array.ravel(), shift, 0).reshape(array.shape)
    try:
        pairs = np.broadcast(shift, axis)
    except ValueError:
        raise ValueError(
            f"roll: shift={shift!r} does not fit axis={axis!r}; give as many"
        ) from None
    for by, one in pairs:
        place = _axis(one, array.ndim)
        length = array.shape[place]
        if length and by % length:
            cut = length - int(by) % length
            array = concatenate(
                [_cut(array, place, cut, length), _cut(array, place, cut)], axis=place
            )
    return array


def rollaxis(a: Any, axis: int, start: int = 0) -> Array:
    """Move an axis before another one; `moveaxis` is easier to read.

    Parameters
    ----------
    a : Array
        The array.
    axis : int
        The axis.
    start : int, default 0
        Before which.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.rollaxis(da.ones((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    a = asarray(a)
    place = _axis(axis, a.ndim)
    if not -a.ndim <= start <= a.ndim:
        raise np.exceptions.AxisError(f"rollaxis: start is from {-a.ndim} to {a.ndim}, not {start}")
    start += a.ndim if start < 0 else 0
    return moveaxis(a, place, start - (place < start))


def flipud(m: Any) -> Array:
    """Reverse the order of rows.

    Parameters
    ----------
    m : Array
        The array.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.flipud(da.arange(3)).compute()
    array([2, 1, 0])
    """
    return flip(m, 0)


def fliplr(m: Any) -> Array:
    """Reverse the order of columns.

    Parameters
    ----------
    m : Array
        An array of at least two axes.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.fliplr(da.asarray([[1, 2]])).compute()
    array([[2, 1]])
    """
    return flip(m, 1)


def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Array:
    """Turn an array by quarter turns in the plane of two axes.

    Parameters
    ----------
    m : Array
        The array.
    k : int, default 1
        How many turns, from the first axis towards the second.
    axes : pair of int, default (0, 1)
        The axes.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.rot90(da.asarray([[1, 2], [3, 4]])).compute()
    array([[2, 4],
           [1, 3]])
    """
    m = asarray(m)
    if len(axes) != 2:
        raise ValueError(f"rot90: a plane has two axes, not {axes!r}")
    one, other = (_axis(axis, m.ndim) for axis in axes)
    if one == other:
        raise ValueError(f"rot90: the two axes of a plane differ, not as in {axes!r}")
    order = list(range(m.ndim))
    order[one], order[other] = other, one
    k %= 4
    if k == 0:
        return m
    if k == 2:
        return flip(m, (one, other))
    if k == 1:
        return transpose(flip(m, other), order)
    return flip(transpose(m, order), other)
