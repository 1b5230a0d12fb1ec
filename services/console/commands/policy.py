"""`deskclock policy`: what is promised, checked, compared, put in force and shown."""

from pathlib import Path

import click

from services.console.failures import Failure
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
from services.console.policies import author, read_policy, read_text, shown_faults, tell_in_force
from services.console.session import database
from services.router import policies
from services.router.store.policies import Version
from shared.policy import builtin, layout
from shared.postgres import time as database_time

file_argument = click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")


@click.group()
def policy() -> None:
    """What is promised, to whom, and who is woken: a YAML file, kept in versions."""


@policy.command()
@file_argument
@json_option
def check(file: Path, as_json: bool) -> None:
    """Read a policy file and name all its faults, each with its line and a remedy. Needs no server.

    Whether everybody it pages is on the roster, only `plan` and `apply` can tell.
    """
    read = read_policy(file)
    found = {
        "targets": len(read.sla.targets),
        "calendars": len(read.sla.calendars),
        "urgency": len(read.urgency),
        "themes": len(read.themes),
        "escalations": len(read.escalations),
        "on_call": len(read.on_call),
    }
    if as_json:
        write_json({"file": str(file), "faults": 0, **found})
    else:
        click.echo(
            f"{file} is good: " + ", ".join(f"{count} {name.replace('_', '-')}" for name, count in found.items())
        )


@policy.command()
@file_argument
@tenant_option
@json_option
@asynchronous
async def plan(file: Path, tenant: str, as_json: bool) -> None:
    """Say what applying a file would change, and change nothing."""
    text = read_text(file)
    async with database(read_settings()) as connection:
        with shown_faults(file):
            made = await policies.plan_policy(connection, tenant, text, await database_time.now(connection))
    if as_json:
        write_json(made)
        return
    if not made.changes:
        click.echo(f"nothing changes: version {made.current} says the same")
        return
    click.echo(f"version {made.current} -> {made.next}, for tickets that are opened from then on:")
    for change in made.changes:
        click.echo(f"  {change}")


@policy.command()
@file_argument
@tenant_option
@json_option
@asynchronous
async def apply(file: Path, tenant: str, as_json: bool) -> None:
    """Put a file in force for new tickets, as a new version; the same file again changes nothing."""
    text = read_text(file)
    async with database(read_settings()) as connection:
        before = await policies.show_policy(connection, tenant)
        with shown_faults(file):
            version = await policies.apply_policy(
                connection, tenant, text, author(), await database_time.now(connection)
            )
    is_unchanged = before is not None and before.version == version
    tell_in_force("policy", tenant, version, is_unchanged=is_unchanged, as_json=as_json)


@policy.command()
@tenant_option
@click.option(
    "--version",
    type=click.IntRange(min=0),
    metavar="N",
    help="This version; 0 is the built-in policy. Default: the one in force.",
)
@click.option("--history", is_flag=True, help="List the versions instead.")
@json_option
@asynchronous
async def show(tenant: str, version: int | None, history: bool, as_json: bool) -> None:
    """Print the policy in force, as its file was given."""
    async with database(read_settings()) as connection:
        if history:
            _tell_history(await policies.policy_versions(connection, tenant), tenant, as_json=as_json)
            return
        stored = None if version == builtin.VERSION else await policies.show_policy(connection, tenant, version)
    if stored is None and version not in {None, builtin.VERSION}:
        raise Failure(f"tenant {tenant} has no policy version {version}: `deskclock policy show --history` lists them")
    source = builtin.source() if stored is None else stored.source
    if as_json:
        number = builtin.VERSION if stored is None else stored.version
        write_json({"tenant": tenant, "version": number, "source": source})
        return
    click.echo(source, nl=not source.endswith("\n"))
    if stored is None:
        click.echo("(the built-in policy: apply a file of your own with `deskclock policy apply FILE`)", err=True)


@policy.command()
def schema() -> None:
    """Print the JSON Schema of the file, for editors and other programs."""
    write_json(layout.policy_schema())


def _tell_history(versions: list[Version], tenant: str, *, as_json: bool) -> None:
    if as_json:
        write_json(versions)
        return
    lines = table("version", "applied", "by", "bytes", right=("version", "bytes"))
    for line in versions:
        lines.add_row(str(line.version), moment(line.applied_at), line.applied_by, f"{line.size:,}")
    console().print(lines if versions else f"tenant {tenant} has applied none: the built-in policy is in force")
