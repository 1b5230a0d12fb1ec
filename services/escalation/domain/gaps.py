"""When nobody would be paged: instants of a rotation at which nobody is on call, or somebody who can't be reached (R22, R23)."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct, structs

from services.escalation.domain.recipient import Person, usable_contacts
from services.escalation.domain.rotation import Duty, Stretch, stretches


class GapReason(StrEnum):
    """Why nobody would be paged."""

    NOBODY = "nobody"
    """No layer is on, or the calendar has no shift."""
    NOT_IMPORTED = "not_imported"
    """The calendar was never read, or not that far."""
    NOT_ON_ROSTER = "not_on_roster"
    """Whoever has the shift is not on the roster, or no longer (R21)."""
    NO_CONTACT = "no_contact"
    """Whoever has the shift has no contact that this installation can use (R23)."""


class Gap(Struct, frozen=True, kw_only=True):
    """Instants `[starts_at, ends_at)` at which nobody would be paged."""

    starts_at: datetime
    ends_at: datetime
    reason: GapReason
    person: str | None
    """Who has the shift and can't be paged."""
    layer: str | None
    override: UUID | None


def reason_at(
    duty: Duty,
    found: Stretch,
    at: datetime,
    people: Mapping[str, Person],
    methods: frozenset[str],
    imported_until: datetime | None,
) -> GapReason | None:
    """Why a stretch of a rotation is a gap at an instant of it; None where somebody can be paged."""
    if found.person is None:
        is_fed = duty.rotation.feed is not None
        is_beyond = imported_until is None or at >= imported_until
        return GapReason.NOT_IMPORTED if is_fed and is_beyond else GapReason.NOBODY
    person = people.get(found.person)
    if person is None:
        return GapReason.NOT_ON_ROSTER
    return None if usable_contacts(person, methods) else GapReason.NO_CONTACT


def gaps(
    duty: Duty,
    start: datetime,
    end: datetime,
    people: Mapping[str, Person],
    methods: frozenset[str],
    *,
    imported_until: datetime | None = None,
) -> list[Gap]:
    """The gaps between two instants, cut to them, in order; those that follow each other for one reason are one.

    `people` are those on the roster, `methods` the paging channels of this installation, `imported_until` is as far as an
    imported calendar was read.
    """
    found: list[Gap] = []
    for gap in _each(duty, start, end, people, methods, imported_until):
        if found and gap == structs.replace(found[-1], starts_at=found[-1].ends_at, ends_at=gap.ends_at):
            found[-1] = structs.replace(found[-1], ends_at=gap.ends_at)
        else:
            found.append(gap)
    return found


def _each(
    duty: Duty,
    start: datetime,
    end: datetime,
    people: Mapping[str, Person],
    methods: frozenset[str],
    imported_until: datetime | None,
) -> Iterator[Gap]:
    for one in stretches(duty, start, end):
        since = max(one.starts_at, start)
        reason = reason_at(duty, one, since, people, methods, imported_until)
        if reason is not None:
            yield Gap(
                starts_at=since,
                ends_at=min(one.ends_at, end),
                reason=reason,
                person=one.person,
                layer=one.layer,
                override=one.override,
            )
