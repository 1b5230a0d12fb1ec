"""The life of an assignment: what follows for it from an event or from the passing of time (routing-rules 3.7).

Pure: the assignment, what happened and `now` go in, what becomes of it comes out; whether agents have room is asked of
whoever holds them. Parked work takes no units; everything else does, an offer too.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from shared.contract.events import Accepted, Declined, Released, Replied, StatusChanged, TicketEvent, Updated
from shared.contract.tickets import Author, Channel
from shared.sla.calendar import Calendar

CLOCKS_APART = timedelta(minutes=5)
"""A helpdesk's clock may be so far from ours: what an agent did so shortly before they had a ticket is done while they had it."""


class State(StrEnum):
    """How an agent has a ticket."""

    OFFERED = "offered"
    """They are asked, and nobody owns it yet."""
    ACTIVE = "active"
    PARKED = "parked"
    """Still theirs, but nobody has written for a while: it takes no room."""


class Ended(StrEnum):
    """Why a ticket goes from an agent back into the queue."""

    DECLINED = "declined"
    EXPIRED = "expired"
    """The offer lapsed."""
    RELEASED = "released"
    """The agent gave it back."""
    UNTOUCHED = "untouched"
    """Nothing was done with it in time."""
    WOKEN = "woken"
    """Its customer wrote, and the owner has no room for it."""


EXCLUDES = frozenset({Ended.DECLINED, Ended.EXPIRED, Ended.RELEASED, Ended.UNTOUCHED})
"""Whoever had it doesn't get it again in this cycle."""


class OfferOutcome(StrEnum):
    """How an offer ended."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    """The ticket is over, somebody else was given it, or the agent is gone."""

    @classmethod
    def of(cls, reason: str) -> "OfferOutcome":
        """By the reason for which the assignment ended without being accepted."""
        return cls(reason) if reason in {cls.DECLINED, cls.EXPIRED} else cls.WITHDRAWN


class Wants(StrEnum):
    """What follows if the agent's other work allows it."""

    NOTHING = "nothing"
    ROOM = "room"
    """Parked work is written in by the agent: it takes its units again, or stays parked."""
    ROOM_OR_QUEUE = "room_or_queue"
    """Parked work is written in by the customer: it takes its units again, or goes to the queue."""
    PARKING = "parking"
    """Silent for long enough: it is parked, unless the agent has parked too many."""


class Terms(Struct, frozen=True, kw_only=True):
    """What the policy says of an assignment."""

    first_action: float | None = None
    """The share of the slack within which an agent does something; None: no bound."""
    park: timedelta | None = None
    """After so long a silence it is parked; None: never."""
    start_by: datetime | None = None
    """The latest start of the answer that is owed; None where nothing is."""


class Tenure(Struct, frozen=True, kw_only=True):
    """A row of the table `assignment` that has not ended."""

    id: UUID
    ticket_id: UUID
    tenant: str
    agent: str
    pool: str
    channel: Channel
    units: int
    interruptible: bool
    by_hand: bool = False
    state: State = State.ACTIVE
    assigned_at: datetime
    accepted_at: datetime | None = None
    touched_at: datetime | None = None
    offered_until: datetime | None = None
    act_by: datetime | None = None
    park_at: datetime | None = None
    queued_at: datetime | None = None
    excluded: tuple[str, ...] = ()
    was_cleared: bool = False

    @property
    def can_park(self) -> bool:
        """Whether it may be parked at all."""
        return _can_park(self.channel, is_interruptible=self.interruptible)


class Start(Struct, frozen=True, gc=False):
    """How an agent has a ticket to begin with."""

    state: State
    accepted_at: datetime | None
    offered_until: datetime | None
    act_by: datetime | None
    park_at: datetime | None


class Turn(Struct, frozen=True, kw_only=True):
    """What becomes of an assignment."""

    tenure: Tenure
    """With what changed, unless it has ended."""
    ended: Ended | None = None
    is_accepted: bool = False
    """It was offered, and is the agent's now."""
    wants: Wants = Wants.NOTHING
    fitting: tuple[str, ...] = ()
    """Ids of the answers (accepted, declined, released) that meant something."""

    @property
    def moves_load(self) -> bool:
        """The agent's row has to be held for it."""
        return self.ended is not None or self.is_accepted or self.wants is not Wants.NOTHING


