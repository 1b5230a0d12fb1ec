"""Requests arrive and close as the data says; simulated people react to what the script is told."""

import gzip
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from services.console.domain import requests, staff
from services.console.domain.requests import Request, UnreadableRequests
from services.console.domain.script import Acknowledge, Act, Arrive, Script, Send, crew_of
from services.console.domain.staff import PresenceChange, Shift
from shared.contract import events

HEADER = (
    "CASE_ENQUIRY_ID,OPEN_DT,TARGET_DT,CLOSED_DT,OnTime_Status,SUBJECT,REASON,TYPE,Department,neighborhood,Source\n"
)
LINE = "{},05/18/2015 10:00:00 AM,05/20/2015 08:30:00 AM,{},ONTIME,Public Works Department,Street Lights,Outage,PWDx,Back Bay,{}\n"
OPENED = datetime(2015, 5, 18, 14, tzinfo=UTC)
UNTIL = OPENED + timedelta(days=30)
ALWAYS = Shift(begins=time(0), ends=time(0), weekdays=staff.WEEK)
CREW = "crew-public-works-department"


def read(tmp_path: Path, *lines: str) -> list[Request]:
    path = tmp_path / "requests.csv.gz"
    path.write_bytes(gzip.compress((HEADER + "".join(lines)).encode()))
    return requests.read(path)


def script(chosen: list[Request]) -> Script:
    return Script(
        chosen,
        since=OPENED - timedelta(hours=1),
        traffic_until=OPENED + timedelta(days=1),
        until=UNTIL,
        shifts={"ana": ALWAYS},
        crews=frozenset({CREW}),
        aliases={"constituent call": "phone"},
    )


def sent(acts: list[Act]) -> list[str]:
    return [act.wire.id for act in acts if isinstance(act, Send)]


@pytest.fixture
def late_closing(tmp_path: Path) -> list[Request]:
    return read(tmp_path, LINE.format("7", "05/21/2015 10:00:00 AM", "Constituent Call"))


def test_times_are_local_to_the_city(late_closing: list[Request]) -> None:
    """The file has wall-clock times without offset."""
    assert OPENED == late_closing[0].opened_at
    assert datetime(2015, 5, 20, 12, 30, tzinfo=UTC) == late_closing[0].promised_at


@pytest.mark.parametrize("text", ["", "nonsense\n1,2\n", HEADER + "1,yesterday,,,,a,b,c,d,e,f\n"])
def test_a_file_of_another_kind_is_named_with_what_is_wrong(tmp_path: Path, text: str) -> None:
    """Nothing but UnreadableRequests comes out, or no request at all."""
    path = tmp_path / "requests.csv"
    path.write_text(text)
    if text:
        with pytest.raises(UnreadableRequests, match="not a file of service requests"):
            requests.read(path)
    else:
        assert [] == requests.read(path)


def test_what_goes_out_is_an_event_that_the_router_reads(late_closing: list[Request]) -> None:
    """The events are CloudEvents of our own contract."""
    wires = [
        requests.opened(late_closing[0]),
        requests.replied(late_closing[0], "ana", OPENED),
        requests.handed_to(late_closing[0], CREW, OPENED, 1),
        requests.updated(late_closing[0], CREW, OPENED, 1),
    ]
    read_back = [events.decode("boston", wire.body) for wire in wires]
    assert [wire.kind for wire in wires] == [event.kind for event in read_back]
    assert {("boston311", "7")} == {(event.source, event.ticket) for event in read_back}
    assert "Back Bay" == msgspec.json.decode(requests.new_ticket(late_closing[0]))["attributes"]["neighborhood"]


def test_an_owner_answers_and_hands_the_request_to_a_crew(late_closing: list[Request]) -> None:
    """What takes days is done in the field."""
    play = script(late_closing)
    assert ["7-opened"] == sent(play.due(OPENED))
    play.heard_assignment("7", "ana", OPENED)
    assert ["7-reply", "7-handed-1"] == sent(play.due(OPENED + timedelta(minutes=10)))
    assert ["7-solved"] == sent(play.due(UNTIL))


