"""What a replay comes to: promises kept, people paged, our own lag, and our verdict beside the city's."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from services.console.domain.attainment import Attainment, TypeOutcome
from services.console.domain.pace import Percentiles
from services.console.domain.requests import CityVerdict, Request
from services.console.domain.snapshot import PageTotals
from services.console.domain.verdict import Comparison, Verdicts


class CityShare(Struct, frozen=True, kw_only=True):
    """One type of request: our attainment beside the city's."""

    type: str
    tickets: int
    kept: int
    broken: int
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
    types: tuple[CityShare, ...]
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


def by_type(types: Iterable[TypeOutcome], chosen: Iterable[Request]) -> tuple[CityShare, ...]:
    """Each type with the share that the city itself calls on time, among those with a promised date and a verdict."""
    kept: dict[str, int] = {}
    judged: dict[str, int] = {}
    for request in chosen:
        if request.promised_at is not None and request.verdict is not None:
            judged[request.type] = judged.get(request.type, 0) + 1
            kept[request.type] = kept.get(request.type, 0) + (request.verdict is CityVerdict.ONTIME)
    return tuple(
        CityShare(
            type=line.type,
            tickets=line.tickets,
            kept=line.kept,
            broken=line.broken,
            ours=line.share,
            city=kept[line.type] / judged[line.type] if line.type in judged else None,
        )
        for line in types
    )


def counted(verdicts: Verdicts) -> tuple[VerdictCount, ...]:
    """The comparisons that occur, in the order of the report."""
    return tuple(VerdictCount(comparison=comparison, requests=count) for comparison, count in verdicts.counts.items())
