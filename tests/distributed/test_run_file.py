"""Run files: written while a cluster runs, and read again."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import urllib.request

import pytest
from gates import wait_until

from oxidask import _core, config
from oxidask.distributed import Client, LocalCluster
from oxidask.distributed.deploy import _page

#: Questions, with the part of the address behind the question mark.
QUESTIONS = [
    *(("overview", ""), ("verdict", ""), ("verdict", "t0=0&t1=0.5"), ("groups", "")),
    *(("groups", "sort=time&limit=1"), ("workers", ""), ("stream", ""), ("series", "")),
    *(("stream", "t0=0&px=100"), ("headroom", ""), ("marks", ""), ("errors", ""), ("about", "")),
    *(("graph", ""), ("graph", "expand=0")),
]


def inc(i):
    return i + 1


def fail(i):
    raise ValueError(i)


def work(client):
    """Run what has all there is: many tasks, several groups, an error."""
    futures = client.map(inc, range(300))
    total = client.submit(sum, futures)
    assert total.result() == sum(range(1, 301))
    assert client.submit(fail, 1).exception() is not None


def without_source(text):
    """Return an answer without what differs between a cluster and its file."""

    def of(value):
        if isinstance(value, dict):
            differs = ("source", "state", "version")
            return {
                name: of(one)
                for name, one in value.items()
                if name not in differs or not isinstance(one, (str, int))
            }
        return [of(one) for one in value] if isinstance(value, list) else value

    return of(json.loads(text))


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("address", [":0", None])
def test_a_file_answers_as_the_cluster_did(tmp_path, processes, address):
    path = tmp_path / "run.oxrun"
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=processes,
            dashboard_address=address,
            record=path,
        ) as cluster,
        Client(cluster) as client,
    ):
        assert bool(cluster.dashboard_link) == (address is not None)
        work(client)
        page = cluster._page
    run = _core.RunFile(path)
    for name, query in QUESTIONS:
        live, replay = page.answer(name, query), run.answer(name, query)
        assert (live is None) == (replay is None), name
        if live is not None:
            assert without_source(live) == without_source(replay), name
    overview = json.loads(run.answer("overview", ""))
    assert (overview["source"], overview["state"]) == ("file", "replay")
    assert overview["tasks"]["finished"] == 301
    errors = json.loads(run.answer("errors", ""))
    assert errors["total"] == 1
    assert errors["errors"][0]["name"] == "fail"
    assert run.answer("nothing", "") is None


def test_a_folder_gets_a_file_for_each_run(tmp_path):
    for _ in range(2):
        with LocalCluster(n_workers=1, processes=False, dashboard_address=None, record=tmp_path):
            pass
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    for file in files:
        assert file.suffix == ".oxrun"
        assert json.loads(_core.RunFile(file).answer("overview", ""))["tasks"]["total"] == 0


def test_the_setting_names_a_file_and_an_argument_goes_before_it(tmp_path):
    with config.set({"distributed.observer.record": str(tmp_path)}):
        with LocalCluster(n_workers=1, processes=False, dashboard_address=None, record=False):
            pass
        assert list(tmp_path.iterdir()) == []
        with LocalCluster(n_workers=1, processes=False, dashboard_address=None):
            pass
    assert len(list(tmp_path.iterdir())) == 1


def test_an_older_run_makes_room_and_nothing_else_does(tmp_path):
    path = tmp_path / "run.oxrun"
    path.write_text("my thesis")
    with pytest.raises(OSError, match=r"run\.oxrun: there is a file that is no run file"):
        LocalCluster(n_workers=1, processes=False, dashboard_address=None, record=path)
    assert path.read_text() == "my thesis"
    path.unlink()
    for _ in range(2):
        with LocalCluster(n_workers=1, processes=False, dashboard_address=None, record=path):
            with pytest.raises(OSError, match="another cluster records into it"):
                LocalCluster(n_workers=1, processes=False, dashboard_address=None, record=path)
            with (
                config.set({"distributed.observer.record": str(path)}),
                pytest.warns(RuntimeWarning, match="the run is not recorded"),
                LocalCluster(n_workers=1, processes=False, dashboard_address=None),
            ):
                pass
    assert _core.RunFile(path).answer("overview", "")
    with pytest.raises(TypeError, match="record=3"):
        LocalCluster(n_workers=1, processes=False, record=3)
    with pytest.raises(OSError, match="No such file"):
        LocalCluster(n_workers=1, processes=False, record=tmp_path / "none" / "run.oxrun")


def test_what_is_no_run_file_is_refused(tmp_path):
    path = tmp_path / "run.oxrun"
    with pytest.raises(FileNotFoundError):
        _core.RunFile(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="it is no run file"):
        _core.RunFile(path)
    path.write_bytes(b"OXRUN\r\n\0" + (99).to_bytes(4, "little"))
    with pytest.raises(ValueError, match="version 99"):
        _core.RunFile(path)


KILLED = """
    import sys
    from oxidask.distributed import Client, LocalCluster
    if __name__ == "__main__":
        path = sys.argv[1]
        cluster = LocalCluster(n_workers=1, processes=False, dashboard_address=None, record=path)
        client = Client(cluster)
        client.gather(client.map(abs, range(50)))
        print("ready", flush=True)
        sys.stdin.read()
