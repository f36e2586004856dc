"""What clients of the stress run do, and the answers that are right.

A step is a function of a `Desk`. It raises `Wrong` when an answer is not right or an error is not
explained; what the cluster raises because of a fault is let through, and judged by `harm`.
"""

import asyncio
import contextlib
import itertools
import os
import pickle
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from random import Random

import tasks
from tasks import inc

from oxidask import OxidaskError, TaskError, delayed
from oxidask.distributed import (
    CancelledError,
    Client,
    ClusterClosedError,
    KilledWorker,
    LocalCluster,
    as_completed,
    fire_and_forget,
    wait,
)

#: Why we cancel.
REASON = "the stress run wants so"


class Wrong(AssertionError):
    """An answer that is not right, or an error that explains nothing."""


#: What files are named by.
_numbers = itertools.count()


@dataclass
class Desk:
    """Where somebody works.

    Attributes
    ----------
    client : Client
        Its own or shared with others.
    random : Random
        Decides what is done.
    cluster : LocalCluster or str
        For further clients.
    processes : bool
        Whether workers are processes.
    folder : str
        For files.
    large : bool
        Whether there is a memory limit, so that large results are worth making.
    harm : Harm
        Is told of deaths that a step causes.
    """

    client: Client
    random: Random
    cluster: object
    processes: bool
    folder: str
    large: bool
    harm: object

    def another_client(self):
        return Client(self.cluster, set_as_default=False)

    def new_path(self):
        return os.path.join(self.folder, str(next(_numbers)))


def check(found, right, what):
    if found != right:
        raise Wrong(f"{what}: {str(found)[:300]} came out, {str(right)[:300]} is right")


def check_error(error, kind, key, *texts):
    """Compare an error with what it should be; it must name its task."""
    if not isinstance(error, kind):
        if error is not None and is_of_the_cluster(error):
            raise error
        raise Wrong(f"{kind} was to come, not {type(error)}: {error}") from error
    said = "\n".join([str(error), *getattr(error, "__notes__", ())])
    for text in (key, *texts):
        if text is not None and str(text) not in said:
            raise Wrong(f"{type(error)} does not say {text!r}: {said}") from error


def check_cancelled(error):
    """Let pass what was cancelled for us; raise what was cancelled by somebody else."""
    if REASON not in str(error):
        raise error


def is_of_the_cluster(error):
    """Whether an error is one that faults lead to, so that `harm` judges it."""
    return isinstance(error, CancelledError | OxidaskError) and not isinstance(error, TaskError)


# ---- Graphs ----


def maps(desk):
    n = desk.random.choice([1, 10, 300, 3000])
    futures = desk.client.map(inc, range(n), pure=desk.random.random() < 0.3)
    check(desk.client.gather(futures), list(range(1, n + 1)), "map")


def trees(desk):
    leaves = desk.random.randrange(2, 200)
    level = desk.client.map(inc, range(leaves), pure=False)
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [desk.client.submit(sum, pair, pure=False) for pair in pairs]
    check(level[0].result(), sum(range(1, leaves + 1)), "tree")


def chains(desk):
    length = desk.random.randrange(1, 300)
    last = desk.client.submit(inc, 0, pure=False)
    for _ in range(length):
        last = desk.client.submit(inc, last, pure=False)
    check(last.result(), length + 1, "chain")


def plan_of_graph(random, nodes, kinds, slow):
    """Draw a graph: for each node what it is and who it needs; and all digests."""
    plan, digests = [], []
    for number in range(nodes):
        near = range(max(0, number - 20), number)
        inputs = random.sample(near, min(len(near), random.randrange(4)))
        seconds = random.random() * 0.01 if random.random() < slow else 0
        plan.append((random.choice(kinds), number, seconds, inputs))
        digests.append(tasks.combined(number, [digests[one] for one in inputs]))
    return plan, digests


def random_graphs(desk):
    """Values of all kinds, most of which are dropped as soon as they are submitted."""
    kinds = desk.random.sample(tasks.KINDS, desk.random.randrange(1, len(tasks.KINDS) + 1))
    nodes = desk.random.randrange(1, 80)
    plan, digests = plan_of_graph(desk.random, nodes, kinds, desk.random.choice([0, 0, 0.3]))
    made = []
    for kind, number, seconds, inputs in plan:
        needed = [made[one] for one in inputs]
        call = (tasks.node, kind, number, seconds, needed, desk.processes)
        made.append(desk.client.submit(*call, pure=False))
    wanted = sorted(desk.random.sample(range(nodes), min(nodes, 5)))
    kept = {number: made[number] for number in wanted}
    del made, needed
    found = {number: tasks.digest(value) for number, value in desk.client.gather(kept).items()}
    check(found, {number: digests[number] for number in wanted}, "random graph")


