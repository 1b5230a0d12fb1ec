"""The auditor on a real database and a real NATS: each invariant broken by what would break it, then mended."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry

from services.escalation.audit import auditor as auditors
from services.escalation.audit.auditor import Auditor
from services.escalation.domain.invariants import Invariant
from services.escalation.metrics.watch import WatchMetrics
from services.router.domain.reach import Reach
from shared.contract import subjects
from shared.jetstream import streams
from shared.postgres.pool import Pool
from tests.integration.escalation import rows
from tests.integration.escalation.conftest import ticket
from tests.integration.rolling import START, RollingDesk, opened

NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
PAST = NOW - timedelta(hours=3)


class Watched:
    """An auditor, what it said, and the beats that somebody outside heard."""

    def __init__(self, pool: Pool, client: Client) -> None:
        self.pool = pool
        self._client = client
        self.registry = CollectorRegistry()
        self.heard = 0
        self.is_deaf = False
        self.auditor = self.beating(0.001)

    def beating(self, seconds: float) -> Auditor:
        """An auditor that beats every so often."""
        return Auditor(self.pool, self._client, WatchMetrics(self.registry), self._hear, beat_seconds=seconds)

    async def _hear(self) -> bool:
        self.heard += not self.is_deaf
        return not self.is_deaf

    async def broken(self) -> list[Invariant]:
        """What does not hold now."""
        await self.auditor.run_once()
        assert self.auditor.broken is not None
        return sorted(self.auditor.broken)

    def sample(self, name: str, **labels: str) -> float | None:
        """A metric as Prometheus would read it."""
        return self.registry.get_sample_value(name, labels)

    async def pass_real(self, seconds: float) -> None:
        """So many real seconds have passed since the time was warped."""
        await self.pool.execute(
            "UPDATE time_warp SET real_anchor = real_anchor - $1::interval", timedelta(seconds=seconds)
        )


@pytest.fixture
async def watched(pool: Pool, clock_control: Any, nats_client: Client, jetstream: JetStreamContext) -> Watched:
    """Time stands at NOW, and has stood there for an hour."""
    await clock_control.freeze(NOW)
    made = Watched(pool, nats_client)
    await made.pass_real(3600)
    return made


async def test_a_sound_pager_beats(watched: Watched) -> None:
    """All invariants hold, each is 1, and the beat is a metric as well."""
    assert [] == await watched.broken()
    assert 1 == watched.heard
    assert {1.0} == {watched.sample("sla_invariant_held", invariant=each) for each in Invariant}
    assert watched.sample("sla_heartbeat_timestamp_seconds") > 0
    assert 1.0 == watched.sample("sla_heartbeats_total", outcome="sent")
    assert await watched.auditor.check() is None


Break = Callable[[Pool, datetime], Awaitable[Any]]


async def _due_clock(pool: Pool, at: datetime) -> None:
    made = ticket("1")
    await rows.insert(
        pool, "clock", ticket_id=made.id, target="first_response", cycle=1, tenant="default", matched="", policy_version=0,
        calendar="always", state="running", started_at=PAST, due_at=at, next_fire_at=at,
    )  # fmt: skip


async def _due_request(pool: Pool, at: datetime) -> None:
    await rows.insert(
        pool, "escalation_request", id=ticket("1").id, tenant="default", ticket_id=ticket("1").id, reason="manual",
        due_at=at, about=b"{}",
    )  # fmt: skip


async def _due_step(pool: Pool, at: datetime) -> None:
    await rows.escalation(pool, PAST, ticket("1").id, next_step_at=at)


async def _due_waking(pool: Pool, at: datetime) -> None:
    await rows.escalation(
        pool, PAST, ticket("1").id, state="acknowledged", next_step_at=None, wakes_at=at, wakes_for="snooze"
    )


async def _due_end(pool: Pool, at: datetime) -> None:
    await rows.escalation(pool, PAST, ticket("1").id, next_step_at=NOW + timedelta(hours=1), ends_at=at)


async def _due_change_of_hands(pool: Pool, at: datetime) -> None:
    await rows.escalation(pool, PAST, ticket("1").id, next_step_at=NOW + timedelta(hours=1), hands_over_at=at)


async def _due_group(pool: Pool, at: datetime) -> None:
    await rows.group(pool, PAST, next_at=at)


async def _due_page(pool: Pool, at: datetime) -> None:
    await rows.page(pool, PAST, 0, next_attempt_at=at)


async def _held_page(pool: Pool, at: datetime) -> None:
    await rows.page(pool, PAST, 0, next_attempt_at=PAST, deferred_until=at, deferred_for="throttle")


async def _due_fallback(pool: Pool, at: datetime) -> None:
    await rows.page(pool, PAST, 0, next_attempt_at=NOW + timedelta(hours=1), fallback_at=at)


async def _due_receipt(pool: Pool, at: datetime) -> None:
    await rows.page(pool, PAST, 0, 1, 1, verify_by=at)


_WAITING: tuple[tuple[Invariant, Break], ...] = (
    (Invariant.CLOCKS, _due_clock),
    (Invariant.REQUESTS, _due_request),
    (Invariant.STEPS, _due_step),
    (Invariant.WAKINGS, _due_waking),
    (Invariant.WAKINGS, _due_end),
    (Invariant.WAKINGS, _due_change_of_hands),
    (Invariant.GROUPS, _due_group),
    (Invariant.PAGES, _due_page),
    (Invariant.PAGES, _held_page),
    (Invariant.PAGES, _due_fallback),
    (Invariant.PAGES, _due_receipt),
)


@pytest.mark.parametrize(("invariant", "make"), _WAITING)
async def test_a_row_that_is_due_for_over_thirty_seconds_stops_the_beat(
    watched: Watched, invariant: Invariant, make: Break
) -> None:
    """Each kind of row; 29 seconds are no trouble, and what is not due yet, or held back until later, none at all."""
    await watched.pool.execute(
        "UPDATE time_warp SET rate = 1, real_anchor = clock_timestamp() - interval '1 h', virtual_anchor = $1",
        NOW - timedelta(hours=1),
    )
    for age, expected in ((-60, []), (29, []), (45, [invariant])):
        await make(watched.pool, NOW - timedelta(seconds=age))
        assert expected == await watched.broken(), age
        shown = watched.sample("sla_oldest_due_seconds", waiting=invariant)
        assert max(age, 0) <= shown <= max(age + 5, 0)
        await watched.pool.execute("TRUNCATE clock, escalation_request, page_group, escalation CASCADE")
    assert [] == await watched.broken()
    assert (3, 1.0) == (watched.heard, watched.sample("sla_heartbeats_total", outcome="withheld"))


async def test_ages_count_in_real_seconds_while_a_trial_warps_the_time(watched: Watched, clock_control: Any) -> None:
    """At a thousandfold pace three hours late are eleven real seconds; a leap of a day is as old as the leap."""
    await _due_page(watched.pool, PAST)
    assert [Invariant.PAGES] == await watched.broken()
    await clock_control.run(to=NOW, rate=1000.0)
    await watched.pass_real(3600)
    await watched.pool.execute("UPDATE time_warp SET virtual_anchor = virtual_anchor - interval '3600000 s'")
    assert [] == await watched.broken()
    assert 10.8 == pytest.approx(watched.sample("sla_oldest_due_seconds", waiting="pages"), abs=1)
    await clock_control.advance(days=1)
    assert [] == await watched.broken()
    assert watched.sample("sla_oldest_due_seconds", waiting="pages") < 5


async def test_a_lease_that_nobody_takes_over_stops_the_beat(watched: Watched) -> None:
    """Its sender died; the time that counts here is the server's own."""
    lease = {"state": "sending", "lease": ticket("1").id, "attempts": 1}
    page = await rows.page(watched.pool, NOW, 0, lease_until=datetime(2020, 1, 1, tzinfo=UTC), **lease)
    assert [Invariant.LEASES] == await watched.broken()
    await watched.pool.execute("UPDATE page SET lease_until = clock_timestamp() - interval '5 s' WHERE id = $1", page)
    assert [] == await watched.broken()


