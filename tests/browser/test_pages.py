"""Every page of a run that rests: whole, for everybody to read, with the server's numbers."""

import pytest
from chromium import PAGES, Answers
from gates import Gate, wait_until

from oxidask import delayed
from oxidask.distributed import Client, LocalCluster

pytestmark = pytest.mark.browser

#: Reads a pixel from a copy: of what is often read, the browser keeps a slower canvas.
PIXEL = """(() => {
    const shown = document.querySelector(".stream-box canvas");
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [shown.width, shown.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(shown, 0, 0);
    return [...context.getImageData(%d, %d, 1, 1).data.slice(0, 3)];
})()"""
#: Says that a page has drawn its pictures, of what the server says now.
IS_DRAWN = """
    document.querySelector('.dot.live') !== null
    && document.querySelectorAll('.answer').length > 0
    && !/Waiting for the/.test(document.body.innerText)
    && [...document.querySelectorAll('canvas')].every((canvas) => canvas.hidden || canvas.width > 1)
"""


@delayed
def load(i):
    return bytes(1000 + i)


@delayed
def clean(data):
    return data + data


@delayed
def total(parts):
    return sum(map(len, parts))


def fail(i):
    raise ValueError(f"no number {i}")


def first_stage(gate):
    return gate.pass_through()


def second_stage(gate):
    return gate.pass_through()


