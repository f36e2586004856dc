"""Weighted means, covariances, comparisons of whole arrays, functions of vectors."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from oxidask.array import _kernels_shapes
from oxidask.array._chunks import is_unknown
from oxidask.array._expressions import AxisMap, empty_like
from oxidask.array._mapped import Mapped, Reading
from oxidask.array._rechunk import rechunk
from oxidask.array.core import Array, _array, asarray, broadcast_to, concatenate, elemwise
from oxidask.array.routines import _axis, dot
from oxidask.array.ufunc import isclose

__all__ = [
    "allclose",
    "apply_along_axis",
    "apply_over_axes",
    "average",
    "corrcoef",
    "cov",
    "ndim",
    "shape",
    "unify_chunks",
]


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """Return weighted means along axes.

    Parameters
    ----------
    a : Array
        The array.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    weights : Array, optional
        For how much each element counts: of the shape of `a`, or of that of the axes.
    returned : bool, default False
        Whether to return the sums of the weights, too.
    keepdims : bool, default False
        Whether the axes stay, with length one.

    Returns
    -------
    Array, or tuple of two Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.average(da.asarray([1.0, 5.0]), weights=[3, 1]).compute())
    2.0
    """
    a = asarray(a)
    if weights is None:
        mean = a.mean(axis=axis, keepdims=keepdims)
        total: Any = a.size / mean.size if mean.size else 0
        scale = mean.dtype.type(total)
        result, sums = mean, broadcast_to(asarray(np.asarray(scale)), mean.shape)
    else:
        weights = asarray(weights)
        if a.dtype.kind in "iub":
            kind = np.result_type(a.dtype, weights.dtype, "f8")
        else:
            kind = np.result_type(a.dtype, weights.dtype)
        weights = _weights_of_shape(a, weights, axis)
        sums = weights.sum(axis=axis, dtype=kind, keepdims=keepdims)
        result = (a * weights).astype(kind).sum(axis=axis, keepdims=keepdims) / sums
    if returned:
        return result, broadcast_to(sums, result.shape) if sums.shape != result.shape else sums
    return result


def _weights_of_shape(a: Array, weights: Array, axis: Any) -> Array:
    """Return weights that can be multiplied with an array."""
    if weights.shape == a.shape:
        return weights
    if axis is None:
        raise TypeError(
            f"average: weights of shape {weights.shape} for an array of shape {a.shape}; say which "
            "axis= they belong to"
        )
    axes = [_axis(one, a.ndim) for one in (axis if isinstance(axis, tuple | list) else (axis,))]
    if weights.shape != tuple(a.shape[one] for one in axes):
        raise ValueError(
            f"average: weights of shape {weights.shape} for axes {tuple(axes)} of an array of "
            f"shape {a.shape}"
        )
    weights = weights.transpose(tuple(sorted(builtins.range(len(axes)), key=axes.__getitem__)))
    weights = weights[tuple(slice(None) if one in axes else None for one in builtins.range(a.ndim))]
    return broadcast_to(
        weights,
        a.shape,
        tuple(
            weights.chunks[one] if one in axes else a.chunks[one] for one in builtins.range(a.ndim)
        ),
    )


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Array:
    """Return the covariances of variables.

    Parameters
    ----------
    m : Array
        A variable in each row.
    y : Array, optional
        More variables.
    rowvar : bool, default True
        Whether variables are rows; else they are columns.
    bias : bool, default False
        Whether to divide by the number of observations, and not by one less.
    ddof : int, optional
        By how much less it is divided, whatever `bias` is.
    fweights : array of int, optional
        How often each observation counts.
    aweights : array, optional
        How important each observation is.
    dtype : numpy.dtype, optional
        The type in which is computed.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.cov(da.asarray([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])).compute()
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    if ddof is not None and not isinstance(ddof, Integral):
        raise ValueError(f"cov: ddof is an int, not {ddof!r}")
    m = asarray(m)
    if m.ndim > 2:
        raise ValueError(f"cov: m has at most 2 axes, not {m.ndim}")
    rows = _variables(m, rowvar, "m")
    kinds = [rows.dtype, np.dtype(float)]
    if y is not None:
        y = asarray(y)
        if y.ndim > 2:
            raise ValueError(f"cov: y has at most 2 axes, not {y.ndim}")
        more = _variables(y, rowvar, "y")
        kinds.append(more.dtype)
        rows = concatenate([rows, more.astype(np.result_type(rows, more))], axis=0)
    rows = rows.astype(np.result_type(*kinds) if dtype is None else dtype)
    count = rows.shape[1]
    if count != count:
        raise ValueError(
            "cov: the number of observations is not known; call compute_chunk_sizes() first"
        )
    weights = _observation_weights(fweights, aweights, count)
    if ddof is None:
        ddof = 0 if bias else 1
    if weights is None:
        mean, total = rows.mean(axis=1, keepdims=True), float(count)
        factor: Any = total - ddof
    else:
        mean, total = average(rows, axis=1, weights=weights, keepdims=True), float(weights.sum())
        if aweights is None or not ddof:
            factor = total - ddof
        else:
            factor = total - ddof * float((weights * np.asarray(aweights)).sum()) / total
    if factor <= 0:
        import warnings

        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
        factor = 0.0
    centred = rows - mean
    weighted = centred if weights is None else centred * weights
    result = dot(weighted, centred.T.conj())
    result = elemwise(np.multiply, result, np.true_divide(1, factor)).astype(rows.dtype)
    from oxidask.array.routines import squeeze

    return squeeze(result) if result.shape == (1, 1) else result


