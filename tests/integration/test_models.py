"""Trained models at work on a real database: shadow, in force, rolled back; corrections; what `explain` says of them."""

import asyncio
import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from nats.aio.client import Client
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry

from services.console.__main__ import run
from services.console.training.history import CORRECTION_COLUMNS, Columns, Reading, cells_of
from services.router import trained
from services.router.assignment import Assignment
from services.router.domain.weights import BadModel, Field
from services.router.intake import Intake
from services.router.metrics.assignment import AssignmentMetrics
from services.router.metrics.tickets import RouterMetrics
from services.router.scoring import SCORES_KEPT, Scoring
from services.router.store import trained as trained_store
from services.router.trained import Changed, NoModel, NotAllowed
from services.router.versions import policies
from shared.contract.events import Data, Opened, TicketEvent, Updated
from shared.contract.tickets import Urgency
from shared.jetstream.publish import open_publisher
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Pool
from tests import lessons
from tests.conftest import Database
from tests.lessons import KNOWS, saying

MONDAY = datetime(2026, 6, 1, 9, tzinfo=UTC)
NOW = MONDAY + timedelta(minutes=30)
POLICY = """
themes:
  - {name: parcels, when: {text: customs}}
urgency:
  - {name: outage, urgency: urgent, when: {text: outage}}
skills:
  - {name: who knows money, need: [billing], when: {theme: billing}}
targets:
  - {name: urgent ones, calendar: always, first_response: 1h, when: {urgency: urgent}}
  - {name: the rest, calendar: always, first_response: 8h}
"""


class Desk(Struct, frozen=True, kw_only=True):
    """A router's intake and its models."""

    pool: Pool
    intake: Intake
    scoring: Scoring
    shelf: PolicyShelf
    registry: CollectorRegistry

    async def open(self, ticket: str, text: str, tenant: str = "acme", **fields: Any) -> Any:
        """A ticket with this text comes in; its row."""
        await self.take(ticket, saying(text, **fields), "opened", tenant=tenant)
        return await self.row(ticket, tenant)

    async def take(self, ticket: str, data: Data, name: str, *, tenant: str = "acme", at: datetime = MONDAY) -> None:
        """Something happens to a ticket."""
        event = TicketEvent(
            tenant=tenant, id=f"{ticket}-{name}", source="shop", ticket=ticket, occurred_at=at, data=data
        )
        (receipt,) = await self.intake.process([event])
        assert receipt.rejected is None

    async def row(self, ticket: str, tenant: str = "acme") -> Any:
        """A ticket as it is stored."""
        return await self.pool.fetchrow(
            "SELECT *, needs::text AS needed FROM ticket WHERE tenant = $1 AND external_id = $2", tenant, ticket
        )

    async def add(self, file: bytes, tenant: str = "acme") -> int:
        """A model is added."""
        async with self.pool.acquire() as connection:
            return (await trained.add(connection, tenant, file, "a test", NOW)).version

    async def promote(self, version: int, tenant: str = "acme", at: datetime = NOW) -> Changed:
        """It is put in force, and noticed."""
        async with self.pool.acquire() as connection:
            changed = await trained.promote(connection, self.shelf, tenant, version, at)
        await self.scoring.run_once()
        return changed

    def count(self, name: str, **labels: str) -> float:
        """A counter as Prometheus sees it."""
        return self.registry.get_sample_value(name, labels) or 0


@pytest.fixture
async def desk(pool: Pool, nats_client: Client, jetstream: JetStreamContext, clock_control) -> Desk:
    """On Monday morning, with a policy and no model."""
    await clock_control.freeze(NOW)
    registry, shelf = CollectorRegistry(), PolicyShelf()
    relay, metrics = Relay(await open_publisher(nats_client), pool), RouterMetrics(registry)
    assignment = Assignment(pool, shelf, AssignmentMetrics(registry), relay)
    async with pool.acquire() as connection:
        for tenant in ("acme", "globex"):
            await policies.apply_policy(connection, tenant, POLICY, "a test", NOW)
    scoring = Scoring(pool, metrics)
    intake = Intake(pool, shelf, assignment, relay, metrics, scoring=scoring)
    return Desk(pool=pool, intake=intake, scoring=scoring, shelf=shelf, registry=registry)


