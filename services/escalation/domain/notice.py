"""What a page says, in the order of what matters to whoever wakes up.

What broke, or whom a ticket lacks, what happens next and when, who owns it, why you, and one link; once it is moot, that it is, and why. Nothing
from the ticket's own text but its subject, where the policy lets pages say it. The facts are stored with the page, so a repeated attempt says
the same.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from services.escalation.domain.ladder import Kind
from services.escalation.domain.recipient import Evidence
from shared.contract.help import About, Why
from shared.contract.tickets import Channel

_LONGEST = 300
_NAMED = 20
"""Tickets that a page about several names."""
_NAMED_WHEN_OVER = 3
_SECONDS = 60
_TRIAL = "TEST: nothing is broken; somebody tries whether pages reach you"
_HOUR = 60
_DAY = 24 * _HOUR


class Named(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ticket of those that one page tells of."""

    source: str
    ticket: str
    target: str
    due_at: datetime | None
    says: str
    """One line: what broke, or is about to."""


class Roundup(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a page tells of that is about several tickets: a summary, or the digest of an outage (R4, R27)."""

    count: int
    named: tuple[Named, ...]
    """The worst first; no more than can be read."""
    since: datetime
    """When the first of them should have been paged."""
    is_warning: bool = False
    is_late: bool = False
    """A digest: they should have been told long ago."""
    before: int = 0
    """How many of the same were told before."""
    tickets: int = 0
    """Of how many tickets, where they are fewer: several promises of one may break."""
    quiet: int = 0
    """How many were held back for quiet hours (R24)."""


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
    about: About | None = None
    """Of the target `routing`: why somebody is needed. Then nothing was promised, and `due_at` is None."""
    next_shift_at: datetime | None = None
    """Of a ticket whose people are not there: when the first of them is, where that is known."""
    answer_due_at: datetime | None = None
    """Of a ticket that waits for an owner: when the next promise to its customer is due."""
    recipient: str
    is_last: bool = False
    """Nobody else is paged after this."""
    fallback_of: str | None = None
    """The method that failed before this one."""
    resolution: str | None = None
    """Of a `resolve`: why nobody is needed any more: `answered`, `cancelled`, `withdrawn`, `superseded` or `expired`.
    Then `due_at` is the due time now."""
    was_due_at: datetime | None = None
    """Of a `resolve`: the due time that the page before it said."""
    met_at: datetime | None = None
    """Of a `resolve`: when the promise was kept, in time or late."""
    acknowledged_by: str | None = None
    """Of a `resolve`: who had taken responsibility."""
    resolves: tuple[UUID, ...] = ()
    """Of a `resolve`: the pages that are moot."""
    roundup: Roundup | None = None
    """Of a page about several tickets: which. The other fields are those of the worst of them."""
    subject: str | None = None
    """Of the ticket, in one short line; None where the policy does not let pages say it."""
    note: str | None = None
    """What stands before all else: why this page is not like the others."""


def headline(facts: Facts) -> str:
    """One line: what broke, or is about to, or is over."""
    if facts.roundup is not None:
        return _several(facts, facts.roundup)
    if facts.about is not None:
        return _needed(facts, facts.about)
    target, ticket = facts.target.replace("_", " "), _ticket(facts)
    if facts.resolution is not None:
        return f"{facts.resolution.upper()}: {target} of {ticket}: {_outcome(facts)}"
    if facts.due_at is None:
        return f"{facts.reason.upper()}: {target} of {ticket}"
    late = facts.at - facts.due_at
    if late >= timedelta():
        return f"BROKEN: {target} of {ticket} was due {_instant(facts.due_at)}, {span(late)} ago"
    return f"AT RISK: {target} of {ticket} is due {_instant(facts.due_at)}, in {span(-late)}"


def text(facts: Facts, evidence: Evidence, kind: Kind, link: str) -> str:
    """The whole page as plain text."""
    owner = f"Owner: {facts.owner or 'nobody'}"
    if kind is Kind.RESOLVE:
        lines = [headline(facts), "Next: nothing; nobody else is paged for it", owner, _taken(facts)]
        return _lines(*lines)
    lines = [facts.note or "", headline(facts)]
    subject = f'Subject: "{facts.subject}"' if facts.subject else ""
    if facts.roundup is not None:
        many = _all(facts.roundup)
        lines = [*lines, *_list(facts.roundup), _next(facts, kind), _why(facts, evidence)]
        return _lines(*lines, f"Acknowledge {many}: {link}" if link else "")
    if kind is Kind.CANARY:
        return _lines(_TRIAL, _why(facts, evidence), f"Confirm that it reached you: {link}")
    if kind is Kind.ALARM:
        return _lines(*lines, owner, _why(facts, evidence))
    if kind is Kind.COPY:
        lines = [*lines, subject, _next(facts, kind), owner, "For your information: you need not answer"]
    else:
        lines = [
            *lines,
            subject,
            _next(facts, kind),
            owner,
            _why(facts, evidence),
            f"Acknowledge: {link}" if link else "",
        ]
    return _lines(*lines)


def quoted(subject: str | None) -> str | None:
    """A ticket's subject as a page may quote it: one short line, without control characters or what ends the quotation."""
    printable = "".join(letter if letter.isprintable() else " " for letter in subject or "")
    return _short(printable.replace('"', "'")) or None


def need(about: About, next_shift_at: datetime | None = None) -> str:
    """Why somebody is needed, in one sentence without its end."""
    match about.why:
        case Why.NO_SKILL:
            return f"nobody on the roster takes {_work(about)}"
        case Why.OFFLINE:
            then = f"; their next shift begins {_instant(next_shift_at)}" if next_shift_at else ""
            if about.declined:
                return f"nobody else who takes {_work(about)} is there, and {about.declined} declined it or let it lapse{then}"
            return f"nobody who takes {_work(about)} is there{then}"
        case Why.EXCLUDED:
            return f"everybody who is there and takes {_work(about)} declined it or let it lapse"
        case Why.MANUAL:
            said = f": {_short(about.said)}" if about.said else ""
            return f"{_short(about.by or 'somebody')} asks for help{said}"


def raised(by: str, said: str | None) -> str:
    """That somebody sent it up by hand, and why, in one line (R8)."""
    return f"ESCALATED BY {_short(by)}" + (f": {_short(said)}" if said else "")


_HEADS = {
    Why.NO_SKILL: "NOBODY CAN TAKE IT",
    Why.OFFLINE: "NOBODY IS THERE",
    Why.EXCLUDED: "ALL HAVE DECLINED",
    Why.MANUAL: "HELP IS WANTED",
}
_OTHERWISE = {
    "superseded": "another team has the ticket now, and its people are paged",
    "expired": "nobody ended it in time, so it ends by itself; the promise is still broken",
}
_ENDS = {
    "expired": "nobody ended it in time, so it ends by itself",
    "assigned": "somebody has it now",
    "answered": "an agent has answered",
    "cancelled": "the ticket is over",
}


def roundup(
    members: Sequence[Facts],
    since: datetime,
    *,
    is_warning: bool = False,
    is_late: bool = False,
    before: int = 0,
    quiet: int = 0,
) -> Roundup:
    """What a page says of several, given the worst first."""
    named = tuple(
        Named(source=one.source, ticket=one.ticket, target=one.target, due_at=one.due_at, says=headline(one))
        for one in members[:_NAMED]
    )
    tickets = len({(one.source, one.ticket) for one in members})
    return Roundup(
        count=len(members),
        named=named,
        since=since,
        is_warning=is_warning,
        is_late=is_late,
        before=before,
        tickets=tickets if tickets < len(members) else 0,
        quiet=quiet,
    )


def _several(facts: Facts, told: Roundup) -> str:
    head = "promise" if told.is_warning else "page"
    what = f"{head if told.count == 1 else f'{head}s'}{' at risk' if told.is_warning else ''}"
    if told.tickets:
        what = f"{what} about {_tickets(told.tickets)}"
    if facts.resolution is not None:
        return f"OVER: {told.count} {what} that {'was' if told.count == 1 else 'were'} told together: {_which(told)}"
    since = _instant(told.since)
    order = "; the worst first" if told.count > 1 else ""
    if told.is_late:
        return f"LATE: {told.count} {what} since {since}, {span(facts.at - told.since)} ago, {_held(told)}{order}"
    after = f", after {told.before} before" if told.before else ""
    return f"ALSO: {told.count} more {what} since {since}{after}{order}"


def _held(told: Roundup) -> str:
    """Why they are told late."""
    if not told.quiet:
        return "when they could not be told"
    return "held for quiet hours" if told.quiet == told.count else f"{told.quiet} of them held for quiet hours"


def _which(told: Roundup) -> str:
    """The first few tickets, and how many more."""
    known = list(dict.fromkeys((one.source, one.ticket) for one in told.named))
    names = [ticket for _, ticket in known[:_NAMED_WHEN_OVER]]
    more = (told.tickets or told.count) - len(names)
    listed = (
        f"{', '.join(names)} and {more} more"
        if more > 0
        else " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    )
    return f"{'ticket' if len(names) == 1 and more <= 0 else 'tickets'} {listed}"


def _tickets(count: int) -> str:
    return "1 ticket" if count == 1 else f"{count} tickets"


def _all(told: Roundup) -> str:
    """What the link acknowledges."""
    if told.count == 1 or told.tickets == 1:
        return "it"
    return f"all {_tickets(told.tickets)}" if told.tickets else f"all {told.count}"


def _lines(*lines: str) -> str:
    """One below the other; what came from outside can't begin a line of its own, as one with another link."""
    flat = (" ".join(line.split()) for line in lines)
    return "\n".join(line for line in flat if line)


def _list(told: Roundup) -> list[str]:
    more = told.count - len(told.named)
    return [f"- {one.says}" for one in told.named] + ([f"- and {more} more"] if more else [])


def _needed(facts: Facts, about: About) -> str:
    if facts.resolution is not None:
        return f"{facts.resolution.upper()}: {_ticket(facts)}: {_ENDS.get(facts.resolution, 'nobody need see to it')}"
    answer = f"; an answer is due {_instant(facts.answer_due_at)}" if facts.answer_due_at else ""
    return f"{_HEADS[about.why]}: {_ticket(facts)}: {need(about, facts.next_shift_at)}{answer}"


def _work(about: About) -> str:
    channel = (about.channel or Channel.OTHER).replace("_", " ")
    skills = ", ".join(f"{skill} (level {level})" if level > 1 else skill for skill, level in about.needs)
    return f"{channel} with {skills}" if skills else channel


def _short(text: str) -> str:
    """Somebody's words in one line."""
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _ticket(facts: Facts) -> str:
    tier = f", {facts.tier} customer" if facts.tier else ""
    return f"ticket {facts.ticket} ({facts.source}, {facts.channel}, {facts.urgency}{tier})"


def _outcome(facts: Facts) -> str:
    """Why nobody is needed any more."""
    if facts.resolution == "withdrawn":
        if facts.due_at is None:
            return "not broken: it is paused while the ticket waits"
        moved = "" if facts.was_due_at in (None, facts.due_at) else f", not {_instant(facts.was_due_at)}"
        return f"not broken: it is due {_instant(facts.due_at)}{moved}"
    if facts.resolution in _OTHERWISE:
        return _OTHERWISE[facts.resolution]
    if facts.met_at is None:
        return "it no longer applies: the ticket is over, or nothing is promised any more"
    if facts.due_at is not None and facts.met_at > facts.due_at:
        return f"kept {_instant(facts.met_at)}, {span(facts.met_at - facts.due_at)} late"
    return f"kept in time, {_instant(facts.met_at)}"


def _taken(facts: Facts) -> str:
    return f"Acknowledged by: {facts.acknowledged_by}" if facts.acknowledged_by else ""


def _next(facts: Facts, kind: Kind) -> str:
    if kind is Kind.WARNING or (facts.roundup is not None and facts.roundup.is_warning):
        return "Next: nothing yet; this is a warning. If the promise breaks, its escalation begins."
    if facts.next_step_at is None:
        return "Next: nobody else is paged; this was the last of the ladder."
    if facts.roundup is not None and facts.next_step_at < facts.at:
        return ""
    nobody = "the last of the ladder" if facts.roundup is None else "the next level"
    whom = ", ".join(facts.next_recipients) or nobody
    unless = "somebody acknowledges or takes it" if _ends_with_an_owner(facts) else "somebody acknowledges"
    return f"Next: {whom} at {_instant(facts.next_step_at)}, unless {unless}"


def _ends_with_an_owner(facts: Facts) -> bool:
    return facts.about is not None and facts.about.why is not Why.MANUAL


def _why(facts: Facts, evidence: Evidence) -> str:
    why = because(facts.recipient, evidence)
    if facts.fallback_of:
        why += f" ({facts.fallback_of} did not get through)"
    return f"Why you: {why}"


def because(recipient: str, evidence: Evidence) -> str:
    """Why whoever is paged is, as a sentence said to them, without its end."""
    kind, _, name = recipient.partition("/")
    match kind:
        case "on-call":
            until = f" until {_instant(evidence.shift_ends_at)}" if evidence.shift_ends_at else ""
            by = ""
            if evidence.override is not None:
                by = ", in place of whose turn it is,"
            elif evidence.layer is not None:
                by = f" (layer {evidence.layer})"
            return f"you are on call for {name}{by}{until}"
        case "owner":
            return "you own the ticket"
        case "lead":
            return "you lead its owner"
        case "channel":
            return "this channel is where pages go that nobody else gets"
    return "the policy names you"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def span(length: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = int(length.total_seconds())
    if seconds < _SECONDS:
        return f"{seconds} s"
    minutes = seconds // _SECONDS
    if minutes < _HOUR:
        return f"{minutes} min"
    if minutes < _DAY:
        return f"{minutes // _HOUR} h {minutes % _HOUR} min"
    return f"{minutes // _DAY} d {minutes % _DAY // _HOUR} h"
