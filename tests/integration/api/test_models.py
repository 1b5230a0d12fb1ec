"""Trained models over HTTP: added, tried, promoted, rolled back; and what `explain` says of a ticket they scored."""

import pytest

from services.router.domain.weights import Field
from shared.contract.access import Scope
from shared.ledger import keys
from tests import lessons
from tests.lessons import KNOWS

BINARY = {"content-type": "application/octet-stream"}
TICKET = {"source": "shop", "external_id": "1", "channel": "email", "text": "my invoice, and fire", "opened_at": "2026-06-01T09:30:00Z"}  # fmt: skip


async def test_a_model_goes_from_file_to_force_and_back(router) -> None:
    """Each step says which models are used now; promotion shows every class."""
    added = await router.acme.post("/v1/models", content=lessons.model(KNOWS), headers=BINARY)
    assert (201, {"version": 1, "is_new": True, "learned": ["theme", "urgency"]}) == (added.status_code, added.json())
    again = await router.acme.post("/v1/models", content=lessons.model(KNOWS), headers=BINARY)
    assert (200, False) == (again.status_code, again.json()["is_new"])

    assert (None, 1) == used(await router.acme.post("/v1/models/1/shadow"))
    promoted = await router.acme.post("/v1/models/1/promote")
    assert (1, None) == used(promoted)
    classes = promoted.json()["heads"][0]["report"]["classes"]
    assert {"name": "billing", "precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 50} == classes[0]
    await router.scoring.run_once()
    ticket = (await router.acme.post("/v1/tickets", json=TICKET)).json()
    assert ("billing", "urgent") == (ticket["theme"], ticket["urgency"])
    shown = (await router.acme.get("/v1/models/1")).json()
    assert ("promoted", 1, 1) == (
        shown["model"]["state"],
        shown["compared"]["tickets"],
        shown["compared"]["theme_sure"],
    )
    assert [1] == [model["version"] for model in (await router.acme.get("/v1/models")).json()["models"]]
    assert (None, None) == used(await router.acme.post("/v1/models:rollback"))
    assert 409 == (await router.acme.post("/v1/models:rollback")).status_code


def used(answer) -> tuple[int | None, int | None]:
    """Which models are used."""
    assert 200 == answer.status_code, answer.text
    return answer.json()["in_force"], answer.json()["shadow"]


async def test_explain_tells_rules_by_name_the_model_and_corrections(router) -> None:
    """Who says what; versions and confidences; what a person made of it."""
    policy = """
    urgency: [{name: fires, urgency: high, when: {text: fire}}]
    skills: [{name: money people, need: [billing], when: {theme: billing}}]
    targets: [{name: all, calendar: always, first_response: 8h}]
    """
    assert (
        200
        == (
            await router.acme.put("/v1/policy", content=policy, headers={"content-type": "application/yaml"})
        ).status_code
    )
    file = lessons.model({Field.THEME: KNOWS[Field.THEME]})
    await router.acme.post("/v1/models", content=file, headers=BINARY)
    await router.acme.post("/v1/models/1/promote")
    await router.scoring.run_once()
    ticket = (await router.acme.post("/v1/tickets", json=TICKET)).json()
    told = (await router.acme.get(f"/v1/tickets/{ticket['id']}/explain")).json()["classified"]
    assert ["fires", "money people"] == told["rules"]
    assert ("high", "rule", "billing", "model") == tuple(
        told[name] for name in ("urgency", "urgency_by", "theme", "theme_by")
    )
    assert (1, "billing", None) == tuple(told["model"][name] for name in ("version", "theme", "urgency"))
    assert told["model"]["theme_confidence"] > 0.9
    assert [["billing", 1]] == told["needs"]

    change = {"type": "ticket.updated", "id": "said", "data": {"theme": "refunds", "at": "2026-06-01T09:30:00Z"}}
    assert 202 >= (await router.acme.post(f"/v1/tickets/{ticket['id']}/events", json=change)).status_code
    told = (await router.acme.get(f"/v1/tickets/{ticket['id']}/explain")).json()["classified"]
    assert ("refunds", "person", ["fires"], []) == tuple(told[name] for name in ("theme", "theme_by", "rules", "needs"))
    assert [("theme", "billing", "refunds", "said")] == [
        tuple(one[name] for name in ("field", "was", "now", "event_id")) for one in told["corrections"]
    ]


async def test_what_cannot_be_used_is_refused_with_the_way_out(router) -> None:
    """A file that is none, a model that is not there or has learned nothing."""
    for content, headers, status in (
        (b"hello", BINARY, 422),
        (b"", BINARY, 422),
        (lessons.model(KNOWS)[:-1], BINARY, 422),
        (b"{}", {"content-type": "application/json"}, 415),
        (bytes(8_000_001), BINARY, 413),
    ):
        answer = await router.acme.post("/v1/models", content=content, headers=headers)
        assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    await router.acme.post("/v1/models", content=lessons.model(KNOWS, learned=False), headers=BINARY)
    refused = await router.acme.post("/v1/models/1/promote")
    assert 409 == refused.status_code
    assert "learned nothing" in refused.json()["detail"]
    assert (None, 1) == used(await router.acme.post("/v1/models/1/shadow"))


@pytest.mark.parametrize("version", ["0", "2", "-1", str(2**31), "9" * 40, "x", "1.5", "9" * 5_000, "٣", "1_0", "+1"])
async def test_a_model_that_is_not_there_is_not_found(router, version: str) -> None:
    """Whatever is asked for."""
    for method, path in (("GET", ""), ("POST", "/shadow"), ("POST", "/promote"), ("POST", "/stop")):
        assert 404 == (await router.acme.request(method, f"/v1/models/{version}{path}")).status_code


async def test_models_are_for_those_who_may_change_the_policy_of_their_tenant(router) -> None:
    """Readers may look; other tenants see nothing."""
    await router.acme.post("/v1/models", content=lessons.model(KNOWS), headers=BINARY)
    async with router.pool.acquire() as connection:
        made = await keys.create(connection, "acme", [Scope.TICKETS_READ], "reader")
    headers = {"authorization": f"Bearer {made.key}"}
    assert 200 == (await router.nobody.get("/v1/models/1", headers=headers)).status_code
    for path in ("/v1/models/1/promote", "/v1/models/1/shadow", "/v1/models/1/stop", "/v1/models:rollback"):
        assert 403 == (await router.nobody.post(path, headers=headers)).status_code
    assert 403 == (await router.nobody.post("/v1/models", content=b"", headers={**headers, **BINARY})).status_code
    assert [] == (await router.globex.get("/v1/models")).json()["models"]
    assert 404 == (await router.globex.post("/v1/models/1/promote")).status_code
