"""The driver of the replay: sends what the script says when the deciding time reaches it, and tells the script what it hears.

It talks to the running services as anybody would: events through JetStream, tickets, presence and acknowledgements over
HTTP, and Deskclock's own events by subscription. Only the rate of time it sets in the database.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from datetime import datetime
from http import HTTPStatus
from uuid import UUID

import httpx
import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from services.console import store
from services.console.domain import requests
from services.console.domain.governor import Governor
from services.console.domain.pace import Pace
from services.console.domain.script import Acknowledge, Act, Arrive, Script, Send
from services.console.domain.staff import PresenceChange
from services.console.failures import Failure
from services.escalation.tokens import Tokens
from shared import timesource
from shared.contract import subjects
from shared.jetstream import streams
from shared.postgres import time as database_time
from shared.postgres.pool import Pool

_TICK_SECONDS = 0.02
_PROBE_SECONDS = 0.1
_STEER_SECONDS = 0.2
_STEER_SHARE = 0.1
_HTTP_AT_ONCE = 8
_ATTEMPTS = 3
_SETTLE_SECONDS = 20.0
_SETTLE_POLL_SECONDS = 0.05
_PUBLISH_SECONDS = 10.0
_ANSWERED = frozenset({"page", "summary", "digest"})
"""Kinds of pages whose link somebody follows."""


class Sent(Struct, kw_only=True):
    """What went out, for the report."""

    events: int = 0
    over_http: int = 0
    at: dict[str, datetime] = {}
    """The deciding time at which each event went out through JetStream, by its id."""
    answers: list[float] = []
    """Real seconds until a ticket handed in over HTTP had its answer."""
    refused: int = 0
    """Requests that a service refused; none, if all is well."""
    last_refusal: str = ""


class _Heard(Struct, frozen=True):
    """What the replay needs of our own events."""

    source: str = ""
    ticket: str = ""
    owner: str = ""
    target: str = ""
    page: UUID | None = None
    person: str | None = None
    kind: str = ""
    due_at: datetime | None = None
    at: datetime | None = None
    detected_at: datetime | None = None


class _News(Struct, frozen=True):
    type: str
    time: datetime
    data: _Heard


_decode = msgspec.json.Decoder(_News).decode


class Replay:
    """One replay against a running stack."""

    def __init__(
        self,
        *,
        governor: Governor,
        script: Script,
        pool: Pool,
        client: Client,
        router: httpx.AsyncClient,
        escalation: httpx.AsyncClient,
        tokens: Tokens,
        tenant: str,
    ) -> None:
        self.governor = governor
        self.script = script
        self.sent = Sent(at={}, answers=[])
        self.pace = Pace(governor.plan.since, governor.plan.rate)
        self.now = governor.plan.since
        self.traffic_until = governor.plan.traffic_until
        self._pool = pool
        self._client = client
        self._stream: JetStreamContext = client.jetstream(timeout=_PUBLISH_SECONDS)
        self._router = router
        self._escalation = escalation
        self._tokens = tokens
        self._tenant = tenant
        self._began = 0.0
        self._unsettled: deque[tuple[int, float]] = deque()
        self._http_slots = asyncio.Semaphore(_HTTP_AT_ONCE)

    @property
    def progress(self) -> float:
        """Share of the replay that is behind us."""
        return self.governor.progress(self.now, self._elapsed)

    @property
    def _elapsed(self) -> float:
        return timesource.monotonic() - self._began if self._began else 0.0

    async def run(self) -> None:
        """From the first request to the last closing; returns when everything sent has been taken in and judged."""
        subscription = await self._client.subscribe(subjects.sla(self._tenant, ">"), cb=self._hear)
        await self._client.flush()
        self._began = timesource.monotonic()
        try:
            async with asyncio.TaskGroup() as calls:
                watching = calls.create_task(self._watch_backlog())
                await self._play(calls)
                watching.cancel()
            await self._settle()
        finally:
            await subscription.unsubscribe()

    async def _play(self, calls: asyncio.TaskGroup) -> None:
        governor = self.governor
        rate, changed = governor.plan.rate, 0.0
        async with self._pool.acquire() as connection:
            await database_time.warp(connection, to=governor.plan.since, rate=rate)
            while self.now < governor.plan.until:
                self.now = await database_time.now(connection)
                elapsed = self._elapsed
                if not governor.is_late and governor.is_traffic_over(self.now, elapsed):
                    governor.end_traffic(self.now, elapsed)
                    self.traffic_until = self.now
                    self.script.end_traffic(self.now)
                wanted = governor.rate(self.now, elapsed)
                if elapsed - changed >= _STEER_SECONDS and abs(wanted / rate - 1) > _STEER_SHARE:
                    rate, changed = wanted, elapsed
                    self.pace.change(await database_time.warp(connection, rate=rate), rate)
                await self._perform(self.script.due(self.now), calls)
                await timesource.pause(_TICK_SECONDS)
            self.pace.change(await database_time.warp(connection, rate=1.0), 1.0)

    async def _watch_backlog(self) -> None:
        """Tell the governor how long the oldest event has waited that the router hasn't settled."""
        while True:
            await timesource.pause(_PROBE_SECONDS)
            info = await self._stream.consumer_info(subjects.TICKETS, streams.ROUTER)
            settled = info.ack_floor.stream_seq if info.ack_floor else 0
            while self._unsettled and self._unsettled[0][0] <= settled:
                self._unsettled.popleft()
            if self._unsettled:
                self.governor.note_lag(self._elapsed, timesource.monotonic() - self._unsettled[0][1])

    async def _perform(self, acts: Sequence[Act], calls: asyncio.TaskGroup) -> None:
        publishing: list[Awaitable[None]] = []
        for act in acts:
            match act:
                case Send():
                    publishing.append(self._publish(act))
                case Arrive():
                    self.sent.over_http += 1
                    calls.create_task(self._hand_in(act))
                case PresenceChange():
                    calls.create_task(self._say_presence(act))
                case Acknowledge():
                    calls.create_task(self._acknowledge(act))
        if publishing:
            await asyncio.gather(*publishing)

    async def _publish(self, act: Send) -> None:
        wire = act.wire
        self.sent.events += 1
        self.sent.at[wire.id] = self.now
        started = timesource.monotonic()
        stored = await self._stream.publish(
            subjects.ticket(self._tenant, wire.kind), wire.body, headers={"Nats-Msg-Id": wire.id}
        )
        self._unsettled.append((stored.seq, started))

    async def _hand_in(self, act: Arrive) -> None:
        body = requests.new_ticket(act.request)
        if (took := await self._call(self._router, "POST", "/v1/tickets", body)) is not None:
            self.sent.answers.append(took)

    async def _say_presence(self, change: PresenceChange) -> None:
        body = msgspec.json.encode({"status": change.status})
        await self._call(self._router, "PUT", f"/v1/agents/{change.agent}/presence", body)

    async def _acknowledge(self, act: Acknowledge) -> None:
        # The token is that of the link in the page: who was paged, has it. At this speed the escalation may have begun anew
        # before the page is read: then the link says so, and a person would take the newest one.
        await self._call(
            self._escalation, "POST", f"/v1/ack/{self._tokens.token(act.page)}", fine=frozenset({HTTPStatus.CONFLICT})
        )

    async def _call(
        self,
        service: httpx.AsyncClient,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        fine: frozenset[int] = frozenset(),
    ) -> float | None:
        """Real seconds that the answer took; None where the service refused, but for the statuses that are `fine`."""
        async with self._http_slots:
            started = timesource.monotonic()
            answer = await _insist(service, method, path, body)
            took = timesource.monotonic() - started
        if answer.is_success or answer.status_code in fine:
            return took
        self.sent.refused += 1
        self.sent.last_refusal = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return None

    async def _hear(self, message: Msg) -> None:
        try:
            news = _decode(message.data)
        except msgspec.MsgspecError:
            return  # an event of another shape than those below
        heard = news.data
        match news.type:
            case "sla.ticket.assigned":
                self.script.heard_assignment(heard.ticket, heard.owner, news.time)
            case "sla.clock.warned":
                self.script.heard_warning(heard.ticket, heard.target, news.time)
            case "sla.clock.breached":
                self._note_lag(heard.at, heard.detected_at)
            case "sla.page.accepted":
                self._note_lag(heard.due_at, heard.at)
                if heard.page is not None and heard.person is not None and heard.kind in _ANSWERED:
                    self.script.heard_page(heard.page, heard.person, news.time)

    def _note_lag(self, due_at: datetime | None, done_at: datetime | None) -> None:
        if due_at is not None and done_at is not None:
            self.governor.note_lag(self._elapsed, self.pace.took(due_at, done_at))

    async def _settle(self) -> None:
        """Wait until every event is in the log and no clock that was due is unfired."""
        expected = self.sent.events + self.sent.over_http
        until = timesource.monotonic() + _SETTLE_SECONDS
        async with self._pool.acquire() as connection:
            while True:
                rest = await store.load_backlog(connection, self._tenant, self.governor.plan.until)
                if rest.events >= expected and not rest.unfired:
                    return
                if timesource.monotonic() > until:
                    raise Failure(
                        f"the services did not keep up: {expected - rest.events} of {expected} events were not taken in and "
                        f"{rest.unfired} due clocks not fired within {_SETTLE_SECONDS:.0f} s; use a lower --rate"
                        + (f" (last refusal: {self.sent.last_refusal})" if self.sent.refused else "")
                    )
                await timesource.pause(_SETTLE_POLL_SECONDS)


_JSON = {"content-type": "application/json"}


async def _insist(service: httpx.AsyncClient, method: str, path: str, body: bytes | None) -> httpx.Response:
    """All calls of the replay may be made twice, so a connection that closes under one is no matter."""
    headers = _JSON if body else None
    for _ in range(_ATTEMPTS - 1):
        try:
            return await service.request(method, path, content=body, headers=headers)
        except httpx.TransportError:
            continue
    return await service.request(method, path, content=body, headers=headers)
