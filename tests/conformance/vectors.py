"""The form of a conformance vector: one question, what is right, and why. `schema.json` is made from these structs.

README.md beside it explains every field to those who implement the rules elsewhere.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

HERE = Path(__file__).parent
SCHEMA = HERE / "schema.json"

Utc: TypeAlias = Annotated[datetime, Meta(tz=True, description="RFC 3339 in UTC, as in `2026-06-05T14:00:00Z`.")]
Duration: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]+(\.[0-9]+)?[smh])+$|^[0-9]+bd$",
        description="Open time, as in `8h`, `1h30m`, `45s`; or business days, as in `2bd`.",
    ),
]
Local: TypeAlias = Annotated[
    dict[str, Annotated[str, Meta(pattern=r"^[A-Z][a-z]{2} \d{4}-\d{2}-\d{2} \d{2}:\d{2}(:\d{2})?$")]],
    Meta(description="The same instants on a wall of `zone`, by name of their field. For reading only."),
]


class _Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whatever is written in a vector is known by name."""


class Policy(_Line, frozen=True, kw_only=True):
    """A policy file as JSON, or the part of it that the question needs."""

    calendars: Annotated[dict[str, dict[str, Any]], Meta(description="By name; `always` is there without it.")] = {}
    targets: Annotated[list[dict[str, Any]], Meta(description="Promises; the first line that matches wins.")] = []


class CloudEvent(_Line, frozen=True, kw_only=True):
    """What happened to a ticket: CloudEvents 1.0, structured."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(description="The same id again is the same event.")]
    source: str
    type: Annotated[str, Meta(pattern=r"^ticket\.[a-z_]+$")]
    subject: Annotated[str, Meta(description="The ticket.")]
    time: Annotated[str, Meta(description="When it happened, with an offset unless the vector is about its absence.")]
    data: dict[str, Any]


class _Vector(_Line, frozen=True, kw_only=True, tag_field="ask"):
    id: Annotated[str, Meta(pattern=r"^[0-9]+-[a-z0-9-]+$", description="Its rule and a few words; unique.")]
    rule: Annotated[int, Meta(ge=1, le=64)]
    title: Annotated[str, Meta(min_length=5, max_length=200)]
    elsewhere: Annotated[str, Meta(description="Where another system goes wrong.")] | None = None
    zone: Annotated[str, Meta(description="Zone in which `local` is written.")] = "Europe/Berlin"
    local: Local = {}
    policy: Policy


class DueAt(_Line, frozen=True, kw_only=True):
    """The answer to `due`."""

    due_at: Annotated[Utc | None, Meta(description="Null where the calendar never opens that long.")]


class Due(_Vector, frozen=True, kw_only=True, tag="due"):
    """When has so much open time been used, from a start on?"""

    calendar: str
    start_at: Utc
    duration: Duration
    expect: DueAt


class StartAt(_Line, frozen=True, kw_only=True):
    """The answer to `start`."""

    start_at: Utc


class Start(_Vector, frozen=True, kw_only=True, tag="start"):
    """Backward: from when on is so much open, up to an end? The latest such instant."""

    calendar: str
    end_at: Utc
    duration: Duration
    expect: StartAt


class OpenSeconds(_Line, frozen=True, kw_only=True):
    """The answer to `open`."""

    open_seconds: Annotated[float, Meta(ge=0)]


class Open(_Vector, frozen=True, kw_only=True, tag="open"):
    """How much open time lies between two instants?"""

    calendar: str
    start_at: Utc
    end_at: Utc
    expect: OpenSeconds


class Accepted(_Line, frozen=True, kw_only=True):
    """The answer to `accept`."""

    accepted: bool


class Accept(_Vector, frozen=True, kw_only=True, tag="accept"):
    """May this policy be saved?"""

    expect: Accepted


class ExpectedClock(_Line, frozen=True, kw_only=True):
    """One promise of a ticket. What is not given is not compared."""

    target: str
    cycle: Annotated[int, Meta(ge=1)] = 1
    matched: str | msgspec.UnsetType = msgspec.UNSET
    state: Literal["running", "paused", "met", "breached", "cancelled"]
    started_at: Utc | msgspec.UnsetType = msgspec.UNSET
    due_at: Utc | msgspec.UnsetType | None = msgspec.UNSET
    met_at: Utc | msgspec.UnsetType | None = msgspec.UNSET
    breached_at: Utc | msgspec.UnsetType | None = msgspec.UNSET
    open_seconds: Annotated[float, Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET
    wall_seconds: Annotated[float, Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET
    local: Local = {}

    def given(self) -> dict[str, Any]:
        """The fields that are compared, by name."""
        given = {name: getattr(self, name) for name in self.__struct_fields__ if name != "local"}
        return {name: value for name, value in given.items() if value is not msgspec.UNSET}


class ExpectedClocks(_Line, frozen=True, kw_only=True):
    """The answer to `clocks`: all of the ticket's, in any order; one that is not listed is not there."""

    clocks: list[ExpectedClock]


class Clocks(_Vector, frozen=True, kw_only=True, tag="clocks"):
    """What has become of a ticket's promises? The order of the events, and repetitions of them, must not matter."""

    events: Annotated[list[CloudEvent], Meta(min_length=1)]
    now: Utc
    expect: ExpectedClocks


Vector: TypeAlias = Due | Start | Open | Accept | Clocks


class VectorFile(_Line, frozen=True, kw_only=True):
    """One file of vectors."""

    schema: Literal["schema.json"] = field(name="$schema")
    title: str
    vectors: Annotated[list[Vector], Meta(min_length=1)]


@cache
def load() -> dict[str, tuple[Vector, ...]]:
    """The vectors of every file, by the file's name; raises msgspec.ValidationError for one that is not in form."""
    return {
        path.name: tuple(msgspec.json.decode(path.read_bytes(), type=VectorFile).vectors)
        for path in sorted(HERE.glob("*.json"))
        if path != SCHEMA
    }


def every() -> Iterator[Vector]:
    """All vectors."""
    for vectors in load().values():
        yield from vectors


def schema() -> bytes:
    """JSON Schema (2020-12) of a file of vectors."""
    made = msgspec.json.schema(VectorFile)
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"
