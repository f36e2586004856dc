"""The command ``oxidask``: views of runs, live and from files, and their schemas."""

import json
import os
import re
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from oxidask import _command, _core
from oxidask._command import _text
from oxidask.distributed import Client, LocalCluster

SCHEMAS = Path(__file__).resolve().parents[1] / "docs" / "reference" / "observe-schemas"
NAME = "é🦀<script>alert(1)</script>|`*\x1b[31m" + "x" * 200


def inc(i):
    return i + 1


def fail(i):
    raise ValueError(f"no {i}\x1b[2J")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give the clusters of this module a folder of their own."""
    folder = tmp_path_factory.mktemp("ox")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def path(folder):
    return folder / "a run.oxrun"


@pytest.fixture(scope="module")
def cluster(folder, path):
    """Start a cluster that has all there is to see."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, record=path) as cluster,
        Client(cluster) as client,
    ):
        futures = client.map(inc, range(200))
        named = client.map(inc, range(1000, 1003), key=NAME)
        assert client.submit(sum, futures).result() == sum(range(1, 201))
        client.gather(named)
        assert client.submit(fail, 1).exception() is not None
        cluster.kept = futures, named
        yield cluster
        del cluster.kept


@pytest.fixture(scope="module")
def finished(folder):
    """Give the file of a run that has ended, and all that its cluster answered at the end."""
    path = folder / "finished.oxrun"
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, record=path) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(inc, range(200)))
        assert client.submit(fail, 1).exception() is not None
        page = cluster._page
    return path, page


def run(capsys, *words):
    """Return the exit status, and what was printed."""
    status = _command.main([str(word) for word in words])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def columns(line):
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in line)


# ---- Views ----


@pytest.mark.parametrize("view", _command.VIEWS)
def test_each_view_is_text_of_a_hundred_columns(capsys, cluster, finished, view):
    for source in (cluster.dashboard_link, finished[0]):
        status, out, err = run(capsys, "observe", source, view)
        assert (status, err) == (0, "")
        assert out.splitlines()[0]
        text = [line for line in out.splitlines() if not line.startswith("next: ")]
        assert max(map(columns, text)) <= 100
        assert "\x1b" not in out
        assert out.count("next: ") in (1, 2, 3)


@pytest.mark.parametrize("view", _command.VIEWS)
def test_the_next_commands_run(capsys, cluster, finished, view):
    for source in ([], [str(finished[0])]):
        _, out, _ = run(capsys, "observe", *source, view)
        commands = re.findall(r"^next: (.*)$", out, re.MULTILINE)
        assert commands
        for command in commands:
            name, *words = shlex.split(command)
            assert name == "oxidask"
            if "serve" in words:
                continue
            status, _, err = run(capsys, *words)
            assert (status, err) == (0, ""), command


@pytest.mark.parametrize("view", _command.VIEWS)
def test_each_view_is_markdown(capsys, cluster, view):
    status, out, _ = run(capsys, "observe", cluster.dashboard_link, view, "--md")
    assert status == 0
    assert out.startswith("**")
    assert "<script" not in out.replace("\\<script", "")
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    for row in rows:
        assert row.endswith(" |")


def test_the_command_is_installed(cluster, finished):
    script = Path(sys.executable).with_name("oxidask")
    for command in ([script], [sys.executable, "-m", "oxidask"]):
        finished_command = subprocess.run(
            [*command, "observe", finished[0], "progress", "--json"],
            capture_output=True,
            text=True,
            check=True,
        )
        told = json.loads(finished_command.stdout)
        assert {group["name"] for group in told["groups"]} == {"inc", "fail"}


def test_errors_have_their_traceback_and_do_nothing_to_the_terminal(capsys, finished):
    _, out, _ = run(capsys, "observe", finished[0], "errors")
    assert "ValueError: no 1\\x1b[2J" in out
    assert "Tasks raised 1 time." in out


def test_a_limit_is_kept(capsys, cluster):
    _, out, _ = run(capsys, "observe", cluster.dashboard_link, "progress", "--json", "--limit", 1)
    told = json.loads(out)
    assert len(told["groups"]) == 1
    assert told["total"] > 1


def test_a_window_is_the_end_of_the_run(capsys, cluster):
    link = cluster.dashboard_link
    _, out, _ = run(capsys, "observe", link, "verdict", "--json", "--window", "100ms")
    begin, end = json.loads(out)["window"]
    assert end - begin == pytest.approx(0.1)


