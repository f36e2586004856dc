"""What threads bring where Python has no GIL, and what a task costs there.

Claims, on a free-threaded build of CPython: S(k) in plain Python loops runs at least 1.7 times as
fast with two threads as with one, and a delayed task costs at most twice what it costs on the
build with a GIL.

    target/freethreaded/venv/bin/python benches/free_threaded.py --gil-python .venv/bin/python

Runs with one and with two threads alternate, as do processes of the two interpreters. `speed-up`
is 1 thread / 2 threads: the median of the pairs, and `of best`. `CPU` is the processor time that
two threads need more than one for the same work; on a busy machine it says what the speed-up would
be without the others: 2 / CPU. A task's cost is in microseconds, the least of all rounds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import harness
from delayed_overhead import Measurement
from oxidask import compute

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "examples"))

import structure_factor  # noqa: E402  # found by the line above

SPEED_UP_COLUMNS = ["kernel", "n", "1 thread s", "2 threads s", "speed-up", "of best", "CPU"]
COST_COLUMNS = ["graph", "scheduler", "step", "with GIL µs", "without µs", "ratio"]


def time_kernel(configurations: list[Any], n: int, kernel: str, threads: int) -> tuple[float, ...]:
    """Compute S(k) of all configurations; return seconds, and seconds of the processor."""
    lazy = structure_factor.build_parallel(configurations, n, kernel)
    cpu, start = time.process_time(), time.perf_counter()
    compute(*lazy, scheduler="threads", num_workers=threads)
    return time.perf_counter() - start, time.process_time() - cpu


def measure_kernel(configurations: list[Any], n: int, kernel: str, rounds: int) -> dict[str, Any]:
    """Alternate between one and two threads; return a row of the table."""
    time_kernel(configurations[:2], n, kernel, 2)  # The first run also starts the threads.

    def with_threads(threads: int) -> Callable[[], Any]:
        return lambda: time_kernel(configurations, n, kernel, threads)

    both = harness.alternate(rounds, with_threads(1), with_threads(2))
    pairs = [(one[0], two[0]) for one, two in both]
    ratio = harness.ratio_of(pairs)
    return {
        "kernel": kernel,
        "n": n,
        "1 thread s": min(one for one, _ in pairs),
        "2 threads s": min(two for _, two in pairs),
        "speed-up": ratio.median,
        "of best": ratio.of_best,
        "CPU": harness.ratio_of([(two[1], one[1]) for one, two in both]).of_best,
        "pairs": pairs,
    }


def cost_of_tasks(python: str, measurement: Measurement) -> dict[str, float]:
    """Measure in a fresh process of an interpreter."""
    script = str(HERE / "delayed_overhead.py")
    arguments = [script, "--child", json.dumps(asdict(measurement))]
    child = harness.run_child(arguments, python=python, timeout=600)
    if child.exit != 0:
        raise SystemExit(f"{python} ended with status {child.exit}: {child.error}")
    return child.answer


def measure_cost(gil_python: str, measurement: Measurement, rounds: int) -> list[dict[str, Any]]:
    """Alternate between the interpreters; return a row for each step."""
    pairs = [
        (cost_of_tasks(gil_python, measurement), cost_of_tasks(sys.executable, measurement))
        for _ in range(rounds)
    ]
    rows = []
    for step in ("build", "compute", "build + compute"):
        least = [
            min(sum(costs[part] for part in step.split(" + ")) for costs in of_interpreter)
            for of_interpreter in zip(*pairs, strict=True)
        ]
        rows.append(
            {
                "graph": measurement.graph,
                "scheduler": measurement.scheduler,
                "step": step,
                "with GIL µs": least[0],
                "without µs": least[1],
                "ratio": least[1] / least[0],
            }
        )
    return rows


def main() -> int:
    """Run the bench."""
    parser = harness.parser(__doc__)
    parser.add_argument("--gil-python", help="interpreter with a GIL and Oxidask, to compare with")
    options = parser.parse_args()
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        parser.error("run this with a free-threaded Python; this one has a GIL")
    rounds = 1 if options.quick else 5
    configurations = structure_factor.read_configurations(structure_factor.DATA)
    sizes = {"python": 1, "loop": 2} if options.quick else {"python": 2, "loop": 6}
    speed_ups = [
        measure_kernel(configurations[: 4 if options.quick else 64], n, kernel, rounds)
        for kernel, n in sizes.items()
    ]
    harness.print_table(speed_ups, SPEED_UP_COLUMNS)
    costs: list[dict[str, Any]] = []
    if options.gil_python:
        tasks = 10_000 if options.quick else 100_000
        for scheduler in ("threads", "sync"):
            measurement = Measurement("oxidask", "sum", scheduler, tasks)
            costs += measure_cost(options.gil_python, measurement, rounds)
        print()
        harness.print_table(costs, COST_COLUMNS)
    harness.print_load()
    harness.record("free_threaded", [*speed_ups, *costs], options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
