"""How many results of a wavefront are alive at once.

Claim: tasks are ordered so that memory follows the front, not the grid. In an n × n grid whose
task (i, j) needs (i − 1, j) and (i, j − 1), no order gets by with fewer than n + 1 results
alive at once; each worker beyond the first may hold one more.

    python benches/grid_memory.py

A result here is an object that counts itself when it is made and when it is freed, so nothing
that holds on to a result goes unseen. Each run is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness

COLUMNS = [
    *("scheduler", "workers", "grid", "peak live", "minimum", "excess", "left over"),
    *("build s", "compute s", "peak MB", "exit"),
]

# Keeps the number of paths through the grid small; a prime, so that no information is lost early.
MODULUS = 2**61 - 1


@dataclass(frozen=True)
class Run:
    """One way to compute the grid."""

    scheduler: str
    workers: int
    n: int


class Cell:
    """Number of paths from the first corner to this cell, modulo `MODULUS`.

    Attributes
    ----------
    live, peak : int
        Cells alive now, and the most there have been.
    """

    live = 0
    peak = 0
    # Reentrant: freeing a cell may happen anywhere, also while this thread makes another one.
    lock = threading.RLock()

    def __init__(self, up: Cell | None, left: Cell | None) -> None:
        neighbours = [cell.paths for cell in (up, left) if cell is not None]
        self.paths = sum(neighbours) % MODULUS if neighbours else 1
        with Cell.lock:
            Cell.live += 1
            Cell.peak = max(Cell.peak, Cell.live)

    def __del__(self) -> None:
        with Cell.lock:
            Cell.live -= 1


def paths_to(up: Cell | None, left: Cell | None) -> Cell:
    """Make a cell from its neighbours; those outside of the grid are None."""
    return Cell(up, left)


def build_grid(n: int) -> Any:
    """Describe the grid lazily; return its last corner."""
    from oxidask import delayed

    task = delayed(paths_to)
    above = [None] * n
    for _ in range(n):
        left = None
        for j in range(n):
            left = above[j] = task(above[j], left)
    return above[-1]


def run_as_child(run: Run) -> int:
    """Compute the grid in this process and answer with the counts."""
    start = time.perf_counter()
    corner = build_grid(run.n)
    built = time.perf_counter()
    workers = {} if run.scheduler == "sync" else {"num_workers": run.workers}
    value = corner.compute(scheduler=run.scheduler, **workers).paths
    computed = time.perf_counter()
    expected = math.comb(2 * run.n - 2, run.n - 1) % MODULUS
    assert value == expected, f"{value} paths instead of {expected}"
    harness.print_answer(
        {
            "peak live": Cell.peak,
            "left over": Cell.live,
            "build s": built - start,
            "compute s": computed - built,
            "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
    return 0


def run_in_child(run: Run) -> dict[str, Any]:
    """Compute the grid in a fresh process; return a row of the table."""
    arguments = [str(Path(__file__).resolve()), "--child", json.dumps(asdict(run))]
    child = harness.run_child(arguments, timeout=600)
    if child.exit != 0:
        print(f"{run}: exit {child.exit}: {child.error}")
    minimum = run.n + 1
    peak = child.answer.get("peak live")
    return {
        "scheduler": run.scheduler,
        "workers": run.workers,
        "grid": f"{run.n} x {run.n}",
        **child.answer,
        "minimum": minimum,
        "excess": None if peak is None else peak - minimum,
        "exit": "killed" if child.exit is None else child.exit,
    }


def main() -> int:
    """Run the bench; the exit status is 1 if a process did not end well."""
    parser = harness.parser(__doc__)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_as_child(Run(**json.loads(options.child)))

    n = 50 if options.quick else 1000
    runs = [Run("sync", 1, n), Run("threads", 1, n), Run("threads", 2, n)]
    rows = [run_in_child(run) for run in runs]
    harness.print_table(rows, COLUMNS)
    harness.print_load()
    harness.record("grid_memory", rows, options)
    return 0 if all(row["exit"] == 0 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
