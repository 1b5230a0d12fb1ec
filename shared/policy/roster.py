"""The roster file: who there is, what they can do and how to reach them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import time

from shared.contract.tickets import Channel
from shared.policy import calendars, contacts, hours, located, shape
from shared.policy.document import Person, Policy, Presence, Roster
from shared.policy.errors import PolicyErrors, did_you_mean, short
from shared.policy.located import escape
from shared.policy.methods import METHODS
from shared.policy.paging import CHANNEL, PERSON
from shared.policy.reading import Reading, Unreadable
from shared.policy.roster_layout import PersonLine, RosterFile

_KEY_LIMIT = 200


def parse_roster(text: str) -> Roster:
    """Compile a roster file (YAML or JSON); raises `PolicyErrors` with all that is wrong with it."""
    document = located.read(text)
    reading = Reading(document)
    file = shape.build(reading, RosterFile)
    people = {} if file is None else _people(reading, file)
    if reading.errors:
        raise PolicyErrors(reading.errors)
    return Roster(people=people)


def people_named(policy: Policy) -> dict[str, str]:
    """Everybody the policy wants to page, with the JSON Pointer of the first place that names them."""
    named: dict[str, str] = {}
    for rotation in policy.on_call.values():
        pointer = f"/on_call/{escape(rotation.name)}"
        for number, layer in enumerate(rotation.layers):
            place = f"{pointer}/layers/{number}" if layer.name else pointer
            for index, person in enumerate(layer.people):
                named.setdefault(person, f"{place}/people/{index}")
        for name, key in rotation.feed.people.items() if rotation.feed else ():
            if key is not None:
                named.setdefault(key, f"{pointer}/people/{escape(name)}")
    for ladder in policy.escalations.values():
        pointer = f"/escalations/{escape(ladder.name)}"
        recipients = [(f"{pointer}/steps/{index}/page", step.page) for index, step in enumerate(ladder.steps)]
        recipients += [(f"{pointer}/otherwise", ladder.otherwise), (f"{pointer}/on_warning", ladder.on_warning)]
        recipients.append((f"{pointer}/copy", ladder.copy))
        for place, names in recipients:
            for name in names:
                if name.startswith(PERSON):
                    named.setdefault(name.removeprefix(PERSON), place)
                elif name.startswith(CHANNEL) and name.removeprefix(CHANNEL) not in METHODS:
                    named.setdefault(name.removeprefix(CHANNEL), place)
    return named


def unreachable(policy: Policy, reachable: Mapping[str, bool]) -> Iterator[tuple[str, str, str]]:
    """Where the policy pages somebody in vain, as (pointer, problem, remedy) (escalation-rules R23).

    `reachable` says of everybody on the roster whether there is a way to wake them.
    """
    for person, pointer in people_named(policy).items():
        if person not in reachable:
            problem = f"nobody on the roster has the key `{person[:60]}`"
            yield pointer, problem, whom_did_you_mean(person, reachable)
        elif not reachable[person]:
            yield pointer, f"`{person[:60]}` can't be reached", "give them `contacts` in the roster"


def whom_did_you_mean(key: str, known: Iterable[str]) -> str:
    """The remedy for a person whom the roster doesn't know."""
    keys = list(known)
    return did_you_mean(key, keys, what="people") if keys else "apply the roster first (`deskclock roster apply`)"


