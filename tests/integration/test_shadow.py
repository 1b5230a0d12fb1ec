"""A candidate policy on a real database: judged beside the one in force, and heard of by nobody."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest
from msgspec import Struct
from prometheus_client import CollectorRegistry

from services.router.assignment import Assignment
from services.router.domain import trial
from services.router.intake import Intake
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.tickets import RouterMetrics
from services.router.versions import policies, shadow, shadowing
from services.router.versions.shadow import Comparison, Line, Started
from services.router.versions.shadowing import Shadows
from shared import timesource
from shared.contract.events import Opened, PolicyChanged, Replied, StatusChanged, TicketEvent
from shared.contract.tickets import Author, Channel, Status, TargetKind
from shared.ledger.policies import PolicyShelf
from shared.policy.errors import PolicyErrors
from shared.policy.parse import parse_policy
from shared.postgres.pool import Pool
from tests.integration.desk import Ears

MONDAY = datetime(2026, 6, 1, 9, tzinfo=UTC)
LIVE = """
targets:
  - {name: all, calendar: always, first_response: 4h, resolution: 8h, warn: [50%], escalate: wake}
escalations:
  wake: {steps: [{after: 0m, page: [person/ana]}]}
"""
STRICTER = """
targets:
  - {name: all by phone, when: {channel: phone}, calendar: always, first_response: 10m}
  - {name: all at once, calendar: always, first_response: 1h, resolution: 8h, warn: [50%], escalate: wake}
escalations:
  wake: {steps: [{after: 0m, page: [person/ana]}]}
"""
ROSTER = "people:\n  ana: {contacts: [console]}\n"


class Tried(Struct, frozen=True, kw_only=True):
    """A router with a policy in force, and what it says to Prometheus."""

    pool: Pool
    shadows: Shadows
    intake: Intake
    registry: CollectorRegistry

    async def start(self, text: str = STRICTER, tenant: str = "acme") -> Started:
        """Try a file; the router has noticed when this returns."""
        async with self.pool.acquire() as connection:
            now = await connection.fetchval("SELECT deskclock_now()")
            started = await shadow.start(connection, tenant, text, "test", now)
        await self.shadows.run_once()
        return started

    async def show(self, tenant: str = "acme") -> Comparison:
        """What the two make of the same tickets."""
        async with self.pool.acquire() as connection:
            found = await shadow.show(connection, tenant)
        assert found is not None
        return found

    async def follow(self) -> None:
        """The loop, until there is nothing left to do."""
        while await self.shadows.run_once():
            pass

    def counted(self, policy: str, outcome: str, target: str = "first_response", channel: str = "email") -> float:
        """Of the metric of outcomes."""
        labels = {"target": target, "channel": channel, "urgency": "normal", "outcome": outcome, "policy": policy}
        return self.registry.get_sample_value("sla_target_outcomes_total", labels) or 0.0


@pytest.fixture
async def tried(pool: Pool, clock_control) -> Tried:
    """A router of tenant acme, on Monday morning; ana can be paged."""
    await clock_control.freeze(MONDAY)
    async with pool.acquire() as connection:
        for tenant in ("acme", "globex"):
            await policies.apply_roster(connection, tenant, ROSTER, "test", MONDAY)
            await policies.apply_policy(connection, tenant, LIVE, "test", MONDAY)
    registry = CollectorRegistry()
    metrics, shelf, ears = RouterMetrics(registry), PolicyShelf(), Ears()
    shadows = Shadows(pool, metrics, most_tickets=3)
    assignment = Assignment(pool, shelf, AssignmentMetrics(registry), ears)  # type: ignore[arg-type]
    intake = Intake(pool, shelf, assignment, ears, metrics, shadows)  # type: ignore[arg-type]
    return Tried(pool=pool, shadows=shadows, intake=intake, registry=registry)


def opened(ticket: str = "1", at: datetime = MONDAY, *, channel: str = "email", tenant: str = "acme") -> TicketEvent:
    """A ticket comes into being."""
    return TicketEvent(
        tenant=tenant, id=f"{ticket}-opened", source="shop", ticket=ticket, occurred_at=at, data=Opened(channel=channel)
    )


def event(data: object, minutes: float, ticket: str = "1", tenant: str = "acme") -> TicketEvent:
    """Something happens to it, so long after Monday morning."""
    at = MONDAY + timedelta(minutes=minutes)
    return TicketEvent(tenant=tenant, id=f"{ticket}-{minutes}", source="shop", ticket=ticket, occurred_at=at, data=data)


def reply(minutes: float, ticket: str = "1", tenant: str = "acme") -> TicketEvent:
    """An agent answers."""
    return event(Replied(by=Author.AGENT), minutes, ticket, tenant)


def line(
    comparison: Comparison, target: TargetKind = TargetKind.FIRST_RESPONSE, channel: Channel = Channel.EMAIL
) -> Line:
    """One of the comparison's."""
    return next(each for each in comparison.lines if (each.target, each.channel) == (target, channel))


