"""Chunks: how the axes of an array are cut, in all the ways in which users say it.

Chunks are one tuple of block lengths for each axis. A length that is not known before computing is
NaN. Nothing here knows arrays or graphs.
"""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from numbers import Integral, Number
from typing import Any

import numpy as np

from oxidask import config
from oxidask.utils import format_bytes, parse_bytes

Chunks = tuple[tuple[Any, ...], ...]


def is_unknown(lengths: Sequence[Any]) -> bool:
    """Say whether a length among some is not known."""
    # Only a NaN differs from itself, and then so does the sum.
    total = sum(lengths)
    return bool(total != total)


def normalize_chunks(
    chunks: Any,
    shape: tuple[Any, ...] | None = None,
    limit: int | str | None = None,
    dtype: Any = None,
    previous_chunks: Any = None,
) -> Chunks:
    """Spell out a description of chunks.

    Parameters
    ----------
    chunks : int, str, tuple, list or dict
        An int is the length of all blocks but the last of an axis; a tuple of ints gives the
        lengths of one axis; -1 or None takes the whole axis; "auto" chooses lengths so that a
        block has about `limit` bytes, and a text such as "64 MiB" sets that limit. A tuple gives
        one of these for each axis, a dictionary for some axes.
    shape : tuple of int, optional
        Elements along each axis; it may be left out if `chunks` spells out everything.
    limit : int or str, optional
        Bytes of a block for "auto"; by default the setting ``array.chunk-size``.
    dtype : numpy.dtype, optional
        The type of the elements, for "auto".
    previous_chunks : tuple of tuples of int, optional
        Chunks that there are, whose boundaries "auto" keeps where it can.

    Returns
    -------
    tuple of tuples of int

    Examples
    --------
    >>> normalize_chunks(4, shape=(10, 3))
    ((4, 4, 2), (3,))
    >>> normalize_chunks({0: 5}, shape=(10, 3))
    ((5, 5), (3,))
    """
    if chunks is None:
        raise ValueError(
            "chunks: None says nothing; give the length of blocks, a tuple of them, or 'auto'"
        )
    dtype = None if dtype is None else np.dtype(dtype)
    if isinstance(chunks, np.ndarray):
        chunks = chunks.tolist()
    if isinstance(chunks, list):
        chunks = tuple(chunks)
    if isinstance(chunks, Mapping):
        if shape is None:
            raise ValueError("chunks: a dictionary of axes needs a shape")
        chunks = _chunks_by_axis(chunks, len(shape))
    if isinstance(chunks, Number | str):
        if shape is None:
            raise ValueError(f"chunks={chunks!r} needs a shape")
        chunks = (chunks,) * len(shape)
    if not isinstance(chunks, tuple):
        raise TypeError(
            f"chunks: an int, text, tuple or dictionary is needed, not {chunks!r} of type "
            f"{type(chunks).__name__}"
        )
    if (
        shape is not None
        and len(shape) == 1
        and len(chunks) != 1
        and all(isinstance(one, Integral) for one in chunks)
        and chunks
    ):
        # The lengths of the only axis.
        chunks = (chunks,)
    if shape is None:
        shape = tuple(sum(one) if isinstance(one, tuple | list) else None for one in chunks)
        if None in shape:
            raise ValueError(f"chunks={chunks!r} needs a shape")
    if len(chunks) != len(shape):
        raise ValueError(
            f"chunks: {len(chunks)} axes are described for an array of {len(shape)}: "
            f"chunks={chunks!r}, shape={shape!r}"
        )
    limits = [parse_bytes(one) for one in chunks if isinstance(one, str) and one != "auto"]
    if limits:
        if len(set(limits)) > 1 or limit is not None:
            raise ValueError(f"chunks={chunks!r}: give one limit of bytes")
        limit = limits[0]
        chunks = tuple("auto" if isinstance(one, str) else one for one in chunks)
    chunks = tuple(_of_axis(one, length) for one, length in zip(chunks, shape, strict=True))
    if "auto" in chunks:
        chunks = _automatic(chunks, shape, limit, dtype, previous_chunks)
    for lengths, length in zip(chunks, shape, strict=True):
        if sum(lengths) != length and not is_unknown(lengths) and length == length:
            raise ValueError(
                f"chunks: {lengths} add up to {sum(lengths)} and not to the {length} elements of "
                f"the axis: chunks={chunks!r}, shape={shape!r}"
            )
    spelled: Chunks = chunks
    return spelled


