"""The life of an assignment (routing-rules 3.7): asked, accepted, untouched, silent, woken, given back."""

from datetime import timedelta
from typing import Any

import pytest

from shared.contract.events import Requester
from shared.contract.tickets import Author, Status

OFFERING = """
calendars: {office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}}
channels:
  live_chat: {units: 4, offer: 30s}
  email: {units: 6, interruptible: true}
targets: [{name: all, calendar: always, first_response: 2h, ownership: 10m, resolution: 8h}]
"""
PARKING = """
channels: {live_chat: {units: 4, park: 10m}, phone: {units: 12}}
targets: [{name: all, calendar: always, first_response: 2h, next_response: 1h, resolution: 8h}]
"""
ACTING = """
calendars: {office: {timezone: Europe/Berlin, hours: {mon-fri: "09:00-17:00"}}}
channels: {email: {units: 6, interruptible: true}}
targets: [{name: all, calendar: office, first_response: 4h, resolution: 2bd}]
"""


async def said_of(desk: Any, kind: str, *fields: str) -> list[tuple[Any, ...]]:
    """These fields of our events of one kind."""
    return [tuple(data[field] for field in fields) for data in await desk.said_of(kind)]


async def test_a_chat_is_offered_and_owned_by_whoever_accepts_it(desk: Any) -> None:
    """Nobody owns it until then; the promise of an owner is kept by the acceptance."""
    await desk.applies(OFFERING)
    await desk.comes("ben")
    await desk.opens("881", channel="live_chat")
    assert (("ben", "offered"), None) == (await desk.stands("881"), await desk.owner("881"))
    assert ((4, 0), "running") == (await desk.load("ben"), (await desk.clock("881", "ownership"))["state"])
    assert [("ben", "2026-06-01T08:00:30Z")] == await said_of(desk, "ticket.offered", "agent", "until")
    await desk.advance(seconds=12)
    assert not (await desk.accepts("881", "ben")).is_moot
    clock = await desk.clock("881", "ownership")
    assert ("met", await desk.now()) == (clock["state"], clock["met_at"])
    assert ("ben", "active") == await desk.stands("881")
    assert [("ben", ["accepted"])] == await said_of(desk, "ticket.assigned", "owner", "reasons")
    assert 1 == desk.counted("sla_offers_total", pool="default", outcome="accepted")
    assert 0 == await desk.drift()


async def test_a_declined_chat_goes_to_somebody_else_and_not_back_in_this_cycle(desk: Any) -> None:
    """With the age it has; whoever declined has their room again, and is asked nothing more about it."""
    await desk.applies(OFFERING)
    await desk.comes("ana")
    await desk.opens("881", channel="live_chat")
    opened = await desk.now()
    await desk.advance(seconds=5)
    await desk.declines("881", "ana")
    assert (None, (0, 0), "offline") == (
        await desk.stands("881"),
        await desk.load("ana"),
        await desk.waits_because("881"),
    )
    row = await desk.pool.fetchrow("SELECT queued_at, excluded, previous_owner FROM queued")
    assert (opened, ["ana"], None) == (row["queued_at"], row["excluded"], row["previous_owner"])
    await desk.comes("ben")
    assert ("ben", "offered") == await desk.stands("881")
    assert [("ana", "declined")] == await said_of(desk, "ticket.offer_ended", "agent", "outcome")
    assert [] == await desk.said_of("ticket.unassigned")  # nobody had it


async def test_who_lets_two_offers_lapse_in_a_row_is_away(desk: Any) -> None:
    """The first one only excludes them; the next ticket makes two."""
    await desk.applies(OFFERING)
    await desk.comes("ana")
    await desk.opens("1", channel="live_chat")
    await desk.advance(seconds=31)
    assert (None, "online") == (await desk.stands("1"), await _status(desk, "ana"))
    await desk.opens("2", channel="live_chat")
    await desk.advance(seconds=31)
    assert (None, "away") == (await desk.stands("2"), await _status(desk, "ana"))
    assert [("ana", 2)] == await said_of(desk, "agent.away", "agent", "lapsed")
    assert (2, 1) == (
        desk.counted("sla_offers_total", pool="default", outcome="expired"),
        desk.counted("sla_agents_set_away_total"),
    )
    await desk.comes("ana")
    await desk.opens("3", channel="live_chat")
    await desk.advance(seconds=31)
    assert "online" == await _status(desk, "ana")  # they are counted anew


