"""Future, wait and as_completed: how one sees that a task has ended, and in what way."""

import asyncio
import copy
import gc
import pickle
import signal
import threading
import time
import traceback
import weakref
from random import Random

import pytest
from gates import wait_until

from oxidask.distributed import CancelledError, Client, Future, as_completed, futures_of, wait

PENDING = {}


def inc(i):
    return i + 1


def fail(message="no"):
    raise ValueError(message)


def fail_if(is_bad):
    if is_bad:
        raise ValueError("bad")
    return "good"


# ---- Ends ----


def test_a_future_tells_how_its_task_goes(client, gate):
    future = client.submit(gate.pass_through, "through")
    assert future.status == "pending"
    assert not future.done()
    assert repr(future) == f"<Future: pending, key: {future.key}>"
    gate.open()
    assert future.result() == "through"
    assert future.status == "finished"
    assert future.done()
    assert not future.cancelled()
    assert future.type is str
    assert future.client is client
    assert "finished" in future._repr_html_()


def test_a_result_may_be_asked_for_again(client):
    future = client.submit(inc, 1)
    assert [future.result() for _ in range(3)] == [2, 2, 2]


def test_an_error_is_raised_as_it_was_raised(client):
    future = client.submit(fail, "just so")
    with pytest.raises(ValueError, match="just so") as caught:
        future.result()
    assert future.status == "error"
    assert future.done()
    assert any(future.key in note for note in caught.value.__notes__)
    shown = "".join(traceback.format_exception(caught.value))
    assert "raise ValueError(message)" in shown
    assert "in fail" in shown


def test_an_error_may_be_asked_for_without_raising_it(client):
    future = client.submit(fail, "quietly")
    error = future.exception()
    assert isinstance(error, ValueError)
    assert str(error) == "quietly"
    names = [frame.name for frame in traceback.extract_tb(future.traceback())]
    assert "fail" in names


def test_raising_an_error_again_does_not_change_it(client):
    future = client.submit(fail, "the same")
    for _ in range(3):
        with pytest.raises(ValueError, match="the same") as caught:
            future.result()
    assert len(caught.value.__notes__) == 1
    frames = traceback.extract_tb(future.traceback())
    assert [frame.name for frame in frames].count("fail") == 1


def test_a_finished_future_has_no_error(client):
    future = client.submit(inc, 1)
    assert future.exception() is None
    assert future.traceback() is None


@pytest.mark.parametrize("ask", ["result", "exception", "traceback"])
@pytest.mark.parametrize("timeout", [0.02, "20ms", 0])
def test_waiting_ends_in_time(client, gate, ask, timeout):
    future = client.submit(gate.pass_through)
    with pytest.raises(TimeoutError, match="the task goes on"):
        getattr(future, ask)(timeout=timeout)
    gate.open()
    assert future.result(timeout="20s") is None


def test_a_time_that_cannot_be_read_is_named(client):
    with pytest.raises(ValueError, match="soon"):
        client.submit(inc, 1).result(timeout="soon")


def test_cancelled_futures_say_so(client, gate):
    future = client.submit(gate.pass_through)
    future.cancel()
    with pytest.raises(CancelledError, match="was cancelled"):
        future.result()
    assert isinstance(future.exception(), CancelledError)
    assert future.cancelled()
    assert future.status == "cancelled"
    assert repr(future).startswith("<Future: cancelled")


def test_retry_of_a_future(client, tally):
    def fail_once():
        if tally.add() == 1:
            raise ValueError("once")
        return "fine"

    future = client.submit(fail_once, pure=False)
    wait(future)
    future.retry()
    assert future.result() == "fine"


# ---- Callbacks ----


def test_callbacks_are_called_with_the_future_when_it_is_done(client, gate):
    future = client.submit(gate.pass_through, 5)
    called = threading.Event()
    seen = []

    def see(done):
        seen.append((done is future, done.done(), threading.current_thread().name))
        called.set()

    future.add_done_callback(see)
    assert not seen
    gate.open()
    assert called.wait(20)
    assert seen == [(True, True, "oxidask-callbacks")]


