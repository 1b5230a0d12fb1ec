"""Somebody calls a lead to a ticket over HTTP: who is paged and when; asking twice, too late, or wrongly."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from shared.contract.access import Scope
from shared.ledger import keys

NOW = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
YAML = {"content-type": "application/yaml"}
POLICY = """
calendars: {always: {hours: always}}
channels: {email: {units: 6}}
targets:
  - {name: urgent, when: {urgency: urgent}, calendar: always, first_response: 1h, escalate: wake}
  - {name: all, calendar: always, first_response: 4h, escalate: ask}
escalations:
  ask: {steps: [{page: [owner, lead]}, {after: 0m, page: [person/ana]}, {after: 15m, page: [person/ben]}]}
  wake: {steps: [{page: [person/ben]}]}
"""
ROSTER = "people: {ana: {name: Ana, channels: [email]}, ben: {name: Ben}}"
TICKET = {"source": "shop-mail", "external_id": "881", "channel": "email"}


@pytest.fixture
async def ticket(router) -> dict[str, Any]:
    """One that ana has, under the line `all`."""
    for path, text in (("/v1/roster", ROSTER), ("/v1/policy", POLICY)):
        assert 200 <= (await router.acme.put(path, content=text, headers=YAML)).status_code < 300
    await router.pool.execute("UPDATE agent SET status = 'online' WHERE key = 'ana'")
    made: dict[str, Any] = (await router.acme.post("/v1/tickets", json=TICKET)).json()
    assert "ana" == made["owner"]
    return made


async def call(router, ticket: dict[str, Any], **body: Any) -> httpx.Response:
    answer: httpx.Response = await router.acme.post(f"/v1/tickets/{ticket['id']}/escalate", json=body)
    return answer


async def opened(router, ticket: dict[str, Any], state: str = "open", step: int = 2) -> str:
    """Escalation has taken the request, and two of the steps."""
    await router.pool.execute("DELETE FROM escalation_request")
    next_at = NOW + timedelta(minutes=15) if state == "open" else None
    made = await router.pool.fetchval(
        """
        INSERT INTO escalation (id, tenant, ticket_id, target, cycle, policy_version, ladder, reason, state, opened_at,
                                anchor_at, step, next_step_at, about)
        VALUES (gen_random_uuid(), 'acme', $1::uuid, 'routing', 1, 1, 'ask', 'manual', $2, $3, $3, $4, $5, '{}')
        RETURNING id
        """,
        ticket["id"],
        state,
        NOW,
        step,
        next_at,
    )
    return str(made)


async def test_a_call_says_who_is_paged_and_when(router, ticket: dict[str, Any]) -> None:
    """The ladder of the ticket's line, from now on; the row is there for escalation."""
    answer = await call(router, ticket, reason="third complaint", by="ana")
    assert 202 == answer.status_code
    assert {
        "ticket": ticket["id"],
        "is_new": True,
        "escalation": None,
        "ladder": "ask",
        "next": [
            {"at": "2026-06-01T09:30:00Z", "page": ["owner", "lead", "person/ana"]},
            {"at": "2026-06-01T09:45:00Z", "page": ["person/ben"]},
        ],
    } == answer.json()
    [row] = await router.pool.fetch("SELECT reason, due_at, about FROM escalation_request")
    assert ("manual", NOW) == (row["reason"], row["due_at"])
    about = {"why": "manual", "channel": "email", "by": "ana", "said": "third complaint"}
    assert about == msgspec.json.decode(row["about"])


async def test_an_urgent_ticket_goes_by_its_own_ladder(router, ticket: dict[str, Any]) -> None:
    """The line that it matched."""
    urgent = (await router.acme.post("/v1/tickets", json={**TICKET, "external_id": "882", "urgency": "urgent"})).json()
    assert ("wake", 1) == ((told := (await call(router, urgent)).json())["ladder"], len(told["next"]))


async def test_nothing_need_be_said(router, ticket: dict[str, Any]) -> None:
    """An empty object will do, and empty words are none."""
    assert [202, 202] == [
        (await call(router, ticket)).status_code,
        (await call(router, ticket, reason=" ")).status_code,
    ]
    assert {"why": "manual", "channel": "email"} == msgspec.json.decode(
        await router.pool.fetchval("SELECT about FROM escalation_request")
    )


