"""Arrays against NumPy: making, picking, calling element by element, reducing, joining."""

import operator
import pickle

import numpy as np
import pytest
from compare import assert_same

import oxidask
import oxidask.array as da

VALUES = np.arange(60.0).reshape(5, 12)
CHUNKS = [(5, 12), (2, 5), (1, 1), ((1, 3, 1), (4, 4, 4)), (3, -1)]


@pytest.fixture(params=CHUNKS, ids=str)
def x(request):
    return da.from_array(VALUES, chunks=request.param)


# ---- Making ----


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.covers(
    "array.from_array",
    "array.Array.compute",
    "array.Array.chunks",
    "array.Array.shape",
    "array.Array.dtype",
    "array.compute",
)
def test_an_array_comes_back_as_it_went_in(chunks):
    lazy = da.from_array(VALUES, chunks=chunks)
    assert lazy.shape == VALUES.shape
    assert_same(lazy, VALUES)


@pytest.mark.parametrize("dtype", ["i4", "u1", "f4", "c16", "?", "M8[s]", "U3", "O"])
def test_elements_of_any_type(dtype):
    values = np.arange(6).astype(dtype)
    result = da.from_array(values, chunks=4).compute()
    np.testing.assert_array_equal(result, values)
    assert result.dtype == values.dtype


@pytest.mark.parametrize(("make", "args"), [("ones", ()), ("zeros", ()), ("full", (7,))])
@pytest.mark.covers("array.ones", "array.zeros", "array.full", "array.empty")
def test_filled(make, args):
    assert da.empty((3, 5), dtype="i2", chunks=2).compute().shape == (3, 5)
    for shape in [(), 4, (3, 5), (0, 2)]:
        assert_same(getattr(da, make)(shape, *args), getattr(np, make)(shape, *args))
        lazy = getattr(da, make)(shape, *args, dtype="i2", chunks=2)
        assert_same(lazy, getattr(np, make)(shape, *args, dtype="i2"))


@pytest.mark.covers("array.ones_like", "array.zeros_like", "array.full_like", "array.empty_like")
def test_like_another():
    x = da.from_array(VALUES, chunks=(2, 5))
    for make in ("ones", "zeros"):
        like = getattr(da, f"{make}_like")(x, dtype="f4")
        assert like.chunks == x.chunks
        assert_same(like, getattr(np, f"{make}_like")(VALUES, dtype="f4"))
    assert_same(da.full_like(x, 3), np.full_like(VALUES, 3))
    assert da.empty_like(x).chunks == x.chunks


@pytest.mark.parametrize(
    "args", [(10,), (3, 10), (3, 10, 2), (10, 3, -2), (0, 1, 0.1), (5, 5), (1.5, 4)]
)
@pytest.mark.covers("array.arange")
def test_arange(args):
    assert_same(da.arange(*args, chunks=3), np.arange(*args))


@pytest.mark.parametrize("args", [(0, 1, 7), (5, -5, 11), (1, 2, 1), (0, 3, 0), (0, 10, 4)])
@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.covers("array.linspace")
def test_linspace(args, endpoint):
    lazy = da.linspace(*args, endpoint=endpoint, chunks=3)
    expected = np.linspace(*args, endpoint=endpoint)
    np.testing.assert_array_equal(lazy.compute(), expected)
    step = da.linspace(*args, endpoint=endpoint, retstep=True)[1]
    np.testing.assert_equal(step, np.linspace(*args, endpoint=endpoint, retstep=True)[1])


@pytest.mark.parametrize("k", [-3, 0, 2])
@pytest.mark.covers("array.eye")
def test_eye(k):
    assert_same(da.eye(5, chunks=2, M=7, k=k), np.eye(5, 7, k))


# ---- Chunks ----


@pytest.mark.parametrize(
    ("chunks", "shape", "expected"),
    [
        (3, (10,), ((3, 3, 3, 1),)),
        ((5, 5), (10,), ((5, 5),)),
        (-1, (4, 6), ((4,), (6,))),
        ((2, None), (4, 6), ((2, 2), (6,))),
        ({1: 4}, (4, 6), ((4,), (4, 2))),
        (((1, 3), 2), (4, 6), ((1, 3), (2, 2, 2))),
        (5, (0,), ((0,),)),
    ],
)
@pytest.mark.covers("array.normalize_chunks")
def test_chunks_are_spelled_out(chunks, shape, expected):
    assert da.normalize_chunks(chunks, shape) == expected


