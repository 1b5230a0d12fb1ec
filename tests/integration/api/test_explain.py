"""`GET /v1/tickets/{id}/explain`: the same answer as the fold's, to those who may read the ticket."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.integration.api.conftest import NOW
from tests.integration.api.test_tickets import ticket

POLICY = """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}
targets:
  - {name: urgent, when: {urgency: urgent}, calendar: office, first_response: 1h, resolution: 2h}
  - {name: gold, when: {requester.tier: gold}, calendar: office, first_response: 4h, resolution: 16h, warn: ["50%"]}
"""


async def put_policy(router: Any) -> None:
    """The policy of these tests, for acme."""
    answer = await router.acme.put("/v1/policy", content=POLICY, headers={"content-type": "application/yaml"})
    assert answer.status_code in {200, 201}, answer.text


async def tell(router: Any, ticket_id: str, event_id: str, kind: str, at: str, **data: object) -> None:
    """Something happens to a ticket of acme."""
    event = {"id": event_id, "type": f"ticket.{kind}", "time": at, "data": data}
    answer = await router.acme.post(f"/v1/tickets/{ticket_id}/events", json=event)
    assert answer.status_code < 300, answer.text


async def test_a_ticket_is_explained(router) -> None:
    """Its line and why, what moved the due time, and who is responsible."""
    await put_policy(router)
    made = (await router.acme.post("/v1/tickets", json=ticket(opened_at="2026-06-01T09:00:00+02:00"))).json()
    await tell(router, made["id"], "e1", "status_changed", "2026-06-01T10:00:00+02:00", status="pending_customer")
    await tell(router, made["id"], "e2", "status_changed", "2026-06-01T11:00:00+02:00", status="open")
    answer = await router.acme.get(f"/v1/tickets/{made['id']}/explain")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["match"]["line"] == "gold"
    assert [("requester.tier", ["gold"], "gold", True)] == [
        (check["field"], check["wanted"], check["found"], check["holds"]) for check in told["match"]["checks"]
    ]
    assert ["urgent"] == [line["line"] for line in told["match"]["tried"]]
    resolution = next(clock for clock in told["clocks"] if clock["target"] == "resolution")
    assert "16h of office" == resolution["promise"]
    assert ["counted", "paused", "counted"] == [i["state"] for i in resolution["intervals"] if not i.get("is_ahead")]
    assert ["started", "due_changed", "due_changed"] == [turn["turn"] for turn in resolution["turns"]]
    assert "status pending_customer -> open" == resolution["turns"][-1]["cause"]["what"]
    stored = next(clock for clock in made["clocks"] if clock["target"] == "first_response")
    first = next(clock for clock in told["clocks"] if clock["target"] == "first_response")
    assert stored["due_at"] == first["due_at"]
    assert "the customer needs a first answer by Mon 01 Jun 2026 13:00" in told["outlook"]["next"]
    assert "in the queue" in told["outlook"]["responsible"]


async def test_rule_41_a_breach_that_was_taken_back_is_told(router, clock_control) -> None:
    """What we believed until a late event arrived is in the history, with the event."""
    await put_policy(router)
    urgent = ticket(opened_at="2026-06-01T09:20:00+02:00", urgency="urgent")
    made = (await router.acme.post("/v1/tickets", json=urgent)).json()
    await clock_control.freeze(NOW + timedelta(minutes=30))
    await tell(router, made["id"], "e1", "replied", "2026-06-01T10:10:00+02:00", by="agent")
    told = (await router.acme.get(f"/v1/tickets/{made['id']}/explain")).json()
    first = next(clock for clock in told["clocks"] if clock["target"] == "first_response")
    assert "met" == first["state"]
    retracted = next(turn for turn in first["turns"] if turn["turn"] == "breach_retracted")
    assert ("2026-06-01T08:20:00Z", "agent wrote", "2026-06-01T10:00:00Z") == (
        retracted["taken_back"], retracted["cause"]["what"], retracted["cause"]["known_at"],
    )  # fmt: skip


async def test_nobody_learns_of_other_tickets(router) -> None:
    """A ticket that isn't there and one of another tenant answer alike."""
    made = (await router.globex.post("/v1/tickets", json=ticket())).json()
    for ticket_id in (UUID(int=7), made["id"]):
        answer = await router.acme.get(f"/v1/tickets/{ticket_id}/explain")
        assert 404 == answer.status_code
        assert f"there is no ticket {ticket_id}" in answer.json()["detail"]
    assert 404 == (await router.acme.get("/v1/tickets/881/explain")).status_code
    assert 401 == (await router.nobody.get(f"/v1/tickets/{made['id']}/explain")).status_code


async def test_the_answer_is_documented_with_an_example(router) -> None:
    """The OpenAPI document has the route, its struct and an answer as the fold gives it."""
    document = (await router.acme.get("/openapi.json")).json()
    operation = document["paths"]["/v1/tickets/{ticket_id}/explain"]["get"]
    content = operation["responses"]["200"]["content"]["application/json"]
    [example] = content["examples"].values()
    assert "urgency normal -> urgent" in str(example["value"]["clocks"][0]["turns"])
