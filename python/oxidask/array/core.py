"""The class `Array`: NumPy's interface on a grid of blocks, lazily; and how arrays are made."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral, Number
from typing import Any

import numpy as np

from oxidask._core import Delayed, GraphView, Layer, persisted
from oxidask._protocol import DaskMethodsMixin
from oxidask.array import _kernels
from oxidask.array._chunks import (
    Chunks,
    PerformanceWarning,
    check_block_size,
    check_result_fits,
    is_unknown,
    normalize_chunks,
    shape_of,
)
from oxidask.array._expressions import (
    BroadcastTo,
    Concatenate,
    Elementwise,
    Expression,
    FromArray,
    FromLayer,
    Renamed,
    Transpose,
    empty_like,
    every,
    in_order,
    meta_of,
    read,
    rechunked_to,
)
from oxidask.array._files import source_of
from oxidask.array._rechunk import rechunk as rechunked
from oxidask.array._slicing import (
    Masked,
    MaskedAll,
    getitem,
    is_mask,
    normalize_index,
    same_lengths,
)
from oxidask.tokenize import tokenize

__all__ = [
    "Array",
    "PerformanceWarning",
    "asanyarray",
    "asarray",
    "broadcast_to",
    "concatenate",
    "elemwise",
    "from_array",
    "from_delayed",
    "normalize_chunks",
    "stack",
]


class Array(DaskMethodsMixin, np.lib.mixins.NDArrayOperatorsMixin):
    """An array of NumPy in blocks, of which none is made before it is asked for.

    Arrays are made by `from_array`, `ones`, `random.default_rng` and so on, and by calling NumPy's
    functions and methods on them. `compute` gives the array of NumPy.

    Parameters
    ----------
    dask : mapping
        A graph.
    name : str
        The first part of the keys of the blocks, ``(name, i, j, …)``.
    chunks : tuple of tuples of int
        The lengths of the blocks along each axis.
    dtype : numpy.dtype, optional
        The type of the elements.
    meta : array, optional
        An empty array of the type of the blocks.
    shape : tuple of int, optional
        Elements along each axis, for chunks that do not spell them out.

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> x = da.from_array(np.arange(12).reshape(3, 4), chunks=2)
    >>> (x + 1).sum(axis=0).compute()
    array([15, 18, 21, 24])
    """

    __slots__ = ("_expr",)
    __array_priority__ = 11

    _expr: Expression

    def __new__(
        cls,
        dask: Mapping[Any, Any],
        name: str,
        chunks: Any,
        dtype: Any = None,
        meta: Any = None,
        shape: Any = None,
    ) -> Array:
        """Make an array of a graph that has its blocks."""
        from oxidask._core import tasks_of_graph

        chunks = normalize_chunks(chunks, shape, dtype=dtype)
        meta = _meta_from(meta, len(chunks), dtype)
        grid = tuple(len(lengths) for lengths in chunks)
        tasks = tasks_of_graph([(name, *index) for index in np.ndindex(*grid)], dask)
        layer = Layer.given(name, name.rsplit("-", 1)[0], grid, tasks)
        return _array(FromLayer(layer, chunks, meta))

    # ---- What it is ----

    @property
    def chunks(self) -> Chunks:
        """Lengths of the blocks along each axis."""
        return self._expr.chunks

    @property
    def shape(self) -> tuple[Any, ...]:
        """Elements along each axis; NaN where that is not known."""
        return shape_of(self._expr.chunks)

    @property
    def numblocks(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return self._expr.grid

    @property
    def npartitions(self) -> int:
        """Number of blocks."""
        return math.prod(self._expr.grid)

    @property
    def chunksize(self) -> tuple[Any, ...]:
        """Length of the longest block along each axis."""
        return tuple(max(lengths) for lengths in self._expr.chunks)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._expr.chunks)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self._expr.meta.dtype

    @property
    def _meta(self) -> Any:
        return self._expr.meta

    @property
    def name(self) -> str:
        """First part of the keys of its blocks."""
        return self._expr.name

    @property
    def size(self) -> Any:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> Any:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def T(self) -> Array:
        """The array with its axes in reverse order."""
        return self.transpose()

    @property
    def A(self) -> Array:
        """The array itself."""
        return self

    @property
    def real(self) -> Array:
        """Real parts."""
        return elemwise(np.real, self)

    @property
    def imag(self) -> Array:
        """Imaginary parts."""
        return elemwise(np.imag, self)

    def __len__(self) -> int:
        if not self.chunks:
            raise TypeError("len() of an array without axes")
        length = self.shape[0]
        if length != length:
            raise ValueError(
                "the length of the first axis is not known; call compute_chunk_sizes() first"
            )
        return int(length)

    def __repr__(self) -> str:
        return (
            f"oxidask.array<{self._expr.label}, shape={self.shape}, dtype={self.dtype}, "
            f"chunksize={self.chunksize}, chunktype={_type_name(self._meta)}>"
        )

    def _repr_html_(self) -> str:
        from oxidask.array import _picture

        return _picture.html(self)

    def to_svg(self, size: float = 500) -> str:
        """Return a drawing of the blocks.

        Parameters
        ----------
        size : float, default 500
            The longest side in pixels. What notebooks show has the setting ``array.svg.size``.

        Returns
        -------
        str
            An SVG element.

        Examples
        --------
        >>> import oxidask.array as da
        >>> da.ones((4, 4), chunks=2).to_svg().startswith("<svg")
        True
        """
        from oxidask.array import _picture

        return _picture.svg(self.chunks, size)

    def __reduce__(self) -> Any:
        # Operands come first: a chain of operations may be longer than a stack is deep.
        return _unpickled, (in_order(self._expr),)

    # ---- The collection protocol ----

    def optimize(self, **kwargs: Any) -> Array:
        """Return the array: what runs is always optimised, and `pprint` shows it.

        Parameters
        ----------
        **kwargs
            Taken for compatibility.

        Returns
        -------
        Array
            The array itself.

        Examples
        --------
        >>> import oxidask.array as da
        >>> x = da.ones((4, 4), chunks=2)
        >>> ((x + 1) * 2 + x.T).sum().optimize().pprint()
        sum: 1 task of fold_and_squeeze
          sum: 4 tasks, 2 × 2 of ones → add → multiply → ones → transpose → add → reduce_block
        """
        return self

    def pprint(self) -> None:
        """Print what will be run: each step, its tasks and what they call, and what it reads.

        Operations that were joined are one step, whose calls stand in the order in which a task
        makes them. Blocks that nobody needs are left out.
        """
        from oxidask.array import _plan

        print(_plan.text(self))

    def __dask_graph__(self) -> Mapping[Any, Any]:
        return _Graph(self._expr)

    @property
    def dask(self) -> Mapping[Any, Any]:
        """The graph, written out when somebody looks at it."""
        return _Graph(self._expr)

    def __dask_keys__(self) -> list[Any]:
        return _keys(self.name, self.numblocks)

    def __dask_layers__(self) -> tuple[str, ...]:
        return (self.name,)

    def __dask_tokenize__(self) -> Any:
        return self.name

    def __dask_postcompute__(self) -> Any:
        return _finalized, (self.numblocks,)

    def __dask_postpersist__(self) -> Any:
        return _from_graph, (self.name, self.chunks, self._meta)

    def _oxidask_value(self) -> Delayed:
        """Return the task that makes the array of NumPy."""
        expression = self._expr
        blocks = [every(count) for count in expression.grid]
        parts = read(expression, blocks, many=True)
        layer = Layer(
            f"finalize-{self.name}",
            "finalize",
            (),
            _finalized_flat,
            (parts, expression.grid),
            {},
        )
        value: Delayed = layer.block(())
        return value

    def _oxidask_blocks(self) -> list[Delayed]:
        """Return the tasks of the blocks, row by row."""
        blocks: list[Delayed] = self._expr.layer().all_blocks()
        return blocks

    def _oxidask_check_fits(self) -> None:
        """Refuse to make an array of NumPy that does not fit into memory."""
        # A single block is not copied, and may repeat what takes little memory.
        if self.npartitions > 1 and not any(map(is_unknown, self.chunks)):
            check_result_fits(self.nbytes, self.shape)

    def _oxidask_joined(self, blocks: list[Any]) -> Any:
        """Return the array of NumPy that the blocks make, row by row."""
        return _finalized_flat(blocks, self.numblocks)

    def _oxidask_rebuilt(self, tasks: list[Delayed]) -> Array:
        """Return the same array with blocks that are there already."""
        label, grid = self._expr.label, self._expr.grid
        layer = Layer.given(self.name, label, grid, tasks)
        return _array(FromLayer(layer, self.chunks, self._meta))

    def to_delayed(self, optimize_graph: bool = True) -> np.ndarray[Any, Any]:
        """Return the blocks as lazy values.

        Parameters
        ----------
        optimize_graph : bool, default True
            Taken for compatibility: the graph is optimised when it runs.

        Returns
        -------
        numpy.ndarray
            Of `Delayed`, with the shape of the grid of blocks.
        """
        blocks = np.empty(self.npartitions, dtype=object)
        for place, block in enumerate(self._oxidask_blocks()):
            blocks[place] = block
        return blocks.reshape(self.numblocks)

    # ---- NumPy's protocols ----

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError(
                "a lazy array cannot become one of NumPy without a copy: leave copy=False out"
            )
        value = np.asarray(self.compute())
        return value if dtype is None else value.astype(dtype, copy=False)

    def __array_ufunc__(self, function: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", ())
        if not all(_is_operand(one) for one in (*inputs, *out)):
            return NotImplemented
        if method == "outer":
            from oxidask.array.ufunc import outer

            return outer(function, *inputs, **kwargs)
        if method != "__call__" or function.signature is not None:
            if function is np.matmul and method == "__call__":
                from oxidask.array.routines import matmul

                return matmul(*inputs, **kwargs)
            return NotImplemented
        if function.nout != 1:
            from oxidask.array.ufunc import several

            return several(function, *inputs, **kwargs)
        result = elemwise(function, *inputs, **kwargs)
        return _put_out(result, out[0]) if out else result

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        import oxidask.array as module

        found: Any = module
        for part in [*function.__module__.split(".")[1:], function.__name__]:
            if part.startswith("_") or part == "core":
                continue
            found = getattr(found, part, None)
            if found is None:
                break
        if found is None or found is module or found is function:
            raise NotImplementedError(
                f"numpy.{function.__name__} of lazy arrays: call it with x.compute(), or on each "
                "block by map_blocks"
            )
        return found(*args, **kwargs)

    # ---- Operators ----

    def __matmul__(self, other: Any) -> Any:
        from oxidask.array.routines import matmul

        return matmul(self, other) if _is_operand(other) else NotImplemented

    def __rmatmul__(self, other: Any) -> Any:
        from oxidask.array.routines import matmul

        return matmul(other, self) if _is_operand(other) else NotImplemented

    def _size_one(self, what: str) -> Any:
        if self.size != 1:
            raise TypeError(f"{what}: only arrays of one element can be converted, not {self!r}")
        return self.compute()

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth value of an array of {self.size} elements is ambiguous: use any() or "
                "all()"
            )
        return bool(self.compute())

    def __float__(self) -> float:
        return float(np.asarray(self._size_one("float()")).item())

    def __int__(self) -> int:
        return int(np.asarray(self._size_one("int()")).item())

    def __complex__(self) -> complex:
        return complex(np.asarray(self._size_one("complex()")).item())

    def __index__(self) -> int:
        if self.ndim:
            raise TypeError("only arrays of ints without axes can be an index")
        return operator.index(self._size_one("index").item())

    def __iter__(self) -> Iterator[Array]:
        for place in range(len(self)):
            yield self[place]

    def __getitem__(self, index: Any) -> Array:
        return _getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        from oxidask.array._assignment import assigned

        self._expr = assigned(self, index, value)._expr

    @property
    def blocks(self) -> Any:
        """Blocks by their places in the grid: ``x.blocks[0, 1:]``."""
        return _Blocks(self)

    @property
    def partitions(self) -> Any:
        """Blocks by their places in the grid, as `blocks`."""
        return _Blocks(self)

    @property
    def vindex(self) -> Any:
        """Points by their places along several axes: ``x.vindex[[0, 3], [1, 2]]``."""
        from oxidask.array.selection import VIndex

        return VIndex(self)

    # ---- Methods ----

    def rechunk(
        self,
        chunks: Any = "auto",
        threshold: int | None = None,
        block_size_limit: int | None = None,
        balance: bool = False,
        method: str | None = None,
    ) -> Array:
        """Return the array in other chunks: see `oxidask.array.rechunk`."""
        from oxidask.array.rechunk import rechunk

        return rechunk(self, chunks, threshold, block_size_limit, balance, method)

    def transpose(self, *axes: Any) -> Array:
        """Return the array with its axes in another order: see `oxidask.array.transpose`."""
        from oxidask.array.routines import transpose

        if not axes:
            return transpose(self)
        return transpose(self, axes[0] if len(axes) == 1 and not _is_axis(axes[0]) else axes)

    def reshape(self, *shape: Any, merge_chunks: bool = True, limit: Any = None) -> Array:
        """Return the array in another shape: see `oxidask.array.reshape`."""
        from oxidask.array.reshape import reshape

        if len(shape) == 1 and not _is_axis(shape[0]):
            shape = shape[0]
        return reshape(self, shape, merge_chunks, limit)

    def ravel(self) -> Array:
        """Return the elements along one axis: see `oxidask.array.ravel`."""
        from oxidask.array.reshape import ravel

        return ravel(self)

    def flatten(self) -> Array:
        """Return the elements along one axis: see `oxidask.array.ravel`."""
        return self.ravel()

    def astype(self, dtype: Any, **kwargs: Any) -> Array:
        """Return the array with elements of another type.

        Parameters
        ----------
        dtype : numpy.dtype
            The new type.
        **kwargs
            ``casting`` and ``copy``, as NumPy's.

        Returns
        -------
        Array
        """
        unknown = set(kwargs) - {"casting", "copy"}
        if unknown:
            raise TypeError(f"astype: there is no argument {sorted(unknown)[0]!r}")
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self
        casting = kwargs.get("casting", "unsafe")
        if not np.can_cast(self.dtype, dtype, casting):
            raise TypeError(
                f"Cannot cast array from {self.dtype!r} to {dtype!r} according to the rule "
                f"{casting!r}"
            )
        return elemwise(_kernels.astype, self, dtype=dtype, meta_dtype=dtype)

    def copy(self) -> Array:
        """Return a new object for the same array."""
        return _array(self._expr)

    def map_blocks(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Array:
        """Call a function on each block: see `oxidask.array.map_blocks`."""
        from oxidask.array.blockwise import map_blocks

        return map_blocks(func, self, *args, **kwargs)

    def map_overlap(
        self,
        func: Callable[..., Any],
        depth: Any,
        boundary: Any = None,
        trim: bool = True,
        **kwargs: Any,
    ) -> Array:
        """Call a function on each block and what is around it: see `oxidask.array.map_overlap`."""
        from oxidask.array.overlap import map_overlap

        return map_overlap(func, self, depth=depth, boundary=boundary, trim=trim, **kwargs)

    def sum(
        self,
        axis: Any = None,
        dtype: Any = None,
        keepdims: bool = False,
        split_every: Any = None,
        out: Any = None,
    ) -> Array:
        """Return totals: see `oxidask.array.sum`."""
        from oxidask.array import reductions

        return reductions.sum(self, axis, dtype, keepdims, split_every, out)

    def prod(
        self,
        axis: Any = None,
        dtype: Any = None,
        keepdims: bool = False,
        split_every: Any = None,
        out: Any = None,
    ) -> Array:
        """Return products: see `oxidask.array.prod`."""
        from oxidask.array import reductions

        return reductions.prod(self, axis, dtype, keepdims, split_every, out)

    def mean(
        self,
        axis: Any = None,
        dtype: Any = None,
        keepdims: bool = False,
        split_every: Any = None,
        out: Any = None,
    ) -> Array:
        """Return means: see `oxidask.array.mean`."""
        from oxidask.array import reductions

        return reductions.mean(self, axis, dtype, keepdims, split_every, out)

    def var(
        self,
        axis: Any = None,
        dtype: Any = None,
        keepdims: bool = False,
        ddof: int = 0,
        split_every: Any = None,
        out: Any = None,
    ) -> Array:
        """Return variances: see `oxidask.array.var`."""
        from oxidask.array import reductions

        return reductions.var(self, axis, dtype, keepdims, ddof, split_every, out)

    def std(
        self,
        axis: Any = None,
        dtype: Any = None,
        keepdims: bool = False,
        ddof: int = 0,
        split_every: Any = None,
        out: Any = None,
    ) -> Array:
        """Return standard deviations: see `oxidask.array.std`."""
        from oxidask.array import reductions

        return reductions.std(self, axis, dtype, keepdims, ddof, split_every, out)

    def min(
        self, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
    ) -> Array:
        """Return minima: see `oxidask.array.min`."""
        from oxidask.array import reductions

        return reductions.min(self, axis, keepdims, split_every, out)

    def max(
        self, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
    ) -> Array:
        """Return maxima: see `oxidask.array.max`."""
        from oxidask.array import reductions

        return reductions.max(self, axis, keepdims, split_every, out)

    def any(
        self, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
    ) -> Array:
        """Say whether any element is true: see `oxidask.array.any`."""
        from oxidask.array import reductions

        return reductions.any(self, axis, keepdims, split_every, out)

    def all(
        self, axis: Any = None, keepdims: bool = False, split_every: Any = None, out: Any = None
    ) -> Array:
        """Say whether all elements are true: see `oxidask.array.all`."""
        from oxidask.array import reductions

        return reductions.all(self, axis, keepdims, split_every, out)

    def argmin(
        self, axis: Any = None, *, keepdims: bool = False, split_every: Any = None, out: Any = None
    ) -> Array:
        """Return where the minima stand: see `oxidask.array.argmin`."""
        from oxidask.array import reductions

        return reductions.argmin(self, axis, keepdims, split_every, out)

    def argmax(
        self, axis: Any = None, *, keepdims: bool = False, split_every: Any = None, out: Any = None
    ) -> Array:
        """Return where the maxima stand: see `oxidask.array.argmax`."""
        from oxidask.array import reductions

        return reductions.argmax(self, axis, keepdims, split_every, out)

    def cumsum(
        self, axis: Any, dtype: Any = None, out: Any = None, *, method: str = "sequential"
    ) -> Array:
        """Return running totals: see `oxidask.array.cumsum`."""
        from oxidask.array.scans import cumsum

        return cumsum(self, axis, dtype, out, method)

    def cumprod(
        self, axis: Any, dtype: Any = None, out: Any = None, *, method: str = "sequential"
    ) -> Array:
        """Return running products: see `oxidask.array.cumprod`."""
        from oxidask.array.scans import cumprod

        return cumprod(self, axis, dtype, out, method)

    def dot(self, other: Any) -> Array:
        """Return the product of matrices or vectors: see `oxidask.array.dot`."""
        from oxidask.array.routines import dot

        return dot(self, other)

    def round(self, decimals: int = 0) -> Array:
        """Return rounded elements: see `oxidask.array.round`."""
        return elemwise(np.round, self, decimals=decimals)

    def clip(self, min: Any = None, max: Any = None) -> Array:
        """Return elements limited to bounds: see `oxidask.array.clip`."""
        return elemwise(np.clip, self, min, max)

    def conj(self) -> Array:
        """Return complex conjugates: see `oxidask.array.conj`."""
        return elemwise(np.conj, self)

    def choose(self, choices: Any) -> Array:
        """Choose each element from one of several arrays: see `oxidask.array.choose`."""
        from oxidask.array.selection import choose

        return choose(self, choices)

    def nonzero(self) -> tuple[Array, ...]:
        """Return the places of elements that are not zero: see `oxidask.array.nonzero`."""
        from oxidask.array.selection import nonzero

        return nonzero(self)

    def topk(self, k: int, axis: int = -1, split_every: Any = None) -> Array:
        """Return the largest elements: see `oxidask.array.topk`."""
        from oxidask.array.order import topk

        return topk(self, k, axis, split_every)

    def argtopk(self, k: int, axis: int = -1, split_every: Any = None) -> Array:
        """Return where the largest elements stand: see `oxidask.array.argtopk`."""
        from oxidask.array.order import argtopk

        return argtopk(self, k, axis, split_every)

    def repeat(self, repeats: Any, axis: int | None = None) -> Array:
        """Repeat elements: see `oxidask.array.repeat`."""
        from oxidask.array.padding import repeat

        return repeat(self, repeats, axis)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Array:
        """Return the sums of diagonals: see `oxidask.array.trace`."""
        from oxidask.array.grids import trace

        return trace(self, offset, axis1, axis2, dtype)

    def shuffle(self, indexer: Any, axis: int, chunks: Any = "auto") -> Array:
        """Bring elements of an axis into another order: see `oxidask.array.shuffle`."""
        from oxidask.array.selection import shuffle

        return shuffle(self, indexer, axis, chunks)

    def swapaxes(self, axis1: int, axis2: int) -> Array:
        """Exchange two axes: see `oxidask.array.swapaxes`."""
        from oxidask.array.routines import swapaxes

        return swapaxes(self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Array:
        """Drop axes of length one: see `oxidask.array.squeeze`."""
        from oxidask.array.routines import squeeze

        return squeeze(self, axis)

    def to_backend(self, backend: str | None = None, **kwargs: Any) -> Array:
        """Return the array with blocks of another library; there is NumPy's only.

        Parameters
        ----------
        backend : str, optional
            "numpy"; by default the setting ``array.backend``.

        Returns
        -------
        Array
            The array itself.

        Raises
        ------
        NotImplementedError
            For other libraries.
        """
        from oxidask import config

        backend = config.get("array.backend", "numpy") if backend is None else backend
        if backend != "numpy":
            raise NotImplementedError(
                f"to_backend({backend!r}): blocks are NumPy's; convert them with map_blocks, for "
                f"example x.map_blocks({backend}.asarray)"
            )
        return self

    def to_dask_dataframe(self, columns: Any = None, index: Any = None, meta: Any = None) -> Any:
        """Raise NotImplementedError: data frames are not there yet.

        Parameters
        ----------
        columns, index, meta
            As Dask's.

        Raises
        ------
        NotImplementedError
            Always; it says what to do instead.
        """
        raise NotImplementedError(
            "to_dask_dataframe: data frames are not there yet; make one of each block, "
            "[delayed(pandas.DataFrame)(block) for block in x.to_delayed().ravel()]"
        )

    def store(
        self,
        targets: Any,
        lock: Any = True,
        regions: Any = None,
        compute: bool = True,
        return_stored: bool = False,
        load_stored: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Write the array into something that can be assigned to: see `oxidask.array.store`."""
        from oxidask.array.storage import store

        return store(self, targets, lock, regions, compute, return_stored, load_stored, **kwargs)

    def to_zarr(self, *args: Any, **kwargs: Any) -> Any:
        """Write the array as one of zarr: see `oxidask.array.to_zarr`."""
        from oxidask.array.storage import to_zarr

        return to_zarr(self, *args, **kwargs)

    def to_hdf5(self, filename: Any, datapath: str, **kwargs: Any) -> None:
        """Write the array as a dataset of an HDF5 file: see `oxidask.array.to_hdf5`."""
        from oxidask.array.storage import to_hdf5

        to_hdf5(filename, datapath, self, **kwargs)

    def to_tiledb(self, uri: Any, *args: Any, **kwargs: Any) -> Any:
        """Raise NotImplementedError: see `oxidask.array.to_tiledb`."""
        from oxidask.array.storage import to_tiledb

        return to_tiledb(self, uri, *args, **kwargs)

    def moment(
        self,
        order: int,
        axis: Any = None,
        dtype: Any = None,
        keepdims: bool = False,
        ddof: int = 0,
        split_every: Any = None,
        out: Any = None,
    ) -> Array:
        """Return central moments: see `oxidask.array.moment`."""
        from oxidask.array import reductions

        return reductions.moment(self, order, axis, dtype, keepdims, ddof, split_every, out)

    def view(self, dtype: Any = None, order: str = "C") -> Array:
        """Return the same bytes as elements of another type.

        Parameters
        ----------
        dtype : numpy.dtype, optional
            The new type; by default float64.
        order : {"C", "F"}, default "C"
            Whether elements of another size lie along the last axis, or along the first.

        Returns
        -------
        Array
        """
        from oxidask.array.reshape import viewed

        return viewed(self, float if dtype is None else dtype, order)

    def compute_chunk_sizes(self) -> Array:
        """Compute lengths of blocks that are not known, and put them in.

        Returns
        -------
        Array
            The array itself.
        """
        if not any(map(is_unknown, self.chunks)):
            return self
        shapes = np.empty(self.numblocks, dtype=object)
        sized = Layer(
            f"shape-{self.name}",
            "shape",
            self.numblocks,
            np.shape,
            (read(self._expr, range(self.ndim)),),
            {},
        )
        from oxidask.base import compute

        for index, shape in zip(
            np.ndindex(*self.numblocks), compute(*sized.all_blocks()), strict=True
        ):
            shapes[index] = shape
        chunks = []
        for axis, count in enumerate(self.numblocks):
            first = [0] * self.ndim
            lengths = []
            for place in range(count):
                first[axis] = place
                lengths.append(int(shapes[tuple(first)][axis]))
            chunks.append(tuple(lengths))
        self._expr = Renamed(self._expr, self.name, tuple(chunks))
        return self