@pytest.fixture(scope="module")
def answers():
    """Run a graph of three groups, and four tasks that fail, on two workers."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=30)
        graph = total([clean(load(i)) for i in range(8)])
        future = client.compute(graph, optimize_graph=False)
        future.result()
        failing = client.map(fail, range(4), pure=False)
        for one in failing:
            assert one.exception() is not None
        answers = Answers(cluster.dashboard_link)
        answers.wait_until_done(21)
        yield answers


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_for_everybody(chromium, answers, name, scheme):
    with chromium.open(answers.address(name), scheme=scheme) as page:
        page.until(IS_DRAWN)
        assert page.js("document.documentElement.dataset.theme") == scheme
        assert page.order("axe") == []
        for canvas in page.js(
            "[...document.querySelectorAll('canvas')].filter((canvas) => !canvas.hidden)"
            ".map((canvas) => [canvas.getAttribute('role'), canvas.getAttribute('aria-label')])"
        ):
            assert canvas[0] == "img"
            assert len(canvas[1].split()) > 4
        assert page.js("document.querySelectorAll('.panel').length") > 0
        empty = (
            "[...document.querySelectorAll('.panel')].filter((p) => p.innerText.trim().length < 9)"
        )
        assert page.js(f"({empty}).map((panel) => panel.outerHTML)") == []
        assert page.js("document.documentElement.scrollWidth <= innerWidth")
        assert page.problems() == []


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_reaches_every_control_and_one_sees_where_it_is(chromium, answers, name):
    with chromium.open(answers.address(name)) as page:
        page.until(IS_DRAWN)
        # Tables beside the pictures have controls, too.
        while page.js("document.querySelector('button[aria-expanded=false]') !== null"):
            page.click("button[aria-expanded=false]")
        walk = page.order("walk")
        assert walk["controls"] >= 12
        assert (walk["missed"], walk["hidden"]) == ([], [])
        assert page.problems() == []


def test_digits_lead_to_pages_and_back_leads_back(chromium, answers):
    with chromium.open(answers.address("status")) as page:
        page.until(IS_DRAWN)
        for digit, name in enumerate(PAGES, start=1):
            page.press(str(digit))
            page.until(f"location.pathname === '/{name}'")
            page.until(IS_DRAWN)
        page.js("history.back()")
        page.until("location.pathname === '/errors'")
        assert "token" not in page.js("location.href")
        assert page.problems() == []


@pytest.mark.parametrize("size", [(1400, 900), (800, 600)])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(chromium, answers, name, size):
    width, height = size
    with chromium.open(answers.address(name), width=width, height=height) as page:
        page.until(IS_DRAWN)
        assert page.js("document.documentElement.scrollWidth <= innerWidth")
        assert page.problems() == []


# ---- Texts say what the server says ----


def test_the_first_sentence_is_the_verdict(chromium, answers):
    verdict = answers("overview")["verdict"]
    with chromium.open(answers.address("status")) as page:
        page.until(IS_DRAWN)
        assert page.text("h1.answer").replace("\xa0", " ") == verdict["sentence"]
        assert page.text(".verdict-chip") == verdict["verdict"]
        for advice in verdict["advice"][:3]:
            assert advice in page.text(".advice")


def test_the_table_of_progress_has_the_numbers_of_the_groups(chromium, answers):
    groups = answers("groups?limit=100&offset=0&sort=first")["groups"]
    with chromium.open(answers.address("progress")) as page:
        page.until(IS_DRAWN)
        head, *rows = page.table()
        seen = [
            {name.split()[0]: cell for name, cell in zip(head, row, strict=True)} for row in rows
        ]
    assert [row["group"] for row in seen] == [group["name"] for group in groups]
    for row, group in zip(seen, groups, strict=True):
        assert row["done"] == f"{group['finished']} / {group['tasks']}"
        assert row["failed"].removeprefix("✕ ") == str(group["erred"])
    assert {row["group"]: row["failed"] for row in seen}["fail"] == "✕ 4"


def test_the_table_beside_the_graph_has_its_boxes(chromium, answers):
    graph = answers("graph")
    with chromium.open(answers.address("graph")) as page:
        page.until(IS_DRAWN)
        page.click("button[aria-expanded]")
        _, *rows = page.table(".twin table")
        shown = page.js("[...document.querySelectorAll('.box title')].map((it) => it.textContent)")
    expected = [
        (node["title"], f"{node['finished']} / {node['tasks']}", str(node["erred"]))
        for node in graph["nodes"]
    ]
    assert [(row[0], row[2], row[3]) for row in rows] == expected
    assert {name for name, _, _ in expected} == {"load", "clean", "total", "fail"}
    assert [text.partition(":")[0] for text in shown] == [name for name, _, _ in expected]


def test_a_click_opens_a_group_and_each_task_says_what_it_is(chromium, answers):
    with chromium.open(answers.address("graph")) as page:
        page.until(IS_DRAWN)
        titles = "[...document.querySelectorAll('.box title')].map((it) => it.textContent)"
        (group,) = [title for title in page.js(titles) if title.startswith("clean")]
        assert group.startswith("clean: 8 of 8 done, ")
        page.click('.box:has-text("clean")')
        page.until("location.search.includes('expand=')")
        page.until("document.querySelectorAll('.box').length === 12")
        tasks = [title for title in page.js(titles) if title.startswith("clean, task ")]
        assert len(set(tasks)) == 8
        assert all(": memory, " in title and "s, " in title for title in tasks)
        page.press("Escape")
        page.press("Escape")
        page.until("document.querySelectorAll('.box').length === 4")
        # The keyboard does the same.
        page.js("document.querySelector('.box').focus()")
        page.press("Enter")
        page.until("location.search.includes('expand=')")
        assert page.problems() == []


def test_the_table_beside_the_stream_has_its_threads(chromium, answers):
    window = answers("verdict")["window"]
    stream = answers(f"stream?t0={window[0]}&t1={window[1]}&px=1000&rows=50&offset=0&sort=worker")
    with chromium.open(answers.address("stream")) as page:
        page.until(IS_DRAWN)
        page.click(".stream button[aria-expanded]")
        _, *rows = page.table(".twin table")
    assert [row[:2] for row in rows] == [
        [row["name"], str(row["thread"])] for row in stream["rows"]
    ]
    assert any(row[4] == "✕ yes" for row in rows)


def test_the_tables_of_workers_and_errors_say_what_the_server_says(chromium, answers):
    workers = answers("workers?limit=10&offset=0")["workers"]
    errors = answers("errors?limit=10")["errors"]
    with chromium.open(answers.address("workers")) as page:
        page.until(IS_DRAWN)
        _, *rows = page.table()
        rows = [row for row in rows if len(row) > 5]
        assert [(row[0], row[2], row[5]) for row in rows] == [
            (worker["name"], str(worker["pid"]), str(worker["ended"])) for worker in workers
        ]
        page.order("goto", url=answers.address("errors"))
        page.until(IS_DRAWN)
        said = page.text("main")
        assert page.text("h1").startswith("4 tasks have failed")
        for error in errors:
            assert error["exception"] in said
        assert errors[0]["traceback"].strip() in page.js(
            "document.querySelector('pre').textContent"
        )


# ---- What hands do ----


def test_a_window_that_is_drawn_with_shift_is_the_window_of_the_page(chromium, answers):
    with chromium.open(answers.address("stream")) as page:
        page.until(IS_DRAWN)
        box = page.js(
            "(({x, y, width}) => [x, y, width])"
            "(document.querySelector('.stream-box canvas').getBoundingClientRect())"
        )
        start, end = answers("verdict")["window"]
        places = [box[0] + 124 + (box[2] - 124) * share for share in (0.25, 0.75)]
        page.order(
            "mouse",
            moves=[
                ["move", places[0], box[1] + 10],
                ["key", "down", "Shift"],
                ["down"],
                ["move", places[1], box[1] + 10],
            ],
        )
        page.until("document.querySelector('.selection') !== null")
        page.order("mouse", moves=[["up"], ["key", "up", "Shift"]])
        page.until_says("In this window", "h1")
        window = page.js("['t0', 't1'].map((n) => +new URL(location).searchParams.get(n))")
        assert window[0] == pytest.approx(start + 0.25 * (end - start), abs=0.02 * (end - start))
        assert window[1] == pytest.approx(start + 0.75 * (end - start), abs=0.02 * (end - start))
        # It goes along to other pages, and back shows all again.
        page.press("1")
        page.until("location.pathname === '/status' && location.search.includes('t0=')")
        page.js("history.back()")
        page.js("history.back()")
        page.until("!location.search.includes('t0=')")
        assert page.problems() == []


def test_e_leads_to_the_errors_and_from_one_to_the_next(chromium, answers):
    with chromium.open(answers.address("status")) as page:
        page.until(IS_DRAWN)
        page.press("e")
        page.until("location.pathname === '/errors'")
        page.until(IS_DRAWN)
        for number in (1, 2):
            page.press("e")
            page.until(
                "[...document.querySelectorAll('details.error')]"
                f"[{number - 1}].contains(document.activeElement)"
            )
            assert page.js("document.querySelectorAll('details.error[open]').length") == number
        assert page.problems() == []


# ---- The picture shows what was ----


def test_a_task_has_the_colour_of_its_group_where_it_ran(chromium, answers, tmp_path):
    palette = [(0x00, 0x89, 0xF0), (0xFF, 0x7A, 0x3A), (0x17, 0x85, 0x99), (0xFF, 0xBC, 0x00)]
    gates = [Gate(tmp_path / name) for name in ("one", "two")]
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=30)
        answers = Answers(cluster.dashboard_link)
        for stage, gate in zip((first_stage, second_stage), gates, strict=True):
            future = client.submit(stage, gate)
            gate.wait_for_somebody()
            began = answers("overview")["now"]

            # A span that is far longer than all that surrounds it.
            def is_long(began=began):
                return answers("overview")["now"] > began + 0.2

            wait_until(is_long, "the task has run for a while")
            gate.open()
            future.result()
        answers.wait_until_done(2)
        spans = answers("stream?t0=0&t1=1000&px=1000&rows=10&offset=0&sort=worker")
        assert spans["mode"] == "spans"
        first = min(start for _, start, *_ in spans_of(spans))
        last = max(start + duration for _, start, duration, *_ in spans_of(spans))
        window = (max(0.0, first - 0.1), last + 0.1)
        address = answers.address("stream", f"t0={window[0]}&t1={window[1]}")
        with chromium.open(address) as page:
            page.until(IS_DRAWN)
            drawn = page.js(
                "(({width, height}) => [width, height])"
                "(document.querySelector('.stream-box canvas'))"
            )
            rows = len(spans["rows"])
            row_height = (drawn[1] - 36) / rows

            def colour(seconds, row):
                share = (seconds - window[0]) / (window[1] - window[0])
                x = round(124 + (drawn[0] - 124) * share)
                y = round((row + 0.5) * row_height)
                return tuple(page.js(PIXEL % (x, y)))

            seen = set()
            for row, start, duration, group, kind in spans_of(spans):
                if kind != 0:
                    continue
                name = spans["groups"][str(group)]["name"]
                seen.add(name)
                expected = palette[spans["groups"][str(group)]["color"]]
                middle = start + duration / 2
                assert colour(middle, row) == expected, name
                for other in range(rows):
                    if other != row:
                        assert colour(middle, other) == (0xEC, 0xEE, 0xF1), name
            assert seen == {"first_stage", "second_stage"}
            verdict = answers(f"verdict?t0={window[0]:.6f}&t1={window[1]:.6f}")["sentence"]
            said = page.text("h1.answer").replace("\xa0", " ")
            assert said == f"In this window: {verdict}"
            # One group alone: the other stands back.
            page.click(".legend .chip")
            page.until("location.search.includes('group=')")
            page.press("g")
            page.until("!location.search.includes('group=')")
            row, start, duration, *_ = next(it for it in spans_of(spans) if it[4] == 0)
            share = (start + duration / 2 - window[0]) / (window[1] - window[0])
            left, top, wide = page.js(
                "(({x, y, width}) => [x, y, width])"
                "(document.querySelector('.stream-box canvas').getBoundingClientRect())"
            )
            over = [left + 124 + (wide - 124) * share, top + (row + 0.5) * row_height]
            page.order("mouse", moves=[["move", *over]])
            page.until("document.querySelector('.tip') !== null")
            page.press("g")
            page.until("location.search.includes('group=')")
            faded = [
                colour(start + duration / 2, row) != palette[spans["groups"][str(group)]["color"]]
                for row, start, duration, group, kind in spans_of(spans)
                if kind == 0
            ]
            assert sorted(faded) == [False, True]
            assert page.problems() == []


def spans_of(stream):
    """Return the spans of an answer: row, start, duration, group and kind of each."""
    names = ("row", "start", "duration", "group", "kind")
    return list(zip(*(stream["spans"][name] for name in names), strict=True))
