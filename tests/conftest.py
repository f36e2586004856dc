"""What all tests need."""

import signal

# A shell starts background jobs with Ctrl-C ignored, and child processes inherit that; the tests of
# Ctrl-C, here and in child processes, need it to work.
signal.signal(signal.SIGINT, signal.default_int_handler)