def test_chunks_are_chosen_by_bytes():
    chunks = da.normalize_chunks("auto", (10_000, 10_000), dtype="f8")
    assert chunks == ((4096, 4096, 1808),) * 2
    assert da.normalize_chunks("64 MiB", (10_000, 10_000), dtype="f8")[0][0] == 2896
    assert da.normalize_chunks({0: 1000, 1: "auto"}, (10_000, 10_000), dtype="f8")[1] == (10_000,)


@pytest.mark.parametrize(
    ("chunks", "shape", "words"),
    [
        (((5, 4),), (10,), "add up to 9 and not to the 10"),
        (0, (10,), "0 is no length"),
        ((2, 2, 2), (4, 4), "3 axes are described for an array of 2"),
        ({5: 2}, (4, 4), "no axis 5"),
        (((-1, 5),), (4,), "not negative"),
        (None, (4,), "None says nothing"),
    ],
)
def test_bad_chunks_are_refused_with_what_is_wrong(chunks, shape, words):
    with pytest.raises(ValueError, match=words):
        da.normalize_chunks(chunks, shape)


def test_a_block_larger_than_memory_is_refused_with_its_bytes():
    with pytest.raises(MemoryError, match=r"one block would take 7\.28 TiB"):
        da.ones((1_000_000, 1_000_000), chunks=-1)


@pytest.mark.parametrize("new", CHUNKS, ids=str)
@pytest.mark.covers("array.rechunk", "array.Array.rechunk")
def test_other_chunks_hold_the_same_elements(x, new):
    again = x.rechunk(new)
    assert again.chunks == da.normalize_chunks(new, x.shape)
    assert_same(again, VALUES)


def test_equal_chunks_are_the_same_object(x):
    assert x.rechunk(x.chunks) is x


# ---- Picking ----

INDICES = [
    2,
    -1,
    slice(1, 4),
    slice(None, None, -1),
    slice(4, 0, -2),
    (slice(None), slice(2, 11, 3)),
    (slice(None), slice(11, None, -4)),
    (3, slice(None)),
    (slice(1, None), 7),
    (2, 5),
    (None, slice(None)),
    (slice(None), None, 3),
    (..., 0),
    (..., None),
    [3, 0, 2],
    [0, 0, 4, 4],
    (slice(None), [11, 3, 3, 0]),
    (slice(1, 3), [0, 5, 10]),
    (2, [1, 1]),
    slice(3, 3),
    [],
    np.array([True, False, True, False, True]),
    (slice(None), np.arange(12) % 3 == 0),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_an_index_picks_what_it_picks_in_numpy(x, index):
    index_of_numpy = np.array(index, dtype=int) if isinstance(index, list) else index
    assert_same(x[index], VALUES[index_of_numpy])


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (7, "index 7 is out of bounds for axis 0 with size 5"),
        ((0, -13), "index -13 is out of bounds for axis 1 with size 12"),
        ([0, 9], "index 9 is out of bounds"),
        ((0, 0, 0), "too many indices: 3 for an array of 2 axes"),
        (1.5, "1.5 is no place"),
    ],
)
def test_an_index_out_of_bounds_is_refused_at_once(index, words):
    with pytest.raises(IndexError, match=words):
        da.from_array(VALUES, chunks=2)[index]


@pytest.mark.covers("array.Array.compute_chunk_sizes")
def test_masks(x):
    assert_same(x[x > 20], VALUES[VALUES > 20])
    assert_same(x[x[:, 0] > 20], VALUES[VALUES[:, 0] > 20])
    assert_same(x[:, x.sum(axis=0) > 130], VALUES[:, VALUES.sum(axis=0) > 130])
    picked = x[x > 20]
    assert np.isnan(picked.shape[0])
    assert_same(picked.sum(), VALUES[VALUES > 20].sum())
    assert picked.compute_chunk_sizes().shape == (39,)
    assert_same(picked[5:8], VALUES[VALUES > 20][5:8])


def test_lengths_that_are_not_known_say_what_to_do():
    x = da.from_array(VALUES[0], chunks=5)
    picked = x[x > 3]
    for use in [lambda: picked[2:4], lambda: len(picked), lambda: picked.rechunk(2)]:
        with pytest.raises(ValueError, match="compute_chunk_sizes"):
            use()


