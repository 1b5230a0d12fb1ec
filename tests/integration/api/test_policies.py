"""Policies and rosters over HTTP: all errors at once, versions, nothing overwritten unseen."""

import pytest
from prometheus_client import CollectorRegistry

from services.router.metrics.rollout import RolloutMetrics
from services.router.versions.rollout import Did, RollingOut
from shared.ledger.policies import PolicyShelf

YAML = {"content-type": "application/yaml"}
POLICY = """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}
targets:
  - {name: everything, calendar: office, first_response: 4h, resolution: 2bd}
"""
WRONG = """
calendars:
  office: {timezone: Europe/Atlantis, hours: {mon-fri: "09:00-17:00"}}
targets:
  - {name: everything, calendar: offices, first_response: soon}
"""
ROSTER = "people:\n  ana: {skills: {billing: 5}}\n"


async def test_the_built_in_policy_is_shown_first(router) -> None:
    """Version 0, as a file to start from."""
    answer = await router.acme.get("/v1/policy")
    assert (200, 0, '"0"') == (answer.status_code, answer.json()["version"], answer.headers["etag"])
    file = await router.acme.get("/v1/policy", headers={"accept": "application/yaml"})
    assert (answer.json()["source"], "application/yaml") == (file.text, file.headers["content-type"])


async def test_a_policy_is_applied_and_kept_in_versions(router) -> None:
    """The same file again makes no new version."""
    first = await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    again = await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    second = await router.acme.put("/v1/policy", content=POLICY.replace("4h", "2h"), headers=YAML)
    assert [{"version": 1, "is_new": True}, {"version": 1, "is_new": False}, {"version": 2, "is_new": True}] == [
        answer.json() for answer in (first, again, second)
    ]
    assert POLICY == (await router.acme.get("/v1/policy?version=1")).json()["source"]
    assert 2 == (await router.acme.get("/v1/policy")).json()["version"]
    assert 404 == (await router.acme.get("/v1/policy?version=3")).status_code
    assert 0 == (await router.globex.get("/v1/policy")).json()["version"]
    newest = (await router.acme.get("/v1/policy/versions?limit=1")).json()
    older = (await router.acme.get(f"/v1/policy/versions?limit=1&cursor={newest['next_cursor']}")).json()
    assert ([2], [1], None) == (
        [each["version"] for each in newest["versions"]],
        [each["version"] for each in older["versions"]],
        older["next_cursor"],
    )


async def test_a_new_ticket_gets_the_new_policy(router) -> None:
    """In force from the commit on."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    sent = {"source": "s", "external_id": "1", "channel": "email", "opened_at": "2026-06-01T09:00:00Z"}
    body = (await router.acme.post("/v1/tickets", json=sent)).json()
    due = {clock["target"]: clock["due_at"] for clock in body["clocks"]}
    assert ("everything", 1) == (body["matched"], body["policy_version"])
    assert {"first_response": "2026-06-01T13:00:00Z", "resolution": "2026-06-03T09:00:00Z"} == due


@pytest.mark.parametrize(("method", "path"), [("PUT", "/v1/policy"), ("POST", "/v1/policy/plan")])
async def test_a_wrong_policy_lists_every_error_with_its_line(router, method: str, path: str) -> None:
    """And a way out of each; nothing changes."""
    answer = await router.acme.request(method, path, content=WRONG, headers=YAML)
    assert (422, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    errors = answer.json()["errors"]
    assert {3, 5} <= {error["line"] for error in errors}
    assert all(error["pointer"].startswith("#/") and error["detail"] and error["remedy"] for error in errors)
    assert 0 == (await router.acme.get("/v1/policy")).json()["version"]


async def test_a_plan_says_what_would_change(router) -> None:
    """And changes nothing."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    plan = (await router.acme.post("/v1/policy/plan", content=POLICY.replace("4h", "2h"), headers=YAML)).json()
    assert (1, 2) == (plan["current"], plan["next"])
    assert plan["changes"]
    assert 1 == (await router.acme.get("/v1/policy")).json()["version"]


