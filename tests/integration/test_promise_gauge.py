"""The gauge of what the policies in force promise."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from services.router.metrics import promises as promise_gauge
from services.router.metrics.promises import PromiseGauge
from services.router.versions import policies
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from tests.conftest import ClockControl

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
POLICY = "targets: [{{name: all, calendar: always, first_response: {promise}, resolution: 2bd{more}}}]"


async def apply(pool: Pool, tenant: str, promise: str, more: str = "") -> None:
    """Put a policy in force."""
    async with pool.acquire() as connection:
        text = POLICY.format(promise=promise, more=more)
        await policies.apply_policy(connection, tenant, text, "test", NOW)


def shown(registry: CollectorRegistry, target: str = "first_response") -> float | None:
    """What the gauge says of ordinary mail."""
    labels = {"target": target, "channel": "email", "urgency": "normal"}
    return registry.get_sample_value("sla_target_seconds", labels)


async def test_it_shows_the_strictest_promise_of_all_tenants(pool: Pool) -> None:
    """The built-in policy's where nobody has one; business days are left out; a policy is looked through once."""
    registry = CollectorRegistry()
    gauge = PromiseGauge(pool, PolicyShelf(), registry)
    assert 1 == await gauge.measure()
    assert 4 * 3600 == shown(registry)
    await apply(pool, "acme", "3h")
    await apply(pool, "globex", "2h")
    assert 2 == await gauge.measure()
    assert (7200.0, None, None) == (shown(registry), shown(registry, "resolution"), shown(registry, "next_response"))
    await apply(pool, "globex", "5h")
    assert 1 == await gauge.measure()
    assert 3 * 3600 == shown(registry)
    assert 0 == await gauge.measure()


async def test_a_line_of_some_days_ends_with_them(pool: Pool, clock_control: ClockControl) -> None:
    """Though the policy stays the same."""
    registry = CollectorRegistry()
    gauge = PromiseGauge(pool, PolicyShelf(), registry)
    await clock_control.freeze(NOW)
    await apply(pool, "acme", "3h", ', valid: {to: "2026-06-02T00:00:00Z"}')
    await gauge.measure()
    assert 3 * 3600 == shown(registry)
    await clock_control.freeze(NOW + timedelta(days=1))
    assert 1 == await gauge.measure()
    assert None is shown(registry)


async def test_many_policies_are_looked_through_some_at_a_time(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """New ones first, so that those of some days do not keep them waiting."""
    monkeypatch.setattr(promise_gauge, "MOST_AT_ONCE", 1)
    registry = CollectorRegistry()
    gauge = PromiseGauge(pool, PolicyShelf(), registry)
    await apply(pool, "acme", "3h", ', valid: {from: "2020-01-01T00:00:00Z"}')
    await gauge.measure()
    await apply(pool, "globex", "2h")
    assert [1, 1] == [await gauge.measure() for _ in range(2)]
    assert 7200.0 == shown(registry)
