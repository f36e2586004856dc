"""Arrays made from nothing: filled, ranges, identities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from oxidask.array import _kernels
from oxidask.array._chunks import check_block_size, normalize_chunks, starts_of
from oxidask.array._expressions import Creation, Expression, Ranged, along
from oxidask.array.core import Array, _array, asarray, renamed
from oxidask.tokenize import tokenize

__all__ = [
    "arange",
    "array",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple | list):
        shape = (shape,)
    result = tuple(one.__index__() for one in shape)
    if any(one < 0 for one in result):
        raise ValueError(f"shape: lengths are not negative: {result}")
    return result


def _filled(
    label: str,
    function: Callable[..., Any],
    shape: Any,
    dtype: Any,
    chunks: Any,
    name: str | None,
    order: str,
    *args: Any,
) -> Array:
    shape = _shape(shape)
    dtype = np.dtype(float if dtype is None else dtype)
    spelled = normalize_chunks(chunks, shape, dtype=dtype)
    check_block_size(spelled, dtype)
    meta = np.empty((0,) * len(shape), dtype)
    result = _array(Creation(label, spelled, meta, function, *args, dtype, order))
    return result if name is None else renamed(result, name)


def ones(
    shape: Any,
    dtype: Any = None,
    order: str = "C",
    *,
    chunks: Any = "auto",
    name: str | None = None,
    meta: Any = None,
) -> Array:
    """Return an array of ones.

    Parameters
    ----------
    shape : int or tuple of int
        Elements along each axis.
    dtype : numpy.dtype, optional
        The type of the elements, by default float.
    order : {"C", "F"}
        How elements stand in memory within a block.
    chunks : int, tuple, dict or str, default "auto"
        See `normalize_chunks`.
    name : str, optional
        The name of the array.
    meta : array, optional
        An empty array of the type of the blocks; only NumPy's is supported.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.ones((2, 2), chunks=1).sum().compute())
    4.0
    """
    _check_meta(meta)
    return _filled("ones", _kernels.ones, shape, dtype, chunks, name, order)


def zeros(
    shape: Any,
    dtype: Any = None,
    order: str = "C",
    *,
    chunks: Any = "auto",
    name: str | None = None,
    meta: Any = None,
) -> Array:
    """Return an array of zeros.

    Parameters
    ----------
    shape, dtype, order, chunks, name, meta
        As for `ones`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.zeros(3, dtype=int).compute()
    array([0, 0, 0])
    """
    _check_meta(meta)
    return _filled("zeros", _kernels.zeros, shape, dtype, chunks, name, order)


def empty(
    shape: Any,
    dtype: Any = None,
    order: str = "C",
    *,
    chunks: Any = "auto",
    name: str | None = None,
    meta: Any = None,
) -> Array:
    """Return an array whose elements are whatever was in memory.

    Parameters
    ----------
    shape, dtype, order, chunks, name, meta
        As for `ones`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.empty((2, 3)).compute().shape
    (2, 3)
    """
    _check_meta(meta)
    return _filled("empty", _kernels.empty, shape, dtype, chunks, name, order)


def full(
    shape: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "C",
    *,
    chunks: Any = "auto",
    name: str | None = None,
    meta: Any = None,
) -> Array:
    """Return an array of one value.

    Parameters
    ----------
    shape : int or tuple of int
        Elements along each axis.
    fill_value : scalar
        The value.
    dtype : numpy.dtype, optional
        The type of the elements, by default that of the value.
    order, chunks, name, meta
        As for `ones`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.full(2, 7).compute()
    array([7, 7])
    """
    _check_meta(meta)
    if np.ndim(fill_value):
        raise ValueError(
            f"full: the value is a scalar, not {fill_value!r}; use broadcast_to for arrays"
        )
    if dtype is None:
        dtype = np.asarray(fill_value).dtype
    return _filled("full", _kernels.fill, shape, dtype, chunks, name, order, fill_value)


def _check_meta(meta: Any) -> None:
    if meta is not None and not isinstance(meta, np.ndarray) and meta is not np.ndarray:
        raise NotImplementedError(
            f"meta={meta!r}: blocks are made by NumPy; convert them with map_blocks"
        )


def _like(
    make: Callable[..., Array], a: Any, dtype: Any, chunks: Any, name: Any, shape: Any, *args: Any
) -> Array:
    a = a if isinstance(a, Array) else asarray(a)
    if chunks is None:
        chunks = a.chunks if shape is None or tuple(_shape(shape)) == a.shape else "auto"
    shape = a.shape if shape is None else shape
    if any(one != one for one in np.atleast_1d(np.asarray(shape, dtype=float))):
        raise ValueError(f"the shape {shape} is not known; call compute_chunk_sizes() first")
    return make(shape, *args, dtype=dtype or a.dtype, chunks=chunks, name=name)


def ones_like(
    a: Any,
    dtype: Any = None,
    order: str = "C",
    chunks: Any = None,
    name: str | None = None,
    shape: Any = None,
) -> Array:
    """Return ones with the shape, type and chunks of another array.

    Parameters
    ----------
    a : Array
        The other array.
    dtype, order, chunks, name, shape
        Instead of its own.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.ones_like(da.zeros((2, 4), chunks=2)).chunks
    ((2,), (2, 2))
    """
    return _like(ones, a, dtype, chunks, name, shape)


def zeros_like(
    a: Any,
    dtype: Any = None,
    order: str = "C",
    chunks: Any = None,
    name: str | None = None,
    shape: Any = None,
) -> Array:
    """Return zeros with the shape, type and chunks of another array.

    Parameters
    ----------
    a : Array
        The other array.
    dtype, order, chunks, name, shape
        Instead of its own.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.zeros_like(da.arange(3)).compute()
    array([0, 0, 0])
    """
    return _like(zeros, a, dtype, chunks, name, shape)


def empty_like(
    a: Any,
    dtype: Any = None,
    order: str = "C",
    chunks: Any = None,
    name: str | None = None,
    shape: Any = None,
) -> Array:
    """Return an array of whatever is in memory, with the shape, type and chunks of another.

    Parameters
    ----------
    a : Array
        The other array.
    dtype, order, chunks, name, shape
        Instead of its own.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.empty_like(da.arange(3)).shape
    (3,)
    """
    return _like(empty, a, dtype, chunks, name, shape)


def full_like(
    a: Any,
    fill_value: Any,
    order: str = "C",
    dtype: Any = None,
    chunks: Any = None,
    name: str | None = None,
    shape: Any = None,
) -> Array:
    """Return one value with the shape, type and chunks of another array.

    Parameters
    ----------
    a : Array
        The other array.
    fill_value : scalar
        The value.
    dtype, order, chunks, name, shape
        Instead of its own.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.full_like(da.arange(2), 5).compute()
    array([5, 5])
    """
    return _like(full, a, dtype, chunks, name, shape, fill_value)


def arange(
    start: Any = None,
    /,
    stop: Any = None,
    step: Any = 1,
    *,
    chunks: Any = "auto",
    like: Any = None,
    dtype: Any = None,
) -> Array:
    """Return a range.

    Parameters
    ----------
    start : scalar, optional
        The first element, by default 0. A single argument is `stop`.
    stop : scalar
        Where the range ends; it is not part of it.
    step : scalar, default 1
        From one element to the next.
    chunks : int, tuple or str, default "auto"
        See `normalize_chunks`.
    like : None
        Not supported: raises NotImplementedError.
    dtype : numpy.dtype, optional
        The type of the elements.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.arange(2, 10, 3, chunks=2).compute()
    array([2, 5, 8])
    """
    if like is not None:
        raise NotImplementedError("arange(like=): convert the blocks with map_blocks")
    if stop is None:
        start, stop = 0, start
    if start is None:
        start = 0
    if stop is None:
        raise TypeError("arange: say where the range ends")
    if dtype is None:
        dtype = np.arange(start, start + 0 * step, step).dtype
        dtype = np.result_type(dtype, np.asarray(stop).dtype) if np.ndim(stop) == 0 else dtype
        if all(isinstance(one, int) for one in (start, stop, step)):
            dtype = np.arange(0, 1, 1).dtype
    dtype = np.dtype(dtype)
    length = max(0, int(np.ceil((stop - start) / step)))
    spelled = normalize_chunks(chunks, (length,), dtype=dtype)
    meta = np.empty(0, dtype)
    return _array(Ranged("arange", spelled, meta, _kernels.arange, start, step, dtype))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    chunks: Any = "auto",
    dtype: Any = None,
) -> Any:
    """Return evenly spaced elements.

    Parameters
    ----------
    start, stop : scalar
        The first element and the last.
    num : int, default 50
        How many elements there are.
    endpoint : bool, default True
        Whether `stop` is one of them.
    retstep : bool, default False
        Whether the distance is returned, too.
    chunks : int, tuple or str, default "auto"
        See `normalize_chunks`.
    dtype : numpy.dtype, optional
        The type of the elements.

    Returns
    -------
    Array, or tuple of Array and float

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.linspace(0, 1, 5, chunks=2).compute()
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    num = num.__index__()
    if num < 0:
        raise ValueError(f"linspace: the number of elements is not negative: num={num}")
    spaces = num - 1 if endpoint else num
    step = (stop - start) / spaces if spaces > 0 else np.nan
    if dtype is None:
        dtype = np.linspace(start, stop, 1).dtype
    dtype = np.dtype(dtype)
    spelled = normalize_chunks(chunks, (num,), dtype=dtype)
    meta = np.empty(0, dtype)
    args = (start, stop, num, endpoint, dtype)
    result = _array(Ranged("linspace", spelled, meta, _kernels.linspace, *args))
    return (result, step) if retstep else result


