"""Assignment to parts of an array: a new array, for which the old object stands."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from oxidask._core import Layer
from oxidask.array import _kernels
from oxidask.array._chunks import is_unknown, starts_of
from oxidask.array._expressions import Expression, along, read
from oxidask.array._slicing import normalize_index
from oxidask.array.core import Array, _array, asarray, elemwise
from oxidask.tokenize import tokenize


class Assigned(Expression):
    """An array with other elements at some places, which slices and lists give."""

    __slots__ = ("cuts",)

    def __init__(self, operand: Expression, value: Expression, places: list[Any]) -> None:
        name = f"setitem-{tokenize(operand.name, value.name, places)}"
        super().__init__(name, operand.chunks, operand.meta, [operand, value])
        self.cuts = [
            _cuts(lengths, one) for lengths, one in zip(operand.chunks, places, strict=True)
        ]

    def _lower(self) -> Layer:
        operand, value = self.operands
        cuts = [along(axis, one) for axis, one in enumerate(self.cuts)]
        whole = read(value, [None] * value.ndim)
        return self._call(_kernels.assign, read(operand, range(self.ndim)), whole, *cuts)


def _cuts(lengths: tuple[int, ...], places: np.ndarray[Any, Any]) -> list[Any]:
    """Return, for each block, which of its places are assigned to, and from which of the value."""
    starts = starts_of(lengths)
    result = []
    for low, high in pairwise(starts):
        of = np.flatnonzero((places >= low) & (places < high))
        result.append((places[of] - low, of))
    return result


def assigned(array: Array, index: Any, value: Any) -> Array:
    """Return an array with other elements where an index says."""
    value = value if isinstance(value, Array) else np.asarray(value)
    if np.issubdtype(value.dtype, np.complexfloating) and array.dtype.kind in "biuf":
        raise TypeError(f"elements of {array.dtype} cannot be set to {value.dtype}")
    if isinstance(index, tuple) and len(index) == 1:
        (index,) = index
    if isinstance(index, list):
        index = np.asarray(index)
    if getattr(index, "dtype", None) is not None and index.dtype == np.dtype(bool):
        return _assigned_by_mask(array, index, value)
    if any(map(is_unknown, array.chunks)):
        raise ValueError(
            "an array of which some lengths are not known cannot be assigned to by places; call "
            "compute_chunk_sizes() first"
        )
    entries = normalize_index(index, array.shape)
    places: list[Any] = []
    kept: list[int] = []
    shape: list[int] = []
    for axis, (one, length) in enumerate(zip(entries, array.shape, strict=True)):
        if isinstance(one, slice):
            of_axis = np.arange(length)[one]
        elif isinstance(one, np.ndarray) and one.ndim == 1:
            of_axis = np.flatnonzero(one) if one.dtype == np.dtype(bool) else one
            if len(np.unique(of_axis)) < len(of_axis):
                # The last of several values for one place stays, as in NumPy.
                last = len(of_axis) - 1 - np.unique(of_axis[::-1], return_index=True)[1]
                raise NotImplementedError(
                    f"assignment to a place twice, index {int(of_axis[last[0]])}: give each place "
                    "once"
                )
        elif isinstance(one, int):
            of_axis = np.asarray([one])
        else:
            raise NotImplementedError(
                f"assignment by {one!r}: use ints, slices, lists of ints, or one mask"
            )
        places.append(of_axis)
        if not isinstance(one, int):
            kept.append(axis)
            shape.append(len(of_axis))
    lists = sum(isinstance(one, np.ndarray) for one in entries)
    if lists > 1:
        raise NotImplementedError(
            "assignment by several lists: assign along one axis after the other"
        )
    given = tuple(value.shape)
    while len(given) > len(shape) and given[0] == 1:
        value, given = value[0], given[1:]
    if len(given) > len(shape) or any(
        own not in (1, wanted) for own, wanted in zip(given[::-1], shape[::-1], strict=False)
    ):
        raise ValueError(
            f"a value of shape {given} cannot be broadcast to the shape {tuple(shape)} that the "
            "index picks"
        )
    # The value gets an axis for each one of the array.
    padded = (1,) * (len(shape) - len(given)) + given
    lengths = dict(zip(kept, padded, strict=True))
    filled = tuple(lengths.get(axis, 1) for axis in range(array.ndim))
    if isinstance(value, Array):
        index_ = [None] * (len(shape) - len(given)) + [slice(None)] * len(given)
        by_axis = dict(zip(kept, index_, strict=True))
        value = value.rechunk(-1)[tuple(by_axis.get(axis) for axis in range(array.ndim))]
    else:
        value = asarray(value.reshape(filled), chunks=filled)
    return _array(Assigned(array._expr, value._expr, places))


def _assigned_by_mask(array: Array, mask: Any, value: Any) -> Array:
    if mask.ndim > array.ndim or any(
        a != b for a, b in zip(mask.shape, array.shape, strict=False) if a == a and b == b
    ):
        raise IndexError(
            f"a mask of shape {mask.shape} does not fit an array of shape {array.shape}"
        )
    if value.ndim and value.size != 1 and mask.ndim != 0:
        picked = value.shape[0] if value.ndim == 1 else None
        if mask.ndim == array.ndim and picked is not None and not isinstance(mask, Array):
            places = np.flatnonzero(np.asarray(mask).ravel())
            if len(places) != picked:
                raise ValueError(
                    f"{picked} values cannot be assigned to the {len(places)} places of a mask"
                )
            if array.ndim == 1:
                return assigned(array, places, value)
        raise NotImplementedError(
            "assignment of several values by a mask: use da.where(mask, values, x)"
        )
    mask = mask[(..., *(None,) * (array.ndim - mask.ndim))]
    if value.ndim:
        value = value.reshape(()) if not isinstance(value, Array) else value[(0,) * value.ndim]
    if isinstance(value, Array):
        value = value.astype(array.dtype)
    return elemwise(_kernels.choose, asarray(mask), array, value, meta_dtype=array.dtype)
