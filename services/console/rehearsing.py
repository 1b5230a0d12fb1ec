"""What a rehearsal is made of: a policy, whom it may reach, and who is on call, from files or as they are in force."""

from collections.abc import Callable, Iterator, Mapping
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
from services.escalation.domain import gaps
from services.escalation.domain import ladder as ladders
from services.escalation.domain.gaps import GapReason
from services.escalation.domain.recipient import Person
from services.escalation.domain.rotation import Duty
from services.escalation.on_call import duties
from services.escalation.store import on_call
from shared.ledger.policies import PolicyShelf
from shared.policy import methods, roster
from shared.policy.document import Contact, Ladder, Policy, Roster
from shared.policy.ladder_linting import Doubt
from shared.policy.located import escape
from shared.postgres import time as database_time

_UTC = ZoneInfo("UTC")
_AHEAD = timedelta(days=14)
"""How far ahead overrides are looked at: a rehearsal begins within eight days."""
_GAPS_AHEAD = timedelta(days=30)
_WHY_A_GAP = {
    GapReason.NOBODY: "no layer is on",
    GapReason.NOT_IMPORTED: "its calendar was not read that far",
    GapReason.NOT_ON_ROSTER: "whoever has the shift is not on the roster",
    GapReason.NO_CONTACT: "whoever has the shift has no contact",
}


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
    """The scene of a policy file and its roster file."""
    return scene_of(read_policy(policy_file), None if roster_file is None else read_roster(roster_file))


def scene_of(policy: Policy, known: Roster | None) -> Scene:
    """The scene of a policy and a roster; without one, everybody whom the policy names is on the console."""
    on_duty = {name: Duty(rotation=rotation) for name, rotation in policy.on_call.items()}
    if known is None:
        there = {
            key: Person(key=key, name=key, contacts=(Contact(method="console"),)) for key in roster.people_named(policy)
        }
        return Scene(policy=policy, people=there, duties=on_duty, has_no_roster=True)
    people = {key: Person(key=key, name=one.name, contacts=one.contacts) for key, one in known.people.items()}
    leads = {key: one.lead for key, one in known.people.items() if one.lead}
    return Scene(policy=policy, people=people, duties=on_duty, leads=leads)


def gap_doubts(scene: Scene, now: datetime) -> Iterator[Doubt]:
    """Rotations, kept by the policy, for which nobody is on call somewhere in the next 30 days."""
    for name, duty in scene.duties.items():
        if duty.rotation.feed is not None:
            continue
        found = gaps.gaps(duty, now, now + _GAPS_AHEAD, scene.people, frozenset(methods.METHODS))
        if found:
            more = f", and {len(found) - 1} times more" if len(found) > 1 else ""
            zone = duty.rotation.zone
            since, until = (f"{at.astimezone(zone):%a %Y-%m-%d %H:%M}" for at in (found[0].starts_at, found[0].ends_at))
            yield Doubt(
                f"/on_call/{escape(name)}",
                f"in the next {_GAPS_AHEAD.days} days nobody can be paged from {since} to {until} ({zone.key}){more}: "
                f"{_WHY_A_GAP[found[0].reason]}",
                "if that is meant nothing is wrong, the next step is taken at once; else add a layer without `hours` before the others",
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
