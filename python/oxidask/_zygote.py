"""The process from which workers are forked, so that one starts in milliseconds.

A node runs this file as a script in a fresh interpreter. It imports what each worker needs, no
module of the user, and then waits for commands on its standard input, which is a socket. It has one
thread, so a fork of it is safe. It is the parent of the workers and tells the node how they end;
the process of the user has one child that keeps quiet, whatever happens to the workers.

When the other end of the socket is closed, or the thread that started it ends, it kills the workers
with what they started, and ends.

A message has four bytes of length and then fields with a zero byte between each two. From the node:

- ``prepare``, what workers run, modules to import, ``-``, search path: the first message;
- ``fork``, number, path of a socket, threads, threads of numerical libraries;
- ``kill``, number, signal.

To the node:

- ``ready``, or ``broken`` and why;
- ``started``, number, process id; or ``failed``, number, why;
- ``exited``, number, process id, ``code`` or ``signal``, which.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import importlib
import os
import select
import signal
import sys
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass, field

# How many threads numerical libraries start. While they are imported it is one, because a process
# with more cannot be forked; workers then get their share of the cores.
BLAS_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
)

SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h

WorkerMain = Callable[[str, int, int], object]


# ---- In the user's process ----


@dataclass(frozen=True)
class Interpreter:
    """How to run another interpreter that finds the same modules as this one."""

    python: str
    arguments: list[str]
    script: str
    environment: dict[str, str]
    folder: str
    search_path: list[str]


def interpreter() -> Interpreter:
    """Describe the interpreter of this process, as it is now."""
    import subprocess

    if not sys.executable:
        raise RuntimeError(
            "worker processes cannot be started: sys.executable is empty, so this program seems to "
            "embed Python; set sys.executable to an interpreter, or use processes=False"
        )
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return Interpreter(
        python=sys.executable,
        arguments=flags,
        script=__file__,
        environment=dict(os.environ),
        folder=os.getcwd(),
        search_path=[entry for entry in sys.path if isinstance(entry, str)],
    )


# ---- Messages ----


def message(*fields: str | int) -> bytes:
    """Put fields into the bytes of one message."""
    body = b"\0".join(os.fsencode(str(value)) for value in fields)
    return len(body).to_bytes(4, "little") + body


def write(descriptor: int, data: bytes) -> None:
    """Write all bytes, however many the system takes at once."""
    while data:
        data = data[os.write(descriptor, data) :]


@dataclass
class Incoming:
    """Messages that come from a descriptor."""

    descriptor: int
    buffer: bytearray = field(default_factory=bytearray)
    is_at_end: bool = False

    def receive(self) -> list[list[str]]:
        """Wait for some bytes, and return the messages that are complete."""
        try:
            received = os.read(self.descriptor, 1 << 16)
        except ConnectionResetError:  # The other end went, and left reports unread.
            received = b""
        self.is_at_end = not received
        self.buffer += received
        messages = []
        while len(self.buffer) >= 4:
            end = 4 + int.from_bytes(self.buffer[:4], "little")
            if len(self.buffer) < end:
                break
            body = bytes(self.buffer[4:end])
            messages.append([os.fsdecode(value) for value in body.split(b"\0")])
            del self.buffer[:end]
        return messages

    def receive_first(self, count: int) -> list[list[str]]:
        """Wait for this many messages at least; return fewer if there are no more."""
        messages: list[list[str]] = []
        while len(messages) < count and not self.is_at_end:
            messages += self.receive()
        return messages


@dataclass(frozen=True)
class Preparation:
    """What is imported before workers are forked, and what they run: ``module:function``."""

    main: str
    imports: list[str]
    search_path: list[str]

    @classmethod
    def of(cls, message: list[str]) -> Preparation:
        """Read a message."""
        verb, main, *names = message
        if verb != "prepare":
            raise ValueError(f"the first message must be 'prepare', and is {verb!r}")
        end = names.index("-")
        return cls(main, names[:end], names[end + 1 :])

    def message(self) -> bytes:
        """Return it as a message."""
        return message("prepare", self.main, *self.imports, "-", *self.search_path)


@dataclass(frozen=True)
class Order:
    """One worker to start."""

    number: int
    socket_path: str
    threads: int
    blas_threads: int

    @classmethod
    def of(cls, message: list[str]) -> Order:
        """Read a message."""
        _, number, socket_path, threads, blas_threads = message
        return cls(int(number), socket_path, int(threads), int(blas_threads))

    def message(self) -> bytes:
        """Return it as a message."""
        return message("fork", self.number, self.socket_path, self.threads, self.blas_threads)


# ---- What each worker needs ----


def prepare(preparation: Preparation) -> WorkerMain:
    """Import everything; return what a worker runs."""
    sys.path[:] = preparation.search_path
    users = {name: os.environ[name] for name in BLAS_VARIABLES if name in os.environ}
    os.environ.update(dict.fromkeys(BLAS_VARIABLES, "1"))
    for name in preparation.imports:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name.partition(".")[0]:
                raise
    module, _, function = preparation.main.partition(":")
    main: WorkerMain = getattr(importlib.import_module(module), function)
    for name in BLAS_VARIABLES:
        del os.environ[name]
    os.environ.update(users)
    return main


def become_worker(order: Order, parent: int) -> None:
    """Turn this process, a child of the zygote, into a worker."""
    os.setsid()  # Ctrl-C, Ctrl-Z and the end of the terminal do not reach it.
    name_process("oxidask-worker")
    end_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # The zygote ended before it was watched.
    # Python seeds `random` itself after a fork; all workers would have one state of this one.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    limit_blas(order.blas_threads)
    # The main module is this file. A worker's is empty: functions of the user's come by value,
    # and Python processes that a task starts must not run this file again.
    sys.modules["__main__"] = types.ModuleType("__main__")


def limit_blas(threads: int) -> None:
    """Let numerical libraries use so many threads, unless the user said how many.

    Those that are imported later read the environment. OpenBLAS may be there already, with one.
    """
    share = os.environ.get("OMP_NUM_THREADS", str(threads)).partition(",")[0]
    for name in BLAS_VARIABLES:
        os.environ.setdefault(name, share)
    wanted = os.environ["OPENBLAS_NUM_THREADS"]
    set_threads = openblas() if wanted.isdecimal() and int(wanted) > 1 else None
    if set_threads is not None:
        set_threads(int(wanted))


def openblas() -> Callable[[int], object] | None:
    """Return the function that sets the threads of the OpenBLAS in this process, if there is one.

    In NumPy's wheels its name has a prefix and a suffix, in other builds it may have none.
    """
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "openblas" in line}
    for path in sorted(filter(os.path.exists, paths)):
        library = ctypes.CDLL(path)
        for prefix in ("scipy_", ""):
            for suffix in ("64_", ""):
                name = f"{prefix}openblas_set_num_threads{suffix}"
                if hasattr(library, name):
                    function: Callable[[int], object] = getattr(library, name)
                    return function
    return None


def name_process(name: str) -> None:
    """Choose what `ps` and `top` call this process; 15 characters are kept."""
    with open("/proc/self/comm", "w", encoding="utf-8") as file:
        file.write(name)


def end_with_parent(which: int) -> None:
    """Ask the system to send this process a signal when the thread that started it ends."""
    zeros = [ctypes.c_ulong(0)] * 3
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(ctypes.c_int(SET_PARENT_DEATH_SIGNAL), ctypes.c_ulong(which), *zeros) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot ask for a signal at the parent's end: {os.strerror(error)}")


def number_of_threads() -> int:
    """Return how many threads this process has, also those that Python does not know of."""
    return len(os.listdir("/proc/self/task"))


# ---- The zygote ----


class Zygote:
    """Starts workers, and reports how they end."""

    def __init__(self, control: int, preparation: Preparation) -> None:
        self.control = control
        self.preparation = preparation
        self.numbers: dict[int, int] = {}  # of workers, by process id
        self.is_told_to_end = False
        self.wake_up = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self.wake_up[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.note_end)

    def note_end(self, *_: object) -> None:
        """End soon: somebody asks for it, or the node's thread has ended."""
        self.is_told_to_end = True

    def serve(self, commands: Incoming, pending: list[list[str]]) -> Order | None:
        """Obey until the end. In each worker that was forked, return its order."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.wake_up[0], select.POLLIN)
        self.report("ready")
        while True:
            for command in pending:
                if self.obey(command) == 0:
                    return Order.of(command)
            if commands.is_at_end or self.is_told_to_end:
                self.end_workers()
                return None
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.wake_up[0] in ready:
                os.read(self.wake_up[0], 1 << 12)
                self.report_exits()
            pending = commands.receive() if self.control in ready else []

    def obey(self, command: list[str]) -> int | None:
        """Carry out a command. Return the process id of a new worker, which is 0 in the worker."""
        match command:
            case ["fork", *_]:
                return self.start(Order.of(command))
            case ["kill", number, which]:
                for process, its_number in self.numbers.items():
                    if its_number == int(number):
                        os.kill(process, int(which))
                return None
            case _:
                raise ValueError(f"this is no command: {command}")

    def start(self, order: Order) -> int | None:
        """Start a worker and report it. Return its process id, which is 0 in the worker."""
        try:
            if order.number in self.numbers.values():
                raise RuntimeError(f"there is a worker {order.number} already")
            process = os.fork() if number_of_threads() == 1 else self.spawn(order)
        except (OSError, RuntimeError) as error:
            self.report("failed", order.number, str(error))
            return None
        if process == 0:
            self.leave()
        else:
            self.numbers[process] = order.number
            self.report("started", order.number, process)
        return process

    def spawn(self, order: Order) -> int:
        """Start a fresh interpreter, since something here has started threads."""
        instructions = os.memfd_create("oxidask-worker")
        try:
            write(instructions, self.preparation.message() + order.message())
            os.lseek(instructions, 0, os.SEEK_SET)
            return os.posix_spawn(
                sys.executable,
                [*sys.orig_argv, str(os.getpid())],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, instructions, 0)],
            )
        finally:
            os.close(instructions)

    def leave(self) -> None:
        """Close what is the zygote's, in a worker that was forked."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for descriptor in (self.control, *self.wake_up):
            os.close(descriptor)

    def report(self, *fields: str | int) -> None:
        """Tell the node something, if it is still there."""
        try:
            write(self.control, message(*fields))
        except (BrokenPipeError, ConnectionResetError):
            self.is_told_to_end = True

    def report_exits(self) -> None:
        """Report the workers that ended, and kill what is left of what they started."""
        while self.numbers:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            process = ended.si_pid
            number = self.numbers.pop(process, None)
            if number is not None:
                # Nobody else can have this number as long as the worker is not waited for.
                kill_group(process)
                kind = "code" if ended.si_code == os.CLD_EXITED else "signal"
                self.report("exited", number, process, kind, ended.si_status)
            os.waitpid(process, 0)

    def end_workers(self) -> None:
        """Kill the workers and what they started, and wait for the end of each."""
        for process in self.numbers:
            os.kill(process, signal.SIGKILL)
        for process in self.numbers:
            os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        self.report_exits()


