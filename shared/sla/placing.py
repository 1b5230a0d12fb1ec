"""Where the clocks of one wait stand after all events: due, paused, kept, broken or withdrawn.

Second half of the fold: all arithmetic on promises is here. A promise is open time used since its origin, less what was
paused; every instant asked for (due, warnings) is found by walking the pauses. Instants are microseconds.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.contract.tickets import ClockState, Status
from shared.sla.calendar import NEVER, to_instant
from shared.sla.clock import Clock
from shared.sla.policy import Line, Terms
from shared.sla.story import Story, Wait

_MICROSECOND = timedelta(microseconds=1)
_NOTHING = timedelta()


class _Pause(NamedTuple):
    """A stretch that does not count."""

    since: int
    until: int | None
    """None while it lasts."""


class _Judged(NamedTuple):
    """A wait under the terms of one line."""

    terms: Terms
    pauses: Sequence[_Pause]
    origin: int
    """Position of the wait's origin in the calendar of the terms."""
    promise: int
    """Open time promised; worked out where the terms say business days, NEVER where the calendar never opens."""
    due: int
    """NEVER where it is not reached: the calendar never opens, or a pause lasts."""
    late_from: int
    """The first instant that counts and is late: `due`, or later where a change or a resume found it late already."""


def clocks(wait: Wait, story: Story, version: int, cycle: int, now: datetime) -> list[Clock]:
    """The clocks of a wait, their cycles counted from `cycle` on.

    Mostly one; none where nothing was promised; more where the policy withdrew its promise and made it again.
    """
    placed: list[Clock] = []
    judged: _Judged | None = None
    started, is_broken, ended = wait.started, False, wait.ended
    for since, until, line in _lines_over(wait, story.lines):
        terms = None if line is None else line.terms.get(wait.kind)
        if terms is None:
            if judged is not None:
                placed.append(_finished(judged, version, cycle + len(placed), started, since, now, is_broken=is_broken))
            judged, is_broken = None, False
            continue
        if judged is None:
            started = since
        if is_broken:
            continue  # it stays as it was broken, whatever is promised later (rule 52)
        judged = _judged(wait, terms, story, since)
        if until is not None:
            is_broken = (
                judged.late_from <= until and judged.due < until and (until == ended or judged.late_from < until)
            )
    if judged is None:
        return placed
    if ended is None:
        placed.append(_standing(judged, version, cycle + len(placed), started))
    else:
        number = cycle + len(placed)
        placed.append(
            _finished(judged, version, number, started, ended, now, is_broken=is_broken, is_kept=wait.is_kept)
        )
    return placed


def _lines_over(wait: Wait, lines: Sequence[tuple[int, Line | None]]) -> Iterator[tuple[int, int | None, Line | None]]:
    """The lines that held while the wait lasted: since, until (None: still), line. One that came as it ended didn't."""
    if len(lines) == 1:
        yield wait.started, wait.ended, lines[0][1]
        return
    for i, (at, line) in enumerate(lines):
        since = max(at, wait.started)
        until = lines[i + 1][0] if i + 1 < len(lines) else None
        if until is not None and until <= since:
            continue
        if wait.ended is not None:
            if since >= wait.ended and since > wait.started:
                return
            until = wait.ended if until is None else min(until, wait.ended)
        yield since, until, line


def _judged(wait: Wait, terms: Terms, story: Story, since: int) -> _Judged:
    """The wait under terms that hold from `since` on, counted from its origin (`retroactive`)."""
    calendar = terms.calendar
    pauses = _pauses(wait, story.statuses, terms.pauses_while)
    origin = calendar.position(wait.origin)
    if terms.business_days:
        due = calendar.business_days_after(wait.origin, terms.business_days)
        promise = calendar.position(due) - origin if due < NEVER else NEVER
    else:
        promise = terms.promise
        due = calendar.instant(origin + promise)
    if pauses and due < NEVER:
        due = _reached(terms, pauses, origin + promise, due)
    late_from = due
    if late_from < since:
        late_from = since
        for pause in pauses:
            if pause.since <= late_from and (pause.until is None or late_from < pause.until):
                late_from = NEVER if pause.until is None else pause.until
    return _Judged(terms, pauses, origin, promise, due, late_from)


