"""Public holidays of countries as plain dates, so that they can be kept with the version that used them.

The `holidays` package is asked once, when a file is read; a stored version holds the dates and never asks again.
"""

from datetime import date
from functools import lru_cache

import holidays

from shared.policy.errors import did_you_mean
from shared.policy.hours import YEARS
from shared.policy.reading import Unreadable


class UnknownPlace(Unreadable):
    """No such country or subdivision; `key` says which."""

    def __init__(self, key: str, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.key = key


@lru_cache(maxsize=256)
def named_dates(country: str, subdivision: str | None) -> tuple[tuple[date, frozenset[str]], ...]:
    """Each public holiday with its names (in English and the country's own language, case-folded); raises `UnknownPlace`."""
    code = country.strip().upper()
    known = holidays.list_supported_countries()
    if code not in known:
        raise UnknownPlace("country", f"no holidays are known for the country `{country[:40]}`", _codes(code, known))
    place = subdivision.strip().upper() if subdivision else None
    if place is not None and place not in known[code]:
        raise UnknownPlace(
            "subdivision",
            f"`{code}` has no subdivision `{(subdivision or '')[:40]}`",
            did_you_mean(place, known[code], what="they"),
        )
    entity = getattr(holidays, code)
    years = [year for year in YEARS if entity.start_year <= year <= entity.end_year]
    names: dict[date, set[str]] = {}
    for language in {
        entity.default_language,
        "en_US" if "en_US" in entity.supported_languages else entity.default_language,
    }:
        for day, name in holidays.country_holidays(code, subdiv=place, years=years, language=language).items():
            names.setdefault(day, set()).update(_plain(part) for part in name.split("; "))
    return tuple((day, frozenset(names[day])) for day in sorted(names))


def _plain(name: str) -> str:
    """Without what follows in brackets, as in `Independence Day (observed)`."""
    return name.partition(" (")[0].strip().casefold()


def _codes(code: str, known: dict[str, list[str]]) -> str:
    near = did_you_mean(code, known)
    return (
        near
        if near.startswith("did")
        else "write its ISO 3166 code, as in `US` or `DE`, or give the dates under `closed`"
    )
