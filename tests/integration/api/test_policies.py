"""Policies and rosters over HTTP: all errors at once, versions, nothing overwritten unseen."""

import pytest

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
