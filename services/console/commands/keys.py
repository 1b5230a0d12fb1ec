"""`deskclock keys`: who may ask the HTTP API."""

import click

from services.console.failures import Failure, Refused
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
from services.console.session import database
from shared.contract.access import Scope
from shared.ledger import keys as key_rows


@click.group()
def keys() -> None:
    """API keys: make, list and revoke them."""


@keys.command()
@tenant_option
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([str(scope) for scope in Scope]),
    help="What it may do; repeat for several. Default: admin.",
)
@click.option("--label", default="", metavar="TEXT", help="A word to know it by.")
@json_option
@asynchronous
async def create(tenant: str, scopes: tuple[str, ...], label: str, as_json: bool) -> None:
    """Make a key. It is shown once, and only its hash is kept."""
    chosen = [Scope(scope) for scope in scopes] or [Scope.ADMIN]
    async with database(read_settings()) as connection:
        try:
            made = await key_rows.create(connection, tenant, chosen, label)
        except ValueError as error:
            raise Refused(str(error)) from None
    if as_json:
        write_json(made)
        return
    click.echo(made.key)
    click.echo(
        f"id {made.id}, tenant {made.tenant}, may {', '.join(made.scopes)}; keep the key, it is not shown again."
        f" `deskclock keys revoke {made.id}{_of(tenant)}` takes it back",
        err=True,
    )


def _of(tenant: str) -> str:
    return "" if tenant == "default" else f" --tenant {tenant}"


@keys.command(name="list")
@tenant_option
@json_option
@asynchronous
async def list_(tenant: str, as_json: bool) -> None:
    """All keys of a tenant, the newest first."""
    async with database(read_settings()) as connection:
        found = await key_rows.list_keys(connection, tenant)
    if as_json:
        write_json(found)
        return
    lines = table("id", "label", "may", "made", "revoked")
    for key in found:
        lines.add_row(key.id, key.label or "-", ", ".join(key.scopes), moment(key.created_at), moment(key.revoked_at))
    console().print(lines if found else f"tenant {tenant} has no key yet: deskclock keys create")


@keys.command()
@click.argument("key_id", metavar="ID")
@tenant_option
@asynchronous
async def revoke(key_id: str, tenant: str) -> None:
    """Take a key back, by its id; every replica knows within seconds."""
    parsed = key_rows.parse(key_id)
    async with database(read_settings()) as connection:
        if not await key_rows.revoke(connection, tenant, parsed[0] if parsed else key_id):
            raise Failure(f"tenant {tenant} has no valid key {key_id!r}: `deskclock keys list` shows them")
    click.echo("revoked")
