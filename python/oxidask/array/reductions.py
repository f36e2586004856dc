"""Reductions: block by block, then by a tree of groups of blocks."""

# The names of this module are those of NumPy, which are those of builtins, too.
from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import numpy as np

from oxidask import config
from oxidask._core import Layer, read_blocks
from oxidask.array import _kernels
from oxidask.array._chunks import is_unknown, starts_of
from oxidask.array._expressions import AxisMap, Expression, along, empty_like, read, size_of
from oxidask.array._slicing import MaskedAll
from oxidask.array.core import Array, _array, asarray, handle_out
from oxidask.tokenize import tokenize

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "max",
    "mean",
    "min",
    "moment",
    "nanargmax",
    "nanargmin",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
    "prod",
    "ptp",
    "reduction",
    "std",
    "sum",
    "var",
]

#: Blocks of a group, where nobody says how many.
SPLIT_EVERY = 16

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Reduction(Expression):
    """A tree of groups of blocks.

    `chunk` is called with a block and its arguments, `combine` and `aggregate` with a list of what
    the calls before returned. They keep the axes with length one; `aggregate` drops them if it is
    told so.
    """

    __slots__ = ("aggregate", "axes", "chunk", "combine", "keepdims", "split", "with_counts")

    def __init__(
        self,
        label: str,
        operand: Expression,
        axes: tuple[int, ...],
        keepdims: bool,
        meta: Any,
        split: dict[int, int],
        chunk: Call,
        combine: Call,
        aggregate: Call,
        output_size: Any = 1,
        with_counts: bool = False,
    ) -> None:
        chunks = tuple(
            (output_size,) if axis in axes else lengths
            for axis, lengths in enumerate(operand.chunks)
            if keepdims or axis not in axes
        )
        parts = [operand.name, axes, keepdims, split, chunk, combine, aggregate, meta.dtype]
        super().__init__(f"{label}-{tokenize(*parts)}", chunks, meta, [operand])
        self.axes, self.keepdims, self.split = axes, keepdims, split
        self.chunk, self.combine, self.aggregate = chunk, combine, aggregate
        self.with_counts = with_counts

    def _lower(self) -> Layer:
        (operand,) = self.operands
        function, args = self.chunk
        grid = list(operand.grid)
        starts = (
            tuple(
                along(axis, starts_of(lengths)[:-1]) if not is_unknown(lengths) else 0
                for axis, lengths in enumerate(operand.chunks)
            )
            if args and args[-1] is STARTS
            else ()
        )
        args = (*args[:-1], starts, operand.shape) if args and args[-1] is STARTS else args
        level = self._call(
            function,
            read(operand, range(operand.ndim)),
            *args,
            grid=tuple(grid),
            name=f"{self.label}-chunk-{self.name}",
        )
        depth = 0
        while builtins.any(grid[axis] > self.split[axis] for axis in self.axes):
            level, grid = self._level(level, grid, depth)
            depth += 1
        function, args = self.aggregate
        maps: list[AxisMap] = []
        new = 0
        for axis, count in enumerate(grid):
            if axis in self.axes:
                maps.append((None, [list(range(count))]))
                new += self.keepdims
            else:
                maps.append(new)
                new += 1
        counts = tuple(count if axis in self.axes else 1 for axis, count in enumerate(grid))
        before = (counts,) if self.with_counts else ()
        return self._call(function, read_blocks(level, maps, True), *before, *args)

    def _level(self, level: Layer, grid: list[int], depth: int) -> tuple[Layer, list[int]]:
        """Return a layer of groups of another one, and its grid."""
        function, args = self.combine
        maps: list[AxisMap] = []
        new = []
        counts: list[Any] = []
        for axis, count in enumerate(grid):
            size = self.split[axis] if axis in self.axes else 1
            if size == 1:
                maps.append(axis)
                new.append(count)
                counts.append(1)
                continue
            rows = [list(range(i, builtins.min(i + size, count))) for i in range(0, count, size)]
            maps.append((axis, rows))
            new.append(len(rows))
            counts.append(along(axis, [len(row) for row in rows]))
        before = (tuple(counts),) if self.with_counts else ()
        layer = Layer(
            f"{self.label}-combine-{depth}-{self.name}",
            f"{self.label}-combine",
            tuple(new),
            function,
            (read_blocks(level, maps, True), *before, *args),
            {},
            origin=self.origin,
        )
        return layer, new


