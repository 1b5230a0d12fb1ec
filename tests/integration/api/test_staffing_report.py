"""Who is missing, asked over HTTP."""

from datetime import timedelta

import pytest

from services.router.domain.staffing import Lack
from tests.integration.api.conftest import NOW

YAML = {"content-type": "application/yaml"}
POLICY = """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}
targets:
  - {name: all, calendar: always, first_response: 1h}
skills:
  - {when: {channel: live_chat}, need: [billing: 2]}
"""


async def hand_in(client, external_id: str, channel: str) -> None:
    """A ticket for which there is nobody."""
    made = await client.post("/v1/tickets", json={"source": "desk", "external_id": external_id, "channel": channel})
    assert 201 == made.status_code, made.text


async def test_the_report_names_who_is_missing(router, clock_control) -> None:
    """A chat that nobody can take waits half an hour; the hour is that of the policy's own zone."""
    applied = await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    assert applied.status_code < 300, applied.text
    await hand_in(router.acme, "c1", "live_chat")
    await clock_control.freeze(NOW + timedelta(minutes=30))

    answer = await router.acme.get("/v1/reports/staffing", params={"weeks": "1"})

    assert 200 == answer.status_code, answer.text
    found = answer.json()
    [line] = found["lines"]
    assert {
        "channel": "live_chat", "skills": ["billing"], "reason": Lack.NO_SKILL, "arrived": 1, "waited": 1, "share": 1.0,
        "waiting": 1, "minutes": {"median": 30, "p90": 30},
    }.items() <= line.items()  # fmt: skip
    # half an hour, counted as a quarter of one, times 4 units of 12
    assert pytest.approx(0.25 * 4 / 12) == line["hours_a_week"] == line["peak"]["hands"]
    assert {"weekday": 0, "first": 11, "until": 12}.items() <= line["peak"].items()
    assert 1 == line["heat"]["waited"][0][11] == found["total"]["heat"]["arrived"][0][11]
    assert ([7], {24}) == ([len(found["hours"])], {len(row) for row in line["heat"]["hands"]})
    assert [(None, ["billing"])] == [(skill["channel"], skill["skills"]) for skill in found["skills"]]
    assert ("Europe/Berlin", "2026-06-01T10:00:00Z", {}) == (
        found["timezone"], found["until"], found["held_minutes"],
    )  # fmt: skip


async def test_it_is_narrowed_and_a_tenant_sees_its_own(router, clock_control) -> None:
    """By channel, skill, pool and time zone; nobody without a key sees any."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    await hand_in(router.acme, "c1", "live_chat")
    await hand_in(router.acme, "m1", "email")
    await clock_control.advance(minutes=1)
    for asked, waited in (
        ({}, 2),
        ({"channel": "email"}, 1),
        ({"skill": "billing"}, 1),
        ({"pool": "default"}, 2),
        ({"pool": "north"}, 0),
    ):
        answer = await router.acme.get("/v1/reports/staffing", params=asked)
        assert waited == answer.json()["total"]["waited"], asked
    tokyo = (await router.acme.get("/v1/reports/staffing", params={"timezone": "Asia/Tokyo"})).json()
    assert ("Asia/Tokyo", 2) == (tokyo["timezone"], tokyo["total"]["heat"]["waited"][0][18])
    other = (await router.globex.get("/v1/reports/staffing")).json()
    assert (0, [], "UTC") == (other["total"]["arrived"], other["lines"], other["timezone"])
    assert 401 == (await router.nobody.get("/v1/reports/staffing")).status_code


@pytest.mark.parametrize(
    ("asked", "parameter", "said"),
    [
        ({"weeks": "0"}, "weeks", "from 1 to 13"),
        ({"weeks": "14"}, "weeks", "from 1 to 13"),
        ({"weeks": "some"}, "weeks", "a whole number"),
        ({"timezone": "Europe/Berln"}, "timezone", "did you mean Europe/Berlin?"),
        ({"timezone": "../../etc/passwd"}, "timezone", "write an IANA name, as in Europe/Berlin"),
        ({"timezone": ""}, "timezone", ">= 1"),
        ({"channel": "fax"}, "channel", "live_chat"),
        ({"skill": ""}, "skill", ">= 1"),
        ({"pool": "x" * 101}, "pool", "<= 100"),
        ({"week": "1"}, "week", "known are channel, pool, skill, timezone, weeks"),
    ],
)
async def test_bad_questions_are_refused(router, asked: dict[str, str], parameter: str, said: str) -> None:
    """Each with the parameter that is wrong and what is allowed."""
    answer = await router.acme.get("/v1/reports/staffing", params=asked)
    assert (422, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    [error] = answer.json()["errors"]
    assert (parameter, True) == (error["parameter"], said in error["detail"]), error


async def test_the_report_is_described_with_an_example(router) -> None:
    """Every parameter says what it takes."""
    described = (await router.acme.get("/openapi.json")).json()["paths"]["/v1/reports/staffing"]["get"]
    assert [] == [each["name"] for each in described["parameters"] if "examples" not in str(each["schema"])]
    assert described["responses"]["200"]["content"]["application/json"]["examples"]
