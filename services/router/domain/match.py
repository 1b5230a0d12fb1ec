"""One matching run: which waiting ticket goes to which agent, and why the others still wait (routing-rules 3.2 to 3.6).

Pure, and the same answer whatever the order of the rows. Tickets are taken in the order of their key; those that the
same people can take share one heap of these people, so a run costs a heap step for each ticket, not a scan.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from services.router.domain.line import Desk, Line, Ranking
from services.router.domain.queue import Key, Reason, Waiting
from services.router.domain.roster import Agent, staff
from shared.contract.tickets import Channel

_NEVER = datetime.min.replace(tzinfo=UTC)


class Because(StrEnum):
    """What decided for this agent."""

    PREVIOUS_OWNER = "previous_owner"
    FREE = "free"
    """The best of those who can start now."""
    LEAST_LOADED = "least_loaded"
    """Nobody could start now, and the channel is bound on arrival."""


class Choice(Struct, frozen=True):
    """A ticket and who gets it."""

    ticket: Waiting
    agent: str
    because: Because


class Matched(Struct, frozen=True, kw_only=True):
    """What one run decided."""

    chosen: list[Choice]
    """In the order of the queue."""
    left: list[tuple[Waiting, Reason]]
    """Tickets nobody can take now, and why."""
    has_more: bool
    """It stopped early: the limit was reached, or tickets that weren't given come next."""
    is_blocked: bool
    """Tickets that only some agents may not have hide others behind them that were not given."""


def match(
    waiting: Iterable[Waiting],
    agents: Sequence[Agent],
    now: datetime,
    *,
    at_once: Collection[Channel] = (),
    ends: Collection[Waiting] = (),
    onlookers: Iterable[Waiting] = (),
    limit: int | None = None,
) -> Matched:
    """Give waiting tickets to agents.

    Channels in `at_once` (`bind: on_arrival`) don't wait for somebody free: interruptible work goes to the least loaded
    of those who are online, up to twice their capacity; the bounds of C3 that hold at all times are never passed, so
    real-time work waits like any other. `ends` are tickets behind which there are more of their signature that were not
    given: when one of them is assigned, the run stops, so that the order of the queue stays exact. `onlookers` are only
    judged. `limit` bounds the assignments.
    """
    floor = _Floor(agents, now, at_once)
    end_ids = {ticket.ticket_id for ticket in ends}
    chosen: list[Choice] = []
    passed_over: list[Waiting] = []
    for ticket in sorted(waiting, key=_key):
        if len(chosen) == limit:
            return Matched(chosen=chosen, left=[], has_more=True, is_blocked=False)
        choice = floor.choose(ticket)
        if choice is None:
            passed_over.append(ticket)
            continue
        chosen.append(choice)
        if ticket.ticket_id in end_ids:
            return Matched(chosen=chosen, left=[], has_more=True, is_blocked=False)
    hidden = {ticket.signature for ticket in ends}
    return Matched(
        chosen=chosen,
        left=[(ticket, floor.reason(ticket)) for ticket in (*passed_over, *onlookers)],
        has_more=False,
        is_blocked=any(ticket.signature in hidden and floor.could_give(ticket) for ticket in passed_over),
    )


def _key(ticket: Waiting) -> Key:
    return (ticket.band, ticket.order_rank, ticket.order_at, ticket.queued_at, ticket.ticket_id.int)


_Kind: TypeAlias = tuple[int, int, bool, tuple[str, ...], bool]


