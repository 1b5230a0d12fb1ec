"""A candidate policy over HTTP: started, compared, stopped, each tenant its own."""

import httpx

from shared.contract.access import Scope
from shared.ledger import keys

YAML = {"content-type": "application/yaml"}
CANDIDATE = "targets:\n  - {name: at once, calendar: always, first_response: 10m}\n"
WRONG = "targets:\n  - {name: at once, calendar: offices, first_response: soon}\n"
PATH = "/v1/policy/shadow"


async def test_a_candidate_is_started_compared_and_stopped(router, clock_control) -> None:
    """It breaks what the built-in policy keeps, and the ticket's own answer knows nothing of it."""
    started = (await router.acme.put(PATH, content=CANDIDATE, headers=YAML)).json()
    again = (await router.acme.put(PATH, content=CANDIDATE, headers=YAML)).json()
    assert (True, False, started["started_at"]) == (started["is_new"], again["is_new"], again["started_at"])
    assert started["changes"]
    await router.shadows.run_once()
    sent = {"source": "s", "external_id": "1", "channel": "email", "opened_at": "2026-06-01T09:30:00Z"}
    ticket = (await router.acme.post("/v1/tickets", json=sent)).json()
    assert "at once" not in str(ticket)
    await router.shadows.run_once()
    await clock_control.advance(minutes=11)
    await router.shadows.run_once()
    shown = (await router.acme.get(PATH)).json()
    assert ("running", None, 1, False, 0) == tuple(
        shown[name] for name in ("state", "failure", "tickets", "is_full", "behind")
    )
    first = next(line for line in shown["lines"] if line["target"] == "first_response")
    assert (0, 1, None) == tuple(first["live"][name] for name in ("breached", "running", "attainment"))
    assert (1, 0, 0.0) == tuple(first["shadow"][name] for name in ("breached", "running", "attainment"))
    assert {"tickets": 1, "only_live": 0, "only_shadow": 1} == shown["differences"]
    assert ("1", "at once", "2026-06-01T09:40:00Z") == tuple(
        shown["examples"][0][name] for name in ("external_id", "shadow_matched", "shadow_due_at")
    )
    assert 204 == (await router.acme.delete(PATH)).status_code
    assert [404, 404] == [(await router.acme.get(PATH)).status_code, (await router.acme.delete(PATH)).status_code]


async def test_a_bad_candidate_lists_every_error_with_its_line(router) -> None:
    """And a way out of each; nothing is tried."""
    answer = await router.acme.put(PATH, content=WRONG, headers=YAML)
    assert (422, [2, 2]) == (answer.status_code, [error["line"] for error in answer.json()["errors"]])
    assert 415 == (await router.acme.put(PATH, content=b"{}", headers={"content-type": "text/xml"})).status_code
    assert 404 == (await router.acme.get(PATH)).status_code


async def test_a_tenant_sees_and_ends_only_its_own(router) -> None:
    """The other's candidate is not there for it."""
    await router.acme.put(PATH, content=CANDIDATE, headers=YAML)
    assert [404, 404] == [(await router.globex.get(PATH)).status_code, (await router.globex.delete(PATH)).status_code]
    assert 200 == (await router.acme.get(PATH)).status_code


async def test_reading_needs_less_than_writing(router) -> None:
    """A key that may read tickets may compare, and not start or stop."""
    async with router.pool.acquire() as connection:
        made = await keys.create(connection, "acme", [Scope.TICKETS_READ], "reader")
    headers = {"authorization": f"Bearer {made.key}"}
    reader: httpx.AsyncClient = router.nobody
    assert 404 == (await reader.get(PATH, headers=headers)).status_code
    assert 403 == (await reader.put(PATH, content=CANDIDATE, headers={**headers, **YAML})).status_code
    assert 403 == (await reader.delete(PATH, headers=headers)).status_code
