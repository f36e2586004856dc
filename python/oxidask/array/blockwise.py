"""Functions of blocks that users bring: `map_blocks` and `blockwise`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from oxidask._core import Delayed, Layer
from oxidask.array import _kernels
from oxidask.array._chunks import Chunks, broadcast_lengths, is_unknown, lengths_for
from oxidask.array._expressions import (
    Blockwise,
    Expression,
    along,
    broadcast_chunks,
    empty_like,
    rechunked_to,
)
from oxidask.array.core import Array, _array, _meta_from, asarray, funcname
from oxidask.tokenize import tokenize

__all__ = ["atop", "blockwise", "map_blocks"]


def blockwise(
    func: Callable[..., Any],
    out_ind: Sequence[Any],
    *args: Any,
    name: str | None = None,
    token: str | None = None,
    dtype: Any = None,
    adjust_chunks: dict[Any, Any] | None = None,
    new_axes: dict[Any, Any] | None = None,
    align_arrays: bool = True,
    concatenate: bool | None = None,
    meta: Any = None,
    **kwargs: Any,
) -> Array:
    """Call a function on blocks that labels of axes bring together, as in Einstein's notation.

    Parameters
    ----------
    func : callable
        Called with blocks.
    out_ind : sequence
        Labels of the axes of the result: ``"ik"`` or ``(0, 2)``.
    *args : pairs of Array and sequence
        Each array and labels of its axes; None instead of labels for values that are given as they
        are. Over labels that the result has not, the function is given lists of blocks.
    name : str, optional
        The name of the result.
    token : str, optional
        The first part of the name.
    dtype : numpy.dtype, optional
        The type of the result; by default found by calling the function with empty arrays.
    adjust_chunks : dict, optional
        For labels: a function of the length of a block, a length, or all lengths.
    new_axes : dict, optional
        For labels that no argument has: the length of the axis, or lengths of blocks.
    align_arrays : bool, default True
        Whether arrays are cut alike first; else their blocks must fit in number.
    concatenate : bool, optional
        Whether blocks over which is contracted are joined first, rather than given as lists.
    meta : array, optional
        An empty array of the type of the result.
    **kwargs
        Given to the function.

    Returns
    -------
    Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> x = da.arange(3, chunks=2)
    >>> da.blockwise(np.add.outer, "ij", x, "i", x, "j", dtype=x.dtype).compute()
    array([[0, 1, 2],
           [1, 2, 3],
           [2, 3, 4]])
    """
    if len(args) % 2:
        raise ValueError("blockwise: arrays and labels of their axes come in pairs")
    out = tuple(out_ind)
    pairs = [
        (one if labels is None else asarray(one), None if labels is None else tuple(labels))
        for one, labels in zip(args[::2], args[1::2], strict=True)
    ]
    for one, labels in pairs:
        if labels is not None and len(labels) != one.ndim:
            raise ValueError(
                f"blockwise: {len(labels)} labels {labels} for an array of {one.ndim} axes"
            )
    new_axes = {
        label: tuple(length) if isinstance(length, tuple | list) else (length,)
        for label, length in (new_axes or {}).items()
    }
    expressions, lengths_of = _aligned(pairs, align_arrays)
    for label in out:
        if label not in lengths_of and label not in new_axes:
            raise ValueError(f"blockwise: no argument has the label {label!r} of the result")
    chunks = [lengths_of.get(label, new_axes.get(label, ())) for label in out]
    for label, change in (adjust_chunks or {}).items():
        place = out.index(label)
        chunks[place] = _adjusted(chunks[place], change)
    if meta is None:
        meta = _inferred(func, out, pairs, dtype, kwargs, concatenate)
    meta = _meta_from(meta, len(out), dtype)
    label = token or funcname(func)
    parts = [one.name if isinstance(one, Expression) else one for one, _ in expressions]
    labels_ = [labels for _, labels in expressions]
    full = name or f"{label}-{tokenize(func, out, parts, labels_, chunks, concatenate, kwargs)}"
    return _array(Blockwise(full, func, out, expressions, kwargs, tuple(chunks), meta, concatenate))


def atop(*args: Any, **kwargs: Any) -> Array:
    """Call `blockwise`, as it was called once; warns.

    Parameters
    ----------
    *args, **kwargs
        As for `blockwise`.

    Returns
    -------
    Array
    """
    warnings.warn("atop is called blockwise now", FutureWarning, stacklevel=2)
    return blockwise(*args, **kwargs)


def _aligned(
    pairs: Sequence[tuple[Any, tuple[Any, ...] | None]], aligns: bool
) -> tuple[list[tuple[Any, tuple[Any, ...] | None]], dict[Any, tuple[Any, ...]]]:
    """Return arrays cut alike along each label, and the lengths of blocks."""
    from oxidask.array._rechunk import rechunk

    every: dict[Any, list[tuple[Any, ...]]] = {}
    for one, labels in pairs:
        for label, lengths in zip(labels or (), () if labels is None else one.chunks, strict=True):
            every.setdefault(label, []).append(lengths)
    lengths_of: dict[Any, tuple[Any, ...]] = {}
    for label, candidates in every.items():
        sums = {sum(lengths) for lengths in candidates if not is_unknown(lengths)} - {1}
        if len(sums) > 1 and aligns:
            raise ValueError(
                f"blockwise: axes with the label {label!r} have {sorted(sums)} elements; they "
                "must be alike"
            )
        if aligns:
            lengths_of[label] = broadcast_lengths(candidates)
        else:
            long = [lengths for lengths in candidates if lengths != (1,)] or candidates[:1]
            counts = {len(lengths) for lengths in long}
            if len(counts) > 1:
                raise ValueError(
                    f"blockwise: axes with the label {label!r} have {sorted(counts)} blocks; they "
                    "must be alike where align_arrays=False"
                )
            lengths_of[label] = long[0]
    aligned: list[tuple[Any, tuple[Any, ...] | None]] = []
    for one, labels in pairs:
        if labels is None:
            aligned.append((one, None))
            continue
        expression = one._expr
        wanted = tuple(
            own if is_unknown(own) else lengths_for(own, lengths_of[label])
            for own, label in zip(expression.chunks, labels, strict=True)
        )
        aligned.append((rechunk(expression, wanted) if aligns else expression, labels))
    return aligned, lengths_of


def _adjusted(lengths: tuple[Any, ...], change: Any) -> tuple[Any, ...]:
    if callable(change):
        return tuple(change(length) for length in lengths)
    if isinstance(change, tuple | list):
        if len(change) != len(lengths):
            raise ValueError(
                f"adjust_chunks: {len(change)} lengths for {len(lengths)} blocks: {change}"
            )
        return tuple(change)
    return (change,) * len(lengths)


def _inferred(
    func: Callable[..., Any],
    out: tuple[Any, ...],
    pairs: Sequence[tuple[Any, Any]],
    dtype: Any,
    kwargs: dict[str, Any],
    concatenate: bool | None,
) -> Any:
    """Return what a function makes of empty arrays, if it can be called with them."""
    values = []
    for one, labels in pairs:
        if labels is None:
            values.append(one)
            continue
        value: Any = empty_like(one._meta, one.ndim)
        if not concatenate:
            for label in labels:
                if label not in out:
                    value = [value]
        values.append(value)
    if dtype is not None:
        return None
    return _tried(func, values, kwargs)


def _tried(func: Callable[..., Any], values: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Return what a function makes of empty arrays, or of arrays of one element."""
    ones = [
        np.ones((1,) * one.ndim, one.dtype) if type(one) is np.ndarray and not one.size else one
        for one in values
    ]
    try:
        with np.errstate(all="ignore"):
            try:
                result = func(*values, **kwargs)
            except Exception:
                # Some functions take any array but an empty one.
                result = func(*ones, **kwargs)
    except Exception as error:
        raise ValueError(
            f"{funcname(func)}: the dtype of the result is not known, because calling the function "
            f"with arrays of one element raised {type(error).__name__}: {error}. Give dtype= or "
            "meta="
        ) from error
    if not hasattr(result, "dtype"):
        result = np.asarray(result)
    return result


