"""Arrays of gigabytes in chunks of 32 MB: time and memory beside Dask, dask-array and Frisky.

Claims, for each case: the answer is right, it takes at most 1.05 times as long as the fastest peer
and at most as much memory as Dask with threads, and no peer is both faster and smaller.

    python benches/array_peers.py --peer-python /path/to/venv/bin/python
    python benches/array_peers.py --cases svd histogram --sources cheap --repeat 3

Each measurement is a process of its own with a thread for each core; libraries take turns, each
round begins with another one, and medians count. Memory is touched before, for a virtual machine
whose host has to find it first would be slow to whoever comes first. In each process the case is
first computed with small chunks and compared with NumPy. `source s` is the time to make the chunks
and throw them away, so that the rest is work. Chunks are random numbers of one seed (`random`), or
one chunk times a number (`cheap`, which Dask makes anew for each product of a matmul). `peak MB` is
what the process and its children had at most. Peers: Dask's threads, dask-array (the package of
that name) with the same threads, and dask-array on Frisky's cluster in a process. Frisky is told a
memory limit of 4 GB, but for the rechunk, which has to keep all; the others take none in a process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import harness

COLUMNS = [
    *("case", "source", "library", "GB", "seconds", "source s", "cpu s", "peak MB"),
    *("time ×", "peak ×", "answer", "exit"),
]
LIBRARIES = ["oxidask", "dask", "dask-array", "frisky"]
SOURCES = ["random", "cheap"]
SEED = 5
SOURCE = "source"
LIMIT = 4_000_000_000
PAUSE = 0.05
TOUCHED = 6_000_000_000

# Exit status of a child whose library is not installed.
NOT_INSTALLED = 77


# ---- What is computed: with the functions of one library, or with NumPy ----


def first(block: Any) -> Any:
    """Return one element."""
    return block[:1, :1].copy()


def corners(x: Any) -> Any:
    """Return the first element of each small block."""
    return x[::7, ::7]


def expression(x: Any) -> Any:
    """Meet each block beside the one across the diagonal."""
    return ((x + 1) * 2 + x.T).mean()


def laplace(block: Any) -> Any:
    """Return five-point differences; elements at the edge of the block stay zero."""
    result = np.zeros_like(block)
    inner = result[1:-1, 1:-1]
    np.add(block[2:, 1:-1], block[:-2, 1:-1], out=inner)
    inner += block[1:-1, 2:]
    inner += block[1:-1, :-2]
    inner -= 4 * block[1:-1, 1:-1]
    return result


def roughness(block: Any) -> Any:
    """Return a number for each column that needs neighbours along it."""
    return np.square(block[1:] - block[:-1]).sum(axis=0, keepdims=True)


def stencil(da: Any, x: Any) -> Any:
    """Apply a stencil, with the edge repeated beyond the ends."""
    return (da.map_overlap(laplace, x, depth=1, boundary="nearest", dtype=float) ** 2).sum()


def stencil_of_numpy(x: Any) -> Any:
    """Apply the stencil to a whole array."""
    return (laplace(np.pad(x, 1, mode="edge"))[1:-1, 1:-1] ** 2).sum()


def columns(da: Any, x: Any) -> Any:
    """Cut rows into as many columns, and reduce each."""
    width = -(-x.shape[1] // len(x.chunks[0]))
    turned = x.rechunk((x.shape[0], width))
    parts = tuple(1 for _ in turned.chunks[0])
    return da.map_blocks(roughness, turned, chunks=(parts, turned.chunks[1]), dtype=float)


def svd(da: Any, x: Any) -> Any:
    """Return the singular values of a high and narrow array."""
    return da.linalg.svd(x)[1]


def svd_of_numpy(x: Any) -> Any:
    """Return the singular values of a whole array."""
    return np.linalg.svd(x, full_matrices=False)[1]


def histogram(da: Any, x: Any) -> Any:
    """Count elements in a hundred bins."""
    return da.histogram(x, bins=100, range=(0, 1))[0]


def thin(da: Any, x: Any) -> Any:
    """Multiply by a few columns."""
    return x @ da.ones((x.shape[1], 16), chunks=(x.chunks[1], (16,)))


@dataclass(frozen=True)
class Case:
    """Something to compute, and over what.

    Attributes
    ----------
    ours : callable
        Makes it with a module like `dask.array` and an array.
    numpy : callable
        Makes it of a whole array.
    grid, quick : tuple of int
        Blocks along each axis.
    block : tuple of int
        Elements along each axis of a block: 32 MB.
    small : tuple of int
        The same for the comparison with NumPy.
    """

    ours: Callable[[Any, Any], Any]
    numpy: Callable[[Any], Any]
    grid: tuple[int, int] = (16, 16)
    quick: tuple[int, int] = (3, 3)
    block: tuple[int, int] = (2000, 2000)
    small: tuple[int, int] = (7, 7)


CASES = {
    SOURCE: Case(lambda da, x: da.map_blocks(first, x, dtype=float, chunks=(1, 1)), corners),
    "(x+1)*2+x.T": Case(lambda da, x: expression(x), expression),
    "std": Case(lambda da, x: x.std(axis=0), lambda x: x.std(axis=0)),
    "stencil": Case(stencil, stencil_of_numpy),
    "histogram": Case(histogram, lambda x: np.histogram(x, 100, (0, 1))[0]),
    "mask": Case(lambda da, x: x[x > 0.25].sum(), lambda x: x[x > 0.25].sum()),
    "thin matmul": Case(thin, lambda x: x @ np.ones((x.shape[1], 16))),
    "matmul": Case(
        lambda da, x: (x @ x).sum(axis=0), lambda x: (x @ x).sum(axis=0), (3, 3), (2, 2)
    ),
    "rechunk": Case(columns, lambda x: roughness(x), (128, 1), (4, 1), (125, 32000), (5, 40)),
    "svd": Case(svd, svd_of_numpy, (64, 1), (3, 1), (40000, 100), (60, 5)),
}


# ---- Chunks ----


@cache
def template(shape: tuple[int, ...]) -> Any:
    """Return the numbers that cheap chunks are multiples of."""
    return np.random.default_rng(SEED).random(shape)


def scaled(block_id: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """Return a cheap chunk, with numbers between 0 and 1 unlike those of other chunks."""
    place = block_id[0] * math.sqrt(2) + block_id[1] * math.sqrt(3)
    return template(shape) * (1 - place % 1 / 2)


def source(da: Any, kind: str, grid: tuple[int, int], block: tuple[int, int]) -> Any:
    """Return an array of such blocks."""
    shape = tuple(count * length for count, length in zip(grid, block, strict=True))
    if kind == "random":
        return da.random.default_rng(SEED).random(shape, chunks=block)
    template(block)
    chunks = tuple((length,) * count for count, length in zip(grid, block, strict=True))
    meta = np.empty((0, 0))
    return da.map_blocks(scaled, chunks=chunks, dtype=float, meta=meta, shape=block)


# ---- One measurement ----


@dataclass(frozen=True)
class Measurement:
    """One thing to measure, in its own process."""

    case: str
    source: str
    library: str
    is_quick: bool


@contextlib.contextmanager
def computing(measurement: Measurement) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Give a module like `dask.array`, and what computes its arrays."""
    if measurement.library == "oxidask":
        import oxidask.array as da
    elif measurement.library == "dask":
        import dask.array as da
    else:
        import dask_array as da
    if measurement.library != "frisky":
        yield da, lambda lazy: lazy.compute(scheduler="threads")
        return
    import frisky

    limit = None if measurement.case == "rechunk" else LIMIT
    threads = len(os.sched_getaffinity(0))
    cluster = frisky.LocalCluster(n_workers=1, threads_per_worker=threads, memory_limit=limit)
    client = cluster.get_client()
    try:
        yield da, lambda lazy: lazy.compute()
    finally:
        client.close()
        cluster.close()