async def test_a_model_in_force_says_what_rules_do_not_know(desk: Desk) -> None:
    """Theme, urgency, skills and promise follow; rules come first, the urgency is only raised."""
    before = await desk.open("0", "my invoice, and fire")
    assert ("unknown", "normal", "[]") == (before["theme"], before["urgency"], before["needed"])
    await desk.promote(await desk.add(lessons.model(KNOWS)))

    both = await desk.open("1", "my invoice, and fire")
    assert ("billing", "urgent", "urgent ones") == (both["theme"], both["urgency"], both["matched"])
    assert ('[["billing", 1]]', ["who knows money"]) == (both["needed"], both["rules"])
    ruled = await desk.open("2", "invoice of customs")
    assert ("parcels", "normal") == (ruled["theme"], ruled["urgency"])
    low = await desk.open("3", "parcel of newsletter, an outage")
    assert ("shipping", "urgent", ["outage"]) == (low["theme"], low["urgency"], low["rules"])
    said = await desk.open("4", "newsletter, parcel", urgency=Urgency.HIGH)
    assert "high" == said["urgency"]
    assert before == await desk.row("0")
    assert 4 == desk.count("sla_tickets_scored_total", state="promoted", said="sure")


async def test_an_unsure_model_sends_to_triage(desk: Desk) -> None:
    """Only where no rule knows the theme, and as the policy wants it."""
    await desk.promote(await desk.add(lessons.model(KNOWS)))
    unsure = await desk.open("1", "good morning everybody")
    assert ("unknown", '[["triage", 1]]') == (unsure["theme"], unsure["needed"])
    assert "[]" == (await desk.open("2", "good morning, customs"))["needed"]
    assert 2 == desk.count("sla_tickets_scored_total", state="promoted", said="unsure")

    async with desk.pool.acquire() as connection:
        await policies.apply_policy(connection, "acme", f"model: {{triage: none}}\n{POLICY}", "a test", NOW)
    assert "[]" == (await desk.open("3", "good morning everybody"))["needed"]
    async with desk.pool.acquire() as connection:
        await policies.apply_policy(connection, "acme", f"model: {{confidence: 20%}}\n{POLICY}", "a test", NOW)
    assert (await desk.open("4", "good morning everybody"))["theme"] in {"billing", "shipping"}
    assert "unknown" == (await desk.row("1"))["theme"]


async def test_without_a_model_there_is_no_triage_and_no_trace(desk: Desk) -> None:
    """Nobody without a model has anything to do with it."""
    await desk.scoring.run_once()
    ticket = await desk.open("1", "good morning everybody")

    assert ("unknown", "[]") == (ticket["theme"], ticket["needed"])
    assert 0 == await desk.pool.fetchval("SELECT count(*) FROM model_score")
    assert ["opened"] == [row[0] for row in await desk.pool.fetch("SELECT data ->> 'kind' FROM ticket_event")]


async def test_a_model_in_shadow_is_heard_by_nobody(desk: Desk) -> None:
    """Its scores are kept beside the tickets, which are judged without it."""
    version = await desk.add(lessons.model(KNOWS))
    async with desk.pool.acquire() as connection:
        assert version == (await trained.shadow(connection, "acme", version, NOW)).shadow
    await desk.scoring.run_once()
    for ticket, text in {"1": "invoice, fire", "2": "customs: parcel", "3": "customs: invoice", "4": "hello"}.items():
        row = await desk.open(ticket, text)
        assert "normal" == row["urgency"]
    assert "unknown" == (await desk.row("1"))["theme"]
    assert 4 == await desk.pool.fetchval("SELECT count(*) FROM model_score WHERE version = $1", version)
    await desk.take("1", Updated(theme="billing"), "said", at=NOW)
    await desk.take("2", Updated(theme="letters"), "said", at=NOW)

    async with desk.pool.acquire() as connection:
        compared = (await trained.show(connection, desk.shelf, "acme", version)).compared
    assert (4, 3) == (compared.tickets, compared.theme_sure)
    assert (1, 0, 0) == (compared.theme_ruled, compared.theme_agrees, compared.theme_alone)
    assert (2, 1) == (compared.theme_corrected, compared.theme_right)
    assert (1, 0) == (compared.urgency_sure, compared.urgency_agrees)
    assert 3 == desk.count("sla_tickets_scored_total", state="shadow", said="sure")


