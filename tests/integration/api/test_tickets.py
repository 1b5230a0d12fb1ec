"""Tickets over HTTP: handed in once, told about, looked up; nobody sees another tenant's."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

TICKET: dict[str, Any] = {
    "source": "shop-mail",
    "external_id": "881",
    "channel": "email",
    "subject": "Charged twice",
    "text": "You took the money two times.",
    "language": "en",
    "requester": {"key": "c-17", "tier": "gold"},
    "attributes": {"product": "pay"},
    "opened_at": "2026-06-01T11:00:00+02:00",
}
NOWHERE = UUID(int=7)
ROSTER = """
people:
  ana:
    channels: [email, phone, live_chat, messaging, self_service, social, other]
    skills: {billing: 5, "lang:en": 5}
"""


def ticket(external_id: str = "881", **fields: object) -> dict[str, Any]:
    """A ticket to hand in."""
    return {**TICKET, "external_id": external_id, **fields}


async def staff(client: httpx.AsyncClient) -> None:
    """Ana comes to work."""
    applied = await client.put("/v1/roster", content=ROSTER, headers={"content-type": "application/yaml"})
    assert applied.status_code == 200, applied.text
    online = await client.put("/v1/agents/ana/presence", json={"status": "online"})
    assert online.status_code == 200, online.text


async def test_a_ticket_answers_with_its_place_and_every_due_time(router) -> None:
    """Where nobody is there, the answer says where the ticket waits and why."""
    answer = await router.acme.post("/v1/tickets", json=ticket())
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert ("shop-mail", "881", "open", "email", None) == (
        body["source"], body["external_id"], body["status"], body["channel"], body["owner"],
    )  # fmt: skip
    assert (1, True, "savable") == (body["queue"]["position"], body["queue"]["is_exact"], body["queue"]["band"])
    assert body["queue"]["reason"] in {"no_skill", "offline"}
    assert {"first_response", "resolution"} <= {clock["target"] for clock in body["clocks"]}
    assert all(clock["due_at"].endswith("Z") and clock["state"] == "running" for clock in body["clocks"])
    assert {"key": "c-17", "tier": "gold"} == body["requester"]
    assert answer.headers["location"] == f"/v1/tickets/{body['id']}"
    assert body == (await router.acme.get(answer.headers["location"])).json()


async def test_places_in_the_queue_are_counted_up_to_a_bound(router, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far back, the position is the least it can be, and says so; other people's lines don't count."""
    monkeypatch.setattr("services.router.views.COUNTED", 2)
    await router.globex.post("/v1/tickets", json=ticket("0"))
    places = []
    for n in range(4):
        opened_at = f"2026-06-01T09:0{n}:00Z"
        made = await router.acme.post("/v1/tickets", json=ticket(str(n), opened_at=opened_at))
        places.append((made.json()["queue"]["position"], made.json()["queue"]["is_exact"]))
    assert [(1, True), (2, True), (3, False), (3, False)] == places


async def test_a_ticket_answers_with_its_owner(router) -> None:
    """Who can take it has it when the answer comes."""
    await staff(router.acme)
    body = (await router.acme.post("/v1/tickets", json=ticket())).json()
    assert ("ana", None) == (body["owner"], body["queue"])


async def test_the_same_ticket_again_is_the_same_ticket(router) -> None:
    """The same source and external id answer 200 with the same body, also where other fields differ."""
    first = await router.acme.post("/v1/tickets", json=ticket())
    second = await router.acme.post("/v1/tickets", json=ticket(subject="Another subject"))
    assert (201, 200) == (first.status_code, second.status_code)
    assert first.json() == second.json()
    other = await router.acme.post("/v1/tickets", json=ticket(source="shop"))
    assert other.status_code == 201


async def test_a_hundred_callers_at_once_each_get_their_own(router) -> None:
    """Callers share commits and queries, and never an answer."""
    answers = await asyncio.gather(*(router.acme.post("/v1/tickets", json=ticket(str(n))) for n in range(100)))
    assert {201} == {answer.status_code for answer in answers}
    assert [str(n) for n in range(100)] == [answer.json()["external_id"] for answer in answers]


async def test_a_ticket_without_a_time_was_opened_now(router) -> None:
    """`now` is the time that decides."""
    sent = {name: value for name, value in ticket().items() if name != "opened_at"}
    body = (await router.acme.post("/v1/tickets", json=sent)).json()
    assert "2026-06-01T09:30:00Z" == body["opened_at"]


async def test_every_wrong_field_of_a_ticket_is_named(router) -> None:
    """One answer is enough to mend them all, and nothing is stored."""
    answer = await router.acme.post(
        "/v1/tickets",
        json={
            "source": "",
            "channel": 3,
            "urgency": "soon",
            "opened_at": "2026-06-01T11:00:00",
            "requester": {"tier": 1},
        },
    )
    assert answer.status_code == 422
    assert ["#/channel", "#/external_id", "#/opened_at", "#/requester/tier", "#/source", "#/urgency"] == sorted(
        error["pointer"] for error in answer.json()["errors"]
    )
    assert 0 == await router.pool.fetchval("SELECT count(*) FROM ticket")


