"""Arrays on clusters: where their blocks are, and what comes to whom."""

import pickle

import numpy as np
import pytest
from compare import assert_same
from gates import Gate, Tally

import oxidask
import oxidask.array as da
from oxidask.distributed import Client, Future, futures_of, get_worker, wait

VALUES = np.arange(60.0).reshape(5, 12)
#: Blocks of 320 kB: they are kept in shared memory.
LARGE = np.arange(160_000.0).reshape(400, 400)
#: Given, so that functions that count calls are not tried.
META, META_1 = np.empty((0, 0)), np.empty(0)


@pytest.fixture
def tally(tmp_path):
    """Count calls in any process."""
    return Tally(tmp_path / "tally")


def counted(block, tally):
    tally.add()
    return block + 1


def is_view(block):
    return np.full(block.shape, not block.flags.owndata)


def kind_and_shape(value):
    return type(value).__name__, value.shape


def stopped_by(block, gate):
    return gate.pass_through(block)


def name_of_worker(block):
    return np.full(block.shape, int(get_worker().name))


def fails_at_first(block, tally):
    tally.add()
    if len(tally) == 1:
        raise OSError("not yet")
    return block


# ---- compute ----


def test_compute_gives_an_array_of_numpy(client):
    x = da.from_array(VALUES, chunks=(2, 5)) + 1
    assert_same(x, VALUES + 1)
    future = client.compute(x)
    assert isinstance(future, Future)
    np.testing.assert_array_equal(future.result(), VALUES + 1)
    np.testing.assert_array_equal(client.compute(x, sync=True), VALUES + 1)
    total, same, plain = oxidask.compute(x.sum(), {"x": [x]}, "as it is")
    assert total == VALUES.sum() + 60
    np.testing.assert_array_equal(same["x"][0], VALUES + 1)
    assert plain == "as it is"
    assert client.compute(x.sum(), sync=True) == VALUES.sum() + 60


def test_blocks_are_copied_once_and_only_into_the_result(client, mode, monkeypatch):
    wanted, came = [], []
    joined, run = da.Array._oxidask_joined, Client._run_tasks

    def note_blocks(self, blocks):
        came.extend(blocks)
        return joined(self, blocks)

    def note_tasks(self, tasks, **options):
        wanted.extend(task.key for task in tasks)
        return run(self, tasks, **options)

    monkeypatch.setattr(da.Array, "_oxidask_joined", note_blocks)
    monkeypatch.setattr(Client, "_run_tasks", note_tasks)
    x = da.from_array(LARGE, chunks=(200, 200)) * 2
    result = x.compute()
    # Nothing is asked for but the blocks: no worker puts them together.
    assert wanted == [(x.name, i, j) for i in range(2) for j in range(2)]
    assert len(came) == 4
    if mode == "processes":
        assert not any(block.flags.owndata for block in came)
    assert result.flags.owndata
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, LARGE * 2)


def test_workers_read_each_others_blocks_in_place(client, mode):
    x = (da.from_array(LARGE, chunks=(200, 200)) * 2).persist()
    wait(x)
    # A product of rows and columns needs blocks of both workers.
    looked = da.map_blocks(is_view, x.blocks[::-1, ::-1], dtype=bool)
    if mode == "processes":
        assert looked.all().compute()
    np.testing.assert_allclose((x @ x).sum().compute(), ((LARGE * 2) @ (LARGE * 2)).sum())


def test_an_error_in_a_block_comes_out_with_its_key(client):
    x = da.ones((4, 4), chunks=2).map_blocks(lambda block: 1 / 0, dtype=float)
    with pytest.raises(ZeroDivisionError) as caught:
        x.compute()
    assert any(x.name in note for note in caught.value.__notes__)


# ---- persist ----


def persist_by_client(client, x):
    return client.persist(x)


def persist_by_method(client, x):
    return x.persist()


def persist_by_function(client, x):
    return oxidask.persist(x)[0]