async def test_a_stricter_candidate_breaks_what_the_live_policy_keeps(tried: Tried, clock_control) -> None:
    """Time acts on the candidate's clocks, at their own due time, and both are counted each under its label."""
    await tried.start()
    await tried.intake.process([opened("1"), opened("2")])
    await tried.follow()
    await clock_control.advance(minutes=61)
    await tried.follow()
    await tried.intake.process([reply(61)])
    await tried.follow()
    found = await tried.show()
    first = line(found)
    assert (2, 1, 0, 1, 1.0) == (
        first.live.clocks, first.live.met, first.live.breached, first.live.running, first.live.attainment
    )  # fmt: skip
    assert (2, 0, 2, 0, 0.0) == (
        first.shadow.clocks, first.shadow.met, first.shadow.breached, first.shadow.running, first.shadow.attainment
    )  # fmt: skip
    assert (2, 0, 2) == (found.differences.tickets, found.differences.only_live, found.differences.only_shadow)
    assert {"1", "2"} == {each.external_id for each in found.examples}
    assert ("all", "all at once", MONDAY + timedelta(hours=1)) == (
        found.examples[0].live_matched, found.examples[0].shadow_matched, found.examples[0].shadow_due_at
    )  # fmt: skip
    assert (1.0, 0.0) == (tried.counted("live", "met"), tried.counted("live", "breached"))
    assert (0.0, 2.0) == (tried.counted("shadow", "met"), tried.counted("shadow", "breached"))


async def test_nobody_hears_of_a_shadow(tried: Tried, clock_control) -> None:
    """What is published, fired and paged is the same to the row with a candidate and without one."""
    said = []
    for tenant in ("acme", "globex"):  # only acme has a candidate
        await tried.start()
        await tried.intake.process([opened("1", tenant=tenant)])
        await tried.follow()
        said.append(await tried.pool.fetchval("SELECT coalesce(sum(cardinality(subjects)), 0) FROM outbox"))
        await tried.pool.execute("DELETE FROM outbox")
    await clock_control.advance(hours=3)
    await tried.follow()
    assert said[0] == said[1]
    assert 1 == await tried.pool.fetchval("SELECT count(*) FROM shadow_clock WHERE breached_at IS NOT NULL")
    for table in ("outbox", "escalation", "page"):
        assert 0 == await tried.pool.fetchval(f"SELECT count(*) FROM {table}")
    assert 4 == await tried.pool.fetchval("SELECT count(*) FROM clock WHERE policy_version = 1")


