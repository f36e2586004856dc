"""Writes answers about a run for people: sentences and tables, as text or in Markdown."""

from __future__ import annotations

import base64
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from oxidask.utils import format_bytes

TEXT, MARKDOWN = "text", "markdown"
#: Columns of text at most.
WIDTH = 100
#: Characters of a thread's strip in ``stream``.
STRIP = 40
#: Columns of what may be long in a table, if something else has to have room, too.
_LEAST = 12
#: Lines of a traceback at most: what was raised stands at its end.
_TRACEBACK = 12

_BINS = {
    "compute": "computing",
    "gil": "waiting for the GIL",
    "blocked": "tasks sleep or wait for I/O",
    "transfer": "waiting for data",
    "disk": "reading and writing disk",
    "paused": "paused for memory",
    "serialize": "packing results",
    "overhead": "between tasks",
    "scheduler": "waiting for the scheduler",
    "starved": "no task to run",
    "unknown": "unknown",
}


@dataclass
class Heading:
    """What stands first: a sentence that has the answer."""

    text: str


@dataclass
class Lines:
    """Sentences, each in a line of its own; one that is longer goes on in the next."""

    lines: Sequence[str]
    bullet: str = ""


@dataclass
class Code:
    """Lines that are shown as they are."""

    lines: Sequence[str]


@dataclass
class Table:
    """Rows with a heading each column; a column whose name begins with ``>`` is of numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Heading | Lines | Code | Table


def written(blocks: Iterable[Block], form: str, to: TextIO) -> str:
    """Write blocks as text, or in Markdown."""
    if form == MARKDOWN:
        return "\n\n".join(filter(None, map(_in_markdown, blocks))) + "\n"
    is_bold = to.isatty()
    return "\n\n".join(filter(None, (_in_text(block, is_bold) for block in blocks))) + "\n"


# ---- Text ----


def _in_text(block: Block, is_bold: bool) -> str:
    match block:
        case Heading(text):
            lines = _wrapped(_clean(text), "")
            return "\n".join(f"\033[1m{line}\033[0m" if is_bold else line for line in lines)
        case Lines(lines, bullet):
            return "\n".join(part for line in lines for part in _wrapped(_clean(line), bullet))
        case Code(lines):
            return "\n".join("    " + _cut(_clean(line), WIDTH - 4) for line in lines)
        case Table():
            return _table_in_text(block)


def _wrapped(line: str, bullet: str) -> list[str]:
    first = f"{bullet} " if bullet else ""
    # Text of double width is broken sooner than need be.
    wide = sum(_width(character) == 2 for character in line)
    width = max(WIDTH - wide, WIDTH // 2)
    rest = " " * len(first) or "  "
    return textwrap.wrap(line, width, initial_indent=first, subsequent_indent=rest) or [""]


def _table_in_text(table: Table) -> str:
    if not table.rows:
        return ""
    names = [name.lstrip(">") for name in table.columns]
    rows = [[_clean(cell) for cell in row] for row in table.rows]
    widths = [max(map(_width, column)) for column in zip(names, *rows, strict=True)]
    # What is longest gives way, until all fits.
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH:
        longest = widths.index(max(widths))
        if widths[longest] <= _LEAST:
            break
        widths[longest] -= 1
    lines = []
    for row in [names, *rows]:
        cells = [
            _filled(_cut(cell, width), width, name.startswith(">"))
            for cell, width, name in zip(row, widths, table.columns, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _filled(text: str, width: int, is_number: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if is_number else text + space


def _width(text: str) -> int:
    def of(character: str) -> int:
        if unicodedata.combining(character):
            return 0
        return 2 if unicodedata.east_asian_width(character) in "WF" else 1

    return len(text) if text.isascii() else sum(map(of, text))


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    # Beyond this there may only be marks above letters: names are not worth more.
    text = text[: 2 * width]
    while _width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _clean(text: str) -> str:
    """Return a text that does nothing to a terminal: names and errors may be anything."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


# ---- Markdown ----


def _in_markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"**{_escaped(text)}**"
        case Lines(lines, bullet):
            start = "- " if bullet or len(lines) > 1 else ""
            return "\n".join(start + _escaped(line) for line in lines)
        case Code(lines):
            return "\n".join("    " + _clean(line) for line in lines)
        case Table(columns, rows):
            if not rows:
                return ""
            names = [name.lstrip(">") or " " for name in columns]
            marks = ["---:" if name.startswith(">") else ":---" for name in columns]
            cells = [names, marks, *([_escaped(cell) for cell in row] for row in rows)]
            return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _escaped(text: str) -> str:
    marked = "\\`*_{}[]<>|#&"
    return "".join("\\" + one if one in marked else one for one in _clean(text))


