"""Shapes and joins of arrays against NumPy's."""

import random

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da


def cut(rng, length):
    """Return lengths of blocks, some of them 0."""
    lengths = []
    while length:
        one = rng.randrange(0 if rng.random() < 0.2 else 1, length + 1)
        lengths.append(one)
        length -= one
    return tuple(lengths) or (0,)


def shape_of(rng, size):
    """Return a shape of so many elements, with axes of length one here and there."""
    shape = []
    while size > 1:
        one = rng.choice([one for one in range(2, size + 1) if size % one == 0])
        shape.append(one)
        size //= one
    for _ in range(rng.randrange(3)):
        shape.insert(rng.randrange(len(shape) + 1), 1)
    return tuple(shape)


@pytest.mark.covers("array.reshape", "array.Array.reshape")
@pytest.mark.parametrize("seed", range(6))
def test_any_shape_from_any_chunks(seed):
    rng = random.Random(seed)
    for _ in range(150):
        size = rng.choice([1, 6, 12, 24, 60, 72])
        old, new = shape_of(rng, size), shape_of(rng, size)
        values = np.arange(size * 1.0).reshape(old)
        x = da.from_array(values, chunks=tuple(cut(rng, length) for length in old))
        y = x.reshape(new, merge_chunks=rng.random() < 0.7, limit=rng.choice([None, 16, 48, 100]))
        assert_same(y, values.reshape(new))


def test_the_shape_is_given_in_one_piece_or_in_several():
    x = da.arange(24, chunks=5)
    for y in (x.reshape(4, -1), x.reshape((4, 6)), da.reshape(x, [4, 6]), np.reshape(x, (-1, 6))):
        assert_same(y, np.arange(24).reshape(4, 6))
    assert_same(x.reshape(-1), np.arange(24))
    assert_same(x[:1].reshape(()), np.array(0))
    assert_same(da.ones((0, 3), chunks=2).reshape(3, 0, 2), np.ones((3, 0, 2)))


