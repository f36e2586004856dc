"""What callers want drawn otherwise, in the words of graphviz, which are those of Dask.

The built-in engine honours some attributes; `appearance` takes these and refuses the others.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_TAKEN = {
    "graph_attr": ("rankdir",),
    "node_attr": ("color", "fillcolor", "penwidth"),
    "edge_attr": ("color", "penwidth"),
    "function_attributes": ("label", "fillcolor"),
    "data_attributes": ("label", "fillcolor"),
}
_OF_TASKS = ("function_attributes", "data_attributes")
_COLOURS = {
    "black": "#000000",
    "blue": "#0000FF",
    "brown": "#A52A2A",
    "cyan": "#00FFFF",
    "gray": "#808080",
    "green": "#008000",
    "grey": "#808080",
    "lightblue": "#ADD8E6",
    "lightgray": "#D3D3D3",
    "lightgreen": "#90EE90",
    "lightgrey": "#D3D3D3",
    "magenta": "#FF00FF",
    "orange": "#FFA500",
    "pink": "#FFC0CB",
    "purple": "#800080",
    "red": "#FF0000",
    "white": "#FFFFFF",
    "yellow": "#FFFF00",
}
_MOST_PIXELS = 10.0
_SCALE_STEPS = 16


@dataclass(frozen=True, slots=True)
class Appearance:
    """Looks that differ from the usual ones."""

    rankdir: str | None = None
    fill: str | None = None
    border: str | None = None
    border_width: float | None = None
    line: str | None = None
    line_width: float | None = None
    scale: list[str] = field(default_factory=list)
    # Of each task, by its key as text.
    labels: dict[str, str] = field(default_factory=dict)
    fills: dict[str, str] = field(default_factory=dict)
    # The attributes as a DOT file says them.
    statements: str = ""


def appearance(
    attributes: Mapping[str, Any], cmap: str | Callable[[float], Any] | None, engine: str | None
) -> Appearance:
    """Read attributes; with engine "graphviz" those of the graph may be any."""
    for name, values in attributes.items():
        _check(name, values, engine)
    graph, node, edge = (
        attributes.get(name) or {} for name in ("graph_attr", "node_attr", "edge_attr")
    )
    labels, fills = {}, {}
    for name in _OF_TASKS:
        for key, values in (attributes.get(name) or {}).items():
            if "label" in values:
                labels[str(key)] = str(values["label"])
            if "fillcolor" in values:
                fills[str(key)] = _colour(f"{name}[{key!r}]['fillcolor']", values["fillcolor"])
    is_read = engine is None
    return Appearance(
        rankdir=graph.get("rankdir"),
        fill=_maybe(_colour, "node_attr", node, "fillcolor"),
        border=_maybe(_colour, "node_attr", node, "color") if is_read else None,
        border_width=_maybe(_pixels, "node_attr", node, "penwidth") if is_read else None,
        line=_maybe(_colour, "edge_attr", edge, "color") if is_read else None,
        line_width=_maybe(_pixels, "edge_attr", edge, "penwidth") if is_read else None,
        scale=_scale(cmap),
        labels=labels,
        fills=fills,
        statements="\n  ".join(
            _statement(name, values)
            for name, values in (("graph", graph), ("node", node), ("edge", edge))
            if values
        ),
    )


def _check(name: str, values: Any, engine: str | None) -> None:
    if name not in _TAKEN:
        raise NotImplementedError(
            f"{name}= belongs to graphviz, and is not taken here; leave it out, or edit the file "
            "that format='dot' writes"
        )
    if values is not None and not isinstance(values, Mapping):
        raise TypeError(f"{name}= is a dictionary of attributes, not {values!r}")
    taken = _TAKEN[name]
    if name in _OF_TASKS:
        wanted = {attribute for one in (values or {}).values() for attribute in one}
        way_out = "leave it out"
    elif engine == "graphviz":
        return
    else:
        wanted = set(values or {})
        way_out = "leave it out, or give engine='graphviz', which takes them all"
    for attribute in sorted(wanted - set(taken)):
        raise NotImplementedError(
            f"{name}= has {attribute!r}, and only {', '.join(taken)} can be drawn; {way_out}"
        )


def _maybe(
    read: Callable[[str, Any], Any], name: str, values: Mapping[str, Any], attribute: str
) -> Any:
    if attribute not in values:
        return None
    return read(f"{name}[{attribute!r}]", values[attribute])


def _colour(name: str, value: Any) -> str:
    text = str(value).lower()
    if text in _COLOURS:
        return _COLOURS[text]
    if re.fullmatch(r"#[0-9a-f]{6}", text):
        return text.upper()
    raise ValueError(f"{name} is no colour: {value!r}; give '#RRGGBB' or a name such as 'orange'")


def _pixels(name: str, value: Any) -> float:
    try:
        width = float(value)
    except (TypeError, ValueError):
        width = -1.0
    if not 0 <= width <= _MOST_PIXELS:
        raise ValueError(f"{name} is a width from 0 to {_MOST_PIXELS:.0f} pixels, not {value!r}")
    return width


def _scale(cmap: str | Callable[[float], Any] | None) -> list[str]:
    """Take colours from a colour map of matplotlib, or a function to red, green and blue."""
    if cmap is None or cmap == "viridis":
        return []
    if isinstance(cmap, str):
        cmap = _colour_map(cmap)
    places = (step / (_SCALE_STEPS - 1) for step in range(_SCALE_STEPS))
    return [
        "#" + "".join(f"{round(255 * float(part)):02X}" for part in tuple(cmap(place))[:3])
        for place in places
    ]


def _colour_map(name: str) -> Callable[[float], Any]:
    try:
        maps = importlib.import_module("matplotlib").colormaps
    except ImportError:
        raise NotImplementedError(
            f"cmap={name!r} is a colour map of matplotlib, which is not installed; install it, "
            "leave cmap out, or give a function from a place between 0 and 1 to (red, green, blue)"
        ) from None
    if name not in maps:
        raise ValueError(f"cmap={name!r} is no colour map of matplotlib, such as 'autumn'")
    found: Callable[[float], Any] = maps[name]
    return found


def _statement(kind: str, values: Mapping[str, Any]) -> str:
    return f"{kind} [{', '.join(f'{name}={_quoted(value)}' for name, value in values.items())}]"


def _quoted(value: Any) -> str:
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