async def test_events_that_nobody_publishes_stop_the_beat(watched: Watched) -> None:
    """After a minute."""
    await rows.insert(watched.pool, "outbox", id=ticket("1").id, subjects=["sla.x"], payloads=[b"{}"])
    assert [] == await watched.broken()
    await watched.pool.execute("UPDATE outbox SET written_at = written_at - interval '61 s'")
    assert [Invariant.OUTBOX] == await watched.broken()


@pytest.mark.parametrize(
    ("escalation", "pages", "is_forgotten"),
    [
        ({}, [], False),
        ({"next_step_at": None}, [], True),
        ({"next_step_at": None, "held_for": timedelta(minutes=5)}, [], False),
        ({"next_step_at": None}, [{"state": "failed"}, {"state": "cancelled"}], True),
        ({"next_step_at": None}, [{"state": "pending", "deferred_until": NOW, "deferred_for": "throttle"}], False),
        ({"next_step_at": None, "reason": "warned"}, [{"state": "accepted", "accepted_at": NOW}], False),
        ({"next_step_at": None}, [{"state": "accepted", "accepted_at": NOW, "kind": "resolve"}], True),
        ({"next_step_at": None}, [{"state": "accepted", "accepted_at": NOW, "kind": "copy"}], True),
        ({"next_step_at": None, "reason": "warned"}, [{"state": "failed"}], True),
        ({"next_step_at": None}, [{"state": "grouped"}], True),
        ({"next_step_at": None, "state": "exhausted"}, [{"state": "failed"}], True),
        ({"next_step_at": None, "state": "exhausted"}, [{"state": "accepted", "accepted_at": NOW}], False),
        ({"next_step_at": None, "state": "acknowledged", "acknowledged_by": "ana"}, [], False),
        ({"next_step_at": None, "state": "resolved", "resolved_at": NOW}, [], False),
    ],
)
async def test_nobody_is_forgotten(
    watched: Watched, escalation: dict[str, Any], pages: list[dict[str, Any]], is_forgotten: bool
) -> None:
    """Something follows, somebody was reached, or somebody took over; else the beat stops."""
    escalation_id = await rows.escalation(watched.pool, NOW, ticket("1").id, **escalation)
    for number, page in enumerate(pages):
        await rows.page(watched.pool, NOW, 0, name=str(number), escalation_id=escalation_id, **page)
    assert ([Invariant.NOBODY_FORGOTTEN] if is_forgotten else []) == await watched.broken()


