"""Which elements: against NumPy."""

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da

VALUES = np.arange(60).reshape(5, 12) % 7
CHUNKS = [(5, 12), (2, 5), (1, 1), ((1, 0, 4), (4, 4, 4))]


@pytest.fixture(params=CHUNKS, ids=str)
def x(request):
    return da.from_array(VALUES, chunks=request.param)


@pytest.mark.covers("array.take")
def test_take(x):
    for indices in (2, -1, [3, 0, 3], np.array([[0, 1], [4, 2]]), slice(1, 4), []):
        index = np.arange(5)[indices] if isinstance(indices, slice) else np.array(indices, int)
        for axis in (0, 1, -1):
            expected = np.take(VALUES, index, axis)
            assert_same(da.take(x, indices, axis), expected)
    with pytest.raises(IndexError, match="index 9 is out of bounds"):
        da.take(x, [9])


def test_places_that_are_lazy(x):
    places = np.array([[0, 11, -12], [3, 3, 7]])
    lazy = da.from_array(places, chunks=(1, 2))
    assert_same(da.take(x, lazy, 1), VALUES[:, places])
    for index in (0, 1):
        assert_same(x[:, lazy[index]], VALUES[:, places[index]])
        assert_same(x[1:3, lazy[index]], VALUES[1:3, places[index]])
        assert_same(x[2, lazy[index]], VALUES[2, places[index]])
    assert_same(x[lazy[1, 0]], VALUES[3])
    assert_same(x[:, lazy[0, 1]], VALUES[:, 11])
    assert_same(x[da.argwhere(x[:, 0] > -1)[:, 0]], VALUES)
    with pytest.raises(IndexError, match="index 12 is out of bounds for axis 1 with size 12"):
        x[:, da.asarray([0, 12])].compute()
    with pytest.raises(IndexError, match="float64"):
        x[da.ones(2)]
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        x[x > 1][da.arange(2)]


def test_places_in_a_table(x):
    table = np.array([[0, 4, -1], [3, 3, 2]])
    for index in (
        table,
        (slice(1, None, 2), table),
        (3, table),
        (table, slice(2, 5)),
        (None, table),
    ):
        assert_same(x[index], VALUES[index])
    assert_same(x[np.empty((0, 2), dtype=int)], VALUES[np.empty((0, 2), dtype=int)])


def test_masks_of_some_axes():
    cube = np.arange(60).reshape(3, 4, 5)
    lazy = da.from_array(cube, chunks=(2, 3, 2))
    front, behind = cube[:, :, 0] % 3 == 0, cube[0] % 2 == 0
    assert_same(lazy[lazy[:, :, 0] % 3 == 0], cube[front])
    assert_same(lazy[front], cube[front])
    assert_same(lazy[:, lazy[0] % 2 == 0], cube[:, behind])
    assert_same(lazy[1:, behind], cube[1:, behind])
    assert_same(lazy[front, 1:4], cube[front, 1:4])


@pytest.mark.covers("array.compress")
def test_compress(x):
    short, mask = [True, False, True], np.arange(12) % 3 == 0
    assert_same(da.compress(short, x, axis=0), np.compress(short, VALUES, axis=0))
    assert_same(da.compress(mask, x, axis=1), np.compress(mask, VALUES, axis=1))
    assert_same(da.compress(short, x), np.compress(short, VALUES))
    lazy = da.from_array(mask, chunks=5)
    assert_same(da.compress(lazy, x, axis=-1), np.compress(mask, VALUES, axis=-1))
    with pytest.raises(ValueError, match="one axis, not 2"):
        da.compress([[True]], x, axis=0)
    with pytest.raises(IndexError, match="9 truth values for an axis of 5"):
        da.compress([True] * 9, x, axis=0)


@pytest.mark.covers("array.extract")
def test_extract(x):
    assert_same(da.extract(x > 3, x), np.extract(VALUES > 3, VALUES))
    assert_same(da.extract([1, 0, 2], [4, 5, 6]), np.array([4, 6]))


@pytest.mark.covers("array.choose", "array.Array.choose")
def test_choose(x):
    index = VALUES % 3
    choices = [VALUES, -VALUES, np.float64(0.5)]
    lazy = x % 3
    assert_same(da.choose(lazy, [x, -x, 0.5]), np.choose(index, choices))
    assert_same(lazy.choose([x, -x, 0.5]), np.choose(index, choices))


@pytest.mark.covers("array.select")
def test_select(x):
    conditions, choices = [VALUES > 5, VALUES < 2], [VALUES, VALUES * 0.5]
    assert_same(
        da.select([x > 5, x < 2], [x, x * 0.5], default=-1),
        np.select(conditions, choices, default=-1),
    )
    assert_same(da.select([x > 3], [7]), np.select([VALUES > 3], [7]))
    short = x.astype("f4")
    assert_same(da.select([x > 3], [short], 1), np.select([VALUES > 3], [VALUES.astype("f4")], 1))
    with pytest.raises(ValueError, match="1 conditions and 2 choices"):
        da.select([x > 5], [x, x])
    with pytest.raises(TypeError, match="condition 0"):
        da.select([x], [x])