def kill_group(leader: int) -> None:
    """Kill the processes of a group, if there are any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


# ---- The script ----


def take_standard_input() -> int:
    """Return another descriptor of the standard input, which is empty from now on."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:  # What the user's process left open for its children, or this listing.
            with contextlib.suppress(OSError):
                os.close(int(name))
    taken = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    for descriptor in (1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # A program without standard output or error.
            os.dup2(nothing, descriptor)
    if nothing > 2:
        os.close(nothing)
    return taken


def run_zygote(control: int) -> None:
    """Be a zygote, and in each process that it forks, a worker."""
    name_process("oxidask-zygote")
    end_with_parent(signal.SIGTERM)
    commands = Incoming(control)
    pending = commands.receive_first(1)
    if not pending:
        return
    try:
        preparation = Preparation.of(pending.pop(0))
        worker_main = prepare(preparation)
    except BaseException:
        write(control, message("broken", traceback.format_exc()))
        sys.exit(1)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # Else what is left in it would come out once for each worker.
    gc.collect()
    gc.freeze()  # The garbage collector of a worker leaves these pages shared.
    zygote = os.getpid()
    order = Zygote(control, preparation).serve(commands, pending)
    if order is not None:
        run_worker(worker_main, order, zygote)


def run_spawned_worker(instructions: int, zygote: int) -> None:
    """Be a worker that was not forked."""
    preparation, order = Incoming(instructions).receive_first(2)
    os.close(instructions)
    run_worker(prepare(Preparation.of(preparation)), Order.of(order), zygote)


def run_worker(worker_main: WorkerMain, order: Order, zygote: int) -> None:
    """Be a worker to the end."""
    become_worker(order, zygote)
    worker_main(order.socket_path, order.number, order.threads)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        run_zygote(take_standard_input())
    else:
        run_spawned_worker(take_standard_input(), int(sys.argv[1]))
