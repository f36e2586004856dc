"""What an array says of what will be run for it."""

import numpy as np

import oxidask
import oxidask.array as da
from oxidask import delayed


def plan_of(array, capsys):
    assert array.optimize() is array
    array.optimize().pprint()
    return capsys.readouterr().out.splitlines()


def test_joined_operations_are_one_step(capsys):
    x = da.ones((4, 6), chunks=(2, 3))
    assert plan_of((x + 1) * 2, capsys) == ["multiply: 4 tasks, 2 × 2 of ones → add → multiply"]


def test_what_two_steps_read_is_told_once(capsys):
    x = da.random.default_rng(0).random((4, 4), chunks=2)
    assert plan_of(x - x.sum(), capsys) == [
        "subtract: 4 tasks, 2 × 2 of subtract",
        "  random: 4 tasks, 2 × 2 of Stream",
        "  sum: 1 task of fold_and_squeeze",
        "    sum: 4 tasks, 2 × 2 of reduce_block",
        "      random: 4 tasks, 2 × 2, as above",
    ]


def test_blocks_that_nobody_needs_are_left_out(capsys):
    x = da.random.default_rng(0).random((6, 6), chunks=2)
    assert plan_of(da.map_overlap(np.sort, x, depth=1, boundary="none")[:1, :1], capsys)[-1] == (
        "  random: 4 tasks out of 3 × 3 of Stream"
    )


def test_as_many_tasks_as_run(capsys):
    x = da.random.default_rng(0).random((40, 40), chunks=8)
    lazy = (x - x.mean(axis=0)).std()
    told = [line for line in plan_of(lazy, capsys) if "as above" not in line]
    counted = sum(int(line.split(": ")[1].split()[0]) for line in told if " task" in line)
    ran = []

    class Count(oxidask.callbacks.Callback):
        def _posttask(self, key, result, dsk, state, worker_id):
            ran.append(key)

    with Count():
        lazy.compute()
    # One more puts the blocks of the result together.
    assert len(ran) == counted + 1


def test_grids_behind_each_other_and_long_chains(capsys):
    x = da.ones(4, chunks=2)
    one = da.from_delayed(delayed(np.ones)(2), (2,), float)
    lines = plan_of(da.concatenate([x, one]), capsys)
    assert lines[0] == "blocks: 3 blocks"
    assert any("ones" in line for line in lines[1:])
    for number in range(20):
        x = x + number
    (line,) = plan_of(x, capsys)
    assert "… 13 more …" in line