#: In the arguments of a call for a block: where the block begins, and the shape of the array.
STARTS = "starts and shape"


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    result = []
    for one in axes:
        if not isinstance(one, Integral):
            raise TypeError(f"axis: an int or a tuple of ints is needed, not {axis!r}")
        if not -ndim <= int(one) < ndim:
            raise np.exceptions.AxisError(int(one), ndim)
        result.append(int(one) % ndim)
    if len(set(result)) < len(result):
        raise ValueError(f"axis: an axis stands twice in {axis!r}")
    return tuple(sorted(result))


def _split(split_every: Any, axes: tuple[int, ...], ndim: int) -> dict[int, int]:
    """Return how many blocks along each axis make a group."""
    if split_every is None:
        split_every = config.get("split_every", None) or SPLIT_EVERY
    if isinstance(split_every, Mapping):
        spelled = {axis % ndim: int(split_every[axis]) for axis in split_every}
        return {axis: builtins.max(2, spelled.get(axis, SPLIT_EVERY)) for axis in axes}
    if isinstance(split_every, bool) and split_every is False:
        return dict.fromkeys(axes, 2**31)
    size = int(split_every)
    if size < 2:
        raise ValueError(f"split_every: a group has at least 2 blocks, not {split_every!r}")
    each = builtins.max(2, int(size ** (1 / builtins.max(1, len(axes))) + 1e-9))
    return dict.fromkeys(axes, each)


def _reduce(
    label: str,
    a: Any,
    axis: Any,
    keepdims: bool,
    dtype: Any,
    split_every: Any,
    out: Any,
    calls: Callable[[Array, tuple[int, ...], tuple[int, ...]], tuple[Call, Call, Call]],
) -> Array:
    a = asarray(a)
    axes = _axes(axis, a.ndim)
    if isinstance(a._expr, MaskedAll) and axes:
        a = _array(a._expr.in_any_order())
    dropped = () if keepdims else axes
    chunk, combine, aggregate = calls(a, axes, dropped)
    meta = empty_like(a._meta, a.ndim - len(dropped), dtype)
    split = _split(split_every, axes, a.ndim)
    result = _array(
        Reduction(label, a._expr, axes, keepdims, meta, split, chunk, combine, aggregate)
    )
    return handle_out(out, result)


def _dtype(function: Callable[..., Any], a: Any, dtype: Any) -> np.dtype[Any]:
    """Return the type of what NumPy makes of elements of an array."""
    if dtype is not None:
        return np.dtype(dtype)
    found: np.dtype[Any] = np.asarray(function(np.ones((1,), asarray(a).dtype))).dtype
    return found


def _folded(
    name: str,
    binary: np.ufunc,
    a: Any,
    axis: Any,
    dtype: Any,
    keepdims: bool,
    split_every: Any,
    out: Any,
) -> Array:
    """Reduce by a function of two elements that has a neutral one."""
    of_block = getattr(np, name)
    a = asarray(a)
    if name in ("any", "all"):
        dtype, options = np.dtype(bool), {}
    else:
        options = {} if dtype is None else {"dtype": np.dtype(dtype)}
        dtype = _dtype(of_block, a, dtype)

    def calls(a: Array, axes: tuple[int, ...], dropped: tuple[int, ...]) -> tuple[Call, Call, Call]:
        return (
            (_kernels.reduce_block, (of_block, axes, options)),
            (_kernels.fold, (binary,)),
            (_kernels.fold_and_squeeze, (binary, dropped)),
        )

    return _reduce(name, a, axis, keepdims, dtype, split_every, out, calls)


def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return totals along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.arange(4).sum().compute())
    6
    """
    return _folded("sum", np.add, a, axis, dtype, keepdims, split_every, out)


def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return products along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.arange(1, 5).prod().compute())
    24
    """
    return _folded("prod", np.multiply, a, axis, dtype, keepdims, split_every, out)


def any(
    a: Any,
    axis: Any = None,
    keepdims: bool = False,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Say whether any element is true along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> bool((da.arange(4) > 2).any().compute())
    True
    """
    return _folded("any", np.logical_or, a, axis, None, keepdims, split_every, out)


def all(
    a: Any,
    axis: Any = None,
    keepdims: bool = False,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Say whether all elements are true along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> bool((da.arange(4) > 2).all().compute())
    False
    """
    return _folded("all", np.logical_and, a, axis, None, keepdims, split_every, out)


def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return totals of what is not NaN along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.nansum(da.asarray([1.0, float("nan")])).compute())
    1.0
    """
    return _folded("nansum", np.add, a, axis, dtype, keepdims, split_every, out)


def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return products of what is not NaN along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.nanprod(da.asarray([2.0, float("nan")])).compute())
    2.0
    """
    return _folded("nanprod", np.multiply, a, axis, dtype, keepdims, split_every, out)


