"""Functions over any number of lazy objects: compute, persist, optimize, visualize, annotate."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from oxidask import _core, _rebuild, _worker, config
from oxidask._core import Computation, Delayed, Unpacked
from oxidask._errors import shorten_traceback
from oxidask._protocol import (
    DaskMethodsMixin,
    clone_key,
    collections_to_dsk,
    dont_optimize,
    get_collection_names,
    get_name_from_key,
    optimization_function,
    replace_name_in_key,
    unpack_collections,
)
from oxidask.callbacks import Callback
from oxidask.callbacks import run as run_with_callbacks
from oxidask.core import flatten
from oxidask.tokenize import normalize_token, tokenize

__all__ = [
    "DaskMethodsMixin",
    "annotate",
    "clone_key",
    "collections_to_dsk",
    "compute",
    "compute_as_if_collection",
    "dont_optimize",
    "get_annotations",
    "get_collection_names",
    "get_name_from_key",
    "get_scheduler",
    "is_dask_collection",
    "named_schedulers",
    "normalize_token",
    "optimization_function",
    "optimize",
    "persist",
    "replace_name_in_key",
    "tokenize",
    "unpack_collections",
    "visualize",
    "visualize_dsk",
]

_THREADS = frozenset({"threads", "threading", "threaded"})
_SYNC = frozenset({"sync", "synchronous", "single-threaded"})
_PROCESSES = frozenset({"processes", "multiprocessing"})
_DISTRIBUTED = frozenset({"distributed", "dask.distributed", "oxidask.distributed"})

#: The longest time that a task may be given, in seconds: a hundred years.
_LONGEST = 100 * 365 * 86400.0

_annotations: ContextVar[dict[str, Any]] = ContextVar("annotations", default={})  # noqa: B039


def is_dask_collection(x: Any) -> bool:
    """Say whether an object is lazy: whether it follows the collection protocol and has a graph.

    Parameters
    ----------
    x : object

    Returns
    -------
    bool

    Examples
    --------
    >>> from oxidask import delayed
    >>> is_dask_collection(delayed(1)), is_dask_collection(1)
    (True, False)
    """
    return _core.is_collection(x)


def compute(
    *args: Any,
    traverse: bool = True,
    optimize_graph: bool = True,
    scheduler: str | Callable[..., Any] | Any | None = None,
    get: Callable[..., Any] | None = None,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Compute several lazy objects together; what they share runs once.

    Parameters
    ----------
    *args : object
        Lazy objects, or containers of them, are replaced by their results; everything else is
        returned as it is.
    traverse : bool, default True
        Whether to look inside lists, tuples, sets, dictionaries, dataclass instances and so on.
    optimize_graph : bool, default True
        Whether to optimise the graph first. Results are the same.
    scheduler : str, Client, callable or executor, optional
        ``"threads"``, ``"processes"`` (of ours, kept for the next computation) or ``"sync"`` (in
        the calling thread), a `oxidask.distributed.Client`, a function ``get(graph, keys,
        **kwargs)``, or an executor of `concurrent.futures` with threads. By default the Client that
        was made last, or threads if there is none.
    get : None
        An old name of `scheduler`: raises TypeError.
    **kwargs
        ``num_workers``: how many threads or processes take part, by default one a core; ``pool``: a
        thread pool to use instead of ours; ``callbacks``: a list of callbacks to tell instead of
        those that are active. Others go to a scheduler that is a function.

    Returns
    -------
    tuple
        As many values as there are arguments.

    Raises
    ------
    Exception
        What a task raises comes out as it was raised, with a note that names the task.

    Examples
    --------
    >>> from oxidask import compute, delayed
    >>> x = delayed(sum)([1, 2])
    >>> compute(x, {"twice": [x * 2]}, "as it is")
    (3, {'twice': [6]}, 'as it is')
    """
    if get is not None:
        raise TypeError("compute(get=): this is called scheduler= now; pass the function there")
    collections: list[Any] = []
    in_pieces: dict[int, Any] = {}

    def concrete_value_of(collection: Any) -> Delayed:
        collections.append(collection)
        _check_fits(collection)
        task = _concrete_value_of(collection)
        if hasattr(type(collection), "_oxidask_joined"):
            in_pieces[id(task)] = collection
        return task

    unpacked = Unpacked(args, traverse, concrete_value_of)
    tasks = unpacked.tasks
    if not tasks:
        return tuple(unpacked.repack([]))
    chosen = _chosen_scheduler(scheduler, collections)
    run = _runner_of(chosen, kwargs)
    if optimize_graph:
        tasks = _optimized(tasks)
    try:
        if in_pieces and hasattr(chosen, "_run_tasks"):
            values = _run_in_pieces(run, tasks, in_pieces)
        else:
            values = run(tasks)
    except BaseException as error:
        shorten_traceback(error)
        raise
    result: tuple[Any, ...] = unpacked.repack(values)
    return result


