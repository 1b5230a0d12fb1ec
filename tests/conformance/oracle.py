"""Open time by looking at the wall clock of every single minute: slow, plain, and nothing of ours in it.

It reads the calendars of the policy form by itself and shares no code with `shared.sla`, so that vectors which agree
with it and with us don't merely repeat us. Vectors with seconds in them are walked by seconds.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAY = 1440
FARTHEST = timedelta(days=150)
_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS = {"h": 3600, "m": 60, "s": 1}


class Wall:
    """Which minutes of which local dates a calendar is open."""

    def __init__(self, line: Mapping[str, Any]) -> None:
        self.zone = ZoneInfo(line.get("timezone", "UTC"))
        self.is_always = line.get("hours") == "always"
        self._weekly: dict[int, list[tuple[int, int]]] = {}
        if not self.is_always:
            for days, texts in line.get("hours", {}).items():
                for day in _weekdays(days):
                    self._weekly[day] = list(_spans(texts))
        self._closed = _texts(line.get("closed", []))
        self._opened = _texts(line.get("open", []))
        self._dates: dict[date, frozenset[int]] = {}

    def is_open(self, at: datetime) -> bool:
        """Whether the wall shows open time."""
        if self.is_always:
            return True
        wall = at.astimezone(self.zone)
        day = wall.date()
        if day not in self._dates:
            self._dates[day] = frozenset(self._minutes(day))
        return wall.hour * 60 + wall.minute in self._dates[day]

    def minutes_of(self, day: date) -> Iterator[datetime]:
        """The minutes whose wall shows that date."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for minute in (midnight + timedelta(minutes=number) for number in range(-DAY, 2 * DAY)):
            if minute.astimezone(self.zone).date() == day:
                yield minute

    def _minutes(self, day: date) -> Iterator[int]:
        yesterday = day - timedelta(days=1)
        usual = set(_on(self._weekly.get(day.weekday(), [])))
        usual |= set(_after_midnight(self._weekly.get(yesterday.weekday(), [])))
        closed = set(self._exceptional(self._closed, day, None))
        opened = set(self._exceptional(self._opened, day, self._weekly.get(day.weekday(), [])))
        yield from (usual - closed) | opened

    @staticmethod
    def _exceptional(entries: list[str], day: date, usual: list[tuple[int, int]] | None) -> Iterator[int]:
        for entry in entries:
            days, _, hours = entry.partition(" ")
            spans = list(_spans(hours)) if hours else [(0, DAY)] if usual is None else usual
            if _holds(days, day):
                yield from _on(spans)
            if _holds(days, day - timedelta(days=1)):
                yield from _after_midnight(spans)


class Calendars:
    """The calendars of a policy, and the questions of the vectors."""

    def __init__(self, lines: Mapping[str, Mapping[str, Any]]) -> None:
        self._lines = {"always": {"hours": "always"}, **lines}
        self._walls = {name: Wall(line) for name, line in self._lines.items()}

    def is_open(self, name: str, at: datetime) -> bool:
        """Whether that calendar is open, be it hours of its own or made of others."""
        line = self._lines[name]
        if "union" in line:
            return any(self.is_open(part, at) for part in line["union"])
        if "intersection" in line:
            return all(self.is_open(part, at) for part in line["intersection"])
        if "from" in line:
            without = [self.is_open(part, at) for part in _texts(line["without"])]
            return self.is_open(line["from"], at) and not any(without)
        return self._walls[name].is_open(at)

    def due(self, name: str, start: datetime, duration: str) -> datetime | None:
        """The earliest instant by which so much has been open; None where it doesn't come in time."""
        if duration.endswith("bd"):
            return self._business_days(name, start, int(duration.removesuffix("bd")))
        left, step = seconds(duration), timedelta(seconds=_step(start, seconds(duration)))
        at = start
        while at - start < FARTHEST:
            if self.is_open(name, at):
                if not left:
                    return at
                left -= step.seconds
                if not left:
                    return at + step
            at += step
        return None

    def start(self, name: str, end: datetime, duration: str) -> datetime:
        """The mirror of `due`."""
        left, step = seconds(duration), _step(end, seconds(duration))
        at = end
        while left and end - at < FARTHEST:
            at -= timedelta(seconds=step)
            left -= step if self.is_open(name, at) else 0
        return at

    def open_seconds(self, name: str, start: datetime, end: datetime) -> int:
        """How much is open between the two; nothing where the end comes first."""
        step = min(_step(start, 0), _step(end, 0))
        count = max(0, int((end - start).total_seconds()) // step)
        return step * sum(self.is_open(name, start + timedelta(seconds=step * number)) for number in range(count))

    def _business_days(self, name: str, start: datetime, count: int) -> datetime:
        wall = self._walls[name]
        at = start
        while not self.is_open(name, at):
            at += timedelta(minutes=1)
        local = at.astimezone(wall.zone)
        day = local.date()
        while count:
            day += timedelta(days=1)
            count -= any(wall.is_open(minute) for minute in wall.minutes_of(day))
        same_time = next(
            minute for minute in wall.minutes_of(day) if minute.astimezone(wall.zone).time() >= local.time()
        )
        closes = max(minute for minute in wall.minutes_of(day) if wall.is_open(minute)) + timedelta(minutes=1)
        return min(same_time, closes)


def seconds(duration: str) -> int:
    """`1h30m` in seconds."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([hms])", duration))


def _step(at: datetime, length: int) -> int:
    return 1 if at.second or length % 60 else 60


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _weekdays(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        day, end = _NAMES.index(first), _NAMES.index(last or first)
        yield day
        while day != end:
            day = (day + 1) % 7
            yield day


def _spans(texts: Any) -> Iterator[tuple[int, int]]:
    for text in _texts(texts):
        for opens, opens_at, closes, closes_at in re.findall(r"(\d+):(\d\d)-(\d+):(\d\d)", text):
            begin, end = int(opens) * 60 + int(opens_at), int(closes) * 60 + int(closes_at)
            yield begin, end if end > begin else end + DAY


def _on(spans: list[tuple[int, int]]) -> Iterator[int]:
    for begin, end in spans:
        yield from range(begin, min(end, DAY))


def _after_midnight(spans: list[tuple[int, int]]) -> Iterator[int]:
    for begin, end in spans:
        yield from range(max(begin, DAY) - DAY, max(end, DAY) - DAY)


def _holds(days: str, day: date) -> bool:
    first, _, last = days.partition("..")
    last = last or first
    if len(first) == len("12-24"):
        today = f"{day.month:02}-{day.day:02}"
        return first <= today <= last if first <= last else today >= first or today <= last
    return first <= day.isoformat() <= last
