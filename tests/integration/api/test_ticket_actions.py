"""Agents accept, decline and give back over HTTP; what doesn't fit says whose the ticket is."""

from typing import Any

import httpx
import pytest

from shared.contract.access import Scope
from shared.ledger import keys

POLICY = """
channels: {live_chat: {units: 4, offer: 30s}}
targets: [{name: all, calendar: always, first_response: 2h}]
"""
ROSTER = """
people:
  ana: {name: Ana, channels: [live_chat]}
  ben: {name: Ben, channels: [live_chat]}
"""
TICKET = {"source": "shop-chat", "external_id": "881", "channel": "live_chat", "opened_at": "2026-06-01T09:29:00Z"}


@pytest.fixture
async def ticket(router) -> dict[str, Any]:
    """One that is offered to ana."""
    put = {"content-type": "application/yaml"}
    assert 200 <= (await router.acme.put("/v1/policy", content=POLICY, headers=put)).status_code < 300
    assert 200 <= (await router.acme.put("/v1/roster", content=ROSTER, headers=put)).status_code < 300
    await router.pool.execute("UPDATE agent SET status = 'online' WHERE key = 'ana'")
    made: dict[str, Any] = (await router.acme.post("/v1/tickets", json=TICKET)).json()
    return made


async def say(router, ticket: dict[str, Any], what: str, agent: str, **more: str) -> httpx.Response:
    """Post one of the three."""
    said: httpx.Response = await router.acme.post(f"/v1/tickets/{ticket['id']}/{what}", json={"agent": agent, **more})
    return said


async def test_an_offered_ticket_says_so_and_has_no_owner(router, ticket: dict[str, Any]) -> None:
    """Whoever hands it in sees whom we asked, and until when; it is not listed as theirs."""
    found = ticket["assignment"]
    assert (None, None, None, "ana", "offered", "2026-06-01T09:30:30Z", None) == (
        ticket["owner"], ticket["assigned_at"], ticket["queue"], found["agent"], found["state"], found["offered_until"],
        found["accepted_at"],
    )  # fmt: skip
    assert [] == await listed(router, owner="ana")
    assert ["881"] == await listed(router, offered_to="ana")
    assert [] == await listed(router, offered_to="ben")
    await say(router, ticket, "accept", "ana")
    assert (["881"], []) == (await listed(router, owner="ana"), await listed(router, offered_to="ana"))


async def listed(router, **wanted: str) -> list[str]:
    """Which tickets a filter finds."""
    return [one["external_id"] for one in (await router.acme.get("/v1/tickets", params=wanted)).json()["tickets"]]


async def test_an_explanation_says_who_is_asked_and_then_who_has_it(router, ticket: dict[str, Any]) -> None:
    """With the timers that run."""
    place = f"/v1/tickets/{ticket['id']}/explain"
    given = (await router.acme.get(place)).json()["given"]
    assert ("ana", "offered", "2026-06-01T09:30:30Z") == (given["agent"], given["state"], given["offered_until"])
    await say(router, ticket, "accept", "ana")
    given = (await router.acme.get(place)).json()["given"]
    assert ("active", None, "2026-06-01T09:40:00Z") == (given["state"], given["offered_until"], given["park_at"])
    await say(router, ticket, "release", "ana")
    assert (await router.acme.get(place)).json()["given"] is None


async def test_whoever_accepts_owns_it(router, ticket: dict[str, Any]) -> None:
    """Asked twice, the answer is the same: it is theirs."""
    for _ in range(2):
        said = await say(router, ticket, "accept", "ana")
        assert (200, "ana", "active", "2026-06-01T09:30:00Z") == (
            said.status_code, said.json()["owner"], said.json()["assignment"]["state"], said.json()["assigned_at"],
        )  # fmt: skip
    assert 1 == await router.pool.fetchval("SELECT count(*) FROM assignment")


async def test_what_is_declined_waits_or_goes_on_at_once(router, ticket: dict[str, Any]) -> None:
    """The answer shows the ticket as it is then: in the queue, or offered to somebody else."""
    await router.pool.execute("UPDATE agent SET status = 'online' WHERE key = 'ben'")
    said = await say(router, ticket, "decline", "ana", reason="lunch")
    assert (200, "ben", "offered") == (
        said.status_code,
        said.json()["assignment"]["agent"],
        said.json()["assignment"]["state"],
    )


async def test_when_all_have_declined_they_are_asked_once_more_and_no_more(router, ticket: dict[str, Any]) -> None:
    """Two rounds of two agents; then it waits, because of them."""
    await router.pool.execute("UPDATE agent SET status = 'online' WHERE key = 'ben'")
    asked = []
    while ticket["assignment"] is not None:
        asked.append(ticket["assignment"]["agent"])
        assert len(asked) <= 4
        ticket = (await say(router, ticket, "decline", asked[-1])).json()
    assert (["ana", "ana", "ben", "ben"], "excluded") == (sorted(asked), ticket["queue"]["reason"])


