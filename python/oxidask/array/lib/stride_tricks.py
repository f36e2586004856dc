"""Windows that move over an array."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np

from oxidask._core import Layer
from oxidask.array import _kernels_overlap
from oxidask.array._chunks import is_unknown, starts_of
from oxidask.array._expressions import AxisMap, Expression, along, empty_like, read
from oxidask.array.core import Array, _array, asarray
from oxidask.array.overlap import _plan
from oxidask.tokenize import tokenize

__all__ = ["sliding_window_view"]


class Windows(Expression):
    """All windows of an array, by the block in which they begin."""

    __slots__ = ("axes", "reaches", "window")

    def __init__(self, operand: Expression, window: tuple[int, ...], axes: tuple[int, ...]) -> None:
        #: How far windows reach beyond where they begin, for each axis that has some.
        self.reaches: dict[int, int] = {}
        for axis, length in zip(axes, window, strict=True):
            self.reaches[axis] = self.reaches.get(axis, 0) + length - 1
        chunks = list(operand.chunks)
        for axis, reach in self.reaches.items():
            left = sum(chunks[axis]) - reach
            new = []
            for length in chunks[axis]:
                new.append(min(length, left))
                left -= new[-1]
            chunks[axis] = tuple(length for length in new if length)
        chunks.extend((length,) for length in window)
        name = f"sliding_window_view-{tokenize(operand.name, window, axes)}"
        meta = empty_like(operand.meta, len(chunks))
        super().__init__(name, tuple(chunks), meta, [operand])
        self.window, self.axes = window, axes

    def _lower(self) -> Layer:
        (operand,) = self.operands
        maps: list[AxisMap] = []
        counts: list[Any] = []
        plans: list[Any] = []
        for axis, lengths in enumerate(operand.chunks):
            if axis not in self.reaches:
                maps.append(axis)
                counts.append(1)
                plans.append(_kernels_overlap.AS_IT_IS)
                continue
            starts = starts_of(lengths)
            both = [
                _plan(starts, begin, end + self.reaches[axis], "none")
                for begin, end in pairwise(starts_of(self.chunks[axis]))
            ]
            maps.append((axis, [blocks for blocks, _ in both]))
            counts.append(along(axis, [len(blocks) for blocks, _ in both]))
            plans.append(along(axis, [plan for _, plan in both]))
        parts = read(operand, maps, many=True)
        return self._call(
            _kernels_overlap.windows, parts, tuple(counts), self.window, self.axes, *plans
        )


def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, automatic_rechunk: bool = True
) -> Array:
    """Return all windows of a shape that lie in an array.

    Parameters
    ----------
    x : Array
        The array.
    window_shape : int or tuple of int
        The shape of a window, for the axes that it moves along.
    axis : int or tuple of int, optional
        These axes; by default all.
    automatic_rechunk : bool, default True
        Taken for compatibility: windows are views of a block, which take no memory of their own.

    Returns
    -------
    Array
        The first axes say where a window begins, the last ones are those of the window.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.lib.stride_tricks.sliding_window_view(da.arange(5, chunks=2), 3).compute()
    array([[0, 1, 2],
           [1, 2, 3],
           [2, 3, 4]])
    """
    x = asarray(x)
    window = tuple(window_shape) if isinstance(window_shape, tuple | list) else (window_shape,)
    if axis is None:
        axes = tuple(range(x.ndim))
    else:
        axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if len(axes) != len(window):
        raise ValueError(
            f"sliding_window_view: window_shape={window} has {len(window)} axes, and the window "
            f"moves along {len(axes)}: axis={axis}"
        )
    for one in (*window, *axes):
        if not isinstance(one, Integral):
            raise TypeError(f"sliding_window_view: {one!r} is no int")
    for one in axes:
        if not -x.ndim <= one < x.ndim:
            raise np.exceptions.AxisError(int(one), x.ndim)
    axes = tuple(int(one) % x.ndim for one in axes)
    window = tuple(map(int, window))
    if any(length < 1 for length in window):
        raise ValueError(f"sliding_window_view: a window has at least one element, not {window}")
    for one in set(axes):
        if is_unknown(x.chunks[one]):
            raise ValueError(
                f"sliding_window_view: the length of axis {one} is not known; call "
                "compute_chunk_sizes() first"
            )
        reach = sum(length - 1 for length, own in zip(window, axes, strict=True) if own == one)
        if reach >= x.shape[one]:
            raise ValueError(
                f"sliding_window_view: a window of {reach + 1} elements is longer than axis {one} "
                f"of {x.shape[one]}"
            )
    return _array(Windows(x._expr, window, axes))
