"""What must hold for the pager to be alive, judged from what the auditor saw.

The auditor is the engine's critic: nothing here, nor in what it reads with, comes from firing, stepping or sending.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

OLDEST_DUE = timedelta(seconds=30)
"""What is due longer than this, nobody takes care of."""
OLDEST_LEASE = timedelta(seconds=10)
"""A lease that ran out is taken over within seconds."""
OLDEST_EVENT = timedelta(seconds=60)
LONGEST_STANDSTILL = timedelta(seconds=60)
"""While events wait for the router."""
CLOCKS_APART = timedelta(seconds=60)
_BACKWARDS = timedelta(seconds=1)


class Invariant(StrEnum):
    """One thing that must hold; the metric's label."""

    DATABASE = "database"
    CLOCKS = "clocks"
    REQUESTS = "requests"
    STEPS = "steps"
    WAKINGS = "wakings"
    GROUPS = "groups"
    PAGES = "pages"
    LEASES = "leases"
    OUTBOX = "outbox"
    NATS = "nats"
    TIME = "time"
    NOBODY_FORGOTTEN = "nobody_forgotten"
    BREACHES_ESCALATED = "breaches_escalated"


_WAITING = {
    Invariant.CLOCKS: "a promise whose time has come",
    Invariant.REQUESTS: "a ticket that needs somebody",
    Invariant.STEPS: "the next step of an escalation",
    Invariant.WAKINGS: "an escalation that was to wake, to end or to change hands",
    Invariant.GROUPS: "a group whose pages are to be told of",
    Invariant.PAGES: "a page, or the next way to send it,",
}
WAITING = tuple(_WAITING)
"""Those that are about rows whose time has come."""


class Seen(Struct, frozen=True, kw_only=True):
    """What the database says."""

    server_at: datetime
    """The server's own clock, never warped."""
    oldest_due: Mapping[Invariant, float]
    """For how many real seconds the oldest due row of each kind has waited."""
    oldest_lease_seconds: float
    """For how long the oldest lease has been over and not taken up."""
    outbox_seconds: float
    forgotten: int
    """Escalations that nobody answered and nothing follows."""
    unescalated: int
    """Broken promises without the escalation that the policy has for them."""


class Stream(Struct, frozen=True, kw_only=True):
    """The router's consumer, by JetStream."""

    waiting: int
    """Events that were not handed out, or not settled."""
    moved: int
    """Grows with everything that is handed out or settled."""


class Standstill(Struct, frozen=True, kw_only=True):
    """Since when a consumer has not moved though events wait; seconds of a clock that never jumps."""

    moved: int
    since: float

    def seconds(self, now: float) -> float:
        """How long it lasts."""
        return max(now - self.since, 0.0)


class Host(Struct, frozen=True, kw_only=True):
    """This host's clock beside the server's, at one moment."""

    wall_at: datetime
    last_server_at: datetime | None
    """The server's clock at the look before."""


def standstill(before: Standstill | None, stream: Stream, now: float) -> Standstill | None:
    """None while nothing waits; else since when nothing has moved."""
    if not stream.waiting:
        return None
    if before is None or before.moved != stream.moved:
        return Standstill(moved=stream.moved, since=now)
    return before


def broken_in_database(seen: Seen, host: Host) -> dict[Invariant, str]:
    """Those that do not hold, each with what is wrong and what to look at."""
    broken = {
        about: f"{what} has waited {seconds:.0f} s, {OLDEST_DUE.total_seconds():.0f} at most"
        for about, what in _WAITING.items()
        if (seconds := seen.oldest_due.get(about, 0.0)) > OLDEST_DUE.total_seconds()
    }
    if seen.oldest_lease_seconds > OLDEST_LEASE.total_seconds():
        broken[Invariant.LEASES] = (
            f"a page whose sender died was not taken over for {seen.oldest_lease_seconds:.0f} s: no tidying goes on"
        )
    if seen.outbox_seconds > OLDEST_EVENT.total_seconds():
        broken[Invariant.OUTBOX] = f"events of ours have waited {seen.outbox_seconds:.0f} s for NATS"
    if (wrong := _wrong_time(seen.server_at, host)) is not None:
        broken[Invariant.TIME] = wrong
    if seen.forgotten:
        broken[Invariant.NOBODY_FORGOTTEN] = (
            f"{seen.forgotten} escalations that nobody acknowledged have no next step and no page: GET /v1/escalations"
        )
    if seen.unescalated:
        broken[Invariant.BREACHES_ESCALATED] = f"{seen.unescalated} broken promises have no escalation, and ought to"
    return broken


def broken_stream(now: float, stopped: Standstill | None) -> str | None:
    """Why events don't flow, or None."""
    if stopped is None or (seconds := stopped.seconds(now)) <= LONGEST_STANDSTILL.total_seconds():
        return None
    return f"events wait in JetStream, and no router has taken any for {seconds:.0f} s"


def _wrong_time(server_at: datetime, host: Host) -> str | None:
    apart = server_at - host.wall_at
    if abs(apart) > CLOCKS_APART:
        seconds = apart.total_seconds()
        return f"the database's clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this host's"
    if host.last_server_at is not None and host.last_server_at - server_at > _BACKWARDS:
        back = (host.last_server_at - server_at).total_seconds()
        return f"the database's clock has gone back {back:.0f} s since the look before"
    return None
