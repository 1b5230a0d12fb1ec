"""The vocabulary of a ticket: channels, urgencies, states, targets.

Closed sets, spelled as they stand in policy files, events, HTTP bodies and metric labels.
"""

from enum import StrEnum


class Channel(StrEnum):
    """How the customer wrote; `other` is what no alias of the policy knows (counted, never lost)."""

    PHONE = "phone"
    EMAIL = "email"
    LIVE_CHAT = "live_chat"
    MESSAGING = "messaging"
    SELF_SERVICE = "self_service"
    SOCIAL = "social"
    OTHER = "other"


class Urgency(StrEnum):
    """How soon it hurts; compare by `rank`, highest first."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for `urgent` up to 3 for `low`: smaller is more urgent."""
        return _RANKS[self]


_RANKS = {urgency: rank for rank, urgency in enumerate(Urgency)}


class Status(StrEnum):
    """Where a ticket stands for its helpdesk; the last four end its promises."""

    OPEN = "open"
    PENDING_CUSTOMER = "pending_customer"
    ON_HOLD = "on_hold"
    SOLVED = "solved"
    CLOSED = "closed"
    SPAM = "spam"
    MERGED = "merged"

    @property
    def is_over(self) -> bool:
        """Nobody works on the ticket any more."""
        return self in _OVER


_OVER = frozenset({Status.SOLVED, Status.CLOSED, Status.SPAM, Status.MERGED})


class Author(StrEnum):
    """Who wrote a reply."""

    CUSTOMER = "customer"
    AGENT = "agent"
    BOT = "bot"


class TargetKind(StrEnum):
    """The promises a clock can run for (sla-rules 1); the internal ones are a team's own and restart at a hand-off."""

    FIRST_RESPONSE = "first_response"
    NEXT_RESPONSE = "next_response"
    UPDATE = "update"
    RESOLUTION = "resolution"
    OWNERSHIP = "ownership"
    FOLLOW_UP = "follow_up"
    INTERNAL_FIRST_RESPONSE = "internal_first_response"
    INTERNAL_RESOLUTION = "internal_resolution"
    INTERNAL_OWNERSHIP = "internal_ownership"

    @property
    def internal(self) -> "TargetKind | None":
        """The team's own clock of the same kind; None where a team has none."""
        return _INTERNAL.get(self)


_INTERNAL = {
    TargetKind.FIRST_RESPONSE: TargetKind.INTERNAL_FIRST_RESPONSE,
    TargetKind.RESOLUTION: TargetKind.INTERNAL_RESOLUTION,
    TargetKind.OWNERSHIP: TargetKind.INTERNAL_OWNERSHIP,
}
CUSTOMER_TARGETS = tuple(kind for kind in TargetKind if kind not in _INTERNAL.values())
"""The promises made to the customer: the keys of a policy's target lines."""


class ClockState(StrEnum):
    """One state machine for every target.

    `breached` goes on running until answered (then `met_at` is set): the lateness counts on.
    """

    RUNNING = "running"
    PAUSED = "paused"
    BREACHED = "breached"
    MET = "met"
    CANCELLED = "cancelled"