async def test_a_change_made_from_an_old_version_is_refused(router) -> None:
    """`If-Match` keeps two people from overwriting each other."""
    shown = await router.acme.get("/v1/policy")
    applied = await router.acme.put("/v1/policy", content=POLICY, headers={**YAML, "if-match": shown.headers["etag"]})
    assert (200, '"1"') == (applied.status_code, applied.headers["etag"])
    late = await router.acme.put(
        "/v1/policy", content=POLICY.replace("4h", "2h"), headers={**YAML, "if-match": shown.headers["etag"]}
    )
    assert (412, "urn:deskclock:problem:changed-meanwhile", '"1"') == (
        late.status_code, late.json()["type"], late.headers["etag"],
    )  # fmt: skip


async def test_a_roster_is_applied_and_shown(router) -> None:
    """There is none at first; then its people are agents."""
    assert 404 == (await router.acme.get("/v1/roster")).status_code
    applied = await router.acme.put("/v1/roster", content=ROSTER, headers=YAML)
    assert (200, {"version": 1, "is_new": True}) == (applied.status_code, applied.json())
    assert ROSTER == (await router.acme.get("/v1/roster")).json()["source"]
    assert [1] == [each["version"] for each in (await router.acme.get("/v1/roster/versions")).json()["versions"]]
    assert ["ana"] == [agent["key"] for agent in (await router.acme.get("/v1/agents")).json()["agents"]]


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"\xff", "application/yaml", 400),
        (b"a: \x00", "application/yaml", 422),
        (b"", "application/yaml", 422),
        (b"a: [", "application/yaml", 422),
        (b"[]", "application/json", 422),
        (b"&a [*a]", "application/yaml", 422),
        (b"x: &a [1,1,1,1]\ny: &b [*a,*a,*a,*a]\nz: [*b,*b,*b,*b]", "application/yaml", 422),
        (b"[" * 3000, "application/yaml", 422),
        (b"? {a: b}\n: c", "application/yaml", 422),
        (b"!!python/object:os.system x", "application/yaml", 422),
        (b"targets: 1" + b"0" * 6000, "application/yaml", 422),
        (b"targets: .nan", "application/yaml", 422),
        (b"targets: 2026-13-45", "application/yaml", 422),
        (b"{}", "application/xml", 415),
        (b"#" * 1_048_577, "application/yaml", 413),
    ],
)
@pytest.mark.parametrize("path", ["/v1/policy", "/v1/roster"])
async def test_no_file_is_a_fault_of_ours(router, path: str, body: bytes, media_type: str, status: int) -> None:
    """Whatever is sent as a policy or roster is refused in the right words."""
    answer = await router.acme.put(path, content=body, headers={"content-type": media_type})
    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"]), answer.text


def of_ticket(number: int, opened_at: str = "2026-06-01T08:00:00Z") -> dict[str, str]:
    """A ticket to hand in."""
    return {"source": "s", "external_id": str(number), "channel": "email", "opened_at": opened_at}


async def roll(router) -> None:
    """What the router's loop does."""
    worker = RollingOut(router.pool, PolicyShelf(), RolloutMetrics(CollectorRegistry()), rest=0)
    while await worker.step() is not Did.NOTHING:
        pass


