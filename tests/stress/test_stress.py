"""Two minutes of the stress run; `run.py` says what it claims, and how to run it for longer."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_hangs_leaks_or_is_wrong_under_all_faults_at_once():
    script = Path(__file__).with_name("run.py")
    # One seed, so that a failure comes from a change; run.py by hand draws others.
    finished = subprocess.run(
        [sys.executable, "-u", str(script), "--minutes", "2", "--seed", "31"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