def _array(expression: Expression) -> Array:
    """Return an array for an expression."""
    new: Array = object.__new__(Array)
    new._expr = expression
    return new


class _Graph(Mapping[Any, Any]):
    """The graph of an array, written out when somebody looks into it."""

    def __init__(self, expression: Expression) -> None:
        self._expression = expression
        self._view: GraphView | None = None

    @property
    def _graph(self) -> GraphView:
        if self._view is None:
            self._view = GraphView(self._expression.layer().all_blocks())
        return self._view

    def __getitem__(self, key: Any) -> Any:
        return self._graph[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._graph)

    def __len__(self) -> int:
        return len(self._graph)

    def task(self, key: Any) -> Any:
        """Return the lazy value of a key."""
        return self._graph.task(key)


class _Blocks:
    """Blocks of an array by their places in the grid."""

    def __init__(self, array: Array) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return self._array.numblocks

    @property
    def size(self) -> int:
        """Number of blocks."""
        return self._array.npartitions

    def ravel(self) -> list[Array]:
        """Return all blocks as arrays, row by row."""
        return [self[index] for index in np.ndindex(*self.shape)]

    def __getitem__(self, index: Any) -> Array:
        from oxidask.array._blocks import blocks

        return blocks(self._array, index)


def _keys(name: str, grid: tuple[int, ...], *index: int) -> list[Any]:
    if len(index) == len(grid):
        return [(name, *index)]
    if len(index) == len(grid) - 1:
        return [(name, *index, last) for last in range(grid[-1])]
    return [_keys(name, grid, *index, one) for one in range(grid[len(index)])]


