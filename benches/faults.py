"""What users see when something goes wrong: ten faults, on Oxidask, Dask and Frisky.

Claims: with Oxidask each fault has the end that a user would call right: the answer, or an error
that names the task and the cause; tasks that have no part in it give their answers.

    python benches/faults.py --peer-python /path/to/venv/bin/python --page docs/guide/faults.md

Each fault is a process of its own, with a cluster of two worker processes of one thread each and
the library's own settings otherwise. One that has not ended after `--patience` seconds hangs. The
page is written anew from its table on, with the last trial of each fault.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from harness import inc

LIBRARIES = {"oxidask": "oxidask", "dask": "distributed", "frisky": "frisky"}
TITLES = {"oxidask": "Oxidask", "dask": "Dask", "frisky": "Frisky"}

# Exit status of a child whose library is not installed.
NOT_INSTALLED = 77

LIMIT = 300_000_000
CHUNK = 20_000_000
DISK = 200_000_000
# It writes there, whatever the environment says.
FRISKYS_FOLDER = "/tmp/frisky"
NUMBER_OF_CHUNKS = 2 * 3 * LIMIT // CHUNK


# ---- The libraries ----


@contextmanager
def connected(
    library: str, memory_limit: int | None = None, folder: str | None = None
) -> Iterator[Any]:
    """Start a cluster of two worker processes, and a client.

    A folder for what does not fit into memory is also where temporary files go.
    """
    limits: dict[str, Any] = {} if memory_limit is None else {"memory_limit": memory_limit}
    if library == "frisky":
        from frisky import LocalCluster

        with LocalCluster(2, 1, processes=True, silence_summary=True, **limits) as cluster:
            yield cluster.get_client()
        return
    if folder is not None:
        limits["local_directory"] = folder
    if library == "oxidask":
        from oxidask.distributed import Client, LocalCluster

        options = limits
    else:
        from distributed import Client, LocalCluster

        options = {"silence_logs": 50, **limits}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, **options) as it,
        Client(it) as client,
    ):
        yield client


def submit(client: Any, function: Callable[..., Any], *args: Any) -> Any:
    """Submit a call that is not taken for an equal one; each library has its way."""
    if hasattr(client, "dump_state"):
        return client.submit(function, *args, key=f"{function.__name__}-{os.urandom(6).hex()}")
    return client.submit(function, *args, pure=False)


def processes_of(client: Any) -> list[int]:
    """Find the processes of both workers."""
    found: set[int] = set()
    until = time.monotonic() + 20
    while len(found) < 2 and time.monotonic() < until:
        found |= set(client.gather([submit(client, process_id, 0.05) for _ in range(4)]))
    return sorted(found)


# ---- What tasks do ----


class TwoArguments(Exception):
    """Cannot be read from a plain pickle, which calls it with one argument."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")


class Unpicklable(Exception):
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise TypeError("this exception stays at home")


