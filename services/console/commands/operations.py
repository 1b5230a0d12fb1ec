"""`deskclock migrate`, `health` and `settings`: what an operator needs first."""

import asyncio
import importlib
import os
from itertools import chain

import click
import httpx
from msgspec import Struct

from services.console.failures import NoServer, Refused
from services.console.output import asynchronous, console, errors, json_option, read_settings, table, write_json
from services.console.session import database, locate
from services.console.settings import Settings
from shared.postgres import migrate as migrations
from shared.runtime import settings as settings_reader

_HEALTH_SECONDS = 5.0


@click.command()
@json_option
@asynchronous
async def migrate(as_json: bool) -> None:
    """Bring the database to this program's schema; safe to run at any time, by several at once."""
    async with database(read_settings()) as connection:
        with errors().status("migrating"):
            applied = await migrations.migrate(connection)
    names = [f"{migration.version}_{migration.name}" for migration in applied]
    if as_json:
        write_json({"applied": names})
    elif names:
        click.echo("applied " + ", ".join(names))
    else:
        click.echo("the schema is up to date")


class Health(Struct, frozen=True, kw_only=True):
    """What one service says of itself."""

    url: str
    ready: bool
    detail: str


@click.command()
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    help="Ask this service only, as in http://127.0.0.1:8080; repeat for several.",
)
@json_option
@asynchronous
async def health(urls: tuple[str, ...], as_json: bool) -> None:
    """Ask the services whether they can serve: exit code 0 if all can, else 3."""
    stack = locate(read_settings())
    async with httpx.AsyncClient(timeout=_HEALTH_SECONDS, trust_env=False) as client:
        answers = await asyncio.gather(*(ask(client, url) for url in urls or (stack.router_url, stack.escalation_url)))
    if as_json:
        write_json(answers)
    else:
        for answer in answers:
            click.echo(
                f"{answer.url}  {'ready' if answer.ready else 'NOT READY'}{answer.detail and '  ' + answer.detail}"
            )
    missing = [answer for answer in answers if not answer.ready]
    if missing:
        names = ", ".join(answer.url for answer in missing)
        raise NoServer(f"not ready: {names}; `deskclock up` starts the whole stack")


async def ask(client: httpx.AsyncClient, url: str) -> Health:
    """What `/health/ready` of one service says; an answer that doesn't come is one too."""
    try:
        answer = await client.get(f"{url.rstrip('/')}/health/ready")
    except httpx.InvalidURL as error:
        raise Refused(f"{url!r} is not a URL ({error}): write it as http://127.0.0.1:8080") from None
    except httpx.UnsupportedProtocol:
        raise Refused(f"{url!r} is not a URL: write it as http://127.0.0.1:8080") from None
    except httpx.TransportError as error:
        return Health(url=url, ready=False, detail=f"does not answer: {str(error) or type(error).__name__}")
    return Health(
        url=url, ready=answer.is_success, detail="" if answer.is_success else " ".join(answer.text.split())[:300]
    )


@click.command()
@json_option
def settings(as_json: bool) -> None:
    """All settings with their values and meaning, secrets masked."""
    environ = {"DESKCLOCK_DATABASE_URL": "unset", **{name: value for name, value in os.environ.items() if value}}
    read = [settings_reader.load(struct, environ) for struct in _all_settings()]
    read[0] = read_settings()
    described = {
        line.variable: line for line in chain.from_iterable(settings_reader.describe(one) for one in reversed(read))
    }
    lines = sorted(described.values(), key=lambda line: line.variable)
    if as_json:
        write_json(lines)
        return
    listing = table("setting", "value", "meaning")
    for line in lines:
        default = "" if line.value == line.default else f" Default: {line.default}." if line.default else ""
        listing.add_row(line.variable, line.value or "-", line.doc + default)
    console().print(listing)


def _all_settings() -> list[type[Struct]]:
    """The settings of every process, and of what `up` starts."""
    return [
        Settings,
        importlib.import_module("services.console.binaries").Wanted,
        importlib.import_module("services.router.settings").Settings,
        importlib.import_module("services.escalation.settings").Settings,
    ]
