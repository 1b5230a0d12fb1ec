"""What follows for an assignment from an event or from time: a table of cases, and what holds of all of them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.tenure import (
    CLOCKS_APART,
    Ended,
    Room,
    State,
    Tenure,
    Terms,
    Turn,
    Wants,
    begin,
    first_action_by,
    hear,
    in_open_time,
    lapse,
)
from shared.contract.events import (
    Accepted,
    Data,
    Declined,
    Feedback,
    Released,
    Replied,
    StatusChanged,
    TicketEvent,
    Updated,
)
from shared.contract.tickets import Author, Channel, Status
from shared.policy.parse import parse_policy

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TERMS = Terms(first_action=0.5, park=10 * MINUTE, start_by=NOW + 60 * MINUTE)
AGENT, CUSTOMER, NOTE = Replied(by=Author.AGENT), Replied(by=Author.CUSTOMER), Replied(by=Author.AGENT, public=False)
SOLVED = StatusChanged(status=Status.SOLVED)


def tenure(state: State = State.ACTIVE, **fields: Any) -> Tenure:
    """Ana has a chat, or is offered it."""
    chosen = {
        "id": UUID(int=1), "ticket_id": UUID(int=2), "tenant": "acme", "agent": "ana", "pool": "default",
        "channel": Channel.LIVE_CHAT, "units": 4, "interruptible": False, "state": state, "assigned_at": NOW - MINUTE,
        "accepted_at": None if state is State.OFFERED else NOW - MINUTE,
        "offered_until": NOW + MINUTE if state is State.OFFERED else None,
    }  # fmt: skip
    return Tenure(**{**chosen, **fields})


def mail(**fields: Any) -> Tenure:
    """Ana has an e-mail that she has to touch."""
    return tenure(**{"channel": Channel.EMAIL, "interruptible": True, "act_by": NOW + 30 * MINUTE, **fields})


def happened(data: Data, ago: timedelta = timedelta(), n: int = 1) -> TicketEvent:
    """An event of so long ago."""
    return TicketEvent(tenant="acme", id=f"{n}", source="desk", ticket="1", occurred_at=NOW - ago, data=data)


def turn(before: Tenure, *told: Data, ago: timedelta = timedelta()) -> Turn:
    """What becomes of it."""
    return hear(before, [happened(data, ago, n) for n, data in enumerate(told)], TERMS, NOW)


OFFERED, ACTIVE, PARKED = (tenure(state) for state in State)
LAPSED = tenure(State.OFFERED, offered_until=NOW)


@pytest.mark.parametrize(
    ("before", "said", "ended", "is_accepted", "fits"),
    [
        (OFFERED, Accepted(agent="ana"), None, True, True),
        (OFFERED, Accepted(agent="ben"), None, False, False),
        (OFFERED, Declined(agent="ana"), Ended.DECLINED, False, True),
        (OFFERED, Declined(agent="ben"), None, False, False),
        (OFFERED, Released(agent="ana"), None, False, False),
        (LAPSED, Accepted(agent="ana"), None, False, False),
        (LAPSED, Declined(agent="ana"), None, False, False),
        (ACTIVE, Accepted(agent="ana"), None, False, True),
        (ACTIVE, Declined(agent="ana"), None, False, False),
        (ACTIVE, Released(agent="ana"), Ended.RELEASED, False, True),
        (ACTIVE, Released(agent="ben"), None, False, False),
        (PARKED, Accepted(agent="ana"), None, False, True),
        (PARKED, Released(agent="ana"), Ended.RELEASED, False, True),
    ],
)
def test_answers_fit_the_state_or_mean_nothing(
    before: Tenure, said: Data, ended: Ended | None, *, is_accepted: bool, fits: bool
) -> None:
    """By state, by agent, and by our clock."""
    found = turn(before, said)
    assert (ended, is_accepted, fits) == (found.ended, found.is_accepted, bool(found.fitting))
    assert fits or before == found.tenure


def test_answers_are_heard_in_the_order_in_which_they_happened() -> None:
    """Accepted and given back in one batch; nothing is heard after the end."""
    events = [happened(Released(agent="ana"), n=2), happened(Accepted(agent="ana"), MINUTE, n=1), happened(AGENT, n=3)]
    found = hear(OFFERED, events, TERMS, NOW)
    assert (True, Ended.RELEASED, ("1", "2")) == (found.is_accepted, found.ended, found.fitting)


def test_what_is_accepted_has_timers_of_its_kind() -> None:
    """A chat is parked, an e-mail has to be touched, a call neither."""
    chat = turn(OFFERED, Accepted(agent="ana")).tenure
    assert (State.ACTIVE, NOW, None, None, NOW + 10 * MINUTE) == (
        chat.state, chat.accepted_at, chat.offered_until, chat.act_by, chat.park_at,
    )  # fmt: skip
    email = turn(mail(state=State.OFFERED, accepted_at=None, offered_until=NOW + MINUTE), Accepted(agent="ana")).tenure
    assert (NOW + 30 * MINUTE, None) == (email.act_by, email.park_at)
    call = turn(tenure(State.OFFERED, channel=Channel.PHONE), Accepted(agent="ana")).tenure
    assert (None, None) == (call.act_by, call.park_at)


@pytest.mark.parametrize("said", [AGENT, NOTE, StatusChanged(status=Status.PENDING_CUSTOMER), Updated(theme="x")])
def test_whoever_does_something_has_touched_it(said: Data) -> None:
    """Also by a helpdesk's clock that is a little behind; what was before they had it is somebody else's."""
    for ago in (timedelta(), MINUTE + CLOCKS_APART):
        touched = turn(mail(), said, ago=ago).tenure
        assert (None, NOW - ago) == (touched.act_by, touched.touched_at)
    assert mail() == turn(mail(), said, ago=2 * MINUTE + CLOCKS_APART).tenure


@pytest.mark.parametrize("said", [CUSTOMER, Replied(by=Author.BOT), Feedback(score=1)])
def test_what_others_do_touches_nothing(said: Data) -> None:
    """It is still the agent's turn."""
    assert mail() == turn(mail(), said).tenure


