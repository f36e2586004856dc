"""What is done to clusters while they work, and which errors it excuses."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from steps import Wrong

from oxidask.distributed import (
    CancelledError,
    KilledWorker,
    NotEnoughMemoryError,
)

#: Deaths of workers from outside after which a task may be given up: one more than it may have.
DEATHS = 4

KINDS = ("kill", "stop", "restart", "full disk", "program")


@dataclass
class Harm:
    """Does harm to a cluster in a thread, and takes down when.

    Attributes
    ----------
    kinds : list of str
        Of `KINDS`.
    join : list of str
        How another program joins the cluster; the seconds that it stays are to be added.
    events : list
        When something was done, and what. An end of a time of harm is an event, too.
    """

    client: object
    kinds: list
    random: Random
    join: list
    events: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    def __enter__(self):
        self.threads = [threading.Thread(target=self._do, args=(kind,)) for kind in self.kinds]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def note(self, kind):
        self.events.append((time.monotonic(), kind))

    def since(self, when, kind):
        """Count what was done since a moment, and a little before."""
        return sum(at >= when - 1.0 and what == kind for at, what in self.events)

    def _do(self, kind):
        function = {
            "kill": self._kill,
            "stop": self._stop,
            "restart": self._restart,
            "full disk": self._fill_the_disk,
            "program": self._run_a_program,
        }[kind]
        pause = {"kill": 1.0, "stop": 2.0, "restart": 6.0, "full disk": 3.0, "program": 2.0}[kind]
        random = Random(self.random.random())
        while not self.ending.wait(random.random() * 2 * pause):
            try:
                function(random)
            except BaseException as error:
                self.problems.append((kind, error))
                return

    def _victim(self, random):
        """Choose a worker's process, if it is one of ours."""
        workers = self.client.scheduler_info()["workers"].values()
        pids = [one["pid"] for one in workers if is_descendant(one["pid"])]
        return random.choice(pids) if pids else None

    def _kill(self, random):
        victim = self._victim(random)
        if victim is not None:
            self.note("kill")
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)

    def _stop(self, random):
        victim = self._victim(random)
        if victim is None:
            return
        self.note("stop")
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGSTOP)
        time.sleep(random.random() * 1.5)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)

    def _restart(self, random):
        self.note("restart")
        if random.random() < 0.5:
            self.client.restart()
        else:
            # A worker may die before it is restarted.
            with contextlib.suppress(ValueError):
                names = list(self.client.scheduler_info()["workers"])
                self.client.restart_workers([random.choice(names)] if names else [])
        self.note("restart")

    def _fill_the_disk(self, random):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.note("full disk")
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            self.ending.wait(1 + random.random() * 5)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        self.note("full disk")

    def _run_a_program(self, random):
        """Run another program on the cluster; every other one is killed."""
        seconds = 1 + random.random() * 4
        command = [sys.executable, *self.join, str(seconds), "--seed", str(random.getrandbits(30))]
        program = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        is_killed = random.random() < 0.5
        if is_killed:
            time.sleep(seconds)
            self.note("program killed")
            program.kill()
        printed, _ = program.communicate()
        if not is_killed and program.returncode != 0:
            raise Wrong(f"another program ended with {program.returncode}:\n{printed}")
        self.note("program")


def is_descendant(pid):
    """Whether a process was started by this one, directly or not."""
    while pid and pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def excuse(error, harms, harm, begin):
    """Say which harm an error comes from; None if it is nobody's fault but ours.

    Parameters
    ----------
    error : Exception
    harms : set of str
        What is done in this round.
    harm : Harm
        Knows what was done when.
    begin : float
        When the step began that the error comes from.
    """
    said = str(error)
    if isinstance(error, KilledWorker) and "signal 9" in said:
        return "killed too often" if harm.since(begin, "kill") >= DEATHS else None
    if isinstance(error, NotEnoughMemoryError) and "full disk" in harms and "to disk" in said:
        return "disk full"
    if isinstance(error, CancelledError):
        if "close" in harms and "closed" in said:
            return "closed"
        if "restart" in harms and ("restarted" in said or "that was released" in said):
            return "restarted"
        is_death = any(harm.since(begin, kind) for kind in ("kill", "suicide", "restart"))
        if is_death and "scatter it again" in said:
            return "data lost with its worker"
        # Who made the future was a client in a worker, and died with it.
        if is_death and "came from another process" in said:
            return "future lost with its worker"
    return None
