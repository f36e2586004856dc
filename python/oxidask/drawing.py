"""Pictures of task graphs: what ``.visualize()`` draws.

The engine lays out the graph and writes the file, whatever its format: no graphviz and no font is
needed. Boxes are data, pills are function calls, arrows point from a task to those that use its
result.
"""

from __future__ import annotations

import importlib
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from oxidask import _core
from oxidask._appearance import appearance

__all__ = ["Picture", "TaskNode", "draw"]

_FORMATS = ("png", "svg", "pdf", "html", "dot", "json")
# What a filename without a suffix means, as in Dask.
_DEFAULT_FORMAT = "png"
_COLORS_TO_COME = (
    "ages",
    "freed",
    "memoryincreases",
    "memorydecreases",
    "memorypressure",
)
_OTHER_ENGINES = ("cytoscape", "ipycytoscape")
_ATTRIBUTES = (
    "data_attributes",
    "edge_attr",
    "function_attributes",
    "graph_attr",
    "node_attr",
    "node_sizes",
)
_INDEX_OF_KEY = re.compile(r"^\(.*?['\"]((?:, *-?\d+)+),?\)$", re.DOTALL)
# In a notebook a picture shrinks to the width of the page, but not beyond this share of its size:
# labels stay readable and the picture scrolls.
_LEAST_SCALE = 0.6


@dataclass(frozen=True, slots=True)
class TaskNode:
    """One task to draw.

    Parameters
    ----------
    key : str
        The whole key as text; shown while the pointer rests on the task.
    label : str
        What is written in it, normally the name of the function.
    prefix : str
        The prefix of the key; tasks of one prefix share a colour, and in a large graph a group.
    kind : {"data", "call"}
        A value that is given, or a function call.
    dependencies : sequence of int
        Positions of the tasks it needs.
    order : int
        Its place in the order of execution, from 0.
    seconds : float, optional
        How long it takes; when all tasks have it, the caption says T1 and T∞.
    """

    key: str
    label: str
    prefix: str
    kind: Literal["data", "call"]
    dependencies: Sequence[int]
    order: int
    seconds: float | None = None


class Picture:
    """A drawing; notebooks show it, `save` writes it, `render` gives the bytes.

    It comes from `draw` or from ``.visualize()``.

    Examples
    --------
    >>> picture = draw([TaskNode("x", "x", "x", "data", [], 0)], filename=None)
    >>> picture.svg.startswith("<svg ")
    True
    """

    def __init__(self, drawing: _core.Drawing, statements: str = "") -> None:
        self._drawing = drawing
        self._statements = statements

    def __repr__(self) -> str:
        width, height = self._drawing.size
        return f"<Picture: {width:,.0f} × {height:,.0f} pixels; `save(filename)` writes it>"

    @property
    def svg(self) -> str:
        """The drawing as an SVG document."""
        return self._drawing.svg()

    def render(self, format: str) -> bytes:
        """Return what a file of some format holds.

        Parameters
        ----------
        format : {"png", "svg", "pdf", "html", "dot", "json"}

        Returns
        -------
        bytes

        Raises
        ------
        ValueError
            If the format is not known, or the drawing is too large for a PNG.

        Examples
        --------
        >>> picture = draw([TaskNode("x", "x", "x", "data", [], 0)], filename=None)
        >>> picture.render("png")[1:4]
        b'PNG'
        """
        name = _checked_format(format, format)
        if name == "png":
            return self._drawing.png()
        if name == "pdf":
            return self._drawing.pdf()
        return self._text(name).encode()

    def _text(self, name: str) -> str:
        match name:
            case "html":
                return self._drawing.html()
            case "dot":
                return self._drawing.dot(self._statements)
            case "json":
                return self._drawing.json()
            case _:
                return self._drawing.svg()

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_png_(self) -> bytes | None:
        try:
            return self.render("png")
        except ValueError:  # too large: the notebook shows the SVG
            return None

    def _repr_html_(self) -> str:
        least = _LEAST_SCALE * self._drawing.size[0]
        style = f"max-width:100%;min-width:{least:.0f}px;height:auto"
        return (
            '<div style="overflow-x:auto">'
            + self.svg.replace("<svg ", f'<svg style="{style}" ', 1)
            + "</div>"
        )

    def save(self, filename: str | os.PathLike[str], format: str | None = None) -> Path:
        """Write the drawing to a file.

        Parameters
        ----------
        filename : str or path
            Where to write; `.png` is added to a name without a suffix.
        format : str, optional
            The format, if the suffix does not say it.

        Returns
        -------
        Path
            The file that was written.

        Raises
        ------
        ValueError
            If the format is not known, or the drawing is too large for a PNG.

        Examples
        --------
        >>> import tempfile
        >>> picture = draw([TaskNode("x", "x", "x", "data", [], 0)], filename=None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     picture.save(f"{folder}/graph.pdf").name
        'graph.pdf'
        """
        path = _path_for(filename, format)
        path.write_bytes(self.render(path.suffix))
        return path


