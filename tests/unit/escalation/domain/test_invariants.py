"""What must hold for the pager to be alive: the edges of each, as tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.escalation.domain import invariants
from services.escalation.domain.invariants import Host, Invariant, Seen, Standstill, Stream

AT = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
SOUND = Seen(
    server_at=AT, oldest_due={}, oldest_lease_seconds=0, outbox_seconds=0, forgotten=0, unescalated=0
)  # fmt: skip
HERE = Host(wall_at=AT, last_server_at=AT - timedelta(seconds=10))


def seen(**changes: Any) -> Seen:
    """A sound database but for these."""
    return Seen(**{field: changes.get(field, getattr(SOUND, field)) for field in Seen.__struct_fields__})


def test_all_holds_where_nothing_is_late():
    """The beat goes out."""
    assert {} == invariants.broken_in_database(SOUND, HERE)


@pytest.mark.parametrize("waiting", invariants.WAITING)
def test_what_is_due_may_wait_thirty_seconds(waiting):
    """Just that long, and no longer; the text says what and how long."""
    assert {} == invariants.broken_in_database(seen(oldest_due={waiting: 30.0}), HERE)
    broken = invariants.broken_in_database(seen(oldest_due={waiting: 30.6}), HERE)
    assert [waiting] == list(broken)
    assert "has waited 31 s, 30 at most" in broken[waiting]


@pytest.mark.parametrize(
    ("changes", "invariant"),
    [
        ({"oldest_lease_seconds": 10.1}, Invariant.LEASES),
        ({"outbox_seconds": 60.1}, Invariant.OUTBOX),
        ({"forgotten": 1}, Invariant.NOBODY_FORGOTTEN),
        ({"unescalated": 2}, Invariant.BREACHES_ESCALATED),
    ],
)
def test_what_is_left_lying_is_broken(changes, invariant):
    """One thing wrong is one invariant broken."""
    assert [invariant] == list(invariants.broken_in_database(seen(**changes), HERE))


@pytest.mark.parametrize("changes", [{"oldest_lease_seconds": 10.0}, {"outbox_seconds": 60.0}])
def test_what_is_taken_up_in_time_is_not(changes):
    """At the bound it holds."""
    assert {} == invariants.broken_in_database(seen(**changes), HERE)


@pytest.mark.parametrize(
    ("host_off", "gone_back", "said"),
    [
        (0, 0, None),
        (60, 1, None),
        (-60, 0, None),
        (61, 0, "61 s behind this host's"),
        (-61, 0, "61 s ahead of this host's"),
        (0, 2, "gone back 2 s"),
    ],
)
def test_r33_the_databases_clock_keeps_beside_this_hosts_and_never_goes_back(host_off, gone_back, said):
    """A minute apart at most, a second back at most."""
    host = Host(wall_at=AT + timedelta(seconds=host_off), last_server_at=AT + timedelta(seconds=gone_back))
    broken = invariants.broken_in_database(SOUND, host)
    assert (said is None) == (not broken)
    assert said is None or said in broken[Invariant.TIME]


def test_the_first_look_has_no_look_before():
    """And is none the worse for it."""
    assert {} == invariants.broken_in_database(SOUND, Host(wall_at=AT, last_server_at=None))


def test_a_stream_stands_still_only_while_events_wait_and_none_moves():
    """A backlog that shrinks is no standstill, however long it is; an empty stream neither."""
    assert invariants.standstill(None, Stream(waiting=0, moved=5), 0.0) is None
    begun = invariants.standstill(None, Stream(waiting=9, moved=5), 10.0)
    assert Standstill(moved=5, since=10.0) == begun
    assert begun == invariants.standstill(begun, Stream(waiting=99, moved=5), 50.0)
    assert Standstill(moved=6, since=50.0) == invariants.standstill(begun, Stream(waiting=99, moved=6), 50.0)
    assert invariants.standstill(begun, Stream(waiting=0, moved=5), 50.0) is None


@pytest.mark.parametrize(("seconds", "is_broken"), [(60.0, False), (60.5, True)])
def test_a_standstill_is_broken_after_a_minute(seconds, is_broken):
    """Then somebody has to look at the router."""
    why = invariants.broken_stream(100.0 + seconds, Standstill(moved=5, since=100.0))
    assert is_broken == (why is not None)
    assert invariants.broken_stream(1000.0, None) is None
