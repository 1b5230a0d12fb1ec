"""The `escalations` and `paging` of a policy file: who is woken, after how long (escalation-rules R4 to R7, R12 to R18)."""

from datetime import timedelta

from shared.contract.tickets import Urgency
from shared.policy import durations, shape
from shared.policy.assigning import NONE
from shared.policy.document import Ladder, Paging, Step
from shared.policy.errors import did_you_mean
from shared.policy.layout import EscalationLine, PagingLine
from shared.policy.located import escape
from shared.policy.methods import METHODS
from shared.policy.reading import Reading, Unreadable

ON_CALL = "on-call/"
PERSON = "person/"
CHANNEL = "channel/"

_ALONE = ("owner", "lead")
_NAMED = (ON_CALL, PERSON, CHANNEL)
_FORMS = "recipients are `on-call/<rotation>`, `person/<key>`, `owner`, `lead` and `channel/<name>`"


def ladders(reading: Reading, lines: dict[str, EscalationLine]) -> dict[str, Ladder]:
    """Compile the escalations."""
    rotations = reading.names("on_call")
    compiled = {}
    for name, line in lines.items():
        pointer = f"/escalations/{escape(name)}"
        steps = []
        for place, step in shape.entries(line.steps, f"{pointer}/steps"):
            page = _recipients(reading, step.page, f"{place}/page", rotations)
            if not page and step.page == []:
                reading.fault(f"{place}/page", "nobody is paged", _FORMS)
            steps.append(
                Step(
                    after=_after(reading, step.after, f"{place}/after"),
                    page=page,
                    counts=step.counts,
                    answers=step.answers,
                )
            )
        compiled[name] = Ladder(
            name=name,
            steps=tuple(steps),
            repeat=line.repeat,
            otherwise=_recipients(reading, line.otherwise, f"{pointer}/otherwise", rotations),
            on_warning=_recipients(reading, line.on_warning, f"{pointer}/on_warning", rotations),
            copy=_recipients(reading, line.copy, f"{pointer}/copy", rotations),
            silence=_silence(reading, line.silence, f"{pointer}/silence"),
            ends_after=_after(reading, line.ends_after, f"{pointer}/ends_after"),
            snooze_at_most=_after(reading, line.snooze_at_most, f"{pointer}/snooze_at_most"),
            handoff=line.handoff,
            flap_window=_after(reading, line.flap_window, f"{pointer}/flap_window"),
        )
    return compiled


def held(reading: Reading, line: PagingLine) -> Paging:
    """Compile `paging`: how pages are held together and held back."""
    paging = Paging(
        window=_after(reading, line.window, "/paging/window"),
        settle=_after(reading, line.settle, "/paging/settle"),
        digest_after=_after(reading, line.digest_after, "/paging/digest_after"),
        say_subject=line.say_subject,
    )
    if paging.window and paging.settle > paging.window:
        reading.fault(
            "/paging/settle",
            "a group would be over before it told of those that joined",
            "make it shorter than `window`",
        )
    return paging


def _silence(reading: Reading, written: str | dict[Urgency, str], pointer: str) -> dict[Urgency, timedelta]:
    if isinstance(written, str):
        return {} if written == NONE else dict.fromkeys(Urgency, _after(reading, written, pointer))
    return {urgency: _after(reading, text, f"{pointer}/{urgency}") for urgency, text in written.items() if text != NONE}


def _recipients(reading: Reading, written: str | list[str], pointer: str, rotations: set[str]) -> tuple[str, ...]:
    found = []
    for place, text in shape.entries(written, pointer):
        recipient = text.strip()
        kind = next((prefix for prefix in _NAMED if recipient.startswith(prefix)), None)
        if kind is None and recipient not in _ALONE:
            near = did_you_mean(recipient, [*_ALONE, *(f"{ON_CALL}{name}" for name in rotations)])
            reading.fault(place, f"`{recipient[:60]}` is no recipient", near if near.startswith("did") else _FORMS)
        elif kind is not None and not recipient.removeprefix(kind):
            reading.fault(place, f"`{recipient}` names nobody", _FORMS)
        elif kind == CHANNEL and _needs_address(recipient.removeprefix(kind)):
            reading.fault(
                place,
                f"`{recipient}` says how, not whom",
                "give a room an entry on the roster with its contacts, and write `channel/<its key>`",
            )
        elif kind == ON_CALL:
            reading.refer(place, recipient.removeprefix(kind), rotations, "rotation")
        found.append(recipient)
    return tuple(dict.fromkeys(found))


def _needs_address(name: str) -> bool:
    return name in METHODS and METHODS[name].address is not None


def _after(reading: Reading, text: str, pointer: str) -> timedelta:
    try:
        return durations.elapsed(text)
    except Unreadable as error:
        reading.unreadable(pointer, error)
        return timedelta()