def measure(measurement: Measurement) -> dict[str, Any]:
    """Compare a small one with NumPy, and compute a large one."""
    case = CASES[measurement.case]
    with computing(measurement) as (da, compute):
        x = source(da, measurement.source, case.quick, case.small)
        is_right = np.allclose(compute(case.ours(da, x)), case.numpy(compute(x)), rtol=1e-9)
        grid = case.quick if measurement.is_quick else case.grid
        begin, cpu_begin = time.perf_counter(), time.process_time()
        result = compute(case.ours(da, source(da, measurement.source, grid, case.block)))
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu_begin
        return {
            "GB": math.prod(grid) * math.prod(case.block) * 8 / 1e9,
            "seconds": seconds,
            "cpu s": cpu,
            "peak MB": most_of_this_process() / 1e6,
            "as NumPy": bool(is_right),
            "digest": digest(np.asarray(result, dtype=float)),
        }


def most_of_this_process() -> int:
    """Return the bytes that this process had at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def digest(result: Any) -> list[float]:
    """Return a few numbers that differ where results do."""
    weights = 1 + np.arange(result.size, dtype=float).reshape(result.shape) % 1009
    return [float(result.size), float(result.sum()), float((result * weights).sum())]


def run_as_child(measurement: Measurement) -> int:
    """Measure and send the answer to the parent."""
    try:
        answer = measure(measurement)
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        return NOT_INSTALLED
    harness.print_answer(answer)
    return 0


# ---- All of them ----


class Watch:
    """Looks at the memory of this process's children together, again and again."""

    def __init__(self) -> None:
        self.most = 0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.is_over.wait(PAUSE):
            self.most = max(self.most, sum(map(resident, descendants(os.getpid()))))