def _check_fits(collection: Any) -> None:
    """Refuse, before anything runs, a result for which memory is too small."""
    if hasattr(type(collection), "_oxidask_check_fits"):
        collection._oxidask_check_fits()


def _run_in_pieces(run: _Run, tasks: list[Delayed], in_pieces: Mapping[int, Any]) -> list[Any]:
    """Compute tasks in a cluster; what collections consist of is put together here.

    So blocks go from their workers into the one result and nowhere else.
    """
    parts = [
        in_pieces[id(task)]._oxidask_blocks() if id(task) in in_pieces else [task] for task in tasks
    ]
    values = iter(run([part for some in parts for part in some]))
    return [
        in_pieces[id(task)]._oxidask_joined([next(values) for _ in some])
        if id(task) in in_pieces
        else next(values)
        for task, some in zip(tasks, parts, strict=True)
    ]


def persist(
    *args: Any,
    traverse: bool = True,
    optimize_graph: bool = True,
    scheduler: str | Callable[..., Any] | Any | None = None,
    **kwargs: Any,
) -> tuple[Any, ...]:
    """Compute several lazy objects, and return lazy objects that hold the results.

    Parameters
    ----------
    *args : object
        Lazy objects, or containers of them, are replaced by computed ones; everything else is
        returned as it is.
    traverse, optimize_graph, scheduler, **kwargs
        As for `compute`.

    Returns
    -------
    tuple
        As many values as there are arguments.

    Examples
    --------
    >>> from oxidask import delayed, persist
    >>> x = delayed(sum)([1, 2])
    >>> (y,) = persist(x)
    >>> y.key == x.key, y.compute()
    (True, 3)
    """
    collections, repack = unpack_collections(*args, traverse=traverse)
    if not collections:
        return tuple(repack([]))
    chosen = _chosen_scheduler(
        scheduler, [one for one in collections if not isinstance(one, Delayed)]
    )
    try:
        if hasattr(chosen, "_persisted_by_options"):
            return repack(chosen._persisted_by_options(collections, optimize_graph, kwargs))
        parts = [_parts_to_hold(one) for one in collections]
        tasks = [part for some, _ in parts for part in some]
        run = _runner_of(chosen, kwargs)
        values = iter(run(_optimized(tasks) if optimize_graph else tasks))
    except BaseException as error:
        shorten_traceback(error)
        raise
    return repack([rebuild([next(values) for _ in some]) for some, rebuild in parts])


def optimize(*args: Any, traverse: bool = True, **kwargs: Any) -> tuple[Any, ...]:
    """Return equal lazy objects whose graphs are optimised together.

    Keys stay as they are. Chains of calls are joined into one task each where the setting
    ``optimization.fuse.delayed`` is true; tasks that nothing needs are never part of a graph.
    Collections of other libraries are optimised by themselves.

    Parameters
    ----------
    *args : object
        Lazy objects or containers of them.
    traverse : bool, default True
        Whether to look inside containers.
    **kwargs
        Taken for compatibility; optimisations of other libraries have different ones.

    Returns
    -------
    tuple
        As many values as there are arguments.

    Examples
    --------
    >>> from oxidask import delayed, optimize
    >>> x = delayed(abs)(-1)
    >>> (y,) = optimize(x)
    >>> y.compute()
    1
    """
    collections, repack = unpack_collections(*args, traverse=traverse)
    tasks = [one for one in collections if isinstance(one, Delayed)]
    optimized = iter(_optimized(tasks) if tasks else [])
    return repack(
        next(optimized) if isinstance(one, Delayed) else _optimized_collection(one)
        for one in collections
    )