def _finalized(results: Any, grid: tuple[int, ...]) -> Any:
    parts: list[Any] = results
    for _ in grid[1:]:
        parts = [one for part in parts for one in part]
    return _finalized_flat(parts, grid)


def _finalized_flat(parts: list[Any], grid: tuple[int, ...]) -> Any:
    """Return the array of NumPy that blocks make."""
    for part in parts:
        if np.ndim(part) != len(grid):
            raise ValueError(
                f"a block has {np.ndim(part)} axes, and the array has {len(grid)}: the function "
                "that made it returned another shape than was said; see drop_axis= and new_axis="
            )
    return _kernels.scalar_or_array(_kernels.concatenate_grid(parts, grid))


def _from_graph(graph: Mapping[Any, Any], name: str, chunks: Chunks, meta: Any, **_: Any) -> Array:
    return Array(graph, name, chunks, meta=meta)


def _unpickled(expressions: list[Expression]) -> Array:
    return _array(expressions[-1])


def persisted_array(array: Array, values: Sequence[Any]) -> Array:
    """Return an array whose blocks are values."""
    pairs = zip(array._oxidask_blocks(), values, strict=True)
    return array._oxidask_rebuilt([persisted(task, value) for task, value in pairs])


def _type_name(meta: Any) -> str:
    kind = type(meta)
    module = kind.__module__.split(".")[0]
    return f"{module}.{kind.__name__}"


