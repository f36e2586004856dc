"""What a future costs: mapping, one call at a time, starting and stopping a cluster.

Claims: 100,000 × `client.map(inc)` and `gather` take at most 5 µs a task in this process and
8 µs with two worker processes, a million at most 12 times as long; `submit(inc, i).result()`
150 µs across processes and 30 µs in this one; a cluster of threads with its client starts and
stops within 15 ms, two worker processes are ready within 0.4 s. At least 12 times as fast as
Frisky, 100 times as fast as Dask, and within 3 times of joblib's loky, which sends batches.

    python benches/futures_overhead.py
    python benches/futures_overhead.py --peer-python /path/to/venv/bin/python

Each measurement is a process of its own; libraries take turns, and the fastest of a few rounds
counts. Times are microseconds a task, call or start. `scaled` is on the reference machine. Dask
is measured as it is by default, and with `worker-saturation: inf`. Calls one at a time depend on
what it costs to wake a thread: beside them stands a bare round trip between two processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
from harness import inc

COLUMNS = ["library", "workers", "what", "tasks", "us", "scaled", "claim", "exit"]

# Exit status of a child whose library is not installed.
NOT_INSTALLED = 77


@dataclass(frozen=True)
class Measurement:
    """One thing to measure, in its own process."""

    library: str
    workers: str
    what: str
    tasks: int
    claim: float | None = None


def cluster_of(measurement: Measurement) -> Any:
    """Start a local cluster of a library; it is a context manager."""
    processes = measurement.workers == "processes"
    count = 2 if processes else 1
    threads = 1 if processes else 2
    if measurement.library == "oxidask":
        from oxidask.distributed import LocalCluster

        return LocalCluster(n_workers=count, threads_per_worker=threads, processes=processes)
    if measurement.library == "frisky":
        from frisky import LocalCluster

        return LocalCluster(count, threads, processes=processes, silence_summary=True)
    import dask

    from distributed import LocalCluster

    if measurement.library == "dask, inf":
        dask.config.set({"distributed.scheduler.worker-saturation": "inf"})
    return LocalCluster(
        n_workers=count,
        threads_per_worker=threads,
        processes=processes,
        dashboard_address=None,
        silence_logs=50,
    )


def client_of(measurement: Measurement, cluster: Any) -> Any:
    """Connect a client to a cluster."""
    if measurement.library == "frisky":
        return cluster.get_client()
    if measurement.library == "oxidask":
        from oxidask.distributed import Client
    else:
        from distributed import Client
    return Client(cluster)


def measure_map(measurement: Measurement) -> float:
    """Map over a range and gather; return seconds a task."""
    tasks = measurement.tasks
    with cluster_of(measurement) as cluster:
        client = client_of(measurement, cluster)
        client.gather(client.map(inc, range(-1000, 0)))  # All workers have started then.
        start = time.perf_counter()
        results = client.gather(client.map(inc, range(tasks)))
        seconds = time.perf_counter() - start
        assert results == list(range(1, tasks + 1))
        client.close()
    return seconds / tasks


def measure_one_at_a_time(measurement: Measurement) -> float:
    """Submit a call and wait for its result, again and again; return the median seconds."""
    with cluster_of(measurement) as cluster:
        client = client_of(measurement, cluster)
        client.gather(client.map(inc, range(-1000, 0)))
        seconds = []
        for i in range(measurement.tasks):
            start = time.perf_counter()
            assert client.submit(inc, i).result() == i + 1
            seconds.append(time.perf_counter() - start)
        client.close()
    return statistics.median(seconds)


def measure_start_and_stop(measurement: Measurement) -> float:
    """Start a cluster and a client and stop them; return the median seconds."""
    seconds = []
    for _ in range(measurement.tasks):
        start = time.perf_counter()
        with cluster_of(measurement) as cluster:
            client_of(measurement, cluster).close()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure_ready(measurement: Measurement) -> float:
    """Start two worker processes and call a function in both; return the median seconds."""
    seconds = []
    for _ in range(measurement.tasks):
        start = time.perf_counter()
        with cluster_of(measurement) as cluster:
            client = client_of(measurement, cluster)
            client.wait_for_workers(2)
            assert client.submit(inc, 1).result() == 2
            seconds.append(time.perf_counter() - start)
            client.close()
    return statistics.median(seconds)


def pipe_round_trip() -> float:
    """Return the median seconds of a byte's way to another process and back.

    That is the least that a call in another process can take; where processors sleep deeply when
    they have nothing to do, it is 80 µs rather than 10.
    """
    here, there = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(here[1])
        while os.read(here[0], 1):
            os.write(there[1], b"x")
        os._exit(0)
    seconds = []
    for _ in range(2000):
        start = time.perf_counter()
        os.write(here[1], b"x")
        os.read(there[0], 1)
        seconds.append(time.perf_counter() - start)
    for end in (*here, *there):
        os.close(end)
    os.waitpid(child, 0)
    return statistics.median(seconds)


def measure_loky(measurement: Measurement) -> float:
    """Map with joblib's processes, which take batches; return seconds a task."""
    from joblib import Parallel, delayed

    tasks = measurement.tasks
    with Parallel(n_jobs=2) as parallel:
        parallel(delayed(inc)(i) for i in range(1000))
        start = time.perf_counter()
        results = parallel(delayed(inc)(i) for i in range(tasks))
        seconds = time.perf_counter() - start
    assert results == list(range(1, tasks + 1))
    return seconds / tasks


MEASURES = {
    "map": measure_map,
    "one at a time": measure_one_at_a_time,
    "start and stop": measure_start_and_stop,
    "ready": measure_ready,
}


