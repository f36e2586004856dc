"""Functions of whole axes, called along all the others: `apply_gufunc`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from oxidask._core import Layer
from oxidask.array import _kernels
from oxidask.array._expressions import Blockwise, Expression, empty_like, read
from oxidask.array.blockwise import _aligned, _value_of
from oxidask.array.core import Array, _array, asarray, funcname, transposed
from oxidask.tokenize import tokenize

__all__ = ["apply_gufunc", "as_gufunc", "gufunc"]

#: Names of the axes that a function takes or makes, for each array.
Cores = list[tuple[str, ...]]

_ARRAYS = r"\([\w,]*\)(,\([\w,]*\))*"


def _parsed(signature: str) -> tuple[Cores, Cores]:
    """Return the axes of the arguments and of the results."""
    text = signature.replace(" ", "") if isinstance(signature, str) else ""
    if not re.fullmatch(f"({_ARRAYS})?->{_ARRAYS}", text):
        raise ValueError(
            f"apply_gufunc: {signature!r} is no signature; name the axes that the function takes "
            "and makes, such as '(i,j),(j)->(i)'"
        )
    sides = [
        [tuple(one for one in part.split(",") if one) for part in re.findall(r"\(([\w,]*)\)", side)]
        for side in text.split("->")
    ]
    return sides[0], sides[1]


class _Output(Expression):
    """One of several results of a function."""

    __slots__ = ("place",)

    def __init__(self, whole: Expression, place: int, chunks: Any, meta: Any) -> None:
        super().__init__(f"{whole.label}-{place}-{tokenize(whole.name)}", chunks, meta, [whole])
        self.place = place

    def _lower(self) -> Layer:
        (whole,) = self.operands
        return self._call(_kernels.item, read(whole, range(whole.ndim)), self.place)


def apply_gufunc(
    func: Callable[..., Any],
    signature: str,
    *args: Any,
    axes: Any = None,
    axis: int | None = None,
    keepdims: bool = False,
    output_dtypes: Any = None,
    output_sizes: Mapping[str, int] | None = None,
    vectorize: bool | None = None,
    allow_rechunk: bool = False,
    meta: Any = None,
    **kwargs: Any,
) -> Any:
    """Call a function that works on some whole axes, for all places along the others.

    Parameters
    ----------
    func : callable
        Called with a block of each array, whose last axes are those of the signature. The axes
        before them are broadcast, and the function works along them, too, unless `vectorize`.
    signature : str
        Names of the axes that the function takes and makes: ``"(i,j),(j)->(i)"``.
    *args : Array
        As many arrays as the signature has to the left of the arrow.
    axes : list of tuple of int, optional
        Which axes of each argument, and of each result, are those of the signature; by default the
        last ones.
    axis : int, optional
        The same for a signature with one axis.
    keepdims : bool, default False
        Whether axes that the results have not stay, with length one.
    output_dtypes : dtype or sequence of dtype, optional
        Types of the results; by default found by calling the function with arrays of one element.
    output_sizes : dict, optional
        Lengths of axes that no argument has.
    vectorize : bool, optional
        Whether the function takes the axes of the signature only, and is called for each place
        along the others.
    allow_rechunk : bool, default False
        Whether axes of the signature that are cut into blocks are joined; else they are an error.
    meta : array or tuple of array, optional
        Empty arrays of the types of the results.
    **kwargs
        Given to the function.

    Returns
    -------
    Array or tuple of Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> x = da.ones((4, 3), chunks=(2, 3))
    >>> def spread(block):
    ...     return block.max(axis=-1), block.min(axis=-1)
    >>> high, low = da.apply_gufunc(spread, "(i)->(),()", x, output_dtypes=(float, float))
    >>> high.compute()
    array([1., 1., 1., 1.])
    """
    if not callable(func):
        raise TypeError(f"apply_gufunc: the first argument is a function, not {func!r}")
    inputs, outputs = _parsed(signature)
    if len(args) != len(inputs):
        raise ValueError(
            f"apply_gufunc: the signature {signature!r} takes {len(inputs)} arrays, not {len(args)}"
        )
    arrays = [asarray(one) for one in args]
    for one, core in zip(arrays, inputs, strict=True):
        if one.ndim < len(core):
            raise ValueError(
                f"apply_gufunc: an array of {one.ndim} axes has not the {len(core)} axes "
                f"{core} of the signature {signature!r}"
            )
    axes_in, axes_out = _axes(axes, axis, keepdims, inputs, outputs)
    arrays = [
        transposed(one, _last(one.ndim, own)) for one, own in zip(arrays, axes_in, strict=True)
    ]
    arrays = _joined(arrays, inputs, signature, allow_rechunk)
    kwargs = {key: _value_of(value) for key, value in kwargs.items()}
    dtypes = _dtypes_said(output_dtypes, len(outputs))
    called: Any = func
    if vectorize:
        called = np.vectorize(
            func, signature=signature.replace(" ", ""), otypes=None if dtypes is None else dtypes
        )
    metas = _metas(called, arrays, kwargs, dtypes, meta, len(outputs))
    label = funcname(func)
    names = [one.name for one in arrays]
    token = tokenize(func, signature, names, bool(vectorize), dtypes, output_sizes, kwargs)
    loops = max((one.ndim - len(core) for one, core in zip(arrays, inputs, strict=True)), default=0)
    loop_labels = [("loop", place) for place in range(-loops, 0)]
    pairs, lengths_of = _aligned(
        [
            (one, (*loop_labels[loops - one.ndim + len(core) :], *core))
            for one, core in zip(arrays, inputs, strict=True)
        ],
        True,
    )
    loop_chunks = tuple(lengths_of[one] for one in loop_labels)
    core_chunks = [
        tuple(_length(name, lengths_of, output_sizes, signature) for name in core)
        for core in outputs
    ]
    results: list[Expression] = []
    if len(outputs) == 1:
        chunks = (*loop_chunks, *core_chunks[0])
        labels = [*loop_labels, *outputs[0]]
        results.append(
            Blockwise(
                f"{label}-{token}",
                called,
                labels,
                pairs,
                kwargs,
                chunks,
                empty_like(metas[0], len(chunks)),
                concatenates=True,
            )
        )
    else:
        whole = Blockwise(
            f"{label}-all-{token}",
            called,
            loop_labels,
            pairs,
            kwargs,
            loop_chunks,
            np.empty((0,) * loops, object),
            concatenates=True,
        )
        for place, (of_core, one) in enumerate(zip(core_chunks, metas, strict=True)):
            chunks = (*loop_chunks, *of_core)
            results.append(_Output(whole, place, chunks, empty_like(one, len(chunks))))
    finished = tuple(
        _in_place(_array(one), own, len(inputs[0]) if keepdims else 0)
        for one, own in zip(results, axes_out, strict=True)
    )
    return finished if len(outputs) > 1 else finished[0]


def _axes(
    axes: Any, axis: Any, keepdims: bool, inputs: Cores, outputs: Cores
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return which axes of each argument, and of each result, are those of the signature."""
    counts_in = [len(core) for core in inputs]
    counts_out = [len(core) for core in outputs]
    if keepdims:
        if any(counts_out) or len(set(counts_in)) > 1:
            raise ValueError(
                "apply_gufunc: keepdims=True needs arguments with as many axes each in the "
                "signature, and results with none"
            )
        counts_out = counts_in[:1] * len(outputs)
    if axis is not None:
        if axes is not None:
            raise ValueError("apply_gufunc: give axis= or axes=, not both")
        if len({name for core in inputs for name in core}) != 1 or max(counts_in) > 1:
            raise ValueError(
                "apply_gufunc: axis= is for signatures with one axis; give axes= for others"
            )
        if not isinstance(axis, int | np.integer):
            raise ValueError(f"apply_gufunc: axis is an int, not {axis!r}")
        axes = [(int(axis),) if count else () for count in (*counts_in, *counts_out)]
    if axes is None:
        axes = [tuple(range(-count, 0)) for count in (*counts_in, *counts_out)]
    if not isinstance(axes, list):
        raise ValueError(f"apply_gufunc: axes is a list with an entry for each array, not {axes!r}")
    axes = [(one,) if isinstance(one, int | np.integer) else tuple(one) for one in axes]
    if len(axes) == len(inputs):
        if not keepdims and any(counts_out):
            raise ValueError("apply_gufunc: axes= needs entries for the results, too")
        axes += [axes[0] if keepdims else ()] * len(outputs)
    if len(axes) != len(inputs) + len(outputs):
        raise ValueError(
            f"apply_gufunc: axes= has {len(axes)} entries for {len(inputs)} arguments and "
            f"{len(outputs)} results"
        )
    for own, count in zip(axes, (*counts_in, *counts_out), strict=True):
        if len(own) != count:
            raise ValueError(
                f"apply_gufunc: axes= says {own}, where the signature has {count} axes"
            )
    return axes[: len(inputs)], axes[len(inputs) :]


