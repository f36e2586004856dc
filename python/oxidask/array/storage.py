"""Arrays to and from files: zarr, HDF5, NumPy's own, and whatever can be assigned to."""

from __future__ import annotations

import io
import os
import pickle
import uuid
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from oxidask._core import Delayed, Layer
from oxidask.array import _kernels_storage
from oxidask.array._chunks import Chunks, is_unknown, normalize_chunks, starts_of
from oxidask.array._expressions import Expression, along, every, own_axes, read
from oxidask.array._files import target_of
from oxidask.array._locks import OneAtATime
from oxidask.array.core import Array, _array, from_array
from oxidask.tokenize import tokenize

__all__ = [
    "from_npy_stack",
    "from_tiledb",
    "from_zarr",
    "store",
    "to_hdf5",
    "to_npy_stack",
    "to_tiledb",
    "to_zarr",
]


# ---- store ----


class _Place:
    """Where the blocks of an array go in a target."""

    def __init__(self, chunks: Chunks, shape: Any, region: Any) -> None:
        lengths = tuple(sum(one) for one in chunks)
        if region is None:
            if shape is not None and tuple(shape) != lengths:
                raise ValueError(
                    f"store: the array has shape {lengths} and the target {tuple(shape)}; give "
                    "regions= to write into a part of it"
                )
            region = (slice(None),) * len(lengths)
        if not isinstance(region, tuple):
            region = (region,)
        axes = [axis for axis, one in enumerate(region) if isinstance(one, slice)]
        others = [one for one in region if not isinstance(one, slice | int | np.integer)]
        if others:
            raise NotImplementedError(
                f"store: a region is made of slices and ints, not {others[0]!r}: store into each "
                "part by itself"
            )
        if len(axes) != len(lengths):
            raise ValueError(
                f"store: the region {region} has {len(axes)} slices, and the array has "
                f"{len(lengths)} axes"
            )
        #: What stands in the index: None for the slices along the axes of the array.
        self.index = tuple(None if isinstance(one, slice) else int(one) for one in region)
        self.ranges = []
        for axis, length in zip(axes, lengths, strict=True):
            size = length if shape is None else shape[axis]
            self.ranges.append(_range_of(region[axis], size, length, shape is not None))

    def cuts(self, chunks: Chunks) -> tuple[Any, ...]:
        """Return the slices of the blocks along each axis, for a call."""
        return tuple(
            along(axis, [_slice_of(places[a:b]) for a, b in pairwise(starts_of(lengths))])
            for axis, (places, lengths) in enumerate(zip(self.ranges, chunks, strict=True))
        )


def _range_of(one: slice, size: int, length: int, is_known: bool) -> range:
    if not is_known:
        start, step = one.start or 0, one.step or 1
        if start < 0 or step < 0:
            raise ValueError(
                f"store: the region {one} counts from the end, and the target has no shape"
            )
        return range(start, start + length * step, step)
    places = range(size)[one]
    if len(places) != length:
        raise ValueError(
            f"store: the region {one} has {len(places)} places along an axis of {size}, and the "
            f"array has {length} elements there"
        )
    return places


def _slice_of(places: range) -> slice:
    stop: int | None = places.stop
    return slice(places.start, None if stop is not None and stop < 0 else stop, places.step)


class _Stored(Expression):
    """The blocks of an array, written into a target; None or what stands there then."""

    __slots__ = ("lock", "place", "reads", "target")

    def __init__(
        self, operand: Expression, target: Any, place: _Place, lock: Any, reads: bool
    ) -> None:
        name = f"store-{uuid.uuid4().hex}"
        super().__init__(name, operand.chunks, operand.meta, [operand])
        self.target, self.place, self.lock, self.reads = target, place, lock, reads

    def _lower(self) -> Layer:
        (operand,) = self.operands
        return self._call(
            _kernels_storage.store,
            read(operand, own_axes(operand)),
            self.target,
            self.place.index,
            self.place.cuts(self.chunks),
            self.lock,
            self.reads,
        )


class _Loaded(Expression):
    """Blocks read back from a target after they were written."""

    __slots__ = ("lock", "place", "target")

    def __init__(self, stored: Expression, target: Any, place: _Place, lock: Any) -> None:
        super().__init__(f"load-{stored.name}", stored.chunks, stored.meta, [stored])
        self.target, self.place, self.lock = target, place, lock

    def _lower(self) -> Layer:
        (stored,) = self.operands
        return self._call(
            _kernels_storage.load,
            read(stored, own_axes(stored)),
            self.target,
            self.place.index,
            self.place.cuts(self.chunks),
            self.lock,
        )


