"""Calendars, policies and events for tests of the fold, in few words. Times without a date lie on Monday, 1 June 2026."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.contract.events import (
    Assigned,
    Data,
    DeadlineSet,
    Opened,
    Owned,
    PolicyChanged,
    Replied,
    StatusChanged,
    TicketEvent,
    Unowned,
    Updated,
)
from shared.contract.tickets import Author, Channel, Status, TargetKind, Urgency
from shared.sla import timeline
from shared.sla.calendar import Calendar
from shared.sla.clock import Clock
from shared.sla.condition import Condition
from shared.sla.fields import Classification, Facts
from shared.sla.hours import CalendarSpec, Dates, Days, Exceptional, Hours, Yearly
from shared.sla.policy import FollowUp, Judge, OnChange, Promise, Reopen, SlaPolicy, Target, WarnAt
from shared.sla.timeline import Evaluation

BERLIN = ZoneInfo("Europe/Berlin")
WORKDAYS = range(5)
EVERY_DAY = range(7)

FIRST, NEXT, UPDATE, RESOLUTION = (
    TargetKind.FIRST_RESPONSE,
    TargetKind.NEXT_RESPONSE,
    TargetKind.UPDATE,
    TargetKind.RESOLUTION,
)
RETROACTIVE = OnChange()
WAITING = frozenset({Status.PENDING_CUSTOMER, Status.ON_HOLD})


def hours(text: str) -> tuple[Hours, ...]:
    """`09:00-12:30, 13:00-17:00`; one that ends before it begins runs over midnight."""
    return tuple(_hours(part.strip()) for part in text.split(",")) if text else ()


def _hours(part: str) -> Hours:
    opens, closes = (int(at[:2]) * 3600 + int(at[3:]) * 60 for at in part.split("-"))
    return Hours(opens, closes if closes > opens else closes + 86_400)


def on(days: str, times: str = "") -> Exceptional:
    """`2026-06-02`, `2026-06-02..2026-06-05` or yearly `12-24..01-02`, all day or at these times."""
    first, _, last = days.partition("..")
    return Exceptional(days=_days(first, last or first), hours=hours(times))


def _days(first: str, last: str) -> Days:
    if len(first) == len("2026-06-02"):
        return Dates(date.fromisoformat(first), date.fromisoformat(last))
    return Yearly((int(first[:2]), int(first[3:])), (int(last[:2]), int(last[3:])))


def calendar(
    times: str = "09:00-17:00",
    *,
    days: Sequence[int] = WORKDAYS,
    zone: ZoneInfo = BERLIN,
    holidays: Sequence[str] = (),
    closed: Sequence[Exceptional] = (),
    opened: Sequence[Exceptional] = (),
) -> Calendar:
    """A calendar with the same hours on these weekdays (0 is Monday); the default is calendar C of the rules."""
    return Calendar(
        CalendarSpec(
            name="office",
            zone=zone,
            weekly=tuple(hours(times) if day in days else () for day in range(7)),
            holidays=frozenset(date.fromisoformat(day) for day in holidays),
            closed=tuple(closed),
            opened=tuple(opened),
        )
    )


ALWAYS = Calendar(CalendarSpec(name="always", zone=BERLIN, always=True))
OFFICE = calendar()


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    """`09:00` on Monday, 1 June 2026, `5 09:00` on the fifth of that month, or a whole `2026-10-25 09:00`; in UTC."""
    day, _, time = text.rpartition(" ")
    if len(day) < len("2026-06-01"):
        day = f"2026-06-{int(day or 1):02}"
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=zone).astimezone(UTC)


def wall(instant: datetime | None, zone: ZoneInfo = BERLIN) -> str | None:
    """An instant as local time, `2026-06-01 09:00` (seconds and less only where there are some)."""
    if instant is None:
        return None
    local = instant.astimezone(zone).replace(tzinfo=None)
    return local.isoformat(" ", timespec="auto" if local.second or local.microsecond else "minutes")


def due(calendar: Calendar, start: str, open_time: timedelta, zone: ZoneInfo = BERLIN) -> str | None:
    """`calendar.add` from one local time to another."""
    return wall(calendar.add(at(start, zone), open_time), zone)


def h(count: float) -> timedelta:
    """Hours."""
    return timedelta(hours=count)


def m(count: float) -> timedelta:
    """Minutes."""
    return timedelta(minutes=count)


def target(
    promises: Mapping[TargetKind, Promise],
    *,
    name: str = "all",
    warn: tuple[WarnAt, ...] = (),
    urgency: Urgency | None = None,
    pauses_while: frozenset[Status] = WAITING,
    on_reopen: Reopen = Reopen.RESUME,
    on_change: OnChange = RETROACTIVE,
    calendar: str = "office",
    team: str | None = None,
    is_internal: bool = False,
    escalate: str | None = None,
) -> Target:
    """A target line; resolution and update pause while the customer is waited for."""
    asked = {"urgency": urgency, "team": team}
    wanted = {field: frozenset({str(value).casefold()}) for field, value in asked.items() if value is not None}
    return Target(
        name=name,
        calendar=calendar,
        promises=promises,
        is_internal=is_internal,
        when=Condition(wanted) if wanted else None,
        on_change=on_change,
        escalate=escalate,
        warn=warn,
        pauses_while={RESOLUTION: pauses_while, UPDATE: pauses_while},
        on_reopen=on_reopen,
    )


def policy(
    *targets: Target, version: int = 1, office: Calendar = OFFICE, follow_up: FollowUp | None = None
) -> SlaPolicy:
    """A policy of these lines, with the calendars `office` and `always`."""
    return SlaPolicy(
        version=version, calendars={"office": office, "always": ALWAYS}, targets=targets, follow_up=follow_up
    )


def event(when: str, data: Data, *, name: str = "") -> TicketEvent:
    """One event; its id is made of what it says unless it is named."""
    kind = type(data).__name__
    return TicketEvent(
        tenant="default", id=name or f"{kind} {when} {data}", source="desk", ticket="1", occurred_at=at(when), data=data
    )


def opened(when: str, *, urgency: Urgency | None = None, channel: str = "email") -> TicketEvent:
    """The customer opens a ticket."""
    return event(when, Opened(channel=channel, subject="Help", urgency=urgency))


def customer(when: str) -> TicketEvent:
    """The customer writes."""
    return event(when, Replied(by=Author.CUSTOMER))


def agent(when: str, *, public: bool = True) -> TicketEvent:
    """An agent writes; what isn't public is a note."""
    return event(when, Replied(by=Author.AGENT, public=public))


