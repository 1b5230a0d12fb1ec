"""`deskclock ticket`: one ticket, as it stands and why."""

import click

from services.console import store
from services.console.domain.ticket import TicketHead
from services.console.failures import Failure
from services.console.output import asynchronous, console, json_option, read_settings, tenant_option, write_json
from services.console.session import database
from services.console.views import ticket as view
from services.router import explaining
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Connection

_source_option = click.option("--source", metavar="NAME", help="The helpdesk, where several use the same id.")


@click.group()
def ticket() -> None:
    """One ticket: how it stands, and why."""


@ticket.command()
@click.argument("ticket_id", metavar="ID")
@_source_option
@tenant_option
@json_option
@asynchronous
async def show(ticket_id: str, source: str | None, tenant: str, as_json: bool) -> None:
    """What the ticket is, who has it, and every promise. ID is the helpdesk's, or ours."""
    async with database(read_settings()) as connection:
        story = await store.load_story(connection, await _find(connection, tenant, ticket_id, source))
    if as_json:
        write_json(
            {
                "now": story.now,
                "ticket": story.head,
                "clocks": story.clocks,
                "events": story.events,
                "assignments": story.assignments,
                "pages": story.pages,
            }
        )
    else:
        console().print(view.show(story))


@ticket.command()
@click.argument("ticket_id", metavar="ID")
@_source_option
@tenant_option
@json_option
@asynchronous
async def explain(ticket_id: str, source: str | None, tenant: str, as_json: bool) -> None:
    """Why it stands so, and what happens next.

    Each promise with its line of the policy and why that one, every interval that counted, was paused or closed, every
    change of the due time with its cause, and who had the ticket meanwhile. ID is the helpdesk's, or ours.

    --json gives what GET /v1/tickets/{id}/explain answers.
    """
    async with database(read_settings()) as connection:
        head = await _find(connection, tenant, ticket_id, source)
        told = await explaining.explain_ticket(connection, PolicyShelf(), tenant, head.id)
        story = await store.load_story(connection, head)
    if told is None:
        raise Failure(f"ticket {ticket_id!r} is gone: somebody removed it meanwhile")
    if as_json:
        write_json(told)
    else:
        console().print(view.explain(story, told))


async def _find(connection: Connection, tenant: str, name: str, source: str | None) -> TicketHead:
    found = await store.find_tickets(connection, tenant, name, source)
    if not found:
        where = f" of {source}" if source else ""
        raise Failure(
            f"tenant {tenant} has no ticket {name!r}{where}: give the helpdesk's id, or ours, and --tenant if it is another's"
        )
    if len(found) > 1:
        sources = ", ".join(head.source for head in found)
        raise Failure(f"several tickets are called {name!r}: say which with --source ({sources})")
    return found[0]
