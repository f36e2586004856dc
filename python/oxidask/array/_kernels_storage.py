"""What tasks run that read and write files and other array-likes."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np


def store(
    block: Any, target: Any, index: tuple[Any, ...], cut: tuple[Any, ...], lock: Any, reads: bool
) -> Any:
    """Write a block into a part of a target; return what stands there afterwards, if `reads`."""
    where = placed(index, cut)
    with lock or contextlib.nullcontext():
        if 0 not in np.shape(block):
            target[where] = np.asanyarray(block)
        # A target in memory gives a view, and may change.
        return np.array(target[where]) if reads else None


def load(_stored: Any, target: Any, index: tuple[Any, ...], cut: tuple[Any, ...], lock: Any) -> Any:
    """Read a block that was written into a target."""
    with lock or contextlib.nullcontext():
        return np.asarray(target[placed(index, cut)])


def placed(index: tuple[Any, ...], cut: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the index in a target: slices along the axes of a block, and ints between them."""
    slices = iter(cut)
    return tuple(next(slices) if one is None else one for one in index)


def nothing(*_done: Any) -> None:
    """Come after what was done."""


class Hdf5Target:
    """A dataset in a file that is opened for each block, so that any process may write it."""

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name = path, name

    def __setitem__(self, index: Any, value: Any) -> None:
        import h5py  # type: ignore[import-untyped,unused-ignore]

        with h5py.File(self.path, "r+") as file:
            file[self.name][index] = value


class NpyFile:
    """Saves blocks into files of their own."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, block: Any, number: int) -> None:
        """Save a block."""
        np.save(f"{self.folder}/{number}.npy", np.asanyarray(block))


def load_npy(path: str, mmap_mode: Any) -> Any:
    """Return what a file of NumPy's holds."""
    return np.load(path, mmap_mode=mmap_mode)
