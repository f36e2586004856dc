"""What a large array costs in memory that several worker processes use.

Claims: an array made in one worker and used in three others takes at most 1.25 times its size
once it is there, 2.25 times while it is published, and a second use costs less than 1 ms; the
same if it is scattered.

    python benches/shared_memory.py
    python benches/shared_memory.py --peer-python /path/to/venv/bin/python

Memory is the sum of the proportional set sizes (PSS, `/proc/*/smaps_rollup`) of this process and
all that it started, less what they take before the array is made. Shared memory that nobody has
mapped yet is in no process's PSS: what `/proc/meminfo` counts as `Shmem` since the beginning takes
the place of the shared part where it is more, so that nothing is hidden. The array is used by three
tasks that are at the same time in three other workers and add up some of it, so that each has it
mapped while memory is read. Peers: Dask and Ray.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness

COLUMNS = [
    *("library", "way", "array MB", "idle MB", "steady ×", "peak ×"),
    *("first use ms", "second use ms", "exit"),
]
WORKERS = 4
NOT_INSTALLED = 77


@dataclass(frozen=True)
class Measurement:
    """A way to bring an array to workers, in a library."""

    library: str
    way: str
    megabytes: int


# ---- Memory ----


def family() -> list[int]:
    """Return this process and all its descendants, and those in the sessions that they started."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    mine = []
    for process in parents:
        ancestor = process
        while ancestor > 1 and ancestor != os.getpid():
            ancestor = parents.get(ancestor, 0)
        if ancestor == os.getpid():
            mine.append(process)
    return mine


def memory_of(processes: list[int]) -> int:
    """Return the memory of processes, and of what they share, in bytes."""
    private = shared = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {line.partition(":")[0]: int(line.split()[1]) for line in lines[1:]}
        private += sizes["Pss_Anon"] + sizes["Pss_File"]
        shared += sizes["Pss_Shmem"]
    return (private + max(shared, shared_of_host() - SHARED_BEFORE)) * 1024


def shared_of_host() -> int:
    """Return the shared memory of all processes, mapped or not, in KiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Shmem:"))


SHARED_BEFORE = shared_of_host()


class Peak:
    """Watches memory in a thread; the largest sum counts."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        processes = family()
        while not self._over.wait(0.01):
            self.bytes = max(self.bytes, memory_of(processes))

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


# ---- Tasks ----


def make(megabytes: int) -> Any:
    """Make an array in a worker."""
    import numpy as np

    return np.full(megabytes * 2**20 // 8, 1.5)


def use(values: Any, folder: str, number: int, count: int) -> tuple[int, float]:
    """Read an array together with other tasks; return the process and what was seen.

    Nobody goes on before all are there, so that each is in a worker of its own.
    """
    seen = float(values.sum())
    Path(folder, f"{number}").touch()
    until = time.monotonic() + 120
    while len(os.listdir(folder)) < count and time.monotonic() < until:
        time.sleep(0.002)
    while not os.path.exists(f"{folder}.go") and time.monotonic() < until:
        time.sleep(0.002)
    return os.getpid(), seen


def look(values: Any) -> float:
    """Read one element."""
    return float(values[0])


# ---- Libraries ----


class Futures:
    """Oxidask and Dask: a client of a local cluster."""

    def __init__(self, library: str) -> None:
        if library == "oxidask":
            from oxidask.distributed import Client, LocalCluster

            self.cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1)
        else:
            from distributed import Client, LocalCluster

            self.cluster = LocalCluster(
                n_workers=WORKERS,
                threads_per_worker=1,
                dashboard_address=None,
                memory_limit=None,
                silence_logs=50,
            )
        self.client = Client(self.cluster)
        self.client.wait_for_workers(WORKERS)
        self.apart: list[str] = []

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function in a worker."""
        return self.client.submit(function, *args, pure=False)

    def call_apart(self, number: int, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function in a worker of its own, where the array was not made."""
        if type(self.client).__module__.startswith("oxidask"):
            return self.call(function, *args)
        # Dask would run all of them where the array is, one after the other.
        if number == 0:
            made = {address for holders in self.client.who_has().values() for address in holders}
            workers = sorted(self.client.scheduler_info()["workers"])
            self.apart = [one for one in workers if one not in made or len(made) > 1]
        return self.client.submit(function, *args, pure=False, workers=[self.apart[number]])

    def scatter(self, value: Any) -> Any:
        """Bring a value to the workers."""
        return self.client.scatter(value, broadcast=True)

    def wait(self, future: Any) -> None:
        """Wait until a result is there, without fetching it."""
        if type(future).__module__.startswith("oxidask"):
            from oxidask.distributed import wait
        else:
            from distributed import wait
        wait(future)

    def get(self, futures: list[Any]) -> list[Any]:
        """Return results."""
        return self.client.gather(futures)

    def close(self) -> None:
        """End what was started."""
        self.client.close()
        self.cluster.close()


