"""Policy and roster files read whole: either a compiled policy, or every fault with its line and a remedy.

A stored version is read from its `document`, the same file as plain JSON with holidays resolved to dates, so that no
upgrade of a holiday list moves a deadline.
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

import msgspec

from shared.policy import (
    assigning,
    calendars,
    insisting,
    ladder_linting,
    linting,
    located,
    paging,
    rotations,
    rules,
    shape,
    targets,
)
from shared.policy.document import Policy
from shared.policy.errors import LocatedError, PolicyErrors
from shared.policy.layout import PolicyFile
from shared.policy.located import Document
from shared.policy.reading import Reading
from shared.policy.roster import parse_roster
from shared.sla.policy import SlaPolicy

__all__ = ["ReadPolicy", "parse_policy", "parse_roster", "read_policy", "stored_policy", "zones_of"]


class ReadPolicy(NamedTuple):
    """A policy file, compiled and ready to be stored."""

    policy: Policy
    document: bytes
    """JSON: the file with holidays as dates."""
    located: Document
    """The file as it was read, to say where a fault found later stands."""
    warnings: tuple[LocatedError, ...] = ()
    """What is legal but seldom meant."""


def parse_policy(text: str, *, version: int) -> Policy:
    """Compile a policy file (YAML or JSON); raises `PolicyErrors` with all that is wrong with it."""
    return read_policy(text, version=version).policy


def read_policy(text: str, *, version: int, today: date | None = None, before: bytes | None = None) -> ReadPolicy:
    """The same, with the document to store and what to warn of.

    Given `today`, calendars must open within the next 400 days. `before` is the document of the version in force.
    """
    document = located.read(text)
    reading = Reading(document)
    policy = _compile(reading, version, today)
    dated = calendars.with_dates(document.value)
    if before is not None:
        linting.shrunken(reading, msgspec.json.decode(before), dated)
    return ReadPolicy(policy, msgspec.json.encode(dated), document, _in_order(reading.warnings))


def _in_order(warnings: Iterable[LocatedError]) -> tuple[LocatedError, ...]:
    return tuple(sorted(warnings, key=lambda warning: (warning.line, warning.column)))


class _Edition(msgspec.Struct, frozen=True):
    tzdata: str = ""


def zones_of(document: bytes) -> str:
    """The edition of the time zones that a stored version was applied with (rule 31); empty where it doesn't say."""
    return msgspec.json.decode(document, type=_Edition).tzdata


def stored_policy(document: bytes, *, version: int) -> Policy:
    """Compile the `document` of a stored version; asks no list of holidays."""
    return _compile(Reading(Document(msgspec.json.decode(document), {})), version, None)


def _compile(reading: Reading, version: int, today: date | None) -> Policy:
    if reading.document.value is None:
        reading.fault(
            "", "the file is empty", "begin with `targets:`, or start from the file that `deskclock policy show` prints"
        )
        raise PolicyErrors(reading.errors)
    file = shape.build(reading, PolicyFile)
    if file is None:
        raise PolicyErrors(reading.errors)
    policy = _policy(reading, file, version, today)
    if reading.errors:
        raise PolicyErrors(reading.errors)
    return policy


def _policy(reading: Reading, file: PolicyFile, version: int, today: date | None) -> Policy:
    channel_rules, aliases = rules.channels(reading, file.channels)
    policy = Policy(
        version=version,
        sla=SlaPolicy(
            version=version,
            calendars=calendars.read(reading, file.calendars, today, file.feeds),
            targets=targets.read(reading, file.targets),
            follow_up=targets.follow_up(reading, file.follow_up),
        ),
        channels=channel_rules,
        aliases=aliases,
        urgency=rules.urgency(reading, file.urgency),
        themes=rules.themes(reading, file.themes),
        skills=rules.skills(reading, file.skills),
        pools=assigning.pools(reading, file.pools),
        routing=assigning.routing(reading, file.routing),
        model=assigning.model(reading, file.model),
        escalations=paging.ladders(reading, file.escalations),
        on_call=rotations.read(reading, file.on_call),
        paging=paging.held(reading, file.paging),
    )
    insisting.check(reading, policy.skills, policy.sla.targets)
    ladder_linting.lint(reading, policy)
    return policy
