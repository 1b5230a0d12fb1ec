"""The example policy against what the City of Boston itself promised, and said of its promises.

The shipped requests go through the real parser, rules, calendars and fold.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec import Struct

from services.router.domain.classify import classify
from shared.contract.events import DeadlineSet, Opened, StatusChanged, TicketEvent
from shared.contract.tickets import Status, TargetKind
from shared.policy.document import Policy, Roster
from shared.policy.parse import parse_policy
from shared.policy.roster import parse_roster
from shared.sla import timeline
from shared.sla.clock import Clock

EXAMPLE = Path(__file__).parents[3] / "examples" / "boston"
ZONE = ZoneInfo("America/New_York")
TOLERANCE = timedelta(seconds=60)
END_OF_DATA = datetime(2015, 7, 1, 4, tzinfo=UTC)
"""Outcomes from then on are masked."""


class Row(Struct, frozen=True):
    """What the city published of one request."""

    number: str
    type: str
    reason: str
    channel: str
    opened_at: datetime
    promised_at: datetime | None
    closed_at: datetime | None
    verdict: str


@pytest.fixture(scope="module")
def policy() -> Policy:
    """The example policy, parsed."""
    return parse_policy((EXAMPLE / "policy.yaml").read_text(), version=1)


@pytest.fixture(scope="module")
def roster() -> Roster:
    """The example roster, parsed."""
    return parse_roster((EXAMPLE / "roster.yaml").read_text())


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """All shipped requests."""
    text = gzip.decompress((EXAMPLE / "requests.csv.gz").read_bytes()).decode()
    return list(_read(text))


class Judged(Struct, frozen=True):
    """A request beside what we say of it."""

    row: Row
    due_at: datetime | None
    verdict: str | None
    """None where the city gave none, or the request is still open."""


@pytest.fixture(scope="module")
def judged(policy: Policy, rows: list[Row]) -> list[Judged]:
    """All shipped requests, evaluated once."""
    return [_judged(policy, row) for row in rows]


def test_the_city_s_promise_is_reproduced_within_a_minute(judged: list[Judged]) -> None:
    """At least 97 % of the promised dates follow from the rules (97.4 % when they were found)."""
    promised = [(one.due_at, one.row.promised_at) for one in judged if one.row.promised_at is not None]
    reproduced = sum(due_at is not None and abs(due_at - promised_at) <= TOLERANCE for due_at, promised_at in promised)
    assert len(promised) > 7_000
    assert reproduced / len(promised) >= 0.97


def test_the_city_s_verdict_is_ours(judged: list[Judged]) -> None:
    """On time or overdue: at least 99.5 % of the closed requests are judged alike (99.6 % when the rules were found)."""
    closed = [one for one in judged if one.verdict is not None]
    alike = sum(one.verdict == one.row.verdict for one in closed)
    assert len(closed) > 5_000
    assert alike / len(closed) >= 0.995


def test_the_verdict_is_always_ours_where_the_promise_is(judged: list[Judged]) -> None:
    """Where the promise is reproduced to the second, so is the verdict."""
    exact = [one for one in judged if one.verdict is not None and one.row.promised_at == one.due_at]
    assert [] == [one.row.number for one in exact if one.verdict != one.row.verdict]


def test_rule_58_told_of_the_dates_that_were_moved_by_hand_the_verdict_is_ours(
    policy: Policy, judged: list[Judged]
) -> None:
    """A date that fits no rule and has no seconds was typed by somebody; told of it as an event, we judge as the city did."""
    closed = [one for one in judged if one.verdict is not None]
    moved = {one.row.number for one in closed if _is_moved(one)}
    alike = sum(
        (_told_of_the_move(policy, one.row).verdict if one.row.number in moved else one.verdict) == one.row.verdict
        for one in closed
    )
    assert len(moved) > 20
    assert alike / len(closed) >= 0.999


@pytest.mark.parametrize(
    ("kind", "opened", "promised"),
    [
        ("CE Collection", "2015-05-22 14:06", "2015-05-26 14:06"),
        ("CE Collection", "2015-05-23 14:22", "2015-05-27 08:30"),
        ("Sidewalk Repair (Make Safe)", "2015-04-17 08:22", "2015-04-21 08:30"),
        ("Sidewalk Repair (Make Safe)", "2015-04-17 10:44", "2015-04-21 10:44"),
        ("Sidewalk Repair (Make Safe)", "2015-04-17 17:52", "2015-04-22 08:30"),
        ("Street Light Outages", "2015-06-22 10:54", "2015-07-06 10:54"),
        ("Street Light Outages", "2015-03-05 11:14", "2015-03-19 11:14"),
        ("Graffiti Removal", "2015-06-30 14:35", "2015-09-01 14:35"),
        ("Unsafe Dangerous Conditions", "2015-03-07 13:42", "2015-03-08 13:42"),
        ("Traffic Signal Repair", "2015-02-17 08:32", "2015-08-16 08:32"),
        ("Traffic Signal Repair", "2015-02-16 11:28", "2015-02-18 08:30"),
        ("Traffic Signal Repair", "2015-02-16 13:38", "2015-08-15 13:38"),
        ("Abandoned Vehicles", "2015-02-13 14:45", "2015-03-16 14:45"),
        ("Abandoned Vehicles", "2015-02-16 13:25", "2015-03-05 08:30"),
        ("New Tree Requests", "2015-02-13 14:12", "2017-02-02 14:12"),
    ],
)
def test_promises_that_the_city_gave(policy: Policy, kind: str, opened: str, promised: str) -> None:
    """Working days and plain days, nights, weekends, holidays, summer time, and the change of February 2015."""
    due_at = _due_at(policy, _row(kind, opened))
    assert due_at is not None
    assert promised == due_at.astimezone(ZONE).strftime("%Y-%m-%d %H:%M")


def test_what_the_city_promises_no_date_for_still_gets_an_answer(policy: Policy) -> None:
    """A type without a promised date has a first response, and no resolution."""
    targets = {clock.target for clock in _clocks(policy, _row("Animal Found", "2015-06-16 10:44"))}
    assert TargetKind.FIRST_RESPONSE in targets
    assert TargetKind.RESOLUTION not in targets


def test_the_same_types_are_never_promised_twice(policy: Policy) -> None:
    """Each type stands in one line of those that hold at present: none is hidden behind an earlier one."""
    present = [target for target in policy.sla.targets if target.valid_to is None and target.when is not None]
    types = [kind for target in present if target.when for kind in target.when.comparisons.get("attributes.type", ())]
    assert sorted(set(types)) == sorted(types)


def test_everybody_who_is_named_is_on_the_roster(policy: Policy, roster: Roster) -> None:
    """Leads and on-call people exist and can be reached."""
    leads = {person.lead for person in roster.people.values() if person.lead is not None}
    named = leads | {key for rotation in policy.on_call.values() for key in rotation.people}
    assert set() == {key for key in named if key not in roster.people or not roster.people[key].contacts}


def test_every_theme_has_people_by_day_and_a_hotline_behind_them(policy: Policy, roster: Roster) -> None:
    """At least two people can take each theme, whatever its channel."""
    for theme in policy.themes:
        able = [person for person in roster.people.values() if person.channels and person.skills.get(theme.name, 0) > 0]
        assert len(able) >= 2, theme.name


def _read(text: str) -> Iterator[Row]:
    for line in csv.DictReader(io.StringIO(text)):
        opened_at = _instant(line["OPEN_DT"])
        assert opened_at is not None
        yield Row(
            number=line["CASE_ENQUIRY_ID"],
            type=line["TYPE"],
            reason=line["REASON"],
            channel=line["Source"],
            opened_at=opened_at,
            promised_at=_instant(line["TARGET_DT"]),
            closed_at=_instant(line["CLOSED_DT"]),
            verdict=line["OnTime_Status"],
        )


def _instant(text: str) -> datetime | None:
    return datetime.strptime(text, "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=ZONE).astimezone(UTC) if text else None


def _row(kind: str, opened: str) -> Row:
    opened_at = datetime.fromisoformat(opened).replace(tzinfo=ZONE).astimezone(UTC)
    return Row("1", kind, "", "Constituent Call", opened_at, None, None, "")


def _events(row: Row) -> list[TicketEvent]:
    attributes = {"type": row.type, "reason": row.reason}
    events = [_event(row, row.opened_at, Opened(channel=row.channel, subject=row.type, attributes=attributes))]
    if row.closed_at is not None:
        events.append(_event(row, max(row.opened_at, row.closed_at), StatusChanged(status=Status.SOLVED)))
    return events


def _event(row: Row, at: datetime, data: Opened | StatusChanged | DeadlineSet) -> TicketEvent:
    name = f"{row.number}-{type(data).__name__}"
    return TicketEvent(tenant="boston", id=name, source="boston311", ticket=row.number, occurred_at=at, data=data)


def _clocks(policy: Policy, row: Row, more: Sequence[TicketEvent] = ()) -> tuple[Clock, ...]:
    judged = timeline.evaluate([*_events(row), *more], policy.sla, lambda facts: classify(policy, facts), END_OF_DATA)
    return judged.clocks


def _resolution(policy: Policy, row: Row, more: Sequence[TicketEvent] = ()) -> Clock | None:
    return next((clock for clock in _clocks(policy, row, more) if clock.target is TargetKind.RESOLUTION), None)


def _due_at(policy: Policy, row: Row) -> datetime | None:
    clock = _resolution(policy, row)
    return clock.due_at if clock is not None else None


def _is_moved(one: Judged) -> bool:
    promised_at = one.row.promised_at
    if promised_at is None or promised_at.second or one.due_at is None:
        return False
    return abs(one.due_at - promised_at) > TOLERANCE


def _told_of_the_move(policy: Policy, row: Row) -> Judged:
    moved = DeadlineSet(target=TargetKind.RESOLUTION, due_at=row.promised_at)
    return _judged(policy, row, [_event(row, row.opened_at, moved)])


def _judged(policy: Policy, row: Row, more: Sequence[TicketEvent] = ()) -> Judged:
    clock = _resolution(policy, row, more)
    verdict = "OVERDUE" if clock is not None and clock.breached_at is not None else "ONTIME"
    has_verdict = row.closed_at is not None and row.verdict
    return Judged(row, None if clock is None else clock.due_at, verdict if has_verdict else None)