async def test_asking_many_times_at_once_asks_once(router, ticket: dict[str, Any]) -> None:
    """One request, whoever is first."""
    answers = await asyncio.gather(*(call(router, ticket, by=f"p{number}") for number in range(8)))
    assert {202} == {answer.status_code for answer in answers}
    assert 1 == await router.pool.fetchval("SELECT count(*) FROM escalation_request")


async def test_where_people_are_told_already_nothing_is_changed(router, ticket: dict[str, Any]) -> None:
    """200, with the step to come."""
    escalation = await opened(router, ticket)
    answer = await call(router, ticket, by="ben")
    assert 200 == answer.status_code
    assert {
        "ticket": ticket["id"],
        "is_new": False,
        "escalation": escalation,
        "ladder": "ask",
        "next": [{"at": "2026-06-01T09:45:00Z", "page": ["person/ben"]}],
    } == answer.json()
    assert 0 == await router.pool.fetchval("SELECT count(*) FROM escalation_request")


async def test_after_an_acknowledgement_it_goes_on_at_the_next_step(router, ticket: dict[str, Any]) -> None:
    """At once; the same escalation."""
    escalation = await opened(router, ticket, "acknowledged")
    answer = await call(router, ticket)
    assert 202 == answer.status_code
    assert (escalation, [{"at": "2026-06-01T09:30:00Z", "page": ["person/ben"]}]) == (
        answer.json()["escalation"],
        answer.json()["next"],
    )
    assert 1 == await router.pool.fetchval("SELECT count(*) FROM escalation_request")


async def test_r8_whoever_saw_an_older_state_changes_nothing(router, ticket: dict[str, Any]) -> None:
    """409 says where it stands; with the right one it goes on."""
    seen = {"generation": 1, "step": 2}
    gone = await call(router, ticket, seen=seen)
    assert (409, True) == (gone.status_code, "there is no live one" in gone.json()["detail"])
    await opened(router, ticket, "acknowledged")
    stale = await call(router, ticket, seen={"generation": 1, "step": 1})
    assert (409, True) == (stale.status_code, "(generation 1, step 2): look at it again" in stale.json()["detail"])
    assert 0 == await router.pool.fetchval("SELECT count(*) FROM escalation_request")
    assert 202 == (await call(router, ticket, seen=seen)).status_code


async def test_a_ticket_that_is_over_needs_nobody(router, ticket: dict[str, Any]) -> None:
    """409, and what was asked for before is gone with it."""
    await call(router, ticket)
    solved = {"type": "ticket.status_changed", "data": {"status": "solved"}}
    await router.acme.post(f"/v1/tickets/{ticket['id']}/events", json=solved)
    assert 0 == await router.pool.fetchval("SELECT count(*) FROM escalation_request")
    answer = await call(router, ticket)
    assert (409, "the ticket is solved: nobody need see to it; reopen it first") == (
        answer.status_code,
        answer.json()["detail"],
    )


async def test_without_escalations_there_is_nobody_to_call(router) -> None:
    """409 with the way out."""
    made = (await router.acme.post("/v1/tickets", json=TICKET)).json()
    await router.acme.put("/v1/policy", content="targets: []", headers=YAML)
    made = (await router.acme.post("/v1/tickets", json={**TICKET, "external_id": "2"})).json()
    answer = await call(router, made)
    assert (409, True) == (answer.status_code, "write one under `escalations`" in answer.json()["detail"])
    assert 0 == await router.pool.fetchval("SELECT count(*) FROM escalation_request WHERE reason = 'manual'")


async def test_a_ticket_of_an_older_policy_is_called_by_the_one_in_force(router) -> None:
    """Its own has no ladder yet."""
    await router.acme.put("/v1/roster", content=ROSTER, headers=YAML)
    await router.acme.put("/v1/policy", content="targets: []", headers=YAML)
    made = (await router.acme.post("/v1/tickets", json=TICKET)).json()
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    assert "wake" == (await call(router, made)).json()["ladder"]  # that of the first line that has one


async def test_a_ticket_of_nobody_or_of_somebody_else_is_not_found(router, ticket: dict[str, Any]) -> None:
    """404, and nothing is written."""
    path = f"/v1/tickets/{ticket['id']}/escalate"
    assert 404 == (await router.globex.post(path, json={})).status_code
    nobody = "/v1/tickets/019e8284-c5c0-7bae-a3b2-3849f0c74f00/escalate"
    assert 404 == (await router.acme.post(nobody, json={})).status_code
    assert 401 == (await router.nobody.post(path, json={})).status_code
    assert 0 == await router.pool.fetchval("SELECT count(*) FROM escalation_request")