@pytest.mark.parametrize(
    "opened_at", ["2026-06-01T12:00:00Z", "9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+14:00"]
)
async def test_a_time_that_cannot_be_is_refused(router, opened_at: str) -> None:
    """The future and the ends of the calendar are refused with a sentence."""
    answer = await router.acme.post("/v1/tickets", json=ticket(opened_at=opened_at))
    assert (422, "urn:deskclock:problem:invalid") == (answer.status_code, answer.json()["type"])


async def test_a_batch_answers_for_each(router) -> None:
    """New, known and refused tickets of one batch each have a status of their own."""
    await router.acme.post("/v1/tickets", json=ticket("1"))
    late = ticket("3", opened_at="2026-06-02T00:00:00Z")
    answer = await router.acme.post("/v1/tickets:batch", json={"tickets": [ticket("1"), ticket("2"), late]})
    taken = answer.json()["tickets"]
    assert [200, 201, 422] == [each["status"] for each in taken]
    assert "2" == taken[1]["ticket"]["external_id"]
    assert "urn:deskclock:problem:invalid" == taken[2]["problem"]["type"]


async def test_a_batch_with_a_wrong_ticket_stores_nothing(router) -> None:
    """The pointers lead into the batch."""
    answer = await router.acme.post("/v1/tickets:batch", json={"tickets": [ticket("1"), ticket("2", channel=7), {}]})
    assert answer.status_code == 422
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert {"#/tickets/1/channel", "#/tickets/2/source", "#/tickets/2/external_id", "#/tickets/2/channel"} == pointers
    assert 0 == await router.pool.fetchval("SELECT count(*) FROM ticket")


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_is_neither_empty_nor_endless(router, count: int) -> None:
    """From 1 to 1,000 tickets."""
    small = {"source": "s", "external_id": "1", "channel": "email"}
    answer = await router.acme.post("/v1/tickets:batch", json={"tickets": [small] * count})
    assert (422, "#/tickets") == (answer.status_code, answer.json()["errors"][0]["pointer"])


async def test_another_tenant_sees_nothing(router) -> None:
    """A foreign ticket is not there, in the same words as one that never was."""
    mine = (await router.acme.post("/v1/tickets", json=ticket())).json()
    seen = await router.globex.get(f"/v1/tickets/{mine['id']}")
    never = await router.globex.get(f"/v1/tickets/{NOWHERE}")
    assert (404, 404) == (seen.status_code, never.status_code)
    assert seen.json()["detail"].replace(mine["id"], "") == never.json()["detail"].replace(str(NOWHERE), "")
    assert [] == (await router.globex.get("/v1/tickets?external_id=881")).json()["tickets"]
    reply = {"type": "ticket.replied", "data": {"by": "agent"}}
    assert 404 == (await router.globex.post(f"/v1/tickets/{mine['id']}/events", json=reply)).status_code
    theirs = await router.globex.post("/v1/tickets", json=ticket())
    assert 201 == theirs.status_code
    assert theirs.json()["id"] != mine["id"]


async def test_tickets_are_listed_page_by_page(router) -> None:
    """Every ticket once, the newest first, until the cursor ends."""
    await router.acme.post("/v1/tickets:batch", json={"tickets": [ticket(str(n)) for n in range(7)]})
    seen: list[str] = []
    cursor = ""
    for size in (3, 3, 1):
        page = (await router.acme.get(f"/v1/tickets?limit=3{cursor}")).json()
        assert size == len(page["tickets"])
        seen += [each["external_id"] for each in page["tickets"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert {str(n) for n in range(7)} == set(seen)


async def test_tickets_are_found_by_what_is_known_of_them(router) -> None:
    """Source, external id, status and owner narrow the list."""
    await staff(router.acme)
    await router.acme.post("/v1/tickets", json=ticket("1"))
    await router.acme.post("/v1/tickets", json=ticket("2", source="other"))

    async def found(query: str) -> list[str]:
        page = (await router.acme.get(f"/v1/tickets?{query}")).json()
        return sorted(each["external_id"] for each in page["tickets"])

    assert ["1"] == await found("external_id=1")
    assert ["2"] == await found("source=other")
    assert [] == await found("source=other&external_id=1")
    assert ["1", "2"] == await found("status=open")
    assert [] == await found("status=solved")
    assert ["1", "2"] == await found("owner=ana")
    assert [] == await found("owner=ben")


@pytest.mark.parametrize("query", ["cursor=x", "cursor=abcd", "limit=0", "limit=x", "status=lost", "page=2", "owner="])
async def test_a_wrong_query_is_refused(router, query: str) -> None:
    """The parameter is named."""
    answer = await router.acme.get(f"/v1/tickets?{query}")
    assert (422, query.partition("=")[0]) == (answer.status_code, answer.json()["errors"][0]["parameter"])


@pytest.mark.parametrize("path", ["/v1/tickets/x", f"/v1/tickets/{NOWHERE}", "/v1/tickets/", "/v1/tickets/%F0%9F"])
async def test_what_is_not_there_is_not_found(router, path: str) -> None:
    """Neither a wrong id nor a strange address is a fault of ours."""
    answer = await router.acme.get(path)
    assert answer.status_code in {200, 404}
    if answer.status_code == 404:
        assert "urn:deskclock:problem:not-found" == answer.json()["type"]
