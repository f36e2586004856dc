"""One page, in one file that needs nothing else, of what profilers have recorded."""

from __future__ import annotations

import html
import json
import os
import sys
import webbrowser
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from oxidask import _core
from oxidask._names import prefix_of_key
from oxidask.diagnostics.profile import (
    CacheData,
    CacheProfiler,
    Profiler,
    Recorder,
    ResourceProfiler,
    TaskData,
)

__all__ = ["Report", "visualize"]


class Report:
    """A page that shows what profilers have recorded; in notebooks it shows itself.

    Attributes
    ----------
    html : str
        The page. It holds its data, style and script, and loads nothing.
    """

    def __init__(self, page: str) -> None:
        self.html = page

    def save(self, filename: str | os.PathLike[str]) -> str:
        """Write the page to a file.

        Parameters
        ----------
        filename : str or path
            The suffix ``.html`` is added if there is none.

        Returns
        -------
        str
            The absolute path of the file.

        Examples
        --------
        >>> import tempfile
        >>> from oxidask.diagnostics import ResourceProfiler
        >>> with ResourceProfiler() as resources:
        ...     pass
        >>> report = resources.visualize(filename=None, show=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report.save(folder + "/page").endswith("page.html")
        True
        """
        path = Path(filename)
        if not path.suffix:
            path = path.with_suffix(".html")
        path.write_text(self.html, encoding="utf-8")
        return str(path.resolve())

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" sandbox="allow-scripts" '
            'style="width:100%;height:720px;border:0"></iframe>'
        )


def visualize(
    profilers: Recorder | Iterable[Recorder],
    filename: str | os.PathLike[str] | None = "profile.html",
    show: bool = True,
    save: bool | None = None,
    mode: str | None = None,
    **kwargs: Any,
) -> Report:
    """Show what profilers have recorded, on one time axis.

    Parameters
    ----------
    profilers : profiler or iterable of profilers
        `Profiler`, `ResourceProfiler`, `CacheProfiler`. Their order does not matter.
    filename : str or path, optional
        Where to write the page; None writes nothing.
    show : bool, default True
        Whether to open the file in a browser, if there is a screen. In notebooks the returned
        object shows itself, and no browser is opened.
    save : bool, optional
        Whether to write the file; by default yes.
    mode : str, optional
        Taken for compatibility: the page holds all that it needs, and loads nothing.
    **kwargs
        Taken for compatibility; settings of other drawing libraries.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If something else than a profiler is given.
    ValueError
        If nothing was recorded, or nothing is given.

    Examples
    --------
    >>> from oxidask import delayed
    >>> from oxidask.diagnostics import Profiler, ResourceProfiler
    >>> with Profiler() as profiler, ResourceProfiler() as resources:
    ...     total = delayed(sum)([1, 2]).compute()
    >>> report = visualize([profiler, resources], filename=None)
    >>> "Tasks by worker" in report.html
    True
    """
    found = [profilers] if isinstance(profilers, Recorder) else list(profilers)
    for one in found:
        if not isinstance(one, Recorder):
            raise TypeError(
                f"visualize: {one!r} is no profiler; give a Profiler, ResourceProfiler or "
                "CacheProfiler, or a list of them"
            )
    report = Report(_page(_data(found)))
    if filename is not None and save is not False:
        path = report.save(filename)
        if show and _has_screen():
            webbrowser.open(Path(path).as_uri())
    return report


def _has_screen() -> bool:
    """Say whether a browser can open a window that somebody sees."""
    # Others import the package, too, to start kernels.
    kernel = sys.modules.get("ipykernel.kernelapp")
    if kernel is not None and kernel.IPKernelApp.initialized():
        return False
    return sys.platform != "linux" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _data(profilers: list[Recorder]) -> dict[str, Any]:
    """Return what the page shows, with times in seconds since the first."""
    tasks = [
        one for profiler in profilers if isinstance(profiler, Profiler) for one in profiler.results
    ]
    failures = [
        one for profiler in profilers if isinstance(profiler, Profiler) for one in profiler.failures
    ]
    samples = sorted(
        one
        for profiler in profilers
        if isinstance(profiler, ResourceProfiler)
        for one in profiler.results
    )
    caches = [one for one in profilers if isinstance(one, CacheProfiler) and one.results]
    times = [
        *(time for task in (*tasks, *failures) for time in (task.start_time, task.end_time)),
        *(sample.time for sample in samples),
        *(t for cache in caches for one in cache.results for t in (one.cache_time, one.free_time)),
    ]
    if not times:
        raise ValueError(
            "visualize: the profilers have recorded nothing; compute inside `with profiler:` first"
        )
    begin = min(times)
    return {
        "seconds": _rounded(max(max(times) - begin, 1e-6)),
        "tasks": _task_rows(tasks, failures, begin) if tasks or failures else None,
        "resources": {
            "times": [_rounded(sample.time - begin) for sample in samples],
            "memory": [round(sample.mem, 3) for sample in samples],
            "cpu": [round(sample.cpu, 1) for sample in samples],
        }
        if samples
        else None,
        "caches": [_cache_curve(cache._metric_name, cache.results, begin) for cache in caches],
    }


