"""What tests of arrays share."""

import numpy as np


def assert_same(lazy, expected):
    """Compare a lazy array with what NumPy gives: values, shape, dtype, meta, length of a block."""
    expected = np.asarray(expected)
    assert lazy.dtype == expected.dtype
    assert lazy._meta.dtype == expected.dtype
    assert lazy._meta.ndim == expected.ndim
    assert all(a == b or a != a for a, b in zip(lazy.shape, expected.shape, strict=True))
    result = lazy.compute()
    assert np.shape(result) == expected.shape
    assert result.dtype == expected.dtype
    if expected.ndim == 0:
        assert not isinstance(result, np.ndarray)
    np.testing.assert_allclose(result, expected, rtol=1e-6 if expected.dtype == "f4" else 1e-12)
    if expected.ndim and all(length == length for length in lazy.shape):
        last = lazy.blocks[tuple(count - 1 for count in lazy.numblocks)]
        assert np.shape(last.compute()) == tuple(lengths[-1] for lengths in lazy.chunks)