async def test_the_policy_in_force_as_its_own_shadow_agrees_with_itself(tried: Tried, clock_control) -> None:
    """The same functions on the same log give the same verdicts, whatever comes and whenever it is folded."""
    await tried.start(LIVE)
    await tried.intake.process([opened("1"), opened("2"), opened("3")])
    await clock_control.advance(minutes=300)
    await tried.intake.process([reply(200), reply(250, "2"), event(StatusChanged(status=Status.ON_HOLD), 260, "2")])
    await tried.intake.process([event(StatusChanged(status=Status.SPAM), 270, "3")])
    await tried.follow()
    found = await tried.show()
    assert 3 == found.tickets
    assert 0 == found.differences.tickets
    assert all(each.live == each.shadow for each in found.lines), found.lines
    live = await tried.pool.fetch(
        "SELECT ticket_id, target, cycle, state, due_at, breached_at FROM clock UNION ALL "
        "SELECT ticket_id, target, cycle, state, due_at, breached_at FROM clock_finished ORDER BY 1, 2, 3"
    )
    columns = "ticket_id, target, cycle, state, due_at, breached_at"
    assert live == await tried.pool.fetch(f"SELECT {columns} FROM shadow_clock ORDER BY 1, 2, 3")
    assert tried.counted("live", "met") == tried.counted("shadow", "met") == 1
    assert tried.counted("live", "breached") == tried.counted("shadow", "breached") == 2


async def test_a_late_event_takes_back_the_candidates_breach_too(tried: Tried, clock_control) -> None:
    """The comparison says how it is; the counters keep what they counted, as the live ones do."""
    await tried.start()
    await tried.intake.process([opened()])
    await clock_control.advance(minutes=90)
    await tried.follow()
    await tried.intake.process([reply(30)])
    await tried.follow()
    first = line(await tried.show())
    assert (1, 0) == (first.shadow.met, first.shadow.breached)
    assert (1.0, 1.0) == (tried.counted("shadow", "met"), tried.counted("shadow", "breached"))


async def test_only_tickets_opened_since_the_start_are_tried(tried: Tried, clock_control) -> None:
    """A ticket that the candidate did not see from its opening is no fair trial."""
    await tried.intake.process([opened("old")])
    await clock_control.advance(minutes=1)
    await tried.start()
    await tried.intake.process([opened("new", at=MONDAY + timedelta(minutes=1)), reply(1, "old")])
    await tried.follow()
    assert 1 == (await tried.show()).tickets
    assert 2 == await tried.pool.fetchval("SELECT count(*) FROM shadow_clock")


async def test_a_ticket_the_router_missed_at_first_comes_in_with_its_next_event(tried: Tried) -> None:
    """Between the start and a router's next look tickets may slip by; they are never half in."""
    async with tried.pool.acquire() as connection:
        await shadow.start(connection, "acme", STRICTER, "test", MONDAY)
    await tried.intake.process([opened()])
    await tried.follow()
    assert 0 == (await tried.show()).tickets
    await tried.intake.process([reply(0.5)])
    await tried.follow()
    assert (1, 1) == ((await tried.show()).tickets, line(await tried.show()).shadow.met)


async def test_another_candidate_takes_the_place_of_the_first(tried: Tried) -> None:
    """Its count begins anew; the same file again changes nothing."""
    first = await tried.start()
    await tried.intake.process([opened()])
    await tried.follow()
    again = await tried.start()
    assert (True, False, first.started_at) == (first.is_new, again.is_new, again.started_at)
    other = await tried.start(LIVE)
    assert other.is_new
    await tried.follow()
    assert (LIVE, 0, ()) == ((await tried.show()).source, (await tried.show()).tickets, (await tried.show()).lines)
    assert 0 == await tried.pool.fetchval("SELECT count(*) FROM shadow_clock")


