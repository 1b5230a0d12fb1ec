"""`deskclock policy shadow`: a candidate beside the policy in force, compared on the same tickets; it pages nobody."""

from pathlib import Path

import click

from services.console.failures import Failure
from services.console.output import (
    asynchronous,
    json_option,
    moment,
    read_settings,
    tenant_option,
    write_json,
)
from services.console.policies import author, read_policy_text, shown_faults
from services.console.session import database
from services.console.views import shadow as view
from services.router.versions import shadow as shadows
from shared.postgres import time as database_time


@click.group()
def shadow() -> None:
    """A candidate policy, tried on live tickets beside the one in force; it pages nobody."""


@shadow.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@tenant_option
@json_option
@asynchronous
async def start(file: Path, tenant: str, as_json: bool) -> None:
    """Try a file on tickets that are opened from now on, in place of a candidate that is tried already."""
    text = read_policy_text(file)
    async with database(read_settings()) as connection:
        with shown_faults(file):
            started = await shadows.start(connection, tenant, text, author(), await database_time.now(connection))
    if as_json:
        write_json(started)
        return
    if not started.is_new:
        click.echo(f"unchanged: this file is tried already, on tickets opened from {moment(started.started_at)} on")
        return
    click.echo(f"tried on tickets opened from {moment(started.started_at)} on; it differs from what is in force in:")
    for change in started.changes or ("nothing",):
        click.echo(f"  {change}")
    click.echo("compare with `deskclock policy shadow show`, end with `deskclock policy shadow stop`")


@shadow.command()
@tenant_option
@json_option
@asynchronous
async def show(tenant: str, as_json: bool) -> None:
    """Compare what it and the policy in force made of the same tickets."""
    async with database(read_settings()) as connection:
        found = await shadows.show(connection, tenant)
    if found is None:
        raise _none(tenant)
    if as_json:
        write_json(found)
    else:
        view.tell(found)


@shadow.command()
@tenant_option
@json_option
@asynchronous
async def stop(tenant: str, as_json: bool) -> None:
    """Try it no more, and forget what it made of tickets."""
    async with database(read_settings()) as connection:
        if not await shadows.stop(connection, tenant):
            raise _none(tenant)
    if as_json:
        write_json({"tenant": tenant, "stopped": True})
    else:
        click.echo(f"stopped: only the policy in force judges tickets of tenant {tenant}")


def _none(tenant: str) -> Failure:
    return Failure(f"tenant {tenant} tries no candidate: start one with `deskclock policy shadow start FILE`")
