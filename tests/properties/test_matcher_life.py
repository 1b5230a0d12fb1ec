"""A helpdesk's day, one thing after the other: what holds at every moment of it (routing-rules 4)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from services.router.domain.match import Because, Matched, match
from services.router.domain.queue import Band, QueueEntry, Waiting, place_in_queue, relaxed
from services.router.domain.roster import Agent
from shared.contract.tickets import Channel, Urgency
from shared.policy.document import ChannelRule, Routing
from tests.effort import examples
from tests.properties.plain_rules import (
    COST,
    MINUTE,
    NOW,
    Load,
    agents,
    carry,
    channels,
    is_skilled,
    moved_on,
    needs,
    place,
    waits_for_owner,
)

Facts = dict[str, Any]

arriving = st.fixed_dictionaries(
    {
        "channel": channels,
        "needs": needs,
        "prefers": st.sampled_from(((), ("a",))),
        "insists": st.sampled_from(((), (), (("b",),), (("a",), ("lang:en",)))),
        "urgency": st.sampled_from(Urgency),
        "promised": st.sampled_from((MINUTE, 20 * MINUTE, 60 * MINUTE)),
    }
)


class HelpdeskMachine(RuleBasedStateMachine):
    """Tickets come, are done, declined and given back; agents come and go; time passes; a run follows each time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.routing = Routing()
        self.facts: dict[UUID, Facts] = {}
        self.queue: dict[UUID, QueueEntry] = {}
        self.first: dict[UUID, QueueEntry] = {}
        self.owner_until: dict[UUID, datetime | None] = {}
        self.able: dict[UUID, set[str]] = {}
        self.roster: list[Agent] = []
        self.active: dict[UUID, tuple[Waiting, str]] = {}
        self.done: set[UUID] = set()

    @initialize(roster=agents(), is_strict=st.booleans())
    def open(self, roster: list[Agent], is_strict: bool) -> None:
        """Everybody begins with nothing."""
        self.routing = Routing(strict_priority=is_strict)
        self.roster = [
            replace(agent, primary_used=0, interruptible_used=0, calls=0, held={}, last_assigned_at=None)
            for agent in roster
        ]

    @rule(coming=st.lists(arriving, min_size=1, max_size=5))
    def arrive(self, coming: list[Facts]) -> None:
        """Tickets come."""
        for facts in coming:
            units, interruptible = COST[facts["channel"]]
            ticket_id = UUID(int=len(self.facts))
            self.facts[ticket_id] = facts | {
                "ticket_id": ticket_id,
                "tenant": "default",
                "pool": "default",
                "rule": ChannelRule(units=units, interruptible=interruptible),
                "queued_at": self.now,
                "due_at": self.now + facts["promised"],
                "routing": self.routing,
            }
            self.enqueue(ticket_id)
        self.run()

    @precondition(lambda self: self.active)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Somebody is done with a ticket."""
        self.done.add(self.end_one(data)[0])
        self.run()

    @precondition(lambda self: self.active)
    @rule(data=st.data())
    def decline(self, data: st.DataObject) -> None:
        """Somebody doesn't want a ticket; others are asked."""
        ticket_id, key = self.end_one(data)
        facts = self.facts[ticket_id]
        facts["excluded"] = (*facts.get("excluded", ()), key)
        self.enqueue(ticket_id)
        self.run()

    @precondition(lambda self: self.active)
    @rule(data=st.data())
    def come_back(self, data: st.DataObject) -> None:
        """A ticket waits again, best for who had it."""
        ticket_id, key = self.end_one(data)
        self.facts[ticket_id]["previous_owner"] = key
        self.enqueue(ticket_id)
        self.run()

    @precondition(lambda self: self.roster)
    @rule(data=st.data(), channel=st.none() | channels)
    def come_or_go(self, data: st.DataObject, channel: Channel | None) -> None:
        """Presence changes, for one channel or for all; who goes keeps what they have."""
        index = data.draw(st.integers(0, len(self.roster) - 1))
        agent = self.roster[index]
        if channel is None:
            self.roster[index] = replace(agent, is_online=not agent.is_online)
        else:
            self.roster[index] = replace(agent, closed_channels=agent.closed_channels ^ {channel})
        self.run()

    @rule(minutes=st.integers(1, 90))
    def wait(self, minutes: int) -> None:
        """Time passes: rings open, and tickets change their bands."""
        self.now += minutes * MINUTE
        for ticket_id, entry in self.queue.items():
            opened = relaxed(entry, self.now)
            self.queue[ticket_id] = moved_on(opened, self.now)
        self.run()

    def enqueue(self, ticket_id: UUID) -> None:
        """Put a ticket in the queue, for the first time or again."""
        entry = place_in_queue(**self.facts[ticket_id], now=self.now)
        self.queue[ticket_id] = entry
        self.first.setdefault(ticket_id, entry)
        self.owner_until[ticket_id] = None
        if entry.previous_owner and entry.channel is not Channel.PHONE:
            self.owner_until[ticket_id] = self.now + max(entry.latest_start_at - self.now, timedelta()) / 5

    def end_one(self, data: st.DataObject) -> tuple[UUID, str]:
        """Somebody is rid of a ticket; says which and who."""
        ticket_id = data.draw(st.sampled_from(sorted(self.active)))
        ticket, key = self.active.pop(ticket_id)
        for index, agent in enumerate(self.roster):
            if agent.key == key:
                self.roster[index] = replace(
                    agent,
                    primary_used=agent.primary_used - (0 if ticket.interruptible else ticket.units),
                    interruptible_used=agent.interruptible_used - (ticket.units if ticket.interruptible else 0),
                    calls=agent.calls - (ticket.channel is Channel.PHONE),
                    held={**agent.held, ticket.channel: agent.held[ticket.channel] - 1},
                )
        return ticket_id, key

    def run(self) -> None:
        """What the service does after each of these."""
        matched = match(self.queue.values(), self.roster, self.now)
        self.check_run(matched)
        for choice in matched.chosen:
            self.active[choice.ticket.ticket_id] = (choice.ticket, choice.agent)
            del self.queue[choice.ticket.ticket_id]
            self.able.pop(choice.ticket.ticket_id, None)
        self.roster = carry(matched, self.roster, self.now)

    def check_run(self, matched: Matched) -> None:
        """P2, P3, P6, P7: at the moment of each assignment."""
        loads = {agent.key: Load(agent) for agent in self.roster}
        for choice in matched.chosen:
            ticket, load = choice.ticket, loads[choice.agent]
            assert ticket == self.queue[ticket.ticket_id]
            assert load.may_have(ticket)
            assert load.fits(ticket)
            facts = self.facts[ticket.ticket_id]
            assert is_skilled(load.agent, ticket.channel, facts["needs"])
            assert load.agent.profile.skills.keys() >= insisted(facts, self.now)
            assert (choice.because is Because.PREVIOUS_OWNER) == (choice.agent == ticket.previous_owner)
            load.add(ticket)
        given = [choice.ticket for choice in matched.chosen]
        assert len({ticket.ticket_id for ticket in given}) == len(given)
        for ticket, _ in matched.left:
            assert not any(
                other.signature == ticket.signature
                and (other.excluded, other.previous_owner) == (ticket.excluded, ticket.previous_owner) == ((), None)
                and place(other) > place(ticket)
                for other in given
            )

    @invariant()
    def p1_nobody_has_more_than_their_capacity(self) -> None:
        """P1, and the ceilings."""
        for agent in self.roster:
            assert 0 <= agent.primary_used <= agent.capacity
            assert 0 <= agent.interruptible_used <= 2 * agent.capacity - agent.primary_used
            assert 0 <= agent.calls <= 1
            assert all(agent.held.get(channel, 0) <= most for channel, most in agent.at_most.items())

    @invariant()
    def p3_no_ticket_is_lost_or_has_two_owners(self) -> None:
        """P3: every ticket waits, or somebody has it, or it is done."""
        places = [*self.queue, *self.active, *self.done]
        assert sorted(places) == sorted(self.facts)

    @invariant()
    def p4_nobody_is_idle_who_could_work(self) -> None:
        """P4; the wait for a previous owner is the only excuse."""
        loads = {agent.key: Load(agent) for agent in self.roster}
        for ticket in self.queue.values():
            is_placeable = any(load.may_have(ticket) and load.fits(ticket) for load in loads.values())
            assert not is_placeable or waits_for_owner(ticket, loads, self.now)

    @invariant()
    def p10_rings_only_open(self) -> None:
        """P10: whoever could once have a ticket that waits can have it still."""
        for ticket_id, entry in self.queue.items():
            able = {agent.key for agent in self.roster if is_skilled(agent, entry.channel, entry.needs)}
            assert self.able.get(ticket_id, set()) <= able
            self.able[ticket_id] = able

    @invariant()
    def p13_nobody_waits_too_long_for_who_had_it(self) -> None:
        """P13: what somebody else could take waits for a fifth of its slack at most."""
        loads = [Load(agent) for agent in self.roster]
        for ticket_id, ticket in self.queue.items():
            until = self.owner_until[ticket_id]
            if until is None or self.now >= until:
                assert not any(load.may_have(ticket) and load.fits(ticket) for load in loads)

    @invariant()
    def p14_age_and_promise_are_kept(self) -> None:
        """P14: whatever happened to it, a ticket has its age and its due time, and the place that follows from them."""
        for ticket_id, entry in self.queue.items():
            first = self.first[ticket_id]
            assert (first.queued_at, first.due_at, first.rescue_at) == (entry.queued_at, entry.due_at, entry.rescue_at)
            if self.now > first.rescue_at:
                assert entry.band is Band.RESCUE
            elif self.now > first.latest_start_at:
                assert entry.band is Band.LATE

    @invariant()
    def p15_loads_are_the_sum_of_what_is_active(self) -> None:
        """P15."""
        for agent in self.roster:
            mine = [ticket for ticket, key in self.active.values() if key == agent.key]
            assert units(ticket for ticket in mine if not ticket.interruptible) == agent.primary_used
            assert units(ticket for ticket in mine if ticket.interruptible) == agent.interruptible_used
            for channel in Channel:
                assert sum(ticket.channel is channel for ticket in mine) == agent.held.get(channel, 0)


def insisted(facts: Facts, now: datetime) -> set[str]:
    """3.5: what is insisted upon still: the last group goes after a quarter of the promise, the one before after half."""
    if facts["promised"] < 2 * MINUTE:
        return set()
    mandatory = {skill for skill, _ in facts["needs"]}
    groups = [set(group) - mandatory for group in facts["insists"] if set(group) - mandatory]
    passed = (now - facts["queued_at"]) / facts["promised"]
    given_up = sum(passed >= share for share in (0.25, 0.5, 0.75))
    return set().union(*groups[: max(len(groups) - given_up, 0)])


def units(tickets: Iterable[Waiting]) -> int:
    """What they cost together."""
    return sum(ticket.units for ticket in tickets)


TestHelpdesk = HelpdeskMachine.TestCase
TestHelpdesk.settings = settings(max_examples=examples(50), stateful_step_count=30, deadline=None)
TestHelpdesk.__doc__ = """A helpdesk's day keeps every rule at every moment."""
