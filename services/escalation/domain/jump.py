"""Whether the database's clock has jumped (R33).

Time that a test warps is not looked at: only the server's own clock, beside two clocks of this host. A host that was
suspended sees its wall clock agree with the server; a host whose wall clock is set sees its steady clock agree.
"""

from datetime import datetime, timedelta

from msgspec import Struct

TOLERANCE = timedelta(seconds=60)


class Reading(Struct, frozen=True, kw_only=True):
    """Three clocks read at one moment."""

    server_at: datetime
    """`clock_timestamp()` of the database, never the warped time."""
    steady_seconds: float
    wall_seconds: float


def jumped_by(first: Reading, now: Reading) -> timedelta:
    """How far the server's clock has moved against both clocks of this host since `first`; zero where one agrees."""
    passed = now.server_at - first.server_at
    steady = passed - timedelta(seconds=now.steady_seconds - first.steady_seconds)
    wall = passed - timedelta(seconds=now.wall_seconds - first.wall_seconds)
    if (steady > timedelta()) != (wall > timedelta()):
        return timedelta()
    return min(steady, wall, key=abs)


def is_ahead(jump: timedelta) -> bool:
    """Whether firing must halt: it would break promises whose time has not come."""
    return jump > TOLERANCE
