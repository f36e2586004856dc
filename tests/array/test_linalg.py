"""Norms and factorisations, against NumPy and against what they promise."""

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da

RANDOM = np.random.default_rng(0)
TALL = RANDOM.normal(size=(40, 6))
CUTS = [40, 10, 7, 3, ((1, 20, 0, 19),), ((2, 2, 36),)]


def cut(values, rows):
    return da.from_array(values, chunks=(rows[0] if isinstance(rows, tuple) else rows, -1))


def assert_close(lazy, expected, tolerance=1e-10):
    result = lazy.compute()
    assert lazy.dtype == result.dtype
    assert result.shape == lazy.shape == np.shape(expected)
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


# ---- Factorisations ----


@pytest.mark.covers("array.linalg.qr", "array.linalg.tsqr")
@pytest.mark.parametrize("rows", CUTS, ids=str)
@pytest.mark.parametrize("at_once", [None, 6, 12, 25])
@pytest.mark.parametrize("width", [1, 6, 55])
def test_high_matrices_have_a_q_and_an_r(rows, at_once, width):
    values = RANDOM.normal(size=(40, width))
    x = cut(values, rows)
    for q, r in [da.linalg.tsqr(x, _max_vchunk_size=at_once), da.linalg.qr(x)]:
        least = min(40, width)
        assert q.chunks == (x.chunks[0], (least,))
        assert r.chunks == ((least,), (width,))
        assert_close(q @ r, values)
        assert_close(q.T @ q, np.eye(least))
        assert_close(r, np.triu(r.compute()))


@pytest.mark.covers("array.linalg.sfqr")
@pytest.mark.parametrize("columns", CUTS, ids=str)
@pytest.mark.parametrize("height", [1, 6, 40])
def test_wide_matrices_have_a_q_and_an_r(columns, height):
    values = RANDOM.normal(size=(height, 40))
    x = cut(values.T, columns).T
    for q, r in [da.linalg.sfqr(x), da.linalg.qr(x)]:
        assert_close(q @ r, values)
        assert_close(q.T @ q, np.eye(height))
        assert_close(r, np.triu(r.compute()))


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16", "i8"])
def test_types_of_factors(dtype):
    values = (10 * TALL).astype(dtype)
    q, r = da.linalg.qr(cut(values, 10))
    tolerance = 1e-4 if dtype in ("f4", "c8") else 1e-10
    assert [q.dtype, r.dtype] == [part.dtype for part in np.linalg.qr(values)]
    assert_close(q @ r, values, tolerance)
    wide = cut(values, 10).T
    u, s, v = da.linalg.svd(wide)
    assert [one.dtype for one in (u, s, v)] == [part.dtype for part in np.linalg.svd(values)]
    assert_close((u * s) @ v, values.T, tolerance)


def test_a_high_matrix_in_blocks_of_columns_is_joined():
    q, r = da.linalg.qr(da.from_array(TALL, chunks=(-1, 2)))
    assert_close(q @ r, TALL)


def test_lengths_of_rows_need_not_be_known():
    x = cut(TALL, 7)
    picked = x[x[:, 0] > 0]
    q, r = da.linalg.qr(picked)
    np.testing.assert_allclose((q @ r).compute(), TALL[TALL[:, 0] > 0])
    u, s, v = da.linalg.svd(picked)
    np.testing.assert_allclose(((u * s) @ v).compute(), TALL[TALL[:, 0] > 0])


def signed(u, v):
    signs = np.where(v.sum(axis=1) >= 0, 1, -1)
    return u * signs, v * signs[:, None]


@pytest.mark.covers("array.linalg.svd")
@pytest.mark.parametrize("rows", CUTS, ids=str)
@pytest.mark.parametrize("width", [1, 6, 55])
@pytest.mark.parametrize("is_wide", [False, True])
def test_singular_vectors_and_values(rows, width, is_wide):
    values = RANDOM.normal(size=(40, width))
    x = cut(values, rows)
    if is_wide:
        values, x = values.T, x.T
    u, s, v = np.linalg.svd(values, full_matrices=False)
    u, v = signed(u, v)
    for lazy, expected in zip(da.linalg.svd(x), (u, s, v), strict=True):
        assert_close(lazy, expected, 1e-8)
    u, s, v = da.linalg.svd(x, coerce_signs=False)
    assert_close((u * s) @ v, values)
    if not is_wide:
        u, s, v = da.linalg.tsqr(x, compute_svd=True)
        assert_close((u * s) @ v, values)


def test_a_factorisation_has_as_many_tasks_as_blocks():
    x = da.ones((1000, 5), chunks=(1, 5)).map_blocks(np.copy)
    q, _ = da.linalg.tsqr(x, _max_vchunk_size=50)
    # For each block: Q and R, R alone, the product; and groups of ten above.
    assert len(q.dask) < 3.5 * 1000


@pytest.mark.covers("array.linalg.svd_compressed")
@pytest.mark.parametrize("chunks", [(40, 30), (10, 7), (-1, 8), (3, -1)], ids=str)
@pytest.mark.parametrize("iterator", ["power", "QR"])
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_a_matrix_of_small_rank_is_found_by_projection(chunks, iterator, dtype):
    left, right = RANDOM.normal(size=(40, 4)), RANDOM.normal(size=(4, 30))
    values = (left * [8, 4, 2, 1]) @ right
    if dtype == "c16":
        values = values * (1 + 2j)
    x = da.from_array(values, chunks=chunks)
    for times in (0, 2):
        for compute in (False, True):
            u, s, v = da.linalg.svd_compressed(
                x, 4, iterator=iterator, n_power_iter=times, seed=7, compute=compute
            )
            assert (u.shape, s.shape, v.shape) == ((40, 4), (4,), (4, 30))
            assert_close((u * s) @ v, values)
            assert_close(s, np.linalg.svd(values)[1][:4])
    assert (v.sum(axis=1).compute().real >= 0).all()


