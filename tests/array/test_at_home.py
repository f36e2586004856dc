"""Arrays among what people use: notebooks, NumPy's conversions, pictures, warnings."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from compare import assert_same

import oxidask
import oxidask.array as da
from oxidask.array import _chunks
from oxidask.distributed import Client

VALUES = np.arange(60.0).reshape(5, 12)


@pytest.fixture
def x():
    return da.from_array(VALUES, chunks=(2, 5))


# ---- Notebooks ----


def test_a_notebook_shows_what_an_array_is(x):
    html = (x + 1)._repr_html_()
    table, _, svg = html.partition("<svg")
    for words in ["480 B", "80 B", "(5, 12)", "(2, 5)", "9 chunks", "9 tasks", "float64"]:
        assert f">{words}<" in table
    assert "numpy.ndarray" in table
    ElementTree.fromstring(f"<svg{svg.partition('</svg>')[0]}</svg>")


def test_a_notebook_shows_what_is_not_known(x):
    table = x[x > 3]._repr_html_()
    assert ">unknown<" in table
    assert ">(?,)<" in table


def test_a_notebook_does_not_write_out_a_million_tasks():
    y = da.ones((10, 10), chunks=5)
    for _ in range(3):
        y = da.broadcast_to(y[0, :1], (1000, 1000), chunks=(5, 5))
    assert "up to" in y._repr_html_()


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        ((3, 4),),
        ((1, 2), (5,)),
        ((2, 2), (3, 3, 1), (4,)),
        ((1,),) * 7,
        ((0,), (3,)),
        ((float("nan"),) * 3, (5,)),
        ((10,) * 10_000, (10,) * 10_000),
    ],
    ids=lambda chunks: str([len(one) for one in chunks]),
)
def test_pictures_of_blocks(chunks):
    from oxidask.array._picture import svg

    drawn = svg(chunks, 150)
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg")
    # However many blocks there are.
    assert len(drawn) < 10_000
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(texts) == sorted("?" if sum(one) != sum(one) else str(sum(one)) for one in chunks)


def test_a_picture_has_a_line_where_blocks_meet():
    drawn = da.ones((4, 100), chunks=((1, 3), (10, 20, 70))).to_svg(200)
    assert [path.count("M") for path in drawn.split("<path ")[1:]] == [1, 2]


@pytest.mark.covers("array.Array.to_svg")
def test_the_size_of_pictures(x):
    width = float(ElementTree.fromstring(x.to_svg(300)).get("width"))
    assert 300 <= width <= 340
    with oxidask.config.set({"array.svg.size": 77}):
        assert x.to_svg(77) in x._repr_html_()
    for size in (0, "large", True, float("nan")):
        with pytest.raises(ValueError, match="number of pixels"):
            x.to_svg(size)


@pytest.mark.covers("array.Array.visualize")
def test_the_graph_of_an_array_is_drawn(x, tmp_path):
    picture = (x + 1).sum().visualize(filename=str(tmp_path / "x.svg"))
    assert (tmp_path / "x.svg").read_text() == picture.svg
    assert "sum" in picture.svg
    assert x.visualize(filename=None, optimize_graph=True).svg.startswith("<svg")


# ---- NumPy and others ----


def test_conversions(x):
    assert np.asarray(x).tolist() == VALUES.tolist()
    assert np.asarray(x, dtype="f4").dtype == np.float32
    assert np.array(x).flags.writeable
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(x, copy=False)
    assert [row.shape for row in x] == [(12,)] * 5
    assert list(map(float, x[0])) == VALUES[0].tolist()
    assert f"{float(x.max()):.0f}" == "59"
    assert [10, 20, 30][da.ones((), dtype=int)] == 20
    with pytest.raises(TypeError, match="without axes"):
        iter(x.sum()).__next__()


@pytest.mark.filterwarnings("ignore")
def test_matplotlib_draws_arrays(x):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    (line,) = axes.plot(x[0], x[1])
    np.testing.assert_array_equal(line.get_ydata(), VALUES[1])
    np.testing.assert_array_equal(axes.imshow(x).get_array(), VALUES)


@pytest.mark.covers("array.Array.copy", "array.Array.to_backend")
def test_a_copy_is_changed_alone(x):
    again = x.copy()
    again[0] = 7
    assert_same(x, VALUES)
    assert x.to_backend() is x.to_backend("numpy") is x
    with pytest.raises(NotImplementedError, match=r"map_blocks\(cupy\.asarray\)"):
        x.to_backend("cupy")


def test_data_frames_are_not_there_yet(x):
    with pytest.raises(NotImplementedError, match=r"delayed\(pandas\.DataFrame\)"):
        x.to_dask_dataframe()


# ---- Too large, too many ----


def test_a_result_larger_than_memory_is_refused_before_anything_runs():
    def run(block):
        raise AssertionError("a task ran")

    huge = da.ones((100_000, 1_000_000), chunks=10_000).map_blocks(run, meta=np.empty((0, 0)))
    words = r"of shape \(100000, 1000000\), would take 745\.06 GiB, and .*: reduce it first"
    with pytest.raises(MemoryError, match=words):
        huge.compute()
    with pytest.raises(MemoryError, match=words):
        oxidask.compute(1, [huge])
    with Client(n_workers=1, processes=False) as client, pytest.raises(MemoryError, match=words):
        client.compute(huge)
    # What becomes of it may be small, and so may its one block.
    assert da.ones((100_000, 1_000_000), chunks=10_000)[5:7, -1].compute().tolist() == [1.0, 1.0]
    assert da.broadcast_to(da.ones(1), (10**6, 10**6)).compute().strides == (0, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: da.ones((1000, 1000), chunks=2),
        lambda: da.from_array(np.ones((1000, 1000)), chunks=2),
        lambda: da.random.default_rng(0).random((1000, 1000), chunks=2),
        lambda: da.ones((1000, 1000)).rechunk(2),
    ],
    ids=["ones", "from_array", "random", "rechunk"],
)
def test_many_tiny_chunks_are_worth_a_warning(make):
    words = r"250,000 chunks of 32 B each: .*; chunks=\(1000, 1000\) would be better"
    with pytest.warns(da.PerformanceWarning, match=words) as caught:
        make()
    assert caught[0].filename == __file__


def test_a_hundred_thousand_chunks_are_not_worth_a_warning(monkeypatch):
    da.ones((1000, 400), chunks=2)
    monkeypatch.setattr(_chunks, "_MANY", 10)
    monkeypatch.setattr(_chunks, "_TINY", 1000)
    da.ones((100, 100), chunks=20)
    with pytest.warns(da.PerformanceWarning):
        da.ones((100, 100), chunks=10)
