"""Policy and roster files on their way in: read, compiled, and every fault shown with its line and the way out."""

import getpass
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import click

from services.console import feeds
from services.console.failures import Refused
from services.console.output import moment, write_json
from services.router.domain.reach import Reach, To, UnclearReach, reach
from services.router.versions import policies
from shared.policy import parse, roster
from shared.policy.document import Policy, Roster
from shared.policy.errors import LocatedError, PolicyErrors
from shared.policy.methods import INFORMATIONAL
from shared.policy.parse import ReadPolicy, parse_policy
from shared.policy.roster import parse_roster
from shared.postgres import time as database_time
from shared.postgres.pool import Pool


def read_policy(path: Path) -> Policy:
    """The policy of a file, compiled; raises Refused after all its faults have been shown."""
    text = read_policy_text(path)
    with shown_faults(path):
        return parse_policy(text, version=0)


def check_policy(path: Path, today: date, *, as_json: bool) -> ReadPolicy:
    """The same as `apply` would read it on that day, with its warnings; faults are told in JSON, too, where asked for."""
    with shown_faults(path, as_json=as_json):
        return parse.read_policy(feeds.with_feeds(path, read_text(path)), version=0, today=today)


def read_policy_text(path: Path) -> str:
    """A policy file as text, with what its iCal feeds say; raises Refused after faults of these have been shown."""
    text = read_text(path)
    with shown_faults(path):
        return feeds.with_feeds(path, text)


def read_text(path: Path) -> str:
    """A file as text; raises Refused where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise Refused(f"{path} can't be read: {error.strerror}") from None


@contextmanager
def shown_faults(path: Path, *, as_json: bool = False) -> Iterator[None]:
    """Show faults found inside as `file:line:column: problem; remedy`, then raise Refused."""
    try:
        yield
    except PolicyErrors as error:
        for fault in error.errors:
            place = f"{path}:{fault.line}:{fault.column}:" if fault.line else f"{path}:"
            subject = f" {fault.pointer}:" if fault.pointer else ""
            click.echo(f"{place}{subject} {fault.problem}; {fault.remedy}", err=True)
        count = len(error.errors)
        if as_json:
            write_json({"file": str(path), "faults": count, "errors": error.errors})
        raise Refused(
            f"{path} has {count} {'fault' if count == 1 else 'faults'}, listed above; nothing was changed"
        ) from None


def tell_warnings(path: Path, warnings: Iterable[LocatedError]) -> None:
    """What is legal in a file but seldom meant, a line each, beside the answer."""
    for warning in warnings:
        place = f"{path}:{warning.line}:{warning.column}:" if warning.line else f"{path}:"
        click.echo(f"{place} warning: {warning.pointer}: {warning.problem}; {warning.remedy}", err=True)


def reach_of(to: To | None, start: datetime | None, now: datetime) -> Reach:
    """Whom --to and --from mean; raises click.UsageError."""
    try:
        return reach(to, start, now)
    except UnclearReach as error:
        raise click.UsageError(str(error)) from None


def read_roster(path: Path) -> Roster:
    """The roster of a file, compiled; raises Refused after all its faults have been shown."""
    text = read_text(path)
    with shown_faults(path):
        return parse_roster(text)


def require_reachable(checked: ReadPolicy, known: Roster) -> None:
    """Raises PolicyErrors, as `apply` does, where the policy pages somebody who is not on this roster or can't be reached."""
    reachable = {
        key: any(contact.method not in INFORMATIONAL for contact in person.contacts)
        for key, person in known.people.items()
    }
    faults = [checked.located.error(*fault) for fault in roster.unreachable(checked.policy, reachable)]
    if faults:
        raise PolicyErrors(faults)


async def apply_files(pool: Pool, tenant: str, policy_file: Path, roster_file: Path) -> None:
    """Put a roster and then a policy in force; raises Refused after their faults have been shown."""
    texts = {roster_file: read_text(roster_file), policy_file: read_policy_text(policy_file)}
    async with pool.acquire() as connection:
        now = await database_time.now(connection)
        for path, apply in ((roster_file, policies.apply_roster), (policy_file, policies.apply_policy)):
            with shown_faults(path):
                await apply(connection, tenant, texts[path], "deskclock demo", now)


def author() -> str:
    """Who applies a version, as it is kept with it."""
    try:
        return f"{getpass.getuser()} (deskclock)"
    except (KeyError, OSError):
        return "deskclock"


def tell_in_force(
    kind: str, tenant: str, version: int, *, is_unchanged: bool, as_json: bool, ahead: datetime | None = None
) -> None:
    """Say which version of a `policy` or `roster` holds now or from `ahead` on, and whether the file had been applied before."""
    since = "is in force" if ahead is None else f"is for tickets that arrive from {moment(ahead)} on,"
    if as_json:
        write_json({"tenant": tenant, "version": version, "unchanged": is_unchanged})
    elif is_unchanged:
        click.echo(f"unchanged: version {version} {since} for tenant {tenant}")
    else:
        click.echo(f"{kind} version {version} {since} for tenant {tenant}")
    if ahead is not None:
        click.echo("until then the version before it stays in force")