def test_blocks_stay_as_large_as_the_limit_allows():
    x = da.ones((100, 200), chunks=(10, 20))
    assert x.reshape(-1).chunks == ((2000,) * 10,)
    assert max(x.reshape(-1, limit=800 * 8).chunks[0]) <= 800
    # Axes before the last one that has several chunks are cut into single rows.
    assert x.reshape(-1, merge_chunks=False).chunks == ((20,) * 1000,)
    y = da.ones((8, 3, 4), chunks=(2, 3, 4)).reshape(24, 4)
    assert y.chunks == ((6,) * 4, (4,))
    # No block gets more elements than it had, or a row has.
    assert da.arange(1000, chunks=10).reshape(10, 100).chunks == ((1,) * 10, (100,))
    small = da.arange(1000, chunks=10).reshape(10, 100, limit=80)
    assert small.chunks == ((1,) * 10, (10,) * 10)
    assert_same(small, np.arange(1000).reshape(10, 100))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((5, 5), r"cannot reshape array of size 24 into shape \(5, 5\)"),
        ((-1, -1), "one length at most"),
        ((-1, 5), "cannot reshape array of size 24"),
        ((-2, 12), "not negative"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(shape, words):
    with pytest.raises(ValueError, match=words):
        da.arange(24, chunks=5).reshape(shape)
    with pytest.raises(TypeError, match=r"lengths are ints, not 2\.5"):
        da.arange(24).reshape((2.5, 2))


def test_lengths_that_are_not_known_reshape_along_the_first_axis_only():
    values = np.arange(24).reshape(8, 3)
    x = da.from_array(values, chunks=(3, 3))
    picked = x[x[:, 0] % 2 == 0]
    assert_same(picked.reshape(-1), values[::2].ravel())
    assert_same(picked.reshape(-1, 3, 1), values[::2].reshape(-1, 3, 1))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        picked.reshape(4, 3)


@pytest.mark.covers("array.ravel", "array.Array.ravel", "array.Array.flatten")
@pytest.mark.parametrize("chunks", [(2, 3, 4), (1, 1, 1), ((1, 0, 3), (2, 3), (3, 1))], ids=str)
def test_flat(chunks):
    values = np.arange(80).reshape(4, 5, 4)
    x = da.from_array(values, chunks=chunks)
    for flat in (da.ravel(x), x.ravel(), x.flatten(), np.ravel(x)):
        assert_same(flat, values.ravel())
    assert_same(da.ravel([[1, 2], [3, 4]]), np.array([1, 2, 3, 4]))


@pytest.mark.covers("array.reshape_blockwise")
def test_blocks_reshaped_by_themselves():
    values = np.arange(48).reshape(4, 4, 3)
    x = da.from_array(values, chunks=(2, (1, 3), 2))
    y = da.reshape_blockwise(x, (16, 3))
    assert y.chunks == ((2, 6, 2, 6), (2, 1))
    blocks = [values[i : i + 2, j] for i in (0, 2) for j in (slice(0, 1), slice(1, 4))]
    expected = np.concatenate([one.reshape(-1, 3) for one in blocks])
    assert_same(y, expected)
    assert_same(da.reshape_blockwise(y, x.shape, x.chunks), values)
    with pytest.raises(TypeError, match="needs chunks="):
        da.reshape_blockwise(y, x.shape)
    with pytest.raises(NotImplementedError, match="use reshape"):
        da.reshape_blockwise(da.ones((4, 6)), (6, 4))
    with pytest.raises(ValueError, match="blocks of chunks"):
        da.reshape_blockwise(y, x.shape, ((4,), (4,), (3,)))


# ---- Joining ----


@pytest.mark.covers("array.block")
def test_nested_blocks():
    a, b = np.arange(6).reshape(2, 3), np.ones((2, 2))
    c = np.zeros(5)
    lazy_a, lazy_b = da.from_array(a, chunks=2), da.from_array(b, chunks=(1, 2))
    assert_same(da.block([[lazy_a, lazy_b], [c]]), np.block([[a, b], [c]]))
    assert_same(da.block([lazy_a, lazy_b]), np.block([a, b]))
    assert_same(da.block([1, da.arange(3)]), np.block([1, np.arange(3)]))
    assert_same(da.block(lazy_a), a)
    assert_same(da.block([[[lazy_a]], [[lazy_a]]]), np.block([[[a]], [[a]]]))
    for wrong, error in [([[lazy_a], lazy_b], ValueError), ([], ValueError), ((1,), TypeError)]:
        with pytest.raises(error, match="block: "):
            da.block(wrong)


@pytest.mark.covers("array.vstack", "array.hstack", "array.dstack")
@pytest.mark.parametrize("name", ["vstack", "hstack", "dstack"])
def test_stacks(name):
    for shape in [(), (4,), (2, 4), (2, 4, 3)]:
        a = np.arange(int(np.prod(shape))).reshape(shape)
        arrays = [da.from_array(a, chunks=2), da.from_array(a + 0.5, chunks=3)]
        expected = getattr(np, name)([a, a + 0.5])
        assert_same(getattr(da, name)(arrays), expected)
        assert_same(getattr(np, name)(arrays), expected)
    with pytest.raises(NotImplementedError, match="list or tuple"):
        getattr(da, name)(da.ones(3))
    picked = da.arange(5)[da.arange(5) > 2]
    if name == "vstack":
        with pytest.raises(ValueError, match="compute_chunk_sizes"):
            da.vstack([picked, picked])
        assert da.vstack([picked, picked], allow_unknown_chunksizes=True).compute().shape == (2, 2)


@pytest.mark.covers("array.atleast_1d", "array.atleast_2d", "array.atleast_3d")
@pytest.mark.parametrize("name", ["atleast_1d", "atleast_2d", "atleast_3d"])
def test_at_least_so_many_axes(name):
    for shape in [(), (4,), (2, 4), (2, 4, 3), (1, 2, 3, 4)]:
        a = np.arange(int(np.prod(shape))).reshape(shape)
        assert_same(getattr(da, name)(da.from_array(a, chunks=2)), getattr(np, name)(a))
    several = getattr(da, name)(da.ones(2), 5)
    assert isinstance(several, tuple)
    for one, expected in zip(several, getattr(np, name)(np.ones(2), 5), strict=True):
        assert_same(one, expected)


@pytest.mark.covers("array.append")
def test_append():
    a, b = np.arange(6).reshape(2, 3), np.ones((1, 3))
    x, y = da.from_array(a, chunks=2), da.from_array(b, chunks=2)
    assert_same(da.append(x, y), np.append(a, b))
    assert_same(da.append(x, y, axis=0), np.append(a, b, axis=0))
    assert_same(da.append(x, [[7], [8]], axis=-1), np.append(a, [[7], [8]], axis=-1))
    with pytest.raises(ValueError, match="along axis 1"):
        da.append(x, [[1]], axis=0)


@pytest.mark.covers("array.insert")
@pytest.mark.parametrize(
    ("obj", "values", "axis"),
    [
        (1, 9, 0),
        (-1, 9, 1),
        (4, [1, 2, 3, 4, 5], 0),
        (2, [[1], [2], [3], [4]], 1),
        ([2], [[1], [2], [3], [4]], 1),
        ([0, 3, 3, 1], 7, 1),
        ([0, 3, 3, 1], np.arange(16).reshape(4, 4), 1),
        (slice(0, 4, 2), 5, 0),
        ([], 5, 0),
        (np.array([True, False, True, False]), 3, 0),
    ],
    ids=str,
)
def test_insert(obj, values, axis):
    a = np.arange(20).reshape(4, 5)
    index = np.array(obj, dtype=int) if isinstance(obj, list) else obj
    for chunks in [(4, 5), (2, 2), (1, 3)]:
        x = da.from_array(a, chunks=chunks)
        assert_same(da.insert(x, obj, values, axis), np.insert(a, index, values, axis))


def test_insert_out_of_bounds():
    with pytest.raises(IndexError, match="index 7 is out of bounds for axis with size 5"):
        da.insert(da.arange(5), 7, 0, 0)
    with pytest.raises(NotImplementedError, match="ravel"):
        da.insert(da.ones((2, 2)), 1, 0, None)


@pytest.mark.covers("array.delete")
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    "obj", [0, -1, [1, 3], slice(1, 3), slice(None, None, 2), [], np.array([True, False] * 2)]
)
def test_delete(obj, axis):
    a = np.arange(16).reshape(4, 4)
    index = np.array(obj, dtype=int) if isinstance(obj, list) else obj
    x = da.from_array(a, chunks=(3, 2))
    assert_same(da.delete(x, obj, axis), np.delete(a, index, axis))


