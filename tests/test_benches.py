"""The benchmarks run, and those that count instead of timing hold what they claim."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).resolve().parents[1] / "benches"


def run_bench(tmp_path, name, *arguments):
    """Run one benchmark; return its output and the last result that it wrote."""
    finished = subprocess.run(
        [sys.executable, str(BENCHES / f"{name}.py"), "--results", str(tmp_path), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (written,) = tmp_path.glob("*.json")
    return finished.stdout, json.loads(written.read_text().splitlines()[-1])


def test_a_wavefront_keeps_the_least_possible_number_of_results(tmp_path):
    printed, _ = run_bench(tmp_path, "grid_memory", "--quick")
    assert "excess" in printed


def test_the_order_keeps_no_more_results_than_counted_for_dask(tmp_path):
    run_bench(tmp_path, "order_memory", "--quick")
    ours, recorded = (
        {row["graph"]: row for row in map(json.loads, path.read_text().splitlines())}
        for path in (tmp_path / "order_memory.json", BENCHES / "results" / "order_memory.json")
    )
    named = [graph for graph in ours if not graph.startswith("random")]
    assert len(named) >= 36
    assert [graph for graph in named if ours[graph]["ours"] > recorded[graph]["dask"]] == []


def test_importing_is_light(tmp_path):
    printed, _ = run_bench(tmp_path, "import_time", "--quick")
    assert "imports no NumPy, no pandas, no thread started" in printed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_scripts_that_end_while_tasks_run_keep_their_status(tmp_path):
    printed, _ = run_bench(tmp_path, "exit_status")
    assert "200 of 200 scripts ended with their own status" in printed


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name",
    [
        *("delayed_overhead", "two_threads", "futures_overhead", "shared_memory"),
        *("structure_factor_processes", "array_peers"),
    ],
)
def test_the_other_benchmarks_run(tmp_path, name):
    run_bench(tmp_path, name, "--quick")
