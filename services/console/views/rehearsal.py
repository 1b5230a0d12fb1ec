"""A rehearsal as a timeline for a person, and as data for a program."""

from datetime import datetime, timedelta
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from services.console.domain.rehearsal import Moment
from services.console.output import table
from services.console.rehearsing import Rehearsal
from services.escalation.domain.ladder import SkipReason
from services.escalation.domain.recipient import Reached

_WHY_SKIPPED = {
    SkipReason.LATE: "a later step is due already",
    SkipReason.GAP: "nobody can be reached",
    SkipReason.SAME_PEOPLE: "the step before paged the same people",
    SkipReason.ANSWERED: "all of them have answered",
}
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def shown(rehearsal: Rehearsal) -> Group:
    """Headline, one line for each page and each step that is passed over, and how it ends."""
    ladder = rehearsal.ladder
    by = f"a promise of `{rehearsal.line}`" if rehearsal.line else "a promise"
    head = Text(
        f"{ladder.name}: {by} breaks {_local(rehearsal, rehearsal.broke_at)}, "
        f"{'owned by ' + rehearsal.owner if rehearsal.owner else 'nobody owns the ticket'}, and nobody answers"
    )
    lines = table("after", "when", "step", "paged", "by", "why", right=("after",))
    for moment in rehearsal.moments:
        _add(lines, rehearsal, moment)
    return Group(head, lines)


def as_data(rehearsal: Rehearsal) -> dict[str, Any]:
    """The same for programs; loops and steps count from 1, as people say them."""
    return {
        "escalation": rehearsal.ladder.name,
        "line": rehearsal.line,
        "broke_at": rehearsal.broke_at,
        "zone": rehearsal.zone.key,
        "owner": rehearsal.owner,
        "moments": [
            {
                "at": moment.at,
                "loop": moment.loop + 1,
                "step": moment.step + 1,
                "end": "expired" if moment.is_expired else "exhausted" if moment.is_last else None,
                "paged": [
                    {
                        "recipient": one.recipient,
                        "person": one.person,
                        "methods": _methods(one),
                        "rotation": one.evidence.rotation,
                        "shift_ends_at": one.evidence.shift_ends_at,
                    }
                    for one in moment.paged
                ],
                "skipped": [
                    {"loop": one.loop + 1, "step": one.step + 1, "reason": one.reason} for one in moment.skipped
                ],
            }
            for moment in rehearsal.moments
        ],
    }


def _add(lines: Table, rehearsal: Rehearsal, moment: Moment) -> None:
    after, when = _span(moment.at - rehearsal.broke_at), _local(rehearsal, moment.at)
    for skip in moment.skipped:
        lines.add_row(after, when, _numbered(rehearsal, skip.loop, skip.step), "nobody", "", _WHY_SKIPPED[skip.reason])
    if moment.is_expired:
        lines.add_row(after, when, "end", "nobody", "", "it ends by itself, and that alarms")
    for one in moment.paged:
        step = "last" if moment.is_last else _numbered(rehearsal, moment.loop, moment.step)
        who = f"{one.name} ({one.person})" if one.person else one.name
        lines.add_row(after, when, step, who, ", then ".join(_methods(one)), _why(rehearsal, one))


def _numbered(rehearsal: Rehearsal, loop: int, step: int) -> str:
    number = str(step + 1)
    return number if rehearsal.ladder.repeat == 1 else f"{number}, round {loop + 1}"


def _methods(one: Reached) -> list[str]:
    return [one.contact.method, *(contact.method for contact in one.evidence.fallback)]


def _why(rehearsal: Rehearsal, one: Reached) -> str:
    if one.evidence.rotation is None:
        return one.recipient
    until = one.evidence.shift_ends_at
    return f"on call for {one.evidence.rotation}" + (f" until {_local(rehearsal, until)}" if until else "")


def _local(rehearsal: Rehearsal, at: datetime) -> str:
    return f"{at.astimezone(rehearsal.zone):%a %Y-%m-%d %H:%M %Z}"


def _span(length: timedelta) -> str:
    if length < _HOUR:
        return f"{length // _MINUTE} min"
    if length < 2 * _DAY:
        return f"{length // _HOUR} h {length % _HOUR // _MINUTE} min"
    return f"{length // _DAY} d {length % _DAY // _HOUR} h"
