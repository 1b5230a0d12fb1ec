"""A ticket in two sentences: what happened, what happens next, by when, and who is responsible."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from shared.contract.tickets import ClockState, Status, TargetKind
from shared.sla.calendar import to_instant
from shared.sla.explaining.explained import ClockStory, HolderKind, Holding, Match, Outlook
from shared.sla.story import Story

_TODO = {
    TargetKind.FIRST_RESPONSE: "the customer needs a first answer",
    TargetKind.NEXT_RESPONSE: "the customer needs an answer",
    TargetKind.UPDATE: "the customer must hear from us",
    TargetKind.RESOLUTION: "the ticket must be solved",
    TargetKind.OWNERSHIP: "somebody must take the ticket",
    TargetKind.FOLLOW_UP: "the customer is to be asked whether all is well",
    TargetKind.INTERNAL_FIRST_RESPONSE: "the team must answer",
    TargetKind.INTERNAL_RESOLUTION: "the team must be done with its part",
    TargetKind.INTERNAL_OWNERSHIP: "somebody of the team must take the ticket",
}
_WAITS = {
    Status.PENDING_CUSTOMER: "we wait for the customer",
    Status.ON_HOLD: "it is on hold",
}


def name(target: TargetKind) -> str:
    """A target as people say it."""
    if target is TargetKind.FOLLOW_UP:
        return "follow-up"
    is_internal = target.startswith("internal_")
    plain = target.removeprefix("internal_").replace("_", " ")
    return f"team's {plain}" if is_internal else plain


def moment(at: datetime, zone: str) -> str:
    """A local time without its zone: `Mon 01 Jun 2026 09:00`; seconds where there are some."""
    local = at.astimezone(ZoneInfo(zone))
    return local.strftime("%a %d %b %Y %H:%M:%S" if local.second else "%a %d %b %Y %H:%M")


def unopened() -> Outlook:
    """Of a ticket whose opening has not arrived."""
    return Outlook(
        happened="Only later events of this ticket have arrived, not its opening.",
        next="Nothing is promised until the helpdesk sends `ticket.opened`.",
        by=None,
        responsible="the helpdesk that sends the events",
    )


def outlook(
    told: Story, clocks: Sequence[ClockStory], match: Match, holding: Holding, now: datetime, zone: str
) -> Outlook:
    """In words, with local times of the zone."""
    running = [clock for clock in clocks if clock.ended_at is None]
    following, by = _next(told, running, match, zone)
    return Outlook(
        happened=_happened(told, clocks, zone, now),
        next=following,
        by=by,
        responsible=_responsible(holding, bool(running)),
    )


def _happened(told: Story, clocks: Sequence[ClockStory], zone: str, now: datetime) -> str:
    verdict = told.classification
    channel = verdict.channel.replace("_", " ")
    since = told.statuses[-1][0]
    said = f"Opened {moment(told.opened_at, zone)} ({zone}) by {channel}, urgency {verdict.urgency}"
    if told.status is not Status.OPEN:
        said += f"; {told.status.replace('_', ' ')} since {_at(since, zone)}"
    finished = [clock for clock in clocks if clock.ended_at is not None]
    kept = sum(clock.state is ClockState.MET for clock in finished)
    broken = [clock for clock in clocks if clock.breached_at is not None]
    if finished or broken:
        said += f". {_counted(kept, 'promise')} kept, {len(broken)} broken"
    for clock in broken[-1:]:
        late = (clock.met_at or clock.ended_at or now) - (clock.breached_at or now)
        how = f"kept {span(late)} late" if clock.met_at else f"late since {moment(clock.breached_at or now, zone)}"
        said += f" (the {name(clock.target)}: {how}; then {clock.broke_with} had it)"
    return said + "."


def _at(at: int, zone: str) -> str:
    return moment(to_instant(at), zone)


def _next(told: Story, running: Sequence[ClockStory], match: Match, zone: str) -> tuple[str, datetime | None]:
    late = [(clock.breached_at, clock) for clock in running if clock.breached_at is not None]
    due = [(clock.late_from or clock.due_at, clock) for clock in running if clock.breached_at is None]
    ahead = sorted(((at, clock) for at, clock in due if at is not None), key=lambda item: item[0])
    said, by = [], None
    if late:
        since, clock = min(late, key=lambda item: item[0])
        also = f" ({_counted(len(late) - 1, 'other promise')} too)" if len(late) > 1 else ""
        said.append(f"Overdue since {moment(since, zone)}: {_TODO[clock.target]} at once{also}.")
    if ahead:
        by, clock = ahead[0]
        left = span(timedelta(seconds=clock.left_seconds or 0))
        said.append(f"Next: {_TODO[clock.target]} by {moment(by, zone)}, {left} of {clock.calendar} time from now.")
    return " ".join(said) or _nothing_due(told, running, match), by


def _nothing_due(told: Story, running: Sequence[ClockStory], match: Match) -> str:
    if running:
        clock = running[0]
        why = _WAITS.get(told.status)
        if why is None:
            return f"Nothing comes due: calendar {clock.calendar} does not open any more."
        if clock.left_seconds is not None and clock.left_seconds < 0:
            return f"Nothing is due while {why}; the {name(clock.target)} is late as soon as it goes on."
        left = f" with {span(timedelta(seconds=clock.left_seconds))} left" if clock.left_seconds is not None else ""
        return f"Nothing is due while {why}; the {name(clock.target)} goes on after that{left}."
    if told.status.is_over:
        return "Nothing more is owed."
    if match.line is None:
        return f"Nothing is promised: no target line of policy version {match.policy_version} matches."
    return f"Nothing is due: line `{match.line}` owes nothing at present."


def _responsible(holding: Holding, is_owed: bool) -> str:
    match holding.kind:
        case HolderKind.AGENT:
            return f"{holding.agent}" + (f" of team {holding.team}" if holding.team else "")
        case HolderKind.TEAM:
            return f"team {holding.team}; nobody in it has taken it yet"
        case HolderKind.UNASSIGNED:
            return "nobody yet: it waits in the queue for an owner"
        case HolderKind.OVER:
            return "nobody has it any more: the team lead" if is_owed else "nobody, it is over"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")


def span(length: timedelta) -> str:
    """About how long, to the two largest units: `3d 4h`."""
    seconds = round(length.total_seconds())
    units = [
        (seconds // 86_400, "d"),
        (seconds % 86_400 // 3_600, "h"),
        (seconds % 3_600 // 60, "m"),
        (seconds % 60, "s"),
    ]
    while len(units) > 1 and not units[0][0]:
        units.pop(0)
    return " ".join(f"{count}{unit}" for count, unit in units[:2] if count) or "0s"
