"""What a delayed task costs: building its graph, computing it, dropping it.

Claims: microseconds a task, from the first call to the value; the same at ten times as many
tasks; a chain as long and a tree as wide as memory holds, computed or dropped.

    python benches/delayed_overhead.py
    python benches/delayed_overhead.py --peer-python /path/to/venv/bin/python

Graphs: *sum* is `delayed(sum)([delayed(inc)(i) for i in range(tasks)])`; *chain* is
`inc(inc(inc(…)))`; *tree* adds `inc(i)` pairwise. Each measurement is a process of its own, so
that none finds memory that another left behind. Peers, measured in the same run: Dask, and
Frisky with a local cluster of threads (`submit` is one call a task, `map` one call for all).
All times are microseconds a task. `scaled` is build + compute on the reference machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
from harness import inc

COLUMNS = [
    *("library", "graph", "scheduler", "tasks", "build", "compute", "drop", "scaled"),
    *("peak MB", "exit"),
]

# Exit status of a child whose library is not installed.
NOT_INSTALLED = 77


@dataclass(frozen=True)
class Measurement:
    """One thing to measure, in its own process."""

    library: str
    graph: str
    scheduler: str | None
    tasks: int
    compute: bool = True


@dataclass(frozen=True)
class Graph:
    """How to build a graph of delayed tasks, and what its value should be."""

    build: Callable[[Any, int], Any]
    expected: Callable[[int], int]


def add(x: int, y: int) -> int:
    """Return x + y."""
    return x + y


def build_sum(delayed: Any, tasks: int) -> Any:
    """Add up `tasks` increments in one more task."""
    return delayed(sum)([delayed(inc)(i) for i in range(tasks)])


def build_chain(delayed: Any, tasks: int) -> Any:
    """Increment 0 in a chain of `tasks` calls."""
    last = 0
    for _ in range(tasks):
        last = delayed(inc)(last)
    return last


def build_tree(delayed: Any, leaves: int) -> Any:
    """Add `leaves` increments pairwise; `leaves` is a power of 2."""
    level = [delayed(inc)(i) for i in range(leaves)]
    while len(level) > 1:
        level = [delayed(add)(*pair) for pair in zip(level[::2], level[1::2], strict=True)]
    return level[0]


GRAPHS = {
    "sum": Graph(build_sum, lambda tasks: tasks * (tasks + 1) // 2),
    "chain": Graph(build_chain, lambda tasks: tasks),
    "tree": Graph(build_tree, lambda leaves: leaves * (leaves + 1) // 2),
}


def measure_delayed(measurement: Measurement) -> dict[str, Any]:
    """Build, compute and drop a graph with the `delayed` of Oxidask or Dask."""
    delayed = import_delayed(measurement.library)
    graph = GRAPHS[measurement.graph]

    start = time.perf_counter()
    result = graph.build(delayed, measurement.tasks)
    built = time.perf_counter()
    if measurement.compute:
        value = result.compute(scheduler=measurement.scheduler)
        assert value == graph.expected(measurement.tasks), value
    computed = time.perf_counter()
    del result
    dropped = time.perf_counter()
    return {
        "build": built - start,
        "compute": computed - built if measurement.compute else None,
        "drop": dropped - computed,
    }


def import_delayed(library: str) -> Any:
    """Return the function `delayed` of a library."""
    if library == "dask":
        from dask import delayed
    else:
        from oxidask import delayed
    return delayed


def measure_frisky(measurement: Measurement) -> dict[str, Any]:
    """Submit the tasks of a sum to Frisky's local cluster of threads and wait for its value."""
    from frisky import LocalCluster

    threads = len(os.sched_getaffinity(0))
    with LocalCluster(1, threads, processes=False, silence_summary=True) as cluster:
        client = cluster.get_client()
        client.submit(inc, -1).result()  # The first one also waits for the worker to start.

        start = time.perf_counter()
        if measurement.graph == "sum, map":
            futures = client.map(inc, range(measurement.tasks))
        else:
            futures = [client.submit(inc, i) for i in range(measurement.tasks)]
        result = client.submit(sum, futures)
        built = time.perf_counter()
        value = result.result()
        assert value == GRAPHS["sum"].expected(measurement.tasks), value
        computed = time.perf_counter()
        del futures, result
        dropped = time.perf_counter()
    return {"build": built - start, "compute": computed - built, "drop": dropped - computed}


