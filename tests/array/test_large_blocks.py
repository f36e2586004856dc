"""Blocks that kernels work on part by part, or write into: the same results as for small ones."""

import tracemalloc

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da

RANDOM = np.random.default_rng(3)
VALUES = RANDOM.normal(size=(300, 700))
KINDS = {
    "f8": VALUES,
    "f4": VALUES.astype("f4"),
    "i8": (VALUES * 100).astype("i8"),
    "u1": (VALUES * 100).astype("u1"),
    "bool": VALUES > 0,
    "c16": VALUES + 1j * VALUES[::-1],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("order", ["C", "F"])
def test_deviations(kind, axis, order):
    values = np.asarray(KINDS[kind], order=order)
    x = da.from_array(values, chunks=(200, 699))
    # In single precision NumPy is not as near to the truth as we are.
    exact = values.astype("f8") if kind == "f4" else values
    for name in ("std", "var"):
        expected = getattr(exact, name)(axis=axis, ddof=1)
        assert_same(
            getattr(x, name)(axis=axis, ddof=1), expected.astype("f4" if kind == "f4" else "f8")
        )


def test_deviations_of_numbers_far_from_zero():
    values = VALUES + 1e9
    x = da.from_array(values, chunks=(200, 700))
    np.testing.assert_allclose(x.std(axis=0).compute(), values.std(axis=0), rtol=1e-6)
    assert np.isnan(da.from_array(np.full((90, 90), np.nan)).std().compute())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_masks(kind, order):
    values = np.asarray(KINDS[kind], order=order)
    x = da.from_array(values, chunks=(200, 350))
    for mask in (x > x.mean(), x != x, x == x):
        expected = values[mask.compute()]
        found = x[mask].compute()
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(np.sort(found), np.sort(expected))
        assert_same(x[mask].sum(), expected.sum())


def test_a_masked_row_of_blocks_is_in_the_order_of_numpy():
    x = da.from_array(VALUES, chunks=(77, 700))
    np.testing.assert_array_equal(x[x > 0.3].compute(), VALUES[VALUES > 0.3])


@pytest.mark.parametrize(
    "chunks", [(7, 5, 5), (30, 20, 24), (10, 20, 24), (10, 7, 24), (10, 20, 9)]
)
def test_what_a_mask_picks_is_in_the_order_of_numpy_however_it_is_cut(chunks):
    values = RANDOM.random((30, 20, 24))
    x = da.from_array(values, chunks=chunks)
    for least in (0.4, 0.999, 2):
        expected = values[values > least]
        picked = x[x > least]
        np.testing.assert_array_equal(picked.compute(), expected)
        assert picked.compute_chunk_sizes().shape == expected.shape
        assert picked.numblocks == x.numblocks[:1]
        for name in ("sum", "any"):
            assert_same(getattr(picked, name)(), getattr(expected, name)())
    for name in ("mean", "std", "max"):
        assert_same(getattr(x[x > 0.4], name)(), getattr(values[values > 0.4], name)())


def test_a_mask_of_other_blocks_of_unknown_lengths_is_refused():
    x = da.from_array(VALUES, chunks=(100, 350))
    known = x[x[:, 0].compute() > 0]
    rows = x[x[:, 0] > 0]
    np.testing.assert_array_equal(rows[rows > 0.5].compute(), known[known > 0.5].compute())
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        rows[rows.rechunk({1: -1}) > 0.5]


def test_totals_of_many_blocks_leave_the_blocks_alone():
    values = RANDOM.integers(0, 9, (5, 6000))
    x = da.from_array(values.copy(), chunks=(1, 6000)).persist()
    for function in ("sum", "prod", "max", "min"):
        assert_same(getattr(x, function)(axis=0), getattr(values, function)(axis=0))
    assert_same((x > 4).any(axis=0), (values > 4).any(axis=0))
    assert_same(x, values)


MATRIX = RANDOM.uniform(size=(60, 70))


@pytest.mark.parametrize("chunks", [(20, 30), (7, 70), (60, 9), (60, 70)])
@pytest.mark.parametrize("kind", ["f8", "i8", "bool", "c16"])
@pytest.mark.covers("array.matmul")
def test_matrices_that_are_much_smaller_than_what_they_are_multiplied_with(chunks, kind):
    values = (MATRIX * 5).astype(kind)
    x = da.from_array(values, chunks=chunks)
    few = (RANDOM.uniform(size=(70, 3)) * 5).astype(kind)
    lazy = da.from_array(few, chunks=(30, 3))
    assert_same(x @ lazy, values @ few)
    assert_same(lazy.T @ x.T, few.T @ values.T)
    assert_same(x @ few[:, 0], values @ few[:, 0])
    assert_same(da.from_array(few.T[0], chunks=9) @ x.T, few.T[0] @ values.T)
    assert_same(x.T @ x, values.T @ values)


@pytest.mark.covers("array.matmul")
def test_stacks_of_matrices_times_one():
    stack = RANDOM.normal(size=(3, 40, 50))
    few = RANDOM.normal(size=(50, 2))
    for chunks in ((1, 40, 10), (2, 20, 50), (3, 15, 15)):
        x = da.from_array(stack, chunks=chunks)
        assert_same(x @ da.from_array(few, chunks=(20, 2)), stack @ few)
        assert_same(da.from_array(few.T, chunks=(2, 20)) @ x.transpose(0, 2, 1), few.T @ stack.mT)


@pytest.mark.covers("array.tensordot")
def test_products_over_several_axes_in_many_blocks():
    one, other = RANDOM.normal(size=(12, 10, 8)), RANDOM.normal(size=(8, 12, 3))
    x, y = da.from_array(one, chunks=(4, 3, 5)), da.from_array(other, chunks=(3, 5, 3))
    for axes in (([0, 2], [1, 0]), ([2, 0], [0, 1])):
        assert_same(da.tensordot(x, y, axes=axes), np.tensordot(one, other, axes=axes))
        swapped = tuple(reversed(axes))
        assert_same(da.tensordot(y, x, axes=swapped), np.tensordot(other, one, axes=swapped))
    assert_same(da.tensordot(x, x, axes=3), np.tensordot(one, one, axes=3))


def on_boundaries(kind):
    """Return elements on boundaries of a hundred bins, and as near as can be."""
    edges = np.linspace(-3, 5, 101)
    beside = [edges, np.nextafter(edges, -9), np.nextafter(edges, 9)]
    return np.concatenate([*beside, RANDOM.uniform(-4, 6, 99_000)]).astype(kind)


@pytest.mark.parametrize("kind", ["f8", "f4", "f2", "i8", "i1"])
@pytest.mark.parametrize("limits", [(-3, 5), (-2.5, 5.1), (0, 1e-300), (2, 2), (-1e17, 1e17)])
@pytest.mark.covers("array.histogram")
def test_histograms_of_bins_of_one_width(kind, limits):
    values = on_boundaries(kind).reshape(3, -1)
    x = da.from_array(values, chunks=(2, 30_000))
    for bins in (1, 7, 100):
        edges = np.histogram_bin_edges(np.empty(0), bins, limits)
        counts, found = da.histogram(x, bins=bins, range=limits)
        np.testing.assert_array_equal(found, edges)
        assert_same(counts, np.histogram(values, edges)[0])


@pytest.mark.covers("array.histogram")
def test_histograms_of_numbers_far_from_zero_and_of_none():
    values = 1e15 + RANDOM.integers(0, 50, 70_000)
    limits = (1e15, 1e15 + 49)
    edges = np.histogram_bin_edges(np.empty(0), 98, limits)
    x = da.from_array(values, chunks=69_000)
    assert_same(da.histogram(x, bins=98, range=limits)[0], np.histogram(values, edges)[0])
    odd = np.array([np.nan, np.inf, -np.inf, 0.5, 2.0])
    assert_same(da.histogram(da.from_array(odd), bins=2, range=(0, 1))[0], [0, 1])
    assert_same(da.histogram(da.from_array(odd[:3]), bins=2, range=(0, 1))[0], [0, 0])


def most_blocks(lazy, nbytes):
    """Compute in this thread; return the result, and how many blocks of memory that took."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = lazy.compute(scheduler="sync")
        return result, (tracemalloc.get_traced_memory()[1] - before) / nbytes
    finally:
        tracemalloc.stop()


def test_chains_of_calls_write_into_what_nobody_else_sees():
    values = RANDOM.random(100_000)
    x = da.from_array(values.copy()).persist()
    expected = ((values + 1) * 2 - values) / np.maximum(values * 3, 1.5) - (1 - values * values)
    lazy = ((x + 1) * 2 - x) / np.maximum(x * 3, 1.5) - (1 - x * x)
    result, blocks = most_blocks(lazy, values.nbytes)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(x.compute(), values)
    # The result, another factor, and what comes out with memory of its own.
    assert blocks < 3.5
    _, blocks = most_blocks((((x + 1) * 2 - x) * 3 + 4).sum(), values.nbytes)
    assert blocks < 1.5


def test_what_others_see_or_what_does_not_fit_is_not_written_to():
    values = RANDOM.random(100_000)
    whole = np.ones(100_000)
    x = da.from_array(values.copy())
    kept = []

    def keep(block):
        kept.append(block)
        return block

    y = x.map_blocks(keep, dtype="f8", meta=np.empty(0))
    np.testing.assert_array_equal((y + 1).compute(), values + 1)
    np.testing.assert_array_equal((y.map_blocks(lambda block: block[:]) * 2).compute(), values * 2)
    np.testing.assert_array_equal(kept[-1], values)
    np.testing.assert_array_equal(da.map_blocks(lambda _: whole, x, dtype="f8") + 1, whole + 1)
    np.testing.assert_array_equal(whole, 1)
    twice = x + 1
    np.testing.assert_array_equal((twice * twice).compute(), (values + 1) ** 2)
    for other in (np.float32(2), 2, 10**25, 1j, np.arange(100_000), np.ones((2, 1))):
        expected = (values * 2 + 1) * other
        found = ((x * 2 + 1) * other).compute()
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    for kind in ("f4", "i8", ">f8", "c16"):
        one = (values * 100).astype(kind)
        found = ((da.from_array(one) + 1) * 2.5).compute()
        np.testing.assert_array_equal(found, (one + 1) * 2.5)
        assert found.dtype == ((one + 1) * 2.5).dtype
    assert_same((x + 1) > 1.5, values + 1 > 1.5)
