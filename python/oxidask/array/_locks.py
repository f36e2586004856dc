"""A lock that all threads and all processes of a host share, by its name."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

_locks: dict[str, threading.RLock] = {}
_guard = threading.Lock()


class OneAtATime:
    """Lets one task at a time go on; who is killed gives it back.

    Parameters
    ----------
    name : str
        Locks of one name exclude each other.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._held: Any = None

    def __reduce__(self) -> Any:
        return OneAtATime, (self.name,)

    def __dask_tokenize__(self) -> Any:
        return ("one at a time", self.name)

    def __enter__(self) -> OneAtATime:
        with _guard:
            lock = _locks.setdefault(self.name, threading.RLock())
        lock.acquire()
        try:
            # The kernel gives a lock of a file back when its holder dies.
            file = os.open(_folder() / f"{self.name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except BaseException:
                os.close(file)
                raise
        except BaseException:
            lock.release()
            raise
        self._held = (lock, file)
        return self

    def __exit__(self, *_: object) -> None:
        lock, file = self._held
        self._held = None
        os.close(file)
        lock.release()


def _folder() -> Path:
    """Return a folder of this user's own."""
    folder = Path(tempfile.gettempdir()) / f"oxidask-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else: set TMPDIR to another folder")
    return folder