def map_blocks(
    func: Callable[..., Any],
    *args: Any,
    name: str | None = None,
    token: str | None = None,
    dtype: Any = None,
    chunks: Any = None,
    drop_axis: Any = None,
    new_axis: Any = None,
    enforce_ndim: bool = False,
    meta: Any = None,
    **kwargs: Any,
) -> Array:
    """Call a function on each block.

    Parameters
    ----------
    func : callable
        Called with a block of each array. If it takes ``block_id``, it is given the place of the
        block in the grid; if it takes ``block_info``, where the block lies in each array.
    *args : Array or object
        Arrays, whose blocks are broadcast, and values that each call is given.
    name : str, optional
        The name of the result, or of its kind.
    token : str, optional
        The first part of the name.
    dtype : numpy.dtype, optional
        The type of the result; by default found by calling the function with empty arrays.
    chunks : tuple, optional
        Lengths of the result's blocks, if they are not those of the arguments: one length or all
        lengths for each axis.
    drop_axis : int or sequence of int, optional
        Axes that the result has not.
    new_axis : int or sequence of int, optional
        Axes of the result that the arguments have not.
    enforce_ndim : bool, default False
        Whether a block with another number of axes is an error.
    meta : array, optional
        An empty array of the type of the result.
    **kwargs
        Given to the function.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.arange(4, chunks=2).map_blocks(lambda block: block * 10).compute()
    array([ 0, 10, 20, 30])
    """
    if not callable(func):
        raise TypeError(f"map_blocks: the first argument is a function, not {func!r}")
    arrays = [one for one in args if isinstance(one, Array)]
    label = token or funcname(func)
    takes = _names_taken(func)
    wants_id = "block_id" in takes and "block_id" not in kwargs
    wants_info = "block_info" in takes and "block_info" not in kwargs
    kwargs = {key: _value_of(value) for key, value in kwargs.items()}
    if arrays:
        own = broadcast_chunks([one._expr for one in arrays])
    else:
        if chunks is None:
            raise ValueError("map_blocks: without arrays, say the chunks of the result, chunks=")
        own = tuple(tuple(one) if isinstance(one, tuple | list) else (one,) for one in chunks)
    ndim = len(own)
    dropped = _axes_of(drop_axis, ndim, "drop_axis")
    kept = [axis for axis in range(ndim) if axis not in dropped]
    out: list[Any] = list(kept)
    lengths: list[tuple[Any, ...]] = [own[axis] for axis in kept]
    count = len(kept) + (0 if new_axis is None else len(np.atleast_1d(new_axis)))
    for axis in _axes_of(new_axis, count, "new_axis"):
        out.insert(axis, f"new {axis}")
        lengths.insert(axis, (1,))
    if chunks is not None and arrays:
        lengths = _given_chunks(chunks, lengths)
    result_chunks = tuple(lengths)
    expressions = [
        (rechunked_to(one._expr, own), _labels(one, ndim, dropped))
        if isinstance(one, Array)
        else (_value_of(one), None)
        for one in args
    ]
    if meta is None:
        meta = _meta_of_map(
            func, args, kwargs, dtype, wants_id, wants_info, len(out), result_chunks
        )
    meta = _meta_from(meta, len(out), dtype)
    parts = [one.name if isinstance(one, Expression) else one for one, _ in expressions]
    if name is None or (name == label):
        name = (
            f"{name or label}-{tokenize(func, parts, result_chunks, dropped, out, dtype, kwargs)}"
        )
    if dropped:
        # Whole axes are given: their blocks joined.
        expressions = [
            (_whole(one, labels, out), labels) if labels is not None else (one, None)
            for one, labels in expressions
        ]
    if wants_id or wants_info or enforce_ndim:
        infos = [one for one in args if isinstance(one, Array)] if wants_info else None
        expression: Expression = _WithPlace(
            name,
            func,
            out,
            expressions,
            kwargs,
            result_chunks,
            meta,
            wants_id,
            infos,
            enforce_ndim,
        )
    else:
        expression = Blockwise(name, func, out, expressions, kwargs, result_chunks, meta, True)
    return _array(expression)


