"""What tasks of `map_overlap` and of windows run."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

#: What is done along an axis without a halo.
AS_IT_IS = (None, ((0, slice(None), slice(None)),), ())


def assemble(parts: list[Any], counts: tuple[int, ...], *plans: Any) -> Any:
    """Put a block together from pieces of others, which stand row by row.

    For each axis comes how many blocks there are along it, and a plan: the length of the result
    (None: that of the block), its pieces (which block, of where, to where), and places with a
    value; the last axis has the last word in the corners.
    """
    first = parts[0]
    shape = tuple(
        first.shape[axis] if length is None else length for axis, (length, _, _) in enumerate(plans)
    )
    block = np.empty_like(first, shape=shape)
    for pieces in product(*(pieces for _, pieces, _ in plans)):
        place = 0
        for count, (which, _, _) in zip(counts, pieces, strict=True):
            place = place * count + which
        block[tuple(to for _, _, to in pieces)] = parts[place][tuple(of for _, of, _ in pieces)]
    for axis, (_, _, fills) in enumerate(plans):
        for to, value in fills:
            block[(slice(None),) * axis + (to,)] = value
    return block


def windows(
    parts: list[Any],
    counts: tuple[int, ...],
    window: tuple[int, ...],
    axes: tuple[int, ...],
    *plans: Any,
) -> Any:
    """Return all windows that begin in a block, as a view of it and what follows."""
    if len(parts) == 1 and all(len(pieces) == 1 for _, pieces, _ in plans):
        block = parts[0][tuple(pieces[0][1] for _, pieces, _ in plans)]
    else:
        block = assemble(parts, counts, *plans)
    return np.lib.stride_tricks.sliding_window_view(block, window, axes)