async def test_a_warning_that_reached_nobody_is_followed_by_the_breach(watched: Watched) -> None:
    """While its promise runs nobody is forgotten."""
    ticket_id = await rows.ticket(watched.pool, NOW)
    await rows.insert(
        watched.pool, "clock", ticket_id=ticket_id, target="first_response", cycle=1, tenant="default", matched="",
        policy_version=0, calendar="always", state="running", started_at=PAST, due_at=NOW + timedelta(hours=1),
        next_fire_at=NOW + timedelta(hours=1), escalate="wake the lead",
    )  # fmt: skip
    escalation = await rows.escalation(watched.pool, NOW, ticket_id, next_step_at=None, reason="warned")
    await rows.page(watched.pool, NOW, 0, escalation_id=escalation, state="failed")
    assert [] == await watched.broken()


async def test_a_page_in_a_group_is_on_its_way_while_somebody_looks_at_the_group(watched: Watched) -> None:
    """Or once a page about the group has told it."""
    escalation = await rows.escalation(watched.pool, NOW, ticket("1").id, next_step_at=None)
    group = await rows.group(watched.pool, NOW, next_at=NOW + timedelta(minutes=1))
    await rows.page(watched.pool, NOW, 0, escalation_id=escalation, state="grouped", group_id=group)
    assert [] == await watched.broken()
    await watched.pool.execute("UPDATE page_group SET next_at = NULL")
    assert [Invariant.NOBODY_FORGOTTEN] == await watched.broken()
    await watched.pool.execute("UPDATE page SET told_by = id")
    assert [] == await watched.broken()


async def test_every_breach_has_the_escalation_that_the_policy_has_for_it(watched: Watched) -> None:
    """One that was resolved since counts; a promise that nobody is paged for needs none."""
    for number, escalate in enumerate((None, "wake the lead")):
        made = ticket(str(number))
        await rows.insert(
            watched.pool, "clock", ticket_id=made.id, target="first_response", cycle=1, tenant="default", matched="",
            policy_version=0, calendar="always", state="breached", started_at=PAST, due_at=PAST, breached_at=PAST,
            escalate=escalate,
        )  # fmt: skip
    assert [Invariant.BREACHES_ESCALATED] == await watched.broken()
    await rows.escalation(watched.pool, NOW, made.id, state="resolved", resolved_at=NOW, next_step_at=None)
    assert [] == await watched.broken()