def test_delete_out_of_bounds():
    with pytest.raises(IndexError, match="index 4 is out of bounds"):
        da.delete(da.arange(4), 4, 0)


@pytest.mark.covers("array.broadcast_arrays")
def test_broadcast_arrays():
    a, b = np.arange(3), np.arange(4).reshape(4, 1)
    lazy = da.broadcast_arrays(da.from_array(a, chunks=2), da.from_array(b, chunks=3), 5)
    for one, expected in zip(lazy, np.broadcast_arrays(a, b, 5), strict=True):
        assert_same(one, expected)
    assert len({one.chunks for one in lazy}) == 1
    with pytest.raises(ValueError, match="broadcast"):
        da.broadcast_arrays(da.ones(3), da.ones(4))
    assert da.broadcast_arrays() == ()


@pytest.mark.covers("array.outer", "array.vdot")
def test_products_flatten_their_factors():
    a, b = np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2) * 1j
    x, y = da.from_array(a, chunks=2), da.from_array(b, chunks=(1, 2))
    assert_same(da.outer(x, y), np.outer(a, b))
    assert_same(da.vdot(y, x), np.asarray(np.vdot(b, a)))


@pytest.mark.covers("array.Array.view")
def test_view():
    values = np.arange(48, dtype="i4").reshape(6, 8)
    for chunks in [(6, 8), (2, 4), ((4, 0, 2), (2, 6))]:
        x = da.from_array(values, chunks=chunks)
        for dtype in ("f4", "i8", "i2", "u1"):
            assert_same(x.view(dtype), values.view(dtype))
            assert_same(x.view(dtype, order="F"), values.T.copy().view(dtype).T)
    assert x.view().dtype == float
    with pytest.raises(ValueError, match="rechunk first"):
        da.from_array(values, chunks=3).view("i8")
    with pytest.raises(ValueError, match="not 'K'"):
        x.view("i8", order="K")
    with pytest.raises(ValueError, match="without axes"):
        da.asarray(3).view("i2")
    assert_same(da.asarray(np.int32(3)).view("f4"), np.int32(3).view("f4"))
