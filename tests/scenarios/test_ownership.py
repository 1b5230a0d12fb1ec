"""Somebody has to own a ticket in time, and to ask again after it was solved."""

from typing import Any

from shared.contract.tickets import Status

OWNED = """
targets:
  - {name: all, calendar: always, ownership: 30m, resolution: 8h, warn: [50%], escalate: call somebody}
escalations:
  call somebody: {steps: [{page: [person/head]}], on_warning: [person/chi]}
follow_up: {after_solved: 10h}
"""


async def test_a_ticket_that_nobody_takes_wakes_somebody_until_it_is_taken(desk: Any) -> None:
    """Warned at fifteen minutes, broken at thirty, kept late; the escalation ends with it."""
    await desk.is_staffed()
    await desk.applies(OWNED)
    await desk.opens("881")
    await desk.advance(minutes=31)
    assert [("chi", "warning"), ("head", "page")] == await desk.paged()
    await desk.comes("ben")
    clock = await desk.clock("881", "ownership")
    assert ("breached", True) == (clock["state"], clock["met_at"] is not None)
    assert "resolved" == await desk.escalation("ownership")


async def test_a_ticket_taken_in_time_wakes_nobody(desk: Any) -> None:
    """The matching run itself ends the clock."""
    await desk.applies(OWNED)
    await desk.comes("ben")
    await desk.opens("881")
    clock = await desk.clock("881", "ownership")
    assert ("met", "ben") == (clock["state"], await desk.owner("881"))
    await desk.advance(hours=1)
    assert [] == await desk.paged()
    assert "clock.met" in await desk.said()


async def test_whoever_leaves_the_roster_leaves_a_ticket_that_is_owed_an_owner(desk: Any) -> None:
    """A second cycle, from the minute that notices."""
    await desk.applies(OWNED)
    await desk.comes("ben")
    await desk.opens("881")
    await desk.leaves("ben")
    assert "running" == (await desk.clock("881", "ownership", 2))["state"]


async def test_a_follow_up_is_called_due_before_it_is_late(desk: Any) -> None:
    """At four fifths of its time, and nobody is woken for it."""
    await desk.applies(OWNED)
    await desk.comes("ben")
    await desk.opens("881")
    await desk.becomes("881", Status.SOLVED)
    await desk.advance(hours=7, minutes=59)
    assert "follow_up.due" not in await desk.said()
    await desk.advance(minutes=2)
    assert "follow_up.due" in await desk.said()
    await desk.replies("881")
    await desk.advance(hours=10)
    assert "met" == (await desk.clock("881", "follow_up"))["state"]
    assert [] == await desk.paged()


async def test_a_customer_is_to_be_told_before_a_silence_and_when_a_promise_breaks(desk: Any) -> None:
    """The helpdesk hears what happened, what happens next, by when and who is responsible."""
    await desk.applies(
        "targets: [{name: all, calendar: always, update: 2h, resolution: 3h, warn: [50%]}]\nrouting: {first_action: none}"
    )
    await desk.comes("ben")
    await desk.opens("881")
    await desk.advance(minutes=61)
    (notice,) = await desk.said_of("customer.notice_due")
    assert ("update", False, "ben") == (notice["target"], notice["is_late"], notice["responsible"])
    assert "2026-06-01T10:00:00Z" == notice["by_when"]
    await desk.advance(minutes=60)
    (_, broken) = await desk.said_of("customer.notice_due")
    assert ("update", True, "it is solved") == (broken["target"], broken["is_late"], broken["what_happens_next"])
    assert ("2026-06-01T10:00:00Z", "2026-06-01T11:00:00Z") == (broken["due_at"], broken["by_when"])