@pytest.mark.covers("array.piecewise")
def test_piecewise(x):
    for functions in ([abs, -1], [abs, -1, lambda one: one * 2]):
        assert_same(
            da.piecewise(x, [x > 4, x < 2], functions),
            np.piecewise(VALUES, [VALUES > 4, VALUES < 2], functions),
        )
    power = da.piecewise(x, [x > 4], [lambda one, n, sign: sign * one**n], 2, sign=-1)
    assert_same(power, np.where(VALUES > 4, -(VALUES**2), 0))
    with pytest.raises(ValueError, match="1 conditions take 1 functions"):
        da.piecewise(x, [x > 4], [1, 2, 3])


@pytest.mark.covers(
    "array.argwhere", "array.nonzero", "array.flatnonzero", "array.Array.nonzero", "array.where"
)
def test_places_that_are_not_zero(x):
    assert_same(da.argwhere(x), np.argwhere(VALUES))
    assert_same(da.flatnonzero(x), np.flatnonzero(VALUES))
    for found in (da.nonzero(x), x.nonzero(), da.where(x), np.nonzero(x), np.where(x > 0)):
        assert isinstance(found, tuple)
        for one, expected in zip(found, np.nonzero(VALUES), strict=True):
            assert_same(one, expected)
            assert np.isnan(one.shape[0])
    assert_same(da.argwhere(da.asarray(3)), np.argwhere(3))
    assert_same(da.argwhere(da.ones((0, 3))), np.argwhere(np.ones((0, 3))))
    assert_same(da.where(da.arange(4) > 1, 1, 2), np.array([2, 2, 1, 1]))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        da.argwhere(x[x > 3])


@pytest.mark.covers("array.count_nonzero")
def test_count_nonzero(x):
    for axis in (None, 0, (0, 1), -1):
        assert_same(da.count_nonzero(x, axis), np.asarray(np.count_nonzero(VALUES, axis)))
    words = np.array(["a", "", "b"])
    assert da.count_nonzero(da.from_array(words, chunks=2)).compute() == 2


@pytest.mark.covers("array.Array.vindex")
def test_points(x):
    rows, columns = np.array([0, 4, 4, -1, 2, 0]), [11, 3, 0, -12, 5, 11]
    assert_same(x.vindex[rows, columns], VALUES[rows, columns])
    assert_same(x.vindex[rows], VALUES[rows])
    assert_same(x.vindex[:, columns], VALUES[:, columns].T)
    assert_same(x.vindex[1:, columns], VALUES[1:, columns].T)
    grid = rows[:, None], np.array([[1, 2, 3]])
    assert_same(x.vindex[grid], VALUES[grid])
    assert_same(x.vindex[rows, 3], VALUES[rows, 3])
    assert_same(x.vindex[2, 3], VALUES[2, 3])
    assert_same(x.vindex[[], []], VALUES[np.array([], int), np.array([], int)])
    assert_same(x.vindex[..., [1, 2]], VALUES[:, [1, 2]].T)
    mask = VALUES[:, 0] > 1
    assert_same(x.vindex[mask], VALUES[mask])
    cube = da.arange(60, chunks=7).reshape(3, 4, 5)
    expected = np.arange(60).reshape(3, 4, 5)[[0, 2, 1], :, [4, 4, 0]]
    assert_same(cube.vindex[[0, 2, 1], :, [4, 4, 0]], expected)
    for index, words in [
        (([9], [0]), "index 9 is out of bounds for axis 0"),
        (([1, 2], [1, 2, 3]), "broadcast together with shapes"),
        ((None, [1]), "new axes"),
        ((slice(None), slice(None)), "at least one axis"),
        (([1], [1], [1]), "too many indices"),
        ([0.5], "ints or truth values"),
    ]:
        with pytest.raises(IndexError, match=words):
            x.vindex[index]


@pytest.mark.covers("array.shuffle", "array.Array.shuffle")
def test_shuffle(x):
    order = [[11, 0], [1], [2, 3, 4, 5], [], [6, 9, 8, 7, 10]]
    flat = [one for group in order for one in group]
    for shuffled in (da.shuffle(x, order, axis=1), x.shuffle(order, -1)):
        assert_same(shuffled, VALUES[:, flat])
    size = max(x.chunks[1])
    assert max(x.shuffle(order, 1).chunks[1]) <= max(5, size * 5 // 4)
    wide = da.arange(40, chunks=10).shuffle([[i, i + 20] for i in range(20)], 0)
    assert wide.chunks == ((12, 12, 12, 4),)
    assert_same(wide, np.arange(40).reshape(2, 20).T.ravel())
    with pytest.raises(IndexError, match="index 12 is out of bounds"):
        da.shuffle(x, [[12]], 1)
    with pytest.raises(ValueError, match="list of lists"):
        da.shuffle(x, [1, 2], 1)
