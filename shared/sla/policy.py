"""What was promised: targets, the conditions under which they hold, and which one a ticket gets.

Pure data with the matching on it. Targets are an ordered list and the first match wins (sla-rules 1, rule 57).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias

from msgspec import Struct

from shared.contract.tickets import Status, TargetKind
from shared.sla.calendar import Calendar
from shared.sla.condition import Condition
from shared.sla.fields import Fields


class BusinessDays(Struct, frozen=True):
    """`2bd`: the same local time on the second following open day."""

    days: int


Promise: TypeAlias = timedelta | BusinessDays
"""How long a target may take: open time of its calendar, or business days."""


class WarnAt(Struct, frozen=True, kw_only=True):
    """When a clock warns: at a `share` of the promise used, or with this much open time `left`."""

    share: float | None = None
    left: timedelta | None = None


class Reopen(StrEnum):
    """What a reopened ticket's clock does."""

    RESUME = "resume"
    NEW_CYCLE = "new_cycle"
    NONE = "none"


class Target(Struct, frozen=True, kw_only=True):
    """One line of the policy's `targets`: promises that hold together under one condition."""

    name: str
    calendar: str
    promises: Mapping[TargetKind, Promise]
    when: Condition | None = None
    warn: tuple[WarnAt, ...] = ()
    escalate: str | None = None
    pauses_while: Mapping[TargetKind, frozenset[Status]] = {}
    """Statuses that pause a target; one not listed is never paused (the parser fills in the defaults of sla-rules 1)."""
    on_reopen: Reopen = Reopen.RESUME
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def holds_for(self, fields: Fields, opened_at: datetime) -> bool:
        """Whether this line promises something to a ticket with these fields, opened then."""
        if self.valid_from is not None and opened_at < self.valid_from:
            return False
        if self.valid_to is not None and opened_at >= self.valid_to:
            return False
        return self.when is None or self.when.holds_for(fields)


class Terms(Struct, frozen=True, kw_only=True, eq=False):
    """What one line promises of one target, ready for the fold; durations in microseconds."""

    line: str
    kind: TargetKind
    calendar_name: str
    calendar: Calendar
    promise: int
    """Open time; 0 where it is business days."""
    business_days: int
    warn: tuple[WarnAt, ...]
    warn_after: tuple[int, ...]
    """Open time used when each warning is due, ascending; worked out per clock for business days."""
    pauses_while: frozenset[Status]
    """With those in which a ticket is over: a promise resumed at its reopening did not count meanwhile (rule 49)."""
    escalate: str | None

    def warnings_within(self, promise: int) -> tuple[int, ...]:
        """The open time used when each warning of a promise is due; those due at the start or the end don't exist."""
        if not self.business_days:
            return self.warn_after
        return _warn_after(self.warn, promise)


class Line(Struct, frozen=True, kw_only=True, eq=False):
    """One target line with its terms."""

    target: Target
    terms: Mapping[TargetKind, Terms]


class SlaPolicy(Struct, frozen=True, kw_only=True, eq=False, dict=True):
    """The part of a policy version that the fold needs; compared and hashed by identity."""

    version: int
    calendars: Mapping[str, Calendar]
    targets: tuple[Target, ...]

    def line_for(self, fields: Fields, opened_at: datetime) -> Line | None:
        """The line of the first target that holds, or None."""
        for line in self.lines:
            if line.target.holds_for(fields, opened_at):
                return line
        return None

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The targets with their terms, in the order of the policy."""
        return tuple(_line(target, self.calendars[target.calendar]) for target in self.targets)


def _line(target: Target, calendar: Calendar) -> Line:
    return Line(
        target=target,
        terms={kind: _terms(target, calendar, kind, promise) for kind, promise in target.promises.items()},
    )


def _terms(target: Target, calendar: Calendar, kind: TargetKind, promise: Promise) -> Terms:
    open_time = 0 if isinstance(promise, BusinessDays) else promise // _MICROSECOND
    return Terms(
        line=target.name,
        kind=kind,
        calendar_name=target.calendar,
        calendar=calendar,
        promise=open_time,
        business_days=promise.days if isinstance(promise, BusinessDays) else 0,
        warn=target.warn,
        warn_after=_warn_after(target.warn, open_time),
        pauses_while=target.pauses_while.get(kind, _NEVER_PAUSED) | _OVER,
        escalate=target.escalate,
    )


def _warn_after(warn: tuple[WarnAt, ...], promise: int) -> tuple[int, ...]:
    used = {promise - item.left // _MICROSECOND for item in warn if item.left is not None}
    used |= {round(promise * item.share) for item in warn if item.share is not None}
    return tuple(sorted(after for after in used if 0 < after < promise))


_MICROSECOND = timedelta(microseconds=1)
_NEVER_PAUSED: frozenset[Status] = frozenset()
_OVER = frozenset(status for status in Status if status.is_over)
