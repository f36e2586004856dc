"""What an array looks like in a notebook: a table, and a drawing of its blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from oxidask.array._chunks import Chunks, is_unknown
from oxidask.array._expressions import in_order
from oxidask.utils import format_bytes, typename

if TYPE_CHECKING:
    from oxidask.array.core import Array

#: From this many blocks in all operations on, tasks are not counted but estimated.
_COUNTED = 100_000
#: Lines nearer to each other than so many pixels are drawn as a tone.
_NEAREST = 4.0
#: The shortest side, as a part of the longest.
_THINNEST = 0.12
#: How far the third axis goes to the side and up, as a part of its length.
_SLANT = 0.45
_MARGIN, _LETTER = 4.0, 7.0
_FACE, _TOP, _SIDE, _LINE, _DENSE = "#cfe3f3", "#e4f0f9", "#b3d1e8", "#2b5f86", "#8db8d8"

Point = tuple[float, float]


def html(array: Array) -> str:
    """Return an array as a table with its picture."""
    known = not any(map(is_unknown, array.chunks))
    chunk = array.chunksize
    chunk_nbytes = math.prod(chunk) * array.itemsize if known else math.nan
    rows = [
        ("Bytes", _bytes(array.nbytes), _bytes(chunk_nbytes)),
        ("Shape", _shape(array.shape), _shape(chunk)),
        ("Count", _tasks(array), _counted(array.npartitions, "chunk")),
        ("Type", str(array.dtype), typename(type(array._meta))),
    ]
    cells = "".join(
        f"<tr><th>{name}</th><td>{_escaped(whole)}</td><td>{_escaped(part)}</td></tr>"
        for name, whole, part in rows
    )
    table = (
        "<table><thead><tr><td></td><th>Array</th><th>Chunk</th></tr></thead>"
        f"<tbody>{cells}</tbody></table>"
    )
    from oxidask import config

    drawing = svg(array.chunks, config.get("array.svg.size", 120))
    return (
        f'<table style="border:none"><tr><td style="border:none">{table}</td>'
        f'<td style="border:none">{drawing}</td></tr></table>'
    )


def _escaped(text: str) -> str:
    from html import escape

    return escape(text)


def _bytes(nbytes: Any) -> str:
    return "unknown" if nbytes != nbytes else format_bytes(int(nbytes))


def _shape(shape: Sequence[Any]) -> str:
    inner = ", ".join("?" if length != length else str(int(length)) for length in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _tasks(array: Array) -> str:
    most = sum(math.prod(one.grid) for one in in_order(array._expr))
    if most > _COUNTED:
        return f"up to {_counted(most, 'task')}"
    return _counted(len(array.dask), "task")


# ---- The picture ----


def svg(chunks: Chunks, size: float = 120) -> str:
    """Return a drawing of the blocks of an array.

    Parameters
    ----------
    chunks : tuple of tuples of int
        The lengths of the blocks along each axis.
    size : float, default 120
        The longest side in pixels.

    Returns
    -------
    str
        An SVG element. More than three axes are drawn as several boxes, the first axes first.
    """
    if isinstance(size, bool) or not isinstance(size, int | float) or not 1 <= size < math.inf:
        raise ValueError(f"to_svg(size={size!r}): the size is a number of pixels, from 1 on")
    first = len(chunks) % 3 or 3
    groups = [chunks[:first], *(chunks[at : at + 3] for at in range(first, len(chunks), 3))]
    drawn = [_box(group, float(size)) for group in groups]
    height = max(one.height for one in drawn)
    body, x = [], 0.0
    for one in drawn:
        body.append(f'<g transform="translate({x:.1f},{height - one.height:.1f})">')
        body += one.parts
        body.append("</g>")
        x += one.width + _MARGIN
    width = x - _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}" font-family="sans-serif" font-size="12" '
        f'stroke-width="1">{"".join(body)}</svg>'
    )


class _Drawn:
    """Parts of a drawing, and how large it is."""

    def __init__(self, parts: list[str], width: float, height: float) -> None:
        self.parts, self.width, self.height = parts, width, height


def _box(chunks: Chunks, size: float) -> _Drawn:
    """Draw up to three axes: the last one to the right, the one before down, the first back."""
    # Axes that are not there have one place and no name.
    spelled = ((1,),) * (3 - len(chunks)) + tuple(chunks)
    names = [_name(lengths) for lengths in chunks]
    depth, height, width = _sides(spelled, size)
    if len(chunks) < 3:
        depth = 0.0
    if len(chunks) < 2:
        height = size * _THINNEST * 2
    if not chunks:
        width = height
    back = (depth * _SLANT, -depth * _SLANT)
    left, top = _MARGIN, _MARGIN - back[1]
    corner = (left, top)
    right, down = (width, 0.0), (0.0, height)
    parts = [*_face(corner, down, right, spelled[1], spelled[2], _FACE)]
    if depth:
        parts += _face(corner, back, right, spelled[0], spelled[2], _TOP)
        parts += _face((left + width, top), back, down, spelled[0], spelled[1], _SIDE)
    total_width = left + width + back[0] + _MARGIN
    total_height = top + height + _MARGIN
    if names:
        parts.append(_text((left + width / 2, top + height + 13), names[-1]))
        total_height += 13
    if len(names) > 1:
        turned = (left + width + back[0] + 8, top + back[1] + height / 2)
        parts.append(_text(turned, names[-2], turn=-90))
        total_width += 14
    if len(names) > 2:
        half = (left + back[0] / 2 - 4, top + back[1] / 2 - 2)
        parts.append(_text(half, names[0], anchor="end"))
        shift = max(0.0, len(names[0]) * _LETTER - half[0] + _MARGIN)
        parts = [f'<g transform="translate({shift:.1f},0)">', *parts, "</g>"]
        total_width += shift
    least = max(len(name) for name in names) * _LETTER + 2 * _MARGIN if names else 0
    if least > total_width:
        parts = [f'<g transform="translate({(least - total_width) / 2:.1f},0)">', *parts, "</g>"]
        total_width = least
    return _Drawn(parts, total_width, total_height)


def _name(lengths: tuple[Any, ...]) -> str:
    return "?" if is_unknown(lengths) else str(sum(lengths))


def _places(lengths: tuple[Any, ...]) -> list[float]:
    """Return where blocks end along an axis, as parts of its length."""
    if is_unknown(lengths) or not sum(lengths):
        lengths = (1,) * len(lengths)
    whole = sum(lengths)
    return [place / whole for place in accumulate(lengths)][:-1]


def _sides(chunks: Chunks, size: float) -> list[float]:
    """Return how long axes are drawn; long ones are shortened, so that short ones are seen."""
    lengths = [
        float(len(one)) if is_unknown(one) or not sum(one) else float(sum(one)) for one in chunks
    ]
    longest = max(lengths)
    return [size * max(_THINNEST, (length / longest) ** 0.6) for length in lengths]


def _face(
    corner: Point,
    along: Point,
    across: Point,
    rows: tuple[Any, ...],
    columns: tuple[Any, ...],
    colour: str,
) -> Iterator[str]:
    """Draw a face of a box: its outline, and a line where blocks meet."""
    x, y = corner
    points = [
        (x, y),
        (x + across[0], y + across[1]),
        (x + across[0] + along[0], y + across[1] + along[1]),
        (x + along[0], y + along[1]),
    ]
    listed = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    yield f'<polygon points="{listed}" fill="{colour}" stroke="none"/>'
    for lengths, step, line in ((rows, along, across), (columns, across, along)):
        places, stroke = _seen(_places(lengths), math.hypot(*step))
        dashes = ' stroke-dasharray="3,2"' if is_unknown(lengths) else ""
        path = " ".join(
            f"M{x + part * step[0]:.1f},{y + part * step[1]:.1f}l{line[0]:.1f},{line[1]:.1f}"
            for part in places
        )
        if path:
            yield f'<path d="{path}" fill="none" stroke="{stroke}"{dashes}/>'
    yield f'<polygon points="{listed}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>'


def _seen(places: list[float], pixels: float) -> tuple[list[float], str]:
    """Return the lines that are drawn, and their colour: of many near each other only some."""
    count = max(1, int(pixels / _NEAREST))
    if len(places) < count:
        return places, _LINE
    kept: dict[int, float] = {}
    for place in places:
        kept.setdefault(int(place * count), place)
    return list(kept.values()), _DENSE


def _text(at: Point, text: str, turn: float = 0, anchor: str = "middle") -> str:
    turned = f' transform="rotate({turn:.0f},{at[0]:.1f},{at[1]:.1f})"' if turn else ""
    baseline = ' dominant-baseline="middle"' if turn else ""
    return (
        f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}" fill="currentColor"'
        f"{baseline}{turned}>{text}</text>"
    )
