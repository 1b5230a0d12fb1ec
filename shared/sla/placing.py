"""Where the clocks of one wait stand after all events: due, paused, kept, broken or withdrawn.

Second half of the fold: all arithmetic on promises is here. A promise is open time used since its origin, less what was
paused; every instant asked for (due, warnings) is found by walking the pauses. Instants are microseconds.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from operator import itemgetter

from msgspec import Struct

from shared.contract.tickets import ClockState, TargetKind
from shared.sla.calendar import NEVER, Calendar, to_instant
from shared.sla.clock import Clock
from shared.sla.hours import CalendarSpec
from shared.sla.pausing import Pauses
from shared.sla.policy import ChangeMode, Line, Terms
from shared.sla.story import Lines, Story, Wait

_MICROSECOND = timedelta(microseconds=1)
_NOTHING = timedelta()
_ALWAYS = Calendar(CalendarSpec(name="always", always=True))


class Course(Struct, frozen=True, gc=False):
    """How a wait counts under the terms that hold at its end."""

    terms: Terms
    pauses: Pauses
    origin: int
    """Position in the calendar of the terms from which it counts."""
    promise: int
    """Open time promised; worked out where the terms say business days, NEVER where the calendar never opens."""
    due: int
    """NEVER where it is not reached: the calendar never opens, or a pause lasts."""
    late_from: int
    """The first instant that counts and is late: `due`, or later where a change or a resume found it late already."""
    counts_from: int
    """The instant of `origin`: before the clock's start where an older promise is resumed, after it where a change restarts it."""
    is_by_hand: bool = False
    """The due time was set by hand: pauses don't move it."""


class Placed(Struct, frozen=True, gc=False):
    """A clock, and how it came to stand there."""

    clock: Clock
    course: Course
    wait: Wait


def all_clocks(story: Story, now: datetime) -> list[Placed]:
    """Every clock of the ticket, wait by wait in the order of their start."""
    placed: list[Placed] = []
    cycles: dict[TargetKind, int] = {}
    for wait in story.waits:
        cycle = cycles.get(wait.kind, 1)
        found = clocks(wait, story, cycle, now)
        if found:
            cycles[wait.kind] = cycle + len(found)
            placed += found
    return placed


def clocks(wait: Wait, story: Story, cycle: int, now: datetime) -> list[Placed]:
    """The clocks of a wait, their cycles counted from `cycle` on.

    Mostly one; none where nothing was promised; more where the policy withdrew its promise and made it again.
    """
    lines = story.lines_of(wait.kind)
    if len(lines) == 1 and not wait.deadlines:
        return _under_one_line(wait, story, lines[0][1], cycle, now)
    placed: list[Placed] = []
    course: Course | None = None
    basis = _Basis(wait.origin, None)
    started, is_broken, ended = wait.started, False, wait.ended
    for spell in _spells(wait, lines):
        since, until, terms = spell.since, spell.until, spell.terms
        if terms is None:
            if course is not None:
                clock = _finished(course, cycle + len(placed), started, since, now, is_broken=is_broken)
                placed.append(Placed(clock, course, wait))
            course, is_broken = None, False
            continue
        if course is None:
            started, basis = since, _first_basis(wait, spell, terms, lines)
        elif is_broken:
            continue  # it stays as it was broken, whatever is promised later (rule 52)
        elif not terms.is_same_promise(course.terms):
            basis = _basis(wait, terms, since)
        course = _course(wait, terms, story, since, basis, spell.deadline)
        if until is not None:
            is_broken = _is_broken_by(course, until) and (until == ended or course.late_from < until)
    if course is None:
        return placed
    if ended is None:
        clock = _standing(course, cycle + len(placed), started)
    else:
        number = cycle + len(placed)
        clock = _finished(course, number, started, ended, now, is_broken=is_broken, is_kept=wait.is_kept)
    placed.append(Placed(clock, course, wait))
    return placed


def _under_one_line(wait: Wait, story: Story, line: Line | None, cycle: int, now: datetime) -> list[Placed]:
    """`clocks` where nothing changed meanwhile, as for most tickets."""
    terms = None if line is None else line.terms.get(wait.kind)
    if terms is None:
        return []
    course = _course(wait, terms, story, wait.started, _Basis(wait.origin, None), None)
    ended = wait.ended
    if ended is None:
        return [Placed(_standing(course, cycle, wait.started), course, wait)]
    is_broken = _is_broken_by(course, ended)
    clock = _finished(course, cycle, wait.started, ended, now, is_broken=is_broken, is_kept=wait.is_kept)
    return [Placed(clock, course, wait)]


