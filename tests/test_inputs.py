"""In one process, what tasks write into their inputs reaches nobody else."""

import gc
import sys

import numpy as np
import pytest

from oxidask import compute, delayed, persist

pd = pytest.importorskip("pandas")

#: Who has made an object is known of one's own objects only where there is no GIL.
HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


@pytest.fixture(params=["threads", "sync"])
def scheduler(request):
    return request.param


def address(array):
    return array.__array_interface__["data"][0]


def numbers(size=1000):
    return np.arange(float(size))


def same(value):
    return value


def negate(values):
    values *= -1
    return values


def overwritten(values):
    values[...] = np.zeros((), values.dtype)
    return True


class Lengths(np.ndarray):
    """As those have that carry a unit."""


ARRAYS = {
    "plain": numbers,
    "one element": lambda: np.ones(1),
    "zero-dimensional": lambda: np.array(5.0),
    "without elements": lambda: np.empty((0, 3)),
    "fortran": lambda: np.asfortranarray(numbers().reshape(10, 100)),
    "slice": lambda: numbers()[10:200:3],
    "reversed": lambda: numbers()[::-1],
    "structured": lambda: np.zeros(9, [("a", "i4"), ("b", "f8", 3)]),
    "objects": lambda: np.array([1, "two", None], object),
    "dates": lambda: np.arange("2024-01-01", "2024-02-01", dtype="M8[D]"),
    "masked": lambda: np.ma.masked_greater(numbers(), 500),
    "masked by nothing": lambda: np.ma.array(numbers()),
    "of a class of its own": lambda: numbers().view(Lengths),
    "records": lambda: np.rec.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
    "of a buffer": lambda: np.frombuffer(bytearray(80)),
}


def check_note(error):
    assert any("x = x.copy()" in note for note in error.__notes__)


@pytest.mark.parametrize("name", ARRAYS)
def test_an_input_with_one_reader_is_its_own(scheduler, name):
    seen = {}

    def made():
        array = ARRAYS[name]()
        seen["made"] = address(array)
        return array

    def written(values):
        seen["given"] = address(values)
        assert type(values) is type(ARRAYS[name]())
        return overwritten(values)

    assert delayed(written)(delayed(made)()).compute(scheduler=scheduler)
    assert seen["given"] == seen["made"]


@pytest.mark.parametrize("name", ARRAYS)
def test_an_input_with_two_readers_is_read_only(scheduler, name):
    made = delayed(ARRAYS[name])()
    first, second = delayed(overwritten)(made), delayed(overwritten)(made)
    with pytest.raises(ValueError, match="read-only") as caught:
        compute(first, second, scheduler=scheduler)
    check_note(caught.value)


@pytest.mark.parametrize("name", ARRAYS)
def test_results_are_as_they_were_made_and_writeable(scheduler, name):
    made = delayed(ARRAYS[name])()
    other = delayed(same)(made)
    for result in compute(made, other, delayed(same)(other), scheduler=scheduler):
        assert type(result) is type(ARRAYS[name]())
        assert result.flags.writeable
        np.testing.assert_array_equal(result, ARRAYS[name]())
        overwritten(result)


def test_an_input_that_is_wanted_too_is_read_only(scheduler):
    made = delayed(numbers)()
    written = delayed(negate)(made)
    with pytest.raises(ValueError, match="read-only") as caught:
        compute(made, written, scheduler=scheduler)
    check_note(caught.value)


def test_several_names_of_an_input_with_one_reader_are_its_own(scheduler):
    def add(one, other, both):
        one[...] = 1
        other += 1
        assert both[0] is both[1] is one is other
        return one.sum()

    made = delayed(numbers)(10)
    assert delayed(add)(made, made, [made, made]).compute(scheduler=scheduler) == 20


def test_a_chain_works_in_one_piece_of_memory(scheduler):
    addresses = []

    def step(values):
        addresses.append(address(values))
        values += 1
        return values

    last = delayed(numbers)()
    for _ in range(20):
        last = delayed(step)(last)
    result = last.compute(scheduler=scheduler)
    np.testing.assert_array_equal(result, numbers() + 20)
    if HAS_GIL or scheduler == "sync":
        assert {*addresses, address(result)} == {addresses[0]}


