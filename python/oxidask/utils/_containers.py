"""Nested lists, and containers turned into others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def deepmap(func: Callable[..., Any], *seqs: Any) -> Any:
    """Apply a function to the elements of nested lists.

    Parameters
    ----------
    func : callable
    *seqs : nested lists or iterators
        With several, they are walked side by side.

    Returns
    -------
    nested list

    Examples
    --------
    >>> from oxidask.utils import deepmap
    >>> deepmap(abs, [[-1], [-2, [-3]]])
    [[1], [2, [3]]]
    """
    if isinstance(seqs[0], list | Iterator):
        return [deepmap(func, *items) for items in zip(*seqs, strict=False)]
    return func(*seqs)


def ndeepmap(n: int, func: Callable[[Any], Any], seq: Any) -> Any:
    """Apply a function to the elements of lists nested `n` deep.

    Parameters
    ----------
    n : int
        Depth; with 0 the function is applied to `seq` itself, or to its first element if it is a
        list.
    func : callable
    seq : nested list

    Returns
    -------
    nested list

    Examples
    --------
    >>> from oxidask.utils import ndeepmap
    >>> ndeepmap(1, abs, [-1, -2]), ndeepmap(2, abs, [[-1, -2], [-3]])
    ([1, 2], [[1, 2], [3]])
    """
    if n > 0:
        return [ndeepmap(n - 1, func, item) for item in seq]
    return func(seq[0] if isinstance(seq, list) else seq)


def unzip(ls: Iterable[Sequence[Any]], nout: int) -> Sequence[tuple[Any, ...]]:
    """Turn pairs into a pair of tuples, and so on; the inverse of `zip`.

    Parameters
    ----------
    ls : iterable of sequences
    nout : int
        How many tuples to return if `ls` is empty.

    Returns
    -------
    list of tuple

    Examples
    --------
    >>> from oxidask.utils import unzip
    >>> unzip([(1, "a"), (2, "b")], 2), unzip([], 2)
    ([(1, 2), ('a', 'b')], [(), ()])
    """
    return list(zip(*ls, strict=False)) or [()] * nout


def ensure_dict(d: Mapping[_Key, _Value], *, copy: bool = False) -> dict[_Key, _Value]:
    """Turn a mapping into a dictionary.

    Parameters
    ----------
    d : mapping
    copy : bool, default False
        Whether to copy what is a dictionary already.

    Returns
    -------
    dict

    Examples
    --------
    >>> from oxidask import delayed
    >>> from oxidask.utils import ensure_dict
    >>> ensure_dict(delayed(1, name="one").dask)
    {'one': 1}
    """
    return d if type(d) is dict and not copy else dict(d)


def ensure_set(s: Iterable[_Key], *, copy: bool = False) -> set[_Key]:
    """Turn an iterable into a set.

    Parameters
    ----------
    s : iterable
    copy : bool, default False
        Whether to copy what is a set already.

    Returns
    -------
    set

    Examples
    --------
    >>> from oxidask.utils import ensure_set
    >>> ensure_set([1, 1])
    {1}
    """
    return s if type(s) is set and not copy else set(s)


def ensure_bytes(s: Any) -> bytes:
    r"""Turn text, or an object with a buffer, into bytes.

    Parameters
    ----------
    s : str, bytes or buffer
        Text is encoded as UTF-8.

    Returns
    -------
    bytes

    Examples
    --------
    >>> from oxidask.utils import ensure_bytes
    >>> ensure_bytes("µ")
    b'\xc2\xb5'
    """
    if isinstance(s, bytes):
        return s
    if isinstance(s, str):
        return s.encode()
    try:
        return bytes(memoryview(s))
    except TypeError:
        raise TypeError(f"ensure_bytes: {s!r} is neither text nor has it a buffer") from None


def ensure_unicode(s: Any) -> str:
    """Turn bytes in UTF-8 into text.

    Parameters
    ----------
    s : str or bytes

    Returns
    -------
    str

    Examples
    --------
    >>> from oxidask.utils import ensure_unicode
    >>> ensure_unicode(b"abc")
    'abc'
    """
    return s if isinstance(s, str) else ensure_bytes(s).decode()