async def test_a_promotion_is_noticed_and_rolled_back_step_by_step(desk: Desk) -> None:
    """Each look at the table is enough; a rollback leads to what was in force before, and then to none."""
    first = await desk.add(lessons.model(KNOWS))
    second = await desk.add(lessons.model({Field.THEME: {"money": "invoice", "other": "parcel"}}))
    await desk.promote(first)
    changed = await desk.promote(second, at=NOW + timedelta(seconds=1))
    assert (second, first) == (changed.in_force, changed.previous)
    assert "money" == (await desk.open("1", "invoice"))["theme"]
    for expected, theme in ((first, "billing"), (None, "unknown")):
        async with desk.pool.acquire() as connection:
            changed = await trained.rollback(connection, desk.shelf, "acme", NOW)
        assert expected == changed.in_force
        await desk.scoring.run_once()
        assert theme == (await desk.open(f"after {expected}", "invoice"))["theme"]
    async with desk.pool.acquire() as connection:
        with pytest.raises(NotAllowed, match="no model is in force"):
            await trained.rollback(connection, desk.shelf, "acme", NOW)


async def test_what_has_learned_nothing_is_never_in_force(desk: Desk) -> None:
    """The refusal has the figures; a head that has learned nothing is not asked beside one that has."""
    nothing = await desk.add(lessons.model(KNOWS, learned=False))
    with pytest.raises(NotAllowed, match=r"learned nothing.*always `billing` 0\.300"):
        await desk.promote(nothing)
    partly = await desk.add(lessons.model(KNOWS, learned={Field.THEME: False, Field.URGENCY: True}))
    changed = await desk.promote(partly)
    assert ["its theme learned nothing, so only urgency is used"] == list(changed.warnings)
    ticket = await desk.open("1", "invoice, fire")
    assert ("unknown", "urgent", "[]") == (ticket["theme"], ticket["urgency"], ticket["needed"])
    assert "billing" == await desk.pool.fetchval("SELECT theme FROM model_score")  # it is kept, to compare


async def test_a_promotion_warns_where_nobody_can_triage(desk: Desk) -> None:
    """And shows how the model did, class by class."""
    version = await desk.add(lessons.model(KNOWS))
    changed = await desk.promote(version)
    assert "nobody on the roster has the skill `triage`" in changed.warnings[0]
    assert ["billing", "shipping"] == [line.name for line in changed.heads[0].report.classes]
    await desk.pool.execute(
        "INSERT INTO agent (tenant, key, name, skills) VALUES ('acme', 'ana', 'Ana', '{\"triage\": 1}')"
    )
    assert () == (await desk.promote(version)).warnings


async def test_models_are_each_tenants_own(desk: Desk) -> None:
    """And a file is added once."""
    file = lessons.model(KNOWS)
    assert [1, 1, 2] == [await desk.add(file), await desk.add(file), await desk.add(lessons.model(KNOWS, seed=1))]
    await desk.promote(1)
    assert "unknown" == (await desk.open("1", "invoice", "globex"))["theme"]
    assert "billing" == (await desk.open("1", "invoice", "acme"))["theme"]
    async with desk.pool.acquire() as connection:
        with pytest.raises(NoModel, match="there are: none"):
            await trained.show(connection, desk.shelf, "globex", 1)
        with pytest.raises(NotAllowed, match="is in force"):
            await trained.shadow(connection, "acme", 1, NOW)
        with pytest.raises(NotAllowed, match="not used"):
            await trained.stop(connection, "acme", 2, NOW)
        with pytest.raises(BadModel):
            await trained.add(connection, "acme", b"hello", "a test", NOW)
        assert (await trained.stop(connection, "acme", 1, NOW)).in_force is None


