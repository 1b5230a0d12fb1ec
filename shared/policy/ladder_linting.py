"""Escalations that are legal but may wake nobody: each a warning with its line and the way out (escalation-rules R22, R23).

`lint` needs the policy alone. `lint_people` asks the roster too: who can be reached at all.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import NamedTuple

from shared.policy import calling
from shared.policy.document import Counts, Ladder, Policy, Roster
from shared.policy.errors import short
from shared.policy.located import escape
from shared.policy.methods import INFORMATIONAL
from shared.policy.paging import ON_CALL, PERSON
from shared.policy.reading import Reading

_OWNER, _LEAD = "owner", "lead"


class Doubt(NamedTuple):
    """Something legal that is seldom meant."""

    pointer: str
    problem: str
    remedy: str


def lint(reading: Reading, policy: Policy) -> None:
    """Note steps that page nobody new, steps and whole escalations that are never reached, and ends that are silent."""
    for ladder in policy.escalations.values():
        for doubt in _doubts(policy, ladder):
            reading.warn(*doubt)


def lint_people(policy: Policy, roster: Roster) -> tuple[Doubt, ...]:
    """Steps that nobody can receive, as the roster stands."""
    return tuple(doubt for ladder in policy.escalations.values() for doubt in _unreceivable(policy, ladder, roster))


def _doubts(policy: Policy, ladder: Ladder) -> Iterator[Doubt]:
    pointer = f"/escalations/{escape(ladder.name)}"
    if ladder.name not in _used(policy):
        yield Doubt(
            pointer,
            f"no line of `targets` starts `{short(ladder.name)}`, so its steps are never reached",
            "name it as `escalate:` of a line, or leave it out",
        )
    yield from _same_people(policy, ladder, pointer)
    yield from _after_the_end(ladder, pointer)
    names = {name for step in ladder.steps for name in step.page}
    if names <= {_OWNER, _LEAD} and not ladder.otherwise:
        yield Doubt(
            f"{pointer}/steps",
            "while nobody owns the ticket every step pages nobody, and then the console alone is paged",
            "add `otherwise:` with a person or a rotation",
        )


def _used(policy: Policy) -> set[str]:
    named = {target.escalate for target in policy.sla.targets if target.escalate is not None}
    for_routing = calling.ladder_for(policy, None)
    return named | ({for_routing.name} if for_routing is not None else set())


def _same_people(policy: Policy, ladder: Ladder, pointer: str) -> Iterator[Doubt]:
    """Steps that page nobody but those whom the step before pages: they are skipped (R22)."""
    for index, (before, step) in enumerate(zip(ladder.steps, ladder.steps[1:], strict=False), start=1):
        if not step.after:  # both go together
            continue
        if set(step.page) <= set(before.page):
            again = True
        else:
            first, then = (_fixed(policy, one.page) for one in (before, step))
            again = first is not None and then is not None and then <= first
        if again:
            yield Doubt(
                f"{pointer}/steps/{index}/page",
                "this step pages nobody but those of the step before, so it is skipped",
                "page somebody else, or let `repeat` come back to them",
            )


def _fixed(policy: Policy, page: tuple[str, ...]) -> set[str] | None:
    """Whom these recipients always stand for; None where that depends on the ticket or the hour."""
    found = set()
    for name in page:
        if name.startswith(PERSON):
            found.add(name.removeprefix(PERSON))
        elif name.startswith(ON_CALL):
            people = _turns(policy, name)
            if people is None or len(people) != 1:
                return None
            found |= people
        else:
            return None
    return found


def _turns(policy: Policy, recipient: str) -> frozenset[str] | None:
    """Everybody who may be on call; None where a calendar kept elsewhere says that."""
    rotation = policy.on_call.get(recipient.removeprefix(ON_CALL))
    if rotation is not None and rotation.feed is not None:
        return None
    return frozenset() if rotation is None else rotation.people


def _after_the_end(ladder: Ladder, pointer: str) -> Iterator[Doubt]:
    """Steps and silences that come when the escalation has ended by itself already (R12)."""
    at = timedelta()
    for index, step in enumerate(ladder.steps):
        at += step.after
        if at >= ladder.ends_after and step.counts is Counts.ELAPSED:
            yield Doubt(
                f"{pointer}/steps/{index}/after",
                "this step is never reached: the escalation has ended by then",
                "shorten the waits before it, or lengthen `ends_after`",
            )
            break
    if any(length >= ladder.ends_after for length in ladder.silence.values()):
        yield Doubt(
            f"{pointer}/silence",
            "nobody is asked again: the escalation has ended by then",
            "shorten it, or lengthen `ends_after`",
        )


def _unreceivable(policy: Policy, ladder: Ladder, roster: Roster) -> Iterator[Doubt]:
    pointer = f"/escalations/{escape(ladder.name)}"
    has_way = {
        key: any(contact.method not in INFORMATIONAL for contact in person.contacts)
        for key, person in roster.people.items()
    }
    for index, step in enumerate(ladder.steps):
        if not any(_may_reach(policy, roster, has_way, name) for name in step.page):
            yield Doubt(
                f"{pointer}/steps/{index}/page",
                "nobody can receive this step: whoever it names is not on the roster, or has no contact that wakes",
                "give them `contacts` in the roster, or page somebody else",
            )


def _may_reach(policy: Policy, roster: Roster, has_way: Mapping[str, bool], recipient: str) -> bool:
    """Whether there is an hour and a ticket at which the recipient is somebody who can be paged."""
    if recipient.startswith(PERSON):
        return has_way.get(recipient.removeprefix(PERSON), False)
    if recipient.startswith(ON_CALL):
        turns = _turns(policy, recipient)
        return turns is None or any(has_way.get(key, False) for key in turns)
    workers = [person for person in roster.people.values() if person.channels]
    if recipient == _OWNER:
        return any(has_way[person.key] for person in workers)
    if recipient == _LEAD:
        return any(has_way.get(person.lead or "", False) for person in workers)
    return True
