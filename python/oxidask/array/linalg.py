"""Linear algebra: norms, and factorisations of matrices that are cut along one axis."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from oxidask._core import Layer, read_blocks
from oxidask.array import _kernels_linalg
from oxidask.array._chunks import is_unknown, starts_of
from oxidask.array._expressions import Expression, along, read
from oxidask.array._rechunk import rechunk
from oxidask.array.core import Array, _array, asarray
from oxidask.array.einsum import einsum
from oxidask.tokenize import tokenize

__all__ = [
    "cholesky",
    "inv",
    "lstsq",
    "lu",
    "norm",
    "qr",
    "sfqr",
    "solve",
    "solve_triangular",
    "svd",
    "svd_compressed",
    "tsqr",
]


class _Tree:
    """The factorisation of a matrix in blocks of rows, by a tree.

    Each block gets a Q and an R; the R's of a group stand on each other and get a Q and an R again,
    up to a top. The Q of the whole is the product of those on the way from the top to a block.
    """

    def __init__(self, operand: Expression, group: int, kind: str) -> None:
        self.operand, self.group, self.kind = operand, group, kind
        self.token = tokenize(operand.name, group, kind)
        self._levels: list[Layer] | None = None

    def levels(self) -> list[Layer]:
        """Return the layers of nodes, that of the blocks first."""
        if self._levels is None:
            operand = self.operand
            nodes = self._layer("qr-0", operand.grid[0], _kernels_linalg.qr, read(operand, (0, 1)))
            self._levels = [nodes]
            while len(self._levels) == 1 or nodes.grid[0] > 1:
                if nodes.grid[0] == 1 and self.kind == "qr":
                    break
                nodes = self._next(nodes, len(self._levels))
                self._levels.append(nodes)
        return self._levels

    def _next(self, nodes: Layer, level: int) -> Layer:
        """Return the nodes above others."""
        count = nodes.grid[0]
        # Only what is needed above goes there, not the Q's.
        small = self._layer(f"r-{level - 1}", count, _kernels_linalg.item, _own(nodes), 2)
        rows = [
            list(range(begin, min(begin + self.group, count)))
            for begin in range(0, count, self.group)
        ]
        parts = read_blocks(small, [(0, rows), 1], True)
        name = f"qr-{level}"
        if len(rows) > 1 or self.kind == "qr":
            return self._layer(name, len(rows), _kernels_linalg.qr_of_parts, parts)
        signs = self.kind == "svd with signs"
        return self._layer(name, 1, _kernels_linalg.svd_of_parts, parts, signs)

    def rows(self) -> Layer:
        """Return the blocks of rows of the whole Q, or of the left singular vectors."""
        levels = self.levels()
        if len(levels) == 1:
            return self._layer("q-0", levels[0].grid[0], _kernels_linalg.item, _own(levels[0]), 0)
        above = levels[-1]
        for level in range(len(levels) - 2, -1, -1):
            count = levels[level].grid[0]
            parents = [(0, [place // self.group for place in range(count)]), 1]
            above = self._layer(
                f"q-{level}",
                count,
                _kernels_linalg.times_part,
                _own(levels[level]),
                read_blocks(above, parents),
                along(0, [place % self.group for place in range(count)]),
            )
        return above

    def _layer(self, what: str, count: int, function: Any, *args: Any) -> Layer:
        return Layer(
            f"{what}-{self.token}",
            what.rstrip("-0123456789"),
            (count, 1),
            function,
            args,
            {},
            origin=self.operand.origin,
        )


def _own(layer: Layer) -> Any:
    return read_blocks(layer, [0, 1])


class _Rows(Expression):
    """The blocks of Q."""

    __slots__ = ("tree",)

    def __init__(self, tree: _Tree, chunks: Any, dtype: Any) -> None:
        meta = np.empty((0, 0), dtype)
        super().__init__(f"q-0-{tree.token}", chunks, meta, [tree.operand])
        self.tree = tree

    def _lower(self) -> Layer:
        return self.tree.rows()


class _Top(Expression):
    """A part of the top of the tree."""

    __slots__ = ("place", "tree")

    def __init__(self, tree: _Tree, label: str, place: int, chunks: Any, dtype: Any) -> None:
        meta = np.empty((0,) * len(chunks), dtype)
        super().__init__(f"{label}-{tree.token}", chunks, meta, [tree.operand])
        self.tree, self.place = tree, place

    def _lower(self) -> Layer:
        top = self.tree.levels()[-1]
        node = read_blocks(top, [(None, [0]), (None, [0])])
        return self._call(_kernels_linalg.item, node, self.place)


def _matrix(a: Any, where: str) -> Array:
    a = asarray(a)
    if a.ndim != 2:
        raise ValueError(f"{where}: a matrix has 2 axes, not {a.ndim}")
    return a


def _types(a: Array, function: Any) -> Any:
    """Return the types of what NumPy makes of a matrix of such elements."""
    return [part.dtype for part in function(np.ones((1, 1), a.dtype))]


def tsqr(data: Any, compute_svd: bool = False, _max_vchunk_size: int | None = None) -> Any:
    """Factorise a matrix in blocks of rows: Q and R, or singular vectors and values.

    Parameters
    ----------
    data : Array
        A matrix with one block of columns.
    compute_svd : bool, default False
        Whether the result is u, s and v, as of `svd`, instead of Q and R.
    _max_vchunk_size : int, optional
        Rows that stand on each other in a step of the tree; by default about as many as the longest
        block has.

    Returns
    -------
    tuple of Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> x = da.random.default_rng(0).random((9, 2), chunks=(3, 2))
    >>> q, r = da.linalg.tsqr(x)
    >>> q.chunks, r.shape
    (((3, 3, 3), (2,)), (2, 2))
    >>> bool(np.allclose((q @ r).compute(), x.compute()))
    True
    """
    return _tsqr(_matrix(data, "tsqr"), "svd" if compute_svd else "qr", _max_vchunk_size)


def _tsqr(a: Array, kind: str, rows_at_once: int | None = None) -> tuple[Array, ...]:
    rows, (columns, *others) = a.chunks
    if others:
        raise ValueError(
            f"tsqr: the matrix has {len(others) + 1} blocks of columns and one is needed; "
            "x.rechunk({1: -1})"
        )
    if columns != columns:
        raise ValueError(
            "tsqr: the number of columns is not known; call compute_chunk_sizes() first"
        )
    if rows_at_once is None:
        rows_at_once = 16 * columns if is_unknown(rows) else max(rows)
    group = max(2, rows_at_once // max(1, columns))
    tree = _Tree(a._expr, group, kind)
    unknown = is_unknown(rows)
    width = columns if unknown else min(columns, sum(rows))
    if kind == "qr":
        q, r = _types(a, np.linalg.qr)
        return (
            _array(_Rows(tree, (rows, (width,)), q)),
            _array(_Top(tree, "r", 2, ((width,), (columns,)), r)),
        )
    u, s, v = _types(a, np.linalg.svd)
    return (
        _array(_Rows(tree, (rows, (width,)), u)),
        _array(_Top(tree, "s", 2, ((width,),), s)),
        _array(_Top(tree, "v", 3, ((width,), (columns,)), v)),
    )


class _Columns(Expression):
    """The Q of the first columns of a matrix, which are at least as many as its rows."""

    __slots__ = ()

    def __init__(self, operand: Expression, dtype: Any) -> None:
        rows = operand.chunks[0]
        name = f"q-{tokenize(operand.name)}"
        super().__init__(name, (rows, rows), np.empty((0, 0), dtype), [operand])

    def _lower(self) -> Layer:
        (operand,) = self.operands
        block = read(operand, [0, (None, [0])])
        return self._call(_kernels_linalg.qr_of_columns, block)


class _Triangle(Expression):
    """The R that belongs to a Q, in the columns of the matrix."""

    __slots__ = ()

    def __init__(self, operand: Expression, q: Expression, dtype: Any) -> None:
        name = f"r-{tokenize(operand.name, q.name)}"
        super().__init__(name, operand.chunks, np.empty((0, 0), dtype), [operand, q])

    def _lower(self) -> Layer:
        operand, q = self.operands
        begin = along(1, starts_of(operand.chunks[1])[:-1])
        return self._call(
            _kernels_linalg.triangle, read(q, [None, None]), read(operand, (0, 1)), begin
        )


def sfqr(data: Any, name: str | None = None) -> tuple[Array, Array]:
    """Factorise a matrix in blocks of columns: Q and R.

    Parameters
    ----------
    data : Array
        A matrix with one block of rows, and at least as many columns as rows.
    name : str, optional
        Taken for compatibility.

    Returns
    -------
    tuple of two Array
        R has the blocks of columns of the matrix; the first ones are joined until they are as many
        as the rows.

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> x = da.random.default_rng(0).random((2, 9), chunks=(2, 3))
    >>> q, r = da.linalg.sfqr(x)
    >>> bool(np.allclose((q @ r).compute(), x.compute()))
    True
    """
    a = _matrix(data, "sfqr")
    (rows, *others), columns = a.chunks
    if others:
        raise ValueError(
            f"sfqr: the matrix has {len(others) + 1} blocks of rows and one is needed; "
            "x.rechunk({0: -1})"
        )
    if rows != rows or is_unknown(columns):
        raise ValueError(
            f"sfqr: the shape {a.shape} is not known; call compute_chunk_sizes() first"
        )
    if sum(columns) < rows:
        raise ValueError(
            f"sfqr: a matrix of shape {a.shape} has more rows than columns; use tsqr, after "
            "x.rechunk({1: -1})"
        )
    first, place = 0, 0
    while first < rows or not place:
        first += columns[place]
        place += 1
    operand = rechunk(a._expr, ((rows,), (first, *columns[place:])))
    of_q, of_r = _types(a, np.linalg.qr)
    q = _Columns(operand, of_q)
    return _array(q), _array(_Triangle(operand, q, of_r))


def qr(a: Any) -> tuple[Array, Array]:
    """Factorise a matrix into Q, whose columns are orthonormal, and R, an upper triangle.

    Parameters
    ----------
    a : Array
        A matrix with one block of columns, or one of rows.

    Returns
    -------
    tuple of two Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> q, r = da.linalg.qr(da.ones((6, 2), chunks=(3, 2)))
    >>> q.shape, r.shape
    ((6, 2), (2, 2))
    """
    a = _matrix(a, "qr")
    rows, columns = a.numblocks
    if columns == 1:
        q, r = tsqr(a)
        return q, r
    if rows == 1 and a.shape[0] <= a.shape[1]:
        return sfqr(a)
    if rows == 1:
        q, r = tsqr(a.rechunk({1: -1}))
        return q, r
    raise NotImplementedError(_cut_along_both("qr", a))


def _cut_along_both(where: str, a: Array) -> str:
    return (
        f"{where}: the matrix of shape {a.shape} is cut into {a.numblocks[0]} x {a.numblocks[1]} "
        "blocks, and one block along an axis is needed: x.rechunk({1: -1}) if it is high, "
        "x.rechunk({0: -1}) if it is wide"
    )


def svd(a: Any, coerce_signs: bool = True, full_matrices: bool = False) -> tuple[Array, ...]:
    """Return singular vectors and values: ``a`` is ``(u * s) @ v``.

    Parameters
    ----------
    a : Array
        A matrix with one block of columns, or one of rows.
    coerce_signs : bool, default True
        Whether signs are chosen so that the sum of each row of `v` is not negative. Then they do
        not depend on the blocks.
    full_matrices : False
        Only False: as many vectors as values.

    Returns
    -------
    u, s, v : Array
        `s` is in descending order.

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> u, s, v = da.linalg.svd(da.from_array(np.diag([3.0, 2.0]), chunks=(1, 2)))
    >>> s.compute()
    array([3., 2.])
    """
    if full_matrices:
        raise NotImplementedError(
            "svd(full_matrices=True): for the vectors that belong to no value use "
            "numpy.linalg.svd(x.compute())"
        )
    a = _matrix(a, "svd")
    rows, columns = a.numblocks
    if rows > 1 and columns > 1:
        raise NotImplementedError(
            f"{_cut_along_both('svd', a)}; for some of the values of a large one use svd_compressed"
        )
    if columns == 1:
        return _tsqr(a, "svd with signs" if coerce_signs else "svd")
    left, s, right = _tsqr(a.T, "svd")
    u, v = right.T, left.T
    if coerce_signs:
        from oxidask.array.routines import where

        real = v.sum(axis=1).real
        signs = where(real >= 0, 1, -1).astype(real.dtype)
        u, v = u * signs, v * signs[:, None]
    return u, s, v


def svd_compressed(
    a: Any,
    k: int,
    iterator: str = "power",
    n_power_iter: int = 0,
    n_oversamples: int = 10,
    seed: Any = None,
    compute: bool = False,
    coerce_signs: bool = True,
) -> tuple[Array, ...]:
    """Return about the largest singular values and their vectors, by random projection.

    Parameters
    ----------
    a : Array
        A matrix in any chunks.
    k : int
        How many values.
    iterator : {"power", "QR"}, default "power"
        How the projection is made better: by multiplying with the matrix, or with a factorisation
        after each product, which costs more and keeps small values apart.
    n_power_iter : int, default 0
        How often: each time is two more passes over the matrix. Values that fall slowly need some.
    n_oversamples : int, default 10
        How many vectors more than `k` are projected on.
    seed : int or Generator, optional
        For the random numbers; see `oxidask.array.random.default_rng`.
    compute : bool, default False
        Whether each projection is computed at once, and kept: then the matrix is made anew for
        each pass, and never kept.
    coerce_signs : bool, default True
        Whether signs are chosen as by `svd`.

    Returns
    -------
    u, s, v : Array
        Of shapes (m, k), (k,) and (k, n).

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.random.default_rng(0).random((100, 20), chunks=(25, 10))
    >>> u, s, v = da.linalg.svd_compressed(x, 3, seed=0)
    >>> u.shape, s.shape, v.shape
    ((100, 3), (3,), (3, 20))
    """
    a = _matrix(a, "svd_compressed")
    if iterator not in ("power", "QR"):
        raise ValueError(f"svd_compressed: iterator is 'power' or 'QR', not {iterator!r}")
    if not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"svd_compressed: k is a count of 1 or more, not {k!r}")
    if any(map(is_unknown, a.chunks)):
        raise ValueError(
            f"svd_compressed: the shape {a.shape} is not known; call compute_chunk_sizes() first"
        )
    width = min(int(k) + int(n_oversamples), *a.shape)
    turned = a.T.conj() if a.dtype.kind == "c" else a.T
    basis = _projected(a, turned, width, iterator, int(n_power_iter), seed, compute)
    q, _ = tsqr(basis)
    if compute:
        q = q.persist()
    q_turned = q.T.conj() if q.dtype.kind == "c" else q.T
    u, s, v = svd(einsum("ij,jk->ik", q_turned, a), coerce_signs)
    return einsum("ij,jk->ik", q, u)[:, :k], s[:k], v[:k]


def _projected(
    a: Array, turned: Array, width: int, iterator: str, times: int, seed: Any, computes: bool
) -> Array:
    """Return vectors that span about what the largest singular vectors do."""
    from oxidask.array.random import Generator, default_rng

    # Its methods for distributions are made in a loop, which types do not see.
    generator: Any = seed if isinstance(seed, Generator) else default_rng(seed)
    start = generator.standard_normal(size=(a.shape[1], width), chunks=(a.chunks[1], width))
    if a.dtype.kind == "f":
        start = start.astype(a.dtype)

    def times_matrix(matrix: Array, vectors: Array, makes_orthonormal: bool) -> Array:
        result = einsum("ij,jk->ik", matrix, vectors)
        if makes_orthonormal:
            result, _ = tsqr(result)
        return result.persist() if computes else result

    is_qr = iterator == "QR"
    vectors = times_matrix(a, start, is_qr and times > 0)
    for left in range(times - 1, -1, -1):
        vectors = times_matrix(turned, vectors, is_qr)
        vectors = times_matrix(a, vectors, is_qr and left > 0)
    return vectors


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """Return norms of vectors or matrices.

    Parameters
    ----------
    x : Array
        The array.
    ord : int, float or str, optional
        Which norm, as for `numpy.linalg.norm`; by default the root of the sum of squares.
    axis : int or tuple of two int, optional
        The axis of vectors, or the axes of matrices; by default all, and with `ord` there are one
        or two.
    keepdims : bool, default False
        Whether these axes stay, with length one.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> float(da.linalg.norm(da.asarray([3.0, 4.0])).compute())
    5.0
    """
    x = asarray(x)
    if x.dtype.kind not in "fc":
        x = x.astype(float)
    if axis is None:
        if ord is not None and x.ndim not in (1, 2):
            raise ValueError(f"norm: ord={ord!r} of an array of {x.ndim} axes; say which by axis=")
        axes = tuple(range(x.ndim))
        if ord is None:
            return _root_of_squares(x, axes, keepdims)
    else:
        axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
        for one in axes:
            if not isinstance(one, int | np.integer):
                raise TypeError(f"norm: axis is an int or a tuple of ints, not {axis!r}")
            if not -x.ndim <= one < x.ndim:
                raise np.exceptions.AxisError(int(one), x.ndim)
        axes = tuple(int(one) % x.ndim for one in axes)
    if len(axes) == 1:
        return _of_vectors(x, ord, axes[0], keepdims)
    if len(axes) == 2 and axes[0] != axes[1]:
        return _of_matrices(x, ord, axes, keepdims)
    raise ValueError(f"norm: axis is one axis or two different ones, not {axis!r}")


def _root_of_squares(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    squares = x.real**2 + x.imag**2 if x.dtype.kind == "c" else x**2
    return squares.sum(axis=axes, keepdims=keepdims) ** 0.5


def _of_vectors(x: Array, ord: Any, axis: int, keepdims: bool) -> Array:
    if isinstance(ord, str):
        raise ValueError(f"norm: {ord!r} is no norm of vectors; take a number")
    if ord is None or ord == 2:
        return _root_of_squares(x, (axis,), keepdims)
    sizes = abs(x)
    if ord == np.inf:
        return sizes.max(axis=axis, keepdims=keepdims)
    if ord == -np.inf:
        return sizes.min(axis=axis, keepdims=keepdims)
    if ord == 0:
        return (x != 0).astype(sizes.dtype).sum(axis=axis, keepdims=keepdims)
    if ord == 1:
        return sizes.sum(axis=axis, keepdims=keepdims)
    return (sizes**ord).sum(axis=axis, keepdims=keepdims) ** (1 / ord)


def _of_matrices(x: Array, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Array:
    rows, columns = axes
    if ord in (None, "fro", "f"):
        return _root_of_squares(x, axes, keepdims)
    if ord in (2, -2, "nuc"):
        result = _by_values(x, ord)
        return result[None, None] if keepdims else result
    first = {1: rows, -1: rows, np.inf: columns, -np.inf: columns}.get(ord)
    if first is None:
        raise ValueError(
            f"norm: {ord!r} is no norm of matrices; take 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"
        )
    sums = abs(x).sum(axis=first, keepdims=True)
    extreme = sums.max if ord > 0 else sums.min
    result = extreme(axis=rows + columns - first, keepdims=True)
    if keepdims:
        return result
    return result[tuple(0 if axis in axes else slice(None) for axis in range(x.ndim))]


def _by_values(x: Array, ord: Any) -> Array:
    """Return a norm that is one of the singular values, or their sum."""
    if x.ndim != 2:
        raise NotImplementedError(
            f"norm: ord={ord!r} of matrices in an array of {x.ndim} axes; take one matrix after "
            "the other"
        )
    if 1 not in x.numblocks:
        x = x.rechunk({0 if x.shape[0] < x.shape[1] else 1: -1})
    s = svd(x, coerce_signs=False)[1]
    return s.sum() if ord == "nuc" else s.max() if ord == 2 else s.min()


# ---- Not there yet ----


def _not_there(name: str, instead: str) -> NoReturn:
    raise NotImplementedError(f"linalg.{name} is not there yet: {instead}")


def lu(a: Any) -> NoReturn:
    """Raise NotImplementedError: use `scipy.linalg.lu` on ``x.compute()``.

    Parameters
    ----------
    a : Array
        A matrix.
    """
    _not_there("lu", "scipy.linalg.lu(x.compute())")


def cholesky(a: Any, lower: bool = False) -> NoReturn:
    """Raise NotImplementedError: use `numpy.linalg.cholesky` on ``x.compute()``.

    Parameters
    ----------
    a : Array
        A matrix.
    lower : bool, default False
        Which factor.
    """
    _not_there("cholesky", "numpy.linalg.cholesky(x.compute()), which is the lower factor")


def solve(a: Any, b: Any, sym_pos: Any = None, assume_a: str = "gen") -> NoReturn:
    """Raise NotImplementedError: use `numpy.linalg.solve` on computed arrays.

    Parameters
    ----------
    a, b : Array
        A matrix, and the right side.
    sym_pos, assume_a
        What is known of the matrix.
    """
    _not_there("solve", "numpy.linalg.solve(a.compute(), b.compute())")


def solve_triangular(a: Any, b: Any, lower: bool = False) -> NoReturn:
    """Raise NotImplementedError: use `scipy.linalg.solve_triangular` on computed arrays.

    Parameters
    ----------
    a, b : Array
        A matrix, and the right side.
    lower : bool, default False
        Which triangle.
    """
    _not_there("solve_triangular", "scipy.linalg.solve_triangular(a.compute(), b.compute())")


def inv(a: Any) -> NoReturn:
    """Raise NotImplementedError: use `numpy.linalg.inv` on ``x.compute()``.

    Parameters
    ----------
    a : Array
        A matrix.
    """
    _not_there("inv", "numpy.linalg.inv(x.compute())")


def lstsq(a: Any, b: Any) -> NoReturn:
    """Raise NotImplementedError: factorise with `qr`, and solve with R, which is small.

    Parameters
    ----------
    a, b : Array
        A matrix, and the right side.
    """
    _not_there("lstsq", "q, r = qr(a), then numpy.linalg.solve(r.compute(), (q.T @ b).compute())")
