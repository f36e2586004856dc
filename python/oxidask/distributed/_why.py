"""Sentences that say why a future is not done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oxidask._core import Future
    from oxidask.distributed.client import Client


def explain(client: Client, future: Future | None) -> str:
    """Explain one future, or what the cluster does as a whole."""
    if future is None:
        return _of_cluster(client)
    if future.status != "pending":
        return f"{future.key!r} is done: {future.status}."
    told = json.loads(client._session.ask("why", future))
    if "chain" not in told:
        return f"{future.key!r} is not known to the cluster: its future was released."
    return _of_chain(told)


def explain_key(client: Client, key: str) -> str:
    """Explain the task of any client with a key."""
    told = json.loads(client._session.ask("why key", None, key))
    if "chain" not in told:
        return (
            f"{key!r} is not known to the cluster: there was no such task, or its future was "
            "released."
        )
    if told["chain"][0]["state"] in ("memory", "erred"):
        done = {"memory": "finished", "erred": "error"}[told["chain"][0]["state"]]
        return f"{key!r} is done: {done}."
    return _of_chain(told)


def _of_chain(told: dict[str, Any]) -> str:
    sentences = [_of_step(step, told["threads"]) for step in told["chain"]]
    last = told["chain"][-1]
    if last.get("stopped") is not None:
        sentences.append(_of_stopped(last, told["worker_ttl"]))
    return "\n".join(sentences)


def _of_step(step: dict[str, Any], threads: int) -> str:
    key, state = step["key"], step["state"]
    if state == "waiting":
        return (
            f"{key!r} waits for {step['missing']} of its {step['inputs']} inputs; the first that "
            "is missing:"
        )
    asks_for = step.get("asks_for")
    if state == "queued" and asks_for:
        return f"{key!r} asks for {asks_for}, and waits until a worker has that free."
    if state == "queued":
        return f"{key!r} waits for a free thread; the cluster has {threads}."
    if state == "processing":
        return f"{key!r} was given to worker {step['worker']}, where it runs or is next in line."
    if state == "no-worker":
        return f"{key!r} can run, but no worker can run it (no-worker): {step['reason']}."
    if state == "publishing":
        return f"{key!r} is being made available to the worker that needs it."
    if state == "memory":
        return f"{key!r} has its result; the news is on its way."
    return f"{key!r} is {state}."


def _of_stopped(step: dict[str, Any], ttl: float | None) -> str:
    elsewhere = (
        "its tasks wait for it, for the setting 'distributed.scheduler.worker-ttl' is None"
        if ttl is None
        else f"after {ttl:g} s its tasks run elsewhere ('distributed.scheduler.worker-ttl')"
    )
    return (
        f"Worker {step['worker']} has been stopped for {step['stopped']:.1f} s, by a signal or a "
        f"debugger: send SIGCONT to its process {step['pid']} to go on; {elsewhere}."
    )


def _of_cluster(client: Client) -> str:
    told = json.loads(client._session.ask("workers"))
    workers = told["workers"]
    if not workers:
        return "There is no worker: nothing can run until one joins."
    threads = sum(one["threads"] for one in workers)
    counts = [f"{count} {state}" for state, count in told["states"].items() if count]
    tasks = ", ".join(counts) or "no tasks"
    stopped = [one["name"] for one in workers if one["stopped"] is not None]
    names = f" Stopped by a signal or a debugger: {', '.join(stopped)}." if stopped else ""
    return f"{len(workers)} workers with {threads} threads; {tasks}.{names}"
