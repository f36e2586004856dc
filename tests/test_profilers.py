"""Profilers: what they record, and the page that shows it."""

import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from oxidask import compute, delayed
from oxidask.callbacks import Callback
from oxidask.diagnostics import (
    CacheProfiler,
    Profiler,
    ResourceProfiler,
    profile,
    profile_visualize,
    visualize,
)


def inc(x):
    return x + 1


def chain():
    first = delayed(inc)(1, dask_key_name="first")
    return delayed(inc)(first, dask_key_name="second")


def data_of(report):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', report.html)
    return json.loads(found[1])


@pytest.fixture(autouse=True)
def _nothing_stays_registered():
    yield
    assert not Callback.active


# ---- Profiler ----


@pytest.mark.covers("diagnostics.Profiler")
@pytest.mark.parametrize("scheduler", ["threads", "sync", "pool"])
def test_each_task_is_recorded_with_its_time_and_thread(scheduler):
    before = time.perf_counter()
    with Profiler() as profiler, ThreadPoolExecutor(2) as pool:
        assert chain().compute(scheduler=pool if scheduler == "pool" else scheduler) == 3
    after = time.perf_counter()
    first, second = profiler.results
    assert isinstance(first, profile.TaskData)
    assert first._fields == ("key", "task", "start_time", "end_time", "worker_id")
    assert (first.key, first.task) == ("first", (inc, 1))
    assert (second.key, second.task) == ("second", (inc, "first"))
    assert first.start_time < first.end_time <= second.start_time < second.end_time
    inexact = 1e-5  # The engine's clock is told from this one by reading both.
    assert before - inexact < first.start_time
    assert second.end_time < after + inexact
    assert isinstance(first.worker_id, int)


def test_tasks_of_two_threads_at_once_have_two_workers():
    meeting = threading.Barrier(2, timeout=60)
    with Profiler() as profiler:
        compute(*[delayed(meeting.wait)() for _ in range(2)], num_workers=2)
    one, other = profiler.results
    assert one.worker_id != other.worker_id
    assert one.start_time < other.end_time
    assert other.start_time < one.end_time


def test_lent_threads_are_told_apart():
    meeting = threading.Barrier(2, timeout=60)
    with Profiler() as profiler, ThreadPoolExecutor(2) as pool:
        compute(*[delayed(meeting.wait)() for _ in range(2)], scheduler=pool)
    assert len({one.worker_id for one in profiler.results}) == 2


def test_results_gather_until_they_are_cleared():
    profiler = Profiler()
    profiler.register()
    chain().compute()
    chain().compute()
    profiler.unregister()
    assert [one.key for one in profiler.results] == ["first", "second"] * 2
    with profiler:
        chain().compute()
    assert len(profiler.results) == 2
    profiler.clear()
    assert profiler.results == []


def test_values_of_the_graph_are_no_tasks():
    with Profiler() as profiler:
        delayed(len)(delayed([1, 2]), dask_key_name="len").compute()
    assert [one.key for one in profiler.results] == ["len"]


def test_a_task_that_raises_is_a_failure_and_no_result():
    def boom():
        raise ValueError("no")

    with Profiler() as profiler, pytest.raises(ValueError, match="no"):
        delayed(boom)(dask_key_name="boom").compute()
    assert profiler.results == []
    assert [one.key for one in profiler.failures] == ["boom"]
    assert len(data_of(profiler.visualize(filename=None))["tasks"]["rows"][0]["failed"]) == 1


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_the_time_of_a_task_is_without_that_of_hooks(scheduler):
    told, asked = {}, {}

    def pretask(key, dsk, state):
        told[key] = time.perf_counter()

    def posttask(key, result, dsk, state, worker_id):
        asked[key] = time.perf_counter()

    with Profiler() as profiler, Callback(pretask=pretask, posttask=posttask):
        chain().compute(scheduler=scheduler)
    inexact = 1e-5  # The engine's clock is told from this one by reading both.
    for task in profiler.results:
        assert told[task.key] <= task.start_time + inexact
        assert task.start_time <= task.end_time <= asked[task.key] + inexact


