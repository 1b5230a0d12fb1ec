"""What an event changed about its ticket, in words: the cause that an explanation gives for what a clock did."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from shared.contract.events import (
    Accepted,
    Assigned,
    DeadlineSet,
    Declined,
    Feedback,
    Opened,
    Owned,
    PolicyChanged,
    Released,
    Replied,
    Scored,
    StatusChanged,
    TicketEvent,
    Unowned,
    Updated,
)
from shared.contract.tickets import Status
from shared.sla.explaining.explained import Cause
from shared.sla.fields import Classification, Facts
from shared.sla.story import Story

LATE_AFTER = timedelta(seconds=1)
"""An event that reached us later than this after it happened is called late."""
_MOST_CHANGES = 5
_LONGEST = 60
_HANDS: dict[type[Any], str] = {
    Owned: "given to",
    Unowned: "left",
    Accepted: "accepted by",
    Declined: "declined by",
    Released: "given back by",
}


class Seen(NamedTuple):
    """How a ticket stood, as far as a cause speaks of it."""

    status: Status
    facts: Facts
    classification: Classification
    owner: str | None
    version: int


def seen(story: Story) -> Seen:
    """How it stands now."""
    return Seen(story.status, story.facts, story.classification, story.owner, story.judge.policy.version)


def cause(event: TicketEvent, before: Seen | None, after: Seen, arrivals: Mapping[str, datetime]) -> Cause:
    """The event, and what became another by it; `before` is None for the opening. `arrivals` has instants by event id."""
    known_at = arrivals.get(event.id)
    is_late = known_at is not None and known_at - event.occurred_at > LATE_AFTER
    return Cause(
        kind=event.kind,
        event_id=event.id,
        occurred_at=event.occurred_at,
        what=_what(event, before or after, after),
        known_at=known_at if is_late else None,
    )


def _what(event: TicketEvent, before: Seen, after: Seen) -> str:  # noqa: PLR0911 - one for each kind
    match event.data:
        case Opened(channel=channel, split_from=split_from):
            return f"opened by {channel[:_LONGEST]}" + (f", split off {split_from}" if split_from else "")
        case Replied(by=by, public=public):
            return f"{by} wrote" + ("" if public else " a note")
        case StatusChanged(into=into):
            moved = _moved("status", before.status, after.status) or f"status {after.status} again"
            return moved + (f" into {into}" if into else "")
        case Updated():
            return _updated(before, after)
        case Assigned() as data:
            return _assigned(data, before, after)
        case DeadlineSet(target=target, due_at=due_at):
            name = target.replace("_", " ")
            return f"deadline of the {name} set by hand" if due_at else f"deadline of the {name} back to the policy's"
        case PolicyChanged(version=version):
            return _moved("policy version", before.version, after.version) or f"policy version {version} already held"
        case Owned() | Unowned() | Accepted() | Declined() | Released() as data:
            return _changed_hands(data)
        case Scored(model=model):
            return _scored(model, before, after)
        case Feedback(score=score, scale=scale):
            return f"feedback {score:g} ({scale})"


def _changed_hands(data: Owned | Unowned | Accepted | Declined | Released) -> str:
    why = f": {data.reason[:_LONGEST]}" if isinstance(data, Declined | Released) and data.reason else ""
    return f"{_HANDS[type(data)]} {data.agent}{why}"


def _assigned(data: Assigned, before: Seen, after: Seen) -> str:
    said = []
    if after.facts.team != before.facts.team:
        said.append(f"hand-off to team {after.facts.team}" + (f" from {before.facts.team}" * bool(before.facts.team)))
    if data.agent is not None:
        said.append(f"given to {data.agent} by hand")
    elif before.owner is not None:
        said.append(f"taken from {before.owner} by hand")
    return ", ".join(said) or "not given to anybody"


def _scored(model: int, before: Seen, after: Seen) -> str:
    was, is_ = before.classification, after.classification
    said = [_moved("urgency", was.urgency, is_.urgency), _moved("theme", was.theme, is_.theme)]
    return ": ".join([f"scored by model {model}", *[", ".join(each for each in said if each)] * any(said)])


def _updated(before: Seen, after: Seen) -> str:
    was, is_ = before.classification, after.classification
    said = [
        _moved("channel", was.channel, is_.channel),
        _moved("urgency", was.urgency, is_.urgency),
        _moved("theme", was.theme, is_.theme),
        _moved("requester tier", before.facts.requester_tier, after.facts.requester_tier),
        _moved("requester", before.facts.requester_key, after.facts.requester_key),
    ]
    old, new = before.facts.attributes, after.facts.attributes
    if old is not new:
        said += [_moved(name[:_LONGEST], old.get(name), value) for name, value in new.items() if old.get(name) != value]
    told = [each for each in said if each]
    more = f" and {len(told) - _MOST_CHANGES} more" if len(told) > _MOST_CHANGES else ""
    return (", ".join(told[:_MOST_CHANGES]) + more) or "updated, with nothing new"


def _moved(name: str, was: Any, is_: Any) -> str:
    if was == is_:
        return ""
    return f"{name} {_shown(was)} -> {_shown(is_)}"


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "(none)"
    text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
