"""Static structure factor of hydrogen molecules, in parallel over configurations.

X-rays and neutrons scattered by a liquid see S(k) = ⟨|ρ(k)|²⟩ / N with
ρ(k) = Σ_j exp(−i k·r_j). Each of the 64 configurations in `data/` gives one |ρ(k)|² / N for
thousands of wave vectors k; what is wanted is their mean and its standard error. Every
configuration can be worked on by itself, so one `delayed` around the function that a plain
loop would call is all that is needed, and NumPy works on the lazy values as on arrays.

    python examples/structure_factor.py            # n = 8, about a minute
    python examples/structure_factor.py --n 14     # as large as in the talk

The script times the plain loop against the parallel run, checks that both give the same
numbers, and writes the task graph and a plot of S(k). The plain loop is one core: the kernels
below use element-wise NumPy and `einsum`, which are never threaded, and no BLAS.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tarfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Nothing below calls BLAS. This keeps it from starting threads when NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd

import oxidask
from oxidask import delayed
from oxidask.diagnostics import ProgressBar

HERE = Path(__file__).resolve().parent
DATA = HERE / "data" / "rs1.49T2000N2592-h2.tgz"

# Wave vectors handled by one NumPy call. 512 of them times 1,243 molecules are 5 MB in each of
# two buffers: calls of milliseconds without the GIL, in memory that the cache mostly holds.
BLOCK = 512

# Serial and parallel may add the same numbers in another order.
TOLERANCE = 1e-12

# The picture shows the graph of the first few configurations; all 64 would be a wide ribbon.
PICTURED = 4


# Mean and standard error of S(k), each of shape (wave vectors,).
Results = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Configuration:
    """Where the molecules were at one moment.

    Attributes
    ----------
    positions : ndarray, shape (molecules, 3)
        Centres of the molecules, in bohr.
    box : ndarray, shape (3,)
        Edge lengths of the periodic box, in bohr.
    """

    positions: np.ndarray
    box: np.ndarray


def read_configurations(path: Path) -> list[Configuration]:
    """Read all configurations of the JSON table in a `.tgz`, without unpacking it to disk."""
    with tarfile.open(path) as archive:
        member = next(member for member in archive if member.isfile())
        table = pd.read_json(archive.extractfile(member))
    return [
        Configuration(np.array(positions, dtype=float), np.array(box, dtype=float))
        for positions, box in zip(table["positions"], table["box"], strict=True)
    ]


def wavevectors(box: np.ndarray, n: int) -> np.ndarray:
    """List the wave vectors that fit a periodic box, one of each ±k except where n_x = 0.

    Parameters
    ----------
    box : ndarray, shape (3,)
        Edge lengths, in bohr.
    n : int
        0 ≤ n_x ≤ n and −n ≤ n_y, n_z ≤ n; the zero vector is left out.

    Returns
    -------
    ndarray, shape ((n + 1) (2n + 1)² − 1, 3)
        k = 2π (n_x/L_x, n_y/L_y, n_z/L_z), in 1/bohr.
    """
    half, full = np.arange(n + 1), np.arange(-n, n + 1)
    index = np.stack(np.meshgrid(half, full, full, indexing="ij"), axis=-1).reshape(-1, 3)
    return 2 * np.pi / box * index[index.any(axis=1)]


def squared_density_blocks(positions: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Compute |ρ(k)|² a block of wave vectors at a time: long NumPy calls without the GIL.

    Parameters
    ----------
    positions : ndarray, shape (molecules, 3)
        In bohr.
    k : ndarray, shape (wave vectors, 3)
        In 1/bohr.

    Returns
    -------
    ndarray, shape (wave vectors,)
    """
    result = np.empty(len(k))
    # Fresh buffers in every block would be page faults, for which threads queue.
    buffers = np.empty((2, min(BLOCK, len(k)), len(positions)))
    for start in range(0, len(k), BLOCK):
        block = k[start : start + BLOCK]
        phase, wave = buffers[:, : len(block)]
        np.einsum("kd,jd->kj", block, positions, out=phase)
        real = np.cos(phase, out=wave).sum(axis=1)
        imaginary = np.sin(phase, out=wave).sum(axis=1)
        result[start : start + BLOCK] = real**2 + imaginary**2
    return result


