"""`deskclock calendar`: when a calendar is open, and what is due when by it."""

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from msgspec import structs

from services.console.failures import Refused
from services.console.instants import INSTANT
from services.console.output import asynchronous, console, json_option, read_settings, table, tenant_option, write_json
from services.console.policies import read_policy
from services.console.session import database
from shared.ledger.policies import PolicyShelf
from shared.policy import durations
from shared.policy.document import Policy
from shared.policy.errors import did_you_mean, short
from shared.policy.reading import Unreadable
from shared.policy.zones import tzdata_version
from shared.sla.policy import Promise
from shared.sla.preview import Interval, Preview
from shared.sla.preview import preview as previewed


@click.group()
def calendar() -> None:
    """When somebody is there, and what is due when by it."""


@calendar.command()
@click.argument("name")
@click.option(
    "--start", type=INSTANT, required=True, metavar="INSTANT", help="From then on, as in 2026-06-05T16:00:00+02:00."
)
@click.option("--duration", "length", metavar="LENGTH", help="Open time, as in 4h or 1h30m; business days, as in 2bd.")
@click.option("--until", type=INSTANT, metavar="INSTANT", help="Show the intervals up to then.")
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read the calendar from this file; no server is needed. Default: the policy in force.",
)
@click.option("--version", type=click.IntRange(min=0), metavar="N", help="Of this version of the policy.")
@tenant_option
@json_option
@asynchronous
async def preview(
    name: str,
    start: datetime,
    length: str | None,
    until: datetime | None,
    policy_file: Path | None,
    version: int | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Say when so much open time will have been used, and show every interval up to then.

    NAME is a calendar of the policy. Without --duration or --until, two weeks are shown.
    """
    if policy_file is not None and version is not None:
        raise click.UsageError(
            "--policy and --version exclude each other: one names a file, the other an applied version"
        )
    promise = None if length is None else _promise(length)
    policy = await _policy(tenant, version) if policy_file is None else read_policy(policy_file)
    found = policy.sla.calendars.get(name)
    if found is None:
        raise Refused(f"there is no calendar `{short(name)}`: {did_you_mean(name, policy.sla.calendars, what='they')}")
    try:
        made = previewed(found, start, promise, until)
    except ValueError as wrong:
        raise Refused(str(wrong)) from None
    if as_json:
        write_json({**structs.asdict(made), "tzdata": tzdata_version()})
    else:
        _tell(made, length)


async def _policy(tenant: str, version: int | None) -> Policy:
    async with database(read_settings()) as connection:
        shelf = PolicyShelf()
        if version is None:
            return await shelf.current(connection, tenant)
        try:
            return await shelf.version(connection, tenant, version)
        except LookupError:
            raise Refused(
                f"tenant {tenant} has no policy version {version}: `deskclock policy show --history` lists them"
            ) from None


def _tell(made: Preview, length: str | None) -> None:
    zone = ZoneInfo(made.timezone)
    lines = table("from", "to", "", "how long", "why", right=("how long",))
    for interval in made.intervals:
        lines.add_row(
            _local(interval.start_at, zone),
            _local(interval.end_at, zone),
            "open" if interval.is_open else "closed",
            _length(interval),
            ", ".join(interval.reasons),
            style=None if interval.is_open else "dim",
        )
    out = console()
    out.print(lines if made.intervals else "no time lies between start and end")
    if not made.is_complete:
        click.echo(f"only the first {len(made.intervals)} intervals are shown: ask for less with --until")
    click.echo(
        f"{made.calendar} ({made.timezone}, tzdata {tzdata_version()}): "
        f"{_span(made.open_seconds)} open in {_span(made.wall_seconds)}"
    )
    if made.due_at is not None:
        click.echo(f"{length} from {_local(made.start_at, zone)} is due {_local(made.due_at, zone)}")
    elif length is not None:
        click.echo(f"{length} from {_local(made.start_at, zone)} is never due: the calendar doesn't open that long")


def _local(at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    precision = "minutes" if not local.second and not local.microsecond else "auto"
    return f"{local:%a} {local.isoformat(sep=' ', timespec=precision)}"


def _length(interval: Interval) -> str:
    return _span(interval.seconds)


def _span(seconds: float) -> str:
    """Hours and minutes, seconds where there are some."""
    hours, rest = divmod(timedelta(seconds=seconds), timedelta(hours=1))
    minutes, left = divmod(rest, timedelta(minutes=1))
    parts = [f"{hours}h"] if hours else []
    parts += [f"{minutes}m"] if minutes else []
    parts += [f"{left.total_seconds():g}s"] if left else []
    return " ".join(parts) or "0m"


def _promise(text: str) -> Promise:
    try:
        return durations.preview(text)
    except Unreadable as wrong:
        raise click.UsageError(f"--duration {wrong}") from None
