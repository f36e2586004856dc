"""Functions of blocks that see a little of the neighbours: `map_overlap`.

A block with a halo is put together from slices of the blocks around it, by one call. That call, the
function and the cut that takes the halo away again are one task.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from numbers import Number
from typing import Any

import numpy as np

from oxidask._core import Layer
from oxidask.array import _kernels, _kernels_overlap
from oxidask.array._chunks import block_at, is_unknown, starts_of
from oxidask.array._expressions import (
    AxisMap,
    Expression,
    FromLayer,
    along,
    broadcast_chunks,
    read,
    rechunked_to,
)
from oxidask.array._rechunk import rechunk
from oxidask.array.core import Array, _array, asarray
from oxidask.tokenize import tokenize

__all__ = ["map_overlap"]

#: How far a halo reaches before and after a block, for each axis.
Depths = tuple[tuple[int, int], ...]

#: What stands beyond the ends of an axis: one of these words, or a value.
WORDS = ("none", "periodic", "reflect", "nearest")


class Halo(Expression):
    """Blocks with a little of their neighbours around them."""

    __slots__ = ("boundaries", "depths")

    def __init__(self, operand: Expression, depths: Depths, boundaries: tuple[Any, ...]) -> None:
        chunks = tuple(
            tuple(
                length + before + after
                for length, (before, after) in zip(
                    lengths, _reaches(len(lengths), depth, boundary), strict=True
                )
            )
            for lengths, depth, boundary in zip(operand.chunks, depths, boundaries, strict=True)
        )
        name = f"overlap-{tokenize(operand.name, depths, boundaries)}"
        super().__init__(name, chunks, operand.meta, [operand])
        self.depths, self.boundaries = depths, boundaries

    def _lower(self) -> Layer:
        (operand,) = self.operands
        maps: list[AxisMap] = []
        counts: list[Any] = []
        plans: list[Any] = []
        for axis, (lengths, depth, boundary) in enumerate(
            zip(operand.chunks, self.depths, self.boundaries, strict=True)
        ):
            if depth == (0, 0):
                maps.append(axis)
                counts.append(1)
                plans.append(_kernels_overlap.AS_IT_IS)
                continue
            starts = starts_of(lengths)
            blocks, of_axis = [], []
            for begin, end in pairwise(starts):
                read_from, plan = _plan(starts, begin - depth[0], end + depth[1], boundary)
                blocks.append(read_from)
                of_axis.append(plan)
            maps.append((axis, blocks))
            counts.append(along(axis, [len(one) for one in blocks]))
            plans.append(along(axis, of_axis))
        parts = read(operand, maps, many=True)
        return self._call(_kernels_overlap.assemble, parts, tuple(counts), *plans)


class Trim(Expression):
    """Blocks without their halos."""

    __slots__ = ("cuts",)

    def __init__(self, operand: Expression, depths: Depths, boundaries: tuple[Any, ...]) -> None:
        chunks: list[tuple[Any, ...]] = []
        #: For each axis the part of each block that stays.
        self.cuts: list[list[slice]] = []
        for axis, (lengths, depth, boundary) in enumerate(
            zip(operand.chunks, depths, boundaries, strict=True)
        ):
            reaches = _reaches(len(lengths), depth, boundary)
            new = tuple(
                length - before - after
                for length, (before, after) in zip(lengths, reaches, strict=True)
            )
            if any(length < 0 for length in new):
                raise ValueError(
                    f"trim: a halo of {depth[0]} and {depth[1]} elements along axis {axis} does "
                    f"not fit into blocks of {lengths}"
                )
            chunks.append(new)
            self.cuts.append(
                [slice(before or None, -after if after else None) for before, after in reaches]
            )
        name = f"trim-{tokenize(operand.name, depths, boundaries)}"
        super().__init__(name, tuple(chunks), operand.meta, [operand])

    def _lower(self) -> Layer:
        (operand,) = self.operands
        index = tuple(along(axis, cuts) for axis, cuts in enumerate(self.cuts))
        return self._call(_kernels.pick, read(operand, range(self.ndim)), index)


def _reaches(count: int, depth: tuple[int, int], boundary: Any) -> list[tuple[int, int]]:
    """Return how far the halo of each block of an axis reaches."""
    ends = boundary == "none"
    return [
        (
            0 if ends and place == 0 else depth[0],
            0 if ends and place == count - 1 else depth[1],
        )
        for place in range(count)
    ]


def _covered(starts: Sequence[int], begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Go through the blocks that hold a range: which, and the part of the range, as places."""
    block = block_at(starts, begin)
    while begin < end:
        upto = min(end, starts[block + 1])
        if upto > begin:
            yield block, begin, upto
        begin = upto
        block += 1