@pytest.mark.parametrize("function", [inc, fail])
def test_callbacks_of_done_futures_are_called_too(client, function):
    future = client.submit(function, 1)
    wait(future)
    called = threading.Event()
    future.add_done_callback(lambda _: called.set())
    assert called.wait(20)


def test_a_callback_that_raises_is_logged_and_the_next_is_called(client, caplog):
    future = client.submit(inc, 1)
    called = threading.Event()
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda _: called.set())
    assert called.wait(20)
    wait_until(lambda: "ZeroDivisionError" in caplog.text, "the error is logged")


def test_callbacks_may_submit_and_wait(client):
    results = []
    called = threading.Event()

    def more(future):
        results.append(client.submit(inc, future.result()).result())
        called.set()

    client.submit(inc, 1).add_done_callback(more)
    assert called.wait(20)
    assert results == [3]


# ---- Keeping and releasing ----


def test_a_result_goes_with_its_last_future(client, mode):
    made = []

    class Thing:
        pass

    def make():
        thing = Thing()
        made.append(weakref.ref(thing))
        return thing

    if mode == "processes":
        pytest.skip("weak references do not cross processes; see the kept objects below")
    future = client.submit(make, pure=False)
    wait(future)
    assert made[0]() is not None
    del future
    wait_until(lambda: gc.collect() is not None and made[0]() is None, "the result is dropped")


def test_a_copied_future_keeps_the_result(client):
    future = client.submit(list, [1, 2])
    copied = copy.copy(future)
    del future
    assert copied.result() == [1, 2]


def test_released_results_leave_the_workers(client, tmp_path):
    class Flagged:
        """Leaves a file when it goes."""

        def __init__(self, path):
            self.path = path

        def __del__(self):
            open(self.path, "w").close()

    def make(path):
        return [Flagged(path)]

    flag = tmp_path / "gone"
    future = client.submit(make, flag, pure=False)
    wait(future)
    assert not flag.exists()
    del future
    wait_until(flag.exists, "the worker drops the result")


def test_release_drops_the_reference(client, gate, tally):
    busy = [client.submit(gate.pass_through, i, pure=False) for i in range(2)]
    gate.wait_for_somebody()
    future = client.submit(tally.add)
    future.release()
    gate.open()
    wait(busy)
    last = client.submit(inc, 1)
    last.result()
    assert len(tally) == 0


def test_results_are_kept_for_what_needs_them(client, gate):
    first = client.submit(list, [1, 2])
    wait(first)
    second = client.submit(gate.pass_through, first)
    del first
    gate.open()
    assert second.result() == [1, 2]


def test_futures_of_one_task_are_equal(client):
    one, other = client.submit(inc, 1), client.submit(inc, 1)
    assert one == other
    assert hash(one) == hash(other)
    assert one != client.submit(inc, 2)
    assert one != "inc"
    assert len({one, other}) == 1


def test_a_pickled_future_is_the_same_task(client):
    future = client.submit(inc, 1)
    again = pickle.loads(pickle.dumps(future))
    assert isinstance(again, Future)
    assert again.key == future.key
    del future
    gc.collect()
    assert again.result() == 2


def test_a_future_travels_to_a_task_and_back(client):
    box = client.submit(lambda: [client_inside().submit(inc, 1)])
    (future,) = box.result()
    assert future.result() == 2


def client_inside():
    from oxidask.distributed import get_client

    return get_client()


def test_a_future_of_a_closed_client_says_so(cluster):
    with Client(cluster) as client:
        done = client.submit(inc, 1)
        wait(done)
        gate_kept = client.submit(inc, 5)
    for future in (done, gate_kept):
        try:
            assert future.result() in (2, 6)
        except CancelledError as error:
            assert "client was closed" in str(error)  # noqa: PT017


