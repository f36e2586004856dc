"""What tasks of linear algebra run."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

#: A node of the tree of a factorisation: its Q, where the rows of each of its parts begin (None for
#: a block), and its R, or singular values and vectors.
Node = tuple[Any, ...]


class SumOfProducts:
    """Multiplies blocks by labels of axes; labels that the result has not are summed over."""

    def __init__(
        self, inputs: list[list[int]], output: list[int], optimize: Any, options: dict[str, Any]
    ) -> None:
        self.inputs, self.output, self.optimize, self.options = inputs, output, optimize, options
        #: Axes of length one that the result gets, for labels over which blocks are summed later.
        self.added = 0
        self.__name__ = "einsum"

    def __call__(self, *blocks: Any) -> Any:
        """Return the sums of products."""
        pairs = [one for pair in zip(blocks, self.inputs, strict=True) for one in pair]
        result = np.asarray(np.einsum(*pairs, self.output, optimize=self.optimize, **self.options))
        return result.reshape(result.shape + (1,) * self.added) if self.added else result

    def __dask_tokenize__(self) -> Any:
        return ("einsum", self.inputs, self.output, self.optimize, self.options, self.added)


def same(block: Any) -> Any:
    """Return the block."""
    return block


def qr(block: Any) -> Node:
    """Return Q and R of a block."""
    q, r = np.linalg.qr(block)
    return q, None, r


def item(node: Any, place: int) -> Any:
    """Return a part of a node."""
    return node[place]


def _stacked(parts: list[Any]) -> tuple[Any, list[int]]:
    return np.concatenate(parts), [0, *accumulate(len(part) for part in parts)]


def qr_of_parts(parts: list[Any]) -> Node:
    """Return Q and R of the R's of several nodes."""
    whole, starts = _stacked(parts)
    q, r = np.linalg.qr(whole)
    return q, starts, r


def svd_of_parts(parts: list[Any], coerces_signs: bool) -> Node:
    """Return the singular vectors and values of the R's of several nodes."""
    whole, starts = _stacked(parts)
    u, s, v = np.linalg.svd(whole, full_matrices=False)
    if coerces_signs:
        signs = signs_of(v)
        u, v = u * signs, v * signs[:, None]
    return u, starts, s, v


def signs_of(v: Any) -> Any:
    """Return by what rows are multiplied so that their sums are not negative."""
    signs = np.where(v.sum(axis=1).real >= 0, 1, -1)
    return signs.astype(v.real.dtype)


def times_part(node: Node, above: Node, place: int) -> Any:
    """Multiply the Q of a node by the rows that belong to it in what is above."""
    starts = above[1]
    result = node[0] @ above[0][starts[place] : starts[place + 1]]
    return result if node[1] is None else (result, node[1])


def qr_of_columns(block: Any) -> Any:
    """Return the Q of a block that is at least as wide as high."""
    return np.linalg.qr(block)[0]


def triangle(q: Any, block: Any, begin: int) -> Any:
    """Return the columns of R from `begin` on, of a block of columns."""
    return np.triu(np.conj(q.T) @ block, -begin)
