"""NumPy's functions that work element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from oxidask._core import Layer
from oxidask.array import _kernels
from oxidask.array._expressions import FromLayer, empty_like, read
from oxidask.array.core import Array, _array, asarray, elemwise

#: Those of NumPy's functions that are made lazy as they are.
NAMES = [
    "abs",
    "absolute",
    "add",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "around",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "fix",
    "float_power",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "greater",
    "greater_equal",
    "hypot",
    "i0",
    "imag",
    "invert",
    "iscomplex",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "ldexp",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nan_to_num",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "power",
    "rad2deg",
    "radians",
    "real",
    "reciprocal",
    "remainder",
    "right_shift",
    "rint",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "spacing",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
]

__all__ = [*NAMES, "divmod", "frexp", "frompyfunc", "isclose", "isnull", "modf", "notnull", "ufunc"]


class ufunc:
    """A function of NumPy that works element by element, of lazy arrays.

    Parameters
    ----------
    function : callable
        One of NumPy's.

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> da.sqrt(da.asarray([1.0, 4.0])).compute()
    array([1., 2.])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.__name__ = function.__name__
        self.__doc__ = (
            f"Call `numpy.{function.__name__}` on each block: same meaning, dtype and broadcasting."
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; with lazy arrays the result is one, too."""
        if not any(isinstance(one, Array) for one in args):
            if any(hasattr(one, "__dask_graph__") for one in args):
                args = tuple(asarray(one) for one in args)
            else:
                return self._function(*args, **kwargs)
        out = kwargs.get("out")
        if isinstance(out, tuple):
            (kwargs["out"],) = out
        return elemwise(self._function, *args, **kwargs)

    def outer(self, a: Any, b: Any, **kwargs: Any) -> Array:
        """Call the function for each pair of elements."""
        if not isinstance(self._function, np.ufunc) or self._function.nin != 2:
            raise ValueError(f"{self.__name__}.outer: the function has not two arguments")
        return outer(self._function, a, b, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._function, name)

    def __repr__(self) -> str:
        return f"oxidask.array.{self.__name__}"

    def __reduce__(self) -> Any:
        return _by_name, (self.__name__,)


def _by_name(name: str) -> ufunc:
    found: ufunc = globals()[name]
    return found


for _name in NAMES:
    if _name == "fix":
        # NumPy's own may hand on to another function, whose name it would get.
        globals()[_name] = ufunc(_kernels.fix)
        continue
    globals()[_name] = ufunc(getattr(np, _name))


def outer(function: np.ufunc, a: Any, b: Any, **kwargs: Any) -> Array:
    """Call a function for each pair of elements of two arrays."""
    a, b = asarray(a), asarray(b)
    return elemwise(function, a[(..., *(None,) * b.ndim)], b, **kwargs)


def several(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Array, ...]:
    """Call a function that returns several arrays."""
    whole = elemwise(_kernels.Several(function), *args, meta_dtype=object, **kwargs)._expr
    ones = [np.ones((1,) * one.ndim, one.dtype) if isinstance(one, Array) else one for one in args]
    results = function(*ones)
    parts = []
    for place, result in enumerate(results):
        layer = Layer(
            f"{function.__name__}-{place}-{whole.name}",
            function.__name__,
            whole.grid,
            _kernels.item,
            (read(whole, range(whole.ndim)), place),
            {},
        )
        meta = empty_like(np.asarray(result), whole.ndim)
        parts.append(_array(FromLayer(layer, whole.chunks, meta)))
    return tuple(parts)


def divmod(x: Any, y: Any) -> tuple[Array, ...]:
    """Return quotients, rounded down, and remainders.

    Parameters
    ----------
    x, y : Array or scalar
        What is divided, and by what.

    Returns
    -------
    tuple of two Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> [int(one.compute()[0]) for one in da.divmod(da.asarray([7]), 2)]
    [3, 1]
    """
    return several(np.divmod, x, y)


def frexp(x: Any) -> tuple[Array, ...]:
    """Return mantissas and exponents.

    Parameters
    ----------
    x : Array
        The elements.

    Returns
    -------
    tuple of two Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> [float(one.compute()[0]) for one in da.frexp(da.asarray([4.0]))]
    [0.5, 3.0]
    """
    return several(np.frexp, x)


def modf(x: Any) -> tuple[Array, ...]:
    """Return fractions and whole parts.

    Parameters
    ----------
    x : Array
        The elements.

    Returns
    -------
    tuple of two Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> [float(one.compute()[0]) for one in da.modf(da.asarray([1.5]))]
    [0.5, 1.0]
    """
    return several(np.modf, x)


def isclose(
    arr1: Any, arr2: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Array:
    """Say for each pair of elements whether they are close.

    Parameters
    ----------
    arr1, arr2 : Array
        The elements.
    rtol, atol : float
        How far they may differ, in relation to `arr2` and absolutely.
    equal_nan : bool, default False
        Whether two NaN count as close.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.isclose(da.ones(2), 1.0 + 1e-9).compute()
    array([ True,  True])
    """
    return elemwise(np.isclose, arr1, arr2, rtol=rtol, atol=atol, equal_nan=equal_nan)


def isnull(values: Any) -> Array:
    """Say for each element whether it is missing; elements may be objects.

    Parameters
    ----------
    values : Array
        The elements.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.isnull(da.asarray([1.0, float("nan")])).compute()
    array([False,  True])
    """
    return elemwise(_kernels.is_missing, asarray(values), meta_dtype=bool)


def notnull(values: Any) -> Array:
    """Say for each element whether it is there: the opposite of `isnull`.

    Parameters
    ----------
    values : Array
        The elements.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.notnull(da.asarray([1.0, float("nan")])).compute()
    array([ True, False])
    """
    return elemwise(np.logical_not, isnull(values))


def frompyfunc(func: Callable[..., Any], nin: int, nout: int) -> Callable[..., Any]:
    """Make a function of elements one of arrays; it gives objects.

    Parameters
    ----------
    func : callable
        The function.
    nin, nout : int
        How many arguments it takes, and how many values it returns; only one is supported.

    Returns
    -------
    callable

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.frompyfunc(str, 1, 1)(da.arange(2)).compute()
    array(['0', '1'], dtype=object)
    """
    if nout != 1:
        raise NotImplementedError(
            "frompyfunc: a function of lazy arrays returns one value; call it once for each"
        )
    return ufunc(_kernels.of_elements(func, nin))
