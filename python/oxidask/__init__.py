"""Oxidask: Dask's collections and schedulers on an engine written in Rust.

Collections build a task graph, a scheduler executes it. Start with `delayed` and `compute`.
"""

from __future__ import annotations

import os as _os
from types import ModuleType as _ModuleType

from oxidask import _core, config
from oxidask._core import __version__
from oxidask._errors import OxidaskError, TaskError
from oxidask.base import (
    annotate,
    compute,
    get_annotations,
    is_dask_collection,
    optimize,
    persist,
    visualize,
)
from oxidask.core import istask
from oxidask.delayed import delayed
from oxidask.local import get_sync as get
from oxidask.tokenize import normalize_token, tokenize

if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_core.after_fork)


def __getattr__(name: str) -> _ModuleType:
    # After `import oxidask`, `oxidask.utils` is there as in Dask; it is imported when asked for.
    if not name.startswith("_"):
        import importlib

        try:
            return importlib.import_module(f"oxidask.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"oxidask.{name}":
                raise
    raise AttributeError(f"module 'oxidask' has no attribute {name!r}")


__all__ = [
    "OxidaskError",
    "TaskError",
    "__version__",
    "annotate",
    "compute",
    "config",
    "delayed",
    "get",
    "get_annotations",
    "is_dask_collection",
    "istask",
    "normalize_token",
    "optimize",
    "persist",
    "tokenize",
    "visualize",
]
