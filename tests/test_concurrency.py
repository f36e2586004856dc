"""Several threads use the same lazy values at once. All is counted; on builds of Python without a
GIL the threads really run beside each other.
"""

from __future__ import annotations

import collections
import itertools
import subprocess
import sys
import threading
from operator import add, mul

import pytest

from oxidask import annotate, compute, config, delayed, persist, visualize
from oxidask.diagnostics import ProgressBar
from oxidask.tokenize import normalize_token, tokenize

THREADS = 6
ROUNDS = 10


@pytest.fixture(autouse=True)
def _frequent_switches():
    """Let threads that share a GIL take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def results_together(function, threads=THREADS):
    """Call `function(number)` in threads that begin at once; return what each returned."""
    results = [None] * threads
    errors = []
    start = threading.Barrier(threads)

    def run(number):
        start.wait()
        try:
            results[number] = function(number)
        except BaseException as error:
            errors.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]
    return results


def diamond_of(calls, width=50):
    """Return a lazy sum whose tasks note their number in `calls`; most are needed twice."""

    def noted(number, *values):
        calls.append(number)
        return number + sum(values)

    leaves = [delayed(noted)(number) for number in range(width)]
    pairs = [
        delayed(noted)(width + number, one, other, one)
        for number, (one, other) in enumerate(itertools.pairwise(leaves))
    ]
    return delayed(noted)(2 * width, *pairs, *leaves)


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_each_computation_of_a_shared_graph_runs_each_task_once(scheduler):
    calls = []
    total = diamond_of(calls)
    (expected,) = compute(total, scheduler="sync")
    calls.clear()

    def work(_):
        return [total.compute(scheduler=scheduler, num_workers=2) for _ in range(ROUNDS)]

    assert results_together(work) == [[expected] * ROUNDS] * THREADS
    assert set(collections.Counter(calls).values()) == {THREADS * ROUNDS}


def test_a_graph_is_extended_while_it_is_computed():
    calls = []
    total = diamond_of(calls)
    (expected,) = compute(total, scheduler="sync")
    calls.clear()

    def work(number):
        if number % 2:
            return [delayed(add)(total, total).compute(scheduler="sync") for _ in range(ROUNDS)]
        return [2 * total.compute(scheduler="sync") for _ in range(ROUNDS)]

    assert results_together(work) == [[2 * expected] * ROUNDS] * THREADS
    assert set(collections.Counter(calls).values()) == {THREADS * ROUNDS}


def test_equal_calls_have_equal_keys_whoever_else_uses_their_arguments():
    parts = [delayed(number) for number in range(40)]

    def work(number):
        rows = [parts[place:] + parts[: place + 1] for place in range(number, 20 + number)]
        return {
            len(row) + place: delayed(max, pure=True)(row, row).key
            for place, row in enumerate(rows)
        }

    work_of = results_together(lambda _: work(0))
    assert all(keys == work_of[0] for keys in work_of)


def test_persisted_values_are_computed_once_by_each_who_asks():
    calls = []
    total = diamond_of(calls)

    def work(_):
        (kept,) = persist(total)
        return kept.compute(), kept.compute()

    values = results_together(work)
    assert set(values) == {values[0]}
    assert set(collections.Counter(calls).values()) == {THREADS}


def test_pictures_of_a_shared_graph_show_each_task_once():
    total = diamond_of([])
    alone = visualize(total, filename=None).svg
    pictures = results_together(lambda _: visualize(total, filename=None).svg)
    assert pictures == [alone] * THREADS


def test_tokens_are_the_same_in_all_threads():
    shared = {"names": ["a", "b"], "of": {1, 2, frozenset({3})}, "scale": 2.5, "rule": (max, len)}
    shared["itself"] = shared
    alone = tokenize(shared)
    tokens = results_together(lambda _: [tokenize(shared) for _ in range(ROUNDS)])
    assert tokens == [[alone] * ROUNDS] * THREADS


def test_tokens_of_packages_are_the_same_while_their_rules_are_loaded():
    code = """
