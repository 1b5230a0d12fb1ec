"""What holds for every matching run, whatever the queue and the roster (routing-rules 4)."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.router.domain.match import Because, Matched, match
from services.router.domain.queue import Band, Reason, Waiting, signature
from services.router.domain.roster import Agent, Profile, flexes
from shared.contract.tickets import Channel
from tests.effort import examples

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
COST = {
    Channel.PHONE: (12, False),
    Channel.LIVE_CHAT: (4, False),
    Channel.MESSAGING: (3, False),
    Channel.EMAIL: (6, True),
    Channel.SOCIAL: (3, True),
}
SKILLS = ("a", "b", "lang:en")
KEYS = ("ana", "ben", "chi", "dan", "eva")

minutes = st.integers(-30, 30).map(lambda n: NOW + timedelta(minutes=n))


@st.composite
def agents(draw: st.DrawFn) -> list[Agent]:
    """Up to five, with loads that the rules allow."""
    made = []
    for key in draw(st.lists(st.sampled_from(KEYS), unique=True)):
        capacity = draw(st.sampled_from((0, 6, 12, 24)))
        primary = draw(st.integers(0, capacity))
        made.append(
            Agent(
                key=key,
                profile=Profile(
                    skills=draw(st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 5))),
                    channels=draw(st.frozensets(st.sampled_from(list(COST)), min_size=1)),
                ),
                capacity=capacity,
                is_online=draw(st.booleans()),
                primary_used=primary,
                interruptible_used=draw(st.integers(0, 2 * capacity - primary)),
                calls=draw(st.sampled_from((0, 0, 0, 1))),
                last_assigned_at=draw(st.none() | minutes),
            )
        )
    return made


@st.composite
def tickets(draw: st.DrawFn, *, has_extras: bool = True) -> Waiting:
    """One that waits; without extras nobody is excluded or preferred."""
    channel = draw(st.sampled_from(list(COST)))
    needs = tuple(sorted(draw(st.dictionaries(st.sampled_from(SKILLS), st.integers(1, 4), max_size=2)).items()))
    extras: dict[str, Any] = {}
    if has_extras:
        extras = {
            "excluded": tuple(draw(st.sets(st.sampled_from(KEYS), max_size=2))),
            "previous_owner": draw(st.none() | st.sampled_from(KEYS)),
            "affinity_until": draw(st.none() | minutes),
        }
    return Waiting(
        ticket_id=UUID(int=draw(st.integers(1, 10_000))),
        channel=channel,
        units=COST[channel][0],
        interruptible=COST[channel][1],
        needs=needs,
        prefers=tuple(draw(st.sets(st.sampled_from(SKILLS), max_size=1))),
        signature=signature(channel, needs),
        queued_at=draw(minutes),
        band=draw(st.sampled_from(Band)),
        order_rank=draw(st.integers(0, 3)),
        order_at=draw(minutes),
        **extras,
    )


def queues(*, has_extras: bool = True) -> st.SearchStrategy[list[Waiting]]:
    """Up to twenty-five tickets."""
    return st.lists(tickets(has_extras=has_extras), max_size=25, unique_by=lambda ticket: ticket.ticket_id)


channels_at_once = st.frozensets(st.sampled_from(list(COST)), max_size=2)


class Load:
    """An agent's load, kept by the plainest reading of the rules."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.primary = agent.primary_used
        self.interruptible = agent.interruptible_used
        self.calls = agent.calls

    def fits(self, ticket: Waiting) -> bool:
        """C3."""
        total = self.primary + self.interruptible + ticket.units
        if self.calls or total > 2 * self.agent.capacity:
            return False
        return (total if ticket.interruptible else self.primary + ticket.units) <= self.agent.capacity

    def may_have(self, ticket: Waiting) -> bool:
        """C1, C2 and C4."""
        profile = self.agent.profile
        return (
            self.agent.is_online
            and ticket.channel in profile.channels
            and all(profile.skills.get(skill, 0) >= level for skill, level in ticket.needs)
            and self.agent.key not in ticket.excluded
        )

    def add(self, ticket: Waiting) -> None:
        """They got it."""
        if ticket.interruptible:
            self.interruptible += ticket.units
        else:
            self.primary += ticket.units
        self.calls += ticket.channel is Channel.PHONE