def hear(tenure: Tenure, events: Iterable[TicketEvent], terms: Terms, now: datetime) -> Turn:
    """What new events of its ticket mean for an assignment, in the order in which they happened.

    An answer that doesn't fit (another agent's, given twice, or after the offer lapsed by our clock) means nothing.
    """
    turn = Turn(tenure=tenure)
    for event in sorted(events, key=_happened):
        if turn.ended is not None:
            break
        turn = _hear_one(turn, event, terms, now)
    return turn


def _happened(event: TicketEvent) -> tuple[datetime, str]:
    return event.occurred_at, event.id


def _hear_one(turn: Turn, event: TicketEvent, terms: Terms, now: datetime) -> Turn:
    match event.data:
        case Accepted() | Declined() | Released() as answer if answer.agent == turn.tenure.agent:
            return _answered(turn, answer, event.id, terms, now)
        case Replied(by=Author.AGENT):
            wrote = _written(_touched(turn.tenure, event, now), event, terms, now)
            return replace(turn, tenure=wrote, wants=_woken(turn, event, terms, now, Wants.ROOM))
        case Replied(by=Author.CUSTOMER):
            wrote = _written(turn.tenure, event, terms, now)
            return replace(turn, tenure=wrote, wants=_woken(turn, event, terms, now, Wants.ROOM_OR_QUEUE))
        case StatusChanged() | Updated():
            return replace(turn, tenure=_touched(turn.tenure, event, now))
    return turn


def _answered(turn: Turn, answer: Accepted | Declined | Released, event_id: str, terms: Terms, now: datetime) -> Turn:
    """What the agent says who has it, or is offered it; who accepts what is theirs already has what they ask for."""
    tenure, is_theirs = turn.tenure, turn.tenure.state is not State.OFFERED
    fits = is_theirs if isinstance(answer, Released) else _is_open(tenure, now)
    if not fits and not (is_theirs and isinstance(answer, Accepted)):
        return turn
    turn = replace(turn, fitting=(*turn.fitting, event_id))
    match answer:
        case Accepted():
            return turn if is_theirs else replace(turn, tenure=accept(tenure, terms, now), is_accepted=True)
        case Declined():
            return replace(turn, ended=Ended.DECLINED)
        case Released():
            return replace(turn, ended=Ended.RELEASED)


def _woken(turn: Turn, event: TicketEvent, terms: Terms, now: datetime, wanted: Wants) -> Wants:
    """Somebody wrote in parked work: a customer's message weighs more than an agent's.

    What was written so long ago that it would be parked again wakes nobody; by a policy that parks nothing all does.
    """
    is_over = terms.park is not None and min(event.occurred_at, now) + terms.park <= now
    if turn.tenure.state is not State.PARKED or is_over:
        return turn.wants
    return turn.wants if turn.wants is Wants.ROOM_OR_QUEUE else wanted


def _is_open(tenure: Tenure, now: datetime) -> bool:
    """Whether it is offered and the offer has not lapsed."""
    return tenure.state is State.OFFERED and tenure.offered_until is not None and now < tenure.offered_until


def begin(channel: Channel, offer: timedelta | None, terms: Terms, now: datetime, *, is_interruptible: bool) -> Start:
    """A ticket is given to an agent: to be accepted within `offer`, or theirs at once."""
    if offer is not None:
        return Start(State.OFFERED, None, now + offer, None, None)
    return Start(
        State.ACTIVE,
        now,
        None,
        first_action_by(now, terms) if is_interruptible else None,
        parks_at(channel, terms.park, now, is_interruptible=is_interruptible),
    )


def parks_at(channel: Channel, park: timedelta | None, now: datetime, *, is_interruptible: bool) -> datetime | None:
    """When work in which nobody writes from now on is parked; None: never."""
    return None if park is None or not _can_park(channel, is_interruptible=is_interruptible) else now + park


