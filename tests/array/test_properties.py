"""What holds for any array in any chunks: random cases against NumPy.

The same cases each time; `OXIDASK_CASES=100` tries a hundred times as many, others each time.
"""

import math
import os
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import oxidask.array as da

TIMES = int(os.environ.get("OXIDASK_CASES", "1"))

# A net for what hangs, not a measurement: the cases of one test take some twenty seconds.
pytestmark = pytest.mark.timeout(600 * TIMES)


def cases(count):
    """Return how often a property is tried."""
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# ---- Arrays in chunks ----


@st.composite
def lengths_of(draw, total):
    """Draw lengths of blocks along an axis; some are empty."""
    cuts = draw(st.lists(st.integers(0, total), max_size=4))
    places = [0, *sorted(cuts), total]
    return tuple(b - a for a, b in pairwise(places))


@st.composite
def chunks_of(draw, shape):
    """Draw the chunks of an array."""
    return tuple(draw(lengths_of(length)) for length in shape)


def shapes(least=0, most=3, longest=7):
    """Return a strategy for shapes."""
    return st.lists(st.integers(0, longest), min_size=least, max_size=most).map(tuple)


DTYPES = ["i8", "f8", "f4", "i1", "u2", "?", "c16"]


def values_of(shape, dtype="i8"):
    """Return an array of elements that differ, as far as their type lets them."""
    size = math.prod(shape)
    values = (np.arange(size) * 7 + 3) % 101 - 40
    if dtype == "?":
        values = values % 3 == 0
    elif np.dtype(dtype).kind == "u":
        values = abs(values)
    return values.astype(dtype).reshape(shape)


@st.composite
def arrays(draw, shape, dtype="i8"):
    """Draw an array, lazy and not."""
    values = values_of(shape, dtype)
    return da.from_array(values, chunks=draw(chunks_of(shape))), values


