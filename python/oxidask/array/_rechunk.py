"""Other chunks: which pieces of which blocks make each new block."""

from __future__ import annotations

from oxidask._core import Layer
from oxidask.array import _kernels
from oxidask.array._chunks import Chunks, block_at, is_unknown, starts_of
from oxidask.array._expressions import AxisMap, Expression, along, read
from oxidask.tokenize import tokenize


class Rechunk(Expression):
    """The same array in other chunks."""

    __slots__ = ()

    def __init__(self, operand: Expression, chunks: Chunks) -> None:
        name = f"rechunk-{tokenize(operand.name, chunks)}"
        super().__init__(name, chunks, operand.meta, [operand])

    def _lower(self) -> Layer:
        (operand,) = self.operands
        maps: list[AxisMap] = []
        slices: list[list[slice]] = []
        pieces: list[list[tuple[int | None, _kernels.Pieces]]] = []
        for axis, (old, new) in enumerate(zip(operand.chunks, self.chunks, strict=True)):
            if old == new:
                maps.append(axis)
                slices.append([slice(None)] * len(new))
                # Lengths that are not known stay: whole blocks are copied.
                pieces.append([(None, ((slice(None), slice(None)),))] * len(new))
                continue
            blocks, of_axis = pieces_along(old, new)
            maps.append((axis, blocks))
            slices.append([of for ((of, _), *_) in of_axis])
            pieces.append(list(zip(new, of_axis, strict=True)))
        if all(len(of_axis) == 1 for axis in pieces for _, of_axis in axis):
            # Each new block lies in one old block.
            index = tuple(along(axis, one) for axis, one in enumerate(slices))
            single: list[AxisMap] = [
                (one[0], [block for (block,) in one[1]]) if isinstance(one, tuple) else one
                for one in maps
            ]
            return self._call(_kernels.pick, read(operand, single), index)
        lists = [along(axis, one) for axis, one in enumerate(pieces)]
        return self._call(_kernels.assemble, read(operand, maps, many=True), *lists)


def pieces_along(
    old: tuple[int, ...], new: tuple[int, ...]
) -> tuple[list[list[int]], list[_kernels.Pieces]]:
    """Return, for each new block, the old blocks that it reads and the pieces of them."""
    starts = starts_of(old)
    blocks: list[list[int]] = []
    pieces: list[_kernels.Pieces] = []
    begin = 0
    for length in new:
        end = begin + length
        block = block_at(starts, begin) if length else min(block_at(starts, begin), len(old) - 1)
        of_new: list[int] = []
        cut: list[tuple[slice, slice]] = []
        place = begin
        while True:
            low, high = starts[block], starts[block + 1]
            upto = min(end, high)
            of_new.append(block)
            cut.append((slice(place - low, upto - low), slice(place - begin, upto - begin)))
            place = upto
            block += 1
            if place >= end:
                break
            while starts[block] == starts[block + 1]:
                block += 1
        blocks.append(of_new)
        pieces.append(tuple(cut))
        begin = end
    return blocks, pieces


def rechunk(operand: Expression, chunks: Chunks) -> Expression:
    """Return an expression in other chunks, or the same one if they are its own.

    Lengths that are not known stay as they are.
    """
    if any(map(is_unknown, operand.chunks)):
        chunks = tuple(
            own if is_unknown(own) else wanted
            for own, wanted in zip(operand.chunks, chunks, strict=True)
        )
    if operand.chunks == chunks:
        return operand
    if isinstance(operand, Rechunk):
        (operand,) = operand.operands
        if operand.chunks == chunks:
            return operand
    return Rechunk(operand, chunks)
