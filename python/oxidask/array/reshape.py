"""Other shapes of the same elements, in NumPy's order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, product
from numbers import Integral
from typing import Any

import numpy as np

from oxidask import config
from oxidask.array import _kernels, _kernels_shapes
from oxidask.array._chunks import Chunks, is_unknown, normalize_chunks, starts_of
from oxidask.array._expressions import (
    AxisMap,
    Creation,
    Expression,
    along,
    empty_like,
)
from oxidask.array._mapped import Mapped, Reading
from oxidask.array._rechunk import rechunk
from oxidask.array.core import Array, _array, asarray
from oxidask.utils import parse_bytes

__all__ = ["ravel", "reshape", "reshape_blockwise"]


def reshape(x: Any, shape: Any, merge_chunks: bool = True, limit: Any = None) -> Array:
    """Return an array of another shape with the same elements in the same order.

    Axes that are merged are cut so that each new block comes from one old block: all but the
    first of them become one chunk each, unless blocks get too large.

    Parameters
    ----------
    x : Array
        The array.
    shape : int or tuple of int
        The new shape; one length may be -1, and follows from the others.
    merge_chunks : bool, default True
        Whether chunks may be merged along axes that become one. If not, axes before the last that
        has several chunks are cut into chunks of length 1.
    limit : int or str, optional
        Bytes that a block has at most after chunks were merged; by default the setting
        ``array.chunk-size``, or as many as the largest block has already.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.arange(6, chunks=3)
    >>> da.reshape(x, (2, -1)).compute()
    array([[0, 1, 2],
           [3, 4, 5]])
    """
    x = asarray(x)
    wanted = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if any(map(is_unknown, x.chunks)):
        return _reshape_unknown(x, wanted)
    spelled = _spelled_shape(wanted, x.shape)
    if spelled == x.shape:
        return x
    if 0 in spelled:
        chunks = tuple((length,) for length in spelled)
        meta = empty_like(x._meta, len(spelled))
        return _array(Creation("reshape", chunks, meta, _kernels.empty, x.dtype))
    return _reshaped(x, spelled, merge_chunks, _elements(x, limit))


def ravel(array_like: Any) -> Array:
    """Return the elements along one axis, in NumPy's order.

    Parameters
    ----------
    array_like : Array
        The array.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.ravel(da.ones((2, 3))).shape
    (6,)
    """
    return reshape(array_like, (-1,))


def reshape_blockwise(x: Any, shape: Any, chunks: Any = None) -> Array:
    """Reshape each block by itself; the order of elements is another one than NumPy's.

    Parameters
    ----------
    x : Array
        The array.
    shape : int or tuple of int
        The new shape.
    chunks : tuple of tuples of int, optional
        Chunks of the result; they are needed if it has more axes than `x`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> x = da.from_array(np.arange(8).reshape(2, 4), chunks=2)
    >>> da.reshape_blockwise(x, (8,)).compute()
    array([0, 1, 4, 5, 2, 3, 6, 7])
    """
    x = asarray(x)
    wanted = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if any(map(is_unknown, x.chunks)):
        raise ValueError(_unknown("reshape_blockwise"))
    spelled = _spelled_shape(wanted, x.shape)
    if len(spelled) > x.ndim and chunks is None:
        raise TypeError("reshape_blockwise: a result with more axes needs chunks=")
    if chunks is not None and len(spelled) <= x.ndim:
        raise ValueError("reshape_blockwise: chunks= is for results with more axes than before")
    if spelled == x.shape:
        return x
    if chunks is None:
        given, maps, grid = _blockwise_merge(x.chunks, spelled)
        shapes: Any = tuple(along(axis, lengths) for axis, lengths in enumerate(given))
        args = [Reading(x._expr, maps), shapes]
        meta = empty_like(x._meta, len(spelled))
        return _array(
            Mapped("reshape", (spelled, "blocks"), np.reshape, args, given, meta, grid=grid)
        )
    return _blockwise_split(x, spelled, normalize_chunks(chunks, spelled))


def _blockwise_merge(
    chunks: Chunks, shape: tuple[int, ...]
) -> tuple[Chunks, list[AxisMap], tuple[int, ...]]:
    """Return the chunks of blocks reshaped each by itself to fewer axes, and where they are."""
    given: list[tuple[int, ...]] = []
    maps: list[AxisMap] = []
    for old, new in _groups(tuple(map(sum, chunks)), shape):
        if len(new) != 1:
            raise NotImplementedError(
                f"reshape_blockwise: axes of lengths {tuple(sum(chunks[axis]) for axis in old)} "
                f"do not merge into axes of lengths {tuple(shape[axis] for axis in new)}; use "
                "reshape"
            )
        axis = len(given)
        parts = list(product(*(range(len(chunks[one])) for one in old)))
        given.append(
            tuple(
                math.prod(chunks[one][at] for one, at in zip(old, part, strict=True))
                for part in parts
            )
        )
        maps.extend((axis, [part[place] for part in parts]) for place in range(len(old)))
    return tuple(given), maps, tuple(len(lengths) for lengths in given)


def _blockwise_split(x: Array, shape: tuple[int, ...], chunks: Chunks) -> Array:
    """Return blocks reshaped each by itself to more axes: the reverse of merging."""
    merged, maps, _ = _blockwise_merge(chunks, x.shape)
    if merged != x.chunks:
        raise ValueError(
            f"reshape_blockwise: blocks of chunks {chunks} have {merged} elements along the axes "
            f"that are split, and those of the array have {x.chunks}"
        )
    # One call for each old block, in the order of the new grid.
    where = np.arange(x.npartitions).reshape(x.numblocks)
    tables = [np.asarray(one[1]) if isinstance(one, tuple) else None for one in maps]
    of_axis = [one[0] if isinstance(one, tuple) else None for one in maps]
    grid = tuple(len(lengths) for lengths in chunks)
    places: list[Any] = []
    for group in range(x.ndim):
        own = [axis for axis in range(len(chunks)) if of_axis[axis] == group]
        size = tuple(grid[axis] for axis in own)
        flat = np.empty(size, dtype=np.intp)
        flat[tuple(tables[axis] for axis in own)] = np.arange(x.numblocks[group])
        places.append(flat.ravel())
    assert where.size == math.prod(grid)
    shapes: list[Any] = []
    for group, order in enumerate(places):
        own = [axis for axis in range(len(chunks)) if of_axis[axis] == group]
        rows = list(product(*(chunks[axis] for axis in own)))
        assert len(rows) == len(order)
        shapes.extend(along(group, [row[place] for row in rows]) for place in range(len(own)))
    reading = Reading(x._expr, [(group, order.tolist()) for group, order in enumerate(places)])
    meta = empty_like(x._meta, len(shape))
    return _array(
        Mapped(
            "reshape",
            (shape, chunks, "blocks"),
            np.reshape,
            [reading, tuple(shapes)],
            chunks,
            meta,
            grid=x.numblocks,
        )
    )


def viewed(x: Array, dtype: Any, order: str) -> Array:
    """Return the same bytes as elements of another type, block by block."""
    dtype = np.dtype(dtype)
    if order not in ("C", "F"):
        raise ValueError(f"view: order is 'C' or 'F', not {order!r}")
    chunks = list(x.chunks)
    if x.dtype.itemsize != dtype.itemsize:
        if not x.ndim:
            raise ValueError(
                f"view: an array without axes keeps elements of {x.dtype.itemsize} bytes; {dtype} "
                f"has {dtype.itemsize}"
            )
        axis = x.ndim - 1 if order == "C" else 0
        sizes = [length * x.dtype.itemsize for length in chunks[axis]]
        if any(size % dtype.itemsize for size in sizes):
            raise ValueError(
                f"view: blocks of {chunks[axis]} elements of {x.dtype} along axis {axis} are no "
                f"whole number of {dtype}; rechunk first"
            )
        chunks[axis] = tuple(size // dtype.itemsize for size in sizes)
    args = [Reading(x._expr, range(x.ndim)), dtype, order]
    meta = empty_like(x._meta, x.ndim, dtype)
    return _array(Mapped("view", order, _kernels_shapes.view, args, tuple(chunks), meta))


def _unknown(name: str) -> str:
    return f"{name}: lengths of the array are not known; call compute_chunk_sizes() on it first"


def _reshape_unknown(x: Array, shape: tuple[Any, ...]) -> Array:
    """Reshape what has lengths that are not known: only its first axis, block by block."""
    rest = x.shape[1:]
    first_only = not any(map(is_unknown, x.chunks[1:]))
    if shape == (-1,) and x.ndim == 1:
        return x
    alone = all(len(lengths) == 1 for lengths in x.chunks[1:])
    if first_only and alone and shape[:1] == (-1,):
        known = shape[1:]
        if math.prod(known) == math.prod(rest) or not known:
            chunks = (x.chunks[0], *((length,) for length in known))
            maps: list[AxisMap] = [0, *([None] * len(rest))]
            args = [Reading(x._expr, maps), shape]
            meta = empty_like(x._meta, len(shape))
            return _array(Mapped("reshape", shape, np.reshape, args, chunks, meta))
    raise ValueError(_unknown("reshape"))


def _spelled_shape(wanted: Sequence[Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape whose -1 is worked out, and that fits another one."""
    lengths = []
    for one in wanted:
        if not isinstance(one, Integral):
            raise TypeError(f"reshape: lengths are ints, not {one!r}")
        lengths.append(int(one))
    size = math.prod(shape)
    if lengths.count(-1) > 1:
        raise ValueError(f"reshape: one length at most can be -1, not in {tuple(lengths)}")
    if any(one < -1 for one in lengths):
        raise ValueError(f"reshape: lengths are not negative: {tuple(lengths)}")
    if -1 in lengths:
        others = math.prod(one for one in lengths if one != -1)
        if others and size % others == 0:
            lengths[lengths.index(-1)] = size // others
    if -1 in lengths or math.prod(lengths) != size:
        raise ValueError(
            f"cannot reshape array of size {size} into shape {tuple(wanted)}: the shape {shape} "
            f"has {size} elements"
        )
    return tuple(lengths)


