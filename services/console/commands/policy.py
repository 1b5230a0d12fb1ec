"""`deskclock policy`: what is promised, checked, compared, put in force and shown."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import click

from services.console import forecasting, rehearsing, rolling
from services.console.commands.rehearse import rehearse
from services.console.commands.shadow import shadow
from services.console.failures import Failure
from services.console.instants import INSTANT
from services.console.output import (
    asynchronous,
    console,
    json_option,
    moment,
    read_settings,
    roster_option,
    table,
    tenant_option,
    write_json,
)
from services.console.policies import (
    author,
    check_policy,
    reach_of,
    read_policy_text,
    read_roster,
    require_reachable,
    shown_faults,
    tell_in_force,
    tell_warnings,
)
from services.console.session import database, locate, pool_at
from services.router.domain.reach import Reach, To
from services.router.store.policies import PolicyVersion
from services.router.store.rollouts import Rollout, view
from services.router.versions import planning, policies
from shared import timesource
from shared.policy import builtin, ladder_linting, layout
from shared.policy.zones import tzdata_version
from shared.postgres import time as database_time
from shared.postgres.pool import Pool

_RECENT = 20


file_argument = click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
to_option = click.option(
    "--to",
    type=click.Choice([to.value for to in To]),
    callback=lambda _context, _option, value: None if value is None else To(value),
    help="`open`: all tickets that are open now, too. Default: new ones.",
)
from_option = click.option(
    "--from",
    "start",
    type=INSTANT,
    metavar="INSTANT",
    help="In the past: open tickets opened since then, too, as though it had always held. In the future: tickets that arrive from then on.",
)


@click.group()
def policy() -> None:
    """What is promised, to whom, and who is woken: a YAML file, kept in versions."""


policy.add_command(rehearse)
policy.add_command(shadow)


@policy.command()
@file_argument
@roster_option
@json_option
def check(file: Path, roster_file: Path | None, as_json: bool) -> None:
    """Read a policy file and name all its faults, each with its line and a remedy. Needs no server.

    Warnings are no faults: they name what is legal but seldom meant, as hours that overlap, or a step that pages nobody but
    those of the step before. With --roster, everybody that it pages must be on that roster and have a contact, and steps that
    nobody can receive are warned of; of the roster in force, `plan` and `apply` tell.
    """
    now = datetime.fromtimestamp(timesource.unix_time(), UTC)
    checked = check_policy(file, now.date(), as_json=as_json)
    read = checked.policy
    roster = None if roster_file is None else read_roster(roster_file)
    if roster is not None:
        with shown_faults(file, as_json=as_json):
            require_reachable(checked, roster)
    doubts = [*rehearsing.gap_doubts(rehearsing.scene_of(read, roster), now)]
    if roster is not None:
        doubts += ladder_linting.lint_people(read, roster)
    warnings = (*checked.warnings, *(checked.located.error(*doubt) for doubt in doubts))
    found = {
        "targets": len(read.sla.targets),
        "calendars": len(read.sla.calendars),
        "urgency": len(read.urgency),
        "themes": len(read.themes),
        "escalations": len(read.escalations),
        "on_call": len(read.on_call),
    }
    if as_json:
        about = {"warnings": warnings, "tzdata": tzdata_version()}
        write_json({"file": str(file), "faults": 0, **found, **about})
    else:
        tell_warnings(file, warnings)
        click.echo(
            f"{file} is good: "
            + ", ".join(
                f"{count} {(name.removesuffix('s') if count == 1 else name).replace('_', '-')}"
                for name, count in found.items()
            )
        )


@policy.command()
@file_argument
@to_option
@from_option
@tenant_option
@json_option
@asynchronous
async def plan(file: Path, to: To | None, start: datetime | None, tenant: str, as_json: bool) -> None:
    """Say what applying a file would do, and do nothing.

    Without --to and --from that is what it says otherwise than the version in force. With them, the open tickets it would
    be for are judged by it on trial: how many clocks move, start, end or are late at once, by channel and team.
    """
    text = read_policy_text(file)
    async with database(read_settings()) as connection:
        now = await database_time.now(connection)
        reach = reach_of(to, start, now)
        with shown_faults(file):
            run = await planning.prepare(connection, tenant, text, now, reach)
        forecast = await forecasting.look(run, connection, is_quiet=as_json)
    if as_json:
        write_json(forecast)
        return
    tell_warnings(file, forecast.warnings)
    if not forecast.changes:
        subject = "the file changes nothing" if reach.has_rollout else "nothing changes"
        click.echo(f"{subject}: version {forecast.current} says the same")
    else:
        click.echo(f"version {forecast.current} -> {forecast.next}, {_for_whom(reach)}:")
        for change in forecast.changes:
            click.echo(f"  {change}")
    if reach.has_rollout:
        forecasting.tell(forecast)


@policy.command()
@file_argument
@to_option
@from_option
@click.option("--detach", is_flag=True, help="Leave open tickets to the routers that run, and don't wait.")
@tenant_option
@json_option
@asynchronous
async def apply(file: Path, to: To | None, start: datetime | None, detach: bool, tenant: str, as_json: bool) -> None:
    """Put a file in force as a new version: for new tickets, or with --to or --from for open ones too.

    The same file again changes nothing; with --to open, all open tickets are judged by it again.
    """
    text = read_policy_text(file)
    async with pool_at(locate(read_settings()).database_url, size=2) as connections:
        async with connections.acquire() as connection:
            now = await database_time.now(connection)
            reach = reach_of(to, start, now)
            with shown_faults(file):
                applied = await policies.put_in_force(connection, tenant, text, author(), now, reach)
        if not as_json:
            tell_warnings(file, applied.warnings)
            ahead = applied.holds_from if applied.holds_from is not None and applied.holds_from > now else None
            is_known = not applied.is_new
            tell_in_force("policy", tenant, applied.version, is_unchanged=is_known, as_json=False, ahead=ahead)
        rollout = applied.rollout
        if rollout is not None and not detach:
            rollout = await _worked_on(connections, rollout, is_quiet=as_json)
    if as_json:
        told = None if rollout is None else view(rollout)
        write_json(
            {
                "tenant": tenant,
                "version": applied.version,
                "unchanged": not applied.is_new,
                "holds_from": applied.holds_from,
                "rollout": told,
                "warnings": applied.warnings,
            }
        )
    elif rollout is not None and detach:
        click.echo(f"open tickets follow; `deskclock policy rollout --show --tenant {tenant}` tells how far it is")


@policy.command()
@click.option("--show", "only_show", is_flag=True, help="Only say how far it is.")
@tenant_option
@json_option
@asynchronous
async def rollout(only_show: bool, tenant: str, as_json: bool) -> None:
    """Go on bringing versions to open tickets, where that isn't done, and show how it went.

    Running routers do the same; both together are no faster than one.
    """
    async with pool_at(locate(read_settings()).database_url, size=2) as connections:
        async with connections.acquire() as connection:
            found = await policies.rollouts(connection, tenant, limit=_RECENT)
        if not only_show:
            for each in reversed(found):
                if each.is_running:
                    await _worked_on(connections, each, is_quiet=as_json)
        async with connections.acquire() as connection:
            found = await policies.rollouts(connection, tenant, limit=_RECENT)
    if as_json:
        write_json([view(each) for each in found])
    else:
        rolling.tell(found, tenant)


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


async def _worked_on(connections: Pool, begun: Rollout, *, is_quiet: bool) -> Rollout:
    try:
        ended = await rolling.work(connections, begun, is_quiet=is_quiet)
    except asyncio.CancelledError:
        click.echo(rolling.how_to_go_on(begun.tenant), err=True)
        raise
    if not is_quiet:
        click.echo(rolling.told(ended))
    return ended


def _for_whom(reach: Reach) -> str:
    if reach.is_for_open:
        return "for open tickets too"
    if reach.opened_from is not None:
        return f"for open tickets opened from {moment(reach.opened_from)} on too"
    if reach.holds_from is not None:
        return f"for tickets that arrive from {moment(reach.holds_from)} on"
    return "for tickets that are opened from then on"


def _tell_history(versions: list[PolicyVersion], tenant: str, *, as_json: bool) -> None:
    if as_json:
        write_json(versions)
        return
    lines = table("version", "applied", "by", "holds from", "bytes", right=("version", "bytes"))
    for line in versions:
        lines.add_row(
            str(line.version), moment(line.applied_at), line.applied_by, moment(line.holds_from), f"{line.size:,}"
        )
    console().print(lines if versions else f"tenant {tenant} has applied none: the built-in policy is in force")
