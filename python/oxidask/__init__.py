"""Oxidask: Dask's collections and schedulers on an engine written in Rust.

Collections build a task graph, a scheduler executes it. Start with `delayed` and `compute`.
"""

from __future__ import annotations

import os as _os

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
from oxidask.delayed import delayed
from oxidask.local import get_sync as get
from oxidask.tokenize import normalize_token, tokenize

if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_core.after_fork)

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
    "normalize_token",
    "optimize",
    "persist",
    "tokenize",
    "visualize",
]
