"""Who had a ticket and when, and how much of a clock's open time passed meanwhile."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.sla.calendar import to_instant, to_microseconds
from shared.sla.explaining.explained import HolderKind, HolderShare, Holding
from shared.sla.explaining.stretches import Stretch
from shared.sla.placing import Course
from shared.sla.story import Story

_MICROSECOND = timedelta(microseconds=1)


class Holders:
    """Follows a story and keeps its stretches."""

    def __init__(self) -> None:
        self._done: list[Holding] = []
        self._holds: Holding | None = None
        self._began_with: str | None = None

    def see(self, story: Story, at: int) -> None:
        """The story after an event."""
        team = story.facts.team or None
        if self._holds is None:
            self._began_with = team
        kind, agent = _kind(story, team), story.owner
        after_hand_off = team != self._began_with
        holds = self._holds
        if holds is not None and (holds.kind, holds.agent, holds.team, holds.after_hand_off) == (
            kind,
            agent,
            team,
            after_hand_off or holds.after_hand_off,
        ):
            return
        began = to_instant(at)
        if holds is not None:
            after_hand_off = after_hand_off or holds.after_hand_off
            if holds.since < began:
                self._done.append(replace(holds, until=began))
        self._holds = Holding(kind=kind, agent=agent, team=team, after_hand_off=after_hand_off, since=began, until=None)

    def done(self) -> list[Holding]:
        """All stretches, one after the other; the last goes on."""
        return [*self._done, self._holds] if self._holds is not None else self._done


def _kind(story: Story, team: str | None) -> HolderKind:
    if story.status.is_over:
        return HolderKind.OVER
    if story.owner is not None:
        return HolderKind.AGENT
    return HolderKind.TEAM if team else HolderKind.UNASSIGNED


def spoken(holding: Holding) -> str:
    """A holder in words: `ana (team G2, after a hand-off)`."""
    notes = [f"team {holding.team}"] if holding.team and holding.kind is HolderKind.AGENT else []
    if holding.after_hand_off:
        notes.append("after a hand-off")
    match holding.kind:
        case HolderKind.OVER:
            return "nobody (it was over)"
        case HolderKind.UNASSIGNED:
            return "nobody (in the queue)"
        case HolderKind.TEAM:
            notes.append("nobody in it yet")
            return f"team {holding.team} ({', '.join(notes)})"
        case HolderKind.AGENT:
            return f"{holding.agent} ({', '.join(notes)})" if notes else str(holding.agent)


def holder_at(holdings: Sequence[Holding], at: datetime) -> Holding | None:
    """Who had it up to an instant: at the instant of a change, who had it before."""
    place = bisect_left([holding.since for holding in holdings], at)
    return holdings[max(place - 1, 0)] if holdings else None


def shares(course: Course, stretches: Iterable[Stretch], holdings: Sequence[Holding]) -> tuple[HolderShare, ...]:
    """Open time of a clock by holder, the most first; they add up to its open time used."""
    position = course.terms.calendar.position
    bounds = [(to_microseconds(holding.since), holding) for holding in holdings]
    used: dict[str, int] = {}
    place = 0
    for stretch in stretches:
        if stretch.status is not None or stretch.is_restarted:
            continue
        since = stretch.since
        while since < stretch.until:
            while place + 1 < len(bounds) and bounds[place + 1][0] <= since:
                place += 1
            ends = bounds[place + 1][0] if place + 1 < len(bounds) else stretch.until
            until = min(ends, stretch.until)
            counted = position(until) - position(since)
            if counted:
                who = spoken(bounds[place][1])
                used[who] = used.get(who, 0) + counted
            since = until
    ranked = sorted(used.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        HolderShare(holder=who, open_seconds=(_MICROSECOND * counted).total_seconds()) for who, counted in ranked
    )
