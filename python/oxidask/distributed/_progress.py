"""Shows how far futures are: a line in a terminal, bars in a notebook."""

from __future__ import annotations

import json
import sys
import threading
import time
from html import escape
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from oxidask._core import Future

#: Seconds between two looks, and between two lines where there is no terminal.
_TICK = 0.1
_SELDOM = 10.0
#: Futures that are asked for at most: those of one submission are told of together.
_MOST_ASKED = 10_000
_WIDTH = 40


def progress(
    *futures: Any,
    notebook: bool | None = None,
    multi: bool = True,
    complete: bool = True,
    group_by: str = "prefix",
    **kwargs: Any,
) -> Any:
    """Show how far futures and persisted collections are, with all that they need.

    In a terminal a line is drawn until all are done, and the call returns then. Where there is
    neither terminal nor notebook, a line is printed every ten seconds and at the end. In a notebook
    the call returns at once, and bars under the cell follow: one for each group of tasks, which are
    those with the same name. All tasks count that were submitted together with the futures.

    Parameters
    ----------
    *futures : Future or collection
        Futures, containers of futures, persisted collections.
    notebook : bool, optional
        Whether bars are shown under the cell; by default, in a notebook they are.
    multi : bool, default True
        Whether each group has a bar in a notebook, or all have one together.
    complete : bool, default True
        Whether groups that are done stay in view.
    group_by : {"prefix"}
        What the bars stand for.

    Raises
    ------
    ValueError
        If there is no future.

    Examples
    --------
    >>> from oxidask.distributed import Client, progress
    >>> with Client(n_workers=1, processes=False, dashboard_address=None) as client:
    ...     futures = client.map(abs, [-1, 2])
    ...     progress(futures, notebook=False)
    [########################################] 2 of 2 tasks | 0.0 s | done
    """
    from oxidask.distributed.client import futures_of

    found = futures_of(list(futures))
    if not found:
        raise ValueError(
            "progress: futures or persisted collections are meant; call persist() first, or use "
            "oxidask.diagnostics.ProgressBar for computations of this process"
        )
    if group_by != "prefix":
        raise NotImplementedError(f"progress(group_by={group_by!r}) is not there yet; leave it out")
    if kwargs:
        raise TypeError(f"progress({next(iter(kwargs))}=): there is no such option")
    watched = _Watched(found)
    if notebook is None:
        notebook = _is_notebook()
    if notebook:
        return _Bars(watched, multi, complete).show()
    _draw_until_done(watched, sys.stdout)
    return None


class _Watched:
    """Futures, and how far their groups are."""

    def __init__(self, futures: list[Future]) -> None:
        self.futures = futures
        self.begin = time.monotonic()
        self._session = futures[0].client._session

    def groups(self) -> list[dict[str, Any]]:
        """Return a row for each group; one for the futures if the cluster knows nothing of them."""
        told = self._session.ask("progress", futures=self.futures[:_MOST_ASKED])
        groups: list[dict[str, Any]] = json.loads(told)
        if groups:
            return groups
        finished = sum(future.status == "finished" for future in self.futures)
        erred = sum(future.status in ("error", "cancelled", "lost") for future in self.futures)
        count = len(self.futures)
        return [{"name": "futures", "tasks": count, "finished": finished, "erred": erred}]

    def wait(self, seconds: float) -> bool:
        """Wait for the futures, at most so long; say whether all are done."""
        from oxidask.distributed.client import wait

        try:
            wait(self.futures, timeout=seconds)
        except TimeoutError:
            return False
        return True

    def elapsed(self) -> float:
        return time.monotonic() - self.begin


def _draw_until_done(watched: _Watched, out: TextIO) -> None:
    is_terminal = out.isatty()
    drawn = 0
    is_done = False
    while not is_done:
        is_done = watched.wait(_TICK if is_terminal else _SELDOM)
        line = _line(watched.groups(), watched.elapsed(), is_done)
        if is_terminal:
            out.write("\r" + line.ljust(drawn))
            drawn = len(line)
        else:
            out.write(line + "\n")
        out.flush()
    if is_terminal:
        out.write("\n")


def _line(groups: list[dict[str, Any]], seconds: float, is_done: bool) -> str:
    total = sum(group["tasks"] for group in groups)
    finished = sum(group["finished"] for group in groups)
    erred = sum(group["erred"] for group in groups)
    full = _WIDTH * (finished + erred) // max(total, 1)
    parts = [
        f"[{'#' * full}{' ' * (_WIDTH - full)}] {finished:,} of {total:,} tasks",
        f"{seconds:.1f} s",
    ]
    if erred:
        parts.append(f"{erred:,} failed")
    if is_done:
        parts.append("done")
    return " | ".join(parts)


class _Bars:
    """Bars under a cell of a notebook, drawn anew by a thread until the futures are done."""

    def __init__(self, watched: _Watched, multi: bool, complete: bool) -> None:
        self._watched = watched
        self._multi = multi
        self._complete = complete

    def show(self) -> None:
        from IPython.display import display

        handle = display(self, display_id=True)  # type: ignore[no-untyped-call]
        threading.Thread(
            target=self._follow, args=(handle,), name="oxidask-progress", daemon=True
        ).start()

    def _follow(self, handle: Any) -> None:
        is_done = False
        while not is_done:
            try:
                is_done = self._watched.wait(0.5)
                handle.update(self)
            except Exception:
                # The client was closed, or the kernel goes: what is shown stays as it is.
                return

    def _repr_html_(self) -> str:
        groups = self._watched.groups()
        seconds = self._watched.elapsed()
        if not self._multi:
            total = {name: sum(group[name] for group in groups) for name in ("tasks", "finished")}
            groups = [{"name": "all", **total, "erred": sum(group["erred"] for group in groups)}]
        if not self._complete:
            groups = [group for group in groups if group["finished"] < group["tasks"]]
        rows = "".join(
            f"<tr><td>{escape(group['name'])}</td>"
            f'<td><progress max="{max(group["tasks"], 1)}" value="{group["finished"]}">'
            f"</progress></td><td>{group['finished']:,} / {group['tasks']:,}</td>"
            f"<td>{_failed(group['erred'])}</td></tr>"
            for group in groups
        )
        return f"<div><table>{rows}</table><p>{seconds:.1f} s</p></div>"

    def __repr__(self) -> str:
        return _line(self._watched.groups(), self._watched.elapsed(), False)


def _failed(count: int) -> str:
    return f"{count:,} failed" if count else ""


def _is_notebook() -> bool:
    """Whether the output of this process goes under a cell of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
