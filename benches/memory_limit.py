"""What worker processes take of memory while results are three times what they may have.

Claims: with results of 3 × `memory_limit` in chunks of at most 32 MB the answer is right and the
workers never have more than 1.1 × the limit, for arrays, for frames of pandas with strings, and
for Python objects that only their worker has until memory gets short.

    python benches/memory_limit.py --plot memory.png
    python benches/memory_limit.py --workers 2

All chunks are made and kept, then each is read twice, together with another one. Memory is looked
at every 20 ms: the proportional set sizes (PSS) of the workers without shared memory, and all pages
of the shared memory of the cluster, mapped or not, once. This process and the one that workers are
forked from are not in it: they hold no results.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import harness
from oxidask.distributed import Client, LocalCluster, wait

COLUMNS = [
    *("results", "workers", "limit MB", "results MB", "spilled MB", "peak ×", "mean ×"),
    *("seconds", "answer"),
]
CHUNK = 32_000_000
PAUSE = 0.02


# ---- What is computed ----


def array(number: int, nbytes: int) -> Any:
    """Make an array of random numbers."""
    return np.random.default_rng(number).random(nbytes // 8)


def sum_of_arrays(one: Any, other: Any) -> float:
    """Read two arrays."""
    return float(one.sum() + other.sum())


def frame(number: int, nbytes: int) -> Any:
    """Make a frame with strings, each of them a Python object."""
    rows = nbytes // 80
    numbers = np.random.default_rng(number).integers(0, 1000, rows)
    names = pd.Series([f"name {one:04d}" for one in numbers], dtype=object)
    return pd.DataFrame({"number": numbers, "name": names})


def sum_of_frames(one: Any, other: Any) -> float:
    """Read two frames."""
    return float(sum(f.groupby("name", sort=False)["number"].sum().sum() for f in (one, other)))


def objects(number: int, nbytes: int) -> Any:
    """Make a list of arrays, which stays an object of its worker."""
    return [array(4 * number + part, nbytes // 4) for part in range(4)]


def sum_of_objects(one: Any, other: Any) -> float:
    """Read two lists."""
    return float(sum(part.sum() for part in one + other))


KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "arrays": (array, sum_of_arrays),
    "frames": (frame, sum_of_frames),
    "objects": (objects, sum_of_objects),
}


# ---- Memory ----


def private_nbytes(process: int) -> int:
    """Return the proportional set size of a process without shared memory."""
    wanted = ("Pss_Anon:", "Pss_File:")
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(wanted))


def shared_nbytes(processes: list[int]) -> int:
    """Return the pages of all shared memory that processes have open, each once."""
    blocks: dict[int, int] = {}
    for process in processes:
        try:
            for entry in os.scandir(f"/proc/{process}/fd"):
                if os.readlink(entry.path).startswith("/memfd:oxidask"):
                    status = os.stat(entry.path)
                    blocks[status.st_ino] = status.st_blocks * 512
        except OSError:
            continue
    return sum(blocks.values())


class Watch:
    """Looks at the memory of workers again and again."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.samples: list[tuple[float, int]] = []
        self.is_over = False
        self.thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        self.thread.join()

    def _look(self) -> None:
        begin = time.monotonic()
        while not self.is_over:
            workers = [one["pid"] for one in self.client.scheduler_info()["workers"].values()]
            nbytes = sum(map(private_nbytes, workers)) + shared_nbytes([os.getpid(), *workers])
            self.samples.append((time.monotonic() - begin, nbytes))
            time.sleep(PAUSE)


def measure(kind: str, workers: int, limit: int) -> tuple[dict[str, Any], list[tuple[float, int]]]:
    """Compute with three times what fits; return a row and the memory over time."""
    make, read = KINDS[kind]
    count = -(-3 * workers * limit // CHUNK)
    partners = [(7 * number + 3) % count for number in range(count)]
    begin = time.monotonic()
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, memory_limit=limit) as cluster,
        Client(cluster) as client,
        Watch(client) as watch,
    ):
        chunks = client.map(make, range(count), [CHUNK] * count)
        wait(chunks)
        info = next(iter(client.scheduler_info()["workers"].values()))
        spilled = info["metrics"]["spilled_bytes"]["disk"]
        sums = client.map(read, chunks, [chunks[partner] for partner in partners])
        answer = client.gather(sums)
    seconds = time.monotonic() - begin
    alone = [
        read(one, []) if kind == "objects" else read(one, one) / 2
        for one in (make(number, CHUNK) for number in range(count))
    ]
    expected = [one + alone[partner] for one, partner in zip(alone, partners, strict=True)]
    sizes = [nbytes for _, nbytes in watch.samples]
    row = {
        "results": kind,
        "workers": workers,
        "limit MB": limit // 1_000_000,
        "results MB": count * CHUNK // 1_000_000,
        "spilled MB": spilled // 1_000_000,
        "peak ×": max(sizes) / (workers * limit),
        "mean ×": sum(sizes) / len(sizes) / (workers * limit),
        "seconds": seconds,
        "answer": "right" if np.allclose(answer, expected, rtol=1e-12) else "WRONG",
    }
    return row, watch.samples


def plot(path: Path, curves: dict[str, list[tuple[float, int]]], budget: int) -> None:
    """Draw memory over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, samples in curves.items():
        axes.plot([at for at, _ in samples], [n / budget for _, n in samples], label=name, lw=1)
    for level, name in [(0.6, "spill"), (0.75, "no roots"), (0.9, "pause"), (1.1, "promised")]:
        axes.axhline(level, color="gray", lw=0.7, ls="--")
        axes.text(0, level, f" {name}", va="bottom", fontsize=8, color="gray")
    axes.set_xlabel("seconds")
    axes.set_ylabel("memory of workers / limit")
    axes.set_ylim(0, None)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    print(f"drawn to {path}")


def main() -> int:
    """Run the bench; the exit status is 1 if an answer is wrong or a limit was not kept."""
    parser = harness.parser(__doc__)
    parser.add_argument("--workers", type=int, default=1, help="how many, with the limit each")
    parser.add_argument("--plot", type=Path, help="draw memory over time into this file")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    limit = 300_000_000 if options.quick else 1_000_000_000
    rows, curves = [], {}
    for kind in options.kinds:
        row, curves[kind] = measure(kind, options.workers, limit)
        rows.append(row)
    harness.print_table(rows, COLUMNS)
    harness.print_load()
    if options.plot:
        plot(options.plot, curves, options.workers * limit)
    harness.record("memory_limit", rows, options)
    is_kept = all(row["peak ×"] <= 1.1 and row["answer"] == "right" for row in rows)
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
