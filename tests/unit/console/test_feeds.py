"""iCal feeds of a policy file at the command line: read once, written into what is sent on."""

import json
import sys
from pathlib import Path

import pytest

from services.console import feeds
from services.console.__main__ import run
from shared.policy import ical, parse
from shared.policy.errors import PolicyErrors
from shared.policy.reading import Unreadable

FEED = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
BEGIN:VEVENT
UID:1
SUMMARY:{summary}
DTSTART;VALUE=DATE:20260602
{rule}
END:VEVENT
END:VCALENDAR
"""
POLICY = """# ours
calendars:
  office:
    timezone: Europe/Berlin
    hours: {mon-fri: "09:00-17:00"}
    closures: {ical: a.ics}
targets: [{name: all, calendar: office, resolution: 4h}]"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A policy beside its feed."""
    (tmp_path / "a.ics").write_text(FEED.format(summary="works council", rule="TRANSP:OPAQUE"))
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_what_a_feed_says_is_written_at_the_end_of_the_file(file: Path) -> None:
    """All else keeps its line; read again, it is written anew."""
    text = feeds.with_feeds(file, POLICY)
    assert text.startswith(POLICY)
    closed = parse.parse_policy(text, version=1).sla.calendars["office"].spec.closed
    assert 1 == len(closed)
    assert text == feeds.with_feeds(file, text)
    (file.parent / "a.ics").write_text(FEED.format(summary="works council", rule="RRULE:FREQ=DAILY;COUNT=2"))
    assert "2026-06-02..2026-06-03" in feeds.with_feeds(file, text)


def test_a_policy_in_json_stays_json(file: Path) -> None:
    """With the same content, and `feeds`; one in YAML's braces becomes JSON."""
    line = {"hours": {"mon": "09:00-17:00"}, "closures": [{"ical": "a.ics"}, {"ical": "a.ics"}]}
    written = json.loads(feeds.with_feeds(file, json.dumps({"calendars": {"office": line}})))
    assert {"calendars": {"office": line}, "feeds": {"office": {"events": 2, "closed": ["2026-06-02"]}}} == written
    braces = '{calendars: {"o/1": {hours: {mon: "09:00-17:00"}, closures: {ical: a.ics}}}}'
    assert {"o/1": {"events": 1, "closed": ["2026-06-02"]}} == json.loads(feeds.with_feeds(file, braces))["feeds"]


@pytest.mark.parametrize(
    "text",
    [
        "targets: []",
        "closures: [",
        "calendars: {closures: 1}",
        "closures",
        POLICY + "\nfeeds: {office: {events: 0}}\n",
        "calendars: {office: {closures: {ical: [a]}}}",
    ],
)
def test_a_file_without_feeds_or_with_its_own_is_left_as_it_is(file: Path, text: str) -> None:
    """Faults are left to those who read it."""
    assert text == feeds.with_feeds(file, text)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("b.ics", "the file can't be read"),
        ("policy.yaml", "no iCalendar file"),
        ("http://example.org/a.ics", "over https only"),
        ("file:///etc/passwd", "over https only"),
        ("https://[", "can't be fetched"),
    ],
)
def test_feeds_that_cannot_be_read_are_faults_with_their_line(file: Path, source: str, said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(PolicyErrors) as refused:
        feeds.with_feeds(file, POLICY.replace("a.ics", json.dumps(source)))
    [fault] = refused.value.errors
    assert (6, "/calendars/office/closures/ical", True) == (fault.line, fault.pointer, said in fault.problem), fault


def test_a_feed_that_cannot_be_read_hides_no_other_fault(file: Path) -> None:
    """All is named at once, in the order of the file."""
    with pytest.raises(PolicyErrors) as refused:
        feeds.with_feeds(file, POLICY.replace("a.ics", "b.ics") + "\nescalation: {}\n")
    assert ["/calendars/office/closures/ical", "/escalation"] == [fault.pointer for fault in refused.value.errors]


def test_a_hostile_feed_is_refused_by_policy_check(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line that names its event; exit code 4."""
    (file.parent / "a.ics").write_text(FEED.format(summary="evil", rule="RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31"))
    assert 4 == run(["policy", "check", str(file)])
    assert "policy.yaml:6:16: /calendars/office/closures/ical: `a.ics`: `evil`: working out when it repeats takes too long; " in (
        capsys.readouterr().err
    )  # fmt: skip


def test_the_feed_counts_for_preview_and_check(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Closed on the Tuesday that it names."""
    asked = ["--start", "2026-06-01T16:00:00+02:00", "--duration", "2h", "--policy", str(file), "--json"]
    assert 0 == run(["calendar", "preview", "office", *asked])
    shown = json.loads(capsys.readouterr().out)
    assert ("2026-06-03T08:00:00Z", True) == (shown["due_at"], "closure 2026-06-02" in shown["intervals"][1]["reasons"])
    assert 2 == run(["calendar", "preview", "office", *asked, "--version", "1"])
    assert "exclude each other" in capsys.readouterr().err
    assert 0 == run(["policy", "check", str(file), "--json"])
    assert [] == json.loads(capsys.readouterr().out)["warnings"]


def test_without_the_extra_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who has no feeds needs it."""
    monkeypatch.setitem(sys.modules, "icalendar", None)
    with pytest.raises(Unreadable, match=r"pip install 'deskclock\[ical\]'"):
        ical.read(b"", parse.calendars.ZoneInfo("UTC"))