def _optimized_collection(collection: Any) -> Any:
    """Return a collection of the same kind with the graph that its optimisation gives."""
    graph, _ = _graph_of(collection)
    rebuild, extra = collection.__dask_postpersist__()
    return rebuild(graph, *extra)


def _optimized(tasks: list[Delayed]) -> list[Delayed]:
    if config.get("optimization.fuse.active", None) is False:
        return tasks
    if config.get("optimization.fuse.delayed", False):
        return _core.fused(tasks)
    return tasks


def visualize(
    *args: Any,
    filename: str | None = "mydask",
    traverse: bool = True,
    optimize_graph: bool = False,
    maxval: float | None = None,
    engine: str | None = None,
    **kwargs: Any,
) -> Any:
    """Draw the graph of several lazy objects.

    Parameters
    ----------
    *args : object
        Lazy objects or containers of them.
    filename : str, optional
        Where to write; the suffix decides the format: png (added if there is none), svg, pdf,
        html, dot or json. None writes nothing.
    traverse : bool, default True
        Whether to look inside containers.
    optimize_graph : bool, default False
        Whether to draw the graph as it is run.
    maxval : float, optional
        The end of the colour scale, for ``color="order"``.
    engine : str, optional
        "graphviz" lets graphviz draw, which must be installed then; the built-in engine needs
        nothing.
    **kwargs
        ``format``, ``rankdir``, ``color``, ``limit``, ``durations``, ``node_attr`` and more: see
        `oxidask.drawing.draw`.

    Returns
    -------
    oxidask.drawing.Picture
        It has ``.svg``, ``.save(filename)``, and shows itself in notebooks.

    Examples
    --------
    >>> from oxidask import delayed, visualize
    >>> visualize(delayed(sum)([1, 2]), filename=None).svg.startswith("<svg")
    True
    """
    from oxidask import drawing

    collections, _ = unpack_collections(*args, traverse=traverse)
    if not collections:
        raise ValueError(
            "visualize: there is nothing lazy among the arguments; pass a Delayed or a collection"
        )
    tasks = [task for one in collections for task in _tasks_of(one, optimize_graph)]
    if optimize_graph:
        tasks = _optimized(tasks)
    nodes = [
        drawing.TaskNode(
            key=key,
            label=prefix,
            prefix=prefix,
            kind="data" if is_data else "call",
            dependencies=dependencies,
            order=order,
        )
        for key, prefix, is_data, dependencies, order in _core.GraphView(tasks).drawing()
    ]
    engine = engine or config.get("visualization.engine", None)
    if maxval is not None:
        kwargs["maxval"] = maxval
    return drawing.draw(nodes, filename=filename, engine=engine, **kwargs)


def _tasks_of(collection: Any, optimize_graph: bool) -> list[Delayed]:
    """Return the tasks of the keys of a lazy object."""
    if isinstance(collection, Delayed):
        return [collection]
    if optimize_graph:
        graph, keys = _graph_of(collection)
    else:
        graph, keys = collection.__dask_graph__(), collection.__dask_keys__()
    return _core.tasks_of_graph(list(flatten([keys])), graph)


def visualize_dsk(
    dsk: Mapping[Any, Any],
    filename: str | None = "mydask",
    traverse: bool = True,
    optimize_graph: bool = False,
    maxval: float | None = None,
    o: None = None,
    engine: str | None = None,
    **kwargs: Any,
) -> Any:
    """Draw a graph that is a mapping from keys to tasks.

    Parameters
    ----------
    dsk : mapping
        The graph.
    o : None
        Not supported: raises NotImplementedError; ``color="order"`` shows our order.
    filename, traverse, optimize_graph, maxval, engine, **kwargs
        As for `visualize`.

    Returns
    -------
    oxidask.drawing.Picture

    Examples
    --------
    >>> from oxidask.base import visualize_dsk
    >>> visualize_dsk({"x": 1, "y": (abs, "x")}, filename=None).svg.startswith("<svg")
    True
    """
    if o is not None:
        raise NotImplementedError(
            "visualize_dsk(o=): the order is always ours; leave `o` out and give color='order'"
        )
    return visualize(
        _core.tasks_of_graph(list(dsk), dsk),
        filename=filename,
        optimize_graph=optimize_graph,
        maxval=maxval,
        engine=engine,
        **kwargs,
    )


