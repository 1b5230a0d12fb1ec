"""Taking responsibility: by the link of a page, by API key; the first answer counts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from services.escalation.helping import Helping
from shared.contract.access import Scope
from shared.contract.help import About, Why
from shared.ledger import help as help_rows
from shared.ledger.help import Cause, Request
from tests.integration.escalation.links import DUE, HTML, START, client_of, key_of, paged


@pytest.fixture
async def client(world) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP surface, without a key."""
    async with client_of(world) as made:
        yield made


async def test_r11_looking_at_the_link_acknowledges_nothing(world, clock_control, client):
    """Link scanners and chat previews follow links: a GET shows a form, and changes nothing."""
    link = await paged(world, clock_control)
    before = await everything(world)
    shown = await client.get(link, headers=HTML)
    assert 200 == shown.status_code
    assert "<form method='post'>" in shown.text
    assert 405 == (await client.head(link)).status_code
    assert "<script" not in shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert 200 == (await client.get(link, headers={"purpose": "prefetch", "accept": "*/*"})).status_code
    assert before == await everything(world)


async def everything(world) -> list[str]:
    """All that an answer could change."""
    tables = ("escalation", "page", "page_attempt", "page_group", "escalation_answer", "outbox")
    return [
        await world.pool.fetchval(f"SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {table} t")
        for table in tables
    ]


async def test_r9_the_button_stops_the_ladder_in_the_name_of_whoever_got_the_page(world, clock_control, client):
    """After it nobody else is paged."""
    link = await paged(world, clock_control)
    done = await client.post(link, headers=HTML)
    assert (200, True) == (done.status_code, "It is yours now" in done.text)
    [escalation] = await world.escalations()
    assert ("acknowledged", "ana", None) == (
        escalation["state"],
        escalation["acknowledged_by"],
        escalation["next_step_at"],
    )
    await clock_control.advance(hours=1)
    await world.drain()
    assert 1 == len(await world.pages())
    [told] = world.relay.data("escalation.acknowledged")
    assert ("ana", "881") == (told["by"], told["ticket"])
    [page] = await world.pages()
    assert DUE + timedelta(seconds=1) == page["acknowledged_at"]


async def test_r10_a_second_answer_learns_who_was_first(world, clock_control, client):
    """200, Ana's name and time; nothing changes."""
    link = await paged(world, clock_control)
    first = (await client.post(link)).json()
    await clock_control.advance(minutes=1)
    second = await client.post(link)
    for shown in (await client.get(link, headers=HTML), await client.post(link, headers=HTML)):
        assert "Ana acknowledged it at 2026-06-01 09:00:01 UTC" in shown.text
    assert (200, "acknowledged_before") == (second.status_code, second.json()["standing"])
    assert ("ana", first["acknowledged_at"]) == (second.json()["acknowledged_by"], second.json()["acknowledged_at"])
    assert 1 == world.relay.kinds().count("escalation.acknowledged")


async def test_r10_answering_a_resolved_one_changes_nothing(world, clock_control, client):
    """It stays resolved; the person is told that nothing is left to do."""
    link = await paged(world, clock_control)
    await world.pool.execute(
        "UPDATE escalation SET state = 'resolved', resolved_at = $1, resolution = 'met', next_step_at = NULL", DUE
    )
    done = await client.post(link)
    assert (200, "resolved") == (done.status_code, done.json()["standing"])
    assert ["resolved"] == [one["state"] for one in await world.escalations()]
    for shown in (await client.get(link, headers=HTML), await client.post(link, headers=HTML)):
        assert "nothing left to do" in shown.text


async def test_an_exhausted_escalation_can_still_be_acknowledged(world, clock_control, client):
    """Late is better than never."""
    link = await paged(world, clock_control)
    await clock_control.advance(minutes=10)
    await world.drain()
    await clock_control.advance(minutes=10)
    await world.drain()
    assert ["exhausted"] == [one["state"] for one in await world.escalations()]
    assert "acknowledged" == (await client.post(link)).json()["standing"]


async def test_an_unknown_link_says_so(client):
    """404, as a page for people and as a problem for programs."""
    for_people = await client.get("/v1/ack/nonsense", headers=HTML)
    assert (404, True) == (for_people.status_code, "not known" in for_people.text)
    for_programs = await client.post("/v1/ack/nonsense")
    assert (404, "application/problem+json") == (for_programs.status_code, for_programs.headers["content-type"])


async def test_the_token_is_kept_as_a_hash_only(world, clock_control):
    """Whoever reads the database can't acknowledge."""
    token = (await paged(world, clock_control)).rpartition("/")[2]
    [row] = await world.pool.fetch("SELECT page::text AS all_of_it FROM page")
    assert token not in row["all_of_it"]


async def test_a_key_with_the_scope_acknowledges_in_somebodys_name(world, clock_control, client):
    """Without the scope: 403; of another tenant: 404, as if it did not exist."""
    await paged(world, clock_control)
    [escalation] = await world.escalations()
    path = f"/v1/escalations/{escalation['id']}/acknowledge"
    assert 401 == (await client.post(path, json={"by": "ben"})).status_code
    reader = await key_of(world, Scope.TICKETS_READ)
    assert 403 == (await client.post(path, json={"by": "ben"}, headers=reader)).status_code
    stranger = await key_of(world, Scope.PAGES_ACK, tenant="other")
    assert 404 == (await client.post(path, json={"by": "ben"}, headers=stranger)).status_code
    acker = await key_of(world, Scope.PAGES_ACK)
    assert 422 == (await client.post(path, json={"by": ""}, headers=acker)).status_code
    done = await client.post(path, json={"by": "ben"}, headers=acker)
    assert (200, "ben") == (done.status_code, done.json()["acknowledged_by"])


