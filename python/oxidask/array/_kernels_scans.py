"""What tasks of running totals and their kin run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from oxidask.array._kernels import fold


def _in_order(states: list[Any]) -> list[Any]:
    """Return states that follow each other: they come as one list, or as one before another."""
    if len(states) == 2 and all(isinstance(one, list) for one in states):
        return [*states[0], *states[1]]
    return states


def merge(states: list[Any], function: Callable[[Any, Any], Any]) -> Any:
    """Return the total of totals."""
    return fold(_in_order(states), function)


def cumulate(
    block: Any,
    states: list[Any],
    function: Callable[..., Any],
    binary: np.ufunc,
    axis: int,
    options: dict[str, Any],
) -> Any:
    """Return the running totals of a block, behind the totals of those before it."""
    result = function(block, axis=axis, **options)
    before = _in_order(states)
    return binary(result, fold(before, binary), out=result) if before else result


#: The last element that is not NaN, whether there is one, how many follow it, and the length.
LastValid = tuple[Any, Any, Any, int]


def last_valid(block: Any, axis: int) -> LastValid:
    """Return the last element that is not NaN along an axis, and what stands behind it."""
    length = block.shape[axis]
    shape = tuple(1 if place == axis else one for place, one in enumerate(block.shape))
    if not length:
        return (
            np.full(shape, np.nan, block.dtype),
            np.zeros(shape, bool),
            np.zeros(shape, np.intp),
            0,
        )
    valid = ~np.isnan(block)
    found = valid.any(axis=axis, keepdims=True)
    behind = np.flip(valid, axis).argmax(axis=axis, keepdims=True)
    value = np.take_along_axis(block, length - 1 - behind, axis)
    return value, found, np.where(found, behind, length), length


def merge_last_valid(states: list[Any]) -> LastValid:
    """Return the last element of blocks that follow each other."""
    first, *others = _in_order(states)
    value, found, behind, length = first
    for other_value, other_found, other_behind, other_length in others:
        value = np.where(other_found, other_value, value)
        behind = np.where(other_found, other_behind, behind + other_length)
        found = found | other_found
        length += other_length
    return value, found, behind, length


def fill_forward(block: Any, states: list[Any], axis: int, limit: int | None) -> Any:
    """Fill NaN of a block with the last element before it."""
    valid = ~np.isnan(block)
    shape = tuple(-1 if place == axis else 1 for place in range(block.ndim))
    places = np.arange(block.shape[axis]).reshape(shape)
    last = np.maximum.accumulate(np.where(valid, places, -1), axis=axis)
    if not block.size:
        return block
    filled = np.take_along_axis(block, np.maximum(last, 0), axis)
    gaps = places - last
    if before := _in_order(states):
        value, found, behind, _ = merge_last_valid(before)
        outside = last < 0
        filled = np.where(outside & found, value, filled)
        gaps = np.where(outside, behind + places + 1, gaps)
    # What has nothing before it is NaN, and so is its filling.
    return filled if limit is None else np.where(gaps <= limit, filled, block)