class Ray:
    """Ray: tasks and its object store."""

    def __init__(self) -> None:
        import ray

        self.ray = ray
        ray.init(
            num_cpus=WORKERS,
            object_store_memory=4 * 10**9,
            include_dashboard=False,
            log_to_driver=False,
        )
        self.get([self.call(time.sleep, 0.2) for _ in range(2 * WORKERS)])

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function in a worker."""
        return self.ray.remote(num_cpus=1)(_plain(function)).remote(*args)

    def call_apart(self, number: int, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function in a worker of its own; it occupies one, so that the next gets another."""
        return self.call(function, *args)

    def scatter(self, value: Any) -> Any:
        """Bring a value to the workers."""
        return self.ray.put(value)

    def wait(self, future: Any) -> None:
        """Wait until a result is there, without fetching it."""
        self.ray.wait([future], fetch_local=False)

    def get(self, futures: list[Any]) -> list[Any]:
        """Return results."""
        return self.ray.get(futures)

    def close(self) -> None:
        """End what was started."""
        self.ray.shutdown()


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a builtin, which Ray does not take."""

    def call(*args: Any) -> Any:
        return function(*args)

    return call


def measure(measurement: Measurement) -> dict[str, Any]:
    """Bring an array to three other workers; return memory and times."""
    library = Ray() if measurement.library == "ray" else Futures(measurement.library)
    megabytes = measurement.megabytes
    size = megabytes * 2**20
    library.get([library.call(look, [1.0]) for _ in range(4 * WORKERS)])
    import_everywhere(library)
    mine = make(megabytes) if measurement.way == "scatter" else None
    # What the user's own copy takes is no cost of the library.
    time.sleep(1)
    idle = memory_of(family())
    users = WORKERS - 1
    with tempfile.TemporaryDirectory() as top, Peak() as peak:
        folder = Path(top, "users")
        folder.mkdir()
        start = time.perf_counter()
        array = library.scatter(mine) if mine is not None else library.call(make, megabytes)
        library.wait(array)
        uses = [library.call_apart(n, use, array, str(folder), n, users) for n in range(users)]
        until = time.monotonic() + 60
        while len(list(folder.iterdir())) < users:
            assert time.monotonic() < until, "the tasks do not run beside each other"
            time.sleep(0.01)
        first_use = time.perf_counter() - start
        time.sleep(1)
        steady = memory_of(family())
        Path(f"{folder}.go").touch()
        results = library.get(uses)
    assert len({process for process, _ in results}) == users, results
    assert {seen for _, seen in results} == {size // 8 * 1.5}
    second = []
    for _ in range(50):
        start = time.perf_counter()
        (value,) = library.get([library.call(look, array)])
        second.append(time.perf_counter() - start)
        assert value == 1.5
    library.close()
    return {
        "idle MB": idle / 2**20,
        "steady ×": (steady - idle) / size,
        "peak ×": (peak.bytes - idle) / size,
        "first use ms": first_use * 1e3,
        "second use ms": sorted(second)[len(second) // 2] * 1e3,
    }


def import_everywhere(library: Any) -> None:
    """Make all workers import NumPy before memory is read."""
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top, "warm")
        folder.mkdir()
        Path(f"{folder}.go").touch()
        import numpy as np

        few = np.ones(10)
        library.get(
            [library.call_apart(n, use, few, str(folder), n, WORKERS) for n in range(WORKERS)]
        )


def run_as_child(measurement: Measurement) -> int:
    """Measure in this process."""
    module = {"dask": "distributed"}.get(measurement.library, measurement.library)
    try:
        __import__(module)
    except ModuleNotFoundError:
        return NOT_INSTALLED
    answer = measure(measurement)
    harness.print_answer({**answer, "version": harness.versions([module]).get(module)})
    return 0


def run_measurement(measurement: Measurement, python: str) -> dict[str, Any] | None:
    """Measure in a fresh process; None if the library is not installed."""
    arguments = [str(Path(__file__).resolve()), "--child", json.dumps(asdict(measurement))]
    child = harness.run_child(arguments, python=python, timeout=300)
    if child.exit == NOT_INSTALLED:
        print(f"{measurement.library} is not installed in {python}: left out")
        return None
    if child.exit != 0:
        print(f"{measurement}: {child.error}")
    return {
        "library": measurement.library,
        "way": measurement.way,
        "array MB": measurement.megabytes,
        **child.answer,
        "exit": "killed" if child.exit is None else child.exit,
    }


def main() -> int:
    """Run the bench; the exit status is 1 if one of Oxidask's processes did not end well."""
    parser = harness.parser(__doc__)
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter that has the peers"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_as_child(Measurement(**json.loads(options.child)))
    megabytes = 50 if options.quick else 500
    rows = []
    for library in ("oxidask", "dask", "ray"):
        python = sys.executable if library == "oxidask" else options.peer_python
        for way in ("result", "scatter"):
            row = run_measurement(Measurement(library, way, megabytes), python)
            if row is not None:
                rows.append(row)
    print()
    harness.print_table(rows, COLUMNS)
    harness.print_load()
    harness.record("shared_memory", rows, options)
    ours = [row["exit"] for row in rows if row["library"] == "oxidask"]
    return 0 if ours and not any(ours) else 1


if __name__ == "__main__":
    sys.exit(main())