def run_as_child(measurement: Measurement) -> int:
    """Measure in this process and answer in microseconds a task."""
    try:
        __import__(measurement.library)
    except ModuleNotFoundError:
        return NOT_INSTALLED
    calibration = harness.calibrate()
    measure = measure_frisky if measurement.library == "frisky" else measure_delayed
    seconds = measure(measurement)
    tasks = 2 * measurement.tasks - 1 if measurement.graph == "tree" else measurement.tasks
    cost = {step: None if value is None else value / tasks * 1e6 for step, value in seconds.items()}
    harness.print_answer(
        {
            "tasks": tasks,
            **cost,
            "scaled": (cost["build"] + (cost["compute"] or 0)) / calibration.factor,
            "inc_ns": calibration.inc_ns,
            "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "version": harness.versions([measurement.library]).get(measurement.library),
        }
    )
    return 0


def run_measurement(measurement: Measurement, python: str, repeat: int) -> dict[str, Any] | None:
    """Measure in fresh processes; return the row of the fastest, None if not installed.

    A child that does not end well is the row, however fast the others were.
    """
    rows = []
    for _ in range(repeat):
        arguments = [str(Path(__file__).resolve()), "--child", json.dumps(asdict(measurement))]
        child = harness.run_child(arguments, python=python, timeout=600)
        if child.exit == NOT_INSTALLED:
            print(f"{measurement.library} is not installed in {python}: skipped")
            return None
        row = {
            "library": measurement.library,
            "graph": measurement.graph + ("" if measurement.compute else ", dropped"),
            "scheduler": measurement.scheduler,
            "tasks": measurement.tasks,
            **child.answer,
            "exit": "killed" if child.exit is None else child.exit,
        }
        if child.exit != 0:
            print(f"{row['library']} {row['graph']}: exit {row['exit']}: {child.error}")
            return row
        rows.append(row)
    return min(rows, key=lambda row: row["scaled"])


def our_measurements(quick: bool) -> list[Measurement]:
    """List what is claimed of Oxidask."""
    shrink = 10 if quick else 1
    small, large = 100_000 // shrink, 1_000_000 // shrink
    leaves = 2**17 if quick else 2**20
    return [
        *(
            Measurement("oxidask", "sum", scheduler, tasks)
            for scheduler in ("threads", "sync")
            for tasks in (small, large)
        ),
        Measurement("oxidask", "chain", "threads", large),
        Measurement("oxidask", "chain", None, large, compute=False),
        Measurement("oxidask", "tree", "threads", leaves),
        Measurement("oxidask", "tree", None, leaves, compute=False),
    ]


def peer_measurements(quick: bool, slow: bool) -> dict[str, list[Measurement]]:
    """List what is measured of each peer, smaller where it would take minutes."""
    tasks = 1_000 if quick else 10_000
    dask = [Measurement("dask", "sum", scheduler, tasks) for scheduler in ("threads", "sync")]
    if slow:
        dask.append(Measurement("dask", "chain", "threads", tasks))
    frisky = [
        Measurement("frisky", graph, "threads", 10 * tasks) for graph in ("sum, submit", "sum, map")
    ]
    return {"dask": dask, "frisky": frisky}


def print_growth(rows: list[dict[str, Any]]) -> None:
    """Compare a task's cost in the largest with that in the smallest sum."""
    for scheduler in ("threads", "sync"):
        sums = [
            row
            for row in rows
            if (row["library"], row["graph"], row["scheduler"]) == ("oxidask", "sum", scheduler)
        ]
        if any(row["exit"] != 0 for row in sums):
            continue
        small, large = sums
        build, compute = (large[step] / small[step] for step in ("build", "compute"))
        print(
            f"{scheduler}: a task of {large['tasks']:,} against one of {small['tasks']:,} costs "
            f"{build:.2f} times as much to build, {compute:.2f} times to compute"
        )


def main() -> int:
    """Run the bench; the exit status is 1 if one of Oxidask's processes did not end well."""
    parser = harness.parser(__doc__)
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter that has Dask and Frisky"
    )
    parser.add_argument("--slow", action="store_true", help="also Dask's chain")
    parser.add_argument("--repeat", type=int, default=3, help="processes each; the fastest counts")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_as_child(Measurement(**json.loads(options.child)))

    repeat = 1 if options.quick else options.repeat
    harness.print_calibration(harness.calibrate())
    rows = [run_measurement(m, sys.executable, repeat) for m in our_measurements(options.quick)]
    for measurements in peer_measurements(options.quick, options.slow).values():
        for measurement in measurements:
            row = run_measurement(measurement, options.peer_python, repeat)
            if row is None:
                break
            rows.append(row)

    rows = [row for row in rows if row is not None]
    print()
    harness.print_table(rows, COLUMNS)
    print_growth(rows)
    harness.print_load()
    harness.record("delayed_overhead", rows, options)
    ours = [row["exit"] for row in rows if row["library"] == "oxidask"]
    return 0 if ours and not any(ours) else 1


if __name__ == "__main__":
    sys.exit(main())