@contextlib.contextmanager
def annotate(**annotations: Any) -> Iterator[None]:
    """Attach annotations to the tasks that are made inside the block.

    Parameters
    ----------
    **annotations
        Any names; ``retries`` says how often a task that raises is tried again. ``priority``,
        ``workers``, ``resources`` and ``allow_other_workers`` are for clusters, as for
        `Client.submit`. ``timeout``, for clusters too, says how long a task may run: seconds, or
        text such as ``"10s"``; None for no end. It holds for what `Client.submit` and `Client.map`
        are asked for in the block, too. Blocks nest, the inner one wins.

    Raises
    ------
    TypeError
        If ``retries`` or ``priority`` is not a number.
    ValueError
        If ``timeout`` is no time above zero.

    Examples
    --------
    >>> from oxidask import annotate, delayed
    >>> with annotate(retries=2):
    ...     x = delayed(abs)(-1)
    >>> x.compute()
    1
    """
    for name in ("retries", "priority"):
        value = annotations.get(name)
        if value is None or callable(value):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"annotate({name}=): a number is needed, not {value!r}")
        if name == "retries" and (value < 0 or value != int(value)):
            raise TypeError(f"annotate(retries=): an int from 0 is needed, not {value!r}")
    _time_limit_of(annotations.get("timeout"))
    workers = annotations.get("workers")
    if not (workers is None or callable(workers) or isinstance(workers, list | tuple | set | str)):
        raise TypeError(f"annotate(workers=): a name or a list of names is needed, not {workers!r}")
    token = _annotations.set({**_annotations.get(), **annotations})
    _core.count_annotate_blocks(True)
    try:
        yield
    finally:
        _core.count_annotate_blocks(False)
        _annotations.reset(token)


@contextlib.contextmanager
def _annotated_as(annotations: dict[str, Any]) -> Iterator[None]:
    """Let these annotations be in force, and no others."""
    if annotations == _annotations.get():
        yield
        return
    token = _annotations.set(annotations)
    _core.count_annotate_blocks(True)
    try:
        yield
    finally:
        _core.count_annotate_blocks(False)
        _annotations.reset(token)


def _time_limit_of(timeout: Any) -> float | None:
    """Return how many seconds a task may run, by what `annotate` was given; None for no end."""
    if timeout is None:
        return None
    # Few programs need it, and it takes its time to import.
    from oxidask.utils import parse_timedelta

    meant = "give seconds above 0 or text such as '10s', or None for no end"
    if isinstance(timeout, bool) or not isinstance(timeout, int | float | str):
        raise ValueError(f"annotate(timeout={timeout!r}): {meant}")
    try:
        seconds = float(parse_timedelta(timeout) if isinstance(timeout, str) else timeout)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"annotate(timeout={timeout!r}): {meant}") from error
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"annotate(timeout={timeout!r}): {meant}")
    return seconds


def _time_limit_of_block() -> float | None:
    """Return how many seconds a task may run that is submitted now; None for no end."""
    timeout = _annotations.get().get("timeout")
    return None if timeout is None else _time_limit_of(timeout)


def get_annotations() -> dict[str, Any]:
    """Return the annotations in force.

    Returns
    -------
    dict

    Examples
    --------
    >>> from oxidask import annotate, get_annotations
    >>> with annotate(priority=3):
    ...     get_annotations()
    {'priority': 3}
    """
    return dict(_annotations.get())


# ---- Schedulers ----

_Run = Callable[[list[Delayed]], list[Any]]

#: The functions ``get(graph, keys, **kwargs)`` by the names of schedulers.
named_schedulers: dict[str, Callable[..., Any]] = {}


