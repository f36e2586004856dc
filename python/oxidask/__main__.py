"""``python -m oxidask`` is the command ``oxidask``."""

import sys

from oxidask._command import main

if __name__ == "__main__":
    sys.exit(main())
