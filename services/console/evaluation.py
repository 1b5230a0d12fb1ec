"""What `deskclock evaluate` does with lines: whose each is, what each ticket's say, and which of them can't be read."""

from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO

import msgspec
from msgspec import Struct

from services.console.domain import judging
from services.console.gathering import Answer, Line
from shared.contract import events
from shared.contract.events import Rejected, TicketEvent
from shared.policy.document import Policy

LONGEST_LINE = 1024 * 1024
"""As much as one body at the doors of the services."""
FAULTS_SHOWN = 20
_TENANT = "default"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Tally:
    """Lines seen, and those that could not be read: all counted, the first ones kept."""

    def __init__(self) -> None:
        self.lines = 0
        """Lines that are not blank."""
        self.faults = 0
        self._first: list[tuple[int, str]] = []

    def add_fault(self, number: int, reason: str) -> None:
        """One line, by its number."""
        self.join_faults(1, [(number, reason)])

    def join_faults(self, count: int, first: list[tuple[int, str]]) -> None:
        """Those of a part."""
        self.faults += count
        self._first += first
        if len(self._first) > 2 * FAULTS_SHOWN:
            self._first = self.first_faults

    @property
    def first_faults(self) -> list[tuple[int, str]]:
        """Numbers and reasons of the first ones, by number."""
        return sorted(self._first)[:FAULTS_SHOWN]


def lines(file: BinaryIO, tally: Tally) -> Iterator[Line]:
    """The lines of a file with the hash of their ticket, blank ones left out; those that name none are faults."""
    for number, text, is_whole in _numbered(file):
        if not text:
            continue
        tally.lines += 1
        if not is_whole:
            tally.add_fault(number, f"longer than {LONGEST_LINE:,} bytes: no event is")
            continue
        try:
            yield Line(number, _ticket_of(text), text)
        except Rejected as error:
            tally.add_fault(number, str(error))


def judged(part: Iterator[Line], policy: Policy, now: datetime, tally: Tally) -> Iterator[Answer]:
    """Judge all tickets of some lines; an id that comes again is the same event, and the first one stands."""
    first: dict[tuple[str, str], int] = {}
    logs: dict[tuple[str, str], dict[str, TicketEvent]] = {}
    for line in part:
        try:
            event = events.decode(_TENANT, line.text)
        except Rejected as error:
            tally.add_fault(line.number, str(error))
            continue
        identity = event.source, event.ticket
        if identity not in first:
            first[identity] = line.number
            logs[identity] = {}
        logs[identity].setdefault(event.id, event)
    for identity, number in first.items():
        log = list(logs.pop(identity).values())
        yield number, judging.encode(judging.judge(log, policy, now))


class _Identity(Struct, frozen=True):
    source: str | None = None
    external_id: str | None = None


class _Header(Struct, frozen=True):
    """As much of an event as says whose it is."""

    source: str = ""
    subject: str | None = None
    data: _Identity = _Identity()


_header = msgspec.json.Decoder(_Header)


def _ticket_of(text: bytes) -> int:
    """Hash of the ticket of an event; raises Rejected where it names none. All the rest is read later."""
    try:
        header = _header.decode(text)
        source, ticket = header.data.source or header.source, header.subject or header.data.external_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = events.decode(_TENANT, text)
        source, ticket = event.source, event.ticket
    return hash((source, ticket)) & 0xFFFF_FFFF_FFFF_FFFF


def _numbered(file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Number, text and whether it is whole: of a line that is too long the end is skipped."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        is_whole = True
        while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            is_whole = False
            line = file.readline(LONGEST_LINE + 1) or b"\n"
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        yield number, line.strip() if is_whole else b"...", is_whole
