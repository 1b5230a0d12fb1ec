"""`deskclock time`: the time that decides about promises, and moving it in trials."""

from datetime import datetime

import click

from services.console import store
from services.console.domain.spans import parse_span
from services.console.failures import Refused
from services.console.instants import INSTANT
from services.console.output import asynchronous, json_option, moment, read_settings, write_json
from services.console.session import database
from shared.postgres import time as database_time


@click.group()
def time() -> None:
    """The time that decides: show it, or move it in trials."""


@time.command()
@json_option
@asynchronous
async def show(as_json: bool) -> None:
    """The time by which promises are judged, and how fast it passes."""
    async with database(read_settings()) as connection:
        now, rate = await store.load_time(connection)
    _tell(now, rate, as_json=as_json)


@time.command()
@click.argument("by", required=False, metavar="[BY]")
@click.option("--to", type=INSTANT, metavar="INSTANT", help="Move it to this instant, as in 2026-06-05T10:00:00+02:00.")
@click.option("--rate", type=click.FloatRange(min=0), metavar="N", help="From now on, let N seconds pass in one.")
@json_option
@asynchronous
async def advance(by: str | None, to: datetime | None, rate: float | None, as_json: bool) -> None:
    """Move the time of this database in a trial: BY 4h, 90m, 2d. Refused in production."""
    settings = read_settings()
    if settings.is_production:
        raise Refused(
            "the time is not moved in production: use a trial database, with DESKCLOCK_ENVIRONMENT=development"
        )
    if (by is None) == (to is None) and (by is not None or rate is None):
        raise click.UsageError("say how far (BY), or to which instant (--to), or how fast (--rate)")
    target = to
    length = parse_span(by) if by is not None else None
    if by is not None and length is None:
        raise click.UsageError(f"{by!r} is not a length of time, as in 4h, 90m, 1h30m or 2d")
    async with database(settings) as connection:
        now, _ = await store.load_time(connection)
        if length is not None:
            target = now + length
        if target is not None and target < now:
            raise Refused(f"the time only moves forward: now is {moment(now)}")
        await database_time.warp(connection, to=target, rate=rate)
        now, rate = await store.load_time(connection)
    _tell(now, rate, as_json=as_json)


def _tell(now: datetime, rate: float, *, as_json: bool) -> None:
    if as_json:
        write_json({"now": now, "rate": rate})
        return
    click.echo(moment(now) + ("" if rate == 1 else f"  (x{rate:,g})"))
