"""What happened to the clocks of a ticket, event by event: the fold over each prefix of its log, compared with the one before.

Nothing is computed here: prefixes are told by `story.steps`, placed by `placing.clocks`, joined by `reconcile`, and time
acts by `clock.advance`, as in the running system. The work is bounded, however long the log.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import NamedTuple, TypeAlias

from shared.contract.events import TicketEvent
from shared.contract.tickets import TargetKind
from shared.sla import clock, placing, story
from shared.sla.calendar import to_instant
from shared.sla.clock import Change, Clock
from shared.sla.explaining import causes
from shared.sla.explaining.explained import Cause, Holding, Turn, Turning
from shared.sla.explaining.holders import Holders
from shared.sla.fields import Fields
from shared.sla.policy import Judge
from shared.sla.reconciling import reconcile
from shared.sla.story import Story, Wait

WORK = 300_000
"""About so many microseconds are spent on looking at clocks again after each event that moved something."""
_EACH_LOOK = 20
_EACH_PART = 3
_RECENT_SHARE = 0.75
"""Of the work, for the latest events; the rest is for the first ones."""
_MICROSECOND = timedelta(microseconds=1)

Key: TypeAlias = tuple[TargetKind, int]


class Judged(NamedTuple):
    """The ticket was held against the policy."""

    at: int
    fields: Fields
    judge: Judge
    lines: int
    """How many lines had held by then, this one included."""
    internal_lines: int


class Moved(NamedTuple):
    """An event that may have moved clocks."""

    step: int
    waits: frozenset[int]
    """Numbers of those it may concern."""
    cost: int


class Survey(NamedTuple):
    """A whole log, told once."""

    story: Story
    waits: list[Wait]
    """Numbered as they came; among them some that the story dropped again."""
    judged: list[Judged]
    moved: list[Moved]
    holdings: list[Holding]


def survey(log: Sequence[TicketEvent], judge: Judge, later: Mapping[int, Judge]) -> Survey | None:
    """Tell the log once; None where the ticket has not been opened."""
    told: Story | None = None
    judged: list[Judged] = []
    moved: list[Moved] = []
    holders = Holders()
    open_waits: frozenset[int] = frozenset()
    roll = _Roll()
    shape: tuple[object, ...] = ()
    for number, (told, _, at) in enumerate(story.steps(log, judge, later)):
        holders.see(told, at)
        if not judged or judged[-1].fields is not told.fields:
            judged.append(Judged(at, told.fields, told.judge, len(told.lines), len(told.internal_lines)))
        concerned = open_waits | frozenset(roll.add(told))
        open_waits = frozenset(wait for wait in concerned if roll.waits[wait].ended is None)
        deadlines = frozenset((wait, len(roll.waits[wait].deadlines)) for wait in open_waits)
        now = (len(told.statuses), len(told.lines), len(told.internal_lines), len(roll.waits), deadlines)
        if now != shape:
            shape = now
            lines = len(told.lines) + len(told.internal_lines)
            statuses = len(told.statuses)
            moved.append(Moved(number, concerned, _EACH_LOOK + _EACH_PART * (statuses + lines) + statuses * lines // 2))
    return None if told is None else Survey(told, roll.waits, judged, moved, holders.done())


def turnings(
    log: Sequence[TicketEvent],
    judge: Judge,
    later: Mapping[int, Judge],
    surveyed: Survey,
    chosen: Mapping[int, int],
    now: datetime,
    arrivals: Mapping[str, datetime],
) -> dict[Key, list[Turning]]:
    """What happened to the clocks of the chosen waits (by number, with that of their first cycle)."""
    looked_at = _looked_at(surveyed.moved, chosen)
    moved = {item.step for item in surveyed.moved}
    tracks: list[_Track] = []
    before: causes.Seen | None = None
    roll = _Roll()
    skipped = 0
    for number, (told, event, at) in enumerate(story.steps(log, judge, later)):
        tracks += [_Track(roll.waits[wait], chosen[wait], skipped) for wait in roll.add(told) if wait in chosen]
        after = causes.seen(told)
        if number in looked_at:
            cause = causes.cause(event, before, after, arrivals)
            for track in tracks:
                track.look(told, at, cause, skipped)
        elif number in moved:
            skipped += 1
        before = after
    for track in tracks:
        track.look(surveyed.story, None, None, skipped)
        track.pass_time(now)
    found: dict[Key, list[Turning]] = {}
    for track in tracks:
        for key, turning in track.turns:
            found.setdefault(key, []).append(turning)
    return found


def _looked_at(moved: Sequence[Moved], chosen: Mapping[int, int]) -> set[int]:
    """The events at which clocks are looked at: all, or the first and the latest ones where that would be too much work."""
    costs = [(item.step, item.cost * len(item.waits & chosen.keys())) for item in moved]
    if sum(cost for _, cost in costs) <= WORK:
        return {step for step, _ in costs}
    looked_at: set[int] = set()
    for order, share in ((reversed(costs), _RECENT_SHARE), (iter(costs), 1 - _RECENT_SHARE)):
        left = WORK * share
        for step, cost in order:
            left -= cost
            if left < 0:
                break
            looked_at.add(step)
    return looked_at


class _Roll:
    """Numbers the waits of a story as they come: the story may drop one again."""

    def __init__(self) -> None:
        self.waits: list[Wait] = []
        self._known: set[int] = set()

    def add(self, told: Story) -> list[int]:
        """The numbers of those that are new; they stand at the end of the story's."""
        new = list(takewhile(lambda wait: id(wait) not in self._known, reversed(told.waits)))
        first = len(self.waits)
        self.waits += reversed(new)
        self._known.update(map(id, new))
        return list(range(first, len(self.waits)))


