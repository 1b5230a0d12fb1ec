"""The few colours, signs and formats that every view shares: colour never carries a meaning alone."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

CHANNELS = ("phone", "live_chat", "messaging", "social", "email", "self_service", "other")
URGENCIES = ("urgent", "high", "normal", "low")
URGENCY_STYLE = {"urgent": "bold red", "high": "yellow", "normal": "default", "low": "dim"}
TARGET_NAME = {
    "first_response": "first response",
    "next_response": "next response",
    "update": "update",
    "resolution": "resolution",
    "ownership": "ownership",
    "follow_up": "follow-up",
}
WAITING_NAME = {
    "new": "nobody has been looked for yet",
    "no_skill": "nobody on the roster can take it",
    "offline": "all who can take it are offline",
    "full": "everybody at work who can take it is full",
    "fragmented": "there is room, but no one person has enough of it",
    "excluded": "all who can take it are excluded from it",
}
WAITING_BRIEF = {
    "new": "new",
    "no_skill": "nobody can take",
    "offline": "all offline",
    "full": "all full",
    "fragmented": "no one has enough room",
    "excluded": "all excluded",
}
CHANNEL_NAME = {"live_chat": "live chat", "self_service": "self service"}

GOOD, FAIR, BAD, FAINT, ACCENT = "green", "yellow", "red", "dim", "cyan"


def channel(name: str) -> str:
    """A channel as people say it."""
    return CHANNEL_NAME.get(name, name)


def target(name: str) -> str:
    """A target as people say it; an internal one is the team's."""
    plain = name.removeprefix("internal_")
    said = TARGET_NAME.get(plain, plain)
    return said if plain == name else f"team's {said}"


def waiting(reason: str, *, brief: bool = False) -> str:
    """Why a ticket has no owner, as people say it; briefly, as it follows a number of tickets."""
    return (WAITING_BRIEF if brief else WAITING_NAME).get(reason, reason)


def bar(share: float, width: int) -> str:
    """A bar of eighths of a block; what is over full is cut."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + " ▏▎▍▌▋▊▉"[rest] * (rest > 0)).ljust(width, "·")


def shade(share: float) -> str:
    """One of four densities; a dot where there is nothing at all."""
    return "·" if share <= 0 else "░▒▓█"[min(int(share * 4), 3)]


_NEARLY_FULL = 0.85
_GOOD_SHARE, _FAIR_SHARE = 0.9, 0.75


def load_style(share: float) -> str:
    """The colour of an agent's load."""
    return BAD if share > 1 else FAIR if share >= _NEARLY_FULL else GOOD


def share_style(share: float | None) -> str:
    """The colour of an attainment."""
    if share is None:
        return FAINT
    return GOOD if share >= _GOOD_SHARE else FAIR if share >= _FAIR_SHARE else BAD


def percent(share: float | None) -> str:
    """`93.4 %`, or a dash where nothing has been judged."""
    return "-" if share is None else f"{share * 100:.1f} %"


def number(count: int) -> str:
    """With thin thousands; nothing for 0, so that tables stay quiet."""
    return f"{count:,}" if count else "·"


def clock(at: datetime, zone: ZoneInfo | None = None, *, seconds: bool = False) -> str:
    """`Mon 02 Mar 14:05`, in the zone given, else UTC."""
    local = at.astimezone(zone) if zone else at
    return local.strftime("%a %d %b %H:%M:%S" if seconds else "%a %d %b %H:%M")


def span(length: timedelta) -> str:
    """The largest unit and the one below it: `3d 4h`, `21h 0m`, `45s`, a bare `12m` only if exact; negative with a sign."""
    seconds = round(abs(length.total_seconds()))
    sign = "-" if seconds and length < timedelta() else ""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    units = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    while len(units) > 1 and not units[0][0]:
        units.pop(0)
    while len(units) > 1 and not units[-1][0]:
        units.pop()
    return sign + " ".join(f"{value}{unit}" for value, unit in units[:2])