def test_a_seed_gives_the_same_projection():
    x = da.from_array(RANDOM.normal(size=(40, 30)), chunks=10)
    one, same, other = (da.linalg.svd_compressed(x, 3, seed=seed)[1] for seed in (1, 1, 2))
    assert one.name == same.name
    np.testing.assert_array_equal(one.compute(), same.compute())
    assert not np.array_equal(one.compute(), other.compute())
    drawn = da.linalg.svd_compressed(x, 3, seed=da.random.default_rng(1))[1]
    np.testing.assert_array_equal(one.compute(), drawn.compute())


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: da.linalg.qr(x), NotImplementedError, r"4 x 2 blocks.*rechunk\(\{1: -1\}\)"),
        (lambda x: da.linalg.svd(x), NotImplementedError, "svd_compressed"),
        (lambda x: da.linalg.tsqr(x), ValueError, "2 blocks of columns and one is needed"),
        (lambda x: da.linalg.sfqr(x), ValueError, "4 blocks of rows and one is needed"),
        (lambda x: da.linalg.sfqr(x.rechunk({0: -1})), ValueError, "more rows than columns"),
        (lambda x: da.linalg.qr(x[0]), ValueError, "2 axes, not 1"),
        (lambda x: da.linalg.svd(x, full_matrices=True), NotImplementedError, "full_matrices"),
        (lambda x: da.linalg.svd_compressed(x, 0), ValueError, "1 or more, not 0"),
        (lambda x: da.linalg.svd_compressed(x, 2, iterator="x"), ValueError, "not 'x'"),
        (lambda x: da.linalg.norm(x, ord="x"), ValueError, "'x' is no norm of matrices"),
        (lambda x: da.linalg.norm(x[0], ord="fro"), ValueError, "'fro' is no norm of vectors"),
        (lambda x: da.linalg.norm(x, axis=(0, 0)), ValueError, "two different ones"),
        (lambda x: da.linalg.norm(x[None], ord=2), ValueError, "3 axes; say which"),
        (lambda x: da.linalg.norm(x[None], 2, (1, 2)), NotImplementedError, "one matrix after"),
        (lambda x: da.linalg.norm(x, axis=2), np.exceptions.AxisError, "axis 2"),
    ],
)
def test_what_is_not_possible_says_what_to_do(call, error, words):
    with pytest.raises(error, match=words):
        call(da.from_array(TALL, chunks=(10, 3)))


@pytest.mark.covers(
    "array.linalg.lu",
    "array.linalg.cholesky",
    "array.linalg.solve",
    "array.linalg.solve_triangular",
    "array.linalg.inv",
    "array.linalg.lstsq",
)
@pytest.mark.parametrize("name", ["lu", "cholesky", "solve", "solve_triangular", "inv", "lstsq"])
def test_what_is_not_there_yet_says_what_to_do(name):
    args = (da.eye(4),) * (2 if name in ("solve", "solve_triangular", "lstsq") else 1)
    with pytest.raises(NotImplementedError, match=rf"linalg\.{name} is not there yet.*compute"):
        getattr(da.linalg, name)(*args)


# ---- Norms ----

VECTOR_NORMS = [None, 1, 2, 3, -1, -2.5, 0, np.inf, -np.inf]
MATRIX_NORMS = [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]


@pytest.mark.covers("array.linalg.norm")
@pytest.mark.parametrize("ord", VECTOR_NORMS)
@pytest.mark.parametrize("keepdims", [False, True])
def test_norms_of_vectors(ord, keepdims):
    for values in (
        TALL,
        TALL.astype("f4"),
        TALL[:, 0],
        TALL + 2j * TALL[::-1],
        (TALL * 9).astype(int) + 99,
    ):
        x = da.from_array(values, chunks=7)
        axes = [None, 0] if values.ndim == 1 else [0, 1, -1, (1,)]
        for axis in axes:
            expected = np.linalg.norm(values, ord, axis, keepdims)
            lazy = da.linalg.norm(x, ord, axis, keepdims)
            assert_close(lazy, expected, 1e-4 if values.dtype == "f4" else 1e-10)
            assert lazy.dtype == expected.dtype


@pytest.mark.parametrize("ord", MATRIX_NORMS)
@pytest.mark.parametrize("keepdims", [False, True])
def test_norms_of_matrices(ord, keepdims):
    for values in (TALL, TALL.T, TALL + 2j * TALL[::-1]):
        for axis in (None, (0, 1), (1, 0), (-1, 0)):
            expected = np.linalg.norm(values, ord, axis, keepdims)
            for chunks in ((7, 4), (40, 6), (1, 6)):
                x = da.from_array(values, chunks=chunks)
                assert_close(da.linalg.norm(x, ord, axis, keepdims), expected)


@pytest.mark.parametrize("ord", ["fro", 1, -np.inf])
def test_norms_of_many_matrices(ord):
    values = RANDOM.normal(size=(3, 4, 5))
    for axis in ((0, 1), (2, 0), (1, 2)):
        x = da.from_array(values, chunks=2)
        assert_same(da.linalg.norm(x, ord, axis), np.linalg.norm(values, ord, axis))
    assert_same(da.linalg.norm(da.from_array(values, chunks=2)), np.linalg.norm(values))


def test_numpys_functions_are_lazy():
    x = cut(TALL, 10)
    assert isinstance(np.linalg.norm(x), da.Array)
    assert all(isinstance(one, da.Array) for one in np.linalg.qr(x))
