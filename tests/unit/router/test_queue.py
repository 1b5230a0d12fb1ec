"""The place of a ticket in the queue."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.router.domain.queue import (
    WITHOUT_TARGET,
    Band,
    QueueEntry,
    Reason,
    place_in_queue,
    signature,
)
from shared.contract.tickets import Channel, Urgency
from shared.policy.document import ChannelRule

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def place(**changed: Any) -> QueueEntry:
    """A chat, due in an hour, promised within two."""
    given: dict[str, Any] = {
        "ticket_id": UUID(int=1),
        "tenant": "default",
        "pool": "default",
        "channel": Channel.LIVE_CHAT,
        "rule": ChannelRule(units=4),
        "needs": (("billing", 2),),
        "prefers": ("product:pay",),
        "urgency": Urgency.HIGH,
        "queued_at": NOW - HOUR,
        "due_at": NOW + HOUR,
        "promised": 2 * HOUR,
        "now": NOW,
    }
    return place_in_queue(**given | changed)


def test_savable_ticket_is_ordered_by_its_latest_start() -> None:
    """What can still be answered in time stands in the band of the savable, by when somebody has to begin."""
    entry = place()

    assert (Band.SAVABLE, 0, NOW + HOUR) == (entry.band, entry.order_rank, entry.order_at)
    assert (4, False, 1, Reason.NEW) == (entry.units, entry.interruptible, entry.urgency_rank, entry.reason)


def test_late_ticket_is_ordered_by_urgency_then_due_time() -> None:
    """Past its latest start, urgency counts first."""
    entry = place(due_at=NOW - MINUTE)

    assert (Band.LATE, Urgency.HIGH.rank, NOW - MINUTE) == (entry.band, entry.order_rank, entry.order_at)


def test_very_late_ticket_is_rescued() -> None:
    """Later than three lengths of its promise, it comes before everything else, the longest overdue first."""
    due_at = NOW - 3 * 2 * HOUR - MINUTE
    entry = place(due_at=due_at)

    assert (Band.RESCUE, 0, due_at) == (entry.band, entry.order_rank, entry.order_at)
    assert entry.key < place(due_at=NOW - 5 * HOUR).key


def test_ticket_at_its_latest_start_is_still_savable() -> None:
    """The instant itself belongs to the better band."""
    assert Band.SAVABLE is place(due_at=NOW).band
    assert Band.LATE is place(due_at=NOW - 3 * 2 * HOUR).band


@pytest.mark.parametrize(
    ("channel", "effort"),
    [
        (Channel.PHONE, timedelta()),
        (Channel.LIVE_CHAT, timedelta()),
        (Channel.MESSAGING, timedelta()),
        (Channel.EMAIL, 9 * MINUTE),
        (Channel.SOCIAL, 8 * MINUTE),
        (Channel.SELF_SERVICE, 8 * MINUTE),
        (Channel.OTHER, 9 * MINUTE),
    ],
)
def test_latest_start_leaves_time_to_write(channel: Channel, effort: timedelta) -> None:
    """An answer that has to be written is begun earlier; picking up a call is itself the answer."""
    assert NOW + HOUR - effort == place(channel=channel).latest_start_at


def test_short_promise_is_not_given_up_at_once() -> None:
    """Writing takes at most half of the promise, so an e-mail promised within five minutes can still be saved."""
    entry = place(channel=Channel.EMAIL, due_at=NOW + 5 * MINUTE, promised=5 * MINUTE)

    assert NOW + 2.5 * MINUTE == entry.latest_start_at


def test_ticket_without_target_waits_as_if_due_in_a_week() -> None:
    """Nobody promised anything: it stands behind those who were promised something, and isn't forgotten."""
    entry = place(due_at=None, promised=None)

    assert NOW - HOUR + WITHOUT_TARGET == entry.due_at
    assert entry.due_at + 3 * WITHOUT_TARGET == entry.rescue_at


def test_length_of_promise_defaults_to_the_time_from_queue_to_due() -> None:
    """Where no clock says how long the promise was, the wait it allows is taken."""
    assert NOW + HOUR + 3 * 2 * HOUR == place(promised=None).rescue_at


def test_ticket_waits_for_its_previous_owner_for_a_fifth_of_its_slack() -> None:
    """Affinity may cost some of the slack, never the promise."""
    assert NOW + HOUR / 5 == place(previous_owner="ana").affinity_until


def test_no_call_and_no_late_ticket_waits_for_a_previous_owner() -> None:
    """There is no slack to spend."""
    assert place(previous_owner="ana", channel=Channel.PHONE).affinity_until is None
    assert place(previous_owner="ana", due_at=NOW - MINUTE).affinity_until is None
    assert place().affinity_until is None


def test_signature_does_not_depend_on_the_order_of_needs() -> None:
    """The same people can take them, so they stand in one line."""
    assert signature(Channel.EMAIL, (("a", 1), ("b", 2))) == signature(Channel.EMAIL, (("b", 2), ("a", 1)))


def test_signature_tells_channels_skills_and_levels_apart() -> None:
    """Other people can take them, so they stand in different lines."""
    kinds = [
        signature(Channel.EMAIL, (("a", 1),)),
        signature(Channel.PHONE, (("a", 1),)),
        signature(Channel.EMAIL, (("a", 2),)),
        signature(Channel.EMAIL, (("a1", 1),)),
        signature(Channel.EMAIL, ()),
    ]

    assert len(kinds) == len(set(kinds))
    assert all(0 <= kind < 1 << 63 for kind in kinds)


def test_signature_is_the_same_in_every_version() -> None:
    """It is stored, so it must never change."""
    assert 2075609767467229818 == signature(Channel.EMAIL, (("billing", 3), ("lang:en", 1)))


def test_older_ticket_then_smaller_id_comes_first_among_equals() -> None:
    """Ties of the key are broken by age, then id."""
    older = place(ticket_id=UUID(int=9), queued_at=NOW - 2 * HOUR)
    first = place(ticket_id=UUID(int=2))
    second = place(ticket_id=UUID(int=3))

    assert [older, first, second] == sorted([second, first, older], key=lambda entry: entry.key)