def _checked(axes: tuple[int, ...], ndim: int) -> list[int]:
    for one in axes:
        if not -ndim <= one < ndim:
            raise np.exceptions.AxisError(int(one), ndim)
    result = [int(one) % ndim for one in axes]
    if len(set(result)) < len(result):
        raise ValueError(f"apply_gufunc: an axis stands twice in {axes}")
    return result


def _last(ndim: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the order in which some axes come last."""
    own = _checked(axes, ndim)
    return (*(one for one in range(ndim) if one not in own), *own)


def _in_place(result: Array, axes: tuple[int, ...], added: int) -> Array:
    """Return a result with its last axes, of which some are added, where they are wanted."""
    if added:
        result = result[(..., *(None,) * added)]
    order = _last(result.ndim, axes)
    return transposed(result, tuple(order.index(one) for one in range(result.ndim)))


def _joined(arrays: Sequence[Array], inputs: Cores, signature: str, allows: bool) -> list[Array]:
    """Return arrays with one block along each axis of the signature, whose lengths fit."""
    lengths: dict[str, Any] = {}
    joined = []
    for one, core in zip(arrays, inputs, strict=True):
        cut = {}
        for axis, name in enumerate(core, start=one.ndim - len(core)):
            length = one.shape[axis]
            if lengths.setdefault(name, length) != length and length == length:
                raise ValueError(
                    f"apply_gufunc: axis {name!r} of the signature {signature!r} has "
                    f"{lengths[name]} and {length} elements; they must be alike"
                )
            if one.numblocks[axis] > 1:
                if not allows:
                    raise ValueError(
                        f"apply_gufunc: axis {name!r} of the signature {signature!r} is cut into "
                        f"{one.numblocks[axis]} blocks and one is needed: rechunk it, or give "
                        "allow_rechunk=True"
                    )
                cut[axis] = -1
        joined.append(one.rechunk(cut) if cut else one)
    return joined


def _length(
    name: str,
    lengths_of: Mapping[Any, tuple[Any, ...]],
    sizes: Mapping[str, int] | None,
    signature: str,
) -> tuple[Any, ...]:
    """Return the length of the only block along an axis of a result."""
    if name in lengths_of:
        return lengths_of[name]
    if sizes is None or name not in sizes:
        raise ValueError(
            f"apply_gufunc: no argument has the axis {name!r} of the signature {signature!r}; say "
            f"how long it is, output_sizes={{{name!r}: …}}"
        )
    return (int(sizes[name]),)


def _dtypes_said(dtypes: Any, count: int) -> list[np.dtype[Any]] | None:
    if dtypes is None:
        return None
    several = list(dtypes) if isinstance(dtypes, tuple | list) else [dtypes]
    if len(several) != count:
        raise ValueError(
            f"apply_gufunc: output_dtypes={dtypes!r} has {len(several)} entries for {count} results"
        )
    return [np.dtype(one) for one in several]


def _metas(
    func: Any,
    arrays: Sequence[Array],
    kwargs: dict[str, Any],
    dtypes: list[np.dtype[Any]] | None,
    meta: Any,
    count: int,
) -> list[Any]:
    """Return an array of the type of each result."""
    if meta is not None:
        metas = list(meta) if isinstance(meta, tuple | list) else [meta]
        if len(metas) != count:
            raise ValueError(f"apply_gufunc: meta= has {len(metas)} entries for {count} results")
        return metas
    if dtypes is not None:
        return [np.empty(0, one) for one in dtypes]
    ones = [np.ones((1,) * one.ndim, one.dtype) for one in arrays]
    try:
        with np.errstate(all="ignore"):
            results = func(*ones, **kwargs)
    except Exception as error:
        raise ValueError(
            "apply_gufunc: the types of the results are not known, because calling "
            f"{funcname(func)} with arrays of one element raised {type(error).__name__}: {error}. "
            "Give output_dtypes="
        ) from error
    results = results if count > 1 else (results,)
    if len(results) != count:
        raise ValueError(
            f"apply_gufunc: {funcname(func)} returned {len(results)} results, and the signature "
            f"has {count}"
        )
    return [np.asarray(one) for one in results]


class gufunc:
    """A function that `apply_gufunc` is called with.

    Parameters
    ----------
    pyfunc : callable
        The function.
    signature : str
        Names of the axes that it takes and makes.
    vectorize, axes, axis, keepdims, output_sizes, output_dtypes, allow_rechunk, meta
        As for `apply_gufunc`.

    Examples
    --------
    >>> import oxidask.array as da
    >>> mean = da.gufunc(lambda block: block.mean(axis=-1), signature="(i)->()")
    >>> mean(da.ones((2, 3), chunks=(1, 3))).compute()
    array([1., 1.])
    """

    def __init__(
        self,
        pyfunc: Callable[..., Any],
        *,
        signature: str | None = None,
        vectorize: bool = False,
        axes: Any = None,
        axis: int | None = None,
        keepdims: bool = False,
        output_sizes: Mapping[str, int] | None = None,
        output_dtypes: Any = None,
        allow_rechunk: bool = False,
        meta: Any = None,
    ) -> None:
        if signature is None:
            raise TypeError("gufunc: signature= is needed, such as '(i)->()'")
        _parsed(signature)
        self.pyfunc, self.signature = pyfunc, signature
        self.vectorize, self.axes, self.axis, self.keepdims = vectorize, axes, axis, keepdims
        self.output_sizes, self.output_dtypes = output_sizes, output_dtypes
        self.allow_rechunk, self.meta = allow_rechunk, meta
        self.__name__ = funcname(pyfunc)
        self.__doc__ = pyfunc.__doc__

    def __call__(self, *args: Any, allow_rechunk: bool = False, **kwargs: Any) -> Any:
        """Call the function along the axes that the signature does not name.

        Parameters
        ----------
        *args : Array
            As many arrays as the signature has.
        allow_rechunk : bool, default False
            Whether axes of the signature that are cut into blocks are joined.
        **kwargs
            Given to the function.

        Returns
        -------
        Array or tuple of Array
        """
        return apply_gufunc(
            self.pyfunc,
            self.signature,
            *args,
            vectorize=self.vectorize,
            axes=self.axes,
            axis=self.axis,
            keepdims=self.keepdims,
            output_sizes=self.output_sizes,
            output_dtypes=self.output_dtypes,
            allow_rechunk=self.allow_rechunk or allow_rechunk,
            meta=self.meta,
            **kwargs,
        )


def as_gufunc(signature: str | None = None, **kwargs: Any) -> Callable[..., gufunc]:
    """Make a `gufunc` of the function that follows.

    Parameters
    ----------
    signature : str
        Names of the axes that the function takes and makes.
    **kwargs
        For `gufunc`.

    Returns
    -------
    callable
        The decorator.

    Examples
    --------
    >>> import oxidask.array as da
    >>> @da.as_gufunc("(i),(i)->()", output_dtypes=float)
    ... def product(a, b):
    ...     return (a * b).sum(axis=-1)
    >>> float(product(da.ones(3), da.ones(3)).compute())
    3.0
    """
    allowed = {
        "vectorize",
        "axes",
        "axis",
        "keepdims",
        "output_sizes",
        "output_dtypes",
        "allow_rechunk",
        "meta",
    }
    unknown = set(kwargs) - allowed
    if unknown:
        raise TypeError(f"as_gufunc: there is no argument {sorted(unknown)[0]!r}")

    def made(pyfunc: Callable[..., Any]) -> gufunc:
        return gufunc(pyfunc, signature=signature, **kwargs)

    return made