class _Track:
    """One wait, looked at again and again."""

    def __init__(self, wait: Wait, cycle: int, skipped: int) -> None:
        self.turns: list[tuple[Key, Turning]] = []
        self._wait = wait
        self._cycle = cycle
        self._skipped = skipped
        self._known: tuple[Clock, ...] = ()
        self._shape: tuple[object, ...] = ()
        self._now: datetime | None = None
        """Up to when time has acted."""

    def look(self, told: Story, at: int | None, cause: Cause | None, skipped: int) -> None:
        """Place its clocks after an event; `at` is None after the last one. `skipped` counts the events not looked at so far."""
        wait = self._wait
        shape = (len(told.statuses), len(told.lines_of(wait.kind)), wait.ended, len(wait.deadlines))
        if shape == self._shape or (at is None and skipped == self._skipped):
            return
        self._shape = shape
        instant = _last_instant(told) if at is None else to_instant(at)
        self.pass_time(instant)
        between, told_before = skipped - self._skipped, len(self.turns)
        placed = [item.clock for item in placing.clocks(wait, told, self._cycle, instant)]
        before = {_key(known): known for known in self._known}
        self._known, news = reconcile(self._known, placed, instant, keeps_finished=False)
        for change, is_ in news:
            was = before.get(_key(is_))
            self._add(Turn(change), is_, was, _at(change, is_, instant), cause, between)
        told_of = {_key(is_) for _, is_ in news}
        for is_ in self._known:
            was = before.get(_key(is_))
            if was is not None and _key(is_) not in told_of and _line(was) != _line(is_):
                self._add(Turn.LINE_CHANGED, is_, was, instant, cause, between)
        if len(self.turns) > told_before:
            self._skipped = skipped

    def pass_time(self, until: datetime) -> None:
        """Let time act on its clocks, one warning after the other."""
        self._known = tuple(self._pass(known, until) for known in self._known)
        self._now = until

    def _pass(self, known: Clock, until: datetime) -> Clock:
        while (fires_at := known.next_fire_at) is not None and (breaks_at := known.breaks_at) is not None:
            now = fires_at if self._now is None else max(fires_at, self._now)
            if now >= breaks_at:
                now = max(now, breaks_at + _MICROSECOND)
            if now > until:
                break
            known, changes = clock.advance(known, now)
            for change in changes:
                at = known.breached_at if change is Change.BREACHED and known.breached_at is not None else now
                self._add(Turn(change), known, known, at, None, 0)
        return known

    def _add(self, turn: Turn, is_: Clock, was: Clock | None, at: datetime, cause: Cause | None, between: int) -> None:
        turning = Turning(
            turn=turn,
            at=at,
            due_before=None if was is None or turn is Turn.STARTED else was.due_at,
            due_after=is_.due_at,
            late_from=is_.late_from,
            line=is_.matched,
            policy_version=is_.policy_version,
            cause=cause,
            events_between=between,
        )
        self.turns.append((_key(is_), turning))


def _at(change: Change, is_: Clock, otherwise: datetime) -> datetime:
    found = {
        Change.STARTED: is_.started_at,
        Change.MET: is_.met_at,
        Change.CANCELLED: is_.ended_at,
        Change.BREACHED: is_.breached_at,
    }.get(change)
    return found or otherwise


def _key(of: Clock) -> Key:
    return of.target, of.cycle


def _line(of: Clock) -> tuple[str, int]:
    return of.matched, of.policy_version


def _last_instant(told: Story) -> datetime:
    return to_instant(max(told.statuses[-1][0], told.lines[-1][0]))
