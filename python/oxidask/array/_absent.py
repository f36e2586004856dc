"""Parts of Dask's arrays that are not there yet: an error says what to do instead."""

from __future__ import annotations

from typing import NoReturn

_INSTEAD = {
    "fft": "transform blocks that span the axis: x.rechunk({axis: -1}).map_blocks(numpy.fft.fft)",
    "ma": "mask blocks with map_blocks and numpy.ma; blocks that are masked arrays stay so",
    "stats": "give computed arrays to scipy.stats, or write it with mean, var and moment",
    "image": "stack from_delayed(delayed(imread)(path), shape, dtype) of the files",
}

_FUNCTIONS = {
    "optimize": "graphs of arrays are optimised when they run; see oxidask.optimize",
    "register_chunk_type": "blocks of any type are taken; give meta= for what map_blocks makes",
}


class Absent:
    """A module that is not there yet."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Missing:
        if name.startswith("__"):
            raise AttributeError(f"oxidask.array.{self._module} has no {name}")
        return Missing(f"{self._module}.{name}", _INSTEAD[self._module])

    def __repr__(self) -> str:
        return f"<oxidask.array.{self._module}: not there yet>"


class Missing:
    """A function that is not there yet."""

    def __init__(self, name: str, instead: str) -> None:
        self.__name__, self._instead = name, instead

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        """Say what to do instead."""
        raise NotImplementedError(
            f"oxidask.array.{self.__name__} is not there yet: {self._instead}"
        )


def module(name: str) -> Absent | Missing:
    """Return what stands for a module, or a function, that is not there yet.

    Raises
    ------
    AttributeError
        If Dask has no such module.
    """
    if name in _FUNCTIONS:
        return Missing(name, _FUNCTIONS[name])
    if name not in _INSTEAD:
        raise AttributeError(f"module 'oxidask.array' has no attribute {name!r}")
    return Absent(name)
