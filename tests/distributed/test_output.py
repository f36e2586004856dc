"""What tasks print and log comes out where their client is."""

import asyncio
import io
import logging
import os
import subprocess
import sys
import textwrap
import time
import warnings

import pytest
from gates import wait_until

import oxidask.distributed
from oxidask import config
from oxidask.distributed import Client, LocalCluster


def say(*words):
    print(*words)
    return len(words)


def lines_of(text):
    return text.splitlines()


@pytest.fixture
def whole_lines(mode):
    """Let lines of threads be whole: `print` writes pieces, and so does what captures them here."""
    if mode == "threads" and not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("without a GIL, threads of one process mix the pieces that print writes")


def test_what_a_task_prints_is_there_once_its_result_is(client, capsys):
    for number in range(20):
        client.submit(say, "number", number).result()
        assert capsys.readouterr().out == f"number {number}\n"


@pytest.mark.usefixtures("whole_lines")
@pytest.mark.parametrize("wait", ["gather", "wait", "as_completed", "compute"])
def test_all_that_wait_for_results_show_output_first(client, capsys, wait):
    def ask(futures):
        if wait == "gather":
            client.gather(futures)
        elif wait == "wait":
            oxidask.distributed.wait(futures)
        elif wait == "as_completed":
            list(oxidask.distributed.as_completed(futures))
        else:
            oxidask.compute(*[oxidask.delayed(say)(wait, n) for n in range(8)])

    ask(client.map(say, [wait] * 8, range(8)) if wait != "compute" else [])
    assert sorted(lines_of(capsys.readouterr().out)) == [f"{wait} {n}" for n in range(8)]


def test_await_shows_output_first(client, capsys):
    async def ask():
        await client.submit(say, "awaited")
        return capsys.readouterr().out

    assert asyncio.run(ask()) == "awaited\n"


@pytest.mark.usefixtures("whole_lines")
def test_lines_of_a_task_come_in_order_and_whole(client, capsys):
    def count(name):
        for number in range(50):
            print(name, number, sep="", end=" ")
            print("of", "fifty")
        return name

    client.gather(client.map(count, ["a", "b", "c", "d"]))
    lines = lines_of(capsys.readouterr().out)
    for name in "abcd":
        of_one = [line for line in lines if line.startswith(name)]
        assert of_one == [f"{name}{number} of fifty" for number in range(50)]


class Pieces(io.TextIOBase):
    """A stream that threads may read and write at once."""

    def __init__(self):
        self.pieces = []

    def write(self, text):
        self.pieces.append(text)
        return len(text)

    def text(self):
        return "".join(self.pieces)


def test_output_that_takes_long_to_show_is_there_with_the_result(client, monkeypatch):
    class Slow(Pieces):
        def write(self, text):
            time.sleep(0.01)
            return super().write(text)

    def speak():
        for number in range(100):
            print("line", number)

    stream = Slow()
    monkeypatch.setattr(sys, "stdout", stream)
    client.submit(speak, pure=False).result()
    assert lines_of(stream.text()) == [f"line {number}" for number in range(100)]


def test_output_is_shown_while_the_task_runs(client, monkeypatch, gate):
    def speak_and_wait():
        print("begun")
        print("half", end="", flush=True)
        gate.pass_through()
        print(" done")

    shown = Pieces()
    monkeypatch.setattr(sys, "stdout", shown)
    future = client.submit(speak_and_wait)
    wait_until(lambda: shown.text() == "begun\nhalf", "output of a task that runs")
    gate.open()
    future.result()
    assert shown.text() == "begun\nhalf done\n"


def test_errors_and_text_without_an_end_are_shown(client, capsys):
    def fail():
        print("no end", end="")
        print("wrong", file=sys.stderr)
        raise ValueError("no")

    future = client.submit(fail)
    with pytest.raises(ValueError, match="no"):
        future.result()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("no end", "wrong\n")


def test_a_task_that_kills_its_process_is_heard_before(capsys):
    def speak_and_die():
        print("last words")
        os._exit(1)

    with LocalCluster(n_workers=1, processes=True) as cluster, Client(cluster) as client:
        future = client.submit(speak_and_die)
        assert future.exception() is not None
        assert "last words\n" in capsys.readouterr().out


@pytest.mark.usefixtures("whole_lines")
def test_coroutines_print_too(client, capsys):
    async def speak(name):
        for number in range(3):
            print(name, number)
            await asyncio.sleep(0.001)

    client.gather(client.map(speak, ["a", "b"]))
    lines = lines_of(capsys.readouterr().out)
    for name in "ab":
        of_one = [line for line in lines if line.startswith(name)]
        assert of_one == [f"{name} {number}" for number in range(3)]


def test_tasks_of_tasks_are_heard_by_the_client_of_the_outermost(client, capsys):
    def outer():
        from oxidask.distributed import get_client

        return get_client().submit(say, "from", "within").result()

    assert client.submit(outer).result() == 2
    assert capsys.readouterr().out == "from within\n"


def test_only_the_client_that_submitted_sees_the_output(cluster, mode, tmp_path):
    script = """
        import sys
        from oxidask.distributed import Client

        def say(*words):
            print(*words)

        with Client(sys.argv[1]) as client:
            client.submit(say, "from", "elsewhere").result()
            client.run(say, "in a worker")
    """
    if mode == "threads":
        pytest.skip("a cluster of threads has no clients elsewhere")
    ours = tmp_path / "ours"
    with Client(cluster) as client, ours.open("w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        finished = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), cluster.scheduler_address],
            capture_output=True,
            text=True,
            timeout=60,
        )
        client.submit(say, "ours").result()
    assert finished.returncode == 0, finished.stderr
    assert lines_of(finished.stdout) == ["from elsewhere"] + ["in a worker"] * 2
    assert ours.read_text() == "ours\n"


