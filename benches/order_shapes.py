"""Graphs for `order_memory.py`: shapes that people compute, and random ones.

A graph is a dictionary from each key to the keys that it needs, in the order in which a program
would make them. Keys look like those of Dask's collections: a name, or a name and an index.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise, product
from typing import Any

Key = str | tuple[Any, ...]
Graph = dict[Key, list[Key]]


def reduce_by_tree(graph: Graph, name: str, inputs: list[Key], split: int) -> Key:
    """Add a tree over inputs to a graph, `split` to one; return its root."""
    level = 0
    while len(inputs) > 1:
        groups = [inputs[i : i + split] for i in range(0, len(inputs), split)]
        keys: list[Key] = [(f"{name}-{level}", i) for i in range(len(groups))]
        graph.update(zip(keys, groups, strict=True))
        inputs, level = keys, level + 1
    return inputs[0]


def reduce_axis(graph: Graph, name: str, chunks: list[list[Key]], split: int = 4) -> list[Key]:
    """Reduce the columns of a table of chunks, each by a tree; return the roots."""
    return [
        reduce_by_tree(graph, f"{name}-{column}", list(keys), split)
        for column, keys in enumerate(zip(*chunks, strict=True))
    ]


def load(graph: Graph, name: str, *shape: int) -> list[Key]:
    """Add tasks without inputs, one for each chunk of a shape."""
    keys: list[Key] = [(name, *index) for index in product(*map(range, shape))]
    graph.update((key, []) for key in keys)
    return keys


def load_table(graph: Graph, name: str, rows: int, columns: int) -> list[list[Key]]:
    """Add tasks without inputs, as a table."""
    keys = load(graph, name, rows, columns)
    return [keys[row * columns : (row + 1) * columns] for row in range(rows)]


def each(graph: Graph, name: str, *inputs: list[Key]) -> list[Key]:
    """Add a task for each place of lists of equal length, which reads what stands there."""
    keys: list[Key] = [(name, *key[1:]) for key in inputs[0]]
    rows = zip(*inputs, strict=True)
    graph.update((key, [*dict.fromkeys(row)]) for key, row in zip(keys, rows, strict=True))
    return keys


def tree_reduce(leaves: int, split: int) -> Graph:
    graph: Graph = {}
    reduce_by_tree(graph, "sum", each(graph, "map", load(graph, "load", leaves)), split)
    return graph


def stencil(shape: tuple[int, ...], steps: int, periodic: bool = False) -> Graph:
    """Each cell reads itself and its neighbours, diagonal ones too, of the step before."""
    graph: Graph = {}
    load(graph, "cell-0", *shape)
    for step in range(1, steps):
        for index in product(*map(range, shape)):
            near = []
            for offset in product((-1, 0, 1), repeat=len(shape)):
                other = [i + o for i, o in zip(index, offset, strict=True)]
                if periodic:
                    other = [i % n for i, n in zip(other, shape, strict=True)]
                if all(0 <= i < n for i, n in zip(other, shape, strict=True)):
                    near.append((f"cell-{step - 1}", *other))
            graph[(f"cell-{step}", *index)] = near
    return graph


def pairwise_merge(inputs: int) -> Graph:
    """Merge each part with the next one, then those with each other, until one is left."""
    graph: Graph = {}
    level = load(graph, "load", inputs)
    for step in range(1, inputs):
        keys: list[Key] = [(f"merge-{step}", i) for i in range(len(level) - 1)]
        graph.update(zip(keys, map(list, pairwise(level)), strict=True))
        level = keys
    return graph


def all_pairs(inputs: int) -> Graph:
    """Compare each part with each other one, and sum up what came out."""
    graph: Graph = {}
    parts = load(graph, "load", inputs)
    pairs: list[Key] = []
    for i, j in combinations(range(inputs), 2):
        pairs.append(("pair", i, j))
        graph["pair", i, j] = [parts[i], parts[j]]
    reduce_by_tree(graph, "sum", pairs, 4)
    return graph


def transpose_sum(side: int) -> Graph:
    """Compute (x + x.T).sum()."""
    graph: Graph = {}
    load(graph, "x", side, side)
    transposed: list[Key] = []
    for i, j in product(range(side), repeat=2):
        graph["transpose", i, j] = [("x", j, i)]
    for i, j in product(range(side), repeat=2):
        graph["add", i, j] = [("x", i, j), ("transpose", i, j)]
        transposed.append(("add", i, j))
    reduce_by_tree(graph, "sum", transposed, 4)
    return graph


def climatology(years: int, anomalies: bool, columns: int = 1) -> Graph:
    """Means of the days of each month over years of daily files; and how days differ from them."""
    graph: Graph = {}
    outputs: list[Key] = []
    for column in range(columns):
        days: list[Key] = []
        months: dict[int, list[Key]] = {month: [] for month in range(12)}
        for day in range(years * 36):
            graph["open", column, day] = []
            graph["load", column, day] = [("open", column, day)]
            graph["month", column, day] = [("load", column, day)]
            months[day % 36 // 3].append(("month", column, day))
            days.append(("load", column, day))
        means = [
            reduce_by_tree(graph, f"mean-{column}-{month}", keys, 4)
            for month, keys in months.items()
        ]
        if anomalies:
            for day, key in enumerate(days):
                graph["anomaly", column, day] = [key, means[day % 36 // 3]]
                graph["store", column, day] = [("anomaly", column, day)]
                outputs.append(("store", column, day))
        else:
            graph["concatenate", column] = means
            outputs.append(("concatenate", column))
    graph["done"] = outputs
    return graph


def standardised(chunks: int, store: bool) -> Graph:
    """Compute (x - x.mean()) / x.std(), and its sum or its chunks."""
    graph: Graph = {}
    x = load(graph, "x", chunks)
    graph["mean"] = [reduce_by_tree(graph, "sum", each(graph, "chunk_sum", x), 4)]
    squares = each(graph, "square", x)
    graph["std"] = [reduce_by_tree(graph, "squares", squares, 4), "mean"]
    for i, key in enumerate(x):
        graph["less", i] = [key, "mean"]
        graph["scaled", i] = [("less", i), "std"]
    scaled: list[Key] = [("scaled", i) for i in range(chunks)]
    if store:
        graph["done"] = list(each(graph, "store", scaled))
    else:
        reduce_by_tree(graph, "total", scaled, 4)
    return graph


def several_reductions(chunks: int, reductions: int) -> Graph:
    """Reduce the same chunks in several ways: x.min(), x.max(), x.mean()."""
    graph: Graph = {}
    x = load(graph, "x", chunks)
    for i in range(reductions):
        reduce_by_tree(graph, f"reduce{i}", each(graph, f"part{i}", x), 4)
    return graph


def both_axes(rows: int, columns: int) -> Graph:
    """Compute x.sum(axis=0) and x.sum(axis=1)."""
    graph: Graph = {}
    table = load_table(graph, "x", rows, columns)
    reduce_axis(graph, "down", table)
    reduce_axis(graph, "across", [list(row) for row in zip(*table, strict=True)])
    return graph


def matmul(rows: int, inner: int, columns: int) -> Graph:
    graph: Graph = {}
    load(graph, "a", rows, inner)
    load(graph, "b", inner, columns)
    for i, j in product(range(rows), range(columns)):
        products: list[Key] = []
        for k in range(inner):
            graph["dot", i, j, k] = [("a", i, k), ("b", k, j)]
            products.append(("dot", i, j, k))
        reduce_by_tree(graph, f"dot-{i}-{j}", products, 4)
    return graph


def gram(rows: int, columns: int) -> Graph:
    """Compute x.T @ x."""
    graph: Graph = {}
    load(graph, "x", rows, columns)
    for i, j in product(range(columns), repeat=2):
        products: list[Key] = []
        for k in range(rows):
            graph["dot", i, j, k] = [*dict.fromkeys([("x", k, i), ("x", k, j)])]
            products.append(("dot", i, j, k))
        reduce_by_tree(graph, f"dot-{i}-{j}", products, 4)
    return graph


def tall_skinny_svd(blocks: int) -> Graph:
    """QR of each block, QR of the stacked R, and the blocks of Q and the two small factors."""
    graph: Graph = {}
    x = load(graph, "x", blocks)
    for i, key in enumerate(x):
        graph["qr", i] = [key]
        graph["q", i] = [("qr", i)]
        graph["r", i] = [("qr", i)]
    graph["stack"] = [("r", i) for i in range(blocks)]
    graph["qr2"] = ["stack"]
    graph["q2"] = ["qr2"]
    graph["r2"] = ["qr2"]
    graph["svd"] = ["r2"]
    graph["u"], graph["s"], graph["v"] = ["svd"], ["svd"], ["svd"]
    for i in range(blocks):
        graph["slice", i] = ["q2"]
        graph["dot", i] = [("q", i), ("slice", i)]
        graph["left", i] = [("dot", i), "u"]
    return graph


def map_overlap(shape: tuple[int, ...], reduce: bool) -> Graph:
    """Cut borders off the neighbours, join them to each chunk, compute, and sum or store."""
    graph: Graph = {}
    load(graph, "x", *shape)
    results: list[Key] = []
    for index in product(*map(range, shape)):
        pieces: list[Key] = []
        for offset in product((-1, 0, 1), repeat=len(shape)):
            other = tuple(i + o for i, o in zip(index, offset, strict=True))
            if all(0 <= i < n for i, n in zip(other, shape, strict=True)):
                key: Key = ("border", *other, *(-o for o in offset))
                graph[key] = [("x", *other)]
                pieces.append(key)
        graph["joined", *index] = pieces
        graph["filter", *index] = [("joined", *index)]
        graph["trim", *index] = [("filter", *index)]
        results.append(("trim", *index))
    if reduce:
        reduce_by_tree(graph, "sum", results, 4)
    else:
        graph["done"] = list(each(graph, "store", results))
    return graph


def rechunk(side: int, follow: bool) -> Graph:
    """Cut columns out of rows and join them: each new chunk needs a piece of each old one."""
    graph: Graph = {}
    load(graph, "x", side)
    for i, j in product(range(side), repeat=2):
        graph["cut", i, j] = [("x", i)]
    for j in range(side):
        graph["join", j] = [("cut", i, j) for i in range(side)]
    if follow:
        joined: list[Key] = [("join", j) for j in range(side)]
        reduce_by_tree(graph, "sum", each(graph, "map", joined), 4)
    return graph


def rechunk_in_blocks(side: int, block: int) -> Graph:
    """Go from many chunks along one axis to many along the other, block by block."""
    graph: Graph = {}
    load(graph, "x", side, side)
    wide: list[Key] = []
    for i, j in product(range(side), range(side // block)):
        graph["wide", i, j] = [("x", i, j * block + k) for k in range(block)]
        wide.append(("wide", i, j))
    for key in wide:
        for k in range(block):
            graph["cut", *key[1:], k] = [key]
    for i, j in product(range(side // block), range(side)):
        graph["tall", i, j] = [("cut", i * block + k, j // block, j % block) for k in range(block)]
    reduce_by_tree(
        graph, "sum", [("tall", i, j) for i, j in product(range(side // block), range(side))], 4
    )
    return graph


def shared_source(parts: int, length: int) -> Graph:
    """Many small computations that read one common task, and are not combined."""
    graph: Graph = {"source": []}
    for i in range(parts):
        graph["load", i] = []
        last: Key = ("load", i)
        for step in range(length):
            graph[f"step{step}", i] = [last, "source"]
            last = (f"step{step}", i)
        graph["summary", i] = [last, ("load", i)]
    return graph


def store_arrays(arrays: int, chunks: int) -> Graph:
    """Store x, and arrays made of x and each other, chunk by chunk."""
    graph: Graph = {}
    last = load(graph, "x0", chunks)
    stores: list[Key] = list(each(graph, "store0", last))
    first = last
    for i in range(1, arrays):
        last = each(graph, f"x{i}", last, first)
        stores += each(graph, f"store{i}", last)
    graph["done"] = stores
    return graph


def rolling(chunks: int, window: int) -> Graph:
    """Means over a window of chunks, each less its own chunk, stored."""
    graph: Graph = {}
    x = load(graph, "x", chunks)
    for i in range(chunks - window + 1):
        graph["mean", i] = x[i : i + window]
        graph["less", i] = [("mean", i), x[i + window // 2]]
        graph["store", i] = [("less", i)]
    graph["done"] = [("store", i) for i in range(chunks - window + 1)]
    return graph


def cumulative_sum(chunks: int) -> Graph:
    graph: Graph = {}
    x = load(graph, "x", chunks)
    sums, totals = each(graph, "cumsum", x), each(graph, "total", x)
    carry = totals[0]
    for i in range(1, chunks):
        graph["shifted", i] = [sums[i], carry]
        graph["carry", i] = [carry, totals[i]]
        carry = ("carry", i)
    graph["done"] = [sums[0], *(("shifted", i) for i in range(1, chunks))]
    return graph


def vorticity(times: int, chunks: int) -> Graph:
    """Means of u, v, u², uv, v² over time, from the same files."""
    graph: Graph = {}
    for name in ("u", "v"):
        load(graph, name, times, chunks)
    for name, (a, b) in {"uu": "uu", "uv": "uv", "vv": "vv"}.items():
        for index in product(range(times), range(chunks)):
            graph[name, *index] = [(a, *index)] if a == b else [(a, *index), (b, *index)]
    for name in ("u", "v", "uu", "uv", "vv"):
        table: list[list[Key]] = [[(name, t, c) for c in range(chunks)] for t in range(times)]
        graph[f"{name}-mean"] = reduce_axis(graph, f"mean-{name}", table)
    return graph


def shuffle(partitions: int, base: int, reduce: bool) -> Graph:
    """Shuffle a table by the digits of the partition number, a stage for each digit."""
    graph: Graph = {}
    level = load(graph, "load", partitions)
    stages = round(math.log(partitions, base))
    for stage in range(stages):
        unit = base**stage
        for i in range(partitions):
            graph[f"split{stage}", i] = [level[i]]
            for digit in range(base):
                graph[f"get{stage}", i, digit] = [(f"split{stage}", i)]
        for i in range(partitions):
            digit = i // unit % base
            graph[f"join{stage}", i] = [
                (f"get{stage}", i + (other - digit) * unit, digit) for other in range(base)
            ]
        level = [(f"join{stage}", i) for i in range(partitions)]
    results = each(graph, "apply", level)
    if reduce:
        reduce_by_tree(graph, "sum", results, 4)
    return graph


def cross_validation(folds: int, settings: int) -> Graph:
    """Fit each setting on each fold, score it, and pick the best."""
    graph: Graph = {"data": []}
    for fold in range(folds):
        graph["split", fold] = ["data"]
        graph["train", fold] = [("split", fold)]
        graph["test", fold] = [("split", fold)]
    for setting in range(settings):
        for fold in range(folds):
            graph["fit", setting, fold] = [("train", fold)]
            graph["score", setting, fold] = [("fit", setting, fold), ("test", fold)]
        graph["mean", setting] = [("score", setting, fold) for fold in range(folds)]
    graph["best"] = [("mean", setting) for setting in range(settings)]
    return graph


def cholesky(side: int) -> Graph:
    """Factorise a symmetric matrix of blocks."""
    graph: Graph = {}
    now: dict[tuple[int, int], Key] = {}
    for i in range(side):
        for j in range(i + 1):
            graph["a", i, j] = []
            now[i, j] = ("a", i, j)
    for k in range(side):
        graph["factor", k] = [now[k, k]]
        for i in range(k + 1, side):
            graph["solve", i, k] = [now[i, k], ("factor", k)]
        for i in range(k + 1, side):
            for j in range(k + 1, i + 1):
                inputs: list[Key] = [now[i, j], ("solve", i, k)]
                if i != j:
                    inputs.append(("solve", j, k))
                graph["update", i, j, k] = inputs
                now[i, j] = ("update", i, j, k)
    return graph


NAMED: dict[str, Callable[[], Graph]] = {
    "tree-reduce": lambda: tree_reduce(1024, 2),
    "tree-reduce, 8 to 1": lambda: tree_reduce(1024, 8),
    "stencil 1-D": lambda: stencil((50,), 40),
    "stencil 1-D, periodic": lambda: stencil((50,), 40, periodic=True),
    "stencil 2-D": lambda: stencil((12, 12), 12),
    "pairwise merge": lambda: pairwise_merge(60),
    "pairs, all": lambda: all_pairs(40),
    "transpose-sum": lambda: transpose_sum(20),
    "climatology": lambda: climatology(20, anomalies=False),
    "climatology, 4 columns": lambda: climatology(10, anomalies=False, columns=4),
    "climatology, anomalies": lambda: climatology(20, anomalies=True),
    "anomalies, 4 columns": lambda: climatology(8, anomalies=True, columns=4),
    "standardised, sum": lambda: standardised(100, store=False),
    "standardised, stored": lambda: standardised(100, store=True),
    "several reductions": lambda: several_reductions(256, 4),
    "sums along both axes": lambda: both_axes(24, 24),
    "matmul": lambda: matmul(8, 8, 8),
    "matmul, long inner": lambda: matmul(3, 64, 3),
    "x.T @ x": lambda: gram(40, 5),
    "SVD": lambda: tall_skinny_svd(50),
    "map_overlap 1-D, sum": lambda: map_overlap((100,), reduce=True),
    "map_overlap 2-D, sum": lambda: map_overlap((12, 12), reduce=True),
    "map_overlap 2-D, stored": lambda: map_overlap((12, 12), reduce=False),
    "map_overlap 3-D, sum": lambda: map_overlap((5, 5, 5), reduce=True),
    "rechunk": lambda: rechunk(24, follow=False),
    "rechunk, sum": lambda: rechunk(24, follow=True),
    "rechunk in blocks": lambda: rechunk_in_blocks(16, 4),
    "shared source": lambda: shared_source(100, 5),
    "store 4 arrays": lambda: store_arrays(4, 100),
    "rolling": lambda: rolling(200, 7),
    "cumulative sum": lambda: cumulative_sum(200),
    "vorticity": lambda: vorticity(40, 8),
    "shuffle": lambda: shuffle(64, 4, reduce=False),
    "shuffle, sum": lambda: shuffle(64, 8, reduce=True),
    "cross validation": lambda: cross_validation(5, 60),
    "Cholesky": lambda: cholesky(12),
}


def random_layers(rng: random.Random, tasks: int) -> Graph:
    """Layers of equal width; each task reads one to four of the layer before."""
    width = max(2, round(math.sqrt(tasks) * rng.uniform(0.3, 2)))
    graph: Graph = {}
    for task in range(tasks):
        before = (task // width - 1) * width
        reads = 0 if task < width else rng.randint(1, 4)
        graph["t", task] = sorted({("t", before + rng.randrange(width)) for _ in range(reads)})
    return graph


def random_near(rng: random.Random, tasks: int) -> Graph:
    """Each task reads up to three of those made shortly before it."""
    reach = rng.randint(5, 60)
    return {
        ("t", task): sorted(
            {("t", rng.randrange(max(0, task - reach), task)) for _ in range(rng.randint(0, 3))}
            if task
            else []
        )
        for task in range(tasks)
    }


def random_anywhere(rng: random.Random, tasks: int) -> Graph:
    """Each task reads up to three of all that were made before it."""
    return {
        ("t", task): sorted(
            {("t", rng.randrange(task)) for _ in range(rng.randint(0, 3))} if task else []
        )
        for task in range(tasks)
    }


def random_tree(rng: random.Random, tasks: int) -> Graph:
    """Each result is read by one task that is made later; several trees."""
    graph: Graph = {("t", task): [] for task in range(tasks)}
    for task in range(tasks - 1):
        if rng.random() < 0.97:
            reader = min(tasks - 1, task + 1 + int(rng.expovariate(5 / tasks)))
            graph["t", reader].append(("t", task))
    return graph


def random_fork_join(rng: random.Random, tasks: int) -> Graph:
    """Blocks in series or side by side, nested: one task before, parts, one task after."""
    graph: Graph = {}

    def add(inputs: list[Key]) -> Key:
        key = ("t", len(graph))
        graph[key] = inputs
        return key

    def block(entry: list[Key], budget: int) -> Key:
        if budget <= 2:
            return add(entry)
        if rng.random() < 0.4:
            return block([block(entry, budget // 2)], budget // 2)
        parts = rng.randint(2, 5)
        first = [add(entry)]
        return add([block(first, (budget - 2) // parts) for _ in range(parts)])

    block([], tasks)
    return graph


def random_map_reduce(rng: random.Random, tasks: int) -> Graph:
    """Map over loads and pairs of them a few times, and reduce what came out by trees."""
    graph: Graph = {}
    chunks = max(2, tasks // 8)
    arrays = [load(graph, "x", chunks)]
    for i in range(rng.randint(2, 5)):
        one, other = rng.choice(arrays), rng.choice(arrays)
        shift = rng.choice([0, 0, 1])
        keys: list[Key] = [(f"map{i}", j) for j in range(chunks)]
        for j, key in enumerate(keys):
            graph[key] = [*{one[j]: None, other[(j + shift) % chunks]: None}]
        if rng.random() < 0.4:
            total = reduce_by_tree(graph, f"sum{i}", keys, rng.randint(2, 8))
            if rng.random() < 0.5:
                keys = [(f"less{i}", j) for j in range(chunks)]
                for j, key in enumerate(keys):
                    graph[key] = [(f"map{i}", j), total]
        arrays.append(keys)
    reduce_by_tree(graph, "total", arrays[-1], rng.randint(2, 8))
    return graph


RANDOM: dict[str, Callable[[random.Random, int], Graph]] = {
    "layers": random_layers,
    "near": random_near,
    "anywhere": random_anywhere,
    "trees": random_tree,
    "fork and join": random_fork_join,
    "map and reduce": random_map_reduce,
}


def random_graphs(count: int, seed: int) -> Iterator[tuple[str, int, Graph]]:
    """Yield kind, seed and graph of so many random graphs of 10 to 1,000 tasks, kinds in turn."""
    kinds = list(RANDOM)
    for number in range(count):
        rng = random.Random(seed + number)
        kind = kinds[number % len(kinds)]
        tasks = round(10 ** rng.uniform(1, 3))
        yield kind, seed + number, RANDOM[kind](rng, tasks)
