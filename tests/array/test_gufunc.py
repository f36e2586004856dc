"""`apply_gufunc` and its kin, against NumPy's generalised functions."""

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(size=(4, 6, 5))


def spread(block):
    return block.max(axis=-1), block.min(axis=-1)


def matvec(matrix, vector):
    return np.einsum("...ij,...j->...i", matrix, vector)


@pytest.mark.covers("array.apply_gufunc")
@pytest.mark.parametrize("chunks", [(4, 6, 5), (1, 2, -1), (3, 4, -1)], ids=str)
@pytest.mark.parametrize("vectorize", [False, True])
def test_several_results(chunks, vectorize):
    x = da.from_array(VALUES, chunks=chunks)
    for dtypes in (None, (float, float)):
        results = da.apply_gufunc(
            spread, "(i)->(),()", x, output_dtypes=dtypes, vectorize=vectorize
        )
        assert isinstance(results, tuple)
        for lazy, expected in zip(results, spread(VALUES), strict=True):
            assert lazy.chunks == x.chunks[:2]
            assert_same(lazy, expected)


@pytest.mark.parametrize("vectorize", [False, True])
def test_axes_that_are_not_named_are_broadcast(vectorize):
    matrix = da.from_array(VALUES, chunks=(2, -1, -1))
    for shape, chunks in [((5,), 5), ((4, 5), (1, 5)), ((3, 1, 5), (2, 1, 5))]:
        vector = RANDOM.normal(size=shape)
        lazy = da.apply_gufunc(
            matvec,
            "(i, j), (j) -> (i)",
            matrix,
            da.from_array(vector, chunks=chunks),
            vectorize=vectorize,
            output_dtypes=float,
        )
        assert_same(lazy, matvec(VALUES, vector))


def test_new_axes_need_a_length():
    x = da.from_array(VALUES, chunks=(2, 3, -1))

    def both(block):
        return np.stack([block.sum(-1), block.prod(-1)], axis=-1), block.mean(-1)

    pair, mean = da.apply_gufunc(
        both, "(i)->(k),()", x, output_dtypes=(float, float), output_sizes={"k": 2}
    )
    assert_same(pair, both(VALUES)[0])
    assert_same(mean, both(VALUES)[1])
    with pytest.raises(ValueError, match=r"no argument has the axis 'k'.*output_sizes"):
        da.apply_gufunc(both, "(i)->(k),()", x, output_dtypes=(float, float))


def test_axes_may_stand_anywhere():
    x = da.from_array(VALUES, chunks=(2, -1, 3))
    total = da.apply_gufunc(lambda b: b.sum(-1), "(i)->()", x, axis=1)
    assert_same(total, VALUES.sum(axis=1))
    kept = da.apply_gufunc(lambda b: b.sum(-1), "(i)->()", x, axis=1, keepdims=True)
    assert_same(kept, VALUES.sum(axis=1, keepdims=True))
    same = da.apply_gufunc(lambda b: np.cumsum(b, -1), "(i)->(i)", x, axes=[1, 1])
    assert_same(same, VALUES.cumsum(axis=1))
    moved = da.apply_gufunc(
        lambda b: np.swapaxes(b, -1, -2), "(i,j)->(j,i)", x, axes=[(1, 0), (0, 1)],
        allow_rechunk=True,
    )  # fmt: skip
    assert_same(moved, np.moveaxis(VALUES, 0, 0))
    pair = da.apply_gufunc(
        lambda b: b.sum((-1, -2)), "(i,j)->()", x, axes=[(2, 1)], keepdims=True, allow_rechunk=True
    )
    assert_same(pair, VALUES.sum(axis=(1, 2), keepdims=True))


def test_axes_in_blocks_are_joined_if_that_is_allowed():
    x = da.from_array(VALUES, chunks=2)
    with pytest.raises(ValueError, match=r"axis 'i'.*cut into 3 blocks.*allow_rechunk=True"):
        da.apply_gufunc(lambda b: b.sum(-1), "(i)->()", x)
    lazy = da.apply_gufunc(lambda b: b.sum(-1), "(i)->()", x, allow_rechunk=True)
    assert_same(lazy, VALUES.sum(axis=-1))