def _meta_from(meta: Any, ndim: int, dtype: Any) -> Any:
    if meta is None:
        return np.empty((0,) * ndim, dtype if dtype is not None else float)
    if isinstance(meta, type):
        meta = meta((0,), dtype=dtype) if meta is not np.ndarray else np.empty(0, dtype)
    if not hasattr(meta, "dtype"):
        meta = np.asarray(meta)
    return empty_like(meta, ndim, dtype)


def _is_axis(value: Any) -> bool:
    return isinstance(value, Integral)


def _is_operand(value: Any) -> bool:
    """Say whether a value can stand beside an array in an element-wise operation."""
    return isinstance(value, Array | Number | np.ndarray | np.generic | list | tuple | bool) or (
        not hasattr(value, "__array_ufunc__") and not hasattr(value, "__dask_graph__")
    )


def _put_out(result: Array, out: Any) -> Array:
    """Make `out` stand for a result."""
    if not isinstance(out, Array):
        raise NotImplementedError(
            f"out= takes a lazy array, not {type(out).__name__}: use the result instead, "
            "x.compute()"
        )
    if out.shape != result.shape:
        raise ValueError(f"out= has shape {out.shape}, and the result has shape {result.shape}")
    if not np.can_cast(result.dtype, out.dtype, "same_kind"):
        raise TypeError(f"cannot cast from {result.dtype} to the {out.dtype} of out=")
    out._expr = result.astype(out.dtype)._expr
    return out


