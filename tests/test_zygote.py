"""The zygote and its workers, driven over its socket as a node does it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from oxidask import _zygote
from oxidask._zygote import Incoming, Order, Preparation

# Runs lines of Python that come over the socket, and answers with the value of `answer`.
STAND_IN = """
import ctypes, os, random, signal, socket, subprocess, sys, threading

def main(path, number, threads):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        stream = connection.makefile("rw")
        print(number, file=stream, flush=True)
        names = dict(globals())
        for line in stream:
            exec(line, names)
            print(names.pop("answer", None), file=stream, flush=True)
"""

IMPORTS = ["oxidask", "numpy", "numpy.random", "cloudpickle"]


class Worker:
    """A worker that does what it is told."""

    def __init__(self, connection):
        connection.settimeout(60)
        self.stream = connection.makefile("rw")
        self.number = int(self.stream.readline())

    def tell(self, line):
        print(line, file=self.stream, flush=True)

    def ask(self, expression):
        """Return the text of a value."""
        self.tell(f"answer = {expression}")
        return self.stream.readline().rstrip("\n")


class Node:
    """The other end of a zygote's socket."""

    def __init__(self, folder, *, imports=(), flags=(), environment=None):
        (folder / "stand_in.py").write_text(STAND_IN)
        self.path = str(folder / "socket")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.settimeout(60)
        self.control, theirs = socket.socketpair()
        this = _zygote.interpreter()
        command = [this.python, *this.arguments, *flags, "-P", this.script]
        with theirs:
            self.process = subprocess.Popen(
                command,
                stdin=theirs,
                env={**this.environment, "PYTHONHASHSEED": "7", **(environment or {})},
                process_group=0,
                close_fds=False,
            )
        path = [str(folder), *this.search_path]
        self.control.sendall(Preparation("stand_in:main", list(imports), path).message())
        self.reports = Incoming(self.control.fileno())
        self.pending = []
        self.workers = []

    def next_report(self):
        while not self.pending:
            self.pending += self.reports.receive_first(1)
        return self.pending.pop(0)

    def start_worker(self, number=0, threads=1, blas_threads=1):
        """Order a worker and return it when it has connected."""
        self.control.sendall(Order(number, self.path, threads, blas_threads).message())
        report = self.next_report()
        if report == ["ready"]:
            report = self.next_report()
        assert report[:2] == ["started", str(number)]
        connection, _ = self.listener.accept()
        with connection:
            worker = Worker(connection)
        self.workers.append(worker)
        worker.process = int(report[2])
        assert worker.number == number
        return worker

    def close(self):
        for worker in self.workers:
            # What could not be told to a worker that is gone cannot be sent now either.
            with contextlib.suppress(OSError):
                worker.stream.close()
        self.listener.close()
        self.control.close()
        self.process.wait(timeout=60)


@pytest.fixture
def start_node(tmp_path):
    """Return a function that starts a node; they end after the test."""
    with contextlib.ExitStack() as stack:

        def start(**options):
            node = Node(tmp_path, **options)
            stack.callback(node.close)
            return node

        yield start


def ends(process):
    """Wait for a process to end; False if it does not."""
    for _ in range(12_000):
        try:
            with open(f"/proc/{process}/stat") as stat:
                if ") Z " in stat.read():
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.005)
    return False


# ---- What a worker looks like ----


