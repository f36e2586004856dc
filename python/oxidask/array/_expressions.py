"""Expressions: operations on arrays, before there is a graph.

Each knows its chunks, its `meta` (an empty array of the type and dtype of its blocks), its name,
what it reads, and how it becomes a `Layer`. Making one takes time for the blocks along its axes,
never for all its blocks.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from types import CodeType
from typing import Any

import numpy as np

from oxidask import base
from oxidask._core import Delayed, Layer, along_axis, read_blocks
from oxidask.array import _kernels
from oxidask.array._chunks import Chunks, broadcast_lengths, is_unknown, lengths_for, starts_of
from oxidask.tokenize import tokenize

#: Which block along an axis of an input a task reads: the axis of its own grid with the same
#: coordinate, None for the only block, or an axis (or None) and for each coordinate a block or
#: some.
AxisMap = int | None | tuple[int | None, list[Any]]


class Expression:
    """One operation on arrays."""

    __slots__ = (
        *("__weakref__", "_layer", "annotations", "chunks", "meta", "name", "operands", "origin"),
    )

    #: Whether blocks are sooner made anew than kept, for each who reads them.
    is_cheap = False
    chunks: Chunks
    meta: Any
    name: str
    operands: tuple[Expression, ...]

    def __init__(
        self, name: str, chunks: Chunks, meta: Any, operands: Sequence[Expression] = ()
    ) -> None:
        self.name = name
        self.chunks = chunks
        self.meta = meta
        self.operands = tuple(operands)
        self.origin = users_place()
        self.annotations = base._annotations.get()
        self._layer: Layer | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for kind in type(self).__mro__
            for name in getattr(kind, "__slots__", ())
            if name not in ("__weakref__", "_layer", "origin")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self.origin, self._layer = None, None

    @property
    def label(self) -> str:
        """The name without what makes it this one's."""
        return self.name.rsplit("-", 1)[0]

    @property
    def grid(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(len(lengths) for lengths in self.chunks)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.chunks)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Elements along each axis."""
        return tuple(sum(lengths) for lengths in self.chunks)

    def layer(self) -> Layer:
        """Return the operation as a layer, made once."""
        if self._layer is None:
            # What is read comes first; a chain of operations may be longer than a stack is deep.
            stack: list[Expression] = [self]
            while stack:
                expression = stack[-1]
                missing = [one for one in expression.operands if one._layer is None]
                if missing:
                    stack.extend(missing)
                else:
                    if expression._layer is None:
                        with base._annotated_as(expression.annotations):
                            expression._layer = expression._lower()
                    stack.pop()
        assert self._layer is not None
        return self._layer

    def _lower(self) -> Layer:
        raise NotImplementedError(type(self).__name__)

    def _call(
        self,
        function: Callable[..., Any] | None,
        *args: Any,
        cheap: bool = False,
        grid: tuple[int, ...] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Layer:
        """Return a layer of one call for each block."""
        return Layer(
            name or self.name,
            self.label,
            self.grid if grid is None else grid,
            function,
            args,
            kwargs,
            cheap=cheap,
            origin=self.origin,
        )


def in_order(expression: Expression) -> list[Expression]:
    """Return an expression and all that it reads, each after what it reads itself."""
    found: dict[int, Expression] = {}
    stack: list[tuple[Expression, bool]] = [(expression, False)]
    while stack:
        one, is_open = stack.pop()
        if is_open:
            found[id(one)] = one
        elif id(one) not in found:
            stack.append((one, True))
            stack.extend((operand, False) for operand in one.operands)
    return list(found.values())


def users_place() -> tuple[CodeType, int] | None:
    """Return where the user's code is that made what is being made: errors name it."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("oxidask."):
        frame = frame.f_back  # type: ignore[assignment]
    return None if frame is None else (frame.f_code, frame.f_lasti)


def read(expression: Expression, axes: Sequence[AxisMap], many: bool = False) -> Any:
    """Return what stands for blocks of an expression in a call."""
    layer = expression.layer()
    if expression.annotations != base._annotations.get() and not expression.is_cheap:
        layer = _apart(layer)
    return read_blocks(layer, list(axes), many)


