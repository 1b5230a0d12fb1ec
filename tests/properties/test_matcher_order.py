"""What holds for the order of the queue as time passes (routing-rules 3.3, 3.5 and 4)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain.match import match
from services.router.domain.queue import Band, QueueEntry, Waiting, place_in_queue, relaxed
from services.router.domain.roster import Agent, Profile
from shared.contract.tickets import Channel, Urgency
from shared.policy.document import ChannelRule, Routing
from tests.effort import examples
from tests.properties.plain_rules import (
    CHANNELS,
    COST,
    KEYS,
    MINUTE,
    NEEDS,
    NOW,
    Dice,
    agents,
    is_skilled,
    moved_on,
    rolled,
)

EFFORT = {Channel.EMAIL: 14 * MINUTE, Channel.SOCIAL: 12 * MINUTE}
G = 3
HOURS = st.integers(0, 7_200).map(lambda n: timedelta(seconds=n))
RINGS = ((), ((),), (("a",),), (("vip",),), (("b", "vip"), ("a",)), (("a",), ("lang:en", "a"), ("vip",), ("b",)))
_LENGTHS = tuple(timedelta(seconds=n) for n in (0, 1, 119, 120, 300, 1_200, 3_600, 7_200))


def _facts(dice: Dice) -> dict[str, Any]:
    """What is known of a ticket when it is put in the queue, but for the instant."""
    channel = dice.of(*CHANNELS)
    units, interruptible = COST[channel]
    return {
        "ticket_id": UUID(int=dice.of(*range(10_000))),
        "tenant": "default",
        "pool": "default",
        "channel": channel,
        "rule": ChannelRule(units=units, interruptible=interruptible),
        "needs": dice.of(*NEEDS),
        "prefers": dice.of((), ("a",), ("vip",)),
        "urgency": dice.of(*Urgency),
        "queued_at": NOW - dice.of(*_LENGTHS),
        "due_at": dice.of(None, *(NOW - 60 * MINUTE + n * MINUTE for n in range(1, 121, 7))),
        "promised": dice.of(None, *_LENGTHS),
        "previous_owner": dice.of(None, *KEYS),
        "excluded": dice.of((), ("ana",)),
        "insists": dice.of(*RINGS),
        "routing": Routing(
            strict_priority=dice.of(False, True),
            rescue_after=dice.of(0.0, 1.0, 3.0),
            relax=dice.of((), (0.5,), (0.1, 0.75), (0.25, 0.5, 0.75)),
            affinity_wait=dice.of(0.0, 0.2, 1.0),
        ),
    }


facts = rolled(_facts)


@settings(max_examples=examples(100))
@given(facts, HOURS, HOURS)
def test_place_tells_when_it_could_be_saved(ticket: dict[str, Any], first: timedelta, later: timedelta) -> None:
    """3.3: rescued after G lengths of the promise, savable up to the latest start, late between the two."""
    entry = place_in_queue(**ticket, now=NOW + first)
    due_at = ticket["due_at"] or ticket["queued_at"] + timedelta(days=7)
    promised = ticket["promised"] if ticket["due_at"] else timedelta(days=7)
    if promised is None:
        promised = max(due_at - ticket["queued_at"], timedelta())
    start_by = due_at - min(EFFORT.get(ticket["channel"], timedelta()), promised / 2)
    routing = ticket["routing"]
    for now in (NOW + first, NOW + first + later):
        entry = place_in_queue(**ticket, now=now)
        rank = ticket["urgency"].rank
        rescue_at = start_by + routing.rescue_after * promised
        if now > rescue_at:
            expected = (Band.RESCUE, 0, rescue_at)
        elif now > start_by:
            expected = (Band.LATE, rank, due_at)
        else:
            expected = (Band.SAVABLE, rank if routing.strict_priority else 0, start_by)
        assert expected == (entry.band, entry.order_rank, entry.order_at)


@settings(max_examples=examples(100))
@given(facts, HOURS, HOURS)
def test_coming_back_keeps_age_and_promise(ticket: dict[str, Any], first: timedelta, later: timedelta) -> None:
    """P14: a ticket that is queued again has its age, its due time and its timers; only its band may have moved on."""
    before = place_in_queue(**ticket, now=NOW + first)
    again = place_in_queue(**ticket, now=NOW + first + later)

    for name in ("queued_at", "due_at", "latest_start_at", "rescue_at", "excluded", "urgency_rank"):
        assert getattr(before, name) == getattr(again, name)
    relaxed_before = relaxed(before, NOW + first + later)
    for name in ("needs", "insists", "relax_at", "signature"):
        assert getattr(relaxed_before, name) == getattr(again, name)
    assert set(relaxed_before.prefers) == set(again.prefers)


@settings(max_examples=examples(100))
@given(facts, agents(), st.lists(HOURS, max_size=4).map(sorted))
def test_who_may_have_a_ticket_may_have_it_later(
    ticket: dict[str, Any], roster: list[Agent], waits: Sequence[timedelta]
) -> None:
    """P10: rings open one by one, and never close; what is mandatory stays."""
    entry = place_in_queue(**ticket, now=NOW)
    mandatory = dict(ticket["needs"])
    before: set[str] = set()
    for wait in waits:
        entry = relaxed(entry, NOW + wait)
        able = {agent.key for agent in roster if is_skilled(agent, entry.channel, entry.needs)}
        assert before <= able
        before = able
        assert mandatory.items() <= dict(entry.needs).items()
        insisted = {skill for group in entry.insists for skill in group}
        assert insisted == dict(entry.needs).keys() - mandatory.keys()
        wished = {skill for group in ticket["insists"] for skill in group} | set(ticket["prefers"])
        assert wished - mandatory.keys() - insisted == set(entry.prefers) - mandatory.keys()
        assert all(at > NOW + wait for at in entry.relax_at)
        assert len(entry.insists) == len(entry.relax_at)
    last = relaxed(entry, max([NOW, *entry.relax_at]))
    assert (last.mandatory, last.insists) == (last.needs, ())
    assert mandatory == dict(last.needs)


@settings(max_examples=examples(100))
@given(facts)
def test_ring_opens_within_the_promise_or_never_closes(ticket: dict[str, Any]) -> None:
    """3.5: the last group goes first, each at its share of the promise; a promise under two minutes insists on nothing."""
    entry = place_in_queue(**ticket, now=NOW - timedelta(days=30))
    due_at = ticket["due_at"] or ticket["queued_at"] + timedelta(days=7)
    promised = ticket["promised"] if ticket["due_at"] else timedelta(days=7)
    if promised is None:
        promised = max(due_at - ticket["queued_at"], timedelta())
    if promised < 2 * MINUTE or not ticket["routing"].relax:
        assert not entry.insists
    begun = due_at - promised
    relax = ticket["routing"].relax
    for n, at in enumerate(entry.relax_at):
        assert abs(at - (begun + relax[min(n, len(relax) - 1)] * promised)) < timedelta(milliseconds=1)
        still_closed = sum(later > at for later in entry.relax_at)
        assert entry.insists[:still_closed] == relaxed(entry, at).insists


@settings(max_examples=examples(100))
@given(facts, HOURS)
def test_wait_for_a_previous_owner_is_a_share_of_the_slack(ticket: dict[str, Any], wait: timedelta) -> None:
    """P13: never longer than the policy's share of the time in which it can still be saved, and not at all for a call."""
    now = NOW + wait
    entry = place_in_queue(**ticket, now=now)
    slack = max(entry.latest_start_at - now, timedelta())
    until = entry.affinity_until
    if ticket["previous_owner"] is None or ticket["channel"] is Channel.PHONE:
        assert until is None
    assert until is None or until <= now + ticket["routing"].affinity_wait * slack