def check(lazy, expected, tolerance=0.0):
    """Compare values, shape and dtype, and the shape of a block that comes alone."""
    expected = np.asarray(expected)
    assert lazy.shape == expected.shape
    assert lazy.dtype == expected.dtype
    assert all(sum(lengths) == n for lengths, n in zip(lazy.chunks, expected.shape, strict=True))
    result = np.asarray(lazy.compute())
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    if tolerance:
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)
    else:
        np.testing.assert_array_equal(result, expected)
    if expected.ndim:
        middle = tuple(count // 2 for count in lazy.numblocks)
        block = lazy.blocks[middle].compute()
        wanted = tuple(lengths[at] for lengths, at in zip(lazy.chunks, middle, strict=True))
        assert np.shape(block) == wanted


# ---- Picking ----


@st.composite
def slices_of(draw, length):
    """Draw a slice, whose ends may lie outside."""
    end = st.none() | st.integers(-length - 2, length + 2)
    step = st.none() | st.integers(-4, 4).filter(bool)
    return slice(draw(end), draw(end), draw(step))


@st.composite
def indices_of(draw, shape):
    """Draw an index: what is simple, and at most one axis with places or truth values."""
    index = []
    special = draw(st.integers(-2, len(shape) - 1))
    for axis, length in enumerate(shape):
        if draw(st.integers(0, 9)) == 0:
            index.append(None)
        if axis == special:
            if draw(st.booleans()) and length:
                places = st.lists(st.integers(-length, length - 1), max_size=9)
                index.append(np.array(draw(places), dtype=int))
            else:
                flags = st.lists(st.booleans(), min_size=length, max_size=length)
                index.append(np.array(draw(flags), dtype=bool))
        elif length and draw(st.integers(0, 4)) == 0:
            index.append(draw(st.integers(-length, length - 1)))
        else:
            index.append(draw(slices_of(length)))
    if draw(st.booleans()):
        # The last axes may be left out.
        keep = draw(st.integers(0, len(index)))
        index = index[:keep]
        if draw(st.booleans()):
            index.append(...)
    return tuple(index)


def picked(values, index):
    """Return what an index picks if each axis is picked by itself."""
    simple = tuple(slice(None) if isinstance(one, np.ndarray) else one for one in index)
    result = values[simple]
    axis = 0
    for one in index:
        if isinstance(one, np.ndarray):
            places = np.flatnonzero(one) if one.dtype == bool else one
            result = np.take(result, places, axis=axis)
        axis += not isinstance(one, int)
    return result


@pytest.mark.covers("array.Array.__getitem__")
@cases(2500)
@given(data=st.data())
def test_indices_pick_what_they_pick_in_numpy(data):
    lazy, values = data.draw(arrays(data.draw(shapes(1))))
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(indices_of(values.shape))
        lazy, values = lazy[index], picked(values, index)
    check(lazy, values)


# ---- Other chunks, other shapes ----


@cases(1500)
@given(data=st.data())
def test_rechunked_arrays_hold_the_same(data):
    lazy, values = data.draw(arrays(data.draw(shapes())))
    for _ in range(data.draw(st.integers(1, 3))):
        chunks = data.draw(chunks_of(values.shape))
        lazy = lazy.rechunk(chunks)
        assert lazy.chunks == chunks
        step = data.draw(st.integers(0, 4))
        if step == 0:
            lazy, values = lazy + 1, values + 1
        elif step == 1:
            lazy, values = lazy.T, values.T
        elif step == 2 and values.ndim:
            index = data.draw(slices_of(values.shape[0]))
            lazy, values = lazy[index], values[index]
    if data.draw(st.booleans()):
        lazy = lazy.rechunk(data.draw(st.integers(1, 8)), balance=data.draw(st.booleans()))
    check(lazy, values)


@st.composite
def factors_of(draw, number):
    """Draw a shape with so many elements."""
    if not number:
        shape = list(draw(shapes(1)))
        shape[draw(st.integers(0, len(shape) - 1))] = 0
        return tuple(shape)
    shape = []
    while number > 1 and len(shape) < 4:
        divisors = [one for one in range(1, number + 1) if number % one == 0]
        shape.append(draw(st.sampled_from(divisors)))
        number //= shape[-1]
    if number > 1 or draw(st.integers(0, 3)) == 0:
        shape.insert(draw(st.integers(0, len(shape))), number)
    return tuple(shape)


@cases(1500)
@given(data=st.data())
def test_reshaped_arrays_keep_their_order(data):
    number = data.draw(st.sampled_from([0, 1, 6, 12, 16, 24, 30, 36, 48, 60, 72]))
    lazy, values = data.draw(arrays(data.draw(factors_of(number))))
    for _ in range(data.draw(st.integers(1, 2))):
        shape = data.draw(factors_of(number))
        merges = data.draw(st.booleans())
        lazy, values = lazy.reshape(shape, merge_chunks=merges), values.reshape(shape)
    if data.draw(st.booleans()):
        lazy, values = lazy.ravel(), values.ravel()
    check(lazy, values)


# ---- Reductions ----

REDUCTIONS = ["sum", "prod", "mean", "var", "std", "min", "max", "any", "all", "argmin", "argmax"]
OF_NAN = ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmin", "nanmax"]


@st.composite
def axes_of(draw, ndim, takes_several):
    """Draw an axis, or some, or all."""
    if not ndim or draw(st.integers(0, 3)) == 0:
        return None
    one = st.integers(-ndim, ndim - 1)
    if not takes_several or draw(st.booleans()):
        return draw(one)
    return tuple(draw(st.lists(one, unique_by=lambda axis: axis % ndim, max_size=ndim)))


def result_or_error(function):
    """Return what a function gives, or the type of its error."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # Means of nothing: NumPy warns when it computes them.
            warnings.simplefilter("ignore")
            return function(), None
    except ValueError:
        return None, ValueError


@cases(2500)
@given(data=st.data())
def test_reductions_agree_with_numpy(data):
    name = data.draw(st.sampled_from(REDUCTIONS + OF_NAN))
    dtype = data.draw(st.sampled_from(["f8", "f4"] if name in OF_NAN else DTYPES))
    lazy, values = data.draw(arrays(data.draw(shapes()), dtype))
    if name in OF_NAN and values.size:
        holes = data.draw(st.lists(st.integers(0, values.size - 1), max_size=values.size))
        values.reshape(-1)[holes] = np.nan
        lazy = da.from_array(values, chunks=lazy.chunks)
    if "prod" in name and dtype != "?":
        # Products of whole numbers wrap around, those of others stay small.
        scale = 40 if values.dtype.kind in "fc" else 1
        lazy, values = (
            lazy // scale if scale == 1 else lazy / scale,
            values // scale if (scale == 1) else values / scale,
        )
    axis = data.draw(axes_of(values.ndim, not name.startswith("arg")))
    keepdims = data.draw(st.booleans())
    split_every = data.draw(st.sampled_from([None, 2, 3]))
    ours, our_error = result_or_error(
        lambda: getattr(da, name)(lazy, axis=axis, keepdims=keepdims, split_every=split_every)
    )
    theirs, error = result_or_error(lambda: getattr(np, name)(values, axis=axis, keepdims=keepdims))
    if error is None:
        assert our_error is None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(ours, theirs, 1e-4 if np.asarray(theirs).dtype in ("f4", "c8") else 1e-9)
    elif our_error is None:
        # What NumPy refuses is refused, when it is called or when it is computed.
        with pytest.raises(error):
            ours.compute()


# ---- Broadcasting ----


@st.composite
def shapes_that_fit(draw):
    """Draw shapes of two or three arrays that are broadcast."""
    whole = draw(shapes(0, 3))
    result = []
    for _ in range(draw(st.integers(2, 3))):
        own = whole[draw(st.integers(0, len(whole))) :]
        result.append(tuple(1 if draw(st.integers(0, 3)) == 0 else one for one in own))
    return result


@cases(1500)
@given(data=st.data())
def test_shapes_are_broadcast(data):
    both = [
        data.draw(arrays(shape, data.draw(st.sampled_from(DTYPES))))
        for shape in data.draw(shapes_that_fit())
    ]
    if data.draw(st.integers(0, 3)) == 0:
        # One of them is an array of NumPy.
        both[0] = (both[0][1], both[0][1])
    function = data.draw(st.sampled_from([np.add, np.multiply, np.equal, np.hypot, np.arctan2]))
    if function in (np.hypot, np.arctan2):
        both = [(lazy.real, values.real) for lazy, values in both]
    lazy, expected = both[0]
    for other, values in both[1:]:
        lazy, expected = function(lazy, other), function(expected, values)
    check(da.asarray(lazy), expected, 1e-3 if expected.dtype in ("f2", "f4") else 1e-12)
    whole = np.broadcast_shapes(*(values.shape for _, values in both))
    if whole:
        one, values = both[-1]
        check(da.broadcast_to(one, whole), np.broadcast_to(values, whole))


# ---- Blocks that need others ----


@cases(500)
@given(data=st.data())
def test_running_totals_and_windows(data):
    lazy, values = data.draw(arrays(data.draw(shapes(1))))
    axis = data.draw(st.integers(-values.ndim, values.ndim - 1))
    check(lazy.cumsum(axis), values.cumsum(axis))
    length = values.shape[axis]
    assume(length)
    window = data.draw(st.integers(1, length))
    check(
        da.lib.stride_tricks.sliding_window_view(lazy, window, axis),
        np.lib.stride_tricks.sliding_window_view(values, window, axis),
    )
    depth = data.draw(st.integers(0, length))
    boundary = data.draw(st.sampled_from(["none", "reflect", "periodic", "nearest", 5]))
    with_halo = da.overlap.overlap(lazy, {axis: depth}, {axis: boundary})
    trimmed = da.overlap.trim_overlap(with_halo, {axis: depth}, {axis: boundary})
    check(trimmed, values)
