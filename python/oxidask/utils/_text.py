"""Sizes and durations as text, and names that users see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

#: Bytes in each unit that `parse_bytes` knows, in small letters.
byte_sizes: dict[str, int] = {
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", 1)},
    **{letter: 1000**power for power, letter in enumerate("kmgtp", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgtp", 1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate("kmgtp", 1)},
    "b": 1,
    "": 1,
}

_UNITS_OF_TIME = {
    "ns": 1e-9, "nanosecond": 1e-9,
    "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "microsecond": 1e-6,
    "ms": 1e-3, "millisecond": 1e-3,
    "s": 1, "second": 1,
    "m": 60, "minute": 60,
    "h": 3600, "hour": 3600,
    "d": 86400, "day": 86400,
    "w": 604800, "week": 604800,
}  # fmt: skip


def format_bytes(n: float) -> str:
    """Write a number of bytes as text.

    Parameters
    ----------
    n : int

    Returns
    -------
    str
        With two digits after the point, in the largest binary unit of which there is 0.9 or more.

    Examples
    --------
    >>> from oxidask.utils import format_bytes
    >>> [format_bytes(n) for n in (1, 1234, 12345678, 1_000_000_000)]
    ['1 B', '1.21 kiB', '11.77 MiB', '0.93 GiB']
    """
    for power, letter in ((5, "P"), (4, "T"), (3, "G"), (2, "M"), (1, "k")):
        if n >= 1024**power * 0.9:
            return f"{n / 1024**power:.2f} {letter}iB"
    return f"{n} B"


def parse_bytes(s: float | str) -> int:
    """Read a number of bytes from text.

    Parameters
    ----------
    s : str or number
        A number and a unit, in any case of letters: kB, MB … are powers of 1000, kiB, MiB … of
        1024. A number alone is bytes, a unit alone one of it.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the text is something else.

    Examples
    --------
    >>> from oxidask.utils import parse_bytes
    >>> [parse_bytes(s) for s in ("100", "100 MB", "5.4 kB", "1kiB", "1e6", "GiB", 12)]
    [100, 100000000, 5400, 1024, 1000000, 1073741824, 12]
    """
    if isinstance(s, int | float):
        return int(s)
    if not isinstance(s, str):
        raise TypeError(f"parse_bytes: a text such as '5 MB' is needed, not {s!r}")
    number, unit = _number_and_unit(s)
    if unit.lower() not in byte_sizes:
        raise ValueError(
            f"parse_bytes({s!r}): {unit!r} is no unit of bytes; use B, kB, MB, GB, TB, PB, or kiB, "
            "MiB, GiB, TiB, PiB"
        )
    try:
        return int(float(number) * byte_sizes[unit.lower()])
    except ValueError:
        raise ValueError(
            f"parse_bytes({s!r}): {number!r} is no number; write for example '1.5 GiB'"
        ) from None


def _number_and_unit(text: str) -> tuple[str, str]:
    """Split a text where its last letters begin; the number is 1 if there is none."""
    text = text.replace(" ", "")
    place = len(text)
    while place and text[place - 1].isalpha():
        place -= 1
    return text[:place] or "1", text[place:]


def format_time(n: float) -> str:
    """Write seconds as text.

    Parameters
    ----------
    n : float
        Seconds.

    Returns
    -------
    str
        With the units that suit: us, ms, s, minutes, hours, days.

    Examples
    --------
    >>> from oxidask.utils import format_time
    >>> [format_time(n) for n in (0.001234, 1.5, 1234, 12345, 1234567)]
    ['1.23 ms', '1.50 s', '20m 34s', '3hr 25m', '14d 6hr']
    """
    if n > 48 * 3600:
        return f"{int(n / 86400)}d {int(n % 86400 / 3600)}hr"
    if n > 2 * 3600:
        return f"{int(n / 3600)}hr {int(n % 3600 / 60)}m"
    if n > 600:
        return f"{int(n / 60)}m {int(n % 60)}s"
    if n >= 1:
        return f"{n:.2f} s"
    if n >= 1e-3:
        return f"{n * 1e3:.2f} ms"
    return f"{n * 1e6:.2f} us"


def parse_timedelta(s: Any, default: str | bool = "seconds") -> Any:
    """Read a duration from text.

    Parameters
    ----------
    s : str, number, datetime.timedelta or None
        A number and a unit, from ns to weeks. None is returned as it is.
    default : str or False
        The unit of a number alone; with False a unit is needed.

    Returns
    -------
    int, float or None
        Seconds.

    Raises
    ------
    ValueError
        If the text is something else.

    Examples
    --------
    >>> from oxidask.utils import parse_timedelta
    >>> [parse_timedelta(s) for s in ("3s", "3.5 seconds", "300ms", "5 minutes", "1h", 7)]
    [3, 3.5, 0.3, 300, 3600, 7]
    >>> parse_timedelta(300, default="ms")
    0.3
    """
    if s is None:
        return None
    if isinstance(s, timedelta):
        return _whole(s.total_seconds())
    number, unit = _number_and_unit(str(s))
    if not str(s).strip():
        raise ValueError("parse_timedelta: the text is empty; write for example '5 s'")
    if not unit:
        if default is False:
            raise ValueError(
                f"parse_timedelta({s!r}): the unit is missing; write for example '5 s'"
            )
        if not isinstance(default, str):
            raise TypeError(
                f"parse_timedelta(default=): give a unit such as 's', or False, not {default!r}"
            )
        unit = default
    name = unit.lower()
    if len(name) > 3:
        name = name.removesuffix("s")
    factor = _UNITS_OF_TIME.get(name)
    if factor is None:
        raise ValueError(
            f"parse_timedelta({s!r}): {unit!r} is no unit of time; use one of "
            f"{', '.join(_UNITS_OF_TIME)}"
        )
    try:
        return _whole(float(number) * factor)
    except ValueError:
        raise ValueError(
            f"parse_timedelta({s!r}): {number!r} is no number; write for example '1.5 h'"
        ) from None


def _whole(n: float) -> float:
    return int(n) if n == int(n) else n


def memory_repr(num: float) -> str:
    """Write a number of bytes as short text.

    Parameters
    ----------
    num : float

    Returns
    -------
    str

    Examples
    --------
    >>> from oxidask.utils import memory_repr
    >>> memory_repr(5000)
    '4.9 KB'
    """
    for unit in ("bytes", "KB", "MB", "GB"):
        if num < 1024:
            return f"{num:.1f} {unit}"
        num /= 1024
    return f"{num:.1f} TB"


def typename(typ: Any, short: bool = False) -> str:
    """Return the name of a type with its module.

    Parameters
    ----------
    typ : type or object
        For another object, its type counts.
    short : bool, default False
        Whether to leave out modules inside the package.

    Returns
    -------
    str

    Examples
    --------
    >>> from oxidask.utils import typename
    >>> from collections.abc import Mapping
    >>> typename(1), typename(Mapping), typename(Mapping, short=True)
    ('int', 'collections.abc.Mapping', 'collections.Mapping')
    """
    if not isinstance(typ, type):
        return typename(type(typ), short)
    module = typ.__module__
    if not module or module == "builtins":
        return typ.__name__
    return f"{module.split('.')[0] if short else module}.{typ.__name__}"


_HASH_OF_LETTERS = re.compile("[a-f]{8}")


def key_split(s: Any) -> str:
    """Return what keys of one kind of task share: the words before hashes and numbers.

    Parameters
    ----------
    s : key
        Of a tuple the first element counts.

    Returns
    -------
    str
        ``"data"`` for a key that is a hash, ``"Other"`` for one that is no text.

    Examples
    --------
    >>> from oxidask.utils import key_split
    >>> [key_split(s) for s in ("x-1-2", ("sum-agg-3f2a91c0", 0), "hello-world", None)]
    ['x', 'sum-agg', 'hello-world', 'Other']
    >>> key_split("ae05086432ca935f6eba409a8ecd4896")
    'data'
    """
    if isinstance(s, tuple) and s:
        return key_split(s[0])
    if isinstance(s, bytes):
        s = s.decode(errors="replace")
    if not isinstance(s, str):
        return "Other"
    first, *others = s.split("-")
    # A key that was made from the text of a tuple or of an object.
    first = first.strip("_'()\"<>") if not first or not first[0].isalpha() else first
    words = [first.split(",")[0].strip("'\"")]
    for word in others:
        if not word.isalpha() or _HASH_OF_LETTERS.fullmatch(word):
            break
        words.append(word)
    if len(words) == 1 and re.fullmatch("[a-f0-9]{32}", words[0]):
        return "data"
    name = "-".join(words)
    return name.split()[0].rpartition(".")[2] if " object at " in f"{name} " else name or "Other"


def natural_sort_key(s: str) -> list[str | int]:
    """Give a key for `sorted` by which numbers in text are compared as numbers.

    Parameters
    ----------
    s : str

    Returns
    -------
    list

    Examples
    --------
    >>> from oxidask.utils import natural_sort_key
    >>> sorted(["f10", "f2"], key=natural_sort_key)
    ['f2', 'f10']
    """
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", s)]


def stringify(obj: Any, exclusive: Iterable[Any] | None = None) -> Any:
    """Turn keys into text: tuples become their representation, text and bytes stay.

    Parameters
    ----------
    obj : object
    exclusive : iterable, optional
        Only these are turned; tasks, lists and dictionaries are then looked into.

    Returns
    -------
    object

    Examples
    --------
    >>> from oxidask.utils import stringify
    >>> stringify(("x", 0)), stringify("x")
    ("('x', 0)", 'x')
    >>> stringify([("x", 0), ("y", 0)], exclusive={("x", 0)})
    ["('x', 0)", ('y', 0)]
    """
    if isinstance(obj, str | bytes):
        return obj
    if exclusive is None:
        return str(obj)
    chosen = exclusive if isinstance(exclusive, Mapping | set | frozenset) else set(exclusive)

    def turned(part: Any) -> Any:
        if isinstance(part, list):
            return [turned(one) for one in part]
        if isinstance(part, dict):
            return {key: turned(value) for key, value in part.items()}
        try:
            if part in chosen:
                return stringify(part)
        except TypeError:  # It has no hash.
            pass
        return tuple(turned(one) for one in part) if type(part) is tuple else part

    return turned(obj)
