"""Where preferences may be insisted upon: nowhere under a promise that is too short to spend time on them (routing-rules 3.5)."""

from datetime import timedelta

from shared.contract.tickets import TargetKind
from shared.policy.document import TOO_SHORT_TO_INSIST, SkillRule
from shared.policy.errors import short
from shared.policy.reading import Reading
from shared.sla.condition import ATTRIBUTE, Condition
from shared.sla.policy import Target

_RESPONSES = (TargetKind.FIRST_RESPONSE, TargetKind.NEXT_RESPONSE)
_ANYTHING = Condition({})


def check(reading: Reading, skills: tuple[SkillRule, ...], targets: tuple[Target, ...]) -> None:
    """Note a fault for each rule with `insist` that tickets may fall under to whom an answer is promised in less than two minutes."""
    for number, rule in enumerate(skills):
        if rule.insist and rule.prefer:
            line = _too_short(rule.when or _ANYTHING, targets)
            if line is not None:
                reading.fault(
                    f"/skills/{number}/insist",
                    f"the target `{short(line.name)}` promises an answer in less than {_MINUTES} minutes, too short to wait for "
                    "somebody who is only preferred",
                    "leave `insist` out, or add a field to this `when` that sets such tickets apart, as in {channel: email}",
                )


_MINUTES = TOO_SHORT_TO_INSIST // timedelta(minutes=1)


def _too_short(when: Condition, targets: tuple[Target, ...]) -> Target | None:
    """The first line with too short a promise that a ticket under the condition may get."""
    for line in targets:
        asked = line.when or _ANYTHING
        if line.is_internal or _never_both(when, asked):
            continue
        if any(
            isinstance(promise := line.promises.get(kind), timedelta) and promise < TOO_SHORT_TO_INSIST
            for kind in _RESPONSES
        ):
            return line
        if line.valid_from is None and line.valid_to is None and _covers(asked, when):
            return None
    return None


def _never_both(one: Condition, other: Condition) -> bool:
    """Whether no ticket can meet both, as far as their fields tell."""
    return any(
        field in other.comparisons and _are_apart(field, values, other.comparisons[field])
        for field, values in one.comparisons.items()
    )


def _are_apart(field: str, one: frozenset[str], other: frozenset[str]) -> bool:
    if field.startswith(ATTRIBUTE):  # may be a list, with something of both
        return False
    if field == "language":  # `en-us` is `en`, too
        return one.isdisjoint(other | _general(other)) and other.isdisjoint(_general(one))
    return one.isdisjoint(other)


def _general(languages: frozenset[str]) -> frozenset[str]:
    return frozenset(language.partition("-")[0] for language in languages)


def _covers(wide: Condition, narrow: Condition) -> bool:
    """Whether every ticket that meets the narrow one meets the wide one."""
    return not wide.patterns and all(
        field in narrow.comparisons and narrow.comparisons[field] <= values
        for field, values in wide.comparisons.items()
    )
