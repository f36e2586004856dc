"""The examples run as a user runs them."""

import os
import subprocess
import sys
import textwrap
from importlib import util
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run_example(name, *arguments):
    """Run one example as a user would; return what it printed."""
    finished = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def assert_is_svg(path):
    assert ElementTree.parse(path).getroot().tag.endswith("svg")


@pytest.fixture(scope="module")
def structure_factor():
    """Load the example as a module."""
    path = EXAMPLES / "structure_factor.py"
    specification = util.spec_from_file_location("example_structure_factor", path)
    module = util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    yield module
    del sys.modules[specification.name]


def test_inc_sum_prints_the_sum_and_draws_its_graph(tmp_path):
    printed = run_example("inc_sum.py", "--output", tmp_path)
    assert "loop and graph agree" in printed
    assert any(line.split()[:2] == ["total.compute", "36"] for line in printed.splitlines())
    assert_is_svg(tmp_path / "inc_sum_graph.svg")


@pytest.mark.parametrize(("kernel", "n"), [("blocks", 2), ("loop", 2), ("python", 1)])
def test_structure_factor_agrees_with_its_plain_loop_and_draws(tmp_path, kernel, n):
    pytest.importorskip("matplotlib")
    printed = run_example(
        "structure_factor.py",
        *("--n", n, "--repeat", 1, "--threads", 2, "--kernel", kernel, "--output", tmp_path),
    )
    assert "serial and parallel agree" in printed
    assert "speed-up" in printed
    assert_is_svg(tmp_path / "structure_factor_graph.svg")
    assert_is_svg(tmp_path / "structure_factor.svg")
    assert (tmp_path / "structure_factor.png").read_bytes().startswith(b"\x89PNG")


def test_structure_factor_says_which_argument_is_wrong():
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / "structure_factor.py"), "--n", "0"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 2
    assert "--n is 0; give 1 or more" in finished.stderr


@pytest.mark.parametrize("kernel", ["blocks", "loop", "python"])
def test_a_crystal_scatters_at_its_lattice_vectors_only(structure_factor, kernel):
    box = np.array([6.0, 8.0, 10.0])
    cells = 4
    sites = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    n = 5  # 725 wave vectors: more than one block
    found = structure_factor.structure_factor(sites * box / cells, box, n, kernel)

    index = np.rint(structure_factor.wavevectors(box, n) * box / (2 * np.pi)).astype(int)
    assert len(index) == (n + 1) * (2 * n + 1) ** 2 - 1
    expected = np.where((index % cells == 0).all(axis=1), cells**3, 0)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_mean_and_error_stay_lazy_and_match_numpy(structure_factor):
    from oxidask import compute, delayed
    from oxidask.delayed import Delayed

    samples = list(np.random.default_rng(0).random((5, 7)))
    lazy = structure_factor.mean_and_error([delayed(np.array)(sample) for sample in samples])
    assert all(isinstance(value, Delayed) for value in lazy)

    mean, error = compute(*lazy)
    np.testing.assert_allclose(mean, np.mean(samples, axis=0), rtol=1e-12)
    np.testing.assert_allclose(error, np.std(samples, axis=0) / 5**0.5, rtol=1e-12)


def test_shells_hold_the_vectors_of_one_length(structure_factor):
    box = np.full(3, 2 * np.pi)
    k = structure_factor.wavevectors(box, 1)
    mean = np.linalg.norm(k, axis=1) ** 2
    length, shell_mean, shell_error = structure_factor.average_shells(k, mean, np.ones(len(k)))
    np.testing.assert_allclose(length, [1, 1.41, 1.73])
    np.testing.assert_allclose(shell_mean, [1, 2, 3])
    # Half of the 6, 12 and 8 neighbours are independent of each other.
    np.testing.assert_allclose(shell_error, np.array([3, 6, 4]) ** -0.5)


def test_structure_factor_is_the_same_bit_for_bit_in_processes():
    pytest.importorskip("matplotlib")
    code = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import structure_factor as example
        import oxidask

        some = example.read_configurations(example.DATA)[:4]
        for scheduler in ("threads", "processes"):
            lazy = example.build_parallel(some, 2, "blocks")
            found = oxidask.compute(*lazy, scheduler=scheduler, num_workers=2)
            print([value.tobytes().hex() for value in found])
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(EXAMPLES)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    threads, processes = finished.stdout.splitlines()
    assert len(threads) > 1000
    assert threads == processes