class _Floor:
    """All agents of a run and the lines of tickets before them."""

    def __init__(self, agents: Sequence[Agent], now: datetime, at_once: Collection[Channel]) -> None:
        agents = sorted(agents, key=lambda agent: agent.key)
        self._now = now
        self._at_once = at_once
        self._staff = staff(tuple([agent.profile for agent in agents]))
        order = sorted(range(len(agents)), key=lambda number: agents[number].last_assigned_at or _NEVER)
        turns = {number: turn for turn, number in enumerate(order)}
        self._desks = [
            Desk(agent, number, flex, turns[number])
            for number, (agent, flex) in enumerate(zip(agents, self._staff.flex_ranks, strict=True))
        ]
        self._numbers = {agent.key: number for number, agent in enumerate(agents)}
        self._online = frozenset(desk.number for desk in self._desks if desk.is_online)
        self._by_turn = [self._desks[number] for number in order]
        self._has_closed = any(agent.closed_channels for agent in agents)
        self._served: dict[int, frozenset[int]] = {}
        self._lines: dict[_Kind, Line] = {}
        self._rankings: dict[tuple[Channel, int, bool, tuple[str, ...], bool], Ranking] = {}
        self._reasons: dict[_Kind, Reason] = {}

    def choose(self, ticket: Waiting) -> Choice | None:
        """Give a ticket to the best by routing-rules 3.4; None where nobody can take it, or it waits for its owner."""
        may_overflow = ticket.interruptible and ticket.channel in self._at_once
        because = Because.PREVIOUS_OWNER
        desk = self._previous_owner(ticket) if ticket.previous_owner else None
        if desk is not None and not desk.fits(ticket) and not (may_overflow and desk.bears(ticket)):
            if not may_overflow and ticket.affinity_until is not None and self._now < ticket.affinity_until:
                return None
            desk = None
        if desk is None:
            because = Because.FREE
            desk = self._line(ticket).best(ticket.excluded)
        if desk is None and may_overflow:
            because = Because.LEAST_LOADED
            desk = self._line(ticket, is_overflow=True).best(ticket.excluded)
        if desk is None:
            return None
        is_better = desk.take(ticket, len(self._by_turn))
        self._by_turn.append(desk)
        if is_better:
            for line in self._lines.values():
                line.improve(desk)
        return Choice(ticket, desk.key, because)

    def could_give(self, ticket: Waiting) -> bool:
        """Whether somebody has room for tickets like this one, but for whom it may not have or waits for."""
        return self._line(ticket).best() is not None

    def _previous_owner(self, ticket: Waiting) -> Desk | None:
        """Who had it before, if they are online and may have it again, with or without room."""
        number = None if ticket.previous_owner in ticket.excluded else self._numbers.get(ticket.previous_owner or "")
        if number is None or number not in self._online_for(ticket):
            return None
        return self._desks[number]

    def _line(self, ticket: Waiting, *, is_overflow: bool = False) -> Line:
        """The line this ticket stands in; the overflow is for what is bound on arrival."""
        kind = (ticket.signature, ticket.units, ticket.interruptible, ticket.prefers, is_overflow)
        line = self._lines.get(kind)
        if line is None:
            ranking = self._ranking(ticket, is_overflow=is_overflow)
            line = self._lines[kind] = Line(ranking, self._online_for(ticket), self._desks, self._by_turn)
        return line

    def _ranking(self, ticket: Waiting, *, is_overflow: bool) -> Ranking:
        kind = (ticket.channel, ticket.units, ticket.interruptible, ticket.prefers, is_overflow)
        ranking = self._rankings.get(kind)
        if ranking is None:
            ranking = self._rankings[kind] = Ranking(ticket, len(self._desks), is_overflow=is_overflow)
        return ranking

    def _online_for(self, ticket: Waiting) -> frozenset[int]:
        served = self._served.get(ticket.signature)
        if served is None:
            served = self._staff.serving(ticket.channel, ticket.needs) & self._online
            if self._has_closed:
                served = frozenset(
                    number for number in served if ticket.channel not in self._desks[number].closed_channels
                )
            self._served[ticket.signature] = served
        return served

    def reason(self, ticket: Waiting) -> Reason:
        """Why nobody gets it as loads are now (routing-rules 3.6)."""
        if ticket.excluded or ticket.previous_owner:
            return self._judge(ticket)
        kind = (ticket.signature, ticket.units, ticket.interruptible, (), False)
        reason = self._reasons.get(kind)
        if reason is None:
            reason = self._reasons[kind] = self._judge(ticket)
        return reason

    def _judge(self, ticket: Waiting) -> Reason:
        skilled = [self._desks[number] for number in self._staff.serving(ticket.channel, ticket.needs)]
        if not skilled:
            return Reason.NO_SKILL
        allowed = [desk for desk in skilled if desk.key not in ticket.excluded]
        if not allowed:
            return Reason.EXCLUDED
        online = [desk for desk in allowed if desk.is_online and ticket.channel not in desk.closed_channels]
        if not online:
            return Reason.OFFLINE
        free = [desk.free_for(ticket) for desk in online]
        is_fragmented = max(free) < ticket.units <= sum(free)
        return Reason.FRAGMENTED if is_fragmented else Reason.FULL