def test_a_profiler_costs_no_hooks(monkeypatch):
    def never(*args):
        raise AssertionError("hooks were asked for")

    monkeypatch.setattr("oxidask._callback_views.Graph._graph", never)
    with Profiler() as profiler:
        chain().compute()
    assert len(profiler.results) == 2


def test_a_subclass_of_a_profiler_is_told():
    class Own(Profiler):
        def __init__(self):
            super().__init__()
            self.keys = []

        def _posttask(self, key, value, dsk, state, id):
            super()._posttask(key, value, dsk, state, id)
            self.keys.append(key)

    with Own() as own:
        chain().compute()
    assert own.keys == ["first", "second"] == [one.key for one in own.results]


# ---- ResourceProfiler ----


def sampler_threads():
    names = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as file:
            names.append(file.read().strip())
    return [name for name in names if name.startswith("oxidask-resourc")]


@pytest.mark.covers("diagnostics.ResourceProfiler")
def test_a_block_records_memory_and_processor_time():
    before = time.perf_counter()
    with ResourceProfiler(dt=0.01) as resources:
        big = bytearray(100_000_000)
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
        del big
    after = time.perf_counter()
    results = resources.results
    assert len(results) > 3
    assert results[0]._fields == ("time", "mem", "cpu")
    assert all(before <= one.time <= after for one in results)
    assert [one.time for one in results] == sorted(one.time for one in results)
    assert max(one.mem for one in results) - results[0].mem > 80
    used = sum((now.time - last.time) * now.cpu / 100 for last, now in itertools.pairwise(results))
    assert used >= 0.29
    assert results[0].cpu == 0


def test_children_count():
    script = "x = bytearray(200_000_000); print('ready', flush=True); input()"
    with ResourceProfiler(dt=3600) as resources:
        child = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout.readline() == "ready\n"
        resources.close()
        child.communicate("\n")
    first, last = resources.results
    assert last.mem - first.mem > 190


def test_the_thread_ends_with_the_block():
    assert sampler_threads() == []
    with ResourceProfiler():
        while not sampler_threads():  # It names itself when it begins.
            pass
        assert len(sampler_threads()) == 1
    assert sampler_threads() == []


def test_registered_it_records_while_computing():
    resources = ResourceProfiler(dt=3600)
    resources.register()
    assert resources.results == []
    delayed(sampler_threads)().compute()
    assert len(resources.results) == 2
    assert sampler_threads() == []
    chain().compute()
    assert len(resources.results) == 4
    resources.unregister()
    resources.clear()
    assert resources.results == []


def test_results_can_be_read_and_cleared_within_the_block():
    with ResourceProfiler(dt=3600) as resources:
        chain().compute()
        assert len(resources.results) == 1
        resources.clear()
        assert len(resources.results) == 1
    assert len(resources.results) == 2


def test_the_thread_ends_though_the_block_raises():
    with pytest.raises(ValueError, match="no"), ResourceProfiler():
        raise ValueError("no")
    assert sampler_threads() == []


@pytest.mark.parametrize("dt", [0, -1])
def test_impossible_times_are_refused(dt):
    with pytest.raises(ValueError, match="dt="):
        ResourceProfiler(dt=dt)


# ---- CacheProfiler ----


@pytest.mark.covers("diagnostics.CacheProfiler")
def test_each_result_is_recorded_from_its_making_to_its_release():
    with CacheProfiler() as cache:
        chain().compute()
    first, second = cache.results
    assert first._fields == ("key", "task", "metric", "cache_time", "free_time")
    assert (first.key, first.task, first.metric) == ("first", (inc, 1), 1)
    assert second.key == "second"
    assert first.cache_time <= first.free_time == second.cache_time <= second.free_time