def handle_out(out: Any, result: Array) -> Array:
    """Return a result, which `out`, if it is given, stands for from now on."""
    if isinstance(out, tuple):
        (out,) = out
    return result if out is None else _put_out(result, out)


# ---- Element by element ----


def elemwise(
    op: Callable[..., Any],
    *args: Any,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    name: str | None = None,
    meta_dtype: Any = None,
    **kwargs: Any,
) -> Array:
    """Call a function that works element by element on blocks that stand at the same place.

    Parameters
    ----------
    op : callable
        The function, such as one of NumPy's.
    *args : Array, array or scalar
        What it is called with; shapes are broadcast.
    out : Array, optional
        What stands for the result from now on.
    where : True
        Only True: choose with `oxidask.array.where` instead.
    dtype : numpy.dtype, optional
        The type of the result's elements.
    name : str, optional
        The name of the result.
    **kwargs
        Given to the function.

    Returns
    -------
    Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> from oxidask.array.core import elemwise
    >>> elemwise(np.hypot, da.ones(3), 0.0).compute()
    array([1., 1., 1.])
    """
    if where is not True:
        raise NotImplementedError("where= of an element-wise function: use da.where instead")
    label = funcname(op)
    if dtype is not None:
        kwargs["dtype"] = np.dtype(dtype)
    operands = [_operand(one) for one in args]
    arrays = [one for one in operands if isinstance(one, Expression)]
    if not arrays:
        return asarray(op(*args, **kwargs))
    ndim = max(one.ndim for one in arrays)
    metas = [
        empty_like(one.meta, one.ndim) if isinstance(one, Expression) else one for one in operands
    ]
    if meta_dtype is not None:
        meta = empty_like(arrays[0].meta, ndim, meta_dtype)
    else:
        meta = _meta_of_elementwise(op, metas, kwargs, ndim)
    result = _array(Elementwise(label, op, operands, kwargs, meta))
    if name is not None:
        result = renamed(result, name)
    return handle_out(out, result)


