"""The `pools`, `routing` and `model` of a policy file: where tickets wait, and how they are given to agents (routing-rules 3)."""

import re
from datetime import timedelta
from fractions import Fraction

from shared.policy import durations, rules, shape
from shared.policy.document import DEFAULT_POOL, ModelTerms, PoolRule, Routing
from shared.policy.errors import short
from shared.policy.layout import ModelLine, PoolLine, RoutingLine
from shared.policy.reading import Reading, Unreadable
from shared.sla.condition import Condition

NONE = "none"
_ALL = 100
_SHARE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?")
_POOL = re.compile(r"[^\s\x00-\x1f](?:.{0,98}[^\s\x00-\x1f])?")


def pools(reading: Reading, lines: list[PoolLine]) -> tuple[PoolRule, ...]:
    """Compile the pools; one without a condition takes all that come to it, and what no rule takes waits in `default`."""
    known = {DEFAULT_POOL, *(line.name for _, line in shape.entries(lines, "/pools"))}
    names: dict[str, str] = {}
    compiled = []
    for pointer, line in shape.entries(lines, "/pools"):
        rules.unique_name(reading, names, line.name, pointer)
        if not _POOL.fullmatch(line.name):
            reading.fault(
                f"{pointer}/name", f"`{short(line.name)}` can't be a name", "use a short name without spaces around it"
            )
        to, after = None, 1.0
        if line.overflow is not None:
            place = f"{pointer}/overflow"
            reading.refer(f"{place}/to", line.overflow.to, known, "pool")
            if line.overflow.to == line.name:
                reading.fault(f"{place}/to", "a pool can't overflow into itself", "name another pool")
            to, after = line.overflow.to, share(reading, line.overflow.after, f"{place}/after")
        when = rules.when(reading, line.when, f"{pointer}/when")
        compiled.append(PoolRule(name=line.name, when=when or Condition({}), overflow_to=to, overflow_after=after))
    return tuple(compiled)


def routing(reading: Reading, line: RoutingLine) -> Routing:
    """Compile `routing`."""
    relax = tuple(share(reading, text, place) for place, text in shape.entries(line.relax, "/routing/relax"))
    if list(relax) != sorted(set(relax)) and not reading.has_faults_in("/routing/relax"):
        reading.fault("/routing/relax", "the shares don't rise", "write them in order, as in [25%, 50%, 75%]")
    return Routing(
        strict_priority=line.strict_priority,
        rescue_after=float(line.rescue_after),
        first_action=_unless_none(reading, line.first_action, "/routing/first_action"),
        relax=relax,
        affinity_wait=share(reading, line.affinity.wait, "/routing/affinity/wait"),
        same_customer=_elapsed_unless_none(reading, line.affinity.same_customer, "/routing/affinity/same_customer"),
        fallback=line.fallback,
        parked_at_most=line.parked_at_most,
        grace=_elapsed_unless_none(reading, line.grace, "/routing/grace") or timedelta(),
        away_after=line.away_after,
    )


def model(reading: Reading, line: ModelLine) -> ModelTerms:
    """Compile `model`."""
    triage = line.triage.strip().casefold()
    return ModelTerms(
        confidence=share(reading, line.confidence, "/model/confidence"), triage=None if triage == NONE else triage
    )


def share(reading: Reading, text: str, pointer: str) -> float:
    """`50%` as 0.5; notes a fault where it is no share."""
    cleaned = text.strip()
    number = cleaned.removesuffix("%").strip()
    if cleaned.endswith("%") and _SHARE.fullmatch(number) and 0 <= Fraction(number) <= _ALL:
        return float(Fraction(number) / _ALL)
    reading.fault(pointer, f"`{short(text)}` is no share", "write one between 0% and 100%, as in `50%`")
    return 0.0


def _unless_none(reading: Reading, text: str, pointer: str) -> float | None:
    return None if text.strip().lower() == NONE else share(reading, text, pointer)


def _elapsed_unless_none(reading: Reading, text: str, pointer: str) -> timedelta | None:
    if text.strip().lower() == NONE:
        return None
    try:
        return durations.elapsed(text)
    except Unreadable as error:
        reading.unreadable(pointer, error)
        return None
