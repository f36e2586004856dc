"""A lock that all threads and all processes of a host share, by its name."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

_guard = threading.Lock()


class _Here:
    """What the threads of this process share of a lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0
        self.file = -1


_locks: weakref.WeakValueDictionary[str, _Here] = weakref.WeakValueDictionary()


class OneAtATime:
    """Lets one task at a time go on; who is killed gives it back.

    Parameters
    ----------
    name : str
        Locks of one name exclude each other.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        with _guard:
            self._here = _locks.setdefault(name, _Here())

    def __reduce__(self) -> Any:
        return OneAtATime, (self.name,)

    def __dask_tokenize__(self) -> Any:
        return ("one at a time", self.name)

    def __enter__(self) -> OneAtATime:
        here = self._here
        here.lock.acquire()
        try:
            if here.depth == 0:
                here.file = _lock_byte(self.name)
            here.depth += 1
        except BaseException:
            here.lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        here = self._here
        here.depth -= 1
        if here.depth == 0:
            os.close(here.file)
        here.lock.release()


def _lock_byte(name: str) -> int:
    """Wait for one byte of a file, which stands for a name; return the open file.

    The kernel gives it back when the file is closed, or its holder dies. One file does for all
    names, so none are left behind.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "little") >> 2
    file = os.open(_folder() / "locks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # A `struct flock`: type, from where, first byte, how many, whose.
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLKW, wanted)
    except BaseException:
        os.close(file)
        raise
    return file


def _folder() -> Path:
    """Return a folder of this user's own."""
    folder = Path(tempfile.gettempdir()) / f"oxidask-locks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else: set TMPDIR to another folder")
    return folder
