"""Pages of the dashboard in a real Chromium, against real clusters: `make test-browser`.

Nothing here is skipped: where Chromium or Node is missing, the tests fail and say so.
"""

import pytest
from chromium import Chromium, missing


@pytest.fixture(scope="session")
def chromium():
    """Start a browser for all tests."""
    lack = missing()
    if lack is not None:
        pytest.fail(lack, pytrace=False)
    browser = Chromium()
    yield browser
    browser.close()
