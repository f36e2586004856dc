"""Tasks that may run only so long: stopped when time is up, or given up with what runs them."""

import asyncio
import datetime
import gc
import os
import pickle
import threading
import time
import traceback

import pytest
from gates import wait_until

import oxidask.array
from oxidask import annotate, delayed
from oxidask.distributed import Client, LocalCluster, TimeLimitError, get_client, wait

# What stops a task may reach it in a function of which CPython cannot raise, such as one that a
# weak reference calls; it is written to `sys.stderr` then, and the task is given up a little later.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PENDING = {}

#: A limit that is up soon, in seconds.
SOON = 0.3


def inc(i):
    return i + 1


def process_id():
    return os.getpid()


def spin():
    while True:
        time.sleep(0.001)


def sleep_for_a_minute():
    time.sleep(60)


def spin_at_first(tally):
    if tally.add() == 1:
        spin()
    return "at last"


def sleep_at_first(tally):
    if tally.add() == 1:
        time.sleep(60)
    return "at last"


@pytest.fixture
def released():
    """Make an event that is set in the end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def sleep(mode, released):
    """Return a function that takes far longer than it may, without a step of Python."""

    def wait_as_long_as_the_test():
        released.wait()

    return sleep_for_a_minute if mode == "processes" else wait_as_long_as_the_test


@pytest.fixture
def client(client):
    """Wait until workers that the test before has cost are replaced, not only listed still."""
    wait_until(lambda: len(client.run(process_id, on_error="ignore")) == 2, "two workers answer")
    return client


@pytest.fixture
def one_worker(mode):
    """Start a cluster of a single thread."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=mode == "processes") as cluster,
        Client(cluster) as client,
    ):
        yield client


def late(future):
    """Return the error of a task whose time was up."""
    with pytest.raises(TimeoutError) as caught:
        future.result(timeout=60)
    assert type(caught.value) is TimeLimitError
    return caught.value


# ---- What is stopped ----


def test_a_task_that_runs_too_long_is_stopped_where_it_is(client):
    workers = client.run(process_id)
    with annotate(timeout=SOON):
        future = client.submit(spin, key="spinner", pure=False)
    error = late(future)
    assert str(error) == (
        "task 'spinner' ran longer than its limit of 0.3 s and was stopped; raise the limit, "
        "annotate(timeout=), or split the task into shorter ones"
    )
    assert (error.task, error.limit, error.did_stop) == ("spinner", SOON, True)
    assert "spin" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert client.gather(client.map(inc, range(20), pure=False)) == list(range(1, 21))
    assert client.run(process_id) == workers


def test_tasks_that_end_in_time_are_untouched(client):
    with annotate(timeout="1 minute"):
        futures = client.map(inc, range(100), pure=False)
        futures.append(client.submit(inc, 100, pure=False))
        total = delayed(sum)([delayed(inc)(i) for i in range(3)])
    assert client.gather(futures) == list(range(1, 102))
    assert client.compute(total).result() == 6
    assert total.compute(scheduler=client) == 6


def test_time_in_a_queue_does_not_count(one_worker, gate):
    first = one_worker.submit(gate.pass_through, pure=False)
    gate.wait_for_somebody()
    with annotate(timeout=2):
        futures = one_worker.map(inc, range(3), pure=False)
    time.sleep(2.5)
    gate.open()
    assert one_worker.gather(futures) == [1, 2, 3]
    wait(first)


def test_only_tasks_of_the_block_are_limited(client, gate):
    with annotate(timeout=SOON):
        limited = client.map(gate.pass_through, [1], pure=False)
        with annotate(timeout=None):
            free = client.submit(gate.pass_through, 2, pure=False)
    late(limited[0])
    gate.open()
    assert free.result(timeout=20) == 2


def test_blocks_of_arrays_are_limited(client):
    def spin_in_one_block(block):
        if block[0] == 4:
            spin()
        return block

    numbers = oxidask.array.arange(8, chunks=4)
    with annotate(timeout=2):
        slow = numbers.map_blocks(spin_in_one_block, dtype=numbers.dtype)
        fast = numbers.map_blocks(inc, dtype=numbers.dtype)
    assert fast.sum().compute(scheduler=client) == 36
    # Nor is it joined with what has no limit.
    with pytest.raises(TimeLimitError):
        (slow + 1).sum().compute(scheduler=client)
    for scheduler in ("threads", "sync"):
        with pytest.raises(NotImplementedError, match="timeout"):
            (slow + 1).sum().compute(scheduler=scheduler)


def test_what_needs_a_late_task_fails_with_it(client):
    with annotate(timeout=SOON):
        slow = delayed(spin, pure=False)()
    whole, other = client.compute([delayed(inc)(slow), delayed(inc)(1)])
    assert late(whole).task == slow.key
    assert other.result() == 2


def test_a_task_that_cleans_up_may_take_a_moment(client, tally):
    def clean_up():
        try:
            spin()
        finally:
            tally.add("c")

    with annotate(timeout=SOON):
        future = client.submit(clean_up, pure=False)
    assert late(future).did_stop
    assert tally.marks() == "c"


