"""Diagonals and triangles of matrices, and grids of places."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from oxidask.array import _kernels_shapes
from oxidask.array._chunks import check_block_size, is_unknown, normalize_chunks, starts_of
from oxidask.array._expressions import AxisMap, along, empty_like, meta_of
from oxidask.array._mapped import Mapped, Reading
from oxidask.array.core import Array, _array, asarray, broadcast_to, stack
from oxidask.array.creation import arange, empty
from oxidask.array.routines import _axis
from oxidask.array.selection import nonzero

__all__ = [
    "diag",
    "diagonal",
    "fromfunction",
    "indices",
    "meshgrid",
    "trace",
    "tri",
    "tril",
    "tril_indices",
    "tril_indices_from",
    "triu",
    "triu_indices",
    "triu_indices_from",
]


def diag(v: Any, k: int = 0) -> Array:
    """Make a matrix of its diagonal, or return the diagonal of a matrix.

    Parameters
    ----------
    v : Array
        A vector, or a matrix.
    k : int, default 0
        Which diagonal: above the main one if positive.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.diag(da.asarray([1, 2])).compute()
    array([[1, 0],
           [0, 2]])
    """
    v = asarray(v)
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ValueError(f"diag: an array of one axis or two is needed, not of {v.ndim}")
    lengths = v.chunks[0]
    if is_unknown(lengths):
        raise ValueError("diag: the length is not known; call compute_chunk_sizes() first")
    behind, before = (*lengths, *([abs(k)] if k else [])), (*([abs(k)] if k else []), *lengths)
    rows, columns = (behind, before) if k >= 0 else (before, behind)
    own = range(len(lengths))
    # Blocks beside the vector read one of its blocks, which they do not need.
    along_rows = [*own, *([0] if k else [])] if k >= 0 else [0, *own]
    args = [
        Reading(v._expr, [(0, list(along_rows))]),
        along(0, starts_of(rows)[:-1]),
        along(1, starts_of(columns)[:-1]),
        (along(0, rows), along(1, columns)),
        k,
    ]
    meta = empty_like(v._meta, 2)
    return _array(Mapped("diag", k, _kernels_shapes.diagonal_block, args, (rows, columns), meta))


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Return diagonals of matrices that stand in two axes.

    Parameters
    ----------
    a : Array
        The array.
    offset : int, default 0
        Which diagonal: above the main one if positive.
    axis1, axis2 : int
        The axes of the matrices.

    Returns
    -------
    Array
        The diagonals are its last axis.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.diagonal(da.arange(9).reshape(3, 3)).compute()
    array([0, 4, 8])
    """
    a = asarray(a)
    if a.ndim < 2:
        raise ValueError(f"diagonal: an array of at least two axes is needed, not of {a.ndim}")
    one, other = _axis(axis1, a.ndim), _axis(axis2, a.ndim)
    if one == other:
        raise ValueError(f"diagonal: axis1 and axis2 differ, not both {axis1}")
    if is_unknown(a.chunks[one]) or is_unknown(a.chunks[other]):
        raise ValueError("diagonal: lengths are not known; call compute_chunk_sizes() first")
    places = _blocks_on_diagonal(starts_of(a.chunks[one]), starts_of(a.chunks[other]), offset)
    last = a.ndim - 2
    maps: list[AxisMap] = []
    rest = 0
    for axis in range(a.ndim):
        if axis in (one, other):
            maps.append((last, [place[axis == other] for place in places]))
        else:
            maps.append(rest)
            rest += 1
    kept = [axis for axis in range(a.ndim) if axis not in (one, other)]
    chunks = (*(a.chunks[axis] for axis in kept), tuple(place[3] for place in places))
    args = [Reading(a._expr, maps), along(last, [place[2] for place in places]), one, other]
    meta = empty_like(a._meta, a.ndim - 1)
    token = (offset, one, other)
    return _array(Mapped("diagonal", token, np.diagonal, args, chunks, meta))


