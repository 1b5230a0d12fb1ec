"""The driver of the replay: sends what the script says when the deciding time reaches it, and tells the script what it hears.

It talks to the running services as anybody would: events through JetStream, tickets, presence and acknowledgements over
HTTP, and Deskclock's own events by subscription. Only the rate of time it sets in the database.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from uuid import UUID

import httpx
import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from services.console import store
from services.console.domain import requests
from services.console.domain.pace import Pace, Plan
from services.console.domain.script import Acknowledge, Act, Arrive, Script, Send
from services.console.domain.staff import PresenceChange
from services.console.failures import Failure
from services.escalation.tokens import Tokens
from shared import timesource
from shared.contract import subjects
from shared.postgres import time as database_time
from shared.postgres.pool import Pool

_TICK_SECONDS = 0.01
_HTTP_AT_ONCE = 8
_ATTEMPTS = 3
_SETTLE_SECONDS = 20.0
_SETTLE_POLL_SECONDS = 0.05
_PUBLISH_SECONDS = 10.0


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
        plan: Plan,
        script: Script,
        pool: Pool,
        client: Client,
        router: httpx.AsyncClient,
        escalation: httpx.AsyncClient,
        tokens: Tokens,
        tenant: str,
    ) -> None:
        self.plan = plan
        self.script = script
        self.sent = Sent(at={}, answers=[])
        self.pace = Pace(plan.since, plan.rate)
        self.now = plan.since
        self._pool = pool
        self._client = client
        self._stream: JetStreamContext = client.jetstream(timeout=_PUBLISH_SECONDS)
        self._router = router
        self._escalation = escalation
        self._tokens = tokens
        self._tenant = tenant
        self._http_slots = asyncio.Semaphore(_HTTP_AT_ONCE)

    @property
    def progress(self) -> float:
        """Share of the replay that is behind us."""
        return self.plan.progress(self.now)

    async def run(self) -> None:
        """From the first request to the last closing; returns when everything sent has been taken in and judged."""
        subscription = await self._client.subscribe(subjects.sla(self._tenant, ">"), cb=self._hear)
        await self._client.flush()
        try:
            async with self._pool.acquire() as connection:
                await database_time.warp(connection, to=self.plan.since, rate=self.plan.rate)
            async with asyncio.TaskGroup() as calls:
                await self._play(calls)
            await self._settle()
        finally:
            await subscription.unsubscribe()

    async def _play(self, calls: asyncio.TaskGroup) -> None:
        async with self._pool.acquire() as connection:
            rate = self.plan.rate
            while True:
                self.now = await database_time.now(connection)
                wanted = self.plan.rate_at(self.now)
                if wanted != rate:
                    rate = wanted
                    self.pace.change(await database_time.warp(connection, rate=rate), rate)
                await self._perform(self.script.due(self.now), calls)
                if self.now >= self.plan.until:
                    self.pace.change(await database_time.warp(connection, rate=1.0), 1.0)
                    return
                await timesource.pause(_TICK_SECONDS)

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
        await self._stream.publish(
            subjects.ticket(self._tenant, wire.kind), wire.body, headers={"Nats-Msg-Id": wire.id}
        )

    async def _hand_in(self, act: Arrive) -> None:
        body = requests.new_ticket(act.request)
        if (took := await self._call(self._router, "POST", "/v1/tickets", body)) is not None:
            self.sent.answers.append(took)

    async def _say_presence(self, change: PresenceChange) -> None:
        body = msgspec.json.encode({"status": change.status})
        await self._call(self._router, "PUT", f"/v1/agents/{change.agent}/presence", body)

    async def _acknowledge(self, act: Acknowledge) -> None:
        # The token is that of the link in the page: who was paged, has it.
        await self._call(self._escalation, "POST", f"/v1/ack/{self._tokens.token(act.page)}")

    async def _call(
        self, service: httpx.AsyncClient, method: str, path: str, body: bytes | None = None
    ) -> float | None:
        """Real seconds that the answer took; None where the service refused."""
        async with self._http_slots:
            started = timesource.monotonic()
            answer = await _insist(service, method, path, body)
            took = timesource.monotonic() - started
        if answer.is_success:
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
            case "sla.page.accepted" if heard.page is not None and heard.person is not None and heard.kind == "page":
                self.script.heard_page(heard.page, heard.person, news.time)

    async def _settle(self) -> None:
        """Wait until every event is in the log and no clock that was due is unfired."""
        expected = self.sent.events + self.sent.over_http
        until = timesource.monotonic() + _SETTLE_SECONDS
        async with self._pool.acquire() as connection:
            while True:
                rest = await store.load_backlog(connection, self._tenant, self.plan.until)
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