def test_a_slice_that_is_all_that_is_left_is_its_readers_own(scheduler):
    made = delayed(numbers)(10)
    sliced = delayed(lambda values: values[2:5].T)(made)
    np.testing.assert_array_equal(
        delayed(negate)(sliced).compute(scheduler=scheduler), [-2, -3, -4]
    )


@pytest.mark.parametrize(
    "part", [same, lambda x: x[1:], lambda x: x.reshape(10, -1), lambda x: x[::-1].T, np.ravel]
)
def test_who_reads_a_part_of_what_others_read_cannot_write(scheduler, part):
    made = delayed(numbers)(1000)
    reader = delayed(np.sum)(made)
    written = delayed(negate)(delayed(part)(made))
    with pytest.raises(ValueError, match="read-only") as caught:
        compute(reader, written, scheduler=scheduler)
    check_note(caught.value)


@pytest.mark.parametrize("part", [same, lambda x: x[1:], lambda x: x.reshape(10, -1)])
def test_a_part_comes_out_writeable_and_alone(scheduler, part):
    made = delayed(numbers)(1000)
    parts = [delayed(part, pure=False)(made) for _ in range(3)]
    results = compute(made, *parts, made, parts[0], scheduler=scheduler)
    for place, result in enumerate(results):
        assert result.flags.writeable
        result[...] = place
    for place, result in enumerate(results):
        assert (result == place).all()


def test_a_result_that_nobody_else_has_is_not_copied(scheduler):
    addresses = []

    def made():
        array = numbers(100_000)
        addresses.append(address(array))
        return array

    result = delayed(made)().compute(scheduler=scheduler)
    assert addresses == [address(result)]


@pytest.mark.skipif(not HAS_GIL, reason="what was given to other threads is copied")
def test_a_result_that_was_read_is_not_copied(scheduler):
    addresses = []

    def made():
        array = numbers(100_000)
        addresses.append(address(array))
        return array

    array = delayed(made)()
    result, total = compute(array, delayed(np.sum)(array), scheduler=scheduler)
    assert addresses == [address(result)]
    assert total == result.sum()


def test_results_in_containers_are_writeable_and_alone(scheduler):
    made = delayed(numbers)(10)
    pair = delayed(lambda x: (x, {"half": [x[:5], 7]}))(made)
    array, (whole, half), listed = compute(made, pair, [made, pair], scheduler=scheduler)[:3]
    arrays = [array, whole, half["half"][0], listed[0], listed[1][0]]
    assert all(one.flags.writeable for one in arrays)
    assert half["half"][1] == 7
    whole[...] = -1
    np.testing.assert_array_equal(array, numbers(10))
    np.testing.assert_array_equal(half["half"][0], numbers(5))


def test_a_task_that_is_tried_again_has_its_inputs_as_they_were(scheduler):
    from oxidask import annotate

    attempts = []

    def fails_once(values):
        attempts.append(values.flags.writeable)
        if len(attempts) == 1:
            raise OSError("once")
        return values.sum()

    made = delayed(numbers)(10)
    with annotate(retries=1):
        total = delayed(fails_once)(made)
    assert total.compute(scheduler=scheduler) == 45
    assert attempts == [False, False]


def test_arguments_are_the_users_own(scheduler):
    out = np.zeros(10)

    def fill(out, place):
        assert out.flags.writeable
        out[place] = place

    compute([delayed(fill)(out, place) for place in range(10)], scheduler=scheduler)
    np.testing.assert_array_equal(out, np.arange(10))


def test_a_returned_argument_comes_out_alone(scheduler):
    mine = numbers(10)
    results = compute(
        *[delayed(same, pure=False)(mine) for _ in range(2)],
        delayed(lambda x: x[2:])(mine),
        scheduler=scheduler,
    )
    for result in results:
        result[...] = -1
    np.testing.assert_array_equal(mine, numbers(10))