import sys, threading
from oxidask.tokenize import tokenize
import numpy as np
sys.setswitchinterval(1e-6)
start, tokens = threading.Barrier(6), []
values = [np.random.RandomState(3), np.array([{"a": 1}], dtype=object), np.float64]
def work():
    start.wait()
    tokens.append(tokenize(values))
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(tokens), len(set(tokens)))
"""
    answers = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(5)
    ]
    assert answers == ["6 1"] * 5


def test_rules_for_tokens_may_be_registered_while_others_are_hashed():
    class Name(str):
        pass

    plain = tokenize("shared", [1, 2], {"a": 3})

    def work(number):
        if number == 0:
            for _ in range(200):
                normalize_token.register(Name, lambda name: name.lower())
            return plain
        return {tokenize("shared", [1, 2], {"a": 3}) for _ in range(200)}.pop()

    assert results_together(work) == [plain] * THREADS
    assert tokenize(Name("ABC")) == tokenize(Name("abc"))


def test_arguments_may_change_while_calls_are_made_of_them():
    one, two = delayed(1), delayed(2)
    entries, elements = {"one": one}, {one}

    def work(number):
        if number == 0:
            for step in range(2_000):
                entries[step % 7], elements_changed = two, step
                entries.pop((elements_changed + 3) % 7, None)
                elements.add(step % 5)
                elements.discard((step + 2) % 5)
            return 1
        for _ in range(200):
            called = delayed(dict)(entries).compute(scheduler="sync")
            assert called["one"] == 1
            assert set(called.values()) <= {1, 2}
            assert 1 in delayed(set)(elements).compute(scheduler="sync")
            assert len(tokenize(entries)) == 32
            assert len(tokenize(elements)) == 32
        return 1

    assert results_together(work) == [1] * THREADS


def test_annotations_are_of_the_thread_that_made_them():
    def work(number):
        found = set()
        for _ in range(200):
            with annotate(retries=number):
                found.add(delayed(abs)(number)._annotations["retries"])
            found.add(delayed(abs)(number)._annotations is None)
        return found

    assert results_together(work) == [{number, True} for number in range(THREADS)]


def test_tasks_do_not_inherit_annotations_of_whoever_started_their_thread():
    code = """
from oxidask import annotate, delayed
@delayed
def make():
    return delayed(abs)(1)._annotations
with annotate(priority=3):
    make().compute(scheduler="threads")
print(make().compute(scheduler="threads"))
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stdout == "None\n", finished.stderr


def test_a_task_that_is_tried_again_is_tried_by_one_thread_at_a_time():
    tries = collections.defaultdict(list)

    def fails_twice(number, run):
        tries[number, run].append(threading.get_ident())
        if len(tries[number, run]) < 3:
            raise ValueError(number)
        return number

    def work(run):
        with annotate(retries=2):
            tasks = [delayed(fails_twice)(number, run) for number in range(20)]
        return compute(*tasks, num_workers=2)

    assert results_together(work) == [tuple(range(20))] * THREADS
    assert [len(threads) for threads in tries.values()] == [3] * 20 * THREADS


def test_errors_come_out_of_the_computation_that_they_belong_to():
    def raise_number(number):
        raise ValueError(number)

    def work(number):
        caught = []
        for _ in range(ROUNDS):
            with pytest.raises(ValueError) as error:  # noqa: PT011 - its arguments are compared
                delayed(raise_number)(number).compute()
            caught.append((error.value.args, len(error.value.__notes__)))
        return caught

    assert results_together(work) == [[((number,), 1)] * ROUNDS for number in range(THREADS)]


def test_settings_and_watchers_may_change_while_others_compute(capsys):
    tasks = [delayed(mul)(number, 2) for number in range(20)]

    def work(number):
        for _ in range(ROUNDS):
            if number % 3 == 0:
                with config.set({"num_workers": 1 + number % 2}):
                    values = compute(*tasks)
            elif number % 3 == 1:
                with ProgressBar(minimum=60):
                    values = compute(*tasks)
            else:
                values = compute(*tasks)
            assert values == tuple(range(0, 40, 2))
        return number

    assert results_together(work) == list(range(THREADS))
    assert capsys.readouterr().out == ""


def test_values_made_in_one_thread_are_dropped_in_others():
    class Counted:
        alive = 0
        lock = threading.Lock()

        def __init__(self):
            with self.lock:
                Counted.alive += 1

        def __del__(self):
            with self.lock:
                Counted.alive -= 1

    chains = []
    for _ in range(THREADS):
        last = delayed(Counted)()
        for _ in range(2_000):
            last = delayed(id)(delayed(Counted(), traverse=False), last)
        chains.append([last])
    assert Counted.alive == 2_000 * THREADS
    del last
    results_together(lambda number: chains[number].clear())
    assert Counted.alive == 0