def _is_broken_by(course: Course, at: int) -> bool:
    return course.late_from <= at and course.due < at


class _Spell(Struct, frozen=True, gc=False):
    """A stretch of a wait under the same terms and deadline."""

    since: int
    until: int | None
    terms: Terms | None
    deadline: int | None


class _Basis(Struct, frozen=True, gc=False):
    """From when the terms count (rule 51)."""

    origin: int
    grace_since: int | None
    """The change after which the grace of the terms is left at least."""


def _first_basis(wait: Wait, spell: _Spell, terms: Terms, lines: Lines) -> _Basis:
    """Of a clock that begins: with its wait, by a change of terms, or by a hand where nothing was promised before."""
    if spell.since > wait.started:
        return _Basis(spell.since, None) if spell.deadline is not None else _basis(wait, terms, spell.since)
    if wait.resumes is None or spell.deadline is not None:
        return _Basis(wait.origin, None)
    before, basis = _ending(wait.resumes, lines)
    if before is not None and terms.is_same_promise(before):
        return basis
    return _basis(wait, terms, wait.started)


def _ending(wait: Wait, lines: Lines) -> tuple[Terms | None, _Basis]:
    """The terms at the end of a wait that is resumed, and from when they counted."""
    chain: list[Wait] = []
    part: Wait | None = wait
    while part is not None and part.ending is None:
        chain.append(part)
        part = part.resumes
    terms, basis = (None, _Basis(wait.origin, None)) if part is None or part.ending is None else part.ending
    for part in reversed(chain):
        for since, _, line in _lines_over(part, lines):
            held = None if line is None else line.terms.get(part.kind)
            is_first = terms is None and since == part.started and part.resumes is None
            if held is not None and not is_first and (terms is None or not held.is_same_promise(terms)):
                basis = _basis(part, held, since)
            terms = held
        part.ending = (terms, basis)
    return terms, basis


def _basis(wait: Wait, terms: Terms, since: int) -> _Basis:
    if terms.on_change.mode is ChangeMode.RESTART:
        return _Basis(since, None)
    return _Basis(wait.origin, since if terms.on_change.grace else None)


def _spells(wait: Wait, lines: Lines) -> Iterator[_Spell]:
    kind = wait.kind
    if not wait.deadlines:
        for since, until, held in _lines_over(wait, lines):
            yield _Spell(since, until, None if held is None else held.terms.get(kind), None)
        return
    deadline: int | None = None
    terms: Terms | None = None
    line: Line | None = None
    spoken = {since: told for since, _, told in _lines_over(wait, lines)}
    first, ended = max(bisect_right(wait.deadlines, wait.started, key=_since) - 1, 0), wait.ended
    said = {
        max(at, wait.started): due
        for at, due in wait.deadlines[first:]
        if ended is None or at < ended or at <= wait.started
    }
    changes = sorted(spoken.keys() | said.keys())
    for i, since in enumerate(changes):
        line = spoken.get(since, line)
        deadline = said.get(since, deadline)
        promised = None if line is None else line.terms.get(kind)
        if deadline is None:
            terms = promised
        elif terms is None:
            terms = promised or _by_hand(kind)
        yield _Spell(since, changes[i + 1] if i + 1 < len(changes) else ended, terms, deadline)


_since = itemgetter(0)


def _by_hand(kind: TargetKind) -> Terms:
    """Terms of a deadline that somebody set where the policy promises nothing."""
    return Terms(
        line="set by hand",
        version=0,
        kind=kind,
        calendar_name=_ALWAYS.spec.name,
        calendar=_ALWAYS,
        promise=0,
        business_days=0,
        warn=(),
        warn_after=(),
        pauses_while=frozenset(),
        escalate=None,
    )


def _lines_over(wait: Wait, lines: Lines) -> Iterator[tuple[int, int | None, Line | None]]:
    """The lines that held while the wait lasted: since, until (None: still), line. One that came as it ended didn't."""
    if len(lines) == 1:
        yield wait.started, wait.ended, lines[0][1]
        return
    held = max(bisect_right(lines, wait.started, key=_since) - 1, 0)
    for i in range(held, len(lines)):
        at, line = lines[i]
        since = max(at, wait.started)
        until = lines[i + 1][0] if i + 1 < len(lines) else None
        if until is not None and until <= since:
            continue
        if wait.ended is not None:
            if since >= wait.ended and since > wait.started:
                return
            until = wait.ended if until is None else min(until, wait.ended)
        yield since, until, line


