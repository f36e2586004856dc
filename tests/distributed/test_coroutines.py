"""Tasks that are coroutines."""

import asyncio
import contextvars
import threading
import time
import traceback

import pytest

from oxidask import delayed
from oxidask.distributed import CancelledError, Client, LocalCluster


async def later(x):
    await asyncio.sleep(0)
    return x + 1


def test_the_result_of_a_coroutine_is_the_task_s(client):
    assert client.submit(later, 1).result() == 2
    assert client.gather(client.map(later, range(20))) == list(range(1, 21))
    assert client.submit(sum, client.map(later, range(3))).result() == 6


def test_lazy_calls_of_async_functions_are_tasks(client):
    lazy = delayed(later)(delayed(later)(1))
    assert lazy.compute() == 3
    assert client.compute(lazy).result() == 3


def test_anything_that_gives_a_coroutine_may_be_called(client):
    class Adder:
        async def __call__(self, x):
            return await later(x)

    assert client.submit(Adder(), 1).result() == 2
    assert client.submit(lambda x: later(x), 1).result() == 2


def test_run_waits_for_coroutines(client):
    assert set(client.run(later, 1).values()) == {2}


def test_an_error_comes_with_the_users_frames_only(client):
    async def inner():
        await asyncio.sleep(0)
        raise ValueError("no")

    async def outer():
        await inner()

    future = client.submit(outer)
    with pytest.raises(ValueError, match="no") as raised:
        future.result()
    names = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert names[-2:] == ["outer", "inner"]
    assert "_run" not in names
    assert future.key in raised.value.__notes__[0]


def test_an_exit_in_a_coroutine_does_not_end_the_event_loop(client):
    async def leave():
        raise SystemExit(3)

    assert client.submit(leave).exception() is not None
    assert client.submit(later, 1).result() == 2


def test_coroutines_of_a_worker_share_an_event_loop():
    async def loop_of(_):
        await asyncio.sleep(0)
        return id(asyncio.get_running_loop()), threading.current_thread().name

    with (
        LocalCluster(n_workers=1, threads_per_worker=3, processes=False) as cluster,
        Client(cluster) as client,
    ):
        assert not [one for one in threading.enumerate() if one.name == "oxidask-event-loop"]
        places = set(client.gather(client.map(loop_of, range(20))))
        assert len(places) == 1
        assert {name for _, name in places} == {"oxidask-event-loop"}


def test_a_coroutine_keeps_its_slot(gate, tally):
    async def stand():
        tally.add()
        while not gate.path.exists():
            await asyncio.sleep(0.002)

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
        Client(cluster) as client,
    ):
        futures = [client.submit(stand, pure=False) for _ in range(3)]
        while not len(tally):
            time.sleep(0.002)
        assert len(tally) == 1
        gate.open()
        client.gather(futures)
        assert len(tally) == 3


def test_cancelling_the_task_cancels_the_coroutine(client, gate, tally):
    async def stand():
        tally.add("a")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            tally.add("b")
            raise

    future = client.submit(stand)
    while not len(tally):
        time.sleep(0.002)
    future.cancel()
    with pytest.raises(CancelledError):
        future.result()
    while tally.marks() != "ab":
        time.sleep(0.002)
    assert client.gather(client.map(later, range(4))) == [1, 2, 3, 4]


def test_a_coroutine_that_blocks_does_not_hold_up_the_next(client, gate):
    async def block():
        return gate.pass_through("blocked")

    async def open_it():
        await asyncio.sleep(0)
        gate.open()

    blocked = [client.submit(block)]
    gate.wait_for_somebody()
    client.submit(open_it).result()
    assert client.gather(blocked) == ["blocked"]


def test_variables_of_the_context_are_a_coroutines_own():
    variable = contextvars.ContextVar("variable", default=0)

    async def change(x):
        before = variable.get()
        variable.set(x)
        await asyncio.sleep(0.001)
        return before, variable.get()

    with Client(n_workers=1, threads_per_worker=2, processes=False) as client:
        assert client.gather(client.map(change, range(1, 6))) == [(0, x) for x in range(1, 6)]


def test_a_cluster_that_closes_ends_its_coroutines(tally):
    async def stand():
        tally.add("a")
        try:
            await asyncio.Event().wait()
        finally:
            tally.add("b")

    with LocalCluster(n_workers=1, processes=False) as cluster, Client(cluster) as client:
        future = client.submit(stand)
        while not len(tally):
            time.sleep(0.002)
        assert future.status == "pending"
    while tally.marks() != "ab":
        time.sleep(0.002)


@pytest.mark.parametrize("processes", [False, True])
def test_a_coroutine_that_waits_for_tasks_lends_its_slot(processes):
    async def both(x):
        from oxidask.distributed import get_client

        client = get_client()
        first = await client.submit(later, x)
        return first + client.submit(later, 10 * x).result() + sum(client.gather([x, x]))

    with Client(n_workers=1, threads_per_worker=1, processes=processes) as client:
        assert client.gather(client.map(both, range(1, 4))) == [15, 28, 41]
