"""Bins, sorted places, medians and statistics against NumPy."""

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da

VALUES = (np.arange(60).reshape(5, 12) * 37 % 23) - 5
CHUNKS = [(5, 12), (2, 5), (1, 1), ((1, 0, 4), (4, 4, 4))]


@pytest.fixture(params=CHUNKS, ids=str)
def x(request):
    return da.from_array(VALUES, chunks=request.param)


@pytest.mark.covers("array.digitize")
def test_digitize(x):
    for bins in ([0, 3, 9], [9, 3, 0]):
        for right in (False, True):
            assert_same(da.digitize(x, bins, right), np.digitize(VALUES, bins, right))
    with pytest.raises(ValueError, match="monotonic"):
        da.digitize(x, [1, 0, 5])
    with pytest.raises(ValueError, match="one axis, not 2"):
        da.digitize(x, [[1]])


@pytest.mark.covers("array.searchsorted")
def test_searchsorted(x):
    values = np.array([-4, 0, 0, 0, 3, 7, 7, 20])
    for chunks in (8, 3, 1, ((2, 0, 6),)):
        for side in ("left", "right"):
            lazy = da.from_array(values, chunks=chunks)
            assert_same(da.searchsorted(lazy, x, side), np.searchsorted(values, VALUES, side))
    assert_same(da.searchsorted(lazy, 3), np.asarray(np.searchsorted(values, 3)))
    with pytest.raises(NotImplementedError, match=r"a\[sorter\]"):
        da.searchsorted(lazy, x, sorter=[1])
    with pytest.raises(ValueError, match="not 2"):
        da.searchsorted(x, x)
    with pytest.raises(ValueError, match="'left' or 'right'"):
        da.searchsorted(lazy, x, side="middle")


@pytest.mark.covers("array.isin")
def test_isin(x):
    for others in ([1, 7, 99], da.arange(9, chunks=4), [[1], [2]]):
        for invert in (False, True):
            expected = np.isin(VALUES, np.asarray(others), invert=invert)
            assert_same(da.isin(x, others, invert=invert), expected)
    assert_same(da.isin(x, [3], kind="sort"), np.isin(VALUES, [3]))
    with pytest.raises(ValueError, match="not 'other'"):
        da.isin(x, [3], kind="other")


@pytest.mark.covers("array.unique")
def test_unique(x):
    assert_same(da.unique(x), np.unique(VALUES))
    for names in [("index",), ("counts",), ("inverse",), ("index", "inverse", "counts")]:
        options = {f"return_{name}": True for name in names}
        found = da.unique(x, **options)
        for one, expected in zip(found, np.unique(VALUES, **options), strict=True):
            assert_same(one, expected)
    words = np.array(["b", "a", "c", "a"])
    assert da.unique(da.from_array(words, chunks=2)).compute().tolist() == ["a", "b", "c"]
    gaps = np.array([2.0, np.nan, 1.0, np.nan])
    found, inverse = da.unique(da.from_array(gaps, chunks=1), return_inverse=True)
    assert_same(found, np.unique(gaps))
    assert_same(inverse, np.unique(gaps, return_inverse=True)[1])
    many = da.arange(5000, chunks=10) % 97
    assert_same(
        da.unique(many, return_counts=True)[1],
        np.unique(np.arange(5000) % 97, return_counts=True)[1],
    )
    picked = x[x > 3]
    values, inverse = da.unique(picked, return_inverse=True)
    assert_same(values, np.unique(VALUES[VALUES > 3]))
    assert_same(inverse, np.unique(VALUES[VALUES > 3], return_inverse=True)[1])
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        da.unique(picked, return_index=True)


@pytest.mark.covers("array.union1d")
def test_union1d(x):
    assert_same(da.union1d(x, [99, 1]), np.union1d(VALUES, [99, 1]))
    assert_same(da.union1d(x[x > 3], x[x < 0]), np.union1d(VALUES[VALUES > 3], VALUES[VALUES < 0]))


@pytest.mark.covers("array.bincount")
def test_bincount(x):
    flat, lazy = VALUES.ravel() + 5, x.ravel() + 5
    weights = np.linspace(0, 1, 60)
    assert_same(da.bincount(lazy), np.bincount(flat))
    for minlength in (23, 40):
        counts = da.bincount(lazy, minlength=minlength, split_every=2)
        assert counts.shape == (minlength,)
        assert_same(counts, np.bincount(flat, minlength=minlength))
    assert_same(da.bincount(lazy, da.from_array(weights, chunks=7)), np.bincount(flat, weights))
    with pytest.raises(ValueError, match="minlength=23 or more"):
        da.bincount(lazy, minlength=3).compute()
    for args, error, words in [
        ((x,), ValueError, "one axis is needed, not 2"),
        ((lazy * 0.5,), TypeError, "ints, not float64"),
        ((lazy, [1, 2]), ValueError, "2 weights for 60 elements"),
        ((lazy, None, -1), ValueError, "not negative: -1"),
    ]:
        with pytest.raises(error, match=words):
            da.bincount(*args)