@settings(max_examples=examples(40))
@given(st.lists(facts, max_size=12, unique_by=lambda one: one["ticket_id"]), st.booleans(), HOURS)
def test_strict_priority_is_by_urgency_then_by_due_time(
    many: list[dict[str, Any]], is_strict: bool, wait: timedelta
) -> None:
    """P6: among tickets that can be saved, with `strict_priority` the more urgent first and within them by latest start."""
    now = NOW + wait
    routing = Routing(strict_priority=is_strict)
    alike = {"needs": (), "insists": (), "channel": Channel.LIVE_CHAT, "rule": ChannelRule(units=4), "excluded": ()}
    entries = [place_in_queue(**one | alike | {"routing": routing, "previous_owner": None}, now=now) for one in many]
    entries = [entry for entry in entries if entry.band is Band.SAVABLE]
    ana = Agent(
        key="ana",
        profile=Profile(skills={}, channels=frozenset(COST)),
        capacity=4 * (len(entries) // 2),
        is_online=True,
    )

    matched = match(entries, [ana], now)

    def rank(entry: Waiting) -> tuple[int, datetime, datetime, UUID]:
        [found] = [one for one in entries if one.ticket_id == entry.ticket_id]
        return (found.urgency_rank if is_strict else 0, found.latest_start_at, found.queued_at, found.ticket_id)

    assert sorted(entries, key=rank)[: len(entries) // 2] == [choice.ticket for choice in matched.chosen]


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[timedelta, timedelta, Urgency, timedelta]]:
    """When each comes, how long its promise is, its urgency, and how long it takes: up to twenty minutes."""
    one = st.tuples(
        st.integers(0, 120).map(lambda n: n * MINUTE),
        st.integers(1, 30).map(lambda n: n * MINUTE),
        st.sampled_from(Urgency),
        st.integers(1, 20).map(lambda n: n * MINUTE),
    )
    return draw(st.lists(one, min_size=1, max_size=25))


@settings(max_examples=examples(40))
@given(arrivals(), st.integers(1, 2))
def test_nobody_starves(coming: list[tuple[timedelta, timedelta, Urgency, timedelta]], people: int) -> None:
    """P9: once a ticket is to be rescued, only what is rescued before it and what was begun already holds it up."""
    profile = Profile(skills={}, channels=frozenset(COST))
    busy_until = dict.fromkeys([f"agent{n}" for n in range(people)], NOW)
    waiting: dict[UUID, QueueEntry] = {}
    begun: list[tuple[datetime, QueueEntry]] = []
    longest = max(takes for _, _, _, takes in coming)
    pending = sorted(enumerate(coming), key=lambda item: item[1][0])
    now = NOW
    while pending or waiting:
        while pending and NOW + pending[0][1][0] <= now:
            number, (after, promised, urgency, _) = pending.pop(0)
            waiting[UUID(int=number)] = new_call(UUID(int=number), NOW + after, promised, urgency)
        waiting = {ticket_id: moved_on(entry, now) for ticket_id, entry in waiting.items()}
        roster = [
            Agent(key=key, profile=profile, capacity=12, is_online=True, primary_used=12 * (now < until))
            for key, until in busy_until.items()
        ]
        for choice in match(waiting.values(), roster, now).chosen:
            begun.append((now, waiting.pop(choice.ticket.ticket_id)))
            busy_until[choice.agent] = now + coming[choice.ticket.ticket_id.int][3]
        later = [until for until in busy_until.values() if until > now]
        now = min([*later, *(NOW + after for _, (after, _, _, _) in pending[:1])], default=now)
    assert len(coming) == len(begun)
    for at, entry in begun:
        rescue_at = entry.latest_start_at + G * (entry.due_at - entry.queued_at)
        if at > rescue_at:
            ahead = [other for other_at, other in begun if rescue_at < other_at < at]
            assert all((other.band, other.rescue_at) <= (Band.RESCUE, entry.rescue_at) for other in ahead)
            assert people * (at - rescue_at) <= (len(ahead) + people) * longest


def new_call(ticket_id: UUID, at: datetime, promised: timedelta, urgency: Urgency) -> QueueEntry:
    """A call that takes a whole agent."""
    return place_in_queue(
        ticket_id=ticket_id,
        tenant="default",
        pool="default",
        channel=Channel.PHONE,
        rule=ChannelRule(units=12),
        needs=(),
        prefers=(),
        urgency=urgency,
        queued_at=at,
        due_at=at + promised,
        promised=promised,
        now=at,
    )