@pytest.mark.covers("array.Array.blocks", "array.Array.partitions")
def test_blocks():
    x = da.from_array(VALUES, chunks=(2, 5))
    assert_same(x.blocks[1, 2], VALUES[2:4, 10:])
    assert_same(x.partitions[0, -1], VALUES[:2, 10:])
    assert_same(x.blocks[::2], np.concatenate([VALUES[:2], VALUES[4:]]))


def test_assignment(x):
    for index, value in [
        (2, -1.0),
        ((slice(1, 4), 3), 5),
        ((slice(None), slice(2, 6)), np.arange(4.0)),
        ([0, 3], 9),
        ((slice(None, None, -2), [1, 7]), np.arange(6.0).reshape(3, 2)),
    ]:
        lazy, expected = x.copy(), VALUES.copy()
        lazy[index] = value
        expected[index] = value
        assert_same(lazy, expected)
    lazy, expected = x.copy(), VALUES.copy()
    lazy[lazy > 30] = 0
    expected[expected > 30] = 0
    assert_same(lazy, expected)
    assert_same(x, VALUES)
    with pytest.raises(ValueError, match="cannot be broadcast"):
        lazy[1:3, 2] = np.arange(5)


# ---- Element by element ----

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    operator.lt,
    operator.eq,
    operator.ge,
]


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("function", BINARY)
def test_operators(x, function):
    with np.errstate(all="ignore"):
        assert_same(function(x, 3), function(VALUES, 3))
        assert_same(function(3, x + 1), function(3, VALUES + 1))
        assert_same(function(x, x[:1] + 1), function(VALUES, VALUES[:1] + 1))
        assert_same(function(x, VALUES + 1), function(VALUES, VALUES + 1))
        assert_same(function(x[:, None], x[0]), function(VALUES[:, None], VALUES[0]))


@pytest.mark.parametrize("name", ["sin", "exp", "sqrt", "isfinite", "negative", "square", "sign"])
def test_functions(x, name):
    function = getattr(np, name)
    assert_same(getattr(da, name)(x / 60), function(VALUES / 60))
    assert_same(function(x / 60), function(VALUES / 60))


@pytest.mark.covers("array.Array.astype")
def test_small_types_stay_small():
    values = np.arange(10, dtype="f4")
    x = da.from_array(values, chunks=3)
    assert_same(x + 1, values + 1)
    assert_same(x * 2.5, values * np.float32(2.5))
    assert_same(x.astype("i2") // 3, values.astype("i2") // 3)


def test_shapes_that_do_not_fit_are_refused_at_once():
    with pytest.raises(ValueError, match=r"could not be broadcast.*\(5, 12\) \(7,\)"):
        da.from_array(VALUES, chunks=2) + da.ones(7)


@pytest.mark.covers("array.Array.clip")
def test_where_and_clip(x):
    assert_same(da.where(x > 9, x, -1.0), np.where(VALUES > 9, VALUES, -1.0))
    assert_same(x.clip(3, 20), VALUES.clip(3, 20))
    assert_same(x.round(0), VALUES.round(0))


def test_functions_of_several_results(x):
    for lazy, expected in zip(da.divmod(x, 7), np.divmod(VALUES, 7), strict=True):
        assert_same(lazy, expected)
    for lazy, expected in zip(np.modf(x / 7), np.modf(VALUES / 7), strict=True):
        assert_same(lazy, expected)


# ---- Reductions ----

REDUCTIONS = ["sum", "prod", "mean", "std", "var", "min", "max", "any", "all"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), ()])
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.covers(
    "array.sum",
    "array.prod",
    "array.mean",
    "array.std",
    "array.var",
    "array.min",
    "array.max",
    "array.any",
    "array.all",
    "array.Array.sum",
    "array.Array.prod",
    "array.Array.mean",
    "array.Array.std",
    "array.Array.var",
    "array.Array.min",
    "array.Array.max",
    "array.Array.any",
    "array.Array.all",
)
def test_reductions(x, name, axis, keepdims):
    values = VALUES / 40 if name == "prod" else VALUES
    lazy = x / 40 if name == "prod" else x
    if axis == () and name in ("std", "var", "mean", "min", "max", "any", "all", "sum", "prod"):
        expected = getattr(values, name)(axis=(), keepdims=keepdims)
    else:
        expected = getattr(values, name)(axis=axis, keepdims=keepdims)
    for split in (None, 2, {0: 3, 1: 2}):
        assert_same(getattr(lazy, name)(axis=axis, keepdims=keepdims, split_every=split), expected)
    assert_same(getattr(da, name)(lazy, axis=axis, keepdims=keepdims), expected)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "std", "min", "max", "any"])
