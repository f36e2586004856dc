"""Folders of sockets that programs left behind which were killed.

A cluster removes its folder when it closes. Who is killed cannot: whoever starts the next cluster
does it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time

#: How names of the folders begin.
PREFIX = "oxidask-"
#: The socket that is there as long as the cluster lives.
SOCKET = "scheduler.sock"
#: The link to the cluster's page, for clients in other processes.
LINK_FILE = "dashboard_link"
#: All that it may have: a folder with anything else in it is not a cluster's, and stays.
_OURS = frozenset((SOCKET, "worker.sock", LINK_FILE))
#: A folder without the socket may be of a cluster that starts just now; not when it is this old.
_STARTING_SECONDS = 3600.0


def remove(base: str) -> None:
    """Remove the folders of this user's clusters that are gone.

    Parameters
    ----------
    base : str
        Where such folders are made.
    """
    try:
        with os.scandir(base) as entries:
            folders = [entry.path for entry in entries if entry.name.startswith(PREFIX)]
    except OSError:
        return
    if not folders:
        return
    alive = _bound_sockets()
    for folder in folders:
        if _is_left(folder, alive):
            _remove(folder)


def running(base: str) -> list[str]:
    """Return the folders of this user's clusters that run, the newest last.

    Parameters
    ----------
    base : str
        Where such folders are made.
    """
    alive = _bound_sockets()
    found = []
    with contextlib.suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and os.path.join(entry.path, SOCKET) in alive:
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid():
                    found.append((about.st_mtime_ns, entry.path))
    return [path for _, path in sorted(found)]


def _remove(folder: str) -> None:
    """Remove what clusters put into such a folder, and the folder if nothing else is in it."""
    with contextlib.suppress(OSError):
        if set(os.listdir(folder)) <= _OURS:
            for name in _OURS:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, name))
            os.rmdir(folder)


def _is_left(folder: str, alive: set[str]) -> bool:
    path = os.path.join(folder, SOCKET)
    try:
        about = os.lstat(folder)
    except OSError:
        return False
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid() or path in alive:
        return False
    # A cluster of a container that shares the folder, but not the list of sockets, answers here.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:
            return time.time() - about.st_mtime > _STARTING_SECONDS
        except OSError:
            return False
    return False


def _bound_sockets() -> set[str]:
    """Return the paths of all sockets that processes have, as far as they can be seen."""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.split() for line in file]
    except OSError:
        return set()
    return {row[7] for row in rows if len(row) > 7}
