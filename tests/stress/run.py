"""A stress run: all kinds of work and all kinds of faults, at once, for a while.

    python tests/stress/run.py --minutes 30 --seed 1

It goes in rounds of some seconds. In each, a few threads work on a cluster: one that lasts for the
whole run, or one of the round; of processes or of threads; with or without a limit of memory.
Meanwhile workers are killed, stopped and restarted, the disk is full, other programs come and are
killed. Claims:

- Each answer is right: it is compared with what plain Python says.
- Nothing hangs: what takes more than 90 s ends the run, with all that may explain it.
- Each error is one that a fault of this round explains, and names its task and its cause.
- Nothing leaks: between rounds there are as many threads, descriptors, memory files, sockets,
  temporary files and processes as after the first rounds, and no more memory but some room.

A seed decides what is done in which order, not how threads and processes take turns.
"""

import argparse
import contextlib
import faulthandler
import gc
import itertools
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from random import Random

import tasks
from harm import KINDS, Harm, excuse
from steps import RARE, STEP_SECONDS, STEPS, WRITES_HERE, Desk, Wrong
from watch import OUT, Holdings, Watchdog, files_in, kinds_of_files, names_of_threads, say

from oxidask import config, delayed
from oxidask.distributed import Client, LocalCluster

LIMIT = 100_000_000

#: Rounds after which the first look counts: caches are full then, and all code is imported.
WARM_UP = 8
#: Megabytes that may be added to by the end.
ROOM = 20.0


