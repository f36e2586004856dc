"""Slicing: which part of which block makes each block of what an index picks.

An index is taken apart into steps that are simple by themselves: at most one axis is picked by
integers, all others by slices and single places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np

from oxidask._core import Layer, read_blocks
from oxidask.array import _kernels, _kernels_masks
from oxidask.array._chunks import block_at, is_unknown, starts_of
from oxidask.array._expressions import (
    AxisMap,
    Expression,
    along,
    empty_like,
    every,
    own_axes,
    read,
)
from oxidask.tokenize import tokenize


class Slice(Expression):
    """Parts of blocks: for each axis a slice, a place, or (for a new axis) None."""

    __slots__ = ("index", "maps", "parts")

    def __init__(self, operand: Expression, index: tuple[Any, ...]) -> None:
        chunks: list[tuple[Any, ...]] = []
        maps: list[AxisMap] = []
        #: For each axis of the operand the parts of blocks, and the axis of the result, if any.
        parts: list[tuple[list[Any], int | None] | None] = []
        axis = 0
        for one in index:
            if one is None:
                chunks.append((1,))
                parts.append(None)
                continue
            lengths = operand.chunks[axis]
            axis += 1
            if isinstance(one, slice):
                blocks, cuts, new = cut_by_slice(lengths, one)
                maps.append((len(chunks), blocks))
                parts.append((cuts, len(chunks)))
                chunks.append(new)
            else:
                starts = starts_of(lengths)
                block = block_at(starts, one)
                maps.append((None, [block]))
                parts.append(([one - starts[block]], None))
        meta = empty_like(operand.meta, len(chunks))
        name = f"getitem-{tokenize(operand.name, index)}"
        super().__init__(name, tuple(chunks), meta, [operand])
        self.index, self.maps, self.parts = index, maps, parts

    def _lower(self) -> Layer:
        (operand,) = self.operands
        index = tuple(
            None if part is None else part[0][0] if part[1] is None else along(part[1], part[0])
            for part in self.parts
        )
        block = read(operand, self.maps)
        if all(isinstance(one, slice) and one == slice(None) for one in index):
            return self._call(None, block)
        return self._call(_kernels.pick, block, index)


class Take(Expression):
    """Elements along one axis, by their places."""

    __slots__ = ("axis", "blocks", "plan")

    def __init__(
        self,
        operand: Expression,
        places: np.ndarray[Any, Any],
        axis: int,
        bounds: list[int] | None = None,
    ) -> None:
        blocks, plan, new = cut_by_places(operand.chunks[axis], places, bounds)
        chunks = (*operand.chunks[:axis], new, *operand.chunks[axis + 1 :])
        name = f"getitem-{tokenize(operand.name, places, axis, bounds)}"
        super().__init__(name, chunks, operand.meta, [operand])
        self.axis, self.blocks, self.plan = axis, blocks, plan

    def _lower(self) -> Layer:
        (operand,) = self.operands
        maps: list[AxisMap] = list(range(self.ndim))
        maps[self.axis] = (self.axis, self.blocks)
        return self._call(
            _kernels.take,
            read(operand, maps, many=True),
            self.axis,
            along(self.axis, self.plan),
            along(self.axis, self.chunks[self.axis]),
        )


class Masked(Expression):
    """Elements where a mask is true, whose number is not known before; one axis of them."""

    __slots__ = ("axis",)

    def __init__(self, operand: Expression, mask: Expression, axis: int) -> None:
        chunks = list(operand.chunks)
        chunks[axis] = (np.nan,) * len(chunks[axis])
        name = f"getitem-{tokenize(operand.name, mask.name, axis)}"
        super().__init__(name, tuple(chunks), operand.meta, [operand, mask])
        self.axis = axis

    def _lower(self) -> Layer:
        operand, mask = self.operands
        index = (slice(None),) * self.axis + (read(mask, [self.axis]),)
        return self._call(_kernels.pick, read(operand, range(self.ndim)), index)


class MaskedAll(Expression):
    """Elements of all axes where a mask of the same shape is true, as one axis, row by row."""

    __slots__ = ()

    def __init__(self, operand: Expression, mask: Expression) -> None:
        name = f"getitem-{tokenize(operand.name, mask.name)}"
        chunks = ((np.nan,) * operand.grid[0],)
        super().__init__(name, chunks, empty_like(operand.meta, 1), [operand, mask])

    def in_any_order(self) -> Expression:
        """Return the same elements block by block, for whom their order does not matter."""
        operand, mask = self.operands
        return MaskedBlocks(operand, mask) if self.has_parts else self

    @property
    def has_parts(self) -> bool:
        """Whether rows are cut."""
        return any(count > 1 for count in self.operands[0].grid[1:])

    def _lower(self) -> Layer:
        operand, mask = self.operands
        if not self.has_parts:
            rows: list[AxisMap] = [0, *[None] * (operand.ndim - 1)]
            return self._call(_kernels_masks.pick_by_mask, read(operand, rows), read(mask, rows))
        parts = self._call(
            _kernels_masks.pick_with_counts,
            read(operand, own_axes(operand)),
            read(mask, own_axes(mask)),
            grid=operand.grid,
            name=f"pick-{self.name}",
        )
        counts = (1, *operand.grid[1:])
        of_row = read_blocks(parts, [0, *map(every, counts[1:])], True)
        return self._call(_kernels_masks.in_rows, of_row, counts)


class MaskedBlocks(Expression):
    """Elements of all axes where a mask of the same shape is true, as one axis, block by block."""

    __slots__ = ()

    def __init__(self, operand: Expression, mask: Expression) -> None:
        name = f"pick-blocks-{tokenize(operand.name, mask.name)}"
        chunks = ((np.nan,) * math.prod(operand.grid),)
        super().__init__(name, chunks, empty_like(operand.meta, 1), [operand, mask])

    def _lower(self) -> Layer:
        line = [
            (0, places.tolist())
            for places in np.unravel_index(np.arange(self.grid[0]), self.operands[0].grid)
        ]
        block, mask = (read(one, line) for one in self.operands)
        return self._call(_kernels_masks.pick_by_mask, block, mask)


def cut_by_slice(
    lengths: tuple[Any, ...], one: slice
) -> tuple[list[int], list[slice], tuple[Any, ...]]:
    """Return the blocks that a slice reads, the part of each, and the lengths of the parts."""
    if one == slice(None):
        return list(range(len(lengths))), [slice(None)] * len(lengths), lengths
    starts = starts_of(lengths)
    begin, stop, step = one.indices(starts[-1])
    places = range(begin, stop, step)
    blocks: list[int] = []
    cuts: list[slice] = []
    new: list[int] = []
    if not places:
        return [0], [slice(0, 0)], (0,)
    # Only the blocks from the first place to the last.
    first_block, last_block = block_at(starts, begin), block_at(starts, places[-1])
    turn = 1 if step > 0 else -1
    for block in range(first_block, last_block + turn, turn):
        low, high = starts[block], starts[block + 1]
        if step > 0:
            # The first and the last place in the block.
            skipped = max(0, -(-(low - begin) // step))
            first = begin + skipped * step
            count = len(range(first, min(high, stop), step)) if first >= low else 0
        else:
            skipped = max(0, -(-(begin - (high - 1)) // -step))
            first = begin + skipped * step
            count = len(range(first, max(low - 1, stop), step))
        if count <= 0:
            continue
        blocks.append(block)
        last = first + (count - 1) * step
        if count == high - low and step == 1:
            cuts.append(slice(None))
        elif step > 0:
            cuts.append(slice(first - low, last - low + 1, step))
        else:
            end = last - low - 1
            cuts.append(slice(first - low, end if end >= 0 else None, step))
        new.append(count)
    return blocks, cuts, tuple(new)


def cut_by_places(
    lengths: tuple[int, ...], places: np.ndarray[Any, Any], bounds: list[int] | None = None
) -> tuple[list[list[int]], list[list[tuple[Any, Any]]], tuple[int, ...]]:
    """Return, for each new block, the blocks that it reads, and from where to where.

    Sorted places are cut where the blocks are, others into blocks as long as the longest old one,
    if nobody says where new blocks begin and end.
    """
    starts = np.asarray(starts_of(lengths))
    block_of = np.searchsorted(starts, places, side="right") - 1
    if not len(places):
        return [[0]], [[(np.empty(0, dtype=np.intp), slice(0, 0))]], (0,)
    if bounds is None and np.all(block_of[:-1] <= block_of[1:]):
        bounds = [0, *(np.flatnonzero(np.diff(block_of)) + 1).tolist(), len(places)]
    elif bounds is None:
        size = max(1, max(lengths))
        bounds = [*range(0, len(places), size), len(places)]
    blocks: list[list[int]] = []
    plan: list[list[tuple[Any, Any]]] = []
    for begin, end in pairwise(bounds):
        of = block_of[begin:end]
        read_from = np.unique(of).tolist()
        blocks.append(read_from)
        of_new = []
        for block in read_from:
            to = np.flatnonzero(of == block)
            of_new.append((places[begin:end][to] - starts[block], to))
        plan.append(of_new)
    new = tuple(end - begin for begin, end in pairwise(bounds))
    return blocks, plan, new


def is_mask(one: Any) -> bool:
    """Say whether an entry of an index is an array of truth values."""
    return bool(getattr(one, "dtype", None) == np.dtype(bool)) and hasattr(one, "ndim")


def normalize_index(index: Any, shape: Sequence[Any]) -> list[Any]:
    """Return one entry for each axis, and None for new ones, with places counted from 0.

    Entries are slices, ints, and arrays of ints; arrays of truth values stay.
    """
    index = list(index) if isinstance(index, tuple) else [index]
    entries = [np.asarray(one) if isinstance(one, list) else one for one in index]
    used = sum(
        getattr(one, "ndim", 1) if is_mask(one) else one is not None
        for one in entries
        if one is not Ellipsis
    )
    if used > len(shape):
        raise IndexError(
            f"too many indices: {used} for an array of {len(shape)} axes and shape {tuple(shape)}"
        )
    missing = len(shape) - used
    at = [place for place, one in enumerate(entries) if one is Ellipsis]
    if len(at) > 1:
        raise IndexError("an index has at most one '...'")
    place = at[0] if at else len(entries)
    entries[place : place + len(at)] = [slice(None)] * missing
    axis = 0
    for place, one in enumerate(entries):
        if one is None:
            continue
        if is_mask(one):
            axis += max(1, getattr(one, "ndim", 1))
            continue
        entries[place] = _checked(one, axis, shape[axis])
        axis += 1
    return entries


def _checked(one: Any, axis: int, length: Any) -> Any:
    """Return an entry of an index with places counted from 0."""
    if isinstance(one, slice):
        if length != length and one != slice(None):
            raise ValueError(_unknown(axis))
        return slice(
            *(None if part is None else _whole(part) for part in (one.start, one.stop, one.step))
        )
    if isinstance(one, Integral) or (isinstance(one, np.ndarray) and one.ndim == 0):
        if length != length:
            raise ValueError(_unknown(axis))
        place = _whole(one)
        if not -length <= place < length:
            raise IndexError(f"index {place} is out of bounds for axis {axis} with size {length}")
        return place + length if place < 0 else place
    if isinstance(one, np.ndarray):
        if one.size == 0 and one.ndim == 1:
            return np.empty(0, dtype=np.intp)
        if one.dtype.kind not in "iu":
            raise IndexError(
                f"an array of dtype {one.dtype} is no index: take ints or truth values"
            )
        if length != length:
            raise ValueError(_unknown(axis))
        bad = one[(one < -length) | (one >= length)]
        if bad.size:
            raise IndexError(
                f"index {bad.flat[0]} is out of bounds for axis {axis} with size {length}"
            )
        one = one.astype(np.intp, copy=False)
        return np.where(one < 0, one + length, one)
    if hasattr(one, "dtype") and hasattr(one, "ndim"):
        return one
    raise IndexError(
        f"{one!r} is no place of an array: take an int, a slice, or an array of ints or truth "
        "values"
    )


def _whole(value: Any) -> int:
    try:
        return value.__index__()
    except (AttributeError, TypeError):
        raise IndexError(
            f"{value!r} is no place of an array: take an int, a slice, or an array of ints or "
            "truth values"
        ) from None


def _unknown(axis: int) -> str:
    return (
        f"the length of axis {axis} is not known, so it cannot be cut; call "
        "compute_chunk_sizes() first"
    )


def getitem(operand: Expression, entries: list[Any]) -> Expression:
    """Return what entries of `normalize_index`, without truth values, pick."""
    arrays = [place for place, one in enumerate(entries) if isinstance(one, np.ndarray)]
    if len(arrays) > 1:
        raise NotImplementedError(
            "an index with several arrays of ints: pick one axis after the other, x[a][:, b], or "
            "points by x.vindex[a, b]"
        )
    simple = [slice(None) if place in arrays else one for place, one in enumerate(entries)]
    if any(not (isinstance(one, slice) and one == slice(None)) for one in simple):
        operand = Slice(operand, tuple(simple))
    for place in arrays:
        axis = sum(not isinstance(one, int) for one in simple[:place])
        if entries[place].ndim != 1:
            raise NotImplementedError(
                "an index by an array of ints with several axes: flatten it, and reshape the result"
            )
        operand = Take(operand, entries[place], axis)
    return operand


def same_lengths(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Say whether two axes are cut alike; lengths that are not known count as alike."""
    if is_unknown(a) or is_unknown(b):
        return len(a) == len(b)
    return a == b
