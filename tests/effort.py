"""How hard generated cases are looked for: `make test` takes a few of each, `make fuzz` many times as many."""

import os

NAME = "DESKCLOCK_TEST_EFFORT"
_FACTOR = float(os.environ.get(NAME, "1"))


def examples(count: int) -> int:
    """So many generated cases at the usual effort; at least one."""
    return max(1, round(count * _FACTOR))
