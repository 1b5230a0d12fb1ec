"""`deskclock up`: the whole stack in the foreground, for as long as one likes."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from services.console import session, stack
from services.console.failures import Refused
from services.console.output import console, errors, interrupt, program, read_settings
from services.console.session import Stack
from services.console.settings import Settings
from services.console.views.palette import ACCENT, FAINT
from shared.runtime.servers import shown

_STYLES = {"router": "cyan", "escalation": "magenta"}


@click.command()
@click.option("--quiet", is_flag=True, help="Keep the services' logs out of the terminal; the files have them.")
def up(quiet: bool) -> None:
    """Start the whole stack and keep it running until Ctrl-C.

    PostgreSQL and NATS are started here too, with their data in .deskclock/, unless DESKCLOCK_DATABASE_URL and
    DESKCLOCK_NATS_URL name servers of your own. A part that ends by itself ends everything, with exit code 1.
    """
    settings = read_settings()
    found = session.running(settings)
    if found is not None:
        raise Refused(
            f"`deskclock up` runs here already (process {found.pid}, {found.router_url}): end it first, or set DESKCLOCK_HOME"
        )
    stack.check_port(settings.http_host, settings.router_port, "DESKCLOCK_ROUTER_PORT")
    stack.check_port(settings.http_host, settings.escalation_port, "DESKCLOCK_ESCALATION_PORT")
    signal.signal(signal.SIGTERM, interrupt)
    progress = errors()
    with (
        progress.status("starting PostgreSQL and NATS") as status,
        stack.servers(settings, keep_in=settings.home_path / "data", durable=True) as (database_url, nats_url),
    ):
        ports = (settings.router_port, settings.escalation_port)
        where = stack.addresses(settings, database_url, nats_url, ports=ports)
        status.update("starting the services")
        asyncio.run(_serve(settings, where, progress, quiet=quiet, started=status.stop))


async def _serve(settings: Settings, where: Stack, log: Console, *, quiet: bool, started: Callable[[], None]) -> None:
    def show(name: str, line: str) -> None:
        if not quiet:
            log.print(Text.assemble((f"{name:>10} ", _STYLES.get(name, "default")), line), soft_wrap=True)

    logs = session.folder(settings, "logs")
    left: Path | None = None
    try:
        async with stack.services(settings, where, logs, show, _open(settings)) as pool:
            key, is_new = await stack.own_key(pool, settings.home_path / "api-key")
            left = session.leave(settings, where)
            started()
            _tell(console(), settings, where, key, is_new=is_new)
            await asyncio.Event().wait()
    finally:
        if left is not None:
            left.unlink(missing_ok=True)


def _open(settings: Settings) -> dict[str, str]:
    """On one's own machine the reference and the metrics need no key, unless somebody says so."""
    if settings.is_production:
        return {}
    names = ("DESKCLOCK_DOCS_OPEN", "DESKCLOCK_METRICS_OPEN")
    return {name: os.environ.get(name) or "true" for name in names}


def _tell(screen: Console, settings: Settings, where: Stack, key: str, *, is_new: bool) -> None:
    home = settings.home
    lines = [
        ("tickets", f"{where.router_url}/v1/tickets"),
        ("reference", f"{where.router_url}/docs"),
        ("pages", f"{where.escalation_url}/v1/escalations"),
        ("metrics", f"{where.router_url}/metrics  {where.escalation_url}/metrics"),
        ("PostgreSQL", where.database_url if not settings.database_url else shown(where.database_url)),
        ("NATS", where.nats_url if not settings.nats_url else shown(where.nats_url)),
        ("API key", f"{key}  ({'new, ' if is_new else ''}kept in {home}/api-key)"),
        ("logs", f"{home}/logs"),
    ]
    screen.print(Text("Deskclock runs.", style=f"bold {ACCENT}"))
    for name, text in lines:
        screen.print(Text.assemble((f"{name:>11}  ", FAINT), text), soft_wrap=True)
    screen.print(Text("\nSend a first ticket:", style="bold"))
    screen.print(Text(_curl(where, key)), soft_wrap=True)
    screen.print(Text("\nThen, in another terminal in this folder:", style="bold"))
    screen.print(
        Text(f"  {program()} top\n  {program()} ticket explain 1\n"),
        soft_wrap=True,
    )
    screen.print(Text("Ctrl-C ends it all.\n", style=FAINT))


def _curl(where: Stack, key: str) -> str:
    return (
        f"curl -s {where.router_url}/v1/tickets -H 'Content-Type: application/json' \\\n"
        f"  -H 'Authorization: Bearer {key}' \\\n"
        """  -d '{"source": "helpdesk", "external_id": "1", "channel": "email", "subject": "It is down", "text": "Nobody can log in"}'"""
    )