def _whole(one: Expression, labels: Sequence[Any], out: Sequence[Any]) -> Expression:
    from oxidask.array._rechunk import rechunk

    chunks = tuple(
        lengths if label in out or len(lengths) == 1 else (sum(lengths),)
        for label, lengths in zip(labels, one.chunks, strict=True)
    )
    if chunks != one.chunks and any(map(is_unknown, chunks)):
        raise ValueError(
            "map_blocks(drop_axis=): an axis whose lengths are not known cannot be joined; call "
            "compute_chunk_sizes() first"
        )
    return rechunk(one, chunks)


def _labels(one: Array, ndim: int, dropped: Sequence[int]) -> tuple[Any, ...]:
    return tuple(range(ndim - one.ndim, ndim))


def _value_of(value: Any) -> Any:
    """Return a lazy value as the task that makes it; others as they are."""
    from oxidask.base import _concrete_value_of, is_dask_collection

    if isinstance(value, Delayed) or not is_dask_collection(value):
        return value
    return _concrete_value_of(value)


def _names_taken(func: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(func).parameters)
    except (TypeError, ValueError):
        return set()


def _axes_of(axes: Any, ndim: int, what: str) -> list[int]:
    if axes is None:
        return []
    result = [int(axis) for axis in (axes if isinstance(axes, tuple | list | set) else [axes])]
    for axis in result:
        if not -ndim <= axis < ndim:
            raise ValueError(f"map_blocks({what}=): there is no axis {axis} among {ndim}")
    return sorted(axis % ndim for axis in result)