class _Eye(Expression):
    """Ones on a diagonal."""

    __slots__ = ("k",)

    def __init__(self, chunks: Any, k: int, dtype: np.dtype[Any]) -> None:
        name = f"eye-{tokenize(chunks, k, dtype)}"
        super().__init__(name, chunks, np.empty((0, 0), dtype))
        self.k = k

    def _lower(self) -> Any:
        rows, columns = (along(axis, starts_of(one)[:-1]) for axis, one in enumerate(self.chunks))
        shape = tuple(along(axis, one) for axis, one in enumerate(self.chunks))
        return self._call(_kernels.eye, rows, columns, shape, self.k, self.meta.dtype, cheap=True)


def eye(
    N: int, chunks: Any = "auto", M: int | None = None, k: int = 0, dtype: Any = float
) -> Array:
    """Return ones on a diagonal, and zeros elsewhere.

    Parameters
    ----------
    N : int
        Rows.
    chunks : int, tuple or str, default "auto"
        See `normalize_chunks`.
    M : int, optional
        Columns, by default as many as rows.
    k : int, default 0
        Which diagonal: above the main one if positive.
    dtype : numpy.dtype, default float
        The type of the elements.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.eye(3, chunks=2).sum().compute())
    3.0
    """
    dtype = np.dtype(dtype)
    spelled = normalize_chunks(chunks, (N, N if M is None else M), dtype=dtype)
    return _array(_Eye(spelled, k, dtype))


def array(x: Any, dtype: Any = None, ndmin: int | None = None, *, like: Any = None) -> Array:
    """Return a lazy array of anything, with at least so many axes.

    Parameters
    ----------
    x : object
        See `asarray`.
    dtype : numpy.dtype, optional
        The type of the elements.
    ndmin : int, optional
        Axes of length one are put in front until there are so many.
    like : None
        Not supported: raises NotImplementedError.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.array([1, 2], ndmin=2).shape
    (1, 2)
    """
    result = asarray(x, dtype=dtype, like=like)
    while ndmin is not None and result.ndim < ndmin:
        result = result[None]
    return result
