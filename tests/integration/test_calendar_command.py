"""`deskclock calendar preview` and feeds, against a policy that is in force."""

import asyncio
import json
from pathlib import Path

import pytest

from services.console.__main__ import run
from tests.conftest import Database

FEED = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
{}END:VCALENDAR
"""
DAY_OFF = "BEGIN:VEVENT\nUID:{}\nDTSTART;VALUE=DATE:{}\nEND:VEVENT\n"
POLICY = """
calendars:
  office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-13:00, 12:00-17:00"}, closures: {ical: a.ics}}
targets: [{name: all, calendar: office, resolution: 4h}]
"""


async def test_closures_of_a_feed_are_kept_with_the_version_that_was_applied(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The feed may go or shrink: what was applied stays, and a plan with the shrunken one warns."""
    monkeypatch.setenv("DESKCLOCK_DATABASE_URL", database.url)
    monkeypatch.setenv("DESKCLOCK_HOME", str(tmp_path / "home"))

    async def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(run, list(arguments))
        return code, *capsys.readouterr()

    file, feed = tmp_path / "policy.yaml", tmp_path / "a.ics"
    file.write_text(POLICY)
    feed.write_text(FEED.format(DAY_OFF.format(1, "20260602") + DAY_OFF.format(2, "20260603")))
    code, _, said = await call("policy", "apply", str(file))
    assert (0, True) == (code, "warning: /calendars/office/hours: 09:00-13:00 and 12:00-17:00 overlap on mon" in said)
    assert 0 == (await call("policy", "apply", str(file)))[0]

    feed.write_text(FEED.format(DAY_OFF.format(2, "20260603")))
    _, out, _ = await call("policy", "plan", str(file), "--json")
    planned = json.loads(out)
    assert (1, 2) == (planned["current"], planned["next"])
    assert "its feed has 1 events, 2 when the version in force was applied" in planned["warnings"][1]["problem"]

    asked = ("calendar", "preview", "office", "--start", "2026-06-01T16:00:00+02:00", "--duration", "2h")
    code, out, _ = await call(*asked)
    assert (0, True) == (code, "2h from Mon 2026-06-01 16:00+02:00 is due Thu 2026-06-04 10:00+02:00" in out)
    assert "closure 2026-06-02, closure 2026-06-03" in out
    assert "due Tue 2026-06-02 10:00" in (await call(*asked, "--policy", str(file)))[1]

    never = await call("calendar", "preview", "offices", *asked[3:])
    assert (4, True) == (never[0], "there is no calendar `offices`: did you mean `office`?" in never[2])
    assert 4 == (await call(*asked, "--version", "9"))[0]
    for wrong in (("--start", "2026-06-01T16:00:00"), ("--duration", "1d"), ("--until", "soon")):
        assert 2 == (await call(*asked, *wrong))[0]
    assert 4 == (await call(*asked, "--until", "2026-05-01T16:00:00Z"))[0]