def loads_after(matched: Matched, roster: Sequence[Agent]) -> dict[str, Load]:
    """Everybody's load when all was given."""
    loads = {agent.key: Load(agent) for agent in roster}
    for choice in matched.chosen:
        loads[choice.agent].add(choice.ticket)
    return loads


@settings(max_examples=examples(30))
@given(queues(), agents(), channels_at_once)
def test_hard_constraints_hold_for_every_assignment(
    queue: list[Waiting], roster: list[Agent], at_once: frozenset[Channel]
) -> None:
    """P1, P2, P7: skills, channel, presence, exclusions, and capacity at the moment of each assignment."""
    loads = {agent.key: Load(agent) for agent in roster}
    for choice in match(queue, roster, NOW, at_once=at_once).chosen:
        load, ticket = loads[choice.agent], choice.ticket
        assert load.may_have(ticket)
        if not load.fits(ticket):
            assert ticket.interruptible
            assert ticket.channel in at_once
            assert load.calls == 0
        load.add(ticket)
        assert load.primary <= load.agent.capacity
        assert load.primary + load.interruptible <= 2 * load.agent.capacity


@settings(max_examples=examples(30))
@given(queues(), agents(), channels_at_once)
def test_every_ticket_is_given_once_or_left_once(
    queue: list[Waiting], roster: list[Agent], at_once: frozenset[Channel]
) -> None:
    """P3: none lost, none twice."""
    matched = match(queue, roster, NOW, at_once=at_once)

    seen = [choice.ticket.ticket_id for choice in matched.chosen] + [ticket.ticket_id for ticket, _ in matched.left]
    assert Counter(ticket.ticket_id for ticket in queue) == Counter(seen)


@settings(max_examples=examples(30))
@given(queues(), agents())
def test_run_conserves_work(queue: list[Waiting], roster: list[Agent]) -> None:
    """P4, P13: nobody who waits could be taken by anybody, but for the wait for a previous owner, and that ends."""
    matched = match(queue, roster, NOW)
    loads = loads_after(matched, roster)
    for ticket, _ in matched.left:
        owner = loads.get(ticket.previous_owner or "")
        if owner is not None and owner.may_have(ticket) and ticket.affinity_until and NOW < ticket.affinity_until:
            assert not owner.fits(ticket)
        else:
            assert not any(load.may_have(ticket) and load.fits(ticket) for load in loads.values())


@settings(max_examples=examples(30))
@given(queues(has_extras=False), agents(), channels_at_once)
def test_order_is_kept_among_tickets_of_one_kind(
    queue: list[Waiting], roster: list[Agent], at_once: frozenset[Channel]
) -> None:
    """P6: nobody overtakes within a signature."""
    matched = match(queue, roster, NOW, at_once=at_once)
    for ticket, _ in matched.left:
        assert not any(
            choice.ticket.signature == ticket.signature and choice.ticket.key > ticket.key for choice in matched.chosen
        )


