"""Tasks that submit tasks and wait for them: clients inside tasks, slots that are lent."""

import os
import pickle
import sys
import threading
import time

import pytest
from gates import wait_until

from oxidask import delayed
from oxidask.distributed import (
    CancelledError,
    Client,
    Future,
    KilledWorker,
    LocalCluster,
    as_completed,
    get_client,
    get_worker,
    rejoin,
    secede,
    wait,
    worker_client,
)


def inc(i):
    return i + 1


def inc_by_another(i):
    return get_client().submit(inc, i, pure=False).result()


def fail(message):
    raise ValueError(message)


def sum_of_ten(start):
    client = get_client()
    return sum(client.gather(client.map(inc, range(start, start + 10))))


def fib(n):
    if n < 2:
        return n
    client = get_client()
    one, other = (client.submit(fib, n - less, pure=False) for less in (1, 2))
    return one.result() + other.result()


def descend(depth):
    """Return how many threads there are at the bottom of tasks that wait for each other."""
    if depth == 0:
        return threading.active_count()
    return get_client().submit(descend, depth - 1, pure=False).result()


@pytest.fixture(params=[False, True], ids=["threads", "processes"])
def one_thread(request):
    with Client(processes=request.param, n_workers=1, threads_per_worker=1) as client:
        yield client


def test_ten_tasks_wait_for_ten_tasks_each_on_two_threads(client):
    futures = client.map(sum_of_ten, range(10))
    assert client.gather(futures) == [10 * start + 55 for start in range(10)]


def test_recursion_by_tasks_ends_on_one_thread_with_few_threads(one_thread):
    before = one_thread.submit(threading.active_count).result()
    assert one_thread.submit(fib, 15).result() == 610
    (threads,) = one_thread.run(threading.active_count).values()
    assert threads <= before + 70


def test_deeper_tasks_than_there_may_be_threads_run_in_those_that_wait(one_thread):
    before = one_thread.submit(threading.active_count).result()
    assert one_thread.submit(descend, 150).result() <= before + 65


def test_spare_threads_leave(one_thread):
    before = one_thread.submit(threading.active_count).result()
    assert one_thread.submit(descend, 10).result() >= before + 9

    def are_gone():
        return one_thread.submit(threading.active_count, pure=False).result() <= before

    wait_until(are_gone, "spare threads leave")


def test_no_more_tasks_run_than_there_are_slots(one_thread, tmp_path):
    """What was lent is given back: at no time do two run Python at once."""

    def work(folder, is_outer):
        if is_outer:
            client = get_client()
            wait(client.map(work, [folder] * 5, [False] * 5, pure=False))
        mine = folder / "busy"
        mine.touch(exist_ok=False)  # Raises if another one is inside.
        time.sleep(0.002)
        mine.unlink()
        return True

    futures = one_thread.map(work, [tmp_path] * 5, [True] * 5, pure=False)
    assert all(one_thread.gather(futures))


@pytest.fixture
def one_thread_of_this_process():
    """Here orders can be told: nothing is under way between processes."""
    with Client(processes=False, n_workers=1, threads_per_worker=1) as client:
        yield client


def test_children_run_before_siblings_of_their_parent(one_thread_of_this_process, tally):
    def outer(mark):
        tally.add(mark)
        get_client().submit(tally.add, mark.lower(), pure=False).result()

    wait(one_thread_of_this_process.map(outer, "ABC", pure=False))
    assert tally.marks() == "AaBbCc"


def test_children_inherit_the_priority_of_their_parent(one_thread_of_this_process, tally, gate):
    client = one_thread_of_this_process

    def outer(mark):
        tally.add(mark)
        get_client().submit(tally.add, mark.lower(), pure=False).result()

    busy = client.submit(gate.pass_through)
    gate.wait_for_somebody()
    low = client.submit(outer, "A", pure=False)
    high = client.submit(outer, "B", pure=False, priority=1)
    gate.open()
    wait([busy, low, high])
    assert tally.marks() == "BbAa"


def test_other_ways_to_wait_lend_slots_too(one_thread):
    def in_order_of_end():
        client = get_client()
        return sorted(future.result() for future in as_completed(client.map(inc, [1, 2])))

    def exception():
        return str(get_client().submit(fail, "no").exception())

    def persisted():
        (value,) = get_client().compute([delayed(inc)(1)])
        return value.result()

    def context():
        with worker_client() as client:
            return client.submit(inc, 1).result()

    assert one_thread.submit(in_order_of_end).result() == [2, 3]
    assert one_thread.submit(exception).result() == "no"
    assert one_thread.submit(persisted).result() == 2
    assert one_thread.submit(context).result() == 2


def test_errors_of_inner_tasks_come_out(one_thread):
    def outer():
        return get_client().submit(fail, "inner").result()

    with pytest.raises(ValueError, match="inner"):
        one_thread.submit(outer).result()


