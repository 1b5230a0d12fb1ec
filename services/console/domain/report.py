"""What a replay comes to: promises kept, people paged, our own lag, and our verdict beside the city's."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from services.console.domain.attainment import Attainment
from services.console.domain.pace import Percentiles
from services.console.domain.requests import CityVerdict, Request
from services.console.domain.snapshot import PageTotals
from services.console.domain.verdict import Comparison, Resolution, Verdicts, kept


class TypeOutcome(Struct, frozen=True, kw_only=True):
    """Resolutions of one type of request."""

    type: str
    requests: int
    kept: int
    broken: int
    """Past due, done or not."""
    both: int
    """Requests that both we and the city have judged: `ours` and `city` are shares of these."""
    ours: float | None
    city: float | None


class VerdictCount(Struct, frozen=True, kw_only=True):
    """How many requests compare in one way."""

    comparison: Comparison
    requests: int


class Lag(Struct, frozen=True, kw_only=True):
    """How late we were ourselves, in real milliseconds."""

    stage: str
    meaning: str
    measured: Percentiles | None


class Report(Struct, frozen=True, kw_only=True):
    """All of it; `--json` prints exactly this."""

    since: datetime
    traffic_until: datetime
    until: datetime
    real_seconds: float
    requests: int
    events: int
    over_http: int
    refused: int
    attainment: tuple[Attainment, ...]
    types: tuple[TypeOutcome, ...]
    pages: PageTotals
    escalations: dict[str, int]
    climbed: int
    """Escalations that went past their first step."""
    lags: tuple[Lag, ...]
    compared: int
    """Requests that both we and the city have judged."""
    agreements: int
    both_promised: int
    same_promise: int
    """Requests for which both promised the same date, to the minute."""
    verdicts: tuple[VerdictCount, ...]


def by_type(chosen: Iterable[Request], ours: Mapping[str, Resolution]) -> tuple[TypeOutcome, ...]:
    """Each type with what we kept and broke, and both attainments over the same requests; the most frequent first."""
    groups: dict[str, list[Request]] = {}
    for request in chosen:
        groups.setdefault(request.type, []).append(request)
    lines = (_outcome(name, group, ours) for name, group in groups.items())
    return tuple(sorted(lines, key=lambda line: (-line.requests, line.type)))


def _outcome(name: str, group: Sequence[Request], ours: Mapping[str, Resolution]) -> TypeOutcome:
    judged = [(request, is_kept) for request in group if (is_kept := kept(ours.get(request.number))) is not None]
    both = [
        (is_kept, request.verdict is CityVerdict.ONTIME)
        for request, is_kept in judged
        if request.verdict is not None and request.promised_at is not None
    ]
    return TypeOutcome(
        type=name,
        requests=len(group),
        kept=sum(is_kept for _, is_kept in judged),
        broken=sum(not is_kept for _, is_kept in judged),
        both=len(both),
        ours=sum(is_kept for is_kept, _ in both) / len(both) if both else None,
        city=sum(on_time for _, on_time in both) / len(both) if both else None,
    )


def counted(verdicts: Verdicts) -> tuple[VerdictCount, ...]:
    """The comparisons that occur, in the order of the report."""
    return tuple(VerdictCount(comparison=comparison, requests=count) for comparison, count in verdicts.counts.items())
