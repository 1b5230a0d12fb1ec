"""`deskclock report`: what is due next, and what was kept."""

from datetime import datetime

import click

from services.console.instants import INSTANT
from services.console.output import asynchronous, console, json_option, read_settings, tenant_option, write_json
from services.console.session import database
from services.console.views import attainment as attainment_view
from services.console.views import deadlines as deadlines_view
from services.router import reports
from services.router.domain import attainment as attainment_rules
from services.router.domain import forecast
from services.router.domain.attainment import Dimension, UnclearQuestion
from shared.ledger.policies import PolicyShelf


@click.group()
def report() -> None:
    """What is due next, and what was kept."""


@report.command()
@click.option(
    "--hours",
    "hours_text",
    default=",".join(map(str, forecast.HOURS)),
    show_default=True,
    metavar="N,N",
    help="Whole open hours to look ahead.",
)
@tenant_option
@json_option
@asynchronous
async def deadlines(hours_text: str, tenant: str, as_json: bool) -> None:
    """Say what is due next, by team.

    How many promises fall due within the next open hours, are late already, or paused.

    Hours are open time of each promise's own calendar: on Friday evening four of them reach into Monday.
    """
    try:
        hours = forecast.read_hours(hours_text)
    except ValueError as wrong:
        raise click.UsageError(f"--hours {wrong}") from None
    async with database(read_settings()) as connection:
        found = await reports.deadlines(connection, PolicyShelf(), tenant, hours)
    if as_json:
        write_json(found)
    else:
        console().print(deadlines_view.draw(found))


@report.command()
@click.option(
    "--from", "since", type=INSTANT, metavar="INSTANT", help="First instant. Default: seven days before the end."
)
@click.option("--to", "until", type=INSTANT, metavar="INSTANT", help="First instant that is left out. Default: now.")
@click.option(
    "--by",
    "by_text",
    default=Dimension.TARGET.value,
    show_default=True,
    metavar="NAME,NAME",
    help=f"Tell promises apart by some of {', '.join(Dimension)}.",
)
@tenant_option
@json_option
@asynchronous
async def attainment(since: datetime | None, until: datetime | None, by_text: str, tenant: str, as_json: bool) -> None:
    """Say what was kept and broken.

    And how long answers took, in open time and for the customer.

    A promise is kept when it is answered in time, and broken at its deadline, whenever the answer came.
    """
    try:
        by = attainment_rules.read_by(by_text)
        async with database(read_settings()) as connection:
            found = await reports.attainment(connection, tenant, by, since, until)
    except UnclearQuestion as wrong:
        raise click.UsageError(f"--{wrong.parameter} {wrong}") from None
    if as_json:
        write_json(found)
    else:
        console().print(attainment_view.draw(found))
