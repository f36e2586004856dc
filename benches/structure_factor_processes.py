"""S(k) of hydrogen on processes: the same numbers, and a second process helps where threads do not.

Claims: processes give the result of a plain loop bit for bit; with a Python loop over k two
processes are at least 1.8 times as fast as one. Threads gain less there, the more of the loop is
Python: kernel `loop` calls NumPy for each k, which leaves the GIL at times; `python` never does,
and two threads gain nothing.

    python benches/structure_factor_processes.py

Runs with one and with two workers alternate. `speed-up` is the median of the ratios within a
pair (1 worker / 2 workers), `of best` is that of the fastest runs. Needs two cores that nobody
else uses.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import harness

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import structure_factor as example  # noqa: E402
from oxidask.distributed import Client  # noqa: E402

COLUMNS = [
    *("kernel", "workers", "tasks", "1 worker s", "2 workers s", "speed-up", "of best"),
    "differs",
]


def squared_density_python(positions: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Compute |ρ(k)|² in Python alone, for as many wave vectors as take about a NumPy kernel."""
    result = []
    atoms = positions.tolist()
    for kx, ky, kz in k[:60].tolist():
        phases = [kx * x + ky * y + kz * z for x, y, z in atoms]
        result.append(sum(map(math.cos, phases)) ** 2 + sum(map(math.sin, phases)) ** 2)
    return np.array(result)


def s_of_one(positions: np.ndarray, box: np.ndarray, n: int, kernel: str) -> np.ndarray:
    """Compute S(k) of one configuration."""
    if kernel != "python":
        return example.structure_factor(positions, box, n, kernel)
    return squared_density_python(positions, example.wavevectors(box, n)) / len(positions)


def s_of_k(client: Client, configurations: list[Any], n: int, kernel: str) -> list[Any]:
    """Compute S(k) of each configuration in a cluster."""
    futures = [
        client.submit(s_of_one, c.positions, c.box, n, kernel, pure=False) for c in configurations
    ]
    return client.gather(futures)


def measure(
    configurations: list[Any], n: int, kernel: str, processes: bool, rounds: int
) -> dict[str, Any]:
    """Alternate between one and two workers; return a row of the table."""
    expected = [s_of_one(c.positions, c.box, n, kernel) for c in configurations]
    differs = 0

    def seconds_with(client: Client) -> float:
        nonlocal differs
        start = time.perf_counter()
        results = s_of_k(client, configurations, n, kernel)
        seconds = time.perf_counter() - start
        differs += sum(
            not np.array_equal(one, other) for one, other in zip(results, expected, strict=True)
        )
        return seconds

    with (
        Client(n_workers=1, threads_per_worker=1, processes=processes) as one,
        Client(
            n_workers=2 if processes else 1,
            threads_per_worker=1 if processes else 2,
            processes=processes,
        ) as two,
    ):
        for client in (one, two):
            s_of_k(client, configurations[:4], 2, kernel)  # Workers import the example.
        pairs = harness.alternate(rounds, lambda: seconds_with(one), lambda: seconds_with(two))
    ratio = harness.ratio_of(pairs)
    ones, twos = zip(*pairs, strict=True)
    return {
        "kernel": kernel,
        "workers": "processes" if processes else "threads",
        "tasks": len(configurations),
        "1 worker s": statistics.median(ones),
        "2 workers s": statistics.median(twos),
        "speed-up": ratio.median,
        "of best": ratio.of_best,
        "differs": differs,
        "pairs": pairs,
    }


def main() -> int:
    """Run the bench; the exit status is 1 if a result differs in a bit."""
    parser = harness.parser(__doc__)
    parser.add_argument("--n", type=int, help="largest index of a wave vector on each axis")
    options = parser.parse_args()
    configurations = example.read_configurations(example.DATA)
    if options.quick:
        configurations = configurations[:4]
    n = options.n or (2 if options.quick else 4)
    rounds = 2 if options.quick else 5
    rows = [
        measure(configurations, n, kernel, processes, rounds)
        for kernel in [*example.KERNELS, "python"]
        for processes in (True, False)
    ]
    harness.print_table(rows, COLUMNS)
    harness.print_load()
    harness.record("structure_factor_processes", rows, options)
    return 1 if any(row["differs"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