def test_what_a_task_raises_instead_is_the_cause(client):
    def raise_another():
        try:
            spin()
        finally:
            raise KeyError("cannot clean up")

    with annotate(timeout=SOON):
        error = late(client.submit(raise_another, pure=False))
    assert isinstance(error.__cause__, KeyError)


def test_a_value_that_comes_too_late_is_no_result(client):
    def return_late():
        try:
            spin()
        except BaseException:
            return "late"

    with annotate(timeout=SOON):
        assert late(client.submit(return_late, pure=False)).did_stop


def test_a_coroutine_is_cancelled(client, tally):
    async def sleep():
        try:
            await asyncio.sleep(600)
        finally:
            tally.add("c")

    async def hurry():
        await asyncio.sleep(0)
        return "in time"

    with annotate(timeout=SOON):
        future = client.submit(sleep, pure=False)
    with annotate(timeout=60):
        other = client.submit(hurry, pure=False)
    assert late(future).did_stop
    assert tally.marks() == "c"
    assert other.result(timeout=20) == "in time"


def test_waiting_for_other_tasks_counts(client, gate):
    def wait_for_a_child():
        return get_client().submit(gate.pass_through, pure=False).result()

    with annotate(timeout=SOON):
        future = client.submit(wait_for_a_child, pure=False)
    assert late(future).did_stop
    gate.open()
    assert client.submit(inc, 1, pure=False).result(timeout=20) == 2


def test_a_late_task_is_tried_again(client, tally):
    with annotate(timeout=1, retries=1):
        task = delayed(spin_at_first, pure=False)(tally)
    assert client.compute(task).result(timeout=60) == "at last"
    assert len(tally) == 2
    with annotate(timeout=1):
        future = client.submit(lambda: (tally.add(), spin()), retries=2, pure=False)
    late(future)
    assert len(tally) == 5


def test_a_late_task_can_be_retried(client, tally):
    with annotate(timeout=1):
        future = client.submit(spin_at_first, tally, pure=False)
    late(future)
    client.retry(future)
    assert future.result(timeout=20) == "at last"


def test_clients_elsewhere_limit_tasks_too():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1) as cluster,
        Client(cluster.scheduler_address) as client,
        annotate(timeout=SOON),
    ):
        error = late(client.submit(spin, key="far", pure=False))
    assert (error.task, error.limit) == ("far", SOON)


# ---- What does not stop ----


def test_a_task_that_sleeps_costs_its_worker(client, mode, sleep):
    before = client.run(process_id)
    with annotate(timeout=SOON):
        futures = [client.submit(sleep, pure=False) for _ in range(2)]
    for future in futures:
        error = late(future)
        assert not error.did_stop
        assert "did not stop" in str(error)
        assert future.key in str(error)
    assert client.gather(client.map(inc, range(20), pure=False)) == list(range(1, 21))
    client.wait_for_workers(2, timeout=30)
    if mode == "processes":
        wait_until(
            lambda: not set(before.values()) & set(client.run(process_id).values()),
            "others are in their place",
        )


def test_a_task_that_takes_no_notice_is_given_up(one_worker, gate):
    def take_no_notice():
        while not gate.path.exists():
            try:
                spin_until(gate)
            except BaseException:
                gate.seen.touch()

    def spin_until(gate):
        while not gate.path.exists():
            time.sleep(0.001)

    with annotate(timeout=SOON):
        error = late(one_worker.submit(take_no_notice, pure=False))
    assert gate.seen.exists()
    assert not error.did_stop
    # The only thread of the only worker has somebody in its place.
    assert one_worker.submit(inc, 1, pure=False).result(timeout=20) == 2


def test_a_coroutine_that_blocks_is_given_up(one_worker, sleep):
    async def block():
        sleep()

    with annotate(timeout=SOON):
        assert not late(one_worker.submit(block, pure=False)).did_stop
    assert one_worker.submit(inc, 1, pure=False).result(timeout=20) == 2


def workers():
    """Return how many threads of this process run tasks."""
    names = [thread.name for thread in threading.enumerate()]
    return sum(name.startswith("oxidask-worker") for name in names)


def test_a_task_that_waits_for_others_and_takes_no_notice_is_given_up(one_worker, mode, gate):
    def take_no_notice():
        while True:
            try:
                return get_client().submit(gate.pass_through).result()
            except BaseException:
                if gate.path.exists():
                    raise

    before = workers()
    with annotate(timeout=SOON):
        future = one_worker.submit(take_no_notice, pure=False)
    assert not late(future).did_stop
    assert one_worker.submit(inc, 1, pure=False).result(timeout=20) == 2
    gate.open()
    if mode == "threads":
        wait_until(lambda: workers() == before, "all threads leave but one")
    assert one_worker.gather(one_worker.map(inc, range(20), pure=False)) == list(range(1, 21))