@pytest.mark.parametrize("persist", [persist_by_client, persist_by_method, persist_by_function])
def test_persisted_arrays_hold_futures_of_their_blocks(client, tally, persist):
    x = da.from_array(VALUES, chunks=(5, 6)).map_blocks(counted, tally, meta=META)
    held = persist(client, x)
    assert isinstance(held, da.Array)
    assert (held.name, held.chunks, held.dtype) == (x.name, x.chunks, x.dtype)
    assert [future.key for future in futures_of(held)] == [(x.name, 0, 0), (x.name, 0, 1)]
    done, rest = wait(held)
    assert (len(done), len(rest)) == (2, 0)
    assert_same(held.sum(axis=0), (VALUES + 1).sum(axis=0))
    assert_same(held[2:, ::3], (VALUES + 1)[2:, ::3])
    assert_same(held, VALUES + 1)
    assert len(tally) == 2
    assert len(futures_of([held + 1, {"again": held}])) == 2


def test_persist_does_not_wait(client, tmp_path):
    gate = Gate(tmp_path / "gate")
    held = da.ones(4, chunks=2).map_blocks(stopped_by, gate, meta=META_1).persist()
    assert not any(future.done() for future in futures_of(held))
    gate.open()
    assert held.sum().compute() == 4.0


def test_several_arrays_are_persisted_together(client, tally):
    x = da.from_array(VALUES, chunks=(5, 6)).map_blocks(counted, tally, meta=META)
    wide, flat, plain = client.persist([x * 2, x.sum(), 7])
    assert plain == 7
    assert_same(wide, (VALUES + 1) * 2)
    assert_same(flat, (VALUES + 1).sum())
    assert len(tally) == 2
    (delayed, again), _ = oxidask.persist([oxidask.delayed(abs)(-1), x], 3)
    assert delayed.compute() == 1
    assert len(futures_of([delayed, again])) == 3


def test_an_array_without_axes_is_persisted(client):
    total = da.ones((4, 4), chunks=2).sum().persist()
    assert len(futures_of(total)) == 1
    assert total.compute() == 16.0
    assert (total + 1).compute() == 17.0


def test_cancelled_arrays_are_not_computed(client, tmp_path, tally):
    gate = Gate(tmp_path / "gate")
    held = da.ones(8, chunks=2).map_blocks(stopped_by, gate, meta=META_1).persist()
    later = held.map_blocks(counted, tally, meta=META_1).persist()
    client.cancel(held)
    gate.open()
    assert {future.status for future in futures_of(held)} == {"cancelled"}
    with pytest.raises(Exception, match="cancelled"):
        later.compute()
    assert len(tally) == 0


def test_what_nobody_holds_is_given_back(client):
    held = da.ones(8, chunks=2).persist()
    wait(held)
    assert client.scheduler_info()["tasks"].get("memory", 0) == 4
    del held
    assert da.ones(1).sum().compute() == 1.0
    assert client.scheduler_info()["tasks"].get("memory", 0) == 0


# ---- Arrays as arguments, futures as blocks ----


def test_arrays_as_arguments_arrive_as_numpys(client):
    x = da.from_array(VALUES, chunks=(2, 5))
    assert client.submit(kind_and_shape, x).result() == ("ndarray", (5, 12))
    assert client.submit(kind_and_shape, client.persist(x)).result() == ("ndarray", (5, 12))
    assert oxidask.delayed(kind_and_shape)(x).compute() == ("ndarray", (5, 12))
    assert client.gather(client.map(float, [x.sum(), x.max()])) == [VALUES.sum(), 59.0]


def test_arrays_are_made_of_futures(client):
    rows = client.scatter([VALUES[:2], VALUES[2:]])
    made = client.submit(np.negative, rows[0])
    x = da.concatenate(
        [
            da.from_delayed(rows[0], (2, 12), dtype=float),
            da.from_delayed(rows[1], (3, 12), dtype=float),
            da.from_delayed(made, (2, 12), dtype=float),
        ]
    )
    assert_same(x, np.concatenate([VALUES, -VALUES[:2]]))
    assert len(futures_of(x)) == 3


def test_blocks_of_a_persisted_array_are_futures_on_their_own(client):
    x = da.from_array(VALUES, chunks=(5, 6)).persist()
    first, second = futures_of(x)
    np.testing.assert_array_equal(first.result(), VALUES[:, :6])
    again = da.from_delayed(second, (5, 6), dtype=float)
    assert_same(again + 1, VALUES[:, 6:] + 1)


