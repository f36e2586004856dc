"""Diagonals, triangles, grids and differences against NumPy."""

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da

VALUES = np.arange(35).reshape(5, 7) % 11
CHUNKS = [(5, 7), (2, 3), (1, 1), ((1, 0, 4), (4, 3))]


@pytest.fixture(params=CHUNKS, ids=str)
def x(request):
    return da.from_array(VALUES, chunks=request.param)


@pytest.mark.covers("array.diag")
@pytest.mark.parametrize("k", [0, 2, -3])
def test_diag(x, k):
    vector = np.arange(1, 6)
    for chunks in (5, 2, 1, ((2, 0, 3),)):
        lazy = da.from_array(vector, chunks=chunks)
        assert_same(da.diag(lazy, k), np.diag(vector, k))
    assert_same(da.diag(x, k), np.diag(VALUES, k))
    with pytest.raises(ValueError, match="not of 3"):
        da.diag(da.ones((2, 2, 2)))


@pytest.mark.covers("array.diagonal", "array.trace", "array.Array.trace")
def test_diagonal(x):
    cube = np.arange(120).reshape(4, 5, 6)
    lazy = da.from_array(cube, chunks=((1, 3), 2, (2, 0, 4)))
    for offset in range(-6, 8):
        assert_same(da.diagonal(x, offset), np.diagonal(VALUES, offset))
        assert_same(da.trace(x, offset), np.asarray(np.trace(VALUES, offset)))
        for axes in [(0, 1), (2, 0), (1, -1)]:
            assert_same(da.diagonal(lazy, offset, *axes), np.diagonal(cube, offset, *axes))
    assert_same(lazy.trace(1, 1, 2, "f4"), np.trace(cube, 1, 1, 2, "f4"))
    with pytest.raises(ValueError, match="differ, not both 0"):
        da.diagonal(x, 0, 0, 0)
    with pytest.raises(ValueError, match="at least two axes"):
        da.diagonal(da.ones(3))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        da.diagonal(x[x[:, 0] > 1])


@pytest.mark.covers("array.tri", "array.tril", "array.triu")
@pytest.mark.parametrize("k", [-8, -2, 0, 1, 9])
def test_triangles(x, k):
    assert_same(da.tri(5, 7, k, chunks=2), np.tri(5, 7, k))
    assert_same(da.tri(4, k=k, dtype="i2", chunks=3), np.tri(4, k=k, dtype="i2"))
    cube = np.arange(60).reshape(3, 4, 5)
    for name in ("tril", "triu"):
        lazy, numpy = getattr(da, name), getattr(np, name)
        assert_same(lazy(x, k), numpy(VALUES, k))
        assert_same(lazy(da.from_array(cube, chunks=2), k), numpy(cube, k))
        assert_same(lazy(da.arange(4, chunks=3), k), numpy(np.arange(4), k))
    with pytest.raises(NotImplementedError, match="map_blocks"):
        da.tri(3, like=x)


@pytest.mark.covers(
    "array.tril_indices",
    "array.triu_indices",
    "array.tril_indices_from",
    "array.triu_indices_from",
)
@pytest.mark.parametrize("k", [-2, 0, 1, 9])
def test_places_of_triangles(k):
    square = np.ones((5, 5))
    lazy = da.from_array(square, chunks=2)
    for side in ("tril", "triu"):
        for found, expected in [
            (
                getattr(da, f"{side}_indices")(5, k, 7, chunks=2),
                getattr(np, f"{side}_indices")(5, k, 7),
            ),
            (
                getattr(da, f"{side}_indices_from")(lazy, k),
                getattr(np, f"{side}_indices_from")(square, k),
            ),
        ]:
            for one, other in zip(found, expected, strict=True):
                assert_same(one, other)
        with pytest.raises(ValueError, match="a matrix is needed"):
            getattr(da, f"{side}_indices_from")(da.ones(3))


@pytest.mark.covers("array.indices", "array.meshgrid", "array.fromfunction")
def test_grids():
    for shape in [(), (4,), (3, 5), (2, 0, 3)]:
        assert_same(da.indices(shape, chunks=2 if shape else "auto"), np.indices(shape))
    assert_same(da.indices((3, 2), dtype="f4", chunks=2), np.indices((3, 2), dtype="f4"))
    vectors = [np.arange(3), np.arange(4.0), np.arange(2)]
    lazy = [da.from_array(one, chunks=2) for one in vectors]
    for indexing in ("xy", "ij"):
        for sparse in (False, True):
            for count in (1, 2, 3):
                options = {"indexing": indexing, "sparse": sparse}
                found = da.meshgrid(*lazy[:count], **options)
                for one, expected in zip(
                    found, np.meshgrid(*vectors[:count], **options), strict=True
                ):
                    assert_same(one, expected)
    assert da.meshgrid() == ()
    with pytest.raises(ValueError, match="'xy' or 'ij', not 'yx'"):
        da.meshgrid(*lazy, indexing="yx")

    def function(i, j, scale=1):
        return scale * (10 * i + j)

    for dtype in (None, "i4"):
        numpy_dtype = float if dtype is None else dtype
        assert_same(
            da.fromfunction(function, shape=(4, 5), chunks=2, dtype=dtype, scale=3),
            np.fromfunction(function, (4, 5), dtype=numpy_dtype, scale=3),
        )
    assert_same(da.fromfunction(lambda i: 7, shape=(3,), chunks=2), np.full(3, 7))
    with pytest.raises(TypeError, match="say the shape"):
        da.fromfunction(function)


