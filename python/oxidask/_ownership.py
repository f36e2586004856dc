"""Arrays and frames between tasks of one process: what Rust leaves to Python. Called from Rust.

A task that is not the only reader of an input gets a view through which it cannot write, and what
users get shares no memory with anything else. `ownership.rs` decides; this module makes the views
and copies of everything but plain arrays.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def read_only_array(array: np.ndarray[Any, Any]) -> Any:
    """Return a view through which nobody writes; the array itself if its class makes none."""
    view = array.view()
    if type(view) is not type(array):
        return array
    view.flags.writeable = False
    if _is_masked(array):
        _separate_mask(array, view)
    return view


def _is_masked(array: Any) -> bool:
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(array, masked.MaskedArray)


def _separate_mask(array: Any, view: Any) -> None:
    """Have a view of a masked array share the mask read-only, and share nothing else."""
    if getattr(array._mask, "shape", ()) == array.shape and array._mask.size:
        view._mask = array._mask.view()
        view._mask.flags.writeable = False
    view._sharedmask = True
    if array._fill_value is not None:
        # Setting it writes into it.
        view._fill_value = array._fill_value.copy()


def own_array(array: np.ndarray[Any, Any]) -> Any:
    """Return a copy that may be written to; read-only where several elements share memory."""
    if not array.flags.writeable and array.dtype.itemsize and array.size:
        low, high = _bounds(array)
        if array.nbytes > high - low:
            return _overlapping_copy(array, low, high)
    return array.copy(order="K")


def _bounds(array: np.ndarray[Any, Any]) -> tuple[int, int]:
    """Return where the memory of an array begins and ends."""
    low = high = int(array.__array_interface__["data"][0])
    for length, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            low += (length - 1) * stride
        else:
            high += (length - 1) * stride
    return low, high + array.dtype.itemsize


class _Memory:
    """A stretch of memory, as an array of bytes."""

    def __init__(self, low: int, high: int) -> None:
        self.__array_interface__ = {
            "data": (low, True),
            "shape": (high - low,),
            "typestr": "|u1",
            "version": 3,
        }


def _overlapping_copy(array: np.ndarray[Any, Any], low: int, high: int) -> Any:
    """Return a read-only copy that takes as little memory, as `np.broadcast_to` gives it."""
    import numpy as np

    if array.dtype.hasobject or type(array) is not np.ndarray:
        # Memory with references is not to be copied as bytes. Nobody can write through this.
        return array
    memory = np.array(_Memory(low, high))
    start = int(array.__array_interface__["data"][0])
    copy: np.ndarray[Any, Any] = np.ndarray(
        array.shape, array.dtype, memory.data, start - low, array.strides
    )
    copy.flags.writeable = False
    return copy


# ---- Frames ----


def separate_frame(frame: Any) -> Any:
    """Return a frame such that writing to one of both does not reach the other."""
    # Without copy-on-write, memory that is shared would be written to.
    return frame.copy(deep=not _copies_on_write())


def _copies_on_write() -> bool:
    pandas = sys.modules["pandas"]
    if int(pandas.__version__.partition(".")[0]) >= 3:
        return True
    return pandas.options.mode.copy_on_write is True


# ---- Containers ----

#: How many values of a container are looked at, and how deep.
_MOST = 10_000
_DEEPEST = 8


def arrays_in(container: Any) -> list[Any]:
    """Return the arrays in a container, and in those inside it."""
    import numpy as np

    found: list[Any] = []
    level = [container]
    count = 0
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for one in level:
            count += len(one)
            if count > _MOST:
                return found
            for value in list(one.values()) if type(one) is dict else list(one):
                if isinstance(value, np.ndarray):
                    found.append(value)
                elif type(value) in (list, tuple, dict):
                    inner.append(value)
        level = inner
    return found


def own_container(container: Any) -> Any:
    """Return a container like this one in which copies stand for arrays that are read-only."""
    import numpy as np

    made: dict[int, Any] = {}

    def own(value: Any, depth: int) -> Any:
        if isinstance(value, np.ndarray):
            if value.flags.writeable:
                return value
            make = own_array
        elif depth and type(value) in (list, tuple, dict):
            make = functools.partial(rebuilt, depth=depth - 1)
        else:
            return value
        # What was one object stays one.
        if id(value) not in made:
            made[id(value)] = make(value)
        return made[id(value)]

    def rebuilt(container: Any, depth: int) -> Any:
        if type(container) is dict:
            return {key: own(value, depth) for key, value in container.items()}
        return type(container)(own(value, depth) for value in container)

    return rebuilt(container, _DEEPEST)


# ---- Errors ----

_CURE = (
    "oxidask: the task was given an array that others may read too, so it is read-only: write "
    "into a copy of the input, x = x.copy(). To fill one array from many tasks, pass the array "
    "itself as an argument of their calls"
)


def with_cure(error: BaseException) -> None:
    """Say in a note what to do, if an error says that something is read-only."""
    text = str(error).lower()
    if "read-only" in text or "readonly" in text or "not writeable" in text:
        error.add_note(_CURE)