def _meta_of_elementwise(
    op: Callable[..., Any], metas: Sequence[Any], kwargs: dict[str, Any], ndim: int
) -> Any:
    # Axes of length one are broadcast, so that empty blocks of any shape fit together.
    ones = [
        np.ones((1,) * one.ndim, one.dtype)
        if type(one) is np.ndarray and not one.dtype.hasobject
        else one
        for one in metas
    ]
    result = meta_of(op, *ones, **kwargs)
    return empty_like(np.asarray(result) if np.isscalar(result) else result, ndim)


def _operand(value: Any) -> Any:
    """Return an expression, or a value that every task is given."""
    if isinstance(value, Array):
        return value._expr
    if isinstance(value, list | tuple):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.ndim:
        return from_array(value, chunks=value.shape)._expr
    if not isinstance(value, np.generic | np.ndarray | Number | str | bytes | type(None)):
        from oxidask.base import is_dask_collection

        if is_dask_collection(value):
            raise NotImplementedError(
                f"an array with a {type(value).__name__}: give that a shape by from_delayed first"
            )
    return value


def funcname(function: Any) -> str:
    """Return the name of a function, for the keys of what it makes."""
    from oxidask.utils import funcname

    return funcname(function)


def renamed(array: Array, name: str) -> Array:
    """Return the same array under a name of the user's."""
    return _array(Renamed(array._expr, name))


# ---- Making arrays ----


def from_array(
    x: Any,
    chunks: Any = "auto",
    name: str | bool | None = None,
    lock: Any = False,
    asarray: bool | None = None,
    fancy: bool = True,
    getitem: Callable[..., Any] | None = None,
    meta: Any = None,
    inline_array: bool = False,
) -> Array:
    """Make an array of something that can be sliced.

    An array of NumPy is not copied: its blocks are views. What is written into it before
    computing is seen or not, so leave it as it is.

    Datasets of h5py, variables of netCDF4, arrays of zarr and `numpy.memmap` are not sent to other
    processes: these open the file again, by its path. Other objects must be such that pickle or
    cloudpickle can send them.

    Parameters
    ----------
    x : array-like
        It has ``shape``, ``dtype`` and ``ndim``, and can be sliced as NumPy's arrays can.
    chunks : int, tuple, dict or str, default "auto"
        See `normalize_chunks`.
    name : str or bool, optional
        The name of the array; by default made of what `x` contains. False makes one that is no
        other's, without looking at `x`.
    lock : bool or lock, default False
        Whether only one task at a time reads `x`: among all threads and processes of this host.
    asarray : bool, optional
        Whether blocks are made arrays of NumPy; by default unless they follow NumPy's protocol.
    fancy : bool, default True
        Taken for compatibility: picking by arrays is done on blocks.
    getitem : callable, optional
        Reads a part: ``getitem(x, index)``.
    meta : array, optional
        An empty array of the type of the blocks.
    inline_array : bool, default False
        Taken for compatibility: `x` is kept once.

    Returns
    -------
    Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask.array as da
    >>> da.from_array(np.arange(6), chunks=4).chunks
    ((4, 2),)
    """
    if isinstance(x, Array):
        raise ValueError("from_array: this is a lazy array already; use rechunk for other chunks")
    if isinstance(x, list | tuple | memoryview) or np.isscalar(x):
        x = np.asarray(x)
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        raise TypeError(
            f"from_array: {type(x).__name__} has no shape and dtype; give np.asarray(x)"
        )
    previous = getattr(x, "chunks", None)
    x = source_of(x)
    shape = tuple(int(one) for one in x.shape)
    if isinstance(previous, tuple) and len(previous) == len(shape) and chunks == "auto":
        spelled = normalize_chunks(
            "auto", shape, dtype=x.dtype, previous_chunks=normalize_chunks(previous, shape)
        )
    else:
        spelled = normalize_chunks(chunks, shape, dtype=x.dtype)
    check_block_size(spelled, x.dtype)
    if name is None or name is True:
        name = f"array-{tokenize(x, spelled, lock, asarray, getitem)}"
    elif name is False:
        name = f"array-{_unique()}"
    if meta is None:
        meta = x if isinstance(x, np.ndarray) else np.empty((0,) * len(shape), x.dtype)
    meta = _meta_from(meta, len(shape), x.dtype)
    if lock is True:
        from oxidask.array._locks import OneAtATime

        lock = OneAtATime(name)
    if getitem is not None or lock or not isinstance(x, np.ndarray):
        makes_array = asarray if asarray is not None else not hasattr(x, "__array_function__")
        function = _kernels.Reader(getitem, lock or None, makes_array)
        return _array(FromArray(name, x, spelled, meta, function))
    return _array(FromArray(name, x, spelled, meta, _kernels.pick))


def _unique() -> str:
    import uuid

    return uuid.uuid4().hex


def asarray(
    a: Any,
    allow_unknown_chunksizes: bool = False,
    dtype: Any = None,
    order: Any = None,
    *,
    like: Any = None,
    **kwargs: Any,
) -> Array:
    """Return a lazy array of anything.

    Parameters
    ----------
    a : object
        A lazy array is returned as it is; a list or tuple with lazy arrays is stacked.
    allow_unknown_chunksizes : bool, default False
        Whether arrays that are stacked may have lengths that are not known.
    dtype : numpy.dtype, optional
        The type of the elements.
    order, like : None
        Not supported: raise NotImplementedError.
    **kwargs
        For `from_array`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> int(da.asarray([1, 2, 3]).sum().compute())
    6
    """
    if like is not None or order not in (None, "C", "K", "A"):
        raise NotImplementedError("asarray(order=, like=): convert before, with NumPy")
    if isinstance(a, Array):
        result = a
    elif isinstance(a, list | tuple) and _has_arrays(a):
        result = stack([asarray(one) for one in a], 0, allow_unknown_chunksizes)
    else:
        if isinstance(a, Delayed):
            raise TypeError("asarray: a Delayed has no shape; use from_delayed(a, shape, dtype)")
        if not (hasattr(a, "shape") and hasattr(a, "dtype") and hasattr(a, "__getitem__")):
            a = np.asarray(a, dtype=dtype)
        elif isinstance(a, np.generic):
            a = np.asarray(a)
        kwargs.setdefault("chunks", "auto" if not a.dtype.hasobject else a.shape)
        result = from_array(a, **kwargs)
    return result if dtype is None else result.astype(dtype)


