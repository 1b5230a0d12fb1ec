"""A ticket that nobody can take is nobody's secret: somebody gets it, somebody is told, and hears when it is over."""

from datetime import timedelta
from typing import Any

ROSTER = """
people:
  ana: {name: Ana, skills: {billing: 4}, channels: [email, phone], capacity: 12}
  ben: {name: Ben, channels: [email], capacity: 12}
  chi: {name: Chi}
  head: {name: Head}
"""
FALLBACK = """
calendars: {always: {hours: always}}
channels: {email: {units: 6, interruptible: true}}
skills:
  - {need: [billing], when: {text: [invoice]}}
  - {need: [klingon], when: {text: [Qapla]}}
targets: [{name: all, calendar: always, first_response: 4h, escalate: call somebody}]
escalations:
  call somebody:
    steps: [{page: [person/chi]}, {after: 15m, page: [person/head]}]
routing: {fallback: ben}
"""
EVENING = """calendars: {evening: {timezone: Europe/Berlin, hours: {mon-fri: "15:00-23:00"}}, """
WITHOUT = FALLBACK.replace("routing: {fallback: ben}", "")


async def test_what_nobody_has_the_skill_for_goes_to_the_fallback_and_somebody_is_told(desk: Any) -> None:
    """Within the second; the fallback has it whatever their load, and Chi knows what is missing."""
    await desk.applies(FALLBACK)
    await desk.opens("881", subject="Qapla!")
    assert "ben" == await desk.owner("881")
    assert (0, 6) == await desk.load("ben")
    await desk.advance(seconds=1)
    assert [("chi", "page")] == await desk.paged()
    assert "NOBODY CAN TAKE IT" in desk.screen.getvalue()
    assert "nobody on the roster takes email with klingon" in desk.screen.getvalue()
    assert "Owner: Ben" in desk.screen.getvalue()
    assert ["ticket.unroutable"] == [kind for kind in await desk.said() if kind == "ticket.unroutable"]
    [assigned] = await desk.said_of("ticket.assigned")
    assert ("ben", ["fallback"]) == (assigned["owner"], assigned["reasons"])
    assert 1 == desk.counted("sla_assignments_total", pool="default", outcome="fallback")
    assert 0 == await desk.drift()


async def test_the_fallback_is_no_end_but_an_answer_is(desk: Any) -> None:
    """Nobody who was told hears that it is over because Ben has it: he has it because nobody else can."""
    await desk.applies(FALLBACK)
    await desk.opens("881", subject="Qapla!")
    await desk.advance(minutes=16)
    assert [("chi", "page"), ("head", "page")] == await desk.paged()
    await desk.replies("881")
    await desk.advance(seconds=1)
    assert [("chi", "resolve"), ("head", "resolve")] == sorted((await desk.paged())[2:])
    [ended] = await desk.said_of("escalation.resolved")
    assert ("routing", "answered") == (ended["target"], ended["resolution"])


async def test_a_fallback_who_is_not_there_keeps_it(desk: Any) -> None:
    """Nobody else could have it, so no absence takes it away; what others have is taken from them."""
    await desk.applies(FALLBACK)
    await desk.comes("ben")
    await desk.opens("881", subject="Qapla!")
    await desk.opens("882")
    assert ("ben", "ben") == (await desk.owner("881"), await desk.owner("882"))
    await desk.comes("ben", "offline")
    await desk.pool.execute("UPDATE agent SET gone_at = deskclock_now() WHERE key = 'ben'")
    await desk.advance(hours=6)
    await desk.takes_back()
    assert ("ben", None) == (await desk.owner("881"), await desk.owner("882"))
    assert 1 == (await desk.said()).count("ticket.unroutable")


async def test_a_fallback_who_gives_it_back_does_not_get_it_again(desk: Any) -> None:
    """It waits, and the escalation goes on."""
    await desk.applies(FALLBACK)
    await desk.opens("881", subject="Qapla!")
    await desk.releases("881", "ben")
    await desk.advance(minutes=16)
    assert (None, "no_skill") == (await desk.owner("881"), await desk.waits_because("881"))
    assert [("chi", "page"), ("head", "page")] == await desk.paged()
    assert 0 == await desk.drift()


async def test_without_a_fallback_it_waits_until_somebody_learns(desk: Any) -> None:
    """Who was told hears that somebody has it."""
    await desk.applies(WITHOUT)
    await desk.opens("881", subject="Qapla!")
    await desk.advance(seconds=1)
    assert [("chi", "page")] == await desk.paged()
    await desk.employs(ROSTER.replace("billing: 4", "billing: 4, klingon: 1"))
    await desk.comes("ana")
    await desk.advance(seconds=1)
    assert "ana" == await desk.owner("881")
    assert [("chi", "page"), ("chi", "resolve")] == await desk.paged()
    assert "ASSIGNED: ticket 881" in desk.screen.getvalue()
    assert "Owner: Ana" in desk.screen.getvalue()
    assert "resolved" == await desk.escalation("routing")


