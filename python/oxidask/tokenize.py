"""Content hashes: equal content gives an equal token, in every process and every run.

`tokenize` hashes plain Python values, NumPy arrays and importable functions in Rust. This module
describes all other objects in terms of those; the first rule that fits is used:

1. a function registered with `normalize_token` for the type or one of its bases;
2. the object's own `__dask_tokenize__` method;
3. the rules below for functions, classes, dataclasses, enums, NumPy and pandas objects …
4. what the object gives to pickle, its state by content and not by pickle's bytes, so that the
   order of sets and of attributes does not matter;
5. a random token, or `TokenizationError` where a deterministic one is asked for.

Functions and classes that an import finds under their name are hashed by that name; others
(lambdas, closures, everything in `__main__`) by their code and what it refers to. Floats are
hashed by their bits: 0.0 and -0.0 differ, and a NaN agrees with a NaN of the same bits.
Annotations, line numbers and file names do not count.
"""

from __future__ import annotations

import copyreg
import enum
import os
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar, overload

from oxidask._core import set_token_overrides, tokenize_objects

__all__ = ["TokenizationError", "normalize_token", "tokenize"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

# Label, payload, whether the payload comes from a user's handler, whether user code for pickle
# took part, and whether the payload is random.
_Description = tuple[str, Any, bool, bool, bool]

_PICKLE_PROTOCOL = 5

# What an outer `tokenize(ensure_deterministic=…)` asked for, for calls made by handlers.
_required: ContextVar[bool | None] = ContextVar("oxidask_ensure_deterministic", default=None)


class TokenizationError(RuntimeError):
    """Raised when a deterministic token is asked for and an object has no rule for one.

    Examples
    --------
    >>> from oxidask.tokenize import TokenizationError, tokenize
    >>> try:
    ...     tokenize(object(), ensure_deterministic=True)
    ... except TokenizationError as error:
    ...     print(str(error)[:49])
    tokenize: no deterministic token for <object obje
    """


def tokenize(*args: Any, ensure_deterministic: bool | None = None, **kwargs: Any) -> str:
    """Hash the content of any arguments.

    Parameters
    ----------
    *args, **kwargs : Any
        The values. The order of keyword arguments, and of entries of dicts and sets, does not
        matter; the type of every value does.
    ensure_deterministic : bool, optional
        Whether an object without a rule raises `TokenizationError` (true) or gets a random token
        (false). By default the configuration's ``tokenize.ensure-deterministic``, which is false.

    Returns
    -------
    str
        32 hexadecimal digits. The same in every process and run, for one version of Oxidask,
        of Python, and of the libraries whose objects are hashed.

    Raises
    ------
    TokenizationError
        If an object has no rule and `ensure_deterministic` is true.

    Examples
    --------
    >>> from oxidask.tokenize import tokenize
    >>> tokenize(1, {"a": 2, "b": 3}) == tokenize(1, {"b": 3, "a": 2})
    True
    >>> tokenize(1) == tokenize(1.0)
    False
    """
    return tokenize_objects(args, kwargs, ensure_deterministic)


class _Handlers:
    """Functions by type, found along the order of base classes, and packages that bring more."""

    def __init__(self) -> None:
        #: Held while functions are added.
        self.lock = threading.RLock()
        self._by_type: dict[type, Callable[..., Any]] = {}
        self._lazy: dict[str, list[Callable[[], object]]] = {}

    def add(self, of_types: type | Iterable[type], function: Callable[..., Any]) -> None:
        with self.lock:
            for one in (of_types,) if isinstance(of_types, type) else of_types:
                self._by_type[one] = function

    def add_lazy(self, package: str, function: Callable[[], object]) -> None:
        with self.lock:
            self._lazy.setdefault(package, []).append(function)

    def find(self, cls: type) -> Callable[..., Any] | None:
        bases = type.mro(cls) if cls is type else cls.__mro__
        for base in bases:
            if self._lazy:
                self._load(base)
            if base in self._by_type:
                return self._by_type[base]
        return None

    def _load(self, base: type) -> None:
        package = str(base.__module__).partition(".")[0]
        if package not in self._lazy:
            return
        with self.lock:
            # The entry goes when all is added: until then other threads wait for the lock. An empty
            # one means that the functions are being called further up in this thread.
            while functions := self._lazy.get(package):
                self._lazy[package] = []
                try:
                    for function in functions:
                        function()
                finally:
                    if not self._lazy[package]:
                        del self._lazy[package]


class _NormalizeToken:
    """Describe objects deterministically; other types can be registered.

    Called with an object, it gives the description that `tokenize` hashes: the result of the
    function registered for its type, or of its ``__dask_tokenize__``; a plain value as it is;
    for anything else the name of its type and its token.

    Examples
    --------
    >>> from oxidask.tokenize import normalize_token, tokenize
    >>> class Reading:
    ...     def __init__(self, value, label):
    ...         self.value, self.label = value, label
    >>> @normalize_token.register(Reading)
    ... def describe_reading(reading):
    ...     return normalize_token(reading.value)
    >>> tokenize(Reading(1, "morning")) == tokenize(Reading(1, "evening"))
    True
    """

    def __init__(self) -> None:
        self._handlers = _Handlers()

    def __call__(self, arg: Any, *args: Any, **kwargs: Any) -> Any:
        handler = self._handlers.find(type(arg))
        if handler is not None:
            return handler(arg, *args, **kwargs)
        if _has_own_token(arg):
            return arg.__dask_tokenize__()
        if arg is None or type(arg) in (bool, int, float, complex, str, bytes):
            return arg
        return _type_name(type(arg)), tokenize(arg)

    @overload
    def register(
        self, type: type | Iterable[type], func: None = None
    ) -> Callable[[_Function], _Function]: ...

    @overload
    def register(self, type: type | Iterable[type], func: _Function) -> _Function: ...

    def register(
        self, type: type | Iterable[type], func: _Function | None = None
    ) -> _Function | Callable[[_Function], _Function]:
        """Let a function describe the objects of one type, or of several, and their subclasses.

        Parameters
        ----------
        type : type or iterable of type
            What is described. A builtin type, such as ``list``, is then no longer hashed directly.
        func : callable, optional
            Takes the object and gives values that `tokenize` can hash. Without it the method
            gives a decorator.

        Returns
        -------
        callable
            `func`, or the decorator.

        Examples
        --------
        >>> from oxidask.tokenize import normalize_token, tokenize
        >>> class Version(str): ...
        >>> normalize_token.register(Version, lambda version: version.lower())  # doctest: +ELLIPSIS
        <function <lambda> at ...>
        >>> tokenize(Version("1.0RC")) == tokenize(Version("1.0rc"))
        True
        """
        if func is None:

            def decorate(function: _Function) -> _Function:
                return self.register(type, function)

            return decorate
        with self._handlers.lock:
            self._handlers.add(type, func)
            self._update_fast_path()
        return func

    @overload
    def register_lazy(
        self, toplevel: str, func: None = None
    ) -> Callable[[_Function], _Function]: ...

    @overload
    def register_lazy(self, toplevel: str, func: _Function) -> _Function: ...

    def register_lazy(
        self, toplevel: str, func: _Function | None = None
    ) -> _Function | Callable[[_Function], _Function]:
        """Call a function, that registers others, when a package's first object is hashed.

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

        Examples
        --------
        >>> from oxidask.tokenize import normalize_token
        >>> @normalize_token.register_lazy("a_package_that_may_come")
        ... def register_its_types():
        ...     from a_package_that_may_come import Thing
        ...
        ...     normalize_token.register(Thing, lambda thing: thing.name)
        """
        if func is None:

            def decorate(function: _Function) -> _Function:
                return self.register_lazy(toplevel, function)

            return decorate
        with self._handlers.lock:
            self._handlers.add_lazy(toplevel, func)
            self._update_fast_path()
        return func

    def dispatch(self, cls: type) -> Callable[..., Any]:
        """Give the function that describes the objects of a type.

        Parameters
        ----------
        cls : type
            The type; its bases are searched too.

        Returns
        -------
        callable
            The registered function, or `normalize_token` itself when there is none.

        Examples
        --------
        >>> from oxidask.tokenize import normalize_token
        >>> class Point: ...
        >>> normalize_token.dispatch(Point) is normalize_token
        True
        """
        return self._handlers.find(cls) or self

    def _update_fast_path(self) -> None:
        """Tell the Rust side which types it must not hash directly any more."""
        registered = list(self._handlers._by_type)
        packages = {str(one.__module__).partition(".")[0] for one in registered}
        set_token_overrides(
            [one for one in registered if one.__module__ == "builtins"],
            "numpy" in packages or "numpy" in self._handlers._lazy,
        )


normalize_token = _NormalizeToken()

# Our own rules; a user's come first.
_rules = _Handlers()


def _rule(*of_types: type) -> Callable[[_Function], _Function]:
    def decorate(function: _Function) -> _Function:
        _rules.add(of_types, function)
        return function

    return decorate


# --- Called from Rust ---------------------------------------------------------------------------


def _describe(
    obj: Any, ensure_deterministic: bool | None, only_handlers: bool
) -> _Description | None:
    """Describe an object that Rust does not hash by itself, in values that it can go on with."""
    cls = type(obj)
    handler = normalize_token._handlers.find(cls)
    if handler is not None:
        with _requiring(ensure_deterministic):
            return _type_name(cls), handler(obj), True, False, False
    if only_handlers:
        return None
    if _has_own_token(obj):
        with _requiring(ensure_deterministic):
            return _type_name(cls), obj.__dask_tokenize__(), False, False, False
    try:
        if cls is object:
            raise TypeError("a bare object has no content")
        rule = _rules.find(cls)
        if rule is not None:
            return _type_name(cls), rule(obj), False, False, False
        if callable(obj) and _is_importable(obj):
            return "global", (obj.__module__, obj.__qualname__), False, False, False
        if _is_plain_dataclass(obj):
            return "dataclass", _dataclass_content(obj), False, False, False
        return _describe_by_reduction(obj)
    except MemoryError:
        raise
    except Exception as error:  # Whatever the object's own code raises, it has no description.
        return _without_rule(obj, _reason(error), ensure_deterministic)


def _describe_unstable(obj: Any, ensure_deterministic: bool | None) -> bytes:
    """Replace a token that came out differently the second time."""
    reason = "what it gives to pickle differs from one call to the next"
    payload: bytes = _without_rule(obj, reason, ensure_deterministic)[1]
    return payload


def _describe_cyclic_key(obj: Any, ensure_deterministic: bool | None) -> bytes:
    """Replace the token of a dict's key or a set's element that leads back to itself."""
    reason = "it is in a set, or a key of a dict, and refers to itself"
    payload: bytes = _without_rule(obj, reason, ensure_deterministic)[1]
    return payload


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _without_rule(obj: Any, reason: str, ensure_deterministic: bool | None) -> _Description:
    if _must_be_deterministic(ensure_deterministic):
        _raise_without_rule(obj, reason)
    return "random", os.urandom(16), False, False, True


def _must_be_deterministic(ensure_deterministic: bool | None) -> bool:
    if ensure_deterministic is None:
        ensure_deterministic = _required.get()
    if ensure_deterministic is None:
        from oxidask import config

        return bool(config.get("tokenize.ensure-deterministic", False))
    return ensure_deterministic


def _raise_without_rule(obj: Any, reason: str) -> NoReturn:
    from reprlib import repr as short_repr

    name = _type_name(type(obj))
    raise TokenizationError(
        f"tokenize: no deterministic token for {short_repr(obj)} of type {name}: {reason}; "
        f"define __dask_tokenize__ on the class, register a function for it with "
        f"normalize_token.register from oxidask.tokenize, or allow a random token with "
        f"ensure_deterministic=False (setting tokenize.ensure-deterministic)"
    )


@contextmanager
def _requiring(ensure_deterministic: bool | None) -> Iterator[None]:
    """Pass on what was asked for to the calls that a handler makes itself."""
    if ensure_deterministic is None:
        yield
        return
    token = _required.set(ensure_deterministic)
    try:
        yield
    finally:
        _required.reset(token)


def _has_own_token(obj: Any) -> bool:
    # Looked up on the class: some objects answer to any attribute name.
    return not isinstance(obj, type) and hasattr(type(obj), "__dask_tokenize__")


# --- Names --------------------------------------------------------------------------------------


def _module_name(obj: Any) -> str:
    # A spawned process sees the main script under another name.
    module = getattr(obj, "__module__", None)
    return "__main__" if module == "__mp_main__" else str(module)


def _type_name(cls: type) -> str:
    return f"{_module_name(cls)}.{cls.__qualname__}"


def _is_importable(obj: Any) -> bool:
    """Tell whether an import by module and qualified name finds this very object."""
    qualname = getattr(obj, "__qualname__", None)
    if not isinstance(qualname, str) or _module_name(obj) == "__main__":
        return False
    found: Any = sys.modules.get(_module_name(obj))
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is obj


# --- Functions, methods, classes ----------------------------------------------------------------


@_rule(types.FunctionType)
def _function_content(function: types.FunctionType) -> Any:
    names = _global_names(function.__code__)
    namespace = function.__globals__
    return {
        "module": _module_name(function),
        "name": function.__qualname__,
        "code": function.__code__,
        "defaults": function.__defaults__,
        "kwdefaults": function.__kwdefaults__,
        "closure": function.__closure__,
        "globals": {name: namespace[name] for name in names if name in namespace},
        "attributes": function.__dict__,
    }


_global_names_of_code: dict[types.CodeType, tuple[str, ...]] = {}


def _global_names(code: types.CodeType) -> tuple[str, ...]:
    """Names that the code, or code within it, looks up in its module."""
    known = _global_names_of_code.get(code)
    if known is not None:
        return known
    import dis

    names: set[str] = set()
    left = [code]
    while left:
        current = left.pop()
        names.update(
            instruction.argval
            for instruction in dis.get_instructions(current)
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
        )
        left.extend(const for const in current.co_consts if isinstance(const, types.CodeType))
    if len(_global_names_of_code) >= 1000:
        _global_names_of_code.clear()
    result = _global_names_of_code[code] = tuple(sorted(names))
    return result


@_rule(types.CodeType)
def _code_content(code: types.CodeType) -> Any:
    return (
        code.co_qualname,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        code.co_code,
        code.co_consts,
        (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars),
        code.co_exceptiontable,
    )


@_rule(types.CellType)
def _cell_content(cell: types.CellType) -> Any:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return "empty"


@_rule(types.MethodType)
def _method_content(method: types.MethodType) -> Any:
    return method.__func__, method.__self__


@_rule(types.BuiltinFunctionType, types.MethodWrapperType)
def _builtin_content(method: Any) -> Any:
    if method.__self__ is None or isinstance(method.__self__, types.ModuleType):
        raise TypeError("an import does not find it under its name")
    return method.__name__, method.__self__


@_rule(
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
def _descriptor_content(descriptor: Any) -> Any:
    return descriptor.__objclass__, descriptor.__name__


@_rule(staticmethod, classmethod)
def _wrapped_content(wrapper: Any) -> Any:
    return wrapper.__func__


@_rule(property)
def _property_content(prop: property) -> Any:
    return prop.fget, prop.fset, prop.fdel


@_rule(types.ModuleType)
def _module_content(module: types.ModuleType) -> Any:
    return module.__name__


@_rule(types.MappingProxyType)
def _mapping_proxy_content(proxy: types.MappingProxyType[Any, Any]) -> Any:
    return dict(proxy)


# Attributes of a class that Python makes, that say where it is written, or that are annotations.
_CLASS_ATTRIBUTES_LEFT_OUT = frozenset(
    {
        "__abstractmethods__",
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        "__orig_bases__",
        "__parameters__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
    }
)


@_rule(type)
def _class_content(cls: type) -> Any:
    """Describe a class that no import finds: its bases, and what it defines."""
    content = {
        name: value
        for name, value in vars(cls).items()
        if name not in _CLASS_ATTRIBUTES_LEFT_OUT
        and not isinstance(value, types.MemberDescriptorType)
    }
    if issubclass(cls, enum.Enum):
        content = {
            name: value
            for name, value in content.items()
            if isinstance(value, (types.FunctionType, classmethod, staticmethod, property))
        }
        content["members"] = {name: member._value_ for name, member in cls.__members__.items()}
    return _type_name(cls), type(cls), cls.__bases__, content


# --- Values -------------------------------------------------------------------------------------


@_rule(enum.Enum)
def _enum_content(member: enum.Enum) -> Any:
    cls = type(member)
    if _is_importable(cls) and member._name_ is not None:
        return member._name_
    return cls, member._name_, member._value_


@_rule(set, frozenset)
def _set_subclass_content(value: Any) -> Any:
    # Given to pickle as a list, whose order depends on the hash seed.
    return type(value), frozenset(value), getattr(value, "__dict__", None)


def _is_plain_dataclass(obj: Any) -> bool:
    return hasattr(type(obj), "__dataclass_fields__") and not isinstance(
        obj, (type, list, tuple, dict, set, frozenset, str, bytes, int, float)
    )


def _dataclass_content(obj: Any) -> Any:
    # A field with `init=False` may have no value yet.
    fields = {
        field: getattr(obj, field)
        for field in type(obj).__dataclass_fields__
        if hasattr(obj, field)
    }
    return type(obj), fields


def _register_functools() -> None:
    import functools

    def partial_content(partial: functools.partial[Any]) -> Any:
        return type(partial), partial.func, partial.args, partial.keywords, partial.__dict__

    def cached_property_content(prop: functools.cached_property[Any]) -> Any:
        return prop.func, prop.attrname

    def cache_content(wrapper: Any) -> Any:
        if _is_importable(wrapper):
            return wrapper.__module__, wrapper.__qualname__
        return wrapper.__wrapped__

    _rules.add(functools.partial, partial_content)
    _rules.add(functools.cached_property, cached_property_content)
    _rules.add(functools._lru_cache_wrapper, cache_content)


_rules.add_lazy("functools", _register_functools)


def _register_pickle() -> None:
    import pickle

    def buffer_content(buffer: pickle.PickleBuffer) -> Any:
        return buffer.raw()

    _rules.add(pickle.PickleBuffer, buffer_content)


# The type says `_pickle` where C code defines it, and `pickle` where it is named.
_rules.add_lazy("pickle", _register_pickle)
_rules.add_lazy("_pickle", _register_pickle)


def _describe_by_reduction(obj: Any) -> _Description:
    """Describe an object by what it gives to pickle, its parts by content."""
    cls = type(obj)
    reducer = copyreg.dispatch_table.get(cls)
    reduced = reducer(obj) if reducer else obj.__reduce_ex__(_PICKLE_PROTOCOL)
    if isinstance(reduced, str):
        return "global", _global_content(obj, reduced), False, False, False
    parts: tuple[Any, ...] = (*reduced, *([None] * (6 - len(reduced))))
    function, arguments, state, list_items, dict_items, set_state = parts
    payload = (
        function,
        arguments,
        state,
        None if list_items is None else list(list_items),
        None if dict_items is None else _dict_items(cls, dict_items),
        set_state,
    )
    return "reduced", payload, False, _has_custom_pickling(cls), False


def _dict_items(cls: type, items: Iterable[tuple[Any, Any]]) -> Any:
    from collections import OrderedDict

    # Only this one compares by order as well.
    return list(items) if issubclass(cls, OrderedDict) else dict(items)


def _global_content(obj: Any, name: str) -> tuple[str, str]:
    """Find the module of an object that pickles as a name."""
    import pickle

    module = pickle.whichmodule(obj, name)  # type: ignore[attr-defined]
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not obj or module == "__main__":
        raise TypeError(f"it pickles as {module}.{name}, and an import does not find it there")
    return module, name


def _has_custom_pickling(cls: type) -> bool:
    if str(cls.__module__).partition(".")[0] in sys.stdlib_module_names:
        return False
    return cls in copyreg.dispatch_table or any(
        getattr(cls, name) is not getattr(object, name)
        for name in ("__reduce__", "__reduce_ex__", "__getstate__")
    )


# --- NumPy and pandas ---------------------------------------------------------------------------


def _register_numpy() -> None:
    np = sys.modules["numpy"]

    def array_content(array: Any) -> Any:
        """Describe an array whose bytes are not its content, or of a derived class."""
        if type(array) is np.ndarray:
            return _special_array_content(np, array)
        if isinstance(array, np.memmap) and array.filename and array.mode == "r":
            return _memmap_content(np, array)
        if isinstance(array, np.ma.MaskedArray):
            return np.asarray(array.filled()), np.ma.getmaskarray(array), array.fill_value
        return array.view(np.ndarray), getattr(array, "__dict__", None)

    def dtype_content(dtype: Any) -> Any:
        if dtype.names is not None:
            fields = [dtype.fields[name] for name in dtype.names]
            return dtype.names, fields, dtype.itemsize, dtype.isalignedstruct
        if dtype.subdtype is not None:
            return dtype.subdtype
        return dtype.str, str(dtype), getattr(dtype, "na_object", None)

    def scalar_content(scalar: Any) -> Any:
        # A structured scalar, or one with padding: its array is described field by field.
        return np.asarray(scalar)

    def ufunc_content(ufunc: Any) -> Any:
        return _global_content(ufunc, ufunc.__name__)

    _rules.add(np.ndarray, array_content)
    _rules.add(np.dtype, dtype_content)
    _rules.add(np.generic, scalar_content)
    _rules.add(np.ufunc, ufunc_content)


def _special_array_content(np: types.ModuleType, array: Any) -> Any:
    dtype = array.dtype
    if dtype.names is not None:
        # By field: the padding between fields is not content.
        return dtype, array.shape, [array[name] for name in dtype.names]
    if dtype.hasobject or dtype.kind == "T":
        return dtype, array.shape, array.ravel().tolist()
    if dtype.kind == "c":
        return dtype, array.real, array.imag
    if dtype.kind == "f" and np.finfo(dtype).nmant == 63:
        # The 80-bit format fills ten bytes of each item; the others are not content.
        items = np.ascontiguousarray(array).reshape(-1, 1).view(np.uint8)
        return dtype, array.shape, items[:, :10]
    return dtype, array.shape, array.tobytes()


def _memmap_content(np: types.ModuleType, array: Any) -> Any:
    """Describe a read-only file mapping by its file, which may be too large to read."""

    def address(data: Any) -> int:
        start: int = data.__array_interface__["data"][0]
        return start

    file = os.stat(array.filename)
    offset = address(array) - address(np.frombuffer(array._mmap, dtype=np.uint8))
    return (
        str(array.filename),
        (file.st_mtime_ns, file.st_size, array.offset % 4096, offset),
        (array.dtype, array.shape, array.strides),
    )


def _register_pandas() -> None:
    pd = sys.modules["pandas"]

    def frame_content(frame: Any) -> Any:
        columns = [frame.iloc[:, number].array for number in range(frame.shape[1])]
        return frame.columns, frame.index, columns, _pandas_extras(frame)

    def series_content(series: Any) -> Any:
        return series.name, series.array, series.index, _pandas_extras(series)

    def index_content(index: Any) -> Any:
        return index.name, index.array, getattr(index, "freqstr", None)

    def range_index_content(index: Any) -> Any:
        return index.name, (index.start, index.stop, index.step)

    def multi_index_content(index: Any) -> Any:
        return list(index.names), [index.get_level_values(n).array for n in range(index.nlevels)]

    def categorical_content(values: Any) -> Any:
        return values.codes, values.categories, values.ordered

    def interval_content(values: Any) -> Any:
        return values.left, values.right, values.closed

    def time_content(values: Any) -> Any:
        return values.dtype, values.asi8

    def sparse_content(values: Any) -> Any:
        positions = values.sp_index.to_int_index().indices
        return values.dtype, len(values), positions, values.sp_values, values.fill_value

    def extension_content(values: Any) -> Any:
        missing = values.isna()
        plain = getattr(values.dtype, "numpy_dtype", None)
        if plain is not None and plain.kind in "biuf" and hasattr(values, "_mask"):
            # What lies below a missing value is not content.
            return values.dtype, missing, values.to_numpy(dtype=plain, na_value=plain.type(0))
        return values.dtype, missing, values.to_numpy(dtype=object)

    def dtype_content(dtype: Any) -> Any:
        return str(dtype), {name: getattr(dtype, name, None) for name in dtype._metadata}

    arrays, extensions = pd.arrays, pd.api.extensions
    _rules.add(pd.DataFrame, frame_content)
    _rules.add(pd.Series, series_content)
    _rules.add(pd.Index, index_content)
    _rules.add(pd.RangeIndex, range_index_content)
    _rules.add(pd.MultiIndex, multi_index_content)
    _rules.add(extensions.ExtensionArray, extension_content)
    _rules.add(extensions.ExtensionDtype, dtype_content)
    _rules.add(pd.Categorical, categorical_content)
    _rules.add(arrays.IntervalArray, interval_content)
    _rules.add(arrays.SparseArray, sparse_content)
    _rules.add((arrays.DatetimeArray, arrays.TimedeltaArray, arrays.PeriodArray), time_content)
    _rules.add(arrays.NumpyExtensionArray, lambda values: values.to_numpy())


def _pandas_extras(obj: Any) -> Any:
    """Collect the attributes that a frame or series carries, its own and those of its class."""
    own = {name: getattr(obj, name, None) for name in obj._metadata if name != "_name"}
    return dict(obj.attrs), own


_rules.add_lazy("numpy", _register_numpy)
_rules.add_lazy("pandas", _register_pandas)
