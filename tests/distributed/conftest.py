"""Clusters for tests, in both modes, and a look at what they leave behind.

A module's PENDING names tests of what is not built yet. OXIDASK_PENDING=1 runs them too.
"""

import os
import tempfile
from pathlib import Path

import pytest
from gates import Gate, Tally
from leftovers import Leftovers

from oxidask.distributed import Client, LocalCluster


def pytest_collection_modifyitems(items):
    """Mark what a module's list PENDING names: tests by name, each with what it waits for."""
    for item in items:
        pending = getattr(item.module, "PENDING", {}) if hasattr(item, "module") else {}
        gap = pending.get(getattr(item, "originalname", None)) or pending.get(item.name)
        if gap is not None:
            run = "OXIDASK_PENDING" in os.environ
            item.add_marker(pytest.mark.xfail(run=run, strict=True, reason=f"pending: {gap}"))


def pytest_collection_finish(session):
    """A pending list names tests that exist: it shrinks as they come true."""
    for module in {item.module for item in session.items if hasattr(item, "module")}:
        for name in getattr(module, "PENDING", {}):
            assert hasattr(module, name.partition("[")[0]), f"{module.__name__}: no test {name}"


@pytest.fixture(scope="session", autouse=True)
def folder_of_clusters():
    """Give the clusters of this run a folder of their own, so that others' do not disturb."""
    with tempfile.TemporaryDirectory(prefix="ox-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_by_the_module(folder_of_clusters):
    before = Leftovers.now(folder_of_clusters)
    yield
    before.assert_back()


@pytest.fixture(autouse=True)
def _nothing_is_left_by_the_test(request, folder_of_clusters):
    if "cluster" in request.fixturenames:
        yield
        return
    before = Leftovers.now(folder_of_clusters)
    yield
    before.assert_back()


@pytest.fixture(scope="module", params=["threads", "processes"])
def mode(request):
    """Say what the workers of a cluster are."""
    return request.param


@pytest.fixture(scope="module")
def cluster(mode):
    """Start a cluster of two workers with a thread each, for all tests of a module."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=mode == "processes") as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    """Connect a client of its own for each test."""
    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=30)
        yield client


@pytest.fixture
def gate(tmp_path):
    """Make a closed gate: tasks in any process wait for it. It is opened after the test."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def tally(tmp_path):
    """Count calls in any process."""
    return Tally(tmp_path / "tally")
