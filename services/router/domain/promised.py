"""What a policy promises to a ticket of which only channel and urgency are known."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from shared.contract.tickets import Channel, TargetKind, Urgency
from shared.sla.condition import Condition
from shared.sla.fields import Fields
from shared.sla.policy import Promise, SlaPolicy, Target

_KNOWN = frozenset({"channel", "urgency"})


def promised(policy: SlaPolicy, channel: Channel, urgency: Urgency, at: datetime) -> dict[TargetKind, float]:
    """Open seconds by target, of a ticket opened at `at`; what is promised in business days is left out.

    By the first line that holds among those that ask for nothing but channel and urgency; the same of internal lines.
    """
    fields = Fields(channel=channel, urgency=urgency)
    found: dict[TargetKind, Promise] = {}
    for is_internal in (False, True):
        lines = (each for each in policy.targets if each.is_internal is is_internal)
        line = next((each for each in lines if _is_plain(each.when) and each.holds_for(fields, at)), None)
        if line is not None:
            found.update(line.promises)
            after = policy.follow_up
            if not is_internal and line.promises and after is not None and _holds(after.when, fields):
                found.setdefault(TargetKind.FOLLOW_UP, after.after)
    return {target: length.total_seconds() for target, length in found.items() if isinstance(length, timedelta)}


def by_channel_and_urgency(policy: SlaPolicy, at: datetime) -> dict[tuple[str, str, str], float]:
    """The same of every channel and urgency, by (target, channel, urgency)."""
    return {
        (target, channel, urgency): seconds
        for channel in Channel
        for urgency in Urgency
        for target, seconds in promised(policy, channel, urgency, at).items()
    }


def strictest(tables: Iterable[Mapping[tuple[str, str, str], float]]) -> dict[tuple[str, str, str], float]:
    """Of several policies, the shortest promise each."""
    least: dict[tuple[str, str, str], float] = {}
    for table in tables:
        for labels, seconds in table.items():
            least[labels] = min(seconds, least.get(labels, seconds))
    return least


def changes_with_time(targets: Iterable[Target]) -> bool:
    """Whether one of the lines holds for some days only."""
    return any(each.valid_from is not None or each.valid_to is not None for each in targets)


def _holds(when: Condition | None, fields: Fields) -> bool:
    return _is_plain(when) and (when is None or when.holds_for(fields))


def _is_plain(when: Condition | None) -> bool:
    return when is None or (not when.patterns and when.comparisons.keys() <= _KNOWN)