def test_a_metric_is_called_with_results():
    with CacheProfiler(metric=lambda value: 10 * value, metric_name="tens") as cache:
        chain().compute()
    assert [one.metric for one in cache.results] == [20, 30]
    assert cache._metric_name == "tens"
    assert CacheProfiler(metric=len)._metric_name == "len"
    assert CacheProfiler()._metric_name == "count"


def test_results_that_are_kept_when_a_task_raises_are_recorded():
    def boom(x):
        raise ValueError("no")

    with CacheProfiler() as cache, pytest.raises(ValueError, match="no"):
        delayed(boom)(chain()).compute()
    assert [one.key for one in cache.results] == ["first", "second"]
    cache.clear()
    assert cache.results == []


# ---- The page ----


@pytest.fixture
def profilers():
    with Profiler() as tasks, ResourceProfiler(dt=0.01) as resources, CacheProfiler() as cache:
        delayed(sum)([delayed(inc)(i) for i in range(20)]).compute()
    return tasks, resources, cache


@pytest.mark.covers("diagnostics.visualize")
def test_the_page_holds_what_was_recorded(profilers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = visualize(profilers, show=False)
    assert (tmp_path / "profile.html").read_text(encoding="utf-8") == report.html
    data = data_of(report)
    prefixes = {one["name"]: one["count"] for one in data["tasks"]["prefixes"]}
    assert prefixes == {"inc": 20, "sum": 1}
    rows = data["tasks"]["rows"]
    assert sum(len(row["keys"]) for row in rows) == 21
    for row in rows:
        assert row["start"] == sorted(row["start"])
        assert all(
            0 <= start <= end <= data["seconds"]
            for start, end in zip(row["start"], row["end"], strict=True)
        )
    assert len(data["resources"]["times"]) == len(profilers[1].results)
    (curve,) = data["caches"]
    assert curve["values"][-1] == 0
    assert max(curve["values"]) == 21  # The sum, and what it was made from.
    assert "21 tasks in" in report.html


def test_the_page_needs_nothing_else(profilers):
    page = visualize(list(profilers), filename=None).html
    assert "{fills}" not in page
    assert "{data}" not in page
    for outside in ("http:", "https:", "src=", "@import", "url(", "<link"):
        assert outside not in page, outside


def test_keys_cannot_break_the_page():
    evil = "</script><script>alert(1)</script><!-- {summary} {data}"
    with Profiler() as profiler:
        delayed(inc)(1, dask_key_name=evil).compute()
    report = profiler.visualize(filename=None)
    assert "<script>alert" not in report.html
    assert data_of(report)["tasks"]["rows"][0]["keys"] == [evil]


def test_each_profiler_shows_itself(profilers, tmp_path):
    for number, profiler in enumerate(profilers):
        report = profiler.visualize(filename=tmp_path / f"page{number}", show=False)
        assert (tmp_path / f"page{number}.html").read_text(encoding="utf-8") == report.html
    assert "iframe" in report._repr_html_()


@pytest.mark.parametrize("has_screen", [True, False])
def test_a_browser_is_opened_where_there_is_a_screen(profilers, tmp_path, monkeypatch, has_screen):
    opened = []
    monkeypatch.setattr(profile_visualize.webbrowser, "open", opened.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if has_screen:
        monkeypatch.setenv("DISPLAY", ":0")
    path = tmp_path / "a.html"
    visualize(profilers, filename=path)
    visualize(profilers, filename=path, show=False, mode="inline")
    visualize(profilers, filename=path, save=False, mode="cdn", width=500)
    assert opened == ([path.as_uri()] if has_screen else [])


def test_nothing_recorded_and_other_things_are_refused(tmp_path):
    with pytest.raises(ValueError, match="recorded nothing"):
        visualize(Profiler(), filename=tmp_path / "a.html")
    with pytest.raises(TypeError, match="is no profiler"):
        visualize([Profiler(), 5], filename=tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []
