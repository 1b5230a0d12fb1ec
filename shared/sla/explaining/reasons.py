"""Why a line of the policy holds for a ticket, field by field; and what it promises, in words."""

from datetime import datetime, timedelta

from shared.sla.condition import Condition, reader, spoken
from shared.sla.explaining.explained import Check, Match, TriedLine
from shared.sla.fields import Fields
from shared.sla.policy import ChangeMode, OnChange, SlaPolicy, Target, Terms, WarnAt

MOST_TRIED = 20
"""Lines that did not match are told up to so many."""
_MOST_WANTED = 10
_LONGEST_VALUE = 100


def match(policy: SlaPolicy, fields: Fields, opened_at: datetime, since: datetime, *, is_internal: bool) -> Match:
    """Which line holds for a ticket with these fields and why, by the same comparison as `SlaPolicy.line_for`."""
    lines = policy.internal_lines if is_internal else policy.lines
    tried: list[TriedLine] = []
    passed_over = 0
    for line in lines:
        if line.target.holds_for(fields, opened_at):
            checks = _checks(line.target, fields, opened_at)
            return _match(policy, since, line.target.name, checks, tried, passed_over)
        if len(tried) < MOST_TRIED:
            failed = tuple(check for check in _checks(line.target, fields, opened_at) if not check.holds)
            tried.append(TriedLine(line=line.target.name, failed=failed))
        else:
            passed_over += 1
    return _match(policy, since, None, (), tried, passed_over)


def _match(
    policy: SlaPolicy,
    since: datetime,
    line: str | None,
    checks: tuple[Check, ...],
    tried: list[TriedLine],
    passed_over: int,
) -> Match:
    return Match(
        line=line,
        policy_version=policy.version,
        since=since,
        checks=checks,
        tried=tuple(tried),
        tried_left_out=passed_over,
    )


def _checks(target: Target, fields: Fields, opened_at: datetime) -> tuple[Check, ...]:
    checks = _valid(target, opened_at)
    when = target.when
    if when is None:
        return tuple(checks)
    for field, values in when.comparisons.items():
        value = reader(field)(fields)
        found = value if isinstance(value, tuple) else (value,)
        checks.append(
            Check(
                field=field,
                wanted=_few(sorted(values)),
                found=", ".join(str(item) for item in found)[:_LONGEST_VALUE],
                holds=not values.isdisjoint(found),
            )
        )
    if when.patterns:
        holds = Condition({}, when.patterns).holds_for(fields)
        checks.append(
            Check(
                field="text",
                wanted=_few([spoken(each) for each in when.patterns]),
                found=_found(when, fields),
                holds=holds,
            )
        )
    return tuple(checks)


def _valid(target: Target, opened_at: datetime) -> list[Check]:
    wanted = []
    if target.valid_from is not None:
        wanted.append(f"from {target.valid_from.isoformat()}")
    if target.valid_to is not None:
        wanted.append(f"before {target.valid_to.isoformat()}")
    if not wanted:
        return []
    holds = (target.valid_from is None or opened_at >= target.valid_from) and (
        target.valid_to is None or opened_at < target.valid_to
    )
    return [Check(field="opened_at", wanted=(" and ".join(wanted),), found=opened_at.isoformat(), holds=holds)]


def _found(when: Condition, fields: Fields) -> str:
    """The first of the words that is in the text."""
    for pattern in when.patterns[:_MOST_WANTED]:
        if Condition({}, (pattern,)).holds_for(fields):
            return spoken(pattern)
    return ""


def _few(values: list[str]) -> tuple[str, ...]:
    shown = tuple(value[:_LONGEST_VALUE] for value in values[:_MOST_WANTED])
    return shown if len(values) <= _MOST_WANTED else (*shown, f"{len(values) - _MOST_WANTED} more")


def promise(terms: Terms, *, is_by_hand: bool) -> str:
    """What is promised: `8h of office`."""
    if is_by_hand:
        return "deadline set by hand"
    length = f"{terms.business_days}bd" if terms.business_days else duration(timedelta(microseconds=terms.promise))
    return f"{length} of {terms.calendar_name}"


def on_change(change: OnChange) -> str:
    """As in the policy file."""
    if change.grace:
        return f"grace: {duration(change.grace)}"
    return str(ChangeMode(change.mode))


def warning(warn: WarnAt) -> str:
    """As in the policy file."""
    return f"{warn.share * 100:g}%" if warn.share is not None else duration(warn.left or timedelta())


def duration(length: timedelta) -> str:
    """As people write it in the policy file, exact to the second: `1h30m`."""
    seconds = length.total_seconds()
    whole = int(seconds)
    parts = [(whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s")]
    text = "".join(f"{count}{unit}" for count, unit in parts if count)
    return text or f"{seconds:g}s"
