"""`deskclock model`: trained models, added, tried in shadow, promoted, rolled back; and what people corrected, to train from."""

import csv
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import click

from services.console.failures import Failure, Refused
from services.console.output import (
    asynchronous,
    console,
    errors,
    json_option,
    moment,
    read_settings,
    table,
    tenant_option,
    write_json,
)
from services.console.policies import author
from services.console.session import database
from services.console.training.history import CORRECTION_COLUMNS, cells_of
from services.console.views import training as view
from services.router import trained
from services.router.domain.weights import BadModel
from services.router.trained import Changed, NoModel, NotAllowed
from shared.ledger.policies import PolicyShelf
from shared.postgres import time as database_time

T = TypeVar("T")

version_argument = click.argument("version", type=click.IntRange(1, 2**31 - 1))


@click.group()
def model() -> None:
    """Trained models that say what tickets are about, and how urgent they are."""


@model.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@tenant_option
@json_option
@asynchronous
async def add(file: Path, tenant: str, as_json: bool) -> None:
    """Add a file that `deskclock train` has written; nothing follows from it yet."""
    raw = _bytes(file)
    async with database(read_settings()) as connection:
        now = await database_time.now(connection)
        added = await told(trained.add(connection, tenant, raw, author(), now), str(file))
    if as_json:
        write_json(added)
        return
    known = "added" if added.is_new else "was there already"
    click.echo(f"model {added.version} of tenant {tenant} {known}; it learned: {', '.join(added.learned) or 'nothing'}")
    click.echo(f"try it with `deskclock model shadow {added.version}`")


@model.command("list")
@tenant_option
@json_option
@asynchronous
async def list_models(tenant: str, as_json: bool) -> None:
    """Show all models, the newest first."""
    async with database(read_settings()) as connection:
        found = await trained.show_all(connection, tenant)
    if as_json:
        write_json(found)
        return
    lines = table("model", "state", "macro-F1 on held-out texts", "rows", "added", "by", right=("model", "rows"))
    for one in found.models:
        header = one.header
        lines.add_row(
            str(one.version),
            one.state,
            view.summary(header.heads),
            f"{header.used:,}",
            moment(one.added_at),
            one.added_by,
        )
    console().print(lines)


@model.command()
@version_argument
@tenant_option
@json_option
@asynchronous
async def show(version: int, tenant: str, as_json: bool) -> None:
    """Show how a model does: on texts it had not seen, and on the tickets it has scored."""
    async with database(read_settings()) as connection:
        shown = await told(trained.show(connection, PolicyShelf(), tenant, version))
    if as_json:
        write_json(shown)
    else:
        view.tell_shown(shown)


@model.command()
@version_argument
@tenant_option
@json_option
@asynchronous
async def shadow(version: int, tenant: str, as_json: bool) -> None:
    """Have it score new tickets, without any effect."""
    async with database(read_settings()) as connection:
        now = await database_time.now(connection)
        changed = await told(trained.shadow(connection, tenant, version, now))
    _tell(changed, as_json=as_json)


@model.command()
@version_argument
@tenant_option
@json_option
@asynchronous
async def promote(version: int, tenant: str, as_json: bool) -> None:
    """Put it in force for tickets opened from now on; refused where it has learned nothing."""
    async with database(read_settings()) as connection:
        now = await database_time.now(connection)
        changed = await told(trained.promote(connection, PolicyShelf(), tenant, version, now))
    _tell(changed, as_json=as_json)


@model.command()
@tenant_option
@json_option
@asynchronous
async def rollback(tenant: str, as_json: bool) -> None:
    """Put back in force what was before the model that is now, or none."""
    async with database(read_settings()) as connection:
        now = await database_time.now(connection)
        changed = await told(trained.rollback(connection, PolicyShelf(), tenant, now))
    _tell(changed, as_json=as_json)


@model.command()
@version_argument
@tenant_option
@json_option
@asynchronous
async def stop(version: int, tenant: str, as_json: bool) -> None:
    """Use it no more, in force or in shadow."""
    async with database(read_settings()) as connection:
        now = await database_time.now(connection)
        changed = await told(trained.stop(connection, tenant, version, now))
    _tell(changed, as_json=as_json)


@model.command()
@tenant_option
@asynchronous
async def corrections(tenant: str) -> None:
    """Write the tickets that people corrected as CSV, in the form that `deskclock train` reads."""
    out = csv.writer(sys.stdout)
    out.writerow(CORRECTION_COLUMNS)
    async with database(read_settings()) as connection:
        async for corrected in trained.corrections(connection, tenant):
            out.writerow(cells_of(corrected))


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Refused(f"{file} can't be read: {error.strerror}") from None


async def told(doing: Awaitable[T], file: str = "the file") -> T:
    """The result, or the failure that says why there is none."""
    try:
        return await doing
    except BadModel as wrong:
        raise Refused(f"{file} can't be used: {wrong}") from None
    except NotAllowed as refused:
        raise Refused(str(refused)) from None
    except NoModel as missing:
        raise Failure(f"{missing}: `deskclock model list` shows them") from None


def _tell(changed: Changed, *, as_json: bool) -> None:
    if as_json:
        write_json(changed)
        return
    for head in changed.heads:
        view.tell_head(head)
    for warning in changed.warnings:
        errors().print(f"warning: {warning}", style="yellow", markup=False)
    before = f" (before: {changed.previous})" if changed.previous is not None else ""
    click.echo(f"in force: {changed.in_force or 'none'}{before}; in shadow: {changed.shadow or 'none'}")