# ---- Differences ----


@pytest.mark.covers("array.diff")
@pytest.mark.parametrize("n", [0, 1, 2, 4, 9])
def test_diff(x, n):
    for axis in (0, 1, -1):
        assert_same(da.diff(x, n, axis), np.diff(VALUES, n, axis))
        for options in ({"prepend": 3}, {"append": VALUES[:, :2]}, {"prepend": 1, "append": 1}):
            if axis == 0 and np.ndim(options.get("append")):
                continue
            assert_same(da.diff(x, n, axis, **options), np.diff(VALUES, n, axis, **options))
    assert_same(da.diff(x > 3, n), np.diff(VALUES > 3, n))
    dates = VALUES[0].astype("M8[s]")
    assert_same(
        da.diff(da.from_array(dates, chunks=3), n).astype(int), np.diff(dates, n).astype(int)
    )
    with pytest.raises(ValueError, match="0 times or more, not -1"):
        da.diff(x, -1)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        da.diff(x[x > 2], max(n, 1))


@pytest.mark.covers("array.ediff1d")
def test_ediff1d(x):
    assert_same(da.ediff1d(x), np.ediff1d(VALUES))
    assert_same(da.ediff1d(x, to_end=[1, 2], to_begin=5), np.ediff1d(VALUES, [1, 2], 5))
    with pytest.raises(TypeError, match="to_end of dtype float64"):
        da.ediff1d(x, to_end=0.5)


@pytest.mark.covers("array.gradient")
@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient(x, edge_order):
    places = np.array([0.0, 1, 3, 4, 8])
    columns = np.arange(7) ** 2.0
    for spacing in [(), (2.0,), (2, 0.5), (places, columns), (0.5, columns)]:
        expected = np.gradient(VALUES, *spacing, edge_order=edge_order)
        for one, other in zip(
            da.gradient(x, *spacing, edge_order=edge_order), expected, strict=True
        ):
            assert_same(one, other)
    for axis in (0, -1, (1,)):
        assert_same(
            da.gradient(x.astype("f4"), axis=axis, edge_order=edge_order),
            np.gradient(VALUES.astype("f4"), axis=axis, edge_order=edge_order),
        )
    single = da.gradient(x, da.from_array(places, chunks=2), axis=0, edge_order=edge_order)
    assert_same(single, np.gradient(VALUES, places, axis=0, edge_order=edge_order))


def test_gradient_that_cannot_be():
    x = da.ones((5, 2), chunks=2)
    for args, options, error, words in [
        ((), {"edge_order": 2}, ValueError, "axis 1 has 2 elements"),
        ((1, 2, 3), {}, TypeError, "3 distances for 2 axes"),
        (([1, 2],), {"axis": 0}, ValueError, r"shape \(2,\) for axis 0 of 5"),
        ((), {"edge_order": 3}, ValueError, "1 or 2, not 3"),
        ((), {"axis": (0, 0)}, ValueError, "twice"),
        ((), {"other": 1}, TypeError, "no argument 'other'"),
    ]:
        with pytest.raises(error, match=words):
            da.gradient(x, *args, **options)


@pytest.mark.covers("array.coarsen")
def test_coarsen(x):
    whole = VALUES[:4, :6]
    found = da.coarsen(np.sum, x, {0: 2, 1: 3}, trim_excess=True)
    assert_same(found, whole.reshape(2, 2, 2, 3).sum(axis=(1, 3)))
    found = da.coarsen(da.mean, x, {-1: 7})
    assert_same(found, VALUES.mean(axis=1, keepdims=True))
    found = da.coarsen(np.var, x, {0: 5}, ddof=1)
    assert_same(found, VALUES.var(axis=0, keepdims=True, ddof=1))
    assert_same(da.coarsen(np.max, x, {}), VALUES)
    for axes, words in [({0: 2}, "2 does not divide the 5 elements"), ({0: 0}, "at least one")]:
        with pytest.raises(ValueError, match=words):
            da.coarsen(np.sum, x, axes)