def _plan(starts: Sequence[int], begin: int, end: int, boundary: Any) -> tuple[list[int], Any]:
    """Return the blocks that a block with a halo reads along an axis, and what goes where.

    That is its length, the pieces (which of the blocks read, of where, to where), and the places
    that get a value.
    """
    total = starts[-1]
    if boundary == "none":
        begin, end = max(begin, 0), min(end, total)
    pieces: list[tuple[int, slice, slice]] = []
    fills: list[tuple[slice, Any]] = []

    def copy(low: int, high: int, to: int) -> None:
        for block, first, upto in _covered(starts, low, high):
            of = slice(first - starts[block], upto - starts[block])
            pieces.append((block, of, slice(to + first - low, to + upto - low)))

    def mirror(low: int, high: int, to: int) -> None:
        for block, first, upto in _covered(starts, low, high):
            stop = first - starts[block] - 1
            of = slice(upto - starts[block] - 1, stop if stop >= 0 else None, -1)
            pieces.append((block, of, slice(to + high - upto, to + high - first)))

    def beyond(count: int, at_end: bool) -> None:
        to = end - begin - count if at_end else 0
        if boundary == "periodic":
            low = 0 if at_end else total - count
            copy(low, low + count, to)
        elif boundary == "reflect":
            low = total - count if at_end else 0
            mirror(low, low + count, to)
        elif boundary == "nearest":
            block = block_at(starts, total - 1 if at_end else 0)
            place = (total - 1 if at_end else 0) - starts[block]
            pieces.append((block, slice(place, place + 1), slice(to, to + count)))
        else:
            fills.append((slice(to, to + count), boundary))

    if begin < 0:
        beyond(-begin, False)
    copy(max(begin, 0), min(end, total), max(-begin, 0))
    if end > total:
        beyond(end - total, True)
    blocks = sorted({block for block, _, _ in pieces}) or [0]
    places = tuple((blocks.index(block), of, to) for block, of, to in pieces)
    return blocks, (end - begin, places, tuple(fills))


# ---- What users say ----


def _depths(depth: Any, ndim: int, where: str) -> Depths:
    """Spell out how far halos reach, from an int, a tuple or a dictionary of axes."""
    if depth is None:
        by_axis: dict[Any, Any] = {}
    elif isinstance(depth, Mapping):
        by_axis = dict(depth)
    elif isinstance(depth, tuple | list):
        if len(depth) > ndim:
            raise ValueError(
                f"{where}: depth={depth!r} has more entries than there are axes, {ndim}"
            )
        by_axis = dict(enumerate(depth))
    else:
        by_axis = dict.fromkeys(range(ndim), depth)
    result = [(0, 0)] * ndim
    for axis, one in by_axis.items():
        if not isinstance(axis, int | np.integer):
            raise TypeError(f"{where}: {axis!r} in depth={depth!r} is no axis")
        if not -ndim <= axis < ndim:
            # Arrays of fewer axes leave out what they have not.
            continue
        pair = tuple(one) if isinstance(one, tuple | list) else (one, one)
        if len(pair) != 2 or not all(
            isinstance(part, int | np.integer) and part >= 0 for part in pair
        ):
            raise ValueError(
                f"{where}: depth {one!r} of axis {axis}: an int of 0 or more is needed, or two, "
                "for before and after a block"
            )
        result[int(axis) % ndim] = (int(pair[0]), int(pair[1]))
    return tuple(result)


def _boundaries(boundary: Any, ndim: int, where: str) -> tuple[Any, ...]:
    """Spell out what stands beyond the ends of each axis."""
    if isinstance(boundary, Mapping):
        result = ["none"] * ndim
        for axis, one in boundary.items():
            if isinstance(axis, int | np.integer) and -ndim <= axis < ndim:
                result[int(axis) % ndim] = one
    elif isinstance(boundary, tuple | list):
        if len(boundary) != ndim:
            raise ValueError(
                f"{where}: boundary={boundary!r} has {len(boundary)} entries for {ndim} axes"
            )
        result = list(boundary)
    else:
        result = [boundary] * ndim
    result = ["none" if one is None else one for one in result]
    for one in result:
        if isinstance(one, str) and one not in WORDS:
            raise ValueError(
                f"{where}: boundary {one!r} is none of {', '.join(map(repr, WORDS))}, nor a value"
            )
        if not isinstance(one, str | Number | np.generic):
            raise TypeError(
                f"{where}: boundary {one!r}: a word, {', '.join(map(repr, WORDS))}, or a number is "
                "needed"
            )
    return tuple(result)


