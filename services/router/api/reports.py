"""`/v1/reports`: what is due in the next open hours, what was kept and broken, and who is missing."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct, field

from services.router import reports
from services.router.api import dependencies
from services.router.api.staffing_example import SUNDAY_EVENING
from services.router.domain import attainment as attainment_rules
from services.router.domain import forecast
from services.router.domain import staffing as staffing_rules
from services.router.domain.attainment import Dimension, Kept, Took
from services.router.domain.forecast import Deadlines, Due, Forecast, NextDue
from services.router.domain.staffing import Staffing
from services.router.reports import Attainment, StaffingQuestion
from shared.contract.access import Scope
from shared.contract.problems import FieldError, Refused
from shared.contract.questions import UnclearQuestion
from shared.contract.tickets import Channel, TargetKind
from shared.web import answers, bodies, instants
from shared.web.bodies import Call
from shared.web.instants import InstantText
from shared.web.operations import Example, operation


class DeadlinesQuery(Struct, frozen=True, kw_only=True):
    """How far to look ahead."""

    hours: Annotated[str, Meta(max_length=100, examples=["1,4,8"])] = ",".join(map(str, forecast.HOURS))
    """Whole open hours of each promise's own calendar, up to ten numbers with commas between."""


class AttainmentQuery(Struct, frozen=True, kw_only=True):
    """Which verdicts, and how they are told apart."""

    since: InstantText | None = field(name="from", default=None)
    """RFC 3339 with an offset; seven days before the end, if absent."""
    until: InstantText | None = field(name="to", default=None)
    """Verdicts that fell then are left out; now, if absent."""
    by: Annotated[str, Meta(max_length=100, examples=["target,channel"])] = Dimension.TARGET.value
    """Some of target, channel, urgency, team and matched, with commas between."""


class StaffingQuery(Struct, frozen=True, kw_only=True):
    """Which tickets, and by which clock."""

    weeks: Annotated[str, Meta(max_length=10, examples=["4"])] = str(staffing_rules.WEEKS)
    """So many up to now, from 1 to 13."""
    timezone: Annotated[str, Meta(min_length=1, max_length=64, examples=["Europe/Berlin"])] | None = None
    """An IANA name, for the hours; if absent, that of the policy's calendars where they have one, else UTC."""
    channel: Annotated[Channel, Meta(examples=["live_chat"])] | None = None
    """Only tickets of this one."""
    skill: Annotated[str, Meta(min_length=1, max_length=200, examples=["billing"])] | None = None
    """Only tickets that need it, alone or with others."""
    pool: Annotated[str, Meta(min_length=1, max_length=100, examples=["default"])] | None = None
    """Only tickets of this one."""


_NOW = datetime(2026, 6, 5, 14, tzinfo=UTC)
_DEADLINES = Example(
    name="Friday afternoon",
    body=Forecast(
        now=_NOW,
        hours=(1, 4, 8),
        lines=(
            Deadlines(
                team="billing",
                pool=None,
                target=TargetKind.FIRST_RESPONSE,
                clocks=12,
                due=(Due(hours=1, clocks=2), Due(hours=4, clocks=5), Due(hours=8, clocks=9)),
                late=1,
                paused=2,
                next=NextDue(
                    ticket_id=UUID("01977000-91f0-7a4e-8c1a-5b0d6f2e7c11"),
                    source="shop-mail",
                    external_id="881",
                    due_at=_NOW + timedelta(minutes=12),
                ),
            ),
        ),
        is_complete=True,
    ),
)
_ATTAINMENT = Example(
    name="in time, yet over a weekend",
    body=Attainment(
        since=_NOW - timedelta(days=7),
        until=_NOW,
        by=(Dimension.TARGET, Dimension.CHANNEL),
        met=19,
        breached=1,
        attainment=0.95,
        lines=(
            Kept(
                target=TargetKind.RESOLUTION,
                channel=Channel.EMAIL,
                met=19,
                breached=1,
                attainment=0.95,
                answered=19,
                open_seconds=Took(median=5400.0, p90=23400.0),
                wall_seconds=Took(median=61200.0, p90=234000.0),
            ),
        ),
        is_complete=True,
    ),
)


@get(
    "/v1/reports/deadlines",
    opt=operation(Scope.TICKETS_READ, query=DeadlinesQuery, gives={200: Forecast}, answers=(_DEADLINES,)),
)
async def report_deadlines(request: Call) -> ASGIResponse:
    """How many promises of each team and target fall due within the next open hours, are late already, or paused.

    Hours are open time of each promise's own calendar: on Friday evening four of them reach into Monday.
    """
    wanted = bodies.query(request, DeadlinesQuery)
    try:
        hours = forecast.read_hours(wanted.hours)
    except ValueError as wrong:
        raise _wrong("hours", str(wrong)) from None
    deps = dependencies.of(request)
    async with deps.pool.acquire() as connection:
        found = await reports.deadlines(connection, deps.shelf, request.user.tenant, hours)
    return answers.json(found)


@get(
    "/v1/reports/attainment",
    opt=operation(Scope.TICKETS_READ, query=AttainmentQuery, gives={200: Attainment}, answers=(_ATTAINMENT,)),
)
async def report_attainment(request: Call) -> ASGIResponse:
    """How many promises were kept and broken, and how long answers took, in open time and for the customer.

    A promise is kept when it is answered in time, and broken at its deadline, whenever the answer came. One that was
    withdrawn before it was broken is neither.
    """
    wanted = bodies.query(request, AttainmentQuery)
    try:
        async with dependencies.of(request).pool.acquire() as connection:
            found = await reports.attainment(
                connection,
                request.user.tenant,
                attainment_rules.read_by(wanted.by),
                instants.read("from", wanted.since),
                instants.read("to", wanted.until),
            )
    except UnclearQuestion as wrong:
        raise _wrong(wrong.parameter, str(wrong)) from None
    return answers.json(found)


@get(
    "/v1/reports/staffing",
    opt=operation(Scope.TICKETS_READ, query=StaffingQuery, gives={200: Staffing}, answers=(SUNDAY_EVENING,)),
)
async def report_staffing(request: Call) -> ASGIResponse:
    """Which skill, channel and hour of the week lacked hands: tickets of the last weeks that waited, and for what.

    `offline`: people who can take it are not there; `full`: those who are have no room; `no_skill`: nobody on the roster can;
    `excluded`: all who can declined. A ticket counts at the hour in which it began to wait for that reason. `hands` are
    people who would have been busy with the work that waited: for each ticket what it waited, but no longer than somebody
    has such a ticket once it is theirs, times its units, over a person's capacity, by how often the hour occurred.
    """
    wanted = bodies.query(request, StaffingQuery)
    deps = dependencies.of(request)
    try:
        question = StaffingQuestion(
            weeks=staffing_rules.read_weeks(wanted.weeks),
            timezone=wanted.timezone,
            channel=wanted.channel,
            skill=wanted.skill,
            pool=wanted.pool,
        )
        async with deps.pool.acquire() as connection:
            found = await reports.staffing(connection, deps.shelf, request.user.tenant, question)
    except UnclearQuestion as wrong:
        raise _wrong(wrong.parameter, str(wrong)) from None
    return answers.json(found)


ROUTES: tuple[HTTPRouteHandler, ...] = (report_deadlines, report_attainment, report_staffing)


def _wrong(parameter: str, detail: str) -> Refused:
    return bodies.invalid((FieldError(parameter=parameter, detail=detail),))