def test_values_in_a_graph_are_read_only_and_come_out_alone(scheduler):
    mine = numbers(10)
    value = delayed(mine)
    with pytest.raises(ValueError, match="read-only") as caught:
        delayed(negate)(value).compute(scheduler=scheduler)
    check_note(caught.value)
    result = value.compute(scheduler=scheduler)
    result[...] = 0
    np.testing.assert_array_equal(mine, numbers(10))


def test_values_are_not_made_arguments_by_fusing(scheduler):
    from oxidask import config

    mine = numbers(10)
    with (
        config.set({"optimization.fuse.delayed": True}),
        pytest.raises(ValueError, match="read-only"),
    ):
        delayed(negate)(delayed(mine)).compute(scheduler=scheduler)
    np.testing.assert_array_equal(mine, numbers(10))


def test_persisted_values_stay_as_they_are(scheduler):
    (kept,) = persist(delayed(numbers)(10), scheduler=scheduler)
    with pytest.raises(ValueError, match="read-only") as caught:
        delayed(negate)(kept).compute(scheduler=scheduler)
    check_note(caught.value)
    result = kept.compute(scheduler=scheduler)
    result[...] = 0
    part = delayed(same)(kept).compute(scheduler=scheduler)
    part[...] = 0
    np.testing.assert_array_equal(kept.compute(scheduler=scheduler), numbers(10))


def test_what_the_users_code_keeps_is_not_written_to(scheduler):
    kept = numbers(10)
    result = delayed(negate)(delayed(lambda: kept)()).compute(scheduler=scheduler)
    np.testing.assert_array_equal(result, -numbers(10))
    result = delayed(lambda: kept)().compute(scheduler=scheduler)
    result[...] = 7
    np.testing.assert_array_equal(kept, numbers(10))


def test_what_was_made_read_only_stays_so(scheduler):
    def frozen():
        values = numbers(10)
        values.flags.writeable = False
        return values

    made = delayed(frozen)()
    results = compute(
        made, delayed(same)(made), delayed(lambda x: x[1:])(made), scheduler=scheduler
    )
    assert [one.flags.writeable for one in results] == [False] * 3


@pytest.mark.parametrize(
    "spread",
    [
        lambda x: np.broadcast_to(x, (1000, 1000)),
        lambda x: np.lib.stride_tricks.sliding_window_view(x[::-1], 500),
    ],
)
def test_results_with_elements_that_share_memory_stay_small(scheduler, spread):
    made = delayed(numbers)(1000)
    wide = delayed(spread)(made)
    array, result = compute(made, wide, scheduler=scheduler)
    alone = wide.compute(scheduler=scheduler)
    assert (result == spread(numbers(1000))).all()
    assert (alone == result).all()
    assert not result.flags.writeable
    assert not np.shares_memory(array, result)
    for one in (result, alone):
        low, high = np.lib.array_utils.byte_bounds(one)
        assert high - low <= 8000 < one.nbytes


def test_a_mapped_file_is_left_as_it_is(scheduler, tmp_path):
    path = tmp_path / "values"
    np.arange(10).tofile(path)

    def opened():
        return np.memmap(path, dtype=int, mode="r+")

    mapped = delayed(opened)()
    result = mapped.compute(scheduler=scheduler)
    result[0] = 5
    result.flush()
    assert np.fromfile(path, int)[0] == 5


def test_a_masked_array_shares_neither_data_nor_mask(scheduler):
    made = delayed(ARRAYS["masked"])()

    def hide(values):
        values[0] = np.ma.masked

    def show(values):
        values.mask = False

    def set_fill_value(values):
        values.fill_value = 5

    for change in (hide, show):
        with pytest.raises(ValueError, match="read-only") as caught:
            compute(delayed(change)(made), delayed(np.sum)(made), scheduler=scheduler)
        check_note(caught.value)
    result, _ = compute(made, delayed(set_fill_value)(made), scheduler=scheduler)
    assert result.fill_value != 5
    result[0] = np.ma.masked
    assert result.mask[0]