def run_as_child(measurement: Measurement) -> int:
    """Measure in this process and answer in microseconds."""
    module = {"dask": "distributed", "dask, inf": "distributed"}.get(
        measurement.library, measurement.library
    )
    try:
        __import__(module)
    except ModuleNotFoundError:
        return NOT_INSTALLED
    calibration = harness.calibrate()
    measure = measure_loky if measurement.library == "joblib" else MEASURES[measurement.what]
    seconds = measure(measurement)
    harness.print_answer(
        {
            "us": seconds * 1e6,
            "scaled": seconds * 1e6 / calibration.factor,
            "inc_ns": calibration.inc_ns,
            "version": harness.versions([module]).get(module),
        }
    )
    return 0


def run_measurement(measurement: Measurement, python: str) -> dict[str, Any] | None:
    """Measure once in a fresh process; None if the library is not installed."""
    arguments = [str(Path(__file__).resolve()), "--child", json.dumps(asdict(measurement))]
    child = harness.run_child(arguments, python=python, timeout=300)
    if child.exit == NOT_INSTALLED:
        return None
    row = {
        **asdict(measurement),
        **child.answer,
        "exit": "killed" if child.exit is None else child.exit,
    }
    if child.exit != 0:
        print(f"{measurement}: exit {row['exit']}: {child.error}")
    return row


def our_measurements(quick: bool) -> list[Measurement]:
    """List what is claimed of Oxidask."""
    small = 10_000 if quick else 100_000
    return [
        Measurement("oxidask", "threads", "map", small, 5.0),
        Measurement("oxidask", "processes", "map", small, 8.0),
        Measurement("oxidask", "threads", "map", 10 * small),
        Measurement("oxidask", "processes", "map", 10 * small),
        Measurement("oxidask", "threads", "one at a time", 1000, 30.0),
        Measurement("oxidask", "processes", "one at a time", 1000, 150.0),
        Measurement("oxidask", "threads", "start and stop", 10, 15_000.0),
        Measurement("oxidask", "processes", "ready", 3, 400_000.0),
    ]


def peer_measurements(quick: bool) -> list[Measurement]:
    """List what is measured of peers, smaller where it would take minutes."""
    small = 10_000 if quick else 100_000
    few = 1000 if quick else 10_000
    return [
        Measurement("joblib", "processes", "map", small),
        Measurement("joblib", "processes", "map", 10 * small),
        *(Measurement("frisky", workers, "map", small) for workers in ("threads", "processes")),
        Measurement("frisky", "processes", "one at a time", 200),
        *(
            Measurement(library, workers, "map", few)
            for library in ("dask", "dask, inf")
            for workers in ("threads", "processes")
        ),
        Measurement("dask", "processes", "one at a time", 100),
        Measurement("dask", "threads", "start and stop", 3),
        Measurement("dask", "processes", "ready", 1),
    ]


def fastest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the row that counts: one that did not end well, else the fastest."""
    bad = [row for row in rows if row["exit"] != 0]
    return bad[0] if bad else min(rows, key=lambda row: row["scaled"])


def print_ratios(rows: list[dict[str, Any]]) -> None:
    """Compare within this run."""
    found = {
        (row["library"], row["workers"], row["what"], row["tasks"]): row["us"]
        for row in rows
        if row["exit"] == 0
    }
    maps = sorted(key[3] for key in found if key[0] == "oxidask" and key[2] == "map")
    if not maps:
        return
    small, large = maps[0], maps[-1]
    for workers in ("threads", "processes"):
        mine = found.get(("oxidask", workers, "map", small))
        more = found.get(("oxidask", workers, "map", large))
        if mine and more:
            print(f"{workers}: {large:,} take {more / mine * large / small:.1f} times {small:,}")
    for (library, workers, what, tasks), theirs in found.items():
        if library == "oxidask" or what not in ("map", "one at a time"):
            continue
        size = tasks if tasks in maps else small
        mine = found.get(("oxidask", workers, what, 1000 if what == "one at a time" else size))
        if mine:
            print(f"{library}, {workers}, {what} of {tasks:,}: {theirs / mine:.1f} times ours")


def main() -> int:
    """Run the bench; the exit status is 1 if one of Oxidask's processes did not end well."""
    parser = harness.parser(__doc__)
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter that has the peers"
    )
    parser.add_argument("--repeat", type=int, default=5, help="rounds; the fastest counts")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_as_child(Measurement(**json.loads(options.child)))

    harness.print_calibration(harness.calibrate())
    trips = [pipe_round_trip()]
    ours, peers = our_measurements(options.quick), peer_measurements(options.quick)
    rows: dict[Measurement, list[dict[str, Any]]] = {m: [] for m in [*ours, *peers]}
    missing = set()
    for number in range(1 if options.quick else options.repeat):
        for measurement in rows:
            is_ours = measurement.library == "oxidask"
            if measurement.library in missing or (not is_ours and number >= 2):
                continue
            python = sys.executable if is_ours else options.peer_python
            row = run_measurement(measurement, python)
            if row is None:
                print(f"{measurement.library} is not installed in {python}: left out")
                missing.add(measurement.library)
            else:
                rows[measurement].append(row)
    best = [fastest(found) for found in rows.values() if found]
    print()
    harness.print_table(best, COLUMNS)
    print_ratios(best)
    trips.append(pipe_round_trip())
    times = " and ".join(f"{seconds * 1e6:.0f}" for seconds in trips)
    print(f"a byte to another process and back through pipes: {times} us, before and after")
    harness.print_load()
    harness.record("futures_overhead", best, options)
    ours_ended = [row["exit"] for row in best if row["library"] == "oxidask"]
    return 0 if ours_ended and not any(ours_ended) else 1


if __name__ == "__main__":
    sys.exit(main())
