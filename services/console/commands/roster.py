"""`deskclock roster`: who there is, checked and put in force."""

from pathlib import Path

import click

from services.console.failures import Failure
from services.console.output import asynchronous, json_option, read_settings, tenant_option, write_json
from services.console.policies import author, read_text, shown_faults, tell_in_force, tell_warnings
from services.console.session import database
from services.router.versions import policies
from shared.policy import roster_layout
from shared.postgres import time as database_time


@click.group()
def roster() -> None:
    """Who works tickets and who can be paged: a YAML file, kept in versions."""


@roster.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@tenant_option
@json_option
@asynchronous
async def apply(file: Path, tenant: str, as_json: bool) -> None:
    """Put a file in force; the same file again changes nothing. Apply it before a policy that pages its people."""
    text = read_text(file)
    async with database(read_settings()) as connection:
        before = await policies.show_roster(connection, tenant)
        with shown_faults(file):
            version = await policies.apply_roster(
                connection, tenant, text, author(), await database_time.now(connection)
            )
            tell_warnings(file, await policies.roster_warnings(connection, tenant, text))
    is_unchanged = before is not None and before.version == version
    tell_in_force("roster", tenant, version, is_unchanged=is_unchanged, as_json=as_json)


@roster.command()
def schema() -> None:
    """Print the JSON Schema of the file, for editors and other programs."""
    write_json(roster_layout.roster_schema())


@roster.command()
@tenant_option
@json_option
@asynchronous
async def show(tenant: str, as_json: bool) -> None:
    """Print the roster in force, as its file was given."""
    async with database(read_settings()) as connection:
        stored = await policies.show_roster(connection, tenant)
    if stored is None:
        raise Failure(f"tenant {tenant} has no roster yet: deskclock roster apply FILE")
    if as_json:
        write_json({"tenant": tenant, "version": stored.version, "source": stored.source})
    else:
        click.echo(stored.source, nl=not stored.source.endswith("\n"))
