"""What the stress run has workers do. Each value has a digest, so that answers can be checked."""

import asyncio
import ctypes
import os
import threading
import time

import numpy as np

from oxidask import delayed
from oxidask.distributed import get_client, secede, worker_client

MODULUS = 1_000_003

#: What a task may return: sizes that travel in messages, in shared memory, and not at all.
KINDS = ("number", "text", "small array", "array", "list", "object", "bytes")

ARRAY = 1_000_000


class Thing:
    """An object of a class of ours."""

    def __init__(self, number):
        self.number = number
        self.parts = {"text": str(number), "list": [number] * 5}


def inc(i):
    return i + 1


def nap(seconds, value=None):
    time.sleep(seconds)
    return value


def value_of(kind, number):
    """Make a value from which `digest` finds the number again."""
    if kind == "number":
        return number
    if kind == "text":
        return str(number) * 50
    if kind == "small array":
        return np.full(100, number, dtype=np.int64)
    if kind == "array":
        return np.full(ARRAY // 8, number, dtype=np.int64)
    if kind == "list":
        return [np.full(10_000, number, dtype=np.int64), {"number": number}]
    if kind == "object":
        return Thing(number)
    return number.to_bytes(4, "little") * 30_000


def digest(value):
    """Find the number in a value; each part of the value must say the same."""
    if isinstance(value, str):
        number = int(value[: len(value) // 50])
        assert value == str(number) * 50, "a text is not as it was made"
        return number
    if isinstance(value, np.ndarray):
        number = int(value[0])
        assert (value == number).all(), "an array is not as it was made"
        return number
    if isinstance(value, list):
        assert digest(value[0]) == value[1]["number"], "a list is not as it was made"
        return value[1]["number"]
    if isinstance(value, Thing):
        assert value.parts["list"] == [int(value.parts["text"])] * 5 == [value.number] * 5
        return value.number
    if isinstance(value, bytes):
        assert value == value[:4] * 30_000, "bytes are not as they were made"
        return int.from_bytes(value[:4], "little")
    return value


def combined(number, digests):
    """Say what a node's digest must be, given those of its inputs."""
    for one in digests:
        number = (number * 31 + one) % MODULUS
    return number


def node(kind, number, seconds, inputs, writes):
    """Combine the inputs; write into those that are arrays, which nobody else may see."""
    if seconds:
        time.sleep(seconds)
    number = combined(number, [digest(value) for value in inputs])
    for value in inputs:
        if writes and isinstance(value, np.ndarray):
            value += 1
    return value_of(kind, number)


def total(*values):
    return sum(map(digest, values))


def talk(lines, value):
    for line in range(lines):
        print("line", line)
    return value


async def nap_together(seconds, value):
    await asyncio.sleep(seconds)
    return value


def never_end(path):
    """Run until somebody stops it; a file says that it has begun."""
    # A file that Python closes, for the end may come at any moment.
    open(path, "w").close()
    while True:
        time.sleep(0.001)


# ---- Tasks that submit tasks ----


def outer(n, kind):
    client = get_client()
    made = client.map(value_of, [kind] * n, range(n), pure=False)
    return sum(digest(value) for value in client.gather(made))


def fib(n):
    if n < 2:
        return n
    client = get_client()
    one, two = client.submit(fib, n - 1, pure=False), client.submit(fib, n - 2, pure=False)
    return one.result() + two.result()


def outer_of_graph(n):
    """Compute a graph in a task: it runs in the cluster."""
    return delayed(sum)([delayed(inc)(i) for i in range(n)]).compute()


def outer_with_block(n):
    with worker_client() as client:
        return sum(client.gather(client.map(inc, range(n), pure=False)))


def leave_pool(seconds, value):
    secede()
    time.sleep(seconds)
    return value


def make_box(n):
    """Return futures of tasks that were made in a task."""
    return {"futures": get_client().map(inc, range(n), pure=False)}


def open_box(box):
    return sum(future.result() for future in box["futures"])


# ---- Tasks that fail ----


class TwoArguments(Exception):
    """Cannot be read from a plain pickle: it is called with one argument then."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("this exception stays at home")


def fail(how, text):
    if how == "value":
        raise ValueError(text)
    if how == "two arguments":
        raise TwoArguments(7, text)
    if how == "unpicklable":
        raise Unpicklable(text)
    if how == "recursion":
        return fail(how, text)
    if how == "memory":
        raise MemoryError(text)
    if how == "exit":
        raise SystemExit(text)
    if how == "interrupt":
        raise KeyboardInterrupt(text)
    raise AssertionError(how)


def fail_at_first(path, times):
    """Fail so many times, then return how often it was called."""
    with open(path, "ab", buffering=0) as file:
        file.write(b"x")
        calls = file.tell()
    if calls <= times:
        raise ValueError("not yet")
    return calls


def lock():
    return {"lock": threading.Lock()}


def die(how):
    if how == "exit":
        os._exit(3)
    if how == "segmentation fault":
        ctypes.string_at(0)
    if how == "abort":
        os.abort()
    os.kill(os.getpid(), 9)


def allocate(nbytes):
    """Take memory, slowly enough to be seen."""
    taken = []
    for _ in range(0, nbytes, 20_000_000):
        taken.append(np.ones(20_000_000, dtype=np.uint8))
        time.sleep(0.005)
    return len(taken)
