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
from oxidask.threaded import get as _get_in_threads  # noqa: F401  (it enters its name)
from oxidask.tokenize import normalize_token, tokenize

if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_core.after_fork)

# Imported when somebody looks at them: after `import oxidask`, `oxidask.utils` is there as in Dask.
_LAZY_MODULES = frozenset(
    {
        "datasets",
        "highlevelgraph",
        "multiprocessing",
        "optimization",
        "sizeof",
        "system",
        "typing",
        "utils",
    }
)


def __getattr__(name: str) -> _ModuleType:
    if name in _LAZY_MODULES:
        import importlib

        return importlib.import_module(f"oxidask.{name}")
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
