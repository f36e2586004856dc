"""What clusters could leave behind: processes, threads, memory files, sockets, files."""

import gc
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from gates import wait_until


@dataclass(frozen=True)
class Leftovers:
    """What there is of ours at some moment.

    Attributes
    ----------
    folder : Path
        Where clusters of this run keep their files; its name is in the environment of whatever
        they start, so that orphans are found too.
    """

    folder: Path
    processes: frozenset
    threads: frozenset
    handles: dict
    files: frozenset

    @classmethod
    def now(cls, folder):
        """Look around."""
        gc.collect()
        return cls(
            folder, processes_of(folder), threads_of_ours(), open_handles(), files_in(folder)
        )

    def assert_back(self):
        """Wait until there is no more than there was."""
        try:
            wait_until(lambda: not self.more(), "what a cluster left behind is gone", 5.0)
        except AssertionError as error:
            raise AssertionError(f"left behind: {self.more()}") from error

    def more(self):
        """Return what there is now that was not there."""
        now = self.now(self.folder)
        found = {
            "processes": now.processes - self.processes,
            "threads": now.threads - self.threads,
            "files": now.files - self.files,
        }
        for kind, count in now.handles.items():
            if count > self.handles.get(kind, 0):
                found[kind] = count - self.handles.get(kind, 0)
        return {name: what for name, what in found.items() if what}


def processes_of(folder):
    """Return children of this process at any depth, and whoever was started for the folder."""
    parents = {}
    ours = set()
    mark = f"={folder}".encode()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            status = Path(entry.path, "stat").read_text()
            if mark in Path(entry.path, "environ").read_bytes():
                ours.add(int(entry.name))
        except (OSError, ProcessLookupError):
            continue
        parents[int(entry.name)] = int(status.rpartition(")")[2].split()[1])
    for process in parents:
        ancestor = process
        while (ancestor := parents.get(ancestor, 0)) > 1:
            if ancestor == os.getpid():
                ours.add(process)
    return frozenset(ours - {os.getpid()})


def threads_of_ours():
    """Return the Python threads of clusters and clients."""
    names = (thread.name for thread in threading.enumerate())
    return frozenset(name for name in names if name.startswith("oxidask-"))


def open_handles():
    """Count the memory files and sockets that this process holds."""
    counts = {}
    for entry in os.scandir("/proc/self/fd"):
        try:
            target = os.readlink(entry.path)
        except OSError:
            continue
        for kind in ("memfd:", "socket:"):
            if kind in target:
                counts[kind] = counts.get(kind, 0) + 1
    return counts


def files_in(folder):
    """Return the files of clusters."""
    return frozenset(str(path) for path in Path(folder).rglob("*"))
