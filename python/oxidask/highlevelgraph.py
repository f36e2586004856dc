"""Graphs in layers, for collections of other libraries.

A `HighLevelGraph` is a mapping from all keys to tasks, made of named layers that need each other.
`compute` takes it as any other graph.
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from oxidask import _core
from oxidask.base import get_annotations, get_collection_names
from oxidask.core import flatten, get_dependencies, keys_in_tasks, reverse_dict, toposort

__all__ = ["HighLevelGraph", "Layer", "MaterializedLayer"]


class Layer(Mapping[Any, Any]):
    """Tasks of one operation: a mapping from keys to tasks, which may be made when asked for.

    Parameters
    ----------
    annotations : mapping, optional
        Annotations of its tasks; those in force are added.
    collection_annotations : mapping, optional
        What the collection says about itself.

    Examples
    --------
    >>> from oxidask.highlevelgraph import Layer
    >>> class Numbers(Layer):
    ...     def __init__(self, count):
    ...         super().__init__()
    ...         self.keys_of_layer = {("number", i): i for i in range(count)}
    ...     def __getitem__(self, key):
    ...         return self.keys_of_layer[key]
    ...     def __iter__(self):
    ...         return iter(self.keys_of_layer)
    ...     def __len__(self):
    ...         return len(self.keys_of_layer)
    ...     def is_materialized(self):
    ...         return True
    >>> dict(Numbers(2))
    {('number', 0): 0, ('number', 1): 1}
    """

    annotations: dict[str, Any] | None
    collection_annotations: dict[str, Any] | None

    def __init__(
        self,
        annotations: Mapping[str, Any] | None = None,
        collection_annotations: Mapping[str, Any] | None = None,
    ) -> None:
        self.annotations = {**get_annotations(), **(annotations or {})} or None
        self.collection_annotations = dict(collection_annotations or {}) or None

    @abc.abstractmethod
    def is_materialized(self) -> bool:
        """Say whether all tasks have been made."""

    def get_output_keys(self) -> Set[Any]:
        """Return the keys that other layers may need.

        Returns
        -------
        set
            By default all.
        """
        return self.keys()

    def cull(
        self, keys: set[Any], all_hlg_keys: Collection[Any]
    ) -> tuple[Layer, Mapping[Any, set[Any]]]:
        """Leave out the tasks that keys do not need.

        Parameters
        ----------
        keys : set
            Keys of the layer that are needed.
        all_hlg_keys : collection
            All keys of the graph.

        Returns
        -------
        layer : Layer
        dependencies : dict
            From each key that is left to the keys it needs, also in other layers.
        """
        tasks: dict[Any, Any] = {}
        dependencies: dict[Any, set[Any]] = {}
        stack = [key for key in keys if key in self]
        while stack:
            key = stack.pop()
            if key in tasks:
                continue
            tasks[key] = self[key]
            dependencies[key] = self.get_dependencies(key, all_hlg_keys)
            stack.extend(other for other in dependencies[key] if other in self)
        return MaterializedLayer(tasks, self.annotations, self.collection_annotations), dependencies

    def get_dependencies(self, key: Any, all_hlg_keys: Collection[Any]) -> set[Any]:
        """Return the keys that a task needs.

        Parameters
        ----------
        key : key
        all_hlg_keys : collection
            All keys of the graph.

        Returns
        -------
        set
        """
        return set(keys_in_tasks(all_hlg_keys, [self[key]]))

    def __copy__(self) -> Layer:
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new


class MaterializedLayer(Layer):
    """A layer whose tasks are all there.

    Parameters
    ----------
    mapping : mapping
        From keys to tasks.
    annotations, collection_annotations : mapping, optional
        As for `Layer`.

    Examples
    --------
    >>> from oxidask.highlevelgraph import MaterializedLayer
    >>> dict(MaterializedLayer({"x": 1, "y": (abs, "x")}))
    {'x': 1, 'y': (<built-in function abs>, 'x')}
    """

    mapping: Mapping[Any, Any]

    def __init__(
        self,
        mapping: Mapping[Any, Any],
        annotations: Mapping[str, Any] | None = None,
        collection_annotations: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(annotations, collection_annotations)
        self.mapping = mapping

    def __contains__(self, key: object) -> bool:
        return key in self.mapping

    def __getitem__(self, key: Any) -> Any:
        return self.mapping[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.mapping)

    def __len__(self) -> int:
        return len(self.mapping)

    def is_materialized(self) -> bool:
        """Return True."""
        return True


class HighLevelGraph(Mapping[Any, Any]):
    """A graph in layers that need each other.

    Parameters
    ----------
    layers : mapping
        From names to layers, or to mappings from keys to tasks.
    dependencies : mapping
        From names of layers to the names of those they need.
    key_dependencies : mapping, optional
        From keys to the keys they need, where known.

    Examples
    --------
    >>> from oxidask.highlevelgraph import HighLevelGraph
    >>> graph = HighLevelGraph(
    ...     {"load": {"x": -1}, "abs": {"y": (abs, "x")}}, {"load": set(), "abs": {"load"}}
    ... )
    >>> sorted(graph), graph.dependents
    (['x', 'y'], {'load': {'abs'}, 'abs': set()})
    """

    layers: dict[str, Layer]
    dependencies: dict[str, set[str]]
    key_dependencies: dict[Any, set[Any]]

    def __init__(
        self,
        layers: Mapping[str, Mapping[Any, Any]],
        dependencies: Mapping[str, Iterable[str]],
        key_dependencies: Mapping[Any, set[Any]] | None = None,
    ) -> None:
        self.layers = {
            name: layer if isinstance(layer, Layer) else MaterializedLayer(layer)
            for name, layer in layers.items()
        }
        self.dependencies = {name: set(needed) for name, needed in dependencies.items()}
        self.key_dependencies = dict(key_dependencies or {})

    @classmethod
    def from_collections(
        cls, name: str, layer: Mapping[Any, Any], dependencies: Sequence[Any] = ()
    ) -> HighLevelGraph:
        """Make the graph of a new collection, which needs others.

        Parameters
        ----------
        name : str
            The name of the new layer.
        layer : mapping
            Its tasks.
        dependencies : sequence of lazy objects, optional
            The collections whose keys it uses.

        Returns
        -------
        HighLevelGraph

        Examples
        --------
        >>> from oxidask import delayed
        >>> from oxidask.highlevelgraph import HighLevelGraph
        >>> x = delayed(-1, name="x")
        >>> graph = HighLevelGraph.from_collections("abs", {"y": (abs, "x")}, dependencies=[x])
        >>> graph.layers.keys(), graph.dependencies
        (dict_keys(['x', 'abs']), {'x': set(), 'abs': {'x'}})
        """
        layers: dict[str, Mapping[Any, Any]] = {}
        needs: dict[str, set[str]] = {}
        own: set[str] = set()
        for collection in dependencies:
            if not _core.is_collection(collection):
                raise TypeError(
                    f"HighLevelGraph.from_collections: {collection!r} is not a lazy object"
                )
            graph = collection.__dask_graph__()
            if hasattr(graph, "layers") and hasattr(graph, "dependencies"):
                layers.update(graph.layers)
                needs.update({one: set(others) for one, others in graph.dependencies.items()})
                own |= set(collection.__dask_layers__())
            else:
                only = _layer_name(collection, graph)
                layers[only] = graph
                needs[only] = set()
                own.add(only)
        return cls({**layers, name: layer}, {**needs, name: own})

    @classmethod
    def merge(cls, *graphs: Mapping[Any, Any]) -> HighLevelGraph:
        """Merge graphs; layers of the same name are taken to be the same.

        Parameters
        ----------
        *graphs : mapping
            Graphs in layers, or others, each of which becomes one layer.

        Returns
        -------
        HighLevelGraph

        Examples
        --------
        >>> from oxidask.highlevelgraph import HighLevelGraph
        >>> one = HighLevelGraph({"a": {"x": 1}}, {"a": set()})
        >>> two = HighLevelGraph({"b": {"y": 2}}, {"b": set()})
        >>> HighLevelGraph.merge(one, two).to_dict()
        {'x': 1, 'y': 2}
        """
        layers: dict[str, Mapping[Any, Any]] = {}
        dependencies: dict[str, set[str]] = {}
        for graph in graphs:
            if isinstance(graph, HighLevelGraph):
                layers.update(graph.layers)
                dependencies.update(graph.dependencies)
            elif isinstance(graph, Mapping):
                layers[str(id(graph))] = graph
                dependencies[str(id(graph))] = set()
            else:
                raise TypeError(f"HighLevelGraph.merge: {graph!r} is no graph; give mappings")
        return cls(layers, dependencies)

    def __getitem__(self, key: Any) -> Any:
        # Most keys have the name of their layer.
        for name in (key, key[0] if isinstance(key, tuple) and key else None):
            if isinstance(name, str) and name in self.layers and key in self.layers[name]:
                return self.layers[name][key]
        for layer in self.layers.values():
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(key in layer for layer in self.layers.values())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_dict())

    def __len__(self) -> int:
        return len(self.to_dict())

    def to_dict(self) -> dict[Any, Any]:
        """Return all tasks in one dictionary.

        Returns
        -------
        dict

        Examples
        --------
        >>> from oxidask.highlevelgraph import HighLevelGraph
        >>> HighLevelGraph({"a": {"x": 1}}, {"a": set()}).to_dict()
        {'x': 1}
        """
        return {key: task for layer in self.layers.values() for key, task in layer.items()}

    @property
    def dependents(self) -> dict[str, set[str]]:
        """From names of layers to the names of those that need them."""
        return reverse_dict(self.dependencies)

    def copy(self) -> HighLevelGraph:
        """Return a graph of the same layers.

        Returns
        -------
        HighLevelGraph
        """
        return HighLevelGraph(self.layers, self.dependencies, self.key_dependencies)

    def get_all_external_keys(self) -> set[Any]:
        """Return the keys of all layers that others may need.

        Returns
        -------
        set
        """
        return {key for layer in self.layers.values() for key in layer.get_output_keys()}

    def get_all_dependencies(self) -> dict[Any, set[Any]]:
        """Return what each key needs.

        Returns
        -------
        dict
            From keys to sets of keys.

        Examples
        --------
        >>> from oxidask.highlevelgraph import HighLevelGraph
        >>> HighLevelGraph({"a": {"x": 1, "y": (abs, "x")}}, {"a": set()}).get_all_dependencies()
        {'x': set(), 'y': {'x'}}
        """
        graph = self.to_dict()
        known = self.key_dependencies
        return {
            key: set(known[key]) if key in known else set(get_dependencies(graph, key))
            for key in graph
        }

    def cull(self, keys: Iterable[Any]) -> HighLevelGraph:
        """Leave out the tasks that keys do not need, and layers without tasks.

        Parameters
        ----------
        keys : key or nested list of keys
            What is to be computed.

        Returns
        -------
        HighLevelGraph

        Examples
        --------
        >>> from oxidask.highlevelgraph import HighLevelGraph
        >>> graph = HighLevelGraph({"a": {"x": 1, "y": 2}, "b": {"z": 3}}, {"a": set(), "b": set()})
        >>> graph.cull(["x"]).to_dict()
        {'x': 1}
        """
        all_keys = self.get_all_external_keys()
        needed = set(flatten([list(keys) if isinstance(keys, Set) else keys]))
        layers: dict[str, Layer] = {}
        key_dependencies: dict[Any, set[Any]] = {}
        for name in reversed(self._toposort_layers()):
            layer = self.layers[name]
            wanted = needed.intersection(layer.get_output_keys())
            if not wanted:
                continue
            layers[name], found = layer.cull(wanted, all_keys)
            for key, others in found.items():
                key_dependencies[key] = set(others)
                needed |= key_dependencies[key]
        kept = {name: layers[name] for name in self.layers if name in layers}
        dependencies = {name: self.dependencies[name] & kept.keys() for name in kept}
        return HighLevelGraph(kept, dependencies, key_dependencies)

    def cull_layers(self, layers: Iterable[str]) -> HighLevelGraph:
        """Leave out the layers that others do not need.

        Parameters
        ----------
        layers : iterable of str
            What is needed.

        Returns
        -------
        HighLevelGraph

        Examples
        --------
        >>> from oxidask.highlevelgraph import HighLevelGraph
        >>> graph = HighLevelGraph({"a": {"x": 1}, "b": {"z": 3}}, {"a": set(), "b": set()})
        >>> graph.cull_layers(["b"]).to_dict()
        {'z': 3}
        """
        needed: set[str] = set()
        stack = list(layers)
        while stack:
            name = stack.pop()
            if name not in needed:
                needed.add(name)
                stack.extend(self.dependencies[name])
        return HighLevelGraph(
            {name: layer for name, layer in self.layers.items() if name in needed},
            {name: others for name, others in self.dependencies.items() if name in needed},
        )

    def validate(self) -> None:
        """Raise an error if what layers are said to need is not what their tasks need.

        Raises
        ------
        ValueError
            If a layer is missing, or its dependencies are wrong.
        """
        layer_of: dict[Any, str] = {}
        for name, others in self.dependencies.items():
            for other in (name, *others):
                if other not in self.layers:
                    raise ValueError(f"HighLevelGraph: the layer {other!r} is missing; add it")
        for name, layer in self.layers.items():
            if name not in self.dependencies:
                raise ValueError(
                    f"HighLevelGraph: the layer {name!r} has no dependencies; add set()"
                )
            layer_of.update(dict.fromkeys(layer, name))
        for name, layer in self.layers.items():
            needed = keys_in_tasks(layer_of, layer.values())
            found = {layer_of[key] for key in needed} - {name}
            if found != self.dependencies[name]:
                raise ValueError(
                    f"HighLevelGraph: the layer {name!r} is said to need "
                    f"{sorted(self.dependencies[name])}, but its tasks need {sorted(found)}"
                )

    def visualize(
        self, filename: str | None = "dask-hlg.svg", format: str | None = None, **kwargs: Any
    ) -> Any:
        """Draw the layers and how they need each other.

        Parameters
        ----------
        filename, format, **kwargs
            As for `oxidask.visualize`.

        Returns
        -------
        oxidask.drawing.Picture

        Examples
        --------
        >>> from oxidask.highlevelgraph import HighLevelGraph
        >>> graph = HighLevelGraph({"a": {"x": 1}, "b": {"y": (abs, "x")}}, {"a": [], "b": ["a"]})
        >>> graph.visualize(filename=None).svg.startswith("<svg")
        True
        """
        from oxidask.base import visualize_dsk

        shown = {name: (_layer, *sorted(others)) for name, others in self.dependencies.items()}
        return visualize_dsk(shown, filename=filename, format=format, **kwargs)

    def _toposort_layers(self) -> list[str]:
        """Return the names of the layers, each after those it needs."""
        return toposort(self.dependencies, dependencies=self.dependencies)

    def __repr__(self) -> str:
        lines = [
            f" {number}. {name}: {type(layer).__name__}"
            for number, (name, layer) in enumerate(self.layers.items())
        ]
        return "\n".join([f"HighLevelGraph with {len(self.layers)} layers.", *lines])


def _layer(*needed: Any) -> None:
    """Stand for a layer in pictures."""


def _layer_name(collection: Any, graph: Mapping[Any, Any]) -> str:
    """Return a name for the whole graph of a collection that has no layers."""
    has_layers = hasattr(collection, "__dask_layers__")
    names = list(collection.__dask_layers__() if has_layers else get_collection_names(collection))
    # Several results are one layer all the same.
    return str(names[0]) if len(names) == 1 else str(id(graph))