@pytest.mark.parametrize(("said", "wants"), [(AGENT, Wants.ROOM), (NOTE, Wants.ROOM), (CUSTOMER, Wants.ROOM_OR_QUEUE)])
def test_whoever_writes_wakes_what_is_parked(said: Data, wants: Wants) -> None:
    """Unless it was so long ago that the silence is over again."""
    assert wants is turn(PARKED, said).wants
    assert Wants.NOTHING is turn(PARKED, said, ago=10 * MINUTE).wants
    assert Wants.NOTHING is turn(ACTIVE, said).wants


def test_what_was_parked_by_another_version_of_the_policy_is_woken() -> None:
    """The one that judges the ticket parks nothing: whoever writes is heard, however late, and it is not parked again."""
    for said, wants in ((AGENT, Wants.ROOM), (CUSTOMER, Wants.ROOM_OR_QUEUE)):
        found = hear(PARKED, [happened(said, 60 * MINUTE)], Terms(), NOW)
        assert (wants, None) == (found.wants, found.tenure.park_at)


@pytest.mark.parametrize("held", [tenure(channel=Channel.PHONE, park_at=NOW), mail(act_by=None, park_at=NOW)])
def test_a_call_and_work_that_can_wait_are_never_parked(held: Tenure) -> None:
    """Whatever the channel became since they were given: the timer ends, and no load moves."""
    found = lapse(held, NOW)
    assert (Wants.NOTHING, None, False) == (found.wants, found.tenure.park_at, found.moves_load)


def test_a_customer_weighs_more_than_the_agent() -> None:
    """In whatever order they wrote."""
    for said in ([AGENT, CUSTOMER], [CUSTOMER, AGENT]):
        assert Wants.ROOM_OR_QUEUE is turn(PARKED, *said).wants


@pytest.mark.parametrize(
    ("before", "ended", "wants"),
    [
        (OFFERED, None, Wants.NOTHING),
        (LAPSED, Ended.EXPIRED, Wants.NOTHING),
        (mail(), None, Wants.NOTHING),
        (mail(act_by=NOW), Ended.UNTOUCHED, Wants.NOTHING),
        (tenure(park_at=NOW + MINUTE), None, Wants.NOTHING),
        (tenure(park_at=NOW), None, Wants.PARKING),
        (ACTIVE, None, Wants.NOTHING),
        (PARKED, None, Wants.NOTHING),
    ],
)
def test_time_alone_acts_when_it_has_come(before: Tenure, ended: Ended | None, wants: Wants) -> None:
    """And not a moment before."""
    found = lapse(before, NOW)
    assert (ended, wants) == (found.ended, found.wants)


