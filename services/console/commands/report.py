"""`deskclock report`: what is due next, what was kept, who is missing, and how prompt pages were."""

from datetime import datetime

import click

from services.console.instants import INSTANT
from services.console.output import asynchronous, console, json_option, read_settings, tenant_option, write_json
from services.console.session import database
from services.console.views import attainment as attainment_view
from services.console.views import deadlines as deadlines_view
from services.console.views import paging as paging_view
from services.console.views import staffing as staffing_view
from services.escalation import reporting
from services.router import reports
from services.router.domain import attainment as attainment_rules
from services.router.domain import forecast
from services.router.domain import staffing as staffing_rules
from services.router.domain.attainment import Dimension
from services.router.reports import StaffingQuestion
from shared.contract.questions import UnclearQuestion
from shared.contract.tickets import Channel
from shared.ledger.policies import PolicyShelf


@click.group()
def report() -> None:
    """What is due next, what was kept, who is missing, and how prompt pages were."""


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


@report.command()
@click.option(
    "--weeks",
    type=click.IntRange(1, staffing_rules.MOST_WEEKS),
    default=staffing_rules.WEEKS,
    show_default=True,
    metavar="N",
    help="So many up to now.",
)
@click.option(
    "--timezone", metavar="ZONE", help="For the hours, as in Europe/Berlin. Default: that of the policy's calendars."
)
@click.option("--channel", type=click.Choice([each.value for each in Channel]), help="Only tickets of this channel.")
@click.option("--skill", metavar="NAME", help="Only tickets that need this skill, alone or with others.")
@click.option("--pool", metavar="NAME", help="Only tickets of this pool.")
@tenant_option
@json_option
@asynchronous
async def staffing(
    weeks: int,
    timezone: str | None,
    channel: str | None,
    skill: str | None,
    pool: str | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Say who is missing, and in which hours.

    Which skills and channels lacked hands: tickets of the last weeks that waited because people were offline or full, or
    because nobody could take them, in a table and as a map of the week.
    """
    question = StaffingQuestion(
        weeks=weeks,
        timezone=timezone,
        channel=None if channel is None else Channel(channel),
        skill=skill,
        pool=pool,
    )
    try:
        async with database(read_settings()) as connection:
            found = await reports.staffing(connection, PolicyShelf(), tenant, question)
    except UnclearQuestion as wrong:
        raise click.UsageError(f"--{wrong.parameter} {wrong}") from None
    if as_json:
        write_json(found)
    else:
        console().print(staffing_view.draw(found))


@report.command()
@click.option(
    "--from", "since", type=INSTANT, metavar="INSTANT", help="First instant. Default: seven days before the end."
)
@click.option("--to", "until", type=INSTANT, metavar="INSTANT", help="First instant that is left out. Default: now.")
@tenant_option
@json_option
@asynchronous
async def paging(since: datetime | None, until: datetime | None, tenant: str, as_json: bool) -> None:
    """Say how prompt pages were.

    What each stage took, and whether 99 of 100 were tried within two seconds after somebody had to be told.

    What quiet hours or a provider held back is counted apart.
    """
    try:
        async with database(read_settings()) as connection:
            found = await reporting.paging(connection, tenant, since, until)
    except UnclearQuestion as wrong:
        raise click.UsageError(f"--{wrong.parameter} {wrong}") from None
    if as_json:
        write_json(found)
    else:
        console().print(paging_view.draw(found))
