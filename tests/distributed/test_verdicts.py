"""Real runs of which the limit is known, and what the observer says of them.

Each takes a few seconds: a verdict is sure only of what it has seen for a while.
"""

import functools
import json
import random
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from oxidask.distributed import Client, LocalCluster

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import structure_factor

pytestmark = pytest.mark.slow

PROCESSES = {"processes": True, "n_workers": 2, "threads_per_worker": 1}
THREADS = {"processes": False, "n_workers": 1, "threads_per_worker": 2}
THREADS_OF_ONE_PROCESS = {"processes": True, "n_workers": 1, "threads_per_worker": 2}


def ask(cluster, name):
    """Return an answer about the run of a cluster."""
    address, token = cluster.dashboard_link.split("/status?token=")
    request = urllib.request.Request(
        f"{address}/api/v1/{name}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def verdict_of(job, options):
    """Run a job on a cluster of its own; return what limited it."""
    with LocalCluster(dashboard_address=":0", **options) as cluster, Client(cluster) as client:
        job(client)
        overview = ask(cluster, "overview")
        # The last looks are taken in within a moment.
        until = time.monotonic() + 10
        while overview["state"] != "idle" and time.monotonic() < until:
            time.sleep(0.05)
            overview = ask(cluster, "overview")
        return ask(cluster, "verdict")


# ---- What tasks do ----


def spin(n):
    """Compute in Python alone."""
    total = 0
    for i in range(n):
        total += i
    return total


def array_work(n, times):
    """Compute in NumPy, without the GIL."""
    array = np.arange(n, dtype=float)
    for _ in range(times):
        array = np.sqrt(array * array + 1)
    return float(array[0])


def nap(seconds):
    time.sleep(seconds)
    return seconds


def after(_, n):
    return spin(n)


def inc(i):
    return i + 1


def ones(n):
    return np.random.default_rng(0).random(n)


def total(*arrays):
    return float(sum(array[0] for array in arrays))


def s_of_k(n_atoms, n):
    rng = np.random.default_rng(n_atoms)
    return structure_factor.structure_factor(rng.random((n_atoms, 3)), np.ones(3), n, "blocks")


# ---- Jobs ----


def plain(client):
    """S(k) of 64 configurations."""
    futures = [client.submit(s_of_k, 3000 + i % 7, 9, pure=False) for i in range(64)]
    mean = client.submit(lambda rows: np.mean(rows, axis=0), futures)
    error = client.submit(lambda rows: np.std(rows, axis=0), futures)
    client.gather([mean, error])


def held_by_the_gil(client, n=60, size=1_000_000):
    client.gather(client.map(spin, [size] * n, pure=False))


def one_chunk(client, size=60_000_000):
    client.submit(spin, size, pure=False).result()


def chain(client, n=120, size=400_000):
    step = functools.partial(client.submit, after, pure=False)
    functools.reduce(lambda before, _: step(before, size), range(n), 0).result()


def more_than_memory(client, parts=100, size=4_000_000):
    arrays = client.map(ones, [size] * parts, pure=False)
    client.gather([client.submit(total, *arrays[i::6], pure=False) for i in range(6)])


def uneven(client, short=14, size=1_000_000, long=70_000_000):
    sizes = [size] * short + [long]
    client.gather(client.map(spin, sizes, pure=False))


def pinned(client, n=60, size=1_000_000):
    futures = client.map(spin, [size] * n, pure=False, workers=["0"])
    client.gather(futures)


def tiny(client, n=300_000):
    client.gather(client.map(inc, range(n)))


def sleeping(client, n=80, seconds=0.05):
    client.gather(client.map(nap, [seconds] * n, pure=False))


@pytest.mark.parametrize(
    ("job", "options", "limit"),
    [
        (plain, THREADS, "compute-bound"),
        (plain, PROCESSES, "compute-bound"),
        (held_by_the_gil, THREADS, "gil-bound"),
        (held_by_the_gil, THREADS_OF_ONE_PROCESS, "gil-bound"),
        (held_by_the_gil, PROCESSES, "compute-bound"),
        (one_chunk, THREADS, "starved"),
        (one_chunk, PROCESSES, "starved"),
        (chain, PROCESSES, "starved"),
        (more_than_memory, {**PROCESSES, "memory_limit": "500MB"}, "memory-bound"),
        (uneven, PROCESSES, "imbalanced"),
        (pinned, PROCESSES, "imbalanced"),
        (tiny, THREADS, "too-small-tasks"),
        (tiny, PROCESSES, "too-small-tasks"),
        (sleeping, PROCESSES, "waiting-tasks"),
        (sleeping, THREADS, "waiting-tasks"),
    ],
)
def test_the_limit_of_a_run_is_named(job, options, limit):
    verdict = verdict_of(job, options)
    assert verdict["verdict"] == limit, verdict
    assert verdict["sentence"]
    assert verdict["advice"]
    assert abs(sum(verdict["bins"].values()) - 1) < 1e-6


# ---- Mixtures ----


def mixture(rng):
    """Return a job of several kinds of tasks, where it runs, and what limits it."""
    size = rng.randrange(300_000, 1_500_000)
    kind = rng.choice(["compute", "gil", "starved", "tiny", "sleeping", "uneven", "memory"])
    several = {**PROCESSES, "n_workers": rng.choice([2, 3])}

    def both(client, many, few):
        """Run tasks of two kinds beside each other."""
        futures = [client.submit(*call, pure=False) for call in [*many, *few]]
        rng.shuffle(futures)
        client.gather(futures)

    if kind == "compute":
        many, few = [(spin, size)] * 70, [(array_work, 200_000, 30)] * rng.randrange(20, 60)
        return lambda client: both(client, many, few), PROCESSES, "compute-bound"
    if kind == "gil":
        where = rng.choice([THREADS, THREADS_OF_ONE_PROCESS])
        many, few = [(spin, size)] * 60, [(array_work, 100_000, 10)] * rng.randrange(10)
        return lambda client: both(client, many, few), where, "gil-bound"
    if kind == "starved":
        n = rng.randrange(60, 150)
        return lambda client: chain(client, n, size), several, "starved"
    if kind == "tiny":
        n = rng.randrange(150_000, 400_000)
        return lambda client: tiny(client, n), rng.choice([PROCESSES, THREADS]), "too-small-tasks"
    if kind == "sleeping":
        seconds = rng.uniform(0.02, 0.2)
        many, few = [(nap, seconds)] * int(6 / seconds), [(spin, size)] * rng.randrange(10)
        return lambda client: both(client, many, few), PROCESSES, "waiting-tasks"
    if kind == "uneven":
        short = rng.randrange(10, 20)
        return lambda client: uneven(client, short, size, 60 * size), PROCESSES, "imbalanced"
    parts = rng.randrange(90, 120)
    where = {**PROCESSES, "memory_limit": "500MB"}
    return lambda client: more_than_memory(client, parts), where, "memory-bound"


def test_of_ten_mixtures_the_limit_is_named_in_nine():
    rng = random.Random(20261129)
    wrong = []
    for _ in range(10):
        job, options, limit = mixture(rng)
        verdict = verdict_of(job, options)
        if verdict["verdict"] != limit:
            wrong.append((limit, verdict))
            assert verdict["confidence"] != "high", wrong
    assert len(wrong) <= 1, wrong
