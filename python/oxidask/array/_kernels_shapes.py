"""What tasks of functions of shape and selection run."""

from __future__ import annotations

from typing import Any

import numpy as np


def choose(which: Any, *choices: Any) -> Any:
    """Choose each element from one of several blocks."""
    return np.choose(which, choices)


class Piecewise:
    """Calls functions with elements for which conditions are true."""

    def __init__(
        self, functions: tuple[Any, ...], args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self.functions, self.args, self.options = functions, args, options
        self.__name__ = "piecewise"

    def __call__(self, block: Any, *conditions: Any) -> Any:
        """Return a block."""
        fitting = [np.broadcast_to(one, block.shape) for one in conditions]
        return np.piecewise(block, fitting, list(self.functions), *self.args, **self.options)

    def __dask_tokenize__(self) -> Any:
        return ("piecewise", self.functions, self.args, self.options)


def argwhere(block: Any, start: int) -> Any:
    """Return the places of elements that are not zero in blocks of whole rows."""
    places = np.argwhere(block)
    if start:
        places[:, 0] += start
    return places


def is_nonzero(block: Any) -> Any:
    """Say for each element whether it is not zero, or not empty."""
    return block.astype(bool) if block.dtype.kind != "U" else block != ""


def points(parts: list[Any], plan: tuple[Any, list[Any]], axes: tuple[int, ...]) -> Any:
    """Pick points from blocks: of which block each is, and where in it along some axes."""
    which, inner = plan
    shape = [length for axis, length in enumerate(parts[0].shape) if axis not in axes]
    result = np.empty_like(parts[0], shape=(len(which), *shape))
    for number in np.unique(which).tolist():
        part = np.moveaxis(parts[number], axes, range(len(axes)))
        to = np.flatnonzero(which == number)
        result[to] = part[tuple(one[to] for one in inner)]
    return result