def test_tasks_compute_and_persist_arrays(client):
    def outer():
        x = da.ones((4, 4), chunks=2).persist()
        return len(futures_of(x)), float(x.sum().compute())

    assert client.submit(outer).result() == (4, 16.0)


# ---- Pickling ----


def test_lazy_and_persisted_arrays_are_pickled(client):
    x = da.from_array(VALUES, chunks=(2, 5)) + 1
    for one in (x, x.persist(), (x.persist() * 2)[1:] / 2):
        again = pickle.loads(pickle.dumps(one))
        assert (again.name, again.chunks, again.dtype) == (one.name, one.chunks, one.dtype)
        assert_same(again, one.compute())
    held = pickle.loads(pickle.dumps(x.persist()))
    assert len(futures_of(held)) == 9


def test_tasks_return_lazy_arrays(client):
    def lazy(n):
        return da.arange(n, chunks=2) * 2

    x = client.submit(lazy, 5).result()
    assert_same(x, np.arange(5) * 2)


# ---- Annotations ----


def test_annotations_hold_for_the_operations_of_their_block(client):
    x = da.ones((4, 4), chunks=2)
    with oxidask.annotate(workers="1"):
        where = x.map_blocks(name_of_worker, dtype=int)
    elsewhere = (where + 10).map_blocks(lambda block: block * 1, dtype=int)
    with oxidask.annotate(workers="0"):
        back = elsewhere.map_blocks(lambda b: b + 100 * name_of_worker(b), dtype=int)
    # Whatever is in force when it is computed, these were made before.
    with oxidask.annotate(workers="0"):
        assert_same(where, np.full((4, 4), 1))
    assert_same(back, np.full((4, 4), 11))
    assert_same(where.sum(), np.int64(16))


def test_a_task_does_not_take_over_what_its_neighbours_were_told(client, tally):
    with oxidask.annotate(retries=2):
        x = da.ones(2, chunks=2).map_blocks(fails_at_first, tally, meta=META_1)
    y = (x + 1).sum()
    with oxidask.annotate(priority=3):
        z = y * 2
    assert z.compute() == 8.0
    assert len(tally) == 2


def test_arrays_of_one_annotation_are_one_task_a_block(client):
    with oxidask.annotate(retries=1):
        x = ((da.ones(4, chunks=2) + 1) * 2).map_blocks(abs, dtype=float)
    np.testing.assert_array_equal(x.compute(), np.full(4, 4.0))
    assert len(x.dask) == 2


def test_compute_on_certain_workers(client):
    x = da.ones((4, 4), chunks=2).map_blocks(name_of_worker, dtype=int)
    for name in ("0", "1"):
        assert (client.persist(x + 10 * int(name), workers=name).compute() % 10 == int(name)).all()
        assert (client.compute(x + 20 * int(name), workers=[name]).result() % 10 == int(name)).all()
        assert ((x + 30 * int(name)).compute(workers=name) % 10 == int(name)).all()


def test_blocks_that_need_others_are_made_on_workers(client):
    values = np.random.default_rng(0).normal(size=(60, 12))
    x = da.from_array(values, chunks=(9, 5))
    np.testing.assert_allclose(x.cumsum(axis=0).compute(), values.cumsum(axis=0))
    smooth = x.map_overlap(np.negative, 2, "reflect")
    np.testing.assert_array_equal(smooth.compute(), -values)
    windows = da.lib.stride_tricks.sliding_window_view(x, 12, axis=0)
    np.testing.assert_allclose(
        windows.max(axis=-1).compute(),
        np.lib.stride_tricks.sliding_window_view(values, 12, axis=0).max(axis=-1),
    )
    np.testing.assert_allclose(da.einsum("ij,kj->ik", x, x).compute(), values @ values.T)
    u, s, v = oxidask.compute(*da.linalg.svd(x.rechunk({1: -1})))
    np.testing.assert_allclose((u * s) @ v, values)
    u, s, v = da.linalg.svd_compressed(x, 12, seed=0, compute=True)
    np.testing.assert_allclose(((u * s) @ v).compute(), values)
    total = da.apply_gufunc(np.sum, "(i)->()", x, vectorize=True, allow_rechunk=True)
    np.testing.assert_allclose(total.compute(), values.sum(axis=-1))
