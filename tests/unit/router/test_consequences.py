"""What follows when nobody can take a ticket (routing-rules 3.6)."""

from datetime import UTC, datetime, timedelta

import pytest

from services.router.domain.consequences import consequence, half_the_slack
from services.router.domain.queue import Reason
from shared.contract.help import Why
from shared.policy.parse import parse_policy

NOW = datetime(2026, 6, 1, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_where_nobody_has_the_skill_somebody_is_told_at_once() -> None:
    """There is nothing to wait for."""
    found = consequence(Reason.NO_SKILL, NOW, NOW + 8 * HOUR, was_cleared=False)
    assert found is not None
    assert (Why.NO_SKILL, NOW, False) == (found.why, found.help_at, found.asks_again)


def test_people_who_are_not_there_get_half_of_the_slack() -> None:
    """Half-way between now and the latest start."""
    found = consequence(Reason.OFFLINE, NOW, NOW + 8 * HOUR, was_cleared=False)
    assert found is not None
    assert (Why.OFFLINE, NOW + 4 * HOUR, False) == (found.why, found.help_at, found.asks_again)


def test_nobody_is_woken_while_the_calendar_is_closed() -> None:
    """Monday 20:00, to be begun by Tuesday 13:00 of an office that opens at 9:00: half of four open hours is 11:00."""
    office = parse_policy(
        'calendars: {office: {hours: {mon-fri: "09:00-17:00"}}}\ntargets: [{name: all, calendar: office, update: 1h}]',
        version=1,
    ).sla.calendars["office"]
    opens = datetime(2026, 6, 2, 9, tzinfo=UTC)
    assert opens + 2 * HOUR == half_the_slack(NOW, opens + 4 * HOUR, office)
    assert opens == half_the_slack(NOW, NOW - HOUR, office) == half_the_slack(NOW, opens - HOUR, office)
    assert opens + HOUR == half_the_slack(opens + HOUR, NOW, office)


def test_a_ticket_that_is_late_already_has_no_slack() -> None:
    """Somebody is told at once, never in the past."""
    assert NOW == half_the_slack(NOW, NOW - HOUR)
    assert NOW == half_the_slack(NOW, NOW)


@pytest.mark.parametrize("was_cleared", [False, True])
def test_all_who_declined_are_asked_once_more_and_not_twice(was_cleared: bool) -> None:
    """Somebody is told both times."""
    found = consequence(Reason.EXCLUDED, NOW, NOW + HOUR, was_cleared=was_cleared)
    assert found is not None
    assert (Why.EXCLUDED, NOW, not was_cleared) == (found.why, found.help_at, found.asks_again)


@pytest.mark.parametrize("reason", [Reason.FULL, Reason.FRAGMENTED, Reason.NEW])
def test_what_passes_by_itself_just_waits_in_its_order(reason: Reason) -> None:
    """Nobody is woken because all are busy."""
    assert consequence(reason, NOW, NOW - HOUR, was_cleared=True) is None