def test_no_arguments_and_options():
    lazy = da.apply_gufunc(lambda n: np.arange(n), "->(i)", output_sizes={"i": 3}, n=3)
    assert_same(lazy, np.arange(3))
    x = da.from_array(VALUES, chunks=(2, 3, -1))
    lazy = da.apply_gufunc(lambda b, power: (b**power).sum(-1), "(i)->()", x, power=2)
    assert_same(lazy, (VALUES**2).sum(-1))
    lazy = da.apply_gufunc(
        lambda b: b.sum(-1).astype("f4"), "(i)->()", x, meta=np.empty((0, 0), "f4")
    )
    assert lazy.dtype == lazy.compute().dtype == "f4"


@pytest.mark.covers("array.as_gufunc", "array.gufunc")
def test_functions_are_made_ready_once():
    x = da.from_array(VALUES, chunks=(2, 3, 2))

    @da.as_gufunc(signature="(i)->()", output_dtypes=float, allow_rechunk=True)
    def total(block):
        """Add up."""
        return block.sum(axis=-1)

    assert isinstance(total, da.gufunc)
    assert total.__doc__ == "Add up."
    assert_same(total(x), VALUES.sum(axis=-1))
    strict = da.gufunc(np.sum, signature="(i)->()", vectorize=True, output_dtypes=float)
    assert_same(strict(x, allow_rechunk=True), VALUES.sum(axis=-1))
    with pytest.raises(ValueError, match="allow_rechunk"):
        strict(x)
    with pytest.raises(TypeError, match="signature= is needed"):
        da.gufunc(np.sum)
    with pytest.raises(TypeError, match="no argument 'dtype'"):
        da.as_gufunc("(i)->()", dtype=float)


X = da.ones((4, 6), chunks=(2, 6))


@pytest.mark.parametrize(
    ("signature", "args", "options", "words"),
    [
        ("(i)", (X,), {}, "'\\(i\\)' is no signature"),
        ("(i->()", (X,), {}, "is no signature"),
        ("(i),(i)->()", (X,), {}, "takes 2 arrays, not 1"),
        ("(i,j,k)->()", (X,), {}, "has not the 3 axes"),
        ("(i),(i)->()", (X, X[:, :5]), {}, "'i' of the signature .* has 6 and 5 elements"),
        ("(i)->()", (X,), {"axis": 1, "axes": [1]}, "not both"),
        ("(i,j)->()", (X,), {"axis": 1}, "one axis"),
        ("(i)->(i)", (X,), {"axes": [0]}, "entries for the results"),
        ("(i)->()", (X,), {"axes": [(0, 1)]}, "where the signature has 1 axes"),
        ("(i,j)->()", (X,), {"axes": [(1, 1)]}, "stands twice"),
        ("(i)->(i)", (X,), {"keepdims": True}, "results with none"),
        ("(i)->(),()", (X,), {"output_dtypes": float}, "1 entries for 2 results"),
        ("(i)->(),()", (X,), {"output_dtypes": (1, 2, 3)}, "3 entries for 2"),
        ("(i)->()", (X,), {"meta": (X._meta, X._meta)}, "2 entries for 1"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(signature, args, options, words):
    with pytest.raises(ValueError, match=words):
        da.apply_gufunc(np.sum, signature, *args, **options)


def test_a_function_that_fails_says_what_to_give():
    def fails(block):
        raise KeyError("no")

    with pytest.raises(ValueError, match=r"KeyError.*Give output_dtypes="):
        da.apply_gufunc(fails, "(i)->()", X)
    with pytest.raises(np.exceptions.AxisError):
        da.apply_gufunc(np.sum, "(i)->()", X, axis=2)


@pytest.mark.covers("array.atop")
def test_the_old_name_of_blockwise_warns():
    x = da.from_array(VALUES, chunks=2)
    with pytest.warns(FutureWarning, match="atop is called blockwise now"):
        lazy = da.atop(np.negative, "ijk", x, "ijk", dtype=float)
    assert_same(lazy, -VALUES)
