"""Protocols for type checkers and `isinstance`: what a collection has to have."""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

__all__ = [
    "DaskCollection",
    "Graph",
    "HLGDaskCollection",
    "Key",
    "NestedKeys",
    "PostComputeCallable",
    "PostPersistCallable",
    "SchedulerGetCallable",
]

Key: TypeAlias = str | bytes | int | float | tuple["Key", ...]
Graph: TypeAlias = Mapping[Key, Any]
NestedKeys: TypeAlias = "list[Key | NestedKeys]"
PostComputeCallable: TypeAlias = Callable[..., Any]

CollType = TypeVar("CollType", bound="DaskCollection")
CollType_co = TypeVar("CollType_co", bound="DaskCollection", covariant=True)


class SchedulerGetCallable(Protocol):
    """A scheduler: a function that computes keys of a graph."""

    def __call__(self, dsk: Graph, keys: Sequence[Key] | Key, **kwargs: Any) -> Any:
        """Return the results, nested like `keys`."""


class PostPersistCallable(Protocol[CollType_co]):
    """What ``__dask_postpersist__`` returns first: it makes a collection from results."""

    def __call__(
        self, dsk: Graph, *args: Any, rename: Mapping[str, str] | None = None
    ) -> CollType_co:
        """Return a collection whose graph is `dsk`, with names replaced as in `rename`."""


@runtime_checkable
class DaskCollection(Protocol):
    """A collection: an object with a graph, that `oxidask.compute` computes.

    Examples
    --------
    >>> from oxidask import delayed
    >>> from oxidask.typing import DaskCollection
    >>> isinstance(delayed(1), DaskCollection), isinstance(1, DaskCollection)
    (True, False)
    """

    @abc.abstractmethod
    def __dask_graph__(self) -> Graph:
        """Return the graph; None says that the object is not lazy."""

    @abc.abstractmethod
    def __dask_keys__(self) -> NestedKeys:
        """Return the keys of the results, in nested lists."""

    @abc.abstractmethod
    def __dask_postcompute__(self) -> tuple[PostComputeCallable, tuple[Any, ...]]:
        """Return a function that makes the concrete value from the results, and more arguments."""

    @abc.abstractmethod
    def __dask_postpersist__(self) -> tuple[PostPersistCallable[Any], tuple[Any, ...]]:
        """Return a function that makes a collection from a graph of results, and more arguments."""

    @abc.abstractmethod
    def __dask_tokenize__(self) -> Hashable:
        """Return what the content hash is made from."""

    @abc.abstractmethod
    def compute(self, **kwargs: Any) -> Any:
        """Compute the concrete value; see `oxidask.compute`."""

    @abc.abstractmethod
    def persist(self: CollType, **kwargs: Any) -> CollType:
        """Compute a collection of the same kind; see `oxidask.persist`."""

    @abc.abstractmethod
    def visualize(
        self,
        filename: str = "mydask",
        format: str | None = None,
        optimize_graph: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Draw the graph; see `oxidask.visualize`."""


@runtime_checkable
class HLGDaskCollection(DaskCollection, Protocol):
    """A collection whose graph has layers.

    Examples
    --------
    >>> from oxidask import delayed
    >>> from oxidask.typing import HLGDaskCollection
    >>> isinstance(delayed(1), HLGDaskCollection)
    True
    """

    @abc.abstractmethod
    def __dask_layers__(self) -> Sequence[str]:
        """Return the names of the layers that hold the results."""
