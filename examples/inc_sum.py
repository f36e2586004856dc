"""The tutorial's first graph: increment eight numbers, add them up.

    python examples/inc_sum.py

Calling a `delayed` function does not run it: it adds a task to a graph. The script draws that
graph, computes it under a progress bar, and compares with a plain loop. Each `inc` sleeps for
a moment, as if it were work; sleeping leaves the GIL to the other threads.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from oxidask import delayed
from oxidask.diagnostics import ProgressBar

HERE = Path(__file__).resolve().parent
NUMBERS = range(8)
SLEEP_SECONDS = 0.1


def slow_inc(x: int) -> int:
    """Return x + 1, after a while."""
    time.sleep(SLEEP_SECONDS)
    return x + 1


@delayed
def inc(x):
    """Return x + 1, lazily."""
    return slow_inc(x)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, help="workers (default: one for each core)")
    parser.add_argument(
        "--output",
        type=Path,
        default=HERE / "output",
        help="folder for the picture of the graph (examples/output)",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the example; the exit status is 1 if loop and graph give different sums."""
    options = parse_arguments(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    workers = {} if options.threads is None else {"num_workers": options.threads}

    total = delayed(sum)([inc(i) for i in NUMBERS])

    picture = options.output / "inc_sum_graph.svg"
    total.visualize(filename=str(picture))
    print(f"wrote {picture}")

    start = time.perf_counter()
    expected = sum(slow_inc(i) for i in NUMBERS)
    loop_seconds = time.perf_counter() - start

    with ProgressBar():
        start = time.perf_counter()
        value = total.compute(**workers)
        graph_seconds = time.perf_counter() - start

    print(f"\n{'':>14} {'value':>6} {'seconds':>8}")
    print(f"{'plain loop':>14} {expected:6} {loop_seconds:8.2f}")
    print(f"{'total.compute':>14} {value:6} {graph_seconds:8.2f}")
    print(f"loop and graph {'agree' if value == expected else 'DIFFER'}")
    return 0 if value == expected else 1


if __name__ == "__main__":
    sys.exit(main())
