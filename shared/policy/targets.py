"""The `targets` and `follow_up` of a policy file: what is promised, to whom, and how the clocks run (sla-rules 1)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from shared.contract.tickets import CUSTOMER_TARGETS, Status, TargetKind
from shared.policy import calendars, durations, rules, shape
from shared.policy.errors import did_you_mean
from shared.policy.layout import FollowUpLine, TargetLine, ValidLine
from shared.policy.reading import Reading, Unreadable
from shared.sla.policy import ChangeMode, FollowUp, OnChange, Promise, Reopen, Target, WarnAt

PAUSING = frozenset({Status.PENDING_CUSTOMER, Status.ON_HOLD})
"""What pauses resolution and update unless the policy says otherwise; nothing pauses a first response."""

_PAUSED_BY_DEFAULT = (TargetKind.RESOLUTION, TargetKind.UPDATE)
_PAUSE_WORDS = frozenset({Status.OPEN, *PAUSING})
_MOST_WARNINGS = 20
_INTERNAL_REMEDY = "an internal line may have " + ", ".join(f"`{kind}`" for kind in CUSTOMER_TARGETS if kind.internal)


def read(reading: Reading, lines: list[TargetLine]) -> tuple[Target, ...]:
    """Compile the target lines, in order; a line that none can reach is a fault."""
    targets = []
    names: dict[str, str] = {}
    known_calendars = calendars.known_names(reading)
    known_ladders = reading.names("escalations")
    takers: dict[bool, TargetLine] = {}
    for pointer, line in shape.entries(lines, "/targets"):
        rules.unique_name(reading, names, line.name, pointer)
        is_internal = line.kind == "internal"
        taker = takers.get(is_internal)
        if taker is not None:
            reading.fault(
                pointer,
                f"`{line.name[:60]}` is never reached: `{taker.name[:60]}` above it takes every ticket",
                "put the line without `when` last",
            )
        if line.escalate is not None:
            reading.refer(f"{pointer}/escalate", line.escalate, known_ladders, "escalation")
        target = Target(
            name=line.name,
            calendar=_calendar(reading, line, pointer, known_calendars),
            promises=_promises(reading, line, pointer, is_internal=is_internal),
            is_internal=is_internal,
            when=rules.when(reading, line.when, f"{pointer}/when"),
            warn=_warn(reading, line, pointer),
            escalate=line.escalate,
            pauses_while=_pauses(reading, line, pointer, is_internal=is_internal),
            on_reopen=line.on_reopen or Reopen.RESUME,
            on_change=_on_change(reading, line, pointer),
            valid_from=valid_instant(reading, line.valid, pointer, "from"),
            valid_to=valid_instant(reading, line.valid, pointer, "to"),
        )
        if target.valid_from is not None and target.valid_to is not None and target.valid_from >= target.valid_to:
            reading.fault(
                f"{pointer}/valid",
                "it ends before it begins, so no ticket falls into it",
                "put the earlier instant under `from`",
            )
        if taker is None and not _has_condition(reading, line, pointer):
            takers[is_internal] = line
        targets.append(target)
    return tuple(targets)


def follow_up(reading: Reading, line: FollowUpLine | None) -> FollowUp | None:
    """Compile `follow_up`."""
    if line is None:
        return None
    after = _promise(reading, line.after_solved, "/follow_up/after_solved")
    condition = rules.when(reading, line.when, "/follow_up/when")
    return FollowUp(after=after or timedelta(), when=condition)


def _calendar(reading: Reading, line: TargetLine, pointer: str, known: set[str]) -> str:
    if line.calendar is not None:
        reading.refer(f"{pointer}/calendar", line.calendar, known, "calendar")
        return line.calendar
    if line.promise is None and not reading.holds(f"{pointer}/calendar"):
        listed = ", ".join(f"`{name}`" for name in sorted(known)[:12])
        reading.fault(pointer, "it names no calendar", f"add `calendar:` with one of {listed}")
    return calendars.ALWAYS


def _promises(reading: Reading, line: TargetLine, pointer: str, *, is_internal: bool) -> Mapping[TargetKind, Promise]:
    promises: dict[TargetKind, Promise] = {}
    written = False
    for kind in CUSTOMER_TARGETS:
        text: str | None = getattr(line, kind.value)
        place = f"{pointer}/{kind}"
        written = written or text is not None or reading.holds(place)
        if text is not None:
            held_by = kind.internal if is_internal else kind
            promise = _promise(reading, text, place)
            if held_by is None:
                reading.fault(place, f"`{kind}` is a promise to the customer, no team has one", _INTERNAL_REMEDY)
            elif promise is not None:
                promises[held_by] = promise
    if written and line.promise is not None:
        reading.fault(
            f"{pointer}/promise", "it says `promise: nothing` and promises something", "remove one of the two"
        )
    if not written and line.promise is None and not reading.has_faults_in(pointer):
        kinds = ", ".join(f"`{kind}`" for kind in CUSTOMER_TARGETS if kind.internal or not is_internal)
        reading.fault(
            pointer, "it promises nothing", f"add one of {kinds}; if nothing is meant, say `promise: nothing`"
        )
    return promises


def _promise(reading: Reading, text: str, pointer: str) -> Promise | None:
    try:
        return durations.promise(text)
    except Unreadable as error:
        reading.unreadable(pointer, error)
        return None


def _warn(reading: Reading, line: TargetLine, pointer: str) -> tuple[WarnAt, ...]:
    points: dict[WarnAt, None] = {}
    for place, text in shape.entries(line.warn, f"{pointer}/warn"):
        try:
            point = durations.warn_point(text)
        except Unreadable as error:
            reading.unreadable(place, error)
            continue
        if point in points:
            reading.fault(place, f"`{text}` is there twice", "each warning fires once; remove one")
        points[point] = None
    if len(points) > _MOST_WARNINGS:
        reading.fault(
            f"{pointer}/warn",
            f"{len(points)} warnings, the limit is {_MOST_WARNINGS}",
            "keep the ones somebody acts on",
        )
    return tuple(points)


def _pauses(
    reading: Reading, line: TargetLine, pointer: str, *, is_internal: bool
) -> Mapping[TargetKind, frozenset[Status]]:
    pauses = dict.fromkeys(_PAUSED_BY_DEFAULT, PAUSING)
    written = line.pauses_while
    place = f"{pointer}/pauses_while"
    if isinstance(written, list):
        pauses = dict.fromkeys(_PAUSED_BY_DEFAULT, _pausing(reading, written, place))
    elif written is not None:
        for kind, statuses in written.items():
            pauses[kind] = _pausing(reading, statuses, f"{place}/{kind}")
            if kind not in CUSTOMER_TARGETS:
                reading.fault(
                    f"{place}/{kind}",
                    f"`{kind}` is no key of a target line",
                    did_you_mean(kind, CUSTOMER_TARGETS, what="targets"),
                )
    if is_internal:
        return {kind.internal: statuses for kind, statuses in pauses.items() if kind.internal}
    return pauses


def _on_change(reading: Reading, line: TargetLine, pointer: str) -> OnChange:
    written = line.on_change
    if written is None:
        return OnChange()
    if isinstance(written, str):
        return OnChange(ChangeMode(written))
    place = f"{pointer}/on_change/grace"
    try:
        grace = durations.elapsed(written.grace)
    except Unreadable as error:
        reading.unreadable(place, error)
        return OnChange()
    if not grace:
        reading.fault(place, "a grace of no length", "write how much is left at least, as in `30m`, or `retroactive`")
    return OnChange(ChangeMode.RETROACTIVE, grace)


def _pausing(reading: Reading, statuses: list[Status], pointer: str) -> frozenset[Status]:
    for place, status in shape.entries(statuses, pointer):
        if status not in _PAUSE_WORDS:
            reading.fault(
                place,
                f"`{status}` ends a ticket's clocks, it doesn't pause them",
                did_you_mean(status, PAUSING, what="pausing statuses"),
            )
    return frozenset(status for _, status in shape.entries(statuses, pointer))


def valid_instant(reading: Reading, valid: ValidLine | None, pointer: str, key: str) -> datetime | None:
    """An end of a `valid`, in UTC; None where none is given, or after a fault was noted."""
    text = None if valid is None else (valid.from_ if key == "from" else valid.to)
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text.strip())
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        instant = None
    problem = (
        f"`{text[:60]}` is no instant"
        if instant is None
        else f"`{text[:60]}` has no offset, so it means another instant in each zone"
    )
    reading.fault(f"{pointer}/valid/{key}", problem, "write it as `2026-02-16T13:00:00-05:00`, or with `Z` for UTC")
    return None


def _has_condition(reading: Reading, line: TargetLine, pointer: str) -> bool:
    return (
        bool(line.when)
        or line.valid is not None
        or reading.holds(f"{pointer}/when")
        or reading.holds(f"{pointer}/valid")
    )