def _check(depths: Depths, boundaries: tuple[Any, ...], where: str) -> None:
    for axis, ((before, after), boundary) in enumerate(zip(depths, boundaries, strict=True)):
        if before != after and boundary != "none":
            raise NotImplementedError(
                f"{where}: depth {(before, after)} of axis {axis} with boundary {boundary!r}: a "
                "depth that differs before and after a block goes with boundary 'none' only; take "
                "the larger one on both sides"
            )


def _long_enough(lengths: tuple[Any, ...], depth: int, allows: bool, where: str) -> tuple[Any, ...]:
    """Return lengths of blocks of which none is shorter than a halo."""
    if not depth:
        return lengths
    if is_unknown(lengths):
        raise ValueError(
            f"{where}: the lengths of blocks are not known along an axis with depth {depth}; call "
            "compute_chunk_sizes() first"
        )
    if depth > sum(lengths):
        raise ValueError(
            f"{where}: a depth of {depth} is more than the {sum(lengths)} elements of the axis"
        )
    if min(lengths) >= depth:
        return lengths
    if not allows:
        raise ValueError(
            f"{where}: a depth of {depth} is more than the shortest of the blocks {lengths}; "
            "rechunk, or give allow_rechunk=True"
        )
    return minimum_lengths(lengths, depth)


def minimum_lengths(lengths: Sequence[int], least: int) -> tuple[int, ...]:
    """Join short blocks with their neighbours until none is shorter than `least`."""
    new: list[int] = []
    rest = 0
    for length in lengths:
        rest += length
        if rest >= least:
            new.append(rest)
            rest = 0
    if rest and new[-1] + rest > 2 * least:
        new[-1] += rest - least
        new.append(least)
    else:
        new[-1] += rest
    return tuple(new)


def overlap(x: Any, depth: Any, boundary: Any, *, allow_rechunk: bool = True) -> Array:
    """Put elements of neighbours around each block.

    Parameters
    ----------
    x : Array
        The array.
    depth : int, tuple or dict
        How many elements, for all axes or by axis; two for an axis are those before and after a
        block, with boundary "none" only.
    boundary : str, number, tuple or dict
        What stands beyond the ends of the array, for all axes or by axis: "none" (nothing),
        "periodic" (the other end), "reflect" (the elements in reverse order, the last one first),
        "nearest" (the last element), or a value.
    allow_rechunk : bool, default True
        Whether blocks that are shorter than the depth are joined with their neighbours; else they
        are an error.

    Returns
    -------
    Array
        Its blocks are longer; the elements of halos stand in it more than once.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.overlap.overlap(da.arange(4, chunks=2), depth=1, boundary="periodic").compute()
    array([3, 0, 1, 2, 1, 2, 3, 0])
    """
    x = asarray(x)
    depths = _depths(depth, x.ndim, "overlap")
    boundaries = _boundaries(boundary, x.ndim, "overlap")
    _check(depths, boundaries, "overlap")
    chunks = tuple(
        _long_enough(lengths, max(depth), allow_rechunk, "overlap")
        for lengths, depth in zip(x.chunks, depths, strict=True)
    )
    return _array(_with_halo(rechunk(x._expr, chunks), depths, boundaries))


def _with_halo(one: Expression, depths: Depths, boundaries: tuple[Any, ...]) -> Expression:
    if all(
        depth == (0, 0) or (boundary == "none" and len(lengths) == 1)
        for lengths, depth, boundary in zip(one.chunks, depths, boundaries, strict=True)
    ):
        return one
    return Halo(one, depths, boundaries)


def trim_internal(x: Array, axes: Any, boundary: Any = None) -> Array:
    """Cut elements off each block.

    Parameters
    ----------
    x : Array
        The array.
    axes : dict
        How many elements, by axis; two for an axis are those at the begin and at the end.
    boundary : str, number, tuple or dict, optional
        As for `overlap`. Where it is "none" (or not given), nothing is cut off at the ends of the
        array.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.overlap.overlap(da.arange(4, chunks=2), depth=1, boundary="nearest")
    >>> da.overlap.trim_internal(x, {0: 1}, boundary="nearest").compute()
    array([0, 1, 2, 3])
    """
    depths = _depths(axes, x.ndim, "trim_internal")
    boundaries = _boundaries(boundary, x.ndim, "trim_internal")
    return _trimmed(x, depths, boundaries)


