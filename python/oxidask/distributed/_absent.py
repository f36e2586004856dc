"""What Dask's `Client` has and ours has not yet: each name says so, and what to do meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_INFO = "see scheduler_info()"
_WHY = "see why(future) and scheduler_info()"
_NEW = "close the cluster and make a new one"
_RESULT = "return what you want to see from the task, or use run()"
_KEEP = "keep the Future, and pass it to whoever needs it"
_MEASURE = "measure inside the task and return it"
_SHARED = "workers of one host share memory already: leave it out"

#: Names of methods, with the way around.
WAYS_AROUND = {
    "run_on_scheduler": "run() calls in the workers",
    "who_has": _INFO,
    "has_what": _INFO,
    "processing": _WHY,
    "nbytes": _INFO,
    "call_stack": _WHY,
    "profile": _MEASURE,
    "get_versions": "all workers run this interpreter, with its packages",
    "get_worker_logs": _RESULT,
    "get_scheduler_logs": _WHY,
    "log_event": _RESULT,
    "get_events": _RESULT,
    "subscribe_topic": "use Future.add_done_callback",
    "unsubscribe_topic": "use Future.add_done_callback",
    "upload_file": "workers see the files of this machine: add the folder to sys.path with run()",
    "register_plugin": "call what it sets up with run()",
    "unregister_worker_plugin": "call what undoes it with run()",
    "unregister_scheduler_plugin": "there are no scheduler plugins",
    "register_worker_callbacks": "call the function with run()",
    "publish_dataset": _KEEP,
    "get_dataset": _KEEP,
    "list_datasets": _KEEP,
    "unpublish_dataset": _KEEP,
    "replicate": _SHARED,
    "rebalance": _SHARED,
    "retire_workers": _NEW,
    "set_metadata": "keep it in a dictionary of your own",
    "get_metadata": "keep it in a dictionary of your own",
    "get_executor": "use submit and map of the Client",
    "normalize_collection": "pass the collection as it is",
    "dump_cluster_state": _WHY,
    "write_scheduler_file": "a LocalCluster is used from the process that made it",
    "forward_logging": _RESULT,
    "unforward_logging": _RESULT,
    "benchmark_hardware": _MEASURE,
    "story": _WHY,
    "sync": "call the function, or use asyncio.run",
}


def method(owner: str, name: str, way_around: str) -> Callable[..., Any]:
    """Return a method that says that it is not there yet."""

    def absent(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{owner}.{name} is not there yet; {way_around}")

    absent.__name__ = name
    absent.__qualname__ = f"{owner}.{name}"
    absent.__doc__ = f"Not there yet: {way_around}."
    return absent