def test_compute_in_a_task_uses_its_cluster_without_a_default_client():
    def outer():
        return delayed(get_worker)().compute().name

    with (
        LocalCluster(processes=False, n_workers=1) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert client.submit(outer).result() == "0"


def test_a_waiting_task_can_be_cancelled(one_thread, gate):
    def outer():
        return get_client().submit(gate.pass_through, pure=False).result()

    future = one_thread.submit(outer)
    gate.wait_for_somebody()
    future.cancel()
    with pytest.raises(CancelledError):
        future.result()
    # Its child, which nobody wants any more, is stopped too: the slot is free without the gate.
    assert one_thread.submit(inc, 1).result(timeout=20) == 2


def test_a_task_can_be_cancelled_while_a_thread_starts_for_its_slot(gate, monkeypatch):
    """The exception comes when the thread has started, and must not be lost until then."""
    start = threading.Thread.start
    is_starting, is_over = threading.Event(), threading.Event()

    def start_slowly(thread):
        start(thread)
        if thread.name == "oxidask-worker-spare":
            is_starting.set()
            while not is_over.is_set():
                time.sleep(0.001)

    def outer():
        return get_client().submit(gate.pass_through, pure=False).result()

    monkeypatch.setattr(threading.Thread, "start", start_slowly)
    with Client(n_workers=1, threads_per_worker=1, processes=False) as client:
        future = client.submit(outer)
        assert is_starting.wait(20)
        gate.wait_for_somebody()
        future.cancel()
        is_over.set()
        try:
            assert client.submit(inc, 1).result(timeout=20) == 2
        finally:
            gate.open()


def test_a_task_that_secedes_leaves_its_slot(one_thread, gate):
    def outer():
        secede()
        gate.pass_through()
        rejoin()
        return "back"

    future = one_thread.submit(outer)
    gate.wait_for_somebody()
    assert one_thread.submit(inc, 1).result() == 2
    gate.open()
    assert future.result() == "back"


def test_a_task_that_secedes_for_good_ends_all_the_same(one_thread):
    def outer(i):
        secede()
        return i

    assert one_thread.gather(one_thread.map(outer, range(5))) == list(range(5))
    assert one_thread.submit(inc, 1).result() == 2


@pytest.mark.parametrize("function", [secede, rejoin, get_worker])
def test_what_is_for_tasks_says_so_elsewhere(function):
    with pytest.raises(ValueError, match="is for tasks"):
        function()


def test_worker_client_is_for_tasks():
    with pytest.raises(ValueError, match="is for tasks"), worker_client():
        pass


def test_get_client_outside_of_tasks_is_the_default_client(client):
    assert get_client() is client
    assert Client.current() is client


def test_get_client_without_any_says_so():
    with pytest.raises(ValueError, match="there is no Client"):
        get_client()


def test_the_worker_of_a_task(client):
    names = set(client.scheduler_info()["workers"])
    worker = client.submit(get_worker).result()
    assert worker.name in names
    assert worker.nthreads >= 1


def test_calls_outside_of_tasks_may_wait_for_tasks(client):
    def call():
        return get_client().submit(list, [1, 2]).result()

    assert set(map(tuple, client.run(call).values())) == {(1, 2)}


# ---- Futures that travel ----


class Box:
    """Hides a future from whoever looks into arguments."""

    def __init__(self, future):
        self.future = future


def open_box(box):
    return box.future.result()


def test_a_future_inside_an_object_reaches_a_task(client):
    future = client.submit(list, [1, 2])
    assert client.submit(open_box, Box(future)).result() == [1, 2]


def test_a_future_that_was_made_in_a_task_is_kept_after_it(client):
    def make():
        return Box(get_client().submit(list, [3]))

    box = client.submit(make).result()
    assert isinstance(box.future, Future)
    assert box.future.result() == [3]
    assert client.submit(len, box.future).result() == 1


def test_a_future_goes_to_another_client_of_the_cluster(cluster):
    with Client(cluster) as one, Client(cluster, set_as_default=False) as other:
        future = one.submit(list, [1, 2])
        pickled = pickle.dumps(future)
        with other.as_current():
            again = pickle.loads(pickled)
        # The client that made it is here, so it is that one's.
        assert again.client is one
        del again
        one.close()
        del future
        with other.as_current():
            lost = pickle.loads(pickled)
            with pytest.raises(CancelledError, match="released meanwhile"):
                lost.result()


def test_a_failure_travels(client):
    def look(box):
        error = box.future.exception()
        return box.future.status, str(error)

    failed = client.submit(fail, "far")
    wait(failed)
    assert client.submit(look, Box(failed)).result() == ("error", "far")


def test_an_adopted_future_outlives_the_client_that_made_it():
    with LocalCluster(n_workers=1, threads_per_worker=2) as cluster, Client(cluster) as keeper:
        with Client(cluster, set_as_default=False) as maker:
            box = Box(maker.submit(list, [1, 2]))
            kept = keeper.submit(lambda box: box, box, pure=False)
            wait(kept)
            del box
        assert keeper.submit(open_box, kept).result() == [1, 2]


def test_a_future_without_a_client_of_its_cluster_says_so():
    with Client(processes=False, n_workers=1) as client:
        pickled = pickle.dumps(client.submit(inc, 1))
    with pytest.raises(ValueError, match="no Client of its cluster"):
        pickle.loads(pickled)


def test_many_futures_that_travel_are_all_released(client):
    """Nothing of a future is left in the cluster when all who know it are done."""

    def look(box):
        return box.future.result()

    for i in range(20):
        future = client.submit(list, [i], pure=False)
        assert client.submit(look, Box(future), pure=False).result() == [i]
        del future
    memory = client.scheduler_info
    wait_until(lambda: memory()["tasks"]["memory"] == 0, "all results are released")


def test_a_task_whose_new_tasks_kill_its_process_is_given_up():
    def outer():
        return get_client().submit(os._exit, 3, pure=False).result()

    with (
        Client(n_workers=1, threads_per_worker=1) as client,
        pytest.raises(KilledWorker, match="status 3"),
    ):
        client.submit(outer).result(timeout=60)


@pytest.mark.slow
def test_who_is_stopped_while_it_starts_a_thread_stops_itself(monkeypatch):
    """While a thread starts another, CPython may take the new one for it: tried for 20 s."""
    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: lost.append(unraisable.exc_type))
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with (
            LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster,
            Client(cluster) as client,
        ):
            for wait in range(30):
                futures = [client.submit(inc_by_another, i, pure=False) for i in range(8)]
                time.sleep(0.0001 * wait)
                client.cancel(futures)
    assert lost == []
