"""What helps to call functions: in tasks, by name of a method, with arguments that they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from oxidask import _rebuild
from oxidask.utils._text import typename

_Function = TypeVar("_Function", bound=Callable[..., Any])


def apply(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any] | None = None
) -> Any:
    """Call a function with a list of arguments and a dictionary of keyword arguments.

    Tasks of graphs that are dictionaries give keyword arguments in this way.

    Parameters
    ----------
    func : callable
    args : sequence
    kwargs : mapping, optional

    Returns
    -------
    object
        What `func` returns.

    Examples
    --------
    >>> from oxidask.utils import apply
    >>> apply(int, ["101"], {"base": 2})
    5
    """
    return _rebuild.apply(func, args, kwargs)


def has_keyword(func: Callable[..., Any], keyword: str) -> bool:
    """Say whether a function names an argument.

    Parameters
    ----------
    func : callable
    keyword : str

    Returns
    -------
    bool
        False too if the function does not tell its signature.

    Examples
    --------
    >>> from oxidask.utils import has_keyword
    >>> has_keyword(lambda a, b=1: None, "b")
    True
    """
    try:
        return keyword in inspect.signature(func).parameters
    except (TypeError, ValueError):
        return False


class methodcaller:
    """A function that calls a method of its first argument; it can be pickled.

    Parameters
    ----------
    method : str

    Examples
    --------
    >>> from oxidask.utils import methodcaller
    >>> methodcaller("upper")("abc")
    'ABC'
    """

    __slots__ = ("method",)

    def __init__(self, method: str) -> None:
        self.method = method

    def __call__(self, _obj: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(_obj, self.method)(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.method,))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, methodcaller) and other.method == self.method

    def __hash__(self) -> int:
        return hash((methodcaller, self.method))

    def __str__(self) -> str:
        return f"<methodcaller: {self.method}>"

    __repr__ = __str__


class itemgetter:
    """A function that takes an item of its argument; it can be pickled and compared.

    Parameters
    ----------
    index : object

    Examples
    --------
    >>> from oxidask.utils import itemgetter
    >>> itemgetter(1)("abc"), itemgetter(1) == itemgetter(1)
    ('b', True)
    """

    __slots__ = ("index",)

    def __init__(self, index: Any) -> None:
        self.index = index

    def __call__(self, x: Any) -> Any:
        return x[self.index]

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.index,))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, itemgetter) and bool(self.index == other.index)

    def __hash__(self) -> int:
        return hash((itemgetter, self.index))


class _MethodCallers:
    """Gives a `methodcaller` for each name: ``M.sum`` calls the method ``sum``."""

    def __getattr__(self, name: str) -> methodcaller:
        return methodcaller(name)

    def __dir__(self) -> list[str]:
        return []


M = _MethodCallers()


class IndexCallable:
    """Lets a function of one argument be called with square brackets.

    Parameters
    ----------
    fn : callable

    Examples
    --------
    >>> from oxidask.utils import IndexCallable
    >>> IndexCallable(lambda index: index)[1:3]
    slice(1, 3, None)
    """

    __slots__ = ("fn",)

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self.fn = fn

    def __getitem__(self, key: Any) -> Any:
        return self.fn(key)


def derived_from(
    original_klass: type,
    version: str | None = None,
    ua_args: Sequence[str] | None = None,
    skipblocks: int = 0,
    inconsistencies: str | None = None,
) -> Callable[[_Function], _Function]:
    """Give a method the docstring of the method of the same name in another class.

    Parameters
    ----------
    original_klass : type
        Where the docstring is taken from.
    version : str, optional
        Taken for compatibility.
    ua_args : sequence of str, optional
        Arguments that are not supported, which the docstring says.
    skipblocks : int, optional
        Taken for compatibility.
    inconsistencies : str, optional
        What is different, which the docstring says.

    Returns
    -------
    callable
        A decorator.

    Examples
    --------
    >>> from oxidask.utils import derived_from
    >>> class MyList:
    ...     @derived_from(list, ua_args=["key"])
    ...     def sort(self): ...
    >>> print(MyList.sort.__doc__.splitlines()[0])
    Sort the list in ascending order and return None.
    """

    def decorate(method: _Function) -> _Function:
        original = getattr(original_klass, method.__name__, None)
        text = inspect.getdoc(original) or ""
        notes = [f"This docstring is that of {typename(original_klass)}.{method.__name__}."]
        if inconsistencies:
            notes.append(f"What is different: {inconsistencies}")
        if ua_args:
            notes.append(f"Not supported here: {', '.join(ua_args)}.")
        method.__doc__ = "\n\n".join([text, *notes]).strip()
        return method

    return decorate


def import_required(mod_name: str, error_msg: str) -> Any:
    """Import a module that is not always installed.

    Parameters
    ----------
    mod_name : str
    error_msg : str
        What to do when it cannot be imported.

    Returns
    -------
    module

    Raises
    ------
    RuntimeError
        With `error_msg`, if it cannot be imported.

    Examples
    --------
    >>> from oxidask.utils import import_required
    >>> import_required("math", "python is needed").floor(1.5)
    1
    """
    import importlib

    try:
        return importlib.import_module(mod_name)
    except ImportError as error:
        raise RuntimeError(error_msg) from error
