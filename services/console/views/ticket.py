"""One ticket for a person: what it is, what was promised, and what happened when."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.console.domain.ticket import ClockLine, EventLine, PageTrace, TicketHead, TicketStory
from services.console.output import moment, table
from services.console.views import explanation, palette
from shared.sla.explaining import outlook
from shared.sla.explaining.explained import Explanation

_LOG_LINES = 200
_LONGEST = 200
_ANSWERS = {"accepted": "accepts it", "declined": "declines it", "released": "gives it back"}
_STATE_STYLE = {"met": palette.GOOD, "breached": palette.BAD, "paused": palette.FAIR, "cancelled": palette.FAINT}


def show(story: TicketStory) -> RenderableType:
    """The ticket and its promises."""
    return Group(_head(story), _clocks(story))


def explain(story: TicketStory, told: Explanation) -> RenderableType:
    """Why it stands so: each promise with its line, its time and its changes; then the whole story in order."""
    head = story.head
    reasons = Table.grid(padding=(0, 2))
    for label, text in explanation.classified(told.classified, told.zone):
        reasons.add_row(Text(label, style="bold"), text)
    internal = [(label.replace("target", "team's"), text) for label, text in explanation.match(told.internal_match)]
    for label, text in [*explanation.match(told.match), *internal]:
        reasons.add_row(Text(label, style="bold"), text)
    reasons.add_row(Text("pool", style="bold"), head.pool)
    reasons.add_row(Text("skills needed", style="bold"), _skills(head))
    reasons.add_row(
        Text("times", style="bold"), f"local ones of {told.zone}, now {outlook.moment(told.now, told.zone)}"
    )
    return Group(
        _head(story, told.zone),
        Text(),
        explanation.summary(told),
        Text(),
        reasons,
        explanation.clocks(told),
        Text(),
        explanation.holdings(told),
        Text(),
        Text("the whole story", style="bold"),
        _log(story, told.zone),
    )


def _head(story: TicketStory, zone: str | None = None) -> RenderableType:
    head = story.head
    title = Text(f"{head.source} {head.external_id}", style="bold")
    if head.subject:
        title.append(f"  {head.subject}", style="default")
    facts = Table.grid(padding=(0, 2))
    facts.add_row(Text("status", style="bold"), f"{head.status}{_since(head, zone)}")
    facts.add_row(Text("channel", style="bold"), palette.channel(head.channel or "-"))
    facts.add_row(
        Text("urgency", style="bold"),
        Text(head.urgency or "-", style=palette.URGENCY_STYLE.get(head.urgency or "", "")),
    )
    facts.add_row(Text("theme", style="bold"), head.theme or "-")
    if head.team:
        facts.add_row(Text("team", style="bold"), head.team)
    facts.add_row(Text("owner", style="bold"), _owner(head, story.now, zone))
    facts.add_row(Text("our id", style="bold"), str(head.id))
    return Group(title, facts)


def _since(head: TicketHead, zone: str | None) -> str:
    if head.opened_at is None:
        return " (its opening has not arrived yet)"
    solved = f", solved {_moment(head.solved_at, zone)}" if head.solved_at else ""
    return f" (opened {_moment(head.opened_at, zone)}{solved})"


def _moment(at: datetime, zone: str | None) -> str:
    return outlook.moment(at, zone) if zone else moment(at)


def _owner(head: TicketHead, now: datetime, zone: str | None) -> str:
    if head.owner and head.assigned_at:
        return f"{head.owner}, since {_moment(head.assigned_at, zone)}"
    if head.waiting_reason and head.queued_at:
        return f"nobody: waits for {palette.span(now - head.queued_at)}: {palette.waiting(head.waiting_reason)}"
    return "nobody"


def _skills(head: TicketHead) -> str:
    needs: list[tuple[str, int]] = msgspec.json.decode(head.needs, type=list[tuple[str, int]])
    required = ", ".join(f"{skill} at {level}" for skill, level in needs) or "none"
    return required + (f"; preferred {', '.join(head.prefers)}" if head.prefers else "")


def _clocks(story: TicketStory) -> RenderableType:
    lines = table("promise", "state", "started", "due", "", "open time", "line of the policy", right=("open time",))
    for clock in story.clocks:
        name = palette.target(clock.target) + (f" #{clock.cycle}" if clock.cycle > 1 else "")
        lines.add_row(
            name,
            Text(clock.state, style=_STATE_STYLE.get(clock.state, "default")),
            moment(clock.started_at),
            moment(clock.due_at),
            _outcome(clock, story.now),
            palette.span(clock.open_used) if clock.ended_at or clock.state == "paused" else "",
            f"{clock.matched} ({clock.calendar})",
        )
    return lines if story.clocks else Text("no promise was made for it", style=palette.FAINT)


def _outcome(clock: ClockLine, now: datetime) -> Text:
    if clock.state == "cancelled":
        return Text("withdrawn", style=palette.FAINT)
    if clock.breached_at is not None:
        late = (clock.met_at or clock.ended_at or now) - clock.breached_at
        how = "answered " if clock.met_at else "withdrawn " if clock.ended_at else "still open, "
        return Text(f"{how}{palette.span(late)} late", style=palette.BAD)
    if clock.met_at is not None and clock.due_at is not None:
        return Text(f"kept with {palette.span(clock.due_at - clock.met_at)} to go", style=palette.GOOD)
    if clock.due_at is not None:
        return Text(f"{palette.span(clock.due_at - now)} left" + (", warned" if clock.warned_at else ""))
    return Text("on hold", style=palette.FAIR)


def _log(story: TicketStory, zone: str) -> RenderableType:
    entries: list[tuple[datetime, str, str]] = [(event.occurred_at, "event", _event(event)) for event in story.events]
    for assignment in story.assignments:
        by = " by hand" if assignment.by_hand else ""
        if assignment.accepted_at is None or assignment.accepted_at > assignment.assigned_at:
            entries.append((assignment.assigned_at, "offer", f"{assignment.agent} is asked"))
        if assignment.accepted_at is not None:
            entries.append((assignment.accepted_at, "owner", f"{assignment.agent} has it{by}"))
        if assignment.ended_at is not None:
            what = "offer" if assignment.accepted_at is None else "owner"
            entries.append((assignment.ended_at, what, f"{assignment.agent} no longer: {assignment.end_reason}"))
    for clock in story.clocks:
        entries += _turns(clock)
    for page in story.pages:
        entries += _pages(page)
    lines = table("when", "what", "")
    left_out = len(entries) - _LOG_LINES
    if left_out > 0:
        lines.add_row("", "", Text(f"... {left_out} earlier ones (`ticket show --json` has all)", style=palette.FAINT))
    for at, kind, text in sorted(entries, key=lambda entry: entry[0])[-_LOG_LINES:]:
        lines.add_row(outlook.moment(at, zone), Text(kind, style=palette.FAINT), text)
    return lines


def _turns(clock: ClockLine) -> list[tuple[datetime, str, str]]:
    name = palette.target(clock.target)
    turns = []
    if clock.warned_at is not None:
        turns.append((max(clock.warned_at, clock.started_at), "clock", f"{name} is at risk (warning {clock.warned})"))
    if clock.breached_at is not None:
        noticed = clock.detected_at - clock.breached_at if clock.detected_at else timedelta()
        turns.append((clock.breached_at, "clock", f"{name} is broken (noticed after {palette.span(noticed)})"))
    if clock.met_at is not None:
        turns.append((clock.met_at, "clock", f"{name} is answered"))
    elif clock.ended_at is not None:
        turns.append((clock.ended_at, "clock", f"{name} is withdrawn"))
    return turns


def _pages(page: PageTrace) -> list[tuple[datetime, str, str]]:
    if page.due_at is None:
        return []
    whom = f"{page.person or 'nobody'} ({page.recipient}) by {page.method}"
    turns = [(page.accepted_at or page.due_at, "page", f"{page.kind} to {whom}: {page.state}")]
    if page.acknowledged_at is not None:
        turns.append((page.acknowledged_at, "page", f"{page.person} takes it"))
    return turns


def _handed(data: dict[str, Any]) -> str:
    agent, team = data.get("agent"), data.get("team")
    given = f"given to {agent} by hand" if agent else "" if team else "taken back by hand"
    return ", ".join(part for part in (f"handed to team {team}" if team else "", given) if part)


def _event(event: EventLine) -> str:
    data: dict[str, Any] = msgspec.json.decode(event.data)
    match data.get("kind"):
        case "opened":
            text = f"opened by {data['channel']}"
        case "replied":
            text = f"{data['by']} wrote" + ("" if data.get("public", True) else " a note")
        case "status_changed":
            text = f"status {data['status']}"
        case "assigned":
            text = _handed(data)
        case "updated":
            said = {name: value for name, value in data.items() if name not in {"kind", "at"}}
            text = f"updated: {msgspec.json.encode(said).decode()[:_LONGEST]}"
        case "accepted" | "declined" | "released" as answer:
            text = f"{data['agent']} {_ANSWERS[answer]}" + (f": {data['reason']}" if data.get("reason") else "")
        case "deadline_set":
            text = f"deadline of the {palette.target(data['target'])} set by hand: {data.get('due_at') or 'the policy decides'}"
        case "policy_changed":
            text = f"policy version {data['previous']} -> {data['version']}"
        case kind:
            text = str(kind)
    late = event.received_at - event.occurred_at
    return (
        text + (f", known {palette.span(late)} later" if late >= timedelta(minutes=1) else "") + f"  [{event.event_id}]"
    )
