"""Somebody asks for help with a ticket: the same request that the router makes where nobody takes one, due at once.

Escalation takes it within a second. Where people are being told already nothing is asked anew, so that asking twice wakes
nobody twice; once somebody has acknowledged, asking again goes on at the next step (escalation-rules R8).
"""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router.store import escalating as escalating_store
from services.router.store.escalating import HeldTicket, LiveHelp
from shared.contract.help import About, Why
from shared.contract.tickets import Channel
from shared.ledger import help as help_rows
from shared.ledger.help import Cause, Request
from shared.ledger.policies import PolicyShelf
from shared.policy import calling
from shared.policy.document import Ladder
from shared.postgres import time as database_time
from shared.postgres.pool import Connection


class Seen(Struct, frozen=True, kw_only=True):
    """Where the escalation stood when whoever asks looked at it, as `GET /v1/escalations` said."""

    generation: int
    step: int


class NextStep(Struct, frozen=True, kw_only=True):
    """Whom a step pages, and when, unless somebody acknowledges before."""

    at: datetime
    page: tuple[str, ...]
    """Recipients, as the policy writes them: `on-call/<rotation>`, `person/<key>`, `owner`, `lead`, `channel/<name>`."""


class Called(Struct, frozen=True, kw_only=True):
    """What happens now."""

    ticket: UUID
    is_new: bool
    """False: people are being told already, and nothing was changed."""
    escalation: UUID | None
    """The one that is live; null where a new one is about to be opened."""
    ladder: str
    """Name of the policy's escalation that is followed."""
    next: tuple[NextStep, ...]


class NotNow(Struct, frozen=True):
    """Why nobody is called, and the way out."""

    detail: str


async def escalate(
    connection: Connection,
    shelf: PolicyShelf,
    tenant: str,
    ticket_id: UUID,
    *,
    by: str | None = None,
    said: str = "",
    seen: Seen | None = None,
) -> Called | NotNow | None:
    """Ask for help with a ticket, in a transaction of its own; None where the tenant has no such ticket.

    `by` and what they `said` stand in the page. Where `seen` is not where the escalation stands, nothing is done.
    """
    async with connection.transaction():
        ticket = await escalating_store.hold(connection, tenant, ticket_id)
        if ticket is None:
            return None
        live = await escalating_store.look(connection, ticket_id)
        if (refusal := _refusal(ticket, live, seen)) is not None:
            return refusal
        now = await database_time.now(connection)
        ladder = await _ladder(connection, shelf, tenant, ticket, live)
        if live is not None and live.state == "open":
            return Called(
                ticket=ticket_id, is_new=False, escalation=live.id, ladder=live.ladder, next=_next(ladder, live)
            )
        if ladder is None:
            return NotNow("the policy has no escalation to call anybody by: write one under `escalations`")
        about = About(why=Why.MANUAL, channel=ticket.channel or Channel.OTHER, by=by, said=said.strip() or None)
        asked = Request(tenant=tenant, ticket_id=ticket_id, cause=Cause.MANUAL, due_at=now, about=about)
        await help_rows.ask(connection, [asked], now)
    return Called(
        ticket=ticket_id,
        is_new=True,
        escalation=live.id if live else None,
        ladder=ladder.name,
        next=_walk(ladder, live, now),
    )


def _refusal(ticket: HeldTicket, live: LiveHelp | None, seen: Seen | None) -> NotNow | None:
    if ticket.opened_at is None:
        return NotNow("the ticket's opening has not arrived yet: send `ticket.opened` first")
    if ticket.status.is_over:
        return NotNow(f"the ticket is {ticket.status}: nobody need see to it; reopen it first")
    if seen is not None and (live is None or (live.generation, live.step) != (seen.generation, seen.step)):
        stands = f"generation {live.generation}, step {live.step}" if live else "there is no live one"
        return NotNow(
            f"the escalation is not at generation {seen.generation}, step {seen.step} any more ({stands}): look at it again"
        )
    return None


async def _ladder(
    connection: Connection, shelf: PolicyShelf, tenant: str, ticket: HeldTicket, live: LiveHelp | None
) -> Ladder | None:
    """The ladder that is followed already; else that of the ticket's own version of the policy, or of the one in force."""
    if live is not None:
        return (await shelf.version(connection, tenant, live.policy_version)).escalations.get(live.ladder)
    own = await shelf.version(connection, tenant, ticket.policy_version)
    found = calling.ladder_for(own, ticket.matched)
    return found or calling.ladder_for(await shelf.current(connection, tenant), ticket.matched)


def _next(ladder: Ladder | None, live: LiveHelp) -> tuple[NextStep, ...]:
    if live.next_step_at is None:
        return ()
    is_known = ladder is not None and live.step < len(ladder.steps) and live.loop < max(ladder.repeat, 1)
    page = ladder.steps[live.step].page if is_known and ladder else ladder.otherwise if ladder else ()
    return (NextStep(at=live.next_step_at, page=page),)


def _walk(ladder: Ladder, live: LiveHelp | None, now: datetime) -> tuple[NextStep, ...]:
    """The steps to come: all, or those after the one that was acknowledged."""
    begin = 0
    if live is not None and live.state == "acknowledged" and live.loop < max(ladder.repeat, 1):
        begin = live.step
    return tuple(NextStep(at=call.at, page=call.page) for call in calling.walk(ladder, now, begin))
