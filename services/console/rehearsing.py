"""What a rehearsal is made of: a policy, whom it may reach, and who is on call, from files or as they are in force."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from msgspec import Struct

from services.console import store
from services.console.domain import rehearsal as rehearsals
from services.console.domain.rehearsal import Cast, Moment
from services.console.output import read_settings
from services.console.policies import read_policy, read_roster
from services.console.session import database
from services.escalation import duties
from services.escalation.domain import ladder as ladders
from services.escalation.domain.recipient import Person
from services.escalation.domain.rotation import Duty
from services.escalation.store import on_call
from shared.ledger.policies import PolicyShelf
from shared.policy import methods, roster
from shared.policy.document import Contact, Ladder, Policy
from shared.postgres import time as database_time
from shared.sla.calendar import Calendar

_UTC = ZoneInfo("UTC")
_AHEAD = timedelta(days=14)
"""How far ahead overrides are looked at: a rehearsal begins within eight days."""


class Scene(Struct, frozen=True, kw_only=True):
    """All that a rehearsal asks."""

    policy: Policy
    people: Mapping[str, Person]
    leads: Mapping[str, str] = {}
    """Key of a person -> key of whoever leads them."""
    duties: Mapping[str, Duty]
    has_no_roster: bool = False


class Rehearsal(Struct, frozen=True, kw_only=True):
    """What would happen."""

    ladder: Ladder
    line: str | None
    """The line of `targets` that starts it."""
    zone: ZoneInfo
    broke_at: datetime
    owner: str | None
    moments: tuple[Moment, ...]


async def in_force(tenant: str) -> Scene:
    """The scene as it stands: the policy and the roster in force, with overrides and imported shifts."""
    async with database(read_settings()) as connection:
        now = await database_time.now(connection)
        shelf = PolicyShelf()
        policy = await shelf.current(connection, tenant)
        on_duty = await duties.of_tenant(connection, shelf, tenant, now, until=now + _AHEAD)
        return Scene(
            policy=policy,
            people={person.key: person for person in await on_call.roster(connection, tenant)},
            leads=await store.load_leads(connection, tenant),
            duties=on_duty.duties,
        )


def of_files(policy_file: Path, roster_file: Path | None) -> Scene:
    """The scene of a policy file and its roster; without one, everybody whom the policy names is on the console."""
    policy = read_policy(policy_file)
    duties = {name: Duty(rotation=rotation) for name, rotation in policy.on_call.items()}
    if roster_file is None:
        there = {
            key: Person(key=key, name=key, contacts=(Contact(method="console"),)) for key in roster.people_named(policy)
        }
        return Scene(policy=policy, people=there, duties=duties, has_no_roster=True)
    read = read_roster(roster_file).people
    people = {key: Person(key=key, name=one.name, contacts=one.contacts) for key, one in read.items()}
    return Scene(
        policy=policy, people=people, duties=duties, leads={key: one.lead for key, one in read.items() if one.lead}
    )


def started(policy: Policy) -> list[str]:
    """The escalations that lines start, in the order of their lines."""
    return list(dict.fromkeys(target.escalate for target in policy.sla.targets if target.escalate is not None))


def rehearsal(scene: Scene, name: str, owner: str | None, when: Callable[[ZoneInfo], datetime]) -> Rehearsal:
    """Walk an escalation of the scene; `when` says in a zone at what instant the promise breaks."""
    policy = scene.policy
    line = next((target for target in policy.sla.targets if target.escalate == name), None)
    calendar = policy.sla.calendars.get(line.calendar) if line is not None else None
    zone = _UTC if calendar is None else calendar.spec.zone
    ladder, broke_at = policy.escalations[name], when(zone)
    cast = Cast(
        people=scene.people,
        duties=scene.duties,
        owner=owner,
        lead=scene.leads.get(owner or ""),
        methods=frozenset(methods.METHODS),
    )
    return Rehearsal(
        ladder=ladder,
        line=None if line is None else line.name,
        zone=zone,
        broke_at=broke_at,
        owner=owner,
        moments=rehearsals.rehearse(ladder, broke_at, cast, calendar or ladders.ANY_HOUR),
    )