@pytest.mark.parametrize("dtype", ["i1", "u4", "f2", "f4", "c8", "?"])
def test_types_of_reductions(name, dtype):
    values = (np.arange(7) % 3).astype(dtype)
    if name in ("min", "max") and dtype == "c8":
        values = values.real.astype("f4")
    x = da.from_array(values, chunks=3)
    expected = getattr(values, name)()
    result = getattr(x, name)()
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(
        np.asarray(result.compute()).astype("c16"), np.asarray(expected).astype("c16"), rtol=1e-3
    )


def test_totals_of_durations():
    values = np.arange(7).astype("m8[s]")
    total = da.from_array(values, chunks=3).sum()
    assert total.dtype == values.dtype
    assert total.compute() == values.sum()


@pytest.mark.parametrize("name", ["argmin", "argmax"])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.covers("array.argmin", "array.argmax", "array.Array.argmin", "array.Array.argmax")
def test_places_of_extremes(name, axis):
    values = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3], [5, 8, 9, 7, 9]])
    for chunks in [(3, 5), (1, 2), (2, 3)]:
        x = da.from_array(values, chunks=chunks)
        for keepdims in (False, True):
            expected = getattr(np, name)(values, axis=axis, keepdims=keepdims)
            assert_same(getattr(x, name)(axis=axis, keepdims=keepdims, split_every=2), expected)


NAN_REDUCTIONS = [
    "nansum", "nanprod", "nanmean", "nanstd", "nanvar", "nanmin", "nanmax", "nanargmin", "nanargmax"
]  # fmt: skip


@pytest.mark.parametrize("name", NAN_REDUCTIONS)
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.covers(
    "array.nansum",
    "array.nanprod",
    "array.nanmean",
    "array.nanstd",
    "array.nanvar",
    "array.nanmin",
    "array.nanmax",
    "array.nanargmin",
    "array.nanargmax",
)
def test_reductions_that_skip_nan(name, axis):
    values = np.arange(12.0).reshape(3, 4) / 5
    values[0, 1] = values[2, 2] = np.nan
    for chunks in [(3, 4), (1, 2), (2, 3)]:
        x = da.from_array(values, chunks=chunks)
        assert_same(getattr(da, name)(x, axis=axis), getattr(np, name)(values, axis=axis))


def test_nothing_but_nan_has_no_extreme():
    values = np.array([[np.nan, np.inf, np.nan], [np.nan, np.nan, 1.0]])
    x = da.from_array(values, chunks=1)
    with pytest.raises(ValueError, match="nanargmin: all elements along an axis are NaN"):
        da.nanargmin(x, axis=0).compute()
    # An infinity is an element, and NaN is none.
    assert_same(da.nanargmin(x, axis=1), np.array([1, 2]))
    assert_same(da.nanargmax(x, axis=1), np.array([1, 2]))


@pytest.mark.parametrize("name", ["min", "max", "argmin", "argmax"])
def test_extremes_of_nothing_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: an axis without elements"):
        getattr(da.ones((0, 3)), name)(axis=0)


def test_moments_of_large_numbers_keep_their_digits():
    values = 1e9 + np.random.default_rng(0).random(1000)
    np.testing.assert_allclose(da.from_array(values, chunks=7).var().compute(), values.var())


@pytest.mark.covers("array.reduction")
def test_reductions_of_a_users_own():
    x = da.from_array(VALUES, chunks=(2, 5))
    assert_same(da.reduction(x, np.sum, np.sum, axis=0, split_every=2), VALUES.sum(axis=0))

    def chunk(block, axis, keepdims):
        return {"low": block.min(axis, keepdims=keepdims)}

    def merge(parts, axis, keepdims):
        flat = [one for row in parts for one in (row if isinstance(row, list) else [row])]
        return {"low": np.minimum.reduce([one["low"] for one in flat])}

    def finish(parts, axis, keepdims):
        return merge(parts, axis, keepdims)["low"].reshape(())

    lazy = da.reduction(
        x, chunk, finish, combine=merge, concatenate=False, dtype=float, split_every=2
    )
    assert_same(lazy, VALUES.min())


