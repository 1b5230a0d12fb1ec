"""What another version of the policy does to the clocks of a ticket, counted and with examples.

The dry run and the rollout count by the same function, so that one says what the other does.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from shared.contract.tickets import ClockState, TargetKind
from shared.sla.clock import Clock

EXAMPLES = 5
"""Kept of each effect."""
_MOST_GROUPS = 500
"""Channels and teams that are counted apart; more are counted as `other`."""
_OTHER = "other"


class Effect(StrEnum):
    """What may become of a running clock."""

    EARLIER = "earlier"
    """It is due earlier, or is no longer paused."""
    LATER = "later"
    """It is due later, or is paused now."""
    STARTED = "started"
    CANCELLED = "cancelled"
    """Nothing is promised any more, and nobody is woken for it (rule 54)."""
    BREACHED = "breached"
    """It is late at once."""
    RETRACTED = "retracted"
    """It was broken, and is not under the new terms."""


class ClockEffect(Struct, frozen=True, kw_only=True):
    """What became of one clock: one or two effects, never none."""

    target: TargetKind
    cycle: int
    effects: tuple[Effect, ...]
    due_before: datetime | None
    """None where it did not run, or was paused."""
    due_after: datetime | None


class Counts(Struct, frozen=True, kw_only=True):
    """How many, by effect. Running clocks that stay as they are count in none of them but `clocks`."""

    tickets: int = 0
    recomputed: int = 0
    """Tickets whose logs were judged anew; the others can't have moved (rule 55)."""
    clocks: int = 0
    """Running clocks before."""
    earlier: int = 0
    later: int = 0
    started: int = 0
    cancelled: int = 0
    breached: int = 0
    retracted: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class Group(Struct, frozen=True, kw_only=True):
    """The counts of one channel and team."""

    channel: str
    team: str
    counts: Counts


class Example(Struct, frozen=True, kw_only=True):
    """One clock that an effect is about."""

    source: str
    ticket: str
    target: TargetKind
    due_before: datetime | None
    due_after: datetime | None


class Summary(Struct, frozen=True, kw_only=True):
    """What a version does to all tickets it is for."""

    counts: Counts
    groups: tuple[Group, ...]
    """By channel and team, the most tickets first."""
    examples: Mapping[Effect, tuple[Example, ...]]


class TicketOutcome(Struct, frozen=True, kw_only=True):
    """One ticket under another version."""

    ticket_id: UUID
    source: str
    external_id: str
    channel: str
    team: str
    is_recomputed: bool
    running: int
    effects: Sequence[ClockEffect]


class Tally:
    """Adds up outcomes in bounded memory."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], Counts] = {}
        self._examples: dict[Effect, list[Example]] = {effect: [] for effect in Effect}

    def add(self, outcome: TicketOutcome) -> None:
        """Count one ticket."""
        key = (outcome.channel, outcome.team)
        if key not in self._groups and len(self._groups) >= _MOST_GROUPS:
            key = (_OTHER, _OTHER)
        self._groups[key] = self._groups.get(key, Counts()) + counted(outcome)
        for clock in outcome.effects:
            for effect in clock.effects:
                kept = self._examples[effect]
                if len(kept) < EXAMPLES:
                    kept.append(
                        Example(
                            source=outcome.source,
                            ticket=outcome.external_id,
                            target=clock.target,
                            due_before=clock.due_before,
                            due_after=clock.due_after,
                        )
                    )

    def summary(self) -> Summary:
        """What was counted so far."""
        groups = [Group(channel=channel, team=team, counts=counts) for (channel, team), counts in self._groups.items()]
        return Summary(
            counts=total(self._groups.values()),
            groups=tuple(sorted(groups, key=lambda group: (-group.counts.tickets, group.channel, group.team))),
            examples={effect: tuple(kept) for effect, kept in self._examples.items() if kept},
        )


def total(counts: Iterable[Counts]) -> Counts:
    """The sum."""
    return sum(counts, Counts())


def counted(outcome: TicketOutcome) -> Counts:
    """One ticket as counts."""
    found = dict.fromkeys(Effect, 0)
    for clock in outcome.effects:
        for effect in clock.effects:
            found[effect] += 1
    return Counts(
        tickets=1,
        recomputed=int(outcome.is_recomputed),
        clocks=outcome.running,
        **{effect.value: number for effect, number in found.items()},
    )


def effects(before: Iterable[Clock], after: Iterable[Clock], now: datetime) -> list[ClockEffect]:
    """What became of each clock that ran before or runs after; those that stay as they are aren't in it."""
    ran = {(clock.target, clock.cycle): clock for clock in before if not clock.is_finished}
    runs = {(clock.target, clock.cycle): clock for clock in after if not clock.is_finished}
    found = []
    for target, cycle in dict.fromkeys((*ran, *runs)):
        was, is_ = ran.get((target, cycle)), runs.get((target, cycle))
        named = _effects(was, is_, now)
        if named:
            found.append(
                ClockEffect(
                    target=target,
                    cycle=cycle,
                    effects=named,
                    due_before=was.due_at if was else None,
                    due_after=is_.due_at if is_ else None,
                )
            )
    return found


def _effects(was: Clock | None, is_: Clock | None, now: datetime) -> tuple[Effect, ...]:
    if is_ is None:
        return (Effect.CANCELLED,)
    late = (Effect.BREACHED,) if _is_late(is_, now) and not (was and _is_late(was, now)) else ()
    if was is None:
        return (Effect.STARTED, *late)
    retracted = was.state is ClockState.BREACHED and is_.state is not ClockState.BREACHED
    if retracted and not _is_late(is_, now):
        late = (Effect.RETRACTED,)
    if was.due_at == is_.due_at:
        return late
    is_earlier = is_.due_at is not None and (was.due_at is None or is_.due_at < was.due_at)
    return (Effect.EARLIER if is_earlier else Effect.LATER, *late)


def _is_late(clock: Clock, now: datetime) -> bool:
    """Whether it is broken, noticed or not."""
    return clock.state is ClockState.BREACHED or (clock.breaks_at is not None and clock.breaks_at <= now)
