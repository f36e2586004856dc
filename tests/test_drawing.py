"""Pictures of task graphs as Python sees them."""

from __future__ import annotations

import doctest
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

import oxidask.drawing
from oxidask.drawing import TaskNode, draw

SVG = "{http://www.w3.org/2000/svg}"


def call(name, dependencies=(), key=None, order=0, **others):
    return TaskNode(key or f"{name}-1f2e", name, name, "call", dependencies, order, **others)


def data(name, key=None, order=0):
    return TaskNode(key or name, name, name, "data", (), order)


def map_then_mean_and_error(width=64):
    tasks = [call("Sk", key=f"Sk-{k}", order=k) for k in range(width)]
    tasks.append(call("mean", range(width), order=width))
    tasks.append(call("error", range(width), order=width + 1))
    return tasks


def drawn(tasks, **options):
    return ElementTree.fromstring(draw(tasks, filename=None, **options).svg)


def texts(root):
    return [text.text for text in root.iter(f"{SVG}text")]


def titles(root):
    return [title.text for title in root.iterfind(f".//{SVG}g/{SVG}title")]


def test_each_task_has_a_shape_with_its_label_and_key():
    root = drawn(map_then_mean_and_error())
    assert texts(root).count("Sk") == 64
    assert {"mean", "error", "66 tasks · depth 2 · max width 64"} <= set(texts(root))
    assert sorted(titles(root)) == sorted(
        [*(f"Sk-{k}" for k in range(64)), "mean-1f2e", "error-1f2e"]
    )


def test_the_picture_is_an_image_with_a_name_and_a_description():
    root = drawn(map_then_mean_and_error())
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "Task graph: Sk, mean, error"
    assert root.findtext(f"{SVG}desc") == "66 tasks · depth 2 · max width 64"


def test_data_and_calls_differ_in_form():
    root = drawn([data("x"), call("inc", [0])])
    box, pill = (rect.get("rx") for rect in root.iterfind(f".//{SVG}g/{SVG}rect"))
    assert float(box) < 4 < float(pill)


def test_an_empty_graph_is_a_picture():
    assert "0 tasks · depth 0 · max width 0" in texts(drawn([]))


def test_indices_of_keys_tell_tasks_of_equal_names_apart():
    tasks = [call("sum", key=f"('sum-3f', {k}, 0)") for k in range(2)]
    tasks.append(call("mean", [0, 1], key="('mean-77', 0)"))
    found = texts(drawn(tasks))
    assert [text for text in found if text[0].isdigit()] == [
        "0, 0",
        "1, 0",
        "3 tasks · depth 2 · max width 2",
    ]


def test_verbose_writes_whole_keys():
    assert "inc-1f2e" in texts(drawn([call("inc")], verbose=True))


def test_long_labels_are_cut_and_keys_stay_whole():
    name = "a_function_with_a_name_that_never_ends_" * 300
    root = drawn([call(name)])
    label = texts(root)[0]
    assert label.endswith("…")
    assert name.startswith(label[:-1])
    assert titles(root) == [f"{name}-1f2e"]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a&b\"c'd", "größe 平均 😀"])
def test_names_are_text_whatever_they_hold(name):
    root = drawn([call(name)])
    assert texts(root)[0] == name
    assert not list(root.iter(f"{SVG}script"))


def test_control_characters_do_not_break_the_file():
    assert (
        texts(drawn([call("a\0b\x1b")]))[0]
        == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    )


def test_order_is_written_and_coloured():
    root = drawn(map_then_mean_and_error(3), color="order")
    assert {"#0", "#4"} <= set(texts(root))
    fills = [rect.get("fill") for rect in root.iterfind(f".//{SVG}g/{SVG}rect")]
    assert len(set(fills)) == 5


def test_maxval_is_the_place_with_the_lightest_colour():
    def lightest(**options):
        root = drawn(map_then_mean_and_error(3), color="order", **options)
        fills = [rect.get("fill") for rect in root.iterfind(f".//{SVG}g/{SVG}rect")]
        return fills.count("#FDE725")

    assert (lightest(), lightest(maxval=100)) == (1, 0)


def test_a_legend_says_what_colours_mean():
    root = drawn(map_then_mean_and_error(3), color="order", maxval=1200)
    assert {"#0", "#1,200", "order of execution"} <= set(texts(root))
    swatches = [rect.get("fill") for rect in root.iterfind(f"{SVG}rect")][1:]
    assert (swatches[0], swatches[-1]) == ("#440154", "#FDE725")
    assert "order of execution" not in texts(drawn(map_then_mean_and_error(3)))


def test_results_get_boxes_of_their_own_on_request():
    tasks = [data("x"), call("inc", [0])]
    assert len(titles(drawn(tasks))) == 2
    assert len(titles(drawn(tasks, collapse_outputs=False))) == 3


def test_large_graphs_are_drawn_as_groups_with_counts():
    root = drawn(map_then_mean_and_error(1000))
    assert texts(root)[:4] == ["Sk", "×1,000", "mean", "error"]
    assert texts(root).count("×1,000") == 3
    assert any(text.startswith("More than 200 tasks: grouped by prefix.") for text in texts(root))


