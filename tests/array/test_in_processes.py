"""What arrays do, in worker processes: the tests of other modules, with a client connected."""

import pytest
import test_array
from test_array import *  # noqa: F403

#: These look at what their own process has called.
HERE = [
    "test_several_arrays_are_computed_together",
    "test_persisted_arrays_hold_their_blocks",
    "test_other_schedulers",
]

for name in HERE:
    assert hasattr(test_array, name), f"there is no test {name}"
    del globals()[name]


@pytest.fixture(scope="module")
def mode():
    """Workers are processes."""
    return "processes"


@pytest.fixture(autouse=True)
def _connected(client):
    """Compute in the cluster whatever says nothing else."""
