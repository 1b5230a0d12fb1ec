"""Tickets that nobody can take (routing-rules 3.6): help is asked for, all are asked once more, the fallback gets what no skill fits.

Help is a row that escalation takes when it is due; it is written, and taken back, in the transaction of its reason. Lock
order: tickets by id, queue rows, agents, requests, escalations.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router.domain.consequences import consequence, half_the_slack
from services.router.domain.queue import Reason
from services.router.domain.standing import Touched, owed_clock
from services.router.news import TicketAssigned
from services.router.store import fallback as fallback_store
from services.router.store import queue as queue_store
from services.router.store.pools import Given, Judged
from shared.contract.help import About
from shared.ledger import clocks as clock_rows
from shared.ledger import help as help_rows
from shared.ledger.clocks import Resolved
from shared.ledger.help import ASSIGNED, Cause, Ending, Request
from shared.ledger.policies import PolicyShelf
from shared.postgres.outbox import Batch, Outbox
from shared.postgres.pool import Connection
from shared.sla.calendar import Calendar

FALLBACK = "fallback"
"""Why somebody got a ticket: nobody on the roster can take it, and the policy names them for that."""
AT_ONCE = 200
"""Tickets that the fallback gets in one transaction at most."""


async def see_to(
    connection: Connection, shelf: PolicyShelf, tenant: str, judged: Iterable[Judged], now: datetime
) -> bool:
    """Do what follows from why tickets wait since now, in the transaction that stores it.

    True where all had declined one for the first time, and are asked once more: match again. A helpdesk whose roster has
    nobody who works tickets gives them to its people itself: then nobody is woken because nobody here can take them.
    """
    requests, waits, again = [], [], []
    judged = list(judged)
    if any(one.reason is Reason.NO_SKILL for one in judged) and not await fallback_store.has_people(connection, tenant):
        return False
    absent = [one.ticket_id for one in judged if one.reason is Reason.OFFLINE]
    calendars = await _calendars(connection, shelf, tenant, absent) if absent else {}
    for one in judged:
        found = consequence(
            one.reason,
            now,
            one.latest_start_at,
            was_cleared=one.was_cleared,
            calendar=calendars.get(one.ticket_id),
        )
        if found is not None:
            about = About(why=found.why, channel=one.channel, needs=one.needs, declined=one.declined)
            requests.append(
                Request(
                    tenant=tenant, ticket_id=one.ticket_id, cause=Cause.UNROUTABLE, due_at=found.help_at, about=about
                )
            )
            if found.asks_again:
                again.append(one.ticket_id)
        elif one.is_asked:
            waits.append(one.ticket_id)
    if waits:
        await help_rows.withdraw(connection, waits, now)
    if requests:
        await help_rows.ask(connection, requests, now)
    if again:
        await fallback_store.clear_exclusions(connection, again)
    return bool(again)


async def _calendars(
    connection: Connection, shelf: PolicyShelf, tenant: str, ticket_ids: Sequence[UUID]
) -> dict[UUID, Calendar]:
    """By which calendar the next answer to each ticket is owed, where one is; what can't be read holds up no other."""
    found = {}
    for ticket_id, clocks in (await clock_rows.load(connection, ticket_ids)).items():
        clock = owed_clock(clocks)
        if clock is None:
            continue
        try:
            policy = await shelf.version(connection, tenant, clock.policy_version)
        except LookupError:
            continue
        if (calendar := policy.sla.calendars.get(clock.calendar)) is not None:
            found[ticket_id] = calendar
    return found


async def retime(connection: Connection, touched: Iterable[Touched], now: datetime) -> None:
    """Move what was asked for later because people are not there: tickets that changed have another slack."""
    by_id = {item.standing.ticket.id: item.standing for item in touched}
    ahead = await fallback_store.list_help_ahead(connection, list(by_id), now)
    if not ahead:
        return
    moved = {}
    for one in ahead:
        standing = by_id[one.ticket_id]
        clock = owed_clock(standing.clocks)
        calendar = None if clock is None else standing.policy.sla.calendars.get(clock.calendar)
        moved[one.ticket_id] = max(now, half_the_slack(one.since, one.latest_start_at, calendar))
    await fallback_store.move_help(connection, moved, now)


async def given(connection: Connection, owned: Iterable[Given], now: datetime) -> list[tuple[Given, Resolved]]:
    """Nobody need be told any more of tickets that a matching run gave away; returns whose escalation ended by that."""
    asked = {one.choice.ticket.ticket_id: one for one in owned if one.is_asked}
    if not asked:
        return []
    ended = await help_rows.end(connection, [Ending(ticket_id=key, resolution=ASSIGNED) for key in asked], now)
    return [(asked[one.ticket_id], one) for one in ended]


class HandedOver(Struct, frozen=True, kw_only=True):
    """What the fallback got."""

    tickets: tuple[UUID, ...] = ()
    batch: Batch | None = None
    """Its events, in the outbox: to be published after the commit."""


async def hand_over(connection: Connection, tenant: str, pool: str, person: str, now: datetime) -> HandedOver:
    """Give tickets that nobody on the roster can take to the fallback, up to `AT_ONCE`, whatever their load.

    Those that they gave back stay in the queue, and so does everything while they are off the roster. The caller owns the
    transaction. Nobody who was told hears that it is over: the fallback has it because nobody else can.
    """
    lost = await fallback_store.claim_unskilled(connection, tenant, pool, person, AT_ONCE)
    if not lost or not await fallback_store.lock_person(connection, tenant, person):
        return HandedOver()
    await queue_store.dequeue(connection, [one.ticket_id for one in lost])
    await fallback_store.assign(connection, tenant, pool, person, lost, now)
    outbox = Outbox(now)
    for one in lost:
        news = TicketAssigned(
            source=one.source,
            ticket=one.external_id,
            owner=person,
            channel=one.channel,
            skills=one.needs,
            prefers=one.prefers,
            reasons=(FALLBACK,),
            pool=pool,
        )
        outbox.add(tenant, "ticket.assigned", one.external_id, news)
    return HandedOver(tickets=tuple(one.ticket_id for one in lost), batch=await outbox.save(connection))
