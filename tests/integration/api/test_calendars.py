"""When a calendar is open, asked over HTTP."""

import pytest

from shared.ledger.policies import PolicyShelf

YAML = {"content-type": "application/yaml"}
POLICY = """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}, closed: [2026-06-08]}
  new york: {timezone: America/New_York, hours: {mon-fri: "09:00-17:00"}}
  both: {intersection: [new york, office]}
targets:
  - {name: everything, calendar: both, first_response: 4h, resolution: 2bd}
"""


async def test_rule_1_what_is_due_when_and_every_interval(router) -> None:
    """Eight hours from Friday afternoon, over a closed Monday."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    asked = {"start": "2026-06-05T16:00:00+02:00", "duration": "8h"}
    answer = await router.acme.get("/v1/calendars/office/preview", params=asked)
    body = answer.json()
    assert (200, "2026-06-09T14:00:00Z", "Europe/Berlin") == (answer.status_code, body["due_at"], body["timezone"])
    assert [True, False, True] == [each["is_open"] for each in body["intervals"]]
    assert "closure 2026-06-08" in body["intervals"][1]["reasons"]
    unescaped = await router.acme.get("/v1/calendars/office/preview?duration=8h&start=2026-06-05T16:00:00+02:00")
    assert body == unescaped.json()


async def test_rule_30_calendars_made_of_others_have_names_too(router) -> None:
    """Shared hours of two offices, in business days and alone."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    asked = {"start": "2026-06-05T08:00:00Z", "until": "2026-06-06T00:00:00Z"}
    shared = (await router.acme.get("/v1/calendars/both/preview", params=asked)).json()
    assert (None, 2 * 3600) == (shared["due_at"], shared["open_seconds"])
    asked = {"start": "2026-06-05T08:00:00Z", "duration": "1bd"}
    tuesday = (await router.acme.get("/v1/calendars/both/preview", params=asked)).json()
    assert "2026-06-09T13:00:00Z" == tuesday["due_at"]


async def test_a_calendar_that_is_not_there(router) -> None:
    """The names that there are, of the version that was asked for; another tenant's are not known."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    asked = {"start": "2026-06-05T08:00:00Z"}
    for client, path, said in (
        (router.acme, "offices/preview", "did you mean office?"),
        (router.globex, "new%20york/preview", "policy version 0 has no calendar 'new york'"),
        (router.acme, "both/preview?version=0", "policy version 0 has no calendar 'both'"),
        (router.acme, "both/preview?version=9", "there is no version 9"),
    ):
        answer = await client.get(
            f"/v1/calendars/{path}", params=asked if "?" not in path else {**asked, "version": path[-1]}
        )
        assert (404, True) == (answer.status_code, said in answer.json()["detail"]), answer.text
    assert 401 == (await router.nobody.get("/v1/calendars/both/preview", params=asked)).status_code


@pytest.mark.parametrize(
    ("asked", "parameter", "said"),
    [
        ({}, "start", "is missing"),
        ({"start": "2026-06-05T08:00:00"}, "start", "offset"),
        ({"start": "tomorrow"}, "start", "offset"),
        ({"start": ""}, "start", "offset"),
        ({"start": "0001-01-01T00:00:00+14:00"}, "start", "outside the years"),
        ({"start": "9999-12-31T23:59:59-14:00"}, "start", "outside the years"),
        ({"start": "2026-06-05T08:00:00Z", "duration": "1d"}, "duration", "two ways"),
        ({"start": "2026-06-05T08:00:00Z", "duration": "-4h"}, "duration", "negative"),
        ({"start": "2026-06-05T08:00:00Z", "duration": ""}, "duration", "empty"),
        ({"start": "2026-06-05T08:00:00Z", "until": "2026-06-04T08:00:00Z"}, "until", "before the start"),
        ({"start": "2026-06-05T08:00:00Z", "version": "-1"}, "version", "int"),
        ({"start": "2026-06-05T08:00:00Z", "span": "4h"}, "span", "not known here"),
    ],
)
async def test_bad_questions_are_refused(router, asked: dict[str, str], parameter: str, said: str) -> None:
    """Each with the parameter that is wrong."""
    answer = await router.acme.get("/v1/calendars/always/preview", params=asked)
    assert (422, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    [error] = answer.json()["errors"]
    assert (parameter, True) == (error["parameter"], said in error["detail"]), error


async def test_rule_31_a_version_keeps_the_edition_of_its_time_zones(router, caplog) -> None:
    """A version applied with other tzdata isn't the same, though its text is; who reads it is told."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    assert {"version": 1, "is_new": False}.items() <= (
        await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    ).json().items()
    async with router.pool.acquire() as connection:
        await connection.execute("UPDATE policy_version SET document = jsonb_set(document, '{tzdata}', '\"2021a\"')")
        await PolicyShelf().version(connection, "acme", 1)
    [said] = [record for record in caplog.records if getattr(record, "event", "") == "time_zones_differ"]
    assert "applied with time zones of 2021a" in said.getMessage()
    plan = (await router.acme.post("/v1/policy/plan", content=POLICY, headers=YAML)).json()
    assert [True] == [change.startswith("tzdata 2021a -> ") for change in plan["changes"]]
    assert 2 == (await router.acme.put("/v1/policy", content=POLICY, headers=YAML)).json()["version"]


async def test_a_plan_warns_of_what_is_seldom_meant(router) -> None:
    """Overlapping hours, with line and way out."""
    text = POLICY.replace('"09:00-17:00"}, closed', '"09:00-13:00, 12:00-17:00"}, closed')
    plan = (await router.acme.post("/v1/policy/plan", content=text, headers=YAML)).json()
    [warning] = plan["warnings"]
    assert (3, "/calendars/office/hours") == (warning["line"], warning["pointer"])
    assert "09:00-13:00 and 12:00-17:00 overlap on mon" == warning["problem"]
