"""What is due next and what was kept, asked over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.api.conftest import NOW

YAML = {"content-type": "application/yaml"}
POLICY = """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}
targets:
  - {name: chat, when: {channel: live_chat}, calendar: always, first_response: 30m}
  - {name: mail, calendar: office, first_response: 2h, resolution: 6h}
"""

MAIL = {"source": "desk", "external_id": "m1", "channel": "email", "team": "north"}


def after(**length: float) -> str:
    """So long after NOW, as the API writes it."""
    return (NOW + timedelta(**length)).isoformat().replace("+00:00", "Z")


async def hand_in(client, external_id: str, channel: str = "email", team: str | None = None, **fields: object) -> str:
    """A ticket of a team; its id."""
    made = await client.post(
        "/v1/tickets", json={"source": "desk", "external_id": external_id, "channel": channel, **fields}
    )
    assert 201 == made.status_code, made.text
    if team is not None:
        await tell(client, made.json()["id"], "ticket.assigned", team=team)
    return str(made.json()["id"])


async def tell(client, ticket_id: str, kind: str, **data: object) -> None:
    """Something happens to it."""
    answer = await client.post(f"/v1/tickets/{ticket_id}/events", json={"type": kind, "data": data})
    assert answer.status_code < 300, answer.text


async def lines(client, path: str, **asked: str) -> list[dict[str, Any]]:
    """Of a report that is complete."""
    answer = await client.get(f"/v1/reports/{path}", params=asked)
    assert 200 == answer.status_code, answer.text
    assert answer.json()["is_complete"]
    return list(answer.json()["lines"])


async def test_deadlines_are_counted_in_open_hours_by_team(router, clock_control) -> None:
    """A resolution due tomorrow is due within eight open hours; what is late or paused is told apart."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    await hand_in(router.acme, "c1", "live_chat", team="north")
    mail = str((await router.acme.post("/v1/tickets", json=MAIL)).json()["id"])
    waiting = await hand_in(router.acme, "m2")
    await tell(router.acme, waiting, "ticket.status_changed", status="pending_customer")
    assert "north" == (await router.acme.get(f"/v1/tickets/{mail}")).json()["team"]

    found = await lines(router.acme, "deadlines")
    assert [
        ("north", None, "first_response", 2, [1, 2, 2], 0, 0, "c1", after(minutes=30)),
        ("north", None, "resolution", 1, [0, 0, 1], 0, 0, "m1", "2026-06-02T07:30:00Z"),
        (None, "default", "first_response", 1, [0, 1, 1], 0, 0, "m2", after(hours=2)),
        (None, "default", "resolution", 1, [0, 0, 0], 0, 1, None, None),
    ] == [
        (
            line["team"],
            line["pool"],
            line["target"],
            line["clocks"],
            [due["clocks"] for due in line["due"]],
            line["late"],
            line["paused"],
            line["next"] and line["next"]["external_id"],
            line["next"] and line["next"]["due_at"],
        )
        for line in found
    ]
    await clock_control.advance(minutes=31)
    [first, *_] = await lines(router.acme, "deadlines", hours="6,2")
    assert (1, [{"hours": 2, "clocks": 1}, {"hours": 6, "clocks": 1}]) == (first["late"], first["due"])
    assert ("m1", mail) == (first["next"]["external_id"], first["next"]["ticket_id"])


async def test_rule_47_what_is_due_now_is_not_late(router, clock_control) -> None:
    """Nor is a deadline at the very end of the hours left out."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    await hand_in(router.acme, "m1")
    [first, _] = await lines(router.acme, "deadlines", hours="2")
    assert [{"hours": 2, "clocks": 1}] == first["due"]
    await clock_control.freeze(NOW + timedelta(hours=2))
    [first, _] = await lines(router.acme, "deadlines", hours="1")
    assert ([{"hours": 1, "clocks": 1}], 0) == (first["due"], first["late"])


async def test_each_version_of_a_calendar_tells_its_own_hours(router) -> None:
    """A ticket goes by the calendar of the version that judges it."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    await hand_in(router.acme, "old")
    shorter = POLICY.replace("09:00-17:00", "09:00-12:30")  # an hour is left today
    await router.acme.put("/v1/policy", content=shorter, headers=YAML)
    await hand_in(router.acme, "new")
    [first, _] = await lines(router.acme, "deadlines", hours="1,2")
    assert [{"hours": 1, "clocks": 0}, {"hours": 2, "clocks": 2}] == first["due"]
    assert ("old", after(hours=2)) == (first["next"]["external_id"], first["next"]["due_at"])


