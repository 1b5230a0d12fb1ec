"""Who is paged in the trials: duties, their people and their contacts, as a policy and a roster.

Duties `d` page a person by a keyed channel (webhook or PagerDuty) and one by an unkeyed one (ntfy), and five minutes later
two others; `r` one person by a keyed channel, each an account of its own; `u` one by an unkeyed one; `p` one whose first
contact is in trouble.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from msgspec import Struct

from tests.providers import credentials

DUTIES = 8
RACES = 16
PAGERS = {
    "broken": "answers 503",
    "silent": "never answers",
    "cut": "ends connections",
    "refused": "refuses connections",
    "nameless": "has no address (DNS)",
    "untrusted": "speaks no TLS",
    "busy": "429, Retry-After 7",
    "slow": "takes 30 s, 60 pages",
    "forgetful": "accepts, never delivers",
}


class Due(Struct, frozen=True, order=True):
    """Somebody has to be told of a ticket by a step."""

    ticket: str
    step: int
    to: str


class Burst(Struct, frozen=True, kw_only=True):
    """Tickets of one round, and when the first and the last of them break, in seconds since 1970."""

    tickets: Sequence[str]
    duties: Mapping[str, str]
    begins: float
    ends: float

    def due(self, *steps: int) -> set[Due]:
        """Who has to be told."""
        return {
            Due(ticket, step, who)
            for ticket, duty in self.duties.items()
            for step in steps
            for who in paged(duty, step)
        }


def paged(duty: str, step: int) -> tuple[str, ...]:
    """Whom a step of it pages."""
    kind, number = duty[0], duty[1:]
    if kind == "d":
        return (f"person/kay-{number}-{step}", f"person/una-{number}-{step}")
    if step > 1:
        return ()
    return ({"r": f"person/rae-{number}", "u": f"person/una-{number}-1", "p": f"person/pat{number}"}[kind],)


def policy() -> str:
    """A promise and a ladder for each duty."""
    single = [
        *(f"r{n}" for n in range(RACES)),
        *(f"u{n}" for n in range(DUTIES)),
        *(f"p-{name}" for name in PAGERS),
    ]
    ladders: dict[str, Any] = {name: {"steps": [{"page": list(paged(name, 1))}]} for name in single}
    for name in (f"d{n}" for n in range(DUTIES)):
        steps = [{"after": after, "page": list(paged(name, step))} for step, after in ((1, "0m"), (2, "5m"))]
        ladders[name] = {"steps": steps}
    targets = [
        {
            "name": name,
            "when": {"attributes.duty": name},
            "calendar": "always",
            "first_response": "1h",
            "escalate": name,
        }
        for name in ladders
    ]
    return yaml.safe_dump(
        {
            "calendars": {"always": {"hours": "always"}},
            "targets": targets,
            "escalations": ladders,
            "paging": {"window": "0s", "settle": "0s"},
        }
    )


def roster(port: int, races: Sequence[int], troubled: Mapping[str, int], refused: int) -> str:
    """Everybody; the ports are those of links to the providers, `refused` one that nobody listens on."""
    people: dict[str, list[dict[str, str]]] = {f"rae-{n}": [_hook(one, f"rae-{n}")] for n, one in enumerate(races)}
    for name, one in troubled.items():
        people[f"pat-{name}"] = [_first(name, one, refused), {"ntfy": f"pat-{name}"}]
    for n in range(DUTIES):
        for step in (1, 2):
            key = f"{n}-{step}"
            pager = {"pagerduty": f"kay {key}", "secret": "env:DESKCLOCK_SECRET_PAGERDUTY"}
            people[f"kay-{key}"] = [pager if n % 2 else _hook(port, f"kay-{key}")]
            people[f"una-{key}"] = [{"ntfy": f"una-{key}"}]
    return yaml.safe_dump({"people": {key: {"name": key, "contacts": contacts} for key, contacts in people.items()}})


def _first(name: str, port: int, refused: int) -> dict[str, str]:
    """The contact that is in trouble."""
    match name:
        case "refused":
            return _hook(refused, f"pat-{name}")
        case "nameless":
            return _hook(port, f"pat-{name}", scheme="https", host="pager.invalid")
        case "untrusted":
            return _hook(port, f"pat-{name}", scheme="https")
        case "forgetful":
            return {
                "sms": "+15005550100",
                "from": credentials.TWILIO_NUMBER,
                "secret": "env:DESKCLOCK_SECRET_TWILIO",
            }
    return _hook(port, f"pat-{name}")


def _hook(port: int, who: str, *, scheme: str = "http", host: str = "127.0.0.1") -> dict[str, str]:
    return {"webhook": f"{scheme}://{host}:{port}/webhook/{who}", "secret": "env:DESKCLOCK_SECRET_WEBHOOK"}