@pytest.mark.covers("array.moment", "array.Array.moment")
def test_moment_and_ptp(x):
    expected = ((VALUES - VALUES.mean(axis=0)) ** 3).mean(axis=0)
    assert_same(da.moment(x, 3, axis=0), expected)
    assert_same(x.moment(2), ((VALUES - VALUES.mean()) ** 2).mean())
    assert_same(da.ptp(x, axis=1), np.ptp(VALUES, axis=1))


# ---- Axes, joining, products ----


@pytest.mark.covers(
    "array.transpose",
    "array.swapaxes",
    "array.moveaxis",
    "array.flip",
    "array.expand_dims",
    "array.squeeze",
    "array.Array.transpose",
    "array.Array.T",
    "array.Array.swapaxes",
    "array.Array.squeeze",
)
def test_axes_in_another_order(x):
    assert_same(x.T, VALUES.T)
    cube, lazy = VALUES.reshape(5, 3, 4), da.from_array(VALUES.reshape(5, 3, 4), chunks=2)
    assert_same(lazy.transpose(2, 0, 1), cube.transpose(2, 0, 1))
    assert_same(da.swapaxes(lazy, 0, 2), np.swapaxes(cube, 0, 2))
    assert_same(da.moveaxis(lazy, 0, -1), np.moveaxis(cube, 0, -1))
    assert_same(da.flip(lazy, (0, 2)), np.flip(cube, (0, 2)))
    assert_same(da.expand_dims(lazy, (0, 2)), np.expand_dims(cube, (0, 2)))
    assert_same(da.squeeze(lazy[:, :1], axis=1), cube[:, 0])


@pytest.mark.covers("array.concatenate", "array.stack")
def test_joining(x):
    assert_same(da.concatenate([x, x + 1]), np.concatenate([VALUES, VALUES + 1]))
    other = da.from_array(VALUES[:, :4], chunks=(1, 3))
    joined = da.concatenate([x, other, x[:, :0]], axis=1)
    assert_same(joined, np.concatenate([VALUES, VALUES[:, :4]], axis=1))
    assert_same(joined[:, 10:14] + 1, np.concatenate([VALUES, VALUES], axis=1)[:, 10:14] + 1)
    assert_same(da.stack([x, x * 2], axis=1), np.stack([VALUES, VALUES * 2], axis=1))
    with pytest.raises(ValueError, match="all but axis 1 must be alike"):
        da.concatenate([x, da.ones((4, 4))], axis=1)
    with pytest.raises(ValueError, match="must have one shape"):
        da.stack([x, x[1:]])


@pytest.mark.covers("array.broadcast_to")
def test_broadcasting(x):
    assert_same(da.broadcast_to(x, (3, 5, 12)), np.broadcast_to(VALUES, (3, 5, 12)))
    wide = da.broadcast_to(x[:, :1], (5, 12), chunks=(x.chunks[0], 5))
    assert_same(wide, np.broadcast_to(VALUES[:, :1], (5, 12)))


@pytest.mark.covers("array.dot", "array.matmul", "array.tensordot", "array.Array.dot")
def test_products(x):
    assert_same(x @ x.T, VALUES @ VALUES.T)
    assert_same(x.dot(np.arange(12.0)), VALUES.dot(np.arange(12.0)))
    assert_same(np.arange(5.0) @ x, np.arange(5.0) @ VALUES)
    for axes in [1, ((1,), (0,)), ((0,), (1,))]:
        other = VALUES.T
        assert_same(da.tensordot(x, x.T, axes), np.tensordot(VALUES, other, axes))
    assert_same(
        da.tensordot(x, x.T, ((0, 1), (1, 0))), np.tensordot(VALUES, VALUES.T, ((0, 1), (1, 0)))
    )
    cube = np.arange(24.0).reshape(2, 3, 4)
    lazy = da.from_array(cube, chunks=(1, 2, 3))
    assert_same(lazy @ lazy.transpose(0, 2, 1), cube @ cube.transpose(0, 2, 1))
    assert_same(lazy @ np.ones((4, 2)), cube @ np.ones((4, 2)))
    with pytest.raises(ValueError, match="12 columns and 5 rows"):
        x @ x


# ---- Functions of a user's own ----


