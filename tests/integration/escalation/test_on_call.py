"""On call over HTTP and at the instant of a step: overrides, layers, gaps, and versions that stay."""

import asyncio
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import icalendar
import msgspec
import pytest
from msgspec import structs

from services.escalation.domain.rotation import Imported
from services.escalation.on_call.outlook import Outlook
from services.escalation.store import on_call as store
from shared.contract.access import Scope
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Contact, Feed, Ladder, Rotation, Step
from tests.integration.escalation.conftest import LADDER
from tests.integration.escalation.links import client_of, key_of
from tests.turns import daily, hours, layer, rotation

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)  # a Monday
PATH = "/v1/on-call/support/overrides"


def at(day: int, hour: int = 0) -> str:
    """An instant of June 2026, as it is written."""
    return datetime(2026, 6, day, hour, tzinfo=UTC).isoformat().replace("+00:00", "Z")


class Api:
    """The API with a key that may do all of this."""

    def __init__(self, world: Any, headers: dict[str, str]) -> None:
        self._world = world
        self._headers = headers

    @cached_property
    def client(self) -> httpx.AsyncClient:
        """On the policy that the world had when it was first asked."""
        made = client_of(self._world)
        made.headers.update(self._headers)
        return made

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """What is answered with 200."""
        answer = await self.client.get(path, params=query)
        assert 200 == answer.status_code, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def override(self, person: str, starts: str | None, ends: str, status: int = 201, **more: Any) -> Any:
        """Make an override; the body of the answer."""
        body = {"person": person, "starts_at": starts, "ends_at": ends, **more}
        answer = await self.client.post(PATH, json=body)
        assert status == answer.status_code, answer.text
        return answer.json()

    async def who(self, instant: str) -> str | None:
        """Who has the shift."""
        now = (await self.get("/v1/on-call/support", at=instant))["now"]
        return None if now is None else str(now["person"])


@pytest.fixture
async def api(world):
    """On a world with Ana on call, and Ben and Chi on the roster."""
    await world.people("ana", "ben", "chi")
    return Api(world, await key_of(world, Scope.TICKETS_READ, Scope.ON_CALL_WRITE))


async def paged(world: Any, clock_control: Any) -> dict[str, object]:
    """A promise breaks an hour after START; the page of its first step."""
    await world.ticket(due_in=timedelta(hours=1))
    await clock_control.freeze(START + timedelta(hours=1, seconds=1))
    await world.firing.run_once()
    await world.stepping.run_once()
    [page] = await world.pages()
    return page


async def test_r21_an_override_is_paged_and_the_page_says_by_which(api, world, clock_control):
    """Ben instead of Ana; the page keeps override and bounds, and taking it back later changes neither (R19)."""
    made = await api.override("ben", None, at(1, 20), by="ana")
    assert ("2026-06-01T08:00:00Z", "Ben", "ana") == (made["starts_at"], made["name"], made["made_by"])
    page = await paged(world, clock_control)
    evidence = msgspec.json.decode(page["evidence"])
    assert ("ben", made["id"], at(1, 8), at(1, 20)) == (
        page["person"],
        evidence["override"],
        evidence["shift_starts_at"],
        evidence["shift_ends_at"],
    )
    answer = await api.client.delete(f"{PATH}/{made['id']}")
    assert (200, "2026-06-01T09:00:01Z") == (answer.status_code, answer.json()["ends_at"])
    assert [page["evidence"]] == [one["evidence"] for one in await world.pages()]
    assert ("ben", "ana") == (await api.who(at(1, 9)), await api.who("2026-06-01T09:00:01Z"))


async def test_r21_overlapping_overrides_are_refused_unless_the_newest_is_to_win(api):
    """The refusal names the other one; taken back, the older one shows again."""
    first = await api.override("ben", at(2), at(4))
    refused = await api.override("chi", at(3), at(5), status=409)
    assert first["id"] in refused["detail"]
    assert "`replace: true`" in refused["detail"]
    assert [first["id"] in error["detail"] for error in refused["errors"]] == [True]
    await api.override("chi", at(4), at(5))  # the end of one is the begin of the next
    newest = await api.override("ana", at(3), at(5), replace=True)
    assert ["ben", "ana", "ana", "ana"] == [await api.who(at(*when)) for when in ((2,), (3,), (4,), (5,))]
    await api.client.delete(f"{PATH}/{newest['id']}")
    assert ["ben", "chi", "ana"] == [await api.who(at(day)) for day in (3, 4, 5)]