def test_a_condition_makes_an_exit_status(capsys, finished):
    _, out, _ = run(capsys, "observe", finished[0], "verdict", "--json")
    limit = json.loads(out)["verdict"]
    other = "gil-bound" if limit != "gil-bound" else "disk-bound"
    assert run(capsys, "observe", finished[0], "verdict", "--fail-on", limit)[0] == 3
    assert run(capsys, "observe", finished[0], "verdict", "--fail-on", other)[0] == 0


# ---- Sources ----


def test_a_cluster_has_several_names(capsys, cluster):
    link = cluster.dashboard_link
    place = link.removeprefix("http://").partition("/")[0]
    socket = cluster.scheduler_address.removeprefix("unix://")
    names = [[link], [place], [cluster.scheduler_address], [socket], []]
    for name in names:
        status, out, _ = run(capsys, "observe", *name, "overview", "--json")
        assert status == 0
        assert json.loads(out)["workers"] == 2


def test_the_newest_cluster_is_meant(capsys, cluster):
    with LocalCluster(n_workers=1, threads_per_worker=1) as newer:
        _, out, _ = run(capsys, "observe", "workers", "--json")
        assert len(json.loads(out)["workers"]) == 1
        assert newer.dashboard_link != cluster.dashboard_link
    _, out, _ = run(capsys, "observe", "workers", "--json")
    assert len(json.loads(out)["workers"]) == 2


def test_what_cannot_be_asked_is_told(capsys, monkeypatch, tmp_path, cluster):
    link = cluster.dashboard_link
    text = tmp_path / "text"
    text.write_text("not a run")
    wrong = [
        (link[:-1], "the token is not that of this cluster"),
        (link.partition("?")[0], "the token is missing"),
        ("http://127.0.0.1:9/status?token=x", "refused"),
        ("127.0.0.1:9", "no cluster of worker processes of yours"),
        ("unix:///nowhere/scheduler.sock", "has ended"),
        (tmp_path / "none.oxrun", "No such file"),
        (text, "it is no run file"),
    ]
    for source, problem in wrong:
        status, out, err = run(capsys, "observe", source, "overview")
        assert (status, out) == (2, "")
        assert problem in err
        assert "Traceback" not in err
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    status, _, err = run(capsys, "observe", "overview")
    assert status == 2
    assert "no cluster of worker processes running" in err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["observe"],
        ["observe", "nothing"],
        ["observe", "a", "b", "overview"],
        ["observe", "serve"],
        ["observe", "overview", "--window", "30s"],
        ["observe", "verdict", "--window", "soon"],
        ["observe", "verdict", "--fail-on", "me"],
        ["observe", "workers", "--fail-on", "gil-bound"],
        ["observe", "workers", "--limit", "0"],
        ["observe", "workers", "--json", "--md"],
        ["why"],
    ],
)
def test_wrong_usage_has_a_status_of_its_own(capsys, words):
    status, out, err = run(capsys, *words)
    assert (status, out) == (1, "")
    assert "usage: oxidask" in err


def test_help_is_no_error(capsys):
    status, out, _ = run(capsys, "observe", "--help")
    assert status == 0
    for view in _command.VIEWS:
        assert f"\n  {view} " in out


