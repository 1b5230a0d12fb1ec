"""Agents over HTTP: who there is, and what happens when one says they are there."""

import msgspec
import pytest

from shared.contract.access import Scope
from shared.ledger import keys
from shared.postgres.pool import Pool


async def hire(pool: Pool, *names: str, tenant: str = "acme") -> None:
    """Put agents on the roster who take e-mail and are not there yet."""
    for name in names:
        await pool.execute(
            "INSERT INTO agent (tenant, key, name, skills, channels) VALUES ($1, $2, $2, $3, '{email}')",
            tenant,
            name,
            msgspec.json.encode({"billing": 4}),
        )


async def test_agents_are_listed_a_page_at_a_time(router) -> None:
    """In the order of their keys; the cursor goes on where the page ended; another tenant's are not among them."""
    await hire(router.pool, "chi", "ana", "ben")
    await hire(router.pool, "zoe", tenant="globex")

    first = (await router.acme.get("/v1/agents", params={"limit": 2})).json()
    second = (await router.acme.get("/v1/agents", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert ["ana", "ben"] == [agent["key"] for agent in first["agents"]]
    assert (["chi"], None) == ([agent["key"] for agent in second["agents"]], second["next_cursor"])


async def test_agent_is_shown_with_skills_and_load(router) -> None:
    """Everything that decides what they get next."""
    await hire(router.pool, "ana")

    answer = await router.acme.get("/v1/agents/ana")

    assert 200 == answer.status_code
    assert {
        "key": "ana",
        "name": "ana",
        "is_active": True,
        "skills": {"billing": 4},
        "channels": ["email"],
        "capacity": 12,
        "at_most": {},
        "pools": [],
        "presence": "manual",
        "calendar": None,
        "status": "offline",
        "closed_channels": [],
        "is_there": False,
        "present_until": None,
        "next_present_at": None,
        "lead": None,
        "held": {},
        "real_time_units": 0,
        "interruptible_units": 0,
        "is_over_capacity": False,
        "last_assigned_at": None,
    } == answer.json()


async def test_who_comes_online_is_given_what_waits(router) -> None:
    """The answer shows the load already, and the ticket its owner."""
    await hire(router.pool, "ana")
    ticket = {"source": "shop", "external_id": "1", "channel": "email", "subject": "Where is it?"}
    waiting = (await router.acme.post("/v1/tickets", json=ticket)).json()
    assert (None, "offline") == (waiting["owner"], waiting["queue"]["reason"])

    answer = await router.acme.put("/v1/agents/ana/presence", json={"status": "online"})

    assert 200 == answer.status_code
    assert ("online", 6) == (answer.json()["status"], answer.json()["interruptible_units"])
    owned = (await router.acme.get(f"/v1/tickets/{waiting['id']}")).json()
    assert ("ana", None) == (owned["owner"], owned["queue"])


@pytest.mark.parametrize("tenant", ["nobody else's", "globex"])
async def test_agent_of_another_tenant_is_as_unknown_as_any(router, tenant: str) -> None:
    """Neither seen nor changed, and nobody can tell whether there is one."""
    if tenant == "globex":
        await hire(router.pool, "zoe", tenant=tenant)

    seen = await router.acme.get("/v1/agents/zoe")
    changed = await router.acme.put("/v1/agents/zoe/presence", json={"status": "online"})

    assert (404, 404) == (seen.status_code, changed.status_code)
    assert "urn:deskclock:problem:not-found" == changed.json()["type"]
    assert [] == await router.pool.fetch("SELECT key FROM agent WHERE status = 'online'")


async def test_unknown_status_is_refused_with_its_place(router) -> None:
    """422, and the field is named."""
    await hire(router.pool, "ana")

    answer = await router.acme.put("/v1/agents/ana/presence", json={"status": "asleep"})

    assert (422, ["#/status"]) == (answer.status_code, [error["pointer"] for error in answer.json()["errors"]])


@pytest.mark.parametrize("cursor", ["!", "_w", "AA"])
async def test_foreign_cursor_is_refused(router, cursor: str) -> None:
    """Not base64, not text, or text that no key may be."""
    answer = await router.acme.get("/v1/agents", params={"cursor": cursor})

    assert (422, ["cursor"]) == (answer.status_code, [error["parameter"] for error in answer.json()["errors"]])


async def test_key_that_only_reads_tickets_can_not_change_presence(router) -> None:
    """It may look, and that is all."""
    await hire(router.pool, "ana")
    async with router.pool.acquire() as connection:
        made = await keys.create(connection, "acme", [Scope.TICKETS_READ], "reader")
    headers = {"authorization": f"Bearer {made.key}"}

    seen = await router.nobody.get("/v1/agents/ana", headers=headers)
    changed = await router.nobody.put("/v1/agents/ana/presence", headers=headers, json={"status": "online"})
    beaten = await router.nobody.post("/v1/agents/ana/heartbeat", headers=headers)

    assert (200, 403, 403) == (seen.status_code, changed.status_code, beaten.status_code)


async def lease(pool: Pool, name: str = "chi") -> None:
    """Somebody whose presence is known by heartbeats."""
    await hire(pool, name)
    await pool.execute("UPDATE agent SET presence = 'lease', status = 'online' WHERE key = $1", name)


async def test_heartbeat_makes_somebody_be_there(router) -> None:
    """For 45 seconds; the answer says when to come again, and they have what waited."""
    await lease(router.pool)
    ticket = {"source": "shop", "external_id": "1", "channel": "email", "subject": "Where is it?"}
    waiting = (await router.acme.post("/v1/tickets", json=ticket)).json()
    before = (await router.acme.get("/v1/agents/chi")).json()

    answer = await router.acme.post("/v1/agents/chi/heartbeat")

    assert 200 == answer.status_code
    assert {"status": "online", "beat_again_seconds": 15} == {
        key: value for key, value in answer.json().items() if key != "present_until"
    }
    after = (await router.acme.get("/v1/agents/chi")).json()
    assert (False, None, True) == (before["is_there"], before["present_until"], after["is_there"])
    assert answer.json()["present_until"] == after["present_until"]
    assert {"email": 1} == after["held"]
    assert "chi" == (await router.acme.get(f"/v1/tickets/{waiting['id']}")).json()["owner"]


async def test_heartbeat_where_it_says_nothing_is_a_conflict(router) -> None:
    """The way out is named; nobody is changed."""
    await hire(router.pool, "ana", "ben")
    await router.pool.execute("UPDATE agent SET presence = 'shift', calendar = 'early' WHERE key = 'ben'")

    manual = await router.acme.post("/v1/agents/ana/heartbeat")
    shift = await router.acme.post("/v1/agents/ben/heartbeat")
    nobody = await router.acme.post("/v1/agents/zoe/heartbeat")
    others = await router.globex.post("/v1/agents/ana/heartbeat")

    assert [409, 409, 404, 404] == [answer.status_code for answer in (manual, shift, nobody, others)]
    assert "`manual`" in manual.json()["detail"]
    assert "`shift`" in shift.json()["detail"]
    assert all("write `presence: lease` in the roster" in answer.json()["detail"] for answer in (manual, shift))
    assert 0 == await router.pool.fetchval("SELECT count(*) FROM agent WHERE present_until IS NOT NULL")


async def test_channels_are_closed_and_opened(router) -> None:
    """Left out or null they stay as they are."""
    await hire(router.pool, "ana")
    closed = []
    for body in (
        {"status": "online", "closed_channels": ["live_chat", "phone", "live_chat"]},
        {"status": "away"},
        {"status": "online", "closed_channels": None},
        {"status": "online", "closed_channels": []},
    ):
        answer = await router.acme.put("/v1/agents/ana/presence", json=body)
        assert 200 == answer.status_code
        closed.append(answer.json()["closed_channels"])

    assert [["live_chat", "phone"]] * 3 + [[]] == closed


@pytest.mark.parametrize(
    ("channels", "pointer"),
    [
        ("live_chat", "#/closed_channels"),
        (["fax"], "#/closed_channels/0"),
        ([None], "#/closed_channels/0"),
        (["phone"] * 51, "#/closed_channels"),
    ],
)
async def test_unknown_channels_are_refused_with_their_place(router, channels: object, pointer: str) -> None:
    """422, and nothing is stored."""
    await hire(router.pool, "ana")

    body = {"status": "online", "closed_channels": channels}
    answer = await router.acme.put("/v1/agents/ana/presence", json=body)

    assert (422, [pointer]) == (answer.status_code, [error["pointer"] for error in answer.json()["errors"]])
    assert "offline" == (await router.acme.get("/v1/agents/ana")).json()["status"]
