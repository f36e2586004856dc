"""What tasks run that pick elements by a mask of all axes."""

from __future__ import annotations

from itertools import accumulate, pairwise, product
from typing import Any

import numpy as np

from oxidask.array._kernels import AT_ONCE, LARGE, concatenate_grid


def pick_by_mask(block: Any, mask: Any) -> Any:
    """Return the elements where a mask of the same shape is true, row by row."""
    is_plain = type(block) is np.ndarray and type(mask) is np.ndarray
    if not (is_plain and block.flags.c_contiguous and mask.flags.c_contiguous):
        return block[mask]
    if block.size < LARGE or block.shape != mask.shape:
        return block[mask]
    # Half the time of an index, and no places of elements but for a part at a time.
    block, mask = block.reshape(-1), mask.reshape(-1)
    picked = np.empty(np.count_nonzero(mask), block.dtype)
    end = 0
    for begin in range(0, len(block), AT_ONCE):
        part = block[begin : begin + AT_ONCE].compress(mask[begin : begin + AT_ONCE])
        picked[end : end + len(part)] = part
        end += len(part)
    return picked


def pick_with_counts(block: Any, mask: Any) -> tuple[Any, Any]:
    """Return the elements where a mask is true, and how many there are along the last axis."""
    return pick_by_mask(block, mask), np.count_nonzero(mask, axis=-1)


def in_rows(parts: list[tuple[Any, Any]], grid: tuple[int, ...]) -> Any:
    """Return what was picked in the blocks of a grid, row by row of the whole."""
    counts = concatenate_grid([of_part[..., None] for _, of_part in parts], grid)
    begins = (np.cumsum(counts) - counts.ravel()).reshape(counts.shape)
    first = parts[0][0]
    picked = np.empty_like(first, shape=sum(len(part) for part, _ in parts))
    for (part, of_part), place in zip(parts, _places(parts, grid), strict=True):
        # Runs of elements stay together, and lie somewhere else.
        shift = begins[place].ravel() - (np.cumsum(of_part) - of_part.ravel())
        picked[np.repeat(shift, of_part.ravel()) + np.arange(len(part))] = part
    return picked


def _places(parts: list[tuple[Any, Any]], grid: tuple[int, ...]) -> Any:
    """Go through where the counts of each part stand in those of the whole."""
    steps = [int(np.prod(grid[axis + 1 :])) for axis in range(len(grid))]
    cuts: list[list[Any]] = []
    for axis, (count, step) in enumerate(zip(grid[:-1], steps, strict=False)):
        lengths = (parts[place * step][1].shape[axis] for place in range(count))
        cuts.append([slice(*ends) for ends in pairwise(accumulate(lengths, initial=0))])
    return product(*cuts, range(grid[-1]))
