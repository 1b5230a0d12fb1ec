"""Shifts that hand over to each other: what can't wait goes on, what can waits for the one who knows it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.contract.tickets import Author, Status

POLICY = """
calendars:
  late: {timezone: Europe/Berlin, hours: {mon-fri: "14:00-22:00"}}
  night: {timezone: Europe/Berlin, hours: {mon-thu: "22:00-06:00"}}
channels:
  email: {units: 2, interruptible: true}
  live_chat: {units: 4, park: none}
routing: {first_action: none}
targets:
  - {name: patient, when: {text: [whenever]}, calendar: always, first_response: 4h, next_response: 24h, resolution: 120h}
  - {name: all, calendar: always, first_response: 4h, next_response: 8h, resolution: 120h}
"""
ROSTER = """
people:
  ana: {channels: [email, live_chat], presence: shift, calendar: late}
  ben: {channels: [email, live_chat], presence: shift, calendar: night}
"""
HAND_OVER = datetime(2026, 6, 1, 20, tzinfo=UTC)
"""22:00 in Berlin, a Monday."""


async def until(desk: Any, at: datetime) -> None:
    """Let time pass up to an instant."""
    await desk.advance(seconds=(at - await desk.now()).total_seconds())


async def test_the_night_shift_takes_over_what_cannot_wait(desk: Any) -> None:
    """The chat and the mail nobody has looked at go to Ben; the mails that Ana has begun wait for her, unless a customer can't."""
    await desk.applies(POLICY)
    await desk.employs(ROSTER)
    for ticket, channel in (("chat", "live_chat"), ("fresh", "email"), ("begun", "email"), ("urgent", "email")):
        await desk.opens(ticket, channel=channel)
    await desk.opens("patient", channel="email", subject="whenever you like")
    assert ["offline"] * 5 == [
        await desk.waits_because(ticket) for ticket in ("chat", "fresh", "begun", "urgent", "patient")
    ]

    await until(desk, HAND_OVER - timedelta(hours=8))  # Ana's shift begins: she gets what waits
    assert ["ana"] * 5 == [await desk.owner(ticket) for ticket in ("chat", "fresh", "begun", "urgent", "patient")]
    for ticket in ("chat", "begun", "urgent", "patient"):
        await desk.replies(ticket)
    await desk.becomes("urgent", Status.PENDING_CUSTOMER)
    await until(desk, HAND_OVER + timedelta(seconds=59))
    assert ["ana"] * 5 == [await desk.owner(ticket) for ticket in ("chat", "fresh", "begun", "urgent", "patient")]

    await desk.advance(seconds=2)
    assert ["ben", "ben", "ana", "ana", "ana"] == [
        await desk.owner(ticket) for ticket in ("chat", "fresh", "begun", "urgent", "patient")
    ]
    assert [("ana", "offline"), ("ana", "offline")] == [
        (data["owner"], data["reason"]) for data in await desk.said_of("ticket.unassigned")
    ]

    await until(desk, HAND_OVER + timedelta(hours=3))
    await desk.becomes("urgent", Status.OPEN)
    await desk.replies("urgent", Author.CUSTOMER)  # due at 9:00, hours before Ana is back
    await desk.replies("patient", Author.CUSTOMER)  # due at 1:00 of the day after: Ana will see to it
    await desk.advance(seconds=1)
    assert ["ben", "ana", "ana"] == [await desk.owner(ticket) for ticket in ("urgent", "patient", "begun")]

    await until(desk, HAND_OVER + timedelta(hours=17))  # Ana is back, Ben is asleep
    assert ["ana", "ana"] == [await desk.owner(ticket) for ticket in ("patient", "begun")]
    assert 0 == await desk.drift()


async def test_who_comes_back_in_the_morning_gets_back_what_nobody_else_took(desk: Any) -> None:
    """By hand: who signs off leaves no customer waiting for an answer, and their work is theirs again if it is still there."""
    await desk.comes("ana")
    await desk.opens("881", channel="email")
    await desk.replies("881")
    await desk.replies("881", Author.CUSTOMER)
    await desk.comes("ana", "offline")
    assert "ana" == await desk.owner("881")

    await desk.advance(seconds=61)
    assert (None, "offline") == (await desk.owner("881"), await desk.waits_because("881"))
    await desk.comes("ana", "online")
    assert "ana" == await desk.owner("881")
    await desk.replies("881")
    await desk.becomes("881", Status.PENDING_CUSTOMER)
    await desk.comes("ana", "offline")
    await desk.advance(hours=20)

    assert "ana" == await desk.owner("881")
