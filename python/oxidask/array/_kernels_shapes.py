"""What tasks of functions of shape and selection run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from oxidask.array._kernels import concatenate


def view(block: Any, dtype: np.dtype[Any], order: str) -> Any:
    """Return the same bytes as elements of another type, along the last axis or the first."""
    if order == "F":
        return np.ascontiguousarray(block.T).view(dtype).T
    return np.ascontiguousarray(block).reshape(block.shape).view(dtype)


def part_of_places(part: Any, places: Any, start: int, length: int, axis: int) -> tuple[Any, Any]:
    """Return which of some places a block has, and its elements there."""
    places = np.where(places < 0, places + length, places)
    to = np.flatnonzero((places >= start) & (places < start + part.shape[axis]))
    return to, np.take(part, places[to].astype(np.intp) - start, axis)


def put_at_places(parts: list[tuple[Any, Any]], places: Any, length: int, axis: int) -> Any:
    """Put together what blocks have of some places."""
    bad = places[(places < -length) | (places >= length)]
    if bad.size:
        raise IndexError(f"index {bad[0]} is out of bounds for axis {axis} with size {length}")
    first = parts[0][1]
    shape = (*first.shape[:axis], len(places), *first.shape[axis + 1 :])
    block = np.empty_like(first, shape=shape)
    for to, part in parts:
        block[(*(slice(None),) * axis, to)] = part
    return block


def choose(which: Any, *choices: Any) -> Any:
    """Choose each element from one of several blocks."""
    return np.choose(which, choices)


class Piecewise:
    """Calls functions with elements for which conditions are true."""

    def __init__(
        self, functions: tuple[Any, ...], args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self.functions, self.args, self.options = functions, args, options
        self.__name__ = "piecewise"

    def __call__(self, block: Any, *conditions: Any) -> Any:
        """Return a block."""
        fitting = [np.broadcast_to(one, block.shape) for one in conditions]
        return np.piecewise(block, fitting, list(self.functions), *self.args, **self.options)

    def __dask_tokenize__(self) -> Any:
        return ("piecewise", self.functions, self.args, self.options)


def argwhere(block: Any, start: int) -> Any:
    """Return the places of elements that are not zero in blocks of whole rows."""
    places = np.argwhere(block)
    if start:
        places[:, 0] += start
    return places


def is_nonzero(block: Any) -> Any:
    """Say for each element whether it is not zero, or not empty."""
    return block.astype(bool) if block.dtype.kind != "U" else block != ""


def points(parts: list[Any], plan: tuple[Any, list[Any]], axes: tuple[int, ...]) -> Any:
    """Pick points from blocks: of which block each is, and where in it along some axes."""
    which, inner = plan
    shape = [length for axis, length in enumerate(parts[0].shape) if axis not in axes]
    result = np.empty_like(parts[0], shape=(len(which), *shape))
    for number in np.unique(which).tolist():
        part = np.moveaxis(parts[number], axes, range(len(axes)))
        to = np.flatnonzero(which == number)
        result[to] = part[tuple(one[to] for one in inner)]
    return result


def ramp(edge: Any, axis: int, width: int, end: Any, is_behind: bool) -> Any:
    """Return even steps from a value to an edge, or from the edge to the value."""
    steps = np.linspace(
        end, edge.squeeze(axis), num=width, endpoint=False, dtype=edge.dtype, axis=axis
    )
    return np.flip(steps, axis) if is_behind else steps


def fill_vectors(
    block: Any, function: Callable[..., Any], axis: int, width: tuple[int, int], options: Any
) -> Any:
    """Let a function fill the padded places of vectors along an axis, in a copy."""
    block = block.copy()
    vectors = np.moveaxis(block, axis, -1)
    for place in np.ndindex(*vectors.shape[:-1]):
        function(vectors[(*place, ...)], width, axis, options)
    return block


def diagonal_block(values: Any, row: int, column: int, shape: tuple[int, int], k: int) -> Any:
    """Return a block of a matrix with values on a diagonal, of which it may have nothing."""
    if column - row == k and shape[0] == shape[1]:
        return np.diag(values)
    return np.zeros_like(values, shape=shape)


def triangle(row: int, column: int, shape: tuple[int, int], k: int, dtype: Any) -> Any:
    """Return the block of a triangle of ones whose first element is at a place."""
    return np.tri(*shape, k=k + row - column, dtype=dtype)


def triangle_of(block: Any, row: int, column: int, function: Callable[..., Any], k: int) -> Any:
    """Return a block whose first element is at a place, with zeros outside of a triangle."""
    return function(block, k + row - column)


def of_places(
    function: Callable[..., Any],
    starts: tuple[int, ...],
    shape: tuple[int, ...],
    dtype: Any,
    options: dict[str, Any],
) -> Any:
    """Call a function with the places of a block."""
    places = [
        one + start for one, start in zip(np.indices(shape, dtype=dtype), starts, strict=True)
    ]
    places = [one.astype(dtype, copy=False) for one in places]
    return np.broadcast_to(function(*places, **options), shape)


def window(parts: list[Any], cuts: tuple[slice, ...], axis: int) -> Any:
    """Return a stretch of an axis from the blocks that hold it."""
    before = (slice(None),) * axis
    pieces = [part[(*before, cut)] for part, cut in zip(parts, cuts, strict=True)]
    return pieces[0] if len(pieces) == 1 else concatenate(pieces, axis)


def diff(parts: list[Any], cuts: tuple[slice, ...], axis: int, n: int) -> Any:
    """Return differences of neighbours in a stretch of an axis."""
    return np.diff(window(parts, cuts, axis), n, axis)


def slopes(
    parts: list[Any],
    cuts: tuple[slice, ...],
    axis: int,
    kept: slice,
    spacing: Any,
    edge_order: int,
) -> Any:
    """Return slopes in the middle of a stretch of an axis, or at its ends."""
    stretch = window(parts, cuts, axis)
    find: Any = np.gradient
    found = find(stretch, spacing, axis=axis, edge_order=edge_order)
    return found[(*(slice(None),) * axis, kept)]


def coarsen(
    block: Any, reduction: Callable[..., Any], sizes: dict[int, int], options: dict[str, Any]
) -> Any:
    """Reduce neighbours that stand in boxes of one size."""
    shape: list[int] = []
    inner = []
    for axis, length in enumerate(block.shape):
        size = sizes.get(axis, 1)
        shape.extend((length // size, size))
        inner.append(2 * axis + 1)
    return reduction(block.reshape(shape), axis=tuple(inner), **options)


# ---- Order ----


def largest(block: Any, k: int, axis: int) -> Any:
    """Return the largest elements of a block along an axis, or the smallest, in any order."""
    count = min(abs(k), block.shape[axis])
    if not k or count == block.shape[axis]:
        return block[(*(slice(None),) * axis, slice(count))]
    split = np.partition(block, -count if k > 0 else count - 1, axis=axis)
    cut = slice(-count, None) if k > 0 else slice(count)
    return split[(*(slice(None),) * axis, cut)]


def largest_of_parts(parts: list[Any], k: int, axis: int) -> Any:
    """Return the largest elements of blocks together."""
    return largest(concatenate(parts, axis), k, axis)


def sorted_largest(parts: list[Any], k: int, axis: int) -> Any:
    """Return the largest elements of blocks together, sorted."""
    found = np.sort(largest_of_parts(parts, k, axis), axis=axis)
    return np.flip(found, axis) if k > 0 else found


def with_places(block: Any, start: int, axis: int) -> tuple[Any, Any]:
    """Return elements and their places along an axis."""
    shape = [1] * block.ndim
    shape[axis] = block.shape[axis]
    places = np.arange(start, start + block.shape[axis], dtype=np.intp).reshape(shape)
    return block, np.broadcast_to(places, block.shape)


def places_of_largest(pair: tuple[Any, Any], k: int, axis: int) -> tuple[Any, Any]:
    """Return the largest elements along an axis with their places, in any order."""
    block, places = pair
    count = min(abs(k), block.shape[axis])
    before = (slice(None),) * axis
    if not k or count == block.shape[axis]:
        cut: Any = (*before, slice(count))
        return block[cut], places[cut]
    order = np.argpartition(block, -count if k > 0 else count - 1, axis=axis)
    order = order[(*before, slice(-count, None) if k > 0 else slice(count))]
    return np.take_along_axis(block, order, axis), np.take_along_axis(places, order, axis)


def places_of_largest_of_parts(parts: list[tuple[Any, Any]], k: int, axis: int) -> tuple[Any, Any]:
    """Return the largest elements of blocks together with their places."""
    blocks, places = zip(*parts, strict=True)
    both = concatenate(list(blocks), axis), concatenate(list(places), axis)
    return places_of_largest(both, k, axis)


def sorted_places(parts: list[tuple[Any, Any]], k: int, axis: int) -> Any:
    """Return the places of the largest elements of blocks together, sorted by the elements."""
    block, places = places_of_largest_of_parts(parts, k, axis)
    order = np.argsort(block, axis=axis)
    found = np.take_along_axis(places, order, axis)
    return np.flip(found, axis) if k > 0 else found


def along_whole(block: Any, function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Call a function of NumPy with a block that is whole along its axes."""
    if block.size:
        return np.asarray(function(block, **options))
    # NumPy's functions that skip NaN give another shape for no elements.
    ones = np.ones([max(1, length) for length in block.shape], block.dtype)
    found = np.asarray(function(ones, **options))
    axes = options["axis"] if isinstance(options["axis"], tuple) else (options["axis"],)
    lengths = [
        (1 if options["keepdims"] else None) if axis in axes else length
        for axis, length in enumerate(block.shape)
    ]
    first = found.shape[: np.ndim(options.get("q", 0))]
    shape = (*first, *(length for length in lengths if length is not None))
    return np.full(shape, np.nan, found.dtype)


