"""`sizeof`: about how many bytes an object takes in memory, found quickly.

Large containers are sampled, so the cost does not grow with their length. Other types can be
registered: ``sizeof.register(MyType, lambda value: ...)``.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Set, ValuesView
from itertools import islice
from typing import Any

from oxidask._dispatch import Dispatch

__all__ = ["sizeof"]

# Elements of a container that are looked at.
_SAMPLE = 10

# Containers inside containers that are looked into; the size of further ones is their own alone.
_MOST_CONTAINERS = 2_000

# Columns of a frame that are all looked at.
_MOST_COLUMNS = 100

# What a pandas object takes besides its data, roughly.
_PANDAS_BYTES = 1_000

#: Bytes that an object takes in memory, by type.
sizeof = Dispatch("sizeof")


@sizeof.register(object)
def _size_of_object(o: Any) -> int:
    try:
        size = sys.getsizeof(o)
    except Exception:  # An object of a user must not make a computation fail.
        size = object.__sizeof__(o)
    nbytes = getattr(type(o), "nbytes", None)
    if nbytes is None:
        return size
    try:
        return size + int(o.nbytes)
    except Exception:
        return size


@sizeof.register((bytes, bytearray))
def _size_of_bytes(o: bytes | bytearray) -> int:
    return len(o)


@sizeof.register(memoryview)
def _size_of_memoryview(o: memoryview) -> int:
    return o.nbytes


@sizeof.register(array.array)
def _size_of_array(o: array.array[Any]) -> int:
    return o.itemsize * len(o)


@sizeof.register((list, tuple, set, frozenset, dict))
def _size_of_container(o: Any) -> int:
    total = 0.0
    looked_into = 0
    # What is still to be counted, and how many objects each stands for.
    stack: list[tuple[Any, float]] = [(o, 1.0)]
    while stack:
        part, weight = stack.pop()
        function = sizeof.dispatch(type(part))
        if function is not _size_of_container:
            total += weight * function(part)
            continue
        total += weight * sys.getsizeof(part)
        looked_into += 1
        if looked_into <= _MOST_CONTAINERS:
            for elements in (part, part.values()) if isinstance(part, dict) else (part,):
                sample, factor = _sample(elements, len(part))
                stack.extend((one, weight * factor) for one in sample)
    return int(total)


def _sample(elements: Any, count: int) -> tuple[list[Any], float]:
    """Return some elements from all over a container, and how many each stands for."""
    try:
        if count <= _SAMPLE:
            sample = list(elements)
        elif isinstance(elements, dict | Set | ValuesView):
            sample = list(islice(elements, 0, None, -(-count // _SAMPLE)))
        else:
            sample = [elements[place * count // _SAMPLE] for place in range(_SAMPLE)]
    except (RuntimeError, IndexError):  # Another thread changes it.
        return [], 0.0
    if sample and all(one is sample[0] for one in sample):
        # One object many times.
        return sample[:1], 1.0
    return sample, count / max(len(sample), 1)


@sizeof.register_lazy("numpy")
def _register_numpy() -> None:
    np = sys.modules["numpy"]

    @sizeof.register(np.ndarray)
    def _size_of_ndarray(o: Any) -> int:
        if o.size == 0:
            return 0
        # Elements of views may lie on one another, as after broadcasting.
        strides = zip(o.shape, o.strides, strict=True)
        span = sum((length - 1) * abs(stride) for length, stride in strides) + o.itemsize
        size = int(min(o.nbytes, span))
        if o.dtype.kind != "O":
            return size
        sample, factor = _sample(o.flat, o.size)
        return size + int(factor * sum(map(sizeof, sample)))


@sizeof.register_lazy("pandas")
def _register_pandas() -> None:
    np, pd = sys.modules["numpy"], sys.modules["pandas"]

    def _size_of_values(values: Any) -> int:
        if isinstance(values, pd.Categorical):
            return int(values.codes.nbytes + sizeof(values.categories))
        if isinstance(values, np.ndarray):
            return int(sizeof(values))
        own = getattr(values, "_ndarray", None)
        return int(sizeof(own)) if isinstance(own, np.ndarray) else int(values.nbytes)

    @sizeof.register(pd.DataFrame)
    def _size_of_frame(o: Any) -> int:
        places, factor = list(range(o.shape[1])), 1.0
        if len(places) > _MOST_COLUMNS:
            places, factor = _sample(places, len(places))
        columns = sum(_size_of_values(o.iloc[:, place].array) for place in places)
        return int(factor * columns + sizeof(o.index) + sizeof(o.columns) + _PANDAS_BYTES)

    @sizeof.register(pd.Series)
    def _size_of_series(o: Any) -> int:
        return int(_size_of_values(o.array) + sizeof(o.index) + _PANDAS_BYTES)

    @sizeof.register(pd.RangeIndex)
    def _size_of_range(o: Any) -> int:
        return sys.getsizeof(o)

    @sizeof.register(pd.MultiIndex)
    def _size_of_multi_index(o: Any) -> int:
        codes = sum(one.nbytes for one in o.codes)
        return int(codes + sum(map(sizeof, o.levels)) + _PANDAS_BYTES)

    @sizeof.register(pd.Index)
    def _size_of_index(o: Any) -> int:
        return _size_of_values(o.array) + _PANDAS_BYTES

    @sizeof.register(pd.api.extensions.ExtensionArray)
    def _size_of_extension_array(o: Any) -> int:
        return _size_of_values(o)


@sizeof.register_lazy("pyarrow")
def _register_pyarrow() -> None:
    pa = sys.modules["pyarrow"]

    # All of the buffers: a slice keeps them whole.
    @sizeof.register((pa.Table, pa.RecordBatch, pa.ChunkedArray, pa.Array))
    def _size_of_arrow(o: Any) -> int:
        return sys.getsizeof(object()) + int(o.get_total_buffer_size())

    @sizeof.register(pa.Buffer)
    def _size_of_buffer(o: Any) -> int:
        return int(o.size)