def store(
    sources: Any,
    targets: Any,
    lock: Any = True,
    regions: Any = None,
    compute: bool = True,
    return_stored: bool = False,
    load_stored: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Write arrays into objects that can be assigned to, block by block.

    Parameters
    ----------
    sources : Array or list of Array
        What is written.
    targets : array-like or Delayed, or list of them
        Where to: ``target[index] = block`` is done for each block. Datasets of h5py, variables of
        netCDF4, arrays of zarr and `numpy.memmap` can be written by worker processes, too, as far
        as their libraries allow it. What a Delayed makes must not be an array of NumPy: tasks may
        not write into each other's results.
    lock : bool or lock, default True
        Whether blocks of one target are written one at a time, among all threads and processes of
        this host. With False, arrays are cut so that no two blocks write one chunk of zarr.
    regions : tuple of slice and int, or list of them, optional
        Which part of each target; by default all of it.
    compute : bool, default True
        Whether to write now, or to return what will do it.
    return_stored : bool, default False
        Whether to return arrays that read what was written.
    load_stored : bool, optional
        Whether these arrays hold what was written, instead of reading it again each time; by
        default if `return_stored` and not `compute`.
    **kwargs
        For `compute`.

    Returns
    -------
    None, Delayed, or tuple of Array
        With ``compute=False`` a lazy value that writes.

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> target = np.zeros((4, 4))
    >>> da.store(da.ones((4, 2), chunks=2), target, regions=(slice(None), slice(1, 3)))
    >>> target[0]
    array([0., 1., 1., 0.])
    """
    is_one = isinstance(sources, Array)
    sources = [sources] if is_one else list(sources)
    targets = [targets] if is_one else list(targets)
    if not all(isinstance(one, Array) for one in sources):
        raise ValueError("store: all sources must be lazy arrays; see from_array")
    if len(sources) != len(targets):
        raise ValueError(f"store: there are {len(sources)} sources and {len(targets)} targets")
    if regions is None or isinstance(regions, tuple | slice):
        regions = [regions] * len(sources)
    regions = list(regions)
    if len(regions) != len(sources):
        raise ValueError(f"store: there are {len(sources)} sources and {len(regions)} regions")
    reads = (return_stored and not compute) if load_stored is None else load_stored
    stored = [_stored(*one, lock, reads) for one in zip(sources, targets, regions, strict=True)]
    if not return_stored:
        done = _all_done(stored)
        return done.compute(**kwargs) if compute else done
    arrays = [_array(one) for one in stored]
    if compute:
        from oxidask.base import persist

        arrays = list(persist(*arrays, **kwargs))
    if not reads:
        arrays = [
            _array(_Loaded(array._expr, one.target, one.place, one.lock))
            for array, one in zip(arrays, stored, strict=True)
        ]
    return tuple(arrays)


def _stored(source: Array, target: Any, region: Any, lock: Any, reads: bool) -> _Stored:
    if any(map(is_unknown, source.chunks)):
        raise ValueError(
            f"store: lengths of {source!r} are not known; call compute_chunk_sizes() first"
        )
    if not isinstance(target, Delayed) and not hasattr(target, "__setitem__"):
        raise TypeError(f"store: nothing can be assigned to a part of a {type(target).__name__}")
    place = _Place(
        source.chunks,
        getattr(target, "shape", None) if not isinstance(target, Delayed) else None,
        region,
    )
    grain = _grain_of(target)
    if grain is not None and not lock:
        axes = [axis for axis, one in enumerate(place.index) if one is None]
        source = source.rechunk(_on_grain(source.chunks, place.ranges, [grain[a] for a in axes]))
    if lock is True:
        lock = OneAtATime(f"store-{uuid.uuid4().hex}")
    if not isinstance(target, Delayed | _kernels_storage.Hdf5Target):
        target = target_of(target)
    return _Stored(source._expr, target, place, lock or None, reads)


def _all_done(stored: Sequence[Expression]) -> Delayed:
    """Return a lazy value that is there, and None, when all blocks are stored."""
    parts = [read(one, [every(count) for count in one.grid], many=True) for one in stored]
    name = f"stored-{uuid.uuid4().hex}"
    done: Delayed = Layer(name, "stored", (), _kernels_storage.nothing, tuple(parts), {}).block(())
    return done


# ---- zarr ----


def _grain_of(target: Any) -> tuple[int, ...] | None:
    """Return the lengths of what an array of zarr writes at once."""
    if type(target).__module__.split(".")[0] != "zarr":
        return None
    return tuple(getattr(target, "shards", None) or target.chunks)


def _on_grain(chunks: Chunks, ranges: Sequence[range], grain: Sequence[int]) -> Chunks:
    """Join blocks so that each boundary is one of the target, too."""
    result = []
    for lengths, places, length in zip(chunks, ranges, grain, strict=True):
        cuts = [0]
        for end in starts_of(lengths)[1:-1]:
            while end < len(places) and places[end] // length == places[end - 1] // length:
                end += 1
            if cuts[-1] < end < len(places):
                cuts.append(end)
        cuts.append(len(places))
        result.append(tuple(b - a for a, b in pairwise(cuts)) or (0,))
    return tuple(result)


def _zarr() -> Any:
    try:
        import zarr  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise ImportError("to_zarr and from_zarr need zarr: pip install 'zarr>=3'") from None
    if not hasattr(zarr, "create_array"):
        raise ImportError(
            f"to_zarr and from_zarr need zarr 3, and this is {zarr.__version__}: "
            "pip install 'zarr>=3'"
        )
    return zarr


def from_zarr(
    url: Any,
    component: str | None = None,
    storage_options: dict[str, Any] | None = None,
    chunks: Any = None,
    name: str | None = None,
    inline_array: bool = False,
    **kwargs: Any,
) -> Array:
    """Open an array of zarr.

    Parameters
    ----------
    url : str, path, zarr.Array or store of zarr
        Where it is: a folder, or a URL for fsspec.
    component : str, optional
        Where in a group it is.
    storage_options : dict, optional
        For fsspec.
    chunks : int, tuple or str, optional
        See `normalize_chunks`; by default the chunks of the file.
    name : str, optional
        The name of the array.
    inline_array : bool, default False
        Taken for compatibility.
    **kwargs
        For `zarr.open_array`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import tempfile
    >>> import oxidask.array as da
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     da.arange(6, chunks=4).to_zarr(folder + "/x.zarr")
    ...     da.from_zarr(folder + "/x.zarr").chunks
    ((4, 2),)
    """
    zarr = _zarr()
    if isinstance(url, zarr.Array):
        array = url
    else:
        kwargs.setdefault("mode", "r")
        store_ = os.fspath(url) if isinstance(url, os.PathLike) else url
        array = zarr.open_array(
            store_, path=component or "", storage_options=storage_options, **kwargs
        )
    if chunks is None:
        chunks = array.chunks
    if name is None:
        name = f"from-zarr-{tokenize(array, chunks, kwargs)}"
    return from_array(array, chunks, name=name, inline_array=inline_array)


def to_zarr(
    arr: Array,
    url: Any,
    component: str | None = None,
    storage_options: dict[str, Any] | None = None,
    region: Any = None,
    compute: bool = True,
    return_stored: bool = False,
    mode: str = "a",
    **zarr_array_kwargs: Any,
) -> Any:
    """Write an array as one of zarr, without locks: no two blocks write one chunk of the file.

    Parameters
    ----------
    arr : Array
        What is written.
    url : str, path, zarr.Array or store of zarr
        Where to: a folder, or a URL for fsspec. An array of zarr is written into; `arr` is cut
        anew where two of its blocks would share a chunk.
    component : str, optional
        Where in a group.
    storage_options : dict, optional
        For fsspec.
    region : tuple of slice and int, optional
        Which part of an array that is there.
    compute : bool, default True
        Whether to write now, or to return what will do it.
    return_stored : bool, default False
        Whether to return an array that reads what was written.
    mode : {"a", "w", "w-", "r+"}
        What is done if there is an array: "w" replaces it, "r+" writes into it, the others raise
        ValueError.
    **zarr_array_kwargs
        For `zarr.create_array`: ``chunks``, ``shards``, ``compressors``, ``overwrite``, …

    Returns
    -------
    None, Delayed or Array

    Raises
    ------
    ValueError
        If blocks are not all of one length, as chunks of zarr are; or lengths are not known.

    Examples
    --------
    >>> import tempfile
    >>> import oxidask.array as da
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     da.to_zarr(da.ones((4, 4), chunks=2), folder + "/x.zarr")
    ...     float(da.from_zarr(folder + "/x.zarr").sum().compute())
    16.0
    """
    zarr = _zarr()
    if any(map(is_unknown, arr.chunks)):
        raise ValueError("to_zarr: lengths are not known; call compute_chunk_sizes() first")
    if mode not in ("a", "w", "w-", "r+"):
        raise ValueError(f"to_zarr(mode={mode!r}): 'a', 'w', 'w-' or 'r+' is meant")
    if isinstance(url, zarr.Array):
        target = url
    else:
        url = os.fspath(url) if isinstance(url, os.PathLike) else url
        if region is not None or mode == "r+":
            target = zarr.open_array(
                url, path=component or "", storage_options=storage_options, mode="r+"
            )
        else:
            overwrite = zarr_array_kwargs.pop("overwrite", False) or mode == "w"
            target = zarr.create_array(
                url,
                name=component,
                shape=arr.shape,
                dtype=arr.dtype,
                chunks=zarr_array_kwargs.pop("chunks", None) or _chunks_for_zarr(arr),
                overwrite=overwrite,
                storage_options=storage_options,
                **zarr_array_kwargs,
            )
    result = store(arr, target, False, region, compute, return_stored)
    return result[0] if return_stored else result


def _chunks_for_zarr(arr: Array) -> tuple[int, ...]:
    for axis, lengths in enumerate(arr.chunks):
        if len(set(lengths[:-1])) > 1 or lengths[-1] > lengths[0]:
            even = tuple(max(one) for one in arr.chunks)
            raise ValueError(
                f"to_zarr: chunks of zarr have one length, and along axis {axis} the blocks have "
                f"lengths {lengths}: rechunk first, for example x.rechunk({even}), or give chunks="
            )
    return tuple(max(1, lengths[0]) for lengths in arr.chunks)


# ---- HDF5 ----


def to_hdf5(filename: Any, *args: Any, chunks: Any = True, **kwargs: Any) -> None:
    """Write arrays as datasets of an HDF5 file.

    The file is opened for each block, one at a time, so that worker processes can write it. It must
    not be open elsewhere.

    Parameters
    ----------
    filename : str or path
        The file; datasets that are there with the right shape are written into.
    *args : str and Array, or dict
        The name of a dataset and what is written into it; or arrays by name.
    chunks : bool or tuple of int, default True
        The lengths of chunks in the file: True for those of the blocks, None for none.
    **kwargs
        For h5py's `create_dataset`: ``compression``, ``shuffle``, …

    Examples
    --------
    >>> import tempfile
    >>> import h5py
    >>> import oxidask.array as da
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     da.to_hdf5(folder + "/x.h5", "/x", da.arange(4, chunks=2))
    ...     with h5py.File(folder + "/x.h5") as file:
    ...         file["x"][:]
    array([0, 1, 2, 3])
    """
    if len(args) == 1 and isinstance(args[0], dict):
        arrays = args[0]
    elif len(args) == 2 and isinstance(args[0], str) and isinstance(args[1], Array):
        arrays = {args[0]: args[1]}
    else:
        raise ValueError(
            "to_hdf5: give a file name, and then a name and an array or a dictionary of arrays"
        )
    for name, array in arrays.items():
        if any(map(is_unknown, array.chunks)):
            raise ValueError(
                f"to_hdf5: lengths of {name!r} are not known; call compute_chunk_sizes() first"
            )
    try:
        import h5py  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise ImportError("to_hdf5 needs h5py: pip install h5py") from None
    path = os.path.abspath(os.fspath(filename))
    with h5py.File(path, "a") as file:
        for name, array in arrays.items():
            cut = array.chunksize if chunks is True else chunks
            file.require_dataset(
                name, array.shape, array.dtype, chunks=cut if array.ndim else None, **kwargs
            )
    targets = [_kernels_storage.Hdf5Target(path, name) for name in arrays]
    store(list(arrays.values()), targets, lock=OneAtATime(f"hdf5-{path}"))


# ---- NumPy's files ----


def to_npy_stack(dirname: Any, x: Array, axis: int = 0) -> None:
    """Write the blocks along an axis as files of NumPy's in a folder.

    Parameters
    ----------
    dirname : str or path
        The folder; it is made if it is not there.
    x : Array
        What is written.
    axis : int, default 0
        The axis; along the others the array is made one block.

    Examples
    --------
    >>> import tempfile
    >>> import oxidask.array as da
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     da.to_npy_stack(folder, da.ones((4, 2), chunks=2))
    ...     da.from_npy_stack(folder).chunks
    ((2, 2), (2,))
    """
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"to_npy_stack: there is no axis {axis} in an array of {x.ndim} axes")
    axis %= x.ndim
    if any(map(is_unknown, x.chunks)):
        raise ValueError("to_npy_stack: lengths are not known; call compute_chunk_sizes() first")
    x = x.rechunk({other: -1 for other in range(x.ndim) if other != axis})
    folder = os.path.abspath(os.fspath(dirname))
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "info"), "wb") as file:
        pickle.dump({"chunks": x.chunks, "dtype": x.dtype, "axis": axis}, file)
    _all_done([_Saved(x._expr, folder, axis)]).compute()


class _Saved(Expression):
    """Blocks, each saved into a file of its own."""

    __slots__ = ("axis", "folder")

    def __init__(self, operand: Expression, folder: str, axis: int) -> None:
        name = f"to-npy-stack-{uuid.uuid4().hex}"
        super().__init__(name, operand.chunks, operand.meta, [operand])
        self.folder, self.axis = folder, axis

    def _lower(self) -> Layer:
        (operand,) = self.operands
        number = along(self.axis, range(self.grid[self.axis]))
        block = read(operand, own_axes(operand))
        return self._call(_kernels_storage.NpyFile(self.folder), block, number)


class _FromFiles(Expression):
    """Blocks along an axis, a file for each."""

    __slots__ = ("axis", "mmap_mode", "paths")

    def __init__(
        self, name: str, chunks: Chunks, meta: Any, axis: int, paths: list[str], mmap_mode: Any
    ) -> None:
        super().__init__(name, chunks, meta)
        self.axis, self.paths, self.mmap_mode = axis, paths, mmap_mode

    def _lower(self) -> Layer:
        return self._call(_kernels_storage.load_npy, along(self.axis, self.paths), self.mmap_mode)


def from_npy_stack(dirname: Any, mmap_mode: str | None = "r") -> Array:
    """Open a folder that `to_npy_stack` wrote.

    Parameters
    ----------
    dirname : str or path
        The folder.
    mmap_mode : {"r", "c", None}
        How files are mapped; None reads them.

    Returns
    -------
    Array

    Examples
    --------
    >>> import tempfile
    >>> import oxidask.array as da
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     da.to_npy_stack(folder, da.arange(3, chunks=2))
    ...     da.from_npy_stack(folder).compute()
    array([0, 1, 2])
    """
    folder = os.path.abspath(os.fspath(dirname))
    with open(os.path.join(folder, "info"), "rb") as file:
        info = _PlainUnpickler(io.BytesIO(file.read())).load()
    axis, dtype = info["axis"], np.dtype(info["dtype"])
    chunks = normalize_chunks(info["chunks"], tuple(map(sum, info["chunks"])), dtype=dtype)
    paths = [os.path.join(folder, f"{number}.npy") for number in range(len(chunks[axis]))]
    written = [os.stat(path).st_mtime_ns for path in paths]
    name = f"from-npy-stack-{tokenize(paths, written, mmap_mode)}"
    meta = np.empty((0,) * len(chunks), dtype)
    return _array(_FromFiles(name, chunks, meta, axis, paths, mmap_mode))


class _PlainUnpickler(pickle.Unpickler):
    """Reads what `to_npy_stack` writes, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return NumPy's `dtype`; everything else is refused."""
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        raise pickle.UnpicklingError(
            f"from_npy_stack: the file 'info' names {module}.{name}, which no stack needs"
        )


# ---- TileDB ----


def from_tiledb(
    uri: Any,
    attribute: str | None = None,
    chunks: Any = None,
    storage_options: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Array:
    """Raise NotImplementedError: TileDB is not supported.

    Parameters
    ----------
    uri, attribute, chunks, storage_options, **kwargs
        As Dask's.

    Raises
    ------
    NotImplementedError
        Always; it says what to do instead.
    """
    raise NotImplementedError(
        "from_tiledb: give the opened array to from_array(tiledb.open(uri), chunks=…), computed in "
        "threads, or convert it to zarr"
    )


def to_tiledb(
    darray: Array,
    uri: Any,
    compute: bool = True,
    return_stored: bool = False,
    storage_options: dict[str, Any] | None = None,
    key: Any = None,
    **kwargs: Any,
) -> Any:
    """Raise NotImplementedError: TileDB is not supported.

    Parameters
    ----------
    darray, uri, compute, return_stored, storage_options, key, **kwargs
        As Dask's.

    Raises
    ------
    NotImplementedError
        Always; it says what to do instead.
    """
    raise NotImplementedError(
        "to_tiledb: give the array, opened for writing, to store(x, tiledb.open(uri, 'w'), "
        "lock=True), computed in threads, or use to_zarr"
    )
