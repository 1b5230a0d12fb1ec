"""The roster file: who there is, what they can do and how to reach them."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from shared.contract.tickets import Channel
from shared.policy import located, shape
from shared.policy.document import Contact, Person, Policy, Presence, Roster
from shared.policy.errors import PolicyErrors, did_you_mean
from shared.policy.located import escape
from shared.policy.paging import PERSON
from shared.policy.reading import Reading
from shared.policy.roster_layout import PersonLine, RosterFile

_KEY_LIMIT = 200
_SECRET = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+")
_WITHOUT_ADDRESS = frozenset({"console"})
_URL_METHODS = frozenset({"webhook"})
_MOST_CONTACTS = 10


def parse_roster(text: str) -> Roster:
    """Compile a roster file (YAML or JSON); raises `PolicyErrors` with all that is wrong with it."""
    document = located.read(text)
    reading = Reading(document)
    file = shape.build(reading, RosterFile)
    people = {} if file is None else _people(reading, file.people)
    if reading.errors:
        raise PolicyErrors(reading.errors)
    return Roster(people=people)


def people_named(policy: Policy) -> dict[str, str]:
    """Everybody the policy wants to page, with the JSON Pointer of the first place that names them."""
    named: dict[str, str] = {}
    for rotation in policy.on_call.values():
        for index, person in enumerate(rotation.people):
            named.setdefault(person, f"/on_call/{escape(rotation.name)}/people/{index}")
    for ladder in policy.escalations.values():
        pointer = f"/escalations/{escape(ladder.name)}"
        recipients = [(f"{pointer}/steps/{index}/page", step.page) for index, step in enumerate(ladder.steps)]
        recipients += [(f"{pointer}/otherwise", ladder.otherwise), (f"{pointer}/on_warning", ladder.on_warning)]
        for place, names in recipients:
            for name in names:
                if name.startswith(PERSON):
                    named.setdefault(name.removeprefix(PERSON), place)
    return named


def whom_did_you_mean(key: str, known: Iterable[str]) -> str:
    """The remedy for a person whom the roster doesn't know."""
    keys = list(known)
    return did_you_mean(key, keys, what="people") if keys else "apply the roster first (`deskclock roster apply`)"


def _people(reading: Reading, lines: dict[str, PersonLine]) -> dict[str, Person]:
    everybody = reading.document.value["people"]
    people = {}
    for key, line in lines.items():
        pointer = f"/people/{escape(key)}"
        if len(key) > _KEY_LIMIT or key != key.strip():
            reading.fault(
                pointer,
                f"`{key[:60]}` can't be a key",
                f"use a short name without spaces around it, at most {_KEY_LIMIT} characters",
            )
        if line.lead is not None:
            _check_lead(reading, key, line.lead, f"{pointer}/lead", everybody)
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
            contacts=_contacts(reading, line, f"{pointer}/contacts"),
            timezone=line.timezone,
            quiet_hours=line.quiet_hours,
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


def _contacts(reading: Reading, line: PersonLine, pointer: str) -> tuple[Contact, ...]:
    contacts = []
    for place, entry in shape.entries(line.contacts, pointer):
        contacts.append(_contact(reading, {entry: ""} if isinstance(entry, str) else dict(entry), place))
    if len(contacts) > _MOST_CONTACTS:
        reading.fault(pointer, f"{len(contacts)} contacts, the limit is {_MOST_CONTACTS}", "keep those that wake them")
    return tuple(contacts)


def _contact(reading: Reading, entry: dict[str, str], pointer: str) -> Contact:
    secret = entry.pop("secret", "")
    if secret and not _SECRET.fullmatch(secret):
        reading.fault(
            f"{pointer}/secret", "secrets don't stand in this file", "write where it is: `env:NAME` or `file:/path`"
        )
    if len(entry) != 1:
        reading.fault(
            pointer,
            "one contact is one method with its address",
            'write {webhook: "https://...", secret: "env:NAME"}, or `console`',
        )
        return Contact(method="")
    [(method, address)] = entry.items()
    if not address and method not in _WITHOUT_ADDRESS:
        reading.fault(
            pointer,
            f"`{method[:60]}` has no address",
            'write it as in {webhook: "https://..."}; only `console` needs none',
        )
    if method in _URL_METHODS and address and not _is_url(address):
        reading.fault(
            f"{pointer}/{escape(method)}",
            f"`{address[:60]}` is no web address",
            "write it as in `https://hooks.example.org/deskclock`",
        )
    return Contact(method=method, address=address, secret=secret)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
