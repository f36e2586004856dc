"""`einsum` against NumPy."""

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da

RANDOM = np.random.default_rng(0)
A = RANDOM.normal(size=(4, 6))
B = RANDOM.normal(size=(6, 5))
C = RANDOM.normal(size=(5, 4, 3))
SQUARE = RANDOM.normal(size=(6, 6))
CASES = [
    ("ij,jk->ik", A, B),
    ("ij,jk", A, B),
    ("ij,jk->ki", A, B),
    ("ij,jk->", A, B),
    ("ij,jk->ijk", A, B),
    ("ij , jk -> k", A, B),
    ("ij->ji", A),
    ("ij", A),
    ("ba", A),
    ("ij->j", A),
    ("ij->", A),
    ("ii", SQUARE),
    ("ii->i", SQUARE),
    ("ii,i->i", SQUARE, SQUARE[0]),
    ("ij,ij->", A, A),
    ("ij,kj->ik", A, A),
    ("i,j->ij", A[0], B[0]),
    ("i,i", A[0], A[1]),
    (",ij->ij", np.float64(3), A),
    ("ij,jk,kil->l", A, B, C),
    ("ij,jk,kil", A, B, C),
    ("ab,bc,cd->ad", A, B, B.T),
    ("...j,jk->...k", A, B),
    ("...ij,...jk->...ik", C, C.transpose(0, 2, 1)),
    ("...ij,jk->...ik", C, C[0].T),
    ("i...->...", C),
    ("...i", C),
    ("k...,k...->k...", C, C),
    ("...,...", C, C[0]),
    ("ij,ij->ij", A[:1], A),
    ("iI->I", A),
]


@pytest.mark.covers("array.einsum")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
@pytest.mark.parametrize("size", [-1, 1, 2, 4])
def test_sums_of_products(case, size):
    text, *values = case
    expected = np.einsum(text, *values)
    arrays = [da.from_array(one, chunks=size) for one in values]
    for split_every in (None, 2):
        lazy = da.einsum(text, *arrays, split_every=split_every)
        assert lazy.dtype == expected.dtype
        assert lazy.shape == expected.shape
        np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.einsum(text, *arrays).compute(), expected, atol=1e-12)


def test_blocks_that_are_cut_differently():
    a = da.from_array(A, chunks=((1, 3), (4, 2)))
    b = da.from_array(B, chunks=((1, 2, 3), (5,)))
    np.testing.assert_allclose(da.einsum("ij,jk->ik", a, b).compute(), A @ B)
    np.testing.assert_allclose(da.einsum("ij,jk->ik", a, B).compute(), A @ B)


def test_labels_as_lists():
    a, b = da.from_array(A, chunks=2), da.from_array(B, chunks=3)
    np.testing.assert_allclose(da.einsum(a, [0, 1], b, [1, 2], [0, 2]).compute(), A @ B)
    np.testing.assert_allclose(da.einsum(a, [0, 1], b, [1, 2]).compute(), A @ B)
    np.testing.assert_allclose(da.einsum(a, [..., 1], b, [1, 2], [..., 2]).compute(), A @ B)


@pytest.mark.parametrize("dtype", ["i1", "i8", "f4", "c16", "?"])
def test_types(dtype):
    a, b = (A > 0).astype(dtype), (B > 0).astype(dtype)
    lazy = da.einsum("ij,jk->ik", da.from_array(a, chunks=2), da.from_array(b, chunks=2))
    assert_same(lazy, np.einsum("ij,jk->ik", a, b))
    wide = da.einsum("ij->i", da.from_array(a, chunks=2), dtype="c16")
    assert_same(wide, np.einsum("ij->i", a, dtype="c16"))


def test_options():
    a, b = da.from_array(A, chunks=2), da.from_array(B, chunks=3)
    lazy = da.einsum("ij,jk->ik", a, b, dtype="f4", casting="same_kind", optimize="optimal")
    assert lazy.dtype == "f4"
    np.testing.assert_allclose(lazy.compute(), A @ B, rtol=1e-3)
    out = da.zeros((4, 5))
    assert da.einsum("ij,jk->ik", a, b, out=out) is out
    np.testing.assert_allclose(out.compute(), A @ B)


def test_sums_are_added_up_by_a_tree():
    x = da.ones(1000, chunks=1) + 0
    lazy = da.einsum("i,i", x, x, split_every=2)
    assert lazy.compute() == 1000
    assert len(lazy.dask) > 1900
    assert len(da.einsum("i,i", x, x, split_every=1000).dask) < len(lazy.dask)


@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        (("ij,jk->ik", A), ValueError, "labels for 2 arrays, not 1"),
        (("ijk->i", A), ValueError, "3 labels 'ijk' do not fit an array of 2 axes"),
        (("ij->k", A), ValueError, "'k' stands in no array"),
        (("ij->ii", A), ValueError, "more than once"),
        (("ij,jk->ik", A, A), ValueError, r"label 'j' have \[4, 6\] elements"),
        (("i1->i", A), ValueError, "'1' in 'i1->i' is no label"),
        (("...j->j", A), ValueError, "cannot be summed over"),
        ((), ValueError, "labels and arrays are needed"),
    ],
)
def test_labels_that_do_not_fit_are_refused_at_once(args, error, words):
    with pytest.raises(error, match=words):
        da.einsum(*args)


def test_other_arguments_are_refused():
    with pytest.raises(TypeError, match="no argument 'axis'"):
        da.einsum("ij->i", A, axis=0)
    with pytest.raises(TypeError, match="could not be cast"):
        da.einsum("ij->i", A, dtype="i4")
