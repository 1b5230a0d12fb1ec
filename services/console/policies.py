"""Policy and roster files on their way in: read, compiled, and every fault shown with its line and the way out."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from services.console.failures import Refused
from shared.policy.document import Policy, Roster
from shared.policy.errors import PolicyErrors
from shared.policy.parse import parse_policy
from shared.policy.roster import parse_roster

T = TypeVar("T")


def read_policy(path: Path) -> Policy:
    """The policy of a file, compiled; raises Refused after all its faults have been shown."""
    text = read_text(path)
    return checked(path, lambda: parse_policy(text, version=0))


def read_text(path: Path) -> str:
    """A file as text; raises Refused where it is none."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise Refused(f"{path} can't be read: {error.strerror}") from None


def checked(path: Path, parse: Callable[[], T]) -> T:
    """What `parse` gives; its faults are shown as `file:line:column: problem; remedy`, then Refused is raised."""
    try:
        return parse()
    except PolicyErrors as error:
        for fault in error.errors:
            place = f"{path}:{fault.line}:{fault.column}:" if fault.line else f"{path}:"
            subject = f" {fault.pointer}:" if fault.pointer else ""
            click.echo(f"{place}{subject} {fault.problem}; {fault.remedy}", err=True)
        count = len(error.errors)
        raise Refused(f"{path} has {count} {'fault' if count == 1 else 'faults'}, listed above; nothing was changed") from None


def read_roster(path: Path) -> Roster:
    """The roster of a file, compiled; raises Refused after all its faults have been shown."""
    text = read_text(path)
    return checked(path, lambda: parse_roster(text))
