"""Pictures of task graphs: what ``.visualize()`` draws.

The engine lays out the graph and writes the file, whatever its format: no graphviz and no font is
needed. Boxes are data, pills are function calls, arrows point from a task to those that use its
result.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oxidask import _core

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
_OTHER_ENGINES = ("graphviz", "cytoscape", "ipycytoscape")
_GRAPHVIZ_ATTRIBUTES = (
    "cmap",
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

    def __init__(self, drawing: _core.Drawing) -> None:
        self._drawing = drawing

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
                return self._drawing.dot("")
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
    engine: str | None = None,
    **kwargs: object,
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
    engine : None, optional
        For Dask's signature; the built-in engine is the only one.
    **kwargs
        Dask's other keywords, which belong to graphviz, raise NotImplementedError.

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

    prefixes = {prefix: index for index, prefix in enumerate(_distinct(tasks))}
    seconds = [task.seconds for task in tasks if task.seconds is not None]
    picture = Picture(
        _core.draw_graph(
            labels=[task.key if verbose else task.label for task in tasks],
            details=[""] * len(tasks) if verbose else _details(tasks),
            keys=[task.key for task in tasks],
            groups=[prefixes[task.prefix] for task in tasks],
            group_names=list(prefixes),
            kinds=[int(task.kind == "call") for task in tasks],
            edges=[(source, k) for k, task in enumerate(tasks) for source in task.dependencies],
            rankdir=rankdir,
            color=color,
            order=[task.order for task in tasks],
            seconds=seconds if len(seconds) == len(tasks) else None,
            maxval=None if maxval is None else round(maxval),
            limit=len(tasks) if limit is None else limit,
            has_results=not collapse_outputs,
        )
    )
    if path is not None:
        picture.save(path)
    return picture


def _distinct(tasks: Sequence[TaskNode]) -> list[str]:
    return list(dict.fromkeys(task.prefix for task in tasks))


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
            "graph without it"
        )
    if engine is not None:
        raise ValueError(f"engine {engine!r} is not known; leave it out to use the built-in one")
    for name in others:
        if name in _GRAPHVIZ_ATTRIBUTES:
            raise NotImplementedError(
                f"{name}= belongs to graphviz, and the built-in engine does not take it; leave it "
                "out, or edit the SVG"
            )
        raise TypeError(
            f"visualize got an unknown keyword {name!r}; known are filename, format, rankdir, "
            "color, limit, maxval, collapse_outputs, verbose and engine"
        )
