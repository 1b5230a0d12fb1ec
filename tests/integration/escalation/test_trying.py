"""Pages that people ask for: canaries by every contact, and dead pages, listed and tried anew."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.store import trying as trying_store
from shared.contract.access import Scope
from shared.policy.document import Contact
from tests.integration.escalation.links import DUE, HTML, START, client_of, key_of, path_of

TWO = (Contact(method="webhook", address="x"), Contact(method="console"))
REFUSED = Outcome(result=Result.REJECTED, detail="no such number")
TRIED = "/v1/pages/test"


@pytest.fixture
async def client(world) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP surface, with a key that may change who is paged."""
    async with client_of(world) as made:
        made.headers.update(await key_of(world, Scope.POLICY_WRITE, Scope.TICKETS_READ))
        yield made


async def test_a_canary_goes_by_every_contact_of_whoever_is_on_call(world, client):
    """It says whom it goes to and why, that nothing is broken, and each stage can be followed."""
    await world.people("ana", contacts=TWO)
    answer = await client.post(TRIED, json={"recipient": "on-call/support"})
    tested = answer.json()
    assert (202, "ana", "Ana") == (answer.status_code, tested["person"], tested["name"])
    assert tested["why"].startswith("you are on call for support until")
    assert ["webhook", "console"] == [page["method"] for page in tested["pages"]]
    await world.drain()
    [sent] = world.provider.sent
    assert (Kind.CANARY, True) == (sent.kind, "nothing is broken" in sent.text)
    assert "nothing is broken" in world.printed.getvalue()
    for page in tested["pages"]:
        story = (await client.get(f"/v1/pages/{page['page']}")).json()
        assert ("canary", "accepted", ["accepted"]) == (
            story["page"]["kind"],
            story["page"]["state"],
            [attempt["outcome"] for attempt in story["attempts"]],
        )
    assert [] == await world.escalations()


async def test_a_canary_is_confirmed_by_its_link(world, client):
    """Looking does nothing; the button says that it arrived, once."""
    await world.people("ana")
    [page] = (await client.post(TRIED, json={"recipient": "ana", "first": True})).json()["pages"]
    await world.drain()
    link = path_of(world.provider.sent[0].link)
    assert "Test page" in (await client.get(link, headers=HTML)).text
    assert (await client.get(f"/v1/pages/{page['page']}")).json()["page"]["acknowledged_at"] is None
    assert "It reached Ana" in (await client.post(link, headers=HTML)).text
    assert "acknowledged_before" == (await client.post(link)).json()["standing"]
    assert (await client.get(f"/v1/pages/{page['page']}")).json()["page"]["acknowledged_at"] is not None


async def test_a_canary_that_fails_takes_no_other_way(world, client):
    """Each contact is tried by itself; what its provider said is kept."""
    await world.people("ana", contacts=TWO)
    world.provider.answers = [REFUSED]
    [page] = (await client.post(TRIED, json={"recipient": "person/ana", "first": True})).json()["pages"]
    await world.drain()
    story = (await client.get(f"/v1/pages/{page['page']}")).json()
    assert ("failed", "no such number") == (story["page"]["state"], story["attempts"][0]["detail"])
    assert ["canary"] == [one["kind"] for one in await world.pages() if one["kind"] != "alarm"]


@pytest.mark.parametrize(
    ("recipient", "said"),
    [
        ("nobody", "nobody `nobody` on the roster"),
        ("on-call/nights", "no rotation `nights`"),
        ("channel/pigeon", "no channel `pigeon`"),
        ("owner", "depends on a ticket"),
        ("team/x", "no recipient"),
        ("mute", "no contact"),
        ("", "recipient"),
    ],
)
async def test_who_can_not_be_tried_is_said_with_the_way_out(world, client, recipient, said):
    """422, and nothing is sent."""
    await world.people("mute", contacts=())
    refused = await client.post(TRIED, json={"recipient": recipient})
    assert (422, True) == (refused.status_code, said in refused.json()["detail"])
    assert [] == await world.pages()