@pytest.mark.parametrize("limit", [1000, None])
def test_a_higher_limit_draws_every_task(limit):
    assert len(titles(drawn(map_then_mean_and_error(300), limit=limit))) == 302


def test_durations_are_in_the_caption():
    tasks = [call("a", seconds=1.0), call("b", seconds=3.0), call("c", [0, 1], seconds=2.0)]
    assert "T1 6.0 s · T∞ 5.0 s · parallelism 1.2" in " · ".join(texts(drawn(tasks)))


def test_durations_come_by_key_or_by_prefix():
    tasks = [call("a", key="('a', 1)"), call("a", key="('a', 2)"), call("c", [0, 1])]
    durations = {"a": 1.0, ("a", 2): 3.0, "c": 2.0}
    assert "T1 6.0 s · T∞ 5.0 s" in " ".join(texts(drawn(tasks, durations=durations)))
    assert "T1" not in " ".join(texts(drawn(tasks, durations={"a": 1.0})))


def test_attributes_change_borders_fills_labels_and_lines():
    root = drawn(
        [data("x"), call("inc", [0])],
        graph_attr={"rankdir": "LR"},
        node_attr={"color": "red", "penwidth": "3.0", "fillcolor": "#eeeeee"},
        edge_attr={"color": "Blue", "penwidth": 2},
        function_attributes={"inc-1f2e": {"label": "plus one", "fillcolor": "orange"}},
    )
    rects = root.findall(f".//{SVG}g/{SVG}rect")
    assert [rect.get("fill") for rect in rects] == ["#EEEEEE", "#FFA500"]
    assert {(rect.get("stroke"), rect.get("stroke-width")) for rect in rects} == {("#FF0000", "3")}
    assert float(rects[0].get("x")) < float(rects[1].get("x"))
    assert texts(root)[:2] == ["x", "plus one"]
    line, head = root.findall(f".//{SVG}path")
    assert (line.get("stroke"), line.get("stroke-width")) == ("#0000FF", "2")
    assert head.get("fill") == "#0000FF"


def test_a_colour_map_is_a_name_of_matplotlib_or_a_function():
    matplotlib = pytest.importorskip("matplotlib")
    tasks = map_then_mean_and_error(3)
    named = draw(tasks, filename=None, color="order", cmap="autumn").svg
    assert (
        named == draw(tasks, filename=None, color="order", cmap=matplotlib.colormaps["autumn"]).svg
    )
    assert {"#FF0000", "#FFFF00"} <= set(re.findall("#[0-9A-F]{6}", named))
    grey = draw(tasks, filename=None, color="order", cmap=lambda place: (place,) * 3).svg
    assert {"#000000", "#404040", "#BFBFBF"} <= set(re.findall("#[0-9A-F]{6}", grey))


class Graphviz(ModuleType):
    """The part of the package graphviz that is used."""

    class ExecutableNotFound(RuntimeError):
        pass

    class Source:
        is_there = True

        def __init__(self, source):
            self.source = source

        def pipe(self, format):
            if not self.is_there:
                raise Graphviz.ExecutableNotFound
            return f"<svg {format}>{self.source}".encode()