def _pauses(wait: Wait, statuses: Sequence[tuple[int, Status]], pausing: frozenset[Status]) -> Sequence[_Pause]:
    """The stretches of the wait in which its time does not count; one after the other is one (rule 35)."""
    if len(statuses) == 1 and statuses[0][1] not in pausing:
        return ()
    found: list[_Pause] = []
    paused_since: int | None = None
    for at, status in statuses:
        if wait.ended is not None and at >= wait.ended:
            break
        if status in pausing:
            if paused_since is None:
                paused_since = max(at, wait.origin)
        elif paused_since is not None:
            if at > paused_since:
                found.append(_Pause(paused_since, at))
            paused_since = None
    if paused_since is not None and (wait.ended is None or wait.ended > paused_since):
        found.append(_Pause(paused_since, wait.ended))
    return found


def _reached(terms: Terms, pauses: Sequence[_Pause], position: int, at: int) -> int:
    """When a position (`at`, were nothing paused) is reached under the pauses; NEVER while the last of them lasts."""
    calendar = terms.calendar
    paused = 0
    for pause in pauses:
        if at < pause.since:
            break
        if pause.until is None:
            return NEVER
        paused += calendar.position(pause.until) - calendar.position(pause.since)
        at = max(calendar.instant(position + paused) if paused else at, pause.until)
    return at


def _used(judged: _Judged, end: int) -> timedelta:
    """Open time that counted, up to `end`."""
    calendar = judged.terms.calendar
    used = calendar.position(end) - judged.origin
    for pause in judged.pauses:
        if pause.since < end:
            until = end if pause.until is None else min(pause.until, end)
            used -= calendar.position(until) - calendar.position(pause.since)
    return _MICROSECOND * used


def _standing(judged: _Judged, version: int, cycle: int, started: int) -> Clock:
    """A clock that no event has ended: running (maybe late already; time will tell), or paused."""
    terms, pauses = judged.terms, judged.pauses
    is_paused = judged.due >= NEVER or judged.late_from >= NEVER
    last_pause = pauses[-1].since if pauses else None
    warn_at = _warnings(judged)
    warned = 0 if last_pause is None else sum(at <= last_pause for at in warn_at)
    return Clock(
        target=terms.kind,
        cycle=cycle,
        matched=terms.line,
        policy_version=version,
        calendar=terms.calendar_name,
        state=ClockState.PAUSED if is_paused else ClockState.RUNNING,
        started_at=to_instant(started),
        due_at=None if is_paused else to_instant(judged.due),
        late_from=None if is_paused or judged.late_from == judged.due else to_instant(judged.late_from),
        warn_at=() if is_paused else tuple([to_instant(at) for at in warn_at]),
        warned=warned,
        open_used=_used(judged, last_pause) if is_paused and last_pause is not None else _NOTHING,
        escalate=terms.escalate,
    )


def _warnings(judged: _Judged) -> list[int]:
    terms, pauses = judged.terms, judged.pauses
    after = terms.warnings_within(judged.promise)
    instant = terms.calendar.instant
    if judged.promise >= NEVER or not after:
        return []
    if not pauses:
        return [instant(judged.origin + used) for used in after]
    return [_reached(terms, pauses, judged.origin + used, instant(judged.origin + used)) for used in after]


def _finished(
    judged: _Judged,
    version: int,
    cycle: int,
    started: int,
    ended: int,
    now: datetime,
    *,
    is_broken: bool,
    is_kept: bool = False,
) -> Clock:
    """A clock that an event ended, by keeping the promise (in time or late) or by making it moot."""
    terms = judged.terms
    ended_at = to_instant(ended)
    state = (ClockState.BREACHED if is_broken else ClockState.MET) if is_kept else ClockState.CANCELLED
    return Clock(
        target=terms.kind,
        cycle=cycle,
        matched=terms.line,
        policy_version=version,
        calendar=terms.calendar_name,
        state=state,
        started_at=to_instant(started),
        due_at=None if judged.due >= NEVER else to_instant(judged.due),
        breached_at=to_instant(judged.late_from) if is_broken else None,
        detected_at=now if is_broken else None,
        met_at=ended_at if is_kept else None,
        ended_at=ended_at,
        open_used=_used(judged, ended),
        escalate=terms.escalate,
    )