def bot(when: str) -> TicketEvent:
    """A program answers."""
    return event(when, Replied(by=Author.BOT))


def status(when: str, to: Status) -> TicketEvent:
    """The helpdesk moves the ticket."""
    return event(when, StatusChanged(status=to))


def urgency(when: str, to: Urgency) -> TicketEvent:
    """The helpdesk changes how urgent it is."""
    return event(when, Updated(urgency=to))


def assigned(when: str, to: str | None, *, team: str | None = None) -> TicketEvent:
    """The helpdesk gives it to an agent, or to a team."""
    return event(when, Assigned(agent=to, team=team))


def owned(when: str, agent: str) -> TicketEvent:
    """We give it to an agent."""
    return event(when, Owned(agent=agent))


def released(when: str, agent: str) -> TicketEvent:
    """It leaves that agent."""
    return event(when, Unowned(agent=agent))


def pinned(when: str, to: str | None, target: TargetKind = TargetKind.RESOLUTION) -> TicketEvent:
    """Somebody sets a deadline by hand, or takes it back."""
    return event(when, DeadlineSet(target=target, due_at=None if to is None else at(to)))


def applied(when: str, version: int, *, over: int = 1) -> TicketEvent:
    """Another version of the policy judges the ticket from then on."""
    return event(when, PolicyChanged(version=version, previous=over))


def classify(facts: Facts) -> Classification:
    """The channel and urgency that the helpdesk says."""
    return Classification(
        channel=Channel(facts.channel),
        urgency=facts.urgency or Urgency.NORMAL,
        theme="unknown",
        language=facts.language,
    )


def evaluate(events: Sequence[TicketEvent], lines: SlaPolicy, now: str, *later: SlaPolicy) -> Evaluation:
    """The fold, with time acting up to `now`."""
    return timeline.evaluate(events, lines, classify, at(now), {item.version: Judge(item, classify) for item in later})


def place(events: Sequence[TicketEvent], lines: SlaPolicy, now: str) -> Evaluation:
    """The fold, with running clocks left as events put them."""
    return timeline.place(events, lines, classify, at(now))


def one(evaluation: Evaluation, kind: TargetKind, cycle: int = 1) -> Clock:
    """The clock of that target and cycle."""
    (found,) = (clock for clock in evaluation.clocks if (clock.target, clock.cycle) == (kind, cycle))
    return found


def kinds(evaluation: Evaluation) -> list[tuple[TargetKind, int, str]]:
    """Target, cycle and state of every clock, in order."""
    return [(clock.target, clock.cycle, str(clock.state)) for clock in evaluation.clocks]
