"""`deskclock on-call`: who is on call, who instead, when nobody is, and rotations from and for calendars."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn
from uuid import UUID

import click

from services.console.failures import Failure, Refused
from services.console.instants import INSTANT
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
from services.console.policies import author
from services.console.session import database
from services.escalation.on_call import importing, overriding
from services.escalation.on_call import rota as rotations
from services.escalation.on_call.importing import Import
from services.escalation.on_call.overriding import NewOverride, OverrideView
from services.escalation.on_call.rota import FeedView, GapReport, OnCallView, ShiftView
from services.escalation.settings import FeedSettings
from shared.contract import problems
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Policy, Rotation
from shared.policy.errors import did_you_mean
from shared.policy.methods import METHODS
from shared.runtime import settings as settings_reader

_METHODS = frozenset(METHODS)

name_argument = click.argument("name")


@click.group(name="on-call")
def on_call() -> None:
    """Who is on call, who instead, and when nobody is."""


@on_call.command()
@click.argument("name", required=False)
@click.option("--at", type=INSTANT, metavar="INSTANT", help="Then instead of now, as it was planned then.")
@tenant_option
@json_option
@asynchronous
async def show(name: str | None, at: datetime | None, tenant: str, as_json: bool) -> None:
    """Who is on call, until when and why, and who comes next; for one rotation or all."""
    async with database(read_settings()) as connection:
        shelf = PolicyShelf()
        found = await rotations.look(connection, shelf, tenant, name=name, at=at, methods=_METHODS)
        if name is not None and not found:
            _refuse_unknown(name, await shelf.current(connection, tenant))
    if as_json:
        write_json({"rotations": found})
        return
    lines = table("rotation", "now", "until", "by", "next", "from")
    for view in found:
        lines.add_row(
            view.rotation,
            _who(view.now, view),
            moment(view.now.ends_at if view.now else None),
            _by(view.now, view.feed),
            _who(view.next, None),
            moment(view.next.starts_at if view.next else None),
        )
    console().print(lines if found else f"the policy of tenant {tenant} has no rotations")
    for view in found:
        if view.feed is not None and view.feed.failure is not None:
            click.echo(
                f"{view.rotation}: the last import failed ({moment(view.feed.tried_at)}): {view.feed.failure}", err=True
            )


@on_call.command()
@click.option("--days", type=click.IntRange(1, 90), default=30, show_default=True, help="How far to look.")
@tenant_option
@json_option
@asynchronous
async def gaps(days: int, tenant: str, as_json: bool) -> None:
    """When nobody would be paged, and why: nobody's turn, gone from the roster, no way to reach them."""
    async with database(read_settings()) as connection:
        report = await rotations.report_gaps(connection, PolicyShelf(), tenant, timedelta(days=days), _METHODS)
    if as_json:
        write_json(report)
    else:
        _tell_gaps(report, days)


@on_call.command()
@name_argument
@click.option("--since", type=INSTANT, metavar="INSTANT", help="Those that have ended since then, too.")
@tenant_option
@json_option
@asynchronous
async def overrides(name: str, since: datetime | None, tenant: str, as_json: bool) -> None:
    """Who is on call in place of whose turn it is, now and later."""
    async with database(read_settings()) as connection:
        try:
            found = await overriding.list_overrides(connection, PolicyShelf(), tenant, name, since)
        except problems.Refused as refused:
            raise Refused(str(refused)) from None
    if as_json:
        write_json({"overrides": found})
        return
    lines = table("id", "person", "from", "until", "made by", "made")
    for one in found:
        lines.add_row(
            str(one.id), one.name or f"{one.person} (not on the roster)", moment(one.starts_at), moment(one.ends_at),
            one.made_by, moment(one.made_at),
        )  # fmt: skip
    console().print(lines if found else f"{name} has no overrides")


@on_call.command()
@name_argument
@click.argument("person")
@click.option("--until", type=INSTANT, required=True, metavar="INSTANT", help="As in 2026-06-05T20:00:00+02:00.")
@click.option("--from", "start", type=INSTANT, metavar="INSTANT", help="Default: now.")
@click.option(
    "--replace", is_flag=True, help="Win against other overrides of that time; without it they are in the way."
)
@tenant_option
@json_option
@asynchronous
async def override(
    name: str, person: str, until: datetime, start: datetime | None, replace: bool, tenant: str, as_json: bool
) -> None:
    """Put PERSON, by key, on call for the rotation NAME in place of whose turn it is."""
    wanted = NewOverride(person=person, starts_at=start, ends_at=until, replace=replace)
    async with database(read_settings()) as connection:
        try:
            made = await overriding.make(connection, PolicyShelf(), tenant, name, wanted, by=author(), methods=_METHODS)
        except problems.Refused as refused:
            raise Refused(str(refused)) from None
    if as_json:
        write_json(made.override)
    else:
        _tell_override(made.override, "is on call" if made.is_new else "is on call already")