def test_nobody_answers_twice(late_closing: list[Request]) -> None:
    """A second owner finds the answer given, and hands it on."""
    play = script(late_closing)
    play.due(OPENED)
    play.heard_assignment("7", "ana", OPENED)
    play.due(OPENED + timedelta(minutes=10))
    play.heard_assignment("7", "ana", OPENED + timedelta(minutes=11))
    assert ["7-handed-2"] == sent(play.due(OPENED + timedelta(hours=1)))


def test_a_request_closed_before_anybody_had_it_is_answered_by_closing(late_closing: list[Request]) -> None:
    """The citizen hears of it at that instant."""
    assert ["7-opened", "7-reply", "7-solved"] == sent(script(late_closing).due(UNTIL))


def test_requests_of_the_web_form_come_over_http(tmp_path: Path) -> None:
    """All others go through NATS."""
    [act] = [
        act
        for act in script(read(tmp_path, LINE.format("8", "", "Self Service"))).due(OPENED)
        if isinstance(act, Arrive)
    ]
    assert "8" == act.request.number


def test_after_the_traffic_nothing_arrives_and_everybody_is_there(late_closing: list[Request]) -> None:
    """A replay that is cut short forgets what had not come."""
    play = script(late_closing)
    play.due(OPENED - timedelta(minutes=1))
    play.end_traffic(OPENED - timedelta(minutes=1))
    acts = play.due(UNTIL)
    assert [("ana", "online")] == [(act.agent, act.status) for act in acts if isinstance(act, PresenceChange)]
    assert [] == sent(acts)
    assert [] == play.requests


def test_a_page_is_acknowledged_once_if_at_all(late_closing: list[Request]) -> None:
    """Most react; nobody reacts twice to the same page."""
    play = script(late_closing)
    play.due(OPENED)
    for n in range(200):
        play.heard_page(UUID(int=n), "ana", OPENED)
        play.heard_page(UUID(int=n), "ana", OPENED)
    taken = [act.page for act in play.due(UNTIL) if isinstance(act, Acknowledge)]
    assert len(taken) == len(set(taken))
    assert 160 < len(taken) < 200


def test_most_updates_that_are_owed_are_sent(late_closing: list[Request]) -> None:
    """Only after the first answer; each has an id of its own."""
    play = script(late_closing)
    play.due(OPENED)
    play.heard_warning("7", "update", OPENED)
    play.heard_assignment("7", "ana", OPENED)
    play.due(OPENED + timedelta(minutes=10))
    for hour in range(1, 21):
        play.heard_warning("7", "update", OPENED + timedelta(hours=hour))
    ids = [name for name in sent(play.due(OPENED + timedelta(days=2))) if "update" in name]
    assert len(ids) == len(set(ids))
    assert 12 < len(ids) <= 20


def test_shifts_cover_the_night_and_the_clock_change() -> None:
    """A shift over midnight ends the next morning; hours are local."""
    night = Shift(begins=time(22), ends=time(7), weekdays=frozenset({5}))
    [spell] = [
        spell
        for spell in staff.spells(night, datetime(2015, 3, 7, 12, tzinfo=UTC), datetime(2015, 3, 8, 20, tzinfo=UTC))
        if spell[0].day == 8
    ]
    assert timedelta(hours=8) == spell[1] - spell[0]


def test_who_is_off_begins_with_the_next_shift() -> None:
    """Saturday's ticket waits for Monday's shift."""
    day = Shift(begins=time(9), ends=time(17), weekdays=frozenset(range(5)))
    assert datetime(2015, 5, 18, 13, tzinfo=UTC) == staff.working(day, datetime(2015, 5, 16, 15, tzinfo=UTC))
    assert OPENED == staff.working(day, OPENED)


def test_a_crew_is_named_after_its_department(late_closing: list[Request]) -> None:
    """The roster has it under that key."""
    assert CREW == crew_of(late_closing[0])