@pytest.mark.covers("array.map_blocks", "array.Array.map_blocks")
def test_map_blocks():
    x = da.from_array(VALUES, chunks=(2, 5))
    assert_same(x.map_blocks(lambda block: block * 2), VALUES * 2)
    assert_same(da.map_blocks(np.add, x, 1), VALUES + 1)
    assert_same(x.map_blocks(lambda block: block.astype("i4"), dtype="i4"), VALUES.astype("i4"))
    summed = x.map_blocks(lambda block: block.sum(axis=1), drop_axis=1)
    assert_same(summed, VALUES.sum(axis=1))
    new = x.map_blocks(lambda block: block[:, None], new_axis=1)
    assert_same(new, VALUES[:, None])
    sized = x.map_blocks(lambda block: block[:1, :1], chunks=(1, 1))
    assert sized.chunks == ((1, 1, 1), (1, 1, 1))
    assert_same(sized, VALUES[::2, ::5])


def test_map_blocks_is_told_where_a_block_lies():
    x = da.from_array(VALUES, chunks=(2, 5))

    def number(block, block_id=None):
        return np.full(block.shape, block_id[0] * 10 + block_id[1])

    expected = np.add.outer(np.arange(5) // 2 * 10, np.arange(12) // 5)
    assert_same(x.map_blocks(number, dtype=int), expected)

    def begin(block, block_info=None):
        (row, _), (column, _) = block_info[0]["array-location"]
        assert block_info[None]["chunk-shape"] == block.shape or not block.size
        return block - (row * 12 + column)

    assert float(x.map_blocks(begin, dtype=float).max().compute()) == 16.0


@pytest.mark.covers("array.blockwise")
def test_blockwise():
    x = da.from_array(VALUES, chunks=(2, 5))
    row = da.from_array(VALUES[0], chunks=5)
    outer = da.blockwise(np.add.outer, "ij", x[:, 0], "i", row, "j", dtype=float)
    assert_same(outer, np.add.outer(VALUES[:, 0], VALUES[0]))

    def products(left, right):
        return sum(a @ b for a, b in zip(left, right, strict=True))

    lazy = da.blockwise(products, "ik", x, "ij", x.T, "jk", dtype=float)
    assert_same(lazy, VALUES @ VALUES.T)
    lazy = da.blockwise(np.matmul, "ik", x, "ij", x.T, "jk", dtype=float, concatenate=True)
    assert_same(lazy, VALUES @ VALUES.T)


def test_a_function_that_fails_with_empty_blocks_is_called_with_one_element():
    x = da.from_array(VALUES, chunks=(2, 12))
    assert_same(x.map_blocks(lambda block: block + block[:, [0]]), VALUES + VALUES[:, [0]])
    with pytest.raises(ValueError, match=r"IndexError.*Give dtype= or meta="):
        x.map_blocks(lambda block: block + block[:, [1]])


@pytest.mark.covers("array.Array.map_overlap")
def test_map_overlap_as_a_method(x):
    shifted = x.map_overlap(lambda b: np.roll(b, 1, axis=1), depth=(0, 1), boundary="periodic")
    assert_same(shifted, np.roll(VALUES, 1, axis=1))


@pytest.mark.covers("array.asarray", "array.asanyarray", "array.array")
def test_anything_becomes_an_array(x):
    for make in (da.asarray, da.asanyarray, da.array):
        assert make(x) is x
        assert_same(make([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]]))
        assert_same(make([1, 2], dtype="f4"), np.array([1, 2], dtype="f4"))
        assert_same(make([x[0], x[1]]), VALUES[:2])
        with pytest.raises(NotImplementedError, match="convert"):
            make([1], like=np.ones(1))
    assert_same(da.array(3, ndmin=2), np.array(3, ndmin=2))


@pytest.mark.covers("array.Array.A", "array.Array.chunksize", "array.Array.itemsize")
@pytest.mark.covers("array.Array.nbytes", "array.Array.ndim", "array.Array.npartitions")
@pytest.mark.covers("array.Array.numblocks", "array.Array.size")
def test_what_an_array_says_of_itself():
    x = da.from_array(VALUES, chunks=(2, 5))
    assert x.A is x
    assert (x.chunksize, x.numblocks, x.npartitions) == ((2, 5), (3, 3), 9)
    assert (x.itemsize, x.nbytes, x.ndim, x.size) == (8, 480, 2, 60)


@pytest.mark.covers("array.Array.conj", "array.Array.real", "array.Array.imag")
def test_parts_of_complex_numbers(x):
    z, values = x + 2j * x, VALUES + 2j * VALUES
    assert_same(z.real, values.real)
    assert_same(z.imag, values.imag)
    assert_same(z.conj(), values.conj())


