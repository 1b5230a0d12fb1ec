"""The page behind a page's link, as HTML: what broke, who has it, what happens next, who was told, and the buttons.

It needs no script and nothing from elsewhere, reads on a phone and aloud, and shows words of others only as words.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape

from services.escalation.answering import SNOOZES, Answer, Shown
from services.escalation.domain import answer as rules
from services.escalation.domain import ladder as ladders
from services.escalation.domain import notice
from services.escalation.domain.answer import Action, Standing
from services.escalation.domain.ladder import Kind, Position
from services.escalation.store.answers import Answerable, Given, Member, Told
from shared.contract.help import Why

_STYLE = (
    ":root{color-scheme:light dark}"
    "*{box-sizing:border-box}"
    "body{font:1.05rem/1.5 system-ui,sans-serif;max-width:38rem;margin:0 auto;padding:1rem;color:#111;background:#fff;"
    "overflow-wrap:anywhere}"
    "h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.15rem;margin:1.5rem 0 .3rem}"
    "dt{font-weight:600}dd{margin:0 0 .5rem}ol,ul{padding-left:1.4rem;margin:.3rem 0}li{margin:.3rem 0}"
    ".said{border-left:.3rem solid #0b5cad;padding:.3rem .8rem;margin:.8rem 0;font-weight:600}"
    ".small{color:#444}"
    "form{margin:1rem 0}fieldset{border:0;padding:0;margin:0}legend{font-weight:600;padding:0;margin-bottom:.4rem}"
    "button{font:inherit;font-weight:600;min-height:3rem;padding:.6rem 1.1rem;margin:0 .4rem .5rem 0;border-radius:.4rem;"
    "border:2px solid #0b5cad;background:#fff;color:#0b5cad;max-width:100%}"
    "button.first{background:#0b5cad;color:#fff;width:100%}"
    "button:focus-visible{outline:3px solid #111;outline-offset:3px}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}.small{color:#bbb}.said{border-color:#8ec5ff}"
    "button{background:#111;color:#8ec5ff;border-color:#8ec5ff}button.first{background:#8ec5ff;color:#111}"
    "button:focus-visible{outline-color:#fff}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
_LISTED = 200
_HOUR_SECONDS = 3600
_FORMER = frozenset({"acknowledged", "resolved"})


def whole(shown: Shown, answer: Answer | None = None, refusal: str = "") -> str:
    """The whole page, as it stands; after an answer, with what came of it."""
    page = shown.page
    if page.kind == Kind.CANARY:
        return _test(page)
    said = refusal or (_said(answer, shown) if answer else "")
    title = _group_title(shown.members) if shown.members else _title(page)
    parts = [
        f"<h1>{_text(title)}</h1>",
        f"<p class='said' role='status'>{_text(said)}</p>" if said else "",
        _forms(shown),
        _group(shown) if shown.members else _broke(page),
        _next(shown),
        _why(page),
        "" if shown.members else _story(shown.told, shown.given, page),
    ]
    first = {Standing.NOW: "Acknowledged", Standing.SNOOZED: "Snoozed", Standing.HANDED_BACK: "Given back"}
    before = f"{first[answer.standing]}: " if answer and answer.standing in first else ""
    return document(f"{before}{title}", "".join(parts))


def document(title: str, body: str) -> str:
    """A page with this title around this body, which is HTML already."""
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{_text(title)}</title>"
        f"<meta name='viewport' content='width=device-width,initial-scale=1'><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )


def plain(title: str, sentence: str) -> str:
    """A page that says one thing."""
    return document(title, f"<h1>{_text(title)}</h1><p role='status'>{_text(sentence)}</p>")


def _title(page: Answerable) -> str:
    target = (page.target or "").replace("_", " ")
    ticket = f"ticket {page.external_id}"
    if page.state == "resolved":
        return f"Resolved: {ticket}"
    if page.about is not None:
        return f"Help is wanted: {ticket}" if page.about.why is Why.MANUAL else f"Nobody takes it: {ticket}"
    if page.due_at is None:
        return _begun(f"{target} of {ticket}")
    late = page.now - page.due_at
    how = f"{notice.span(late)} late" if late.total_seconds() >= 0 else f"due in {notice.span(-late)}"
    return _begun(f"{target} of {ticket}: {how}")


def _group_title(members: Sequence[Member]) -> str:
    """Several promises of one ticket are one ticket."""
    live = _tickets(member for member in members if member.state not in _FORMER)
    if (count := _tickets(members)) == 1:
        return "1 ticket, which nobody has yet" if live else "1 ticket, taken care of"
    return f"{count} tickets, {live} of them nobody has yet" if live else f"{count} tickets, all taken care of"


def _tickets(members: Iterable[Member]) -> int:
    return len({(member.source, member.external_id) for member in members})


def _said(answer: Answer, shown: Shown) -> str:  # noqa: PLR0911 - a sentence for each standing
    """What came of an answer, for whoever gave it."""
    many = f" ({answer.tickets} tickets)" if answer.tickets > 1 else ""
    match answer.standing:
        case Standing.NOW if answer.waits_for:
            return f"You have acknowledged it. Still asked: {', '.join(shown.names.get(who, who) for who in answer.waits_for)}."
        case Standing.NOW:
            return f"It is yours now{many}. Nobody else is paged."
        case Standing.SNOOZED:
            return f"It is yours now{many}, and you are paged again at {_instant(answer.wakes_at)} unless it is over by then."
        case Standing.HANDED_BACK if shown.page.kind == Kind.WARNING:
            return "You gave it back. If the promise breaks, its escalation begins."
        case Standing.HANDED_BACK:
            return f"You gave it back{many}. The next level is paged now."
        case Standing.RESOLVED:
            return "It was resolved already: there is nothing left to do."
        case Standing.STALE:
            return "This link is out of date: it went on since. Use the newest page."
        case Standing.USED:
            return "You have used this link before. It can't acknowledge twice: use the newest page."
        case Standing.NOT_TAKEN:
            return "Nobody has acknowledged it, so there is nothing to give back."
    return "" if shown.members else _closed(shown.page)


def _forms(shown: Shown) -> str:
    """What whoever has this link can do now; where that is nothing, why."""
    page = shown.page
    if (can_take := _can_take(shown)) or _is_theirs(shown):
        version = f"<input type='hidden' name='version' value='{page.members}'>" if shown.members else ""
        return _take(shown, version) if can_take else _keep(shown, version)
    if not shown.members:
        return f"<p>{_text(_closed(page))}</p>"
    if page.answered_at is not None:
        return f"<p>You used this link at {_instant(page.answered_at)}; it can't acknowledge twice.</p>"
    return "<p>There is nothing left to do here.</p>"


def _can_take(shown: Shown) -> bool:
    page = shown.page
    if shown.members:
        return page.answered_at is None and any(member.state not in _FORMER for member in shown.members)
    is_present = page.generation == page.evidence.generation and page.who not in (page.answered or ())
    return is_present and page.answered_at is None and page.state not in _FORMER


def _is_theirs(shown: Shown) -> bool:
    page = shown.page
    if shown.members:
        return any(one.state == "acknowledged" and one.acknowledged_by == page.who for one in shown.members)
    is_present = page.generation == page.evidence.generation
    return is_present and page.state == "acknowledged" and page.acknowledged_by == page.who


def _take(shown: Shown, version: str) -> str:
    count = _tickets(shown.members)
    what = f"Acknowledge all {count}" if count > 1 else "Acknowledge"
    first = (
        f"<form method='post'>{version}<button class='first' name='action' value='{Action.ACKNOWLEDGE}'>"
        f"{what}: I take care of it</button></form>"
    )
    return first + _snooze(shown, version, "Acknowledge, and page me again in")


def _keep(shown: Shown, version: str) -> str:
    page = shown.page
    asleep = f" You are paged again at {_instant(page.wakes_at)}." if page.wakes_at else ""
    taken = f" {_closed(page)}" if page.state == "acknowledged" else ""
    back = (
        f"<form method='post'>{version}<button name='action' value='{Action.HAND_BACK}'>"
        "Give it back: the next level is paged now</button></form>"
    )
    return f"<p>It is yours.{_text(taken)}{asleep}</p>" + _snooze(shown, version, "Page me again in") + back


def _snooze(shown: Shown, version: str, legend: str) -> str:
    lengths = rules.longest_snooze(shown.ladder, SNOOZES)
    buttons = "".join(
        f"<button name='for' value='{int(length.total_seconds())}s'>{_length(int(length.total_seconds()))}</button>"
        for length in lengths
    )
    if not buttons:
        return ""
    return (
        f"<form method='post'>{version}<input type='hidden' name='action' value='{Action.SNOOZE}'>"
        f"<fieldset><legend>{legend}</legend>{buttons}</fieldset></form>"
    )


def _broke(page: Answerable) -> str:
    tier = f", {page.requester_tier} customer" if page.requester_tier else ""
    facts: list[tuple[str, str]] = [
        ("Ticket", f"{page.external_id} ({page.source}, {page.channel}, {page.urgency}{tier})")
    ]
    if page.about is not None:
        facts.append(("Why", notice.need(page.about)))
    else:
        facts += [("Promise", (page.target or "").replace("_", " ")), ("Due", _instant(page.due_at))]
        if page.due_at is not None and page.state != "resolved":
            late = page.now - page.due_at
            word = "Late" if late.total_seconds() >= 0 else "Time left"
            facts.append((word, f"{notice.span(abs(late))}, as of {_instant(page.now)}"))
    facts.append(("Owner", page.owner_name or "nobody"))
    return _section("What broke" if page.about is None else "What is wanted", _facts(facts))


def _next(shown: Shown) -> str:
    page = shown.page
    if shown.members:
        due = [member.next_step_at for member in shown.members if member.next_step_at is not None]
        said = "Nobody else is paged for them."
        if due:
            said = (
                f"From {_instant(min(due))} on the next level is paged for those that nobody has acknowledged by then."
            )
        return _section("What happens next", f"<p>{said}</p>")
    if page.state == "acknowledged" and page.wakes_at is not None:
        again = "whoever is on call then is paged" if page.wakes_for == "silence" else "it is paged again"
        said = f"Nothing until {_instant(page.wakes_at)}: then {again}, unless it is over."
    elif page.state in _FORMER:
        said = "Nothing: nobody else is paged for it."
    elif page.reason == "warned":
        said = "Nothing yet; this is a warning. If the promise breaks, its escalation begins."
    elif page.next_step_at is None:
        said = "Nobody else is paged; this was the last of the ladder."
    else:
        recipients = ladders.recipients_of(shown.ladder, Position(page.loop or 0, page.step or 0))
        whom = ", ".join(_recipient(name, shown.names) for name in recipients)
        left = page.next_step_at - page.now
        soon = f", in {notice.span(left)}" if left.total_seconds() > 0 else ", now"
        said = f"{whom} at {_instant(page.next_step_at)}{soon}, unless somebody acknowledges."
    return _section("What happens next", f"<p>{_text(said)}</p>")


def _why(page: Answerable) -> str:
    because = notice.because(page.recipient, page.evidence)
    sent = f"This page went to {page.person_name} by {page.method} at {_instant(page.committed_at)}."
    return _section("Why you", f"<p>{_text(_begun(because))}. {_text(sent)}</p>")


def _story(told: Sequence[Told], given: Sequence[Given], page: Answerable) -> str:
    lines: list[tuple[datetime, str]] = [(one.at, _paged(one)) for one in reversed(told)]
    lines += [(one.at, _gave(one)) for one in reversed(given)]
    if page.acknowledged_at is not None and not any(one.at == page.acknowledged_at for one in given):
        lines.append((page.acknowledged_at, f"{page.acknowledged_name} acknowledged it"))
    if page.resolved_at is not None:
        lines.append((page.resolved_at, f"Resolved: {page.resolution}"))
    if page.due_at is not None and page.due_at <= page.now:
        lines.append((page.due_at, "It was due"))
    lines.sort(key=lambda line: line[0])
    items = "".join(f"<li>{_when(at)}: {_text(said)}</li>" for at, said in lines)
    return _section("So far", f"<ol>{items}</ol>")


_FATES = {
    "pending": "not sent yet",
    "grouped": "told with others",
    "sending": "being sent",
    "failed": "could not be reached",
    "cancelled": "not needed any more",
}


def _paged(told: Told) -> str:
    fate = "sent" if told.state == "accepted" else _FATES.get(told.state, told.state)
    word = "warned" if told.kind == Kind.WARNING else "paged"
    return f"{told.name} {word} by {told.method} ({fate})"


def _gave(given: Given) -> str:
    match given.action:
        case Action.SNOOZE:
            return f"{given.name} acknowledged it and snoozed it until {_instant(given.until_at)}"
        case Action.HAND_BACK:
            return f"{given.name} gave it back"
    return f"{given.name} acknowledged it"


def _group(shown: Shown) -> str:
    items = "".join(f"<li>{_member(member, shown.page.now)}</li>" for member in shown.members[:_LISTED])
    more = len(shown.members) - _LISTED
    rest = f"<p>And {more} more; a button takes all of them.</p>" if more > 0 else ""
    note = (
        "<p class='small'>As of "
        f"{_instant(shown.page.now)}. Whatever joins them later is paged anew; a button takes these alone.</p>"
    )
    return _section("The tickets", f"{note}<ul>{items}</ul>{rest}")


def _member(member: Member, now: datetime) -> str:
    late = ""
    if member.due_at is not None and member.state != "resolved":
        apart = now - member.due_at
        late = f", {notice.span(apart)} late" if apart.total_seconds() >= 0 else f", due in {notice.span(-apart)}"
    stands = {"resolved": "resolved", "acknowledged": f"{member.acknowledged_name} has it"}.get(member.state, "open")
    what = member.target.replace("_", " ") if member.target != "routing" else "somebody is needed"
    return _text(f"{member.external_id} ({member.source}, {member.channel}, {member.urgency}): {what}{late}; {stands}")


def _test(page: Answerable) -> str:
    if page.answered_at is not None:
        return plain(
            "Test page confirmed", f"It reached {page.person_name}, who confirmed it at {_instant(page.answered_at)}."
        )
    body = (
        "<h1>Test page</h1><p>Nothing is broken. Somebody wants to know whether pages reach you "
        f"by {_text(page.method)}.</p><form method='post'><button class='first' name='action' value='{Action.ACKNOWLEDGE}'>"
        f"It reached me</button></form>{_why(page)}"
    )
    return document("Test page", body)


def _closed(page: Answerable) -> str:
    """How it stands, for whoever can do nothing about it by this link."""
    if page.state == "resolved":
        return f"It was resolved at {_instant(page.resolved_at)}. There is nothing left to do."
    if page.generation != page.evidence.generation:
        return "This link is out of date: it went on since. Use the newest page."
    if page.state == "acknowledged":
        return f"{page.acknowledged_name} acknowledged it at {_instant(page.acknowledged_at)}."
    if page.who in (page.answered or ()):
        return "You have acknowledged it; others are still asked to."
    return f"You used this link at {_instant(page.answered_at)}; it can't acknowledge twice. Nobody has it at present."


def _recipient(name: str, names: Mapping[str, str]) -> str:
    """A recipient of the policy, said to a person."""
    kind, _, rest = name.partition("/")
    match kind:
        case "on-call":
            return f"whoever is on call for {rest}"
        case "owner":
            return "the ticket's owner"
        case "lead":
            return "the owner's lead"
        case "channel":
            return f"the channel {rest}"
    return names.get(rest, rest) or name


def _section(heading: str, body: str) -> str:
    name = heading.lower().replace(" ", "-")
    return f"<section aria-labelledby='{name}'><h2 id='{name}'>{heading}</h2>{body}</section>"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in facts) + "</dl>"


def _length(seconds: int) -> str:
    if seconds % 60:
        return notice.span(timedelta(seconds=seconds))
    if seconds % _HOUR_SECONDS:
        return f"{seconds // 60} minutes"
    hours = seconds // _HOUR_SECONDS
    return f"{hours} hour" if hours == 1 else f"{hours} hours"


def _when(at: datetime) -> str:
    return f"<time datetime='{at.isoformat()}'>{_instant(at)}</time>"


def _begun(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _instant(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "unknown"


def _text(value: object) -> str:
    return escape(str(value) if value is not None else "somebody")