@on_call.command()
@name_argument
@click.argument("override_id", metavar="ID", type=click.UUID)
@tenant_option
@json_option
@asynchronous
async def withdraw(name: str, override_id: UUID, tenant: str, as_json: bool) -> None:
    """Take an override back, by the id that `overrides` shows: it ends now, or never begins."""
    async with database(read_settings()) as connection:
        try:
            taken = await overriding.withdraw(connection, PolicyShelf(), tenant, name, override_id)
        except problems.Refused as refused:
            raise Refused(str(refused)) from None
    if as_json:
        write_json(taken)
    else:
        click.echo(f"override {taken.id} of {name} is taken back: whose turn it is, is on call again")


@on_call.command(name="import")
@click.argument("name", required=False)
@click.option(
    "--from",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read this file in place of the calendar that the policy names.",
)
@tenant_option
@json_option
@asynchronous
async def import_(name: str | None, file: Path | None, tenant: str, as_json: bool) -> None:
    """Read rotations that are kept in calendars elsewhere, and store their shifts for 400 days; all, or NAME.

    Run it every hour or so. What can't be read changes nothing: the last good copy stays in use, and `on-call show` and the
    metric sla_on_call_feed_age_seconds tell how old it is. Exit code 1 if any failed.
    """
    if file is not None and name is None:
        raise click.UsageError("--from is the calendar of one rotation: say which")
    allowed = settings_reader.load(FeedSettings).allowed_hosts
    async with database(read_settings()) as connection:
        policy = await PolicyShelf().current(connection, tenant)
        if name is not None and name not in policy.on_call:
            _refuse_unknown(name, policy)
        chosen = _chosen(policy, name)
        done = [
            await importing.run(
                connection, tenant, rotation, folder=await asyncio.to_thread(Path.cwd), file=file, allowed_hosts=allowed
            )
            for rotation in chosen
        ]
    if as_json:
        write_json({"imports": done})
    elif not done:
        click.echo(f"the policy of tenant {tenant} has no rotation with `ical`")
    for one in done:
        if one.failure is not None:
            click.echo(f"{one.rotation}: nothing imported: {one.failure}", err=True)
        elif not as_json:
            _tell_import(one)
    failed = [one.rotation for one in done if one.failure is not None]
    if failed:
        raise Failure(
            f"{len(failed)} of {len(done)} not imported: {', '.join(failed)}; what was imported before stays in use"
        )


@on_call.command()
@name_argument
@tenant_option
@asynchronous
async def export(name: str, tenant: str) -> None:
    """Print a rotation as an iCalendar file, overrides included: from 31 days ago to 180 days ahead."""
    async with database(read_settings()) as connection:
        shelf = PolicyShelf()
        text = await rotations.calendar(connection, shelf, tenant, name)
        if text is None:
            _refuse_unknown(name, await shelf.current(connection, tenant))
    click.echo(text.encode(), nl=False)


def _chosen(policy: Policy, name: str | None) -> list[Rotation]:
    if name is not None:
        return [policy.on_call[name]]
    return [rotation for rotation in policy.on_call.values() if rotation.feed is not None]


def _refuse_unknown(name: str, policy: Policy) -> NoReturn:
    raise Refused(f"there is no rotation `{name[:60]}`: {did_you_mean(name, policy.on_call, what='rotations')}")


def _who(shift: ShiftView | None, view: OnCallView | None) -> str:
    if shift is None:
        return "-" if view is None else f"NOBODY ({view.gap})"
    told = shift.name or f"{shift.person} (not on the roster)"
    return f"{told}: NOT REACHABLE ({view.gap})" if view is not None and view.gap is not None else told


def _by(shift: ShiftView | None, feed: FeedView | None) -> str:
    if shift is None:
        return "-"
    if shift.override is not None:
        return "override"
    if feed is not None:
        return f"calendar, read {moment(feed.fetched_at)}"
    return f"layer {shift.layer}" if shift.layer is not None else "turn"


def _tell_gaps(report: GapReport, days: int) -> None:
    if not report.gaps:
        click.echo(f"somebody can be paged at every instant of the next {days} days")
        return
    lines = table("rotation", "from", "until", "why", "person")
    for gap in report.gaps:
        lines.add_row(
            gap.rotation, moment(gap.starts_at), moment(gap.ends_at), gap.reason.replace("_", " "), gap.person or "-"
        )
    console().print(lines)


def _tell_override(made: OverrideView, what: str) -> None:
    click.echo(
        f"{made.name or made.person} {what} for {made.rotation} from {moment(made.starts_at)} to {moment(made.ends_at)} "
        f"(override {made.id})"
    )


def _tell_import(one: Import) -> None:
    changed = "another plan" if one.is_changed else "the same plan"
    click.echo(f"{one.rotation}: {changed}, {one.shifts} shifts until {moment(one.until_at)} (version {one.version})")
    if one.overlaps:
        click.echo(f"{one.rotation}: {one.overlaps} shifts overlap: the one that begins later wins", err=True)
