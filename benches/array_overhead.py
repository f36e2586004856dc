"""What a chunk of an array costs: to build the graph, until the first task starts, to compute.

Claims, for `((x + 1) * 2 + x.T).mean()` of 1000 × 1000 chunks of 2 × 2 elements: it is built within
50 ms, a chunk takes at most 20 µs, and a million chunks take at most 12 times as long as 100,000.

    python benches/array_overhead.py
    python benches/array_overhead.py --peer-python /path/to/venv/bin/python

Each measurement is a process of its own; libraries take turns, and the fastest of a few rounds
counts. `scaled` is on the reference machine. `start` is the time from `compute()` until the first
task runs, `memory` what the process had at most, less what it had before. The peer is Dask with
threads.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness

COLUMNS = [
    "library", "chunks", "build ms", "start ms", "us a chunk", "scaled", "memory MB", "exit",
]  # fmt: skip

# Exit status of a child whose library is not installed.
NOT_INSTALLED = 77


@dataclass(frozen=True)
class Measurement:
    """One thing to measure, in its own process."""

    library: str
    side: int


def measure(measurement: Measurement) -> dict[str, Any]:
    """Build and compute the expression; return times and memory."""
    if measurement.library == "oxidask":
        import oxidask.array as da
    else:
        import dask.array as da
    first: list[float] = []

    def mark(block: Any) -> Any:
        if not first:
            first.append(time.perf_counter())
        return block

    def expression(side: int) -> Any:
        x = da.ones((2 * side, 2 * side), chunks=(2, 2))
        return ((x.map_blocks(mark, dtype=x.dtype, meta=x._meta) + 1) * 2 + x.T).mean()

    assert expression(4).compute(scheduler="threads") == 5.0
    first.clear()
    calibration = harness.calibrate()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    lazy = expression(measurement.side)
    built = time.perf_counter()
    assert lazy.compute(scheduler="threads") == 5.0
    end = time.perf_counter()
    chunks = measurement.side**2
    microseconds = (end - built) / chunks * 1e6
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "chunks": chunks,
        "build ms": (built - begin) * 1e3,
        "start ms": (first[0] - built) * 1e3,
        "us a chunk": microseconds,
        "scaled": microseconds / calibration.factor,
        "inc_ns": calibration.inc_ns,
        "memory MB": memory / 1e3,
    }


def run_as_child(measurement: Measurement) -> int:
    """Measure and send the answer to the parent."""
    try:
        answer = measure(measurement)
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        return NOT_INSTALLED
    harness.print_answer(answer)
    return 0


def main() -> int:
    """Run the bench; the exit status is 1 if one of Oxidask's processes did not end well."""
    parser = harness.parser(__doc__)
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has Dask")
    parser.add_argument("--repeat", type=int, default=5, help="rounds; the fastest counts")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_as_child(Measurement(**json.loads(options.child)))
    harness.print_calibration(harness.calibrate())
    sides = [100] if options.quick else [316, 1000]
    measurements = [Measurement("oxidask", side) for side in sides] + [Measurement("dask", 100)]
    rows: dict[Measurement, list[dict[str, Any]]] = {one: [] for one in measurements}
    for number in range(1 if options.quick else options.repeat):
        for measurement in measurements:
            if measurement.library != "oxidask" and number >= 2:
                continue
            python = sys.executable if measurement.library == "oxidask" else options.peer_python
            arguments = [str(Path(__file__).resolve()), "--child", json.dumps(asdict(measurement))]
            child = harness.run_child(arguments, python=python, timeout=600)
            if child.exit == NOT_INSTALLED:
                print(f"{measurement.library} is not installed in {python}: left out")
                continue
            exit_status = "killed" if child.exit is None else child.exit
            if child.exit != 0:
                print(f"{measurement}: exit {exit_status}: {child.error}")
            rows[measurement].append({**asdict(measurement), **child.answer, "exit": exit_status})
    best = [
        min(found, key=lambda row: row.get("scaled", float("inf")))
        for found in rows.values()
        if found
    ]
    print()
    harness.print_table(best, COLUMNS)
    ours = [row for row in best if row["library"] == "oxidask" and row["exit"] == 0]
    if len(ours) == 2:
        small, large = ours
        ratio = large["scaled"] * large["chunks"] / (small["scaled"] * small["chunks"])
        print(f"1,000,000 chunks take {ratio:.1f} times as long as 100,000")
    for row in best:
        if row["library"] == "dask" and row["exit"] == 0 and ours:
            print(f"Dask takes {row['scaled'] / ours[-1]['scaled']:.0f} times as long a chunk")
    harness.print_load()
    harness.record("array_overhead", best, options)
    return 0 if ours and len(ours) == len(sides) else 1


if __name__ == "__main__":
    sys.exit(main())