async def test_a_stopped_candidate_leaves_nothing_behind(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows go in bounded batches, and at last the candidate itself."""
    monkeypatch.setattr(shadowing, "REMOVED_AT_ONCE", 2)
    await tried.start()
    await tried.intake.process([opened("1"), opened("2"), opened("3")])
    await tried.follow()
    async with tried.pool.acquire() as connection:
        assert await shadow.stop(connection, "acme")
        assert not await shadow.stop(connection, "acme")
        assert await shadow.show(connection, "acme") is None
    assert 4 == await tried.shadows.run_once()
    await tried.intake.process([reply(0.1)])  # marks nothing any more
    await tried.follow()
    await tried.pool.execute("UPDATE policy_shadow SET stopped_at = stopped_at - interval '2 minutes'")
    await tried.follow()
    for table in ("policy_shadow", "shadow_ticket", "shadow_clock", "shadow_mark"):
        assert 0 == await tried.pool.fetchval(f"SELECT count(*) FROM {table}"), table


async def test_a_candidate_that_raises_is_stopped_and_live_tickets_go_on(
    tried: Tried, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is logged, shown and counted; a fresh start of the same file tries it again."""
    await tried.start()

    def broken(*_: object) -> None:
        raise RecursionError("its conditions run in a circle")

    with monkeypatch.context() as patched:
        patched.setattr(trial, "judge", broken)
        (receipt,) = await tried.intake.process([opened()])
        await tried.follow()
    assert receipt.rejected is None
    assert 2 == await tried.pool.fetchval("SELECT count(*) FROM clock")
    found = await tried.show()
    assert "failed" == found.state
    assert "its conditions run in a circle" in (found.failure or "")
    assert "its conditions run in a circle" in caplog.text
    await tried.follow()
    assert 1.0 == tried.registry.get_sample_value("sla_shadow_policies", {"state": "failed"})
    assert 0 == await tried.pool.fetchval("SELECT count(*) FROM shadow_mark")
    assert (await tried.start()).is_new
    assert "running" == (await tried.show()).state


async def test_a_stored_candidate_that_cannot_be_read_is_stopped(tried: Tried) -> None:
    """As after an upgrade that reads files more strictly."""
    await tried.start()
    await tried.pool.execute("UPDATE policy_shadow SET document = $1", b'{"targets": 7}')
    await tried.intake.process([opened()])
    await tried.follow()
    assert "failed" == (await tried.show()).state


async def test_a_candidate_that_falls_too_far_behind_is_given_up(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks must not pile up without end."""
    await tried.start()
    await tried.intake.process([opened("1"), opened("2"), opened("3")])
    monkeypatch.setattr(shadowing, "MOST_BEHIND", 2)
    await tried.shadows.run_once()
    found = await tried.show()
    assert "failed" == found.state
    assert "does not catch up" in (found.failure or "")


async def test_a_candidate_is_tried_on_a_bounded_number_of_tickets(tried: Tried) -> None:
    """Those it has go on; later ones are left out."""
    await tried.start()
    await tried.intake.process([opened(str(n)) for n in range(5)])
    await tried.follow()
    assert 3 == (await tried.show()).tickets
    await tried.intake.process([reply(1, str(n)) for n in range(5)])
    await tried.follow()
    assert (3, 3) == ((await tried.show()).tickets, line(await tried.show()).shadow.met)


async def test_a_bad_file_is_refused_with_all_its_faults(tried: Tried) -> None:
    """As applying it would; the candidate that was there goes on."""
    await tried.start()
    with pytest.raises(PolicyErrors) as wrong:
        await tried.start("targets:\n  - {name: x, calendar: nowhere, first_response: soon}\n")
    assert [2, 2] == [error.line for error in wrong.value.errors]
    with pytest.raises(PolicyErrors):
        await tried.start(STRICTER.replace("person/ana", "person/bob"))
    assert STRICTER == (await tried.show()).source


async def test_tenants_know_nothing_of_each_others_candidates(tried: Tried) -> None:
    """One's start, tickets and stop change nothing for the other."""
    await tried.start(tenant="acme")
    await tried.start(LIVE, tenant="globex")
    await tried.intake.process([opened("1", tenant="acme"), opened("1", tenant="globex"), opened("2", tenant="globex")])
    await tried.follow()
    assert (1, 2) == ((await tried.show("acme")).tickets, (await tried.show("globex")).tickets)
    async with tried.pool.acquire() as connection:
        await shadow.stop(connection, "acme")
    await tried.follow()
    assert 2 == (await tried.show("globex")).tickets
    assert 4 == await tried.pool.fetchval("SELECT count(*) FROM shadow_clock")


async def test_candidates_take_turns_when_there_is_more_to_do_than_a_round_holds(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant with much traffic does not keep another's candidate waiting for ever."""
    monkeypatch.setattr(shadowing, "ROUND_SECONDS", -1.0)
    for tenant in ("acme", "globex"):
        await tried.start(tenant=tenant)
    await tried.intake.process([opened("1", tenant="acme"), opened("1", tenant="globex")])
    await tried.shadows.run_once()
    await tried.shadows.run_once()
    assert (1, 1) == ((await tried.show("acme")).tickets, (await tried.show("globex")).tickets)


async def test_an_outage_is_no_fault_of_the_candidate(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop tries again, and nothing is lost or counted twice."""
    await tried.start()
    await tried.intake.process([opened(), reply(0)])

    async def away(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(shadowing.ticket_rows, "load_logs", away)
        with pytest.raises(ConnectionResetError):
            await tried.shadows.run_once()
    await tried.follow()
    assert ("running", 1) == ((await tried.show()).state, (await tried.show()).tickets)
    assert 1.0 == tried.counted("shadow", "met")


async def test_two_routers_count_each_outcome_once(tried: Tried, clock_control) -> None:
    """One has the candidate at a time; the other leaves it alone, and nobody waits."""
    other = Tried(
        pool=tried.pool,
        shadows=Shadows(tried.pool, tried.intake._metrics),
        intake=tried.intake,
        registry=tried.registry,
    )
    await tried.start()
    await tried.intake.process([opened("1"), opened("2"), opened("3")])
    await clock_control.advance(hours=2)
    await asyncio.gather(tried.follow(), other.follow(), tried.follow(), other.follow())
    assert 3.0 == tried.counted("shadow", "breached")


def test_a_version_applied_to_open_tickets_is_no_business_of_the_candidate() -> None:
    """What the live ticket's log says of versions is left out of the trial."""
    changed = event(PolicyChanged(version=2, previous=1), 5)
    now = MONDAY + timedelta(minutes=10)
    candidate = parse_policy(STRICTER, version=0)
    plain = trial.try_on(candidate, [opened()], [], now)
    assert plain == trial.try_on(candidate, [opened(), changed], [], now)
    assert 2 == len(plain.clocks)


async def test_a_running_router_notices_a_candidate_and_says_its_outcomes(pool: Pool, jetstream, spawn) -> None:
    """In a process of its own, by what it answers to a scrape."""
    router = spawn("services.router", DESKCLOCK_METRICS_OPEN="true")
    await router.start()
    async with httpx.AsyncClient(base_url=router.url) as http:

        async def says(line: str) -> None:
            async with asyncio.timeout(20):
                while line not in (await http.get("/metrics")).text:
                    await timesource.pause(0.05)

        await says('sla_shadow_policies{state="running"} 0.0')
        async with pool.acquire() as connection:
            now = await connection.fetchval("SELECT deskclock_now()")
            await shadow.start(
                connection, "acme", "targets:\n  - {name: x, calendar: always, first_response: 1s}", "", now
            )
        await says('sla_shadow_policies{state="running"} 1.0')
        outcomes = 'sla_target_outcomes_total{{channel="email",outcome="{}",policy="{}",target="first_response",urgency="normal"}} {}'
        await says(outcomes.format("breached", "shadow", 0.0))
        at = (await pool.fetchval("SELECT deskclock_now()")).isoformat()
        body = {"specversion": "1.0", "id": "o", "source": "s", "type": "ticket.opened", "subject": "1", "time": at}
        await jetstream.publish("tickets.acme.opened", msgspec.json.encode({**body, "data": {"channel": "email"}}))
        await says(outcomes.format("breached", "shadow", 1.0))
        await says(outcomes.format("met", "live", 0.0))
        await says("sla_shadow_behind 0.0")
    assert 0 == router.stop()
