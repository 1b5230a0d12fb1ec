"""`deskclock on-call`, on a database: what people see, what programs read, and calendars in and out."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import icalendar
import pytest

from services.console.__main__ import run
from tests.conftest import ClockControl, Database

START = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)
ROSTER = "people: {ana: {name: Ana Li}, ben: {name: Ben}, chi: {name: Chi}}"
POLICY = """
calendars: {always: {hours: always}}
targets: [{name: all, calendar: always, first_response: 1h, escalate: wake}]
escalations: {wake: {steps: [{page: [on-call/support, on-call/fed]}]}}
on_call:
  support:
    timezone: UTC
    layers:
      - {rotation: weekly, handoff: "mon 09:00", people: [ana], hours: {mon-fri: "08:00-24:00", sat-sun: "00:00-24:00"}}
      - {name: office, rotation: daily, handoff: "09:00", people: [ben], hours: {mon: "09:00-17:00"}}
  fed: {timezone: Europe/Berlin, ical: rota.ics, people: {Standup: none}}
"""
FEED = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
%sEND:VCALENDAR
"""
WEEK = "BEGIN:VEVENT\nUID:{0}\nDTSTAMP:20260101T000000Z\nSUMMARY:{1}\nDTSTART;TZID=Europe/Berlin:{0}T090000\nDURATION:P7D\nRRULE:FREQ=WEEKLY;INTERVAL=2\nEND:VEVENT\n"
TURNS = WEEK.format("20260525", "Ana Li") + WEEK.format("20260601", "Ben on call")


class Desk:
    """The command, in a folder of its own, on a policy that was applied."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    async def call(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, answer, and what else was said."""
        self._capsys.readouterr()
        code = await asyncio.to_thread(run, list(arguments))
        return code, *self._capsys.readouterr()

    async def said(self, *arguments: str) -> str:
        """The answer of a command that succeeds."""
        code, out, err = await self.call(*arguments)
        assert 0 == code, err
        return out

    async def told(self, *arguments: str) -> Any:
        """The same in JSON."""
        return json.loads(await self.said(*arguments, "--json"))

    def feed(self, *events: str) -> None:
        """What the calendar holds."""
        (self.folder / "rota.ics").write_text(FEED % "".join(events))