def _chunks_by_axis(chunks: Mapping[Any, Any], ndim: int) -> tuple[Any, ...]:
    spelled: list[Any] = [-1] * ndim
    for axis, one in chunks.items():
        if not isinstance(axis, Integral) or not -ndim <= int(axis) < ndim:
            raise ValueError(f"chunks: there is no axis {axis!r} in an array of {ndim} axes")
        spelled[int(axis)] = -1 if one is None else one
    return tuple(spelled)


def _of_axis(one: Any, length: Any) -> Any:
    """Return the lengths of the blocks of one axis; "auto" stays."""
    if isinstance(one, str):
        return one
    if isinstance(one, tuple | list):
        lengths = tuple(int(part) if part == part else math.nan for part in one)
        if not lengths:
            raise ValueError("chunks: an axis has at least one block, of length 0 if it is empty")
        if any(part < 0 for part in lengths):
            raise ValueError(f"chunks: lengths of blocks are not negative: {lengths}")
        return lengths
    if one is None or one == -1:
        return (length,)
    if one != one:
        return (one,) if length != length else (math.nan,)
    if length != length:
        raise ValueError(
            f"chunks={one!r}: the length of the axis is not known, so it cannot be cut; call "
            "compute_chunk_sizes() first, or take -1"
        )
    size = int(one)
    if size != one or size < 0 or (size == 0 and length):
        raise ValueError(
            f"chunks: {one!r} is no length of blocks for an axis of {length} elements; take a "
            "positive int, -1 for the whole axis, or 'auto'"
        )
    if not length:
        return (0,)
    whole, rest = divmod(length, size)
    return (size,) * whole + ((rest,) if rest else ())


def _automatic(
    chunks: tuple[Any, ...],
    shape: tuple[Any, ...],
    limit: int | str | None,
    dtype: np.dtype[Any] | None,
    previous: Any,
) -> Chunks:
    """Choose lengths for the axes that are "auto", so that a block keeps to a limit of bytes."""
    if dtype is None:
        raise TypeError("chunks='auto' needs the dtype of the elements; give chunks in elements")
    if dtype.hasobject:
        raise NotImplementedError(
            f"chunks='auto': elements of dtype {dtype} have no size; give chunks in elements"
        )
    automatic = [axis for axis, one in enumerate(chunks) if isinstance(one, str)]
    if any(shape[axis] != shape[axis] for axis in automatic):
        raise ValueError(
            f"chunks='auto': the shape {shape} is not known; call compute_chunk_sizes() first"
        )
    limit = parse_bytes(config.get("array.chunk-size") if limit is None else limit)
    fixed = math.prod(max(one) for one in chunks if not isinstance(one, str))
    elements = limit / max(1, dtype.itemsize) / max(1, fixed)
    lengths: dict[int, tuple[Any, ...]] = {}
    while automatic:
        share = elements ** (1 / len(automatic))
        short = [axis for axis in automatic if shape[axis] <= share]
        if not short:
            for axis in automatic:
                size = max(1, int(share))
                if previous is not None:
                    size = _on_boundaries(size, previous[axis])
                lengths[axis] = _of_axis(size, shape[axis])
            break
        for axis in short:
            lengths[axis] = (shape[axis],)
            elements /= max(1, shape[axis])
            automatic.remove(axis)
    return tuple(lengths.get(axis, one) for axis, one in enumerate(chunks))