@pytest.mark.parametrize("answer", ["accepts", "declines"])
async def test_an_answer_between_two_lapses_begins_the_count_anew(desk: Any, answer: str) -> None:
    """Whoever answers is there."""
    await desk.applies(OFFERING)
    await desk.comes("ana")
    await desk.opens("1", channel="live_chat")
    await desk.advance(seconds=31)
    await desk.opens("2", channel="live_chat")
    await getattr(desk, answer)("2", "ana")
    await desk.opens("3", channel="live_chat")
    await desk.advance(seconds=31)
    assert "online" == await _status(desk, "ana")


async def test_an_acceptance_that_comes_too_late_changes_nothing(desk: Any) -> None:
    """By our clock, even before anybody noticed that the offer lapsed; nor do those of others, nor the second one."""
    await desk.applies(OFFERING)
    await desk.comes("ana")
    await desk.opens("881", channel="live_chat")
    assert (await desk.accepts("881", "ben")).is_moot
    await desk.move(seconds=30)
    assert (await desk.accepts("881", "ana")).is_moot
    assert (await desk.declines("881", "ana")).is_moot
    await desk.advance(seconds=1)
    assert (None, (0, 0)) == (await desk.stands("881"), await desk.load("ana"))
    await desk.comes("ben")
    assert not (await desk.accepts("881", "ben")).is_moot
    assert (await desk.accepts("881", "ana")).is_moot
    assert ("ben", 0) == (await desk.owner("881"), await desk.drift())


@pytest.mark.parametrize("status", [Status.SOLVED, Status.MERGED, Status.SPAM])
async def test_the_offer_of_a_ticket_that_is_over_is_withdrawn(desk: Any, status: Status) -> None:
    """The agent hears of it and has room again."""
    await desk.applies(OFFERING)
    await desk.comes("ana")
    await desk.opens("881", channel="live_chat")
    await desk.becomes("881", status)
    assert [("ana", "withdrawn")] == await said_of(desk, "ticket.offer_ended", "agent", "outcome")
    assert (None, (0, 0), 1) == (
        await desk.stands("881"),
        await desk.load("ana"),
        desk.counted("sla_offers_total", pool="default", outcome="withdrawn"),
    )
    assert (await desk.accepts("881", "ana")).is_moot


async def test_the_helpdesk_gives_an_offered_ticket_to_whom_it_names(desk: Any) -> None:
    """To somebody else: the offer is withdrawn. To the one who is asked: it is theirs, without an answer."""
    await desk.applies(OFFERING)
    await desk.comes("ana")
    await desk.opens("1", channel="live_chat")
    await desk.gives("1", "ben")
    assert (("ben", "active"), (0, 0), (4, 0)) == (
        await desk.stands("1"),
        await desk.load("ana"),
        await desk.load("ben"),
    )
    await desk.opens("2", channel="live_chat")
    await desk.gives("2", "ana")
    await desk.advance(minutes=5)
    assert (("ana", "active"), (4, 0), 0) == (await desk.stands("2"), await desk.load("ana"), await desk.drift())
    assert [("ana", "withdrawn")] == await said_of(desk, "ticket.offer_ended", "agent", "outcome")
    assert (2, 2) == (
        desk.counted("sla_assignments_by_hand_total", pool="default"),
        desk.counted("sla_offers_total", pool="default", outcome="withdrawn"),
    )


async def test_an_agent_gives_back_what_they_have(desk: Any) -> None:
    """It waits with its age, without them; the promise of an owner runs again."""
    await desk.applies(OFFERING)
    await desk.comes("ben")
    await desk.opens("881")
    opened = await desk.now()
    await desk.advance(minutes=20)
    assert (await desk.releases("881", "ana")).is_moot
    assert not (await desk.releases("881", "ben")).is_moot
    assert (await desk.releases("881", "ben")).is_moot
    assert "running" == (await desk.clock("881", "ownership", 2))["state"]
    assert opened == await desk.pool.fetchval("SELECT queued_at FROM queued")
    assert [("ben", "released")] == await said_of(desk, "ticket.unassigned", "owner", "reason")
    assert 1 == desk.counted("sla_assignments_given_back_total", pool="default", reason="released")
    await desk.comes("ana")
    assert ("ana", 0) == (await desk.owner("881"), await desk.drift())


