"""What it costs to be watched: processor time a task with nobody and with five at the dashboard.

Claims: five subscribers, one to each main page, that read all that they are sent four times a
second in a process of their own, add at most 2 % to the processor time that a task costs the
process of scheduler and observer; the observer's memory does not grow with tasks or groups.

    python benches/observer_cost.py
    python benches/observer_cost.py --quick

Runs of no-op tasks with and without subscribers alternate, each in a cluster of its own. Times are
those of threads of this process as `/proc` has them: of all, and of the thread that observes.
Memory is looked at while 10,000,000 tasks in 100,000 groups run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import harness
from harness import inc
from oxidask.distributed import Client, LocalCluster

COLUMNS = ["subscribers", "seconds", "tasks", "us a task", "observer us a task", "answers", "MB"]
#: One view for each main page, as the front end asks for them.
VIEWS = ("overview", "stream?px=1200&rows=200", "groups?limit=100", "graph", "workers?limit=250")
TICK = 0.25
BATCH = 50_000


def cpu_seconds(name: str | None = None) -> float:
    """Return the processor time of threads of this process: of all, or of those with a name."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            stat = (task / "stat").read_text()
        except OSError:
            continue
        head, _, rest = stat.rpartition(")")
        if name is None or head.partition("(")[2].startswith(name):
            fields = rest.split()
            total += int(fields[11]) + int(fields[12])
    return total / ticks


def resident_mb() -> float:
    """Return megabytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def subscribe(link: str, view: str) -> None:
    """Ask for a view four times a second until the cluster has ended; print how often."""
    address, token = link.split("/status?token=")
    headers = {"Authorization": f"Bearer {token}"}
    answers = 0
    version = 0
    while True:
        joint = "&" if "?" in view else "?"
        request = urllib.request.Request(
            f"{address}/api/v1/{view}{joint}since={version}", headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                if answer.status == 200:
                    version = json.loads(answer.read())["version"]
                    answers += 1
        except OSError:
            print(answers)
            return
        time.sleep(TICK)


def run(subscribers: int, seconds: float) -> dict[str, Any]:
    """Run no-op tasks for some seconds; return a row of the table."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(inc, range(BATCH), pure=False))
        watchers = [
            subprocess.Popen(
                [sys.executable, __file__, "--subscribe", cluster.dashboard_link, view],
                stdout=subprocess.PIPE,
                text=True,
            )
            for view in VIEWS[:subscribers]
        ]
        time.sleep(1.0)
        before, watched = cpu_seconds(), cpu_seconds("oxidask-page")
        begin = time.perf_counter()
        tasks = 0
        while time.perf_counter() - begin < seconds:
            client.gather(client.map(inc, range(BATCH), pure=False))
            tasks += BATCH
        took = time.perf_counter() - begin
        used, watching = cpu_seconds() - before, cpu_seconds("oxidask-page") - watched
        memory = resident_mb()
    answers = sum(int(watcher.communicate()[0] or 0) for watcher in watchers)
    return {
        "subscribers": subscribers,
        "seconds": took,
        "tasks": tasks,
        "us a task": 1e6 * used / tasks,
        "observer us a task": 1e6 * watching / tasks,
        "answers": answers,
        "MB": memory,
    }


def memory(tasks: int, groups: int) -> list[float]:
    """Return megabytes of this process at each tenth of a run of so many tasks in groups."""
    found = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        each = tasks // groups
        for group in range(groups):
            client.gather(client.map(inc, range(each), key=f"group{group}", pure=False))
            if (group + 1) % (groups // 10) == 0:
                found.append(resident_mb())
    return found


def main() -> int:
    """Run the bench; the exit status is 1 if subscribers cost more than is claimed."""
    if sys.argv[1:2] == ["--subscribe"]:
        subscribe(*sys.argv[2:4])
        return 0
    parser = harness.parser(__doc__)
    parser.add_argument("--memory", action="store_true", help="look at memory, too: takes minutes")
    options = parser.parse_args()
    seconds, pairs = (3.0, 1) if options.quick else (30.0, 5)
    # What is started once, and what grows only at first, is not to be counted.
    run(len(VIEWS), 1.0)
    rows, ratios = [], []
    for _ in range(pairs):
        alone, watched = run(0, seconds), run(len(VIEWS), seconds)
        rows += [alone, watched]
        ratios.append(watched["us a task"] / alone["us a task"])
    harness.print_table(rows, COLUMNS)
    median = statistics.median(ratios)
    print(
        f"with {len(VIEWS)} subscribers a task costs {100 * (median - 1):+.1f} % "
        f"(median of {pairs})"
    )
    harness.print_load()
    if options.memory:
        sizes = memory(
            100_000 if options.quick else 10_000_000, 100_000 if not options.quick else 1000
        )
        print("MB at each tenth of the run:", *(f"{size:.0f}" for size in sizes))
    harness.record("observer_cost", rows, options)
    return int(median > 1.02 and not options.quick)


if __name__ == "__main__":
    sys.exit(main())