def _elements(x: Array, limit: Any) -> int:
    """Return how many elements a block may have when chunks were merged."""
    itemsize = max(1, x.dtype.itemsize)
    if limit is not None:
        return max(1, int(parse_bytes(limit)) // itemsize)
    largest = math.prod(x.chunksize)
    return max(1, parse_bytes(config.get("array.chunk-size")) // itemsize, largest)


def _groups(
    old: tuple[int, ...], new: tuple[int, ...]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return which axes become which: the smallest groups of as many elements, in order.

    Axes of length one go with whoever stands before them.
    """
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        mine, theirs = [], []
        a = b = 1
        if i < len(old):
            mine.append(i)
            a = old[i]
            i += 1
        if j < len(new):
            theirs.append(j)
            b = new[j]
            j += 1
        while a != b:
            if (a < b and i < len(old)) or j >= len(new):
                mine.append(i)
                a *= old[i]
                i += 1
            else:
                theirs.append(j)
                b *= new[j]
                j += 1
        if (not mine or not theirs) and groups:
            groups[-1][0].extend(mine)
            groups[-1][1].extend(theirs)
        else:
            groups.append((mine, theirs))
    return [(tuple(mine), tuple(theirs)) for mine, theirs in groups]


def _reshaped(x: Array, shape: tuple[int, ...], merge_chunks: bool, limit: int) -> Array:
    # Axes of length one need no calls but those of an index.
    if 1 in x.shape:
        x = x[tuple(0 if length == 1 else slice(None) for length in x.shape)]
    expression = x._expr
    core = tuple(length for length in shape if length != 1)
    groups = _groups(expression.shape, core) if core else []
    if groups:
        expression = _merged(expression, [old for old, _ in groups], merge_chunks, limit)
        parts = [tuple(core[axis] for axis in new) for _, new in groups]
        expression = _split(expression, parts, limit)
    result = _array(expression)
    if 1 in shape:
        return result[tuple(None if length == 1 else slice(None) for length in shape)]
    return result


def _merged(
    operand: Expression, groups: Sequence[tuple[int, ...]], merge_chunks: bool, limit: int
) -> Expression:
    """Return an expression whose groups of axes have become one axis each."""
    if all(len(group) == 1 for group in groups):
        return operand
    chunks = list(operand.chunks)
    for group in groups:
        if len(group) > 1:
            rest = math.prod(
                max(lengths) for axis, lengths in enumerate(chunks) if axis not in group
            )
            own = [_filled(chunks[axis]) for axis in group]
            cut = _cut_for_merging(own, merge_chunks, max(1, limit // max(1, rest)))
            for axis, lengths in zip(group, cut, strict=True):
                chunks[axis] = lengths
    operand = rechunk(operand, tuple(chunks))
    merged: list[tuple[int, ...]] = []
    maps: list[AxisMap] = []
    for axis, group in enumerate(groups):
        counts = [len(chunks[one]) for one in group]
        if len(group) == 1:
            merged.append(chunks[group[0]])
            maps.append(axis)
            continue
        merged.append(
            tuple(math.prod(lengths) for lengths in product(*(chunks[one] for one in group)))
        )
        where = np.unravel_index(np.arange(math.prod(counts)), counts)
        maps.extend(
            None if count == 1 else (axis, one.tolist())
            for count, one in zip(counts, where, strict=True)
        )
    new = tuple(merged)
    shapes = tuple(along(axis, lengths) for axis, lengths in enumerate(new))
    meta = empty_like(operand.meta, len(new))
    return Mapped("reshape", new, np.reshape, [Reading(operand, maps), shapes], new, meta)


def _filled(lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Return lengths without those of empty blocks."""
    return tuple(length for length in lengths if length) if 0 in lengths else lengths


def _cut_for_merging(
    chunks: Sequence[tuple[int, ...]], merge_chunks: bool, limit: int
) -> list[tuple[int, ...]]:
    """Return chunks of axes that become one: of length 1, then any, then whole axes."""
    shape = [sum(lengths) for lengths in chunks]
    last = len(chunks) - 1
    for place in range(len(chunks)):
        if all(max(one) == 1 for one in chunks[:place]) and all(
            len(one) == 1 for one in chunks[place + 1 :]
        ):
            return list(chunks)
    if merge_chunks:
        place = 0
        while place < last and math.prod(shape[place + 1 :]) > limit:
            place += 1
        size = max(1, limit // math.prod(shape[place + 1 :]))
        cut = _no_longer(chunks[place], size)
    else:
        place = max(axis for axis, lengths in enumerate(chunks) if len(lengths) > 1)
        cut = chunks[place]
    return [
        *((1,) * length for length in shape[:place]),
        cut,
        *((length,) for length in shape[place + 1 :]),
    ]


def _no_longer(lengths: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return lengths of which those that are too long are cut."""
    if max(lengths) <= size:
        return lengths
    cut: list[int] = []
    for length in lengths:
        count = max(1, -(-length // size))
        each, more = divmod(length, count)
        cut.extend([each + 1] * more + [each] * (count - more))
    return tuple(cut)


def _split(operand: Expression, parts: Sequence[tuple[int, ...]], limit: int) -> Expression:
    """Return an expression whose axes have become several each."""
    if all(len(part) == 1 for part in parts):
        return operand
    chunks = list(operand.chunks)
    new: list[tuple[int, ...]] = []
    shapes: list[Any] = []
    for axis, part in enumerate(parts):
        if len(part) == 1:
            new.append(chunks[axis])
            shapes.append(along(axis, chunks[axis]))
            continue
        others = math.prod(max(lengths) for one, lengths in enumerate(chunks) if one != axis)
        cut = _cut_for_splitting(_filled(chunks[axis]), part, max(1, limit // max(1, others)))
        new.extend(cut)
        rows = list(product(*cut))
        chunks[axis] = tuple(math.prod(row) for row in rows)
        shapes.extend(along(axis, [row[place] for row in rows]) for place in range(len(part)))
    operand = rechunk(operand, tuple(chunks))
    spelled = tuple(new)
    meta = empty_like(operand.meta, len(spelled))
    return Mapped(
        "reshape",
        spelled,
        np.reshape,
        [Reading(operand, range(operand.ndim)), tuple(shapes)],
        spelled,
        meta,
        grid=operand.grid,
    )


def _cut_for_splitting(
    lengths: tuple[int, ...], shape: tuple[int, ...], limit: int
) -> list[tuple[int, ...]]:
    """Return chunks of the axes that one becomes: of length 1, then any, then whole axes."""
    place = 0
    while place < len(shape) - 1 and math.prod(shape[place + 1 :]) > max(limit, max(lengths)):
        place += 1
    rest = math.prod(shape[place + 1 :])
    if place == 0:
        # Boundaries move to the next row before them.
        rows = sorted({start // rest for start in starts_of(lengths)})
        first = tuple(end - begin for begin, end in pairwise(rows))
    else:
        first = _no_longer((shape[place],), max(1, max(lengths) // rest))
    return [
        *((1,) * length for length in shape[:place]),
        first,
        *((length,) for length in shape[place + 1 :]),
    ]