def _rounded(seconds: float) -> float:
    return round(seconds, 7)


def _task_rows(tasks: list[TaskData], failures: list[TaskData], begin: float) -> dict[str, Any]:
    """Return the tasks of each thread, in order, and how many there are of each prefix."""
    prefixes: dict[str, dict[str, Any]] = {}
    numbers: dict[str, int] = {}
    rows: dict[int, dict[str, Any]] = {}
    ended = [(task, False) for task in tasks] + [(task, True) for task in failures]
    ended.sort(key=lambda pair: pair[0].start_time)
    for task, has_failed in ended:
        name = prefix_of_key(task.key)
        number = numbers.setdefault(name, len(numbers))
        prefix = prefixes.setdefault(name, {"name": name, "count": 0, "seconds": 0.0})
        prefix["count"] += 1
        prefix["seconds"] += task.end_time - task.start_time
        row = rows.setdefault(
            task.worker_id,
            {"worker": 0, "start": [], "end": [], "prefix": [], "keys": [], "failed": []},
        )
        if has_failed:
            row["failed"].append(len(row["start"]))
        row["start"].append(_rounded(task.start_time - begin))
        row["end"].append(_rounded(task.end_time - begin))
        row["prefix"].append(number)
        row["keys"].append(str(task.key))
    for worker, row in rows.items():
        row["worker"] = str(worker)
    return {
        "prefixes": list(prefixes.values()),
        "rows": [rows[worker] for worker in sorted(rows)],
    }


def _cache_curve(name: str, results: list[CacheData], begin: float) -> dict[str, Any]:
    """Return the sum of the measures of all results that are kept, where it changes."""
    changes = sorted(
        [(one.cache_time, one.metric) for one in results]
        + [(one.free_time, -one.metric) for one in results],
        key=lambda change: change[0],
    )
    curve: dict[str, Any] = {"name": name, "times": [0.0], "values": [0]}
    total: Any = 0
    for time, change in changes:
        total = total + change
        curve["times"].append(_rounded(time - begin))
        curve["values"].append(float(total))
    return curve


def _summary(data: dict[str, Any]) -> str:
    """Return the sentence that says what the pictures show."""
    seconds = data["seconds"]
    parts = []
    if data["tasks"]:
        prefixes, rows = data["tasks"]["prefixes"], data["tasks"]["rows"]
        count = sum(prefix["count"] for prefix in prefixes)
        busy = sum(prefix["seconds"] for prefix in prefixes)
        longest = max(prefixes, key=lambda prefix: prefix["seconds"])
        parts.append(
            f"{count:,} {'task' if count == 1 else 'tasks'} in {len(rows)} "
            f"{'thread' if len(rows) == 1 else 'threads'}, which were busy "
            f"{100 * busy / (seconds * len(rows)):.0f} % of the time; most of it in "
            f"{longest['name']!r} ({100 * longest['seconds'] / busy if busy else 0:.0f} %)"
        )
    if data["resources"]:
        memory, cpu = data["resources"]["memory"], data["resources"]["cpu"]
        parts.append(f"at most {max(memory):,.0f} MB of memory and {max(cpu):.0f} % of a core")
    for cache in data["caches"]:
        parts.append(f"at most {max(cache['values']):,.4g} {cache['name']} of results kept")
    return f"{seconds:.3f} s: " + "; ".join(parts) + "."


def _page(data: dict[str, Any]) -> str:
    template = resources.files("oxidask.diagnostics").joinpath("profile.html").read_text("utf-8")
    page = template.replace("{title}", "Profile").replace("{fills}", json.dumps(_core.GROUP_FILLS))
    page = page.replace("{summary}", html.escape(_summary(data)))
    # Nothing in a script element may look like its end.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return page.replace("{data}", text)
