"""What the benches share: calibration, fresh processes, alternating pairs, tables, records.

Every bench prints a table and appends one JSON line for each row to `results/<name>.json`.
A line holds the numbers and where they came from: machine, load, commit, versions.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

# A bare `inc(i)` in a loop on the machine whose numbers we compare with.
REFERENCE_INC_NS = 76.0

# A child prints its answer after this mark; anything else it prints is passed on.
ANSWER = "@answer "


def inc(x: int) -> int:
    """Return x + 1: the smallest task worth the name."""
    return x + 1


def best_of(n: int, function: Callable[[], Any]) -> float:
    """Call a function `n` times; return the seconds of the fastest call."""
    return min(seconds_of(function) for _ in range(n))


def seconds_of(function: Callable[[], Any]) -> float:
    """Call a function once; return the seconds it took."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def alternate(n: int, *functions: Callable[[], float]) -> list[tuple[float, ...]]:
    """Call several measurements in turn, `n` times round; return one tuple for each round.

    What disturbs the machine for a while then disturbs all of them, so compare within rounds.
    """
    return [tuple(function() for function in functions) for _ in range(n)]


@dataclass(frozen=True)
class Ratio:
    """How much longer one measurement took than another.

    Attributes
    ----------
    median : float
        Of the ratios within a pair.
    of_best : float
        Fastest of the one by fastest of the other.
    """

    median: float
    of_best: float


def ratio_of(pairs: Sequence[tuple[float, ...]]) -> Ratio:
    """Compare the first with the second number of each pair."""
    return Ratio(
        median=statistics.median(one / other for one, other in pairs),
        of_best=min(one for one, _ in pairs) / min(other for _, other in pairs),
    )


@dataclass(frozen=True)
class Calibration:
    """How fast this Python is here and now.

    Attributes
    ----------
    inc_ns : float
        Nanoseconds of a bare `inc(i)` in a loop.
    factor : float
        `inc_ns` by the reference's 76 ns. A time divided by it is *scaled*: what the reference
        machine would have needed, as far as it differs in nothing but speed.
    """

    inc_ns: float
    factor: float


def calibrate(calls: int = 1_000_000, repeat: int = 3) -> Calibration:
    """Time the loop `for i in range(calls): inc(i)`; the fastest of `repeat` counts."""

    def loop() -> None:
        for i in range(calls):
            inc(i)

    inc_ns = best_of(repeat, loop) / calls * 1e9
    return Calibration(inc_ns, inc_ns / REFERENCE_INC_NS)


def print_calibration(calibration: Calibration) -> None:
    """Say by how much the scaled numbers differ from the raw ones."""
    print(
        f"calibration: inc(i) takes {calibration.inc_ns:.0f} ns here, {REFERENCE_INC_NS:.0f} ns on "
        f"the reference: scaled = raw / {calibration.factor:.2f}"
    )


def load_average() -> list[float]:
    """Return the runnable processes, averaged over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def print_load() -> None:
    """Say how busy the machine is: on a busy one trust ratios only."""
    load = ", ".join(map(str, load_average()))
    print(f"load average {load} on {len(os.sched_getaffinity(0))} cores")


def environment() -> dict[str, Any]:
    """Describe machine, commit and versions of a measurement."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": load_average(),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": versions(["oxidask", "numpy"]),
    }


def cpu_model() -> str:
    """Return the processor's name as the kernel tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def commit() -> str:
    """Return the checked-out commit, with `-dirty` if files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of packages, leaving out those that are missing."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every bench has."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    result.add_argument(
        "--results",
        type=Path,
        default=HERE / "results",
        help="folder for the JSON lines (benches/results)",
    )
    return result


def record(name: str, rows: Iterable[dict[str, Any]], options: argparse.Namespace) -> None:
    """Append one JSON line for each row to `<results>/<name>.json`."""
    options.results.mkdir(parents=True, exist_ok=True)
    where_from = {"bench": name, "quick": options.quick, **environment()}
    path = options.results / f"{name}.json"
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({**where_from, **row}) + "\n")
    print(f"appended to {path}")


def print_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print chosen columns of rows; texts to the left, numbers to the right, None as a dash."""
    body = [[cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *body, strict=True)]
    is_text = [any(isinstance(row.get(column), str) for row in rows) for column in columns]
    for line in [list(columns), *body]:
        aligned = (
            text.ljust(width) if left else text.rjust(width)
            for text, width, left in zip(line, widths, is_text, strict=True)
        )
        print("  ".join(aligned).rstrip())


def cell(value: Any) -> str:
    """Write one value of a table, numbers to three or four digits."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


@dataclass(frozen=True)
class Child:
    """How a child process ended.

    Attributes
    ----------
    exit : int or None
        Exit status; negative is a signal's number; None if it was ended at its time limit.
    answer : dict
        What it gave to `print_answer`; empty if it did not get there.
    error : str
        Last line of its standard error.
    """

    exit: int | None
    answer: dict[str, Any]
    error: str


def run_child(arguments: Sequence[str], *, python: str = sys.executable, timeout: float) -> Child:
    """Run a script in a fresh interpreter, so that no measurement inherits another's memory.

    Parameters
    ----------
    arguments : sequence of str
        Script and its arguments.
    python : str
        The interpreter.
    timeout : float
        Seconds after which the child is killed.
    """
    # Files and not pipes, which whatever the child leaves behind would hold open.
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [python, *arguments], stdout=printed, stderr=errors, start_new_session=True
        )
        try:
            status = child.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        printed.seek(0)
        errors.seek(0)
        answer = {}
        for line in printed.read().splitlines():
            if line.startswith(ANSWER):
                answer = json.loads(line.removeprefix(ANSWER))
            else:
                print(line)
        last = (errors.read().strip().splitlines() or [""])[-1]
    return Child(status, answer, f"no end after {timeout:.0f} s" if status is None else last)


def print_answer(answer: dict[str, Any]) -> None:
    """Hand a child's numbers to its parent."""
    print(ANSWER + json.dumps(answer), flush=True)
