"""What templates call to put values together again. Small, because each is called in tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def dataclass(kind: type, attributes: dict[str, Any]) -> Any:
    """Return an instance of a dataclass with these attributes.

    They are set as they are: neither ``__init__`` nor ``__post_init__`` runs again, so frozen
    classes and fields that are not arguments work.
    """
    rebuilt: Any = object.__new__(kind)
    for name, value in attributes.items():
        object.__setattr__(rebuilt, name, value)
    return rebuilt


def apply(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None = None
) -> Any:
    """Call a function with a list of arguments and a dictionary of keyword arguments."""
    return function(*args, **(kwargs or {}))


class Literal:
    """A value inside a graph of tuples that must not be taken for a key or a task."""

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = data

    def __call__(self) -> Any:
        return self.data

    def __reduce__(self) -> tuple[Any, ...]:
        return (Literal, (self.data,))

    def __repr__(self) -> str:
        return f"Literal({self.data!r})"


def run_task(task: Callable[[dict[Any, Any]], Any], inputs: dict[Any, Any]) -> Any:
    """Run a task object of another library with the results of its inputs by key."""
    return task(inputs)


def finish(finalize: Callable[..., Any], results: Any, extra: tuple[Any, ...]) -> Any:
    """Make the concrete value of a collection from the results of its keys."""
    return finalize(results, *extra)
