"""What was promised: targets, the conditions under which they hold, and which one a ticket gets.

Pure data with the matching on it. Targets are an ordered list and the first match wins (sla-rules 1, rule 57).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.contract.tickets import Status, TargetKind
from shared.sla.calendar import Calendar
from shared.sla.condition import Condition
from shared.sla.fields import Classification, Facts, Fields


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


class ChangeMode(StrEnum):
    """From when a promise counts that comes to hold while a clock runs (rule 51)."""

    RETROACTIVE = "retroactive"
    """From the original start; where that makes it late already, it is late from the change on."""
    RESTART = "restart"
    """From the change."""


class OnChange(Struct, frozen=True):
    """What a line does to running clocks that come under it."""

    mode: ChangeMode = ChangeMode.RETROACTIVE
    grace: timedelta = timedelta()
    """Open time that is left after the change at least."""


class FollowUp(Struct, frozen=True, kw_only=True):
    """After a ticket was solved we ask again, so much later."""

    after: Promise
    when: Condition | None = None


class Target(Struct, frozen=True, kw_only=True):
    """One line of the policy's `targets`: promises that hold together under one condition."""

    name: str
    calendar: str
    promises: Mapping[TargetKind, Promise]
    is_internal: bool = False
    """A team's own promises, beside the customer's; the first internal line that matches holds."""
    when: Condition | None = None
    warn: tuple[WarnAt, ...] = ()
    escalate: str | None = None
    pauses_while: Mapping[TargetKind, frozenset[Status]] = {}
    """Statuses that pause a target; one not listed is never paused (the parser fills in the defaults of sla-rules 1)."""
    on_reopen: Reopen = Reopen.RESUME
    on_change: OnChange = OnChange()
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
    version: int
    """Of the policy."""
    kind: TargetKind
    calendar_name: str
    calendar: Calendar
    promise: int
    """Open time; 0 where it is business days."""
    business_days: int
    warn: tuple[WarnAt, ...]
    warn_after: tuple[int, ...]
    """Open time used when each warning is due, ascending; worked out per clock where the promise is not `promise`."""
    pauses_while: frozenset[Status]
    """With those in which a ticket is over: a promise resumed at its reopening did not count meanwhile (rule 49)."""
    escalate: str | None
    on_change: OnChange = OnChange()

    def is_same_promise(self, other: "Terms") -> bool:
        """Whether a clock counts alike under both, so that going from one to the other is no change of the promise."""
        return self is other or (
            (self.promise, self.business_days, self.pauses_while)
            == (other.promise, other.business_days, other.pauses_while)
            and self.calendar.same_as(other.calendar)
        )

    def warnings_within(self, promise: int) -> tuple[int, ...]:
        """The open time used when each warning of a promise is due; those due at the start or the end don't exist."""
        if promise == self.promise:
            return self.warn_after
        return _warnings_of(self, promise) if self.warn else ()


class Line(Struct, frozen=True, kw_only=True, eq=False):
    """One target line with its terms."""

    target: Target
    version: int
    terms: Mapping[TargetKind, Terms]


class SlaPolicy(Struct, frozen=True, kw_only=True, eq=False, dict=True):
    """The part of a policy version that the fold needs; compared and hashed by identity."""

    version: int
    calendars: Mapping[str, Calendar]
    targets: tuple[Target, ...]
    follow_up: FollowUp | None = None

    def line_for(self, fields: Fields, opened_at: datetime) -> Line | None:
        """The line of the first target that holds, or None; with the policy's follow-up where the ticket gets one."""
        for line in self.lines:
            if line.target.holds_for(fields, opened_at):
                if self.follow_up is None or line.target.name not in self._followed_up:
                    return line
                is_wanted = self.follow_up.when is None or self.follow_up.when.holds_for(fields)
                return self._followed_up[line.target.name] if is_wanted else line
        return None

    def internal_line_for(self, fields: Fields, opened_at: datetime) -> Line | None:
        """The line of the first internal target that holds, or None."""
        for line in self.internal_lines:
            if line.target.holds_for(fields, opened_at):
                return line
        return None

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The targets with their terms, in the order of the policy."""
        return tuple(self._line(target) for target in self.targets if not target.is_internal)

    @cached_property
    def internal_lines(self) -> tuple[Line, ...]:
        """The internal targets with their terms, in the order of the policy."""
        return tuple(self._line(target) for target in self.targets if target.is_internal)

    @cached_property
    def _followed_up(self) -> dict[str, Line]:
        """Lines that promise something, but no follow-up of their own: each with the policy's, which wakes nobody."""
        if self.follow_up is None:
            return {}
        twins = {}
        for line in self.lines:
            if line.terms and TargetKind.FOLLOW_UP not in line.terms:
                terms = self._terms(
                    replace(line.target, escalate=None, warn=()), TargetKind.FOLLOW_UP, self.follow_up.after
                )
                twins[line.target.name] = replace(line, terms={**line.terms, TargetKind.FOLLOW_UP: terms})
        return twins

    def _line(self, target: Target) -> Line:
        return Line(
            target=target,
            version=self.version,
            terms={kind: self._terms(target, kind, promise) for kind, promise in target.promises.items()},
        )

    def _terms(self, target: Target, kind: TargetKind, promise: Promise) -> Terms:
        open_time = 0 if isinstance(promise, BusinessDays) else promise // _MICROSECOND
        warn = target.warn or (_FOLLOW_UP_WARNS if kind is TargetKind.FOLLOW_UP else ())
        # A promise resumed when its ticket was reopened did not count while the ticket was over (rule 49).
        pauses_while = target.pauses_while.get(kind, _NEVER_PAUSED)
        return Terms(
            line=target.name,
            version=self.version,
            kind=kind,
            calendar_name=target.calendar,
            calendar=self.calendars[target.calendar],
            promise=open_time,
            business_days=promise.days if isinstance(promise, BusinessDays) else 0,
            warn=warn,
            warn_after=_warn_after(warn, open_time),
            pauses_while=pauses_while if kind is TargetKind.FOLLOW_UP else pauses_while | _OVER,
            escalate=target.escalate,
            on_change=target.on_change,
        )


class Judge(NamedTuple):
    """One version of a policy, with its rules of classification."""

    policy: SlaPolicy
    classify: "Classify"


Classify: TypeAlias = Callable[[Facts], Classification]
"""What a policy version's rules say of a ticket."""


@lru_cache(maxsize=4_096)
def _warnings_of(terms: Terms, promise: int) -> tuple[int, ...]:
    """Business days come to the same open time again and again."""
    return _warn_after(terms.warn, promise)


def _warn_after(warn: tuple[WarnAt, ...], promise: int) -> tuple[int, ...]:
    used = {promise - item.left // _MICROSECOND for item in warn if item.left is not None}
    used |= {round(promise * item.share) for item in warn if item.share is not None}
    return tuple(sorted(after for after in used if 0 < after < promise))


_MICROSECOND = timedelta(microseconds=1)
_FOLLOW_UP_WARNS = (WarnAt(share=0.8),)
"""Where the line says nothing: a follow-up is called due before it is late."""
_NEVER_PAUSED: frozenset[Status] = frozenset()
_OVER = frozenset(status for status in Status if status.is_over)
