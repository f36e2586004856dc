"""Picking whole blocks by their places in the grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from oxidask._core import Layer
from oxidask.array._expressions import AxisMap, Expression, read
from oxidask.array._slicing import normalize_index
from oxidask.array.core import Array, _array
from oxidask.tokenize import tokenize


class Picked(Expression):
    """Some blocks of an array."""

    __slots__ = ("picked",)

    def __init__(self, operand: Expression, picked: list[list[int]]) -> None:
        chunks = tuple(
            tuple(lengths[block] for block in blocks)
            for lengths, blocks in zip(operand.chunks, picked, strict=True)
        )
        name = f"blocks-{tokenize(operand.name, picked)}"
        super().__init__(name, chunks, operand.meta, [operand])
        self.picked = picked

    def _lower(self) -> Layer:
        (operand,) = self.operands
        maps: list[AxisMap] = [(axis, blocks) for axis, blocks in enumerate(self.picked)]
        return self._call(None, read(operand, maps))


def blocks(array: Array, index: Any) -> Array:
    """Return blocks of an array by an index of the grid; axes stay."""
    entries = normalize_index(index, array.numblocks)
    if any(one is None for one in entries):
        raise ValueError("blocks: new axes cannot be made by an index of blocks")
    arrays = [one for one in entries if isinstance(one, np.ndarray)]
    if len(arrays) > 1:
        raise ValueError("blocks: one axis can be picked by a list of blocks")
    picked = []
    for one, count in zip(entries, array.numblocks, strict=True):
        if isinstance(one, slice):
            picked.append(list(range(count))[one])
        elif isinstance(one, np.ndarray):
            picked.append([int(block) for block in np.arange(count)[one]])
        else:
            picked.append([one])
    if not all(picked):
        raise ValueError(f"blocks: no block is picked by {index!r}")
    return _array(Picked(array._expr, picked))
