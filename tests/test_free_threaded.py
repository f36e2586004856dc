"""What is so on builds of CPython without a GIL. All other tests run on them, too."""

from __future__ import annotations

import subprocess
import sys
import sysconfig

import pytest

pytestmark = pytest.mark.freethreaded


@pytest.fixture(autouse=True)
def _is_free_threaded():
    assert sysconfig.get_config_var("Py_GIL_DISABLED"), "these tests are for free-threaded builds"


def output_of(code):
    """Return what a script prints in an interpreter of its own, in which warnings are errors."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split()


def test_importing_and_computing_leave_the_gil_off():
    code = """
import sys
import oxidask, oxidask.callbacks, oxidask.config, oxidask.tokenize
print(sys._is_gil_enabled())
tasks = [oxidask.delayed(abs)(-number) for number in range(100)]
print(sum(oxidask.compute(*tasks, scheduler="threads", num_workers=2)))
print(sys._is_gil_enabled())
"""
    assert output_of(code) == ["False", "4950", "False"]


def test_two_tasks_in_python_code_run_at_once():
    # Each goes on until it has seen the other; with a GIL the first would never let go of it.
    code = """
import sys
from oxidask import compute, delayed
sys.setswitchinterval(1e6)
seen = [False, False]
def meet(number):
    seen[number] = True
    while not all(seen):
        pass
    return True
print(*compute(delayed(meet)(0), delayed(meet)(1), num_workers=2))
"""
    assert output_of(code) == ["True", "True"]


def test_results_that_a_caller_drops_are_gone_soon_though_no_task_runs():
    code = """
import time
from oxidask import compute, delayed
class Live:
    now = 0
    def __init__(self):
        Live.now += 1
    def __del__(self):
        Live.now -= 1
found = delayed(Live)().compute(num_workers=1)
print(Live.now)
del found
for _ in range(2000):
    if Live.now == 0:
        break
    time.sleep(0.01)
print(Live.now)
"""
    assert output_of(code) == ["1", "0"]