async def test_untouched_work_goes_to_somebody_else_after_half_of_its_open_time(desk: Any) -> None:
    """Four hours at 10:00: at 12:00; the one who sat on it doesn't get it again, and the next one has half of the rest."""
    await desk.applies(ACTING)
    await desk.comes("ben")
    await desk.opens("881")
    await desk.advance(hours=1, minutes=50)
    assert "ben" == await desk.owner("881")
    await desk.comes("ana")
    await desk.advance(minutes=9)
    assert "ana" == await desk.owner("881")
    assert [("ben", "untouched")] == await said_of(desk, "ticket.unassigned", "owner", "reason")
    await desk.replies("881", public=False)  # a note is a touch
    await desk.advance(hours=5)
    assert ("ana", 0) == (await desk.owner("881"), await desk.drift())


async def test_nobody_has_to_act_at_night(desk: Any) -> None:
    """Given at 16:00 with four hours: two of them are over at 10:00 of the next day, not at midnight."""
    await desk.applies(ACTING)
    await desk.advance(hours=6)
    await desk.comes("ben")
    await desk.opens("881")
    await desk.advance(hours=17, minutes=50)
    assert [] == await desk.said_of("ticket.unassigned")
    await desk.advance(minutes=11)
    assert [("ben", "untouched")] == await said_of(desk, "ticket.unassigned", "owner", "reason")


@pytest.mark.parametrize("touch", ["reply", "note", "status", "none"])
async def test_what_an_agent_did_something_with_stays_theirs(desk: Any, touch: str) -> None:
    """A reply, a note, a move of the ticket; `none` has no bound."""
    await desk.applies(ACTING + ("routing: {first_action: none}" if touch == "none" else ""))
    await desk.comes("ben")
    await desk.opens("881")
    match touch:
        case "reply" | "note":
            await desk.replies("881", public=touch == "reply")
        case "status":
            await desk.becomes("881", Status.PENDING_CUSTOMER)
    await desk.advance(days=3)
    assert "ben" == await desk.owner("881")
    assert [] == await desk.said_of("ticket.unassigned")


async def test_what_is_given_by_hand_is_not_taken_away_and_what_is_repeated_is_not_given(desk: Any) -> None:
    """A helpdesk that says who has a ticket, as it heard from us, leaves it as it is."""
    await desk.applies(ACTING)
    await desk.comes("ben")
    await desk.opens("881")
    await desk.gives("881", "ana")
    await desk.opens("882")
    await desk.gives("882", "ben")
    assert "ben" == await desk.owner("882")
    await desk.advance(days=3)
    assert ("ana", None) == (await desk.owner("881"), await desk.owner("882"))


async def test_an_echo_that_comes_late_brings_nothing_back(desk: Any) -> None:
    """We gave it to ben, he gave it back, and then the helpdesk repeats that he had it."""
    await desk.applies(ACTING)
    await desk.comes("ben")
    await desk.opens("881")
    assert "ben" == await desk.owner("881")
    said_at = await desk.now() + timedelta(minutes=1)
    await desk.advance(minutes=2)
    await desk.releases("881", "ben")
    await desk.comes("ana")
    assert "ana" == await desk.owner("881")
    await desk.gives("881", "ben", at=said_at)
    assert "ana" == await desk.owner("881")


async def test_untouched_work_that_nobody_else_could_have_stays(desk: Any) -> None:
    """Only ana can do billing: taking it from her would help nobody."""
    await desk.applies(ACTING + "skills: [{need: [billing], when: {text: [invoice]}}]")
    await desk.comes("ana")
    await desk.comes("ben")
    await desk.opens("881", subject="my invoice")
    await desk.advance(hours=7)
    assert "ana" == await desk.owner("881")
    assert [] == await desk.said_of("ticket.unassigned")


async def test_a_customer_who_writes_does_not_touch_for_the_agent(desk: Any) -> None:
    """It is still the agent's turn."""
    await desk.applies(ACTING)
    await desk.comes("ben")
    await desk.opens("881")
    await desk.replies("881", Author.CUSTOMER)
    await desk.advance(hours=2, minutes=5)
    assert None is await desk.owner("881")


async def test_what_those_who_are_there_gave_up_is_theirs_again_before_it_is_too_late(desk: Any) -> None:
    """Ana could have it, but is not there: ben, who let it lie, is asked again at three quarters of the time, once, and somebody is told."""
    await desk.applies(ACTING)
    await desk.comes("ben")
    await desk.opens("881")
    await desk.advance(hours=2, minutes=5)
    assert None is await desk.owner("881")
    await desk.advance(minutes=50)
    assert "ben" == await desk.owner("881")
    await desk.releases("881", "ben")
    await desk.advance(minutes=30)
    assert None is await desk.owner("881")
    await desk.comes("ana")
    assert "ana" == await desk.owner("881")


