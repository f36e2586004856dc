"""What tasks ask of the worker that runs them, ``workers=`` and ``resources=``, checked."""

from __future__ import annotations

import functools
import math
import socket
from collections.abc import Iterable, Mapping
from typing import Any

#: Names of workers, whether others will do, and amounts in millionths.
Asked = tuple[list[str], bool, list[tuple[str, int]]]


def asked(
    method: str, workers: Any, allow_other_workers: Any, resources: Any, address: str = ""
) -> Asked | None:
    """Return what tasks ask for, as `Session` wants it; None if nothing.

    Parameters
    ----------
    method : str
        Whose options these are, for errors.
    workers : str, iterable of str, or None
        Names of workers, or names of their host.
    allow_other_workers : bool
        Whether others will do as long as none of these is there.
    resources : mapping or None
        How much a task takes of what while it runs.
    address : str, optional
        The cluster's, which stands for all its workers.
    """
    names = _names(method, workers, address)
    amounts = amounts_of(f"{method}(resources=)", resources)
    if allow_other_workers and not names:
        raise ValueError(
            f"{method}(allow_other_workers=True) goes with workers=: name the workers that are "
            "preferred"
        )
    return (names, bool(allow_other_workers), amounts) if names or amounts else None


def asked_in_block(annotations: Mapping[str, Any]) -> Asked | None:
    """Return what a task asks for that was made in a block of `annotate`; None if nothing."""
    values = {name: annotations.get(name) for name in ("workers", "resources")}
    for name, value in values.items():
        if callable(value):
            raise NotImplementedError(
                f"annotate({name}=<function>): clusters do not call it yet; give the value, and "
                "make tasks that ask for something else in a block of their own"
            )
    is_loose = bool(annotations.get("allow_other_workers")) and values["workers"] is not None
    return asked("annotate", values["workers"], is_loose, values["resources"])


def amounts_of(option: str, resources: Any) -> list[tuple[str, int]]:
    """Return amounts in millionths.

    Raises
    ------
    TypeError
        If it is not a dictionary from texts to numbers.
    ValueError
        If an amount is below zero or endless.
    """
    if resources is None:
        return []
    if not isinstance(resources, Mapping):
        raise TypeError(f"{option}: a dictionary such as {{'GPU': 1}} is meant, not {resources!r}")
    amounts = []
    for what, amount in resources.items():
        if not isinstance(what, str) or not isinstance(amount, int | float):
            raise TypeError(f"{option}: a text and a number are meant, not {what!r}: {amount!r}")
        if not 0 <= amount < 1e12 or math.isnan(amount):
            raise ValueError(
                f"{option}: {what!r}: {amount!r} is no amount; give one from 0 to 1e12"
            )
        amounts.append((what, round(amount * 1_000_000)))
    return sorted(amounts)


def _names(method: str, workers: Any, address: str) -> list[str]:
    if workers is None:
        return []
    if isinstance(workers, Mapping):
        raise NotImplementedError(
            f"{method}(workers={{...}}): different workers for parts of a graph are named by "
            "`with annotate(workers=...)` around what makes them"
        )
    if isinstance(workers, str | int) or not isinstance(workers, Iterable):
        workers = [workers]
    names = set()
    for worker in workers:
        if isinstance(worker, bool) or not isinstance(worker, str | int):
            raise TypeError(
                f"{method}(workers=): names of workers are meant, as in scheduler_info(), not "
                f"{worker!r}"
            )
        is_here = worker in ("localhost", address, _host_name())
        names.add("localhost" if is_here else str(worker))
    return sorted(names)


@functools.cache
def _host_name() -> str:
    return socket.gethostname()
