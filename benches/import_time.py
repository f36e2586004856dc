"""How long `import oxidask` takes, and what it leaves alone.

Claims: importing takes a few hundredths of a second at most, imports neither NumPy nor pandas,
and starts no thread. The exit status is 1 if one of the last two is false.

    python benches/import_time.py

The time is that of `python -c "import oxidask"` less that of `python -c pass`, the fastest of
alternating runs of each.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import harness

COLUMNS = ["import ms", "bare ms", "with import ms", "runs"]

UNWANTED = ("numpy", "pandas")

# /proc counts the threads that Python does not know of, too.
LOOK = """
import json, os, sys
import oxidask
print(json.dumps({"modules": sorted(sys.modules), "threads": len(os.listdir("/proc/self/task"))}))
"""


def seconds_to_run(code: str) -> float:
    """Run code in a fresh interpreter; return the seconds from its start to its end."""
    return harness.seconds_of(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def complaints() -> list[str]:
    """Look into a fresh interpreter that imported Oxidask; return what should not be there."""
    finished = subprocess.run(
        [sys.executable, "-c", LOOK], check=True, capture_output=True, text=True
    )
    seen: dict[str, Any] = json.loads(finished.stdout)
    found = [f"imports {name}" for name in UNWANTED if name in seen["modules"]]
    if seen["threads"] != 1:
        found.append(f"starts {seen['threads'] - 1} threads")
    return found


def main() -> int:
    """Run the bench; the exit status is 1 if the import does more than it should."""
    options = harness.parser(__doc__).parse_args()
    runs = 3 if options.quick else 15
    found = complaints()  # Also fills the file cache and writes the .pyc files.
    pairs = harness.alternate(
        runs, lambda: seconds_to_run("import oxidask"), lambda: seconds_to_run("pass")
    )
    loaded, bare = (min(times) * 1e3 for times in zip(*pairs, strict=True))
    row = {
        "import ms": loaded - bare,
        "bare ms": bare,
        "with import ms": loaded,
        "runs": runs,
        "complaints": found,
    }
    harness.print_table([row], COLUMNS)
    print(
        f"import oxidask {' and '.join(found) or 'imports no NumPy, no pandas, no thread started'}"
    )
    harness.print_load()
    harness.record("import_time", [row], options)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