async def test_a_ticket_that_is_late_when_it_is_given_has_no_slack_to_act_in(desk: Any) -> None:
    """It stays: taking it away would help nobody. So does one to which nothing is promised."""
    await desk.applies(ACTING)
    await desk.opens("late")
    await desk.advance(hours=5)
    await desk.comes("ben")
    assert "ben" == await desk.owner("late")
    await desk.applies("targets: [{name: urgent, when: {urgency: urgent}, calendar: always, resolution: 4h}]")
    await desk.opens("unpromised")
    await desk.advance(days=9)
    assert ("ben", "ben") == (await desk.owner("late"), await desk.owner("unpromised"))


async def test_a_silent_chat_is_parked_and_woken_by_its_customer(desk: Any) -> None:
    """Its units go to others meanwhile; it goes on with its owner, who has room."""
    await desk.applies(PARKING)
    await desk.comes("ben")
    await desk.opens("881", channel="live_chat")
    await desk.advance(minutes=4)
    await desk.replies("881")
    await desk.advance(minutes=9)
    assert (("ben", "active"), (4, 0)) == (await desk.stands("881"), await desk.load("ben"))
    await desk.advance(minutes=2)
    assert (("ben", "parked"), (0, 0), "ben", 0) == (
        await desk.stands("881"),
        await desk.load("ben"),
        await desk.owner("881"),
        await desk.drift(),
    )
    await desk.advance(hours=1)
    await desk.replies("881", Author.CUSTOMER)
    assert (("ben", "active"), (4, 0), 0) == (await desk.stands("881"), await desk.load("ben"), await desk.drift())


async def test_a_woken_chat_waits_for_its_owner_where_they_have_no_room(desk: Any) -> None:
    """At its place in the queue, as theirs first; a call took all of their room."""
    await desk.applies(PARKING)
    await _parked(desk, "881")
    await desk.pool.execute("UPDATE agent SET channels = channels || '{phone}'::text[] WHERE key = 'ben'")
    await desk.opens("call", channel="phone")
    assert "ben" == await desk.owner("call")
    await desk.replies("881", Author.CUSTOMER)
    assert (None, [("ben", "woken")]) == (
        await desk.stands("881"),
        await said_of(desk, "ticket.unassigned", "owner", "reason"),
    )
    assert "ben" == await desk.pool.fetchval("SELECT previous_owner FROM queued")
    await desk.becomes("call", Status.SOLVED)
    assert (("ben", "active"), 0) == (await desk.stands("881"), await desk.drift())


async def test_an_agent_who_writes_in_a_parked_chat_takes_it_up_if_there_is_room(desk: Any) -> None:
    """Else it stays parked, and theirs."""
    await desk.applies(PARKING)
    await _parked(desk, "881")
    for n in range(3):
        await desk.opens(f"full-{n}", channel="live_chat")
    await desk.replies("881")
    assert (("ben", "parked"), (12, 0)) == (await desk.stands("881"), await desk.load("ben"))
    await desk.becomes("full-0", Status.SOLVED)
    await desk.replies("881")
    assert (("ben", "active"), (12, 0), 0) == (await desk.stands("881"), await desk.load("ben"), await desk.drift())


async def test_a_parked_chat_of_somebody_who_is_away_goes_to_the_queue_when_it_wakes(desk: Any) -> None:
    """Whoever is there answers."""
    await desk.applies(PARKING)
    await _parked(desk, "881")
    await desk.comes("ben", "away")
    await desk.comes("ana")
    await desk.replies("881", Author.CUSTOMER)
    assert (("ana", "active"), 0) == (await desk.stands("881"), await desk.drift())


async def test_so_much_is_parked_and_no_more(desk: Any) -> None:
    """The policy's bound; what is silent beyond it keeps its room, is counted, and is looked at again."""
    await desk.applies(PARKING + "routing: {parked_at_most: 2}")
    await desk.comes("ben")
    for n in range(3):
        await desk.opens(f"{n}", channel="live_chat")
        await desk.replies(f"{n}")
    await desk.advance(minutes=11)
    states = sorted([state for _, state in [await desk.stands(f"{n}") for n in range(3)]])
    assert (["active", "parked", "parked"], (4, 0)) == (states, await desk.load("ben"))
    assert 1 == desk.counted("sla_parking_refused_total")
    await desk.becomes(*[n for n in "012" if ("ben", "parked") == await desk.stands(n)][:1], Status.SOLVED)
    await desk.advance(minutes=10)
    assert ((0, 0), 0) == (await desk.load("ben"), await desk.drift())


