"""Parts of Dask's arrays that are not there yet: an error says what to do instead."""

from __future__ import annotations

from typing import NoReturn

_INSTEAD = {
    "fft": "transform blocks that span the axis: x.rechunk({axis: -1}).map_blocks(numpy.fft.fft)",
    "ma": "mask blocks with map_blocks and numpy.ma; blocks that are masked arrays stay so",
    "stats": "give computed arrays to scipy.stats, or write it with mean, var and moment",
    "image": "stack from_delayed(delayed(imread)(path), shape, dtype) of the files",
}


class Absent:
    """A module that is not there yet."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Missing:
        if name.startswith("__"):
            raise AttributeError(f"oxidask.array.{self._module} has no {name}")
        return Missing(self._module, name)

    def __repr__(self) -> str:
        return f"<oxidask.array.{self._module}: not there yet>"


class Missing:
    """A function that is not there yet."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self.__name__ = module, name

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        """Say what to do instead."""
        raise NotImplementedError(
            f"oxidask.array.{self._module}.{self.__name__} is not there yet: "
            f"{_INSTEAD[self._module]}"
        )


def module(name: str) -> Absent:
    """Return what stands for a module that is not there yet.

    Raises
    ------
    AttributeError
        If Dask has no such module.
    """
    if name not in _INSTEAD:
        raise AttributeError(f"module 'oxidask.array' has no attribute {name!r}")
    return Absent(name)