def get_scheduler(
    get: None = None,
    scheduler: str | Callable[..., Any] | Any | None = None,
    collections: Any = None,
    cls: Any = None,
) -> Callable[..., Any] | None:
    """Return the function ``get(graph, keys, **kwargs)`` of a scheduler.

    Parameters
    ----------
    get : None
        An old name of `scheduler`: raises TypeError.
    scheduler : str, callable or executor, optional
        As for `compute`; by default the setting ``scheduler``.
    collections : sequence of lazy objects, optional
        Whose default is returned if nothing was chosen.
    cls : type, optional
        A type of lazy objects, instead of `collections`.

    Returns
    -------
    callable or None
        None if nothing was chosen and there is no default.

    Examples
    --------
    >>> from oxidask.base import get_scheduler
    >>> get_scheduler(scheduler="threads").__module__
    'oxidask.threaded'
    """
    if get is not None:
        raise TypeError(
            "get_scheduler(get=): this is called scheduler= now; pass the function there"
        )
    scheduler = scheduler if scheduler is not None else config.get("scheduler", None)
    if scheduler is None:
        kinds = [cls] if cls is not None else [type(one) for one in collections or ()]
        return _common_default(kinds)
    if callable(scheduler):
        found: Callable[..., Any] = scheduler
        return found
    if isinstance(scheduler, str):
        mode = _mode_of(scheduler)
        if mode == "processes":
            # Few programs need it, so nobody has imported it.
            from oxidask import multiprocessing

            return multiprocessing.get
        return named_schedulers[mode]

    def get_in_pool(dsk: Mapping[Any, Any], keys: Any, **kwargs: Any) -> Any:
        return _get(dsk, keys, "threads", **{**kwargs, "pool": scheduler})

    _size_of(scheduler)
    return get_in_pool


def _common_default(kinds: Iterable[type]) -> Callable[..., Any] | None:
    """Return the scheduler that types of lazy objects have in common, if it is one."""
    defaults = [kind.__dask_scheduler__ for kind in kinds if hasattr(kind, "__dask_scheduler__")]
    if any(default != defaults[0] for default in defaults):
        raise ValueError(
            f"lazy objects with different default schedulers, {defaults}, cannot be computed "
            "together; choose one, as in scheduler='threads'"
        )
    return defaults[0] if defaults else None


def _own_scheduler(collections: list[Any]) -> Any:
    """Return the scheduler that collections of other libraries want, or None for ours."""
    # Dask's own collections are computed by our threads, not by Dask's.
    default = _common_default(
        type(one) for one in collections if not type(one).__module__.startswith("dask.")
    )
    for name, function in named_schedulers.items():
        if function == default:
            return name
    return default


def _mode_of(name: str) -> str:
    """Return "threads", "sync" or "processes" for a name of a scheduler."""
    lowered = name.lower()
    if lowered in _THREADS:
        return "threads"
    if lowered in _SYNC:
        return "sync"
    if lowered in _PROCESSES:
        return "processes"
    if lowered in _DISTRIBUTED:
        raise ValueError(
            f"scheduler={name!r}: there is no Client; make one, or use 'threads', 'processes' or "
            "'sync'"
        )
    raise ValueError(
        f"scheduler={name!r} is not known; use one of {sorted(_THREADS)}, {sorted(_PROCESSES)} "
        f"or {sorted(_SYNC)}, a get function, or a thread pool"
    )


def _chosen_scheduler(scheduler: Any, collections: list[Any]) -> Any:
    """Return what computes: as the user said, or set, or the collections say."""
    if scheduler is None:
        scheduler = config.get("scheduler", None)
    if scheduler is None:
        # Inside a task its cluster computes.
        nested = sys.modules.get("oxidask.distributed._nested")
        scheduler = nested and nested.client_of_task()
    if scheduler is None and collections:
        scheduler = _own_scheduler(collections)
    if scheduler is None:
        scheduler = "threads"
    if isinstance(scheduler, str) and scheduler.lower() in _DISTRIBUTED:
        # Nobody who made a client is without this module.
        clients = sys.modules.get("oxidask.distributed._default")
        scheduler = (clients and clients.current()) or scheduler
    return scheduler