def _blocks_on_diagonal(
    rows: list[int], columns: list[int], offset: int
) -> list[tuple[int, int, int, int]]:
    """Return the blocks on a diagonal: row, column, which diagonal of theirs, how long it is."""
    found = []
    i = j = 0
    while i < len(rows) - 1 and j < len(columns) - 1:
        begin = max(rows[i], columns[j] - offset)
        end = min(rows[i + 1], columns[j + 1] - offset)
        if end > begin:
            found.append((i, j, offset + rows[i] - columns[j], end - begin))
        if rows[i + 1] <= columns[j + 1] - offset:
            i += 1
        else:
            j += 1
    # A diagonal beside the matrix has no elements; some block's has none, either.
    return found or [(0, 0, max(rows[-1], columns[-1]) + 1, 0)]


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Array:
    """Return the sums of diagonals.

    Parameters
    ----------
    a : Array
        The array.
    offset : int, default 0
        Which diagonal: above the main one if positive.
    axis1, axis2 : int
        The axes of the matrices.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.trace(da.arange(9).reshape(3, 3)).compute())
    12
    """
    return diagonal(a, offset, axis1, axis2).sum(axis=-1, dtype=dtype)


def tri(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: Any = float,
    chunks: Any = "auto",
    *,
    like: Any = None,
) -> Array:
    """Return ones on a diagonal and below it, and zeros elsewhere.

    Parameters
    ----------
    N : int
        Rows.
    M : int, optional
        Columns, by default as many as rows.
    k : int, default 0
        Which diagonal: above the main one if positive.
    dtype : numpy.dtype, default float
        The type of the elements.
    chunks : int, tuple or str, default "auto"
        See `normalize_chunks`.
    like : None
        Not supported: raises NotImplementedError.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.tri(3, dtype=int, chunks=2).compute()
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    """
    if like is not None:
        raise NotImplementedError("tri(like=): convert the blocks with map_blocks")
    dtype = np.dtype(dtype)
    spelled = normalize_chunks(chunks, (N, N if M is None else M), dtype=dtype)
    check_block_size(spelled, dtype)
    args = [
        along(0, starts_of(spelled[0])[:-1]),
        along(1, starts_of(spelled[1])[:-1]),
        (along(0, spelled[0]), along(1, spelled[1])),
        k,
        dtype,
    ]
    meta = np.empty((0, 0), dtype)
    token = (k, spelled, dtype)
    return _array(Mapped("tri", token, _kernels_shapes.triangle, args, spelled, meta))


def tril(m: Any, k: int = 0) -> Array:
    """Return matrices with zeros above a diagonal.

    Parameters
    ----------
    m : Array
        The matrices stand in the last two axes; a vector is each row of one.
    k : int, default 0
        Which diagonal: above the main one if positive.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.tril(da.ones((2, 2), dtype=int)).compute()
    array([[1, 0],
           [1, 1]])
    """
    return _triangle_of("tril", np.tril, m, k)


def triu(m: Any, k: int = 0) -> Array:
    """Return matrices with zeros below a diagonal.

    Parameters
    ----------
    m : Array
        The matrices stand in the last two axes; a vector is each row of one.
    k : int, default 0
        Which diagonal: above the main one if positive.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.triu(da.ones((2, 2), dtype=int)).compute()
    array([[1, 1],
           [0, 1]])
    """
    return _triangle_of("triu", np.triu, m, k)


def _triangle_of(label: str, function: Callable[..., Any], m: Any, k: int) -> Array:
    m = asarray(m)
    if not m.ndim:
        raise ValueError(f"{label}: an array of at least one axis is needed")
    if m.ndim == 1:
        m = broadcast_to(m, (len(m), len(m)), (m.chunks[0],) * 2)
    if is_unknown(m.chunks[-1]) or is_unknown(m.chunks[-2]):
        raise ValueError(f"{label}: lengths are not known; call compute_chunk_sizes() first")
    rows, columns = m.ndim - 2, m.ndim - 1
    args = [
        Reading(m._expr, range(m.ndim)),
        along(rows, starts_of(m.chunks[-2])[:-1]),
        along(columns, starts_of(m.chunks[-1])[:-1]),
        function,
        k,
    ]
    token = (label, k)
    return _array(Mapped(label, token, _kernels_shapes.triangle_of, args, m.chunks, m._meta))


