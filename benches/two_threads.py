"""What a second worker thread brings, and what it costs.

Claims: two threads halve the time of work that leaves the GIL (hashing, sleeping), and do not
slow down work that needs it (100,000 tiny Python tasks).

    python benches/two_threads.py

Runs with one and with two threads alternate. `speed-up` is the median of the ratios within a
pair (1 thread / 2 threads), `of best` is that of the fastest runs. The hash needs two cores
that nobody else uses.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import harness
from harness import inc
from oxidask import delayed

COLUMNS = ["work", "tasks", "1 thread s", "2 threads s", "speed-up", "of best", "CPU s"]


@dataclass(frozen=True)
class Work:
    """Tasks to compute, all alike: `function(i)` for `i` in `range(tasks)`."""

    name: str
    function: Callable[[int], Any]
    tasks: int


def works(quick: bool) -> list[Work]:
    """List the kinds of work."""
    block = bytes((4 if quick else 64) * 2**20)

    def digest(_: int) -> bytes:
        return hashlib.sha256(block).digest()

    def sleep(_: int) -> None:
        time.sleep(0.01 if quick else 0.1)

    return [
        Work(f"sha256 of {len(block) >> 20} MB", digest, 8),
        Work("time.sleep", sleep, 10),
        Work("inc", inc, 2_000 if quick else 100_000),
    ]


def seconds_with(work: Work, threads: int) -> float:
    """Compute the tasks with some threads; return seconds, without those to build the graph."""
    last = delayed(len)([delayed(work.function)(i) for i in range(work.tasks)])
    start = time.perf_counter()
    count = last.compute(scheduler="threads", num_workers=threads)
    seconds = time.perf_counter() - start
    assert count == work.tasks, count
    return seconds


def measure(work: Work, rounds: int) -> dict[str, Any]:
    """Alternate between one and two threads; return a row of the table."""
    seconds_with(work, 2)  # The first run also starts the threads.
    cpu_before = time.process_time()
    pairs = harness.alternate(rounds, lambda: seconds_with(work, 1), lambda: seconds_with(work, 2))
    ratio = harness.ratio_of(pairs)
    one, two = zip(*pairs, strict=True)
    return {
        "work": work.name,
        "tasks": work.tasks,
        "1 thread s": statistics.median(one),
        "2 threads s": statistics.median(two),
        "speed-up": ratio.median,
        "of best": ratio.of_best,
        "CPU s": (time.process_time() - cpu_before) / (2 * rounds),
        "pairs": pairs,
    }


def main() -> int:
    """Run the bench."""
    options = harness.parser(__doc__).parse_args()
    rounds = 2 if options.quick else 5
    rows = [measure(work, rounds) for work in works(options.quick)]
    harness.print_table(rows, COLUMNS)
    harness.print_load()
    harness.record("two_threads", rows, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
