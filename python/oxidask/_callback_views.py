"""What callbacks see of a computation: its graph and its state, as views made when looked at."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, MutableMapping
from collections.abc import Sequence as AbstractSequence
from collections.abc import Set as AbstractSet
from typing import Any, NoReturn

from oxidask import _core
from oxidask._core import Delayed, TaskStates
from oxidask._rebuild import Literal


class Graph(MutableMapping[Hashable, Any]):
    """The graph of a computation, from keys to tasks; it is collected when somebody looks.

    While callbacks are told of the start, ``graph[key] = task`` puts another task, or a value, in
    the place of one.
    """

    def __init__(self, tasks: list[Delayed]) -> None:
        self._tasks = tasks
        self._view: _core.GraphView | None = None
        self._changes: dict[Hashable, Any] = {}
        self._is_settled = False

    def _graph(self) -> _core.GraphView:
        if self._view is None:
            self._view = _core.GraphView(self._tasks)
        return self._view

    def __getitem__(self, key: Hashable) -> Any:
        return self._changes[key] if key in self._changes else self._graph()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._graph()

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._graph())

    def __len__(self) -> int:
        return len(self._graph())

    def __setitem__(self, key: Hashable, task: Any) -> None:
        if self._is_settled:
            raise TypeError(
                f"the computation has begun, so the task of {key!r} cannot be replaced; do it in "
                "start(dsk)"
            )
        if key not in self:
            raise KeyError(
                f"{key!r} is not in the graph, and nothing would use it; replace tasks that are"
            )
        self._changes[key] = task

    def __delitem__(self, key: Hashable) -> NoReturn:
        raise TypeError(
            f"the task of {key!r} is needed and cannot be deleted; put a value in its place: "
            "dsk[key] = value"
        )

    def __repr__(self) -> str:
        return f"<graph of {len(self)} tasks>"

    def settle(self) -> list[Delayed]:
        """Return the tasks to compute, with replaced ones among what they need."""
        self._is_settled = True
        if not self._changes:
            return self._tasks
        if all(type(value) is tuple and _is_literal(value) for value in self._changes.values()):
            view = self._graph()
            values = [
                _core.persisted(task, value[0]())
                for key, value in self._changes.items()
                if (task := view.task(key)) is not None
            ]
            return _core.rewritten(self._tasks, values)
        keys = [task.key for task in self._tasks]
        return _core.tasks_of_graph(keys, {**self._graph(), **self._changes})

    def show(self, view: _core.GraphView) -> None:
        """From now on show the graph as it runs."""
        self._view = view
        self._changes = {}


def _is_literal(task: tuple[Any, ...]) -> bool:
    return len(task) == 1 and type(task[0]) is Literal


class _Keys(AbstractSet[Hashable]):
    def __init__(self, states: TaskStates, part: str) -> None:
        self._states = states
        self._part = part

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> set[Any]:
        return set(it)

    def __contains__(self, key: object) -> bool:
        return self._states.contains(self._part, key)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._states.keys(self._part))

    def __len__(self) -> int:
        return self._states.count(self._part)

    def __repr__(self) -> str:
        return repr(set(self))


class _KeyList(AbstractSequence[Hashable]):
    def __init__(self, states: TaskStates, part: str) -> None:
        self._states = states
        self._part = part

    def __getitem__(self, index: Any) -> Any:
        return self._states.keys(self._part)[index]

    def __contains__(self, key: object) -> bool:
        return self._states.contains(self._part, key)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._states.keys(self._part))

    def __len__(self) -> int:
        return self._states.count(self._part)

    def __eq__(self, other: object) -> bool:
        return list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


class _ByKey(Mapping[Hashable, Any]):
    def __init__(
        self, states: TaskStates, part: str, value_of: Callable[[TaskStates, str, Any], Any]
    ) -> None:
        self._states = states
        self._part = part
        self._value_of = value_of

    def __getitem__(self, key: Hashable) -> Any:
        return self._value_of(self._states, self._part, key)

    def __contains__(self, key: object) -> bool:
        return self._states.contains(self._part, key)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._states.keys(self._part))

    def __len__(self) -> int:
        return self._states.count(self._part)

    def __repr__(self) -> str:
        return repr(dict(self))


def _links(states: TaskStates, part: str, key: Any) -> set[Any]:
    links = states.links(part, key)
    if links is None:
        raise KeyError(key)
    return links


def _result(states: TaskStates, part: str, key: Any) -> Any:
    return states.result(key)


class State(Mapping[str, Any]):
    """Where the tasks of a computation stand, by Dask's names; see `oxidask.callbacks.Callback`."""

    def __init__(self, states: TaskStates) -> None:
        sets = ("running", "finished", "released")
        links = ("dependencies", "dependents", "waiting", "waiting_data")
        self._parts: dict[str, Any] = {
            **{part: _ByKey(states, part, _links) for part in links},
            "cache": _ByKey(states, "cache", _result),
            "ready": _KeyList(states, "ready"),
            **{part: _Keys(states, part) for part in sets},
        }

    def __getitem__(self, part: str) -> Any:
        return self._parts[part]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return repr(self._parts)