#: How many elements a sketch of sorted ones keeps.
SKETCH = 16384

#: Sorted elements, and for how many each stands.
Sketch = tuple[Any, Any]


def sketch(block: Any) -> Sketch:
    """Return elements of a block at even distances when sorted."""
    return shortened(np.sort(block), np.ones(block.shape, dtype=float))


def shortened(values: Any, weights: Any) -> Sketch:
    """Return fewer sorted elements, the first and the last among them."""
    if len(values) <= SKETCH:
        return values, weights
    ends = np.cumsum(weights)
    total = ends[-1]
    targets = (np.arange(SKETCH) + 0.5) * (total / SKETCH)
    kept = np.searchsorted(ends, targets)
    kept[0], kept[-1] = 0, len(values) - 1
    return values[kept], np.full(SKETCH, total / SKETCH)


def merged_sketches(parts: list[Sketch]) -> Sketch:
    """Return the sketch of blocks together."""
    values = np.concatenate([value for value, _ in parts])
    weights = np.concatenate([weight for _, weight in parts])
    order = np.argsort(values, kind="stable")
    return shortened(values[order], weights[order])


def percentiles(parts: list[Sketch], q: Any, method: Any, dtype: np.dtype[Any]) -> Any:
    """Return percentiles by the sketches of blocks."""
    values = np.concatenate([value for value, _ in parts])
    weights = np.concatenate([weight for _, weight in parts])
    if (weights == 1).all():
        return np.asarray(np.percentile(values, q, method=method)).astype(dtype, copy=False)
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    if values.dtype.kind in "fc" and np.isnan(values[-1]):
        return np.full(np.shape(q), np.nan, dtype)
    # The place of each among all elements: the middle of those that it stands for.
    places = np.cumsum(weights) - (weights + 1) / 2
    places[0], places[-1] = 0, weights.sum() - 1
    wanted = np.asarray(q) / 100 * (weights.sum() - 1)
    above = np.clip(np.searchsorted(places, wanted), 0, len(values) - 1)
    below = np.where(places[above] > wanted, np.maximum(above - 1, 0), above)
    low, high = values[below], values[above]
    if method == "lower":
        return low
    if method == "higher":
        return high
    distance = np.maximum(places[above] - places[below], 1)
    share = (wanted - places[below]) / distance
    if method == "nearest":
        return np.where(share < 0.5, low, high)
    if method == "midpoint":
        share = np.where(above == below, 0.0, 0.5)
    return (low + (high - low) * share).astype(dtype, copy=False)


