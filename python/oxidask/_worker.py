"""A worker process: connects to its node and runs tasks until the node lets it go."""

from __future__ import annotations

import os
import sys
import threading

from oxidask import _core, _output

_is_worker = False


def is_worker() -> bool:
    """Say whether this process is a worker of a cluster."""
    return _is_worker


def main(socket: str, number: int, threads: int) -> None:
    """Serve as a worker; does not return.

    Parameters
    ----------
    socket : str
        Where the node listens.
    number : int
        The worker's number.
    threads : int
        How many threads run tasks.
    """
    global _is_worker
    _is_worker = True
    # Here, because everybody imports this module to know whether it is a worker.
    from oxidask.distributed import _nested

    executor = _core.worker_process(socket, number, threads)
    address = "unix://" + os.path.join(os.path.dirname(socket), "scheduler.sock")
    _nested.worker_added(executor, _nested.Worker(str(number - 1), address, threads))
    _output.install(executor)
    for thread in range(threads):
        name = f"oxidask-worker-{thread}"
        threading.Thread(target=executor.serve, name=name, daemon=True).start()
    try:
        executor.serve_chores()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Threads may run tasks that nobody waits for; they are not waited for either.
        os._exit(0)