async def test_a_policy_applied_to_open_tickets_moves_their_clocks(router) -> None:
    """In the background; how far it is can be asked."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    ticket = (await router.acme.post("/v1/tickets", json=of_ticket(1))).json()
    shorter = POLICY.replace("4h", "2h")
    applied = (await router.acme.put("/v1/policy?to=open", content=shorter, headers=YAML)).json()
    assert (2, True, "open", "running", None) == (
        applied["version"], applied["is_new"], applied["rollout"]["scope"], applied["rollout"]["state"], applied["rollout"]["total"],
    )  # fmt: skip
    await roll(router)
    [rollout] = (await router.acme.get("/v1/policy/rollouts")).json()["rollouts"]
    assert ("done", 1, 1, 1) == (rollout["state"], rollout["total"], rollout["done"], rollout["earlier"])
    shown = (await router.acme.get(f"/v1/tickets/{ticket['id']}")).json()
    due = {clock["target"]: clock["due_at"] for clock in shown["clocks"]}
    assert (2, "2026-06-01T10:00:00Z") == (shown["policy_version"], due["first_response"])
    assert [] == (await router.globex.get("/v1/policy/rollouts")).json()["rollouts"]


async def test_rollouts_come_in_pages(router) -> None:
    """The newest first."""
    for hours in (1, 2, 3):
        await router.acme.put("/v1/policy?to=open", content=POLICY.replace("4h", f"{hours}h"), headers=YAML)
    newest = (await router.acme.get("/v1/policy/rollouts?limit=2")).json()
    older = (await router.acme.get(f"/v1/policy/rollouts?limit=2&cursor={newest['next_cursor']}")).json()
    assert (2, 1, None) == (len(newest["rollouts"]), len(older["rollouts"]), older["next_cursor"])
    assert 422 == (await router.acme.get("/v1/policy/rollouts?cursor=MTI")).status_code


async def test_a_plan_tries_the_policy_on_open_tickets(router) -> None:
    """How many clocks move, which way, and some of them by name; nothing changes."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    for number in range(3):
        await router.acme.post("/v1/tickets", json=of_ticket(number))
    late = POLICY.replace("4h", "20m")
    plan = (await router.acme.post("/v1/policy/plan?to=open", content=late, headers=YAML)).json()
    counts = plan["effects"]["counts"]
    assert (3, True, 3, 6, 3, 3) == (
        plan["tickets"], plan["is_complete"], counts["tickets"], counts["clocks"], counts["earlier"], counts["breached"],
    )  # fmt: skip
    [group] = plan["effects"]["groups"]
    assert ("email", "", 3) == (group["channel"], group["team"], group["counts"]["earlier"])
    assert {"source", "ticket", "target", "due_before", "due_after"} == plan["effects"]["examples"]["breached"][
        0
    ].keys()
    for query in ("", "?to=new", "?from=2026-07-01T00:00:00Z"):
        other = (await router.acme.post(f"/v1/policy/plan{query}", content=late, headers=YAML)).json()
        assert (0, 0) == (other["tickets"], other["effects"]["counts"]["tickets"])
    assert 1 == (await router.acme.get("/v1/policy")).json()["version"]


async def test_a_policy_from_an_instant_on(router) -> None:
    """To come: it waits. Past: open tickets opened since then have always had it."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    later = POLICY.replace("4h", "3h")
    applied = (await router.acme.put("/v1/policy?from=2026-06-01T12:00:00%2B02:00", content=later, headers=YAML)).json()
    assert {"version": 2, "is_new": True, "holds_from": "2026-06-01T10:00:00Z"} == applied
    assert 1 == (await router.acme.get("/v1/policy")).json()["version"]
    unseen = await router.acme.put("/v1/policy", content=POLICY, headers={**YAML, "if-match": '"1"'})
    assert (412, '"2"') == (unseen.status_code, unseen.headers["etag"])
    versions = (await router.acme.get("/v1/policy/versions")).json()["versions"]
    assert ["2026-06-01T10:00:00Z", None] == [each["holds_from"] for each in versions]
    old = (await router.acme.post("/v1/tickets", json=of_ticket(1, "2026-06-01T07:00:00Z"))).json()
    new = (await router.acme.post("/v1/tickets", json=of_ticket(2, "2026-06-01T09:00:00Z"))).json()
    since = "/v1/policy?from=2026-06-01T08:30:00Z"
    applied = (await router.acme.put(since, content=POLICY.replace("4h", "1h"), headers=YAML)).json()
    assert (3, "since") == (applied["version"], applied["rollout"]["scope"])
    await roll(router)
    shown = [(await router.acme.get(f"/v1/tickets/{ticket['id']}")).json() for ticket in (old, new)]
    assert [1, 3] == [each["policy_version"] for each in shown]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("to=all", "to:"),
        ("from=yesterday", "from:"),
        ("from=2026-06-01T08:30:00", "from:"),
        ("from=2028-06-01T08:30:00Z", "400 days ahead"),
        ("from=0001-01-01T00:00:00%2B10:00", "beyond"),
        ("to=open&from=2026-06-01T08:30:00Z", "exclude each other"),
        ("to=new&from=2026-06-01T08:30:00Z", "exclude each other"),
        ("since=2026-06-01T08:30:00Z", "known are from, to"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("PUT", "/v1/policy"), ("POST", "/v1/policy/plan")])
async def test_whom_a_policy_is_for_must_be_clear(router, method: str, path: str, query: str, words: str) -> None:
    """Refused with what would be right; nothing changes."""
    answer = await router.acme.request(method, f"{path}?{query}", content=POLICY, headers=YAML)
    assert (422, True) == (answer.status_code, words in answer.json()["detail"]), answer.text
    assert 0 == (await router.acme.get("/v1/policy")).json()["version"]