def test_futures_of_different_clients_are_not_mixed(cluster):
    with Client(cluster) as one, Client(cluster) as other:
        future = one.submit(inc, 1)
        with pytest.raises(ValueError, match="Future of another Client"):
            other.submit(inc, future)
        with pytest.raises(ValueError, match="Future of another Client"):
            other.gather([future])


def test_futures_of_finds_each_once(client):
    x, y = client.submit(inc, 1), client.submit(inc, 2)
    assert futures_of([x, {"a": (y, x)}, 5]) == [x, y]
    assert client.futures_of([]) == []


# ---- wait ----


def test_wait_returns_what_is_done_and_what_is_not(client):
    futures = [client.submit(inc, 1), client.submit(fail)]
    done, not_done = wait(futures)
    assert done == set(futures)
    assert not_done == set()
    assert wait(futures[0]).done == {futures[0]}
    assert wait([]).done == set()


def test_wait_for_the_first(client, gate):
    slow = client.submit(gate.pass_through)
    fast = client.submit(inc, 1)
    result = wait([slow, fast], return_when="FIRST_COMPLETED")
    assert result.done == {fast}
    assert result.not_done == {slow}


def test_wait_ends_in_time(client, gate):
    slow = client.submit(gate.pass_through)
    fast = client.submit(inc, 1)
    wait(fast)
    with pytest.raises(TimeoutError, match=r"1 of 2 futures are not done after 0\.02 s"):
        wait([slow, fast], timeout="20ms")


def test_wait_knows_two_ways(client):
    with pytest.raises(NotImplementedError, match="return_when='FIRST_EXCEPTION'"):
        wait(client.submit(inc, 1), return_when="FIRST_EXCEPTION")


# ---- as_completed ----


def test_as_completed_follows_the_order_of_ends(client, gate):
    slow = client.submit(gate.pass_through)
    fast = client.submit(inc, 1)
    completed = as_completed([slow, fast])
    assert next(completed) == fast
    assert completed.count() == 1
    assert not completed.is_empty()
    gate.open()
    assert list(completed) == [slow]
    assert completed.is_empty()


def test_futures_may_be_added_while_iterating(client):
    completed = as_completed([client.submit(inc, 0)])
    results = []
    for future in completed:
        results.append(future.result())
        if len(results) < 5:
            completed.add(client.submit(inc, results[-1]))
    assert results == [1, 2, 3, 4, 5]
    completed.update(client.map(inc, range(3)))
    assert sorted(future.result() for future in completed) == [1, 2, 3]


def test_a_future_that_is_added_twice_comes_twice(client):
    future = client.submit(inc, 1)
    completed = as_completed([future, future])
    completed.add(future)
    assert list(completed) == [future] * 3


def test_as_completed_with_results(client):
    futures = client.map(inc, range(5))
    pairs = list(as_completed(futures, with_results=True))
    assert sorted(result for _, result in pairs) == [1, 2, 3, 4, 5]
    assert all(future.result() == result for future, result in pairs)


def test_as_completed_raises_errors_or_yields_them(client):
    futures = client.map(fail_if, [False, True])
    with pytest.raises(ValueError, match="bad"):
        list(as_completed(futures, with_results=True))
    yielded = dict(as_completed(futures, with_results=True, raise_errors=False))
    assert yielded[futures[0]] == "good"
    kind, error, trace = yielded[futures[1]]
    assert kind is ValueError
    assert str(error) == "bad"
    assert trace is not None
    assert {future.status for future in as_completed(futures)} == {"finished", "error"}


def test_as_completed_in_batches(client):
    futures = client.map(inc, range(20))
    batches = list(as_completed(futures).batches())
    assert sorted(future.result() for batch in batches for future in batch) == list(range(1, 21))
    assert all(batches)
    wait(futures)
    (batch,) = as_completed(futures, with_results=True).batches()
    assert sorted(result for _, result in batch) == list(range(1, 21))