def min(
    a: Any, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
) -> Array:
    """Return minima along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        For an axis without elements.

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.min(da.arange(1, 4)).compute())
    1
    """
    return _extreme("min", np.min, np.minimum, a, axis, keepdims, split_every, out)


def max(
    a: Any, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
) -> Array:
    """Return maxima along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        For an axis without elements.

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.max(da.arange(1, 4)).compute())
    3
    """
    return _extreme("max", np.max, np.maximum, a, axis, keepdims, split_every, out)


def nanmin(
    a: Any, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
) -> Array:
    """Return minima of what is not NaN along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        For an axis without elements.

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.nanmin(da.arange(1, 4)).compute())
    1
    """
    return _extreme("nanmin", np.fmin.reduce, np.fmin, a, axis, keepdims, split_every, out)


def nanmax(
    a: Any, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
) -> Array:
    """Return maxima of what is not NaN along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        For an axis without elements.

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.nanmax(da.arange(1, 4)).compute())
    3
    """
    return _extreme("nanmax", np.fmax.reduce, np.fmax, a, axis, keepdims, split_every, out)


def argmin(
    a: Any, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
) -> Array:
    """Return where the first minima stand.

    Parameters
    ----------
    a : Array
        The array.
    axis : int, optional
        Along which axis; by default in the flat array.
    keepdims : bool, default False
        Whether the axis stays, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.argmin(da.asarray([3, 1, 2])).compute())
    1
    """
    return _place("argmin", np.argmin, a, axis, keepdims, split_every, out)


def argmax(
    a: Any, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
) -> Array:
    """Return where the first maxima stand.

    Parameters
    ----------
    a : Array
        The array.
    axis : int, optional
        Along which axis; by default in the flat array.
    keepdims : bool, default False
        Whether the axis stays, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.argmax(da.asarray([3, 1, 2])).compute())
    0
    """
    return _place("argmax", np.argmax, a, axis, keepdims, split_every, out)


def nanargmin(
    a: Any, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
) -> Array:
    """Return where the first minima of what is not NaN stand.

    Parameters
    ----------
    a : Array
        The array.
    axis : int, optional
        Along which axis; by default in the flat array.
    keepdims : bool, default False
        Whether the axis stays, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.nanargmin(da.asarray([3, 1, 2])).compute())
    1
    """
    return _place("nanargmin", np.argmin, a, axis, keepdims, split_every, out)


def nanargmax(
    a: Any, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
) -> Array:
    """Return where the first maxima of what is not NaN stand.

    Parameters
    ----------
    a : Array
        The array.
    axis : int, optional
        Along which axis; by default in the flat array.
    keepdims : bool, default False
        Whether the axis stays, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.nanargmax(da.asarray([3, 1, 2])).compute())
    0
    """
    return _place("nanargmax", np.argmax, a, axis, keepdims, split_every, out)


def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return means along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.mean(da.arange(4)).compute())
    1.5
    """
    return _mean("mean", False, a, axis, dtype, keepdims, split_every, out)


def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return means of what is not NaN along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.nanmean(da.arange(4)).compute())
    1.5
    """
    return _mean("nanmean", True, a, axis, dtype, keepdims, split_every, out)


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    ddof: int = 0,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return variances along axes, from moments that are merged.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    ddof : int, default 0
        What is taken from the number of elements before dividing by it.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", Stanford, 1979.

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.var(da.asarray([1.0, 3.0])).compute())
    1.0
    """
    return _variance("var", False, False, a, axis, dtype, keepdims, ddof, split_every, out)


def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    ddof: int = 0,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return standard deviations along axes, from moments that are merged.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    ddof : int, default 0
        What is taken from the number of elements before dividing by it.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", Stanford, 1979.

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.std(da.asarray([1.0, 3.0])).compute())
    1.0
    """
    return _variance("std", False, True, a, axis, dtype, keepdims, ddof, split_every, out)


def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    ddof: int = 0,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return variances of what is not NaN along axes, from moments that are merged.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    ddof : int, default 0
        What is taken from the number of elements before dividing by it.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", Stanford, 1979.

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.nanvar(da.asarray([1.0, 3.0])).compute())
    1.0
    """
    return _variance("nanvar", True, False, a, axis, dtype, keepdims, ddof, split_every, out)


def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    ddof: int = 0,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return standard deviations of what is not NaN along axes, from moments that are merged.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    ddof : int, default 0
        What is taken from the number of elements before dividing by it.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", Stanford, 1979.

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.nanstd(da.asarray([1.0, 3.0])).compute())
    1.0
    """
    return _variance("nanstd", True, True, a, axis, dtype, keepdims, ddof, split_every, out)