def asanyarray(
    a: Any,
    dtype: Any = None,
    order: Any = None,
    *,
    like: Any = None,
    inline_array: bool = False,
) -> Array:
    """Return a lazy array of anything; subclasses of NumPy's arrays stay what they are.

    Parameters
    ----------
    a, dtype, order, like
        As for `asarray`.
    inline_array : bool, default False
        Taken for compatibility.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.asanyarray([1, 2]).shape
    (2,)
    """
    return asarray(a, dtype=dtype, order=order, like=like)


def _has_arrays(values: Any) -> bool:
    return any(
        isinstance(one, Array) or (isinstance(one, list | tuple) and _has_arrays(one))
        for one in values
    )


def from_delayed(
    value: Any, shape: Sequence[Any], dtype: Any = None, meta: Any = None, name: str | None = None
) -> Array:
    """Make an array of one block of a lazy value.

    Parameters
    ----------
    value : Delayed
        It makes an array of NumPy.
    shape : tuple of int
        The shape of that array; NaN where it is not known.
    dtype : numpy.dtype, optional
        The type of its elements.
    meta : array, optional
        An empty array of its type.
    name : str, optional
        The name of the array.

    Returns
    -------
    Array

    Examples
    --------
    >>> import numpy as np
    >>> import oxidask
    >>> import oxidask.array as da
    >>> value = oxidask.delayed(np.ones)(3)
    >>> float(da.from_delayed(value, (3,), dtype=float).sum().compute())
    3.0
    """
    from oxidask.delayed import delayed

    if not isinstance(value, Delayed):
        value = delayed(value)
    if not isinstance(shape, tuple | list):
        raise TypeError(f"from_delayed: shape is a tuple of ints, not {shape!r}")
    name = name or f"from-value-{tokenize(value, shape, dtype, meta)}"
    chunks = tuple((one,) for one in shape)
    meta = _meta_from(meta, len(chunks), dtype)
    layer = Layer.given(name, "from-value", (1,) * len(chunks), [value])
    return _array(FromLayer(layer, chunks, meta))


# ---- Joining ----


def concatenate(seq: Any, axis: int = 0, allow_unknown_chunksizes: bool = False) -> Array:
    """Join arrays along an axis.

    Parameters
    ----------
    seq : sequence of Array
        Their shapes differ along that axis only.
    axis : int, default 0
        The axis.
    allow_unknown_chunksizes : bool, default False
        Whether lengths along the other axes may be unknown, and are taken to be alike.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.concatenate([da.ones(2), da.zeros(1)]).compute()
    array([1., 1., 0.])
    """
    arrays = [asarray(one) for one in seq]
    if not arrays:
        raise ValueError("concatenate: at least one array is needed")
    ndim = arrays[0].ndim
    if axis is None:
        arrays, axis, ndim = [one.ravel() for one in arrays], 0, 1
    if not ndim:
        raise ValueError("concatenate: arrays without axes cannot be joined; use stack")
    if not -ndim <= axis < ndim:
        raise ValueError(f"concatenate: there is no axis {axis} in arrays of {ndim} axes")
    axis %= ndim
    for one in arrays:
        if one.ndim != ndim:
            raise ValueError(
                f"concatenate: arrays have {ndim} and {one.ndim} axes; they need as many"
            )
    dtype = np.result_type(*(one.dtype for one in arrays))
    arrays = [one.astype(dtype) for one in arrays]
    filled = [one for one in arrays if one.shape[axis] != 0] or arrays[:1]
    expressions = [one._expr for one in filled]
    for other in range(ndim):
        if other == axis:
            continue
        lengths = [one.shape[other] for one in arrays]
        known = {length for length in lengths if length == length}
        if len(known) > 1 or (
            known and len(known) < len(set(lengths)) and not allow_unknown_chunksizes
        ):
            raise ValueError(
                f"concatenate: along axis {other} the arrays have {lengths} elements; all but "
                f"axis {axis} must be alike"
            )
        if not known and not allow_unknown_chunksizes and len(arrays) > 1:
            raise ValueError(
                f"concatenate: the lengths along axis {other} are not known; call "
                "compute_chunk_sizes(), or give allow_unknown_chunksizes=True"
            )
    if len(expressions) == 1:
        return _array(expressions[0])
    expressions = [rechunked(one, _cut_alike(one, expressions, axis)) for one in expressions]
    return _array(Concatenate(expressions, axis, expressions[0].meta))


def _cut_alike(one: Expression, all_: Sequence[Expression], axis: int) -> Chunks:
    """Return the chunks of one of some arrays that are to be joined along an axis."""
    from oxidask.array._chunks import common_lengths

    return tuple(
        lengths
        if other == axis or is_unknown(lengths)
        else common_lengths([each.chunks[other] for each in all_])
        for other, lengths in enumerate(one.chunks)
    )


def stack(seq: Any, axis: int = 0, allow_unknown_chunksizes: bool = False) -> Array:
    """Join arrays of one shape along a new axis.

    Parameters
    ----------
    seq : sequence of Array
        Arrays of one shape.
    axis : int, default 0
        Where the new axis stands in the result.
    allow_unknown_chunksizes : bool, default False
        Whether lengths may be unknown, and are taken to be alike.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.stack([da.ones(2), da.zeros(2)]).shape
    (2, 2)
    """
    arrays = [asarray(one) for one in seq]
    if not arrays:
        raise ValueError("stack: at least one array is needed")
    shape = arrays[0].shape
    for one in arrays[1:]:
        if one.ndim != len(shape) or any(
            a != b for a, b in zip(one.shape, shape, strict=True) if a == a and b == b
        ):
            raise ValueError(f"stack: all arrays must have one shape, not {shape} and {one.shape}")
    ndim = len(shape) + 1
    if not -ndim <= axis < ndim:
        raise ValueError(f"stack: there is no axis {axis} in an array of {ndim} axes")
    index = (slice(None),) * (axis % ndim) + (None,)
    return concatenate([one[index] for one in arrays], axis % ndim, allow_unknown_chunksizes)


