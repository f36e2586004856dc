"""Names that users see: of functions in keys, of tasks in groups."""

from __future__ import annotations

import functools
import re
from typing import Any

_HASH = re.compile(r"[0-9a-f]{8,}")


def funcname(function: Any) -> str:
    """Return a short name for a callable.

    Parameters
    ----------
    function : callable

    Returns
    -------
    str
        Its name without module; that of the function inside for partial objects and methods.

    Examples
    --------
    >>> funcname(print), funcname(functools.partial(int, base=2))
    ('print', 'int')
    """
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        name = type(function).__name__
    return "lambda" if name == "<lambda>" else name


def prefix_of_key(key: Any) -> str:
    """Return the part of a key that tasks of one kind share.

    Parameters
    ----------
    key : str, bytes, int, float or tuple
        Of a tuple the first element counts.

    Returns
    -------
    str
        The key without hashes and numbers at its end.

    Examples
    --------
    >>> prefix_of_key(("sum-3f2a91c07d", 0)), prefix_of_key("load-12")
    ('sum', 'load')
    """
    while isinstance(key, tuple) and key:
        key = key[0]
    if isinstance(key, bytes):
        key = key.decode(errors="replace")
    if not isinstance(key, str):
        return type(key).__name__
    words = key.split("-")
    while len(words) > 1 and (words[-1].isdigit() or _HASH.fullmatch(words[-1])):
        words.pop()
    return "-".join(words) or key


def public_names(kind: type) -> list[str]:
    """Return what ``dir()`` of a lazy value shows: the attributes of its class.

    Parameters
    ----------
    kind : type

    Returns
    -------
    list of str

    Examples
    --------
    >>> "bit_length" in public_names(int)
    True
    """
    return dir(kind)