def _variables(m: Array, rowvar: bool, name: str) -> Array:
    rows = m[(*(None,) * (2 - m.ndim), ...)] if m.ndim < 2 else m
    return rows.T if not rowvar and m.ndim == 2 else rows


def _observation_weights(fweights: Any, aweights: Any, count: int) -> Any:
    if fweights is None and aweights is None:
        return None
    total: Any = 1
    for name, one in (("fweights", fweights), ("aweights", aweights)):
        if one is None:
            continue
        values = one.compute() if isinstance(one, Array) else np.asarray(one)
        if values.shape != (count,):
            raise RuntimeError(
                f"cov: {name} has shape {values.shape}, and there are {count} observations"
            )
        if (values < 0).any():
            raise ValueError(f"cov: {name} is not negative")
        if name == "fweights" and (values != np.around(values)).any():
            raise TypeError("cov: fweights has whole numbers")
        total = total * values.astype(float)
    return total


def corrcoef(x: Any, y: Any = None, rowvar: Any = 1) -> Array:
    """Return the correlations of variables.

    Parameters
    ----------
    x : Array
        A variable in each row.
    y : Array, optional
        More variables.
    rowvar : bool, default True
        Whether variables are rows; else they are columns.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.corrcoef(da.asarray([[0.0, 1.0, 2.0], [4.0, 2.0, 0.0]])).compute()
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    from oxidask.array.grids import diag

    c = cov(x, y, bool(rowvar))
    if not c.shape:
        return c / c
    deviation = elemwise(np.sqrt, diag(c).real)
    c = c / deviation[:, None] / deviation[None, :]
    return elemwise(_kernels_shapes.clipped, c)


def allclose(
    arr1: Any, arr2: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Array:
    """Say whether all elements of two arrays are close.

    Parameters
    ----------
    arr1, arr2 : Array
        The arrays.
    rtol, atol : float
        How far elements may differ, in relation to those of `arr2` and absolutely.
    equal_nan : bool, default False
        Whether two NaN count as close.

    Returns
    -------
    Array
        One truth value.

    Examples
    --------
    >>> import oxidask.array as da
    >>> bool(da.allclose(da.ones(3), 1.0).compute())
    True
    """
    return isclose(asarray(arr1), arr2, rtol, atol, equal_nan).all()


def apply_along_axis(
    func1d: Callable[..., Any],
    axis: int,
    arr: Any,
    *args: Any,
    dtype: Any = None,
    shape: Any = None,
    **kwargs: Any,
) -> Array:
    """Call a function with vectors along an axis, which becomes one block.

    Parameters
    ----------
    func1d : callable
        It is given a vector, and returns a scalar or an array.
    axis : int
        The axis.
    arr : Array
        The array.
    *args, **kwargs
        Given to the function.
    dtype : numpy.dtype, optional
        The type of what it returns; by default found by a call with ones.
    shape : tuple of int, optional
        The shape of what it returns; by default found by a call with ones.

    Returns
    -------
    Array
        The axes of what the function returns stand in the place of the axis.

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> da.apply_along_axis(np.ptp, 1, da.arange(6).reshape(2, 3)).compute()
    array([2, 2])
    """
    arr = asarray(arr)
    axis = _axis(axis, arr.ndim)
    if is_unknown(arr.chunks[axis]) and len(arr.chunks[axis]) > 1:
        raise ValueError(
            f"apply_along_axis: the length of axis {axis} is not known; call compute_chunk_sizes() "
            "first"
        )
    if dtype is None or shape is None:
        length = arr.shape[axis]
        one = np.ones(1 if length != length else length, arr.dtype)
        found = np.asarray(func1d(one, *args, **kwargs))
        dtype = found.dtype if dtype is None else dtype
        shape = found.shape if shape is None else shape
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if len(arr.chunks[axis]) > 1:
        arr = arr.rechunk({axis: -1, **_kept(arr, axis)})
    chunks = (
        *arr.chunks[:axis],
        *((length,) for length in shape),
        *arr.chunks[axis + 1 :],
    )
    maps: list[AxisMap] = [
        None if one == axis else one if one < axis else one + len(shape) - 1
        for one in builtins.range(arr.ndim)
    ]
    call = [Reading(arr._expr, maps), func1d, axis, shape, np.dtype(dtype), args, kwargs]
    meta = empty_like(arr._meta, len(chunks), dtype)
    token = (func1d, axis, shape, args, kwargs)
    return _array(
        Mapped("apply_along_axis", token, _kernels_shapes.along_vectors, call, chunks, meta)
    )


def _kept(arr: Array, axis: int) -> dict[int, Any]:
    return {one: arr.chunks[one] for one in builtins.range(arr.ndim) if one != axis}


def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Array:
    """Call a function with an array and one axis after the other.

    Parameters
    ----------
    func : callable
        ``func(array, axis)``; what it returns has as many axes, or one less.
    a : Array
        The array.
    axes : int or sequence of int
        The axes.

    Returns
    -------
    Array
        It has as many axes as `a`.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.apply_over_axes(da.sum, da.ones((2, 3)), [0, 1]).compute()
    array([[6.]])
    """
    a = asarray(a)
    result = a
    for one in [axes] if isinstance(axes, Integral) else list(axes):
        axis = _axis(one, a.ndim)
        found = asarray(func(result, axis))
        if found.ndim == result.ndim - 1:
            index = (slice(None),) * axis + (None,)
            found = found[index]
        if found.ndim != result.ndim:
            raise ValueError(
                f"apply_over_axes: the function returned {found.ndim} axes of {result.ndim}; it "
                "keeps them, or drops the one that it is given"
            )
        result = found
    return result


def shape(array: Any) -> tuple[Any, ...]:
    """Return the lengths of the axes.

    Parameters
    ----------
    array : Array
        The array.

    Returns
    -------
    tuple of int
        NaN where a length is not known.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.shape(da.ones((2, 3)))
    (2, 3)
    """
    return array.shape if isinstance(array, Array) else tuple(np.shape(array))


def ndim(a: Any) -> int:
    """Return the number of axes.

    Parameters
    ----------
    a : Array
        The array.

    Returns
    -------
    int

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.ndim(da.ones((2, 3)))
    2
    """
    return a.ndim if isinstance(a, Array) else int(np.ndim(a))


def unify_chunks(*args: Any, **kwargs: Any) -> tuple[dict[Any, Any], list[Any]]:
    """Return arrays in common chunks along the axes that share a label.

    Parameters
    ----------
    *args : Array and labels, in turns
        Arrays, and the labels of their axes: a text or a tuple. None stands for no array.
    **kwargs
        ``warn`` is taken for compatibility.

    Returns
    -------
    dict
        Lengths of blocks for each label.
    list of Array
        The arrays, in these chunks.

    Examples
    --------
    >>> import oxidask.array as da
    >>> chunks, arrays = da.unify_chunks(da.ones(4, chunks=2), "i", da.ones(4, chunks=3), "i")
    >>> chunks
    {'i': (2, 1, 1)}
    """
    unknown = set(kwargs) - {"warn"}
    if unknown:
        raise TypeError(f"unify_chunks: there is no argument {sorted(unknown)[0]!r}")
    if len(args) % 2:
        raise ValueError("unify_chunks: arrays and labels come in turns")
    pairs = list(zip(args[::2], args[1::2], strict=True))
    return _common(pairs)


def _common(pairs: Sequence[tuple[Any, Any]]) -> tuple[dict[Any, Any], list[Any]]:
    from oxidask.array._chunks import common_lengths

    arrays = [one if labels is None else asarray(one) for one, labels in pairs]
    every: dict[Any, list[tuple[Any, ...]]] = {}
    for one, (_, labels) in zip(arrays, pairs, strict=True):
        if labels is None:
            continue
        if len(labels) != one.ndim:
            raise ValueError(
                f"unify_chunks: {len(labels)} labels {labels!r} for an array of {one.ndim} axes"
            )
        for label, lengths in zip(labels, one.chunks, strict=True):
            every.setdefault(label, []).append(lengths)
    chunks: dict[Any, Any] = {}
    for label, found in every.items():
        # Axes of length one are broadcast.
        long = [lengths for lengths in found if sum(lengths) != 1] or found[:1]
        sums = {sum(lengths) for lengths in long if not is_unknown(lengths)}
        if len(sums) > 1:
            raise ValueError(
                f"unify_chunks: axes with the label {label!r} have {sorted(sums)} elements; they "
                "need as many"
            )
        chunks[label] = common_lengths(long)
    results: list[Any] = []
    for one, (_, labels) in zip(arrays, pairs, strict=True):
        if labels is None:
            results.append(one)
            continue
        wanted = tuple(
            own if sum(own) == 1 or is_unknown(own) else chunks[label]
            for label, own in zip(labels, one.chunks, strict=True)
        )
        results.append(_array(rechunk(one._expr, wanted)))
    return chunks, results