async def test_only_who_may_change_the_policy_may_try_and_replay(world, client):
    """A key that may only acknowledge wakes nobody."""
    other = await key_of(world, Scope.PAGES_ACK, Scope.TICKETS_READ)
    for path in (TRIED, f"/v1/pages/{UUID(int=1)}/replay"):
        assert 403 == (await client.post(path, json={"recipient": "ana"}, headers=other)).status_code


async def dead(world, clock_control) -> UUID:
    """A page that was given up, and nobody else to page."""
    await world.people("ana", "ben", "head")
    await world.ticket()
    await clock_control.freeze(DUE + timedelta(seconds=1))
    await world.firing.run_once()
    await world.stepping.run_once()
    world.provider.answers = [REFUSED]
    await world.delivery.run_once()
    [page] = [one for one in await world.pages() if one["state"] == "failed"]
    return page["id"]


async def test_r39_a_dead_page_keeps_its_reason_and_is_tried_anew_under_its_id(world, clock_control, client):
    """Same id, so a provider that has it drops it; attempts go on counting, and what was said before stays."""
    page_id = await dead(world, clock_control)
    [listed] = (await client.get("/v1/pages", params={"state": "failed"})).json()["pages"]
    assert (str(page_id), "no such number") == (listed["id"], listed["last_detail"])
    async with world.pool.acquire() as connection:
        [found] = await trying_store.list_dead(connection, "default", 10)
    assert (page_id, "no such number", True, "881") == (found.id, found.reason, found.is_wanted, found.ticket)
    await clock_control.advance(hours=2)
    again = await client.post(f"/v1/pages/{page_id}/replay")
    assert (202, str(page_id)) == (again.status_code, again.json()["id"])
    await world.delivery.run_once()
    assert [page_id, page_id] == [
        page.id for page in world.provider.sent if page.kind is Kind.PAGE and page.id == page_id
    ]
    story = (await client.get(f"/v1/pages/{page_id}")).json()
    assert ("accepted", ["rejected", "accepted"]) == (
        story["page"]["state"],
        [attempt["outcome"] for attempt in story["attempts"]],
    )
    written = [payload for row in await world.pool.fetch("SELECT payloads FROM outbox") for payload in row["payloads"]]
    assert 1 == sum(b"page.replayed" in payload for payload in written)


async def test_r39_a_replayed_page_has_a_budget_of_its_own(world, clock_control, client):
    """Hours after its first attempt it is tried for as long as any page, not given up after one more answer."""
    page_id = await dead(world, clock_control)
    await clock_control.advance(hours=5)
    await client.post(f"/v1/pages/{page_id}/replay")
    world.provider.answers = [Outcome(result=Result.UNKNOWN)] * 20
    await world.delivery.run_once()
    [page] = [one for one in await world.pages() if one["id"] == page_id]
    assert ("pending", True) == (page["state"], page["next_attempt_at"] > START + timedelta(hours=6))


async def test_r39_only_a_dead_page_that_is_still_wanted_is_tried_anew(world, clock_control, client):
    """Sent, answered, over, another tenant's: nothing happens, and it is said why."""
    page_id = await dead(world, clock_control)
    path = f"/v1/pages/{page_id}/replay"
    stranger = await key_of(world, Scope.ADMIN, tenant="other")
    assert 404 == (await client.post(path, headers=stranger)).status_code
    [escalation] = await world.escalations()
    await world.answering.by_key("default", escalation["id"], "ben")
    refused = await client.post(path)
    assert (409, True) == (refused.status_code, "nobody needs it any more" in refused.json()["detail"])
    await world.pool.execute("UPDATE page SET state = 'cancelled'")
    assert "it is cancelled" in (await client.post(path)).json()["detail"]
    assert 404 == (await client.post(f"/v1/pages/{UUID(int=7)}/replay")).status_code