@pytest.fixture
async def desk(
    database: Database,
    clock_control: ClockControl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Desk:
    """Roster and policy are in force, time stands still."""
    monkeypatch.setenv("DESKCLOCK_DATABASE_URL", database.url)
    monkeypatch.setenv("DESKCLOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    await clock_control.freeze(START)
    made = Desk(tmp_path, capsys)
    (tmp_path / "roster.yaml").write_text(ROSTER)
    (tmp_path / "policy.yaml").write_text(POLICY)
    await made.said("roster", "apply", "roster.yaml")
    await made.said("policy", "apply", "policy.yaml")
    return made


async def test_who_is_on_call_is_shown_with_the_reason(desk: Desk) -> None:
    """Now or at any instant; nobody's hours and a calendar that was never read stand out."""
    found = {view["rotation"]: view for view in (await desk.told("on-call", "show"))["rotations"]}
    assert ("ana", "1", "ben", "2026-06-01T09:00:00Z") == (
        found["support"]["now"]["person"], found["support"]["now"]["layer"],
        found["support"]["next"]["person"], found["support"]["next"]["starts_at"],
    )  # fmt: skip
    assert ("not_imported", 0) == (found["fed"]["gap"], found["fed"]["feed"]["version"])
    out = await desk.said("on-call", "show")
    assert ("NOBODY (not_imported)" in out, "Ana Li" in out, "layer 1" in out) == (True, True, True)
    assert "NOBODY (nobody)" in await desk.said("on-call", "show", "support", "--at", "2026-06-02T03:00:00+00:00")
    code, _, err = await desk.call("on-call", "show", "suport")
    assert (4, True) == (code, "did you mean `support`?" in err)


async def test_overrides_are_made_shown_and_taken_back(desk: Desk) -> None:
    """With exit code 4 and the other one's name where one is in the way."""
    made = await desk.told("on-call", "override", "support", "chi", "--until", "2026-06-01T20:00:00Z")
    assert ("chi", "2026-06-01T08:00:00Z", True) == (made["person"], made["starts_at"], "deskclock" in made["made_by"])
    asked = ("on-call", "override", "support", "ben", "--until", "2026-06-01T18:00:00Z")
    code, _, err = await desk.call(*asked)
    assert (4, True) == (code, made["id"] in err)
    assert "Ben is on call for support" in await desk.said(*asked, "--replace")
    assert "override" in await desk.said("on-call", "show", "support")
    assert ["chi", "ben"] == [
        one["person"] for one in (await desk.told("on-call", "overrides", "support"))["overrides"]
    ]
    assert "taken back" in await desk.said("on-call", "withdraw", "support", made["id"])
    assert made["id"] not in await desk.said("on-call", "overrides", "support")
    assert 2 == (await desk.call("on-call", "withdraw", "support", "x"))[0]
    assert 4 == (await desk.call("on-call", "withdraw", "support", "00000000-0000-0000-0000-000000000001"))[0]


async def test_r25_a_failed_import_keeps_the_last_good_copy(desk: Desk, clock_control: ClockControl) -> None:
    """Whatever goes wrong later, whose turn it is stays known; the failure and the age of the copy are shown."""
    desk.feed(TURNS)
    [done] = (await desk.told("on-call", "import"))["imports"]
    assert (1, True, None, 0) == (done["version"], done["is_changed"], done["failure"], done["overlaps"])
    assert "the same plan" in await desk.said("on-call", "import", "fed")
    broken = {
        "<html>moved</html>": "is no iCalendar file",
        FEED % TURNS.replace("Ben on call", "Zed"): "nobody knows who is meant by `Zed`",
        FEED % "": "no shift from now on",
    }
    await clock_control.advance(hours=2)
    for text, said in broken.items():
        (desk.folder / "rota.ics").write_text(text)
        code, _, err = await desk.call("on-call", "import")
        assert (1, True, True) == (code, said in err, "stays in use" in err), err
    (desk.folder / "rota.ics").unlink()
    assert 1 == (await desk.call("on-call", "import", "fed"))[0]
    [view] = (await desk.told("on-call", "show", "fed"))["rotations"]
    assert ("ben", 1, 7200.0, True) == (
        view["now"]["person"],
        view["feed"]["version"],
        view["feed"]["age_seconds"],
        "can't be read" in view["feed"]["failure"],
    )
    assert "the last import failed" in (await desk.call("on-call", "show"))[2]


async def test_r26_an_import_changes_what_comes_and_not_what_was(desk: Desk, clock_control: ClockControl) -> None:
    """The week is given to Chi on Wednesday: until then it was Ben's, also when it is asked later."""
    desk.feed(TURNS)
    await desk.said("on-call", "import")
    await clock_control.freeze(datetime(2026, 6, 3, 12, tzinfo=UTC))
    desk.feed(TURNS.replace("Ben on call", "chi"), WEEK.format("20260601", "Standup"))
    assert "another plan" in await desk.said("on-call", "import")

    async def shift(at: str) -> tuple[str, str, str]:
        [view] = (await desk.told("on-call", "show", "fed", "--at", at))["rotations"]
        return tuple(view["now"][key] for key in ("person", "starts_at", "ends_at"))

    assert ("ben", "2026-06-01T08:00:00Z", "2026-06-03T12:00:00Z") == await shift("2026-06-02T00:00:00Z")
    assert ("chi", "2026-06-03T12:00:00Z", "2026-06-08T07:00:00Z") == await shift("2026-06-03T12:00:00Z")
    assert "ana" == (await shift("2026-06-08T07:00:00Z"))[0]


async def test_r22_gaps_are_listed_with_their_reasons(desk: Desk) -> None:
    """At night nobody; and a calendar that was never read."""
    desk.feed(TURNS)
    report = await desk.told("on-call", "gaps", "--days", "2")
    assert [("fed", "not_imported"), ("support", "nobody")] == sorted(
        {(gap["rotation"], gap["reason"]) for gap in report["gaps"]}
    )
    await desk.said("on-call", "import")
    out = await desk.said("on-call", "gaps", "--days", "90")
    assert ("fed" in out, "nobody" in out) == (False, True)


async def test_a_rotation_is_exported_as_a_calendar_that_can_be_imported(desk: Desk) -> None:
    """Out of one and into the other: the same people at the same time."""
    await desk.said("on-call", "override", "support", "chi", "--until", "2026-06-01T20:00:00Z")
    (desk.folder / "out.ics").write_text(await desk.said("on-call", "export", "support"))
    assert {"Ana Li", "Ben", "Chi"} == {
        str(one["SUMMARY"])
        for one in icalendar.Calendar.from_ical((desk.folder / "out.ics").read_bytes()).walk("VEVENT")
    }
    await desk.said("on-call", "import", "fed", "--from", "out.ics")
    for at in ("2026-06-01T08:00:00Z", "2026-06-01T20:00:00Z", "2026-06-15T10:00:00Z", "2026-06-20T03:00:00Z"):
        found = (await desk.told("on-call", "show", "--at", at))["rotations"]
        assert 1 == len({(view["now"] or {}).get("person") for view in found}), found
    for wrong in (("import", "--from", "out.ics"), ("import", "support"), ("import", "x"), ("export", "x")):
        assert 0 != (await desk.call("on-call", *wrong))[0]


async def test_r26_who_was_on_call_is_told_by_the_policy_of_that_time(desk: Desk, clock_control: ClockControl) -> None:
    """Before the rotation there was none; after it was given to others, the past stays as it was."""
    await clock_control.freeze(datetime(2026, 6, 2, 12, tzinfo=UTC))
    (desk.folder / "policy.yaml").write_text(POLICY.replace("people: [ana]", "people: [chi]"))
    await desk.said("policy", "apply", "policy.yaml")

    async def who(*at: str) -> list[tuple[int, str]]:
        found = (await desk.told("on-call", "show", "support", *at))["rotations"]
        return [(view["policy_version"], view["now"]["person"]) for view in found]

    assert [(2, "chi")] == await who()
    assert [(1, "ana")] == await who("--at", "2026-06-02T11:59:00Z")
    assert [(2, "chi")] == await who("--at", "2026-06-02T12:00:00Z") == await who("--at", "2026-06-09T12:00:00Z")
    assert 4 == (await desk.call("on-call", "show", "support", "--at", "2026-05-30T12:00:00Z"))[0]