def broadcast_to(x: Any, shape: Any, chunks: Any = None, meta: Any = None) -> Array:
    """Return an array repeated to a larger shape.

    Parameters
    ----------
    x : Array
        The array.
    shape : tuple of int
        The shape; axes of `x` fit from the last on, or have length one.
    chunks : tuple, optional
        Chunks of the axes along which it is repeated; by default they have one block.
    meta : array, optional
        An empty array of the type of the blocks.

    Returns
    -------
    Array

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.broadcast_to(da.arange(3), (2, 3)).compute()
    array([[0, 1, 2],
           [0, 1, 2]])
    """
    x = asarray(x)
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    new = len(shape) - x.ndim
    fits = new >= 0 and all(
        length in (1, wanted) or length != length
        for length, wanted in zip(x.shape, shape[max(new, 0) :], strict=False)
    )
    if not fits:
        raise ValueError(f"cannot broadcast shape {x.shape} to shape {shape}")
    if x.shape == shape and chunks is None:
        return x
    given = None if chunks is None else normalize_chunks(chunks, shape, dtype=x.dtype)
    spelled: list[tuple[Any, ...]] = []
    for axis, length in enumerate(shape):
        own = x.chunks[axis - new] if axis >= new else (1,)
        if sum(own) == length:
            if given is not None and given[axis] != own:
                raise ValueError(
                    f"broadcast_to: chunks along axis {axis} are {own}, not {given[axis]}; "
                    "rechunk first"
                )
            spelled.append(own)
        else:
            spelled.append((length,) if given is None else given[axis])
    return _array(BroadcastTo(rechunked_to(x._expr, tuple(spelled)), tuple(spelled)))


# ---- Picking ----


def _getitem(array: Array, index: Any) -> Array:
    if isinstance(index, str) or (
        isinstance(index, list) and index and all(isinstance(one, str) for one in index)
    ):
        dtype = array.dtype[index] if isinstance(index, str) else array.dtype[list(index)]
        return elemwise(operator.getitem, array, index, meta_dtype=dtype)
    entries = normalize_index(index, array.shape)
    lazy = [place for place, one in enumerate(entries) if isinstance(one, Array) or is_mask(one)]
    if not lazy:
        wide = [place for place, one in enumerate(entries) if isinstance(one, np.ndarray)]
        if len(wide) == 1 and entries[wide[0]].ndim > 1:
            return _getitem_by_table(array, entries, wide[0])
        result = getitem(array._expr, entries)
        return array if result is array._expr else _array(result)
    return _getitem_by_mask(array, entries, lazy)


def _getitem_by_mask(array: Array, entries: list[Any], lazy: list[int]) -> Array:
    if len(lazy) > 1:
        raise NotImplementedError(
            "an index with several arrays of truth values: combine them with & first, or pick one "
            "axis after the other"
        )
    (place,) = lazy
    mask = entries[place]
    if mask.dtype != bool:
        return _getitem_by_places(array, entries, place, mask)
    axis = sum(one is not None for one in entries[:place])
    covered = array.shape[axis : axis + mask.ndim]
    if any(a != b for a, b in zip(mask.shape, covered, strict=True) if a == a and b == b):
        raise IndexError(f"a mask of shape {mask.shape} does not fit axes of lengths {covered}")
    if isinstance(mask, np.ndarray) and mask.ndim == 1:
        entries[place] = np.flatnonzero(mask)
        return _array(getitem(array._expr, entries))
    rest = [slice(None) if here == place else one for here, one in enumerate(entries)]
    if mask.ndim > 1:
        if len(entries) != 1 or mask.ndim != array.ndim:
            return _getitem_by_part(array, entries, place, mask, axis)
        mask = asarray(mask)
        mask = mask.rechunk(array.chunks) if not any(map(is_unknown, array.chunks)) else mask
        if mask.numblocks != array.numblocks:
            raise ValueError(
                f"a mask of {mask.numblocks} blocks and an array of {array.numblocks} blocks, of "
                "lengths that are not known; call compute_chunk_sizes() first"
            )
        return _array(MaskedAll(array._expr, mask._expr))
    if not mask.ndim:
        raise NotImplementedError("an index that is one truth value: use da.where instead")
    before = sum(one is None or not isinstance(one, int) for one in rest[:place])
    result = array if all(_is_whole(one) for one in rest) else _array(getitem(array._expr, rest))
    if not same_lengths(mask.chunks[0], result.chunks[before]):
        mask = mask.rechunk((result.chunks[before],))
    return _array(Masked(result._expr, mask._expr, before))


def _getitem_by_table(array: Array, entries: list[Any], place: int) -> Array:
    """Pick by an array of ints that has several axes."""
    table = entries[place]
    flat = [table.ravel() if here == place else one for here, one in enumerate(entries)]
    result = _array(getitem(array._expr, flat))
    axis = sum(not isinstance(one, int) for one in entries[:place])
    return result.reshape((*result.shape[:axis], *table.shape, *result.shape[axis + 1 :]))


def _getitem_by_places(array: Array, entries: list[Any], place: int, places: Array) -> Array:
    """Pick by a lazy array of ints."""
    from oxidask.array.selection import take

    if places.dtype.kind not in "iu":
        raise IndexError(f"an array of dtype {places.dtype} is no index: take ints or truth values")
    rest = [slice(None) if here == place else one for here, one in enumerate(entries)]
    axis = sum(not isinstance(one, int) for one in rest[:place])
    result = array if all(_is_whole(one) for one in rest) else _array(getitem(array._expr, rest))
    return take(result, places, axis)


def _getitem_by_part(array: Array, entries: list[Any], place: int, mask: Any, axis: int) -> Array:
    """Pick by a mask of some of the axes, which become one."""
    shape = array.shape
    merged = array.reshape((*shape[:axis], -1, *shape[axis + mask.ndim :]))
    flat = mask.ravel()
    return merged[tuple(flat if here == place else one for here, one in enumerate(entries))]


def _is_whole(entry: Any) -> bool:
    return isinstance(entry, slice) and entry == slice(None)


def transposed(array: Array, axes: tuple[int, ...]) -> Array:
    """Return an array with its axes in another order."""
    if axes == tuple(range(array.ndim)):
        return array
    return _array(Transpose(array._expr, axes))
