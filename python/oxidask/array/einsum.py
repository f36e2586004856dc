"""Sums of products by labels of axes: `einsum`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oxidask.array import _kernels, _kernels_linalg
from oxidask.array._expressions import Blockwise, Expression, empty_like
from oxidask.array.blockwise import _aligned
from oxidask.array.core import Array, _array, asarray, handle_out
from oxidask.array.reductions import Reduction, _split
from oxidask.tokenize import tokenize

__all__ = ["einsum"]


def einsum(
    *operands: Any,
    dtype: Any = None,
    optimize: Any = False,
    split_every: Any = None,
    **kwargs: Any,
) -> Array:
    """Return sums of products by Einstein's notation.

    Parameters
    ----------
    *operands : str and Array
        Labels of axes such as ``"ij,jk->ik"``, and as many arrays; or pairs of an array and a list
        of labels, and a list of the result's labels.
    dtype : numpy.dtype, optional
        The type in which is added up, and of the result.
    optimize : bool or str, default False
        In which order more than two blocks are multiplied; see NumPy's.
    split_every : int or dict, optional
        How many blocks make a group of the tree that adds up, in all or by axis.
    **kwargs
        ``casting``, ``order`` and ``out``.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.einsum("ij,ij->i", da.ones((2, 3), chunks=2), da.ones((2, 3))).compute()
    array([3., 3.])
    """
    out = kwargs.pop("out", None)
    unknown = set(kwargs) - {"casting", "order"}
    if unknown:
        raise TypeError(f"einsum: there is no argument {sorted(unknown)[0]!r}")
    inputs, output, values = _labels(operands)
    arrays = [asarray(one) for one in values]
    inputs, output = _without_ellipsis(inputs, output, arrays)
    if dtype is not None:
        kwargs["dtype"] = np.dtype(dtype)
    if optimize is False:
        # Pairs are multiplied by a product of matrices where that is possible.
        optimize = len(arrays) > 1
    every = dict.fromkeys(label for labels in inputs for label in labels)
    number = {label: place for place, label in enumerate(every)}
    if len(number) > 52:
        raise ValueError(f"einsum: {len(number)} labels are too many; NumPy takes 52")
    kernel = _kernels_linalg.SumOfProducts(
        [[number[label] for label in labels] for labels in inputs],
        [number[label] for label in output],
        optimize,
        kwargs,
    )
    meta = kernel(*(np.ones((1,) * one.ndim, one.dtype) for one in arrays))
    result = _contracted(kernel, inputs, output, arrays, meta.dtype, split_every)
    return handle_out(out, result)


def _contracted(
    kernel: _kernels_linalg.SumOfProducts,
    inputs: Sequence[list[Any]],
    output: list[Any],
    arrays: Sequence[Array],
    dtype: Any,
    split_every: Any,
) -> Array:
    pairs, lengths_of = _aligned(list(zip(arrays, map(tuple, inputs), strict=True)), True)
    gone = [label for label in lengths_of if label not in output and len(lengths_of[label]) > 1]
    kernel.added = len(gone)
    names = [one.name for one, _ in pairs]
    name = f"einsum-{tokenize(kernel, names)}"
    meta = empty_like(arrays[0]._meta, len(output) + len(gone), dtype)
    chunks = (*(lengths_of[label] for label in output), *((1,) * len(lengths_of[x]) for x in gone))
    products: Expression = Blockwise(
        name, kernel, [*output, *gone], pairs, {}, chunks, meta, concatenates=True
    )
    if not gone:
        return _array(products)
    axes = tuple(range(len(output), products.ndim))
    return _array(
        Reduction(
            "einsum-sum",
            products,
            axes,
            False,
            empty_like(meta, len(output)),
            _split(split_every, axes, products.ndim),
            (_kernels_linalg.same, ()),
            (_kernels.fold, (np.add,)),
            (_kernels.fold_and_squeeze, (np.add, axes)),
        )
    )


def _labels(operands: Sequence[Any]) -> tuple[list[list[Any]], list[Any] | None, list[Any]]:
    """Return the labels of each array, those of the result if they are given, and the arrays."""
    if not operands:
        raise ValueError("einsum: labels and arrays are needed, such as einsum('ij,jk->ik', a, b)")
    if isinstance(operands[0], str):
        text = operands[0].replace(" ", "")
        values = list(operands[1:])
        left, arrow, right = text.partition("->")
        inputs = [_spelled(one, text) for one in left.split(",")]
        output = _spelled(right, text) if arrow else None
    else:
        count = len(operands) // 2
        values = list(operands[: 2 * count : 2])
        inputs = [list(one) for one in operands[1 : 2 * count : 2]]
        output = list(operands[-1]) if len(operands) % 2 else None
    if len(inputs) != len(values):
        raise ValueError(f"einsum: there are labels for {len(inputs)} arrays, not {len(values)}")
    if output is None:
        every = [label for labels in inputs for label in labels if label is not Ellipsis]
        output = [Ellipsis] if any(Ellipsis in labels for labels in inputs) else []
        output += sorted(label for label in set(every) if every.count(label) == 1)
    return inputs, output, values


def _spelled(text: str, whole: str) -> list[Any]:
    """Return the labels of a text, with Ellipsis for three dots."""
    before, dots, after = text.partition("...")
    labels = [*before, *([Ellipsis] if dots else []), *after]
    for label in labels:
        if label is not Ellipsis and not (label.isascii() and label.isalpha()):
            raise ValueError(f"einsum: {label!r} in {whole!r} is no label; take letters")
    return labels


def _without_ellipsis(
    inputs: list[list[Any]], output: list[Any] | None, arrays: Sequence[Array]
) -> tuple[list[list[Any]], list[Any]]:
    """Return labels with one for each axis; those of an ellipsis count from the last one on."""
    assert output is not None
    spelled: list[list[Any]] = []
    most = 0
    for labels, one in zip(inputs, arrays, strict=True):
        dots = labels.count(Ellipsis)
        missing = one.ndim - len(labels) + dots
        if dots > 1 or missing < 0 or (missing and not dots):
            raise ValueError(
                f"einsum: {len(labels) - dots} labels {_shown(labels)} do not fit an array of "
                f"{one.ndim} axes"
            )
        most = max(most, missing)
        spelled.append(_replaced(labels, missing))
    known = {label for labels in spelled for label in labels}
    for label in output:
        if label is not Ellipsis and (label not in known or output.count(label) > 1):
            raise ValueError(
                f"einsum: the result's label {label!r} stands in no array or more than once"
            )
    if most and Ellipsis not in output:
        raise ValueError(
            "einsum: the axes of an ellipsis cannot be summed over; put it into the result's labels"
        )
    return spelled, _replaced(output, most)


def _replaced(labels: list[Any], count: int) -> list[Any]:
    if Ellipsis not in labels:
        return labels
    place = labels.index(Ellipsis)
    return [*labels[:place], *(("...", k) for k in range(-count, 0)), *labels[place + 1 :]]


def _shown(labels: Sequence[Any]) -> str:
    return repr("".join("..." if label is Ellipsis else str(label) for label in labels))
