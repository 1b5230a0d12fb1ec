"""What holds for every matching run, whatever the queue and the roster (routing-rules 4)."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeAlias
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.router.domain.match import match
from services.router.domain.queue import Band, Reason, Waiting, signature
from services.router.domain.roster import Agent, Profile, flexes
from shared.contract.tickets import Channel
from tests.effort import examples
from tests.properties.plain_rules import (
    INSTANTS,
    KEYS,
    NOW,
    Dice,
    Load,
    agents,
    carry,
    channels_at_once,
    in_order,
    is_skilled,
    loads_after,
    place,
    profiles,
    queues,
    rolled,
    waits_for_owner,
)

UNIT = 12
"""Of work that takes a whole agent."""


@settings(max_examples=examples(100))
@given(queues(), agents(), channels_at_once, st.sampled_from(({}, {Channel.EMAIL: 1, Channel.SOCIAL: 2})))
def test_hard_constraints_hold_for_every_assignment(
    queue: list[Waiting], roster: list[Agent], at_once: frozenset[Channel], at_most: dict[Channel, int]
) -> None:
    """P1, P2, P7: skills, channel, presence, exclusions, and capacity and ceilings at the moment of each assignment."""
    roster = [replace(agent, at_most=at_most or agent.at_most) for agent in roster]
    loads = {agent.key: Load(agent) for agent in roster}
    for choice in match(queue, roster, NOW, at_once=at_once).chosen:
        load, ticket = loads[choice.agent], choice.ticket
        assert load.may_have(ticket)
        if not load.fits(ticket):
            assert ticket.interruptible
            assert ticket.channel in at_once
            assert load.bears(ticket)
        load.add(ticket)
        assert load.primary <= load.agent.capacity
        assert load.primary + load.interruptible <= 2 * load.agent.capacity


@settings(max_examples=examples(80))
@given(queues(), agents(), channels_at_once)
def test_every_ticket_is_given_once_or_left_once(
    queue: list[Waiting], roster: list[Agent], at_once: frozenset[Channel]
) -> None:
    """P3: none lost, none twice."""
    matched = match(queue, roster, NOW, at_once=at_once)

    seen = [choice.ticket.ticket_id for choice in matched.chosen] + [ticket.ticket_id for ticket, _ in matched.left]
    assert Counter(ticket.ticket_id for ticket in queue) == Counter(seen)


@settings(max_examples=examples(100))
@given(queues(), agents())
def test_run_conserves_work(queue: list[Waiting], roster: list[Agent]) -> None:
    """P4, P13: nobody who waits could be taken by anybody, but for the wait for a previous owner, and that ends."""
    matched = match(queue, roster, NOW)
    loads = loads_after(matched, roster)
    for ticket, _ in matched.left:
        is_placeable = any(load.may_have(ticket) and load.fits(ticket) for load in loads.values())
        assert not is_placeable or waits_for_owner(ticket, loads, NOW)


@settings(max_examples=examples(100))
@given(queues(has_extras=False), agents(), channels_at_once)
def test_order_is_kept_among_tickets_of_one_kind(
    queue: list[Waiting], roster: list[Agent], at_once: frozenset[Channel]
) -> None:
    """P6: nobody overtakes within a signature."""
    matched = match(queue, roster, NOW, at_once=at_once)
    for ticket, _ in matched.left:
        assert not any(
            choice.ticket.signature == ticket.signature and place(choice.ticket) > place(ticket)
            for choice in matched.chosen
        )


@settings(max_examples=examples(80))
@given(queues(), agents(), channels_at_once, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(
    queue: list[Waiting], roster: list[Agent], at_once: frozenset[Channel], random: Any
) -> None:
    """P11: the same snapshot, the same result, also among people who are alike."""
    roster += [replace(agent, key=f"{agent.key}'s twin") for agent in roster]
    first = match(queue, roster, NOW, at_once=at_once)
    random.shuffle(queue)
    random.shuffle(roster)

    again = match(queue, roster, NOW, at_once=at_once)

    assert first.chosen == again.chosen
    assert {ticket.ticket_id: reason for ticket, reason in first.left} == {
        ticket.ticket_id: reason for ticket, reason in again.left
    }


@settings(max_examples=examples(100))
@given(queues(has_extras=False), agents(), channels_at_once)
def test_choice_is_the_plain_lexicographic_one(
    queue: list[Waiting], roster: list[Agent], at_once: frozenset[Channel]
) -> None:
    """Where nothing is moved, whoever a scan over everybody would choose by the order of 3.4, ticket by ticket."""
    roster += [mirrored(agent) for agent in roster]
    loads = {agent.key: Load(agent) for agent in roster}
    flex = dict(zip((agent.key for agent in roster), flexes([agent.profile for agent in roster]), strict=True))
    never = datetime.min.replace(tzinfo=UTC)
    turns = {agent.key: (0, agent.last_assigned_at or never, agent.key) for agent in roster}
    matched = match(queue, roster, NOW, at_once=at_once, rearranged=0)
    chosen = {choice.ticket.ticket_id: choice.agent for choice in matched.chosen}
    for number, ticket in enumerate(in_order(queue, roster), start=1):
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
        loaded = {
            key: (int(load.total * 65_536 / (load.agent.capacity or 1)), flex[key], turns[key])
            for key, load in loads.items()
            if ticket.channel in at_once and ticket.interruptible and load.may_have(ticket) and load.bears(ticket)
        }
        best = min(ranks, key=ranks.__getitem__) if ranks else min(loaded, key=loaded.__getitem__, default=None)
        assert best == chosen.get(ticket.ticket_id)
        if best:
            loads[best].add(ticket)
            turns[best] = (number, never, best)


def mirrored(agent: Agent) -> Agent:
    """Somebody as flexible, who has the one skill where the other has the other."""
    swap = {"a": "b", "b": "a"}
    skills = {swap.get(skill, skill): level for skill, level in agent.profile.skills.items()}
    profile = Profile(skills=skills, channels=agent.profile.channels)
    return replace(agent, key=f"{agent.key}'s mirror", profile=profile)


@settings(max_examples=examples(100))
@given(queues(), agents())
def test_reasons_are_true(queue: list[Waiting], roster: list[Agent]) -> None:
    """3.6: each says what is missing."""
    matched = match(queue, roster, NOW)
    loads = loads_after(matched, roster)
    for ticket, reason in matched.left:
        assert expected_reason(ticket, list(loads.values())) is reason


def expected_reason(ticket: Waiting, loads: Sequence[Load]) -> Reason:
    """The list of 3.6, from above."""
    skilled = [load for load in loads if is_skilled(load.agent, ticket.channel, ticket.needs)]
    if not skilled:
        return Reason.NO_SKILL
    asked = [load for load in skilled if load.agent.key not in ticket.excluded]
    if not asked:
        return Reason.EXCLUDED
    there = [load for load in asked if load.may_have(ticket)]
    if not there:
        refusing = [load for load in skilled if load.may_have(replace(ticket, excluded=()))]
        most = ticket.queued_at + (ticket.order_at - ticket.queued_at) * 0.75
        waits_well = ticket.band == Band.SAVABLE and most > NOW
        return Reason.EXCLUDED if refusing and not waits_well else Reason.OFFLINE
    units = [units_free(load, ticket) for load in there]
    return Reason.FRAGMENTED if max(units) < ticket.units <= sum(units) else Reason.FULL


def units_free(load: Load, ticket: Waiting) -> int:
    """The largest piece of such work that they could take."""
    return max((units for units in range(1, 25) if load.fits(replace(ticket, units=units))), default=0)


@settings(max_examples=examples(80))
@given(queues(), agents(), st.integers(1, 10))
def test_runs_in_parts_end_where_one_run_ends(queue: list[Waiting], roster: list[Agent], limit: int) -> None:
    """Stopping at a limit and going on with the loads as they are then leaves the same tickets, where nothing is moved."""
    whole = match(queue, roster, NOW, rearranged=0)
    given_ids: set[UUID] = set()
    rest, people = queue, roster
    while True:
        part = match(rest, people, NOW, limit=limit, rearranged=0)
        given_ids |= {choice.ticket.ticket_id for choice in part.chosen}
        rest = [ticket for ticket in rest if ticket.ticket_id not in given_ids]
        people = carry(part, people)
        if not part.has_more:
            break

    assert {choice.ticket.ticket_id for choice in whole.chosen} == given_ids


@settings(max_examples=examples(80))
@given(queues(has_extras=False), agents(), st.integers(1, 3))
def test_reading_the_queue_in_parts_gives_what_one_run_gives(
    queue: list[Waiting], roster: list[Agent], depth: int
) -> None:
    """Only the first of each signature are read; a run stops where the next of a line would come, and goes on from there."""
    whole = match(queue, roster, NOW, rearranged=0)
    given_ids: set[UUID] = set()
    people = roster
    while True:
        rest = sorted([ticket for ticket in queue if ticket.ticket_id not in given_ids], key=place)
        lines: dict[int, list[Waiting]] = {}
        for ticket in rest:
            lines.setdefault(ticket.signature, []).append(ticket)
        heads = [ticket for line in lines.values() for ticket in line[:depth]]
        ends = [line[depth - 1] for line in lines.values() if len(line) > depth]
        part = match(heads, people, NOW, ends=ends, rearranged=0)
        given_ids |= {choice.ticket.ticket_id for choice in part.chosen}
        people = carry(part, people)
        assert not part.is_blocked
        if not part.has_more:
            break

    assert {choice.ticket.ticket_id for choice in whole.chosen} == given_ids


@st.composite
def crews(draw: st.DrawFn) -> tuple[list[str], list[Agent]]:
    """Two to twelve who are alike, among others; all have room for a whole day of small work."""
    twin, *others = draw(st.lists(profiles, min_size=1, max_size=4))
    twins = [f"twin{n:02}" for n in range(draw(st.sampled_from((2, 3, 12))))]
    people = [*((key, twin) for key in twins), *((f"other{n}", profile) for n, profile in enumerate(others))]
    return twins, [Agent(key=key, profile=profile, capacity=120, is_online=True) for key, profile in people]


@settings(max_examples=examples(100))
@given(crews(), st.lists(queues(has_extras=False), max_size=4))
def test_equal_agents_take_turns(crew: tuple[list[str], list[Agent]], runs: list[list[Waiting]]) -> None:
    """P8: those who are alike in everything get work in turns, within a run and over several."""
    twins, roster = crew
    turns = []
    for queue in runs:
        small = [
            replace(ticket, units=1, interruptible=True) for ticket in queue if ticket.channel is not Channel.PHONE
        ]
        matched = match(small, roster, NOW)
        turns += [choice.agent for choice in matched.chosen if choice.agent in twins]
        roster = carry(matched, roster)

    assert (twins * len(turns))[: len(turns)] == turns


Work: TypeAlias = tuple[list[Waiting], list[Agent]]


def _crowded(dice: Dice, *, sizes: Sequence[int], capacities: Sequence[int]) -> Work:
    """Few who can do much and many who want the same of them, so that room has to be made; loads begin empty."""
    channels = dice.of((Channel.LIVE_CHAT,), (Channel.LIVE_CHAT, Channel.MESSAGING, Channel.PHONE))
    interruptible = dice.of(False, False, True)
    roster = [
        Agent(
            key=key,
            profile=Profile(
                skills={dice.of(*"abcde"): 1 for _ in range(dice.of(1, 2, 3))}, channels=frozenset(channels)
            ),
            capacity=dice.of(*capacities),
            is_online=True,
            at_most=dice.of({}, {}, {Channel.LIVE_CHAT: 1}, {Channel.MESSAGING: 1}) if len(capacities) > 1 else {},
        )
        for key in KEYS[: dice.of(3, 6, 7)]
    ]
    queue = []
    for number in range(dice.of(5, 7) if len(sizes) == 1 else dice.of(7, 14)):
        channel, asked = dice.of(*channels), ((dice.of(*"abcde"), 1),)
        ticket = Waiting(
            ticket_id=UUID(int=number),
            channel=channel,
            units=dice.of(*sizes),
            interruptible=interruptible,
            needs=asked,
            prefers=(),
            signature=signature(channel, asked),
            queued_at=NOW,
            band=Band.SAVABLE,
            order_rank=0,
            order_at=dice.of(*INSTANTS),
            excluded=dice.of((), (), (), (dice.of(*KEYS),)),
        )
        queue.append(ticket)
    return queue, roster


@settings(max_examples=examples(400))
@given(rolled(lambda dice: _crowded(dice, sizes=(dice.of(4, 12),) * 2, capacities=(12, 12, 24))))
def test_moves_keep_every_rule(work: Work) -> None:
    """P1, P3, P4, P6: what is moved leaves loads, ceilings, order and calls as they have to be."""
    queue, roster = work
    matched = match(queue, roster, NOW)
    loads = {agent.key: Load(agent) for agent in roster}
    for choice in matched.chosen:
        assert loads[choice.agent].may_have(choice.ticket)
        assert loads[choice.agent].fits(choice.ticket)
        loads[choice.agent].add(choice.ticket)
    served = [choice.ticket for choice in matched.chosen]
    assert Counter(ticket.ticket_id for ticket in queue) == Counter(
        ticket.ticket_id for ticket in (*served, *(ticket for ticket, _ in matched.left))
    )
    for ticket, _ in matched.left:
        assert not any(load.may_have(ticket) and load.fits(ticket) for load in loads.values())
        assert not any(
            (other.signature, other.excluded) == (ticket.signature, ticket.excluded) and place(other) > place(ticket)
            for other in served
        )


@settings(max_examples=examples(250))
@given(rolled(lambda dice: _crowded(dice, sizes=(UNIT,), capacities=(UNIT,))))
def test_served_set_is_the_best_one(work: Work) -> None:
    """P12: with one ticket for each agent, the best set in the order of the queue is served, and it is the largest."""
    queue, roster = work
    queue = in_order(queue, roster)
    able = [[load.may_have(ticket) for load in map(Load, roster)] for ticket in queue]

    @cache
    def best(first: int, taken: frozenset[int]) -> tuple[bool, ...]:
        if first == len(queue):
            return ()
        ways = [(False, *best(first + 1, taken))]
        ways += [
            (True, *best(first + 1, taken | {n}))
            for n in range(len(roster))
            if able[first][n] and n not in taken
        ]  # fmt: skip
        return max(ways)

    @cache
    def most(first: int, taken: frozenset[int]) -> int:
        if first == len(queue):
            return 0
        free = [n for n in range(len(roster)) if able[first][n] and n not in taken]
        return max([most(first + 1, taken), *(1 + most(first + 1, taken | {n}) for n in free)])

    served = {choice.ticket.ticket_id for choice in match(queue, roster, NOW).chosen}

    assert best(0, frozenset()) == tuple(ticket.ticket_id in served for ticket in queue)
    assert most(0, frozenset()) == len(served)


def _large(dice: Dice) -> Work:
    """Up to thirty agents and thirty chats that each take one of them."""
    letters, channels = "abcdefghijkl", frozenset({Channel.LIVE_CHAT})
    roster = [
        Agent(
            key=f"agent{number:02}",
            profile=Profile(skills={dice.of(*letters): 1 for _ in range(dice.of(2, 4, 6))}, channels=channels),
            capacity=UNIT,
            is_online=True,
        )
        for number in range(dice.of(20, 25, 30))
    ]
    wanted = [{dice.of(*letters), *dice.of((), letters[0], letters[1], letters[2])} for _ in range(30)]
    queue = [
        Waiting(
            ticket_id=UUID(int=number),
            channel=Channel.LIVE_CHAT,
            units=UNIT,
            interruptible=False,
            needs=asked,
            prefers=(),
            signature=signature(Channel.LIVE_CHAT, asked),
            queued_at=NOW,
            band=Band.SAVABLE,
            order_rank=0,
            order_at=NOW,
        )
        for number, asked in enumerate([tuple((skill, 1) for skill in sorted(skills)) for skills in wanted])
    ]
    return queue, roster


@settings(max_examples=examples(250))
@given(rolled(_large))
def test_as_many_are_served_as_can_be(work: Work) -> None:
    """P12 at a size that can't be tried out: as many as a plain search for paths finds."""
    queue, roster = work
    able = {ticket.ticket_id: [agent.key for agent in roster if Load(agent).may_have(ticket)] for ticket in queue}
    holds: dict[str, UUID] = {}

    def find(ticket_id: UUID, tried: set[str]) -> bool:
        for key in able[ticket_id]:
            if key not in tried:
                tried.add(key)
                if key not in holds or find(holds[key], tried):
                    holds[key] = ticket_id
                    return True
        return False

    for ticket in queue:
        find(ticket.ticket_id, set())

    assert len(holds) == len(match(queue, roster, NOW).chosen)


@settings(max_examples=examples(100))
@given(queues(), agents())
def test_moving_what_was_given_keeps_what_came_first(queue: list[Waiting], roster: list[Agent]) -> None:
    """The first ticket for which room is made comes on top: all before it that a plain run gives, this one gives too."""
    plain = {choice.ticket.ticket_id for choice in match(queue, roster, NOW, rearranged=0).chosen}
    moved = {choice.ticket.ticket_id for choice in match(queue, roster, NOW).chosen}
    for ticket in in_order(queue, roster):
        if (ticket.ticket_id in plain) != (ticket.ticket_id in moved):
            assert ticket.ticket_id in moved
            break
