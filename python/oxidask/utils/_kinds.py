"""What kind of object one has, without importing the library that it is from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def is_integer(i: Any) -> bool:
    """Say whether a number is whole.

    Parameters
    ----------
    i : object

    Returns
    -------
    bool

    Examples
    --------
    >>> from oxidask.utils import is_integer
    >>> is_integer(2), is_integer(2.0), is_integer(2.5), is_integer("2")
    (True, True, False, False)
    """
    from numbers import Integral

    return isinstance(i, Integral) or (isinstance(i, float) and i.is_integer())


def is_namedtuple_instance(obj: Any) -> bool:
    """Say whether an object is an instance of a class of `collections.namedtuple`.

    Parameters
    ----------
    obj : object

    Returns
    -------
    bool

    Examples
    --------
    >>> from collections import namedtuple
    >>> from oxidask.utils import is_namedtuple_instance
    >>> is_namedtuple_instance(namedtuple("Pair", "a b")(1, 2)), is_namedtuple_instance((1, 2))
    (True, False)
    """
    return isinstance(obj, tuple) and not isinstance(obj, type) and hasattr(obj, "_fields")


def is_arraylike(x: Any) -> bool:
    """Say whether an object is like an array of NumPy: it has a shape, a dtype and is no scalar.

    Parameters
    ----------
    x : object

    Returns
    -------
    bool

    Examples
    --------
    >>> import numpy as np
    >>> from oxidask.utils import is_arraylike
    >>> is_arraylike(np.ones(2)), is_arraylike(np.float64(1)), is_arraylike([1])
    (True, False, False)
    """
    shape = getattr(x, "shape", None)
    return (
        not isinstance(x, type)
        and isinstance(shape, tuple)
        and hasattr(x, "dtype")
        and not any(kind.__name__ == "generic" for kind in type(x).__mro__)
    )


def is_dataframe_like(df: Any) -> bool:
    """Say whether an object is like a DataFrame of pandas.

    Parameters
    ----------
    df : object

    Returns
    -------
    bool

    Examples
    --------
    >>> import pandas as pd
    >>> from oxidask.utils import is_dataframe_like
    >>> is_dataframe_like(pd.DataFrame({"a": [1]})), is_dataframe_like(pd.Series([1]))
    (True, False)
    """
    return _has(df, ("index", "columns", "dtypes"), ("groupby", "head", "merge", "mean"))


def is_series_like(s: Any) -> bool:
    """Say whether an object is like a Series of pandas.

    Parameters
    ----------
    s : object

    Returns
    -------
    bool

    Examples
    --------
    >>> import pandas as pd
    >>> from oxidask.utils import is_series_like
    >>> is_series_like(pd.Series([1])), is_series_like(pd.Index([1]))
    (True, False)
    """
    return _has(s, ("name", "dtype", "index"), ("groupby",)) and not _is_index(s)


def is_index_like(s: Any) -> bool:
    """Say whether an object is like an Index of pandas.

    Parameters
    ----------
    s : object

    Returns
    -------
    bool

    Examples
    --------
    >>> import pandas as pd
    >>> from oxidask.utils import is_index_like
    >>> is_index_like(pd.Index([1])), is_index_like(pd.Series([1]))
    (True, False)
    """
    return _has(s, ("name", "dtype"), ()) and _is_index(s)


def _has(x: Any, attributes: Sequence[str], methods: Sequence[str]) -> bool:
    # Attributes of the class: looking at those of the object could compute something.
    kind = x if isinstance(x, type) else type(x)
    return (
        not isinstance(x, type)
        and all(hasattr(kind, name) for name in attributes)
        and all(callable(getattr(kind, name, None)) for name in methods)
    )


def _is_index(x: Any) -> bool:
    return "index" in type(x).__name__.lower()