def descendants(process: int) -> list[int]:
    """Return the children of a process, theirs, and so on."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            for child in Path(f"/proc/{process}/task/{thread}/children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def resident(process: int) -> int:
    """Return the bytes of memory that a process has; 0 if it is gone."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def run(measurement: Measurement, peer_python: str) -> dict[str, Any] | None:
    """Run one measurement; return its row, or None if the library is not there."""
    python = sys.executable if measurement.library == "oxidask" else peer_python
    arguments = [str(Path(__file__).resolve()), "--child", json.dumps(asdict(measurement))]
    if not measurement.is_quick:
        touch = f"import numpy; numpy.empty({TOUCHED}, 'u1').fill(1)"
        subprocess.run([sys.executable, "-c", touch], check=True)
    with Watch() as watch:
        child = harness.run_child(arguments, python=python, timeout=600)
    if child.exit == NOT_INSTALLED:
        return None
    exit_status = "killed" if child.exit is None else child.exit
    if child.exit != 0:
        print(f"{measurement}: exit {exit_status}: {child.error}")
    row = {**asdict(measurement), **child.answer, "exit": exit_status}
    row["peak MB"] = max(row.get("peak MB", 0), watch.most / 1e6)
    return row


def median_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of the rounds of one measurement."""
    failed = [row for row in rows if row["exit"] != 0]
    if failed:
        return failed[0]
    keys = ("seconds", "cpu s", "peak MB")
    medians = {key: statistics.median(row[key] for row in rows) for key in keys}
    alike = all(np.allclose(row["digest"], rows[0]["digest"], rtol=1e-9) for row in rows)
    is_right = alike and all(row["as NumPy"] for row in rows)
    return {**rows[0], **medians, "rounds": len(rows), "as NumPy": is_right}


def compare(rows: list[dict[str, Any]]) -> None:
    """Add to the rows of one case how they stand to each other."""
    ended = [row for row in rows if row["exit"] == 0]
    peers = [row for row in ended if row["library"] != "oxidask"]
    dask = next((row for row in ended if row["library"] == "dask"), None)
    for row in ended:
        if peers:
            row["time ×"] = row["seconds"] / min(peer["seconds"] for peer in peers)
        if dask:
            row["peak ×"] = row["peak MB"] / dask["peak MB"]
        others = [other["digest"] for other in ended]
        agree = all(np.allclose(row["digest"], other, rtol=1e-9) for other in others)
        row["answer"] = "right" if row["as NumPy"] and agree else "WRONG"


def losses(rows: list[dict[str, Any]]) -> list[str]:
    """Say what is not as claimed in one case."""
    ours = next((row for row in rows if row["library"] == "oxidask"), None)
    if ours is None or ours["exit"] != 0 or ours["answer"] != "right":
        return ["no right answer"]
    found = []
    if ours.get("time ×", 0) > 1.05:
        found.append(f"takes {ours['time ×']:.2f} times as long as the fastest peer")
    if ours.get("peak ×", 0) > 1:
        found.append(f"takes {ours['peak ×']:.2f} times as much memory as Dask")
    found += [
        f"{row['library']} is faster and smaller"
        for row in rows
        if row["exit"] == 0
        and row["seconds"] < ours["seconds"]
        and row["peak MB"] < ours["peak MB"]
    ]
    return found


def summary(
    medians: dict[Measurement, dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return rows with comparisons, and what is not as claimed."""
    of_cases: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one, row in medians.items():
        of_cases.setdefault((one.case, one.source), []).append(row)
        alone = medians.get(Measurement(SOURCE, one.source, one.library, one.is_quick), {})
        if "seconds" in alone and "GB" in row:
            row["source s"] = alone["seconds"] * row["GB"] / alone["GB"]
    lost = []
    for (case, kind), rows in of_cases.items():
        compare(rows)
        if case != SOURCE:
            lost += [f"{case} ({kind}): {loss}" for loss in losses(rows)]
    return [row for rows in of_cases.values() for row in rows], lost


def main() -> int:
    """Run the bench; the exit status is 1 if a claim does not hold."""
    parser = harness.parser(__doc__)
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with the peers")
    parser.add_argument("--repeat", type=int, default=5, help="rounds; medians count")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--sources", nargs="*", choices=SOURCES, default=SOURCES)
    parser.add_argument("--libraries", nargs="*", choices=LIBRARIES, default=LIBRARIES)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_as_child(Measurement(**json.loads(options.child)))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    libraries = list(options.libraries)
    found: dict[Measurement, list[dict[str, Any]]] = {}
    for number in range(1 if options.quick else options.repeat):
        for case in options.cases:
            for kind in options.sources:
                first_of_round = number % len(libraries)
                for library in libraries[first_of_round:] + libraries[:first_of_round]:
                    measurement = Measurement(case, kind, library, options.quick)
                    row = run(measurement, options.peer_python)
                    if row is None:
                        print(f"{library} is not installed in {options.peer_python}: left out")
                        libraries.remove(library)
                        continue
                    found.setdefault(measurement, []).append(row)
    medians = {measurement: median_row(rows) for measurement, rows in found.items()}
    rows, lost = summary(medians)
    print()
    harness.print_table(rows, COLUMNS)
    print("\n".join(lost) if lost else "no peer is faster, smaller, or both beyond what is claimed")
    harness.print_load()
    harness.record("array_peers", rows, options)
    wrong = [row for row in rows if row["library"] == "oxidask" and row.get("answer") != "right"]
    return 1 if wrong or (lost and not options.quick) else 0


if __name__ == "__main__":
    sys.exit(main())
