"""What happens in the replay and when: requests arrive and are closed as the data says, people react as `staff` says.

Pure: the driver tells it what it has heard (an assignment, a warning, a page) and asks what is due by now. Everything
that it says has happened bears the instant at which it did, however late the driver asks.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from services.console.domain import requests, staff
from services.console.domain.requests import Request, Wire
from services.console.domain.staff import PresenceChange, Shift
from shared.contract.tickets import Status, TargetKind

WEB = "Self Service"
"""Requests from the city's web form come in over HTTP; all others through NATS."""
_SOON_DONE = timedelta(minutes=20)
"""What is closed so soon after the answer stays with who answered."""


class Arrive(Struct, frozen=True, kw_only=True):
    """A request comes in over HTTP."""

    request: Request


class Send(Struct, frozen=True, kw_only=True):
    """An event goes out through NATS."""

    wire: Wire


class Acknowledge(Struct, frozen=True, kw_only=True):
    """Somebody takes a page."""

    page: UUID
    person: str


Act: TypeAlias = Arrive | Send | PresenceChange | Acknowledge


class Script:
    """The acts of one replay, in the order of their instants."""

    def __init__(
        self,
        chosen: Iterable[Request],
        *,
        since: datetime,
        traffic_until: datetime,
        until: datetime,
        shifts: Mapping[str, Shift],
        crews: frozenset[str],
        aliases: Mapping[str, str],
    ) -> None:
        self._shifts = shifts
        self._crews = crews
        self._aliases = aliases
        self._heap: list[tuple[datetime, int, Callable[[datetime], list[Act]]]] = []
        self._order = count()
        self._requests = {request.number: request for request in chosen}
        self._arrived: dict[str, Request] = {}
        self._is_over = False
        self._owners: dict[str, str] = {}
        self._answered: dict[str, datetime] = {}
        self._handed: dict[str, int] = {}
        self._closed: set[str] = set()
        self._updates: dict[str, int] = {}
        self._reacted: set[UUID] = set()
        for request in self._requests.values():
            self._at(request.opened_at, self._arrival(request))
            if request.closed_at is not None and request.closed_at <= until:
                self._at(max(request.closed_at, request.opened_at), self._closing(request))
        for change in staff.presence(shifts, since, traffic_until):
            self._at(change.at, self._coming(change))

    @property
    def requests(self) -> list[Request]:
        """Those that have arrived."""
        return list(self._arrived.values())

    def end_traffic(self, at: datetime) -> None:
        """No more requests arrive. From now on nobody's working hours matter: everybody is there to answer what is left."""
        self._is_over = True
        for agent in self._shifts:
            self._at(at, _constant(PresenceChange(at, agent, staff.Presence.ONLINE)))

    def due(self, now: datetime) -> list[Act]:
        """Everything that has happened by `now` and wasn't told yet."""
        acts: list[Act] = []
        while self._heap and self._heap[0][0] <= now:
            at, _, act = heapq.heappop(self._heap)
            acts += act(at)
        return acts

    def heard_assignment(self, number: str, agent: str, at: datetime) -> None:
        """An agent has got a request; answers it within working hours, then hands it to a crew."""
        request = self._requests.get(number)
        if request is None or agent in self._crews:
            return
        self._owners[number] = agent
        if number in self._answered:
            self._at(at, self._handing(request))
            return
        channel = self._aliases.get(request.channel.casefold(), "other")
        has_hours = agent in self._shifts and not self._is_over
        begins = staff.working(self._shifts[agent], at) if has_hours else at
        self._at(begins + staff.answer_after(number, channel), self._answering(request, agent))

    def heard_warning(self, number: str, target: str, at: datetime) -> None:
        """The citizen is owed word of how things stand: mostly somebody sends it."""
        request = self._requests.get(number)
        if request is None or target != TargetKind.UPDATE or number not in self._answered:
            return
        n = self._updates[number] = self._updates.get(number, 0) + 1
        if staff.chance(number, "update", str(n)) < staff.UPDATES_SENT:
            self._at(at + staff.answer_after(f"{number} {n}", "messaging"), self._update(request, n))

    def heard_page(self, page: UUID, person: str, at: datetime) -> None:
        """Somebody's telephone has rung."""
        if page in self._reacted:
            return
        self._reacted.add(page)
        reaction = staff.reaction(str(page), person)
        if reaction.acknowledges:
            self._at(at + reaction.after, _constant(Acknowledge(page=page, person=person)))

    def _at(self, at: datetime, act: Callable[[datetime], list[Act]]) -> None:
        heapq.heappush(self._heap, (at, next(self._order), act))

    def _arrival(self, request: Request) -> Callable[[datetime], list[Act]]:
        def act(_: datetime) -> list[Act]:
            if self._is_over:
                return []
            self._arrived[request.number] = request
            return [Arrive(request=request) if request.channel == WEB else Send(wire=requests.opened(request))]

        return act

    def _coming(self, change: PresenceChange) -> Callable[[datetime], list[Act]]:
        return lambda _: [] if self._is_over else [change]

    def _closing(self, request: Request) -> Callable[[datetime], list[Act]]:
        def act(at: datetime) -> list[Act]:
            if request.number not in self._arrived:
                return []
            self._closed.add(request.number)
            acts: list[Act] = []
            if request.number not in self._answered:
                self._answered[request.number] = at
                acts.append(Send(wire=requests.replied(request, self._owners.get(request.number, "desk"), at)))
            return [*acts, Send(wire=requests.status_changed(request, Status.SOLVED, at))]

        return act

    def _answering(self, request: Request, agent: str) -> Callable[[datetime], list[Act]]:
        def act(at: datetime) -> list[Act]:
            if request.number in self._answered:
                return []
            self._answered[request.number] = at
            return [Send(wire=requests.replied(request, agent, at)), *self._handing(request)(at)]

        return act

    def _handing(self, request: Request) -> Callable[[datetime], list[Act]]:
        crew = crew_of(request)

        def act(at: datetime) -> list[Act]:
            soon = request.closed_at is not None and request.closed_at <= at + _SOON_DONE
            if soon or request.number in self._closed or crew not in self._crews:
                return []
            n = self._handed[request.number] = self._handed.get(request.number, 0) + 1
            return [Send(wire=requests.handed_to(request, crew, at, n))]

        return act

    def _update(self, request: Request, n: int) -> Callable[[datetime], list[Act]]:
        def act(at: datetime) -> list[Act]:
            if request.number in self._closed:
                return []
            return [Send(wire=requests.updated(request, crew_of(request), at, n))]

        return act


def crew_of(request: Request) -> str:
    """Who works such a request in the field, as the roster calls them."""
    words = "".join(letter if letter.isalnum() else " " for letter in request.subject.lower().replace("'", "")).split()
    return "-".join(["crew", *words])


def _constant(act: Act) -> Callable[[datetime], list[Act]]:
    return lambda _: [act]