async def test_r21_the_same_override_again_is_the_first_one(api, clock_control):
    """A client that heard no answer asks again; later, it is still the same."""
    first = await api.override("ben", None, at(1, 20))
    await clock_control.advance(minutes=5)
    assert first == await api.override("ben", None, at(1, 20), status=200)
    assert 1 == len((await api.get(PATH))["overrides"])


async def test_r21_two_overrides_at_once_are_refused_one_of_them(api):
    """Whoever comes second is told of the first."""
    bodies = [{"person": person, "ends_at": at(2)} for person in ("ben", "chi", "ana", "ben", "chi")]
    answers = await asyncio.gather(*(api.client.post(PATH, json=body) for body in bodies))
    made = [answer.json() for answer in answers if answer.status_code == 201]
    assert 1 == len(made)
    assert all(answer.status_code in {200, 409} for answer in answers if answer.status_code != 201)
    assert made == (await api.get(PATH))["overrides"]


IN_VAIN: list[tuple[str, str | None, str, str]] = [
    ("bne", None, at(2), "did you mean `ben`?"),
    ("gone", None, at(2), "no longer on the roster"),
    ("mute", None, at(2), "can't be paged"),
    ("ben", None, at(1, 7), "has passed"),
    ("ben", at(3), at(2), "before its start"),
    ("ben", None, "2028-06-01T00:00:00Z", "over 400 days ahead"),
    ("ben", None, "2026-06-02T00:00:00", "must have an offset"),
    ("ben", None, "9999-12-31T23:59:59-12:00", "#/ends_at"),
]


async def test_r21_r23_an_override_that_pages_nobody_is_refused_at_the_door(api, world):
    """Unknown, gone, without contacts, or at no time: 422 that says the way out."""
    await world.people("gone")
    await world.people("mute", contacts=())
    await world.pool.execute("UPDATE agent SET active = false WHERE key = 'gone'")
    for person, starts, ends, said in IN_VAIN:
        refused = await api.override(person, starts, ends, status=422)
        assert said in str(refused)


async def test_overrides_need_their_scope_and_a_rotation_that_there_is(api, world):
    """403 for a reader, 404 for names and ids that nobody knows, another tenant's among them."""
    reader = await key_of(world, Scope.TICKETS_READ)
    body = {"person": "ben", "ends_at": at(2)}
    assert 403 == (await api.client.post(PATH, json=body, headers=reader)).status_code
    missing = await api.client.post("/v1/on-call/suport/overrides", json=body)
    assert (404, True) == (missing.status_code, "did you mean `support`?" in missing.text)
    made = await api.override("ben", None, at(2))
    stranger = await key_of(world, Scope.ON_CALL_WRITE, Scope.TICKETS_READ, tenant="other")
    assert 404 == (await api.client.delete(f"{PATH}/{made['id']}", headers=stranger)).status_code
    assert [] == (await api.client.get(PATH, headers=stranger)).json()["overrides"]
    assert 404 == (await api.client.delete(f"{PATH}/{world_id()}")).status_code


def world_id() -> str:
    """An id that nothing has."""
    return "00000000-0000-0000-0000-000000000001"


async def test_r26_what_has_been_is_not_rewritten(api, clock_control):
    """An override begins now at the earliest; one that is over stays; one taken back was there until then."""
    made = await api.override("ben", at(1, 1), at(1, 12))
    assert at(1, 8) == made["starts_at"]
    await clock_control.freeze(datetime(2026, 6, 1, 13, tzinfo=UTC))
    over = await api.client.delete(f"{PATH}/{made['id']}")
    assert (409, True) == (over.status_code, "stays as it was" in over.text)
    assert ("ana", "ben", "ana") == (await api.who(at(1, 7)), await api.who(at(1, 9)), await api.who(at(1, 12)))
    assert [] == (await api.get(PATH))["overrides"]
    assert [made["id"]] == [one["id"] for one in (await api.get(PATH, since=at(1)))["overrides"]]
    coming = await api.override("chi", at(3), at(4))
    for _ in range(2):
        taken = await api.client.delete(f"{PATH}/{coming['id']}")
        assert (200, True) == (taken.status_code, taken.json()["is_withdrawn"])
    assert "ana" == await api.who(at(3))