def _people(reading: Reading, file: RosterFile) -> dict[str, Person]:
    everybody = reading.document.value["people"]
    accounts = contacts.read_accounts(reading, file.accounts)
    people = {}
    for key, line in file.people.items():
        pointer = f"/people/{escape(key)}"
        if len(key) > _KEY_LIMIT or key != key.strip():
            reading.fault(
                pointer,
                f"`{key[:60]}` can't be a key",
                f"use a short name without spaces around it, at most {_KEY_LIMIT} characters",
            )
        if line.lead is not None:
            _check_lead(reading, key, line.lead, f"{pointer}/lead", everybody)
        zone, quiet = _hours(reading, line, pointer)
        people[key] = Person(
            key=key,
            name=line.name or key,
            skills=_skills(reading, line, pointer),
            channels=_channels(line),
            capacity=line.capacity,
            at_most=line.at_most,
            pools=tuple(dict.fromkeys(pool.strip() for _, pool in shape.entries(line.pools, f"{pointer}/pools"))),
            presence=line.presence,
            calendar=_calendar(reading, line, pointer),
            lead=line.lead,
            contacts=contacts.read_contacts(reading, line.contacts, f"{pointer}/contacts", accounts),
            timezone=zone,
            quiet_hours=quiet,
        )
    return people


def _check_lead(reading: Reading, key: str, lead: str, pointer: str, everybody: dict[str, object]) -> None:
    if lead == key:
        reading.fault(pointer, f"`{key}` can't lead themselves", "name somebody else, or leave `lead` out")
    elif lead not in everybody:
        reading.fault(
            pointer, f"there is nobody `{lead[:60]}` on the roster", did_you_mean(lead, everybody, what="people")
        )


def _skills(reading: Reading, line: PersonLine, pointer: str) -> dict[str, int]:
    written = (
        line.skills if isinstance(line.skills, dict) else dict.fromkeys((skill for skill in line.skills if skill), 1)
    )
    skills: dict[str, int] = {}
    for skill, level in written.items():
        name = skill.strip().casefold()
        if name in skills:
            reading.fault(
                f"{pointer}/skills", f"the skill `{name[:60]}` is there twice (skills have no case)", "keep one"
            )
        skills[name] = level
    return skills


def _calendar(reading: Reading, line: PersonLine, pointer: str) -> str | None:
    is_shift = line.presence is Presence.SHIFT
    if is_shift and line.calendar is None and not reading.holds(f"{pointer}/calendar"):
        reading.fault(pointer, "a shift needs hours", "add `calendar:` with one of the policy's calendars")
    if line.calendar is not None and not is_shift:
        reading.fault(
            f"{pointer}/calendar", "a calendar says when a shift is", "add `presence: shift`, or leave it out"
        )
    return line.calendar if is_shift else None


def _channels(line: PersonLine) -> tuple[Channel, ...]:
    return tuple(dict.fromkeys(channel for _, channel in shape.entries(line.channels, "")))


def _hours(reading: Reading, line: PersonLine, pointer: str) -> tuple[str | None, str | None]:
    """Zone and quiet hours, both or none (R24)."""
    zone = None if line.timezone is None else calendars.zone(reading, f"{pointer}/timezone", line.timezone)
    quiet = None if line.quiet_hours is None else _quiet(reading, f"{pointer}/quiet_hours", line.quiet_hours)
    if line.quiet_hours is not None and line.timezone is None and not reading.holds(f"{pointer}/timezone"):
        reading.fault(f"{pointer}/quiet_hours", "quiet hours of no zone", "add `timezone:`, as in `Europe/Berlin`")
    if line.timezone is not None and line.quiet_hours is None and not reading.holds(f"{pointer}/quiet_hours"):
        reading.fault(
            f"{pointer}/timezone",
            "a zone is for quiet hours",
            "add `quiet_hours:`, as in `22:00-07:00`, or leave it out",
        )
    return (zone.key if zone else None), quiet


def _quiet(reading: Reading, pointer: str, text: str) -> str | None:
    """Quiet hours as `22:00-07:00`, whatever the spaces and dashes they were written with."""
    first, dash, last = text.replace("\N{EN DASH}", "-").partition("-")
    try:
        begin, end = hours.clock_time(first), hours.clock_time(last)
    except Unreadable:
        begin = end = time()
    if not dash or begin == end:
        reading.fault(pointer, f"`{short(text)}` are no hours", "write when they begin and end, as in `22:00-07:00`")
        return None
    return f"{begin:%H:%M}-{end:%H:%M}"
