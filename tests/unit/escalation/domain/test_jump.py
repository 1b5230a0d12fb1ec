"""The database's clock against two clocks of this host (R33)."""

from datetime import UTC, datetime, timedelta

import pytest

from services.escalation.domain.jump import Reading, is_ahead, jumped_by

START = datetime(2026, 6, 1, tzinfo=UTC)


def reading(server: float, steady: float, wall: float) -> Reading:
    """Seconds after the first reading."""
    return Reading(server_at=START + timedelta(seconds=server), steady_seconds=100 + steady, wall_seconds=5000 + wall)


@pytest.mark.parametrize(
    ("server", "steady", "wall", "ahead"),
    [
        (10, 10, 10, False),
        (70, 10, 10, False),
        (71, 10, 10, True),
        (3600, 1, 3600, False),  # this host was suspended
        (10, 10, -590, False),  # this host's wall clock was set back
        (10, 10, 610, False),
        (-600, 1, 1, False),  # failover to a server that is behind: nothing un-fires
        (700, 10, -600, True),
    ],
)
def test_r33_firing_halts_only_when_the_server_jumped_ahead_of_both(server, steady, wall, ahead):
    """A wrong clock of this host alone changes nothing."""
    assert ahead == is_ahead(jumped_by(reading(0, 0, 0), reading(server, steady, wall)))
