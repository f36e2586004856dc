"""What a cluster does when something fails: one table, with real processes."""

import ctypes
import faulthandler
import logging
import os
import random
import signal
import threading
import time
import traceback

import numpy as np
import pytest
from gates import wait_until

from oxidask import TaskError, delayed
from oxidask.distributed import Client, KilledWorker, LocalCluster

PENDING = {}

# ---- The table ----


def inc(number):
    return number + 1


def array(number):
    return np.full(100_000, float(number))


def total(values):
    return float(values.sum())


def process_id():
    return os.getpid()


class TwoArguments(Exception):
    """Cannot be read from a plain pickle: it is called with one argument then."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")


class StaysAtHome(Exception):
    def __reduce__(self):
        raise TypeError("this exception stays at home")


def raise_value_error():
    raise ValueError("no such chunk")


def raise_two_arguments():
    raise TwoArguments(7, "seven")


def raise_what_stays_at_home():
    raise StaysAtHome("what it says")


def read_nothing():
    ctypes.string_at(0)


def say_and_leave():
    print("the last words")
    os._exit(3)


def log_and_abort():
    logging.getLogger("mine").warning("something is odd")
    os.abort()


def kill_yourself():
    os.kill(os.getpid(), signal.SIGKILL)


def raise_signal_of_the_system():
    os.kill(os.getpid(), signal.SIGTERM)


def allocate_all():
    held = []
    while True:
        held.append(np.ones(10_000_000, dtype=np.uint8))


def recurse():
    return recurse()


def overflow_the_stack():
    """Use up the stack below Python, where no limit of recursion holds."""
    faulthandler._stack_overflow()


def return_a_lock():
    return {"where": [threading.Lock()]}


def return_what_cannot_be_read():
    return Unreadable()


class Unreadable:
    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise RuntimeError("cannot be read again")


#: Each row: what a task does; the class of the error; words that its text and notes have. The key
#: of the task is among them in every row.
TABLE = {
    "raises": (raise_value_error, ValueError, ["no such chunk"]),
    "raises an exception with two arguments": (
        raise_two_arguments,
        TwoArguments,
        ["TwoArguments: 7: seven", "in raise_two_arguments"],
    ),
    "raises what cannot be pickled": (
        raise_what_stays_at_home,
        TaskError,
        ["StaysAtHome: what it says", "in raise_what_stays_at_home"],
    ),
    "recurses for ever": (recurse, RecursionError, ["recursion"]),
    "returns what cannot be pickled": (return_a_lock, TypeError, ["lock", "dict"]),
    "returns what cannot be read": (
        return_what_cannot_be_read,
        RuntimeError,
        ["cannot be read again"],
    ),
    "reads where nothing is": (read_nothing, KilledWorker, ["signal 11", "SIGSEGV"]),
    "leaves": (say_and_leave, KilledWorker, ["status 3", "the last words"]),
    "aborts": (log_and_abort, KilledWorker, ["signal 6", "SIGABRT", "something is odd"]),
    "kills its process": (kill_yourself, KilledWorker, ["signal 9", "SIGKILL"]),
    "ends its process": (raise_signal_of_the_system, KilledWorker, ["signal 15", "SIGTERM"]),
    "uses up the stack": (overflow_the_stack, KilledWorker, ["signal 11"]),
    "takes all memory": (allocate_all, KilledWorker, ["memory grew from", "memory_limit="]),
}


@pytest.fixture(scope="module")
def cluster():
    """Start two worker processes that may have 300 MB each, whatever else modules run with."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, memory_limit="300 MB"
    ) as cluster:
        yield cluster


@pytest.mark.parametrize("row", TABLE)
def test_a_task_that_fails_says_why_and_harms_no_other(client, row):
    task, kind, words = TABLE[row]
    before = client.map(inc, range(50), pure=False)
    kept = client.map(array, range(4), pure=False)
    failing = client.submit(task, key=f"task that {row}", pure=False)
    needs_it = client.submit(inc, failing, pure=False)
    after = client.map(inc, range(50), pure=False)
    with pytest.raises(kind) as caught:
        failing.result(timeout=60)
    said = "".join(traceback.format_exception(caught.value))
    for word in [*words, f"task that {row}"]:
        assert word in said, f"{word!r} is not in {said}"
    # The worker that made what cannot be read has it as an object, and fails with it as one.
    of_reader = TypeError if task is return_what_cannot_be_read else kind
    assert isinstance(needs_it.exception(timeout=60), kind | of_reader)
    # The others end well, what was there is there, and there are two workers to go on with.
    assert client.gather(before + after) == [*range(1, 51)] * 2
    assert client.gather(client.map(total, kept)) == [0.0, 1e5, 2e5, 3e5]
    wait_until(lambda: len(client.run(process_id, on_error="ignore")) == 2, "two workers answer")
    assert client.submit(inc, 1, pure=False).result(timeout=60) == 2


# What fails otherwise has modules of its own: test_memory.py a full disk and what does not fit,
# test_restrictions.py tasks that nobody can run, test_deaths.py workers that are killed,
# test_stopped.py those that are stopped, test_errors.py arguments and functions that cannot travel.


# ---- Workers are killed all the time ----

LEAVES = 10_000
#: Levels whose results stay in their workers, and so are lost with them. Above these they are
#: numbers: a lost one would cost the work of all that is below it.
LIVE_LEVELS = 4


class Held:
    """A number in an object that stays in its worker until another needs it."""

    def __init__(self, number):
        self.number = number


def leaf(number):
    time.sleep(0.001)
    return number


def hold_sum(left, right):
    time.sleep(0.001)
    return Held(number_in(left) + number_in(right))


def tell_sum(left, right):
    time.sleep(0.001)
    return number_in(left) + number_in(right)


def number_in(value):
    return value.number if isinstance(value, Held) else value


def tree(client):
    """Sum up numbers in pairs; only the top is wanted."""
    level = [delayed(leaf)(number) for number in range(LEAVES)]
    depth = 0
    while len(level) > 1:
        depth += 1
        join = delayed(hold_sum if depth <= LIVE_LEVELS else tell_sum)
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[len(level) & ~1 :]
        level = [join(left, right) for left, right in pairs] + odd
    return client.compute(level[0])


class Killer:
    """Kills a random worker every 0.2 s, and counts."""

    def __init__(self, client, seed):
        self.kills = 0
        self._client = client
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.wait(0.2):
            workers = self._client.scheduler_info()["workers"].values()
            pids = sorted(one["pid"] for one in workers)
            if pids:
                try:
                    os.kill(self._random.choice(pids), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.kills += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_20000_tasks_end_right_while_workers_are_killed():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True) as cluster,
        Client(cluster) as client,
    ):
        with Killer(client, seed=1) as killer:
            rounds = 0
            while killer.kills < 30 or rounds == 0:
                assert tree(client).result(timeout=200) == LEAVES * (LEAVES - 1) // 2
                rounds += 1
        assert killer.kills >= 30
        print(f"{killer.kills} kills in {rounds} rounds")
        wait_until(lambda: len(client.run(os.getpid, on_error="ignore")) == 2, "workers are back")
