"""How much memory the workers of a cluster may have, and where results go that do not fit."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oxidask import _core, config
from oxidask.utils import parse_bytes

_FOLDER = "temporary-directory"
_SETTINGS = "distributed.worker.memory"
#: Parts of the limit at which something happens, by the names that Dask gives them.
_DEFAULTS = {"target": 0.6, "spill": None, "pause": 0.9, "terminate": 1.0}


@dataclass(frozen=True)
class MemoryLimits:
    """What the engine is told about memory: bytes, and a folder.

    Attributes
    ----------
    budget : int
        What all workers may have together.
    spill_at, roots_at, pause_at : int
        From where on results go to disk, tasks without inputs do not start, no task starts.
    worker_limit : int
        What one worker may have for itself before it is ended.
    folder : str or None
        Where results go that do not fit; None keeps all of them in memory.
    """

    budget: int
    spill_at: int
    roots_at: int
    pause_at: int
    worker_limit: int
    folder: str | None


def limit_of(memory_limit: Any, n_workers: int) -> int | None:
    """Return the bytes that a worker may have; None if there is no limit.

    Parameters
    ----------
    memory_limit : str, int, float or None
        ``"4GB"``, bytes, a part of the machine's memory up to 1.0, ``"auto"`` for each worker's
        share of it; None or 0 for no limit.
    n_workers : int

    Raises
    ------
    ValueError
        If it is no size.

    Examples
    --------
    >>> limit_of("4 GB", 2)
    4000000000
    >>> limit_of(None, 2) is None
    True
    >>> limit_of(1.0, 2) == 2 * limit_of("auto", 2) or limit_of(1.0, 2) % 2 == 1
    True
    """
    if memory_limit is None or memory_limit is False:
        return None
    machine = _core.memory_size()
    if memory_limit == "auto":
        return machine // max(n_workers, 1)
    if isinstance(memory_limit, bool):
        raise ValueError(_no_size(memory_limit))
    try:
        nbytes = float(memory_limit)
    except (TypeError, ValueError):
        try:
            nbytes = parse_bytes(memory_limit)
        except (TypeError, ValueError) as error:
            raise ValueError(_no_size(memory_limit)) from error
    if nbytes == 0:
        return None
    if not 0 < nbytes < float("inf"):
        raise ValueError(_no_size(memory_limit))
    if isinstance(memory_limit, float) and nbytes <= 1:
        nbytes *= machine
    return min(int(nbytes), machine)


def _no_size(memory_limit: Any) -> str:
    return (
        f"LocalCluster(memory_limit={memory_limit!r}): a size is meant, such as '4GB' or a number "
        "of bytes, or a part of the machine's memory such as 0.25, or 'auto', or None for no limit"
    )


def limits_of(
    memory_limit: Any, n_workers: int, local_directory: str | os.PathLike[str] | None
) -> MemoryLimits | None:
    """Return what the engine is to be told; None if memory is not limited."""
    limit = limit_of(memory_limit, n_workers)
    if limit is None or n_workers == 0:
        return None
    parts = {name: _part(name) for name in _DEFAULTS}
    budget = min(limit * n_workers, _core.memory_size())
    spills = [part for part in (parts["target"], parts["spill"]) if part is not None]
    pause = parts["pause"] if parts["pause"] is not None else 1.0
    spill = min([*spills, pause])
    terminate = parts["terminate"]
    return MemoryLimits(
        budget=budget,
        spill_at=int(spill * budget),
        roots_at=int((spill + pause) / 2 * budget),
        pause_at=int(pause * budget),
        worker_limit=int(terminate * limit) if terminate is not None else 2**63 - 1,
        folder=_folder(local_directory) if spills else None,
    )


def _part(name: str) -> float | None:
    """Return a part of the limit from the configuration; None if it is switched off."""
    key = f"{_SETTINGS}.{name}"
    value = config.get(key, _DEFAULTS[name])
    if value is None or value is False:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(
            f"config {key}: {value!r} is no part of the limit; give 0.1 to 1.0, or False"
        )
    return float(value)


def _folder(local_directory: str | os.PathLike[str] | None) -> str:
    """Return the folder for results that do not fit into memory: one on disk unless told."""
    chosen = local_directory or config.get(_FOLDER, None)
    if chosen:
        return str(Path(chosen).expanduser())
    candidates = [tempfile.gettempdir(), "/var/tmp", os.getcwd()]
    on_disk = (folder for folder in candidates if not _core.is_in_memory(folder))
    return next((folder for folder in on_disk if os.access(folder, os.W_OK)), candidates[0])
