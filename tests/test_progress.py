"""The progress bar: what it prints, when, and that it never outlives its computation."""

import io
import threading

import pytest

from oxidask import delayed
from oxidask.diagnostics import ProgressBar, _active


class Terminal(io.StringIO):
    def isatty(self):
        return True


def inc(i):
    return i + 1


def total():
    return delayed(sum)([delayed(inc)(i) for i in range(10)])


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
    with pytest.raises(ValueError, match="not registered"):
        bar.unregister()
    assert not _active.is_watched()


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
