"""Why every clock of a ticket stands as it does: the line that promised it, what counted, what moved it, who had it.

Pure, and no arithmetic of its own: it tells the log by the functions of the fold, step by step, and cuts the clocks that
come out. Bounded in work and size whatever the log (the constants below, and `history.WORK`).
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from shared.contract.events import PolicyChanged, TicketEvent
from shared.contract.tickets import CUSTOMER_TARGETS, ClockState, Status, TargetKind
from shared.sla import clock, placing
from shared.sla.calendar import NEVER, to_instant, to_microseconds
from shared.sla.clock import Clock
from shared.sla.explaining import classifying, corrections, history, holders, outlook, reasons, stretches
from shared.sla.explaining.explained import (
    ClockStory,
    Explanation,
    Match,
    Turn,
    Turning,
    Warned,
)
from shared.sla.explaining.history import Judged, Key, Survey
from shared.sla.placing import Course, Placed
from shared.sla.policy import Judge
from shared.sla.story import last_status

MOST_CLOCKS = 50
MOST_INTERVALS = 500
"""Of one clock; all clocks share `_ALL_INTERVALS`."""
MOST_TURNS = 200
"""Of one clock; the first quarter and the last ones."""
MOST_HOLDINGS = 200
_ALL_INTERVALS = 2_000
_FEWEST_INTERVALS = 20
_MOST_VERSIONS = 3
_ALWAYS = "always"
_NONE_LATER: Mapping[int, Judge] = {}
_NO_ARRIVALS: Mapping[str, datetime] = {}
_MICROSECOND = timedelta(microseconds=1)


def explain(
    log: Sequence[TicketEvent],
    judge: Judge,
    now: datetime,
    later: Mapping[int, Judge] = _NONE_LATER,
    *,
    stored: Sequence[Clock] = (),
    arrivals: Mapping[str, datetime] = _NO_ARRIVALS,
) -> Explanation | None:
    """Explain a ticket by its log, in whatever order it is; None for an empty one.

    `judge` and `later` are what `timeline.place` takes. `stored` are the ticket's clocks as the database has them: they
    say when breaches were noticed and which version judged a finished cycle. `arrivals` says when events reached us.
    """
    if not log:
        return None
    surveyed = history.survey(log, judge, later)
    if surveyed is None:
        return _unopened(log, now)
    told = surveyed.story
    clocks = {(item.target, item.cycle): item for item in stored}
    stories, left_out = _stories(log, judge, later, surveyed, clocks, now, arrivals)
    stories = _kept_by_version(log, judge, later, stories, clocks, now, arrivals)
    taken_back, unchecked = corrections.retractions(log, judge, later, now, arrivals)
    stories = [_with_retractions(item, taken_back.get((item.target, item.cycle), ())) for item in stories]
    holdings = surveyed.holdings
    match = _current_match(surveyed, is_internal=False)
    zone = _zone(surveyed, stories)
    return Explanation(
        source=log[0].source,
        external_id=log[0].ticket,
        now=now,
        zone=zone,
        status=told.status,
        opened_at=told.opened_at,
        policy_version=told.judge.policy.version,
        outlook=outlook.outlook(told, stories, match, holdings[-1], now, zone),
        classified=classifying.classified(log, judge, later, told),
        match=match,
        internal_match=_current_match(surveyed, is_internal=True) if told.internal_lines else None,
        clocks=tuple(stories),
        clocks_left_out=left_out,
        holdings=tuple(holdings[-MOST_HOLDINGS:]),
        holdings_left_out=max(len(holdings) - MOST_HOLDINGS, 0),
        late_events_left_out=unchecked,
    )


def _unopened(log: Sequence[TicketEvent], now: datetime) -> Explanation:
    return Explanation(
        source=log[0].source,
        external_id=log[0].ticket,
        now=now,
        zone="UTC",
        status=last_status(log),
        opened_at=None,
        policy_version=None,
        outlook=outlook.unopened(),
        classified=None,
        match=None,
        internal_match=None,
        clocks=(),
        clocks_left_out=0,
        holdings=(),
        holdings_left_out=0,
        late_events_left_out=0,
    )


class _Chosen(NamedTuple):
    """A clock to explain."""

    wait: int
    """Its number."""
    first_cycle: int
    """Of the clocks of that wait."""
    placed: Placed


def _stories(
    log: Sequence[TicketEvent],
    judge: Judge,
    later: Mapping[int, Judge],
    surveyed: Survey,
    stored: Mapping[Key, Clock],
    now: datetime,
    arrivals: Mapping[str, datetime],
) -> tuple[list[ClockStory], int]:
    """The running clocks and the latest finished ones, in the order of their start; and how many are left out."""
    found = _placed(surveyed, now)
    ranked = sorted(found, key=lambda item: (item.placed.clock.is_finished, -item.wait))
    chosen = ranked[:MOST_CLOCKS]
    turns = history.turnings(
        log, judge, later, surveyed, {item.wait: item.first_cycle for item in chosen}, now, arrivals
    )
    matches = _Matches(surveyed)
    left = _ALL_INTERVALS
    stories = []
    for item in chosen:
        limit = max(min(MOST_INTERVALS, left), _FEWEST_INTERVALS)
        told = _story(item.placed, surveyed, matches, turns, stored, now, limit)
        left -= len(told.intervals)
        stories.append(told)
    order = {kind: place for place, kind in enumerate(TargetKind)}
    stories.sort(key=lambda told: (told.started_at, order[told.target], told.cycle))
    return stories, len(found) - len(chosen)


def _placed(surveyed: Survey, now: datetime) -> list[_Chosen]:
    places = {id(wait): place for place, wait in enumerate(surveyed.waits)}
    first: dict[int, int] = {}
    found = []
    for item in placing.all_clocks(surveyed.story, now):
        wait = places[id(item.wait)]
        found.append(_Chosen(wait, first.setdefault(wait, item.clock.cycle), item))
    return found


def _story(
    item: Placed,
    surveyed: Survey,
    matches: "_Matches",
    turns: Mapping[Key, list[Turning]],
    stored: Mapping[Key, Clock],
    now: datetime,
    most_intervals: int,
) -> ClockStory:
    course = item.course
    standing = clock.advance(item.clock, now)[0]
    key = (standing.target, standing.cycle)
    end_at = standing.ended_at or max(now, standing.started_at)
    end, started = to_microseconds(end_at), to_microseconds(standing.started_at)
    past = stretches.stretches(course, started, end, surveyed.story.statuses)
    open_used = placing.open_used(course, max(end, course.counts_from))
    due = to_microseconds(standing.due_at) if standing.due_at is not None and not standing.is_finished else None
    known = stored.get(key)
    told, left_out = _few(turns.get(key, []))
    terms = course.terms
    broke_with = holders.holder_at(surveyed.holdings, standing.breached_at) if standing.breached_at else None
    match, on_reopen = matches.of(item)
    return ClockStory(
        target=standing.target,
        cycle=standing.cycle,
        state=standing.state,
        promise=reasons.promise(terms, is_by_hand=course.is_by_hand),
        calendar=terms.calendar_name,
        zone=terms.calendar.spec.zone.key,
        policy_version=terms.version,
        match=match,
        pauses_while=tuple(status for status in Status if status in terms.pauses_while and not status.is_over),
        on_change=reasons.on_change(terms.on_change),
        on_reopen=on_reopen,
        escalate=terms.escalate,
        started_at=standing.started_at,
        counts_from=to_instant(course.counts_from),
        due_at=standing.due_at,
        late_from=standing.late_from,
        breached_at=standing.breached_at,
        detected_at=known.detected_at if known is not None and standing.breached_at is not None else None,
        met_at=standing.met_at,
        ended_at=standing.ended_at,
        open_seconds=open_used.total_seconds(),
        wall_seconds=(end_at - standing.started_at).total_seconds(),
        left_seconds=_left(course, standing, open_used, end),
        intervals=stretches.intervals(course, past, due, most_intervals),
        turns=told,
        turns_left_out=left_out,
        warn=tuple(reasons.warning(warn) for warn in terms.warn),
        warnings=_warnings(standing, turns.get(key, []), now),
        holders=holders.shares(course, past, surveyed.holdings),
        broke_with=holders.spoken(broke_with) if broke_with is not None else None,
    )


def _left(course: Course, standing: Clock, open_used: timedelta, end: int) -> float | None:
    """Open time from now to the due time, or what would be left after the pause; negative since it is late."""
    if standing.is_finished:
        return None
    if standing.due_at is None:
        return (_MICROSECOND * course.promise - open_used).total_seconds() if course.promise < NEVER else None
    due = to_microseconds(standing.due_at)
    if due < end:
        return (placing.open_used(course, max(due, course.counts_from)) - open_used).total_seconds()
    calendar = course.terms.calendar
    return (_MICROSECOND * (calendar.position(due) - calendar.position(end))).total_seconds()


def _warnings(standing: Clock, turns: Sequence[Turning], now: datetime) -> tuple[Warned, ...]:
    fired = [Warned(at=turn.at, is_ahead=False) for turn in turns if turn.turn is Turn.WARNED]
    if standing.state is ClockState.RUNNING:
        fired += [Warned(at=at, is_ahead=True) for at in standing.warn_at[standing.warned :] if at > now]
    return tuple(fired)


def _few(turns: list[Turning]) -> tuple[tuple[Turning, ...], int]:
    """The first and the last ones; events that were not looked at stay counted."""
    if len(turns) <= MOST_TURNS:
        return tuple(turns), 0
    first = MOST_TURNS // 4
    middle, last = turns[first : first - MOST_TURNS], turns[first - MOST_TURNS :]
    skipped = sum(turn.events_between for turn in (*middle, last[0]))
    return (*turns[:first], replace(last[0], events_between=skipped), *last[1:]), len(middle)


class _Matches:
    """Why lines held, each worked out once."""

    def __init__(self, surveyed: Survey) -> None:
        self._surveyed = surveyed
        self._known: dict[tuple[bool, int], Match] = {}

    def of(self, item: Placed) -> tuple[Match | None, str]:
        """The match of a clock and what its line says of reopening; None where the policy promises nothing."""
        terms = item.course.terms
        lines = self._surveyed.story.lines_of(terms.kind)
        for place in range(len(lines) - 1, -1, -1):
            line = lines[place][1]
            if line is not None and line.terms.get(terms.kind) is terms:
                return self._at(place, is_internal=terms.kind not in CUSTOMER_TARGETS), str(line.target.on_reopen)
        return None, ""

    def _at(self, place: int, *, is_internal: bool) -> Match:
        known = self._known.get((is_internal, place))
        if known is None:
            known = self._known[is_internal, place] = _match_at(self._surveyed, place, is_internal=is_internal)
        return known


def _match_at(surveyed: Survey, place: int, *, is_internal: bool) -> Match:
    """Why that one of the lines that held over time did."""

    def lines(judged: Judged) -> int:
        return judged.internal_lines if is_internal else judged.lines

    judged = surveyed.judged[bisect_left(surveyed.judged, place + 1, key=lines)]
    return reasons.match(
        judged.judge.policy, judged.fields, surveyed.story.opened_at, to_instant(judged.at), is_internal=is_internal
    )


def _current_match(surveyed: Survey, *, is_internal: bool) -> Match:
    lines = surveyed.story.internal_lines if is_internal else surveyed.story.lines
    return _match_at(surveyed, len(lines) - 1, is_internal=is_internal)


def _kept_by_version(
    log: Sequence[TicketEvent],
    judge: Judge,
    later: Mapping[int, Judge],
    stories: list[ClockStory],
    stored: Mapping[Key, Clock],
    now: datetime,
    arrivals: Mapping[str, datetime],
) -> list[ClockStory]:
    """With finished cycles told under the version that judged them, where a newer one was made to hold from before (rule 53)."""
    by_key = {(told.target, told.cycle): told for told in stories}
    other = {
        key: known.policy_version
        for key, known in stored.items()
        if known.is_finished and (key not in by_key or by_key[key].policy_version != known.policy_version)
    }
    for version in sorted(set(other.values()))[-_MOST_VERSIONS:]:
        as_it_was = [
            event for event in log if not (isinstance(event.data, PolicyChanged) and event.data.version > version)
        ]
        surveyed = history.survey(as_it_was, judge, later)
        if len(as_it_was) == len(log) or surveyed is None:
            continue
        for told in _stories(as_it_was, judge, later, surveyed, stored, now, arrivals)[0]:
            key = (told.target, told.cycle)
            if other.get(key) == told.policy_version == version and told.ended_at is not None:
                by_key[key] = told
    order = {kind: place for place, kind in enumerate(TargetKind)}
    return sorted(by_key.values(), key=lambda told: (told.started_at, order[told.target], told.cycle))


def _with_retractions(told: ClockStory, taken_back: Sequence[Turning]) -> ClockStory:
    if not taken_back:
        return told
    return replace(told, turns=tuple(sorted((*told.turns, *taken_back), key=lambda turn: turn.at)))


def _zone(surveyed: Survey, stories: Sequence[ClockStory]) -> str:
    """Of the first promise's calendar, else of the policy's first one."""
    for told in stories:
        if told.calendar != _ALWAYS:
            return told.zone
    line = surveyed.story.line
    policy = surveyed.story.judge.policy
    calendars = [policy.calendars[line.target.calendar]] if line is not None else []
    for calendar in (*calendars, *policy.calendars.values()):
        if not calendar.spec.always:
            return calendar.spec.zone.key
    return "UTC"
