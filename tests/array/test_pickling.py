"""Arrays as bytes, and what is said of their tasks: without a cluster."""

import pickle

import numpy as np

import oxidask
import oxidask.array as da

VALUES = np.arange(60.0).reshape(5, 12)


def test_a_pickle_does_not_grow_with_the_blocks():
    sizes = []
    for chunks in (10, 1):
        x = da.ones((2000, 2000), chunks=100 * chunks)
        x = ((x + 1) * x.T).rechunk((50 * chunks, 200 * chunks)).sum(axis=0)
        sizes.append(len(pickle.dumps(x)))
        assert pickle.loads(pickle.dumps(x)).chunks == x.chunks
    assert sizes[1] < 3 * sizes[0]


def test_a_chain_longer_than_a_stack_is_pickled():
    x = da.ones(2, chunks=1)
    for _ in range(3_000):
        x = x + 1
    again = pickle.loads(pickle.dumps(x))
    assert again.compute(scheduler="threads").tolist() == [3_001.0] * 2


def test_arrays_with_names_of_users_and_lengths_that_became_known_are_pickled():
    x = da.from_array(VALUES[0], chunks=5, name="mine")
    picked = x[x > 3]
    picked.compute_chunk_sizes()
    for one in (x, picked, da.from_delayed(oxidask.delayed(np.ones)(3), (3,), dtype=float)):
        again = pickle.loads(pickle.dumps(one))
        assert (again.name, again.chunks) == (one.name, one.chunks)
        np.testing.assert_array_equal(
            again.compute(scheduler="sync"), one.compute(scheduler="sync")
        )


def test_annotations_hold_in_threads():
    calls = []

    def fails_at_first(block):
        calls.append(block)
        if len(calls) == 1:
            raise OSError("not yet")
        return block

    with oxidask.annotate(retries=2):
        x = da.ones(2, chunks=2).map_blocks(fails_at_first, meta=np.empty(0))
    assert (x + 1).sum().compute(scheduler="threads") == 4.0
    assert len(calls) == 2