async def test_escalations_and_pages_can_be_looked_up_a_page_at_a_time(world, clock_control, client):
    """Newest first, by opaque cursors; each with its pages and attempts."""
    await world.people("ana", "ben", "head")
    for number in range(3):
        await world.ticket(str(number), due_in=timedelta(minutes=1))
    await clock_control.advance(minutes=2)
    await world.drain()
    reader = await key_of(world, Scope.TICKETS_READ)
    for path, name in (("/v1/escalations", "escalations"), ("/v1/pages", "pages")):
        seen: list[str] = []
        cursor = None
        while True:
            query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
            answer = (await client.get(path, params=query, headers=reader)).json()
            seen += [one["id"] for one in answer[name]]
            cursor = answer["next_cursor"]
            if cursor is None:
                break
        assert 3 == len(set(seen)) == len(seen)
    found = (await client.get("/v1/escalations", params={"ticket": "1", "state": "open"}, headers=reader)).json()
    [escalation] = found["escalations"]
    story = (await client.get(f"/v1/escalations/{escalation['id']}", headers=reader)).json()
    assert ["accepted"] == [one["outcome"] for page in story["pages"] for one in page["attempts"]]
    assert 404 == (await client.get(f"/v1/escalations/{escalation['ticket_id']}", headers=reader)).status_code
    for cursor in ("x", "AAAA", "f" * 32):
        assert 422 == (await client.get("/v1/pages", params={"cursor": cursor}, headers=reader)).status_code
    wrong = await client.get("/v1/pages", params={"cursor": "x", "limit": "0"}, headers=reader)
    assert 422 == wrong.status_code


async def test_another_tenant_sees_none_of_it(world, clock_control, client):
    """Lists are empty, single ones are not found."""
    await paged(world, clock_control)
    stranger = await key_of(world, Scope.ADMIN, tenant="other")
    assert [] == (await client.get("/v1/escalations", headers=stranger)).json()["escalations"]
    assert [] == (await client.get("/v1/pages", headers=stranger)).json()["pages"]
    [escalation] = await world.escalations()
    assert 404 == (await client.get(f"/v1/escalations/{escalation['id']}", headers=stranger)).status_code


async def test_on_call_tells_the_present_shift_and_the_next(world, client):
    """Ana, until Monday nine o'clock in Berlin; who is not on the roster has no name."""
    reader = await key_of(world, Scope.TICKETS_READ)
    found = (await client.get("/v1/on-call/support", headers=reader)).json()
    assert {
        "person": "ana",
        "name": None,
        "starts_at": "2026-06-01T07:00:00Z",
        "ends_at": "2026-06-08T07:00:00Z",
        "layer": None,
        "override": None,
    } == found["now"]
    await world.people("ana")
    [listed] = (await client.get("/v1/on-call", params={"at": "2026-06-08T09:00:00+02:00"}, headers=reader)).json()[
        "rotations"
    ]
    assert ("2026-06-08T07:00:00Z", "Ana") == (listed["now"]["starts_at"], listed["now"]["name"])
    assert 404 == (await client.get("/v1/on-call/nobody", headers=reader)).status_code
    assert (
        422
        == (await client.get("/v1/on-call/support", params={"at": "2026-06-08T09:00:00"}, headers=reader)).status_code
    )


async def test_r9_an_acknowledgement_races_with_delivery_and_no_attempt_starts_after_it(world, clock_control):
    """Forty pages, each claimed and acknowledged at once: what was claimed first was sent, the rest never is."""
    await world.people("ana", "ben", "head")
    for number in range(40):
        await world.ticket(str(number), due_in=timedelta(minutes=1))
    await clock_control.advance(minutes=2)
    await world.firing.run_once()
    await world.stepping.run_once()
    escalations = await world.escalations()
    await asyncio.gather(
        world.delivery.run_once(),
        *(world.answering.by_key("default", one["id"], "ben") for one in escalations),
    )
    sent = {page.id for page in world.provider.sent}
    states = {page["id"]: page["state"] for page in await world.pages()}
    assert {page_id: "accepted" if page_id in sent else "cancelled" for page_id in states} == states
    assert 0 == await world.delivery.run_once()
    assert sent == {page.id for page in world.provider.sent}


async def test_a_link_about_a_ticket_that_nobody_takes_says_why(world, client) -> None:
    """No promise and no due time are made up, and words from outside stay words."""
    await world.people("ana", "ben", "head")
    ticket_id = await world.ticket()
    about = About(why=Why.MANUAL, by="<b>ana</b>", said="help")
    asked = Request(tenant="default", ticket_id=ticket_id, cause=Cause.MANUAL, due_at=START, about=about)
    async with world.pool.acquire() as connection:
        await help_rows.ask(connection, [asked], START)
    await Helping(world.pool, world.shelf, world.relay, world.metrics).run_once()
    await world.drain()
    shown = await client.get(world.provider.sent[0].link, headers=HTML)
    assert "&lt;b&gt;ana&lt;/b&gt; asks for help: help" in shown.text
    assert "Promise" not in shown.text
    listed = (await client.get("/v1/escalations", headers=await key_of(world, Scope.TICKETS_READ))).json()
    [one] = listed["escalations"]
    assert ("routing", "manual", "help") == (one["target"], one["reason"], one["about"]["said"])
    story = await client.get(f"/v1/escalations/{one['id']}", headers=await key_of(world, Scope.TICKETS_READ))
    assert "<b>ana</b>" == story.json()["escalation"]["about"]["by"]