def squared_density_loop(positions: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Compute |ρ(k)|² for one wave vector after the other: short calls, much Python.

    The same numbers as `squared_density_blocks`, written as one would at first. Threads spend
    a good part of it waiting for the GIL.
    """
    result = np.empty(len(k))
    for i, vector in enumerate(k):
        phase = np.einsum("jd,d->j", positions, vector)
        result[i] = np.cos(phase).sum() ** 2 + np.sin(phase).sum() ** 2
    return result


def squared_density_python(positions: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Compute |ρ(k)|² for one wave vector and one molecule after the other: nothing but Python.

    The same numbers again, a hundred times slower. With a GIL threads do not help at all; on a
    free-threaded build of Python two of them take half the time.
    """
    molecules = positions.tolist()
    result = np.empty(len(k))
    for i, (kx, ky, kz) in enumerate(k.tolist()):
        real = imaginary = 0.0
        for x, y, z in molecules:
            phase = kx * x + ky * y + kz * z
            real += math.cos(phase)
            imaginary += math.sin(phase)
        result[i] = real**2 + imaginary**2
    return result


KERNELS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "blocks": squared_density_blocks,
    "loop": squared_density_loop,
    "python": squared_density_python,
}


def structure_factor(
    positions: np.ndarray, box: np.ndarray, n: int = 8, kernel: str = "blocks"
) -> np.ndarray:
    """Compute S(k) = |ρ(k)|² / N of one configuration.

    Parameters
    ----------
    positions : ndarray, shape (molecules, 3)
        Centres of the molecules, in bohr.
    box : ndarray, shape (3,)
        Edge lengths of the periodic box, in bohr.
    n : int, optional
        Largest index of a wave vector along each axis.
    kernel : {"blocks", "loop", "python"}, optional
        Which function computes |ρ(k)|².

    Returns
    -------
    ndarray, shape (wave vectors,)
        S(k) in the order of `wavevectors(box, n)`; no unit.
    """
    return KERNELS[kernel](positions, wavevectors(box, n)) / len(positions)


def mean_and_error(samples: list[Any]) -> tuple[Any, Any]:
    """Average samples and estimate how far off the average is.

    Parameters
    ----------
    samples : list of ndarray, or list of Delayed
        One S(k) for each configuration, all of one shape.

    Returns
    -------
    mean, error : ndarray, or Delayed
        Mean and standard error at each k. Lazy if the samples are: nothing is computed here.
    """
    mean = np.mean(samples, axis=0)
    mean_of_squares = np.mean([sample**2 for sample in samples], axis=0)
    error = (mean_of_squares - mean**2) ** 0.5 / len(samples) ** 0.5
    return mean, error


