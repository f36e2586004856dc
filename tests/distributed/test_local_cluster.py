"""LocalCluster: what it starts, how it ends, and that nothing stays behind."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap

import pytest
from gates import wait_until

import oxidask
from oxidask.distributed import CancelledError, Client, LocalCluster

PENDING = {}


def inc(i):
    return i + 1


def process_id():
    return os.getpid()


def run_script(text, **options):
    """Run a script; return how it ended."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


@pytest.mark.parametrize("processes", [False, True])
def test_workers_and_threads_are_as_many_as_were_asked_for(processes):
    with (
        LocalCluster(n_workers=3, threads_per_worker=2, processes=processes) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(3, timeout=30)
        assert list(client.nthreads().values()) == [2, 2, 2]
        pids = {one["pid"] for one in client.scheduler_info()["workers"].values()}
        assert len(pids) == (3 if processes else 1)


def test_by_default_all_cores_are_used():
    with LocalCluster(processes=False) as cluster, Client(cluster) as client:
        assert sum(client.nthreads().values()) == oxidask.distributed.deploy.local._core.cpu_count()
    with LocalCluster() as cluster, Client(cluster) as client:
        assert sum(client.nthreads().values()) >= 1
        assert os.getpid() not in client.run(process_id).values()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"n_workers": -1}, r"n_workers=-1"),
        ({"n_workers": 1.5}, r"n_workers=1\.5"),
        ({"threads_per_worker": 0}, r"threads_per_worker=0"),
        ({"threads_per_worker": "two"}, r"threads_per_worker='two'"),
    ],
)
@pytest.mark.parametrize("processes", [False, True])
def test_numbers_that_make_no_sense_are_refused(processes, option, said):
    with pytest.raises((ValueError, TypeError), match=said):
        LocalCluster(processes=processes, **option)


def test_an_option_that_nobody_knows_is_refused():
    with pytest.raises(TypeError, match="n_wokers"):
        LocalCluster(n_wokers=2, processes=False)


def test_options_that_ask_for_nothing_that_is_not_there_are_taken():
    with LocalCluster(
        n_workers=1,
        processes=False,
        memory_limit="auto",
        dashboard_address=":0",
        resources=None,
        silence_logs=30,
        security=False,
    ) as cluster:
        assert cluster.status == "running"


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ({"memory_limit": "1GB"}, "processes=True"),
        ({"host": "127.0.0.1"}, "network"),
    ],
)
def test_an_option_that_promises_what_is_not_there_says_what_to_do(option, instead):
    with pytest.raises(NotImplementedError, match=instead):
        LocalCluster(processes=False, **option)


@pytest.mark.parametrize("processes", [False, True])
def test_closing_twice_is_fine(processes):
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=processes)
    cluster.close()
    cluster.close()
    assert cluster.status == "closed"


@pytest.mark.parametrize("processes", [False, True])
def test_a_forgotten_cluster_ends(processes):
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=processes)
    # The default client is not forgotten: compute() uses it.
    client = Client(cluster, set_as_default=False)
    assert client.submit(inc, 1).result() == 2
    del client, cluster


@pytest.mark.parametrize("processes", [False, True])
def test_futures_of_a_closed_cluster_say_so(processes, gate):
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=processes)
    client = Client(cluster)
    running = client.submit(gate.pass_through, pure=False)
    queued = client.map(inc, range(3), pure=False)
    gate.wait_for_somebody()
    cluster.close()
    for one in [running, *queued]:
        with pytest.raises(CancelledError, match="the result cannot come any more"):
            one.result()
    gate.open()
    client.close()


def test_a_client_outlives_a_closed_cluster_without_noise():
    cluster = LocalCluster(n_workers=1, processes=False)
    with Client(cluster) as client:
        cluster.close()
        assert client.status == "running"


@pytest.mark.parametrize("processes", [False, True])
def test_two_clusters_at_once_do_not_mix(processes):
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=processes) as one,
        LocalCluster(n_workers=1, threads_per_worker=1, processes=processes) as other,
        Client(one) as first,
        Client(other) as second,
    ):
        futures = first.map(inc, range(50)), second.map(inc, range(100, 150))
        assert first.gather(futures[0]) == list(range(1, 51))
        assert second.gather(futures[1]) == list(range(101, 151))


@pytest.mark.parametrize("processes", [False, True])
def test_many_clusters_one_after_the_other(processes):
    for number in range(3 if processes else 30):
        with (
            LocalCluster(n_workers=1, threads_per_worker=1, processes=processes) as cluster,
            Client(cluster) as client,
        ):
            assert client.submit(inc, number).result() == number + 1


def test_only_this_user_gets_to_the_sockets(folder_of_clusters):
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster:
        path = cluster.scheduler_address.removeprefix("unix://")
        folder = os.path.dirname(path)
        assert folder.startswith(str(folder_of_clusters))
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_nothing_listens_on_the_network_but_the_page():
    def listening():
        inodes = set()
        for table in ("tcp", "tcp6", "udp", "udp6"):
            with open(f"/proc/net/{table}") as file:
                inodes.update(line.split()[9] for line in file.readlines()[1:])
        found = []
        for entry in os.scandir("/proc/self/fd"):
            try:
                target = os.readlink(entry.path)
            except OSError:
                continue
            if target.startswith("socket:") and target[8:-1] in inodes:
                found.append(target)
        return found

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        assert listening() == []
        assert list(client.run(listening).values()) == [[]]