def _runner_of(scheduler: Any, kwargs: dict[str, Any]) -> _Run:
    """Return a function that computes tasks with a scheduler."""
    run_in_cluster = getattr(scheduler, "_run_tasks", None)
    if run_in_cluster is not None:
        return lambda tasks: list(run_in_cluster(tasks, **kwargs))
    if isinstance(scheduler, str):
        mode = _mode_of(scheduler)
        num_workers = kwargs.get("num_workers")
        pool = kwargs.get("pool")
        callbacks = kwargs.get("callbacks")
        return lambda tasks: _run(tasks, mode, num_workers, pool, callbacks)
    if callable(scheduler):

        def run_by_get(tasks: list[Delayed]) -> list[Any]:
            return list(scheduler(_core.GraphView(tasks), [task.key for task in tasks], **kwargs))

        return run_by_get
    _size_of(scheduler)
    return lambda tasks: _run(
        tasks, "threads", kwargs.get("num_workers"), scheduler, kwargs.get("callbacks")
    )


def _run(
    tasks: list[Delayed],
    mode: str,
    num_workers: int | None,
    pool: Any,
    callbacks: Iterable[Any] | None = None,
) -> list[Any]:
    """Compute tasks in the engine of this process, or in worker processes of ours."""
    if mode == "processes":
        pool = pool if pool is not None else config.get("pool", None)
        if pool is None and not _worker.is_worker():
            from oxidask import _processes

            return _processes.compute(tasks, num_workers, callbacks)
        # A pool of the user's does the work, as in Dask; within a worker its threads do.
        mode = "threads"
    threads, go = _threads_and_way(mode, num_workers, pool)
    if callbacks is None and not Callback.active:
        return go(Computation(tasks, threads, "nothing", in_slabs=True))
    return run_with_callbacks(tasks, threads, go, callbacks)


def _threads_and_way(
    mode: str, num_workers: int | None, pool: Any
) -> tuple[int, Callable[[Computation], list[Any]]]:
    """Return how many threads take part, and a function that runs a computation."""
    if mode == "sync":
        return 1, Computation.run_here
    if pool is None:
        pool = config.get("pool", None)
    if num_workers is None:
        num_workers = config.get("num_workers", None)
    if pool is not None:
        threads = num_workers or _size_of(pool)
        submit = getattr(pool, "submit", None) or pool.apply_async

        def run_in_pool(computation: Computation) -> list[Any]:
            loans: list[Any] = []
            for number in range(threads):
                try:
                    loans.append(submit(computation.lend_thread))
                except RuntimeError:
                    # A pool that gives no more threads leaves the work to those that it gave; one
                    # that gives none at all is an error.
                    if number == 0:
                        raise
                    break
            return computation.run_in_lent_threads(loans)

        return threads, run_in_pool
    threads = num_workers if num_workers is not None else _core.cpu_count()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"num_workers={threads!r}: the number of threads is an int from 1")
    return threads, Computation.run_in_threads


def _size_of(pool: Any) -> int:
    """Return how many threads a pool has."""
    for name in ("_max_workers", "_processes"):
        size = getattr(pool, name, None)
        if isinstance(size, int) and size > 0:
            if "Process" in type(pool).__name__ or type(pool).__name__ == "Pool":
                raise NotImplementedError(
                    f"pool={pool!r}: tasks run in threads or in processes of ours; pass a thread "
                    "pool, or use scheduler='processes' with num_workers="
                )
            return size
    raise TypeError(
        f"scheduler or pool {pool!r} of type {type(pool).__name__} is not known; pass a name such "
        "as 'threads', a get function, or a concurrent.futures.ThreadPoolExecutor"
    )


