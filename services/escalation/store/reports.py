"""What reports need of the page ledger. Reads only."""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby

import msgspec

from services.escalation.domain.promptness import NOT_OURS, OBJECTIVE, ByMethod, Counted, Stage, Took
from services.escalation.store import QUERIES
from shared.postgres.pool import Connection, Record


async def page_stages(
    connection: Connection, tenant: str, since: datetime, until: datetime
) -> tuple[tuple[Took, ...], tuple[ByMethod, ...]]:
    """What each stage took, of all pages stored in `[since, until)` and by method."""
    rows = await connection.fetch(QUERIES["report_page_stages"], tenant, since, until, list(NOT_OURS))
    found = {method: _in_order(of) for method, of in groupby(rows, key=lambda row: row["method"])}
    everything = found.pop(None, ())
    return everything, tuple(ByMethod(method=method, stages=stages) for method, stages in sorted(found.items()))


async def page_counts(connection: Connection, tenant: str, since: datetime, until: datetime) -> Counted:
    """What became of the pages stored in `[since, until)`."""
    [row] = await connection.fetch(QUERIES["report_page_counts"], tenant, since, until, list(NOT_OURS), OBJECTIVE)
    return Counted(**{**dict(row), "deferred": msgspec.json.decode(row["deferred"], type=dict[str, int])})


_ORDER = {stage: place for place, stage in enumerate(Stage)}


def _in_order(rows: Iterable[Record]) -> tuple[Took, ...]:
    made = (_took(row) for row in rows)
    return tuple(sorted(made, key=lambda took: _ORDER[took.stage]))


def _took(row: Record) -> Took:
    p50, p95, p99 = row["percentiles"]
    return Took(stage=Stage(row["stage"]), pages=row["pages"], p50=p50, p95=p95, p99=p99, max=row["max"])
