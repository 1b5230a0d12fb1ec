"""What would happen if a promise broke then and nobody answered: the engine's own ladder and rotations, walked without a database.

Pages are taken to be accepted at once, as nobody knows better beforehand.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from msgspec import Struct

from services.escalation.domain import ladder as ladders
from services.escalation.domain import recipient as recipients
from services.escalation.domain.ladder import Hours, Position, Reason, Skipped, Standing
from services.escalation.domain.recipient import Circle, Person, Reached
from services.escalation.domain.rotation import Duty
from shared.policy.document import Ladder

_MOST = 500
"""Moments after which a rehearsal ends: a ladder of twenty loops has fewer."""


class Cast(Struct, frozen=True, kw_only=True):
    """Whom the ladder may reach."""

    people: Mapping[str, Person]
    duties: Mapping[str, Duty]
    owner: str | None = None
    lead: str | None = None
    """The owner's."""
    methods: frozenset[str]


class Moment(Struct, frozen=True, kw_only=True):
    """What happens at one instant of the rehearsal."""

    at: datetime
    loop: int
    step: int
    """Both from 0."""
    paged: tuple[Reached, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    """Steps that were passed over just then."""
    is_last: bool = False
    """The end of the ladder: nobody else is paged."""
    is_expired: bool = False
    """The escalation ends by itself, and alarms (R12)."""


def rehearse(ladder: Ladder, broke_at: datetime, cast: Cast, hours: Hours = ladders.ANY_HOUR) -> tuple[Moment, ...]:
    """Every page from a break at `broke_at` on while nobody acknowledges, in order."""
    moments: list[Moment] = []
    position, at = Position(0, 0), ladders.planned_at(ladder, broke_at, Position(0, 0), hours)
    before: frozenset[str] = frozenset()
    ends_at = broke_at + ladder.ends_after
    has_reached = False
    while len(moments) < _MOST and at < ends_at:
        standing = Standing(reason=Reason.BREACHED, anchor_at=broke_at, position=position, has_reached=has_reached)
        climb = ladders.climb(ladder, standing, at, partial(recipients.reach, circle=_circle(cast, at)), before, hours)
        if climb.is_put_off and climb.next_step_at is not None:
            at = climb.next_step_at
            continue
        has_reached = has_reached or bool(climb.reached)
        moments.append(
            Moment(
                at=at,
                loop=climb.taken.loop,
                step=climb.taken.step,
                paged=climb.reached,
                skipped=climb.skipped,
                is_last=climb.is_exhausted,
            )
        )
        if climb.next_step_at is None:
            break
        before = frozenset(one.who for one in climb.reached) if climb.next.loop == climb.taken.loop else frozenset()
        position, at = climb.next, climb.next_step_at
    if ladder.steps:
        moments.append(Moment(at=ends_at, loop=position.loop, step=position.step, is_expired=True))
    return tuple(moments)


def _circle(cast: Cast, at: datetime) -> Circle:
    return Circle(
        at=at,
        policy_version=0,
        generation=1,
        rotations=cast.duties,
        owner=cast.owner,
        lead=cast.lead,
        people=cast.people,
        methods=cast.methods,
    )