@pytest.fixture
def graphviz(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", Graphviz("graphviz"))


@pytest.mark.usefixtures("graphviz")
def test_graphviz_draws_what_it_is_asked_to_with_any_attribute(tmp_path):
    picture = draw(
        [data("x"), call("inc", [0])],
        filename=tmp_path / "graph.pdf",
        engine="graphviz",
        node_attr={"shape": 'a "star"'},
    )
    written = (tmp_path / "graph.pdf").read_text(encoding="utf-8")
    assert written.startswith("<svg pdf>digraph {")
    assert 'node [shape="a \\"star\\""]' in written
    assert "n0 -> n1" in written
    assert picture._repr_html_() == picture.svg
    with pytest.raises(NotImplementedError, match="writes no html"):
        picture.render("html")


@pytest.mark.usefixtures("graphviz")
def test_graphviz_without_its_program_says_what_to_install(monkeypatch):
    monkeypatch.setattr(Graphviz.Source, "is_there", False)
    with pytest.raises(RuntimeError, match="needs the program `dot`"):
        draw([data("x")], filename=None, engine="graphviz").render("png")


def test_graphviz_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(RuntimeError, match="needs the package graphviz"):
        draw([data("x")], filename=None, engine="graphviz")


@pytest.mark.parametrize(
    ("rankdir", "axis", "sign"), [("TB", "y", 1), ("BT", "y", -1), ("LR", "x", 1), ("RL", "x", -1)]
)
def test_dependents_stand_where_rankdir_says(rankdir, axis, sign):
    root = drawn([data("x"), call("inc", [0])], rankdir=rankdir)
    first, second = (float(rect.get(axis)) for rect in root.iterfind(f".//{SVG}g/{SVG}rect"))
    assert (second - first) * sign > 20


@pytest.mark.parametrize(
    ("filename", "format", "written"),
    [
        ("graph", None, "graph.png"),
        ("graph.svg", None, "graph.svg"),
        ("graph.SVG", None, "graph.SVG"),
        ("graph", "svg", "graph.svg"),
        ("graph.svg", ".SVG", "graph.svg"),
        ("graph.svg", "pdf", "graph.svg.pdf"),
        ("v1.2", "html", "v1.2.html"),
    ],
)
def test_the_suffix_or_the_argument_gives_the_format(tmp_path, filename, format, written):
    picture = draw([data("x")], filename=tmp_path / filename, format=format)
    assert [path.name for path in tmp_path.iterdir()] == [written]
    suffix = written.rpartition(".")[2]
    assert (tmp_path / written).read_bytes() == picture.render(suffix)


def test_the_default_is_a_png_called_oxidask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw([data("x")])
    assert Path("oxidask.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_no_filename_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw([data("x")], filename=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["jpg", "jpeg"])
def test_blurred_formats_say_what_to_do(tmp_path, format):
    picture = draw([data("x")], filename=None)
    for attempt in (
        lambda: draw([data("x")], filename=tmp_path / f"graph.{format}"),
        lambda: draw([data("x")], filename=tmp_path / "graph", format=format),
        lambda: draw([data("x")], filename=None, format=format),
        lambda: picture.save(tmp_path / f"graph.{format}"),
        lambda: picture.render(format),
    ):
        with pytest.raises(NotImplementedError, match=rf"cannot write {format} .*write \.png"):
            attempt()
    assert not list(tmp_path.iterdir())


def test_unknown_formats_list_what_works(tmp_path):
    message = (
        r"'docx' of 'graph\.docx'; end the filename in \.png, \.svg, \.pdf, \.html, \.dot, \.json"
    )
    with pytest.raises(ValueError, match=message):
        draw([data("x")], filename=tmp_path / "graph.docx")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"engine": "cytoscape"}, NotImplementedError, "engine='cytoscape'"),
        ({"engine": "pen"}, ValueError, "engine 'pen' is not known"),
        ({"color": "ages"}, NotImplementedError, "color='ages' cannot be drawn yet"),
        ({"color": "red"}, ValueError, 'color "red" is not known; give None'),
        ({"rankdir": "up"}, ValueError, 'rankdir "up" is not known; give TB, BT, LR or RL'),
        ({"limit": 0}, ValueError, "limit must be 1 or more"),
        ({"maxval": -1}, ValueError, "maxval is a place in the order"),
        ({"node_sizes": {}}, NotImplementedError, "node_sizes= belongs to graphviz"),
        (
            {"node_attr": {"shape": "star"}},
            NotImplementedError,
            "'shape', and only color, fillcolor",
        ),
        ({"graph_attr": {"dpi": 300}}, NotImplementedError, "'dpi', and only rankdir can be drawn"),
        ({"function_attributes": {"x": {"shape": "box"}}}, NotImplementedError, "only label, fill"),
        ({"edge_attr": "red"}, TypeError, "edge_attr= is a dictionary of attributes, not 'red'"),
        ({"edge_attr": {"color": "rot"}}, ValueError, r"edge_attr\['color'\] is no colour: 'rot'"),
        ({"node_attr": {"penwidth": "50"}}, ValueError, "a width from 0 to 10 pixels, not '50'"),
        ({"cmap": "no such map"}, ValueError, "'no such map' is no colour map of matplotlib"),
        ({"colour": "order"}, TypeError, "unknown keyword 'colour'"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_that_says_so(options, error, message):
    with pytest.raises(error, match=message):
        draw([data("x")], filename=None, **options)


def test_tasks_in_a_circle_are_an_error():
    with pytest.raises(
        ValueError, match=r"2 tasks depend on each other in a circle \(1 -> 0\)|\(0 -> 1\)"
    ):
        draw([call("a", [1]), call("b", [0])], filename=None)


def test_a_dependency_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="edge 7 -> 0 names a task that does not exist"):
        draw([call("a", [7])], filename=None)


def test_notebooks_get_the_picture_no_smaller_than_readable():
    picture = draw(map_then_mean_and_error(), filename=None)
    assert picture._repr_svg_() == picture.svg
    html = picture._repr_html_()
    assert html.startswith('<div style="overflow-x:auto"><svg style="max-width:100%;min-width:')
    assert html.endswith("</svg>\n</div>")


def test_the_picture_needs_nothing_from_outside():
    svg = draw(map_then_mean_and_error(), filename=None).svg
    assert svg.count("http") == 1  # the name of the SVG name space
    assert "url(" not in svg
    assert "prefers-color-scheme:dark" in svg


def test_save_adds_the_suffix(tmp_path):
    picture = draw([data("x")], filename=None)
    assert picture.save(tmp_path / "graph") == tmp_path / "graph.png"
    assert picture.save(tmp_path / "graph", "dot") == tmp_path / "graph.dot"


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(oxidask.drawing).failed == 0