def _on_boundaries(size: int, previous: tuple[Any, ...]) -> int:
    """Return the largest length up to `size` that joins whole blocks, if they are all alike."""
    first = previous[0]
    alike = all(one == first for one in previous[:-1]) and previous[-1] <= first
    if alike and 0 < first <= size:
        return int(size // first * first)
    return size


def shape_of(chunks: Chunks) -> tuple[Any, ...]:
    """Return the elements along each axis."""
    return tuple(sum(lengths) for lengths in chunks)


def starts_of(lengths: Sequence[int]) -> list[int]:
    """Return where each block of an axis begins, and where the last ends."""
    return [0, *accumulate(lengths)]


def block_at(starts: Sequence[int], place: int) -> int:
    """Return the block that holds an element."""
    return bisect_right(starts, place) - 1


def common_lengths(every: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return lengths of blocks whose boundaries are all the boundaries of some."""
    first = every[0]
    if all(lengths is first or lengths == first for lengths in every[1:]):
        return first
    if any(is_unknown(lengths) for lengths in every):
        if len({len(lengths) for lengths in every}) == 1:
            return next(lengths for lengths in every if is_unknown(lengths))
        raise ValueError(
            "arrays whose lengths are not known are cut differently along an axis, into "
            f"{' and '.join(str(len(lengths)) for lengths in every)} blocks; call "
            "compute_chunk_sizes() first"
        )
    boundaries = sorted(set().union(*(accumulate(lengths) for lengths in every)))
    cuts = [0, *(place for place in boundaries if place > 0)]
    return tuple(end - begin for begin, end in pairwise(cuts)) or (0,)


def broadcast_lengths(every: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return how an axis of a result is cut, to which axes of some arrays are broadcast.

    An axis of length one is repeated, and may have empty blocks beside its only one.
    """
    long = [lengths for lengths in every if sum(lengths) != 1]
    if long:
        return common_lengths(long)
    return every[0] if all(lengths == every[0] for lengths in every[1:]) else (1,)


def lengths_for(own: tuple[Any, ...], result: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return how an axis must be cut, so that its blocks fit those of an axis of a result."""
    if own == (1,) or (sum(own) == 1 and sum(result) != 1):
        return (1,)
    return result


def check_block_size(chunks: Chunks, dtype: Any) -> None:
    """Refuse blocks that do not fit into this machine's memory; warn of very many tiny ones."""
    itemsize = np.dtype(dtype).itemsize
    _warn_of_tiny_blocks(chunks, dtype, itemsize)
    known = [max(lengths) for lengths in chunks if not is_unknown(lengths)]
    nbytes = math.prod(known) * itemsize
    if nbytes < 2**30:
        return
    from oxidask._core import memory_size

    limit = memory_size()
    if nbytes > limit:
        raise MemoryError(
            f"one block would take {format_bytes(nbytes)}, and this machine has "
            f"{format_bytes(limit)}: take smaller chunks than "
            f"{tuple(max(lengths) for lengths in chunks)}"
        )


#: More blocks than this are worth a warning if they are smaller than this, on average.
_MANY, _TINY = 10**5, 2**20


class PerformanceWarning(Warning):
    """What is asked for works, and takes far longer than it need."""


def _warn_of_tiny_blocks(chunks: Chunks, dtype: Any, itemsize: int) -> None:
    count = math.prod(map(len, chunks))
    if count <= _MANY or any(map(is_unknown, chunks)):
        return
    shape = shape_of(chunks)
    nbytes = math.prod(shape) * itemsize
    if nbytes / count >= _TINY or not itemsize:
        return
    better = tuple(lengths[0] for lengths in normalize_chunks("auto", shape, dtype=dtype))
    warnings.warn(
        f"{count:,} chunks of {format_bytes(nbytes // count)} each: the work with each of them "
        f"will take longer than its computation; chunks={better} would be better",
        PerformanceWarning,
        stacklevel=_depth_of_user(),
    )


def _depth_of_user() -> int:
    """Return how many calls up the user's code is, for a warning of the caller."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("oxidask."):
        depth, frame = depth + 1, frame.f_back
    return depth


def check_result_fits(nbytes: int, shape: tuple[int, ...]) -> None:
    """Refuse to compute what is larger than the memory that is free on this machine."""
    if nbytes < 2**28:
        return
    from oxidask._core import memory_size

    free = memory_size()
    with contextlib.suppress(OSError), open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                free = min(free, int(line.split()[1]) * 1024)
    if nbytes > free:
        raise MemoryError(
            f"the result, of shape {shape}, would take {format_bytes(nbytes)}, and "
            f"{format_bytes(free)} of memory are free: reduce it first, compute parts of it, or "
            "write it by to_zarr or store"
        )