class Run:
    """What is common to all rounds."""

    def __init__(self, seed, folder, sockets, only=None):
        self.seed = seed
        self.folder = folder
        self.sockets = sockets
        self.names = only or list(STEPS)
        self.watchdog = Watchdog()
        self.done = Counter()
        self.excused = Counter()
        self.harm = Counter()
        self.begin = time.monotonic()
        self.looks = []

    # ---- Work ----

    def work(self, desk, until, harms, problems, left_out=()):
        """Take steps until it is time."""
        names = [name for name in self.names if name not in left_out]
        while time.monotonic() < until and not problems:
            name = desk.random.choice(names)
            if name in RARE and len(names) > 1 and desk.random.random() < 0.8:
                continue
            begin = time.monotonic()
            try:
                with self.watchdog.step(name, desk.client, STEP_SECONDS):
                    STEPS[name](desk)
            except BaseException as error:
                reason = (
                    None if isinstance(error, Wrong) else excuse(error, harms, desk.harm, begin)
                )
                if reason is None:
                    problems.append((name, error))
                    return
                self.excused[reason] += 1
                if reason == "closed":
                    return
            self.done[name] += 1

    def round(self, number, lasting, harms=None):
        """Work on a cluster for some seconds, with some harm; return what went wrong."""
        random = Random(f"{self.seed} {number}")
        kind = random.choice(["lasting", "lasting", "limited", "own", "threads"])
        seconds = 2 + random.random() * 8
        drawn = {one for one in KINDS if random.random() < 0.4}
        harms = drawn if harms is None else set(harms)
        if kind == "threads":
            harms = set()
        if kind != "limited":
            harms -= {"full disk"}
        if kind != "lasting" and random.random() < 0.2:
            harms.add("close")
        self.say(f"round {number}: {kind}, {seconds:.0f} s, {', '.join(sorted(harms)) or 'calm'}")
        with contextlib.ExitStack() as stack:
            client = lasting
            if kind != "lasting":
                with self.watchdog.step("start a cluster", None, STEP_SECONDS):
                    cluster = start_cluster(kind, random)
                    client = Client(cluster, set_as_default=False)
                stack.callback(self.close, client, cluster, random.random() < 0.5)
            problems = self.work_together(client, kind, random, seconds, harms)
            if not problems and "close" not in harms:
                problems = self.rest(client)
        return problems

    def work_together(self, client, kind, random, seconds, harms):
        """Let a few threads work while harm is done."""
        problems, until = [], time.monotonic() + seconds
        is_large = kind == "limited"
        left_out = WRITES_HERE if "full disk" in harms else ()
        join = [*join_command(client, harms, is_large), "--join-seconds"]
        doing = [one for one in KINDS if one in harms]
        with Harm(client, doing, random, join) as harm:
            desks = [
                Desk(
                    client=client,
                    random=Random(random.random()),
                    cluster=client.cluster,
                    processes=kind != "threads",
                    folder=self.folder,
                    large=is_large,
                    harm=harm,
                )
                for _ in range(random.randrange(1, 4))
            ]
            workers = [
                threading.Thread(target=self.work, args=(desk, until, harms, problems, left_out))
                for desk in desks
            ]
            for worker in workers:
                worker.start()
            if "close" in harms:
                time.sleep(seconds / 2)
                with self.watchdog.step("close in the middle", client, STEP_SECONDS):
                    random.choice([client.cluster.close, client.close, client.shutdown])()
                # Harm asks the client, too.
                harm.ending.set()
            for worker in workers:
                worker.join()
        self.harm.update(what for _, what in harm.events)
        if "close" not in harms:
            problems += harm.problems
        return problems

    def rest(self, client):
        """Wait until a cluster has nothing left to do and to keep."""
        until = time.monotonic() + 30
        while True:
            gc.collect()
            with self.watchdog.step("rest", client, STEP_SECONDS):
                told = client.scheduler_info()
            left = {state: n for state, n in told["tasks"].items() if n and state != "forgotten"}
            if not left:
                return []
            if time.monotonic() > until:
                error = Wrong(f"after 30 s of rest there is left: {left}\n{client.why()}")
                return [("rest", error)]
            time.sleep(0.05)

    def close(self, client, cluster, client_first):
        with self.watchdog.step("close", None, STEP_SECONDS):
            for one in (client, cluster) if client_first else (cluster, client):
                one.close()

    # ---- What is told ----

    def say(self, text):
        say(f"{time.monotonic() - self.begin:7.1f} {text}")

    def look(self, lasting):
        """Look at what is held when nothing is to be done."""
        # Workers that ran tasks which submit tasks are clients, too, and hold more than others.
        with self.watchdog.step("restart", lasting, STEP_SECONDS):
            lasting.restart()
        # What is on its way to be closed gets some time.
        for _ in range(20):
            time.sleep(0.1)
            now = Holdings.now(self.sockets)
            if self.looks and not more_than(self.looks[0][1], now):
                break
        if not self.looks:
            self.files = kinds_of_files()
        self.looks.append((time.monotonic() - self.begin, now))
        say(f"{self.looks[-1][0] / 60:8.1f}  {now.row()}")

    def leaks(self):
        """Compare the end with what there was after the first rounds."""
        if len(self.looks) < 2:
            return []
        return more_than(self.looks[0][1], self.looks[-1][1])


def more_than(first, last):
    """Say what there is more of."""
    found = []
    for name in Holdings.COUNTS:
        if getattr(last, name) > getattr(first, name):
            found.append(f"{name}: {getattr(first, name)} at first, {getattr(last, name)} now")
    for name in Holdings.MEGABYTES:
        if getattr(last, name) > getattr(first, name) + ROOM:
            found.append(
                f"{name}: {getattr(first, name):.1f} MB at first, {getattr(last, name):.1f}"
            )
    return found


def start_cluster(kind, random):
    """Start a cluster of a kind, with a drawn number of workers."""
    workers, threads = random.randrange(1, 4), random.randrange(1, 3)
    if kind == "threads":
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            processes=False,
            dashboard_address=None,
        )
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        memory_limit=LIMIT if kind == "limited" else None,
        dashboard_address=None,
    )