def _can_park(channel: Channel, *, is_interruptible: bool) -> bool:
    """Real-time work that shares an agent with more of it; a call is never left alone."""
    return not is_interruptible and channel is not Channel.PHONE


def accept(tenure: Tenure, terms: Terms, now: datetime) -> Tenure:
    """The agent has it from now on."""
    start = begin(tenure.channel, None, terms, now, is_interruptible=tenure.interruptible)
    return replace(
        tenure,
        state=start.state,
        accepted_at=now,
        offered_until=None,
        act_by=None if tenure.by_hand else start.act_by,
        park_at=start.park_at,
    )


def first_action_by(accepted_at: datetime, terms: Terms) -> datetime | None:
    """When an agent should have done something; None where nothing is owed, or it is late already: there is no slack."""
    if terms.first_action is None or terms.start_by is None or terms.start_by <= accepted_at:
        return None
    return accepted_at + terms.first_action * (terms.start_by - accepted_at)


def in_open_time(accepted_at: datetime, terms: Terms, calendar: Calendar) -> datetime | None:
    """The same in the open time of the promise: nobody has to act while its calendar is closed."""
    if terms.first_action is None or terms.start_by is None:
        return None
    slack = calendar.between(accepted_at, terms.start_by)
    return calendar.add(accepted_at, terms.first_action * slack) or terms.start_by


def _touched(tenure: Tenure, event: TicketEvent, now: datetime) -> Tenure:
    if tenure.accepted_at is None or event.occurred_at < tenure.accepted_at - CLOCKS_APART:
        return tenure
    return replace(tenure, touched_at=tenure.touched_at or min(event.occurred_at, now), act_by=None)


def _written(tenure: Tenure, event: TicketEvent, terms: Terms, now: datetime) -> Tenure:
    """Somebody wrote: the silence begins anew, unless it was so long ago that it is over again."""
    if tenure.state is State.OFFERED or terms.park is None or not tenure.can_park:
        return tenure
    park_at = min(event.occurred_at, now) + terms.park
    if tenure.state is State.PARKED and park_at <= now:
        return tenure
    return replace(tenure, park_at=max(park_at, tenure.park_at or park_at))


def lapse(tenure: Tenure, now: datetime) -> Turn:
    """What time alone means for an assignment: the first of its timers that has come."""
    if tenure.state is State.OFFERED:
        is_over = tenure.offered_until is not None and tenure.offered_until <= now
        return Turn(tenure=tenure, ended=Ended.EXPIRED if is_over else None)
    if tenure.act_by is not None and tenure.act_by <= now:
        return Turn(tenure=tenure, ended=Ended.UNTOUCHED)
    if tenure.park_at is not None and tenure.park_at <= now and tenure.state is State.ACTIVE:
        if not tenure.can_park:
            return Turn(tenure=replace(tenure, park_at=None))
        return Turn(tenure=tenure, wants=Wants.PARKING)
    return Turn(tenure=tenure)


class Room:
    """What an agent can take back of their parked work, while it is handed out (C3, ceilings, presence)."""

    def __init__(
        self,
        *,
        capacity: int,
        primary: int,
        interruptible: int,
        calls: int,
        is_there: bool,
        closed: Iterable[str] = (),
        left: dict[Channel, int] | None = None,
    ) -> None:
        """`left` says how many more tickets of a channel they may have, where there is a ceiling."""
        self._capacity = capacity
        self._primary = primary
        self._interruptible = interruptible
        self._is_open = is_there and not calls
        self._closed = frozenset(closed)
        self._left = left or {}

    def take(self, tenure: Tenure) -> bool:
        """Take parked real-time work back, if it fits; returns whether it did."""
        primary = self._primary + tenure.units
        fits = (
            self._is_open
            and tenure.channel not in self._closed
            and primary <= self._capacity
            and primary + self._interruptible <= 2 * self._capacity
            and self._left.get(tenure.channel, 1) > 0
        )
        if fits:
            self._primary = primary
            if tenure.channel in self._left:
                self._left[tenure.channel] -= 1
        return fits
