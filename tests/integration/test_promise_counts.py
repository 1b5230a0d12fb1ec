"""Each promise is counted once, however often what is known of it is put right."""

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.router import recording
from services.router.domain.trial import try_on
from services.router.metrics.tickets import RouterMetrics
from shared.contract.events import Replied, TicketEvent
from shared.contract.tickets import Author
from shared.policy import builtin
from shared.postgres.pool import Pool
from shared.sla.clock import Change
from tests.integration.rolling import START, RollingDesk, event, opened

HOUR = timedelta(hours=1)
ANSWER = Replied(by=Author.AGENT)


def test_a_candidate_counts_a_corrected_answer_once_too() -> None:
    """The same log, judged beside the policy in force."""
    candidate = builtin.policy()
    log = [opened("1", START), event("1", 1, START + HOUR, ANSWER)]
    tried = try_on(candidate, log, (), START + 2 * HOUR)
    again = try_on(candidate, [*log, event("1", 2, START + HOUR / 2, ANSWER)], tried.clocks, START + 2 * HOUR)
    answered = [outcome.change for outcome in (*tried.outcomes, *again.outcomes) if outcome.target == "first_response"]
    assert [Change.MET] == answered


@pytest.mark.parametrize("fires", [False, True])
async def test_a_late_event_that_corrects_an_answer_counts_no_promise_again(
    pool: Pool, clock_control: object, fires: bool
) -> None:
    """The answer at 11:00 is told before the one at 10:30: one promise, kept once, or broken once and kept after all."""
    desk, registry = RollingDesk(pool), CollectorRegistry()
    metrics = RouterMetrics(registry)
    await desk.at(timedelta())
    await desk.apply(f"targets: [{{name: all, calendar: always, first_response: {'1h' if fires else '4h'}}}]")

    async def tell(told: TicketEvent) -> None:
        async with pool.acquire() as connection, connection.transaction():
            recorded = await recording.record(connection, desk.shelf, [told])
        metrics.count(recorded)

    await tell(opened("1", START))
    await desk.at(3 * HOUR)
    if fires:
        await desk.fire()
    await tell(event("1", 1, START + 2 * HOUR, ANSWER))
    await tell(event("1", 2, START + HOUR, ANSWER))
    await tell(event("1", 3, START + HOUR / 2, ANSWER))
    labels = {"target": "first_response", "channel": "email", "urgency": "normal"}
    outcome = {**labels, "outcome": "met", "policy": "live"}
    assert 1 == registry.get_sample_value("sla_target_outcomes_total", outcome)
    assert 1 == registry.get_sample_value("sla_response_seconds_count", labels)
