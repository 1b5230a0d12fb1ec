"""What a helpdesk lives through, told as sentences."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.contract.tickets import Author, Status


async def test_an_email_breaches_first_response_after_four_working_hours(desk: Any) -> None:
    """Warned at three quarters, broken at four hours, at the due instant."""
    await desk.opens("881")
    await desk.advance(hours=3, minutes=1)
    assert 1 == (await desk.clock("881", "first_response"))["warned"]
    await desk.advance(minutes=59, seconds=1)
    clock = await desk.clock("881", "first_response")
    assert "breached" == clock["state"]
    assert datetime(2026, 6, 1, 12, tzinfo=UTC) == clock["breached_at"]
    assert timedelta(seconds=1) > clock["detected_at"] - clock["breached_at"]


async def test_a_reply_in_time_wakes_nobody(desk: Any) -> None:
    """Silence that can be trusted."""
    await desk.is_staffed()
    await desk.opens("881")
    await desk.advance(hours=2)
    await desk.replies("881")
    await desk.advance(hours=1)
    await desk.becomes("881", Status.SOLVED)
    await desk.advance(days=7)
    assert "met" == (await desk.clock("881", "first_response"))["state"]
    assert "met" == (await desk.clock("881", "resolution"))["state"]
    assert [] == await desk.paged()


async def test_the_night_and_the_weekend_do_not_count(desk: Any) -> None:
    """Friday 16:00 plus four office hours is Monday 12:00."""
    await desk.advance(days=4, hours=6)
    await desk.opens("881")
    assert datetime(2026, 6, 8, 10, tzinfo=UTC) == (await desk.clock("881", "first_response"))["due_at"]
    await desk.advance(days=2)
    assert "running" == (await desk.clock("881", "first_response"))["state"]


async def test_an_urgent_ticket_wakes_the_lead_who_acknowledges_and_then_it_is_quiet(desk: Any) -> None:
    """The on-call person is paged at the breach; their acknowledgement stops the ladder."""
    await desk.is_staffed()
    await desk.comes("ana")
    await desk.opens("881", subject="our shop is down")
    await desk.advance(minutes=31)
    assert ("ana", "page") == (await desk.paged())[-1]
    answer = await desk.acknowledges("ana")
    assert "ana" == answer.acknowledged_by
    await desk.advance(hours=1)
    assert 1 == [kind for _, kind in await desk.paged()].count("page")
    assert "acknowledged" == await desk.escalation()


async def test_a_page_nobody_answers_climbs_to_the_top_and_never_falls_silent(desk: Any) -> None:
    """Support, then Chi, twice over, then the head; then it says that it is exhausted."""
    await desk.is_staffed()
    await desk.opens("881", subject="our shop is down")
    await desk.advance(hours=3)
    people = [person for person, kind in await desk.paged() if kind == "page"]
    assert ["ana", "chi", "ana", "chi", "head"] == people
    assert "exhausted" == await desk.escalation()


async def test_a_late_reply_ends_the_escalation_and_keeps_the_breach(desk: Any) -> None:
    """Late is late; but nobody is woken any more."""
    await desk.opens("881", subject="our shop is down")
    await desk.advance(minutes=35)
    await desk.replies("881")
    pages = [page for page in await desk.paged() if page[1] == "page"]
    await desk.advance(hours=1)
    assert pages == [page for page in await desk.paged() if page[1] == "page"]
    clock = await desk.clock("881", "first_response")
    assert ("breached", timedelta(minutes=35)) == (clock["state"], clock["met_at"] - clock["started_at"])
    assert "resolved" == await desk.escalation()


async def test_waiting_for_the_customer_stops_the_resolution_clock(desk: Any) -> None:
    """Two hours of waiting move the deadline by two hours."""
    await desk.opens("881", subject="our shop is down")
    await desk.replies("881")
    due_at = (await desk.clock("881", "resolution"))["due_at"]
    await desk.advance(hours=1)
    await desk.becomes("881", Status.PENDING_CUSTOMER)
    assert (await desk.clock("881", "resolution"))["due_at"] is None
    await desk.advance(hours=2)
    await desk.becomes("881", Status.OPEN)
    assert timedelta(hours=2) == (await desk.clock("881", "resolution"))["due_at"] - due_at


async def test_the_next_response_counts_from_the_oldest_unanswered_message(desk: Any) -> None:
    """Three messages of an impatient customer are one promise."""
    await desk.opens("881")
    await desk.advance(minutes=30)
    await desk.replies("881")
    await desk.advance(minutes=30)
    await desk.replies("881", Author.CUSTOMER)
    await desk.advance(minutes=30)
    await desk.replies("881", Author.CUSTOMER)
    clock = await desk.clock("881", "next_response")
    assert datetime(2026, 6, 1, 11, tzinfo=UTC) == clock["due_at"]
    await desk.advance(minutes=30)
    await desk.replies("881")
    assert "met" == (await desk.clock("881", "next_response"))["state"]


async def test_news_that_arrive_late_take_a_breach_back(desk: Any) -> None:
    """The reply was in time, the event about it was not: the breach is retracted and its page resolved."""
    await desk.opens("881", subject="our shop is down")
    await desk.advance(minutes=20)
    answered_at = await desk.now()
    await desk.advance(minutes=15)
    assert "breached" == (await desk.clock("881", "first_response"))["state"]
    await desk.becomes("881", Status.SOLVED, at=answered_at)
    assert "clock.breach_retracted" in await desk.said()
    assert "resolved" == await desk.escalation()


async def test_a_ticket_waits_with_a_reason_until_somebody_with_the_skill_comes(desk: Any) -> None:
    """Ben can't do billing; Ana can, and gets it when she comes."""
    await desk.comes("ben")
    await desk.opens("881", subject="my invoice")
    assert "offline" == await desk.waits_because("881")
    await desk.comes("ana")
    assert "ana" == await desk.owner("881")