async def test_a_chat_whose_customer_waits_for_us_is_not_parked(desk: Any) -> None:
    """It is the agent who is silent: their room stays taken until they answer, and ten minutes more."""
    await desk.applies(PARKING)
    await desk.comes("ben")
    await desk.opens("881", channel="live_chat")
    await desk.advance(minutes=25)
    assert (("ben", "active"), (4, 0)) == (await desk.stands("881"), await desk.load("ben"))
    await desk.replies("881")
    await desk.advance(minutes=11)
    assert (("ben", "parked"), (0, 0)) == (await desk.stands("881"), await desk.load("ben"))


async def test_what_was_written_long_ago_wakes_nothing(desk: Any) -> None:
    """A message that reaches us an hour late has been silent since."""
    await desk.applies(PARKING)
    await _parked(desk, "881")
    await desk.advance(hours=2)
    await desk.writes_late("881", timedelta(hours=1))
    assert ("ben", "parked") == await desk.stands("881")


async def test_a_parked_chat_that_is_solved_frees_nothing_twice(desk: Any) -> None:
    """Its units are somebody else's already."""
    await desk.applies(PARKING)
    await _parked(desk, "881")
    await desk.opens("next", channel="live_chat")
    await desk.becomes("881", Status.SOLVED)
    assert (None, (4, 0), 0) == (await desk.stands("881"), await desk.load("ben"), await desk.drift())


async def test_a_parked_chat_that_is_given_to_its_owner_by_hand_is_taken_up(desk: Any) -> None:
    """And one given to somebody else leaves no units behind."""
    await desk.applies(PARKING)
    await _parked(desk, "1")
    await desk.gives("1", "ben")
    assert (("ben", "active"), (4, 0)) == (await desk.stands("1"), await desk.load("ben"))
    await desk.advance(minutes=11)
    await desk.gives("1", "ana")
    assert ((0, 0), (4, 0), 0) == (await desk.load("ben"), await desk.load("ana"), await desk.drift())
    assert [("ben", "reassigned")] == await said_of(desk, "ticket.unassigned", "owner", "reason")


async def test_a_call_is_never_parked(desk: Any) -> None:
    """However long nobody writes."""
    await desk.applies(PARKING)
    await desk.comes("ben")
    await desk.pool.execute("UPDATE agent SET channels = channels || '{phone}'::text[] WHERE key = 'ben'")
    await desk.opens("881", channel="phone")
    await desk.advance(hours=1)
    assert ("ben", "active") == await desk.stands("881")


async def test_a_ticket_that_was_split_off_goes_to_the_owner_of_the_other(desk: Any) -> None:
    """Though somebody less versatile has nothing to do."""
    await desk.applies(ACTING)
    await desk.comes("ana")
    await desk.opens("881")
    await desk.replies("881")
    await desk.comes("ben")
    await desk.opens("882", split_from="881")
    assert "ana" == await desk.owner("882")


@pytest.mark.parametrize(("days", "owner"), [(3, "ana"), (8, "ben")])
async def test_a_customer_who_writes_again_gets_whom_they_know(desk: Any, days: int, owner: str) -> None:
    """Within the policy's days after that ticket was solved; later the least versatile."""
    await desk.applies(ACTING + "routing: {affinity: {same_customer: 168h}}")
    await desk.comes("ana")
    await desk.opens("881", requester=Requester(key="c-17"))
    await desk.becomes("881", Status.SOLVED)
    await desk.advance(days=days)
    await desk.comes("ben")
    await desk.opens("882", requester=Requester(key="c-17"))
    assert owner == await desk.owner("882")


async def _parked(desk: Any, ticket: str) -> None:
    await desk.comes("ben")
    await desk.opens(ticket, channel="live_chat")
    await desk.replies(ticket)
    await desk.advance(minutes=11)
    assert ("ben", "parked") == await desk.stands(ticket)


async def _status(desk: Any, agent: str) -> str:
    status: str = await desk.pool.fetchval("SELECT status FROM agent WHERE key = $1", agent)
    return status