async def test_r21_somebody_who_left_after_the_override_was_made_is_a_gap(api, world, clock_control):
    """Ben's override holds nobody's place: the step is skipped at once, and the gap was foretold with its reason (R22)."""
    made = await api.override("ben", None, at(1, 20))
    await world.pool.execute("UPDATE agent SET active = false WHERE key = 'ben'")
    view = await api.get("/v1/on-call/support")
    assert ("not_on_roster", None) == (view["gap"], view["now"]["name"])
    [gap] = (await api.get("/v1/on-call/gaps", days="1"))["gaps"]
    assert ("support", "not_on_roster", "ben", made["id"], at(1, 8), at(1, 20)) == tuple(
        gap[key] for key in ("rotation", "reason", "person", "override", "starts_at", "ends_at")
    )
    await world.people("head")
    world.use(Ladder(name=LADDER.name, steps=LADDER.steps[:1], otherwise=("person/head",)))
    assert "head" == (await paged(world, clock_control))["person"]


async def test_r22_r23_gaps_are_foretold_with_their_reasons(api, world):
    """Nobody's hours, somebody gone, somebody without a way to reach them; the gauge counts a week of it."""
    await world.people("mute", contacts=(Contact(method="pigeon", address="x"),))
    world.use(
        LADDER,
        {
            "support": rotation(layer("ana", hours=hours(range(5), 8, 20))),
            "nights": rotation(daily("ana", "mute", "ghost", at=time(8))),
            "whole": rotation(layer("ana")),
        },
    )
    report = await api.get("/v1/on-call/gaps", days="7")
    found = [gap for gap in report["gaps"] if gap["rotation"] == "support"]
    assert [(at(1, 20), at(2, 8), "nobody"), (at(5, 20), at(8, 8), "nobody")] == [
        (gap["starts_at"], gap["ends_at"], gap["reason"]) for gap in (found[0], found[-1])
    ]
    nights = {(gap["person"], gap["reason"]) for gap in report["gaps"] if gap["rotation"] == "nights"}
    assert {("mute", "no_contact"), ("ghost", "not_on_roster")} == nights
    outlook = Outlook(world.pool, world.shelf, world.metrics, frozenset({"console", "webhook"}))
    await world.pool.execute(
        "INSERT INTO policy_version (tenant, version, source, document, applied_at, applied_by) VALUES ('default', 1, '', '{}', $1, '')",
        START,
    )
    assert 3 == await outlook.measure()

    def value(name: str) -> float | None:
        return world.registry.get_sample_value("sla_on_call_gap_seconds", {"rotation": name})

    assert (0.0, (7 * 24 - 5 * 12) * 3600.0) == (value("whole"), value("support"))
    assert 422 == (await api.client.get("/v1/on-call/gaps", params={"days": "0"})).status_code


async def test_r19_layers_are_paged_by_what_is_on_and_named_in_the_evidence(api, world, clock_control):
    """Office hours beat the week, and the page says so, with the version of the policy the rotation came from."""
    office = layer("chi", name="office", hours=hours(range(5), 9, 17))
    world.use(LADDER, {"support": rotation(layer("ana", name="base"), office)})
    page = await paged(world, clock_control)
    evidence = msgspec.json.decode(page["evidence"])
    assert ("chi", "office", at(1, 9), at(1, 17), 1) == (
        page["person"],
        *(evidence[key] for key in ("layer", "shift_starts_at", "shift_ends_at", "rotation_version")),
    )