def average_shells(
    k: np.ndarray, mean: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average over wave vectors of equal length, rounded to 1/100 per bohr.

    Parameters
    ----------
    k : ndarray, shape (wave vectors, 3)
        In 1/bohr.
    mean, error : ndarray, shape (wave vectors,)
        S(k) and its standard error.

    Returns
    -------
    length, mean, error : ndarray, shape (shells,)
        |k| in 1/bohr, increasing; S; its error, from those of the wave vectors in the shell as
        if they were independent. (k and −k are not: the few with n_x = 0 count for half.)
    """
    length, shell = np.unique(np.linalg.norm(k, axis=1).round(2), return_inverse=True)
    size = np.bincount(shell)
    independent = np.bincount(shell, weights=np.where(k[:, 0] > 0, 1.0, 0.5))
    variance = np.bincount(shell, weights=error**2) / size / independent
    return length, np.bincount(shell, weights=mean) / size, variance**0.5


def run_serial(configurations: Iterable[Configuration], n: int, kernel: str) -> Results:
    """Compute mean and error of S(k) with a plain loop."""
    return mean_and_error([structure_factor(c.positions, c.box, n, kernel) for c in configurations])


def build_parallel(configurations: Iterable[Configuration], n: int, kernel: str) -> tuple[Any, Any]:
    """Describe the same as `run_serial`, lazily; the two values returned are Delayed."""
    return mean_and_error(
        [delayed(structure_factor)(c.positions, c.box, n, kernel) for c in configurations]
    )


def relative_difference(one: Results, other: Results) -> float:
    """Return the largest |one − other| / |other|, not a number if there is one among them."""
    return float(np.max([np.abs(x - y) / np.abs(y) for x, y in zip(one, other, strict=True)]))


def draw_shells(
    path: Path, length: np.ndarray, mean: np.ndarray, error: np.ndarray, *, complete: float
) -> None:
    """Plot S(k) with error bars to `path` with the suffixes .png and .svg.

    Shells beyond `complete` (1/bohr) reach out of the box of wave vectors and hold fewer of
    them, so their errors are larger; a line marks the place.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    axes.errorbar(
        length, mean, error, fmt="o", markersize=3, elinewidth=1, capsize=1.5, color="#b7410e"
    )
    axes.axhline(1, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
    axes.axvline(complete, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    axes.annotate(
        "shells complete up to here",
        (complete, 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-5, 0),
        textcoords="offset points",
        ha="right",
        va="top",
        color="0.4",
    )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("wave number $k$  (1/bohr)")
    axes.set_ylabel("structure factor $S(k)$")
    axes.set_title("Hydrogen molecules, $r_s = 1.49$, 2000 K", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    for suffix in (".png", ".svg"):
        figure.savefig(path.with_suffix(suffix), dpi=150)
    plt.close(figure)


def print_shells(length: np.ndarray, mean: np.ndarray, error: np.ndarray, rows: int = 8) -> None:
    """Print S(k) of a few shells, evenly spread."""
    print(f"{'k (1/bohr)':>12} {'S(k)':>10} {'error':>10}")
    for i in np.unique(np.linspace(0, len(length) - 1, rows).astype(int)):
        print(f"{length[i]:12.2f} {mean[i]:10.5f} {error[i]:10.5f}")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--n", type=int, default=8, help="largest index of a wave vector on each axis (8)"
    )
    parser.add_argument(
        "--kernel",
        choices=list(KERNELS),
        default="blocks",
        help="blocks: long NumPy calls that leave the GIL to others (default); "
        "loop: a Python loop over k, which threads have to queue for; "
        "python: loops over k and molecules without NumPy, for small n",
    )
    parser.add_argument(
        "--threads", type=int, help="workers of the parallel run (default: one for each core)"
    )
    parser.add_argument(
        "--scheduler",
        default="threads",
        help="of the parallel run: threads (default), processes or sync",
    )
    parser.add_argument(
        "--repeat", type=int, default=3, help="pairs of a serial and a parallel run (3)"
    )
    parser.add_argument(
        "--output", type=Path, default=HERE / "output", help="folder for pictures (examples/output)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="the .tgz with the JSON table")
    options = parser.parse_args(arguments)
    for name in ("n", "repeat"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}; give 1 or more")
    return options


def draw_graph(path: Path, configurations: list[Configuration], n: int, kernel: str) -> None:
    """Draw the tasks for the first few configurations to an SVG file."""
    mean, error = build_parallel(configurations[:PICTURED], n, kernel)
    oxidask.visualize(mean, error, filename=str(path))


def compare(
    configurations: list[Configuration], options: argparse.Namespace
) -> tuple[list[tuple[float, float]], Results, Results]:
    """Run serially and in parallel, in turns.

    Returns
    -------
    pairs : list of (float, float)
        Seconds of the serial and of the parallel run.
    serial, parallel : (ndarray, ndarray)
        Mean and error of S(k) from the last pair.
    """
    workers = {} if options.threads is None else {"num_workers": options.threads}
    pairs = []
    for pair in range(options.repeat):
        start = time.perf_counter()
        serial = run_serial(configurations, options.n, options.kernel)
        serial_seconds = time.perf_counter() - start
        print(f"pair {pair + 1}: serial took {serial_seconds:.2f} s, now parallel")

        start = time.perf_counter()
        mean, error = build_parallel(configurations, options.n, options.kernel)
        with ProgressBar():
            parallel = oxidask.compute(mean, error, scheduler=options.scheduler, **workers)
        pairs.append((serial_seconds, time.perf_counter() - start))
    return pairs, serial, parallel


def print_timings(pairs: list[tuple[float, float]], threads: int | None) -> None:
    """Print the seconds of each pair, their ratio, and how busy the machine was."""
    print(f"\n{'pair':>12} {'serial (s)':>10} {'parallel (s)':>12} {'ratio':>8}")
    for pair, (serial, parallel) in enumerate(pairs, 1):
        print(f"{pair:12} {serial:10.2f} {parallel:12.2f} {serial / parallel:8.2f}")
    speed_up = statistics.median(serial / parallel for serial, parallel in pairs)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    print(
        f"speed-up {speed_up:.2f} (median of {len(pairs)}) with {threads or cores} threads on "
        f"{cores} cores, load average {load}\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the example; the exit status is 1 if serial and parallel results differ."""
    options = parse_arguments(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    configurations = read_configurations(options.data)
    box = configurations[0].box
    k = wavevectors(box, options.n)
    print(
        f"{len(configurations)} configurations of about {len(configurations[0].positions):,} "
        f"molecules, {len(k):,} wave vectors (n = {options.n}), kernel {options.kernel!r}"
    )

    picture = options.output / "structure_factor_graph.svg"
    draw_graph(picture, configurations, options.n, options.kernel)
    pairs, serial, parallel = compare(configurations, options)
    print_timings(pairs, options.threads)

    shells = average_shells(k, *parallel)
    print_shells(*shells)
    plot = options.output / "structure_factor"
    draw_shells(plot, *shells, complete=float(2 * np.pi * options.n / box.max()))
    print(f"\nwrote {picture}, {plot}.png and {plot}.svg")

    difference = relative_difference(parallel, serial)
    agrees = difference <= TOLERANCE
    print(
        f"serial and parallel {'agree' if agrees else 'DIFFER'}: "
        f"largest relative difference {difference:.1e}, allowed {TOLERANCE:.0e}"
    )
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