def lazy_graphs(desk):
    nodes = desk.random.randrange(1, 80)
    plan, digests = plan_of_graph(desk.random, nodes, tasks.KINDS, 0)
    made = []
    for kind, number, seconds, inputs in plan:
        needed = [made[one] for one in inputs]
        made.append(delayed(tasks.node)(kind, number, seconds, needed, desk.processes))
    futures = desk.client.compute([made[-1], made[0]])
    found = [tasks.digest(value) for value in desk.client.gather(futures)]
    check(found, [digests[-1], digests[0]], "lazy graph")


def raw_graphs(desk):
    n = desk.random.randrange(1, 50)
    # Keys of a client's graphs are its own choice: one that is alive is not computed again.
    name = f"sum-{desk.random.getrandbits(60)}"
    graph = {(name, i): (inc, i) for i in range(n)}
    graph[name] = (sum, list(graph))
    check(desk.client.get(graph, name), sum(range(1, n + 1)), "raw graph")


def persisted_graphs(desk):
    n = desk.random.randrange(1, 50)
    kept = desk.client.persist(delayed(sum)([delayed(inc)(i) for i in range(n)]))
    again = desk.client.compute(delayed(inc)(kept))
    check(again.result(), sum(range(1, n + 1)) + 1, "persisted graph")


# ---- Data ----


def scattered(desk):
    """Data whose futures are dropped while tasks wait for it."""
    kinds = [desk.random.choice(tasks.KINDS) for _ in range(desk.random.randrange(1, 8))]
    numbers = [desk.random.randrange(tasks.MODULUS) for _ in kinds]
    values = [tasks.value_of(kind, n) for kind, n in zip(kinds, numbers, strict=True)]
    data = desk.client.scatter(values, hash=desk.random.random() < 0.5)
    del values
    sums = [
        desk.client.submit(tasks.node, "number", i, 0, [one], desk.processes, pure=False)
        for i, one in enumerate(data)
    ]
    if desk.random.random() < 0.5:
        del data
    right = [tasks.combined(i, [number]) for i, number in enumerate(numbers)]
    check(desk.client.gather(sums), right, "scattered data")


def shared_arrays(desk):
    """Many read what one made, and write into what they read."""
    n = desk.random.randrange(1, 10 if desk.large else 4)
    made = [desk.client.submit(tasks.value_of, "array", number, pure=False) for number in range(n)]
    read = [
        desk.client.submit(tasks.node, "number", i, 0, made, desk.processes, pure=False)
        for i in range(2 * n)
    ]
    # Threads of one process share objects, as they do without a cluster.
    if desk.processes and desk.random.random() < 0.5:
        mine = made[0].result()
        mine += 1
        check(tasks.digest(made[0].result()), 0, "an array that its reader wrote to")
    right = [tasks.combined(i, range(n)) for i in range(2 * n)]
    check(desk.client.gather(read), right, "shared arrays")


def large_arguments(desk):
    """Values in calls themselves, some of them the same in many."""
    number = desk.random.randrange(tasks.MODULUS)
    kinds = desk.random.sample(tasks.KINDS, 3)
    values = [tasks.value_of(kind, number) for kind in kinds]
    sums = [desk.client.submit(tasks.total, *values, pure=False) for _ in range(5)]
    check(desk.client.gather(sums), [3 * number] * 5, "large arguments")
    sums = desk.client.map(tasks.total, values, pure=False)
    check(desk.client.gather(sums), [number] * 3, "mapped arguments")


def more_than_memory(desk):
    """Results that only fit on disk, if there is a limit."""
    kind = desk.random.choice(["array", "list", "bytes"])
    n = 250 if desk.large and kind == "array" else 30
    made = desk.client.map(tasks.value_of, [kind] * n, range(n), pure=False)
    order = list(range(n))
    desk.random.shuffle(order)
    pairs = [desk.client.submit(tasks.total, made[i], made[order[i]], pure=False) for i in range(n)]
    del made
    check(desk.client.gather(pairs), [i + order[i] for i in range(n)], "more than memory")


# ---- Tasks that submit tasks ----


def nested(desk):
    n = desk.random.randrange(1, 12)
    kind = desk.random.choice(tasks.KINDS)
    futures = desk.client.map(tasks.outer, [n] * n, kind=kind, pure=False)
    check(desk.client.gather(futures), [sum(range(n))] * n, "nested")


