"""One matching run: which waiting ticket goes to which agent, and why the others still wait (routing-rules 3.2 to 3.6).

Pure, and the same answer whatever the order of the rows. Tickets are taken in the order of their key; each goes to the
best of those who may have it and have room, or where nobody has, to somebody for whom room can be made by moving what
the same run gave (`rearranging`).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from services.router.domain.floor import Desk, Floor, Line
from services.router.domain.queue import Band, Reason, Waiting
from services.router.domain.rearranging import Place, Rearranger
from services.router.domain.roster import Agent
from shared.contract.tickets import Channel

REARRANGED_AT_MOST = 20_000
"""Tickets that searches for room look at in one run, see `rearranging`."""

PRESSING_AFTER = 0.75
"""Share of the time in which a ticket can be saved; then those who are there are asked again rather than that it waits for others."""


class Because(StrEnum):
    """What decided for this agent."""

    PREVIOUS_OWNER = "previous_owner"
    FREE = "free"
    """The best of those who can start now."""
    LEAST_LOADED = "least_loaded"
    """Nobody could start now, and the channel is bound on arrival."""


class Choice(Struct, frozen=True, gc=False):
    """A ticket and who gets it."""

    ticket: Waiting
    agent: str
    because: Because


class Matched(Struct, frozen=True, kw_only=True):
    """What one run decided."""

    chosen: list[Choice]
    """In the order in which agents were given them: that of the queue, but for tickets that were moved to make room."""
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
    rearranged: int = REARRANGED_AT_MOST,
) -> Matched:
    """Give waiting tickets to agents.

    Channels in `at_once` (`bind: on_arrival`) don't wait for somebody free: interruptible work goes to the least loaded
    of those who are online, up to twice their capacity; the bounds of C3 that hold at all times are never passed, so
    real-time work waits like any other. `ends` are tickets behind which there are more of their signature that were not
    given: when one of them is assigned, the run stops, so that the order of the queue stays exact. `onlookers` are only
    judged. `limit` bounds the assignments, `rearranged` the search for room (0: nothing is moved).
    """
    run = _Run(agents, now, at_once, rearranged)
    end_ids = {ticket.ticket_id for ticket in ends}
    passed_over: list[Waiting] = []
    for ticket, line in run.in_order(waiting):
        if len(run.given) == limit:
            return Matched(chosen=run.chosen(), left=[], has_more=True, is_blocked=False)
        if not run.give(ticket, line):
            passed_over.append(ticket)
        elif ticket.ticket_id in end_ids:
            return Matched(chosen=run.chosen(), left=[], has_more=True, is_blocked=False)
    hidden = {ticket.signature for ticket in ends}
    return Matched(
        chosen=run.chosen(),
        left=[(ticket, run.reason(ticket)) for ticket in (*passed_over, *onlookers)],
        has_more=False,
        is_blocked=any(ticket.signature in hidden and run.could_give(ticket) for ticket in passed_over),
    )


_Alike: TypeAlias = tuple[int, int, bool]


class _Run:
    """One matching run while it goes on."""

    def __init__(self, agents: Sequence[Agent], now: datetime, at_once: Collection[Channel], rearranged: int) -> None:
        self._now = now
        self._floor = Floor(agents, at_once)
        self.given: list[Place] = []
        self._because: list[Because] = []
        self._rearranger = Rearranger(self._floor, self.given, rearranged)
        self._reasons: dict[_Alike, Reason] = {}

    def chosen(self) -> list[Choice]:
        """What was given so far."""
        return [
            Choice(place.ticket, place.desk.key, because)
            for place, because in zip(self.given, self._because, strict=True)
        ]

    def in_order(self, waiting: Iterable[Waiting]) -> Iterator[tuple[Waiting, Line]]:
        """By routing-rules 3.3, where the time left to save a ticket counts as less if few of those present could take it.

        It is multiplied by the root of their share: nobody else serves a rare kind, while many can catch up on a common one.
        Within a signature all are weighed alike, so there it is the order of `Waiting.key`.
        """
        now, line_of = self._now, self._floor.line
        places: list[tuple[Band, int, float | datetime, datetime, UUID, Waiting, Line]] = []
        for ticket in waiting:
            line, band, soon = line_of(ticket), ticket.band, ticket.order_at
            weighed = (soon - now).total_seconds() * line.weight if band == Band.SAVABLE else soon
            places.append((band, ticket.order_rank, weighed, ticket.queued_at, ticket.ticket_id, ticket, line))
        places.sort()  # within a band, instants meet instants and numbers meet numbers
        return ((place[5], place[6]) for place in places)

    def give(self, ticket: Waiting, line: Line) -> bool:
        """Give a ticket to the best by routing-rules 3.4; False where nobody can take it, or it waits for its owner."""
        floor, kind = self._floor, line.kind
        owner = self._previous_owner(ticket, line) if ticket.previous_owner else None
        if owner is not None:
            if (kind.fits | kind.bears) & owner.bit:
                return self._take(ticket, line, owner, Because.PREVIOUS_OWNER)
            if not kind.may_overflow and ticket.affinity_until is not None and self._now < ticket.affinity_until:
                return False
        allowed = floor.allowed(ticket, line) if ticket.excluded else line.present
        free = allowed & kind.fits
        if free:
            return self._take(ticket, line, floor.best(free, kind, ticket.prefers), Because.FREE)
        if kind.may_overflow:
            bearing = allowed & kind.bears
            return bool(bearing) and self._take(ticket, line, floor.least_loaded(bearing), Because.LEAST_LOADED)
        end = self._rearranger.make_room(ticket, line, allowed)
        if end is not None:
            self._add(end, Because.FREE)
        return end is not None

    def _take(self, ticket: Waiting, line: Line, desk: Desk, because: Because) -> bool:
        self._floor.take(desk, ticket)
        self._add(Place(ticket, line, desk, may_move=because is Because.FREE), because)
        return True

    def _add(self, place: Place, because: Because) -> None:
        self.given.append(place)
        self._because.append(because)

    def could_give(self, ticket: Waiting) -> bool:
        """Whether somebody has room for tickets like this one, but for whom it may not have or waits for."""
        line = self._floor.line(ticket)
        return bool(line.present & line.kind.fits)

    def _previous_owner(self, ticket: Waiting, line: Line) -> Desk | None:
        """Who had it before, if they are there and may have it again, with or without room."""
        owner = None if ticket.previous_owner in ticket.excluded else self._floor.find(ticket.previous_owner or "")
        return owner if owner is not None and line.present & owner.bit else None

    def reason(self, ticket: Waiting) -> Reason:
        """Why nobody gets it as loads are at the end of the run (routing-rules 3.6)."""
        if ticket.excluded or ticket.previous_owner:
            return self._judge(ticket)
        kind = (ticket.signature, ticket.units, ticket.interruptible)
        reason = self._reasons.get(kind)
        if reason is None:
            reason = self._reasons[kind] = self._judge(ticket)
        return reason

    def _is_pressing(self, ticket: Waiting) -> bool:
        """Whether it can't wait for somebody who comes later: most of the time in which it can be saved is over."""
        saved_by = ticket.queued_at + (ticket.order_at - ticket.queued_at) * PRESSING_AFTER
        return ticket.band != Band.SAVABLE or self._now >= saved_by

    def _judge(self, ticket: Waiting) -> Reason:
        floor = self._floor
        skilled = floor.staff.serving(ticket.channel, ticket.needs)
        if not skilled:
            return Reason.NO_SKILL
        allowed = skilled & ~floor.crowd(ticket.excluded)
        if not allowed:
            return Reason.EXCLUDED
        line = floor.line(ticket)
        present = allowed & line.present
        if not present:
            return Reason.EXCLUDED if skilled & line.present and self._is_pressing(ticket) else Reason.OFFLINE
        if present & line.kind.fits:
            return Reason.FULL
        together = sum(units * (present & crowd).bit_count() for units, crowd in floor.spare(line.kind).items())
        return Reason.FRAGMENTED if together >= ticket.units else Reason.FULL
