"""What shows how a computation goes."""

from __future__ import annotations

from oxidask.callbacks import Callback
from oxidask.diagnostics.profile import CacheProfiler, Profiler, ResourceProfiler
from oxidask.diagnostics.profile_visualize import visualize
from oxidask.diagnostics.progress import ProgressBar

__all__ = [
    "CacheProfiler",
    "Callback",
    "Profiler",
    "ProgressBar",
    "ResourceProfiler",
    "visualize",
]
