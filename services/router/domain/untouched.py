"""Which tickets another version can't move: where it differs in calendars only, and not while their clocks run (rule 55)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from shared.contract.ledger import Ticket
from shared.contract.tickets import Status
from shared.policy.document import Policy
from shared.sla.clock import Clock
from shared.sla.policy import OnChange

_OF_NO_ACCOUNT = frozenset({"calendars", "feeds", "escalations", "on_call", "paging"})
"""Sections of a policy that promise nothing; of calendars the windows of clocks are asked."""
_A_DAY = timedelta(days=1)
"""A due time in business days depends on the hours of its whole day."""
_AT_ONCE = OnChange()


class Pair:
    """Two versions, and what a ticket has to fear of going from one to the other."""

    def __init__(self, old: Policy, new: Policy, documents: tuple[Mapping[str, Any], Mapping[str, Any]]) -> None:
        self._old = old
        self._new = new
        self.is_light = _promise_alike(*documents) and all(
            target.on_change == _AT_ONCE for target in (*old.sla.targets, *new.sla.targets)
        )
        lines = (*old.sla.lines, *old.sla.internal_lines)
        self._in_days = {
            (line.target.name, kind) for line in lines for kind, terms in line.terms.items() if terms.business_days
        }

    def leaves_alone(self, ticket: Ticket, clocks: Sequence[Clock], changed_at: datetime | None, now: datetime) -> bool:
        """Whether no clock of the ticket can move: then its log need not be judged again.

        The new version holds for it from `changed_at` on; None: as though it had always held.
        """
        return self.is_light and all(
            clock.is_finished or _broke_before(clock, changed_at) or self._is_untouched(clock, ticket, now)
            for clock in clocks
        )

    def _is_untouched(self, clock: Clock, ticket: Ticket, now: datetime) -> bool:
        if clock.policy_version != self._old.version:
            return False
        before = self._old.sla.calendars.get(clock.calendar)
        after = self._new.sla.calendars.get(clock.calendar)
        if before is None or after is None:
            return False
        if before.same_as(after):
            return True
        if ticket.opened_at is None or (clock.due_at is None and ticket.status == Status.OPEN):
            return False  # where nothing pauses it, it has no due time because its calendar never opens
        until = clock.due_at or now
        if (clock.matched, clock.target) in self._in_days:
            until += _A_DAY
        # one that was promised late, or is resumed, counts from before its own start
        return before.is_same_between(after, ticket.opened_at, until)


def restamped(clock: Clock, version: int, changed_at: datetime | None) -> Clock:
    """A running clock that another version leaves where it is, and which judges it from `changed_at` on.

    One that was broken by then keeps the version that judged it.
    """
    return clock if clock.is_finished or _broke_before(clock, changed_at) else replace(clock, policy_version=version)


def _broke_before(clock: Clock, changed_at: datetime | None) -> bool:
    """It was broken by then, and stays so whatever is promised later (rule 52)."""
    return changed_at is not None and clock.breaks_at is not None and clock.breaks_at < changed_at


def _promise_alike(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    sections = (old.keys() | new.keys()) - _OF_NO_ACCOUNT
    return all(
        (old.get(section) or None) == (new.get(section) or None) for section in sections if not section.startswith("x-")
    )
