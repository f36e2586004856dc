"""Progress in a terminal and elsewhere, and the task stream as data."""

import io
import time

import pytest

import oxidask
from oxidask import delayed
from oxidask.distributed import Client, LocalCluster, get_task_stream, progress
from oxidask.distributed._progress import _Bars, _Watched


def inc(i):
    return i + 1


def fail(i):
    raise ValueError(i)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_last_line_says_that_all_is_done(client, capsys):
    futures = client.map(inc, range(10))
    assert progress(futures, notebook=False) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("[" + "#" * 40 + "] 10 of 10 tasks")
    assert lines[-1].endswith("done")


def test_a_terminal_has_one_line_that_is_drawn_again(client, gate, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    held = client.submit(gate.pass_through, key="held-0")
    gate.wait_for_somebody()
    gate.open()
    progress([held, client.map(inc, range(5))], notebook=False)
    assert terminal.getvalue().count("\n") == 1
    assert "\r" in terminal.getvalue()
    assert "6 of 6 tasks" in terminal.getvalue()


def test_what_futures_need_counts(client, capsys):
    total = client.compute(delayed(sum)([delayed(inc)(i) for i in range(20)]))
    progress(total, notebook=False)
    assert "21 of 21 tasks" in capsys.readouterr().out


def test_persisted_collections_and_failures_are_shown(client, capsys):
    held = oxidask.persist(delayed(inc)(1), delayed(fail)(2))
    progress(*held, notebook=False)
    assert "1 of 2 tasks" in (out := capsys.readouterr().out)
    assert "1 failed" in out


def test_what_is_no_future_is_refused():
    with pytest.raises(ValueError, match="persist"):
        progress([1, 2])
    with pytest.raises(ValueError, match="persist"):
        progress()


def test_bars_are_html_without_scripts(client):
    futures = client.map(inc, range(3), key="<b>name</b>")
    client.gather(futures)
    bars = _Bars(_Watched(futures), multi=True, complete=True)
    html = bars._repr_html_()
    assert "&lt;b&gt;name&lt;/b&gt;" in html
    assert '<progress max="3" value="3">' in html
    assert "<script" not in html
    assert _Bars(_Watched(futures), multi=True, complete=False)._repr_html_().count("<tr>") == 0
    assert "3 of 3 tasks" in repr(bars)


def test_the_task_stream_has_each_task_with_its_times():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(inc, range(7)))
        begin = time.time()
        with get_task_stream(client) as stream:
            client.gather(client.map(time.sleep, [0.01, 0.011, 0.012]))
            assert client.submit(fail, 1).exception() is not None
        assert sorted(one["name"] for one in stream.data) == ["fail", "sleep", "sleep", "sleep"]
        assert [one["status"] for one in stream.data if one["name"] == "fail"] == ["error"]
        for one in stream.data:
            (times,) = one["startstops"]
            assert begin - 1 < times["start"] <= times["stop"] < time.time() + 1
            assert one["worker"] in ("0", "1")
        assert len(client.get_task_stream()) == 11
        assert len(client.get_task_stream(count=2)) == 2
        with pytest.raises(NotImplementedError, match="plot"):
            client.get_task_stream(plot=True)


def test_without_a_page_the_task_stream_says_what_to_do():
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
        pytest.raises(NotImplementedError, match="dashboard_address"),
    ):
        client.get_task_stream()
