"""What NumPy keeps in `numpy.lib`."""

from __future__ import annotations

from oxidask.array.lib import stride_tricks

__all__ = ["stride_tricks"]