async def test_who_has_no_room_gets_the_next_ticket_when_one_is_solved(desk: Any) -> None:
    """The queue is drained as soon as capacity frees."""
    await desk.comes("ben")
    for ticket in ("1", "2", "3", "4", "5"):
        await desk.opens(ticket)
        await desk.advance(minutes=1)
    waiting = [ticket for ticket in ("1", "2", "3", "4", "5") if await desk.owner(ticket) is None]
    assert waiting
    assert {"full"} == {await desk.waits_because(ticket) for ticket in waiting}
    await desk.becomes("1", Status.SOLVED)
    assert "ben" == await desk.owner(waiting[0])


async def test_a_ticket_merged_away_has_no_promises_left(desk: Any) -> None:
    """Merged and spam cancel; nobody is woken for them."""
    await desk.opens("881", subject="our shop is down")
    await desk.becomes("881", Status.MERGED)
    await desk.advance(days=1)
    assert "cancelled" == (await desk.clock("881", "first_response"))["state"]
    assert [] == await desk.paged()


async def test_after_an_outage_of_three_hours_there_is_one_page_and_no_backlog(desk: Any) -> None:
    """Only the present step is taken when everything is overdue at once."""
    await desk.is_staffed()
    await desk.opens("881", subject="our shop is down")
    async with desk.pool.acquire() as connection:
        await connection.execute("UPDATE time_warp SET virtual_anchor = virtual_anchor + interval '3 hours'")
    await desk.advance(seconds=1)
    clock = await desk.clock("881", "first_response")
    assert timedelta(minutes=30) == clock["breached_at"] - clock["started_at"]
    assert 1 == len([page for page in await desk.paged() if page[1] == "page"])


async def test_the_page_for_a_promise_that_was_not_broken_after_all_is_taken_back(desk: Any) -> None:
    """Four hours pass, Ana is woken; then the helpdesk says that the ticket had waited for the customer for an hour."""
    await desk.comes("ana")
    await desk.opens("881", subject="our shop is down")
    await desk.replies("881")
    opened_at = await desk.now()
    await desk.advance(hours=4, minutes=1)
    assert ("ana", "page") == (await desk.paged())[-1]
    await desk.becomes("881", Status.PENDING_CUSTOMER, at=opened_at + timedelta(hours=2))
    await desk.becomes("881", Status.OPEN, at=opened_at + timedelta(hours=3))
    await desk.advance(minutes=1)
    assert ("ana", "resolve") == (await desk.paged())[-1]
    assert "WITHDRAWN: resolution of ticket 881" in desk.screen.getvalue()
    assert "resolved" == await desk.escalation("resolution")
    assert {"clock.breached", "clock.breach_retracted", "escalation.resolved"} <= set(await desk.said())
    pages = len(await desk.paged())
    await desk.advance(minutes=57)
    assert pages == len(await desk.paged())
    await desk.advance(minutes=3)
    assert ("ana", "page") == (await desk.paged())[-1]
