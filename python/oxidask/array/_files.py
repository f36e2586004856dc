"""Arrays in files that other processes open again, by their path, instead of being sent them.

In the process that opened a file, its own object goes on being used.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from oxidask._serialize import dump
from oxidask.tokenize import tokenize

#: Files that this process opened for its tasks, by library and path, and when they were written.
_opened: dict[tuple[str, str], tuple[int, Any]] = {}
_guard = threading.Lock()
#: netCDF4's library must not be called by two threads at once.
_NETCDF_LOCK = threading.RLock()


class InFile:
    """An array in a file.

    Parameters
    ----------
    path : str
        The file.
    where : object
        Which array in it.
    live : object or None
        The array, opened in this process.
    is_target : bool
        Whether it is written into.
    """

    library = ""
    lock: Any = contextlib.nullcontext()

    def __init__(self, path: str, where: Any, live: Any = None, is_target: bool = False) -> None:
        self.path, self.where, self.is_target = path, where, is_target
        self._live = live

    def __reduce__(self) -> Any:
        self.check_can_be_sent()
        return type(self), (self.path, self.where, None, self.is_target)

    def __dask_tokenize__(self) -> Any:
        status = os.stat(self.path)
        return (self.library, self.path, self.where, status.st_mtime_ns, status.st_size)

    def check_can_be_sent(self) -> None:
        """Raise TypeError if no other process can open the array."""

    def opened(self) -> Any:
        """Return the array, in this process."""
        if self._live is None:
            self._live = self.open()
        return self._live

    def open(self) -> Any:
        """Open the array again."""
        raise NotImplementedError(type(self).__name__)

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        return tuple(self.opened().shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return np.dtype(self.opened().dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, index: Any) -> Any:
        with self.lock:
            return self.opened()[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        with self.lock:
            self.opened()[index] = value


class InHdf5(InFile):
    """A dataset of h5py."""

    library = "h5py"

    def check_can_be_sent(self) -> None:
        """Raise TypeError if the file is being written here: HDF5 locks it then."""
        if self._live is None:
            return
        if self.is_target:
            raise TypeError(
                f"store: {self.path} is open in this process, and HDF5 lets no other process "
                "write it meanwhile: use to_hdf5(filename, …), compute with scheduler='threads', "
                "or store into zarr"
            )
        if self._live.file.mode != "r":
            raise TypeError(
                f"from_array: {self.path} is open for writing in this process, and HDF5 lets no "
                "other process read it meanwhile: open it with mode 'r', or compute with "
                "scheduler='threads'"
            )

    def open(self) -> Any:
        """Open the dataset again."""
        import h5py  # type: ignore[import-untyped,unused-ignore]

        return _file("h5py", self.path, lambda: h5py.File(self.path, "r"))[self.where]


class InNetcdf(InFile):
    """A variable of netCDF4."""

    library = "netCDF4"
    lock = _NETCDF_LOCK

    def check_can_be_sent(self) -> None:
        """Raise TypeError if the file is written here, which the library allows one process."""
        if self.is_target:
            raise TypeError(
                f"store: {self.path} is open in this process, and netCDF4 lets no other process "
                "write it meanwhile: compute with scheduler='threads', or store into zarr"
            )

    def open(self) -> Any:
        """Open the variable again."""
        import netCDF4  # type: ignore[import-untyped,unused-ignore]

        dataset = _file("netCDF4", self.path, lambda: netCDF4.Dataset(self.path, "r"))
        name, masks, scales = self.where
        variable = dataset[name]
        variable.set_auto_mask(masks)
        variable.set_auto_scale(scales)
        return variable

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements as they are read: the library may scale them."""
        return np.dtype(np.asarray(self[(slice(0, 1),) * self.ndim]).dtype)


class InMemoryMap(InFile):
    """An array of NumPy that is a part of a file."""

    library = "memmap"

    def __dask_tokenize__(self) -> Any:
        if self._live is not None and self._live.mode != "r":
            # What was written a moment ago may not show in the file's times yet.
            return tokenize(np.asarray(self._live))
        return super().__dask_tokenize__()

    def open(self) -> Any:
        """Map the file again."""
        offset, shape, strides, dtype = self.where
        whole: Any = np.memmap(self.path, np.uint8, "r+" if self.is_target else "r")
        return np.ndarray(shape, dtype, whole, offset, strides)