def _extreme(
    name: str,
    of_block: Callable[..., Any],
    binary: np.ufunc,
    a: Any,
    axis: Any,
    keepdims: bool,
    split_every: Any,
    out: Any,
) -> Array:
    a = asarray(a)
    if builtins.any(a.shape[one] == 0 for one in _axes(axis, a.ndim)):
        raise ValueError(f"{name}: an axis without elements has no extreme: shape {a.shape}")

    def calls(a: Array, axes: tuple[int, ...], dropped: tuple[int, ...]) -> tuple[Call, Call, Call]:
        return (
            (_kernels.extreme_of_block, (of_block, axes)),
            (_kernels.merge_extremes, (binary,)),
            (_kernels.extremes, (binary, name, dropped)),
        )

    return _reduce(name, a, axis, keepdims, a.dtype, split_every, out, calls)


def _place(
    name: str,
    function: Callable[..., Any],
    a: Any,
    axis: Any,
    keepdims: bool,
    split_every: Any,
    out: Any,
) -> Array:
    a = asarray(a)
    if axis is not None and not isinstance(axis, Integral):
        raise TypeError(f"{name}: axis is an int or None, not {axis!r}")
    axes = _axes(axis, a.ndim)
    if builtins.any(a.shape[one] == 0 for one in axes):
        raise ValueError(f"{name}: an axis without elements has no extreme: shape {a.shape}")
    if builtins.any(is_unknown(a.chunks[one]) for one in axes):
        raise ValueError(
            f"{name}: lengths along the axis are not known, so places are not; call "
            "compute_chunk_sizes() first"
        )
    along_axis = None if axis is None else axes[0]
    skips_nan = name.startswith("nan") and a.dtype.kind in "fc"

    def calls(a: Array, axes: tuple[int, ...], dropped: tuple[int, ...]) -> tuple[Call, Call, Call]:
        return (
            (_kernels.place_of_extreme, (function, skips_nan, along_axis, STARTS)),
            (_kernels.merge_places, (function, skips_nan)),
            (_kernels.places, (function, skips_nan, name, dropped)),
        )

    return _reduce(name, a, axis, keepdims, np.dtype(np.intp), split_every, out, calls)


def _mean(
    name: str,
    skips_nan: bool,
    a: Any,
    axis: Any,
    dtype: Any,
    keepdims: bool,
    split_every: Any,
    out: Any,
) -> Array:
    a = asarray(a)
    dtype = _dtype(np.mean, a, dtype)
    # Halves are added up in single precision, as NumPy does.
    inner = np.dtype("f4") if dtype == np.float16 else dtype
    count = size_of(a.chunks, _axes(axis, a.ndim))

    def calls(a: Array, axes: tuple[int, ...], dropped: tuple[int, ...]) -> tuple[Call, Call, Call]:
        if (skips_nan and a.dtype.kind in "fc") or count != count:
            of_block = _kernels.nan_totals if skips_nan else _kernels.totals
            return (
                (of_block, (axes, inner)),
                (_kernels.merge_totals, ()),
                (_kernels.nan_mean, (dtype, dropped)),
            )
        return (
            (_kernels.total, (axes, inner)),
            (_kernels.fold, (np.add,)),
            (_kernels.fold_and_divide, (count, dtype, dropped)),
        )

    return _reduce(name, a, axis, keepdims, dtype, split_every, out, calls)


def _variance(
    name: str,
    skips_nan: bool,
    is_root: bool,
    a: Any,
    axis: Any,
    dtype: Any,
    keepdims: bool,
    ddof: Any,
    split_every: Any,
    out: Any,
) -> Array:
    a = asarray(a)
    result = _dtype(np.var, a, None if dtype is None else np.zeros(0, dtype).real.dtype)
    inner = np.dtype(dtype) if dtype is not None else _dtype(np.mean, a, None)
    inner = np.dtype("f4") if inner == np.float16 else inner
    skips = skips_nan and a.dtype.kind in "fc"

    def calls(a: Array, axes: tuple[int, ...], dropped: tuple[int, ...]) -> tuple[Call, Call, Call]:
        return (
            (_kernels.moments, (axes, inner, skips)),
            (_kernels.merge_moments, ()),
            (_kernels.variance, (ddof, result, dropped, is_root)),
        )

    return _reduce(name, a, axis, keepdims, result, split_every, out, calls)


