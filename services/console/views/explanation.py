"""Why a ticket's clocks stand as they do, for a team lead to read: local times of the calendar's zone, one clock after the other."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from services.console.views import palette
from shared.sla.explaining import outlook
from shared.sla.explaining.explained import (
    Check,
    Classified,
    ClockStory,
    Explanation,
    Given,
    Interval,
    IntervalState,
    Match,
    ModelSaid,
    Turn,
    Turning,
)
from shared.sla.explaining.holders import spoken
from shared.sla.fields import By

_FIRST_ROWS, _LAST_ROWS = 8, 16
"""Of a longer list: so many at its beginning and its end."""
_STATE_STYLE = {"met": palette.GOOD, "breached": palette.BAD, "paused": palette.FAIR, "cancelled": palette.FAINT}
_TURN_STYLE = {Turn.BREACHED: palette.BAD, Turn.MET: palette.GOOD, Turn.WARNED: palette.FAIR}
_INTERVAL_STYLE = {IntervalState.PAUSED: palette.FAIR, IntervalState.CLOSED: palette.FAINT}
_TURN_NAME = {
    Turn.STARTED: "started",
    Turn.LINE_CHANGED: "other line, same due time",
    Turn.WARNED: "warned",
    Turn.MET: "kept",
    Turn.BREACHED: "broken",
    Turn.BREACH_RETRACTED: "breach taken back",
    Turn.CANCELLED: "withdrawn",
}


def summary(told: Explanation) -> RenderableType:
    """What happened, what happens next and who is responsible."""
    grid = _grid()
    grid.add_row(Text("what happened", style="bold"), told.outlook.happened)
    grid.add_row(Text("what is next", style="bold"), told.outlook.next)
    grid.add_row(Text("responsible", style="bold"), told.outlook.responsible)
    if told.given is not None:
        grid.add_row(Text("given", style="bold"), _given(told.given, told.zone))
    if told.waiting is not None and told.waiting.insists_until is not None:
        until = outlook.moment(told.waiting.insists_until, told.zone)
        grid.add_row(Text("insists upon", style="bold"), f"{', '.join(told.waiting.insists)}, until {until}")
    if told.waiting is not None and told.waiting.declined:
        grid.add_row(Text("not again for", style="bold"), ", ".join(told.waiting.declined))
    if told.waiting is not None and told.waiting.next_shift_at is not None:
        grid.add_row(Text("next shift", style="bold"), outlook.moment(told.waiting.next_shift_at, told.zone))
    if told.waiting is not None and told.waiting.help_at is not None:
        said = f"{outlook.moment(told.waiting.help_at, told.zone)}, unless somebody takes it before"
        grid.add_row(Text("somebody is told", style="bold"), said)
    return grid


def _given(given: Given, zone: str) -> str:
    """Who is asked, or has it, and what time will do about that."""
    since = outlook.moment(given.since, zone)
    if given.offered_until is not None:
        return f"offered to {given.agent} since {since}, until {outlook.moment(given.offered_until, zone)}"
    said = f"{given.state} with {given.agent} since {since}"
    if given.act_by is not None:
        said += f", for somebody else if nothing is done by {outlook.moment(given.act_by, zone)}"
    if given.park_at is not None:
        said += f", parked if nobody writes by {outlook.moment(given.park_at, zone)}"
    return said


def classified(told: Classified | None, zone: str) -> list[tuple[str, str]]:
    """What is held of the ticket and who says so, as rows of a label and a text."""
    if told is None:
        return []
    rows = [
        (
            "channel",
            told.channel if told.channel == told.channel_said else f"{told.channel}, from `{told.channel_said}`",
        ),
        ("urgency", f"{told.urgency}, {_by(told.urgency_by, told.model)}"),
        ("theme", f"{told.theme}, {_by(told.theme_by, told.model)}"),
        ("rules that hit", ", ".join(told.rules) or "none"),
    ]
    if told.model is not None:
        rows.append((f"model {told.model.version} said", _model_said(told.model)))
    rows += [("corrected", f"{one.field} {one.was} -> {one.now}, {_moment(one.at, zone)}") for one in told.corrections]
    if told.corrections_left_out:
        rows.append(("", f"and {told.corrections_left_out} times before these"))
    return rows


def _by(who: By, model: ModelSaid | None) -> str:
    match who:
        case By.MODEL:
            return f"by model {model.version}" if model is not None else "by a model"
        case By.RULE:
            return "by rule"
        case By.PERSON:
            return "said by a person"
        case By.HELPDESK:
            return "said by the helpdesk"
        case By.NOBODY:
            return "as nothing says otherwise"


def _model_said(model: ModelSaid) -> str:
    said = []
    if model.theme is not None:
        said.append(f"theme {model.theme} ({model.theme_confidence:.0%} sure)")
    if model.urgency is not None:
        said.append(f"urgency {model.urgency} ({model.urgency_confidence:.0%} sure)")
    return ", ".join(said) or "nothing"


def match(told: Match | None) -> list[tuple[str, str]]:
    """Which line holds and why, as rows of a label and a text."""
    if told is None:
        return []
    rows = []
    if told.line is None:
        rows.append(("target line", "none matches, so nothing is promised (no_target)"))
    else:
        because = _because(told.checks)
        rows.append(("target line", f"{told.line}, of policy version {told.policy_version}: {because}"))
    for tried in told.tried:
        why = "; ".join(_failed(check) for check in tried.failed) or "it did not hold"
        rows.append(("", f"not {tried.line}: {why}"))
    if told.tried_left_out:
        rows.append(("", f"nor {told.tried_left_out} lines after these"))
    return rows


def clocks(told: Explanation) -> RenderableType:
    """Every promise with what moved it, what counted and who had it."""
    parts: list[RenderableType] = []
    if told.clocks_left_out:
        left_out = f"{told.clocks_left_out} earlier promises are left out; the latest {len(told.clocks)} follow"
        parts.append(Text(left_out, style=palette.FAINT))
    for clock in told.clocks:
        parts += [Text(), _clock(clock, told)]
    if not told.clocks:
        parts.append(Text("no promise was made for it", style=palette.FAINT))
    return Group(*parts)


def holdings(told: Explanation) -> RenderableType:
    """Who had the ticket, stretch by stretch."""
    grid = _grid()
    rows = [(_moment(item.since, told.zone), _moment(item.until, told.zone), spoken(item)) for item in told.holdings]
    _add(grid, rows, told.holdings_left_out)
    return Group(Text("who had it", style="bold"), Padding(grid, (0, 0, 0, 2)))


def _clock(clock: ClockStory, told: Explanation) -> RenderableType:
    zone = clock.zone if clock.calendar != "always" else told.zone
    title = Text(outlook.name(clock.target), style="bold")
    title.append(f" #{clock.cycle}" if clock.cycle > 1 else "", style="bold")
    title.append("  ").append(clock.state, style=_STATE_STYLE.get(clock.state, "bold"))
    title.append(f"  {clock.promise}, {_due(clock, zone)}")
    facts = _grid()
    facts.add_row("time used", f"{_span(clock.open_seconds)} open, {_span(clock.wall_seconds)} elapsed{_left(clock)}")
    if clock.match is None:
        facts.add_row("line", "none: the deadline was set by hand")
    elif told.match is None or (clock.match.line, clock.match.policy_version) != (
        told.match.line,
        told.match.policy_version,
    ):
        for label, text in match(clock.match):
            facts.add_row(label.removeprefix("target "), text)
    facts.add_row("its terms", _terms(clock, zone))
    if clock.holders:
        facts.add_row("who had it", ", ".join(f"{who.holder} {_span(who.open_seconds)}" for who in clock.holders))
    if clock.broke_with:
        facts.add_row("broke with", clock.broke_with)
    parts: list[RenderableType] = [title, Padding(facts, (0, 0, 0, 2))]
    parts += [Text("  what happened", style=palette.FAINT), Padding(_turns(clock, zone), (0, 0, 0, 4))]
    parts += [Text(f"  how it was counted ({zone})", style=palette.FAINT)]
    parts += [Padding(_intervals(clock.intervals, zone), (0, 0, 0, 4))]
    return Group(*parts)


def _due(clock: ClockStory, zone: str) -> str:
    if clock.due_at is None:
        return "no due time while it is paused" if clock.ended_at is None else "no due time when it ended"
    late = f", late from {_moment(clock.late_from, zone)}" if clock.late_from else ""
    return f"due {_moment(clock.due_at, zone)}{late}"


def _left(clock: ClockStory) -> str:
    if clock.left_seconds is None:
        return ""
    if clock.left_seconds < 0:
        return f"; {_span(-clock.left_seconds)} of open time too late"
    return f"; {_span(clock.left_seconds)} of open time left"


def _terms(clock: ClockStory, zone: str) -> str:
    said = [f"calendar {clock.calendar} ({clock.zone})"]
    if clock.counts_from < clock.started_at:
        said.append(f"counts from {_moment(clock.counts_from, zone)}, before it began")
    said.append(
        "pauses while " + " or ".join(status.replace("_", " ") for status in clock.pauses_while)
        if clock.pauses_while
        else "nothing pauses it"
    )
    if clock.warn:
        said.append(f"warns at {', '.join(clock.warn)}{_ahead(clock, zone)}")
    said.append(f"on_change {clock.on_change}")
    if clock.on_reopen:
        said.append(f"on_reopen {clock.on_reopen}")
    if clock.escalate:
        said.append(f"escalates to {clock.escalate}")
    return "; ".join(said)


def _ahead(clock: ClockStory, zone: str) -> str:
    ahead = [_moment(warned.at, zone) for warned in clock.warnings if warned.is_ahead]
    return f" (next {ahead[0]})" if ahead else ""


def _turns(clock: ClockStory, zone: str) -> RenderableType:
    grid = _grid()
    rows = [_turn(turn, clock, zone) for turn in clock.turns]
    _add(grid, rows, clock.turns_left_out)
    return grid


def _turn(turn: Turning, clock: ClockStory, zone: str) -> tuple[str, Text, str]:
    if turn.turn is Turn.DUE_CHANGED:
        said = f"due {_moment(turn.due_before, zone)} -> {_moment(turn.due_after, zone)}"
        if turn.due_before is None:
            said = f"goes on, due {_moment(turn.due_after, zone)}"
        elif turn.due_after is None:
            said = "paused"
        if turn.late_from is not None:
            said += f", late from {_moment(turn.late_from, zone)}"
    else:
        said = _TURN_NAME[turn.turn]
    late = turn.at - clock.breached_at if turn.turn is Turn.MET and clock.breached_at is not None else timedelta()
    if late > timedelta():
        said = f"done, {palette.span(late)} late"
    if turn.turn is Turn.STARTED and turn.due_after is not None:
        said += f", due {_moment(turn.due_after, zone)}"
    if turn.turn is Turn.BREACHED and clock.detected_at is not None:
        said += f" (noticed {_moment(clock.detected_at, zone)})"
    if turn.taken_back is not None:
        said += f": that of {_moment(turn.taken_back, zone)}"
    style = palette.BAD if late > timedelta() else _TURN_STYLE.get(turn.turn, "")
    return _moment(turn.at, zone), Text(said, style=style), _cause(turn, zone)


def _cause(turn: Turning, zone: str) -> str:
    between = f"{turn.events_between} events before it were not looked at one by one" if turn.events_between else ""
    if turn.cause is None:
        return between
    late = f", known only {_moment(turn.cause.known_at, zone)}" if turn.cause.known_at else ""
    return f"{turn.cause.what}{late}" + (f" ({between})" if between else "")


def _intervals(intervals: Sequence[Interval], zone: str) -> RenderableType:
    grid = _grid()
    rows = []
    used = timedelta()
    for interval in intervals:
        used += timedelta(seconds=interval.open_seconds)
        total = f"{palette.span(used)} used" if interval.open_seconds else ""
        name = Text(_interval(interval), style=_INTERVAL_STYLE.get(interval.state, ""))
        rows.append((_moment(interval.since, zone), _moment(interval.until, zone), name, total))
    _add(grid, rows, 0)
    return grid


def _interval(interval: Interval) -> str:
    said = "closed"
    match interval.state:
        case IntervalState.COUNTED:
            said = f"counted {_span(interval.open_seconds)}"
        case IntervalState.PAUSED:
            status = (interval.status or "").replace("_", " ")
            said = f"paused, {status}: {_span(interval.held_seconds)} of open time not counted"
        case IntervalState.RESTARTED:
            said = "before the promise was made anew (on_change restart)"
        case IntervalState.LEFT_OUT:
            said = f"{interval.intervals} more intervals, {_span(interval.open_seconds)} counted"
    return f"to come: {said}" if interval.is_ahead else said


def _because(checks: Iterable[Check]) -> str:
    said = [
        f"{check.field} is {check.found}" if check.field != "text" else f"text has {check.found}" for check in checks
    ]
    return "because " + " and ".join(said) if said else "it holds for every ticket"


def _failed(check: Check) -> str:
    wanted = " or ".join(check.wanted)
    if check.field == "text":
        return f"text has none of {wanted}"
    return f"{check.field} is {check.found or 'not said'}, not {wanted}"


def _add(grid: Table, rows: Sequence[tuple[str | Text, ...]], left_out: int) -> None:
    if len(rows) <= _FIRST_ROWS + _LAST_ROWS:
        first, last = rows, rows[:0]
    else:
        first, last = rows[:_FIRST_ROWS], rows[-_LAST_ROWS:]
        left_out += len(rows) - _FIRST_ROWS - _LAST_ROWS
    for row in first:
        grid.add_row(*row)
    if left_out:
        grid.add_row(Text(f"... {left_out} more (see --json)", style=palette.FAINT))
    for row in last:
        grid.add_row(*row)


def _grid() -> Table:
    return Table.grid(padding=(0, 2))


def _moment(at: datetime | None, zone: str) -> str:
    return "now" if at is None else outlook.moment(at, zone)


def _span(seconds: float) -> str:
    return palette.span(timedelta(seconds=seconds))
