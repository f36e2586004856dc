"""What will be run for an array, for somebody to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oxidask._core import outline

if TYPE_CHECKING:
    from oxidask.array.core import Array

#: Functions of a task that are named; of more, the first and the last are.
_NAMED = 8


def text(array: Array) -> str:
    """Return the plan of an array as lines: each part, and below it what it reads.

    Parameters
    ----------
    array : Array
        What would be computed.

    Returns
    -------
    str
        One line for each part. What several parts read is written out once.
    """
    parts = dict(outline(array._expr.layer().all_blocks()))
    read = {number for part in parts.values() for number in part[-1]}
    lines: list[str] = []
    seen: set[int] = set()
    stack = [(number, 0) for number in parts if number not in read]
    while stack:
        number, depth = stack.pop()
        name, grid, blocks, has_tasks, functions, inputs = parts[number]
        line = "  " * depth + f"{name or 'blocks'}: {_count(grid, blocks, has_tasks)}"
        if number in seen:
            lines.append(f"{line}, as above")
            continue
        seen.add(number)
        calls = [_name_of(function) for function in functions]
        if len(calls) > _NAMED:
            half = _NAMED // 2
            calls[half:-half] = [f"… {len(calls) - 2 * half} more …"]
        lines.append(line + (f" of {' → '.join(calls)}" if calls else ""))
        stack.extend((one, depth + 1) for one in reversed(inputs))
    return "\n".join(lines)


def _count(grid: list[int], blocks: int, has_tasks: bool) -> str:
    kind = "task" if has_tasks else "block"
    counted = f"{blocks:,} {kind}{'' if blocks == 1 else 's'}"
    if len(grid) < 2 or 1 in (blocks, len(grid)):
        return counted
    shape = " × ".join(f"{one:,}" for one in grid)
    whole = 1
    for one in grid:
        whole *= one
    return f"{counted}, {shape}" if blocks == whole else f"{counted} out of {shape}"


def _name_of(function: Any) -> str:
    for one in (function, getattr(function, "func", None), type(function)):
        name = getattr(one, "__name__", None)
        if name:
            return str(name)
    raise AssertionError("each class has a name")
