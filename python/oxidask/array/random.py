"""Random numbers: each block has a stream of its own, so that they depend on nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from oxidask.array import _kernels
from oxidask.array._chunks import check_block_size, normalize_chunks
from oxidask.array._expressions import Expression, along, lengths_along
from oxidask.array.core import Array, _array
from oxidask.tokenize import tokenize

__all__ = ["Generator", "RandomState", "default_rng"]

#: Distributions that NumPy's Generator has, with the parameters that may be arrays.
_OF_GENERATOR = [
    "beta",
    "binomial",
    "chisquare",
    "exponential",
    "f",
    "gamma",
    "geometric",
    "gumbel",
    "hypergeometric",
    "laplace",
    "logistic",
    "lognormal",
    "logseries",
    "negative_binomial",
    "noncentral_chisquare",
    "noncentral_f",
    "normal",
    "pareto",
    "poisson",
    "power",
    "rayleigh",
    "standard_cauchy",
    "standard_exponential",
    "standard_gamma",
    "standard_normal",
    "standard_t",
    "triangular",
    "uniform",
    "vonmises",
    "wald",
    "weibull",
    "zipf",
]


class _Draw(Expression):
    """Random numbers of one distribution."""

    __slots__ = ("added", "args", "first", "kind", "kwargs", "method", "seed")

    def __init__(
        self,
        name: str,
        chunks: Any,
        meta: Any,
        kind: Any,
        seed: np.random.SeedSequence,
        first: int,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        added: int = 0,
    ) -> None:
        super().__init__(name, chunks, meta)
        #: How many of the last axes are those of one draw.
        self.added = added
        self.kind, self.seed, self.first = kind, seed, first
        self.method, self.args, self.kwargs = method, args, kwargs

    def _lower(self) -> Any:
        # A block's stream has its number, row by row.
        place = tuple(along(axis, range(count)) for axis, count in enumerate(self.grid))
        stream = _kernels.Stream(
            self.kind, self.seed.entropy, tuple(self.seed.spawn_key), self.first, self.grid
        )
        size = lengths_along(self)[: self.ndim - self.added]
        return self._call(stream, place, self.method, size, self.args, self.kwargs)


class Generator:
    """Makes lazy arrays of random numbers, as NumPy's Generator makes arrays.

    The same seed, the same calls and the same chunks give the same numbers, bit for bit, whatever
    runs them. Block k of all that were drawn has the stream of
    ``numpy.random.SeedSequence(seed, spawn_key=(k,))``.

    Parameters
    ----------
    bit_generator : numpy.random.BitGenerator
        It says which kind of stream, and its seed.

    Examples
    --------
    >>> import oxidask.array as da
    >>> rng = da.random.default_rng(1)
    >>> rng.random((4, 4), chunks=2).shape
    (4, 4)
    """

    def __init__(self, bit_generator: Any) -> None:
        if isinstance(bit_generator, np.random.Generator):
            bit_generator = bit_generator.bit_generator
        if not isinstance(bit_generator, np.random.BitGenerator):
            raise TypeError(
                f"Generator: a bit generator of NumPy is needed, not {bit_generator!r}; use "
                "default_rng(seed)"
            )
        self._kind = type(bit_generator)
        self._seed: Any = bit_generator.seed_seq
        self._drawn: int = getattr(self._seed, "n_children_spawned", 0)

    def __repr__(self) -> str:
        return f"oxidask.array.random.Generator({self._kind.__name__})"

    def _draw(
        self, method: str, args: tuple[Any, ...], size: Any, chunks: Any, **kwargs: Any
    ) -> Array:
        if any(isinstance(one, Array) for one in (*args, *kwargs.values())):
            raise NotImplementedError(
                f"{method}: parameters that are lazy arrays; draw standard numbers and scale them"
            )
        probe = np.random.Generator(np.random.PCG64(0))
        shapes = [np.shape(one) for one in args if np.ndim(one)]
        if shapes:
            raise NotImplementedError(
                f"{method}: parameters that are arrays; draw standard numbers and scale them"
            )
        sample = np.asarray(getattr(probe, method)(*args, size=(1,), **kwargs))
        return self._drawn_as(sample, method, args, size, chunks, kwargs)

    def _drawn_as(
        self,
        sample: np.ndarray[Any, Any],
        method: str,
        args: tuple[Any, ...],
        size: Any,
        chunks: Any,
        kwargs: dict[str, Any],
    ) -> Array:
        """Return draws like the sample, which has an axis of length one in front."""
        size = () if size is None else size
        shape = tuple(size) if isinstance(size, tuple | list) else (size,)
        spelled = normalize_chunks(chunks, shape, dtype=sample.dtype)
        check_block_size(spelled, sample.dtype)
        first = self._drawn
        self._drawn += math.prod(len(lengths) for lengths in spelled)
        added = tuple((length,) for length in sample.shape[1:])
        meta = np.empty((0,) * (len(shape) + len(added)), sample.dtype)
        spelled = (*spelled, *added)
        parts = [self._kind.__name__, self._seed.entropy, self._seed.spawn_key, first]
        name = f"{method}-{tokenize(parts, spelled, method, args, kwargs)}"
        return _array(
            _Draw(
                *(name, spelled, meta, self._kind, self._seed, first, method, args, kwargs),
                added=len(added),
            )
        )

    def choice(
        self,
        a: Any,
        size: Any = None,
        replace: bool = True,
        p: Any = None,
        axis: int = 0,
        shuffle: bool = True,
        chunks: Any = "auto",
    ) -> Array:
        """Draw from some values.

        Parameters
        ----------
        a : int or array
            The values; a number stands for the ints below it.
        size : int or tuple of int, optional
            The shape.
        replace : bool, default True
            Whether a value may be drawn again; False needs a single chunk.
        p : array, optional
            The probability of each value.
        axis : int, default 0
            Only 0: values are those of an array of one axis.
        shuffle : bool, default True
            As NumPy's, for draws without replacement.
        chunks : int, tuple or str, default "auto"
            See `normalize_chunks`.

        Returns
        -------
        Array

        Examples
        --------
        >>> import oxidask.array as da
        >>> set(da.random.default_rng(0).choice([1, 5], 100).compute().tolist()) == {1, 5}
        True
        """
        if isinstance(a, Array) or isinstance(p, Array):
            raise NotImplementedError(
                "choice: values that are a lazy array: compute them first, or draw places by "
                "integers and pick with them"
            )
        values = a if isinstance(a, int | np.integer) else np.asarray(a)
        if np.ndim(values) > 1 or axis != 0:
            raise ValueError(f"choice: values of one axis are needed, not of {np.ndim(values)}")
        options: dict[str, Any] = {
            "replace": replace,
            "p": p if p is None else np.asarray(p),
            "shuffle": shuffle,
        }
        probe = np.random.Generator(np.random.PCG64(0))
        sample = np.asarray(probe.choice(values, size=(1,), **options))
        drawn = self._drawn_as(sample, "choice", (values,), size, chunks, options)
        if not replace and drawn.npartitions > 1:
            raise NotImplementedError(
                f"choice(replace=False): blocks do not know what others drew, and there are "
                f"{drawn.npartitions}: give chunks=-1"
            )
        return drawn

    def multinomial(self, n: int, pvals: Any, size: Any = None, chunks: Any = "auto") -> Array:
        """Draw how often each of several things happens.

        Parameters
        ----------
        n : int
            How often something happens.
        pvals : sequence of float
            The probability of each thing.
        size : int or tuple of int, optional
            The shape; an axis for the things comes behind it.
        chunks : int, tuple or str, default "auto"
            See `normalize_chunks`.

        Returns
        -------
        Array

        Examples
        --------
        >>> import oxidask.array as da
        >>> da.random.default_rng(0).multinomial(9, [0.2, 0.8], 3).sum(axis=1).compute()
        array([9, 9, 9])
        """
        probe = np.random.Generator(np.random.PCG64(0))
        sample = np.asarray(probe.multinomial(n, pvals, size=(1,)))
        return self._drawn_as(sample, "multinomial", (n, tuple(pvals)), size, chunks, {})

    def permutation(self, x: Any) -> Array:
        """Return a range or an array in a random order along its first axis.

        Parameters
        ----------
        x : int or array
            A number stands for the ints below it.

        Returns
        -------
        Array

        Examples
        --------
        >>> import oxidask.array as da
        >>> sorted(da.random.default_rng(0).permutation(3).compute().tolist())
        [0, 1, 2]
        """
        from oxidask.array.core import asarray
        from oxidask.array.creation import arange

        array = arange(x) if isinstance(x, int | np.integer) else asarray(x)
        key = (*self._seed.spawn_key, self._drawn)
        self._drawn += 1
        sequence = np.random.SeedSequence(self._seed.entropy, spawn_key=key)
        return array[np.random.Generator(self._kind(sequence)).permutation(len(array))]

    def random(
        self, size: Any = None, dtype: Any = np.float64, out: None = None, chunks: Any = "auto"
    ) -> Array:
        """Draw from [0, 1).

        Parameters
        ----------
        size : int or tuple of int, optional
            The shape.
        dtype : numpy.dtype, default float64
            float32 or float64.
        out : None
            Not supported.
        chunks : int, tuple or str, default "auto"
            See `normalize_chunks`.

        Returns
        -------
        Array
        """
        if out is not None:
            raise NotImplementedError("random(out=): use the result")
        kwargs = {} if np.dtype(dtype) == np.float64 else {"dtype": np.dtype(dtype)}
        return self._draw("random", (), size, chunks, **kwargs)

    def integers(
        self,
        low: Any,
        high: Any = None,
        size: Any = None,
        dtype: Any = np.int64,
        endpoint: bool = False,
        chunks: Any = "auto",
    ) -> Array:
        """Draw integers from a range.

        Parameters
        ----------
        low, high : int
            From where to where; one number alone is the end.
        size : int or tuple of int, optional
            The shape.
        dtype : numpy.dtype, default int64
            The type of the elements.
        endpoint : bool, default False
            Whether the end may be drawn.
        chunks : int, tuple or str, default "auto"
            See `normalize_chunks`.

        Returns
        -------
        Array
        """
        return self._draw(
            "integers", (low, high), size, chunks, dtype=np.dtype(dtype), endpoint=endpoint
        )


class RandomState:
    """The older interface of random numbers, with streams as those of `Generator`.

    The same seed, calls and chunks give the same numbers; they are not those of NumPy's
    RandomState.

    Parameters
    ----------
    seed : int, optional
        The seed; by default one of the operating system.
    RandomState : None
        Not supported: raises NotImplementedError.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.random.RandomState(0).normal(size=(3, 3), chunks=2).shape
    (3, 3)
    """

    def __init__(self, seed: Any = None, RandomState: Any = None) -> None:
        if RandomState is not None:
            raise NotImplementedError("RandomState(RandomState=): streams are those of NumPy")
        self.seed(seed)

    def seed(self, seed: Any = None) -> None:
        """Begin anew with a seed."""
        self._rng = Generator(np.random.MT19937(seed))

    def random_sample(self, size: Any = None, chunks: Any = "auto", **kwargs: Any) -> Array:
        """Draw from [0, 1)."""
        return self._rng.random(size, chunks=chunks, **kwargs)

    random = random_sample

    def randint(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = int, chunks: Any = "auto"
    ) -> Array:
        """Draw integers from a range; the end is not drawn."""
        return self._rng.integers(low, high, size, dtype, chunks=chunks)

    def choice(
        self,
        a: Any,
        size: Any = None,
        replace: bool = True,
        p: Any = None,
        chunks: Any = "auto",
    ) -> Array:
        """Draw from some values: see `Generator.choice`."""
        return self._rng.choice(a, size, replace, p, chunks=chunks)

    def multinomial(self, n: int, pvals: Any, size: Any = None, chunks: Any = "auto") -> Array:
        """Draw how often each of several things happens: see `Generator.multinomial`."""
        return self._rng.multinomial(n, pvals, size, chunks)

    def permutation(self, x: Any) -> Array:
        """Return a range or an array in a random order: see `Generator.permutation`."""
        return self._rng.permutation(x)

    def random_integers(
        self, low: Any, high: Any = None, size: Any = None, chunks: Any = "auto"
    ) -> Array:
        """Draw integers from a range, the end included."""
        if high is None:
            low, high = 1, low
        return self._rng.integers(low, high, size, int, True, chunks)


def _distribution(method: str) -> Any:
    def draw(self: Any, *args: Any, size: Any = None, chunks: Any = "auto", **kwargs: Any) -> Array:
        rng: Generator = self._rng if isinstance(self, RandomState) else self
        names = _PARAMETERS[method]
        if len(args) > len(names):
            # NumPy takes the size behind the parameters, too.
            *args_, size = args
            args = tuple(args_)
        return rng._draw(method, args, size, chunks, **kwargs)

    draw.__name__ = method
    draw.__doc__ = f"""Draw from the distribution of `numpy.random.Generator.{method}`.

        Parameters
        ----------
        *args : scalar
            The distribution's parameters, as NumPy's.
        size : int or tuple of int, optional
            The shape.
        chunks : int, tuple or str, default "auto"
            See `normalize_chunks`.
        **kwargs
            Parameters by name.

        Returns
        -------
        Array
        """
    return draw


#: The names of the parameters of distributions.
_PARAMETERS = {
    "beta": "a b", "binomial": "n p", "chisquare": "df", "exponential": "scale",
    "f": "dfnum dfden", "gamma": "shape scale", "geometric": "p", "gumbel": "loc scale",
    "hypergeometric": "ngood nbad nsample", "laplace": "loc scale", "logistic": "loc scale",
    "lognormal": "mean sigma", "logseries": "p", "negative_binomial": "n p",
    "noncentral_chisquare": "df nonc", "noncentral_f": "dfnum dfden nonc", "normal": "loc scale",
    "pareto": "a", "poisson": "lam", "power": "a", "rayleigh": "scale", "standard_cauchy": "",
    "standard_exponential": "", "standard_gamma": "shape", "standard_normal": "",
    "standard_t": "df", "triangular": "left mode right", "uniform": "low high",
    "vonmises": "mu kappa", "wald": "mean scale", "weibull": "a", "zipf": "a",
}  # fmt: skip
_PARAMETERS = {name: names.split() for name, names in _PARAMETERS.items()}  # type: ignore[misc]

for _method in _OF_GENERATOR:
    setattr(Generator, _method, _distribution(_method))
    setattr(RandomState, _method, _distribution(_method))


def default_rng(seed: Any = None) -> Generator:
    """Return a generator of random numbers.

    Parameters
    ----------
    seed : int, sequence of int, SeedSequence, BitGenerator or Generator, optional
        Where to begin; by default somewhere.

    Returns
    -------
    Generator

    Examples
    --------
    >>> import oxidask.array as da
    >>> x = da.random.default_rng(3).normal(size=10, chunks=5)
    >>> bool((x.compute() == da.random.default_rng(3).normal(size=10, chunks=5).compute()).all())
    True
    """
    if isinstance(seed, Generator):
        return seed
    if isinstance(seed, np.random.BitGenerator | np.random.Generator):
        return Generator(seed)
    return Generator(np.random.PCG64(seed))


_state = RandomState()


def _module_level(method: str) -> Any:
    def draw(*args: Any, **kwargs: Any) -> Array:
        result: Array = getattr(_state, method)(*args, **kwargs)
        return result

    draw.__name__ = method
    draw.__doc__ = f"Draw with the generator of this module: see `RandomState.{method}`."
    return draw


def seed(seed: Any = None) -> None:
    """Begin the streams of this module's functions anew.

    Parameters
    ----------
    seed : int, optional
        The seed.

    Examples
    --------
    >>> import oxidask.array as da
    >>> da.random.seed(1)
    """
    _state.seed(seed)


_OTHERS = ["choice", "multinomial", "permutation", "randint", "random", "random_integers"]
for _method in [*_OTHERS, "random_sample", *_OF_GENERATOR]:
    globals()[_method] = _module_level(_method)
    __all__.append(_method)
__all__.append("seed")
