"""Each of NumPy's functions of elements, and each distribution of random numbers."""

import numpy as np
import pytest
from compare import assert_same

import oxidask.array as da

FLOATS = np.array([[-2.5, -1.0, -0.25, 0.0], [0.5, 1.0, 1.75, 3.0], [0.1, np.nan, np.inf, -np.inf]])
OTHERS = np.array([[1.5, -1.0, 2.0, 2.5], [0.5, 3.0, -1.75, 2.0], [np.nan, 1.0, np.inf, 2.0]])
INTS = np.arange(12).reshape(3, 4)
CHUNKS = [(3, 4), (2, 3), (1, 1)]

UNARY = [
    "abs",
    "absolute",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "around",
    "cbrt",
    "ceil",
    "conj",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "fix",
    "floor",
    "i0",
    "imag",
    "iscomplex",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logical_not",
    "nan_to_num",
    "negative",
    "positive",
    "rad2deg",
    "radians",
    "real",
    "reciprocal",
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
    "tan",
    "tanh",
    "trunc",
]
BINARY = [
    "add",
    "arctan2",
    "copysign",
    "divide",
    "equal",
    "float_power",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "greater",
    "greater_equal",
    "hypot",
    "isclose",
    "less",
    "less_equal",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nextafter",
    "not_equal",
    "power",
    "remainder",
    "subtract",
    "true_divide",
]
OF_INTS = ["bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"]


@pytest.mark.covers(
    "array.abs",
    "array.absolute",
    "array.angle",
    "array.arccos",
    "array.arccosh",
    "array.arcsin",
    "array.arcsinh",
    "array.arctan",
    "array.arctanh",
    "array.around",
    "array.cbrt",
    "array.ceil",
    "array.conj",
    "array.cos",
    "array.cosh",
    "array.deg2rad",
    "array.degrees",
    "array.exp",
    "array.exp2",
    "array.expm1",
    "array.fabs",
    "array.fix",
    "array.floor",
    "array.i0",
    "array.imag",
    "array.iscomplex",
    "array.isfinite",
    "array.isinf",
    "array.isnan",
    "array.isneginf",
    "array.isposinf",
    "array.isreal",
    "array.log",
    "array.log10",
    "array.log1p",
    "array.log2",
    "array.logical_not",
    "array.nan_to_num",
    "array.negative",
    "array.positive",
    "array.rad2deg",
    "array.radians",
    "array.real",
    "array.reciprocal",
    "array.rint",
    "array.round",
    "array.sign",
    "array.signbit",
    "array.sin",
    "array.sinc",
    "array.sinh",
    "array.spacing",
    "array.sqrt",
    "array.square",
    "array.tan",
    "array.tanh",
    "array.trunc",
)
@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_of_one_array(name, chunks):
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(FLOATS)
        result = getattr(da, name)(da.from_array(FLOATS, chunks=chunks))
        assert_same(result, expected)
        assert_same(getattr(da, name)(da.from_array(INTS, chunks=chunks)), getattr(np, name)(INTS))


@pytest.mark.covers(
    "array.add",
    "array.arctan2",
    "array.copysign",
    "array.divide",
    "array.equal",
    "array.float_power",
    "array.floor_divide",
    "array.fmax",
    "array.fmin",
    "array.fmod",
    "array.greater",
    "array.greater_equal",
    "array.hypot",
    "array.isclose",
    "array.less",
    "array.less_equal",
    "array.logaddexp",
    "array.logaddexp2",
    "array.logical_and",
    "array.logical_or",
    "array.logical_xor",
    "array.maximum",
    "array.minimum",
    "array.mod",
    "array.multiply",
    "array.nextafter",
    "array.not_equal",
    "array.power",
    "array.remainder",
    "array.subtract",
    "array.true_divide",
)
@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_of_two_arrays(name, chunks):
    left, right = da.from_array(FLOATS, chunks=chunks), da.from_array(OTHERS, chunks=2)
    with np.errstate(all="ignore"):
        function = getattr(np, name)
        assert_same(getattr(da, name)(left, right), function(FLOATS, OTHERS))
        assert_same(getattr(da, name)(left, 1.5), function(FLOATS, 1.5))
        assert_same(getattr(da, name)(left, right[0]), function(FLOATS, OTHERS[0]))


