"""Clusters for arrays, with the look of `tests/distributed` at what they leave behind."""

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "distributed"))

from leftovers import Leftovers

from oxidask.distributed import Client, LocalCluster


@pytest.fixture(scope="session")
def folder_of_clusters():
    """Give the clusters of this run a folder of their own, so that others' do not disturb."""
    with tempfile.TemporaryDirectory(prefix="ox-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture(scope="module", params=["threads", "processes"])
def mode(request):
    """Say what the workers of a cluster are."""
    return request.param


@pytest.fixture(scope="module")
def cluster(mode, folder_of_clusters):
    """Start a cluster of two workers with a thread each, for all tests of a module."""
    before = Leftovers.now(folder_of_clusters)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=mode == "processes") as cluster:
        yield cluster
    before.assert_back()


@pytest.fixture
def client(cluster):
    """Connect a client of its own for each test; nothing of it is left in the cluster."""
    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=30)
        yield client