def _trimmed(x: Array, depths: Depths, boundaries: tuple[Any, ...]) -> Array:
    if all(depth == (0, 0) for depth in depths):
        return x
    return _array(Trim(x._expr, depths, boundaries))


def trim_overlap(x: Array, depth: Any, boundary: Any = None) -> Array:
    """Take away what `overlap` has put around each block.

    Parameters
    ----------
    x : Array
        The array.
    depth, boundary
        What `overlap` was given.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.overlap.overlap(da.arange(4, chunks=2), depth=1, boundary="none")
    >>> da.overlap.trim_overlap(x, depth=1, boundary="none").compute()
    array([0, 1, 2, 3])
    """
    return trim_internal(x, depth, boundary)


def map_overlap(
    func: Callable[..., Any],
    *args: Any,
    depth: Any = None,
    boundary: Any = None,
    trim: bool = True,
    align_arrays: bool = True,
    allow_rechunk: bool = True,
    **kwargs: Any,
) -> Array:
    """Call a function on each block with a little of its neighbours around it.

    Parameters
    ----------
    func : callable
        Called with a block of each array. What it returns for the halo is cut off.
    *args : Array
        The arrays; their shapes are broadcast.
    depth : int, tuple, dict or list, default 0
        How many elements of the neighbours, for all axes or by axis; two for an axis are those
        before and after a block, with boundary "none" only. A list holds one of these for each
        array.
    boundary : str, number, tuple, dict or list, optional
        What stands beyond the ends of the array, for all axes or by axis: "none" (nothing, the
        default), "periodic" (the other end), "reflect" (the elements in reverse order, the last one
        first), "nearest" (the last element), or a value. A list holds one of these for each array.
    trim : bool, default True
        Whether `depth` elements are cut off each block of what the function returns. Say False if
        the function does that itself.
    align_arrays : bool, default True
        Whether arrays are cut alike first; else their blocks must fit in number.
    allow_rechunk : bool, default True
        Whether blocks that are shorter than the depth are joined with their neighbours; else they
        are an error.
    **kwargs
        For `map_blocks`, or for the function.

    Returns
    -------
    Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> x = da.from_array(np.array([1, 1, 2, 3, 3, 3, 2, 1, 1]), chunks=5)
    >>> def slope(block):
    ...     return block - np.roll(block, 1)
    >>> x.map_overlap(slope, depth=1, boundary=0).compute()
    array([ 1,  0,  1,  1,  0,  0, -1, -1,  0])
    """
    if isinstance(func, Array) and args and callable(args[0]):
        warnings.warn(
            "map_overlap(array, function): the function comes first, map_overlap(function, array)",
            FutureWarning,
            stacklevel=2,
        )
        func, args = args[0], (func, *args[1:])
        # The depth and the boundary may stand behind.
        behind = [one for one in args[1:] if not isinstance(one, Array)]
        args = tuple(one for one in args if isinstance(one, Array))
        if behind and depth is None:
            depth = behind.pop(0)
        if behind and boundary is None:
            boundary = behind.pop(0)
    if not callable(func):
        raise TypeError(f"map_overlap: the first argument is a function, not {func!r}")
    if not args or not all(isinstance(one, Array) for one in args):
        raise TypeError(
            "map_overlap: behind the function stand arrays, not "
            f"{[type(one).__name__ for one in args]}; give other values by name, and arrays of "
            "NumPy by from_array"
        )
    arrays: list[Array] = list(args)
    depths = [
        _depths(one, array.ndim, "map_overlap")
        for one, array in zip(_for_each(depth, arrays, "depth"), arrays, strict=True)
    ]
    boundaries = [
        _boundaries(one, array.ndim, "map_overlap")
        for one, array in zip(_for_each(boundary, arrays, "boundary"), arrays, strict=True)
    ]
    expressions = _aligned(arrays, depths, boundaries, align_arrays, allow_rechunk)
    # The first array with the most axes says how the result is cut.
    main = max(range(len(arrays)), key=lambda place: (arrays[place].ndim, -place))
    if kwargs.get("drop_axis") is None:
        expressions = [_as_long_as(one, expressions[main]) for one in expressions]
    from oxidask.array.blockwise import map_blocks

    result = map_blocks(func, *map(_array, expressions), **kwargs)
    if not trim:
        return result
    pairs = list(zip(depths[main], boundaries[main], strict=True))
    for axis, lengths in enumerate(expressions[main].chunks):
        # What is repeated has no halo; the function's result has that of the others.
        others = range(len(arrays)) if sum(lengths) == 1 else ()
        for place in others:
            own = axis - len(pairs) + arrays[place].ndim
            if own >= 0 and depths[place][own] != (0, 0) and pairs[axis][0] == (0, 0):
                pairs[axis] = depths[place][own], boundaries[place][own]
    pairs = _moved(pairs, kwargs.get("drop_axis"), kwargs.get("new_axis"))
    if len(pairs) != result.ndim:
        raise ValueError(
            f"map_overlap: the result has {result.ndim} axes and not {len(pairs)}; say drop_axis= "
            "or new_axis=, or trim=False"
        )
    return _trimmed(result, tuple(one for one, _ in pairs), tuple(one for _, one in pairs))