def tril_indices(n: int, k: int = 0, m: int | None = None, chunks: Any = "auto") -> Any:
    """Return the places on a diagonal and below it.

    Parameters
    ----------
    n : int
        Rows.
    k : int, default 0
        Which diagonal: above the main one if positive.
    m : int, optional
        Columns, by default as many as rows.
    chunks : int, tuple or str, default "auto"
        Chunks of the matrix; see `normalize_chunks`.

    Returns
    -------
    tuple of two Array
        Their lengths are not known before computing.

    Examples
    --------
    >>> import oxidask.array as da
    >>> [one.compute().tolist() for one in da.tril_indices(2)]
    [[0, 1, 1], [0, 0, 1]]
    """
    return nonzero(tri(n, m, k, dtype=bool, chunks=chunks))


def tril_indices_from(arr: Any, k: int = 0) -> Any:
    """Return the places on a diagonal of a matrix and below it.

    Parameters
    ----------
    arr : Array
        The matrix.
    k : int, default 0
        Which diagonal: above the main one if positive.

    Returns
    -------
    tuple of two Array
        Their lengths are not known before computing.

    Examples
    --------
    >>> import oxidask.array as da
    >>> [one.compute().tolist() for one in da.tril_indices_from(da.ones((2, 2)))]
    [[0, 1, 1], [0, 0, 1]]
    """
    rows, columns, chunks = _of_matrix(arr, "tril_indices_from")
    return tril_indices(rows, k, columns, chunks)


def triu_indices(n: int, k: int = 0, m: int | None = None, chunks: Any = "auto") -> Any:
    """Return the places on a diagonal and above it.

    Parameters
    ----------
    n : int
        Rows.
    k : int, default 0
        Which diagonal: above the main one if positive.
    m : int, optional
        Columns, by default as many as rows.
    chunks : int, tuple or str, default "auto"
        Chunks of the matrix; see `normalize_chunks`.

    Returns
    -------
    tuple of two Array
        Their lengths are not known before computing.

    Examples
    --------
    >>> import oxidask.array as da
    >>> [one.compute().tolist() for one in da.triu_indices(2)]
    [[0, 0, 1], [0, 1, 1]]
    """
    return nonzero(~tri(n, m, k - 1, dtype=bool, chunks=chunks))


def triu_indices_from(arr: Any, k: int = 0) -> Any:
    """Return the places on a diagonal of a matrix and above it.

    Parameters
    ----------
    arr : Array
        The matrix.
    k : int, default 0
        Which diagonal: above the main one if positive.

    Returns
    -------
    tuple of two Array
        Their lengths are not known before computing.

    Examples
    --------
    >>> import oxidask.array as da
    >>> [one.compute().tolist() for one in da.triu_indices_from(da.ones((2, 2)))]
    [[0, 0, 1], [0, 1, 1]]
    """
    rows, columns, chunks = _of_matrix(arr, "triu_indices_from")
    return triu_indices(rows, k, columns, chunks)


def _of_matrix(arr: Any, name: str) -> tuple[int, int, Any]:
    arr = asarray(arr)
    if arr.ndim != 2:
        raise ValueError(f"{name}: a matrix is needed, not an array of {arr.ndim} axes")
    return arr.shape[0], arr.shape[1], arr.chunks


def indices(dimensions: Any, dtype: Any = int, chunks: Any = "auto") -> Array:
    """Return the places of a grid, along each of its axes.

    Parameters
    ----------
    dimensions : tuple of int
        The shape of the grid.
    dtype : numpy.dtype, default int
        The type of the elements.
    chunks : int, tuple or str, default "auto"
        Chunks of the grid; see `normalize_chunks`.

    Returns
    -------
    Array
        Its first axis has an entry for each axis of the grid.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.indices((2, 2), chunks=1).compute().tolist()
    [[[0, 0], [1, 1]], [[0, 1], [0, 1]]]
    """
    shape = tuple(dimensions)
    dtype = np.dtype(dtype)
    if not shape:
        return empty((0,), dtype=dtype)
    spelled = normalize_chunks(chunks, shape, dtype=dtype)
    return stack(_grids(shape, dtype, spelled))


