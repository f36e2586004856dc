"""Arrays to and from files and array-likes, in threads and in worker processes."""

import pickle

import numpy as np
import pytest
from compare import assert_same

import oxidask
import oxidask.array as da
from oxidask.array._locks import OneAtATime

# There are no wheels of them for a CPython without a GIL.
h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")

VALUES = np.arange(60.0).reshape(5, 12)


@pytest.fixture(params=["sync", "threads", "processes"])
def scheduler(request):
    """Compute in the calling thread, in threads or in worker processes."""
    with oxidask.config.set(scheduler=request.param):
        yield request.param


@pytest.fixture
def x():
    return da.from_array(VALUES, chunks=(2, 5))


@pytest.fixture
def near():
    """Compute in this process."""
    with oxidask.config.set(scheduler="threads"):
        yield


# ---- store ----


@pytest.mark.covers("array.store", "array.Array.store")
def test_store_writes_each_block(x):
    target = np.zeros((5, 12))
    assert da.store(x, target) is None
    np.testing.assert_array_equal(target, VALUES)
    assert x.store(target[::-1]) is None
    np.testing.assert_array_equal(target, VALUES[::-1])


@pytest.mark.parametrize("lock", [True, False, OneAtATime("mine")])
def test_store_of_several_arrays(x, lock):
    first, second = np.zeros((5, 12)), np.zeros(12)
    da.store([x + 1, x.sum(axis=0)], [first, second], lock=lock)
    np.testing.assert_array_equal(first, VALUES + 1)
    np.testing.assert_array_equal(second, VALUES.sum(axis=0))


@pytest.mark.parametrize(
    "region",
    [
        (slice(1, 6), slice(3, 15)),
        (slice(None, 5), slice(None, None, 2)),
        (slice(7, 2, -1), slice(23, None, -2)),
        (slice(4, None, -1), slice(-12, None)),
    ],
)
def test_regions(x, region):
    target, expected = np.zeros((8, 24)), np.zeros((8, 24))
    da.store(x, target, regions=region)
    expected[region] = VALUES
    np.testing.assert_array_equal(target, expected)


def test_a_region_of_an_array_with_more_axes(x):
    target = np.zeros((3, 5, 2, 12))
    da.store(
        [x, x + 1],
        [target] * 2,
        regions=[(1, slice(None), 0, slice(None)), (2, slice(0, 5), 1, slice(12))],
    )
    np.testing.assert_array_equal(target[1, :, 0], VALUES)
    np.testing.assert_array_equal(target[2, :, 1], VALUES + 1)
    assert target.sum() == (2 * VALUES + 1).sum()


def test_store_later(x):
    target = np.zeros((5, 12))
    later = da.store(x, target, compute=False)
    assert not target.any()
    assert later.compute() is None
    np.testing.assert_array_equal(target, VALUES)


@pytest.mark.parametrize("compute", [True, False])
@pytest.mark.parametrize("load_stored", [True, False, None])
def test_what_was_stored_is_returned(x, compute, load_stored):
    target = np.zeros((5, 12))
    (stored,) = da.store(x, target, compute=compute, return_stored=True, load_stored=load_stored)
    assert target.any() == compute
    assert stored.chunks == x.chunks
    assert_same(stored + 1, VALUES + 1)
    np.testing.assert_array_equal(target, VALUES)
    target[:] = 7
    # Arrays that were loaded keep what was there.
    if compute:
        assert_same(stored, VALUES if load_stored else np.full((5, 12), 7.0))


def test_targets_that_are_lazy_themselves(x, scheduler, tmp_path):
    target = zarr.create_array(tmp_path / "x", shape=(5, 12), chunks=(5, 12), dtype="f8")
    da.store([x], [oxidask.delayed(zarr.open_array)(tmp_path / "x", mode="r+")])
    np.testing.assert_array_equal(target[:], VALUES)


@pytest.mark.parametrize(
    ("target", "regions", "error", "words"),
    [
        (np.zeros((5, 11)), None, ValueError, r"shape \(5, 12\) and the target \(5, 11\)"),
        (
            np.zeros((9, 12)),
            (slice(0, 4), slice(None)),
            ValueError,
            "has 4 places along an axis of 9",
        ),
        (np.zeros((9, 12)), (slice(0, 5),), ValueError, "1 slices, and the array has 2 axes"),
        (
            np.zeros((9, 12)),
            ([0, 1], slice(0, 5), slice(None)),
            NotImplementedError,
            "slices and ints",
        ),
        (7, None, TypeError, "nothing can be assigned to a part of a int"),
    ],
)
def test_targets_that_do_not_fit_are_refused_at_once(x, target, regions, error, words):
    with pytest.raises(error, match=words):
        da.store(x, target, regions=regions, compute=False)


