"""Durations as people write them: `30s`, `1h30m`, `2bd`, `75%`."""

import re
from datetime import timedelta
from fractions import Fraction

from shared.policy.errors import short
from shared.policy.reading import Unreadable
from shared.sla.policy import BusinessDays, Promise, WarnAt

LONGEST = timedelta(days=3660)
MOST_BUSINESS_DAYS = 2500

_PART = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([^\W\d_]*)\s*")
_ALL = 100
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_DAYS = frozenset({"d", "day", "days"})
_WEEKS = frozenset({"w", "week", "weeks"})
_WORDS = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
}
_EXAMPLES = "write it as `30s`, `15m`, `4h` or `1h30m`"


def promise(text: str) -> Promise:
    """How long a target may take: open time, or business days; raises `Unreadable`, for zero and negative ones too."""
    cleaned = text.strip().lower()
    if cleaned.endswith("bd"):
        return BusinessDays(_business_days(cleaned, text))
    value = elapsed(text, business_days=True)
    if not value:
        raise Unreadable(
            f"`{text}` is no time at all, so the promise is broken at once", "give it at least `1s`, or leave it out"
        )
    return value


def preview(text: str) -> Promise:
    """The same for somebody who asks a calendar: no time at all is allowed, and means the next opening (rule 16)."""
    if text.strip().lower().endswith("bd"):
        return promise(text)
    return elapsed(text, business_days=True)


def elapsed(text: str, *, business_days: bool = False) -> timedelta:
    """A length of time, zero allowed; raises `Unreadable`, which names business days as a way out only where they are one."""
    cleaned = text.strip().lower()
    if cleaned.startswith("-"):
        raise Unreadable(f"`{text}` is negative", "durations are positive, as in `30m`")
    seconds = Fraction(0)
    position = 0
    while position < len(cleaned):
        found = _PART.match(cleaned, position)
        if found is None:
            raise Unreadable(
                f"`{short(text)}` is not a duration",
                _EXAMPLES + (", or `2bd` for business days" if business_days else ""),
            )
        seconds += Fraction(found[1]) * _unit(found[1], found[2], text, business_days=business_days)
        position = found.end()
    if not cleaned:
        raise Unreadable("an empty duration", _EXAMPLES)
    if seconds > LONGEST.total_seconds():
        raise Unreadable(f"`{short(text)}` is over ten years", "shorten it")
    return timedelta(microseconds=round(seconds * 1_000_000))


def warn_point(text: str) -> WarnAt:
    """`75%` of the promise used, or `30m` of it left; raises `Unreadable`."""
    cleaned = text.strip()
    if not cleaned.endswith("%"):
        if cleaned.lower().endswith("bd"):
            raise Unreadable(
                f"`{short(text)}`: business days can't be counted back",
                "write a share as in `75%`, or open time left as in `4h`",
            )
        left = elapsed(cleaned)
        if not left:
            raise Unreadable(f"`{text}` before the due time is the due time", "leave it out, or write as in `30m`")
        return WarnAt(left=left)
    number = cleaned[:-1].strip()
    if not re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,6})?", number) or not 0 < Fraction(number) < _ALL:
        raise Unreadable(f"`{short(text)}` is no share of a promise", "write one between 0% and 100%, as in `75%`")
    return WarnAt(share=float(Fraction(number) / _ALL))


def _business_days(cleaned: str, text: str) -> int:
    number = cleaned.removesuffix("bd").strip()
    if not re.fullmatch(r"[0-9]{1,9}", number) or not 0 < int(number) <= MOST_BUSINESS_DAYS:
        raise Unreadable(
            f"`{short(text)}` is no number of business days",
            f"write a whole number from 1 to {MOST_BUSINESS_DAYS}, as in `2bd`",
        )
    return int(number)


def _unit(number: str, unit: str, text: str, *, business_days: bool) -> int:
    if not business_days and (unit == "bd" or unit in _DAYS or unit in _WEEKS):
        raise Unreadable(f"`{short(text)}`: days and weeks are not counted here", "write hours or minutes, as in `48h`")
    if unit in _DAYS:
        hours = Fraction(number) * 24
        shown = f"{float(hours):g}"
        raise Unreadable(
            f"`{short(text)}` can be read in two ways",
            f"write `{shown}h` for {shown} hours of open time, or `{number}bd` for business days, up to the same time of day",
        )
    if unit == "bd":
        raise Unreadable(
            f"`{short(text)}` mixes business days with other units", "write `2bd` alone, or hours and minutes alone"
        )
    if not unit:
        raise Unreadable(f"`{short(text)}` has no unit", f"write `{number}s`, `{number}m`, `{number}h` or `{number}bd`")
    if unit in _WEEKS:
        raise Unreadable(
            f"`{short(text)}`: weeks are not counted",
            "write business days as in `5bd`, or hours of open time as in `40h`",
        )
    seconds = _SECONDS.get(_WORDS.get(unit, unit))
    if seconds is None:
        raise Unreadable(f"`{short(text)}`: there is no unit `{short(unit)}`", "units are s, m, h and bd")
    return seconds