def _grids(shape: tuple[int, ...], dtype: Any, chunks: Any) -> list[Array]:
    axes = [
        arange(length, dtype=dtype, chunks=(lengths,))
        for length, lengths in zip(shape, chunks, strict=True)
    ]
    return list(meshgrid(*axes, indexing="ij"))


def meshgrid(*xi: Any, sparse: bool = False, indexing: str = "xy", **kwargs: Any) -> Any:
    """Return grids of coordinates, of the coordinates along each axis.

    Parameters
    ----------
    *xi : Array
        The coordinates along each axis.
    sparse : bool, default False
        Whether grids keep length one along the axes of others, and are to be broadcast.
    indexing : {"xy", "ij"}, default "xy"
        Whether the first coordinates run along the second axis, or along the first.
    **kwargs
        ``copy`` is taken for compatibility.

    Returns
    -------
    tuple of Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> [one.compute().tolist() for one in da.meshgrid(da.arange(2), da.arange(3))]
    [[[0, 1], [0, 1], [0, 1]], [[0, 0], [1, 1], [2, 2]]]
    """
    unknown = set(kwargs) - {"copy"}
    if unknown:
        raise TypeError(f"meshgrid: there is no argument {sorted(unknown)[0]!r}")
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing is 'xy' or 'ij', not {indexing!r}")
    vectors = [asarray(one).ravel() for one in xi]
    order = list(range(len(vectors)))
    if indexing == "xy" and len(order) > 1:
        order[0], order[1] = 1, 0
    # Axis `order[i]` of the grids belongs to vector i.
    grids = [
        one[tuple(slice(None) if axis == order[place] else None for axis in range(len(order)))]
        for place, one in enumerate(vectors)
    ]
    if sparse:
        return tuple(grids)
    chunks = tuple(vectors[order.index(axis)].chunks[0] for axis in range(len(order)))
    shape = tuple(builtins.sum(lengths) for lengths in chunks)
    return tuple(broadcast_to(one, shape, chunks) for one in grids)


def fromfunction(
    func: Callable[..., Any],
    chunks: Any = "auto",
    shape: Any = None,
    dtype: Any = None,
    **kwargs: Any,
) -> Array:
    """Make an array by a function of places, called with those of each block.

    Parameters
    ----------
    func : callable
        It is given an array of places for each axis, and returns elements.
    chunks : int, tuple or str, default "auto"
        See `normalize_chunks`.
    shape : tuple of int
        The shape.
    dtype : numpy.dtype, optional
        The type of the places, by default float.
    **kwargs
        Given to the function.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.fromfunction(lambda i, j: 10 * i + j, shape=(2, 2), dtype=int, chunks=1).compute()
    array([[ 0,  1],
           [10, 11]])
    """
    if shape is None:
        raise TypeError("fromfunction: say the shape: shape=(…)")
    shape = tuple(shape)
    dtype = np.dtype(float if dtype is None else dtype)
    spelled = normalize_chunks(chunks, shape, dtype=dtype)
    ones = [np.ones((1,) * len(shape), dtype)] * len(shape)
    meta = empty_like(np.asarray(meta_of(func, *ones, **kwargs)), len(shape))
    starts = tuple(along(axis, starts_of(lengths)[:-1]) for axis, lengths in enumerate(spelled))
    lengths = tuple(along(axis, one) for axis, one in enumerate(spelled))
    args = [func, starts, lengths, dtype, kwargs]
    token = (func, spelled, dtype, kwargs)
    return _array(Mapped("fromfunction", token, _kernels_shapes.of_places, args, spelled, meta))
