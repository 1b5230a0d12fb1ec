"""`deskclock top`: the live board of one tenant, in the terminal."""

from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.live import Live

from services.console import store
from services.console.output import asynchronous, console, json_option, read_settings, tenant_option, write_json
from services.console.session import database
from services.console.views import board
from shared import timesource
from shared.postgres.pool import Connection


@click.command()
@tenant_option
@click.option("--zone", metavar="ZONE", help="Show times in this zone, as in Europe/Berlin. Default: UTC.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@click.option("--once", is_flag=True, help="Show it once and end.")
@json_option
@asynchronous
async def top(tenant: str, zone: str | None, every: float, once: bool, as_json: bool) -> None:
    """Watch tickets, promises, owners and pages live; Ctrl-C ends it."""
    place = _zone(zone)
    async with database(read_settings()) as connection:
        screen = console()
        if as_json or once:
            snapshot = await store.load_snapshot(connection, tenant)
            if as_json:
                write_json(snapshot)
            else:
                screen.print(
                    board.draw(
                        snapshot, title=f"Deskclock · {tenant}", zone=place, height=screen.height, width=screen.width
                    )
                )
        elif screen.is_terminal:
            await _watch(connection, screen, tenant, place, every)
        else:
            while True:
                click.echo(board.line(await store.load_snapshot(connection, tenant), place))
                await timesource.pause(every)


async def _watch(connection: Connection, screen: Console, tenant: str, zone: ZoneInfo | None, every: float) -> None:
    with Live(console=screen, screen=True, auto_refresh=False) as live:
        while True:
            snapshot = await store.load_snapshot(connection, tenant)
            title = f"Deskclock · {tenant}"
            live.update(
                board.draw(snapshot, title=title, zone=zone, height=screen.height, width=screen.width), refresh=True
            )
            await timesource.pause(every)


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError):
        raise click.UsageError(f"--zone {name!r} is not a time zone, as in Europe/Berlin") from None
