"""`python -m tests.faults.suite.skewed MODULE SECONDS`: a service on a host whose clock is so many seconds off."""

import runpy
import sys
import time

_true_time = time.time  # noqa: TID251 - this is what the trial is about


def main() -> None:
    """Move the wall clock that the process reads, and run it; clocks that never jump stay as they are."""
    module, seconds = sys.argv[1], float(sys.argv[2])
    time.time = lambda: _true_time() + seconds  # noqa: TID251 - this is what the trial is about
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
