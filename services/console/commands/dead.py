"""`deskclock dead`: messages that could not be used."""

import click

from services.console import dead_letters
from services.console.output import (
    asynchronous,
    console,
    json_option,
    moment,
    read_settings,
    table,
    tenant_option,
    write_json,
)
from services.console.session import locate, nats_at

_SHOWN = 60


@click.group()
def dead() -> None:
    """Dead letters: messages that could not be used, each with its reason."""


@dead.command(name="list")
@tenant_option
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, the newest first."
)
@json_option
@asynchronous
async def list_(tenant: str, limit: int, as_json: bool) -> None:
    """What could not be used, and why."""
    async with nats_at(locate(read_settings()).nats_url) as client:
        letters = await dead_letters.newest(client, tenant, limit)
    if as_json:
        write_json(letters)
        return
    lines = table("id", "when", "reason", "detail", "sent to", "beginning", right=("id",))
    for letter in letters:
        lines.add_row(
            str(letter.id), moment(letter.at), letter.reason, letter.detail, letter.subject, letter.payload[:_SHOWN]
        )
    console().print(lines if letters else f"tenant {tenant} has no dead letters", markup=False)


@dead.command()
@click.argument("ids", nargs=-1, type=click.IntRange(min=1), metavar="[ID]...")
@click.option("--all", "every", is_flag=True, help="All of the tenant's.")
@tenant_option
@asynchronous
async def replay(ids: tuple[int, ...], every: bool, tenant: str) -> None:
    """Send dead letters again, by the ids that `list` shows; say so after their cause is mended."""
    if bool(ids) == every:
        raise click.UsageError("name the letters by id, or say --all")
    async with nats_at(locate(read_settings()).nats_url) as client:
        sent = await dead_letters.replay(client, tenant, None if every else list(ids))
    click.echo(f"sent again: {', '.join(map(str, sent))}" if sent else f"tenant {tenant} has no dead letters")
