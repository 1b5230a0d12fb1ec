"""The whole walk of R20: every shift of every zone from 2000 to 2040, hand-off by hand-off; `make fuzz` runs it."""

import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import available_timezones

from services.escalation.domain.rotation import Duty, stretch_at
from shared import timesource
from shared.policy.document import Cadence
from tests.turns import daily, layer, rotation

FIRST = date(2000, 1, 1)
LAST = date(2040, 12, 31)
HANDOFFS = (time(0), time(2, 30), time(9))
_DAYS = {Cadence.DAILY: timedelta(days=1), Cadence.WEEKLY: timedelta(days=7)}


class Tally:
    """What a walk saw."""

    def __init__(self) -> None:
        self.shifts = 0
        self.lengths: Counter[timedelta] = Counter()
        """How long daily shifts lasted."""
        self.odd: Counter[tuple[str, timedelta]] = Counter()
        """Those of neither 23 nor 24 nor 25 hours, by zone."""
        self.moved = 0
        """Hand-offs whose local time does not exist."""
        self.faults: list[str] = []

    def add(self, other: "Tally") -> None:
        """Count what another walk saw, too."""
        self.shifts += other.shifts
        self.moved += other.moved
        self.lengths += other.lengths
        self.odd += other.odd
        self.faults += other.faults


def walk(duty: Duty, start: datetime, end: datetime, tally: Tally) -> None:
    """Step from hand-off to hand-off; a gap, an overlap, a wrong length or a wrong local time is a fault."""
    [turns], zone = duty.rotation.layers, duty.rotation.zone
    at = stretch_at(duty, start).starts_at
    while at < end:
        shift = stretch_at(duty, at)
        tally.shifts += 1
        said = f"{zone.key} {turns.cadence} {turns.handoff_time:%H:%M} at {at}"
        if shift.person is None or shift.starts_at != at or shift.ends_at <= at:
            tally.faults.append(f"{said}: {shift}")
            return
        local, until = at.astimezone(zone), shift.ends_at.astimezone(zone)
        if local.time() == turns.handoff_time:
            if local.fold:
                tally.faults.append(f"{said}: the second of two")
        else:
            tally.moved += 1
            wall = datetime.combine(local.date(), turns.handoff_time)
            skipped = wall.replace(tzinfo=zone, fold=0).utcoffset() != wall.replace(tzinfo=zone, fold=1).utcoffset()
            if not skipped or local.replace(tzinfo=None) <= wall:
                tally.faults.append(f"{said}: {local.time()}")
        lasted = shift.ends_at - at
        walls = until.replace(tzinfo=None) - local.replace(tzinfo=None)
        gained = (until.utcoffset() or timedelta()) - (local.utcoffset() or timedelta())
        if lasted != walls - gained:
            tally.faults.append(f"{said}: lasts {lasted}")
        if turns.cadence is Cadence.DAILY:
            tally.lengths[lasted] += 1
            if lasted not in {timedelta(hours=hours) for hours in (23, 24, 25)}:
                tally.odd[zone.key, lasted] += 1
        at = shift.ends_at


def walk_zone(name: str) -> Tally:
    """Every daily and weekly shift of one zone, for each of the hand-off times."""
    tally = Tally()
    start, end = (datetime.combine(day, time(), UTC) for day in (FIRST, LAST))
    for handoff in HANDOFFS:
        for turns in (daily("a", "b", "c", at=handoff), layer("a", "b", "c", at=handoff)):
            walk(Duty(rotation=rotation(turns, zone=name)), start, end, tally)
    return tally


def main(zones: Iterable[str]) -> int:
    """Walk them all and print what was seen; 1 where there are faults."""
    began = timesource.monotonic()
    whole, names = Tally(), sorted(zones)
    with ProcessPoolExecutor(2) as workers:
        for tally in workers.map(walk_zone, names, chunksize=4):
            whole.add(tally)
    took = timesource.monotonic() - began
    print(f"{len(names)} zones, {FIRST} to {LAST}, {whole.shifts:,} shifts in {took:.0f} s")  # noqa: T201
    for lasted, count in sorted(whole.lengths.items()):
        print(f"  daily shifts of {lasted.total_seconds() / 3600:g} h: {count:,}")  # noqa: T201
    for (zone, lasted), count in sorted(whole.odd.items()):
        print(f"    {lasted.total_seconds() / 3600:g} h in {zone}: {count}")  # noqa: T201
    print(f"  hand-offs at times that do not exist: {whole.moved:,}")  # noqa: T201
    for fault in whole.faults[:50]:
        print(f"  FAULT {fault}")  # noqa: T201
    print(f"{len(whole.faults)} faults")  # noqa: T201
    return 1 if whole.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or available_timezones()))