def test_lists_that_do_not_fit_are_refused(x):
    with pytest.raises(ValueError, match="1 sources and 2 targets"):
        da.store([x], [1, 2])
    with pytest.raises(ValueError, match="lazy arrays"):
        da.store([VALUES], [VALUES])
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        da.store(x[x > 3], np.zeros(60))


def test_worker_processes_write_no_memory_of_ours(x):
    with oxidask.config.set(scheduler="processes"), pytest.raises(TypeError, match="zarr or a num"):
        da.store(x, np.zeros((5, 12)))


# ---- Memory maps ----


def test_a_memory_map_is_written_and_read_by_all_processes(x, scheduler, tmp_path):
    target = np.memmap(tmp_path / "x", "f8", "w+", offset=16, shape=(7, 24))
    da.store(x, target[1:6, ::2])
    np.testing.assert_array_equal(target[1:6, ::2], VALUES)
    assert_same(da.from_array(target[1:6, ::2], chunks=3), VALUES)
    assert_same(da.from_array(target[5:0:-1, ::2].T, chunks=3), VALUES[::-1].T)
    again = np.memmap(tmp_path / "x", "f8", "r", offset=16, shape=(7, 24))
    assert len(pickle.dumps(da.from_array(again, chunks=6))) < 2000
    assert_same(da.from_array(again, chunks=6)[1:6, ::2], VALUES)


def test_what_was_written_into_a_memory_map_is_seen(tmp_path, near):
    values = np.memmap(tmp_path / "x", "f8", "w+", shape=(4,))
    first = da.from_array(values, chunks=2)
    values[:] = 5
    assert da.from_array(values, chunks=2).name != first.name


# ---- Locks ----


class Careful:
    """An array-like in a file that notices whether two tasks use it at once."""

    shape, dtype, ndim = (6,), np.dtype("f8"), 1

    def __init__(self, folder):
        self.folder = folder

    def __getitem__(self, index):
        mark = self.folder / "in use"
        mark.touch(exist_ok=False)
        for _ in range(200):
            assert mark.exists()
        mark.unlink()
        return np.arange(6.0)[index]

    def __setitem__(self, index, value):
        np.testing.assert_array_equal(self[index], value)


def test_one_task_at_a_time_reads_and_writes(tmp_path, scheduler):
    reads, writes = tmp_path / "reads", tmp_path / "writes"
    reads.mkdir()
    writes.mkdir()
    x = da.from_array(Careful(reads), chunks=1, lock=True, name=False)
    assert_same(x, np.arange(6.0))
    da.store(x, Careful(writes), lock=True)
    assert list(reads.iterdir()) == list(writes.iterdir()) == []


