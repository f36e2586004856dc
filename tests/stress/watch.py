"""Looks after a stress run: nothing may hang, and nothing may be left behind."""

import contextlib
import ctypes
import dataclasses
import faulthandler
import gc
import os
import re
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

MEGABYTE = 1_000_000


#: Where the run tells; what tasks print goes to `sys.stdout`, which leads nowhere.
OUT = sys.stdout


def say(*parts):
    """Tell something of the run."""
    print(*parts, file=OUT, flush=True)


class Watchdog:
    """Ends this program with all that may explain it when something takes too long."""

    def __init__(self):
        self.steps = {}
        threading.Thread(target=self._look, name="watchdog", daemon=True).start()

    @contextlib.contextmanager
    def step(self, name, client, seconds):
        """Give what is in the block so many seconds."""
        me = object()
        self.steps[me] = (time.monotonic() + seconds, name, client)
        try:
            yield
        finally:
            del self.steps[me]

    def _look(self):
        while True:
            time.sleep(0.5)
            for until, name, client in list(self.steps.values()):
                if time.monotonic() > until:
                    self._tell(name, client)
                    os._exit(3)

    def _tell(self, name, client):
        say(f"HANGS: {name}")
        faulthandler.dump_traceback(OUT, all_threads=True)
        # What is asked of a cluster that hangs may hang, too.
        talk = threading.Thread(target=explain, args=(client,), daemon=True)
        talk.start()
        talk.join(10)


def explain(client):
    """Print what a client can say about the state of its cluster."""
    if client is None:
        return
    say(client.why())
    say(client.scheduler_info())
    for future in [one for one in gc.get_objects() if type(one).__name__ == "Future"]:
        with contextlib.suppress(Exception):
            if future.status == "pending":
                say(future.key, "->", future.client.why(future))


@dataclass(frozen=True)
class Holdings:
    """What this program and its children hold, when nothing is to be done.

    Attributes
    ----------
    rss_mb, zygote_mb : float
        Memory of this process, and of those that workers are forked from, without what is shared.
    shared_mb : float
        What memory files have, those of workers, too.
    objects : int
        Objects that Python's garbage collector knows.
    """

    rss_mb: float
    objects: int
    zygote_mb: float
    threads: int
    descriptors: int
    memfds: int
    shared_mb: float
    sockets: int
    files: int
    processes: int

    #: More of these than at first is a leak.
    COUNTS: ClassVar = ("threads", "descriptors", "memfds", "sockets", "files", "processes")
    #: These are given room.
    MEGABYTES: ClassVar = ("rss_mb", "zygote_mb", "shared_mb")

    @classmethod
    def now(cls, folder):
        """Look around; the folder is where clusters keep their sockets."""
        gc.collect()
        # What the allocator keeps for later is no leak.
        ctypes.CDLL(None).malloc_trim(0)
        targets = open_files()
        memfds = [name for name, target in targets.items() if "memfd:" in target]
        children = children_of(os.getpid())
        return cls(
            rss_mb=rss("self"),
            objects=len(gc.get_objects()),
            zygote_mb=sum(rss(child) for child in children),
            threads=len(os.listdir("/proc/self/task")),
            descriptors=len(targets),
            memfds=len(memfds),
            shared_mb=blocks_of(memfds) / MEGABYTE,
            sockets=sum("socket:" in target for target in targets.values()),
            files=len(files_in(folder)),
            processes=len(children) + sum(len(children_of(child)) for child in children),
        )

    def row(self):
        """Return a line of a table."""
        return "  ".join(
            f"{getattr(self, one.name):{len(one.name)}.0f}" for one in dataclasses.fields(self)
        )

    @classmethod
    def head(cls):
        """Return the first line of the table."""
        return "  ".join(one.name for one in dataclasses.fields(cls))


def open_files():
    """Return where each descriptor leads, by its path in /proc."""
    found = {}
    for entry in os.scandir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[entry.path] = os.readlink(entry.path)
    return found


def kinds_of_files():
    """Count what this program has open, by kind."""
    return Counter(re.sub("[0-9]+", "N", target) for target in open_files().values())


def files_in(folder):
    """Return all files and folders in a folder."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def names_of_threads():
    """Return the names of all threads, in order."""
    return sorted(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))


def blocks_of(paths):
    """Return the bytes that memory files take, each once."""
    blocks = {}
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.stat(path)
            blocks[status.st_ino] = status.st_blocks * 512
    return sum(blocks.values())


def rss(process):
    """Return the megabytes that a process has in memory, without what it shares."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("RssAnon:")]
    return sum(kilobytes) * 1024 / MEGABYTE


def children_of(process):
    """Return the children of a process."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found