async def test_verdicts_count_once_late_answers_at_their_deadline(router, clock_control) -> None:
    """Kept when it was, broken at the deadline though answered later, or not at all; withdrawn ones are neither."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    kept, late, silent, withdrawn = [
        await hand_in(router.acme, name, team="north") for name in ("kept", "late", "silent", "withdrawn")
    ]
    await tell(router.acme, withdrawn, "ticket.status_changed", status="spam")
    await clock_control.freeze(NOW + timedelta(hours=1))
    await tell(router.acme, kept, "ticket.replied", by="agent")
    await clock_control.freeze(NOW + timedelta(hours=3))
    await tell(router.acme, late, "ticket.replied", by="agent")
    await router.pool.execute(
        """UPDATE clock SET state = 'breached', breached_at = due_at, detected_at = due_at, next_fire_at = NULL
           WHERE ticket_id = $1 AND target = 'first_response'""",
        silent,
    )
    asked = {"from": after(), "to": after(hours=2, seconds=1), "by": "team,target"}
    [line] = await lines(router.acme, "attainment", **asked)
    assert {"team": "north", "target": "first_response", "met": 1, "breached": 2, "answered": 2}.items() <= line.items()
    assert pytest.approx(1 / 3) == line["attainment"]
    assert {"median": 3600.0, "p90": 10800.0} == line["open_seconds"]
    answer = (
        await router.acme.get("/v1/reports/attainment", params={"from": after(hours=2), "to": after(hours=4)})
    ).json()
    assert (0, 2, 0.0) == (answer["met"], answer["breached"], answer["attainment"])
    assert [] == await lines(router.acme, "attainment", **{"from": after(hours=2, seconds=1), "to": after(hours=4)})


async def test_in_target_yet_the_customer_waited_over_the_weekend(router, clock_control) -> None:
    """Open and elapsed time stand beside each other."""
    await router.acme.put("/v1/policy", content=POLICY, headers=YAML)
    friday = await clock_control.freeze(NOW.replace(day=5, hour=14))
    ticket = await hand_in(router.acme, "m1")
    await clock_control.freeze(friday + timedelta(hours=65.5))
    await tell(router.acme, ticket, "ticket.replied", by="agent")
    assert [] == await lines(router.acme, "attainment")  # what falls at the end of the stretch belongs to the next
    await clock_control.advance(seconds=1)
    [line] = await lines(router.acme, "attainment", by="channel,urgency,matched")
    assert ("email", "normal", "mail", None, 1.0) == tuple(
        line[name] for name in ("channel", "urgency", "matched", "target", "attainment")
    )
    assert (5400.0, 65.5 * 3600) == (line["open_seconds"]["median"], line["wall_seconds"]["p90"])


async def test_a_tenant_sees_its_own_tickets_alone(router, clock_control) -> None:
    """In both reports, and nobody without a key sees any."""
    await hand_in(router.acme, "1")
    ticket = await hand_in(router.acme, "2")
    await clock_control.advance(minutes=5)
    await tell(router.acme, ticket, "ticket.replied", by="agent")
    await clock_control.advance(seconds=1)
    for path in ("deadlines", "attainment"):
        assert await lines(router.acme, path)
        assert [] == await lines(router.globex, path)
        assert 401 == (await router.nobody.get(f"/v1/reports/{path}")).status_code


@pytest.mark.parametrize(
    ("path", "asked", "parameter", "said"),
    [
        ("deadlines", {"hours": "soon"}, "hours", "as in 1,4,8"),
        ("deadlines", {"hours": ""}, "hours", "as in 1,4,8"),
        ("deadlines", {"hours": "0"}, "hours", "from 1 to 1000"),
        ("deadlines", {"hour": "1"}, "hour", "known are hours"),
        ("attainment", {"by": "agent"}, "by", "some of target, channel, urgency, team, matched"),
        ("attainment", {"from": "2026-06-01T00:00:00"}, "from", "with an offset"),
        ("attainment", {"from": "1780304400"}, "from", "with an offset"),
        ("attainment", {"to": "9999-12-31T23:59:59-14:00"}, "to", "with an offset"),
        ("attainment", {"to": "1960-01-01T00:00:00Z"}, "to", "since 1970"),
        ("attainment", {"from": "2026-06-02T00:00:00Z"}, "from", "before the end, 2026-06-01T09:30:00+00:00"),
        ("attainment", {"from": "2020-06-02T00:00:00Z"}, "from", "366 days"),
    ],
)
async def test_bad_questions_are_refused(router, path: str, asked: dict[str, str], parameter: str, said: str) -> None:
    """Each with the parameter that is wrong and what is allowed."""
    answer = await router.acme.get(f"/v1/reports/{path}", params=asked)
    assert (422, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    [error] = answer.json()["errors"]
    assert (parameter, True) == (error["parameter"], said in error["detail"]), error


async def test_a_plus_sign_may_come_unescaped(router) -> None:
    """As with calendars."""
    for sign in ("+", "%2B"):
        answer = await router.acme.get(f"/v1/reports/attainment?from=2026-06-01T00:00:00{sign}02:00")
        assert "2026-05-31T22:00:00Z" == answer.json()["since"]


async def test_the_reports_are_described_with_examples(router) -> None:
    """Every parameter says what it takes."""
    paths = (await router.acme.get("/openapi.json")).json()["paths"]
    examples = {
        (path.rpartition("/")[2], parameter["name"]): str(parameter["schema"])
        for path in ("/v1/reports/deadlines", "/v1/reports/attainment")
        for parameter in paths[path]["get"]["parameters"]
    }
    assert {
        ("deadlines", "hours"),
        ("attainment", "from"),
        ("attainment", "to"),
        ("attainment", "by"),
    } == examples.keys()
    assert [] == [name for name, schema in examples.items() if "examples" not in schema]
    for path in ("deadlines", "attainment"):
        assert paths[f"/v1/reports/{path}"]["get"]["responses"]["200"]["content"]["application/json"]["examples"]
