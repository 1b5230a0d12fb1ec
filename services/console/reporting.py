"""The report of a replay, put together from the database and from what was sent."""

from collections.abc import Iterable
from datetime import datetime

from services.console import store
from services.console.domain import report
from services.console.domain.pace import Pace, percentiles
from services.console.domain.report import Lag, Report
from services.console.domain.requests import SOURCE
from services.console.domain.verdict import compare_all
from services.console.replay import Replay
from shared.postgres.pool import Connection


async def compile_report(connection: Connection, replay: Replay, tenant: str, real_seconds: float) -> Report:
    """Read what the services made of the replay."""
    chosen = replay.script.requests
    plan, sent = replay.governor.plan, replay.sent
    ours = await store.load_resolutions(connection, tenant, SOURCE)
    verdicts = compare_all(chosen, ours, plan.until)
    snapshot = await store.load_snapshot(connection, tenant)
    climbs = await store.load_climbs(connection, tenant)
    return Report(
        since=plan.since,
        traffic_until=replay.traffic_until,
        until=plan.until,
        real_seconds=real_seconds,
        requests=len(chosen),
        events=sent.events + sent.over_http,
        over_http=sent.over_http,
        refused=sent.refused,
        attainment=await store.load_attainment(connection, tenant),
        types=report.by_type(chosen, ours),
        pages=snapshot.page_totals,
        escalations={state: count for state, (count, _) in climbs.items()},
        climbed=sum(climbed for _, climbed in climbs.values()),
        lags=await _lags(connection, replay, tenant),
        compared=verdicts.compared,
        agreements=verdicts.agreements,
        both_promised=verdicts.both_promised,
        same_promise=verdicts.same_promise,
        verdicts=report.counted(verdicts),
    )


async def _lags(connection: Connection, replay: Replay, tenant: str) -> tuple[Lag, ...]:
    pace, sent = replay.pace, replay.sent
    taken = await store.load_intake(connection, tenant)
    intake = [(at, taken[event_id]) for event_id, at in sent.at.items() if event_id in taken]
    return (
        Lag(stage="intake", meaning="event sent through NATS → taken in", measured=percentiles(_real(pace, intake))),
        Lag(
            stage="answer",
            meaning="ticket sent over HTTP → stored, matched, answered",
            measured=percentiles(sent.answers),
        ),
        Lag(
            stage="firing",
            meaning="promise due → breach noticed",
            measured=percentiles(_real(pace, await store.load_breach_lags(connection, tenant))),
        ),
        Lag(
            stage="page",
            meaning="page due → accepted by its channel",
            measured=percentiles(_real(pace, await store.load_page_lags(connection, tenant))),
        ),
    )


def _real(pace: Pace, spans: Iterable[tuple[datetime, datetime]]) -> list[float]:
    return [pace.took(frm, to) for frm, to in spans]
