"""Running totals and their kin, against NumPy."""

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da
from oxidask.array.scans import GROUP

VALUES = np.random.default_rng(0).normal(size=(7, 30))
WITH_NAN = np.where(VALUES > 0.5, np.nan, VALUES)
CHUNKS = [(7, 30), (2, 7), (1, 1), ((3, 0, 4), (10, 0, 0, 19, 1)), (7, 4), (4, 3)]
NAMES = ["cumsum", "cumprod", "nancumsum", "nancumprod"]


@pytest.mark.covers(
    "array.cumsum",
    "array.cumprod",
    "array.nancumsum",
    "array.nancumprod",
    "array.Array.cumsum",
    "array.Array.cumprod",
)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_running_totals(name, chunks, axis):
    values = WITH_NAN if name.startswith("nan") else VALUES
    x = da.from_array(values, chunks=chunks)
    expected = getattr(np, name)(values, axis=axis)
    for method in ("sequential", "blelloch"):
        lazy = getattr(da, name)(x, axis, method=method)
        assert lazy.chunks == x.chunks
        np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-9, atol=1e-12)
        if not name.startswith("nan"):
            again = getattr(x, name)(axis, method=method)
            assert again.name == lazy.name


@pytest.mark.parametrize("count", [1, 2, GROUP, GROUP + 1, GROUP**2, GROUP**2 + 1, GROUP**3 + 5])
def test_totals_of_any_number_of_blocks(count):
    values = np.arange(count * 2) % 7
    assert_same(da.from_array(values, chunks=2).cumsum(0), np.cumsum(values))


@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", "f4", "c16", "?", "m8[s]", "O"])
def test_types_of_running_totals(dtype):
    values = (np.arange(30) % 3).astype(dtype)
    x = da.from_array(values, chunks=7)
    lazy = x.cumsum(axis=0)
    assert lazy.dtype == np.cumsum(values).dtype
    np.testing.assert_array_equal(lazy.compute(), np.cumsum(values))
    assert lazy.compute().dtype == lazy.dtype
    if dtype not in ("m8[s]", "O", "c16"):
        assert_same(x.cumsum(axis=0, dtype="f4"), np.cumsum(values, dtype="f4"))
        assert_same(x.cumprod(axis=0, dtype="i8"), np.cumprod(values, dtype="i8"))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_infinities_and_nan_stay_what_they_are():
    values = np.array([1.0, np.inf, 2.0, -np.inf, 3.0, np.nan, 4.0])
    for chunks in (1, 2, 7):
        x = da.from_array(values, chunks=chunks)
        np.testing.assert_array_equal(x.cumsum(0).compute(), np.cumsum(values))


def test_lengths_need_not_be_known():
    x = da.from_array(VALUES[0], chunks=7)
    picked = x[x > 0]
    np.testing.assert_allclose(picked.cumsum(0).compute(), VALUES[0][VALUES[0] > 0].cumsum())


def test_out_stands_for_the_result():
    x, out = da.from_array(VALUES, chunks=4), da.zeros((7, 30))
    assert da.cumsum(x, axis=1, out=out) is out
    np.testing.assert_allclose(out.compute(), VALUES.cumsum(axis=1))


def test_tasks_grow_with_blocks():
    x = da.ones(64 * GROUP, chunks=1)
    # A total of all but the last, totals of groups, what is before them, and the result.
    assert len(x.cumsum(0).dask) < 2.5 * x.npartitions


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: da.cumsum(x, axis=2), np.exceptions.AxisError, "axis 2 is out of bounds"),
        (lambda x: da.cumsum(x, axis=1.5), TypeError, "axis is an int, not 1.5"),
        (lambda x: x.cumsum(0, method="tree"), ValueError, "'blelloch', not 'tree'"),
        (lambda x: da.push(x, -1, 0), ValueError, "0 or more, not -1"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(call, error, words):
    with pytest.raises(error, match=words):
        call(da.from_array(VALUES, chunks=4))


def pushed(values, limit):
    """Fill NaN along the first axis, element by element."""
    result = values.copy()
    gap = np.zeros(values.shape[1:], dtype=int)
    for place in range(1, len(values)):
        missing = np.isnan(values[place])
        gap = np.where(missing, gap + 1, 0)
        fills = missing & (limit is None or gap <= limit)
        result[place] = np.where(fills, result[place - 1], values[place])
    return result


@pytest.mark.covers("array.push")
@pytest.mark.parametrize("limit", [None, 0, 1, 2, 5])
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_gaps_are_filled(limit, chunks):
    values = np.where(np.random.default_rng(1).random((7, 30)) < 0.7, np.nan, VALUES)
    values[:, 3] = np.nan
    x = da.from_array(values, chunks=chunks)
    assert_same(da.push(x, limit, 0), pushed(values, limit))
    assert_same(da.push(x, limit, -1), pushed(values.T, limit).T)


def test_integers_have_no_gaps():
    x = da.arange(5, chunks=2)
    assert da.push(x, None, 0) is x


@pytest.mark.parametrize("name", NAMES)
def test_without_an_axis_the_array_is_flat(name):
    x = da.from_array(VALUES, chunks=(2, 7))
    assert_same(getattr(da, name)(x, None), getattr(np, name)(VALUES))
