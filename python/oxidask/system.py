"""How much of the machine this process may use."""

from __future__ import annotations

from oxidask import _core

__all__ = ["CPU_COUNT", "cpu_count"]


def cpu_count() -> int:
    """Return how many cores this process may use: by affinity, and by the limit of its container.

    Returns
    -------
    int

    Examples
    --------
    >>> from oxidask.system import cpu_count
    >>> cpu_count() >= 1
    True
    """
    return _core.cpu_count()


#: The cores when this module was imported.
CPU_COUNT: int = cpu_count()