"""


def test_a_program_that_is_killed_leaves_its_run(tmp_path):
    path = tmp_path / "run.oxrun"
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout.readline() == "ready\n"

        def is_written():
            overview = json.loads(_core.RunFile(path).answer("overview", ""))
            return overview["tasks"]["finished"] == 50

        # It can be read while it is written, too.
        wait_until(is_written, "all is in the file")
        os.kill(program.pid, signal.SIGKILL)
    run = _core.RunFile(path)
    marks = json.loads(run.answer("marks", ""))["marks"]
    assert marks[0]["kind"] == "file-torn"
    assert "before the run did" in marks[0]["text"]
    assert json.loads(run.answer("groups", ""))["groups"][0]["finished"] == 50


FULL_DISK = """
    import json, resource, sys, time
    from oxidask.distributed import Client, LocalCluster
    if __name__ == "__main__":
        with (
            LocalCluster(
                n_workers=1, processes=False, dashboard_address=None, record=sys.argv[1]
            ) as cluster,
            Client(cluster) as client,
        ):
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
            begin = time.monotonic()
            kinds = []
            while "recording-stopped" not in kinds and time.monotonic() < begin + 60:
                client.gather(client.map(abs, range(500), pure=False))
                marks = json.loads(cluster._page.answer("marks", ""))["marks"]
                kinds = [mark["kind"] for mark in marks]
            assert client.submit(abs, -1).result() == 1
        print(marks[0]["text"])
"""


def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path):
    path = tmp_path / "run.oxrun"
    program = [sys.executable, "-W", "error", "-c", textwrap.dedent(FULL_DISK), path]
    finished = subprocess.run(program, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "the run is not recorded any more: File too large" in finished.stdout
    # What was written before is whole.
    marks = json.loads(_core.RunFile(path).answer("marks", ""))["marks"]
    assert "before the run did" in marks[0]["text"]


def test_a_file_that_is_full_has_no_more_spans(tmp_path):
    path = tmp_path / "run.oxrun"
    with (
        config.set({"distributed.observer.record-limit": "1 kB"}),
        LocalCluster(n_workers=1, processes=False, dashboard_address=None, record=path) as cluster,
        Client(cluster) as client,
    ):

        def is_full():
            client.gather(client.map(inc, range(500), pure=False))
            return path.stat().st_size > 1000

        wait_until(is_full, "the file is full")
        client.gather(client.map(inc, range(500), pure=False))
    overview = json.loads(_core.RunFile(path).answer("overview", ""))
    assert overview["dropped"] >= 500
    assert overview["tasks"]["finished"] == overview["tasks"]["total"]
    assert "file-full" in [mark["kind"] for mark in overview["marks"]]


def test_the_page_of_a_file_is_served(tmp_path):
    path = tmp_path / "run.oxrun"
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None, record=path) as cluster,
        Client(cluster) as client,
    ):
        work(client)
    page = _page.replay(path, 0)
    try:
        link = page.link

        def get(address):
            return urllib.request.urlopen(address, timeout=10)

        with get(link) as answer:
            assert "./assets/app.js" in answer.read().decode()
        base, _, token = link.partition("/status")
        with get(f"{base}/api/v1/overview{token}") as answer:
            overview = json.load(answer)
        assert overview["source"] == "file"
        with get(f"{base}/api/v1/overview{token}&since={overview['version']}") as answer:
            assert answer.status == 204
    finally:
        page.close()