def process_id(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def raise_two_arguments() -> None:
    raise TwoArguments(7, "seven")


def raise_unpicklable() -> None:
    raise Unpicklable("what it says")


def return_a_lock() -> Any:
    return {"lock": threading.Lock()}


def crash() -> None:
    ctypes.string_at(0)


def allocate(nbytes: int) -> int:
    """Take memory in steps, and hold it for a moment."""
    import numpy as np

    taken = []
    for _ in range(0, nbytes, CHUNK):
        taken.append(np.ones(CHUNK, dtype=np.uint8))
        time.sleep(0.02)
    time.sleep(1)
    return len(taken)


def chunk(number: int) -> Any:
    """Make an array that takes its bytes on disk, too, whoever compresses."""
    import numpy as np

    return np.random.default_rng(number).integers(0, 2**62, CHUNK // 8)


def total(*arrays: Any) -> int:
    return sum(int(array.sum()) for array in arrays)


def nap(seconds: float, value: int) -> int:
    time.sleep(seconds)
    return value


def ask_ten(library: str, address: str) -> int:
    """Submit ten calls from a task, and wait for them."""
    if library == "oxidask":
        from oxidask.distributed import get_client

        client = get_client()
    elif library == "dask":
        from distributed import get_client

        client = get_client()
    else:
        from frisky import Client

        client = Client(address)
    return sum(client.gather([submit(client, inc, i) for i in range(10)]))


# ---- The faults ----


def ended(future: Any) -> str:
    """Say what a future gives."""
    try:
        value = future.result()
    except BaseException as error:
        return described(error)
    return f"returns {value!r}"


def described(error: BaseException) -> str:
    """Say what an error is, and the first line of what it says."""
    first = (str(error).strip().splitlines() or [""])[0]
    readable = "".join(sign for sign in first if sign.isprintable() and sign != "\ufffd")
    return f"`{type(error).__name__}`: {readable}".rstrip(": ")


def answers(found: Any, right: Any) -> str:
    """Say whether an answer is right."""
    return "right answer" if found == right else "WRONG answer"


def exception_of_two_arguments(library: str) -> list[str]:
    with connected(library) as client:
        return [ended(submit(client, raise_two_arguments)), good_after(client)]


def unpicklable_exception(library: str) -> list[str]:
    with connected(library) as client:
        return [ended(submit(client, raise_unpicklable)), good_after(client)]


def unpicklable_result(library: str) -> list[str]:
    with connected(library) as client:
        return [ended(submit(client, return_a_lock)), good_after(client)]


def segmentation_fault(library: str) -> list[str]:
    with connected(library) as client:
        others = [submit(client, nap, 0.02, i) for i in range(20)]
        crashing = submit(client, crash)
        others += [submit(client, nap, 0.02, i) for i in range(20)]
        return [ended(crashing), f"the others: {gathered(client, others, [*range(20)] * 2)}"]


def killed_worker(library: str) -> list[str]:
    with connected(library) as client:
        made = [submit(client, chunk, i) for i in range(10)]
        client.gather([submit(client, total, one) for one in made])
        os.kill(processes_of(client)[0], signal.SIGKILL)
        sums = [submit(client, total, one) for one in made]
        return [gathered(client, sums, [total(chunk(i)) for i in range(10)])]


def stopped_worker(library: str) -> list[str]:
    with connected(library) as client:
        victim = processes_of(client)[0]
        os.kill(victim, signal.SIGSTOP)
        try:
            futures = [submit(client, nap, 0.02, i) for i in range(20)]
            return [gathered(client, futures, list(range(20)))]
        finally:
            os.kill(victim, signal.SIGCONT)


def huge_allocation(library: str) -> list[str]:
    with connected(library, LIMIT) as client:
        others = [submit(client, nap, 0.02, i) for i in range(20)]
        glutton = submit(client, allocate, 2_000_000_000)
        return [ended(glutton), f"the others: {gathered(client, others, list(range(20)))}"]


def more_than_memory(library: str) -> list[str]:
    with connected(library, LIMIT) as client:
        return [read_all(client)]


def full_disk(library: str) -> list[str]:
    with connected(library, LIMIT, os.environ["TMPDIR"]) as client:
        return [read_all(client), good_after(client)]


def tasks_that_wait(library: str) -> list[str]:
    with connected(library) as client:
        address = client.scheduler_address if library == "frisky" else ""
        futures = [submit(client, ask_ten, library, address) for _ in range(10)]
        return [gathered(client, futures, [55] * 10)]


def read_all(client: Any) -> str:
    """Make all chunks, keep them, and read each twice; say what memory that took."""
    with Peak() as peak:
        said = made_and_read(client)
    return f"{said}, workers took {peak.nbytes // 1_000_000} MB at most"


def made_and_read(client: Any) -> str:
    made = [submit(client, chunk, i) for i in range(NUMBER_OF_CHUNKS)]
    partners = [(7 * i + 3) % NUMBER_OF_CHUNKS for i in range(NUMBER_OF_CHUNKS)]
    sums = [submit(client, total, made[i], made[partners[i]]) for i in range(NUMBER_OF_CHUNKS)]
    alone = [total(chunk(i)) for i in range(NUMBER_OF_CHUNKS)]
    right = [alone[i] + alone[partners[i]] for i in range(NUMBER_OF_CHUNKS)]
    return gathered(client, sums, right)


def gathered(client: Any, futures: list[Any], right: list[Any]) -> str:
    """Say whether gathering gives the right answers."""
    try:
        return answers(client.gather(futures), right)
    except BaseException as error:
        return described(error)


def good_after(client: Any) -> str:
    """Say whether the cluster still works."""
    return f"afterwards: {gathered(client, [submit(client, inc, 1)], [2])}"


@dataclass(frozen=True)
class Fault:
    """What goes wrong, in words, and how."""

    title: str
    do: Callable[[str], list[str]]


FAULTS = {
    fault.do.__name__: fault
    for fault in (
        Fault(
            "A task raises an exception whose class takes two arguments",
            exception_of_two_arguments,
        ),
        Fault("A task raises an exception that cannot be pickled", unpicklable_exception),
        Fault("A task returns what cannot be pickled, a lock", unpicklable_result),
        Fault(
            "A task crashes its process (segmentation fault) beside 40 others",
            segmentation_fault,
        ),
        Fault("A worker that holds results is killed (SIGKILL)", killed_worker),
        Fault("A worker is stopped (SIGSTOP) and stays so; 20 tasks are submitted", stopped_worker),
        Fault(
            "A task takes 2 GB where workers may have 300 MB each, beside 20 others",
            huge_allocation,
        ),
        Fault(
            "Results of 1.8 GB where both workers may have 600 MB together; each is read twice",
            more_than_memory,
        ),
        Fault("The same, and the disk has 200 MB", full_disk),
        Fault(
            "10 tasks submit 10 tasks each and wait for them, with two threads in all",
            tasks_that_wait,
        ),
    )
}


# ---- Memory ----


class Peak:
    """Looks at the memory of this process's children, of any depth, again and again."""

    def __init__(self) -> None:
        self.nbytes = 0
        self.is_over = False
        self.thread = threading.Thread(target=self._look)

    def __enter__(self) -> Peak:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        self.thread.join()

    def _look(self) -> None:
        while not self.is_over:
            processes = descendants()
            nbytes = sum(map(private_nbytes, processes))
            self.nbytes = max(self.nbytes, nbytes + shared_nbytes([os.getpid(), *processes]))
            time.sleep(0.05)


def descendants() -> list[int]:
    """Find the processes that this one has started, and theirs."""
    found = [os.getpid()]
    for process in found:
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found[1:]


def private_nbytes(process: int) -> int:
    """Return the proportional set size of a process without shared memory."""
    wanted = ("Pss_Anon:", "Pss_File:")
    with suppress(OSError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(wanted))
    return 0


def shared_nbytes(processes: list[int]) -> int:
    """Return the pages of all memory files that processes have open, each once."""
    blocks: dict[int, int] = {}
    for process in processes:
        with suppress(OSError):
            for entry in os.scandir(f"/proc/{process}/fd"):
                if os.readlink(entry.path).startswith(("/memfd:", "/dev/shm/")):
                    status = os.stat(entry.path)
                    blocks[status.st_ino] = status.st_blocks * 512
    return sum(blocks.values())


# ---- Running them ----


@dataclass(frozen=True)
class Trial:
    """One fault on one library, in its own process."""

    library: str
    fault: str


def run_as_child(trial: Trial) -> int:
    """Do harm in this process and say what came of it."""
    module = LIBRARIES[trial.library]
    try:
        __import__(module)
    except ModuleNotFoundError:
        return NOT_INSTALLED
    begin = time.monotonic()
    said = FAULTS[trial.fault].do(trial.library)
    seconds = time.monotonic() - begin
    harness.print_answer(
        {"said": said, "seconds": seconds, "version": harness.versions([module])[module]}
    )
    return 0


def run_trial(trial: Trial, python: str, patience: float) -> dict[str, Any] | None:
    """Run a fault in a fresh process; None if the library is not installed."""
    arguments = [str(Path(__file__).resolve()), "--child", json.dumps(vars(trial))]
    with tempfile.TemporaryDirectory() as folder:
        if trial.fault == "full_disk":
            disk = FRISKYS_FOLDER if trial.library == "frisky" else folder
            os.makedirs(disk, exist_ok=True)
            arguments, python = with_a_small_disk(disk, python, arguments)
        child = harness.run_child(arguments, python=python, timeout=patience)
    if child.exit == NOT_INSTALLED:
        return None
    if child.exit is None:
        said = [f"hangs: no end after {patience:.0f} s"]
    elif child.exit != 0 and not child.answer:
        said = [f"the client's process ends with status {child.exit}: {child.error}"]
    else:
        said = child.answer["said"]
    row = {**vars(trial), **child.answer, "said": said, "exit": child.exit}
    return row


def with_a_small_disk(folder: str, python: str, arguments: list[str]) -> tuple[list[str], str]:
    """Say how to run something with a disk of its own for temporary files."""
    mount = f'mount -t tmpfs -o size={DISK} tmpfs "$0" && TMPDIR="$0" exec "$@"'
    command = ["--map-root-user", "--mount", "sh", "-c", mount, folder, python, *arguments]
    return command, "unshare"


# ---- The page ----

HEADING = "## The table\n"


def latest_rows(results: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Read the last trial of each fault on each library."""
    lines = (results / "faults.json").read_text(encoding="utf-8").splitlines()
    return {(row["library"], row["fault"]): row for row in map(json.loads, lines)}


def page_of(above: str, rows: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Write the page: what stood above the table, and the table."""
    versions = {row["library"]: row["version"] for row in rows.values() if "version" in row}
    names = ", ".join(f"{TITLES[name]} {versions[name]}" for name in TITLES if name in versions)
    last = max(rows.values(), key=lambda row: row["time"])
    lines = [
        above.partition(HEADING)[0] + HEADING,
        f"{names}; CPython {last['python']}; {last['time'][:10]}.",
        "Seconds are of the whole trial, with the start of the cluster.",
        "",
        "| fault | " + " | ".join(TITLES.values()) + " |",
        "|---" * (1 + len(TITLES)) + "|",
    ]
    for name, fault in FAULTS.items():
        cells = [
            cell_of(rows[library, name]) if (library, name) in rows else "–" for library in TITLES
        ]
        lines.append(f"| {fault.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell_of(row: dict[str, Any]) -> str:
    """Write what came of a fault, for a table of Markdown."""
    texts = [textwrap.shorten(text, 160, placeholder=" …") for text in row["said"]]
    seconds = f" ({row['seconds']:.0f} s)" if "seconds" in row else ""
    return ("; ".join(texts) + seconds).replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Run all trials; the exit status is 1 if Oxidask hangs or dies in one."""
    parser = harness.parser(__doc__)
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter that has the peers"
    )
    parser.add_argument("--patience", type=float, default=120, help="seconds that a trial may take")
    parser.add_argument("--page", type=Path, help="write the table there")
    parser.add_argument("--libraries", nargs="*", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--faults", nargs="*", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_as_child(Trial(**json.loads(options.child)))
    rows, missing = [], set()
    for fault in options.faults:
        for library in options.libraries:
            if library in missing:
                continue
            python = sys.executable if library == "oxidask" else options.peer_python
            row = run_trial(Trial(library, fault), python, options.patience)
            if row is None:
                print(f"{library} is not installed in {python}: left out")
                missing.add(library)
                continue
            rows.append(row)
            print(f"{fault}, {library}: {cell_of(row)}", flush=True)
    harness.record("faults", rows, options)
    if options.page:
        above = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
        page = page_of(above, latest_rows(options.results))
        options.page.write_text(page, encoding="utf-8")
    return int(any(row["library"] == "oxidask" and row["exit"] != 0 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