@pytest.mark.covers(
    "array.bitwise_and",
    "array.bitwise_or",
    "array.bitwise_xor",
    "array.left_shift",
    "array.right_shift",
    "array.bitwise_not",
    "array.invert",
    "array.ldexp",
)
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_functions_of_ints(chunks):
    x = da.from_array(INTS, chunks=chunks)
    for name in OF_INTS:
        assert_same(getattr(da, name)(x, x.T.T[:1]), getattr(np, name)(INTS, INTS[:1]))
    assert_same(da.bitwise_not(x), np.bitwise_not(INTS))
    assert_same(da.invert(x > 3), np.invert(INTS > 3))
    assert_same(da.ldexp(x * 1.5, x), np.ldexp(INTS * 1.5, INTS))


@pytest.mark.covers(
    "array.divmod",
    "array.frexp",
    "array.modf",
    "array.clip",
    "array.isnull",
    "array.notnull",
    "array.frompyfunc",
    "array.result_type",
    "array.allclose",
)
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_other_functions_of_elements(chunks):
    x, ints = da.from_array(FLOATS, chunks=chunks), da.from_array(INTS, chunks=chunks)
    for lazy, expected in [
        (da.divmod(ints, 5), np.divmod(INTS, 5)),
        (da.frexp(x), np.frexp(FLOATS)),
        (da.modf(x[:2]), np.modf(FLOATS[:2])),
    ]:
        for one, other in zip(lazy, expected, strict=True):
            assert_same(one, other)
    assert_same(da.clip(x, -1, 1), np.clip(FLOATS, -1, 1))
    assert_same(da.isnull(x), np.isnan(FLOATS))
    assert_same(da.notnull(x), ~np.isnan(FLOATS))
    twice = da.frompyfunc(lambda one: 2 * one, 1, 1)(ints).compute()
    assert twice.dtype == object
    np.testing.assert_array_equal(twice, 2 * INTS)
    assert da.result_type(ints, x, np.float32) == np.result_type(INTS, FLOATS, np.float32)
    assert bool(da.allclose(ints, INTS + 1e-9))
    assert not bool(da.allclose(x, FLOATS))


# ---- Random numbers ----

#: Parameters of each distribution.
DISTRIBUTIONS = {
    "beta": (2.0, 3.0), "binomial": (10, 0.3), "chisquare": (3,), "exponential": (2.0,),
    "f": (4, 6), "gamma": (2.0, 1.5), "geometric": (0.3,), "gumbel": (1.0, 2.0),
    "hypergeometric": (10, 5, 6), "laplace": (0.5, 2.0), "logistic": (0.5, 2.0),
    "lognormal": (0.5, 0.3), "logseries": (0.4,), "negative_binomial": (5, 0.4),
    "noncentral_chisquare": (3, 1.0), "noncentral_f": (4, 6, 1.0), "normal": (1.0, 2.0),
    "pareto": (3.0,), "poisson": (4.0,), "power": (2.0,), "rayleigh": (1.5,),
    "standard_cauchy": (), "standard_exponential": (), "standard_gamma": (2.0,),
    "standard_normal": (), "standard_t": (5,), "triangular": (-1.0, 0.0, 2.0),
    "uniform": (-1.0, 2.0), "vonmises": (0.5, 2.0), "wald": (1.0, 2.0), "weibull": (2.0,),
    "zipf": (3.0,),
}  # fmt: skip


