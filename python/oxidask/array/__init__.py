"""Arrays of NumPy in blocks: ``import oxidask.array as da``."""

from __future__ import annotations

from numpy import e, inf, nan, newaxis, pi

from oxidask.array import _absent, lib, linalg, random
from oxidask.array.bins import *
from oxidask.array.blockwise import *
from oxidask.array.core import *
from oxidask.array.creation import *
from oxidask.array.differences import *
from oxidask.array.einsum import *
from oxidask.array.grids import *
from oxidask.array.gufunc import *
from oxidask.array.joining import *
from oxidask.array.order import *
from oxidask.array.overlap import *
from oxidask.array.padding import *
from oxidask.array.rechunk import rechunk
from oxidask.array.reductions import *
from oxidask.array.reshape import *
from oxidask.array.routines import *
from oxidask.array.scans import *
from oxidask.array.selection import *
from oxidask.array.statistics import *
from oxidask.array.storage import *
from oxidask.array.ufunc import *
from oxidask.base import compute


def __getattr__(name: str) -> object:
    return _absent.module(name)