def test_a_thread_that_comes_back_is_of_no_more_use(released):
    """What its task returns in the end changes nothing, and it leaves."""
    with Client(n_workers=1, threads_per_worker=1, processes=False) as client:
        before = workers()
        with annotate(timeout=SOON):
            futures = [client.submit(released.wait, pure=False) for _ in range(2)]
        for future in futures:
            assert not late(future).did_stop
        assert workers() == before + 2
        released.set()
        wait_until(lambda: workers() == before, "two threads leave")
        assert [future.status for future in futures] == ["error", "error"]
        assert client.gather(client.map(inc, range(20), pure=False)) == list(range(1, 21))
        del futures, future
        gc.collect()
        wait_until(lambda: not any(client.scheduler_info()["tasks"].values()), "all is forgotten")


def test_a_task_that_costs_its_worker_is_tried_again(tally):
    with (
        Client(n_workers=2, threads_per_worker=1) as client,
        annotate(timeout=2),
    ):
        future = client.submit(sleep_at_first, tally, retries=1, pure=False)
        assert future.result(timeout=60) == "at last"
    assert len(tally) == 2


def test_those_beside_a_task_that_ends_its_worker_are_not_blamed(gate, tally):
    def pass_through(tally, gate):
        tally.add()
        return gate.pass_through("innocent")

    with (
        oxidask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=1, threads_per_worker=3) as cluster,
        Client(cluster) as client,
    ):
        beside = [client.submit(pass_through, tally, gate, pure=False) for _ in range(2)]
        wait_until(lambda: len(tally) == 2, "both run")
        with annotate(timeout=SOON):
            stuck = client.submit(time.sleep, 60, pure=False)
        behind = client.map(inc, range(20), pure=False)
        assert not late(stuck).did_stop
        # At the same time: suspects would run one by one.
        wait_until(lambda: len(tally) == 4, "both run again")
        gate.open()
        assert client.gather(beside) == ["innocent"] * 2
        assert client.gather(behind) == list(range(1, 21))


def test_results_of_a_worker_that_was_ended_are_made_again():
    with Client(n_workers=1, threads_per_worker=1) as client:
        made = client.submit(lambda: [object()], pure=False)  # A live object: it stays there.
        wait(made)
        with annotate(timeout=SOON):
            late(client.submit(time.sleep, 60, pure=False))
        assert client.submit(len, made).result(timeout=20) == 1


def test_a_cancelled_task_keeps_its_worker_no_longer_than_it_may(one_worker, sleep):
    with annotate(timeout=SOON):
        future = one_worker.submit(sleep, pure=False)
    wait_until(lambda: one_worker.scheduler_info()["tasks"]["processing"] == 1, "it runs")
    future.cancel()
    assert one_worker.submit(inc, 1, pure=False).result(timeout=20) == 2


# ---- What may be said ----


@pytest.mark.parametrize(
    "timeout",
    [
        *(0, -1, 0.0, "0s", "-1s", float("nan"), float("inf"), 1e300, 10**400, True, False),
        *("", "tomorrow", "10 parsecs", [], b"10s", abs, datetime.timedelta(seconds=1)),
    ],
    ids=repr,
)
def test_what_is_no_time_is_refused(timeout):
    with pytest.raises(ValueError, match="give seconds above 0 or text such as '10s'") as caught:
        annotate(timeout=timeout).__enter__()
    assert repr(timeout) in str(caught.value)


def test_times_are_read_as_elsewhere():
    for timeout in (1, 0.25, "10s", "5 minutes", "10", "300ms"):
        with annotate(timeout=timeout):
            assert oxidask.get_annotations() == {"timeout": timeout}


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_where_nobody_stops_tasks_a_limit_is_refused(scheduler):
    with annotate(timeout=60):
        task = delayed(inc, name="inc")(1)
    for lazy in (task, delayed(inc)(task)):
        with pytest.raises(NotImplementedError, match="scheduler='processes'") as caught:
            lazy.compute(scheduler=scheduler)
        assert repr(task.key) in str(caught.value)


def test_processes_for_collections_keep_limits():
    with annotate(timeout=SOON):
        slow = delayed(spin, pure=False)()
    with annotate(timeout=60):
        fast = delayed(inc)(1)
    assert fast.compute(scheduler="processes", num_workers=1) == 2
    with pytest.raises(TimeLimitError):
        slow.compute(scheduler="processes", num_workers=1)
    oxidask._processes.close()


def test_tasks_with_limits_are_not_joined():
    """Two tasks of ten seconds each are no task of ten seconds."""
    with annotate(timeout=10):
        chain = delayed(inc)(delayed(inc)(1))
    with oxidask.config.set({"optimization.fuse.delayed": True}):
        (optimized,) = oxidask.optimize(chain)
    assert len(optimized.__dask_graph__()) == 2


def test_the_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(TimeLimitError("key", 10.0, False)))
    assert (error.task, error.limit, error.did_stop) == ("key", 10.0, False)
    assert isinstance(error, oxidask.OxidaskError)
