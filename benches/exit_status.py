"""Whether a script can end while tasks still run.

Claim: a script that ends while a daemon thread of its own is in `compute` exits with its own
status, within two seconds, whatever the tasks do: 200 of 200 times.

    python benches/exit_status.py

The main thread ends by `sys.exit(7)`, by an exception (status 1) or at its last line (0), while
the tasks sleep for a minute, loop for ever in Python, hash without the GIL, or follow on each
other in microseconds. It ends at a random moment, up to 0.4 s after the first task started.
Time counts from that moment to the end of the process. The exit status is 1 if one script fails.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness

COLUMNS = ["tasks", "ending", "scripts", "good", "wrong status", "too late", "slowest s"]

TIME_LIMIT = 2.0
GIVE_UP = 15.0


@dataclass(frozen=True)
class Outcome:
    """How one script ended; `seconds` count from when its main thread ended."""

    tasks: str
    ending: str
    exit: int | None
    seconds: float

    @property
    def has_own_status(self) -> bool:
        """Whether the script exited as it meant to."""
        return self.exit == ENDINGS[self.ending]

    @property
    def is_in_time(self) -> bool:
        """Whether the process was gone soon enough."""
        return self.seconds <= TIME_LIMIT

    @property
    def is_good(self) -> bool:
        """Whether nothing is to be complained of."""
        return self.has_own_status and self.is_in_time


def sleep(_: int) -> None:
    """Sleep for longer than anybody waits."""
    time.sleep(60)


def loop(_: int) -> None:
    """Keep the interpreter busy for ever."""
    while True:
        pass


def digest(_: int) -> None:
    """Hash for ever, most of the time without the GIL."""
    block = bytes(2**20)
    while True:
        hashlib.sha256(block)


TASKS: dict[str, Callable[[int], Any]] = {
    "sleep": sleep,
    "loop": loop,
    "digest": digest,
    "tiny": harness.inc,
}

ENDINGS = {"sys.exit(7)": 7, "exception": 1, "last line": 0}


def compute_for_ever(function: Callable[[int], Any], running: threading.Event) -> None:
    """Compute one graph after the other; set `running` in each task."""
    from oxidask import delayed

    def task(i: int) -> Any:
        running.set()
        return function(i)

    while True:
        delayed(len)([delayed(task)(i) for i in range(100)]).compute(scheduler="threads")


def run_as_child(tasks: str, ending: str, delay: float) -> None:
    """Be the script: compute in a daemon thread until tasks run, wait, say when, and end."""
    running = threading.Event()
    threading.Thread(target=compute_for_ever, args=(TASKS[tasks], running), daemon=True).start()
    assert running.wait(GIVE_UP), "no task started"
    time.sleep(delay)
    harness.print_answer({"ended_at": time.monotonic()})
    if ending == "sys.exit(7)":
        sys.exit(7)
    if ending == "exception":
        raise RuntimeError("the script's own")


def run_script(tasks: str, ending: str, delay: float) -> Outcome:
    """Run one script to its end, or give up on it."""
    started = time.monotonic()
    arguments = [str(Path(__file__).resolve()), "--child", tasks, ending, str(delay)]
    child = harness.run_child(arguments, timeout=GIVE_UP)
    # The clock is the machine's, the same in both processes.
    seconds = time.monotonic() - child.answer.get("ended_at", started)
    outcome = Outcome(tasks, ending, child.exit, seconds)
    if not outcome.is_good:
        print(f"{tasks}, {ending}: exit {child.exit} after {seconds:.2f} s: {child.error}")
    return outcome


def summary(tasks: str, ending: str, outcomes: list[Outcome]) -> dict[str, Any]:
    """Count outcomes; return a row of the table."""
    return {
        "tasks": tasks,
        "ending": ending,
        "scripts": len(outcomes),
        "good": sum(outcome.is_good for outcome in outcomes),
        "wrong status": sum(not outcome.has_own_status for outcome in outcomes),
        "too late": sum(not outcome.is_in_time for outcome in outcomes),
        "slowest s": max(outcome.seconds for outcome in outcomes),
    }


def main() -> int:
    """Run the bench; the exit status is 1 if a script ended late or not with its own status."""
    parser = harness.parser(__doc__)
    parser.add_argument("--scripts", type=int, help="how many to run (200; with --quick 12)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which they end")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        tasks, ending, delay = options.child
        run_as_child(tasks, ending, float(delay))
        return 0

    kinds = list(itertools.product(TASKS, ENDINGS))
    scripts = options.scripts or (len(kinds) if options.quick else 200)
    moments = random.Random(options.seed)
    outcomes = [
        run_script(*kind, moments.uniform(0, 0.4))
        for kind in itertools.islice(itertools.cycle(kinds), scripts)
    ]

    rows = [
        summary(*kind, chosen)
        for kind in kinds
        if (chosen := [one for one in outcomes if (one.tasks, one.ending) == kind])
    ]
    harness.print_table(rows, COLUMNS)
    good = sum(outcome.is_good for outcome in outcomes)
    slowest = max(outcome.seconds for outcome in outcomes)
    print(
        f"{good} of {scripts} scripts ended with their own status within {TIME_LIMIT:.0f} s; "
        f"the slowest took {slowest:.2f} s"
    )
    harness.print_load()
    harness.record("exit_status", rows, options)
    return 0 if good == scripts else 1


if __name__ == "__main__":
    sys.exit(main())
