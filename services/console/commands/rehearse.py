"""`deskclock policy rehearse`: who would be paged, and when, if a promise broke then and nobody answered."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from services.console import rehearsing
from services.console.instants import INSTANT
from services.console.output import asynchronous, console, json_option, roster_option, tenant_option, write_json
from services.console.rehearsing import Scene
from services.console.views import rehearsal as view
from shared import timesource
from shared.policy import hours
from shared.policy.errors import did_you_mean, short
from shared.policy.reading import Unreadable

_WEEKLY = re.compile(r"\s*([A-Za-z]+)\s+([0-9:]+)\s*")
_SUNDAY_NIGHT = "sun 03:10"


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@roster_option
@click.option(
    "--at",
    "when",
    default=_SUNDAY_NIGHT,
    show_default=True,
    metavar="WHEN",
    help="When the promise breaks: a weekday and a time, in the zone of its calendar, or an instant.",
)
@click.option("--escalation", metavar="NAME", help="Only this one. Default: all that lines of `targets` start.")
@click.option("--owner", metavar="KEY", help="Who owns the ticket. Default: nobody.")
@tenant_option
@json_option
@asynchronous
async def rehearse(
    file: Path | None,
    roster_file: Path | None,
    when: str,
    escalation: str | None,
    owner: str | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Say who would be paged, how and when, if a promise broke then and nobody acknowledged.

    With FILE it needs no server: the roster is that of --roster, and without one everybody is taken to be there. Without FILE
    the policy and the roster in force are asked, with the overrides and imported shifts that there are.
    """
    if file is None and roster_file is not None:
        raise click.UsageError("--roster goes with a policy FILE; without one the roster in force is asked")
    scene = await rehearsing.in_force(tenant) if file is None else rehearsing.of_files(file, roster_file)
    if owner is not None and owner not in scene.people:
        remedy = did_you_mean(owner, scene.people, what="people")
        raise click.UsageError(f"there is nobody `{short(owner)}` on the roster; {remedy}")
    names = [escalation] if escalation is not None else rehearsing.started(scene.policy)
    unknown = [name for name in names if name not in scene.policy.escalations]
    if unknown:
        remedy = did_you_mean(unknown[0], scene.policy.escalations, what="escalations")
        raise click.UsageError(f"the policy has no escalation `{short(unknown[0])}`; {remedy}")
    now = datetime.fromtimestamp(timesource.unix_time(), UTC)
    told = [rehearsing.rehearsal(scene, name, owner, lambda zone: _instant(when, zone, now)) for name in names]
    if as_json:
        write_json([view.as_data(one) for one in told])
        return
    if not told:
        click.echo("no line of `targets` starts an escalation, so nobody would be paged")
    _tell_doubts(scene)
    for one in told:
        console().print(view.shown(one))


def _tell_doubts(scene: Scene) -> None:
    if scene.has_no_roster:
        click.echo("no roster is given: everybody the policy names is taken to be there, on the console", err=True)


def _instant(when: str, zone: ZoneInfo, now: datetime) -> datetime:
    """An instant, or the next such weekday and time in a zone; raises click.UsageError."""
    weekly = _WEEKLY.fullmatch(when)
    if weekly is None:
        return INSTANT.convert(when, None, None)
    try:
        day, time = hours.weekday(weekly[1]), hours.clock_time(weekly[2])
    except Unreadable as error:
        raise click.UsageError(f"--at: {error.problem}; {error.remedy}") from None
    here = now.astimezone(zone).date()
    for ahead in range(8):
        date = here + timedelta(days=ahead)
        at = datetime.combine(date, time, zone).astimezone(UTC)
        if date.weekday() == day and at > now:
            return at
    raise AssertionError("every weekday comes within eight days")
