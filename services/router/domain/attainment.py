"""What a report of kept and broken promises can be asked: which days, and by what they are told apart."""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from shared.contract.questions import UnclearQuestion
from shared.contract.tickets import Channel, TargetKind, Urgency


class Dimension(StrEnum):
    """By what promises can be told apart; channel, urgency and team are those that the ticket has now."""

    TARGET = "target"
    CHANNEL = "channel"
    URGENCY = "urgency"
    TEAM = "team"
    MATCHED = "matched"


class Took(Struct, frozen=True, kw_only=True):
    """How long answers took, in seconds."""

    median: float
    p90: float
    """Nine of ten took no longer."""


class Kept(Struct, frozen=True, kw_only=True):
    """Promises of one sort; what the report isn't told apart by is null."""

    target: TargetKind | None = None
    channel: Channel | None = None
    urgency: Urgency | None = None
    team: str | None = None
    pool: str | None = None
    """Of tickets without a team, in a report by team."""
    matched: str | None = None
    """The line of the policy that promised it."""
    met: int
    breached: int
    """Late answers too, each once, at its deadline."""
    attainment: float
    """Met of both, from 0 to 1."""
    answered: int
    """So many have been answered, in time or late: of these are the times."""
    open_seconds: Took | None
    """Open time of the promise's calendar, without pauses."""
    wall_seconds: Took | None
    """What the customer waited."""


def read_by(text: str) -> tuple[Dimension, ...]:
    """`target,channel` in the order of the report, each once; raises UnclearQuestion."""
    try:
        asked = {Dimension(part.strip()) for part in text.split(",")}
    except ValueError:
        allowed = ", ".join(Dimension)
        raise UnclearQuestion("by", f"must be some of {allowed}, with commas between") from None
    return tuple(each for each in Dimension if each in asked)


def in_order(lines: Iterable[Kept]) -> tuple[Kept, ...]:
    """By target, channel and urgency as the product lists them, then by name."""
    return tuple(sorted(lines, key=_place))


def _place(line: Kept) -> tuple[int, int, int, str, str, str]:
    return (
        -1 if line.target is None else _TARGETS[line.target],
        -1 if line.channel is None else _CHANNELS[line.channel],
        -1 if line.urgency is None else line.urgency.rank,
        line.team or "",
        line.pool or "",
        line.matched or "",
    )


_TARGETS = {target: place for place, target in enumerate(TargetKind)}
_CHANNELS = {channel: place for place, channel in enumerate(Channel)}
