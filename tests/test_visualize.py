"""`visualize` from the outside: the picture tells the truth about the graph of lazy values.

How pictures are drawn and written is tested in `test_drawing.py`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oxidask
from oxidask import delayed, visualize

SVG = "{http://www.w3.org/2000/svg}"
STEP = re.compile(r"([MLC])([-\d. ]+)")
# Between the end of a line and the task that it points to there is the arrow's head.
HEAD = 8.0


@delayed
def inc(i):
    return i + 1


@delayed
def join(*values):
    return len(values)


class Shape(NamedTuple):
    key: str
    label: str
    left: float
    top: float
    right: float
    bottom: float
    is_round: bool


class Drawing:
    """What somebody sees who looks at a picture."""

    def __init__(self, picture):
        self.root = ElementTree.fromstring(picture.svg)
        self.texts = [text.text for text in self.root.iter(f"{SVG}text")]
        self.shapes = {}
        for group in self.root.iter(f"{SVG}g"):
            title, rect = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
            if title is not None:
                left, top, width, height, radius = (
                    float(rect.get(name)) for name in ("x", "y", "width", "height", "rx")
                )
                label = group.find(f"{SVG}text").text
                corners = (left, top, left + width, top + height)
                assert title.text not in self.shapes, "a task is drawn twice"
                self.shapes[title.text] = Shape(title.text, label, *corners, radius > 4)

    def labels(self):
        return sorted(shape.label for shape in self.shapes.values())

    def lines(self):
        """Return each line as its points, from the task that is needed."""
        lines = []
        for path in self.root.iter(f"{SVG}path"):
            if path.get("class") == "oxg-e":
                for command, numbers in STEP.findall(path.get("d")):
                    values = [float(number) for number in numbers.split()]
                    points = list(zip(values[::2], values[1::2], strict=True))
                    if command == "M":
                        lines.append([])
                    lines[-1].extend(points)
        return lines

    def edges(self):
        """Return which task points to which, as keys, by where lines begin and end."""
        return {(self.task_above(line[0]), self.task_below(line[-1])) for line in self.lines()}

    def task_above(self, point):
        x, y = point
        (shape,) = (
            shape
            for shape in self.shapes.values()
            if shape.left <= x <= shape.right and -1 <= y - shape.bottom <= 1
        )
        return shape.key

    def task_below(self, point):
        x, y = point
        (shape,) = (
            shape
            for shape in self.shapes.values()
            if shape.left <= x <= shape.right and 0 <= shape.top - y <= HEAD
        )
        return shape.key


def drawn(*args, **options):
    return Drawing(visualize(*args, filename=None, **options))


# Of each task the earlier tasks that it needs.
graphs = st.integers(1, 14).flatmap(
    lambda size: st.tuples(
        *(
            st.sets(st.integers(0, max(0, number - 1)), max_size=min(number, 3))
            for number in range(size)
        )
    )
)


def tasks_of(graph):
    tasks = []
    for number, needed in enumerate(graph):
        tasks.append(join(*(tasks[one] for one in sorted(needed)), dask_key_name=f"join-{number}"))
    return tasks


@pytest.mark.covers("visualize")
@settings(deadline=None, max_examples=150)
@given(graphs)
def test_every_task_and_dependency_is_drawn_once_and_nothing_else(graph):
    drawing = drawn(tasks_of(graph))
    assert set(drawing.shapes) == {f"join-{number}" for number in range(len(graph))}
    dependencies = {
        (f"join-{one}", f"join-{number}") for number, needed in enumerate(graph) for one in needed
    }
    assert drawing.edges() == dependencies
    assert len(drawing.lines()) == len(dependencies)


@settings(deadline=None, max_examples=150)
@given(graphs)
def test_tasks_do_not_overlap_and_arrows_point_down(graph):
    drawing = drawn(tasks_of(graph))
    shapes = list(drawing.shapes.values())
    for number, one in enumerate(shapes):
        for other in shapes[:number]:
            apart = (
                one.right < other.left
                or other.right < one.left
                or one.bottom < other.top
                or other.bottom < one.top
            )
            assert apart, f"{one.key} overlaps {other.key}"
    for line in drawing.lines():
        heights = [y for _, y in line]
        assert heights == sorted(heights)


@settings(deadline=None, max_examples=50)
@given(graphs)
def test_everything_lies_within_the_picture(graph):
    root = drawn(tasks_of(graph)).root
    width, height = float(root.get("width")), float(root.get("height"))
    for rect in root.iterfind(f"{SVG}g/{SVG}rect"):
        left, top = float(rect.get("x")), float(rect.get("y"))
        assert left >= 0
        assert top >= 0
        assert left + float(rect.get("width")) <= width
        assert top + float(rect.get("height")) <= height


def test_calls_are_round_and_values_are_boxes():
    number = delayed(5)
    drawing = drawn(inc(number))
    assert {shape.label: shape.is_round for shape in drawing.shapes.values()} == {
        "int": False,
        "inc": True,
    }


def test_operators_items_attributes_and_methods_are_tasks_with_their_names():
    text = delayed("to be")
    assert drawn((text + "!")[0]).labels() == ["add", "getitem", "str"]
    assert drawn(text.upper()).labels() == ["str", "upper"]
    assert drawn(delayed(1).real).labels() == ["getattr", "int"]


def test_tasks_are_named_by_their_function_and_titled_by_their_key():
    x = inc(1, dask_key_name="first")
    drawing = drawn(x, delayed(7, name="seven"))
    assert {key: shape.label for key, shape in drawing.shapes.items()} == {
        "first": "inc",
        "seven": "int",
    }


def test_an_index_in_the_key_tells_equal_names_apart():
    texts = drawn([inc(row, dask_key_name=("row", row, 0)) for row in range(2)]).texts
    assert {"0, 0", "1, 0"} <= set(texts)


def test_what_lazy_values_share_is_drawn_once():
    shared = inc(1)
    drawing = drawn(inc(shared), {"other": [inc(shared)]}, "not lazy")
    assert len(drawing.shapes) == 3
    assert len(drawing.lines()) == 2


@pytest.mark.covers("delayed.Delayed.visualize")
def test_the_method_draws_what_the_function_draws():
    x = join(inc(1), inc(2))
    assert x.visualize(filename=None).svg == visualize(x, filename=None).svg
    assert x.visualize(None, rankdir="LR").svg != x.visualize(None).svg


def test_drawing_runs_nothing():
    ran = []
    delayed(ran.append)(1).visualize(filename=None)
    visualize(delayed(ran.append)(2), filename=None, optimize_graph=True)
    assert ran == []


def test_a_persisted_value_is_one_box():
    drawing = drawn(join(inc(1), inc(2)).persist())
    (shape,) = drawing.shapes.values()
    assert (shape.label, shape.is_round) == ("join", False)


def test_optimize_graph_draws_what_will_run():
    chain = inc(inc(inc(1)))
    with oxidask.config.set({"optimization.fuse.delayed": True}):
        assert len(drawn(chain).shapes) == 3
        assert list(drawn(chain, optimize_graph=True).shapes) == [chain.key]


def test_the_numbers_are_the_order_in_which_tasks_run():
    ran = []

    @delayed
    def note(name, *inputs):
        ran.append(name)

    rows = [
        note(f"b{row}", note(f"a{row}", dask_key_name=f"a{row}"), dask_key_name=f"b{row}")
        for row in range(4)
    ]
    total = note("total", *rows, dask_key_name="total")
    root = drawn(total, color="order").root
    numbers = {}
    for group in root.iter(f"{SVG}g"):
        title = group.find(f"{SVG}title")
        if title is not None:
            (number,) = (
                text.text for text in group.iter(f"{SVG}text") if text.text.startswith("#")
            )
            numbers[title.text] = int(number[1:])
    total.compute(scheduler="sync")
    assert sorted(numbers, key=numbers.__getitem__) == ran


def test_the_caption_counts_tasks_depth_and_width():
    drawing = drawn(join(*(inc(inc(i)) for i in range(5))))
    assert "11 tasks · depth 3 · max width 5" in drawing.texts


def test_more_than_200_tasks_are_groups_with_counts():
    total = delayed(sum)([inc(i) for i in range(300)])
    drawing = drawn(total)
    assert drawing.labels() == ["inc", "sum"]
    assert drawing.texts.count("×300") == 2
    assert len(drawn(total, limit=None).shapes) == 301


@pytest.mark.parametrize("make", [lambda tasks: tasks, lambda tasks: [tasks[-1]]])
def test_a_chain_of_a_hundred_thousand_tasks_can_be_drawn(make):
    tasks = [inc(0)]
    for _ in range(99_999):
        tasks.append(inc(tasks[-1]))
    drawing = drawn(make(tasks))
    assert any("depth 100,000" in text for text in drawing.texts)


def test_the_default_file_is_mydask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = inc(1).visualize()
    assert [path.name for path in tmp_path.iterdir()] == ["mydask.png"]
    assert (tmp_path / "mydask.png").read_bytes() == picture.render("png")


def test_the_file_may_be_a_path(tmp_path):
    picture = inc(1).visualize(tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == picture.svg


def test_nothing_lazy_cannot_be_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for attempt in (
        lambda: visualize(),
        lambda: visualize(1, [2]),
        lambda: visualize([inc(1)], traverse=False),
    ):
        with pytest.raises(ValueError, match="nothing lazy among the arguments"):
            attempt()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"format": "jpeg"}, NotImplementedError, "cannot write jpeg"),
        ({"engine": "cytoscape"}, NotImplementedError, "leave it out"),
        ({"rankdir": "up"}, ValueError, "up"),
        ({"color": "ages"}, NotImplementedError, "use color='order'"),
        ({"colour": "order"}, TypeError, "'colour'"),
    ],
)
def test_what_cannot_be_drawn_says_so(options, error, message):
    with pytest.raises(error, match=message):
        inc(1).visualize(filename=None, **options)


def test_the_configured_engine_counts():
    with (
        oxidask.config.set({"visualization.engine": "cytoscape"}),
        pytest.raises(NotImplementedError, match="cytoscape"),
    ):
        inc(1).visualize(filename=None)


def test_threads_may_draw_at_once():
    x = join(*(inc(i) for i in range(20)))
    expected = x.visualize(filename=None).svg
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(x.visualize(filename=None).svg))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_a_picture_needs_no_other_program_and_loads_nothing(tmp_path):
    script = (
        "import sys\n"
        "from oxidask import delayed\n"
        "delayed(sum)([delayed(abs)(1)]).visualize('graph.svg')\n"
        "print([name for name in ('graphviz', 'numpy', 'pandas') if name in sys.modules])\n"
    )
    keep = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        env={**keep, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, "[]\n"), finished.stderr
    svg = (tmp_path / "graph.svg").read_text(encoding="utf-8")
    assert re.findall(r"(?:href|src|url\(|@import|<script)", svg) == []
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]