async def test_reading_is_not_enough_to_call(router, ticket: dict[str, Any]) -> None:
    """The scope is that of writing."""
    async with router.pool.acquire() as connection:
        created = await keys.create(connection, tenant="acme", scopes=[Scope.TICKETS_READ], label="reader")
    headers = {"authorization": f"Bearer {created.key}"}
    answer = await router.nobody.post(f"/v1/tickets/{ticket['id']}/escalate", json={}, headers=headers)
    assert 403 == answer.status_code


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"reason": "x" * 501}, "#/reason"),
        ({"reason": 7}, "#/reason"),
        ({"reason": "a\0b"}, "#/reason"),
        ({"by": ""}, "#/by"),
        ({"by": "x" * 201}, "#/by"),
        ({"seen": {"generation": 1}}, "#/seen/step"),
        ({"seen": {"generation": "1", "step": 2**70}}, "#/seen/generation"),
        ([], "#"),
    ],
)
async def test_what_is_wrong_is_named(router, ticket: dict[str, Any], body: Any, pointer: str) -> None:
    """422 with every wrong field; nothing is written."""
    answer = await router.acme.post(f"/v1/tickets/{ticket['id']}/escalate", json=body)
    assert 422 == answer.status_code, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert 0 == await router.pool.fetchval("SELECT count(*) FROM escalation_request")


async def test_numbers_that_no_escalation_has_are_stale_not_a_fault(router, ticket: dict[str, Any]) -> None:
    """Whatever their size."""
    answer = await call(router, ticket, seen={"generation": 2**62, "step": -(2**62)})
    assert 409 == answer.status_code


async def test_the_ticket_shows_when_somebody_is_told(router) -> None:
    """Nobody is there: half of the slack, and the next shift as far as it is known; explain says the same."""
    shift = POLICY.replace("calendars: {", 'calendars: {day: {timezone: UTC, hours: {mon-fri: "11:00-12:00"}}, ')
    await router.acme.put("/v1/policy", content=shift, headers=YAML)
    by_shift = ROSTER.replace("channels: [email]}", "channels: [email], presence: shift, calendar: day}", 1)
    roster = await router.acme.put("/v1/roster", content=by_shift, headers=YAML)
    assert 200 <= roster.status_code < 300, roster.text
    await router.acme.put("/v1/policy", content=shift, headers=YAML)
    made = (await router.acme.post("/v1/tickets", json=TICKET)).json()
    assert "offline" == made["queue"]["reason"]
    assert "2026-06-01T11:23:00Z" == made["queue"]["help_at"]
    assert "2026-06-01T11:00:00Z" == made["queue"]["next_shift_at"]
    told = (await router.acme.get(f"/v1/tickets/{made['id']}/explain")).json()["waiting"]
    assert {
        "reason": "offline",
        "since": "2026-06-01T09:30:00Z",
        "next_shift_at": "2026-06-01T11:00:00Z",
        "help_at": "2026-06-01T11:23:00Z",
        "insists": [],
        "insists_until": None,
        "declined": [],
    } == told


async def test_the_explanation_shows_what_is_insisted_upon_and_who_declined(router) -> None:
    """Somebody is there who has the mandatory skills: why they don't get it must not be a riddle."""
    insisting = POLICY + "skills: [{prefer: [expert], insist: true}]\n"
    skilled = "channels: [email], skills: {expert: 3}}"
    with_expert = ROSTER.replace("channels: [email]}", skilled, 1).replace("people: {", f"people: {{cat: {{{skilled}, ")
    for path, text in (("/v1/roster", with_expert), ("/v1/policy", insisting)):
        answer = await router.acme.put(path, content=text, headers=YAML)
        assert 200 <= answer.status_code < 300, answer.text
    await router.pool.execute("UPDATE agent SET status = 'online' WHERE key = 'ana'")
    made = (await router.acme.post("/v1/tickets", json=TICKET)).json()
    assert "ana" == made["owner"]
    await router.acme.post(f"/v1/tickets/{made['id']}/release", json={"agent": "ana"})
    waiting = (await router.acme.get(f"/v1/tickets/{made['id']}/explain")).json()["waiting"]
    assert (["expert"], ["ana"]) == (waiting["insists"], waiting["declined"])
    assert made["opened_at"] < waiting["insists_until"]