def nested_otherwise(desk):
    n = desk.random.randrange(1, 12)
    function = desk.random.choice([tasks.outer_of_graph, tasks.outer_with_block])
    futures = desk.client.map(function, [n] * n, pure=False)
    check(desk.client.gather(futures), [sum(range(1, n + 1))] * n, function.__name__)


def recursive(desk):
    check(desk.client.submit(tasks.fib, 7, pure=False).result(), 13, "recursive")


def seceding(desk):
    n = desk.random.randrange(1, 10)
    futures = [desk.client.submit(tasks.leave_pool, 0.01, i, pure=False) for i in range(n)]
    check(desk.client.gather(futures), list(range(n)), "seceding")


def boxes(desk):
    """Futures that were made in a task, opened here and in other tasks."""
    n = desk.random.randrange(1, 30)
    box = desk.client.submit(tasks.make_box, n, pure=False)
    there = desk.client.submit(tasks.open_box, box, pure=False)
    if desk.random.random() < 0.5:
        with desk.client.as_current():
            here = box.result()
        # In a cluster of threads they may belong to another client of this process.
        found = [future.result() for future in here["futures"]]
        check(found, list(range(1, n + 1)), "box here")
    check(there.result(), sum(range(1, n + 1)), "box there")


def travelling(desk):
    """Futures that are pickled to another client."""
    number = desk.random.randrange(tasks.MODULUS)
    kind = desk.random.choice(tasks.KINDS)
    with desk.another_client() as other:
        mine = other.submit(tasks.value_of, kind, number, pure=False)
        if desk.random.random() < 0.5:
            wait(mine)
        again = pickle.loads(pickle.dumps(mine))
        del mine
        read = other.submit(tasks.total, again, pure=False)
        check(read.result(), number, "travelling")
        check(tasks.digest(again.result()), number, "travelled")


# ---- What fails ----

ERRORS = {
    "value": ValueError,
    "two arguments": (tasks.TwoArguments, TaskError),
    "unpicklable": (tasks.Unpicklable, TaskError),
    "recursion": RecursionError,
    "memory": MemoryError,
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
}


def raising(desk):
    """A task that raises, what needs it, and innocents beside it."""
    how = desk.random.choice(list(ERRORS))
    text = f"on purpose {desk.random.randrange(1000)}"
    bad = desk.client.submit(tasks.fail, how, text, pure=False)
    after = desk.client.submit(tasks.total, bad, 1, pure=False)
    good = desk.client.map(inc, range(20), pure=False)
    said = None if how == "recursion" else text
    for future in (bad, after):
        check_error(future.exception(), ERRORS[how], bad.key, said)
    found = desk.client.gather([bad, *good], errors="skip")
    if len(found) < len(good):
        # What was left out was cancelled by a restart, and says so.
        desk.client.gather(good)
    check(found, list(range(1, 21)), "beside a failure")


def retried(desk):
    times = desk.random.randrange(1, 5)
    path = desk.new_path()
    future = desk.client.submit(tasks.fail_at_first, path, times, retries=times, pure=False)
    # A worker that dies after the mark was made is one more call.
    if future.result() <= times:
        raise Wrong("a task that was to fail has not")
    path = desk.new_path()
    future = desk.client.submit(tasks.fail_at_first, path, 1, pure=False)
    while future.exception() is not None:
        check_error(future.exception(), ValueError, future.key, "not yet")
        desk.client.retry(future)
    if future.result() < 2:
        raise Wrong("a task that was to fail has not")


def unpicklable(desk):
    future = desk.client.submit(tasks.lock, pure=False)
    if not desk.processes:
        check(list(future.result()), ["lock"], "an object of this process")
        return
    # It stays with its worker, as an object, until somebody else wants it.
    try:
        future.result()
    except TypeError as error:
        check_error(error, TypeError, future.key, "lock")
    else:
        raise Wrong("a lock was pickled")


CAUSES = {
    "exit": "status 3",
    "segmentation fault": "signal 11",
    "abort": "signal 6",
    "kill": "signal 9",
}


def suicides(desk):
    """A task that ends its worker, and innocents."""
    if not desk.processes:
        return
    how = desk.random.choice(list(CAUSES))
    desk.harm.note("suicide")
    before = desk.client.map(inc, range(50), pure=False)
    killer = desk.client.submit(tasks.die, how, pure=False)
    after = desk.client.map(tasks.nap, [0.001] * 20, range(20), pure=False)
    error = killer.exception()
    desk.harm.note("suicide")
    check_error(error, KilledWorker, killer.key)
    # The last death may be one from outside.
    if CAUSES[how] not in str(error) and "signal 9" not in str(error):
        raise Wrong(f"{how} is not told: {error}")
    check(desk.client.gather(before), list(range(1, 51)), "before a death")
    check(desk.client.gather(after), list(range(20)), "after a death")