def _given_chunks(chunks: Any, lengths: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    if len(chunks) != len(lengths):
        raise ValueError(
            f"map_blocks(chunks=): {len(chunks)} axes are described and the result has "
            f"{len(lengths)}: {chunks!r}"
        )
    result = []
    for axis, (given, own) in enumerate(zip(chunks, lengths, strict=True)):
        if isinstance(given, tuple | list):
            if len(given) == 1 and len(own) != 1:
                given = tuple(given) * len(own)
            if len(given) != len(own):
                raise ValueError(
                    f"map_blocks(chunks=): {len(given)} lengths for the {len(own)} blocks along "
                    f"axis {axis}: {given!r}"
                )
            result.append(tuple(given))
        else:
            result.append((given,) * len(own))
    return result


def _meta_of_map(
    func: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    dtype: Any,
    wants_id: bool,
    wants_info: bool,
    ndim: int,
    chunks: Chunks,
) -> Any:
    values = [empty_like(one._meta, one.ndim) if isinstance(one, Array) else one for one in args]
    if any(isinstance(one, Delayed) for one in [*values, *kwargs.values()]):
        if dtype is None:
            raise ValueError("map_blocks with lazy values: give dtype= or meta=")
        return None
    options = dict(kwargs)
    if wants_id:
        options["block_id"] = (0,) * ndim
    if wants_info:
        arrays = [one for one in args if isinstance(one, Array)]
        options["block_info"] = _info(arrays, args, chunks, dtype, (0,) * ndim)
    if dtype is not None:
        try:
            with np.errstate(all="ignore"):
                result = func(*values, **options)
            return result if hasattr(result, "dtype") else None
        except Exception:
            # The dtype is known; what else the function makes, its blocks will show.
            return None
    return _tried(func, values, options)


def _info(
    arrays: Sequence[Any], args: Sequence[Any], chunks: Chunks, dtype: Any, block: tuple[int, ...]
) -> dict[Any, Any]:
    """Return where a block lies, in the result and in each array."""
    result: dict[Any, Any] = {}
    for place, one in enumerate(args):
        if isinstance(one, Array):
            own = (
                tuple(
                    0 if count == 1 else at
                    for count, at in zip(
                        one.numblocks, block[len(block) - one.ndim :], strict=False
                    )
                )
                if one.ndim <= len(block)
                else (0,) * one.ndim
            )
            result[place] = _kernels.block_info(one.chunks, own, one.dtype)
    result[None] = _kernels.block_info(chunks, block, dtype)
    result[None]["chunk-shape"] = tuple(
        lengths[at] for lengths, at in zip(chunks, block, strict=True)
    )
    return result


class _WithPlace(Blockwise):
    """A function of blocks that is told where they lie."""

    __slots__ = ("enforces", "infos", "wants_id")

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        labels: Sequence[Any],
        args: Sequence[tuple[Any, Sequence[Any] | None]],
        kwargs: dict[str, Any],
        chunks: Chunks,
        meta: Any,
        wants_id: bool,
        infos: Sequence[Array] | None,
        enforces: bool,
    ) -> None:
        super().__init__(name, function, labels, args, kwargs, chunks, meta, True)
        self.wants_id, self.enforces = wants_id, enforces
        self.infos = (
            None
            if infos is None
            else [
                (place, one.chunks, tuple(labels), one.meta.dtype)
                for place, (one, labels) in enumerate(args)
                if labels is not None
            ]
        )

    def _lower(self) -> Layer:
        values = [
            one if labels is None else self._read(one, labels)[0] for one, labels in self.args
        ]
        place = tuple(along(axis, range(count)) for axis, count in enumerate(self.grid))
        plan = (
            None
            if self.infos is None
            else _kernels.Places(self.infos, tuple(self.labels), self.chunks, self.meta.dtype)
        )
        return self._call(
            _kernels.call_with_place,
            self.function,
            values,
            self.kwargs,
            place,
            self.wants_id,
            plan,
            self.ndim if self.enforces else None,
        )
