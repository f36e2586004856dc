"""What all tests need."""

import copy
import signal

import pytest

from oxidask import config

# They are no tests, and pytest confuses those of several folders when it looks into them for
# examples.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]

# A shell starts background jobs with Ctrl-C ignored, and child processes inherit that; the tests of
# Ctrl-C, here and in child processes, need it to work.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _settings_end_with_the_test():
    """Find the test that leaves settings behind, not the one that stumbles over them."""
    before = copy.deepcopy(config.config)
    yield
    assert config.config == before
