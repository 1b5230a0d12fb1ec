"""Our verdict on each request beside the city's own: where they agree, and why not where they don't."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from services.console.domain.requests import CityVerdict, Request

SAME_PROMISE = timedelta(minutes=1)
"""Two due times this near are the same promise: the city cuts opening times to the minute."""


class Resolution(Struct, frozen=True, kw_only=True):
    """What we promised for the resolution of a ticket, and what became of it; `state` is None where we promised nothing."""

    external_id: str
    line: str | None
    state: str | None
    due_at: datetime | None
    met_at: datetime | None
    breached_at: datetime | None


class Comparison(StrEnum):
    """How one request compares; the order is that of the report."""

    AGREE_ON_TIME = "both say on time"
    AGREE_OVERDUE = "both say overdue"
    CITY_NO_PROMISE = "the city promised no date"
    WE_NO_PROMISE = "our policy promises no resolution"
    CITY_SILENT = "the city gives no verdict: still open, or masked after 30 June"
    NOT_REPLAYED = "closed after the end of the replay"
    NOT_JUDGED = "we have not judged it: our promise still runs, or was withdrawn"
    DUE_DIFFERS = "verdicts differ, and so do the promised dates"
    SAME_DUE = "verdicts differ on the same promised date"
    MISSING = "the ticket did not arrive"

    @property
    def is_agreement(self) -> bool:
        """Both judged, and alike."""
        return self in {Comparison.AGREE_ON_TIME, Comparison.AGREE_OVERDUE}

    @property
    def is_disagreement(self) -> bool:
        """Both judged, and not alike."""
        return self in {Comparison.DUE_DIFFERS, Comparison.SAME_DUE}


def kept(ours: Resolution | None) -> bool | None:
    """Whether we kept the promise; None where there was none, or it isn't judged yet."""
    if ours is None or ours.state is None:
        return None
    if ours.breached_at is not None:
        return False
    return True if ours.met_at is not None else None


def compare(request: Request, ours: Resolution | None, until: datetime) -> Comparison:
    """Our verdict beside the city's for one request, replayed up to `until`."""
    judged = kept(ours)
    if ours is None:
        comparison = Comparison.MISSING
    elif request.promised_at is None:
        comparison = Comparison.CITY_NO_PROMISE
    elif ours.state is None:
        comparison = Comparison.WE_NO_PROMISE
    elif request.verdict is None:
        comparison = Comparison.CITY_SILENT
    elif judged is None:
        closed_later = request.closed_at is not None and request.closed_at > until
        comparison = Comparison.NOT_REPLAYED if closed_later else Comparison.NOT_JUDGED
    elif judged == (request.verdict is CityVerdict.ONTIME):
        comparison = Comparison.AGREE_ON_TIME if judged else Comparison.AGREE_OVERDUE
    else:
        comparison = Comparison.SAME_DUE if _is_same_promise(request, ours) else Comparison.DUE_DIFFERS
    return comparison


def _is_same_promise(request: Request, ours: Resolution) -> bool:
    if ours.due_at is None or request.promised_at is None:
        return False
    return abs(ours.due_at - request.promised_at) <= SAME_PROMISE


class Verdicts(Struct, frozen=True, kw_only=True):
    """All requests compared."""

    counts: dict[Comparison, int]
    same_promise: int
    """Requests for which both promised a date, and the same one to the minute."""
    both_promised: int

    @property
    def agreements(self) -> int:
        """Requests that both judged alike."""
        return sum(count for comparison, count in self.counts.items() if comparison.is_agreement)

    @property
    def compared(self) -> int:
        """Requests that both judged."""
        return self.agreements + sum(count for comparison, count in self.counts.items() if comparison.is_disagreement)


def compare_all(requests: Iterable[Request], ours: Mapping[str, Resolution], until: datetime) -> Verdicts:
    """Every request compared; `ours` by the request's number."""
    counts: Counter[Comparison] = Counter()
    same = both = 0
    for request in requests:
        resolution = ours.get(request.number)
        counts[compare(request, resolution, until)] += 1
        if resolution is not None and resolution.due_at is not None and request.promised_at is not None:
            both += 1
            same += _is_same_promise(request, resolution)
    return Verdicts(
        counts={comparison: counts[comparison] for comparison in Comparison if counts[comparison]},
        same_promise=same,
        both_promised=both,
    )