# ---- What is in an answer ----


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 100:
        return f"{seconds / 60:.1f} min"
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return "0 s" if seconds == 0 else f"{seconds * 1e9:.0f} ns"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else "< 1 %"


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _overview(told: Any) -> list[Block]:
    tasks, memory, remaining = told["tasks"], told["memory"], told["remaining"]
    state = {"replay": "from a file"}.get(told["state"], told["state"])
    counts = [f"{tasks['finished']:,} of {_several(tasks['total'], 'task')} finished"]
    shown = (("processing", "given out"), ("waiting", "wait"), ("no_worker", "have no worker"))
    counts += [f"{tasks[name]:,} {text}" for name, text in shown if tasks[name]]
    if tasks["erred"]:
        counts.append(f"{tasks['erred']:,} failed")
    line = ", ".join(counts)
    if remaining is not None:
        line += f"; {_seconds(remaining['low'])} to {_seconds(remaining['high'])} to go"
    of = "" if memory["limit"] is None else f" of {format_bytes(memory['limit'])}"
    lines = [
        f"State: {state}, {_seconds(told['now'])} after its beginning.",
        f"Tasks: {line}.",
        f"Workers: {told['workers']}, with {_several(told['threads'], 'thread')}, of which "
        f"{told['busy']} run a task.",
        f"Memory: {format_bytes(memory['used'])}{of}, {format_bytes(memory['stored'])} of it "
        f"results; {format_bytes(memory['spilled'])} on disk.",
    ]
    if told["dropped"]:
        lines.append(f"Records that were lost: {told['dropped']:,}.")
    bad = [mark for mark in told["marks"] if mark["level"] != "info"]
    return [
        Heading(told["verdict"]["sentence"]),
        Lines(lines),
        _group_table(told["groups"]),
        _mark_table(bad[:5]),
    ]


def _verdict(told: Any) -> list[Block]:
    begin, end = told["window"]
    bins = sorted(told["bins"].items(), key=lambda entry: -entry[1])
    rows = [
        [_BINS.get(name, name), _percent(share), "#" * round(30 * share)]
        for name, share in bins
        if share > 0
    ]
    lines = [evidence["text"][:1].upper() + evidence["text"][1:] for evidence in told["evidence"]]
    last = (
        f"{told['verdict']}, with {told['confidence']} confidence, from {_seconds(begin)} to "
        f"{_seconds(end)}: {_seconds(told['thread_seconds'])} of threads."
    )
    return [
        Heading(told["sentence"]),
        Lines(told["advice"], "-"),
        Lines([f"{line}." for line in lines], "-"),
        Table(["where the time of threads went", ">share", ""], rows),
        Lines([last]),
    ]


def _progress(told: Any) -> list[Block]:
    groups = told["groups"]
    title = _several(told["total"], "group")
    if len(groups) < told["total"]:
        title += f", of which {len(groups)} are shown"
    return [Heading(f"{title}."), _group_table(groups)]


def _group_table(groups: Any) -> Table:
    columns = [
        *("group", ">finished", ">of", ">given out", ">failed", ">median", ">p95", ">in all"),
        ">results",
    ]
    rows = [
        [
            group["name"],
            f"{group['finished']:,}",
            f"{group['tasks']:,}",
            f"{group['processing']:,}",
            f"{group['erred']:,}",
            _seconds(group["median"]),
            _seconds(group["p95"]),
            _seconds(group["seconds"]),
            format_bytes(group["out_bytes"]),
        ]
        for group in groups
    ]
    return Table(columns, rows)


def _workers(told: Any) -> list[Block]:
    workers = told["workers"]
    there = [worker for worker in workers if worker["left"] is None]
    title = f"{_several(len(there), 'worker')} of {told['total']} there."
    columns = [
        *("worker", "state", ">pid", ">threads", ">busy", ">ended", ">cores", ">memory"),
        *(">computing", "runs"),
    ]
    rows = [
        [
            worker["name"],
            worker["state"],
            str(worker["pid"]),
            str(worker["threads"]),
            str(worker["busy"]),
            f"{worker['ended']:,}",
            f"{worker['cpu']:.1f}",
            format_bytes(worker["memory"]["process"]),
            _percent(worker["bins"]["compute"]),
            ", ".join(task["key"] or "?" for task in worker["running"]),
        ]
        for worker in workers
    ]
    gone = [
        f"Worker {worker['name']} {worker['cause']}."
        for worker in workers
        if worker["left"] is not None and worker["cause"]
    ]
    return [Heading(title), Table(columns, rows), Lines(gone[:10])]