@settings(max_examples=examples(30))
@given(queues(), agents(), channels_at_once, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(
    queue: list[Waiting], roster: list[Agent], at_once: frozenset[Channel], random: Any
) -> None:
    """P11: the same snapshot, the same result."""
    first = match(queue, roster, NOW, at_once=at_once)
    random.shuffle(queue)
    random.shuffle(roster)

    again = match(queue, roster, NOW, at_once=at_once)

    assert first.chosen == again.chosen
    assert {ticket.ticket_id: reason for ticket, reason in first.left} == {
        ticket.ticket_id: reason for ticket, reason in again.left
    }


@settings(max_examples=examples(30))
@given(queues(has_extras=False), agents())
def test_choice_is_the_plain_lexicographic_one(queue: list[Waiting], roster: list[Agent]) -> None:
    """The heaps choose whom a scan over everybody would choose, by the order of 3.4."""
    loads = {agent.key: Load(agent) for agent in roster}
    by_key = sorted(roster, key=lambda agent: agent.key)
    flex = dict(zip((agent.key for agent in by_key), flexes([agent.profile for agent in by_key]), strict=True))
    never = datetime.min.replace(tzinfo=UTC)
    turns = {agent.key: (0, agent.last_assigned_at or never, agent.key) for agent in roster}
    for number, choice in enumerate(match(queue, roster, NOW).chosen, start=1):
        ticket = choice.ticket
        ranks = {
            key: (
                flex[key],
                load.interruptible if ticket.channel is Channel.PHONE else int(not load.primary),
                int(not all(skill in load.agent.profile.skills for skill in ticket.prefers)),
                turns[key],
            )
            for key, load in loads.items()
            if load.may_have(ticket) and load.fits(ticket)
        }
        assert min(ranks, key=ranks.__getitem__) == choice.agent
        loads[choice.agent].add(ticket)
        turns[choice.agent] = (number, never, choice.agent)


@settings(max_examples=examples(30))
@given(queues(), agents())
def test_reasons_are_true(queue: list[Waiting], roster: list[Agent]) -> None:
    """3.6: each says what is missing."""
    matched = match(queue, roster, NOW)
    loads = loads_after(matched, roster)
    for ticket, reason in matched.left:
        profiles = {
            agent.key: agent
            for agent in roster
            if ticket.channel in agent.profile.channels
            and all(agent.profile.skills.get(skill, 0) >= level for skill, level in ticket.needs)
        }
        allowed = profiles.keys() - set(ticket.excluded)
        online = [key for key in allowed if profiles[key].is_online]
        match reason:
            case Reason.NO_SKILL:
                assert not profiles
            case Reason.EXCLUDED:
                assert profiles
                assert not allowed
            case Reason.OFFLINE:
                assert allowed
                assert not online
            case Reason.FULL | Reason.FRAGMENTED:
                assert online
            case _:
                raise AssertionError(reason)
    assert loads.keys() == {agent.key for agent in roster}


@settings(max_examples=examples(30))
@given(queues(), agents(), st.integers(1, 10))
def test_runs_in_parts_end_where_one_run_ends(queue: list[Waiting], roster: list[Agent], limit: int) -> None:
    """Stopping at a limit and going on with the loads as they are then leaves the same tickets."""
    whole = match(queue, roster, NOW)
    given_ids: set[UUID] = set()
    rest, people = queue, roster
    while True:
        part = match(rest, people, NOW, limit=limit)
        given_ids |= {choice.ticket.ticket_id for choice in part.chosen}
        rest = [ticket for ticket in rest if ticket.ticket_id not in given_ids]
        people = carry(part, people)
        if not part.has_more:
            break

    assert {choice.ticket.ticket_id for choice in whole.chosen} == given_ids


def carry(matched: Matched, roster: Sequence[Agent]) -> list[Agent]:
    """The roster as the database has it after the run."""
    loads = loads_after(matched, roster)
    first = max([NOW, *(agent.last_assigned_at for agent in roster if agent.last_assigned_at)])
    stamps = {choice.agent: first + timedelta(microseconds=n) for n, choice in enumerate(matched.chosen, start=1)}
    return [
        Agent(
            key=agent.key,
            profile=agent.profile,
            capacity=agent.capacity,
            is_online=agent.is_online,
            primary_used=loads[agent.key].primary,
            interruptible_used=loads[agent.key].interruptible,
            calls=loads[agent.key].calls,
            last_assigned_at=stamps.get(agent.key, agent.last_assigned_at),
        )
        for agent in roster
    ]


class HelpdeskMachine(RuleBasedStateMachine):
    """A helpdesk lives on: tickets come, agents come and go, work is finished, and a run follows each time."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: list[Waiting] = []
        self.roster: list[Agent] = []
        self.active: dict[UUID, tuple[Waiting, str]] = {}
        self.serial = 0

    @initialize(roster=agents())
    def open(self, roster: list[Agent]) -> None:
        """Everybody begins with nothing."""
        self.roster = [
            Agent(key=agent.key, profile=agent.profile, capacity=agent.capacity, is_online=agent.is_online)
            for agent in roster
        ]

    @rule(arrivals=st.lists(tickets(has_extras=False), min_size=1, max_size=6))
    def arrive(self, arrivals: list[Waiting]) -> None:
        """Tickets come."""
        for ticket in arrivals:
            self.serial += 1
            self.queue.append(
                Waiting(
                    **{
                        name: getattr(ticket, name)
                        for name in ticket.__struct_fields__
                        if name not in ("ticket_id", "queued_at")
                    },
                    ticket_id=UUID(int=self.serial),
                    queued_at=NOW,
                )
            )
        self.run()

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Somebody is done with a ticket."""
        if self.active:
            ticket, key = self.active.pop(data.draw(st.sampled_from(sorted(self.active))))
            self._change(key, ticket, -1)
            self.run()

    @rule(data=st.data())
    def come_or_go(self, data: st.DataObject) -> None:
        """Presence changes; who goes keeps what they have."""
        if self.roster:
            index = data.draw(st.integers(0, len(self.roster) - 1))
            agent = self.roster[index]
            self.roster[index] = self._with(agent, is_online=not agent.is_online)
            self.run()

    def run(self) -> None:
        """What the service does after each of these."""
        matched = match(self.queue, self.roster, NOW)
        for choice in matched.chosen:
            assert choice.ticket.ticket_id not in self.active
            assert choice.because is Because.FREE
            self.active[choice.ticket.ticket_id] = (choice.ticket, choice.agent)
        self.roster = carry(matched, self.roster)
        self.queue = [ticket for ticket, _ in matched.left]

    def _change(self, key: str, ticket: Waiting, sign: int) -> None:
        for index, agent in enumerate(self.roster):
            if agent.key == key:
                self.roster[index] = self._with(
                    agent,
                    primary_used=agent.primary_used + (0 if ticket.interruptible else sign * ticket.units),
                    interruptible_used=agent.interruptible_used + (sign * ticket.units if ticket.interruptible else 0),
                    calls=agent.calls + sign * (ticket.channel is Channel.PHONE),
                )

    def _with(self, agent: Agent, **changed: Any) -> Agent:
        return Agent(**{name: getattr(agent, name) for name in agent.__struct_fields__} | changed)

    @invariant()
    def nothing_is_lost(self) -> None:
        """P3: every ticket waits, or somebody has it, or it was finished."""
        assert not {ticket.ticket_id for ticket in self.queue} & self.active.keys()

    @invariant()
    def loads_are_the_sum_of_what_is_active(self) -> None:
        """P15, and P1 with it."""
        for agent in self.roster:
            mine = [ticket for ticket, key in self.active.values() if key == agent.key]
            assert sum(ticket.units for ticket in mine if not ticket.interruptible) == agent.primary_used
            assert sum(ticket.units for ticket in mine if ticket.interruptible) == agent.interruptible_used
            assert agent.primary_used <= agent.capacity
            assert agent.primary_used + agent.interruptible_used <= 2 * agent.capacity
            assert agent.calls <= 1

    @invariant()
    def nobody_idle_who_could_work(self) -> None:
        """P4 at every moment between two runs."""
        for ticket in self.queue:
            assert not any(Load(agent).may_have(ticket) and Load(agent).fits(ticket) for agent in self.roster)


TestHelpdesk = HelpdeskMachine.TestCase
TestHelpdesk.settings = settings(max_examples=examples(10), stateful_step_count=20, deadline=None)
TestHelpdesk.__doc__ = """A helpdesk's day keeps every rule at every moment."""


def test_equal_agents_take_turns() -> None:
    """P8: two who are alike in everything are never chosen twice running, within a run or over several."""
    profile = Profile(skills={}, channels=frozenset({Channel.SOCIAL}))
    roster = [Agent(key=key, profile=profile, capacity=12, is_online=True) for key in ("ana", "ben")]
    order = []
    for size in (1, 2, 3, 2):
        queue = [
            Waiting(
                ticket_id=UUID(int=len(order) + n + 1),
                channel=Channel.SOCIAL,
                units=1,
                interruptible=True,
                needs=(),
                prefers=(),
                signature=1,
                queued_at=NOW,
                band=Band.SAVABLE,
                order_rank=0,
                order_at=NOW,
            )
            for n in range(size)
        ]
        matched = match(queue, roster, NOW)
        order += [choice.agent for choice in matched.chosen]
        roster = carry(matched, roster)

    assert ["ana", "ben"] * 4 == order