def _for_each(value: Any, arrays: Sequence[Array], what: str) -> list[Any]:
    """Return one value for each array."""
    if not isinstance(value, list):
        return [value] * len(arrays)
    if len(value) != len(arrays):
        raise ValueError(
            f"map_overlap: {what}={value!r} has {len(value)} entries for {len(arrays)} arrays"
        )
    return value


def _moved(pairs: list[Any], dropped: Any, new: Any) -> list[Any]:
    """Return what belongs to the axes of an array for those of the function's result."""
    count = len(pairs)
    gone = {int(axis) % count for axis in np.atleast_1d([] if dropped is None else dropped)}
    pairs = [one for axis, one in enumerate(pairs) if axis not in gone]
    added = [] if new is None else [int(axis) for axis in np.atleast_1d(new)]
    count = len(pairs) + len(added)
    for axis in sorted(axis % count for axis in added):
        pairs.insert(axis, ((0, 0), "none"))
    return pairs


def _aligned(
    arrays: Sequence[Array],
    depths: list[Depths],
    boundaries: Sequence[tuple[Any, ...]],
    aligns: bool,
    allows: bool,
) -> list[Expression]:
    """Return arrays with halos, cut alike."""
    expressions = [one._expr for one in arrays]
    if aligns:
        common = list(broadcast_chunks(expressions))
        ndim = len(common)
        for place, one in enumerate(expressions):
            # What is repeated along an axis has no neighbours there.
            depths[place] = tuple(
                (0, 0) if sum(own) == 1 and sum(theirs) != 1 else depth
                for own, theirs, depth in zip(
                    one.chunks, common[ndim - one.ndim :], depths[place], strict=True
                )
            )
        for axis in range(-ndim, 0):
            deepest = max(max(each[axis]) for each in depths if len(each) >= -axis)
            common[axis] = _long_enough(common[axis], deepest, allows, "map_overlap")
        expressions = [rechunked_to(one, tuple(common)) for one in expressions]
    else:
        expressions = [
            rechunk(
                one,
                tuple(
                    _long_enough(lengths, max(depth), allows, "map_overlap")
                    for lengths, depth in zip(one.chunks, of_array, strict=True)
                ),
            )
            for one, of_array in zip(expressions, depths, strict=True)
        ]
        for axis in range(-max(one.ndim for one in expressions), 0):
            counts = {one.grid[axis] for one in expressions if one.ndim >= -axis} - {1}
            if len(counts) > 1:
                raise ValueError(
                    f"map_overlap: the arrays have {sorted(counts)} blocks along axis {axis}; they "
                    "must be alike where align_arrays=False"
                )
    for of_array, of_ends in zip(depths, boundaries, strict=True):
        _check(of_array, of_ends, "map_overlap")
    return [
        _with_halo(one, of_array, of_ends)
        for one, of_array, of_ends in zip(expressions, depths, boundaries, strict=True)
    ]


def _as_long_as(one: Expression, main: Expression) -> Expression:
    """Return blocks that count as cut like another array, however long their halos are."""
    theirs = main.chunks[main.ndim - one.ndim :]
    chunks = tuple(
        other if len(own) == len(other) and own != (1,) else own
        for own, other in zip(one.chunks, theirs, strict=True)
    )
    return one if chunks == one.chunks else FromLayer(one.layer(), chunks, one.meta)
