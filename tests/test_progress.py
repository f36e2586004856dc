"""The progress bar: what it prints, when, and that it never outlives its computation."""

import contextlib
import fcntl
import io
import os
import struct
import termios
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from oxidask import callbacks, delayed
from oxidask.callbacks import Callback
from oxidask.diagnostics import ProgressBar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def inc(i):
    return i + 1


class Fake:
    """A computation that goes as it is told; its last state lasts."""

    def __init__(self, *states):
        self.states = list(states)

    def progress(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@contextlib.contextmanager
def watch(computation):
    """Tell the active bars of a computation that is none."""
    bars = list(Callback.active)
    for bar in bars:
        bar._begin(computation)
    yield
    for bar in bars:
        bar._end(computation, failed=False)


def total():
    return delayed(sum)([delayed(inc)(i) for i in range(10)])


@pytest.mark.covers("diagnostics.ProgressBar")
@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_the_last_line_is_complete(scheduler):
    out = io.StringIO()
    with ProgressBar(out=out, width=10):
        assert total().compute(scheduler=scheduler) == 55
    assert out.getvalue().startswith("[##########] | 100% | 11/11 tasks | ")
    assert out.getvalue().count("\n") == 1


def test_a_terminal_sees_the_bar_grow():
    out = Terminal()
    halfway, drawn = threading.Event(), threading.Event()

    class Watch(Terminal):
        def write(self, text):
            if "1/2" in text:
                drawn.set()
            return super().write(text)

    out = Watch()

    def second(x):
        halfway.set()
        assert drawn.wait(30)
        return x

    with ProgressBar(out=out, dt=0.01):
        assert delayed(second)(delayed(inc)(1)).compute() == 2
    assert halfway.is_set()
    assert out.getvalue().endswith("2/2 tasks | " + out.getvalue().rsplit("| ", 1)[1])
    assert "\r[" in out.getvalue()


def test_a_quick_computation_shows_nothing_below_the_minimum():
    out = io.StringIO()
    with ProgressBar(minimum=3600, out=out):
        total().compute()
    assert out.getvalue() == ""


def test_the_line_is_ended_when_a_task_raises():
    out = io.StringIO()

    def boom(x):
        raise ValueError("no")

    with ProgressBar(out=out), pytest.raises(ValueError, match="no"):
        delayed(sum)([delayed(boom)(delayed(inc)(1))]).compute()
    assert out.getvalue().endswith("  (stopped by an error)\n")
    assert "100%" not in out.getvalue()


def test_registered_bars_show_all_computations_until_unregistered(capsys):
    bar = ProgressBar()
    bar.register()
    total().compute()
    total().compute()
    bar.unregister()
    total().compute()
    assert capsys.readouterr().out.count("100%") == 2
    with pytest.raises(KeyError, match="not registered"):
        bar.unregister()
    assert not Callback.active


def test_a_nested_computation_does_not_disturb_the_bar():
    out = io.StringIO()

    def nested():
        return total().compute()

    with ProgressBar(out=out):
        assert delayed(nested)().compute() == 55
    assert out.getvalue().count("\n") == 1
    assert "1/1 tasks" in out.getvalue()


def test_no_thread_is_left_after_the_computation():
    with ProgressBar(out=Terminal()):
        total().compute()
    assert not [one for one in threading.enumerate() if one.name == "oxidask-progress"]


def test_counts_are_right_though_records_were_dropped():
    # More records than the ring holds, and nobody reads them before the end.
    out = io.StringIO()
    with ProgressBar(out=out):
        delayed(sum)([delayed(inc)(i) for i in range(30_000)]).compute()
    assert "30001/30001 tasks" in out.getvalue()


@pytest.mark.parametrize("arguments", [{"dt": 0}, {"width": 0}])
def test_impossible_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ProgressBar(**arguments)


def test_a_shorter_line_wipes_out_a_longer_one():
    drawn = threading.Event()

    class Watch(Terminal):
        def write(self, text):
            drawn.set()
            return super().write(text)

    out = Watch()
    with ProgressBar(width=4, dt=0.01, out=out), watch(Fake((1, 2, 3599), (1, 2, 3600))):
        assert drawn.wait(30)
    first, second = out.getvalue().split("\r")[1:3]
    assert first == "[##  ] |  50% | 1/2 tasks | 59 min 59 s"
    assert second.rstrip("\n") == "[##  ] |  50% | 1/2 tasks | 1 h 00 min "


@pytest.fixture
def narrow_terminal():
    """A terminal of 60 columns, and what was written to it."""
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    with os.fdopen(follower, "w") as out, os.fdopen(leader, "rb", buffering=0) as reader:
        yield out, reader


def test_a_line_fits_into_the_terminal(narrow_terminal):
    out, reader = narrow_terminal
    with ProgressBar(out=out), watch(Fake((30_001, 30_001, 61))):
        pass
    line = reader.read(200).decode().strip("\r\n")
    assert len(line) == 59
    assert line.startswith("[###")
    assert line.endswith("###] | 100% | 30001/30001 tasks | 1 min 01 s")


def test_the_end_is_printed_where_the_beginning_was():
    beginning, end = io.StringIO(), io.StringIO()
    with ProgressBar(), contextlib.ExitStack() as stdout:
        with contextlib.redirect_stdout(beginning):
            watched = watch(Fake((1, 1, 1.0)))
            watched.__enter__()
        stdout.enter_context(contextlib.redirect_stdout(end))
        watched.__exit__(None, None, None)
    assert beginning.getvalue().count("100%") == 1
    assert end.getvalue() == ""


def test_a_file_needs_write_only():
    class Log:
        text = ""

        def write(self, text):
            self.text += text

    out = Log()
    with ProgressBar(out=out):
        total().compute()
    assert out.text.endswith("\n")


def test_without_a_standard_output_nothing_is_shown(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    with ProgressBar():
        assert total().compute() == 55


def test_a_bar_whose_file_failed_shows_the_next_computation():
    class Full(io.StringIO):
        is_full = True

        def write(self, text):
            if self.is_full:
                raise OSError("no space left on device")
            return super().write(text)

    out = Full()
    other = io.StringIO()
    with ProgressBar(out=other), ProgressBar(out=out):
        with pytest.raises(OSError, match="no space left"):
            total().compute()
        out.is_full = False
        total().compute()
    assert out.getvalue().count("100%") == 1
    assert other.getvalue().count("\n") == 2


def test_computations_of_two_threads_are_shown_one_at_a_time():
    out = io.StringIO()
    first_runs, second_ended = threading.Event(), threading.Event()

    def first():
        first_runs.set()
        assert second_ended.wait(30)

    with ProgressBar(out=out):
        thread = threading.Thread(target=delayed(first)().compute)
        thread.start()
        assert first_runs.wait(30)
        assert total().compute(scheduler="sync") == 55
        assert out.getvalue() == ""
        second_ended.set()
        thread.join()
        assert "1/1 tasks" in out.getvalue()
        total().compute()
    assert out.getvalue().count("\n") == 2


@pytest.mark.parametrize("scheduler", ["threads", "sync", "pool"])
def test_a_bar_that_comes_while_a_graph_is_collected_does_not_disturb(monkeypatch, scheduler):
    out = io.StringIO()
    bar = ProgressBar(out=out)
    make = callbacks.Computation

    def make_slowly(*args):
        computation = make(*args)
        bar.register()  # As another thread could.
        return computation

    monkeypatch.setattr(callbacks, "Computation", make_slowly)
    with ThreadPoolExecutor(1) as pool, Callback():
        try:
            assert total().compute(scheduler=pool if scheduler == "pool" else scheduler) == 55
        finally:
            bar.unregister()
    assert out.getvalue() == ""
