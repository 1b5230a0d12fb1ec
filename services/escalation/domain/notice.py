"""What a page says, in the order of what matters to whoever wakes up.

What broke, what happens next and when, who owns it, why you, and one link. Nothing from the ticket's own text. The facts
are stored with the page, so a repeated attempt says the same.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from services.escalation.domain.ladder import Kind
from services.escalation.domain.recipient import Evidence

_SECONDS = 60
_HOUR = 60
_DAY = 24 * _HOUR


class Facts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The ticket and the promise, as they stood when the page was made."""

    source: str
    ticket: str
    channel: str
    urgency: str
    tier: str | None = None
    target: str
    matched: str | None = None
    due_at: datetime | None
    reason: str
    at: datetime
    """When the step was taken."""
    next_step_at: datetime | None = None
    next_recipients: tuple[str, ...] = ()
    owner: str | None = None
    recipient: str
    is_last: bool = False
    """Nobody else is paged after this."""
    fallback_of: str | None = None
    """The method that failed before this one."""


def headline(facts: Facts) -> str:
    """One line: what broke, or is about to."""
    tier = f", {facts.tier} customer" if facts.tier else ""
    ticket = f"ticket {facts.ticket} ({facts.source}, {facts.channel}, {facts.urgency}{tier})"
    target = facts.target.replace("_", " ")
    if facts.due_at is None:
        return f"{facts.reason.upper()}: {target} of {ticket}"
    late = facts.at - facts.due_at
    if late >= timedelta():
        return f"BROKEN: {target} of {ticket} was due {_instant(facts.due_at)}, {_span(late)} ago"
    return f"AT RISK: {target} of {ticket} is due {_instant(facts.due_at)}, in {_span(-late)}"


def text(facts: Facts, evidence: Evidence, kind: Kind, link: str) -> str:
    """The whole page as plain text."""
    lines = [headline(facts), _next(facts, kind), f"Owner: {facts.owner or 'nobody'}", _why(facts, evidence)]
    return "\n".join([*lines, f"Acknowledge: {link}"])


def _next(facts: Facts, kind: Kind) -> str:
    if kind is Kind.WARNING:
        return "Next: nothing yet; this is a warning. If the promise breaks, its escalation begins."
    if facts.next_step_at is None:
        return "Next: nobody else is paged; this was the last of the ladder."
    whom = ", ".join(facts.next_recipients) or "the last of the ladder"
    return f"Next: {whom} at {_instant(facts.next_step_at)}, unless somebody acknowledges"


def _why(facts: Facts, evidence: Evidence) -> str:
    why = _because(facts.recipient, evidence)
    if facts.fallback_of:
        why += f" ({facts.fallback_of} did not get through)"
    return f"Why you: {why}"


def _because(recipient: str, evidence: Evidence) -> str:
    kind, _, name = recipient.partition("/")
    match kind:
        case "on-call":
            until = f" until {_instant(evidence.shift_ends_at)}" if evidence.shift_ends_at else ""
            return f"you are on call for {name}{until}"
        case "owner":
            return "you own the ticket"
        case "lead":
            return "you lead its owner"
        case "channel":
            return "this channel is where pages go that nobody else gets"
    return "the policy names you"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    if seconds < _SECONDS:
        return f"{seconds} s"
    minutes = seconds // _SECONDS
    if minutes < _HOUR:
        return f"{minutes} min"
    if minutes < _DAY:
        return f"{minutes // _HOUR} h {minutes % _HOUR} min"
    return f"{minutes // _DAY} d {minutes % _DAY // _HOUR} h"