def _get(
    dsk: Mapping[Any, Any],
    keys: Any,
    mode: str,
    num_workers: int | None = None,
    pool: Any = None,
    callbacks: Iterable[Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Compute keys, or nested lists of keys, of a graph that is a mapping."""
    if not isinstance(dsk, Mapping) and hasattr(dsk, "__dask_graph__"):
        # Newer Dask hands an expression to a scheduler that is a function.
        dsk = dsk.__dask_graph__()
    wanted = list(dict.fromkeys(flatten([keys])))
    tasks = _core.tasks_of_graph(wanted, dsk)
    values = dict(zip(wanted, _run(tasks, mode, num_workers, pool, callbacks), strict=True))
    return _replaced(keys, values.__getitem__, tuple)


def _replaced(nested: Any, value_of: Callable[[Any], Any], kind: Callable[[list[Any]], Any]) -> Any:
    """Return nested lists as nested containers of another kind, each leaf replaced by its value."""
    done: list[Any] = []
    work: list[tuple[Any, bool]] = [(nested, False)]
    while work:
        part, is_open = work.pop()
        if is_open:
            begin = len(done) - len(part)
            done[begin:] = [kind(done[begin:])]
        elif isinstance(part, list):
            work.append((part, True))
            work.extend((one, False) for one in reversed(part))
        else:
            done.append(value_of(part))
    return done[0]


# ---- Other collections ----


def compute_as_if_collection(
    cls: type,
    dsk: Mapping[Any, Any],
    keys: Any,
    scheduler: str | Callable[..., Any] | Any | None = None,
    get: None = None,
    **kwargs: Any,
) -> Any:
    """Compute keys of a graph with the optimisation and the default scheduler of a collection.

    Parameters
    ----------
    cls : type
        The type of the collection.
    dsk : mapping
        The graph.
    keys : key or nested list of keys
        What to compute.
    scheduler, get, **kwargs
        As for `compute`.

    Returns
    -------
    object or nested tuple
        The results, nested like `keys`.

    Examples
    --------
    >>> from oxidask.base import compute_as_if_collection
    >>> from oxidask.delayed import Delayed
    >>> compute_as_if_collection(Delayed, {"x": 1, "y": (abs, "x")}, ["y", ["x"]])
    (1, (1,))
    """
    run = get_scheduler(get=get, scheduler=scheduler, cls=cls) or named_schedulers["threads"]
    return run(optimization_function(cls)(dsk, keys, **kwargs), keys, **kwargs)


def _graph_of(collection: Any) -> tuple[Mapping[Any, Any], Any]:
    """Return the optimised graph of a collection, and its nested keys."""
    graph = collection.__dask_graph__()
    keys = collection.__dask_keys__()
    optimize_graph = getattr(type(collection), "__dask_optimize__", None)
    if optimize_graph is not None:
        graph = collection.__dask_optimize__(graph, keys)
    if not isinstance(graph, Mapping):
        graph = dict(graph)
    return graph, keys


def _nested_tasks(keys: Any, graph: Mapping[Any, Any]) -> Any:
    """Replace keys in nested lists by their tasks."""
    tasks = iter(_core.tasks_of_graph(list(flatten([keys])), graph))
    return _replaced(keys, lambda key: next(tasks), list)


def _concrete_value_of(collection: Any) -> Delayed:
    """Return one task that makes the concrete value of a collection."""
    from oxidask.delayed import delayed

    if isinstance(collection, Delayed):
        return collection
    if hasattr(type(collection), "_oxidask_value"):
        value: Delayed = collection._oxidask_value()
        return value
    graph, keys = _graph_of(collection)
    finalize, extra = collection.__dask_postcompute__()
    finish = delayed(_rebuild.finish, pure=True, traverse=False)
    task: Delayed = finish(
        delayed(finalize, traverse=False) if _core.is_collection(finalize) else finalize,
        _nested_tasks(keys, graph),
        delayed(tuple(extra), traverse=False, pure=True),
    )
    return task


def _parts_to_hold(collection: Any) -> tuple[list[Delayed], Callable[[list[Any]], Any]]:
    """Return the tasks of a collection, and what makes it again of their results or futures."""
    if isinstance(collection, Delayed):
        return [collection], lambda values: _core.persisted(collection, *values)
    if hasattr(type(collection), "_oxidask_blocks"):
        blocks = collection._oxidask_blocks()

        def hold(values: list[Any]) -> Any:
            pairs = zip(blocks, values, strict=True)
            return collection._oxidask_rebuilt([_core.persisted(*pair) for pair in pairs])

        return blocks, hold
    graph, keys = _graph_of(collection)
    rebuild, extra = collection.__dask_postpersist__()
    flat = list(dict.fromkeys(flatten([keys])))
    return (
        _core.tasks_of_graph(flat, graph),
        lambda values: rebuild(dict(zip(flat, values, strict=True)), *extra),
    )