def _file(library: str, path: str, open_file: Callable[[], Any]) -> Any:
    """Return a file that this process opened before, or open it."""
    with _guard:
        written = os.stat(path).st_mtime_ns
        opened_at, file = _opened.get((library, path), (None, None))
        if opened_at != written:
            file = open_file()
            _opened[library, path] = written, file
        return file


def in_file(x: Any, is_target: bool = False) -> Any:
    """Return what stands for an array in a file, if it is one of a library that is known.

    Others are returned as they are.
    """
    if isinstance(x, np.memmap):
        return _in_memory_map(x, is_target) or x
    h5py = sys.modules.get("h5py")
    if h5py is not None and isinstance(x, h5py.Dataset):
        path = os.path.abspath(os.fsdecode(x.file.filename))
        return InHdf5(path, x.name, x, is_target) if os.path.exists(path) else x
    netcdf = sys.modules.get("netCDF4")
    if netcdf is not None and isinstance(x, netcdf.Variable):
        group = x.group()
        top = group
        while top.parent is not None:
            top = top.parent
        path = top.filepath()
        if not os.path.exists(path):
            return x
        where = (f"{group.path.rstrip('/')}/{x.name}", x.mask, x.scale)
        return InNetcdf(os.path.abspath(path), where, x, is_target)
    return x


def _in_memory_map(x: np.memmap[Any, Any], is_target: bool) -> InMemoryMap | None:
    root: Any = x
    while isinstance(root.base, np.memmap):
        root = root.base
    if root.filename is None or root.mode not in ("r", "r+", "w+") or x.dtype.hasobject:
        return None
    begin = root.__array_interface__["data"][0]
    offset = root.offset + x.__array_interface__["data"][0] - begin
    where = (offset, x.shape, x.strides, x.dtype)
    return InMemoryMap(os.path.abspath(root.filename), where, x, is_target)


def is_in_memory_store(x: Any) -> bool:
    """Say whether an array of zarr lives in memory of this process."""
    store = getattr(x, "store", None)
    filesystem = getattr(getattr(store, "fs", None), "sync_fs", getattr(store, "fs", None))
    return type(store).__name__ in ("MemoryStore", "GpuMemoryStore") or (
        "MemoryFileSystem" in type(filesystem).__name__
    )


class OnlyHere:
    """An array in memory of this process, which others can neither read nor write."""

    def __init__(self, live: Any, advice: str) -> None:
        self.live, self.advice = live, advice
        self.shape, self.dtype = tuple(live.shape), live.dtype
        self.ndim = len(self.shape)

    def __reduce__(self) -> Any:
        raise TypeError(self.advice)

    def __dask_tokenize__(self) -> Any:
        return ("only here", id(self.live))

    def __getitem__(self, index: Any) -> Any:
        return self.live[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.live[index] = value


def source_of(x: Any) -> Any:
    """Return what tasks read an array-like through, in whatever process they run.

    Raises
    ------
    TypeError
        If it can neither be sent to another process nor be opened there.
    """
    if type(x) is np.ndarray:
        return x
    found = in_file(x)
    if isinstance(found, InFile):
        return found
    if is_in_memory_store(x):
        return OnlyHere(
            x,
            "from_array: this zarr array is in memory of one process, and others cannot read it: "
            "keep it in a file, or compute with scheduler='threads'",
        )
    if isinstance(x, np.ndarray):
        return x
    try:
        if not _pickles_by_buffers(x):
            dump(x)
    except Exception as error:
        raise TypeError(
            f"from_array: a {type(x).__name__} cannot be sent to another process "
            f"({type(error).__name__}: {error}): give the class a __reduce__ that opens it again, "
            "or make blocks with from_delayed or map_blocks of a function that opens it"
        ) from error
    return x


def _pickles_by_buffers(x: Any) -> bool:
    """Say whether an object is pickled, its large parts not copied."""
    try:
        pickle.dumps(x, 5, buffer_callback=lambda buffer: False)
    except Exception:
        return False
    return True


def target_of(x: Any) -> Any:
    """Return what tasks write into an array-like through, in whatever process they run."""
    found = in_file(x, is_target=True)
    if isinstance(found, InFile):
        return found
    if type(x) is np.ndarray or is_in_memory_store(x):
        kind = "an array of NumPy" if type(x) is np.ndarray else "a zarr array in memory"
        return OnlyHere(
            x,
            f"store: {kind} is memory of one process, and worker processes cannot write it: store "
            "into zarr or a numpy.memmap, take the result of compute(), or compute with "
            "scheduler='threads'",
        )
    return x
