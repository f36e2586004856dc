"""What shows how a computation goes."""

from __future__ import annotations

from oxidask.callbacks import Callback
from oxidask.diagnostics.progress import ProgressBar

__all__ = ["Callback", "ProgressBar"]