def _errors(told: Any) -> list[Block]:
    errors = told["errors"]
    if not told["total"]:
        return [Heading("No task has raised.")]
    rows = [
        [f"{error['count']:,}", error["exception"], error["name"], error["key"]] for error in errors
    ]
    blocks: list[Block] = [
        Heading(f"Tasks raised {_several(told['total'], 'time')}."),
        Table([">times", "exception", "group", "first"], rows),
    ]
    traceback = errors[0]["traceback"].rstrip().splitlines() if errors else []
    if len(traceback) > _TRACEBACK:
        traceback = ["…", *traceback[-_TRACEBACK:]]
    return [*blocks, Code(traceback)]


def _events(told: Any) -> list[Block]:
    marks = told["marks"]
    bad = sum(mark["level"] != "info" for mark in marks)
    title = f"{_several(len(marks), 'event')}, the newest first; {bad} of them to look at."
    return [Heading(title if marks else "Nothing has happened."), _mark_table(marks)]


def _mark_table(marks: Any) -> Table:
    rows = [[_seconds(mark["t"]), mark["level"], mark["kind"], mark["text"]] for mark in marks]
    return Table([">at", "level", "event", ""], rows)


def _headroom(told: Any) -> list[Block]:
    predicted = [
        [f"{one['cores']:.0f}", _seconds(one["low"]), _seconds(one["high"])]
        for one in told["predicted"]
    ]
    critical = [[step["name"], _seconds(step["seconds"])] for step in told["critical"]]
    names = [_seconds(edge) for edge in told["granularity"]["edges"]]
    between = [f"< {names[0]}", *(f"< {name}" for name in names[1:]), f"≥ {names[-1]}"]
    lengths = [
        [name, f"{count:,}"]
        for name, count in zip(between, told["granularity"]["tasks"], strict=True)
        if count
    ]
    tinf = told["tinf"]
    lines = [f"All tasks together: {_seconds(told['t1'])}."]
    if tinf is not None:
        text = f"The longest chain of tasks that need each other: {_seconds(tinf)}"
        note = f" ({told['tinf_error']})" if told["tinf_error"] else ""
        lines.append(f"{text}{note}.")
    return [
        Heading(told["sentence"]),
        Lines(lines),
        Table([">threads", ">at best", ">at worst"], predicted),
        Table(["longest chain", ">time"], critical),
        Table(["tasks that last", ">tasks"], lengths),
    ]


def _stream(told: Any) -> list[Block]:
    begin, end = told["t0"], told["t1"]
    shares = _busy_by_row(told)
    rows = []
    for row, cells in zip(told["rows"], shares, strict=True):
        strip = "".join(" .-=#"[min(4, round(4 * min(cell, 1.0) + 0.4))] for cell in cells)
        busy = sum(cells) / max(len(cells), 1)
        rows.append([row["name"], str(row["thread"]), _percent(min(busy, 1.0)), f"|{strip}|"])
    total = [sum(cells) / max(len(cells), 1) for cells in shares]
    mean = min(sum(total) / max(len(total), 1), 1.0)
    names = sorted(
        (group["color"] if group["color"] is not None else 1 << 30, group["name"])
        for group in told["groups"].values()
    )
    text = (
        f"From {_seconds(begin)} to {_seconds(end)}, {_several(told['rows_total'], 'thread')} ran "
        f"tasks {_percent(mean)} of their time."
    )
    return [
        Heading(text),
        Table(["worker", ">thread", ">busy", f"{_seconds(begin)} to {_seconds(end)}"], rows),
        Lines(["Groups: " + ", ".join(name for _, name in names)] if names else []),
    ]


def _busy_by_row(told: Any) -> list[list[float]]:
    """Return what share of each pixel each thread ran tasks."""
    pixels, rows = told["px"], len(told["rows"])
    if told["mode"] == "tiles":
        busy = base64.b64decode(told["busy"])
        return [
            [one / 255 for one in busy[row * pixels : (row + 1) * pixels]] for row in range(rows)
        ]
    step = max(told["t1"] - told["t0"], 1e-9) / pixels
    shares = [[0.0] * pixels for _ in range(rows)]
    spans = told["spans"]
    for row, start, duration in zip(spans["row"], spans["start"], spans["duration"], strict=True):
        begin = max((start - told["t0"]) / step, 0.0)
        end = min((start + duration - told["t0"]) / step, float(pixels))
        for pixel in range(int(begin), min(int(end) + 1, pixels)):
            part = min(end, pixel + 1) - max(begin, pixel)
            shares[row][pixel] += max(part, 0.0)
    return shares


#: What writes the answers of views.
BLOCKS: dict[str, Callable[[Any], list[Block]]] = {
    "overview": _overview,
    "verdict": _verdict,
    "progress": _progress,
    "workers": _workers,
    "errors": _errors,
    "events": _events,
    "headroom": _headroom,
    "stream": _stream,
}
