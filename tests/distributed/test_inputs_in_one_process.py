"""Inputs of tasks whose workers are threads of one process: who may write to them."""

import numpy as np
import pytest

from oxidask import delayed
from oxidask.distributed import Client, LocalCluster, wait


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, processes=False) as cluster,
        Client(cluster) as client,
    ):
        yield client


def numbers(size=1000):
    return np.arange(float(size))


def same(value):
    return value


def negate(values):
    values *= -1
    return values


def address(array):
    return array.__array_interface__["data"][0]


def check_read_only(future):
    with pytest.raises(ValueError, match="read-only") as caught:
        future.result()
    assert any("x = x.copy()" in note for note in caught.value.__notes__)


def test_a_chain_inside_a_graph_works_in_one_piece_of_memory(client):
    addresses = []

    def made():
        array = numbers()
        addresses.append(address(array))
        return array

    def step(values):
        addresses.append(address(values))
        values += 1
        return addresses and values

    last = delayed(made)()
    for _ in range(10):
        last = delayed(step)(last)
    result = client.compute(last, sync=True)
    np.testing.assert_array_equal(result, numbers() + 10)
    assert addresses[0] == addresses[1]
    assert len(addresses) == 11


def test_an_input_inside_a_graph_with_two_readers_is_read_only(client):
    made = delayed(numbers)()
    first, second = client.compute([delayed(negate, pure=False)(made) for _ in range(2)])
    check_read_only(first)
    check_read_only(second)


def test_an_input_that_was_dropped_is_the_readers_own(client):
    from threading import Event

    may_go = Event()

    def held_up():
        may_go.wait(60)
        return numbers(10)

    source = client.submit(held_up)
    future = client.submit(negate, source)
    assert source.status == "pending"
    source.release()
    may_go.set()
    np.testing.assert_array_equal(future.result(), -numbers(10))


def test_an_input_whose_future_is_held_is_read_only(client):
    source = client.submit(numbers, 10, pure=False)
    check_read_only(client.submit(negate, source))
    np.testing.assert_array_equal(source.result(), numbers(10))


def test_a_second_reader_that_comes_later_cannot_write(client):
    source = client.submit(numbers, 10, pure=False)
    total = client.submit(np.sum, source)
    wait(total)
    part = client.submit(same, source)
    wait(part)
    future = client.submit(negate, part)
    part.release()
    source.release()
    check_read_only(future)


def test_a_task_that_is_tried_again_has_its_inputs_as_they_were(client):
    seen = []

    def fails_once(values):
        seen.append(values.flags.writeable)
        if len(seen) == 1:
            raise OSError("once")
        return float(values.sum())

    made = delayed(numbers)(10)
    total = client.compute(delayed(fails_once)(made), retries=1)
    assert total.result() == 45
    assert seen == [False, False]


def test_parts_come_out_writeable_and_alone(client):
    source = client.submit(numbers, 1000, pure=False)
    parts = [client.submit(np.reshape, source, (10, 100)), client.submit(same, source)]
    pair = client.submit(lambda x: [x, (x[3:],)], source)
    results = [*client.gather(parts), *client.gather([source] * 2), source.result()]
    listed = pair.result()
    results += [listed[0], listed[1][0]]
    for place, result in enumerate(results):
        assert result.flags.writeable
        result[...] = place
    for place, result in enumerate(results):
        assert (result == place).all()
    np.testing.assert_array_equal(source.result(), numbers(1000))


def test_arguments_are_the_users_own(client):
    out = np.zeros(10)

    def fill(out, place):
        out[place] = place

    client.gather([client.submit(fill, out, place, pure=False) for place in range(10)])
    np.testing.assert_array_equal(out, np.arange(10))
    result = client.submit(same, out, pure=False).result()
    result[...] = -1
    np.testing.assert_array_equal(out, np.arange(10))


def test_scattered_values_are_as_they_were(client):
    mine = numbers(10)
    frozen = numbers(11)
    frozen.flags.writeable = False
    first, second = client.scatter([mine, frozen])
    mine[...] = 7
    for future, size in ((first, 10), (second, 11)):
        np.testing.assert_array_equal(future.result(), numbers(size))
        np.testing.assert_array_equal(client.submit(same, future).result(), numbers(size))
    check_read_only(client.submit(negate, first))
    assert [one.result().flags.writeable for one in (first, second)] == [True, False]


def test_persisted_values_stay_as_they_are(client):
    kept = client.persist(delayed(numbers)(10))
    check_read_only(client.compute(delayed(negate)(kept)))
    np.testing.assert_array_equal(kept.compute(), numbers(10))


def test_values_in_a_graph_are_read_only(client):
    mine = numbers(10)
    check_read_only(client.compute(delayed(negate)(delayed(mine))))
    result = client.compute(delayed(mine), sync=True)
    result[...] = 0
    np.testing.assert_array_equal(mine, numbers(10))
