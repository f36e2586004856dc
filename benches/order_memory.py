"""How many results are alive at once when tasks run in the order of Oxidask, and of Dask.

Claim: never more than in Dask's order on graphs that people compute, nor on average over a
thousand random ones.

    python benches/order_memory.py

Nothing is timed and nothing runs: one function counts for both. It goes through the tasks in a
given order, one by one. A result is alive from its task on, and until its last reader ran; those
without readers stay. Dask's order depends on the hash seed of the process; on the named graphs the
best of several seeds counts. Graphs are made by `order_shapes.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import harness
import order_shapes
from order_shapes import Graph, Key

FIRST_SEED = 1


def peak_live_results(graph: Graph, rank: Mapping[Key, int]) -> int:
    """Count the results that are alive at once when tasks run one by one in this order."""
    readers = Counter(needed for row in graph.values() for needed in row)
    live = peak = 0
    for key in sorted(graph, key=rank.__getitem__):
        live += 1
        peak = max(peak, live)
        for needed in graph[key]:
            readers[needed] -= 1
            live -= not readers[needed]
    return peak


def call(*inputs: object) -> None:
    """Stand for the function of each task."""


def peaks(order: Callable[[dict[Any, Any]], Mapping[Key, int]], randoms: int) -> dict[str, Any]:
    """Count for the named graphs, and for so many random ones."""

    def peak(graph: Graph) -> int:
        return peak_live_results(graph, order({key: (call, *row) for key, row in graph.items()}))

    return {
        "named": {name: peak(make()) for name, make in order_shapes.NAMED.items()},
        "random": [peak(graph) for _, _, graph in order_shapes.random_graphs(randoms, FIRST_SEED)],
    }


def peaks_of_dask(randoms: int, hash_seeds: int) -> dict[str, Any] | None:
    """Count for Dask, in processes of their own; None if it is not installed."""
    if importlib.util.find_spec("dask") is None:
        print("Dask is not installed: pip install --group bench compares with it")
        return None
    best: dict[str, Any] = {}
    for seed in range(hash_seeds):
        os.environ["PYTHONHASHSEED"] = str(seed)
        arguments = [str(Path(__file__).resolve()), "--child", str(0 if best else randoms)]
        child = harness.run_child(arguments, timeout=600)
        if child.exit != 0:
            raise RuntimeError(f"ordering with Dask ended with {child.exit}: {child.error}")
        if best:
            named = child.answer["named"]
            best["named"] = {name: min(peak, named[name]) for name, peak in best["named"].items()}
        else:
            best = child.answer
    return best


def rows_of_named(ours: dict[str, Any], dask: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Make one row for each named graph."""
    return [
        {
            "graph": name,
            "tasks": len(make()),
            "ours": ours["named"][name],
            "dask": dask and dask["named"][name],
        }
        for name, make in order_shapes.NAMED.items()
    ]


def rows_of_random(
    ours: dict[str, Any], dask: dict[str, Any] | None, randoms: int
) -> list[dict[str, Any]]:
    """Make one row for each kind of random graphs, with means, and one for all."""
    kinds = [kind for kind, _, _ in order_shapes.random_graphs(randoms, FIRST_SEED)]
    rows = []
    for kind in [*order_shapes.RANDOM, None]:
        places = [place for place in range(randoms) if kind in (kinds[place], None)]
        row = {
            "graph": f"random: {kind or 'all'}",
            "graphs": len(places),
            "seeds": f"{FIRST_SEED + places[0]}..{FIRST_SEED + places[-1]}",
            "ours": sum(ours["random"][place] for place in places) / len(places),
        }
        if dask is not None:
            pairs = [(ours["random"][place], dask["random"][place]) for place in places]
            row |= {
                "dask": sum(other for _, other in pairs) / len(places),
                "ratio": sum(one / other for one, other in pairs) / len(places),
                "better": sum(one < other for one, other in pairs),
                "worse": sum(one > other for one, other in pairs),
            }
        rows.append(row)
    return rows


def main() -> int:
    """Run the bench; the exit status is 1 if Dask's order is better than claimed."""
    parser = harness.parser(__doc__)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        from dask.order import order as order_of_dask

        harness.print_answer(peaks(order_of_dask, options.child))
        return 0

    from oxidask.order import order

    randoms, hash_seeds = (60, 1) if options.quick else (1000, 5)
    ours = peaks(order, randoms)
    dask = peaks_of_dask(randoms, hash_seeds)
    named, random = rows_of_named(ours, dask), rows_of_random(ours, dask, randoms)
    print("live results at most, of Oxidask and of Dask")
    harness.print_table(named, ["graph", "tasks", "ours", "dask"])
    print("means over random graphs, means of the ratios, and how often it is better or worse")
    columns = ["graph", "graphs", "seeds", "ours", "dask", "ratio", "better", "worse"]
    harness.print_table(random, columns)
    peers = {"peers": harness.versions(["dask"])}
    harness.record("order_memory", [row | peers for row in (*named, *random)], options)
    if dask is None:
        return 0
    worse = [row["graph"] for row in named if row["ours"] > row["dask"]]
    worse += [row["graph"] for row in random[-1:] if row["ours"] > row["dask"]]
    print(f"Dask's order is better on {', '.join(worse)}" if worse else "never worse than Dask's")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
