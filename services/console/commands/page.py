"""`deskclock page`: try whether somebody can be reached, and see to pages that were given up."""

from uuid import UUID

import click
from rich.live import Live

from services.console import canaries
from services.console.canaries import Until
from services.console.failures import Failure, Refused
from services.console.output import (
    asynchronous,
    console,
    errors,
    json_option,
    moment,
    read_settings,
    table,
    tenant_option,
    write_json,
)
from services.console.session import database, locate
from services.console.views import canaries as view
from services.escalation.delivery import trying
from services.escalation.store import trying as trying_store

_EVERY_SECONDS = 0.25


@click.group()
def page() -> None:
    """Pages: try whether they arrive, and see to those that were given up."""


@page.command()
@click.argument("recipient", metavar="RECIPIENT")
@click.option("--first", is_flag=True, help="By their first contact alone, instead of each.")
@click.option(
    "--until",
    type=click.Choice([str(until) for until in Until]),
    default=str(Until.ACCEPTED),
    show_default=True,
    help="What has to become of every page. Not every provider says that it has delivered.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, 86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="For how long.",
)
@tenant_option
@json_option
@asynchronous
async def test(recipient: str, first: bool, until: str, timeout: float, tenant: str, as_json: bool) -> None:
    """Send a test page to whoever RECIPIENT is now, and show each stage of its delivery.

    RECIPIENT is as in the policy: person/ana, on-call/support, channel/console; or a person's key.

    It goes by every contact, says that nothing is broken, and has a link by which whoever got it confirms it. PagerDuty and
    Jira Service Management open something for it, which you close there.

    Exit code 0 where every page got as far as --until, else 1.
    """
    stack = locate(read_settings())
    async with (
        database(read_settings()) as connection,
        canaries.opened(connection, stack.escalation_url, tenant) as escalation,
    ):
        trial = await escalation.send(recipient, first=first)
        screen = console()
        if as_json or not screen.is_terminal:
            async for stories in escalation.follow(trial, Until(until), timeout, _EVERY_SECONDS):
                trial = stories
        else:
            with Live(view.draw(trial), console=screen, auto_refresh=False) as live:
                async for stories in escalation.follow(trial, Until(until), timeout, _EVERY_SECONDS):
                    trial = stories
                    live.update(view.draw(trial), refresh=True)
    if as_json:
        write_json(trial)
    elif not screen.is_terminal:
        screen.print(view.draw(trial))
    if short := canaries.short_of(trial, Until(until)):
        raise Failure(f"not {until}: {short}")


@page.command()
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, the newest first."
)
@tenant_option
@json_option
@asynchronous
async def dead(limit: int, tenant: str, as_json: bool) -> None:
    """Pages that were given up, and why; `replay` tries them anew."""
    async with database(read_settings()) as connection:
        found = await trying_store.list_dead(connection, tenant, limit)
    if as_json:
        write_json(found)
        return
    lines = table("id", "given up", "kind", "ticket", "to", "by", "tried", "why", "wanted", right=("tried",))
    for one in found:
        lines.add_row(
            str(one.id),
            moment(one.failed_at),
            one.kind,
            one.ticket,
            one.person or one.recipient,
            one.method,
            str(one.attempts),
            one.reason or "-",
            "yes" if one.is_wanted else "no",
        )
    console().print(lines if found else f"tenant {tenant} has no page that was given up")


@page.command()
@click.argument("ids", nargs=-1, required=True, type=click.UUID, metavar="ID...")
@tenant_option
@asynchronous
async def replay(ids: tuple[UUID, ...], tenant: str) -> None:
    """Try pages that were given up anew, by the ids that `dead` shows; say so after their cause is mended.

    Each keeps its id, so a provider that has it already drops it, and is tried for as long as any page.
    """
    failed = 0
    async with database(read_settings()) as connection:
        for page_id in ids:
            try:
                found = await trying.replay(connection, tenant, page_id)
            except trying.Moot as error:
                failed += 1
                errors().print(f"{page_id}: {error}", markup=False)
                continue
            if found is None:
                failed += 1
                errors().print(f"{page_id}: tenant {tenant} has no such page", markup=False)
            else:
                click.echo(f"{page_id}: tried anew, to {found.person or found.recipient} by {found.method}")
    if failed:
        raise Refused(f"{failed} of {len(ids)} can't be tried anew: `deskclock page dead` lists those that can")
