"""When a calendar is open, as people say it: weekly hours, holidays, closures and extra openings of one time zone.

Only the declaration; `shared.sla.calendar` compiles it. Open at an instant is: its local wall clock lies in the weekly
hours, on no holiday and in no closure; or it lies in an extra opening, which beats both (sla-rules 1).
"""

from datetime import date
from enum import StrEnum
from typing import TypeAlias, Union
from zoneinfo import ZoneInfo

from msgspec import Struct, structs

DAY = 86_400
"""Seconds of a day on the wall."""


class Hours(Struct, frozen=True):
    """A half-open span of the wall clock, in seconds since the local midnight of the day it belongs to.

    09:00-17:00 is `Hours(32_400, 61_200)`, all day `Hours(0, DAY)`; one over midnight closes after `DAY`:
    22:00-06:00 is `Hours(79_200, 108_000)`. `0 <= opens < closes <= 2 * DAY`.
    """

    opens: int
    closes: int


ALL_DAY = Hours(0, DAY)


class Dates(Struct, frozen=True):
    """Dates from `first` to `last`, both included."""

    first: date
    last: date


class Yearly(Struct, frozen=True):
    """Days of every year from `first` to `last`, (month, day) both included; wraps the year where `last` comes before `first`.

    29 February is simply absent from other years (rule 12).
    """

    first: tuple[int, int]
    last: tuple[int, int]


Days: TypeAlias = Dates | Yearly


class Exceptional(Struct, frozen=True, kw_only=True):
    """Days on which it is otherwise."""

    days: Days
    hours: tuple[Hours, ...] = ()
    """None given: a closure lasts all day, an extra opening has the usual hours of its weekday in spite of a holiday."""


class CalendarSpec(Struct, frozen=True, kw_only=True):
    """One calendar of the policy file."""

    name: str
    zone: ZoneInfo = ZoneInfo("UTC")
    always: bool = False
    """Elapsed time: every instant is open, nothing below matters but `zone` (for business days)."""
    weekly: tuple[tuple[Hours, ...], ...] = ((),) * 7
    """The hours of Monday to Sunday; overlapping ones count once (rule 4)."""
    holidays: frozenset[date] = frozenset()
    """Local dates closed from midnight to midnight, whichever day's shift runs into them (rule 6)."""
    closed: tuple[Exceptional, ...] = ()
    opened: tuple[Exceptional, ...] = ()
    """Extra openings, on top of the usual hours (rule 11)."""


class Combination(StrEnum):
    """How a calendar is made of others (rule 30)."""

    UNION = "union"
    """Open where any of them is."""
    INTERSECTION = "intersection"
    """Open where all of them are."""
    DIFFERENCE = "difference"
    """Open where the first is and none of the others."""


class CombinedSpec(Struct, frozen=True, kw_only=True):
    """A calendar made of others; instants are combined, so each part keeps its own zone and holidays."""

    name: str
    zone: ZoneInfo
    """Whose local days are its business days."""
    how: Combination
    parts: tuple[Union[CalendarSpec, "CombinedSpec"], ...]

    @property
    def always(self) -> bool:
        """Never known without compiling."""
        return False


Spec: TypeAlias = CalendarSpec | CombinedSpec


def unnamed(spec: Spec) -> Spec:
    """What it says, less the names: two that are equal then open at the same instants."""
    if isinstance(spec, CombinedSpec):
        return structs.replace(spec, name="", parts=tuple(unnamed(part) for part in spec.parts))
    return structs.replace(spec, name="")
