"""Blocks with halos: `map_overlap`, `overlap` and windows, against NumPy on the padded array."""

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da
from oxidask.array.overlap import minimum_lengths

VALUES = np.arange(60.0).reshape(5, 12) ** 1.5
CHUNKS = [(5, 12), (2, 5), ((1, 3, 1), (4, 4, 4)), (3, -1), ((2, 0, 3), (7, 5))]
MODES = {"reflect": "symmetric", "nearest": "edge", "periodic": "wrap"}


@pytest.fixture(params=CHUNKS, ids=str)
def x(request):
    return da.from_array(VALUES, chunks=request.param)


def padded(values, depth, boundary):
    """Return what NumPy makes of the halo at the ends of the array, axis after axis."""
    for axis, (one, of_end) in enumerate(zip(depth, boundary, strict=True)):
        width = [(0, 0)] * values.ndim
        width[axis] = (one, one)
        if of_end in MODES:
            values = np.pad(values, width, MODES[of_end])
        elif of_end != "none":
            values = np.pad(values, width, constant_values=of_end)
    return values


BOUNDARIES = [
    ("none", "none"),
    ("reflect", "reflect"),
    ("nearest", "periodic"),
    ("periodic", 3.5),
    (-1, "reflect"),
    (7, 8),
    ("none", "nearest"),
]


@pytest.mark.covers("array.overlap.overlap")
@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
@pytest.mark.parametrize("depth", [(1, 1), (0, 2), (2, 3), (1, 0)], ids=str)
def test_each_block_has_a_halo(x, boundary, depth):
    lazy = da.overlap.overlap(x, dict(enumerate(depth)), dict(enumerate(boundary)))
    whole = padded(VALUES, depth, boundary)
    cut = [
        minimum_lengths(lengths, one) if one else lengths
        for lengths, one in zip(x.chunks, depth, strict=True)
    ]
    offsets = []
    for lengths, one, of_end, new in zip(cut, depth, boundary, lazy.chunks, strict=True):
        ends = one if of_end == "none" else 0
        begins = np.cumsum([0, *lengths[:-1]])
        low = [max(0, begin - ends) for begin in begins]
        offsets.append(list(zip(low, new, strict=True)))
    pieces = [
        [
            whole[i : i + rows, j : j + columns]
            for j, columns in offsets[1]
        ]
        for i, rows in offsets[0]
    ]  # fmt: skip
    assert_same(lazy, np.block(pieces))


@pytest.mark.covers("array.overlap.trim_internal", "array.overlap.trim_overlap")
@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
def test_a_trimmed_halo_leaves_the_array(x, boundary):
    depth, boundary = {0: 1, 1: 2}, dict(enumerate(boundary))
    with_halo = da.overlap.overlap(x, depth, boundary)
    assert_same(da.overlap.trim_overlap(with_halo, depth, boundary), VALUES)
    assert_same(da.overlap.trim_internal(with_halo, depth, boundary), VALUES)
    assert da.overlap.trim_internal(x, {}) is x


def test_a_trim_that_is_longer_than_a_block_is_refused():
    with pytest.raises(ValueError, match="does not fit into blocks"):
        da.overlap.trim_internal(da.ones(4, chunks=2), {0: 2}, "periodic")


def smooth(block):
    """Return sums of the neighbours along both axes, as if nothing were around the block."""
    whole = np.pad(block, 1)
    return whole[:-2, 1:-1] + 2 * whole[2:, 1:-1] + 3 * whole[1:-1, :-2] + 5 * whole[1:-1, 2:]


@pytest.mark.covers("array.map_overlap")
@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
def test_a_stencil(x, boundary):
    one = dict(enumerate(boundary))
    inside = tuple(slice(None) if end == "none" else slice(1, -1) for end in boundary)
    expected = smooth(padded(VALUES, (1, 1), boundary))[inside]
    assert_same(da.map_overlap(smooth, x, depth=1, boundary=one), expected)
    assert_same(x.map_overlap(smooth, 1, one), expected)
    assert_same(x.map_overlap(smooth, depth=(1, 2), boundary=tuple(boundary)), expected)


def test_halo_function_and_trim_are_one_task_a_block():
    x = da.from_array(VALUES, chunks=(2, 4))
    lazy = (x + 1).map_overlap(smooth, 1, "reflect") * 2
    # Blocks are cut out and raised by one, which nine others read; then comes all the rest.
    assert len(lazy.dask) == 2 * 9


@pytest.mark.filterwarnings("ignore::oxidask.array.PerformanceWarning")
def test_a_graph_takes_no_time_for_blocks():
    x = da.ones((10**6, 10**6), chunks=100)
    assert x.map_overlap(smooth, 1, "periodic").npartitions == 10**8


def test_depths_that_differ_before_and_after_a_block():
    def before(block):
        return block + np.concatenate([[0, 0], block[:-2]])

    values = np.arange(10.0)
    for chunks in [(4, 4, 2), (10,), (1, 2, 3, 4), 5]:
        x = da.from_array(values, chunks=chunks)
        assert_same(da.map_overlap(before, x, depth={0: (2, 0)}), before(values))
    with pytest.raises(NotImplementedError, match="goes with boundary 'none' only"):
        da.map_overlap(before, x, depth={0: (2, 0)}, boundary="reflect")


def test_several_arrays():
    x = da.from_array(VALUES, chunks=(2, 5))
    row = da.from_array(VALUES[2], chunks=4)

    def function(block, other):
        return smooth(block) * other

    assert_same(
        da.map_overlap(function, x, row, depth=[{0: 1, 1: 1}, {0: 1}], boundary="none"),
        function(VALUES, VALUES[2]),
    )
    first = da.from_array(VALUES[:1], chunks=(1, 6))
    lazy = da.map_overlap(lambda a, b: a + smooth(b), first, x, depth=1, boundary="none")
    assert_same(lazy, VALUES[:1] + smooth(VALUES))


