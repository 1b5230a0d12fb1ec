"""What was promised: targets, the conditions under which they hold, and which one a ticket gets.

Pure data with the matching on it. Targets are an ordered list and the first match wins (sla-rules 1, rule 57).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
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


class SlaPolicy(Struct, frozen=True, kw_only=True):
    """The part of a policy version that the fold needs."""

    version: int
    calendars: Mapping[str, Calendar]
    targets: tuple[Target, ...]

    def target_for(self, fields: Fields, opened_at: datetime) -> Target | None:
        """The first target that holds, or None: an explicit `no_target`."""
        for target in self.targets:
            if target.holds_for(fields, opened_at):
                return target
        return None