def test_as_completed_ends_in_time(client, gate):
    completed = as_completed([client.submit(gate.pass_through)], timeout=0.02)
    with pytest.raises(TimeoutError, match="1 futures are not done"):
        next(completed)


def test_as_completed_of_nothing_ends_at_once():
    assert list(as_completed()) == []
    assert list(as_completed([])) == []


def test_as_completed_takes_futures_only(client):
    with pytest.raises(TypeError, match="a Future is needed, not 5"):
        as_completed([5])


def test_as_completed_may_be_cleared(client, gate):
    completed = as_completed([client.submit(gate.pass_through)])
    completed.clear()
    assert list(completed) == []
    completed.add(client.submit(inc, 1))
    assert [future.result() for future in completed] == [2]


def test_as_completed_knows_what_is_ready(client, gate):
    slow = client.submit(gate.pass_through)
    completed = as_completed([slow])
    assert not completed.has_ready()
    assert completed.next_batch(block=False) == []
    gate.open()
    wait(slow)
    wait_until(completed.has_ready, "the future is ready")
    assert completed.next_batch(block=False) == [slow]


def test_async_iteration(client):
    async def collect():
        completed = as_completed(client.map(inc, range(5)), with_results=True)
        return [result async for _, result in completed]

    assert sorted(asyncio.run(collect())) == [1, 2, 3, 4, 5]


def test_futures_may_be_awaited(client):
    async def collect():
        futures = client.map(inc, range(3))
        failed = client.submit(fail, "awaited")
        with pytest.raises(ValueError, match="awaited"):
            await failed
        return await asyncio.gather(*futures)

    assert asyncio.run(collect()) == [1, 2, 3]


def test_blocking_calls_work_inside_a_running_loop(client):
    async def block():
        return client.gather(client.map(inc, range(3))), client.submit(inc, 1).result()

    assert asyncio.run(block()) == ([1, 2, 3], 2)


# ---- Ctrl-C ----


@pytest.mark.parametrize("call", ["result", "gather", "wait", "as_completed"])
def test_ctrl_c_ends_a_wait_and_nothing_else(client, gate, call):
    future = client.submit(gate.pass_through, "after all")
    waits = {
        "result": future.result,
        "gather": lambda: client.gather([future]),
        "wait": lambda: wait(future),
        "as_completed": lambda: next(as_completed([future])),
    }
    gate.wait_for_somebody()
    main = threading.main_thread().ident
    interrupt = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        waits[call]()
    interrupt.join()
    assert future.status == "pending"
    gate.open()
    assert future.result() == "after all"


def test_a_client_that_the_garbage_collector_closes_while_a_callback_is_added(client, monkeypatch):
    abandoned = [Client(client.cluster, set_as_default=False)]
    abandoned.append(abandoned)
    closed = weakref.ref(abandoned[0])
    gc.disable()
    del abandoned
    begin = threading.Thread.__init__

    def collect_first(self, *args, **kwargs):
        gc.enable()
        gc.collect()
        begin(self, *args, **kwargs)

    called = threading.Event()
    future = client.submit(int)
    adds = threading.Thread(
        target=lambda: future.add_done_callback(lambda _: called.set()), daemon=True
    )
    monkeypatch.setattr(threading.Thread, "__init__", collect_first)
    try:
        adds.start()
        assert called.wait(20), "the callback is added and called"
        assert closed() is None
    finally:
        gc.enable()


def never_end():
    while True:
        time.sleep(0.001)


def test_tasks_that_are_cancelled_as_they_begin_give_their_slots_back(client):
    """Whatever a cancelled task has come to: it waits, its thread has taken it, or it runs."""
    random = Random(3)
    for _ in range(300):
        future = client.submit(never_end, pure=False)
        # This thread keeps the interpreter meanwhile, for which the task's may wait.
        until = time.perf_counter() + random.random() * 300e-6
        while time.perf_counter() < until:
            pass
        future.cancel()
    futures = client.map(divmod, range(20), range(1, 21), pure=False)
    assert len(client.gather(futures)) == 20