def test_arrays_of_different_depths():
    x = da.from_array(VALUES, chunks=(2, 5))

    def function(block, other):
        return smooth(block)[1:-1, 1:-1] + other

    lazy = da.map_overlap(
        function, x, x, depth=[1, 0], boundary=["nearest", "none"], trim=False, chunks=x.chunks
    )
    expected = smooth(padded(VALUES, (1, 1), ("nearest", "nearest")))[1:-1, 1:-1] + VALUES
    assert_same(lazy, expected)


def test_arrays_that_are_not_aligned_need_as_many_blocks():
    x, y = da.ones(10, chunks=5), da.ones(12, chunks=6)
    lazy = da.map_overlap(lambda a, b: b, x, y, depth=0, align_arrays=False, dtype=float)
    assert lazy.compute().shape == (12,)
    with pytest.raises(ValueError, match=r"\[2, 5\] blocks along axis -1"):
        da.map_overlap(np.add, x, x.rechunk(2), depth=1, align_arrays=False)


def test_axes_that_are_dropped_or_new():
    x = da.from_array(VALUES, chunks=(5, 4))
    lazy = x.map_overlap(lambda b: smooth(b).sum(axis=0), 1, {1: "periodic"}, drop_axis=0)
    expected = smooth(np.pad(VALUES, ((0, 0), (1, 1)), "wrap"))[:, 1:-1].sum(axis=0)
    assert_same(lazy, expected)
    lazy = x.map_overlap(lambda b: smooth(b)[None], {1: 1}, new_axis=0)
    assert_same(lazy, smooth(VALUES)[None])


def test_places_of_blocks_are_told():
    x = da.from_array(VALUES, chunks=(5, 4))
    lazy = x.map_overlap(lambda b, block_id=None: b * 0 + block_id[1], {1: 1}, dtype=float)
    assert_same(lazy, np.broadcast_to(np.repeat([0.0, 1.0, 2.0], 4), (5, 12)))


def test_without_trim_the_function_has_done_it():
    x = da.from_array(VALUES, chunks=(2, 4))
    lazy = x.map_overlap(lambda b: smooth(b)[1:-1, 1:-1], 1, "nearest", trim=False, chunks=x.chunks)
    assert_same(lazy, smooth(np.pad(VALUES, 1, "edge"))[1:-1, 1:-1])


def test_blocks_shorter_than_the_depth_are_joined():
    x = da.from_array(np.arange(10.0), chunks=(4, 4, 2))
    assert da.overlap.overlap(x, 3, "none").chunks == ((7, 9),)
    with pytest.raises(ValueError, match=r"3 is more than the shortest of the blocks \(4, 4, 2\)"):
        da.overlap.overlap(x, 3, "none", allow_rechunk=False)
    assert minimum_lengths((20, 20, 1), 10) == (20, 11, 10)
    assert minimum_lengths((1, 1, 3), 3) == (5,)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x.map_overlap(abs, 11), ValueError, "depth of 11 is more than the 10 elements"),
        (lambda x: x.map_overlap(abs, -1), ValueError, "an int of 0 or more"),
        (lambda x: x.map_overlap(abs, 1, "mirror"), ValueError, "'mirror' is none of 'none'"),
        (lambda x: x.map_overlap(abs, (1, 1, 1)), ValueError, "more entries than there are axes"),
        (lambda x: da.map_overlap(abs, x, 1), TypeError, r"not \['Array', 'int'\]"),
        (lambda x: da.map_overlap(abs), TypeError, "behind the function stand arrays"),
        (lambda x: da.map_overlap(abs, x, depth=[1, 2]), ValueError, "2 entries for 1 arrays"),
        (lambda x: x[x > 3].map_overlap(abs, 1), ValueError, "compute_chunk_sizes"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(call, error, words):
    with pytest.raises(error, match=words):
        call(da.from_array(np.arange(10.0), chunks=4))


def test_an_old_order_of_arguments_warns():
    x = da.from_array(VALUES, chunks=(2, 4))
    with pytest.warns(FutureWarning, match="the function comes first"):
        lazy = da.map_overlap(x, smooth, 1)
    assert_same(lazy, smooth(VALUES))


@pytest.mark.covers("array.lib.stride_tricks.sliding_window_view")
@pytest.mark.parametrize(
    ("window", "axis"),
    [((2, 3), None), (4, 1), (5, 0), (1, 0), ((2, 2), (1, 1)), ((12, 2), (1, 0)), (3, -1)],
    ids=str,
)
def test_windows(x, window, axis):
    lazy = da.lib.stride_tricks.sliding_window_view(x, window, axis)
    assert_same(lazy, np.lib.stride_tricks.sliding_window_view(VALUES, window, axis))
    assert_same(np.lib.stride_tricks.sliding_window_view(x, window, axis), lazy.compute())
    assert_same(lazy.mean(axis=-1), lazy.compute().mean(axis=-1))


@pytest.mark.parametrize(
    ("window", "axis", "words"),
    [(6, 0, "longer than axis 0 of 5"), (0, 0, "at least one element"), (2, None, "moves along 2")],
)
def test_windows_that_do_not_fit_are_refused(window, axis, words):
    x = da.from_array(VALUES, chunks=2)
    with pytest.raises(ValueError, match=words):
        da.lib.stride_tricks.sliding_window_view(x, window, axis)