def test_there_is_a_first_action_only_where_there_is_slack() -> None:
    """Nothing owed, late already, or turned off: no bound."""
    assert NOW + 30 * MINUTE == first_action_by(NOW, TERMS)
    for terms in (
        Terms(first_action=0.5),
        Terms(first_action=0.5, start_by=NOW),
        Terms(start_by=NOW + MINUTE),
    ):
        assert first_action_by(NOW, terms) is None


def test_nobody_has_to_act_while_it_is_closed() -> None:
    """Given at 16:00, an hour before closing: of three open hours one and a half have passed at 9:30 of the next day."""
    office = parse_policy(
        'calendars: {office: {hours: {mon-fri: "09:00-17:00"}}}\n'
        "targets: [{name: all, calendar: office, first_response: 4h}]",
        version=1,
    ).sla.calendars["office"]
    given = datetime(2026, 6, 1, 16, tzinfo=UTC)
    terms = Terms(first_action=0.5, start_by=datetime(2026, 6, 2, 11, tzinfo=UTC))
    assert datetime(2026, 6, 2, 9, 30, tzinfo=UTC) == in_open_time(given, terms, office)
    assert in_open_time(given, Terms(first_action=0.5), office) is None


def test_what_is_not_offered_is_theirs_at_once() -> None:
    """What is, is nobody's yet and has no other timer."""
    offered = begin(Channel.LIVE_CHAT, MINUTE, TERMS, NOW, is_interruptible=False)
    assert (State.OFFERED, None, NOW + MINUTE, None, None) == (
        offered.state, offered.accepted_at, offered.offered_until, offered.act_by, offered.park_at,
    )  # fmt: skip
    assert NOW == begin(Channel.EMAIL, None, TERMS, NOW, is_interruptible=True).accepted_at


def room(**changes: Any) -> Room:
    """Of somebody with 12 units who is there and has nothing."""
    return Room(**{"capacity": 12, "primary": 0, "interruptible": 0, "calls": 0, "is_there": True, **changes})


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, 3),
        ({"primary": 8}, 1),
        ({"primary": 9}, 0),
        ({"interruptible": 12}, 3),
        ({"interruptible": 20}, 1),
        ({"interruptible": 21}, 0),
        ({"calls": 1}, 0),
        ({"is_there": False}, 0),
        ({"closed": ["live_chat"]}, 0),
        ({"closed": ["email"]}, 3),
        ({"left": {Channel.LIVE_CHAT: 1}}, 1),
        ({"left": {Channel.LIVE_CHAT: 0}}, 0),
        ({"left": {Channel.EMAIL: 0}}, 3),
    ],
)
def test_parked_work_is_taken_back_while_there_is_room(changes: dict[str, Any], fits: int) -> None:
    """C3, ceilings and presence, counted down with each."""
    found = room(**changes)
    assert fits == sum(found.take(PARKED) for _ in range(5))


agents = st.sampled_from(["ana", "ben"])
told = st.one_of(
    st.builds(Accepted, agent=agents),
    st.builds(Declined, agent=agents),
    st.builds(Released, agent=agents),
    st.builds(Replied, by=st.sampled_from(Author), public=st.booleans()),
    st.builds(StatusChanged, status=st.sampled_from(Status)),
    st.builds(Updated),
)
tenures = st.sampled_from([OFFERED, LAPSED, ACTIVE, PARKED, mail(), tenure(park_at=NOW), mail(act_by=NOW)])


@given(tenures, st.lists(st.tuples(st.integers(-5, 60), told), max_size=6))
def test_an_assignment_is_always_one_that_the_database_takes(before: Tenure, events: list[tuple[int, Data]]) -> None:
    """An offer has an end and no owner, anything else an owner and no end; an event heard again changes nothing more."""
    log = [happened(data, ago * MINUTE, n) for n, (ago, data) in enumerate(events)]
    found = hear(before, log, TERMS, NOW)
    after = found.tenure
    assert (after.state is State.OFFERED) == (after.offered_until is not None) == (after.accepted_at is None)
    assert hear(before, log[::-1], TERMS, NOW) == found or len({e.occurred_at for e in log}) < len(log)
    if found.ended is None and not found.is_accepted:
        assert after == hear(after, log, TERMS, NOW).tenure