def join_command(client, harms, is_large):
    """Say how another program joins a cluster."""
    command = [__file__, "--join", client.cluster.scheduler_address]
    command += ["--harms", ",".join(sorted(harms))]
    return [*command, "--large"] if is_large else command


def join(options):
    """Work on a cluster that is there; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="ox-stress-") as folder:
        run = Run(options.seed, folder, folder)
        harms = set(options.harms.split(","))
        with Client(options.join) as client:
            desk = Desk(
                client=client,
                random=Random(options.seed),
                cluster=options.join,
                processes=True,
                folder=folder,
                large=options.large,
                harm=HarmElsewhere(),
            )
            problems = []
            until = time.monotonic() + options.join_seconds
            run.work(desk, until, harms, problems)
            tell(problems)
    return 1 if problems else 0


class HarmElsewhere:
    """Stands for what the program does that started this one: it may have been anything."""

    def since(self, when, kind):
        return 100

    def note(self, kind):
        pass


def tell(problems):
    for name, error in problems:
        say(f"WRONG in {name}:")
        traceback.print_exception(error, file=OUT)
    OUT.flush()


def stress(options):
    """Run rounds until the time is over; return the exit status."""
    with (
        tempfile.TemporaryDirectory(prefix="ox-stress-") as folder,
        tempfile.TemporaryDirectory(prefix="ox-stress-") as sockets,
    ):
        os.environ["XDG_RUNTIME_DIR"] = sockets
        # Workers of the scheduler "processes" are kept for a while otherwise.
        config.set({"multiprocessing.idle-timeout": 0.1})
        run = Run(options.seed, folder, sockets, options.only)
        status = run_rounds(run, options)
    for title, counter in (
        ("steps", run.done),
        ("harm", run.harm),
        ("errors that harm explains", run.excused),
    ):
        say(f"{title}: {sum(counter.values())}")
        for name, count in sorted(counter.items()):
            say(f"    {name}: {count}")
    return status


def run_rounds(run, options):
    """Do round after round; look every minute."""
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, Client(cluster) as lasting:
        for scheduler in ("threads", "processes"):
            # They keep threads, as many as they once needed.
            delayed(sum)([delayed(tasks.inc)(i) for i in range(20)]).compute(scheduler=scheduler)
        # The thread that calls back stays, too.
        lasting.submit(tasks.inc, 1).add_done_callback(str)
        say(f"seed {run.seed}\n minutes  {Holdings.head()}")
        for number in itertools.count():
            problems = run.round(number, lasting, options.harms_only)
            if problems:
                say(f"seed {run.seed}, round {number}")
                tell(problems)
                return 1
            elapsed = time.monotonic() - run.begin
            is_over = elapsed > 60 * options.minutes and bool(run.looks)
            is_due = elapsed - run.looks[-1][0] > 60 if run.looks else number + 1 == WARM_UP
            if is_over or is_due:
                run.look(lasting)
            if is_over:
                break
        found = run.leaks()
        for leak in found:
            say(f"LEAK: {leak}")
        if found:
            say(f"more open files: {dict(kinds_of_files() - run.files)}")
            say(f"threads: {names_of_threads()}")
            say(f"threads of Python: {sorted(map(str, threading.enumerate()))}")
            say(f"files: {files_in(run.sockets)}")
        return 1 if found else 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", nargs="*", help=f"steps: {', '.join(STEPS)}")
    parser.add_argument(
        "--harms-only", nargs="*", choices=KINDS, help="what is done in every round that can"
    )
    parser.add_argument("--join", help=argparse.SUPPRESS)
    parser.add_argument("--join-seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--harms", default="", help=argparse.SUPPRESS)
    parser.add_argument("--large", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    faulthandler.enable()
    # A shell starts background jobs with Ctrl-C ignored, which stops cancels.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Who is started while the disk is full would have a full memory for ever.
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        return join(options) if options.join else stress(options)


if __name__ == "__main__":
    sys.exit(main())