def test_a_worker_is_an_interpreter_like_ours(start_node, tmp_path):
    node = start_node(flags=["-X", "dev", "-W", "ignore::UserWarning", "-B"])
    worker = node.start_worker()
    assert worker.ask("os.getcwd()") == os.getcwd()
    assert worker.ask("sys.path") == str([str(tmp_path), *sys.path])
    assert worker.ask("sys.flags.dev_mode") == "True"
    assert worker.ask("sys.warnoptions").endswith("'ignore::UserWarning']")
    assert worker.ask("sys.executable") == sys.executable
    assert worker.ask("os.environ['HOME']") == os.environ["HOME"]
    expected = subprocess.run(
        [sys.executable, "-c", "print(hash('text'))"],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert worker.ask("hash('text')") == expected.stdout.strip()


def test_modules_beside_the_script_can_be_imported(start_node, tmp_path):
    (tmp_path / "helpers.py").write_text("value = 42")
    worker = start_node().start_worker()
    assert worker.ask("'helpers' in sys.modules") == "False"
    assert worker.ask("__import__('helpers').value") == "42"


def test_the_package_does_not_shadow_modules_of_python(start_node):
    worker = start_node(imports=IMPORTS).start_worker()
    package = os.path.dirname(_zygote.__file__)
    assert not worker.ask("__import__('tokenize').__file__").startswith(package)


def test_nothing_of_the_zygote_is_in_the_main_module(start_node):
    worker = start_node().start_worker()
    assert worker.ask("[n for n in vars(sys.modules['__main__']) if n[:2] != '__']") == "[]"
    code = "print(__import__('multiprocessing').get_context('spawn').Pool(1).map(abs, [-1]))"
    assert worker.ask(f"subprocess.run([sys.executable, '-c', {code!r}]).returncode") == "0"


def test_a_worker_has_no_descriptors_of_others(start_node):
    leaked, other_end = os.pipe()
    try:
        os.set_inheritable(leaked, True)
        worker = start_node(imports=IMPORTS).start_worker()
        folder = f"/proc/{worker.process}/fd"
        links = {name: os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
    finally:
        os.close(leaked)
        os.close(other_end)
    assert links.pop("0") == "/dev/null"
    del links["1"], links["2"]
    (connection,) = links.values()
    assert connection.startswith("socket:")


def test_a_program_without_standard_streams_can_have_workers(tmp_path):
    # Else the control socket would become the standard output.
    script = f"""
    import os, sys
    sys.path[:0] = {[os.path.dirname(__file__)]!r}
    from pathlib import Path
    from test_zygote import Node
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    node = Node(Path({str(tmp_path)!r}))
    worker = node.start_worker()
    worker.tell("print('some text', flush=True)")
    worker.stream.readline()
    node.control.sendall(b"")
    answer = worker.ask("[os.readlink(f'/proc/self/fd/{{fd}}') for fd in (0, 1, 2)]")
    Path({str(tmp_path / "answer")!r}).write_text(answer)
    node.close()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=100)
    assert (tmp_path / "answer").read_text() == str(["/dev/null"] * 3)


def test_workers_draw_different_random_numbers(start_node):
    node = start_node(imports=IMPORTS)
    workers = [node.start_worker(number) for number in range(3)]
    for draw in ("random.random()", "sys.modules['numpy.random'].random()"):
        assert len({worker.ask(draw) for worker in workers}) == 3, draw


# ---- Threads ----

BLAS_THREADS = (
    "(__import__('numpy') and [getattr(ctypes.CDLL(path), name)() "
    "for path in {line.split()[-1] for line in open('/proc/self/maps') if 'openblas' in line} "
    "for name in ('scipy_openblas_get_num_threads64_', 'scipy_openblas_get_num_threads', "
    "'openblas_get_num_threads64_', 'openblas_get_num_threads') "
    "if hasattr(ctypes.CDLL(path), name)])"
)


@pytest.fixture
def without_blas_variables(monkeypatch):
    for name in _zygote.BLAS_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("without_blas_variables")
@pytest.mark.parametrize("imports", [[], IMPORTS])
@pytest.mark.parametrize("share", [1, 2])
def test_numerical_libraries_get_their_share_of_the_cores(start_node, share, imports):
    if os.cpu_count() < share:
        pytest.skip("OpenBLAS never takes more threads than there are cores")
    worker = start_node(imports=imports).start_worker(blas_threads=share)
    assert worker.ask("os.environ['OMP_NUM_THREADS']") == str(share)
    assert worker.ask(BLAS_THREADS) == f"[{share}]"


@pytest.mark.usefixtures("without_blas_variables")
def test_the_user_says_how_many_threads_numerical_libraries_get(start_node):
    if os.cpu_count() < 2:
        pytest.skip("OpenBLAS never takes more threads than there are cores")
    node = start_node(imports=IMPORTS, environment={"OMP_NUM_THREADS": "2"})
    worker = node.start_worker(blas_threads=1)
    assert worker.ask("os.environ['OMP_NUM_THREADS']") == "2"
    assert worker.ask(BLAS_THREADS) == "[2]"


def test_a_zygote_with_threads_starts_fresh_interpreters(start_node, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    node = start_node(imports=IMPORTS, environment={"PYTHONPATH": str(tmp_path / "site")})
    worker = node.start_worker(3, threads=2)
    assert worker.ask("threading.active_count()") == "2"
    assert worker.ask("sys.argv[1:]") == str([str(node.process.pid)])
    another = node.start_worker(4)
    assert worker.ask("hash('text')") == another.ask("hash('text')")
    assert worker.ask("os.getsid(0) == os.getpid()") == "True"
    worker.tell("sys.exit(3)")
    assert node.next_report() == ["exited", "3", str(worker.process), "code", "3"]


def test_without_threads_workers_are_forked(start_node):
    worker = start_node(imports=IMPORTS).start_worker()
    assert worker.ask("sys.argv[1:]") == "[]"
    assert worker.ask("'numpy' in sys.modules") == "True"


# ---- The user's process is left alone ----

CTRL_C = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_zygote import Node

node = Node(Path({folder!r}))
worker = node.start_worker()
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append("SIGINT"))
signal.signal(signal.SIGTSTP, lambda *_: seen.append("SIGTSTP"))
os.killpg(os.getpgrp(), signal.SIGINT)
os.killpg(os.getpgrp(), signal.SIGTSTP)
print(seen, worker.ask("1 + 1"), open(f"/proc/{{node.process.pid}}/stat").read().split()[2])
node.close()
"""

WAITS = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_zygote import Node

signals = []
signal.signal(signal.SIGCHLD, lambda *_: signals.append("SIGCHLD"))
node = Node(Path({folder!r}))
for line in ["sys.exit(1)", "os.kill(os.getpid(), 9)"]:
    worker = node.start_worker()
    worker.tell(line)
    print(node.next_report()[3:])
    print(signals, os.waitpid(-1, os.WNOHANG))
child = os.posix_spawn(sys.executable, [sys.executable, "-c", "raise SystemExit(5)"], os.environ)
process, status = os.wait()
print(process == child, os.waitstatus_to_exitcode(status), signals)
node.close()
"""

# A child of the user's process has a copy of the node's socket, so the zygote does not see its end.
ORPHANS = """
import os, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_zygote import Node

node = Node(Path({folder!r}))
workers = [node.start_worker(number) for number in range(2)]
workers[1].tell("os.kill(os.getpid(), signal.SIGSTOP)")
child = os.fork()
if child:
    print(child, node.process.pid, *(worker.process for worker in workers), flush=True)
time.sleep(1000)
"""


def script(template, folder):
    """Return the command line of a script."""
    code = template.format(tests=os.path.dirname(__file__), folder=str(folder))
    return [sys.executable, "-c", code]


def test_ctrl_c_and_ctrl_z_do_not_reach_workers(tmp_path):
    finished = subprocess.run(
        script(CTRL_C, tmp_path),
        process_group=0,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.stdout == "['SIGINT', 'SIGTSTP'] 2 S\n", finished.stderr


def test_the_user_may_wait_for_children_of_their_own(tmp_path):
    finished = subprocess.run(
        script(WAITS, tmp_path), capture_output=True, text=True, timeout=100, check=False
    )
    assert finished.stdout.splitlines() == [
        "['code', '1']",
        "[] (0, 0)",
        "['signal', '9']",
        "[] (0, 0)",
        "True 5 ['SIGCHLD']",
    ], finished.stderr


def test_nothing_survives_a_killed_parent_that_had_forked(tmp_path):
    command = script(ORPHANS, tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child, *others = map(int, parent.stdout.readline().split())
        parent.kill()
    try:
        assert len(others) == 3
        for process in others:
            assert ends(process)
    finally:
        os.kill(child, signal.SIGKILL)


def test_an_embedded_interpreter_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(RuntimeError, match=r"sys\.executable is empty"):
        _zygote.interpreter()
