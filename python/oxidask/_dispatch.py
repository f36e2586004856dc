"""`Dispatch`: functions chosen by the type of their first argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from oxidask.tokenize import _Handlers

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Dispatch:
    """A function whose implementation is chosen by the type of the first argument.

    Parameters
    ----------
    name : str, optional
        Its name, in errors and as ``__name__``.

    Examples
    --------
    >>> from oxidask.utils import Dispatch
    >>> area = Dispatch("area")
    >>> @area.register((int, float))
    ... def area_of_square(side):
    ...     return side**2
    >>> area(3)
    9
    """

    def __init__(self, name: str | None = None) -> None:
        self._handlers = _Handlers()
        self.__name__ = name or "dispatch"
        self.__doc__ = f"{self.__name__}: the implementation is chosen by the type of the argument."

    def __call__(self, arg: Any, *args: Any, **kwargs: Any) -> Any:
        return self.dispatch(type(arg))(arg, *args, **kwargs)

    def register(
        self, type: type | Iterable[type], func: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """Set the implementation for one type, or for several, and their subclasses.

        Parameters
        ----------
        type : type or iterable of type
        func : callable, optional
            Without it the method gives a decorator.

        Returns
        -------
        callable
            `func`, or the decorator.
        """
        if func is None:

            def decorate(function: _Function) -> _Function:
                self.register(type, function)
                return function

            return decorate
        self._handlers.add(type, func)
        return func

    def register_lazy(
        self, toplevel: str, func: Callable[[], object] | None = None
    ) -> Callable[..., Any]:
        """Set a function, that registers others, to be called for a package's first object.

        Parameters
        ----------
        toplevel : str
            Name of the package, without dots.
        func : callable, optional
            Called once, without arguments. Without it the method gives a decorator.

        Returns
        -------
        callable
            `func`, or the decorator.
        """
        if func is None:

            def decorate(function: _Function) -> _Function:
                self.register_lazy(toplevel, function)
                return function

            return decorate
        self._handlers.add_lazy(toplevel, func)
        return func

    def dispatch(self, cls: type) -> Callable[..., Any]:
        """Return the implementation for a type.

        Parameters
        ----------
        cls : type
            Its bases are searched too.

        Returns
        -------
        callable

        Raises
        ------
        TypeError
            If there is none.
        """
        found = self._handlers.find(cls)
        if found is None:
            raise TypeError(
                f"{self.__name__}: nothing is registered for {cls.__module__}.{cls.__qualname__}; "
                "register a function for it, or for object"
            )
        return found
