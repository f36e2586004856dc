"""Other chunks for an array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from oxidask.array._chunks import check_block_size, is_unknown, normalize_chunks
from oxidask.array._rechunk import rechunk as rechunked
from oxidask.array.core import Array, _array

__all__ = ["rechunk"]


def rechunk(
    x: Array,
    chunks: Any = "auto",
    threshold: int | None = None,
    block_size_limit: int | None = None,
    balance: bool = False,
    method: str | None = None,
) -> Array:
    """Return an array in other chunks.

    Parameters
    ----------
    x : Array
        The array.
    chunks : int, tuple, dict or str, default "auto"
        See `normalize_chunks`; axes that a dictionary does not name stay as they are.
    threshold : int, optional
        Taken for compatibility: each new block is put together from the old ones in one step.
    block_size_limit : int, optional
        Bytes of a block for "auto".
    balance : bool, default False
        Whether blocks are to be about equally long, rather than all but the last.
    method : {"tasks", "p2p"}, optional
        Taken for compatibility.

    Returns
    -------
    Array
        The same object if the chunks are its own.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.ones((4, 4), chunks=2).rechunk({0: -1}).chunks
    ((4,), (2, 2))
    """
    if method not in (None, "tasks", "p2p"):
        raise ValueError(f"rechunk: method is 'tasks' or 'p2p', not {method!r}")
    if isinstance(chunks, Mapping):
        chunks = {_axis(axis, x.ndim): one for axis, one in chunks.items()}
        chunks = tuple(
            own if chunks.get(axis, own) is None else chunks.get(axis, own)
            for axis, own in enumerate(x.chunks)
        )
    elif isinstance(chunks, tuple | list) and len(chunks) == x.ndim:
        chunks = tuple(
            own if one is None else one for one, own in zip(chunks, x.chunks, strict=True)
        )
    unknown = [axis for axis, lengths in enumerate(x.chunks) if is_unknown(lengths)]
    if unknown and isinstance(chunks, tuple):
        for axis in unknown:
            wanted = chunks[axis]
            same = isinstance(wanted, tuple) and len(wanted) == len(x.chunks[axis])
            if not same and not (wanted == -1 and len(x.chunks[axis]) == 1):
                raise ValueError(
                    f"rechunk: the lengths along axis {axis} are not known and can only stay as "
                    "they are; call compute_chunk_sizes() first"
                )
        if all(isinstance(one, tuple) for one in chunks):
            known = [axis for axis in range(x.ndim) if axis not in unknown]
            if all(tuple(chunks[axis]) == x.chunks[axis] for axis in known):
                return x
    spelled = normalize_chunks(
        chunks, x.shape, limit=block_size_limit, dtype=x.dtype, previous_chunks=x.chunks
    )
    if balance:
        spelled = tuple(_balanced(lengths) for lengths in spelled)
    check_block_size(spelled, x.dtype)
    expression = rechunked(x._expr, spelled)
    return x if expression is x._expr else _array(expression)


def _axis(axis: Any, ndim: int) -> int:
    if not isinstance(axis, int | np.integer) or not -ndim <= axis < ndim:
        raise ValueError(f"rechunk: there is no axis {axis!r} in an array of {ndim} axes")
    return int(axis) % ndim


def _balanced(lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Return as many lengths that differ by one at most."""
    if len(set(lengths[:-1])) > 1 or len(lengths) < 2:
        return lengths
    total, count = sum(lengths), len(lengths)
    size, rest = divmod(total, count)
    return (size + 1,) * rest + (size,) * (count - rest)
