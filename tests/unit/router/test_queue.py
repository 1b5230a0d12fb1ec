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
    relaxed,
    signature,
)
from shared.contract.tickets import Channel, Urgency
from shared.policy.document import ChannelRule, Routing

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
    """Later than three lengths of its promise, it comes before everything else, the first to be so late first."""
    entry = place(due_at=NOW - 3 * 2 * HOUR - MINUTE)
    of_short_promise = place(due_at=NOW - 2 * HOUR, promised=HOUR / 2)

    assert (Band.RESCUE, 0, NOW - MINUTE) == (entry.band, entry.order_rank, entry.order_at)
    assert of_short_promise.key < entry.key
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
        (Channel.EMAIL, 14 * MINUTE),
        (Channel.SOCIAL, 12 * MINUTE),
        (Channel.SELF_SERVICE, 12 * MINUTE),
        (Channel.OTHER, 14 * MINUTE),
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


def test_strict_priority_puts_urgency_before_the_latest_start() -> None:
    """Only among what can still be saved: the late go by urgency anyway, the rescued by due time."""
    strict = Routing(strict_priority=True)

    assert (Urgency.HIGH.rank, NOW + HOUR) == (place(routing=strict).order_rank, place(routing=strict).order_at)
    assert place(routing=strict).key < place(routing=strict, urgency=Urgency.LOW, due_at=NOW + MINUTE).key
    assert 0 == place(routing=strict, due_at=NOW - 9 * HOUR).order_rank


def test_rescue_comes_as_soon_as_the_policy_says() -> None:
    """G is a number of promises."""
    assert NOW + HOUR + 1.5 * 2 * HOUR == place(routing=Routing(rescue_after=1.5)).rescue_at


def test_wait_for_a_previous_owner_is_as_long_as_the_policy_says() -> None:
    """None of the slack, or half of it."""
    assert NOW == place(previous_owner="ana", routing=Routing(affinity_wait=0.0)).affinity_until
    assert NOW + HOUR / 2 == place(previous_owner="ana", routing=Routing(affinity_wait=0.5)).affinity_until


def test_insisted_groups_are_needs_and_given_up_one_by_one_the_last_first() -> None:
    """Promised within two hours, begun an hour ago: a quarter was given up half an hour ago, the half goes now."""
    entry = place(insists=(("vip",), ("lang:fr", "gold"), ("near",)), due_at=NOW + 90 * MINUTE)

    assert ((("vip",), ("lang:fr", "gold")), (NOW + 30 * MINUTE, NOW + HOUR)) == (entry.insists, entry.relax_at)
    assert (("billing", 2), ("gold", 1), ("lang:fr", 1), ("vip", 1)) == entry.needs
    assert ("near", "product:pay") == entry.prefers
    assert signature(entry.channel, entry.needs) == entry.signature
    assert entry is relaxed(entry, NOW + 29 * MINUTE)

    later = relaxed(entry, NOW + 30 * MINUTE)

    assert ((("vip",),), (NOW + HOUR,)) == (later.insists, later.relax_at)
    assert (("billing", 2), ("vip", 1)) == later.needs
    assert ("lang:fr", "gold", "near", "product:pay") == later.prefers
    assert signature(entry.channel, later.needs) == later.signature
    assert (("billing", 2),) == relaxed(entry, NOW + HOUR).needs == entry.mandatory


def test_insisting_on_what_is_needed_anyway_adds_nothing() -> None:
    """So that giving it up never gives up a need."""
    entry = place(insists=(("billing",), ("vip", "billing"), ("vip",)), due_at=NOW + 2 * HOUR)

    assert ((("vip",),), (("billing", 2), ("vip", 1))) == (entry.insists, entry.needs)
    assert (("billing", 2),) == relaxed(entry, entry.relax_at[0]).needs


def test_short_promise_insists_on_nothing() -> None:
    """Under two minutes there is no time to wait for somebody who is only preferred."""
    entry = place(insists=(("vip",),), promised=119 * timedelta(seconds=1), due_at=NOW + MINUTE)

    assert ((), (), (("billing", 2),)) == (entry.insists, entry.relax_at, entry.needs)
    assert ("vip", "product:pay") == entry.prefers
    assert place(insists=(("vip",),), promised=2 * MINUTE, due_at=NOW + 2 * MINUTE).insists


def test_groups_beyond_the_shares_go_with_the_last_of_these() -> None:
    """All are given up in time."""
    entry = place(insists=(("p",), ("q",), ("r",)), due_at=NOW + 2 * HOUR, routing=Routing(relax=(0.25, 0.5)))

    assert (NOW + HOUR / 2, NOW + HOUR, NOW + HOUR) == entry.relax_at
    assert () == relaxed(entry, NOW + HOUR).insists


def test_overflow_comes_after_its_share_of_the_promise() -> None:
    """Half of two hours that end in one."""
    entry = place(overflow=("second", 0.5))

    assert ("second", NOW) == (entry.overflow_pool, entry.overflow_at)
    assert (None, None) == (place().overflow_pool, place().overflow_at)
