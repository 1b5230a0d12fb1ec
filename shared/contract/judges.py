"""Which policy an outcome belongs to: the label `policy` of the metrics that compare two."""

from enum import StrEnum


class JudgedBy(StrEnum):
    """The promises that count, and those that are only tried."""

    LIVE = "live"
    SHADOW = "shadow"
    """A candidate beside the policy in force: it wakes nobody."""