async def test_at_night_somebody_is_told_at_half_of_the_slack_and_in_the_morning_that_it_is_over(desk: Any) -> None:
    """Eight hours, fourteen minutes of them for the answer: Chi is told after 3 h 53 min, and when the next shift begins."""
    await desk.applies(WITHOUT.replace("calendars: {", EVENING).replace("4h", "8h"))
    await desk.employs(
        ROSTER.replace("capacity: 12}\n  ben", "capacity: 12, presence: shift, calendar: evening}\n  ben")
    )
    await desk.opens("881", subject="my invoice")
    await desk.advance(hours=3, minutes=52, seconds=59)
    assert [] == await desk.paged()
    await desk.advance(seconds=2)
    assert [("chi", "page")] == await desk.paged()
    screen = desk.screen.getvalue()
    assert "NOBODY IS THERE" in screen
    assert "nobody who takes email with billing is there; their next shift begins 2026-06-01 13:00:00 UTC" in screen
    assert "an answer is due 2026-06-01 16:00:00 UTC" in screen
    await desk.acknowledges("chi")
    await desk.advance(hours=1, minutes=7)
    assert "ana" == await desk.owner("881")
    assert [("chi", "page"), ("chi", "resolve")] == await desk.paged()
    assert "resolved" == await desk.escalation("routing")


async def test_who_comes_in_time_spares_the_others(desk: Any) -> None:
    """The request is gone with the assignment."""
    await desk.applies(WITHOUT)
    await desk.opens("881", subject="my invoice")
    await desk.advance(hours=1)
    await desk.comes("ana")
    assert 0 == await desk.pool.fetchval("SELECT count(*) FROM escalation_request")
    await desk.advance(hours=2)
    assert [] == await desk.paged()


async def test_a_deadline_that_moves_takes_the_call_with_it(desk: Any) -> None:
    """Half of the slack is half of what is left now."""
    await desk.applies(WITHOUT + "urgency: [{name: down, urgency: urgent, when: {text: [is down]}}]\n")
    await desk.opens("881", subject="my invoice")
    before = await desk.pool.fetchval("SELECT due_at FROM escalation_request")
    await desk.sets_deadline("881", "first_response", await desk.now() + timedelta(hours=1))
    after = await desk.pool.fetchval("SELECT due_at FROM escalation_request")
    assert timedelta(hours=1, minutes=53) == before - await desk.now()
    assert timedelta(minutes=23) == after - await desk.now()


async def test_all_who_declined_are_asked_once_more_and_then_it_waits(desk: Any) -> None:
    """The second time it stays where it is, and the escalation is open."""
    await desk.applies(WITHOUT.replace("interruptible: true}", "interruptible: true, offer: 2m}"))
    await desk.comes("ana")
    await desk.opens("881", subject="my invoice")
    assert ("ana", "offered") == await desk.stands("881")
    await desk.declines("881", "ana")
    assert ("ana", "offered") == await desk.stands("881")
    await desk.advance(seconds=1)
    assert [("chi", "page")] == await desk.paged()
    assert "everybody who is there and takes email with billing declined it or let it lapse" in desk.screen.getvalue()
    await desk.declines("881", "ana")
    await desk.advance(minutes=1)
    assert (None, "excluded") == (await desk.stands("881"), await desk.waits_because("881"))
    assert "open" == await desk.escalation("routing")
    await desk.gives("881", "ana")
    await desk.advance(seconds=1)
    assert [("chi", "page"), ("chi", "resolve")] == await desk.paged()


async def test_an_offer_is_no_owner_and_its_acceptance_ends_it(desk: Any) -> None:
    """Nobody has it before they say so."""
    await desk.applies(WITHOUT.replace("interruptible: true}", "interruptible: true, offer: 2m}"))
    await desk.opens("881", subject="my invoice")
    await desk.advance(hours=2)
    await desk.comes("ana")
    await desk.advance(seconds=1)
    assert [("chi", "page")] == await desk.paged()
    await desk.accepts("881", "ana")
    await desk.advance(seconds=1)
    assert [("chi", "page"), ("chi", "resolve")] == await desk.paged()


async def test_a_person_calls_and_the_ticket_has_an_owner_all_the_same(desk: Any) -> None:
    """Asking twice wakes nobody twice; an acknowledgement stops it, and asking again goes on at the next step."""
    await desk.applies(WITHOUT)
    await desk.comes("ben")
    await desk.opens("881")
    called = await desk.escalates("881", "ben", "third complaint\nthis week")
    assert (True, ("person/chi",), ("person/head",)) == (called.is_new, *(step.page for step in called.next))
    await desk.advance(seconds=1)
    again = await desk.escalates("881", "ana")
    assert (False, called.next[1:]) == (again.is_new, again.next)
    await desk.advance(seconds=1)
    assert [("chi", "page")] == await desk.paged()
    assert "HELP IS WANTED: ticket 881 (helpdesk, email, normal): ben asks for help: third complaint this week" in (
        desk.screen.getvalue()
    )
    await desk.acknowledges("chi")
    await desk.advance(hours=1)
    assert [("chi", "page")] == await desk.paged()
    onward = await desk.escalates("881", "ben", "Chi is ill")
    assert (True, [("person/head",)]) == (onward.is_new, [step.page for step in onward.next])
    await desk.advance(seconds=1)
    assert [("chi", "page"), ("head", "page")] == await desk.paged()