async def test_r26_an_open_escalation_goes_by_its_own_ladder_and_by_the_present_rotation(desk, clock_control):
    """Its steps stay as they were; whose turn it is, is asked of the policy in force, and of its own where that has none."""
    text = """
calendars: {always: {hours: always}}
targets: [{name: all, calendar: always, resolution: 1h, escalate: wake}]
escalations:
  wake: {steps: [{after: 0m, page: [on-call/s]}, {after: 10m, page: [on-call/s]}, {after: 10m, page: [on-call/s]}]}
on_call: {s: {timezone: UTC, rotation: weekly, handoff: "mon 09:00", people: [%s]}}
"""
    world = desk.world
    await desk.apply(text % "ana")
    await desk.opens()
    await desk.world_at(61)
    await world.firing.run_once()
    await world.stepping.run_once()
    await world.pool.execute("UPDATE page SET state = 'accepted', accepted_at = committed_at, next_attempt_at = NULL")
    await desk.apply(text.replace("page: [on-call/s]", "page: [person/ana]") % "ben")
    await desk.world_at(71)
    await world.stepping.run_once()
    await world.pool.execute("UPDATE page SET state = 'accepted', accepted_at = committed_at, next_attempt_at = NULL")
    await desk.apply(text.partition("\non_call")[0].replace("page: [on-call/s]", "page: [person/ana]") + "\n")
    world.shelf = PolicyShelf()
    world.stepping = world.another_stepping()
    await desk.world_at(81)
    await world.stepping.run_once()
    pages = [page for page in await world.pages() if page["kind"] == "page"]
    found = [(page["person"], msgspec.json.decode(page["evidence"])) for page in pages]
    base = found[0][1]["policy_version"]
    assert [("ana", base), ("ben", base + 1), ("ana", base)] == [(who, said["rotation_version"]) for who, said in found]
    assert {base} == {said["policy_version"] for _, said in found}


async def test_r22_all_levels_empty_asks_owner_then_lead_then_the_catch_all(world, clock_control):
    """Nobody on call and no such person: first the catch-all of the policy, where the ticket has no owner."""
    await world.people("head")
    ladder = Ladder(
        name=LADDER.name,
        steps=(
            Step(after=timedelta(), page=("on-call/empty",)),
            Step(after=timedelta(minutes=5), page=("person/ghost",)),
        ),
        otherwise=("person/head",),
    )
    world.use(ladder, {"empty": rotation()})
    page = await paged(world, clock_control)
    assert ("person/head", "head") == (page["recipient"], page["person"])


async def test_a_channel_of_no_such_name_is_somebody_on_the_roster(world, clock_control):
    """A chat room may be a roster entry with contacts of its own."""
    await world.people("war-room", "head")
    world.use(Ladder(name=LADDER.name, steps=(Step(after=timedelta(), page=("channel/war-room",)),)))
    page = await paged(world, clock_control)
    assert ("channel/war-room", "war-room", "webhook") == (page["recipient"], page["person"], page["method"])


async def test_a_rotation_as_a_calendar_reads_back_with_overrides_and_any_name(api, world):
    """Written, folded and escaped so that another reader finds the same shifts; unchanged ones keep their UID."""
    odd = "Zoë; the \\ one, who\nfolds " + "ü" * 80
    await world.pool.execute("UPDATE agent SET name = $1 WHERE key = 'ben'", odd)
    world.use(LADDER, {"support": rotation(layer("ana", "ben"), zone="Europe/Berlin")})
    first = (await api.client.get("/v1/on-call/support.ics")).content
    made = await api.override("chi", at(3, 10), at(3, 12))
    answer = await api.client.get("/v1/on-call/support.ics")
    assert "text/calendar; charset=utf-8" == answer.headers["content-type"]
    assert all(len(line) <= 75 for line in answer.content.split(b"\r\n"))

    def events(raw: bytes) -> list[Any]:
        return list(icalendar.Calendar.from_ical(raw).walk("VEVENT"))

    read = {
        (str(one["SUMMARY"]), one["DTSTART"].dt, one["DTEND"].dt): str(one["DESCRIPTION"])
        for one in events(answer.content)
    }
    assert {"Ana", "Chi", odd} == {name for name, *_ in read}
    start, end = (datetime(2026, 6, 3, hour, tzinfo=UTC) for hour in (10, 12))
    assert f"Override {made['id']}" in read["Chi", start, end]
    moments = sorted((start, end) for _, start, end in read)
    assert [end for _, end in moments[:-1]] == [start for start, _ in moments[1:]]
    kept = {str(one["UID"]) for one in events(first)}
    assert kept < {str(one["UID"]) for one in events(answer.content)}
    assert len(kept) + 2 == len(read)
    assert 404 == (await api.client.get("/v1/on-call/suport.ics")).status_code


