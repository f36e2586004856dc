"""Two programs on one cluster, whose functions have the same names but not the same code."""

import json
import subprocess
import sys
import textwrap

import pytest
from gates import wait_until

from oxidask.distributed import Client, LocalCluster

#: A program that does all kinds of calls again and again, and tells what came out.
PROGRAM = """
    import json, os, sys, time
    from pathlib import Path
    from oxidask import compute, delayed
    from oxidask.distributed import Client

    def f(x, *others):
        return {expression}

    class Thing:
        def method(self, x):
            return f(x)

    mine, other = (Path(sys.argv[2], name) for name in ("{name}", "{other}"))
    with Client(sys.argv[1]) as client:
        mine.touch()
        until = time.monotonic() + 20
        while not other.exists() and time.monotonic() < until:
            time.sleep(0.002)
        assert other.exists(), "the other program did not come"
        found = []
        for _ in range(20):
            first = client.submit(f, 1)
            found.append([
                client.gather(client.map(f, range(20))),
                client.submit(f, 1, key="the same key").result(),
                client.submit(f, 1, pure=False).result(),
                client.submit(f, first).result(),
                client.submit(Thing().method, 1).result(),
                client.submit(lambda x: f(x), 1).result(),
                delayed(f, pure=True)(1).compute(),
                delayed(f)(1, dask_key_name="the same name").compute(),
                client.get({{"a": (f, 1), "b": (f, "a")}}, ["a", "b"]),
                client.submit(f, 1, client.scatter({value!r})).result(),
            ])
        print(json.dumps(found))
"""


def expected(f):
    one = f(1)
    return [[f(x) for x in range(20)], one, one, f(one), one, one, one, one, [one, f(one)], one]


@pytest.mark.parametrize("processes", [1, 2])
def test_two_programs_never_see_each_others_results(tmp_path, processes):
    with LocalCluster(n_workers=processes, threads_per_worker=1) as cluster:
        programs = [
            subprocess.Popen(
                [
                    *(sys.executable, "-c"),
                    textwrap.dedent(PROGRAM.format(**options, value=[1, 2, 3])),
                    *(cluster.scheduler_address, str(tmp_path)),
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            for options in (
                {"expression": "x * 10", "name": "one", "other": "two"},
                {"expression": "x + 1000", "name": "two", "other": "one"},
            )
        ]
        for program, f in zip(programs, (lambda x: x * 10, lambda x: x + 1000), strict=True):
            printed, _ = program.communicate()
            assert program.returncode == 0
            assert json.loads(printed) == [expected(f)] * 20


def test_a_program_that_is_killed_takes_nothing_from_the_other(tmp_path):
    script = """
        import sys, time
        from pathlib import Path
        from oxidask.distributed import Client

        def f(x):
            return x * 10

        client = Client(sys.argv[1])
        futures = client.map(f, range(100))
        client.gather(futures)
        Path(sys.argv[2]).touch()
        time.sleep(60)
    """

    def f(x):
        return x + 1

    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster:
        seen = tmp_path / "seen"
        command = [sys.executable, "-c", textwrap.dedent(script)]
        program = subprocess.Popen([*command, cluster.scheduler_address, str(seen)])
        with Client(cluster) as client:
            futures = client.map(f, range(100))
            wait_until(seen.exists, "the other program has its results")
            program.kill()
            program.wait()
            assert client.gather(futures) == list(range(1, 101))
            assert client.gather(client.map(f, range(200))) == list(range(1, 201))