@pytest.mark.covers(
    "array.random.beta",
    "array.random.binomial",
    "array.random.chisquare",
    "array.random.exponential",
    "array.random.f",
    "array.random.gamma",
    "array.random.geometric",
    "array.random.gumbel",
    "array.random.hypergeometric",
    "array.random.laplace",
    "array.random.logistic",
    "array.random.lognormal",
    "array.random.logseries",
    "array.random.negative_binomial",
    "array.random.noncentral_chisquare",
    "array.random.noncentral_f",
    "array.random.normal",
    "array.random.pareto",
    "array.random.poisson",
    "array.random.power",
    "array.random.rayleigh",
    "array.random.standard_cauchy",
    "array.random.standard_exponential",
    "array.random.standard_gamma",
    "array.random.standard_normal",
    "array.random.standard_t",
    "array.random.triangular",
    "array.random.uniform",
    "array.random.vonmises",
    "array.random.wald",
    "array.random.weibull",
    "array.random.zipf",
    "array.random.Generator",
)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions_are_numpys_of_the_stream_of_a_block(name):
    args = DISTRIBUTIONS[name]
    drawn = getattr(da.random.Generator(np.random.PCG64(5)), name)(
        *args, size=(7, 4), chunks=(4, 4)
    )
    blocks = [
        getattr(
            np.random.Generator(np.random.PCG64(np.random.SeedSequence(5, spawn_key=(k,)))), name
        )(*args, size=(rows, 4))
        for k, rows in enumerate((4, 3))
    ]
    assert_same(drawn, np.concatenate(blocks))
    da.random.seed(8)
    first = getattr(da.random, name)(*args, size=9, chunks=4)
    assert first.shape == (9,)
    da.random.seed(8)
    again = getattr(da.random, name)(*args, size=9, chunks=4)
    np.testing.assert_array_equal(first.compute(), again.compute())


@pytest.mark.covers(
    "array.random.random",
    "array.random.random_sample",
    "array.random.randint",
    "array.random.random_integers",
    "array.random.seed",
    "array.random.RandomState",
    "array.random.default_rng",
    "array.random.Generator.integers",
)
def test_uniform_numbers_and_ints():
    da.random.seed(3)
    for name in ("random", "random_sample"):
        drawn = getattr(da.random, name)((50, 4), chunks=20).compute()
        assert drawn.shape == (50, 4)
        assert 0 <= drawn.min() < 0.1 < 0.9 < drawn.max() < 1
    assert set(da.random.randint(0, 3, 100, chunks=30).compute().tolist()) == {0, 1, 2}
    assert set(da.random.random_integers(3, size=100, chunks=30).compute().tolist()) == {1, 2, 3}
    rng = da.random.default_rng(1)
    assert set(rng.integers(2, 4, 50, endpoint=True, chunks=20).compute().tolist()) == {2, 3, 4}
    state = da.random.RandomState(4)
    assert not np.array_equal(state.random(5).compute(), state.random(5).compute())


@pytest.mark.covers(
    "array.random.choice",
)
def test_choice():
    rng = da.random.default_rng(2)
    drawn = rng.choice(np.array([2.5, 7.0]), size=(40, 3), p=[0.9, 0.1], chunks=16)
    streams = [np.random.SeedSequence(2, spawn_key=(k,)) for k in range(3)]
    expected = [
        np.random.Generator(np.random.PCG64(stream)).choice([2.5, 7.0], (rows, 3), p=[0.9, 0.1])
        for stream, rows in zip(streams, (16, 16, 8), strict=True)
    ]
    assert_same(drawn, np.concatenate(expected))
    assert sorted(rng.choice(6, 6, replace=False).compute().tolist()) == list(range(6))
    assert set(da.random.choice(3, 60, chunks=7).compute().tolist()) == {0, 1, 2}
    with pytest.raises(NotImplementedError, match="give chunks=-1"):
        rng.choice(6, 6, replace=False, chunks=2)
    with pytest.raises(NotImplementedError, match="compute them first"):
        rng.choice(da.ones(3), 6)
    with pytest.raises(ValueError, match="values of one axis"):
        rng.choice(INTS, 6)


@pytest.mark.covers(
    "array.random.multinomial",
    "array.random.permutation",
)
def test_multinomial_and_permutation():
    rng = da.random.default_rng(2)
    counts = rng.multinomial(20, [0.2, 0.3, 0.5], size=(5, 4), chunks=3)
    assert counts.chunks == ((3, 2), (3, 1), (3,))
    assert (counts.sum(axis=2).compute() == 20).all()
    assert da.random.multinomial(20, [0.5, 0.5], 3).shape == (3, 2)
    shuffled = rng.permutation(da.from_array(FLOATS[:2], chunks=1)).compute()
    assert sorted(shuffled[:, 0].tolist()) == [-2.5, 0.5]
    first, second = rng.permutation(50).compute(), da.random.permutation(50).compute()
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert first.tolist() != second.tolist()