def test_workers_see_the_folder_the_path_and_the_environment(tmp_path):
    (tmp_path / "helper_beside_the_script.py").write_text("VALUE = 42\n")
    script = """
        import os, sys
        sys.path.insert(0, os.getcwd())
        os.environ["FOR_WORKERS"] = "yes"
        from oxidask.distributed import Client
        import helper_beside_the_script

        def look():
            import helper_beside_the_script
            return os.getcwd(), os.environ["FOR_WORKERS"], helper_beside_the_script.VALUE

        with Client(n_workers=1, threads_per_worker=1) as client:
            print(*client.submit(look).result())
    """
    finished = run_script(script, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == [str(tmp_path), "yes", "42"]


def test_a_function_of_the_main_script_runs_in_workers_without_a_guard(tmp_path):
    (tmp_path / "script.py").write_text(
        textwrap.dedent(
            """
            print("main runs")
            from oxidask.distributed import Client

            class Box:
                def __init__(self, value):
                    self.value = value

            def double(box):
                return Box(2 * box.value)

            client = Client(n_workers=2, threads_per_worker=1)
            results = client.gather(client.map(double, [Box(i) for i in range(3)]))
            print([type(box) is Box and box.value for box in results])
            client.close()
            """
        )
    )
    finished = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "main runs\n[0, 2, 4]\n"
    assert finished.stderr == ""


@pytest.mark.parametrize("processes", [False, True])
def test_a_script_that_does_not_close_ends_by_itself(processes):
    finished = run_script(
        f"""
        from oxidask.distributed import Client
        client = Client(n_workers=1, threads_per_worker=1, processes={processes})
        futures = client.map(abs, range(100))
        print(client.submit(abs, -1).result())
        """
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "1\n", "")


@pytest.mark.parametrize("processes", [False, True])
def test_a_script_that_ends_while_tasks_run_keeps_its_status(processes):
    finished = run_script(
        f"""
        import sys, time
        from oxidask.distributed import Client
        client = Client(n_workers=1, threads_per_worker=1, processes={processes})
        future = client.submit(time.sleep, 30)
        sys.exit(7)
        """
    )
    assert (finished.returncode, finished.stderr) == (7, "")


def test_no_orphan_survives_a_killed_parent(folder_of_clusters):
    script = """
        import os, time
        from oxidask.distributed import Client
        client = Client(n_workers=2, threads_per_worker=1)
        print(*set(client.run(os.getpid).values()), flush=True)
        client.submit(time.sleep, 600)
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as parent:
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    wait_until(
        lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers),
        "all workers ended",
    )
    # A killed process cannot tidy up its folder; the next cluster, or the system, does.
    import shutil

    for left in folder_of_clusters.iterdir():
        shutil.rmtree(left)


def test_folders_of_killed_programs_are_removed_with_the_next_start(folder_of_clusters):
    script = """
        import os, signal
        from oxidask.distributed import LocalCluster
        LocalCluster(n_workers=1)
        os.kill(os.getpid(), signal.SIGKILL)
    """

    def folders():
        return {path.name for path in folder_of_clusters.glob("oxidask-*")}

    with LocalCluster(n_workers=1) as living:
        (ours,) = folders()
        killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)])
        assert killed.returncode == -signal.SIGKILL
        just_begun, killed_early, of_the_user = (
            folder_of_clusters / f"oxidask-{name}"
            for name in ("just-begun", "killed-early", "data")
        )
        for folder in (just_begun, killed_early, of_the_user):
            folder.mkdir()
        (of_the_user / "numbers.txt").write_text("42")
        for folder in (killed_early, of_the_user):
            os.utime(folder, (0, 0))
        with LocalCluster(n_workers=1) as next_one:
            names = {os.path.basename(os.path.dirname(next_one.scheduler_address)), ours}
            assert folders() == names | {just_begun.name, of_the_user.name}
        with Client(living) as client:
            assert client.submit(abs, -1).result() == 1
    assert (of_the_user / "numbers.txt").read_text() == "42"
    just_begun.rmdir()
    shutil.rmtree(of_the_user)


def test_ctrl_c_at_the_terminal_does_not_reach_workers(tmp_path):
    script = """
        import os, signal, threading, time
        from oxidask.distributed import Client
        client = Client(n_workers=1, threads_per_worker=1)
        before = client.run(os.getpid)
        future = client.submit(time.sleep, 600, pure=False)
        threading.Timer(0.2, os.killpg, (os.getpgrp(), signal.SIGINT)).start()
        try:
            future.result()
        except KeyboardInterrupt:
            print("interrupted", client.run(os.getpid) == before)
        del future
        client.close()
    """
    finished = run_script(script, start_new_session=True)
    assert finished.stdout == "interrupted True\n", finished.stderr
    assert finished.stderr == ""


def test_a_cluster_in_a_forked_child_is_left_to_its_parent():
    script = """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from oxidask.distributed import Client
        client = Client(n_workers=1, threads_per_worker=1)
        assert client.submit(abs, -1).result() == 1
        child = os.fork()
        if child == 0:
            del client
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(status, client.submit(abs, -2).result())
        client.close()
    """
    finished = run_script(script)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "0 2\n", "")


def test_print_in_a_task_reaches_the_terminal():
    finished = run_script(
        """
        from oxidask.distributed import Client
        client = Client(n_workers=1, threads_per_worker=1)
        client.submit(print, "from a task").result()
        client.close()
        """
    )
    assert finished.stdout == "from a task\n"