class _GraphvizPicture(Picture):
    """A drawing that graphviz lays out and writes."""

    @property
    def svg(self) -> str:
        return self.render("svg").decode()

    def render(self, format: str) -> bytes:
        name = _checked_format(format, format)
        if name in ("dot", "json"):
            return super().render(name)
        if name == "html":
            raise NotImplementedError(
                "engine='graphviz' writes no html; leave the engine out, or write .svg"
            )
        graphviz = _graphviz()
        source = graphviz.Source(self._drawing.dot(self._statements))
        try:
            written: bytes = source.pipe(format=name)
        except graphviz.ExecutableNotFound as error:
            raise RuntimeError(
                "engine='graphviz' needs the program `dot` of graphviz on the PATH; install "
                "graphviz, or leave the engine out"
            ) from error
        return written

    def _repr_html_(self) -> str:
        return self.svg


def _graphviz() -> Any:
    try:
        return importlib.import_module("graphviz")
    except ImportError:
        raise RuntimeError(
            "engine='graphviz' needs the package graphviz and its program `dot`; install both, or "
            "leave the engine out: the built-in one needs neither"
        ) from None


def draw(
    tasks: Sequence[TaskNode],
    *,
    filename: str | os.PathLike[str] | None = "oxidask",
    format: str | None = None,
    rankdir: str = "TB",
    color: str | None = None,
    limit: int | None = 200,
    maxval: float | None = None,
    collapse_outputs: bool = True,
    verbose: bool = False,
    durations: Mapping[Any, float] | None = None,
    cmap: str | Callable[[float], Any] | None = None,
    engine: str | None = None,
    **kwargs: Any,
) -> Picture:
    """Draw a task graph, and write it to a file.

    Parameters
    ----------
    tasks : sequence of TaskNode
        The tasks; dependencies are positions in this sequence.
    filename : str, path or None, optional
        Where to write. Its suffix is the format: png, svg, pdf, html (with pan, zoom and search),
        dot (for graphviz) or json (what is drawn, and where); without one, `.png` is added. None
        writes nothing.
    format : str, optional
        The format, if the suffix does not say it.
    rankdir : {"TB", "BT", "LR", "RL"}, optional
        Where dependents stand: below their dependencies, above, to the right, to the left.
    color : {None, "order"}, optional
        A colour for each prefix, or one that tells the order of execution, with its number.
    limit : int or None, optional
        The most tasks drawn one by one. A larger graph is drawn as groups of tasks with counts;
        None draws every task of any graph.
    maxval : number, optional
        With ``color="order"``: the place in the order that gets the lightest colour.
    collapse_outputs : bool, optional
        Draw call and result as one shape. False adds a box for the result of each call.
    verbose : bool, optional
        Write whole keys instead of names of functions.
    durations : mapping, optional
        Seconds by key or by prefix, such as ``{"load": 0.5}``. When they are known of all tasks,
        the caption says how long all of them take one after the other (T1), and the longest chain
        (T∞).
    cmap : str or callable, optional
        With ``color="order"``: a colour map of matplotlib, or a function from a place between 0 and
        1 to (red, green, blue), each from 0 to 1.
    engine : {None, "graphviz"}, optional
        "graphviz" lets graphviz lay out and write the picture; it must be installed.
    **kwargs
        Dask's dictionaries of attributes. The built-in engine takes of ``graph_attr`` rankdir, of
        ``node_attr`` color (of borders), fillcolor and penwidth, of ``edge_attr`` color and
        penwidth, and of ``function_attributes`` and ``data_attributes``, which are by key, label
        and fillcolor. Others raise NotImplementedError; graphviz takes them all.

    Returns
    -------
    Picture
        The drawing; notebooks show it.

    Raises
    ------
    ValueError
        If a format, direction or colour is not known, the drawing is too large for a PNG, or tasks
        depend on each other in a circle.
    NotImplementedError
        If Dask has this colour, engine or keyword and Oxidask does not yet.
    TypeError
        If a keyword is not known.
    RuntimeError
        If graphviz is asked for and not installed.

    Examples
    --------
    >>> tasks = [TaskNode(f"Sk-{k}", "Sk", "Sk", "call", [], k) for k in range(64)]
    >>> tasks.append(TaskNode("mean", "mean", "mean", "call", range(64), 64))
    >>> draw(tasks, filename=None).svg.count("<title>")
    66
    """
    _check_choices(color, engine, kwargs)
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be 1 or more, or None for no limit; got {limit}")
    if maxval is not None and maxval < 0:
        raise ValueError(f"maxval is a place in the order of execution, from 0; got {maxval}")
    path = None if filename is None else _path_for(filename, format)
    if path is None and format is not None:
        _checked_format(format, format)

    looks = appearance(kwargs, cmap, engine)
    prefixes = {prefix: index for index, prefix in enumerate(_distinct(tasks))}
    usual = [task.key if verbose else task.label for task in tasks]
    picture = (_GraphvizPicture if engine else Picture)(
        _core.draw_graph(
            labels=[
                looks.labels.get(task.key, label) for task, label in zip(tasks, usual, strict=True)
            ],
            details=[""] * len(tasks) if verbose else _details(tasks),
            keys=[task.key for task in tasks],
            groups=[prefixes[task.prefix] for task in tasks],
            group_names=list(prefixes),
            kinds=[int(task.kind == "call") for task in tasks],
            fills=[looks.fills.get(task.key, looks.fill) for task in tasks],
            edges=[(source, k) for k, task in enumerate(tasks) for source in task.dependencies],
            rankdir=looks.rankdir or rankdir,
            color=color,
            order=[task.order for task in tasks],
            seconds=_seconds(tasks, durations or {}),
            maxval=None if maxval is None else round(maxval),
            limit=len(tasks) if limit is None else limit,
            has_results=not collapse_outputs,
            scale=looks.scale,
            border=looks.border,
            border_width=looks.border_width,
            line=looks.line,
            line_width=looks.line_width,
        ),
        looks.statements,
    )
    if path is not None:
        picture.save(path)
    return picture