def test_a_note_is_only_on_errors_of_tasks_that_were_lent_an_array(scheduler):
    def freeze():
        values = numbers(10)
        values.flags.writeable = False
        values += 1

    for task in (delayed(freeze)(), delayed(lambda x: freeze())(delayed(numbers)())):
        with pytest.raises(ValueError, match="read-only") as caught:
            task.compute(scheduler=scheduler)
        assert not any("x.copy()" in note for note in caught.value.__notes__)


def test_bytearrays_come_out_alone(scheduler):
    kept = bytearray(10)
    first, second, third = compute(
        delayed(lambda: kept)(), delayed(bytearray)(5), delayed(same)(kept), scheduler=scheduler
    )
    first[0] = third[1] = 1
    assert kept == bytearray(10)
    assert second == bytearray(5)


# ---- Frames ----


def frame():
    return pd.DataFrame({"a": np.arange(1000), "b": np.linspace(0, 1, 1000), "c": ["x"] * 1000})


def write_to(frame):
    frame.iloc[0, 0] = -1
    frame.loc[5:10, "b"] = 0.0
    frame["c"] = "y"
    frame["d"] = 1
    return int(frame["a"].iloc[0])


def test_frames_are_written_to_alone(scheduler):
    made = delayed(frame)()
    written = [delayed(write_to, pure=False)(made) for _ in range(3)]
    result, again, *rest = compute(made, delayed(same)(made), *written, scheduler=scheduler)
    assert rest == [-1] * 3
    write_to(again)
    pd.testing.assert_frame_equal(result, frame())
    series, _ = compute(made["a"], delayed(write_to)(made), scheduler=scheduler)
    pd.testing.assert_series_equal(series, frame()["a"])


def test_a_frame_with_one_reader_is_its_own(scheduler):
    seen = []

    def made():
        seen.append(frame())
        return seen.pop()

    def given(frame):
        write_to(frame)
        return frame

    result = delayed(given)(delayed(made)()).compute(scheduler=scheduler)
    assert result["a"].iloc[0] == -1


def test_frames_that_the_user_has_are_not_written_to(scheduler):
    mine = frame()
    (kept,) = persist(delayed(frame)(), scheduler=scheduler)
    assert compute(delayed(write_to)(delayed(mine)), delayed(write_to)(kept), scheduler=scheduler)
    result = delayed(lambda: mine)().compute(scheduler=scheduler)
    write_to(result)
    write_to(kept.compute(scheduler=scheduler))
    pd.testing.assert_frame_equal(mine, frame())
    pd.testing.assert_frame_equal(kept.compute(scheduler=scheduler), frame())


# ---- Who is told of results ----


def test_what_callbacks_are_told_is_not_written_to(scheduler):
    from oxidask.callbacks import Callback

    told = {}

    def keep(key, value, graph, state, thread):
        told[key] = value

    made = delayed(numbers)(10, dask_key_name="made")
    with Callback(posttask=keep):
        result = delayed(negate)(made, dask_key_name="negated").compute(scheduler=scheduler)
    np.testing.assert_array_equal(told["made"], numbers(10))
    result[...] = 0
    np.testing.assert_array_equal(told["negated"], -numbers(10))


def test_a_cache_keeps_results_as_they_were(scheduler):
    from oxidask.cache import Cache

    class Everything:
        def __init__(self):
            self.data = {}

        def put(self, key, value, cost, nbytes=None):
            self.data[key] = value

    made = delayed(numbers, pure=True)(10)
    with Cache(Everything()):
        result = delayed(negate)(made).compute(scheduler=scheduler)
        np.testing.assert_array_equal(result, -numbers(10))
        for _ in range(2):
            # Now it is a value that is there: others may read it too.
            with pytest.raises(ValueError, match="read-only"):
                delayed(negate)(made).compute(scheduler=scheduler)
            result = made.compute(scheduler=scheduler)
            np.testing.assert_array_equal(result, numbers(10))
            result[...] = 5


def test_nothing_is_kept_after_a_computation(scheduler):
    import weakref

    seen = []

    def made():
        array = numbers(10)
        seen.append(weakref.ref(array))
        return array

    made = delayed(made)()
    results = compute(made, delayed(same)(made), delayed(negate)(delayed(same)(made) + 1))
    del results
    gc.collect()
    assert [one() for one in seen] == [None]
