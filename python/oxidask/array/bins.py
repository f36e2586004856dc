"""Which elements there are, how many of each, and in which bins they lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from oxidask.array import _kernels, _kernels_shapes
from oxidask.array._chunks import Chunks, is_unknown, starts_of
from oxidask.array._expressions import Expression, along, empty_like, own_axes
from oxidask.array._mapped import Mapped, Reading
from oxidask.array._rechunk import rechunk
from oxidask.array.core import Array, _array, asarray, concatenate, elemwise
from oxidask.array.reductions import Reduction, _split

__all__ = [
    "bincount",
    "digitize",
    "histogram",
    "histogram2d",
    "histogramdd",
    "isin",
    "ravel_multi_index",
    "searchsorted",
    "union1d",
    "unique",
    "unravel_index",
]


def digitize(a: Any, bins: Any, right: bool = False) -> Array:
    """Return the number of the bin in which each element lies.

    Parameters
    ----------
    a : Array
        The array.
    bins : array
        Where bins begin, sorted up or down; no lazy array.
    right : bool, default False
        Whether an element at a boundary belongs to the bin that ends there.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.digitize(da.asarray([0.5, 3.0]), [1, 2]).compute()
    array([0, 2])
    """
    bins = np.asarray(bins)
    if bins.ndim != 1:
        raise ValueError(f"digitize: bins have one axis, not {bins.ndim}")
    np.digitize(np.ones(0), bins, right)
    return elemwise(
        _kernels_shapes.With(np.digitize, bins=bins, right=right),
        asarray(a),
        meta_dtype=np.intp,
    )


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Array:
    """Return before which places of a sorted array elements belong.

    Parameters
    ----------
    a : Array
        A sorted array of one axis.
    v : Array
        The elements.
    side : {"left", "right"}, default "left"
        Whether the first such place is returned, or the last.
    sorter : None
        Not supported: raises NotImplementedError.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.searchsorted(da.arange(10, chunks=3), da.asarray([4, 11])).compute()
    array([ 4, 10])
    """
    a, v = asarray(a), asarray(v)
    if a.ndim != 1:
        raise ValueError(f"searchsorted: the sorted array has one axis, not {a.ndim}")
    if sorter is not None:
        raise NotImplementedError("searchsorted(sorter=): pick by it first, a[sorter]")
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side is 'left' or 'right', not {side!r}")
    # In each block of the sorted array as many are before it as there are places; the sum counts.
    count = len(a.chunks[0])
    shifted = [axis + 1 for axis in own_axes(v._expr)]
    args = [Reading(a._expr, [0]), Reading(v._expr, shifted), side]
    chunks = ((1,) * count, *v.chunks)
    meta = empty_like(a._meta, v.ndim + 1, np.intp)
    parts = Mapped("searchsorted", side, _kernels_shapes.places_in_block, args, chunks, meta)
    return _array(parts).sum(axis=0, dtype=np.intp)


def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: Any = None,
) -> Array:
    """Say for each element whether it is among others.

    Parameters
    ----------
    element : Array
        The elements.
    test_elements : Array
        The others.
    assume_unique : bool, default False
        Taken for compatibility.
    invert : bool, default False
        Whether to say whether it is not.
    kind : {None, "sort", "table"}, optional
        How NumPy finds out in each block.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.isin(da.arange(4), [1, 3]).compute()
    array([False,  True, False,  True])
    """
    element = asarray(element)
    if kind not in (None, "sort", "table"):
        raise ValueError(f"isin: kind is None, 'sort' or 'table', not {kind!r}")
    others = asarray(test_elements).ravel()
    count = len(others.chunks[0])
    if count > 1:
        # Whole elements at once, if they are few; else block by block.
        args = [
            Reading(element._expr, [axis + 1 for axis in own_axes(element._expr)]),
            Reading(others._expr, [0]),
            kind,
        ]
        chunks = ((1,) * count, *element.chunks)
        meta = empty_like(element._meta, element.ndim + 1, bool)
        parts = Mapped("isin", kind, _kernels_shapes.is_in_block, args, chunks, meta)
        found = _array(parts).any(axis=0)
    else:
        args = [
            Reading(element._expr, own_axes(element._expr)),
            Reading(others._expr, [None]),
            kind,
        ]
        meta = empty_like(element._meta, element.ndim, bool)
        found = _array(Mapped("isin", kind, _kernels_shapes.is_in, args, element.chunks, meta))
    return elemwise(np.logical_not, found) if invert else found


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> Any:
    """Return the different elements, sorted.

    Parameters
    ----------
    ar : Array
        The array, which is flattened.
    return_index : bool, default False
        Whether to return where each stands first, too.
    return_inverse : bool, default False
        Whether to return for each element of `ar` which it is, too.
    return_counts : bool, default False
        Whether to return how often each is there, too.

    Returns
    -------
    Array, or tuple of Array
        Their length is not known before computing, but that of the inverse.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.unique(da.asarray([3, 1, 3])).compute()
    array([1, 3])
    """
    ar = asarray(ar)
    flat = ar.ravel()
    if is_unknown(flat.chunks[0]) and return_index:
        raise ValueError(
            "unique: lengths of the array are not known, so places are not; call "
            "compute_chunk_sizes() on it first"
        )
    known = not is_unknown(flat.chunks[0])
    starts = along(0, starts_of(flat.chunks[0])[:-1]) if known else 0
    wants = (return_index, return_counts)
    args = [Reading(flat._expr, [0]), starts, *wants]
    parts = Mapped("unique", wants, _kernels_shapes.unique, args, flat.chunks, flat._meta)
    # The results of blocks are merged by a tree; what comes out is one block of several arrays.
    whole = Reduction(
        "unique",
        parts,
        (0,),
        True,
        flat._meta,
        _split(None, (0,), 1),
        (_kernels_shapes.itself, ()),
        (_kernels_shapes.merged_unique, ()),
        (_kernels_shapes.merged_unique, ()),
        np.nan,
    )
    values = _item(whole, 0, flat._meta)
    results = [values]
    if return_index:
        results.append(_item(whole, 1, empty_like(flat._meta, 1, np.intp)))
    if return_inverse:
        inverse = [Reading(flat._expr, [0]), Reading(values._expr, [None])]
        meta = empty_like(flat._meta, 1, np.intp)
        found = Mapped(
            "unique-inverse", None, _kernels_shapes.places_among, inverse, flat.chunks, meta
        )
        results.append(_array(found) if ar.ndim == 1 else _array(found).reshape(ar.shape))
    if return_counts:
        results.append(_item(whole, 2, empty_like(flat._meta, 1, np.intp)))
    return results[0] if len(results) == 1 else tuple(results)


def _item(several: Expression, place: int, meta: Any) -> Array:
    args = [Reading(several, own_axes(several)), place]
    return _array(Mapped("unique", place, _kernels.item, args, several.chunks, meta))


def union1d(ar1: Any, ar2: Any) -> Array:
    """Return the different elements of two arrays together, sorted.

    Parameters
    ----------
    ar1, ar2 : Array
        The arrays, which are flattened.

    Returns
    -------
    Array
        Its length is not known before computing.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.union1d(da.arange(3), [5, 1]).compute()
    array([0, 1, 2, 5])
    """
    both = concatenate([asarray(ar1).ravel(), asarray(ar2).ravel()], allow_unknown_chunksizes=True)
    result: Array = unique(both)
    return result


def bincount(x: Any, weights: Any = None, minlength: int = 0, split_every: Any = None) -> Array:
    """Return how often each small int is there.

    Parameters
    ----------
    x : Array of int
        An array of one axis, without negative elements.
    weights : Array, optional
        For how much each element counts.
    minlength : int, default 0
        How long the result is at least.
    split_every : int, optional
        How many blocks make a group of the tree.

    Returns
    -------
    Array
        Its length is not known before computing if `minlength` is 0; else it is taken to be
        `minlength`, and larger elements are an error.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.bincount(da.asarray([1, 1, 3]), minlength=4).compute()
    array([0, 2, 0, 1])
    """
    x = asarray(x)
    if x.ndim != 1:
        raise ValueError(f"bincount: an array of one axis is needed, not {x.ndim}: ravel() it")
    if x.dtype.kind not in "iub":
        raise TypeError(f"bincount: elements are ints, not {x.dtype}")
    if minlength < 0:
        raise ValueError(f"bincount: minlength is not negative: {minlength}")
    operands = [x._expr]
    dtype: np.dtype[Any] = np.dtype(np.intp)
    if weights is not None:
        weights = asarray(weights)
        if weights.shape != x.shape and not any(map(is_unknown, x.chunks)):
            raise ValueError(
                f"bincount: {weights.size} weights for {x.size} elements; give as many"
            )
        operands.append(rechunk(weights._expr, x.chunks))
        dtype = np.dtype(float)
    args = [*(Reading(one, [0]) for one in operands)]
    call = _kernels_shapes.With(_kernels_shapes.bincount, minlength=int(minlength))
    meta = empty_like(x._meta, 1, dtype)
    parts = Mapped("bincount", minlength, call, args, x.chunks, meta)
    result = Reduction(
        "bincount",
        parts,
        (0,),
        True,
        meta,
        _split(split_every, (0,), 1),
        (_kernels_shapes.itself, ()),
        (_kernels_shapes.added_counts, (0,)),
        (_kernels_shapes.added_counts, (int(minlength),)),
        int(minlength) or np.nan,
    )
    return _array(result)


# ---- Histograms ----


def histogram(
    a: Any,
    bins: Any = None,
    range: Any = None,
    normed: bool = False,
    weights: Any = None,
    density: bool | None = None,
) -> Any:
    """Count how many elements lie in each bin.

    Parameters
    ----------
    a : Array
        The elements.
    bins : int or sequence of scalar
        How many bins of one width, or the boundaries; they may be lazy.
    range : pair of scalar, optional
        Where the bins begin and end, which may be lazy; needed if `bins` is an int.
    normed : bool, default False
        Not supported any more, as in NumPy: use `density`.
    weights : Array, optional
        For how much each element counts.
    density : bool, optional
        Whether counts are divided by their sum and by the widths of the bins.

    Returns
    -------
    tuple of Array and array
        Counts, and boundaries of the bins.

    Examples
    --------
    >>> import oxidask.array as da
    >>> counts, edges = da.histogram(da.arange(10, chunks=4), bins=2, range=(0, 10))
    >>> counts.compute(), edges
    (array([5, 5]), array([ 0.,  5., 10.]))
    """
    a = asarray(a)
    _refuse_normed("histogram", normed)
    edges = _edges("histogram", bins, range)
    weights = _weights("histogram", weights, a)
    reads = [Reading(a._expr, own_axes(a._expr))]
    if weights is not None:
        reads.append(Reading(weights, own_axes(a._expr)))
    dtype: np.dtype[Any] = np.dtype(np.intp) if weights is None else weights.meta.dtype
    # Bins of one width are found faster than by their boundaries.
    is_even = range is not None and isinstance(edges, np.ndarray) and isinstance(bins, Integral)
    args: tuple[Any, ...] = (edges, None)
    call: Callable[..., Any] = _kernels_shapes.counts_in_bins
    if is_even and weights is None:
        args, call = (edges,), _kernels_shapes.counts_in_even_bins
    elif is_even:
        args = (int(bins), tuple(range))
    counts = _counted("histogram", [edges], reads, a._expr.grid, call, args, dtype)
    if density:
        widths = np.diff(edges) if isinstance(edges, np.ndarray) else edges[1:] - edges[:-1]
        counts = counts / widths / counts.sum()
    return counts, edges


def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    normed: Any = None,
    weights: Any = None,
    density: bool | None = None,
) -> Any:
    """Count how many points lie in each bin of a plane.

    Parameters
    ----------
    x, y : Array
        Coordinates of the points, of one axis each.
    bins : int, sequence of scalar, or a pair of those
        How many bins, or their boundaries, along both axes or for each.
    range : pair of pairs of scalar, optional
        Where the bins begin and end along each axis; needed if `bins` is an int.
    normed : None
        Not supported any more, as in NumPy: use `density`.
    weights : Array, optional
        For how much each point counts.
    density : bool, optional
        Whether counts are divided by their sum and by the areas of the bins.

    Returns
    -------
    tuple of Array and two arrays
        Counts, and boundaries of the bins along each axis.

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.arange(4)
    >>> counts, _, _ = da.histogram2d(x, x, bins=2, range=((0, 4), (0, 4)))
    >>> counts.compute()
    array([[2., 0.],
           [0., 2.]])
    """
    is_count = isinstance(bins, Integral)
    if not is_count and _is_vector(bins) and len(bins) > 2:
        # Boundaries along both axes.
        bins = [bins, bins]
    counts, edges = histogramdd((x, y), bins, range, normed, weights, density)
    return counts, edges[0], edges[1]


def histogramdd(
    sample: Any,
    bins: Any,
    range: Any = None,
    normed: Any = None,
    weights: Any = None,
    density: bool | None = None,
) -> Any:
    """Count how many points lie in each bin of a space.

    Parameters
    ----------
    sample : Array, or sequence of Array
        A point in each row, or the coordinates of all points along each axis.
    bins : int, or sequence of int or of sequences of scalar
        How many bins along all axes, or for each axis how many, or their boundaries.
    range : sequence of pairs of scalar, optional
        Where the bins begin and end along each axis; needed if `bins` has ints.
    normed : None
        Not supported any more, as in NumPy: use `density`.
    weights : Array, optional
        For how much each point counts.
    density : bool, optional
        Whether counts are divided by their sum and by the volumes of the bins.

    Returns
    -------
    tuple of Array and list of arrays
        Counts, and boundaries of the bins along each axis.

    Examples
    --------
    >>> import oxidask.array as da
    >>> points = da.asarray([[0.5, 0.5], [0.5, 1.5]])
    >>> counts, _ = da.histogramdd(points, bins=(1, 2), range=((0, 1), (0, 2)))
    >>> counts.compute()
    array([[1., 1.]])
    """
    _refuse_normed("histogramdd", normed)
    if isinstance(sample, Array | np.ndarray):
        points = asarray(sample)
        if points.ndim != 2:
            raise ValueError(f"histogramdd: points stand in 2 axes, not in {points.ndim}")
        points = points.rechunk({0: points.chunks[0], 1: -1})
        ndim = int(points.shape[1])
        first = points._expr
        reads = [Reading(first, [0, None])]
    else:
        vectors = [asarray(one) for one in sample]
        ndim = len(vectors)
        for one in vectors:
            if one.ndim != 1 or len(one) != len(vectors[0]):
                raise ValueError(
                    "histogramdd: coordinates are arrays of one axis and one length, not of shapes "
                    + " ".join(str(each.shape) for each in vectors)
                )
        first = vectors[0]._expr
        reads = [Reading(rechunk(one._expr, first.chunks), [0]) for one in vectors]
    edges = _all_edges(bins, range, ndim)
    if weights is not None:
        weights = asarray(weights)
        if weights.ndim != 1 or weights.shape[0] != first.shape[0]:
            raise ValueError(
                f"histogramdd: weights of shape {weights.shape} for {first.shape[0]} points"
            )
        reads.append(Reading(rechunk(weights._expr, (first.chunks[0],)), [0]))
    call = _kernels_shapes.counts_in_space
    args = (ndim, *edges, weights is not None)
    grid = (len(first.chunks[0]),)
    counts = _counted("histogramdd", edges, reads, grid, call, args, np.dtype(float))
    if density:
        total = counts.sum()
        for axis, one in enumerate(edges):
            widths = np.diff(one) if isinstance(one, np.ndarray) else one[1:] - one[:-1]
            index = (slice(None),) + (None,) * (ndim - axis - 1)
            counts = counts / widths[index]
        counts = counts / total
    return counts, edges


def _refuse_normed(name: str, normed: Any) -> None:
    if normed:
        raise ValueError(f"{name}: normed= is gone, as in NumPy; use density=True")


def _weights(name: str, weights: Any, a: Array) -> Expression | None:
    if weights is None:
        return None
    weights = asarray(weights)
    if weights.shape != a.shape and not any(map(is_unknown, a.chunks)):
        raise ValueError(f"{name}: weights of shape {weights.shape} for elements of {a.shape}")
    if any(map(is_unknown, a.chunks)):
        return weights._expr
    return rechunk(weights._expr, a.chunks)


def _edges(name: str, bins: Any, limits: Any) -> Any:
    """Return the boundaries of bins: an array of NumPy, or a lazy one."""
    is_count = isinstance(bins, Integral) or (isinstance(bins, Array) and not bins.ndim)
    if bins is None or isinstance(bins, str) or (is_count and limits is None):
        raise ValueError(
            f"{name}: give the boundaries of the bins, or how many there are and range=(low, high);"
            f" not bins={bins!r}"
        )
    if not is_count:
        if isinstance(bins, Array):
            edges: Any = bins
        else:
            edges = np.asarray(bins)
        if edges.ndim != 1:
            raise ValueError(f"{name}: boundaries of bins stand in one axis, not in {edges.ndim}")
        if isinstance(edges, np.ndarray) and (edges[1:] < edges[:-1]).any():
            raise ValueError(f"{name}: boundaries of bins go up, not as in {bins!r}")
        return edges
    if isinstance(bins, Array):
        raise NotImplementedError(f"{name}: a number of bins that is lazy; compute() it first")
    if int(bins) < 1:
        raise ValueError(f"{name}: there is at least one bin, not {bins}")
    low, high = (limits[0], limits[1])
    if isinstance(low, Array) or isinstance(high, Array):
        steps = np.linspace(0.0, 1.0, int(bins) + 1)
        low, high = asarray(low), asarray(high)
        args = [
            Reading(low._expr, [None] * low.ndim),
            Reading(high._expr, [None] * high.ndim),
            int(bins),
        ]
        chunks = ((len(steps),),)
        return _array(Mapped("linspace", bins, _kernels_shapes.edges, args, chunks, np.empty(0)))
    return np.histogram_bin_edges(np.empty(0), int(bins), (low, high))


def _all_edges(bins: Any, limits: Any, ndim: int) -> list[Any]:
    is_sequence = isinstance(bins, Sequence | np.ndarray | Array) and not isinstance(bins, str)
    own = list(bins) if is_sequence else [bins] * ndim
    if len(own) != ndim:
        raise ValueError(f"histogramdd: {len(own)} axes are described by bins, not {ndim}")
    ranges = [None] * ndim if limits is None else list(limits)
    if len(ranges) != ndim:
        raise ValueError(f"histogramdd: {len(ranges)} axes are described by range, not {ndim}")
    return [
        _edges("histogramdd", one, own_limits) for one, own_limits in zip(own, ranges, strict=True)
    ]


def _is_vector(bins: Any) -> bool:
    if isinstance(bins, Array | np.ndarray):
        return bins.ndim == 1
    return all(np.ndim(one) == 0 for one in bins)


def _counted(
    label: str,
    edges: list[Any],
    reads: list[Reading],
    grid: tuple[int, ...],
    function: Any,
    args: tuple[Any, ...],
    dtype: np.dtype[Any],
) -> Array:
    """Return counts of a grid of blocks, added up by a tree.

    `function` is called with the arguments, of which those that are lazy are read whole, and with
    a block of each of `reads`, whose maps are axes of the grid.
    """
    lazy = [one.rechunk(-1) if isinstance(one, Array) else one for one in args]
    given = [Reading(one._expr, [None]) if isinstance(one, Array) else one for one in lazy]
    # All blocks in one line, for they are added up in any order.
    where = np.unravel_index(np.arange(math.prod(grid)), grid) if grid else ()
    lines = [
        Reading(
            operand,
            [(0, where[axis].tolist()) if isinstance(axis, int) else None for axis in maps],
        )
        for operand, maps, _ in reads
    ]
    line: Chunks = ((1,) * math.prod(grid),)
    meta = np.empty(0, dtype)
    token = [one.name if isinstance(one, Array) else one for one in args]
    parts = Mapped(label, token, function, [*given, *lines], line, meta)
    whole = Reduction(
        label,
        parts,
        (0,),
        False,
        np.empty((), dtype),
        _split(None, (0,), 1),
        (_kernels_shapes.itself, ()),
        (_kernels.fold, (np.add,)),
        (_kernels_shapes.fold_as, (np.add, dtype)),
    )
    sizes = tuple((len(one) - 1,) for one in edges)
    meta = np.empty((0,) * len(edges), dtype)
    return _array(Mapped(label, None, _kernels_shapes.itself, [Reading(whole, [])], sizes, meta))


# ---- Places of a grid ----


def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Array:
    """Return places in the flattened grid, of places along each axis.

    Parameters
    ----------
    multi_index : Array, or sequence of Array
        Places along each axis: the first axis of an array, or an array for each.
    dims : tuple of int
        The shape of the grid.
    mode : {"raise", "wrap", "clip"}, or a tuple of those
        What happens to places outside of it.
    order : {"C", "F"}, default "C"
        Whether the last axis runs fastest, or the first.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.ravel_multi_index(da.asarray([[0, 1], [1, 1]]), (2, 2)).compute()
    array([1, 3])
    """
    if isinstance(multi_index, Array | np.ndarray):
        multi_index = [multi_index[axis] for axis in range(multi_index.shape[0])]
    places = [asarray(one) for one in multi_index]
    if len(places) != len(dims):
        raise ValueError(
            f"ravel_multi_index: places along {len(places)} axes for a grid of {len(dims)}"
        )
    call = _kernels_shapes.With(
        _kernels_shapes.ravel_multi_index, dims=tuple(dims), mode=mode, order=order
    )
    return elemwise(call, *places, meta_dtype=np.intp)


def unravel_index(indices: Any, shape: Any, order: str = "C") -> Any:
    """Return places along each axis of a grid, of places in the flattened grid.

    Parameters
    ----------
    indices : Array of int
        The places.
    shape : tuple of int
        The shape of the grid.
    order : {"C", "F"}, default "C"
        Whether the last axis runs fastest, or the first.

    Returns
    -------
    tuple of Array
        One for each axis.

    Examples
    --------
    >>> import oxidask.array as da
    >>> [one.compute().tolist() for one in da.unravel_index(da.asarray([1, 3]), (2, 2))]
    [[0, 1], [1, 1]]
    """
    places = asarray(indices)
    shape = (int(shape),) if isinstance(shape, Integral) else tuple(shape)
    if places.dtype.kind not in "iu":
        raise TypeError(f"unravel_index: places are ints, not {places.dtype}")
    return tuple(
        elemwise(
            _kernels_shapes.With(
                _kernels_shapes.unravel_index, shape=shape, axis=axis, order=order
            ),
            places,
            meta_dtype=np.intp,
        )
        for axis in range(len(shape))
    )