async def test_r25_pages_go_by_what_was_imported_whatever_became_of_the_feed(api, world, clock_control):
    """The copy is old and the newest try failed: Ben has it all the same, and the gauge and the list say how old it is."""
    fed = Rotation(name="support", zone=ZoneInfo("UTC"), feed=Feed(source="https://calendar.test/secret.ics"))
    world.use(LADDER, {"support": fed, "new": structs.replace(fed, name="new")})
    async with world.pool.acquire() as connection:
        until = START + timedelta(days=400)
        shifts = [Imported(person="ben", starts_at=START - timedelta(days=1), ends_at=START + timedelta(days=1))]
        await store.replace_imported(connection, "default", "support", shifts, START, START)
        for _ in range(2):
            await store.save_feed(connection, "default", "support", START - timedelta(days=2), until, is_changed=True)
        await store.save_feed_failure(connection, "default", "support", "calendar.test answers 404", START)
        await connection.execute(
            "INSERT INTO policy_version (tenant, version, source, document, applied_at, applied_by) VALUES ('default', 1, '', '{}', $1, '')",
            START,
        )
    answer = await api.client.get("/v1/on-call")
    views = {view["rotation"]: view for view in answer.json()["rotations"]}
    state = views["support"]["feed"]
    assert (2, 172_800.0, "calendar.test answers 404") == (state["version"], state["age_seconds"], state["failure"])
    assert ("not_imported", None) == (views["new"]["gap"], views["new"]["feed"]["age_seconds"])
    assert "secret.ics" not in answer.text
    await Outlook(world.pool, world.shelf, world.metrics, frozenset({"webhook"})).measure()
    ages = [world.registry.get_sample_value("sla_on_call_feed_age_seconds", {"rotation": name}) for name in views]
    assert [172_800.0, float("inf")] == ages
    page = await paged(world, clock_control)
    evidence = msgspec.json.decode(page["evidence"])
    assert ("ben", 2, at(2, 8)) == (page["person"], evidence["feed_version"], evidence["shift_ends_at"])


NONSENSE: list[tuple[str, str, Any, int]] = [
    ("GET", "/v1/on-call/a%00b", None, 400),
    ("POST", "/v1/on-call/a%00b/overrides", {"person": "ben", "ends_at": at(2)}, 400),
    ("DELETE", f"{PATH}/x", None, 404),
    ("GET", "/v1/on-call?at=9999-12-31T23:59:59-12:00", None, 422),
    ("GET", "/v1/on-call/support?at=2100-01-01T00:00:00Z", None, 422),
    ("GET", "/v1/on-call/support?at=2099-12-31T00:00:00Z", None, 200),
    ("GET", "/v1/on-call/support?at=1970-01-01T00:00:00Z", None, 200),
    ("GET", f"{PATH}?since=1970-01-01T00:00:00Z", None, 200),
    ("GET", f"{PATH}?since=yesterday", None, 422),
    ("GET", "/v1/on-call/gaps?days=91", None, 422),
    ("POST", PATH, {"person": "b\x00n", "ends_at": at(2)}, 422),
    ("POST", PATH, {"person": "", "ends_at": at(2)}, 422),
    ("POST", PATH, {"person": "ben", "starts_at": "0001-01-01T00:00:00Z", "ends_at": at(2)}, 422),
    ("POST", PATH, {"person": "ben"}, 422),
    ("POST", PATH, [], 422),
]


async def test_what_makes_no_sense_is_refused_and_never_an_error_of_ours(api):
    """Odd names, instants at the ends of time, bodies of another shape."""
    for method, path, body, status in NONSENSE:
        answer = await api.client.request(method, path, json=body)
        assert status == answer.status_code, (path, answer.text)