@pytest.mark.usefixtures("whole_lines")
def test_run_shows_output(client, capsys):
    client.run(say, "hello")
    assert capsys.readouterr().out == "hello\n" * 2


def test_too_many_lines_are_left_out_and_counted(capsys):
    def flood(count):
        for number in range(count):
            print(number)

    with config.set({"distributed.output.lines-per-second": 10}):
        cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=True)
    with cluster, Client(cluster) as client:
        client.submit(flood, 5000).result()
        captured = capsys.readouterr()
        shown = lines_of(captured.out)
        told = [line for line in lines_of(captured.err) if line.startswith("oxidask: ")]
        left_out = sum(int(line.split()[1].replace(",", "")) for line in told)
        assert shown[:100] == [str(number) for number in range(100)]
        assert len(shown) + left_out == 5000
        assert left_out > 0
        assert "distributed.output.lines-per-second" in told[0]


def test_output_stays_in_the_worker_where_nobody_wants_it(capfd):
    with config.set({"distributed.output.lines-per-second": 0}):
        cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=True)
    with cluster, Client(cluster) as client:
        assert client.submit(lambda: type(sys.stdout).__name__).result() == "TextIOWrapper"


def test_logs_are_handled_by_the_loggers_of_the_client(client, mode, caplog):
    def log():
        logger = logging.getLogger("work.shop")
        logger.info("too quiet for %s", "this")
        logger.warning("look at %s", "this")
        try:
            raise ValueError("no")
        except ValueError:
            logger.exception("and this")

    with caplog.at_level(logging.WARNING):
        client.submit(log).result()
    records = [record for record in caplog.records if record.name == "work.shop"]
    assert [record.getMessage() for record in records] == ["look at this", "and this"]
    assert [record.levelno for record in records] == [logging.WARNING, logging.ERROR]
    assert records[0].funcName == "log"
    assert "ValueError: no" in caplog.text


def test_a_task_that_sets_up_logging_has_its_way(capsys):
    def log():
        logging.basicConfig(level=logging.INFO, format="%(levelname)s! %(message)s")
        logging.getLogger("work").info("hello")

    with LocalCluster(n_workers=1, processes=True) as cluster, Client(cluster) as client:
        client.submit(log).result()
    assert capsys.readouterr().err == "INFO! hello\n"


def test_the_level_of_logs_is_a_setting(caplog):
    def log():
        logging.getLogger("work").info("hello")

    with config.set({"distributed.output.log-level": "info"}):
        cluster = LocalCluster(n_workers=1, processes=True)
    with cluster, Client(cluster) as client, caplog.at_level(logging.INFO):
        client.submit(log).result()
    assert [record.getMessage() for record in caplog.records] == ["hello"]


def test_print_and_warn_of_dask(client, capsys):
    def speak():
        oxidask.distributed.print("a", "b", sep="-", end="!\n")
        oxidask.distributed.print("c", file=sys.stderr)
        oxidask.distributed.warn("careful", RuntimeWarning)

    with pytest.warns(RuntimeWarning, match="careful"):
        client.submit(speak).result()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("a-b!\n", "c\n")
    with pytest.raises(TypeError, match=r"sys\.stdout"):
        oxidask.distributed.print("a", file=open)


def test_warnings_of_tasks_are_shown_as_text(capsys):
    def speak():
        warnings.warn("careful", RuntimeWarning, stacklevel=1)

    with LocalCluster(n_workers=1, processes=True) as cluster, Client(cluster) as client:
        client.submit(speak).result()
    assert "RuntimeWarning: careful" in capsys.readouterr().err


def test_a_child_that_a_task_forks_does_not_speak_for_the_worker(capsys):
    def fork():
        child = os.fork()
        if child == 0:
            try:
                print("from a child", flush=True)
            finally:
                os._exit(0)
        return os.waitpid(child, 0)[1]

    with LocalCluster(n_workers=1, processes=True) as cluster, Client(cluster) as client:
        assert client.submit(fork).result() == 0
        client.submit(say, "from a task").result()
    assert capsys.readouterr().out == "from a task\n"


def test_a_stream_that_is_closed_disturbs_nobody(monkeypatch, tmp_path):
    file = (tmp_path / "closed").open("w")
    file.close()
    with Client(n_workers=1, processes=True) as client:
        monkeypatch.setattr(sys, "stdout", file)
        assert client.submit(say, "unheard").result() == 1


def test_the_threads_that_show_output_end_with_their_clients(cluster):
    import threading

    def count():
        return sum(thread.name == "oxidask-output" for thread in threading.enumerate())

    before = count()
    for _ in range(3):
        Client(cluster).close()
    wait_until(lambda: count() <= before, "threads end")


def test_output_of_a_script_comes_before_its_end():
    script = """
        from oxidask.distributed import Client, LocalCluster

        def say(word):
            print(word)

        cluster = LocalCluster(n_workers=1, processes=True)
        client = Client(cluster)
        client.submit(say, "from a task").result()
        print("from the script")
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert (finished.stdout, finished.stderr) == ("from a task\nfrom the script\n", "")


@pytest.mark.usefixtures("whole_lines")
def test_many_lines_come_through(client, capsys):
    client.gather(client.map(say, range(2000)))
    shown = lines_of(capsys.readouterr().out)
    assert sorted(int(line) for line in shown) == list(range(2000))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lines-per-second", "many"), ("lines-per-second", -1), ("log-level", "loud")],
)
def test_senseless_settings_are_refused_before_workers_start(setting, value):
    with (
        config.set({f"distributed.output.{setting}": value}),
        pytest.raises(ValueError, match=f"output.{setting}={value!r}"),
    ):
        LocalCluster(n_workers=1)