# ---- Random numbers ----


def test_random_numbers_are_those_of_numpys_streams():
    rng = da.random.default_rng(42)
    x = rng.normal(size=(4, 6), chunks=(2, 3))
    y = rng.random(5, chunks=3)
    blocks = []
    for k in range(6):
        seed = np.random.SeedSequence(42, spawn_key=(k,))
        blocks.append(np.random.Generator(np.random.PCG64(seed)))
    rows = [
        np.concatenate([blocks[2 * i + j].normal(size=(2, 3)) for j in range(2)], axis=1)
        for i in range(2)
    ]
    np.testing.assert_array_equal(x.compute(), np.concatenate(rows))
    np.testing.assert_array_equal(
        y.compute(), np.concatenate([blocks[4].random(3), blocks[5].random(2)])
    )


def test_random_numbers_depend_on_nothing_but_seed_calls_and_chunks():
    def draw():
        rng = da.random.default_rng(7)
        x = rng.random((20, 20), chunks=6)
        return x, (x + 1)[3:9] - 1, (x * 0 + x.T).T

    x, part, turned = draw()
    np.testing.assert_allclose(part.compute(), x.compute()[3:9])
    np.testing.assert_array_equal(turned.compute(), x.compute())
    np.testing.assert_array_equal(draw()[0].compute(num_workers=7), x.compute())
    other = da.random.default_rng().random(5)
    assert not np.array_equal(other.compute(), da.random.default_rng().random(5).compute())


def test_the_older_interface_of_random_numbers():
    x = da.random.RandomState(3).randint(0, 10, size=(5, 5), chunks=2)
    again = da.random.RandomState(3).randint(0, 10, size=(5, 5), chunks=2)
    np.testing.assert_array_equal(x.compute(), again.compute())
    assert x.compute().min() >= 0
    da.random.seed(1)
    first = da.random.normal(10, 0.1, size=100, chunks=30).compute()
    da.random.seed(1)
    np.testing.assert_array_equal(first, da.random.normal(10, 0.1, size=100, chunks=30).compute())
    assert abs(first.mean() - 10) < 0.1


# ---- A collection among others ----


@pytest.mark.parametrize("scheduler", ["sync", "processes"])
def test_other_schedulers(scheduler):
    x = da.from_array(VALUES, chunks=(2, 5))
    with oxidask.config.set(scheduler=scheduler):
        assert_same((x + 1)[1:, ::2].sum(axis=0), (VALUES + 1)[1:, ::2].sum(axis=0))
        assert_same(x @ x.T, VALUES @ VALUES.T)
        assert_same(x.rechunk((3, 4)).persist().std(), VALUES.std())


def test_several_arrays_are_computed_together():
    calls = []

    def note(block):
        calls.append(block.shape)
        return block + 1

    x = da.from_array(VALUES, chunks=(5, 6)).map_blocks(note, dtype=float, meta=VALUES)
    total, top = oxidask.compute(x.sum(), x.max())
    assert (total, top) == (VALUES.sum() + 60, 60.0)
    assert len(calls) == 2


@pytest.mark.covers("array.Array.persist")
def test_persisted_arrays_hold_their_blocks():
    calls = []

    def note(block):
        calls.append(block.shape)
        return block + 1

    x = da.from_array(VALUES, chunks=(5, 6)).map_blocks(note, dtype=float, meta=VALUES)
    held = x.persist()
    assert held.name == x.name
    assert held.chunks == x.chunks
    assert len(calls) == 2
    assert_same(held.sum(axis=0), (VALUES + 1).sum(axis=0))
    assert len(calls) == 2


def test_arrays_in_delayed_calls_arrive_as_numpys():
    x = da.from_array(VALUES, chunks=(2, 5))
    kind = oxidask.delayed(lambda a: (type(a).__name__, a.shape))(x)
    assert kind.compute() == ("ndarray", (5, 12))
    assert oxidask.delayed(sum)([x.sum(), 1.0]).compute() == VALUES.sum() + 1