def gluttons(desk):
    if not desk.large:
        return
    desk.harm.note("suicide")
    made = desk.client.map(tasks.value_of, ["array"] * 5, range(5), pure=False)
    glutton = desk.client.submit(tasks.allocate, 2_000_000_000, pure=False)
    error = glutton.exception()
    desk.harm.note("suicide")
    check_error(error, KilledWorker, glutton.key)
    if "memory grew from" not in str(error) and "signal 9" not in str(error):
        raise Wrong(f"the limit is not told: {error}")
    check([tasks.digest(one) for one in desk.client.gather(made)], list(range(5)), "not a glutton")


def cancelled(desk):
    n = desk.random.randrange(1, 40)
    futures = [
        desk.client.submit(tasks.nap, desk.random.random() * 0.02, i, pure=False) for i in range(n)
    ]
    after = [desk.client.submit(inc, one, pure=False) for one in futures]
    chosen = set(desk.random.sample(range(n), desk.random.randrange(n + 1)))
    if desk.random.random() < 0.5:
        time.sleep(0.01)
    desk.client.cancel([futures[i] for i in chosen], reason=REASON)
    for i in range(n):
        for future, right in ((futures[i], i), (after[i], i + 1)):
            try:
                check(future.result(), right, "beside a cancelled task")
            except CancelledError as error:
                if i not in chosen:
                    raise
                check_cancelled(error)


def stopped(desk):
    """Tasks that never end by themselves; their threads must be free again."""
    paths = [desk.new_path() for _ in range(2)]
    endless = [desk.client.submit(tasks.never_end, path, pure=False) for path in paths]
    until = time.monotonic() + desk.random.random() * 0.2
    while not os.path.exists(paths[0]) and time.monotonic() < until:
        time.sleep(0.005)
    if desk.random.random() < 0.5:
        desk.client.cancel(endless, reason=REASON)
        for future in endless:
            try:
                raise Wrong(f"a task that never ends gave {future.result()}")
            except CancelledError as error:
                check_cancelled(error)
    del endless
    check(desk.client.submit(inc, 1, pure=False).result(), 2, "beside a stopped task")


def released(desk):
    """Futures that nobody waits for."""
    n = desk.random.choice([10, 500])
    futures = desk.client.map(tasks.nap, [desk.random.choice([0, 0.001])] * n, range(n), pure=False)
    kept = futures[desk.random.randrange(n)]
    right = futures.index(kept)
    del futures
    check(kept.result(), right, "beside released tasks")


# ---- Waiting ----


def as_they_come(desk):
    n = desk.random.randrange(1, 100)
    futures = desk.client.map(tasks.nap, [0.0005] * n, range(n), pure=False)
    found = [future.result() for future in as_completed(futures)]
    check(sorted(found), list(range(n)), "as_completed")


def called_back(desk):
    n = desk.random.randrange(1, 50)
    futures = desk.client.map(inc, range(n), pure=False)
    done, is_all = [], threading.Event()

    def take(future):
        done.append(future)
        if len(done) == n:
            is_all.set()

    for future in futures:
        future.add_done_callback(take)
    if not is_all.wait(STEP_SECONDS / 2):
        raise Wrong(f"{len(done)} of {n} callbacks were called")
    check(desk.client.gather(futures), list(range(1, n + 1)), "called back")


def with_more_added(desk):
    n = desk.random.randrange(1, 30)
    coming = as_completed(desk.client.map(inc, range(n), pure=False), with_results=True)
    found = []
    for _, result in coming:
        found.append(result)
        if result <= n:
            coming.add(desk.client.submit(inc, result + n - 1, pure=False))
    check(sorted(found), list(range(1, 2 * n + 1)), "as_completed with more")