def _apart(layer: Layer) -> Layer:
    """Return the same blocks as a layer that does not become part of what reads it.

    What `annotate` says of its tasks would be lost, or hold for more than was meant.
    """
    name = f"apart-{layer.name}"
    if not layer.grid:
        return Layer.given(name, name, (), layer.all_blocks())
    return Layer.joined(name, name, 0, [layer])


def along(axis: int, values: Iterable[Any]) -> Any:
    """Return what stands for one of some values in a call, by the coordinate along an axis."""
    values = list(values)
    first = values[0]
    if all(value is first for value in values) and isinstance(first, int | slice):
        return first
    return along_axis(axis, values)


def every(count: int) -> AxisMap:
    """Return the map of an axis of which all blocks are read."""
    return (None, [list(range(count))])


def own_axes(expression: Expression) -> tuple[int, ...]:
    """Return the maps of axes of an input with the same grid."""
    return tuple(range(expression.ndim))


def lengths_along(expression: Expression) -> tuple[Any, ...]:
    """Return what stands for the shape of a block in a call."""
    return tuple(along(axis, lengths) for axis, lengths in enumerate(expression.chunks))


def meta_of(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a function makes of empty arrays."""
    with np.errstate(all="ignore"):
        return function(*args, **kwargs)


def empty_like(meta: Any, ndim: int, dtype: Any = None) -> Any:
    """Return an empty array of the type of another, with so many axes."""
    dtype = meta.dtype if dtype is None else dtype
    shape = (0,) * ndim
    if type(meta) is np.ndarray or not hasattr(meta, "__array_function__"):
        return np.empty(shape, dtype)
    return np.empty_like(meta, dtype=dtype, shape=shape)


class Creation(Expression):
    """Blocks made from nothing, by a function of their shape."""

    __slots__ = ("args", "function", "is_cheap", "kwargs")

    def __init__(
        self,
        label: str,
        chunks: Chunks,
        meta: Any,
        function: Callable[..., Any],
        *args: Any,
        cheap: bool = True,
        **kwargs: Any,
    ) -> None:
        name = f"{label}-{tokenize(function, chunks, meta.dtype, args, kwargs)}"
        super().__init__(name, chunks, meta)
        self.function, self.args, self.kwargs, self.is_cheap = function, args, kwargs, cheap

    def _lower(self) -> Layer:
        shape = lengths_along(self)
        return self._call(self.function, shape, *self.args, cheap=self.is_cheap, **self.kwargs)


class Ranged(Expression):
    """A block along one axis, by a function of where it begins and how long it is."""

    __slots__ = ("args", "function")

    is_cheap = True

    def __init__(
        self, label: str, chunks: Chunks, meta: Any, function: Callable[..., Any], *args: Any
    ) -> None:
        name = f"{label}-{tokenize(function, chunks, args)}"
        super().__init__(name, chunks, meta)
        self.function, self.args = function, args

    def _lower(self) -> Layer:
        starts = starts_of(self.chunks[0])[:-1]
        return self._call(
            self.function, along(0, starts), along(0, self.chunks[0]), *self.args, cheap=True
        )


class FromArray(Expression):
    """Blocks cut out of an object that can be sliced."""

    __slots__ = ("function", "source")

    def __init__(
        self, name: str, source: Any, chunks: Chunks, meta: Any, function: Callable[..., Any]
    ) -> None:
        super().__init__(name, chunks, meta)
        self.source, self.function = source, function

    def _lower(self) -> Layer:
        index = tuple(
            along(axis, [slice(a, b) for a, b in pairwise(starts)])
            for axis, starts in enumerate(map(starts_of, self.chunks))
        )
        return self._call(self.function, self.source, index)


class FromLayer(Expression):
    """Blocks that a layer makes."""

    __slots__ = ()

    def __init__(self, layer: Layer, chunks: Chunks, meta: Any) -> None:
        super().__init__(layer.name, chunks, meta)
        self._layer = layer

    def __reduce__(self) -> Any:
        assert self._layer is not None
        parts = self._layer.name, self.grid, self._layer.all_blocks()
        return _from_tasks, (*parts, self.chunks, self.meta)


def _from_tasks(
    name: str, grid: tuple[int, ...], tasks: list[Delayed], chunks: Chunks, meta: Any
) -> FromLayer:
    """Return blocks that tasks make, row by row."""
    return FromLayer(Layer.given(name, name.rsplit("-", 1)[0], grid, tasks), chunks, meta)


class Renamed(Expression):
    """An array under another name, or with chunks that are known now."""

    __slots__ = ()

    def __init__(self, operand: Expression, name: str, chunks: Chunks | None = None) -> None:
        super().__init__(
            name, operand.chunks if chunks is None else chunks, operand.meta, [operand]
        )
        self.annotations = operand.annotations

    def _lower(self) -> Layer:
        (operand,) = self.operands
        layer = operand.layer()
        return layer if layer.name == self.name else layer.renamed(self.name)


class Elementwise(Expression):
    """A function of blocks that stand at the same place, broadcast as NumPy does."""

    __slots__ = ("args", "function", "kwargs")

    def __init__(
        self,
        label: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        meta: Any,
    ) -> None:
        arrays = [one for one in args if isinstance(one, Expression)]
        chunks = broadcast_chunks(arrays)
        args = [rechunked_to(one, chunks) if isinstance(one, Expression) else one for one in args]
        parts = [one.name if isinstance(one, Expression) else one for one in args]
        name = f"{label}-{tokenize(function, parts, kwargs)}"
        operands = [one for one in args if isinstance(one, Expression)]
        super().__init__(name, chunks, meta, operands)
        self.function, self.args, self.kwargs = function, tuple(args), kwargs

    def _lower(self) -> Layer:
        values = [
            read(one, aligned_axes(one, self)) if isinstance(one, Expression) else one
            for one in self.args
        ]
        return self._call(self.function, *values, **self.kwargs)


def aligned_axes(operand: Expression, result: Expression) -> list[AxisMap]:
    """Return the maps of the axes of an operand that is broadcast."""
    shift = result.ndim - operand.ndim
    return [
        None if len(lengths) == 1 else axis + shift for axis, lengths in enumerate(operand.chunks)
    ]


def broadcast_chunks(arrays: Sequence[Expression]) -> Chunks:
    """Return the chunks of the result of an element-wise operation."""
    first = arrays[0].chunks
    if all(one.chunks is first or one.chunks == first for one in arrays[1:]):
        return first
    ndim = max(one.ndim for one in arrays)
    chunks: list[tuple[Any, ...]] = []
    for axis in range(-ndim, 0):
        every = [one.chunks[axis] for one in arrays if one.ndim >= -axis]
        sums = {sum(lengths) for lengths in every if not is_unknown(lengths)} - {1}
        if len(sums) > 1:
            raise ValueError(
                "operands could not be broadcast together with shapes "
                + " ".join(str(one.shape) for one in arrays)
            )
        chunks.append(broadcast_lengths(every))
    return tuple(chunks)


def rechunked_to(operand: Expression, chunks: Chunks) -> Expression:
    """Return an operand cut as the result of an element-wise operation is."""
    own = operand.chunks
    wanted = tuple(
        lengths_for(mine, theirs)
        for mine, theirs in zip(own, chunks[len(chunks) - len(own) :], strict=True)
    )
    if own == wanted:
        return operand
    from oxidask.array._rechunk import rechunk

    return rechunk(operand, wanted)


class Transpose(Expression):
    """The axes in another order."""

    __slots__ = ("axes",)

    def __init__(self, operand: Expression, axes: tuple[int, ...]) -> None:
        chunks = tuple(operand.chunks[axis] for axis in axes)
        name = f"transpose-{tokenize(operand.name, axes)}"
        super().__init__(name, chunks, np.transpose(operand.meta, axes), [operand])
        self.axes = axes

    def _lower(self) -> Layer:
        (operand,) = self.operands
        maps = [self.axes.index(axis) for axis in range(self.ndim)]
        return self._call(_kernels.transpose, read(operand, maps), self.axes)


class BroadcastTo(Expression):
    """An array repeated along new axes, and along axes of length one."""

    __slots__ = ()

    def __init__(self, operand: Expression, chunks: Chunks) -> None:
        name = f"broadcast_to-{tokenize(operand.name, chunks)}"
        super().__init__(name, chunks, empty_like(operand.meta, len(chunks)), [operand])

    def _lower(self) -> Layer:
        (operand,) = self.operands
        block = read(operand, aligned_axes(operand, self))
        return self._call(_kernels.broadcast, block, lengths_along(self))


class Concatenate(Expression):
    """Arrays behind each other along an axis."""

    __slots__ = ("axis",)

    def __init__(self, operands: Sequence[Expression], axis: int, meta: Any) -> None:
        name = f"concatenate-{tokenize([one.name for one in operands], axis)}"
        chunks = list(operands[0].chunks)
        chunks[axis] = tuple(length for one in operands for length in one.chunks[axis])
        super().__init__(name, tuple(chunks), meta, operands)
        self.axis = axis

    def _lower(self) -> Layer:
        layers = [one.layer() for one in self.operands]
        return Layer.joined(self.name, self.label, self.axis, layers, self.origin)


class Blockwise(Expression):
    """A function of blocks by labels of axes, as for `blockwise`.

    `args` are pairs of an expression or a value and its labels; None instead of labels is for
    values. Labels that the result has not are contracted: the function is given nested lists of
    blocks, or blocks joined along them.
    """

    __slots__ = ("args", "concatenates", "function", "kwargs", "labels")

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        labels: Sequence[Any],
        args: Sequence[tuple[Any, Sequence[Any] | None]],
        kwargs: dict[str, Any],
        chunks: Chunks,
        meta: Any,
        concatenates: bool | None = None,
    ) -> None:
        operands = [one for one, labels in args if labels is not None]
        super().__init__(name, chunks, meta, operands)
        self.function, self.labels, self.args = function, tuple(labels), tuple(args)
        self.kwargs, self.concatenates = kwargs, concatenates

    def _lower(self) -> Layer:
        values: list[Any] = []
        counts: list[tuple[int, ...] | None] = []
        for one, labels in self.args:
            value, count = (one, None) if labels is None else self._read(one, labels)
            values.append(value)
            counts.append(count)
        if all(count is None for count in counts):
            return self._call(self.function, *values, **self.kwargs)
        return self._call(
            _kernels.call_on_joined,
            self.function,
            values,
            tuple(counts),
            bool(self.concatenates),
            self.kwargs,
        )

    def _read(
        self, operand: Expression, labels: Sequence[Any]
    ) -> tuple[Any, tuple[int, ...] | None]:
        """Return what stands for the blocks, and how many there are along which axes if many."""
        maps: list[AxisMap] = []
        counts: list[int] = []
        for label, lengths in zip(labels, operand.chunks, strict=True):
            if label in self.labels:
                maps.append(None if len(lengths) == 1 else self.labels.index(label))
                counts.append(1)
            else:
                maps.append(every(len(lengths)))
                counts.append(len(lengths))
        is_whole = self.concatenates and all(
            label in self.labels or count == 1 for label, count in zip(labels, counts, strict=True)
        )
        if is_whole or all(label in self.labels for label in labels):
            return read(operand, maps), None
        if not self.concatenates:
            pairs = zip(counts, labels, strict=True)
            counts = [count for count, label in pairs if label not in self.labels]
        return read(operand, maps, many=True), tuple(counts)


def size_of(chunks: Chunks, axes: Iterable[int]) -> Any:
    """Return how many elements stand along some axes together; NaN if that is not known."""
    return math.prod(sum(chunks[axis]) for axis in axes)