def _course(wait: Wait, terms: Terms, story: Story, since: int, basis: _Basis, deadline: int | None) -> Course:
    """The wait under terms that hold from `since` on."""
    calendar = terms.calendar
    pauses = story.pauses(terms.pauses_while, basis.origin, wait.ended)
    origin = calendar.position(basis.origin)
    if deadline is not None:
        promise = max(calendar.position(deadline) - origin, 0)
        late_from = max(deadline, since)
        return Course(terms, pauses, origin, promise, deadline, late_from, basis.origin, is_by_hand=True)
    if terms.business_days:
        due = calendar.business_days_after(basis.origin, terms.business_days)
        promise = calendar.position(due) - origin if due < NEVER else NEVER
    else:
        promise = terms.promise
        due = calendar.instant(origin + promise)
    if pauses and due < NEVER:
        due = pauses.reached(calendar, origin + promise, due)
    if basis.grace_since is not None and due < NEVER:
        due = max(due, _grace_ends(terms, pauses, basis.grace_since))
    late_from = due
    if late_from < since:
        late_from = pauses.end_of(since)
    return Course(terms, pauses, origin, promise, due, late_from, basis.origin)


def _grace_ends(terms: Terms, pauses: Pauses, since: int) -> int:
    """When so much open time has been left after a change as its grace says."""
    calendar = terms.calendar
    position = calendar.position(since) + terms.on_change.grace // _MICROSECOND
    return pauses.after(since).reached(calendar, position, calendar.instant(position))


def open_used(course: Course, end: int) -> timedelta:
    """Open time that counted, up to `end`."""
    calendar = course.terms.calendar
    counted = calendar.position(end) - course.origin - course.pauses.open_time(calendar, end)
    return _MICROSECOND * counted


def _standing(course: Course, cycle: int, started: int) -> Clock:
    """A clock that no event has ended: running (maybe late already; time will tell), or paused."""
    terms, pauses, due = course.terms, course.pauses, course.due
    is_paused = due >= NEVER or course.late_from >= NEVER
    warned, used = 0, _NOTHING
    warn_at = _warnings(course)
    if pauses:
        last_pause = pauses[-1].since
        warned = sum(at <= last_pause for at in warn_at)
        used = open_used(course, last_pause) if is_paused else _NOTHING
    return Clock(
        target=terms.kind,
        cycle=cycle,
        matched=terms.line,
        policy_version=terms.version,
        calendar=terms.calendar_name,
        state=ClockState.PAUSED if is_paused else ClockState.RUNNING,
        started_at=to_instant(started),
        due_at=None if is_paused else to_instant(due),
        late_from=None if is_paused or course.late_from == due else to_instant(course.late_from),
        warn_at=() if is_paused else tuple([to_instant(at) for at in warn_at]),
        warned=warned,
        open_used=used,
        escalate=terms.escalate,
    )


def _warnings(course: Course) -> Sequence[int]:
    terms, promise = course.terms, course.promise
    if promise >= NEVER or not (after := terms.warnings_within(promise)):
        return ()
    origin, pauses, calendar = course.origin, course.pauses, terms.calendar
    instant = calendar.instant
    if not pauses or course.is_by_hand:
        return [instant(origin + used) for used in after]
    return [pauses.reached(calendar, origin + used, instant(origin + used)) for used in after]


def _finished(
    course: Course,
    cycle: int,
    started: int,
    ended: int,
    now: datetime,
    *,
    is_broken: bool,
    is_kept: bool = False,
) -> Clock:
    """A clock that an event ended, by keeping the promise (in time or late) or by making it moot."""
    terms = course.terms
    ended_at = to_instant(ended)
    state = (ClockState.BREACHED if is_broken else ClockState.MET) if is_kept else ClockState.CANCELLED
    return Clock(
        target=terms.kind,
        cycle=cycle,
        matched=terms.line,
        policy_version=terms.version,
        calendar=terms.calendar_name,
        state=state,
        started_at=to_instant(started),
        due_at=None if course.due >= NEVER else to_instant(course.due),
        breached_at=to_instant(course.late_from) if is_broken else None,
        detected_at=now if is_broken else None,
        met_at=ended_at if is_kept else None,
        ended_at=ended_at,
        open_used=open_used(course, ended),
        escalate=terms.escalate,
    )