async def test_unused_models_do_not_pile_up(desk: Desk) -> None:
    """The newest stay, what is used, and what was in force last."""
    first = await desk.add(lessons.model(KNOWS))
    await desk.promote(first)
    for seed in range(1, trained.KEPT + 3):
        await desk.add(lessons.model({Field.THEME: KNOWS[Field.THEME]}, seed=seed))
    async with desk.pool.acquire() as connection:
        kept = [model.version for model in (await trained.show_all(connection, "acme")).models]

    assert [*range(trained.KEPT + 3, 3, -1), first] == kept


async def test_a_model_that_is_broken_costs_its_opinion_and_nothing_else(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tickets are recorded; the fault is counted. One that can't even be read is set aside."""
    await desk.promote(await desk.add(lessons.model(KNOWS)))
    monkeypatch.setattr("services.router.domain.scoring.Scorer.score", lambda *_: 1 / 0)
    assert "unknown" == (await desk.open("1", "invoice"))["theme"]
    assert 1 == desk.count("sla_scoring_failures_total")
    await desk.pool.execute("UPDATE model SET weights = 'no model', state = 'retired'")
    await desk.scoring.run_once()
    await desk.pool.execute("UPDATE model SET state = 'promoted'")
    assert [1, 0] == [await desk.scoring.run_once(), await desk.scoring.run_once()]
    assert "unknown" == (await desk.open("2", "invoice"))["theme"]


async def test_tickets_opened_twice_or_late_are_scored_by_the_opening_that_counts(desk: Desk) -> None:
    """Whatever comes first; what happened before the opening was known, too."""
    await desk.promote(await desk.add(lessons.model(KNOWS)))
    await desk.take("1", Updated(attributes={"a": 1}), "early", at=NOW)
    await desk.take("1", saying("my parcel"), "second", at=MONDAY + timedelta(minutes=5))
    assert "shipping" == (await desk.row("1"))["theme"]
    await desk.take("1", saying("my invoice"), "first")
    assert "billing" == (await desk.row("1"))["theme"]
    await desk.take("1", saying("my invoice"), "first")
    assert 1 == await desk.pool.fetchval("SELECT count(*) FROM model_score")


async def test_a_person_beats_model_and_rules_and_teaches_them(desk: Desk) -> None:
    """A correction holds from then on, and comes back as a row to learn from, with the ticket's text."""
    await desk.promote(await desk.add(lessons.model(KNOWS)))
    await desk.open("1", "invoice, fire", subject="Hello", language="en")
    await desk.take("1", Updated(theme="refunds", urgency=Urgency.LOW), "said", at=NOW)
    await desk.open("2", "customs")
    await desk.take("2", Updated(theme="letters"), "said", at=NOW)
    await desk.take("2", Updated(theme="stamps"), "said again", at=NOW + timedelta(minutes=1))
    await desk.open("3", "parcel")
    await desk.take("3", Updated(theme="shipping", urgency=Urgency.NORMAL), "agreed", at=NOW)

    corrected = await desk.row("1")
    assert ("refunds", "low", "[]", "the rest") == tuple(
        corrected[name] for name in ("theme", "urgency", "needed", "matched")
    )
    assert "stamps" == (await desk.row("2"))["theme"]
    rows = await desk.pool.fetch("SELECT field, was, now FROM correction ORDER BY was, field")
    assert [("theme", "billing", "refunds"), ("theme", "letters", "stamps"), ("theme", "parcels", "letters"), ("urgency", "urgent", "low")] == [
        tuple(row) for row in rows
    ]  # fmt: skip
    async with desk.pool.acquire() as connection:
        found = sorted(
            [one async for one in trained.corrections(connection, "acme")], key=lambda one: one.text or "", reverse=True
        )
        assert [] == [one async for one in trained.corrections(connection, "globex")]
    out = io.StringIO()
    csv.writer(out).writerows([CORRECTION_COLUMNS, *map(cells_of, found)])
    reading = Reading(most=10, seed=0)
    reading.read(io.StringIO(out.getvalue()), Columns(), {urgency.value: urgency for urgency in Urgency})
    for one in found:
        reading.add(one)
    history = reading.done()
    assert [("Hello\ninvoice, fire", {Field.THEME: "refunds", Field.URGENCY: "low"}), ("customs", {Field.THEME: "stamps"})] * 2 == [
        (row.text, row.labels) for row in history.used
    ]  # fmt: skip


async def test_a_correction_is_no_correction_where_nothing_changes(desk: Desk) -> None:
    """What a helpdesk sends with every update as it was is not somebody's word against the model."""
    await desk.promote(await desk.add(lessons.model(KNOWS)))
    await desk.open("1", "fire", urgency=Urgency.LOW)
    await desk.take("1", Updated(urgency=Urgency.LOW, attributes={"a": 1}), "same", at=NOW)

    assert "urgent" == (await desk.row("1"))["urgency"]


async def test_old_scores_are_forgotten(desk: Desk) -> None:
    """After three months, some at a time."""
    await desk.promote(await desk.add(lessons.model(KNOWS)))
    await desk.open("1", "invoice")
    async with desk.pool.acquire() as connection:
        assert 0 == await trained_store.drop_old_scores(connection, NOW - SCORES_KEPT, 10)
        assert 1 == await trained_store.drop_old_scores(connection, NOW + timedelta(seconds=1), 10)


async def test_what_the_model_said_is_a_part_of_the_log(desk: Desk) -> None:
    """Its version and its confidences; a reload of the ticket makes the same of it."""
    await desk.promote(await desk.add(lessons.model(KNOWS)))
    await desk.open("1", "invoice")
    kinds = [row[0] for row in await desk.pool.fetch("SELECT data ->> 'kind' FROM ticket_event ORDER BY 1")]
    assert ["opened", "scored"] == kinds
    before = await desk.row("1")
    await desk.pool.execute("UPDATE model SET state = 'retired'")
    await desk.scoring.run_once()
    await desk.take("1", Updated(attributes={"a": 1}), "later", at=NOW)
    assert before["theme"] == (await desk.row("1"))["theme"]


def _openings(count: int) -> Sequence[TicketEvent]:
    return [
        TicketEvent(tenant="acme", id=f"{n}-opened", source="shop", ticket=f"{n}", occurred_at=MONDAY, data=saying("invoice"))
        for n in range(count)
    ]  # fmt: skip


async def test_a_whole_batch_is_scored_at_once(desk: Desk) -> None:
    """Each ticket has its score, whatever else is in the batch."""
    await desk.promote(await desk.add(lessons.model(KNOWS)))
    batch = [*_openings(150), TicketEvent(tenant="globex", id="x", source="shop", ticket="x", occurred_at=MONDAY, data=Opened(channel="email", text="invoice"))]  # fmt: skip
    receipts = await desk.intake.process(batch)

    assert all(receipt.rejected is None for receipt in receipts)
    assert [("acme", "billing", 150), ("globex", "unknown", 1)] == [
        tuple(row)
        for row in await desk.pool.fetch("SELECT tenant, theme, count(*) FROM ticket GROUP BY 1, 2 ORDER BY 1")
    ]


async def test_the_terminal_tells_who_said_what(
    desk: Desk, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Rules by name, the model's version and confidences, corrections, and all of it in the story."""
    await desk.promote(await desk.add(lessons.model(KNOWS)))
    await desk.open("1", "invoice, fire", channel="E-Mail", attributes={"state": "[/b] [red]"}, team="[/team]")
    await desk.take("1", Updated(theme="refunds", attributes={"state": "[/i]"}), "said", at=NOW)
    monkeypatch.setenv("DESKCLOCK_DATABASE_URL", database.url)
    monkeypatch.setenv("DESKCLOCK_HOME", str(tmp_path))
    monkeypatch.delenv("DESKCLOCK_ENVIRONMENT", raising=False)
    assert 0 == await asyncio.to_thread(run, ["ticket", "explain", "1", "--tenant", "acme"])
    out = capsys.readouterr().out

    for words in (
        "urgent, by model 1", "refunds, said by a person", "model 1 said", "theme billing (", "urgency urgent (", "% sure)",
        "theme billing -> refunds", '{"state":"[/i]"}', "[/team]", "scored by model 1: urgency normal -> urgent, theme unknown -> billing",
    ):  # fmt: skip
        assert words in out, out
