"""Padding, repeating and turning against NumPy."""

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da

VALUES = (np.arange(35) * 7 % 31).reshape(5, 7)
CHUNKS = [(5, 7), (2, 3), (1, 1), ((1, 0, 4), (4, 3))]
WIDTHS = [0, 2, (1, 3), ((2, 0), (0, 9)), ((12, 11), (1, 16))]
MODES = [
    ("constant", {}),
    ("constant", {"constant_values": 5}),
    ("constant", {"constant_values": ((1, 2), (3, 4))}),
    ("edge", {}),
    ("linear_ramp", {}),
    ("linear_ramp", {"end_values": ((5, -4), (3, 0))}),
    ("maximum", {}),
    ("minimum", {"stat_length": 2}),
    ("mean", {"stat_length": ((1, 2), (3, 40))}),
    ("median", {}),
    ("reflect", {}),
    ("reflect", {"reflect_type": "odd"}),
    ("symmetric", {}),
    ("symmetric", {"reflect_type": "odd"}),
    ("wrap", {}),
]


@pytest.mark.covers("array.pad")
@pytest.mark.parametrize(("mode", "options"), MODES, ids=str)
@pytest.mark.parametrize("dtype", ["i8", "f8"])
def test_all_modes(mode, options, dtype):
    values = VALUES.astype(dtype)
    for width in WIDTHS:
        expected = np.pad(values, width, mode, **options)
        for chunks in CHUNKS:
            assert_same(
                da.pad(da.from_array(values, chunks=chunks), width, mode, **options), expected
            )


def test_padding_with_whatever_is_there():
    lazy = da.pad(da.from_array(VALUES, chunks=2), 3, "empty")
    assert lazy.shape == (11, 13)
    np.testing.assert_array_equal(lazy.compute()[3:-3, 3:-3], VALUES)


def test_padding_of_one_element_and_of_none():
    for mode in ("reflect", "symmetric", "edge", "wrap"):
        assert_same(da.pad(da.ones(1), 3, mode), np.pad(np.ones(1), 3, mode))
    empty = np.ones((0, 3))
    for width in (2, ((0, 0), (1, 2))):
        assert_same(da.pad(da.from_array(empty), width), np.pad(empty, width))
    assert_same(
        da.pad(da.from_array(empty), ((0, 0), (1, 2)), "edge"),
        np.pad(empty, ((0, 0), (1, 2)), "edge"),
    )
    with pytest.raises(ValueError, match="axis 0 has no elements"):
        da.pad(da.from_array(empty), 1, "edge")


def fill(vector, width, axis, options):
    value = options.get("value", 0) + axis
    vector[: width[0]] = value
    if width[1]:
        vector[-width[1] :] = value


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_padding_by_a_function(chunks):
    x = da.from_array(VALUES, chunks=chunks)
    assert_same(da.pad(x, (2, 1), fill, value=9), np.pad(VALUES, (2, 1), fill, value=9))


@pytest.mark.parametrize(
    ("args", "options", "error", "words"),
    [
        ((1, "else"), {}, ValueError, "no mode 'else'"),
        ((1, "edge"), {"end_values": 2}, ValueError, "takes no argument 'end_values'"),
        ((-1,), {}, ValueError, "not negative: -1"),
        ((1.5,), {}, TypeError, "pad_width has ints"),
        (([1, 2, 3],), {}, ValueError, "sequence of 2 pairs"),
        ((1, "maximum"), {"stat_length": 0}, ValueError, "stat_length of 0"),
        ((1, "reflect"), {"reflect_type": "no"}, ValueError, "'even' or 'odd', not 'no'"),
    ],
)
def test_padding_that_cannot_be(args, options, error, words):
    with pytest.raises(error, match=words):
        da.pad(da.from_array(VALUES, chunks=3), *args, **options)
    x = da.arange(5)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        da.pad(x[x > 2], 1)


@pytest.mark.filterwarnings("ignore::oxidask.array.PerformanceWarning")
def test_padding_costs_the_same_for_any_number_of_blocks():
    x = da.ones((3_000_000, 3_000_000), chunks=1000)
    assert da.pad(x, 2, "reflect").numblocks == (3002, 3002)


@pytest.mark.covers("array.tile")
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_tile(chunks):
    x = da.from_array(VALUES, chunks=chunks)
    for reps in (1, 3, (2,), (2, 1), (2, 3), (2, 1, 3), 0, (0, 2), ()):
        assert_same(da.tile(x, reps), np.tile(VALUES, reps))
    assert_same(da.tile(da.asarray(3), 2), np.tile(3, 2))
    with pytest.raises(ValueError, match="0 times or more, not -1"):
        da.tile(x, -1)


@pytest.mark.covers("array.repeat", "array.Array.repeat")
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_repeat(chunks):
    x = da.from_array(VALUES, chunks=chunks)
    for count in (0, 1, 3):
        for axis in (None, 0, 1, -1):
            assert_same(da.repeat(x, count, axis), np.repeat(VALUES, count, axis))
    assert_same(x.repeat([1, 0, 2, 1, 1], axis=0), np.repeat(VALUES, [1, 0, 2, 1, 1], axis=0))
    assert_same(x.repeat([2], axis=1), np.repeat(VALUES, [2], axis=1))
    with pytest.raises(ValueError, match="2 numbers for an axis of 5"):
        x.repeat([1, 2], axis=0)
    with pytest.raises(ValueError, match="not -1 times"):
        x.repeat(-1, axis=0)
    assert max(da.ones(100, chunks=10).repeat(5).chunks[0]) == 10


@pytest.mark.covers("array.roll")
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_roll(chunks):
    x = da.from_array(VALUES, chunks=chunks)
    for shift, axis in [(2, None), (-9, None), (3, 0), (-12, 1), ((1, 2), (0, 1)), (2, (0, 0, 1))]:
        assert_same(da.roll(x, shift, axis), np.roll(VALUES, shift, axis))
    with pytest.raises(ValueError, match="give as many"):
        da.roll(x, (1, 2), (0, 1, 0))
    with pytest.raises(TypeError, match="shift is an int"):
        da.roll(x, (1, 2))


@pytest.mark.covers("array.rollaxis", "array.flipud", "array.fliplr", "array.rot90")
def test_turning():
    values = np.arange(24).reshape(2, 3, 4)
    x = da.from_array(values, chunks=2)
    for axis in range(-3, 3):
        for start in range(-3, 4):
            assert_same(da.rollaxis(x, axis, start), np.rollaxis(values, axis, start))
    with pytest.raises(ValueError, match="from -3 to 3, not 4"):
        da.rollaxis(x, 0, 4)
    assert_same(da.flipud(x), np.flipud(values))
    assert_same(da.fliplr(x), np.fliplr(values))
    with pytest.raises(ValueError, match="axis 1 is out of bounds"):
        da.fliplr(da.ones(3))
    for k in range(-2, 6):
        assert_same(da.rot90(x, k), np.rot90(values, k))
        assert_same(da.rot90(x, k, (2, 0)), np.rot90(values, k, (2, 0)))
    for axes, words in [((0, 1, 2), "two axes"), ((0, -3), "differ")]:
        with pytest.raises(ValueError, match=words):
            da.rot90(x, axes=axes)
