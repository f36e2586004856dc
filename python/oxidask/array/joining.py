"""Arrays beside each other: nested blocks, rows, columns, what is put in and taken out."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from oxidask.array.core import Array, asarray, broadcast_to, concatenate
from oxidask.array.routines import _axis

__all__ = [
    "append",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block",
    "broadcast_arrays",
    "delete",
    "dstack",
    "hstack",
    "insert",
    "vstack",
]


def block(arrays: Any, allow_unknown_chunksizes: bool = False) -> Array:
    """Put an array together from nested lists of arrays.

    The innermost lists are joined along the last axis, those around them along the one before.

    Parameters
    ----------
    arrays : Array, or nested list of Array
        All lists are nested as deeply; arrays with fewer axes than that get some in front.
    allow_unknown_chunksizes : bool, default False
        Whether lengths may be unknown, and are taken to be alike.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> a, b = da.zeros((2, 1), dtype=int), da.ones((2, 2), dtype=int)
    >>> da.block([[a, b], [b, a]]).compute()
    array([[0, 1, 1],
           [0, 1, 1],
           [1, 1, 0],
           [1, 1, 0]])
    """
    depth = _depth(arrays, ())
    arrays = _as_arrays(arrays)
    ndim = max(depth, _most_axes(arrays))
    return _joined(arrays, depth, ndim, allow_unknown_chunksizes)


def _depth(arrays: Any, place: tuple[int, ...]) -> int:
    """Return how deeply lists are nested, which is the same everywhere."""
    where = "arrays" + "".join(f"[{one}]" for one in place)
    if isinstance(arrays, tuple):
        raise TypeError(f"block: {where} is a tuple; only lists are nested, so take a list")
    if not isinstance(arrays, list):
        return 0
    if not arrays:
        raise ValueError(f"block: the list {where} is empty; each has at least one array")
    depths = [_depth(one, (*place, at)) for at, one in enumerate(arrays)]
    if len(set(depths)) > 1:
        raise ValueError(
            f"block: lists are nested to depths {sorted(set(depths))} in {where}; all must be "
            "nested as deeply"
        )
    return 1 + depths[0]


def _as_arrays(arrays: Any) -> Any:
    return [_as_arrays(one) for one in arrays] if isinstance(arrays, list) else asarray(arrays)


def _most_axes(arrays: Any) -> int:
    return max(map(_most_axes, arrays)) if isinstance(arrays, list) else arrays.ndim


def _joined(arrays: Any, depth: int, ndim: int, allow_unknown: bool) -> Array:
    if not isinstance(arrays, list):
        return _with_axes(arrays, ndim)
    parts = [_joined(one, depth - 1, ndim, allow_unknown) for one in arrays]
    return concatenate(parts, ndim - depth, allow_unknown)


def _with_axes(array: Array, ndim: int) -> Array:
    """Return an array with axes in front until there are so many."""
    missing = ndim - array.ndim
    return array[(*(None,) * missing, ...)] if missing > 0 else array


def vstack(tup: Any, allow_unknown_chunksizes: bool = False) -> Array:
    """Put arrays below each other: join them along the first axis.

    Parameters
    ----------
    tup : sequence of Array
        Arrays; those with one axis are rows.
    allow_unknown_chunksizes : bool, default False
        Whether lengths may be unknown, and are taken to be alike.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.vstack([da.zeros(2), da.ones(2)]).compute()
    array([[0., 0.],
           [1., 1.]])
    """
    _check_sequence(tup, "vstack")
    rows = [_with_axes(asarray(one), 2) for one in tup]
    return concatenate(rows, 0, allow_unknown_chunksizes)


def hstack(tup: Any, allow_unknown_chunksizes: bool = False) -> Array:
    """Put arrays side by side: join them along the second axis, or the only one.

    Parameters
    ----------
    tup : sequence of Array
        Arrays.
    allow_unknown_chunksizes : bool, default False
        Whether lengths may be unknown, and are taken to be alike.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.hstack([da.zeros(2), da.ones(1)]).compute()
    array([0., 0., 1.])
    """
    _check_sequence(tup, "hstack")
    arrays = [_with_axes(asarray(one), 1) for one in tup]
    if all(one.ndim == 1 for one in arrays):
        return concatenate(arrays, 0, allow_unknown_chunksizes)
    return concatenate(arrays, 1, allow_unknown_chunksizes)


def dstack(tup: Any, allow_unknown_chunksizes: bool = False) -> Array:
    """Put arrays behind each other: join them along the third axis.

    Parameters
    ----------
    tup : sequence of Array
        Arrays, which get axes as by `atleast_3d`.
    allow_unknown_chunksizes : bool, default False
        Whether lengths may be unknown, and are taken to be alike.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.dstack([da.zeros(2), da.ones(2)]).shape
    (1, 2, 2)
    """
    _check_sequence(tup, "dstack")
    arrays = [_in_three_axes(asarray(one)) for one in tup]
    return concatenate(arrays, 2, allow_unknown_chunksizes)


def _check_sequence(tup: Any, name: str) -> None:
    if isinstance(tup, Array):
        raise NotImplementedError(f"{name}: give a list or tuple of arrays, not one array")


def _in_three_axes(array: Array) -> Array:
    if array.ndim == 0:
        return array[None, None, None]
    if array.ndim == 1:
        return array[None, :, None]
    return array[:, :, None] if array.ndim == 2 else array


def atleast_1d(*arys: Any) -> Any:
    """Return arrays with at least one axis.

    Parameters
    ----------
    *arys : Array
        Arrays.

    Returns
    -------
    Array, or tuple of Array
        A tuple for several.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.atleast_1d(da.asarray(5)).shape
    (1,)
    """
    return _one_or_many([_with_axes(asarray(one), 1) for one in arys])


def atleast_2d(*arys: Any) -> Any:
    """Return arrays with at least two axes; new ones stand in front.

    Parameters
    ----------
    *arys : Array
        Arrays.

    Returns
    -------
    Array, or tuple of Array
        A tuple for several.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.atleast_2d(da.ones(3)).shape
    (1, 3)
    """
    return _one_or_many([_with_axes(asarray(one), 2) for one in arys])


def atleast_3d(*arys: Any) -> Any:
    """Return arrays with at least three axes; the axis of a vector becomes the second one.

    Parameters
    ----------
    *arys : Array
        Arrays.

    Returns
    -------
    Array, or tuple of Array
        A tuple for several.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.atleast_3d(da.ones(3)).shape
    (1, 3, 1)
    """
    return _one_or_many([_in_three_axes(asarray(one)) for one in arys])


def _one_or_many(arrays: list[Array]) -> Any:
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def append(arr: Any, values: Any, axis: int | None = None) -> Array:
    """Join two arrays.

    Parameters
    ----------
    arr, values : Array
        The one and what comes behind it.
    axis : int, optional
        Along which axis; by default both are flattened.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.append(da.zeros(2), [1.0]).compute()
    array([0., 0., 1.])
    """
    arr, values = asarray(arr), asarray(values)
    if axis is None:
        return concatenate([arr.ravel(), values.ravel()], 0)
    return concatenate([arr, values], axis)


def insert(arr: Any, obj: Any, values: Any, axis: int) -> Array:
    """Put elements in before places of an axis.

    Parameters
    ----------
    arr : Array
        The array.
    obj : int, slice or sequence of int
        Before which places of `arr`.
    values : Array or scalar
        What is put in; it is broadcast.
    axis : int
        The axis.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.insert(da.arange(4), [1, 3], -1, axis=0).compute()
    array([ 0, -1,  1,  2, -1,  3])
    """
    arr = asarray(arr)
    if axis is None:
        raise NotImplementedError("insert(axis=None): ravel() the array first, and give axis=0")
    axis = _axis(axis, arr.ndim)
    length = _length(arr, axis, "insert")
    values = asarray(values).astype(arr.dtype)
    is_single = isinstance(obj, Integral) or (isinstance(obj, np.ndarray) and obj.ndim == 0)
    places = _places(obj, length, "insert", upto=length)
    wanted = list(arr.shape)
    if is_single:
        # As NumPy has it: the first axis of the values becomes that of the insertion.
        if values.ndim:
            values = _with_axes(values, arr.ndim)
            values = values.transpose([*range(1, axis + 1), 0, *range(axis + 1, arr.ndim)])
        wanted[axis] = values.shape[axis] if values.ndim else 1
        places = np.repeat(places, wanted[axis])
    else:
        wanted[axis] = len(places)
    values = broadcast_to(values, tuple(wanted))
    order = np.argsort(places, kind="stable")
    # The places of the result at which something new stands.
    new = np.empty(len(places), dtype=np.intp)
    new[order] = places[order] + np.arange(len(places))
    before = (slice(None),) * axis
    sorted_new = new[order]
    if len(order) and np.any(order[:-1] > order[1:]):
        values = values[(*before, order)]
    parts: list[Array] = []
    cuts = [0, *places[order].tolist(), length]
    begin = 0
    taken = 0
    while taken < len(sorted_new):
        place = cuts[taken + 1]
        last = taken
        while last < len(sorted_new) and cuts[last + 1] == place:
            last += 1
        parts.append(arr[(*before, slice(begin, place))])
        parts.append(values[(*before, slice(taken, last))])
        begin, taken = place, last
    parts.append(arr[(*before, slice(begin, length))])
    return concatenate([one for one in parts if one.shape[axis]] or parts[:1], axis)


def delete(arr: Any, obj: Any, axis: int) -> Array:
    """Take elements out of an axis.

    Parameters
    ----------
    arr : Array
        The array.
    obj : int, slice or sequence of int or bool
        Which places are left out.
    axis : int
        The axis.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.delete(da.arange(5), [1, 3], axis=0).compute()
    array([0, 2, 4])
    """
    arr = asarray(arr)
    if axis is None:
        raise NotImplementedError("delete(axis=None): ravel() the array first, and give axis=0")
    axis = _axis(axis, arr.ndim)
    length = _length(arr, axis, "delete")
    places = _places(obj, length, "delete", upto=length - 1)
    keep = np.ones(length, dtype=bool)
    keep[places] = False
    before = (slice(None),) * axis
    kept = np.flatnonzero(keep)
    if len(kept) and kept[-1] - kept[0] == len(kept) - 1:
        return arr[(*before, slice(int(kept[0]), int(kept[-1]) + 1))]
    return arr[(*before, kept)]


def _length(array: Array, axis: int, name: str) -> int:
    length = array.shape[axis]
    if length != length:
        raise ValueError(
            f"{name}: the length of axis {axis} is not known; call compute_chunk_sizes() first"
        )
    return int(length)


def _places(obj: Any, length: int, name: str, upto: int) -> np.ndarray[Any, Any]:
    """Return places of an axis, counted from 0."""
    if isinstance(obj, slice):
        return np.arange(*obj.indices(length))
    if isinstance(obj, Array):
        raise NotImplementedError(f"{name}: places that are lazy; compute() them first")
    found = np.atleast_1d(np.asarray(obj))
    if found.ndim != 1:
        raise ValueError(f"{name}: places stand in one axis, not in {found.ndim}")
    if found.dtype == bool:
        if len(found) != length:
            raise ValueError(f"{name}: {len(found)} truth values for an axis of {length} elements")
        return np.flatnonzero(found)
    if not found.size:
        return np.empty(0, dtype=np.intp)
    if found.dtype.kind not in "iu":
        raise IndexError(f"{name}: places are ints or truth values, not {found.dtype}")
    bad = found[(found < -length) | (found > upto)]
    if bad.size:
        raise IndexError(f"index {bad[0]} is out of bounds for axis with size {length}")
    return np.where(found < 0, found + length, found).astype(np.intp)


def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Array, ...]:
    """Repeat arrays so that all have one shape.

    Parameters
    ----------
    *args : Array
        Arrays.
    subok : bool, default False
        Taken for compatibility: blocks stay of the type that they have.

    Returns
    -------
    tuple of Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> [one.shape for one in da.broadcast_arrays(da.ones(3), da.ones((2, 1)))]
    [(2, 3), (2, 3)]
    """
    from oxidask.array._expressions import broadcast_chunks, rechunked_to
    from oxidask.array.core import _array

    arrays = [asarray(one) for one in args]
    if not arrays:
        return ()
    chunks = broadcast_chunks([one._expr for one in arrays])
    shape = tuple(map(sum, chunks))
    return tuple(
        broadcast_to(_array(rechunked_to(one._expr, chunks)), shape, chunks) for one in arrays
    )