@pytest.mark.covers("array.histogram")
@pytest.mark.parametrize("density", [None, True])
def test_histogram(x, density):
    weights = VALUES * 0.5 + 3
    lazy_weights = x * 0.5 + 3
    for bins, limits in [
        (7, (-5, 18)),
        ([0, 1, 5, 9], None),
        (3, (0, 2)),
        (np.arange(-5, 20), None),
    ]:
        for given, lazy in [(None, None), (weights, lazy_weights)]:
            expected = np.histogram(VALUES, bins, limits, weights=given, density=density)
            counts, edges = da.histogram(x, bins, limits, weights=lazy, density=density)
            assert_same(counts, expected[0])
            np.testing.assert_array_equal(edges, expected[1])
    counts, edges = da.histogram(x, 4, (x.min(), x.max()), density=density)
    expected = np.histogram(VALUES, 4, density=density)
    assert_same(counts, expected[0])
    assert_same(edges, expected[1])
    counts, edges = da.histogram(x, da.arange(0, 9, chunks=3), density=density)
    assert_same(counts, np.histogram(VALUES, np.arange(9), density=density)[0])
    gaps = np.where(VALUES == 4, np.nan, VALUES).T
    lazy = da.where(x == 4, np.nan, x).T
    edges = [-3.0, 0.5, 4, 9]
    assert_same(da.histogram(lazy, edges)[0], np.histogram(gaps, edges)[0])
    picked = x[x > 3]
    assert_same(
        da.histogram(picked, 5, (0, 20))[0], np.histogram(VALUES[VALUES > 3], 5, (0, 20))[0]
    )


