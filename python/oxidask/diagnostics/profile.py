"""What a computation spends time, memory and processors on: three profilers with Dask's results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self

from oxidask import _core
from oxidask._core import Computation, GraphView
from oxidask._names import funcname
from oxidask.callbacks import Callback, fed_by_engine

__all__ = ["CacheData", "CacheProfiler", "Profiler", "ResourceData", "ResourceProfiler", "TaskData"]


class TaskData(NamedTuple):
    """When a task ran. Times are those of `time.perf_counter`."""

    key: Any
    task: Any
    start_time: float
    end_time: float
    worker_id: int


class ResourceData(NamedTuple):
    """What the process and its children used: megabytes, and percent of a core."""

    time: float
    mem: float
    cpu: float


class CacheData(NamedTuple):
    """How long a result was kept, and its measure."""

    key: Any
    task: Any
    metric: Any
    cache_time: float
    free_time: float


class Recorder(Callback):
    """What the profilers have in common."""

    def clear(self) -> None:
        """Forget all results."""

    def visualize(self, **kwargs: Any) -> Any:
        """Write a page that shows what was recorded; see `oxidask.diagnostics.visualize`.

        Parameters
        ----------
        **kwargs
            As for `oxidask.diagnostics.visualize`.

        Returns
        -------
        oxidask.diagnostics.profile_visualize.Report

        Examples
        --------
        >>> from oxidask import delayed
        >>> with Profiler() as profiler:
        ...     total = delayed(sum)([1, 2]).compute()
        >>> "Tasks by worker" in profiler.visualize(filename=None, show=False).html
        True
        """
        from oxidask.diagnostics.profile_visualize import visualize

        return visualize(self, **kwargs)

    def __enter__(self) -> Self:
        self.clear()
        return super().__enter__()


class Profiler(Recorder):
    """Record when each task ran, and in which thread.

    It reads what the engine records, so it costs well under a microsecond a task. Use it in a
    `with` block, or `register` it. Values that are in the graph as they are do not run and are left
    out, and so are tasks that raise.

    Attributes
    ----------
    results : list of TaskData
        ``key, task, start_time, end_time, worker_id``; `worker_id` is the number of the thread.

    See Also
    --------
    oxidask.diagnostics.visualize

    Examples
    --------
    >>> from oxidask import delayed
    >>> with Profiler() as profiler:
    ...     power = delayed(pow)(2, 3, dask_key_name="power").compute()
    >>> profiler.results[0].key, profiler.results[0].task
    ('power', (<built-in function pow>, 2, 3))
    """

    _watches: ClassVar[str | None] = "spans"

    def __init__(self) -> None:
        self._results: list[TaskData] = []
        self._failures: list[TaskData] = []
        #: Computations that nobody has looked at: when they began, their graphs and spans.
        self._records: list[tuple[float, GraphView, list[_Span]]] = []

    @property
    def results(self) -> list[TaskData]:
        """Tasks that returned.

        Returns
        -------
        list of TaskData
        """
        self._read_records()
        return self._results

    @property
    def failures(self) -> list[TaskData]:
        """Tasks that raised, in the form of `results`.

        Returns
        -------
        list of TaskData
        """
        self._read_records()
        return self._failures

    def clear(self) -> None:
        """Forget all results.

        Examples
        --------
        >>> profiler = Profiler()
        >>> profiler.clear()
        >>> profiler.results
        []
        """
        self._results.clear()
        self._failures.clear()
        self._records.clear()

    def _begin(self, computation: Computation) -> None: ...

    def _end(self, computation: Computation, failed: bool) -> None:
        self._records.append((_begin_of(computation), computation.graph, computation.spans()))

    def _read_records(self) -> None:
        while self._records:
            begun, graph, spans = self._records.pop(0)
            keys = graph.keys_of([task for task, *_ in spans])
            for key, (_, start, end, thread, has_returned) in zip(keys, spans, strict=True):
                data = TaskData(key, graph[key], begun + start, begun + end, thread)
                (self._results if has_returned else self._failures).append(data)

    # For subclasses.

    @fed_by_engine
    def _start(self, dsk: Any) -> None: ...

    @fed_by_engine
    def _pretask(self, key: Any, dsk: Any, state: Any) -> None: ...

    @fed_by_engine
    def _posttask(self, key: Any, value: Any, dsk: Any, state: Any, id: Any) -> None: ...

    @fed_by_engine
    def _finish(self, dsk: Any, state: Any, failed: bool) -> None: ...


_Span = tuple[int, float, float, int, bool]


def _begin_of(computation: Computation) -> float:
    """Return when a computation began, by `time.perf_counter`."""
    readings = []
    for _ in range(3):
        before = perf_counter()
        *_rest, seconds = computation.progress()
        after = perf_counter()
        readings.append((after - before, (before + after) / 2 - seconds))
    # The quickest is the most exact: the engine's clock was read somewhere in between.
    return min(readings)[1]


class ResourceProfiler(Recorder):
    """Record how much memory and processor time the process and its children use.

    As a `with` block it records all the time; registered, while computations run. A thread of its
    own reads ``/proc``, does not need the interpreter, and ends with the block.

    Parameters
    ----------
    dt : float, default 1
        Seconds between two looks.

    Attributes
    ----------
    results : list of ResourceData
        ``time, mem, cpu``: time of `time.perf_counter`; megabytes (10⁶ bytes) in memory; processor
        time since the last look in percent of one core.

    Raises
    ------
    ValueError
        If `dt` is not more than 0.

    Examples
    --------
    >>> from oxidask import delayed
    >>> with ResourceProfiler(dt=0.1) as resources:
    ...     total = delayed(sum)([1, 2]).compute()
    >>> resources.results[0].mem > 1
    True
    """

    _watches: ClassVar[str | None] = "nothing"

    def __init__(self, dt: float = 1) -> None:
        if not dt > 0:
            raise ValueError(f"ResourceProfiler(dt={dt!r}): seconds between looks are more than 0")
        self._dt = dt
        self._results: list[ResourceData] = []
        self._sampler: _core.ResourceSampler | None = None
        self._begun = 0.0
        self._is_entered = False

    @property
    def results(self) -> list[ResourceData]:
        """What was seen so far.

        Returns
        -------
        list of ResourceData
        """
        return self._results + self._samples()

    def clear(self) -> None:
        """Forget all results.

        Examples
        --------
        >>> resources = ResourceProfiler()
        >>> resources.clear()
        >>> resources.results
        []
        """
        self._results = []
        if self._sampler is not None:
            self._stop()
            self._results = []
            self._collect()

    def close(self) -> None:
        """Stop recording; what was recorded stays.

        Examples
        --------
        >>> ResourceProfiler().close()
        """
        self._stop()

    def __enter__(self) -> Self:
        self._is_entered = True
        super().__enter__()
        self._collect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_entered = False
        self._stop()
        super().__exit__(kind, error, traceback)

    def _begin(self, computation: Computation) -> None:
        self._collect()

    def _end(self, computation: Computation, failed: bool) -> None:
        if not self._is_entered:
            self._stop()

    def _collect(self) -> None:
        if self._sampler is None:
            self._begun = perf_counter()
            self._sampler = _core.ResourceSampler(self._dt)

    def _stop(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()
            self._results = self.results
            self._sampler = None

    def _samples(self) -> list[ResourceData]:
        if self._sampler is None:
            return []
        return [
            ResourceData(self._begun + seconds, nbytes / 1e6, cpu)
            for seconds, nbytes, cpu in self._sampler.samples()
        ]

    @fed_by_engine
    def _start(self, dsk: Any) -> None: ...

    @fed_by_engine
    def _finish(self, dsk: Any, state: Any, failed: bool) -> None: ...


def _one(value: Any) -> int:
    return 1


class CacheProfiler(Recorder):
    """Record how long each result is kept, with a measure of it.

    Parameters
    ----------
    metric : callable, optional
        A function of a result, such as its size in bytes; by default each counts 1.
    metric_name : str, optional
        What it measures; by default the name of the function.

    Attributes
    ----------
    results : list of CacheData
        ``key, task, metric, cache_time, free_time``: times of `time.perf_counter`.

    Examples
    --------
    >>> from oxidask import delayed
    >>> with CacheProfiler() as cache:
    ...     total = delayed(sum)(delayed(list)((1, 2), dask_key_name="items")).compute()
    >>> cache.results[0].key, cache.results[0].metric
    ('items', 1)
    """

    def __init__(
        self, metric: Callable[[Any], Any] | None = None, metric_name: str | None = None
    ) -> None:
        self.results: list[CacheData] = []
        self._kept: dict[Any, tuple[Any, float]] = {}
        self._metric = metric or _one
        self._metric_name = metric_name or ("count" if metric is None else funcname(metric))

    def clear(self) -> None:
        """Forget all results.

        Examples
        --------
        >>> cache = CacheProfiler()
        >>> cache.clear()
        >>> cache.results
        []
        """
        self.results = []
        self._kept = {}

    def _start(self, dsk: Any) -> None:
        self._kept = {}

    def _posttask(self, key: Any, value: Any, dsk: Any, state: Any, id: Any) -> None:
        now = perf_counter()
        self._kept[key] = (self._metric(value), now)
        released = state["released"]
        self._free((one for one in state["dependencies"][key] if one in released), dsk, now)

    def _finish(self, dsk: Any, state: Any, failed: bool) -> None:
        self._free(list(self._kept), dsk, perf_counter())

    def _free(self, keys: Iterable[Any], dsk: Any, now: float) -> None:
        for key in keys:
            if key in self._kept:
                metric, since = self._kept.pop(key)
                self.results.append(CacheData(key, dsk[key], metric, since, now))
