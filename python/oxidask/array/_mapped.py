"""Layers said by tables: which blocks a call reads, and which values it is given besides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from oxidask._core import Layer
from oxidask.array._chunks import Chunks
from oxidask.array._expressions import AxisMap, Expression, read
from oxidask.tokenize import tokenize


class Reading(NamedTuple):
    """Blocks of an expression that a call is given: one, or a list of many, row by row."""

    operand: Expression
    maps: Sequence[AxisMap]
    many: bool = False


class Mapped(Expression):
    """A function of blocks that tables pick, and of values.

    Arguments are `Reading`, values, and what `along` returns. `token` says what the call is beside
    its function and operands. If the blocks of the calls stand in another grid than the calls do,
    `grid` is that of the calls: they are as many, in the same order, and each needs an object.
    """

    __slots__ = ("args", "calls", "function")

    def __init__(
        self,
        label: str,
        token: Any,
        function: Callable[..., Any],
        args: Sequence[Any],
        chunks: Chunks,
        meta: Any,
        grid: tuple[int, ...] | None = None,
    ) -> None:
        operands = [one.operand for one in args if isinstance(one, Reading)]
        name = f"{label}-{tokenize(function, token, [one.name for one in operands], meta.dtype)}"
        super().__init__(name, chunks, meta, operands)
        self.function, self.args, self.calls = function, tuple(args), grid

    def _lower(self) -> Layer:
        values = [read(*one) if isinstance(one, Reading) else one for one in self.args]
        if self.calls is None or self.calls == self.grid:
            return self._call(self.function, *values)
        calls = self._call(
            self.function, *values, grid=self.calls, name=f"{self.label}-call-{self.name}"
        )
        return Layer.given(self.name, self.label, self.grid, calls.all_blocks(), self.origin)