def moment(
    a: Any,
    order: int,
    axis: Any = None,
    dtype: Any = None,
    keepdims: bool = False,
    ddof: int = 0,
    split_every: Any = None,
    out: Any = None,
) -> Array:
    """Return central moments along axes.

    Parameters
    ----------
    a : Array
        The array.
    order : int
        Which moment: 2 is the variance.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    dtype : numpy.dtype, optional
        The type of the result.
    keepdims : bool, default False
        Whether the axes stay, with length one.
    ddof : int, default 0
        What is taken from the number of elements before dividing by it.
    split_every : int or dict, optional
        How many blocks make a group of the tree.
    out : Array, optional
        What stands for the result from now on.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.moment(da.asarray([1.0, 3.0]), 2).compute())
    1.0
    """
    if not isinstance(order, Integral) or order < 0:
        raise ValueError(f"moment: the order is an int from 0, not {order!r}")
    a = asarray(a)
    dtype = _dtype(np.var, a, dtype)
    axes = _axes(axis, a.ndim)
    count = size_of(a.chunks, axes)
    centre = mean(a, axis=axes, dtype=dtype, keepdims=True, split_every=split_every)
    powers = sum(
        (a.astype(dtype) - centre) ** int(order),
        axis=axes,
        keepdims=keepdims,
        split_every=split_every,
    )
    return handle_out(out, powers / (count - ddof))


def ptp(a: Any, axis: Any = None) -> Array:
    """Return the distance from minimum to maximum along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.ptp(da.arange(5)).compute())
    4
    """
    result: Array = max(a, axis=axis) - min(a, axis=axis)
    return result


def reduction(
    x: Any,
    chunk: Callable[..., Any],
    aggregate: Callable[..., Any],
    axis: Any = None,
    keepdims: bool = False,
    dtype: Any = None,
    split_every: Any = None,
    combine: Callable[..., Any] | None = None,
    name: str | None = None,
    out: Any = None,
    concatenate: bool = True,
    output_size: int = 1,
    meta: Any = None,
    weights: Any = None,
) -> Array:
    """Reduce by functions of a user's own, as a tree of groups of blocks.

    Parameters
    ----------
    x : Array
        The array.
    chunk : callable
        ``chunk(block, axis=axes, keepdims=True)``, called with each block.
    aggregate : callable
        ``aggregate(results, axis=axes, keepdims=keepdims)``, called at the end.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    keepdims : bool, default False
        Whether the axes stay.
    dtype : numpy.dtype, optional
        The type of the result; by default that of the array.
    split_every : int or dict, optional
        How many blocks make a group of the tree, in all or by axis.
    combine : callable, optional
        ``combine(results, axis=axes, keepdims=True)``, called with each group; by default `chunk`.
    name : str, optional
        The first part of the name.
    out : Array, optional
        What stands for the result from now on.
    concatenate : bool, default True
        Whether results are joined to one array before; else they are given as nested lists.
    output_size : int, default 1
        The length that the axes have in the result, where they stay.
    meta : array, optional
        An empty array of the type of the result.
    weights : None
        Not supported: raises NotImplementedError.

    Returns
    -------
    Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> x = da.arange(10, chunks=3)
    >>> int(da.reduction(x, np.sum, np.sum).compute())
    45
    """
    if weights is not None:
        raise NotImplementedError("reduction(weights=): multiply before, and divide at the end")
    x = asarray(x)
    axes = _axes(axis, x.ndim)
    options = {"axis": axes if len(axes) != 1 else axes[0], "keepdims": True}
    last = {**options, "keepdims": keepdims}
    if meta is None:
        ndim = x.ndim if keepdims else x.ndim - len(axes)
        meta = empty_like(x._meta, ndim, x.dtype if dtype is None else dtype)
    step = _kernels.reduce_parts if concatenate else _kernels.reduce_nested
    label = name or _name_of(aggregate)
    result = Reduction(
        label,
        x._expr,
        axes,
        keepdims,
        meta,
        _split(split_every, axes, x.ndim),
        (_kernels.call_on_block, (chunk, options)),
        (step, (combine or chunk, options)),
        (step, (aggregate, last)),
        output_size,
        with_counts=True,
    )
    return handle_out(out, _array(result))


def _name_of(function: Any) -> str:
    from oxidask.utils import funcname

    return funcname(function)