# ---- Bins ----


class With:
    """A function with some of its arguments given."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.function, self.options = function, options
        self.__name__ = function.__name__

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        return self.function(*args, **self.options)

    def __dask_tokenize__(self) -> Any:
        return ("with", self.function, self.options)


def itself(block: Any) -> Any:
    """Return what it is given."""
    return block


def places_in_block(block: Any, values: Any, side: Any) -> Any:
    """Return before which places of a sorted block elements belong, with an axis in front."""
    return np.searchsorted(block, values, side)[None]


def is_in(block: Any, others: Any, kind: Any) -> Any:
    """Say for each element whether it is among others."""
    return np.isin(block, others, kind=kind)


def is_in_block(block: Any, others: Any, kind: Any) -> Any:
    """Say for each element whether it is among others, with an axis in front."""
    return np.isin(block, others, kind=kind)[None]


#: Different elements, where each stands first, and how often it is there.
Different = tuple[Any, Any, Any]


def unique(block: Any, start: int, with_index: bool, with_counts: bool) -> Different:
    """Return the different elements of a block."""
    if not (with_index or with_counts):
        return np.unique(block), None, None
    values, index, counts = np.unique(block, return_index=True, return_counts=True)
    return values, index + start if with_index else None, counts if with_counts else None


def merged_unique(parts: list[Different]) -> Different:
    """Return the different elements of blocks together."""
    if len(parts) == 1:
        return parts[0]
    every = np.concatenate([values for values, _, _ in parts])
    if parts[0][1] is None and parts[0][2] is None:
        return np.unique(every), None, None
    values, first, inverse = np.unique(every, return_index=True, return_inverse=True)
    index = counts = None
    if parts[0][1] is not None:
        # Blocks come in order, so what stands first among the parts stands first of all.
        index = np.concatenate([one for _, one, _ in parts])[first]
    if parts[0][2] is not None:
        counts = np.zeros(len(values), dtype=np.intp)
        np.add.at(counts, inverse, np.concatenate([one for _, _, one in parts]))
    return values, index, counts


def places_among(block: Any, values: Any) -> Any:
    """Return the places of elements among sorted ones that have them all."""
    return np.searchsorted(values, block)


def bincount(block: Any, weights: Any = None, minlength: int = 0) -> Any:
    """Return how often each small int is there."""
    return np.bincount(block, weights, minlength)


def added_counts(parts: list[Any], length: int) -> Any:
    """Add up counts, of which some are longer than others."""
    longest = max(len(part) for part in parts)
    if length and longest > length:
        raise ValueError(
            f"bincount: an element is {longest - 1}, and minlength={length} was taken for the "
            f"length of the result; give minlength={longest} or more"
        )
    total = np.zeros(longest, dtype=np.result_type(*parts))
    for part in parts:
        total[: len(part)] += part
    return total


def counts_in_bins(bins: Any, limits: Any, block: Any, weights: Any = None) -> Any:
    """Return how many elements of a block lie in each bin."""
    if weights is None and limits is None and is_plain(block):
        return sum_over_parts(block, bins, counts_of_sorted)
    weights = None if weights is None else np.ravel(weights)
    return np.histogram(np.ravel(block), bins, limits, weights=weights)[0]


def counts_in_even_bins(edges: Any, block: Any) -> Any:
    """Return how many elements of a block lie in each bin; all bins are of one width."""
    if is_plain(block):
        return sum_over_parts(block, edges, counts_of_even)
    return np.histogram(np.ravel(block), edges)[0]


def is_plain(block: Any) -> bool:
    """Return whether a block holds numbers that processors have."""
    is_array = type(block) is np.ndarray and block.size > 0 and block.ndim > 0
    return is_array and block.dtype.kind in "iuf" and block.dtype.itemsize <= 8


#: How many elements are counted at once: they stay in the cache of a processor.
COUNTED_AT_ONCE = 65536


def sum_over_parts(block: Any, edges: Any, count: Callable[[Any, Any], Any]) -> Any:
    """Add up what is counted in parts of a block, without a copy of the whole."""
    if block.flags.c_contiguous:
        block = block.reshape(-1)
    rows = max(1, COUNTED_AT_ONCE // max(1, math.prod(block.shape[1:])))
    counts = np.zeros(len(edges) - 1, dtype=np.intp)
    for begin in range(0, len(block), rows):
        counts += count(block[begin : begin + rows].reshape(-1), edges)
    return counts


def counts_of_sorted(part: Any, edges: Any) -> Any:
    """Return how many elements lie in each bin, as `numpy.histogram`."""
    part = np.sort(part)
    before = part.searchsorted(edges, "left")
    before[-1] = part.searchsorted(edges[-1], "right")
    return np.diff(before)


def counts_of_even(part: Any, edges: Any) -> Any:
    """Return how many elements lie in each bin of one width, as `numpy.histogram`.

    The bin follows from the distance to the first boundary. Elements so close to a boundary that
    rounding might decide are compared with it.
    """
    low, high, bins = edges[0], edges[-1], len(edges) - 1
    width = high - low
    doubt = 16 * np.finfo(float).eps * bins * (1 + max(abs(low), abs(high)) / width)
    if not doubt < 0.01:
        return counts_of_sorted(part, edges)
    if not (part.min() >= low and part.max() <= high):
        part = part[(part >= low) & (part <= high)]
    place = np.subtract(part, low, dtype=float)
    place *= bins / width
    # The last boundary belongs to the last bin; it gets one of its own for now.
    bin_of = place.astype(np.intp)
    place -= bin_of
    place -= 0.5
    unsure = np.flatnonzero(np.abs(place, out=place) > 0.5 - doubt)
    if len(unsure) > len(part) // 16:
        return counts_of_sorted(part, edges)
    if len(unsure):
        bin_of[unsure] = np.searchsorted(edges, part[unsure], "right") - 1
    counts = np.bincount(bin_of, minlength=bins + 1)
    counts[-2] += counts[-1]
    return counts[:-1]


def counts_in_space(ndim: int, *args: Any) -> Any:
    """Return how many points of a block lie in each bin of a space."""
    edges, has_weights, blocks = list(args[:ndim]), args[ndim], list(args[ndim + 1 :])
    weights = blocks.pop() if has_weights else None
    points = blocks[0] if len(blocks) == 1 and blocks[0].ndim == 2 else np.stack(blocks, axis=1)
    return np.histogramdd(points, edges, weights=weights)[0]


def fold_as(parts: list[Any], function: Callable[[Any, Any], Any], dtype: Any) -> Any:
    """Combine blocks of one shape, two at a time, to elements of a type."""
    total = parts[0]
    for part in parts[1:]:
        total = function(total, part)
    return total.astype(dtype, copy=False)


def edges(low: Any, high: Any, count: int) -> Any:
    """Return boundaries of bins of one width."""
    return np.histogram_bin_edges(np.empty(0), count, (low, high))


def ravel_multi_index(*places: Any, dims: Any, mode: Any, order: Any) -> Any:
    """Return places in the flattened grid."""
    return np.ravel_multi_index(np.broadcast_arrays(*places), dims, mode, order)


def unravel_index(block: Any, shape: Any, axis: int, order: Any) -> Any:
    """Return places along one axis of a grid."""
    return np.unravel_index(block, shape, order)[axis]


# ---- Statistics ----


def clipped(block: Any) -> Any:
    """Return correlations, which rounding may have made larger than 1."""
    if np.iscomplexobj(block):
        return np.clip(block.real, -1, 1) + 1j * np.clip(block.imag, -1, 1)
    return np.clip(block, -1, 1)


def along_vectors(
    block: Any,
    function: Callable[..., Any],
    axis: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
) -> Any:
    """Call a function with the vectors of a block along an axis."""
    if not block.size:
        return np.empty((*block.shape[:axis], *shape, *block.shape[axis + 1 :]), dtype)
    found = np.apply_along_axis(function, axis, block, *args, **options)
    return found.astype(dtype, copy=False)