def test_a_lock_can_be_taken_again_by_its_holder_and_leaves_one_file(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("a", "b"):
        with OneAtATime(name), pickle.loads(pickle.dumps(OneAtATime(name))):
            pass
    (folder,) = tmp_path.iterdir()
    assert [file.name for file in folder.iterdir()] == ["locks"]


def test_a_lock_of_a_process_that_is_killed_is_given_back(tmp_path, monkeypatch):
    import os
    import signal
    import subprocess
    import sys

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    holds = (
        "import sys; from oxidask.array._locks import OneAtATime\n"
        "with OneAtATime('x'): print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout.readline() == b"held\n"
        os.kill(child.pid, signal.SIGKILL)
        with OneAtATime("x"):
            pass
    finally:
        child.kill()
        child.communicate()


# ---- zarr ----


@pytest.mark.covers("array.to_zarr", "array.from_zarr", "array.Array.to_zarr")
def test_zarr_there_and_back(x, scheduler, tmp_path):
    path = tmp_path / "x.zarr"
    assert x.to_zarr(path) is None
    assert zarr.open_array(path).chunks == (2, 5)
    again = da.from_zarr(path)
    assert again.chunks == x.chunks
    assert_same(again, VALUES)
    assert_same(da.from_zarr(str(path), chunks=(5, 4)), VALUES)
    assert_same(da.from_zarr(zarr.open_array(path)), VALUES)
    da.to_zarr(x * 2, path, component="group/y", zarr_format=2)
    assert_same(da.from_zarr(path, "group/y"), VALUES * 2)


@pytest.mark.usefixtures("near")
def test_an_array_that_is_there_is_not_replaced_unasked(x, tmp_path):
    path = tmp_path / "x.zarr"
    x.to_zarr(path)
    for mode in ("a", "w-"):
        with pytest.raises(ValueError, match="exists"):
            x.to_zarr(path, mode=mode)
    (x + 1).to_zarr(path, overwrite=True)
    assert_same(da.from_zarr(path), VALUES + 1)
    (x + 2).to_zarr(path, mode="w")
    (x[:2] * 0).to_zarr(path, region=(slice(3, 5), slice(None)))
    expected = VALUES + 2
    expected[3:] = 0
    assert_same(da.from_zarr(path), expected)
    x.to_zarr(path, mode="r+")
    assert_same(da.from_zarr(path), VALUES)
    with pytest.raises(ValueError, match="mode='b'"):
        x.to_zarr(path, mode="b")


@pytest.mark.usefixtures("near")
def test_zarr_later_and_read_back(x, tmp_path):
    later = x.to_zarr(tmp_path / "x.zarr", compute=False)
    assert later.compute() is None
    stored = (x + 1).to_zarr(tmp_path / "y.zarr", return_stored=True)
    assert_same(stored, VALUES + 1)
    lazy = (x + 2).to_zarr(tmp_path / "z.zarr", return_stored=True, compute=False)
    assert_same(lazy.sum(axis=0), (VALUES + 2).sum(axis=0))


def chunks_written(monkeypatch):
    """Return a list that gets the region of each write of zarr."""
    written = []
    write = zarr.Array.__setitem__

    def note(self, index, value):
        written.append(index)
        write(self, index, value)

    monkeypatch.setattr(zarr.Array, "__setitem__", note)
    return written


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("region", [None, (slice(3, 8), slice(1, 13))])
@pytest.mark.parametrize("grain", [(1, 1), (3, 4), (2, 7), (100, 100)])
@pytest.mark.parametrize("way", ["to_zarr", "store"])
def test_two_blocks_never_write_one_chunk(x, tmp_path, monkeypatch, grain, region, way):
    shape = VALUES.shape if region is None else (9, 17)
    target = zarr.create_array(tmp_path / "x", shape=shape, chunks=grain, dtype="f8")
    written = chunks_written(monkeypatch)
    if way == "store":
        da.store(x, target, lock=False, regions=region)
    else:
        x.to_zarr(target, region=region)
    expected = np.zeros(shape)
    expected[region or ()] = VALUES
    np.testing.assert_array_equal(target[:], expected)
    touched = [
        (i, j)
        for rows, columns in written
        for i in {place // grain[0] for place in range(shape[0])[rows]}
        for j in {place // grain[1] for place in range(shape[1])[columns]}
    ]
    assert len(touched) == len(set(touched)) > 0


@pytest.mark.usefixtures("near")
def test_shards_are_written_as_a_whole(x, tmp_path, monkeypatch):
    written = chunks_written(monkeypatch)
    x.to_zarr(tmp_path / "x", chunks=(1, 2), shards=(4, 6))
    assert_same(da.from_zarr(tmp_path / "x"), VALUES)
    assert len(written) == 4


def test_chunks_that_zarr_cannot_have_are_refused_with_what_to_do(x, tmp_path):
    uneven = x.rechunk(((1, 3, 1), (4, 4, 4)))
    with pytest.raises(ValueError, match=r"lengths \(1, 3, 1\): rechunk.*x\.rechunk\(\(3, 4\)\)"):
        uneven.to_zarr(tmp_path / "x")
    with oxidask.config.set(scheduler="threads"):
        uneven.to_zarr(tmp_path / "x", chunks=(2, 4))
        assert_same(da.from_zarr(tmp_path / "x"), VALUES)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        x[x > 3].to_zarr(tmp_path / "y")


def test_zarr_in_memory_is_for_threads(x):
    store = zarr.storage.MemoryStore()
    with oxidask.config.set(scheduler="threads"):
        x.to_zarr(store)
        assert_same(da.from_zarr(store), VALUES)
    with oxidask.config.set(scheduler="processes"):
        with pytest.raises(TypeError, match="memory of one process"):
            x.to_zarr(zarr.storage.MemoryStore())
        with pytest.raises(TypeError, match="memory of one process"):
            da.from_zarr(store).compute()


@pytest.mark.usefixtures("near")
def test_urls_of_fsspec(x, tmp_path):
    pytest.importorskip("fsspec")
    x.to_zarr("memory://x.zarr", storage_options={"skip_instance_cache": False})
    assert_same(da.from_zarr("memory://x.zarr"), VALUES)
    x.to_zarr(f"file://{tmp_path}/x.zarr", storage_options={"auto_mkdir": True})
    assert_same(da.from_zarr(f"file://{tmp_path}/x.zarr"), VALUES)


# ---- HDF5, netCDF ----


@pytest.mark.covers("array.to_hdf5", "array.Array.to_hdf5")
def test_hdf5_there_and_back(x, scheduler, tmp_path):
    path = tmp_path / "x.h5"
    da.to_hdf5(path, "/x", x)
    (x + 1).to_hdf5(path, "/deep/er", compression="gzip")
    da.to_hdf5(path, {"/both/a": x * 2, "/both/b": x.sum()}, chunks=None)
    with h5py.File(path) as file:
        assert file["/x"].chunks == (2, 5)
        assert file["/both/a"].chunks is None
        assert file["/deep/er"].compression == "gzip"
        assert_same(da.from_array(file["/x"]), VALUES)
        assert_same(da.from_array(file["/deep/er"], chunks=3) + 1, VALUES + 2)
        assert_same(da.from_array(file["/both/a"], chunks=(5, 4), lock=True), VALUES * 2)
        assert file["/both/b"][()] == VALUES.sum()


def test_hdf5_files_that_are_open_for_writing(x, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        target = file.create_dataset("x", (5, 12), "f8")
        with oxidask.config.set(scheduler="threads"):
            da.store(x, target)
            assert_same(da.from_array(target, chunks=(3, 4)), VALUES)
        with oxidask.config.set(scheduler="processes"):
            with pytest.raises(TypeError, match="use to_hdf5"):
                da.store(x, target)
            with pytest.raises(TypeError, match="open it with mode 'r'"):
                da.from_array(target, chunks=3).compute()


def test_bad_arguments_of_to_hdf5(x, tmp_path):
    with pytest.raises(ValueError, match="a name and an array"):
        da.to_hdf5(tmp_path / "x.h5", x)


def test_netcdf(scheduler, tmp_path):
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(tmp_path / "x.nc", "w") as file:
        group = file.createGroup("deep")
        group.createDimension("a", 5)
        group.createDimension("b", 12)
        group.createVariable("x", "f8", ("a", "b"))[:] = VALUES
        packed = file.createVariable("packed", "i2", ())
        packed.scale_factor = 0.5
        packed[:] = 3.5
    with netcdf.Dataset(tmp_path / "x.nc") as file:
        x = da.from_array(file["deep/x"], chunks=(2, 5))
        assert_same(x + 1, VALUES + 1)
        assert_same(da.from_array(file["packed"]), np.float64(3.5))


# ---- Sources ----


class WithHandle:
    """An array-like that holds what no other process can have."""

    shape, dtype, ndim = (4,), np.dtype("f8"), 1

    def __init__(self):
        self.handle = (one for one in "x")

    def __getitem__(self, index):
        return np.ones(4)[index]


def test_sources_that_cannot_be_sent_are_refused_at_once():
    with pytest.raises(TypeError, match=r"WithHandle cannot be sent.*give the class a __reduce__"):
        da.from_array(WithHandle(), chunks=2)


# ---- NumPy's files ----


@pytest.mark.covers("array.to_npy_stack", "array.from_npy_stack")
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_stacks_of_npy_files(x, scheduler, tmp_path, axis):
    folder = tmp_path / "stack"
    da.to_npy_stack(folder, x, axis=axis)
    assert sorted(one.name for one in folder.iterdir()) == ["0.npy", "1.npy", "2.npy", "info"]
    for mmap_mode in ("r", None):
        again = da.from_npy_stack(folder, mmap_mode=mmap_mode)
        assert again.chunks[axis] == x.chunks[axis]
        assert_same(again, VALUES)
        assert_same(again[1:, ::2].sum(), VALUES[1:, ::2].sum())


def test_a_stack_does_not_run_what_somebody_put_into_it(x, tmp_path):
    import os

    with oxidask.config.set(scheduler="sync"):
        da.to_npy_stack(tmp_path, x)
    (tmp_path / "info").write_bytes(pickle.dumps({"chunks": os.getcwd, "axis": 0, "dtype": None}))
    with pytest.raises(pickle.UnpicklingError, match=r"posix\.getcwd"):
        da.from_npy_stack(tmp_path)


def test_bad_arguments_of_to_npy_stack(x, tmp_path):
    with pytest.raises(ValueError, match="no axis 2"):
        da.to_npy_stack(tmp_path, x, axis=2)


# ---- Not there ----


@pytest.mark.parametrize("name", ["fft", "ma", "stats", "image"])
def test_modules_that_are_not_there_yet_say_what_to_do(name):
    assert "not there yet" in repr(getattr(da, name))
    with pytest.raises(NotImplementedError, match=f"array.{name}.anything is not there yet: "):
        getattr(da, name).anything(1)
    with pytest.raises(AttributeError, match="no attribute 'fourier'"):
        da.fourier  # noqa: B018


def test_tiledb_says_what_to_do(x):
    for use in (lambda: da.from_tiledb("x"), lambda: x.to_tiledb("x")):
        with pytest.raises(NotImplementedError, match="in threads, or"):
            use()