def test_histograms_that_cannot_be():
    x = da.ones((4, 3), chunks=2)
    for args, options, words in [
        ((5,), {}, "give the boundaries of the bins"),
        ((), {}, "give the boundaries of the bins"),
        (("auto",), {}, "give the boundaries of the bins"),
        (([3, 1],), {}, "go up"),
        ((0, (0, 1)), {}, "at least one bin, not 0"),
        ((2, (0, 1)), {"normed": True}, "density=True"),
        ((2, (0, 1)), {"weights": [1, 2]}, r"weights of shape \(2,\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            da.histogram(x, *args, **options)
    for sample, bins, words in [
        (da.ones((2, 2, 2)), 2, "2 axes, not in 3"),
        ((da.ones(3), da.ones(4)), 2, "one length"),
        (x, (2, 2), "2 axes are described by bins, not 3"),
        (x, 2, "give the boundaries"),
    ]:
        with pytest.raises(ValueError, match=words):
            da.histogramdd(sample, bins)


@pytest.mark.covers("array.histogram2d", "array.histogramdd")
@pytest.mark.parametrize("density", [None, True])
def test_histograms_of_points(density):
    points = np.random.default_rng(1).normal(size=(200, 3))
    weights = np.linspace(1, 2, 200)
    lazy = da.from_array(points, chunks=(33, 2))
    limits = [(-2, 2), (-1, 1), (-3, 3)]
    cases = [
        (4, limits),
        ((2, 3, 4), limits),
        ((2, [-1, 0, 2], np.arange(-3, 3)), limits),
        ([[-1, 0, 1]] * 3, None),
    ]
    for bins, given in cases:
        for own in (None, weights):
            expected = np.histogramdd(points, bins, given, weights=own, density=density)
            options = {"weights": own, "density": density}
            for sample in (lazy, [lazy[:, axis] for axis in range(3)]):
                counts, edges = da.histogramdd(sample, bins, given, **options)
                assert_same(counts, expected[0])
                for one, other in zip(edges, expected[1], strict=True):
                    np.testing.assert_array_equal(one, other)
    for bins, given in [(4, limits[:2]), ((2, 3), limits[:2]), ([-1.0, 0.0, 1.0], None)]:
        expected = np.histogram2d(points[:, 0], points[:, 1], bins, given, density=density)
        found = da.histogram2d(lazy[:, 0], lazy[:, 1], bins, given, density=density)
        assert_same(found[0], expected[0])
        np.testing.assert_array_equal(found[2], expected[2])


@pytest.mark.covers("array.ravel_multi_index", "array.unravel_index")
@pytest.mark.parametrize("order", ["C", "F"])
def test_places_of_a_grid(order):
    flat = np.array([[0, 5], [11, 3], [7, 7]])
    lazy = da.from_array(flat, chunks=(2, 1))
    found = da.unravel_index(lazy, (3, 4), order)
    expected = np.unravel_index(flat, (3, 4), order)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
    assert_same(da.ravel_multi_index(found, (3, 4), order=order), flat)
    both = da.stack(found)
    assert_same(da.ravel_multi_index(both, (3, 4), order=order), flat)
    wrapped = np.ravel_multi_index(expected, (2, 2), ("wrap", "clip"), order)
    assert_same(da.ravel_multi_index(both, (2, 2), ("wrap", "clip"), order), wrapped)
    with pytest.raises(ValueError, match="along 2 axes for a grid of 3"):
        da.ravel_multi_index(found, (3, 4, 5))
    with pytest.raises(TypeError, match="ints, not float64"):
        da.unravel_index(da.ones(3), (3, 4))


# ---- Order ----


@pytest.mark.covers("array.topk", "array.argtopk", "array.Array.topk", "array.Array.argtopk")
@pytest.mark.parametrize("k", [1, 3, 40, -1, -4, -40, 0])
def test_topk(k):
    values = np.random.default_rng(3).permutation(60).reshape(5, 12)
    for chunks in CHUNKS:
        x = da.from_array(values, chunks=chunks)
        for axis in (0, 1, -1):
            order = np.argsort(values, axis=axis)
            order = np.flip(order, axis) if k > 0 else order
            order = order[(slice(None),) * (axis % 2) + (slice(abs(k)),)]
            expected = np.take_along_axis(values, order, axis)
            assert_same(da.topk(x, k, axis), expected)
            assert_same(x.topk(k, axis, split_every=2), expected)
            assert_same(da.argtopk(x, k, axis), order)
            assert_same(x.argtopk(k, axis, split_every=2), order)
    with pytest.raises(TypeError, match=r"k is an int, not 1\.5"):
        x.topk(1.5)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        x[x > 3].topk(2)


@pytest.mark.covers("array.median", "array.nanmedian")
def test_median(x):
    gaps = np.where(VALUES > 12, np.nan, VALUES)
    lazy = da.where(x > 12, np.nan, x)
    for axis in (0, -1, (0, 1)):
        for keepdims in (False, True):
            expected = np.asarray(np.median(VALUES, axis=axis, keepdims=keepdims))
            assert_same(da.median(x, axis, keepdims), expected)
            expected = np.asarray(np.nanmedian(gaps, axis=axis, keepdims=keepdims))
            assert_same(da.nanmedian(lazy, axis, keepdims), expected)
    assert_same(da.median(x[0]), np.asarray(np.median(VALUES[0])))
    with pytest.raises(NotImplementedError, match=r"axis=\(0, 1\)"):
        da.median(x)


@pytest.mark.covers("array.quantile", "array.nanquantile", "array.nanpercentile")
def test_quantile(x):
    gaps = np.where(VALUES > 12, np.nan, VALUES)
    lazy = da.where(x > 12, np.nan, x)
    for q in (0.3, [0, 0.25, 1], np.array([[0.5]])):
        for axis in (0, 1, (0, 1)):
            for options in ({}, {"keepdims": True}, {"method": "lower"}):
                expected = np.asarray(np.quantile(VALUES, q, axis=axis, **options))
                assert_same(da.quantile(x, q, axis, **options), expected)
                expected = np.asarray(np.nanquantile(gaps, q, axis=axis, **options))
                assert_same(da.nanquantile(lazy, q, axis, **options), expected)
    short = VALUES.astype("f4")
    for q in (0.25, [0.25]):
        assert_same(da.quantile(x.astype("f4"), q, axis=1), np.quantile(short, q, axis=1))
        found = da.percentile(x.astype("f4")[0], np.multiply(q, 100).tolist())
        assert_same(found, np.asarray(np.percentile(short[0], np.multiply(q, 100).tolist())))
    expected = np.nanpercentile(gaps, [20, 70], axis=1)
    assert_same(da.nanpercentile(lazy, [20, 70], axis=1), expected)
    weights = np.arange(1, 13)
    expected = np.quantile(VALUES, 0.4, axis=1, weights=weights, method="inverted_cdf")
    found = da.quantile(x, 0.4, axis=1, weights=weights, method="inverted_cdf")
    assert_same(found, expected)
    with pytest.raises(ValueError, match=r"from 0 to 1, not 1\.5"):
        da.quantile(x, 1.5, axis=0)
    with pytest.raises(NotImplementedError, match=r"axis=\(0, 1\)"):
        da.nanquantile(x, 0.5)


@pytest.mark.covers("array.percentile")
def test_percentile(x):
    flat = x.ravel()
    for method in ("linear", "lower", "higher", "midpoint", "nearest"):
        for q in (50, [0, 30, 100], [[25]]):
            expected = np.asarray(np.percentile(VALUES.ravel(), q, method=method))
            assert_same(da.percentile(flat, q, method), expected)
    assert_same(da.percentile(x, [5, 50], axis=1), np.percentile(VALUES, [5, 50], axis=1))
    assert np.isnan(da.percentile(da.asarray([1.0, np.nan]), 50).compute())
    for args, error, words in [
        ((flat, 101), ValueError, "from 0 to 100, not 101"),
        ((flat, 5, "other"), ValueError, "not 'other'"),
        ((flat, 5, "linear", "tdigest"), NotImplementedError, "take 'default'"),
        ((x, 5), NotImplementedError, "axis="),
        ((flat[:0], 5), ValueError, "without elements"),
    ]:
        with pytest.raises(error, match=words):
            da.percentile(*args)


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_percentiles_of_many_elements_are_off_by_little(method):
    values = np.random.default_rng(5).exponential(size=400_000)
    lazy = da.from_array(values, chunks=70_001)
    q = np.array([0, 0.1, 1, 25, 50, 90, 99.9, 100])
    found = da.percentile(lazy, q, method).compute()
    places = np.searchsorted(np.sort(values), found) / len(values) * 100
    # Two levels of sketches.
    np.testing.assert_allclose(places, q, atol=100 * 3 / 16384)
    assert found[0] == values.min()
    assert found[-1] == values.max()


# ---- Statistics ----


@pytest.mark.covers("array.average")
def test_average(x):
    weights = VALUES % 4 + 1
    lazy = da.from_array(weights, chunks=4)
    columns = np.arange(1.0, 13)
    for axis in (None, 0, 1, (0, 1)):
        assert_same(da.average(x, axis), np.asarray(np.average(VALUES, axis)))
        found, total = da.average(x, axis, lazy, returned=True)
        expected = np.average(VALUES, axis, weights, returned=True)
        assert_same(found, np.asarray(expected[0]))
        assert_same(total, np.asarray(expected[1]))
    found = da.average(x, 1, columns, keepdims=True)
    assert_same(found, np.average(VALUES, 1, columns, keepdims=True))
    found = da.average(x, (1, 0), weights.T)
    assert_same(found, np.asarray(np.average(VALUES, (1, 0), weights.T)))
    mean, count = da.average(x, 0, returned=True)
    assert_same(mean, np.average(VALUES, 0))
    assert_same(count, np.full(12, 5.0))
    with pytest.raises(TypeError, match="which axis="):
        da.average(x, weights=[1, 2])
    with pytest.raises(ValueError, match=r"weights of shape \(2,\)"):
        da.average(x, 0, [1, 2])


@pytest.mark.covers("array.cov", "array.corrcoef")
def test_covariances(x):
    other = np.sin(VALUES)
    lazy = da.from_array(other, chunks=3)
    counts, importance = np.arange(1, 13), np.linspace(0.5, 2, 12)
    for options in [
        {},
        {"rowvar": False},
        {"bias": True},
        {"ddof": 3},
        {"fweights": counts},
        {"aweights": importance},
        {"fweights": counts, "aweights": importance, "ddof": 0},
        {"dtype": "f4"},
    ]:
        found, expected = da.cov(x, **options), np.cov(VALUES, **options)
        assert found.dtype == expected.dtype
        rtol = 1e-4 if expected.dtype == "f4" else 1e-10
        np.testing.assert_allclose(found.compute(), expected, rtol=rtol, atol=1e-4)
    assert_same(da.cov(x, lazy), np.cov(VALUES, other))
    assert_same(da.cov(x[0]), np.cov(VALUES[0]))
    assert_same(da.cov(x[0], lazy[1]), np.cov(VALUES[0], other[1]))
    np.testing.assert_allclose(da.corrcoef(lazy).compute(), np.corrcoef(other), atol=1e-12)
    np.testing.assert_allclose(
        da.corrcoef(x.T, lazy.T, rowvar=False).compute(),
        np.corrcoef(VALUES.T, other.T, rowvar=False),
        atol=1e-12,
    )
    assert da.corrcoef(lazy[0]).compute() == 1
    for kwargs, error, words in [
        ({"ddof": 0.5}, ValueError, "an int, not 0.5"),
        ({"fweights": [1]}, RuntimeError, "12 observations"),
        ({"aweights": -importance}, ValueError, "not negative"),
        ({"fweights": importance}, TypeError, "whole numbers"),
    ]:
        with pytest.raises(error, match=words):
            da.cov(x, **kwargs)
    with pytest.raises(ValueError, match="not 3"):
        da.cov(da.ones((2, 2, 2)))


@pytest.mark.covers("array.allclose")
def test_allclose(x):
    assert_same(da.allclose(x, VALUES + 1e-9), np.asarray(True))
    assert_same(da.allclose(x, VALUES + 1e-3), np.asarray(False))
    gaps = da.asarray([1.0, np.nan])
    assert not da.allclose(gaps, gaps).compute()
    assert da.allclose(gaps, gaps, equal_nan=True).compute()


@pytest.mark.covers("array.apply_along_axis", "array.apply_over_axes")
def test_functions_of_vectors(x):
    for axis in (0, 1, -1):
        for function in (np.sum, np.sort, lambda one: np.outer(one, one)[:3, :2] * 0.5, max):
            expected = np.apply_along_axis(function, axis, VALUES)
            assert_same(da.apply_along_axis(function, axis, x), expected)
    given = da.apply_along_axis(np.mean, 1, x, dtype="f4", shape=())
    assert_same(given, VALUES.mean(axis=1, dtype="f4"))
    quantiles = da.apply_along_axis(np.quantile, 0, x, [0.2, 0.4], method="lower")
    assert_same(quantiles, np.quantile(VALUES, [0.2, 0.4], axis=0, method="lower"))
    for axes in (0, [0, 1], (-1,)):
        assert_same(da.apply_over_axes(da.sum, x, axes), np.apply_over_axes(np.sum, VALUES, axes))
    with pytest.raises(ValueError, match="the function returned 0 axes of 2"):
        da.apply_over_axes(lambda one, axis: one.sum(), x, [0])


@pytest.mark.covers("array.shape", "array.ndim", "array.ptp", "array.round", "array.Array.round")
def test_small_ones(x):
    assert da.shape(x) == da.shape(VALUES.tolist()) == np.shape(x) == (5, 12)
    assert da.ndim(x) == da.ndim(VALUES.tolist()) == np.ndim(x) == 2
    for axis in (None, 0, (0, 1)):
        assert_same(da.ptp(x, axis), np.asarray(np.ptp(VALUES, axis)))
    for decimals in (0, 2, -1):
        assert_same(da.round(x / 7, decimals), np.round(VALUES / 7, decimals))
        assert_same((x / 7).round(decimals), np.round(VALUES / 7, decimals))


@pytest.mark.covers("array.fix")
@pytest.mark.parametrize("dtype", ["i4", "f4", "f8", "?"])
def test_fix(dtype):
    values = np.linspace(-2.7, 2.7, 9).astype(dtype)
    x = da.from_array(values, chunks=4)
    for lazy in (da.fix(x), np.fix(x)):
        assert_same(lazy, np.fix(values))
        assert lazy.name.startswith("fix-")
    assert da.fix.__name__ == "fix"
    np.testing.assert_array_equal(da.fix(values), np.fix(values))


@pytest.mark.covers("array.unify_chunks")
def test_unify_chunks():
    x = da.ones((6, 4), chunks=(2, 4))
    y = da.ones((4, 6), chunks=(3, 4))
    chunks, (one, other, none, row) = da.unify_chunks(
        x, "ij", y, "ji", 5, None, da.ones((1, 4), chunks=2), "ij"
    )
    assert chunks == {"i": (2, 2, 2), "j": (2, 1, 1)}
    assert one.chunks == ((2, 2, 2), (2, 1, 1))
    assert other.chunks == ((2, 1, 1), (2, 2, 2))
    assert none == 5
    assert row.chunks == ((1,), (2, 1, 1))
    assert da.unify_chunks() == ({}, [])
    for args, words in [
        ((x, "i"), "1 labels 'i' for an array of 2 axes"),
        ((x,), "in turns"),
        ((x, "ij", y, "ij"), r"label 'i' have \[4, 6\] elements"),
    ]:
        with pytest.raises(ValueError, match=words):
            da.unify_chunks(*args)
