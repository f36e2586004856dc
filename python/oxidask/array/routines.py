"""Functions of NumPy that are more than one block after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from oxidask.array import _kernels, _kernels_shapes
from oxidask.array._chunks import Chunks
from oxidask.array._expressions import AxisMap, Expression, empty_like, every, meta_of
from oxidask.array._mapped import Mapped, Reading
from oxidask.array._rechunk import rechunk
from oxidask.array.core import Array, _array, asarray, elemwise, transposed
from oxidask.array.reductions import Reduction, _split

__all__ = [
    "dot",
    "expand_dims",
    "flip",
    "matmul",
    "moveaxis",
    "outer",
    "result_type",
    "squeeze",
    "swapaxes",
    "tensordot",
    "transpose",
    "vdot",
    "where",
]


def transpose(a: Any, axes: Any = None) -> Array:
    """Return an array with its axes in another order.

    Parameters
    ----------
    a : Array
        The array.
    axes : tuple of int, optional
        The order; by default the reverse one.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.transpose(da.ones((2, 3))).shape
    (3, 2)
    """
    a = asarray(a)
    if axes is None:
        axes = tuple(range(a.ndim))[::-1]
    axes = tuple(_axis(axis, a.ndim) for axis in axes)
    if sorted(axes) != list(range(a.ndim)):
        raise ValueError(f"transpose: {axes} is no order of {a.ndim} axes")
    return transposed(a, axes)


def _axis(axis: Any, ndim: int) -> int:
    if not isinstance(axis, Integral):
        raise TypeError(f"axis: an int is needed, not {axis!r}")
    if not -ndim <= int(axis) < ndim:
        raise np.exceptions.AxisError(int(axis), ndim)
    return int(axis) % ndim


def swapaxes(a: Any, axis1: int, axis2: int) -> Array:
    """Exchange two axes.

    Parameters
    ----------
    a : Array
        The array.
    axis1, axis2 : int
        The axes.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.swapaxes(da.ones((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    a = asarray(a)
    axes = list(range(a.ndim))
    one, other = _axis(axis1, a.ndim), _axis(axis2, a.ndim)
    axes[one], axes[other] = other, one
    return transposed(a, tuple(axes))


def moveaxis(a: Any, source: Any, destination: Any) -> Array:
    """Move axes to other places.

    Parameters
    ----------
    a : Array
        The array.
    source, destination : int or sequence of int
        From where and to where.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.moveaxis(da.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    a = asarray(a)
    sources = [_axis(one, a.ndim) for one in np.atleast_1d(source).tolist()]
    targets = [_axis(one, a.ndim) for one in np.atleast_1d(destination).tolist()]
    if len(sources) != len(targets):
        raise ValueError(
            f"moveaxis: {len(sources)} axes and {len(targets)} places for them: {source!r} and "
            f"{destination!r}"
        )
    order = [axis for axis in range(a.ndim) if axis not in sources]
    for target, one in sorted(zip(targets, sources, strict=True)):
        order.insert(target, one)
    return transposed(a, tuple(order))


def expand_dims(a: Any, axis: Any) -> Array:
    """Add axes of length one.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int
        Where they stand in the result.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.expand_dims(da.ones(3), (0, 2)).shape
    (1, 3, 1)
    """
    a = asarray(a)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    ndim = a.ndim + len(axes)
    places = {_axis(one, ndim) for one in axes}
    return a[tuple(None if one in places else slice(None) for one in range(ndim))]


def squeeze(a: Any, axis: Any = None) -> Array:
    """Drop axes of length one.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Which; by default all of length one.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.squeeze(da.ones((1, 3, 1))).shape
    (3,)
    """
    a = asarray(a)
    if axis is None:
        axes = {one for one, length in enumerate(a.shape) if length == 1}
    else:
        axes = {_axis(one, a.ndim) for one in np.atleast_1d(axis).tolist()}
    for one in axes:
        if a.shape[one] != 1:
            raise ValueError(
                f"squeeze: axis {one} has {a.shape[one]} elements, and only axes of length one can "
                "be dropped"
            )
    if not axes:
        return a
    return a[tuple(0 if one in axes else slice(None) for one in range(a.ndim))]


def flip(m: Any, axis: Any = None) -> Array:
    """Reverse the order of elements along axes.

    Parameters
    ----------
    m : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.flip(da.arange(3)).compute()
    array([2, 1, 0])
    """
    m = asarray(m)
    axes = range(m.ndim) if axis is None else np.atleast_1d(axis).tolist()
    places = {_axis(one, m.ndim) for one in axes}
    return m[tuple(slice(None, None, -1 if one in places else 1) for one in range(m.ndim))]


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Choose elements of two arrays by a condition.

    Parameters
    ----------
    condition : Array of bool
        Where `x` is taken.
    x, y : Array or scalar, optional
        What is chosen from. Without them the places of true elements are returned.

    Returns
    -------
    Array, or tuple of Array
        The places, as from `nonzero`, if there is nothing to choose from.

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.arange(4)
    >>> da.where(x > 1, x, -1).compute()
    array([-1, -1,  2,  3])
    """
    if (x is None) != (y is None):
        raise ValueError("where: give both x and y, or neither")
    if x is None:
        from oxidask.array.selection import nonzero

        return nonzero(condition)
    return elemwise(np.where, asarray(condition), x, y)


def result_type(*args: Any) -> np.dtype[Any]:
    """Return the type of what NumPy makes of values together.

    Parameters
    ----------
    *args : Array, numpy.dtype or scalar
        The values.

    Returns
    -------
    numpy.dtype

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.result_type(da.ones(1, dtype="f4"), "f8")
    dtype('float64')
    """
    return np.result_type(*(one.dtype if isinstance(one, Array) else one for one in args))


def _contracted(
    function: Callable[..., Any],
    operands: Sequence[Expression],
    maps: Sequence[Sequence[AxisMap]],
    chunks: Chunks,
    meta: Any,
    args: tuple[Any, ...] = (),
) -> Array:
    """Return sums of products of blocks, over the axes of which the maps name all blocks."""
    label = function.__name__
    both = list(zip(operands, maps, strict=True))
    is_single = all(
        count == 1
        for one, of_axes in both
        for count, of_axis in zip(one.grid, of_axes, strict=True)
        if isinstance(of_axis, tuple)
    )
    if is_single:
        readings = [Reading(one, of_axes) for one, of_axes in both]
        return _array(Mapped(label, args, function, [*readings, *args], chunks, meta))
    if not any(_shrinks(one, of_axes, chunks) for one, of_axes in both):
        readings = [Reading(one, of_axes, many=True) for one, of_axes in both]
        values = [function, *readings, *args]
        return _array(Mapped(label, args, _kernels.sum_of_products, values, chunks, meta))
    ndim = len(chunks)
    counts = [
        count
        for count, of_axis in zip(operands[0].grid, maps[0], strict=True)
        if isinstance(of_axis, tuple)
    ]
    summed = tuple(range(ndim, ndim + len(counts)))
    pairs = [
        Reading(one, [next(axes) if isinstance(of_axis, tuple) else of_axis for of_axis in of_axes])
        for one, of_axes in both
        for axes in (iter(summed),)
    ]
    products = Mapped(
        label,
        args,
        _kernels.product_of_pair,
        [function, len(counts), *pairs, *args],
        (*chunks, *((1,) * count for count in counts)),
        empty_like(meta, ndim + len(counts)),
    )
    return _array(
        Reduction(
            label,
            products,
            summed,
            False,
            meta,
            _split(None, summed, ndim + len(counts)),
            (_kernels_shapes.itself, ()),
            (_kernels.fold, (np.add,)),
            (_kernels.fold_and_squeeze, (np.add, summed)),
        )
    )


def _shrinks(factor: Expression, maps: Sequence[AxisMap], chunks: Chunks) -> bool:
    """Return whether blocks of a factor are read once each, and are no smaller than products.

    Then it is better to make a product as soon as a block is there, and to keep the products, than
    to keep all blocks that one block of the result needs.
    """
    if all(len(lengths) == 1 or axis in maps for axis, lengths in enumerate(chunks)):
        sizes = [
            math.prod(max(lengths, default=0) for lengths in one) for one in (factor.chunks, chunks)
        ]
        return bool(sizes[0] >= sizes[1])
    return False


def tensordot(lhs: Any, rhs: Any, axes: Any = 2) -> Array:
    """Return sums of products over axes.

    Parameters
    ----------
    lhs, rhs : Array
        The arrays.
    axes : int, or a pair of sequences of int
        The last axes of the one and the first of the other, or which axes of each.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.ones((2, 3), chunks=2)
    >>> da.tensordot(x, x.T, axes=1).compute()
    array([[3., 3.],
           [3., 3.]])
    """
    lhs, rhs = asarray(lhs), asarray(rhs)
    if isinstance(axes, Integral):
        left = list(range(lhs.ndim - int(axes), lhs.ndim))
        right = list(range(int(axes)))
    else:
        left, right = (list(np.atleast_1d(one).tolist()) for one in axes)
    left = [_axis(one, lhs.ndim) for one in left]
    right = [_axis(one, rhs.ndim) for one in right]
    if len(left) != len(right):
        raise ValueError(f"tensordot: {len(left)} axes and {len(right)} of the other array")
    for one, other in zip(left, right, strict=True):
        if lhs.shape[one] != rhs.shape[other]:
            raise ValueError(
                f"tensordot: axis {one} has {lhs.shape[one]} elements and axis {other} of the "
                f"other array {rhs.shape[other]}; they must be alike"
            )
    from oxidask.array._chunks import common_lengths

    a_chunks, b_chunks = list(lhs.chunks), list(rhs.chunks)
    for one, other in zip(left, right, strict=True):
        a_chunks[one] = b_chunks[other] = common_lengths([a_chunks[one], b_chunks[other]])
    a, b = rechunk(lhs._expr, tuple(a_chunks)), rechunk(rhs._expr, tuple(b_chunks))
    free_a = [axis for axis in range(lhs.ndim) if axis not in left]
    free_b = [axis for axis in range(rhs.ndim) if axis not in right]
    chunks = tuple([a.chunks[axis] for axis in free_a] + [b.chunks[axis] for axis in free_b])
    # Both must list their blocks in the same order of the axes that go.
    order = sorted(range(len(left)), key=lambda place: left[place])
    if [right[place] for place in order] != sorted(right):
        b = transposed(_array(b), (*(right[place] for place in order), *free_b))._expr
        right = list(range(len(right)))
        left = [left[place] for place in order]
        free_b = list(range(len(right), rhs.ndim))
    maps_a: list[Any] = [
        every(len(a.chunks[axis])) if axis in left else free_a.index(axis)
        for axis in range(lhs.ndim)
    ]
    maps_b: list[Any] = [
        every(len(b.chunks[axis])) if axis in right else len(free_a) + free_b.index(axis)
        for axis in range(rhs.ndim)
    ]
    meta = meta_of(
        np.tensordot,
        empty_like(lhs._meta, lhs.ndim),
        empty_like(rhs._meta, rhs.ndim),
        (left, right) if not isinstance(axes, Integral) or right != sorted(right) else axes,
    )
    meta = empty_like(np.asarray(meta), len(chunks))
    pair = (tuple(left), tuple(right))
    return _contracted(np.tensordot, [a, b], [maps_a, maps_b], chunks, meta, (pair,))


def dot(a: Any, b: Any) -> Array:
    """Return the product of vectors or matrices.

    Parameters
    ----------
    a, b : Array
        The factors.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.dot(da.arange(4), da.arange(4)).compute())
    14
    """
    a, b = asarray(a), asarray(b)
    if not a.ndim or not b.ndim:
        return elemwise(np.multiply, a, b)
    return tensordot(a, b, axes=((a.ndim - 1,), (max(b.ndim - 2, 0),)))


def vdot(a: Any, b: Any) -> Array:
    """Return the product of two vectors, of which the first is conjugated.

    Parameters
    ----------
    a, b : Array
        The factors, which are flattened.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> complex(da.vdot(da.asarray([1j]), da.asarray([1j])).compute())
    (1+0j)
    """
    a, b = asarray(a), asarray(b)
    return dot(a.conj().ravel(), b.ravel())


def outer(a: Any, b: Any) -> Array:
    """Return the products of all pairs of elements of two vectors.

    Parameters
    ----------
    a, b : Array
        The factors, which are flattened.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.outer(da.arange(2), da.arange(3)).compute()
    array([[0, 0, 0],
           [0, 1, 2]])
    """
    a, b = asarray(a), asarray(b)
    return elemwise(np.multiply, a.ravel()[:, None], b.ravel()[None, :])


def matmul(a: Any, b: Any) -> Array:
    """Return products of matrices, which stand in the last two axes; the others are broadcast.

    Parameters
    ----------
    a, b : Array
        The factors.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.eye(2, chunks=1)
    >>> (x @ da.asarray([3.0, 4.0])).compute()
    array([3., 4.])
    """
    a, b = asarray(a), asarray(b)
    if not a.ndim or not b.ndim:
        raise ValueError("matmul: scalars cannot be multiplied as matrices; use *")
    if a.ndim == 1 and b.ndim == 1:
        return dot(a, b)
    if a.ndim == 1:
        return matmul(a[None, :], b)[..., 0, :]
    if b.ndim == 1:
        return matmul(a, b[:, None])[..., 0]
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"matmul: matrices of {a.shape[-2:]} and {b.shape[-2:]} cannot be multiplied: "
            f"{a.shape[-1]} columns and {b.shape[-2]} rows"
        )
    from oxidask.array._chunks import common_lengths, lengths_for
    from oxidask.array._expressions import Elementwise, aligned_axes

    inner = common_lengths([a.chunks[-1], b.chunks[-2]])
    one = rechunk(a._expr, (*a.chunks[:-1], inner))
    other = rechunk(b._expr, (*b.chunks[:-2], inner, b.chunks[-1]))
    # The axes before the last two are broadcast like those of an element-wise function.
    meta = np.empty((0,) * max(a.ndim, b.ndim), result_type(a, b))
    left, right = (one.chunks[:-2], other.chunks[:-2])
    outer_axes: tuple[Any, ...] = ()
    if left or right:
        stand_ins = [_Stand(chunks) for chunks in (left, right) if chunks]
        outer_axes = Elementwise("matmul", np.add, stand_ins, {}, meta).chunks
        one, other = (
            rechunk(
                each,
                (
                    *(
                        lengths_for(own, wanted)
                        for own, wanted in zip(
                            each.chunks[:-2],
                            outer_axes[len(outer_axes) - each.ndim + 2 :],
                            strict=True,
                        )
                    ),
                    *each.chunks[-2:],
                ),
            )
            for each in (one, other)
        )
    chunks = (*outer_axes, one.chunks[-2], other.chunks[-1])
    count = len(inner)
    result = _Stand(chunks)
    maps_a = [*aligned_axes(one, result)[:-2], len(chunks) - 2, every(count)]
    maps_b = [*aligned_axes(other, result)[:-2], every(count), len(chunks) - 1]
    return _contracted(np.matmul, [one, other], [maps_a, maps_b], chunks, meta)


class _Stand(Expression):
    """Only chunks."""

    __slots__ = ()

    def __init__(self, chunks: Any) -> None:
        super().__init__("stand-in", chunks, np.empty((0,) * len(chunks)))
