"""Clients and clusters begin, end, and begin again; clients inside event loops."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading

import pytest
from gates import wait_until

from oxidask import delayed
from oxidask.distributed import CancelledError, Client, LocalCluster, as_completed, get_client, wait


def inc(i):
    return i + 1


def fail(message):
    raise ValueError(message)


@pytest.fixture(params=[False, True], ids=["threads", "processes"])
def processes(request):
    return request.param


# ---- Ending, in every order ----


@pytest.mark.parametrize("client_first", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_client_and_cluster_end_in_any_order_and_twice(processes, client_first, times):
    cluster = LocalCluster(processes=processes, n_workers=1)
    client = Client(cluster)
    future = client.submit(inc, 1)
    assert future.result() == 2
    for one in (client, cluster) if client_first else (cluster, client):
        for _ in range(times):
            one.close()
    pending = future.status
    assert pending in ("finished", "cancelled")
    with pytest.raises(CancelledError):
        client.submit(inc, 2)


def test_waiting_for_a_cluster_that_ends_says_so(processes, gate):
    with Client(processes=processes, n_workers=1) as client:
        future = client.submit(gate.pass_through)
        gate.wait_for_somebody()
        threading.Timer(0.1, client.cluster.close).start()
        with pytest.raises(CancelledError, match="closed"):
            future.result()
        gate.open()


def test_shutdown_ends_a_cluster_that_somebody_else_started(processes):
    cluster = LocalCluster(processes=processes, n_workers=1)
    client = Client(cluster)
    client.shutdown()
    client.shutdown()
    assert cluster.status == client.status == "closed"


def test_many_threads_end_one_client(processes):
    client = Client(processes=processes, n_workers=1)
    threads = [threading.Thread(target=client.close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.status == "closed"


@pytest.mark.parametrize("how", ["", "client.close()", "client.cluster.close()", "del client"])
def test_a_program_that_ends_leaves_nothing(processes, how, folder_of_clusters):
    program = f"""
        import atexit
        from oxidask.distributed import Client

        def say_goodbye():
            print("goodbye", client.status if "client" in globals() else "gone")

        atexit.register(say_goodbye)
        client = Client(processes={processes}, n_workers=1)
        print(client.submit(abs, -1).result())
        {how}
    """
    code = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(code, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "1"
    assert list(folder_of_clusters.glob("oxidask-*")) == []


def test_a_client_in_a_task_does_not_disturb_the_outer_one(processes):
    def inner():
        outer = get_client()
        with Client(processes=False, n_workers=1) as own:
            mine = own.submit(inc, 1).result()
        assert get_client() is outer
        return mine, get_client().submit(inc, 2).result(), delayed(inc)(3).compute()

    with Client(processes=processes, n_workers=1, threads_per_worker=1) as client:
        assert client.submit(inner).result() == (2, 3, 4)
        assert get_client() is client
        assert delayed(inc)(4).compute() == 5


# ---- Beginning again ----


def test_restart_cancels_all_and_makes_new_processes(gate):
    with Client(n_workers=2, threads_per_worker=1) as client:
        before = {one["pid"] for one in client.scheduler_info()["workers"].values()}
        done = client.submit(inc, 1)
        busy = client.submit(gate.pass_through)
        wait(done)
        gate.wait_for_somebody()
        assert client.restart() is client
        after = {one["pid"] for one in client.scheduler_info()["workers"].values()}
        assert len(after) == 2
        assert not after & before
        assert (done.status, busy.status) == ("cancelled", "cancelled")
        with pytest.raises(CancelledError, match="restarted"):
            busy.result()
        assert client.submit(inc, 1).result() == 2


def test_restarted_workers_lose_no_results_and_no_work(gate):
    with Client(n_workers=1, threads_per_worker=1) as client:
        kept = client.submit(list, [1, 2])
        wait(kept)
        running = client.submit(gate.pass_through, 5)
        gate.wait_for_somebody()
        (name,) = client.scheduler_info()["workers"]
        assert client.restart_workers([name]) == {name: "OK"}
        gate.open()
        assert running.result() == 5
        assert kept.result() == [1, 2]


def test_restart_names_unknown_workers():
    with (
        Client(n_workers=1) as client,
        pytest.raises(ValueError, match="no worker 'nobody'"),
    ):
        client.restart_workers(["nobody"])


def test_threads_cannot_be_restarted_but_their_work_is_cancelled(gate):
    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        future = client.submit(gate.pass_through)
        gate.wait_for_somebody()
        with pytest.raises(NotImplementedError, match="processes=True"):
            client.restart()
        assert future.status == "cancelled"
        assert client.submit(inc, 1).result() == 2


def test_a_worker_that_dies_while_it_starts_is_replaced():
    """Killed before it has joined, again and again."""
    with Client(n_workers=1, threads_per_worker=1) as client:
        for _ in range(5):
            client.restart(wait_for_workers=False)
            client.restart(wait_for_workers=False)
        client.wait_for_workers(1, timeout=30)
        assert client.submit(inc, 1).result(timeout=30) == 2


# ---- In event loops ----


def test_an_asynchronous_client(processes):
    async def main():
        async with Client(asynchronous=True, processes=processes, n_workers=1) as client:
            assert client.asynchronous
            future = client.submit(inc, 1)
            assert await future == 2
            assert await future.result() == 2
            futures = client.map(inc, range(5))
            assert await client.gather({"a": futures}) == {"a": [1, 2, 3, 4, 5]}
            failed = client.submit(fail, "no")
            with pytest.raises(ValueError, match="no"):
                await failed
            assert isinstance(await failed.exception(), ValueError)
            with pytest.raises(ValueError, match="no"):
                await client.gather([*futures, failed])
            assert await client.gather([*futures[:1], failed], errors="skip") == [1]
            done, not_done = await wait(futures)
            assert (len(done), len(not_done)) == (5, 0)
            seen = [await one async for one in as_completed(client.map(inc, [5, 6]))]
            assert sorted(seen) == [6, 7]
            (number,) = (await client.run(os.getpid)).values()
            assert number > 0
            assert await client.compute(delayed(inc)(1), sync=True) == 2
            assert await client.submit(list, range(3)) == [0, 1, 2]
            (scattered,) = await client.scatter([[1, 2]])
            assert await client.submit(sum, scattered) == 3
        assert client.status == "closed"

    asyncio.run(main())


def test_an_asynchronous_client_is_made_and_closed_by_await():
    async def main():
        cluster = await LocalCluster(processes=False, n_workers=1, asynchronous=True)
        client = await Client(cluster, asynchronous=True)
        assert await client.submit(inc, 1) == 2
        await client.close()
        await cluster.close()
        assert cluster.status == "closed"
        async with LocalCluster(processes=False, n_workers=1) as other:
            assert other.status == "running"
        assert other.status == "closed"

    asyncio.run(main())


def test_the_loop_goes_on_while_futures_are_awaited(gate):
    async def main():
        async with Client(asynchronous=True, processes=False, n_workers=1) as client:
            futures = [client.submit(gate.pass_through, 5, key=f"gate-{i}") for i in range(50)]
            waits = [asyncio.ensure_future(future.result()) for future in futures]
            await asyncio.sleep(0.01)
            gate.open()
            assert await asyncio.gather(*waits) == [5] * 50

    asyncio.run(main())


def test_waiting_too_long_is_told_in_a_loop(gate):
    async def main():
        async with Client(asynchronous=True, processes=False, n_workers=1) as client:
            future = client.submit(gate.pass_through)
            with pytest.raises(TimeoutError, match="not there after"):
                await future.result(timeout=0.05)
            gate.open()
            await future

    asyncio.run(main())


def test_an_asynchronous_client_is_for_async_with():
    async def main():
        client = await Client(asynchronous=True, processes=False, n_workers=1)
        with pytest.raises(TypeError, match="async with"), client:
            pass
        await client.close()

    asyncio.run(main())


def test_blocking_clients_work_while_a_loop_runs(processes):
    async def main():
        with Client(processes=processes, n_workers=1) as client:
            assert client.submit(inc, 1).result() == 2
            assert client.gather(client.map(inc, [1, 2])) == [2, 3]
            assert await client.submit(inc, 3) == 4
            assert delayed(inc)(4).compute() == 5

    asyncio.run(main())
    wait_until(lambda: threading.active_count() < 50, "threads end")


def test_what_was_cancelled_runs_when_it_is_submitted_again(client, gate):
    first = client.submit(gate.pass_through, 1)
    gate.wait_for_somebody()
    first.cancel()
    with pytest.raises(CancelledError):
        first.result()
    gate.open()
    assert client.submit(gate.pass_through, 1).result() == 1
