"""Events of a ticket over HTTP: in short, as a CloudEvent, or in its binary mode."""

from typing import Any

import httpx
import pytest

TICKET: dict[str, Any] = {
    "source": "shop-mail",
    "external_id": "881",
    "channel": "email",
    "subject": "Charged twice",
    "opened_at": "2026-06-01T09:00:00Z",
}


@pytest.fixture
async def address(router) -> str:
    """Where the events of a fresh ticket go."""
    made = await router.acme.post("/v1/tickets", json=TICKET)
    return f"/v1/tickets/{made.json()['id']}/events"


def clock(answer: httpx.Response, target: str) -> dict[str, Any]:
    """The clock of that target."""
    assert answer.status_code == 200, answer.text
    return next(each for each in answer.json()["clocks"] if each["target"] == target)


async def test_a_reply_meets_the_first_response(router, address: str) -> None:
    """In short: a type and its data."""
    event = {"type": "ticket.replied", "data": {"by": "agent", "at": "2026-06-01T09:20:00Z"}}
    met = clock(await router.acme.post(address, json=event), "first_response")
    assert ("met", "2026-06-01T09:20:00Z", 1200.0, 1200.0) == (
        met["state"], met["met_at"], met["open_seconds"], met["wall_seconds"],
    )  # fmt: skip


async def test_an_event_without_a_time_happens_now(router, address: str) -> None:
    """`now` is the time that decides."""
    met = clock(
        await router.acme.post(address, json={"type": "ticket.replied", "data": {"by": "agent"}}), "first_response"
    )
    assert "2026-06-01T09:30:00Z" == met["met_at"]


async def test_a_cloud_event_is_taken_whole(router, address: str) -> None:
    """Structured mode, with its own media type; the same id again changes nothing."""
    event = {
        "specversion": "1.0", "id": "zd-2", "source": "elsewhere", "type": "ticket.status_changed", "subject": "881",
        "time": "2026-06-01T09:10:00Z", "data": {"status": "solved"},
    }  # fmt: skip
    headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
    first = await router.acme.post(address, json=event, headers=headers)
    again = await router.acme.post(address, json={**event, "data": {"status": "open"}}, headers=headers)
    assert ("solved", "solved") == (first.json()["status"], again.json()["status"])
    assert "2026-06-01T09:10:00Z" == first.json()["solved_at"]


async def test_binary_mode_is_taken(router, address: str) -> None:
    """Attributes in `ce-` headers, the data as the body."""
    headers = {"ce-id": "b%201", "ce-type": "ticket.updated", "ce-time": "2026-06-01T09:10:00Z", "ce-source": "x"}
    answer = await router.acme.post(address, json={"urgency": "urgent"}, headers=headers)
    assert (200, "urgent") == (answer.status_code, answer.json()["urgency"])
    assert 1 == await router.pool.fetchval("SELECT count(*) FROM ticket_event WHERE event_id = 'b 1'")


@pytest.mark.parametrize(
    ("event", "pointers"),
    [
        ({}, ["#/type"]),
        ({"type": "ticket.exploded"}, ["#/type"]),
        ({"type": "replied", "data": {"by": "agent"}}, ["#/type"]),
        ({"type": "ticket.replied"}, ["#/data/by"]),
        ({"type": "ticket.replied", "data": {"by": "cat", "public": 3}}, ["#/data/by", "#/data/public"]),
        ({"type": "ticket.replied", "data": [], "time": "now"}, ["#/time"]),
        ({"type": "ticket.replied", "data": []}, ["#/data"]),
        ({"type": "ticket.replied", "data": {"by": "agent"}, "subject": "7"}, ["#/subject"]),
        ({"type": "ticket.feedback", "data": {"score": 1, "comment": "\0"}}, ["#/data/comment"]),
        ({"type": "ticket.replied", "data": {"by": "agent"}, "id": ""}, ["#/id"]),
        ({"type": "ticket.replied", "data": {"by": "agent", "at": "9999-12-31T23:59:59-10:00"}}, ["#/data/at"]),
        ({"type": "ticket.replied", "data": {"by": "agent", "at": "2026-06-02T00:00:00Z"}}, ["#"]),
        ({"type": "ticket.replied", "data": {"by": "agent"}, "time": "1969-12-31T23:59:59Z"}, ["#/time"]),
    ],
)
async def test_a_wrong_event_is_refused(router, address: str, event: dict[str, Any], pointers: list[str]) -> None:
    """Every wrong field is named where it stands in the body."""
    answer = await router.acme.post(address, json=event)
    assert answer.status_code == 422, answer.text
    assert pointers == sorted(error["pointer"] for error in answer.json()["errors"])


async def test_an_id_of_another_tickets_event_is_refused(router, address: str) -> None:
    """Ids are unique in a tenant: the event is not quietly dropped."""
    event = {"type": "ticket.replied", "id": "r-1", "data": {"by": "agent"}}
    other = (await router.acme.post("/v1/tickets", json={**TICKET, "external_id": "882"})).json()
    assert 200 == (await router.acme.post(address, json=event)).status_code
    answer = await router.acme.post(f"/v1/tickets/{other['id']}/events", json=event)
    assert 422 == answer.status_code
    assert "another ticket" in answer.json()["detail"]


async def test_a_solved_ticket_has_no_place_in_the_queue(router, address: str) -> None:
    """What is over waits for nobody."""
    answer = await router.acme.post(address, json={"type": "ticket.status_changed", "data": {"status": "solved"}})
    assert (None, None) == (answer.json()["queue"], answer.json()["owner"])