async def test_events_that_no_router_takes_stop_the_beat(
    watched: Watched, jetstream: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute of standstill; one event taken and settled, and it beats again."""
    passed = 0.0
    monkeypatch.setattr(auditors.timesource, "monotonic", lambda: 1000.0 + passed)
    for n in range(2):
        await jetstream.publish(subjects.ticket("acme", "opened"), str(n).encode())
    assert [] == await watched.broken()
    passed = 61.0
    assert [Invariant.NATS] == await watched.broken()
    subscription = await jetstream.pull_subscribe_bind(streams.ROUTER, subjects.TICKETS)
    [message] = await subscription.fetch(1)
    await message.ack_sync()
    assert [] == await watched.broken()


async def test_a_consumer_that_is_gone_stops_the_beat(watched: Watched, jetstream: JetStreamContext) -> None:
    """NATS was wiped and nobody has made it anew."""
    await jetstream.delete_consumer(subjects.TICKETS, streams.ROUTER)
    assert [Invariant.NATS] == await watched.broken()


async def test_without_a_database_nothing_is_known_to_hold(watched: Watched) -> None:
    """Not one invariant of it counts as held, and no beat goes out."""
    await watched.pool.close()
    assert [Invariant.DATABASE] == await watched.broken()
    held = {each for each in Invariant if watched.sample("sla_invariant_held", invariant=each)}
    assert ({Invariant.NATS}, 0) == (held, watched.heard)


async def test_a_beat_that_nobody_hears_is_no_beat(watched: Watched) -> None:
    """The metric stands still, so that whoever watches it alarms."""
    watched.is_deaf = True
    assert [] == await watched.broken()
    assert (0.0, 1.0) == (
        watched.sample("sla_heartbeat_timestamp_seconds"),
        watched.sample("sla_heartbeats_total", outcome="failed"),
    )


async def test_a_beat_is_heard_once_a_period_and_one_that_failed_is_sent_again_at_the_next_look(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks every ten seconds, a beat every thirty; one that nobody heard costs ten seconds, not thirty."""
    passed = 0.0
    monkeypatch.setattr(auditors.timesource, "monotonic", lambda: 1000.0 + passed)
    watched.registry = CollectorRegistry()
    auditor = watched.beating(30.0)
    assert 10.0 == auditor.look_seconds
    heard = []
    for look in range(8):
        passed = look * 10.1
        watched.is_deaf = look == 3
        await auditor.run_once()
        heard.append(watched.heard)
    assert [1, 1, 1, 1, 2, 2, 2, 3] == heard


async def test_what_breaks_is_said_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """And once when it holds again; readiness says it all the while."""
    caplog.set_level("INFO")
    await rows.escalation(watched.pool, NOW, ticket("1").id, next_step_at=None)
    for _ in range(3):
        await watched.broken()
    said = await watched.auditor.check()
    await watched.pool.execute("TRUNCATE escalation CASCADE")
    for _ in range(3):
        await watched.broken()
    events = [record.event for record in caplog.records if hasattr(record, "event")]
    assert ["invariant_broken", "invariant_holds"] == events
    assert "nobody_forgotten: 1 escalations" in said


_SILENT = """
calendars: {always: {hours: always}}
targets: [{name: all, calendar: always, resolution: 1h}]
escalations: {wake: {steps: [{after: 0m, page: [channel/console]}], otherwise: [channel/console]}}
"""


@pytest.mark.parametrize("is_since_ever", [False, True])
async def test_a_policy_that_would_have_escalated_what_broke_before_it_came_forgets_nobody(
    watched: Watched, is_since_ever: bool
) -> None:
    """A promise broke under a version that pages nobody; a later version that does is put on open tickets, now or from ever."""
    desk = RollingDesk(watched.pool)
    await desk.apply(_SILENT)
    await desk.record([opened("1", await desk.at(timedelta()))])
    await desk.at(timedelta(hours=2))
    await desk.fire()
    await desk.at(timedelta(hours=3))
    reach = Reach(opened_from=START - timedelta(days=1)) if is_since_ever else Reach(is_for_open=True)
    await desk.apply(_SILENT.replace("resolution: 1h", "resolution: 1h, escalate: wake"), reach)
    await desk.roll()
    [[clock]] = (await desk.clocks()).values()
    assert ("wake" if is_since_ever else None) == clock.escalate
    assert [] == await watched.broken()
