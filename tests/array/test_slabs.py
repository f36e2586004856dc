"""Arrays of so many blocks that their tasks are written while others run."""

import signal
import threading
import time

import numpy as np
import pytest

import oxidask
import oxidask.array as da
from oxidask._core import Computation
from oxidask.callbacks import Callback

#: Blocks of a graph that is written in several slabs.
SIDE = 190

pytestmark = pytest.mark.filterwarnings("ignore:.*tiny chunks")


def grid(function=None, side=SIDE):
    """An array of `side` × `side` blocks of one element each, their numbers."""
    whole = np.arange(side * side, dtype=float).reshape(side, side)
    array = da.from_array(whole, chunks=1)
    if function is not None:
        array = array.map_blocks(function, dtype=float, meta=np.empty((0, 0)))
    return whole, array


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_a_tree_of_many_tasks_gives_the_same(scheduler):
    whole, array = grid()
    lazy = ((array + 1) * 2).sum(axis=0)
    np.testing.assert_array_equal(lazy.compute(scheduler=scheduler), ((whole + 1) * 2).sum(axis=0))
    assert array.mean().compute(scheduler=scheduler) == whole.mean()


def test_many_results_and_one_twice():
    whole, array = grid()
    double = array * 2
    results = oxidask.compute(double, double[5:7, 9], double)
    np.testing.assert_array_equal(results[0], whole * 2)
    np.testing.assert_array_equal(results[1], whole[5:7, 9] * 2)
    np.testing.assert_array_equal(results[2], whole * 2)


def test_tasks_run_before_all_are_written():
    seen = []

    def look(block):
        seen.append(computation.written)
        return block

    whole, array = grid(look)
    computation = Computation([array.sum().to_delayed().item()], 1, "nothing", in_slabs=True)
    assert computation.run_in_threads() == [whole.sum()]
    # The last one ran when all were written, and nobody had run far ahead of the writing.
    (at_first, total), (at_last, _) = seen[0], seen[-1]
    assert at_first < total == at_last
    assert total > SIDE * SIDE
    assert computation.written == (total, total)


def test_an_error_names_the_block_of_a_late_slab():
    def check(block):
        if block.flat[0] == SIDE * SIDE - 3:
            raise ValueError("an odd block")
        return block

    _, array = grid(check)
    with pytest.raises(ValueError, match="an odd block") as caught:
        array.sum().compute()
    notes = "\n".join(caught.value.__notes__)
    assert f", {SIDE - 1}, {SIDE - 3})" in notes


def test_ctrl_c_says_how_many_of_all_tasks_have_run():
    main = threading.main_thread().ident
    began = threading.Event()

    def wait(block):
        began.set()
        time.sleep(0.001)
        return block

    _, array = grid(wait)

    def interrupt():
        began.wait(60)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        array.sum().compute()
    thread.join()
    (note,) = caught.value.__notes__
    total = int(note.split(" of ")[1].split()[0])
    assert total > SIDE * SIDE
    # The next computation is none the worse for it.
    whole, array = grid()
    assert array.sum().compute() == whole.sum()


def test_callbacks_see_the_whole_graph():
    seen = []

    class Watch(Callback):
        def _start(self, dsk):
            seen.append(len(dsk))

        def _posttask(self, key, result, dsk, state, worker_id):
            seen[1:] = [len(state["finished"])]

    whole, array = grid()
    with Watch():
        assert array.sum().compute() == whole.sum()
    assert seen[0] > SIDE * SIDE
    assert seen[1] > SIDE * SIDE


def test_tasks_that_are_tried_again():
    failed = set()

    def fail_once(block):
        number = int(block.flat[0])
        if number % 5000 == 7 and number not in failed:
            failed.add(number)
            raise OSError("once")
        return block

    with oxidask.annotate(retries=1):
        whole, array = grid(fail_once)
    assert array.sum().compute() == whole.sum()
    assert failed


def test_results_are_kept_no_longer_than_they_are_read():
    """Of the blocks of a sum, few live at a time."""
    # Lists, for a lock would be taken anew where a block dies while it is held.
    made, gone, live = [], [], []

    class Counted(np.ndarray):
        def __del__(self):
            gone.append(1)

    def count(block):
        made.append(1)
        live.append(len(made) - len(gone))
        return block.copy().view(Counted)

    whole, array = grid(count)
    assert array.sum().compute() == whole.sum()
    assert max(live) < 2_000


def test_a_computation_inside_a_task():
    whole, array = grid()

    @oxidask.delayed
    def inside():
        return array.sum().compute(scheduler="threads")

    results = oxidask.compute(*[inside() for _ in range(3)], scheduler="threads")
    assert results == (whole.sum(),) * 3


def test_threads_of_a_pool_of_the_user():
    from concurrent.futures import ThreadPoolExecutor

    whole, array = grid()
    with ThreadPoolExecutor(2) as pool:
        assert array.sum().compute(pool=pool, scheduler="threads") == whole.sum()
