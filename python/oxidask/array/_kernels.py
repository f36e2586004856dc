"""What tasks of arrays run: functions of blocks, which worker processes import by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise, product
from typing import Any

import numpy as np

#: From how many elements on memory is worth a look at where results go.
LARGE = 4096

#: How many elements are worked on at once by what goes over them several times.
AT_ONCE = 32768

#: Where a part of a block goes: (slice of the part, slice of the block made), for each part.
Pieces = tuple[tuple[slice, slice], ...]


def assemble(parts: list[Any], *axes: tuple[int | None, Pieces]) -> Any:
    """Put a block together from pieces of others, which stand row by row.

    For each axis comes the length of the block (None: that of the others) and the pieces along it.
    """
    first = parts[0]
    shape = tuple(
        first.shape[axis] if length is None else length for axis, (length, _) in enumerate(axes)
    )
    block = np.empty_like(first, shape=shape)
    for part, pieces in zip(parts, product(*(pieces for _, pieces in axes)), strict=True):
        block[tuple(to for _, to in pieces)] = part[tuple(of for of, _ in pieces)]
    return block


def concatenate_grid(parts: list[Any], counts: tuple[int, ...]) -> Any:
    """Join blocks of a grid, which stand row by row, whatever their lengths."""
    if len(parts) == 1:
        return parts[0]
    if sum(count > 1 for count in counts) > 1 and _are_alike(parts, len(counts)):
        return _joined_at_once(parts, counts)
    for axis in range(len(counts) - 1, -1, -1):
        count = counts[axis]
        if count > 1:
            parts = [
                concatenate(parts[begin : begin + count], axis)
                for begin in range(0, len(parts), count)
            ]
    return parts[0]


def _are_alike(parts: list[Any], ndim: int) -> bool:
    dtype = getattr(parts[0], "dtype", None)
    return all(
        type(part) is np.ndarray and part.dtype == dtype and part.ndim == ndim for part in parts
    )


def _joined_at_once(parts: list[Any], counts: tuple[int, ...]) -> Any:
    """Join blocks of a grid; each element is copied once, however many axes are cut."""
    steps = [math.prod(counts[axis + 1 :]) for axis in range(len(counts))]
    cuts = []
    for axis, (count, step) in enumerate(zip(counts, steps, strict=True)):
        starts = list(accumulate((parts[i * step].shape[axis] for i in range(count)), initial=0))
        cuts.append([slice(begin, end) for begin, end in pairwise(starts)])
    whole = np.empty([pieces[-1].stop for pieces in cuts], parts[0].dtype)
    for part, place in zip(parts, product(*cuts), strict=True):
        target = whole[place]
        if target.shape != part.shape:
            raise ValueError(
                f"blocks of a grid do not fit together: one has shape {part.shape}, where its "
                f"neighbours leave room for {target.shape}"
            )
        target[...] = part
    return whole


def concatenate(parts: list[Any], axis: int) -> Any:
    """Join arrays along an axis; masked ones stay masked."""
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        return np.ma.concatenate(parts, axis)  # type: ignore[no-untyped-call]
    return np.concatenate(parts, axis)


def nested(parts: list[Any], counts: tuple[int, ...]) -> Any:
    """Return blocks of a grid, which stand row by row, as nested lists."""
    for count in counts[:0:-1]:
        parts = [parts[begin : begin + count] for begin in range(0, len(parts), count)]
    return parts


def call_on_joined(
    function: Callable[..., Any],
    values: list[Any],
    counts: tuple[tuple[int, ...] | None, ...],
    concatenates: bool,
    options: dict[str, Any],
) -> Any:
    """Call a function with blocks of which some are given as a grid, joined or nested."""
    join = concatenate_grid if concatenates else nested
    return function(
        *(
            value if count is None else join(value, count)
            for value, count in zip(values, counts, strict=True)
        ),
        **options,
    )


def scalar_or_array(block: Any) -> Any:
    """Return what NumPy gives for an array without axes: a scalar."""
    return block[()] if isinstance(block, np.ndarray) and block.ndim == 0 else block


def fill(shape: tuple[int, ...], value: Any, dtype: np.dtype[Any], order: Any = "C") -> Any:
    """Return a block of one value."""
    # A third of the time of np.full, which counts where blocks are small.
    block = np.empty(shape, dtype, order)
    block.fill(value)
    return block


def ones(shape: tuple[int, ...], dtype: np.dtype[Any], order: Any = "C") -> Any:
    """Return a block of ones."""
    block = np.empty(shape, dtype, order)
    block.fill(1)
    return block


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any], order: Any = "C") -> Any:
    """Return a block of zeros."""
    return np.zeros(shape, dtype, order)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], order: Any = "C") -> Any:
    """Return a block whose elements are whatever was there."""
    return np.empty(shape, dtype, order)


def arange(begin: int, length: int, start: Any, step: Any, dtype: np.dtype[Any]) -> Any:
    """Return elements of a range from the place `begin` on."""
    return (start + np.arange(begin, begin + length) * step).astype(dtype, copy=False)


def linspace(
    begin: int,
    length: int,
    start: Any,
    stop: Any,
    num: int,
    endpoint: bool,
    dtype: np.dtype[Any],
) -> Any:
    """Return evenly spaced elements from the place `begin` on; bit for bit those of NumPy."""
    spaces = num - 1 if endpoint else num
    places = np.arange(begin, begin + length, dtype=np.result_type(start, stop, float))
    delta = np.subtract(stop, start, dtype=places.dtype)
    step = delta / spaces if spaces > 0 else np.nan
    elements = places / spaces * delta if step == 0 else places * step
    if spaces <= 0:
        elements = places * delta
    elements = elements + start
    if endpoint and num > 1 and begin + length == num and length:
        elements[-1] = stop
    if np.issubdtype(dtype, np.integer):
        elements = np.floor(elements)
    return elements.astype(dtype, copy=False)


def eye(row: int, column: int, shape: tuple[int, int], k: int, dtype: np.dtype[Any]) -> Any:
    """Return the block of an identity whose first element is at a place."""
    return np.eye(*shape, k=k + row - column, dtype=dtype)


def fold(parts: list[Any], function: Callable[[Any, Any], Any]) -> Any:
    """Combine blocks of one shape, two at a time."""
    if len(parts) < 2:
        return parts[0]
    total = function(parts[0], parts[1])
    for part in parts[2:]:
        total = add_in_place(total, part, function)
    return total


#: Functions of two elements that may write where the one stands, if all are of one type.
_CLOSED = {np.add, np.multiply, np.minimum, np.maximum, np.fmin, np.fmax}


def add_in_place(total: Any, part: Any, function: Callable[..., Any]) -> Any:
    """Combine a block that nobody else has with another one, without a third where that can be."""
    is_plain = type(total) is np.ndarray and type(part) is np.ndarray and total.size >= LARGE
    fits = is_plain and total.dtype == part.dtype and total.shape == part.shape
    return (
        function(total, part, out=total) if fits and function in _CLOSED else function(total, part)
    )


def fold_and_divide(parts: list[Any], count: Any, dtype: np.dtype[Any], axes: Any) -> Any:
    """Return the mean from totals of blocks."""
    total = fold(parts, np.add)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.true_divide(total, count, dtype=dtype if dtype.kind in "fc" else None)
    return squeeze(mean.astype(dtype, copy=False), axes)


def fold_and_squeeze(parts: list[Any], function: Callable[[Any, Any], Any], axes: Any) -> Any:
    """Combine blocks of one shape, and drop axes of length one."""
    return squeeze(fold(parts, function), axes)


def squeeze(block: Any, axes: tuple[int, ...]) -> Any:
    """Drop axes of length one; a masked or plain block stays what it is."""
    if not axes:
        return block
    return block.reshape([length for axis, length in enumerate(block.shape) if axis not in axes])


def total(block: Any, axes: tuple[int, ...], dtype: Any) -> Any:
    """Return the totals along axes, which stay with length one."""
    # np.sum comes to the same after twice the time.
    add = np.add.reduce if type(block) is np.ndarray else np.sum
    return add(block, axis=axes, dtype=dtype, keepdims=True)


def count_along(block: Any, axes: tuple[int, ...]) -> int:
    """Return how many elements stand along axes together."""
    return math.prod(block.shape[axis] for axis in axes)


def reduce_parts(
    parts: list[Any], counts: tuple[int, ...], function: Callable[..., Any], options: dict[str, Any]
) -> Any:
    """Join the results of blocks and reduce them once more."""
    return function(concatenate_grid(parts, counts), **options)


def reduce_nested(
    parts: list[Any], counts: tuple[int, ...], function: Callable[..., Any], options: dict[str, Any]
) -> Any:
    """Reduce the results of blocks, given as nested lists."""
    return function(nested(parts, counts), **options)


Moments = tuple[Any, Any, Any]


def moments(block: Any, axes: tuple[int, ...], dtype: Any, skips_nan: bool) -> Moments:
    """Return count, total and sum of squared distances from the mean, along axes.

    They are merged by `merge_moments` (Chan, Golub, LeVeque 1979).
    """
    if skips_nan:
        valid = ~np.isnan(block)
        count = np.sum(valid, axis=axes, keepdims=True)
        block = np.where(valid, block, 0)
    else:
        valid = None
        count = np.full((1,) * block.ndim, count_along(block, axes))
    sums = np.sum(block, axis=axes, dtype=dtype, keepdims=True)
    if valid is None and type(block) is np.ndarray and dtype.kind == "f" and block.size >= LARGE:
        with np.errstate(divide="ignore", invalid="ignore"):
            return count, sums, sum_of_squares(block, sums / count, axes)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = block - sums / count
    if valid is not None:
        distance = np.where(valid, distance, 0)
    if np.iscomplexobj(distance):
        squares = np.square(distance.real) + np.square(distance.imag)
    else:
        squares = np.square(distance)
    if not count.all():
        squares = np.where(count == 0, 0, squares)
    square_dtype = np.zeros(0, dtype).real.dtype
    return count, sums, np.sum(squares, axis=axes, dtype=square_dtype, keepdims=True)


def sum_of_squares(block: Any, mean: Any, axes: tuple[int, ...]) -> Any:
    """Return the sums of squared distances from a mean, part by part in the processor's cache."""
    rows = max(1, AT_ONCE // math.prod(block.shape[1:]))
    sums = np.zeros(mean.shape, mean.dtype)
    for begin in range(0, len(block), rows):
        part = slice(begin, begin + rows)
        own = slice(None) if 0 in axes else part
        distance = np.subtract(block[part], mean[own], dtype=mean.dtype)
        distance *= distance
        sums[own] += np.add.reduce(distance, axis=axes, keepdims=True)
    return sums


def merge_moments(parts: list[Moments]) -> Moments:
    """Return the moments of blocks together."""
    count, sums, squares = parts[0]
    for other_count, other_sums, other_squares in parts[1:]:
        both = count + other_count
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = other_sums / other_count - sums / count
            between = (distance * np.conjugate(distance)).real * count * other_count / both
        # A side without elements adds nothing.
        between = np.where((count == 0) | (other_count == 0), 0, between)
        squares = squares + other_squares + between
        count, sums = both, sums + other_sums
    return count, sums, squares


def variance(
    parts: list[Moments], ddof: int, dtype: np.dtype[Any], axes: Any, is_root: bool
) -> Any:
    """Return the variance, or its square root, from moments of blocks."""
    count, _, squares = merge_moments(parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = squares / np.maximum(count - ddof, 0)
        if is_root:
            result = np.sqrt(result)
    return squeeze(np.asarray(result).astype(dtype, copy=False), axes)


def nan_mean(parts: list[tuple[Any, Any]], dtype: np.dtype[Any], axes: Any) -> Any:
    """Return the mean of what is not NaN from totals and counts of blocks."""
    sums, count = merge_totals(parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        return squeeze(np.true_divide(sums, count).astype(dtype, copy=False), axes)


def nan_totals(block: Any, axes: tuple[int, ...], dtype: Any) -> tuple[Any, Any]:
    """Return totals and counts of what is not NaN."""
    return (
        np.nansum(block, axis=axes, dtype=dtype, keepdims=True),
        np.sum(~np.isnan(block), axis=axes, keepdims=True),
    )


def totals(block: Any, axes: tuple[int, ...], dtype: Any) -> tuple[Any, Any]:
    """Return totals and counts."""
    count = np.full((1,) * block.ndim, count_along(block, axes))
    return total(block, axes, dtype), count


def merge_totals(parts: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Return totals and counts of blocks together."""
    sums, count = parts[0]
    for other_sums, other_count in parts[1:]:
        sums, count = sums + other_sums, count + other_count
    return sums, count


def extreme_of_block(block: Any, function: Callable[..., Any], axes: tuple[int, ...]) -> Any:
    """Return the extremes of a block along axes; None for a block without elements."""
    if not count_along(block, axes):
        return None
    return function(block, axis=axes, keepdims=True)


def merge_extremes(parts: list[Any], function: Callable[[Any, Any], Any]) -> Any:
    """Return the extremes of blocks together."""
    present = [part for part in parts if part is not None]
    return fold(present, function) if present else None


def extremes(
    parts: list[Any], function: Callable[[Any, Any], Any], name: str, axes: tuple[int, ...]
) -> Any:
    """Return the extremes of all blocks."""
    result = merge_extremes(parts, function)
    if result is None:
        raise ValueError(f"{name}: an axis without elements has no extreme")
    return squeeze(result, axes)


def place_of_extreme(
    block: Any,
    function: Callable[..., Any],
    skips_nan: bool,
    axis: int | None,
    starts: tuple[int, ...],
    shape: tuple[int, ...],
) -> Any:
    """Return the extremes of a block, and where they stand in the whole array."""
    if not block.size if axis is None else not block.shape[axis]:
        return None
    find = first_extreme if skips_nan else np_extreme
    if axis is not None:
        index = np.expand_dims(find(block, function, axis), axis)
        return np.take_along_axis(block, index, axis), index + starts[axis]
    flat = find(np.ravel(block), function, 0)
    place = np.unravel_index(flat, block.shape)
    whole = 0
    for start, one, length in zip(starts, place, shape, strict=True):
        whole = whole * length + start + int(one)
    ones = (1,) * block.ndim
    return np.reshape(block[place], ones), np.full(ones, whole, dtype=np.intp)


def np_extreme(values: Any, function: Callable[..., Any], axis: int) -> Any:
    """Return where the first extremes along an axis stand; NaN is one, as for NumPy."""
    return function(values, axis=axis)


def first_extreme(values: Any, function: Callable[..., Any], axis: int) -> Any:
    """Return where the first extremes along an axis stand among what is not NaN."""
    missing = np.isnan(values)
    worst = np.inf if function is np.argmin else -np.inf
    index = function(np.where(missing, worst, values), axis=axis)
    # An infinity that is there comes before a NaN that stands for one.
    is_nan = np.take_along_axis(missing, np.expand_dims(index, axis), axis).squeeze(axis)
    return np.where(is_nan, np.argmin(missing, axis=axis), index)


def merge_places(parts: list[Any], function: Callable[..., Any], skips_nan: bool) -> Any:
    """Return the extremes of blocks together and where the first of them stands."""
    parts = [part for part in parts if part is not None]
    if not parts:
        return None
    values = np.stack([value for value, _ in parts])
    places = np.stack([place for _, place in parts])
    # Of equal ones the first in the array counts, and blocks need not come in that order.
    order = np.argsort(places, axis=0, kind="stable")
    values = np.take_along_axis(values, order, 0)
    places = np.take_along_axis(places, order, 0)
    find = first_extreme if skips_nan else np_extreme
    index = np.expand_dims(find(values, function, 0), 0)
    return np.take_along_axis(values, index, 0)[0], np.take_along_axis(places, index, 0)[0]


def places(
    parts: list[Any], function: Callable[..., Any], skips_nan: bool, name: str, axes: Any
) -> Any:
    """Return where the extremes stand."""
    merged = merge_places(parts, function, skips_nan)
    if merged is None:
        raise ValueError(f"{name}: an axis without elements has no extreme")
    values, found = merged
    if skips_nan and np.isnan(values).any():
        raise ValueError(f"{name}: all elements along an axis are NaN, so there is no extreme")
    return squeeze(found, axes)


def take(parts: list[Any], axis: int, plan: Sequence[tuple[Any, Any]], length: int) -> Any:
    """Pick elements along an axis from several blocks: for each where from and where to."""
    if len(parts) == 1:
        return parts[0][(slice(None),) * axis + (plan[0][0],)]
    shape = list(parts[0].shape)
    shape[axis] = length
    block = np.empty_like(parts[0], shape=tuple(shape))
    before = (slice(None),) * axis
    for part, (of, to) in zip(parts, plan, strict=True):
        block[(*before, to)] = part[(*before, of)]
    return block


def fix(block: Any) -> Any:
    """Return elements rounded towards zero."""
    return np.fix(block)


def broadcast(block: Any, shape: tuple[int, ...]) -> Any:
    """Return a block of a larger shape that repeats this one without taking memory."""
    return np.broadcast_to(block, shape)


def pick(block: Any, index: Any) -> Any:
    """Return a part of a block."""
    return block[index]


def sum_of_products(
    function: Callable[..., Any], parts: list[Any], others: list[Any], *args: Any
) -> Any:
    """Return the sum of products of pairs of blocks."""
    sums = None
    for a, b in zip(parts, others, strict=True):
        product = function(a, b, *args)
        sums = product if sums is None else np.add(sums, product, out=sums)
    return sums


def product_of_pair(function: Callable[..., Any], count: int, a: Any, b: Any, *args: Any) -> Any:
    """Return a product of blocks, with more axes along which products are added up later."""
    result = function(a, b, *args)
    return result.reshape(result.shape + (1,) * count)


class Stream:
    """Draws the random numbers of blocks, from a stream for each."""

    def __init__(
        self, kind: Any, entropy: Any, spawn_key: tuple[int, ...], first: int, grid: tuple[int, ...]
    ) -> None:
        self.kind, self.entropy, self.spawn_key = kind, entropy, spawn_key
        self.first, self.grid = first, grid

    def __call__(
        self,
        place: tuple[int, ...],
        method: str,
        size: tuple[int, ...],
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Any:
        """Return the numbers of the block at a place of the grid."""
        number = 0
        for one, count in zip(place, self.grid, strict=True):
            number = number * count + one
        key = (*self.spawn_key, self.first + number)
        sequence = np.random.SeedSequence(self.entropy, spawn_key=key)
        generator = np.random.Generator(self.kind(sequence))
        return np.asarray(getattr(generator, method)(*args, size=size, **options))


def astype(block: Any, dtype: np.dtype[Any]) -> Any:
    """Return a block with elements of another type."""
    return block.astype(dtype)


class Reader:
    """Reads parts of what is no array of NumPy."""

    def __init__(self, getitem: Callable[..., Any] | None, lock: Any, makes_array: bool) -> None:
        self.getitem, self.lock, self.makes_array = getitem, lock, makes_array

    def __call__(self, source: Any, index: tuple[slice, ...]) -> Any:
        """Return a part of the source."""
        if self.lock is None:
            return self._read(source, index)
        with self.lock:
            return self._read(source, index)

    def _read(self, source: Any, index: tuple[slice, ...]) -> Any:
        part = source[index] if self.getitem is None else self.getitem(source, index)
        return np.asarray(part) if self.makes_array else part


#: What reductions of NumPy come to for its own arrays, after a few microseconds.
_UFUNC_OF: dict[Any, Callable[..., Any]] = {
    np.sum: np.add.reduce,
    np.prod: np.multiply.reduce,
    np.any: np.logical_or.reduce,
    np.all: np.logical_and.reduce,
}


def transpose(block: Any, axes: tuple[int, ...]) -> Any:
    """Return a block with its axes in another order."""
    return block.transpose(axes)


def reduce_block(
    block: Any, function: Callable[..., Any], axes: tuple[int, ...], options: dict[str, Any]
) -> Any:
    """Reduce a block along axes, which stay with length one."""
    if type(block) is np.ndarray:
        function = _UFUNC_OF.get(function, function)
    return function(block, axis=axes, keepdims=True, **options)


def call_on_block(block: Any, function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Call a function with a block and options."""
    return function(block, **options)


class Several:
    """A function that returns several blocks, which stay together."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = function.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the blocks as a tuple."""
        return self.function(*args, **kwargs)

    def __dask_tokenize__(self) -> Any:
        return ("several", self.function)


def item(values: Sequence[Any], place: int) -> Any:
    """Return one of several values."""
    return values[place]


def is_missing(block: Any) -> Any:
    """Say for each element whether it is missing."""
    if block.dtype.kind in "fcmM":
        return np.isnan(block) if block.dtype.kind in "fc" else np.isnat(block)
    if block.dtype.kind == "O":
        return np.array([one is None or one != one for one in block.ravel()], dtype=bool).reshape(
            block.shape
        )
    return np.zeros(block.shape, dtype=bool)


def of_elements(function: Callable[..., Any], nin: int) -> Any:
    """Return a function of blocks that calls one of elements."""
    return OfElements(function, nin)


class OfElements:
    """A function of blocks that calls one of elements."""

    def __init__(self, function: Callable[..., Any], nin: int) -> None:
        self.function, self.nin = function, nin
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, *blocks: Any) -> Any:
        """Return an array of objects."""
        return np.frompyfunc(self.function, self.nin, 1)(*blocks)

    def __dask_tokenize__(self) -> Any:
        return ("of elements", self.function, self.nin)


def block_info(chunks: Any, block: tuple[int, ...], dtype: Any) -> dict[str, Any]:
    """Return where a block lies in an array."""
    location = []
    for lengths, at in zip(chunks, block, strict=True):
        begin = sum(lengths[:at])
        location.append((begin, begin + lengths[at]))
    return {
        "shape": tuple(sum(lengths) for lengths in chunks),
        "num-chunks": tuple(len(lengths) for lengths in chunks),
        "array-location": location,
        "chunk-location": block,
        "dtype": dtype,
    }


class Places:
    """Where blocks lie in arrays that a function is called with, and in its result."""

    def __init__(self, infos: Any, labels: Any, chunks: Any, dtype: Any) -> None:
        self.infos, self.labels, self.chunks, self.dtype = infos, labels, chunks, dtype

    def of(self, block: tuple[int, ...]) -> dict[Any, Any]:
        """Return where things lie for one block of the result."""
        result: dict[Any, Any] = {}
        for place, chunks, labels, dtype in self.infos:
            own = tuple(
                block[self.labels.index(label)] if label in self.labels and len(lengths) > 1 else 0
                for label, lengths in zip(labels, chunks, strict=True)
            )
            result[place] = block_info(chunks, own, dtype)
        result[None] = block_info(self.chunks, block, self.dtype)
        result[None]["chunk-shape"] = tuple(
            lengths[at] for lengths, at in zip(self.chunks, block, strict=True)
        )
        return result


def call_with_place(
    function: Callable[..., Any],
    values: list[Any],
    options: dict[str, Any],
    block: tuple[int, ...],
    wants_id: bool,
    places: Places | None,
    ndim: int | None,
) -> Any:
    """Call a function that wants to know which block it makes."""
    options = dict(options)
    if wants_id:
        options["block_id"] = block
    if places is not None:
        options["block_info"] = places.of(block)
    result = function(*values, **options)
    if ndim is not None and np.ndim(result) != ndim:
        raise ValueError(
            f"map_blocks: the function returned {np.ndim(result)} axes for block {block}, and the "
            f"result has {ndim}; say drop_axis= or new_axis="
        )
    return result


def assign(block: Any, value: Any, *cuts: tuple[Any, Any]) -> Any:
    """Return a block with other elements: for each axis at which places, and which of the value."""
    if not all(len(places) for places, _ in cuts):
        return block
    block = block.copy()
    part = (
        value[
            np.ix_(
                *(
                    of if length != 1 else [0]
                    for (_, of), length in zip(cuts, value.shape, strict=True)
                )
            )
        ]
        if cuts
        else value
    )
    block[np.ix_(*(places for places, _ in cuts)) if cuts else ()] = part
    return block


def choose(mask: Any, block: Any, value: Any) -> Any:
    """Return a block in which elements of a mask have one value."""
    return np.where(mask, np.asarray(value).astype(block.dtype), block)