def _distinct(tasks: Sequence[TaskNode]) -> list[str]:
    return list(dict.fromkeys(task.prefix for task in tasks))


def _seconds(tasks: Sequence[TaskNode], durations: Mapping[Any, float]) -> list[float] | None:
    """Give how long each task takes, if that is known of all."""
    by_name = {str(name): seconds for name, seconds in durations.items()}
    found = [
        by_name.get(task.key, by_name.get(task.prefix)) if task.seconds is None else task.seconds
        for task in tasks
    ]
    known = [float(seconds) for seconds in found if seconds is not None]
    return known if len(known) == len(tasks) else None


def _details(tasks: Sequence[TaskNode]) -> list[str]:
    """Give the index in each key where it tells tasks of equal labels apart."""
    counts = Counter(task.label for task in tasks)
    return [_index_of(task.key) if counts[task.label] > 1 else "" for task in tasks]


def _index_of(key: str) -> str:
    found = _INDEX_OF_KEY.match(key)
    return found[1].removeprefix(",").strip() if found else ""


def _path_for(filename: str | os.PathLike[str], format: str | None) -> Path:
    """Find the file to write; the format is that of the argument, else of the suffix."""
    path = Path(filename)
    if format is not None:
        wanted = _checked_format(format, format)
        is_named = path.suffix.removeprefix(".").lower() == wanted
        return path if is_named else path.with_name(f"{path.name}.{wanted}")
    if not path.suffix:
        return path.with_name(f"{path.name}.{_DEFAULT_FORMAT}")
    _checked_format(path.suffix, path.name)
    return path


def _checked_format(format: str, given: str) -> str:
    name = format.removeprefix(".").lower()
    if name in _FORMATS:
        return name
    if name in ("jpg", "jpeg"):
        raise NotImplementedError(
            f"visualize cannot write {name} ({given!r}); write .png, which has no blurred texts"
        )
    raise ValueError(
        f"visualize does not know the format {name!r} of {given!r}; "
        f"end the filename in .{', .'.join(_FORMATS)}, or give one of these as format="
    )


def _check_choices(color: str | None, engine: str | None, others: dict[str, object]) -> None:
    if color in _COLORS_TO_COME:
        raise NotImplementedError(f"color={color!r} cannot be drawn yet; use color='order' or None")
    if engine in _OTHER_ENGINES:
        raise NotImplementedError(
            f"engine={engine!r} is not supported; leave it out: the built-in engine draws the "
            "graph without it, and format='html' has zoom and search"
        )
    if engine == "graphviz":
        _graphviz()
    elif engine is not None:
        raise ValueError(
            f"engine {engine!r} is not known; leave it out to use the built-in one, "
            "or give 'graphviz'"
        )
    for name in others:
        if name not in _ATTRIBUTES:
            raise TypeError(
                f"visualize got an unknown keyword {name!r}; known are filename, format, rankdir, "
                "color, cmap, limit, maxval, collapse_outputs, verbose, durations, engine, "
                f"{', '.join(_ATTRIBUTES)}"
            )
