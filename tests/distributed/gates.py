"""What tests and their tasks tell each other, across processes: files that come into being."""

import os
import time
from pathlib import Path

#: Far longer than anything takes; a test that waits so long has failed.
PATIENCE = 20.0


def wait_until(is_true, what, patience=PATIENCE):
    """Wait for something that will be true soon; fail if it is not."""
    until = time.monotonic() + patience
    while not is_true():
        assert time.monotonic() < until, f"waited {patience} s for: {what}"
        time.sleep(0.002)


class Gate:
    """A gate that is opened once."""

    def __init__(self, path):
        self.path = Path(path)
        self.seen = self.path.with_suffix(".seen")

    def __dask_tokenize__(self):
        return str(self.path)

    def open(self):
        self.path.touch()

    def pass_through(self, value=None):
        """Wait for the gate in a task; return the value."""
        self.seen.touch()
        wait_until(self.path.exists, "the gate opens")
        return value

    def wait_for_somebody(self):
        """Wait until a task stands at the gate."""
        wait_until(self.seen.exists, "a task comes to the gate")


class Tally:
    """Counts, whoever counts."""

    def __init__(self, path):
        self.path = Path(path)

    def __dask_tokenize__(self):
        return str(self.path)

    def add(self, mark="x"):
        """Add a mark of one character; return how many there are."""
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, mark.encode())
            return os.lseek(file, 0, os.SEEK_CUR)
        finally:
            os.close(file)

    def marks(self):
        """Return all marks in the order in which they were made."""
        return self.path.read_text() if self.path.exists() else ""

    def __len__(self):
        return len(self.marks())
