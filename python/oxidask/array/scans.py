"""Running totals and their kin: each element depends on all before it along an axis.

What a block needs of those before it is small: their totals. Groups of totals are added up to
totals of groups, up to a top; from there down, each node learns what stands before it. So the way
from the first block to the last is as long as the tree is high.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from oxidask._core import Layer, read_blocks
from oxidask.array import _kernels, _kernels_scans
from oxidask.array._expressions import AxisMap, Expression, empty_like, read
from oxidask.array.core import Array, _array, asarray, handle_out
from oxidask.tokenize import tokenize

__all__ = ["cumprod", "cumsum", "nancumprod", "nancumsum", "push"]

#: How many nodes make a group: a block adds up half as many totals, and the tree is the lower.
GROUP = 8

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Scan(Expression):
    """A function of blocks and of what stands before them along an axis.

    `total` is called with a block and makes a state, `merge` with a list of states that follow each
    other, and `finish` with a block and the states before it, of which there may be none.
    """

    __slots__ = ("axis", "finish", "merge", "total")

    def __init__(
        self,
        label: str,
        operand: Expression,
        axis: int,
        meta: Any,
        total: Call,
        merge: Call,
        finish: Call,
    ) -> None:
        parts = [operand.name, axis, total, merge, finish, meta.dtype]
        super().__init__(f"{label}-{tokenize(*parts)}", operand.chunks, meta, [operand])
        self.axis, self.total, self.merge, self.finish = axis, total, merge, finish

    def _lower(self) -> Layer:
        (operand,) = self.operands
        block = read(operand, range(self.ndim))
        count = self.grid[self.axis]
        if count == 1:
            return self._called(self.finish, self.name, count, block, [])
        totals = [self._called(self.total, f"{self.label}-total-0-{self.name}", count, block)]
        counts = [count]
        while counts[-1] > GROUP:
            rows = [
                list(range(begin, min(begin + GROUP, counts[-1])))
                for begin in range(0, counts[-1], GROUP)
            ]
            counts.append(len(rows))
            name = f"{self.label}-total-{len(totals)}-{self.name}"
            parts = self._read_rows(totals[-1], rows)
            totals.append(self._called(self.merge, name, counts[-1], parts))
        before: Layer | None = None
        for level in range(len(totals) - 1, 0, -1):
            name = f"{self.label}-before-{level}-{self.name}"
            states = self._states_before(before, totals[level], counts[level])
            before = self._called(self.merge, name, counts[level], states)
        states = self._states_before(before, totals[0], count)
        return self._called(self.finish, self.name, count, block, states)

    def _states_before(self, before: Layer | None, totals: Layer, count: int) -> Any:
        """Return what stands for all that is before each node: before its group, and in it."""
        rows = [list(range(place - place % GROUP, place)) for place in range(count)]
        inside = self._read_rows(totals, rows)
        if before is None:
            return inside
        outside = [[place // GROUP] if place >= GROUP else [] for place in range(count)]
        return [self._read_rows(before, outside), inside]

    def _read_rows(self, layer: Layer, rows: list[list[int]]) -> Any:
        maps: list[AxisMap] = list(range(self.ndim))
        maps[self.axis] = (self.axis, rows)
        return read_blocks(layer, maps, True)

    def _called(self, call: Call, name: str, count: int, *values: Any) -> Layer:
        function, args = call
        grid = (*self.grid[: self.axis], count, *self.grid[self.axis + 1 :])
        return self._call(function, *values, *args, grid=grid, name=name)


def _axis(axis: Any, ndim: int, where: str) -> int:
    if not isinstance(axis, int | np.integer):
        raise TypeError(f"{where}: axis is an int, not {axis!r}")
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(int(axis), ndim)
    return int(axis) % ndim


def _cumulative(
    name: str,
    binary: np.ufunc,
    x: Any,
    axis: Any,
    dtype: Any,
    out: Any,
    method: str,
) -> Array:
    if method not in ("sequential", "blelloch"):
        raise ValueError(f"{name}: method is 'sequential' or 'blelloch', not {method!r}")
    x = asarray(x)
    if axis is None:
        x, axis = x if x.ndim == 1 else x.ravel(), 0
    axis = _axis(axis, x.ndim, name)
    of_block = getattr(np, name)
    options = {} if dtype is None else {"dtype": np.dtype(dtype)}
    found = of_block(np.ones((1,), x.dtype), **options)
    reduce = getattr(np, name.replace("cum", ""))
    scan = Scan(
        name,
        x._expr,
        axis,
        empty_like(x._meta, x.ndim, found.dtype),
        (_kernels.reduce_block, (reduce, (axis,), options)),
        (_kernels_scans.merge, (binary,)),
        (_kernels_scans.cumulate, (of_block, binary, axis, options)),
    )
    return handle_out(out, _array(scan))


def cumsum(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, method: str = "sequential"
) -> Array:
    """Return running totals along an axis.

    Parameters
    ----------
    x : Array
        The array.
    axis : int, optional
        The axis; by default the array is flattened.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    out : Array, optional
        What stands for the result from now on.
    method : {"sequential", "blelloch"}, default "sequential"
        Taken for compatibility: totals of blocks go up and down a tree with either.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.arange(5, chunks=2).cumsum(axis=0).compute()
    array([ 0,  1,  3,  6, 10])
    """
    return _cumulative("cumsum", np.add, x, axis, dtype, out, method)


def cumprod(
    x: Any, axis: Any = None, dtype: Any = None, out: Any = None, method: str = "sequential"
) -> Array:
    """Return running products along an axis.

    Parameters
    ----------
    x : Array
        The array.
    axis : int, optional
        The axis; by default the array is flattened.
    dtype : numpy.dtype, optional
        The type in which is multiplied, and of the result.
    out : Array, optional
        What stands for the result from now on.
    method : {"sequential", "blelloch"}, default "sequential"
        Taken for compatibility: products of blocks go up and down a tree with either.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.arange(1, 6, chunks=2).cumprod(axis=0).compute()
    array([  1,   2,   6,  24, 120])
    """
    return _cumulative("cumprod", np.multiply, x, axis, dtype, out, method)


def nancumsum(
    x: Any, axis: Any, dtype: Any = None, out: Any = None, *, method: str = "sequential"
) -> Array:
    """Return running totals along an axis, for which NaN counts as zero.

    Parameters
    ----------
    x : Array
        The array.
    axis : int or None
        The axis; None flattens the array.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    out : Array, optional
        What stands for the result from now on.
    method : {"sequential", "blelloch"}, default "sequential"
        Taken for compatibility: totals of blocks go up and down a tree with either.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.nancumsum(da.asarray([1.0, float("nan"), 2.0]), axis=0).compute()
    array([1., 1., 3.])
    """
    return _cumulative("nancumsum", np.add, x, axis, dtype, out, method)


def nancumprod(
    x: Any, axis: Any, dtype: Any = None, out: Any = None, *, method: str = "sequential"
) -> Array:
    """Return running products along an axis, for which NaN counts as one.

    Parameters
    ----------
    x : Array
        The array.
    axis : int or None
        The axis; None flattens the array.
    dtype : numpy.dtype, optional
        The type in which is multiplied, and of the result.
    out : Array, optional
        What stands for the result from now on.
    method : {"sequential", "blelloch"}, default "sequential"
        Taken for compatibility: products of blocks go up and down a tree with either.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.nancumprod(da.asarray([2.0, float("nan"), 3.0]), axis=0).compute()
    array([2., 2., 6.])
    """
    return _cumulative("nancumprod", np.multiply, x, axis, dtype, out, method)


def push(array: Any, n: int | None, axis: int) -> Array:
    """Fill NaN with the last element before it along an axis that is not NaN.

    Parameters
    ----------
    array : Array
        The array.
    n : int or None
        How many NaN behind each other are filled at most; None fills all that have an element
        before them.
    axis : int
        The axis.

    Returns
    -------
    Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> x = da.from_array(np.array([np.nan, 1, np.nan, np.nan]), chunks=2)
    >>> da.push(x, 1, axis=0).compute()
    array([nan,  1.,  1., nan])
    """
    x = asarray(array)
    axis = _axis(axis, x.ndim, "push")
    if n is not None and (not isinstance(n, int | np.integer) or n < 0):
        raise ValueError(f"push: n is None or a count of 0 or more, not {n!r}")
    if x.dtype.kind not in "fc":
        # Elements of other types are never NaN.
        return x
    scan = Scan(
        "push",
        x._expr,
        axis,
        x._meta,
        (_kernels_scans.last_valid, (axis,)),
        (_kernels_scans.merge_last_valid, ()),
        (_kernels_scans.fill_forward, (axis, n)),
    )
    return _array(scan)