def test_who_reads_no_more_is_no_error(finished):
    command = f"{shlex.quote(sys.executable)} -m oxidask observe {shlex.quote(str(finished[0]))}"
    shown = subprocess.run(
        ["bash", "-c", f"{command} progress | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.parametrize("form", ["--json", "--md", None])
def test_any_terminal_can_show_it(cluster, form):
    command = [sys.executable, "-m", "oxidask", "observe", cluster.dashboard_link, "progress"]
    shown = subprocess.run(
        [*command, *filter(None, [form])],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert shown.stderr == b""
    if form == "--json":
        names = [group["name"] for group in json.loads(shown.stdout.decode())["groups"]]
        assert any("🦀" in name for name in names)
    else:
        assert b"U0001f980" in shown.stdout


def test_the_page_of_a_file_can_be_opened(finished):
    import signal
    import urllib.request

    command = [sys.executable, "-m", "oxidask", "observe", "serve", finished[0]]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as serving:
        link = serving.stdout.readline().strip()
        with urllib.request.urlopen(link, timeout=10) as page:
            assert "./assets/app.js" in page.read().decode()
        shown = subprocess.run(
            [sys.executable, "-m", "oxidask", "observe", link, "overview", "--json"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(shown.stdout)["source"] == "file"
        os.kill(serving.pid, signal.SIGINT)
        assert serving.wait(timeout=30) == 0


def test_it_says_why_a_task_is_not_done(capsys, cluster):
    with Client(cluster) as client:
        standing = client.submit(inc, 1, key="standing 1", resources={"GPU": 1})
        waiting = client.submit(inc, standing)
        name = cluster.dashboard_link.removeprefix("http://").partition("/")[0]
        for source in ([], [cluster.dashboard_link], [name], [cluster.scheduler_address]):
            status, out, err = run(capsys, "why", "standing 1", *source)
            assert (status, err) == (0, "")
            assert "'standing 1' can run, but no worker can run it" in out
        _, out, _ = run(capsys, "why", waiting.key)
        assert f"{waiting.key!r} waits for 1 of its 1 inputs" in out
        assert "no worker can run it" in out
        for done in (cluster.kept[0][7].key, cluster.kept[1][2].key):
            _, out, _ = run(capsys, "why", done)
            assert out == f"{done!r} is done: finished.\n"
        for unknown in ("standing 2", "inc-" + "0" * 32, "inc-", ""):
            _, out, _ = run(capsys, "why", unknown)
            assert f"{unknown!r} is not known to the cluster" in out


def test_a_cluster_that_is_gone_cannot_say_why(capsys, finished):
    for source in (finished[0], "unix:///nowhere/scheduler.sock"):
        status, out, err = run(capsys, "why", "x", source)
        assert (status, out) == (2, "")
        assert err


# ---- Answers and their schemas ----


def schema_of(name):
    return json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))


def check(name, text):
    """Check that an answer is as its schema says, and has nothing that the schema does not name."""
    import jsonschema

    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    told = json.loads(text)
    jsonschema.validate(told, schema, cls=jsonschema.Draft202012Validator)
    assert_described(told, schema, name)


def assert_described(told, schema, place):
    if isinstance(told, list):
        for one in told:
            assert_described(one, schema.get("items", {}), place)
    elif isinstance(told, dict):
        for choice in schema.get("oneOf", ()):
            if "properties" in choice:
                schema = choice
        others = schema.get("additionalProperties", {})
        if "properties" in schema:
            assert set(told) <= set(schema["properties"]), place
        for name, one in told.items():
            assert_described(one, schema.get("properties", {}).get(name, others), f"{place}.{name}")


QUESTIONS = [
    *((path.stem, "") for path in sorted(SCHEMAS.glob("*.json"))),
    *(("graph", "expand=0"), ("stream", "t0=0&px=10"), ("series", "names=cpu,busy&t0=0")),
    *(("verdict", "t0=0&t1=1"), ("groups", "sort=name&limit=2&offset=1")),
]


def test_each_view_has_a_schema():
    assert set(_command.VIEWS.values()) <= {path.stem for path in SCHEMAS.glob("*.json")}
    assert set(_command.VIEWS) == set(_text.BLOCKS)


@pytest.mark.parametrize(("name", "query"), QUESTIONS)
def test_answers_are_as_their_schemas_say(cluster, finished, name, query):
    path, page = finished
    check(name, cluster._page.answer(name, query))
    check(name, page.answer(name, query))
    check(name, _core.RunFile(path).answer(name, query))


def test_many_spans_are_tiles_as_the_schema_says(folder, capsys):
    path = folder / "many.oxrun"
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, record=path
        ) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(inc, range(25_000)))
    text = _core.RunFile(path).answer("stream", "px=100")
    assert json.loads(text)["mode"] == "tiles"
    check("stream", text)
    status, out, _ = run(capsys, "observe", path, "stream")
    assert status == 0
    assert "inc" in out


@pytest.mark.parametrize(("name", "query"), QUESTIONS)
def test_a_file_tells_the_same_as_its_cluster_did(finished, name, query):
    path, page = finished

    def without_source(value):
        if isinstance(value, dict):
            differs = {"source", "version"} | ({"state"} if "source" in value else set())
            return {key: without_source(one) for key, one in value.items() if key not in differs}
        return [without_source(one) for one in value] if isinstance(value, list) else value

    live = json.loads(page.answer(name, query))
    replay = json.loads(_core.RunFile(path).answer(name, query))
    assert without_source(live) == without_source(replay)


def test_json_is_what_the_page_answers(capsys, cluster, finished):
    path, _ = finished
    for view, name in _command.VIEWS.items():
        query = f"px={_text.STRIP}" if view == "stream" else ""
        _, out, _ = run(capsys, "observe", path, view, "--json")
        assert out == _core.RunFile(path).answer(name, query) + "\n"
        _, out, _ = run(capsys, "observe", cluster.dashboard_link, view, "--json")
        check(name, out)