def together(desk):
    n = desk.random.randrange(1, 100)
    seconds = desk.random.choice([0, 0.01])
    futures = desk.client.map(tasks.nap_together, [seconds] * n, range(n), pure=False)
    desk.client.cancel(futures[n // 2 + 1 :], reason=REASON)
    check(desk.client.gather(futures[: n // 2 + 1]), list(range(n // 2 + 1)), "coroutines")


def talking(desk):
    futures = desk.client.map(tasks.talk, [50] * 5, range(5), pure=False)
    check(desk.client.gather(futures), list(range(5)), "talking")


def urgent(desk):
    slow = desk.client.map(tasks.nap, [0.002] * 50, range(50), pure=False)
    first = desk.client.submit(inc, 1, priority=10, pure=False)
    check(first.result(), 2, "urgent")
    check(desk.client.gather(slow), list(range(50)), "less urgent")


def choosy(desk):
    """Tasks that ask for a worker that may go."""
    name = desk.random.choice([*desk.client.scheduler_info()["workers"], "nobody"])
    future = desk.client.submit(inc, 1, workers=[name], allow_other_workers=True, pure=False)
    check(future.result(), 2, "a task with a wish")


def timed_out(desk):
    future = desk.client.submit(tasks.nap, 0.05, 5, pure=False)
    try:
        check(future.result(timeout=0.001), 5, "in no time")
    except TimeoutError:
        check(future.result(), 5, "after a time-out")


def in_a_loop(desk):
    async def talk():
        client = await Client(desk.cluster, asynchronous=True, set_as_default=False)
        try:
            futures = client.map(inc, range(20), pure=False)
            check(await client.gather(futures), list(range(1, 21)), "in a loop")
            check(await client.submit(inc, 1, pure=False), 2, "awaited")
        finally:
            await client.close()

    asyncio.run(talk())


def clients(desk):
    """Clients that come and go, in threads, some in the middle of work."""
    problems = []

    def come_and_go(number):
        try:
            client = desk.another_client()
            futures = client.map(tasks.nap, [0.001] * 20, range(20), pure=False)
            if number % 2:
                check(client.gather(futures), list(range(20)), "another client")
            client.close()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=come_and_go, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def forgotten_and_fired(desk):
    """What nobody waits for runs all the same."""
    path = desk.new_path()
    fire_and_forget(desk.client.submit(tasks.fail_at_first, path, 0, pure=False))
    until = time.monotonic() + STEP_SECONDS / 2
    while not os.path.exists(path):
        if time.monotonic() > until:
            raise Wrong("a task that was fired was forgotten")
        time.sleep(0.005)


def own_clusters(desk):
    """A cluster beside the others, which ends in the middle of its work."""
    processes = desk.random.random() < 0.5
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=processes, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        check(client.submit(inc, 1).result(), 2, "another cluster")
        left = client.map(tasks.nap, [0.01] * 20, range(20))
    for future in left:
        with contextlib.suppress(ClusterClosedError):
            future.result()


#: Starts a cluster, and says which processes it has.
OWNER = """
import os, time
from oxidask.distributed import Client
client = Client(n_workers=1, threads_per_worker=1, dashboard_address=None)
client.submit(time.sleep, 600)
print(*client.run(os.getpid).values(), *client.run(os.getppid).values(), flush=True)
time.sleep(600)
"""


def killed_owner(desk):
    """A program that has a cluster is killed: its processes end, too."""
    path = desk.new_path()
    os.mkdir(path)
    program = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": path},
    )
    with program:
        processes = program.stdout.readline().split()
        program.kill()
    until = time.monotonic() + STEP_SECONDS / 2
    while any(os.path.exists(f"/proc/{process}") for process in processes):
        if time.monotonic() > until:
            raise Wrong(f"processes of a program that was killed: {processes}")
        time.sleep(0.01)


def other_schedulers(desk):
    n = desk.random.randrange(1, 50)
    scheduler = desk.random.choice(["threads", "sync", "processes"])
    found = delayed(sum)([delayed(inc)(i) for i in range(n)]).compute(scheduler=scheduler)
    check(found, sum(range(1, n + 1)), f"scheduler={scheduler!r}")


def calls(desk):
    answers = desk.client.run(os.getpid, on_error="ignore")
    if not all(isinstance(pid, int) for pid in answers.values()):
        raise Wrong(f"run: {answers}")


#: How long a step may take before it counts as hanging.
STEP_SECONDS = 90.0

STEPS = {
    step.__name__: step
    for step in (
        *(maps, trees, chains, random_graphs, lazy_graphs, raw_graphs, persisted_graphs),
        *(scattered, shared_arrays, large_arguments, more_than_memory),
        *(nested, nested_otherwise, recursive, seceding, boxes, travelling),
        *(raising, retried, unpicklable, suicides, gluttons, cancelled, stopped, released),
        *(as_they_come, with_more_added, together, talking, urgent, choosy, called_back),
        *(timed_out, in_a_loop, clients, forgotten_and_fired, calls),
        *(own_clusters, killed_owner, other_schedulers),
    )
}

#: Take much longer than the others, and are taken less often.
RARE = ("own_clusters", "killed_owner", "gluttons")

#: Put data into the memory of this process, which is full when the disk is made so.
WRITES_HERE = ("scattered", "large_arguments", "own_clusters", "other_schedulers")