@pytest.mark.covers("array.Array.to_delayed", "array.from_delayed")
def test_blocks_as_lazy_values_and_back():
    x = da.from_array(VALUES, chunks=(2, 5)) + 1
    blocks = x.to_delayed()
    assert blocks.shape == (3, 3)
    np.testing.assert_array_equal(blocks[0, 2].compute(), VALUES[:2, 10:] + 1)
    rows = [
        da.concatenate([da.from_delayed(one, (2, 5), dtype=float) for one in row[:2]], axis=1)
        for row in blocks[:2]
    ]
    assert_same(da.concatenate(rows), VALUES[:4, :10] + 1)


@pytest.mark.covers("array.Array.dask")
def test_a_graph_is_a_mapping_of_the_keys_of_blocks():
    x = da.from_array(VALUES, chunks=(3, 12)) + 1
    assert x.__dask_keys__() == [[(x.name, 0, 0)], [(x.name, 1, 0)]]
    assert (x.name, 1, 0) in x.dask
    again = da.Array(dict(x.dask), x.name, x.chunks, dtype=x.dtype)
    assert_same(again, VALUES + 1)
    joined = da.concatenate([x, x])
    assert_same(
        da.Array(dict(joined.dask), joined.name, joined.chunks, dtype=float),
        np.concatenate([VALUES + 1] * 2),
    )


@pytest.mark.covers("array.Array.name")
def test_equal_arrays_have_equal_names_and_run_once():
    x = da.from_array(VALUES, chunks=(2, 5))
    assert (x + 1).name == (da.from_array(VALUES, chunks=(2, 5)) + 1).name
    assert (x + 1).name != (x + 2).name
    assert da.from_array(VALUES, chunks=5, name="mine").name == "mine"
    names = {da.from_array(VALUES, chunks=5, name=False).name for _ in range(2)}
    assert len(names) == 2


def test_an_array_survives_pickling():
    x = da.from_array(VALUES, chunks=(2, 5)) + 1
    again = pickle.loads(pickle.dumps(x))
    assert again.name == x.name
    assert_same(again, VALUES + 1)


def test_numpys_own_functions_and_conversions(x):
    assert_same(np.sum(x, axis=0), VALUES.sum(axis=0))
    assert_same(np.concatenate([x, x]), np.concatenate([VALUES, VALUES]))
    np.testing.assert_array_equal(np.asarray(x), VALUES)
    assert float(x.sum()) == VALUES.sum()
    assert int(x[2, 3]) == 27
    assert bool((x >= 0).all())
    assert len(x) == 5
    assert [float(row.sum()) for row in x] == VALUES.sum(axis=1).tolist()
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x)


def test_a_chain_of_ten_thousand_operations():
    x = da.ones(2, chunks=1)
    for _ in range(10_000):
        x = x + 1
    assert x.compute().tolist() == [10_001.0] * 2


def test_an_axis_of_length_one_may_have_empty_blocks():
    values = VALUES[:1]
    x = da.from_array(values, chunks=((0, 1, 0), (12, 0)))
    y = da.from_array(VALUES, chunks=(2, 5))
    assert_same(x + y, values + VALUES)
    assert_same(da.broadcast_to(x, (3, 12)), np.broadcast_to(values, (3, 12)))
    assert_same(x[:, :1] + y[:0, :1], np.empty((0, 1)))
    assert_same(da.blockwise(np.add, "ij", x, "ij", y, "ij", dtype=float), values + VALUES)
    three = np.arange(24.0).reshape(2, 3, 4)
    one = da.from_array(three[:1], chunks=((1, 0), -1, 2))
    assert_same(one @ da.from_array(three, chunks=1).swapaxes(1, 2), three[:1] @ three.mT)


def test_axes_beside_lengths_that_are_not_known_are_cut_alike():
    x = da.from_array(VALUES, chunks=(2, 4))
    y = x.rechunk((2, 5))
    expected = VALUES[VALUES[:, 0] > 10]
    p, q = x[x[:, 0] > 10], y[y[:, 0] > 10]
    np.testing.assert_array_equal((p + q).compute(), 2 * expected)
    np.testing.assert_array_equal((p * q.sum(axis=0)).compute(), expected * expected.sum(axis=0))
    for chunks in [{1: -1}, {1: 5}, (None, (1, 11)), (p.chunks[0], 7)]:
        again = p.rechunk(chunks)
        assert sum(again.chunks[1]) == 12
        np.testing.assert_array_equal(again.compute(), expected)
    np.testing.assert_array_equal(p.rechunk({1: -1}).rechunk({1: 3}).compute(), expected)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        p.rechunk(2)
