"""Service requests as a city publishes them, and the ticket events they amount to.

The file is a CSV with the columns of Boston's open data; its times are local wall-clock times without an offset.
"""

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from shared.contract.tickets import Status

SOURCE = "boston311"
_ZONE = ZoneInfo("America/New_York")
_FORMAT = "%m/%d/%Y %I:%M:%S %p"
_encoder = msgspec.json.Encoder()


class CityVerdict(StrEnum):
    """What the city says of its own promise."""

    ONTIME = "ONTIME"
    OVERDUE = "OVERDUE"


class Request(Struct, frozen=True, kw_only=True):
    """One line of the file; instants are aware UTC."""

    number: str
    opened_at: datetime
    promised_at: datetime | None
    closed_at: datetime | None
    verdict: CityVerdict | None
    subject: str
    reason: str
    type: str
    neighborhood: str
    channel: str


class UnreadableRequests(ValueError):
    """The file of requests can't be read; the text says where and why."""


def read(path: Path) -> list[Request]:
    """All requests of a CSV file, gzipped or not, in the order of their opening; raises `UnreadableRequests`."""
    try:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        requests = list(_requests(text.decode()))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UnreadableRequests(f"{path} can't be read: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableRequests(f"{path} is not a file of service requests: {error}") from None
    return sorted(requests, key=lambda request: (request.opened_at, request.number))


def _requests(text: str) -> Iterator[Request]:
    for row in csv.DictReader(text.splitlines()):
        opened_at = _instant(row["OPEN_DT"])
        if opened_at is None:
            raise ValueError(f"request {row['CASE_ENQUIRY_ID']} has no OPEN_DT")
        yield Request(
            number=row["CASE_ENQUIRY_ID"],
            opened_at=opened_at,
            promised_at=_instant(row["TARGET_DT"]),
            closed_at=_instant(row["CLOSED_DT"]),
            verdict=CityVerdict(row["OnTime_Status"]) if row["OnTime_Status"] else None,
            subject=row["SUBJECT"],
            reason=row["REASON"],
            type=row["TYPE"],
            neighborhood=row["neighborhood"],
            channel=row["Source"],
        )


def _instant(text: str) -> datetime | None:
    return datetime.strptime(text, _FORMAT).replace(tzinfo=_ZONE).astimezone(UTC) if text else None


class Wire(Struct, frozen=True, kw_only=True):
    """One event, ready to be sent at its instant."""

    at: datetime
    id: str
    kind: str
    """The last word of its type: `opened`, `replied`, `status_changed`."""
    number: str
    body: bytes
    """A CloudEvent in structured mode."""


def opened(request: Request) -> Wire:
    """The request arrives."""
    return _wire(request, "opened", "opened", request.opened_at, _facts(request))


def _facts(request: Request) -> dict[str, object]:
    return {
        "source": SOURCE,
        "external_id": request.number,
        "channel": request.channel,
        "subject": request.type,
        "text": f"{request.reason}: {request.type}",
        "attributes": {
            "type": request.type,
            "reason": request.reason,
            "subject": request.subject,
            "neighborhood": request.neighborhood,
        },
        "opened_at": request.opened_at,
    }


def replied(request: Request, agent: str, at: datetime) -> Wire:
    """An agent answers the citizen for the first time."""
    return _wire(request, "replied", "reply", at, {"by": "agent", "public": True, "at": at, "agent": agent})


def handed_to(request: Request, agent: str, at: datetime, n: int) -> Wire:
    """The desk hands the request to somebody else by hand, for the `n`th time: a crew in the field."""
    return _wire(request, "assigned", f"handed-{n}", at, {"agent": agent, "at": at})


def updated(request: Request, agent: str, at: datetime, n: int) -> Wire:
    """The citizen is told how things stand, for the `n`th time."""
    return _wire(request, "replied", f"update-{n}", at, {"by": "agent", "public": True, "at": at, "agent": agent})


def new_ticket(request: Request) -> bytes:
    """The request as the body of `POST /v1/tickets`."""
    return _encoder.encode(_facts(request))


def status_changed(request: Request, status: Status, at: datetime) -> Wire:
    """The request is handed to a crew, or is done."""
    return _wire(request, "status_changed", str(status), at, {"status": status, "at": at})


def _wire(request: Request, kind: str, name: str, at: datetime, data: dict[str, object]) -> Wire:
    event_id = f"{request.number}-{name}"
    envelope = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": f"ticket.{kind}",
        "subject": request.number,
        "time": at,
        "data": data,
    }
    return Wire(at=at, id=event_id, kind=kind, number=request.number, body=_encoder.encode(envelope))


def story(request: Request) -> Iterator[Wire]:
    """The request as its line tells it: it was opened and, where it was, closed."""
    yield opened(request)
    if request.closed_at is not None:
        yield status_changed(request, Status.SOLVED, request.closed_at)


def moved(request: Request, due_at: datetime) -> Wire:
    """Somebody set another date by hand. The file doesn't say when: it counts as known from the opening on."""
    data = {"target": "resolution", "due_at": due_at, "at": request.opened_at}
    return _wire(request, "deadline_set", "moved", request.opened_at, data)