async def test_what_is_given_back_waits_again(router, ticket: dict[str, Any]) -> None:
    """With the age it has."""
    await say(router, ticket, "accept", "ana")
    said = await say(router, ticket, "release", "ana", reason="not mine")
    assert (200, None, "2026-06-01T09:29:00Z") == (
        said.status_code,
        said.json()["owner"],
        said.json()["queue"]["queued_at"],
    )


@pytest.mark.parametrize(
    ("before", "what", "agent", "detail"),
    [
        ((), "accept", "ben", "offered to ana"),
        ((("decline", "ana"),), "accept", "ana", "waits in the queue"),
        ((("accept", "ana"),), "accept", "ben", "ana owns the ticket"),
        ((("accept", "ana"),), "decline", "ana", "/release"),
        ((("decline", "ana"),), "decline", "ana", "nothing for ana to decline"),
        ((), "release", "ana", "/decline"),
        ((("accept", "ana"),), "release", "ben", "ana owns the ticket"),
        ((("accept", "ana"), ("release", "ana")), "release", "ana", "nothing for ana to give back"),
        ((), "accept", "nobody we know", "offered to ana"),
    ],
)
async def test_what_does_not_fit_says_whose_it_is(
    router, ticket: dict[str, Any], before: tuple[tuple[str, str], ...], what: str, agent: str, detail: str
) -> None:
    """409, nothing is changed, and there is a way out."""
    for each in before:
        assert 200 == (await say(router, ticket, *each)).status_code
    was = (await router.acme.get(f"/v1/tickets/{ticket['id']}")).json()
    said = await say(router, ticket, what, agent)
    assert (409, "urn:deskclock:problem:conflict") == (said.status_code, said.json()["type"])
    assert detail in said.json()["detail"]
    assert was == (await router.acme.get(f"/v1/tickets/{ticket['id']}")).json()


async def test_an_offer_that_lapsed_is_not_accepted(router, ticket: dict[str, Any], clock_control) -> None:
    """Even if nobody has noticed yet; it says when that was."""
    await clock_control.advance(seconds=30)
    said = await say(router, ticket, "accept", "ana")
    assert (409, True) == (said.status_code, "lapsed at 2026-06-01T09:30:30" in said.json()["detail"])


async def test_a_solved_ticket_is_nobodys(router, ticket: dict[str, Any]) -> None:
    """Its status says why."""
    event = {"type": "ticket.status_changed", "data": {"status": "solved"}}
    await router.acme.post(f"/v1/tickets/{ticket['id']}/events", json=event)
    said = await say(router, ticket, "accept", "ana")
    assert (409, True) == (said.status_code, "the ticket is solved" in said.json()["detail"])


@pytest.mark.parametrize("what", ["accept", "decline", "release"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"agent": ""}', 422), (b'{"agent": 7}', 422), (b"{}", 422), (b"[]", 422), (b"{", 400), (b"", 400),
        (b'{"agent": "' + b"a" * 201 + b'"}', 422), (b'{"agent": "\\ud800"}', 400), (b'{"agent": "a\\u0000"}', 422),
        (b'{"agent": ["ana"], "reason": 7}', 422),
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_refused(
    router, ticket: dict[str, Any], what: str, body: bytes, status: int
) -> None:
    """Never with a fault of ours; the ticket stays as it is."""
    headers = {"content-type": "application/json"}
    said = await router.acme.post(f"/v1/tickets/{ticket['id']}/{what}", content=body, headers=headers)
    assert status == said.status_code, said.text
    assert "offered" == (await router.acme.get(f"/v1/tickets/{ticket['id']}")).json()["assignment"]["state"]


async def test_a_ticket_of_somebody_else_is_not_there(router, ticket: dict[str, Any]) -> None:
    """404, as for one that never was; without a key, 401."""
    place = f"/v1/tickets/{ticket['id']}/accept"
    assert 404 == (await router.globex.post(place, json={"agent": "ana"})).status_code
    assert 401 == (await router.nobody.post(place, json={"agent": "ana"})).status_code


@pytest.mark.parametrize(
    ("scope", "status"), [(Scope.TICKETS_WRITE, 200), (Scope.AGENTS_WRITE, 200), (Scope.TICKETS_READ, 403)]
)
async def test_who_may_answer(router, ticket: dict[str, Any], scope: Scope, status: int) -> None:
    """A helpdesk's key, or one for what agents say of themselves."""
    async with router.pool.acquire() as connection:
        made = await keys.create(connection, "acme", [scope], "test")
    headers = {"authorization": f"Bearer {made.key}"}
    place = f"/v1/tickets/{ticket['id']}/accept"
    assert status == (await router.nobody.post(place, json={"agent": "ana"}, headers=headers)).status_code
