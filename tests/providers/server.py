"""A real HTTP server that speaks the APIs of the providers that pages go to, and misbehaves when told (escalation-rules 2).

Each provider answers under its own name: `http://127.0.0.1:<port>/pagerduty/v2/enqueue`. In a test: `async with
FaultServer() as providers`. Beside it: `python -m tests.providers`, told by `POST /_faults` (a Fault, or a list of them),
`DELETE /_faults`, and asked by `GET /_items` and `GET /_requests`.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import msgspec

from shared import timesource
from tests.providers import jsm, ntfy, pagerduty, slack, teams, twilio, webhook
from tests.providers.faults import ALWAYS, Fault
from tests.providers.ledger import Ledger
from tests.providers.wire import Reply, Request, said

Speaker = Callable[[Request, Ledger], Reply]

SPEAKERS: dict[str, Speaker] = {
    "jsm": jsm.answer,
    "ntfy": ntfy.answer,
    "pagerduty": pagerduty.answer,
    "slack": slack.answer,
    "teams": teams.answer,
    "twilio": twilio.answer,
    "webhook": webhook.answer,
}
_LARGEST_HEAD = 64 * 1024
_HELLO_OF_TLS = b"\x16"


class FaultServer:
    """Listens on a free port of 127.0.0.1 from `start` to `stop`."""

    def __init__(self, ledger: Ledger | None = None, *, port: int = 0, is_untrusted: bool = False) -> None:
        """With `is_untrusted` it speaks TLS, and its certificate is one that nobody trusts."""
        self.ledger = ledger or Ledger()
        self._port = port
        self._tls = _untrusted() if is_untrusted else None
        self._faults: list[Fault] = []
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._released = asyncio.Event()
        self._changed = asyncio.Event()
        self.connections = 0
        """How many were accepted."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the same port as before where there was one."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, limit=_LARGEST_HEAD, ssl=self._tls
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from here on, and cut those there are."""
        if self._server is not None:
            self._server.close()
            self.behave()
            for writer in list(self._open):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    @property
    def base(self) -> str:
        """Where all of them listen."""
        return f"http{'s' * (self._tls is not None)}://127.0.0.1:{self._port}"

    def url(self, provider: str) -> str:
        """A provider's base address, in place of its public one."""
        return f"{self.base}/{provider}"

    def misbehave(self, *faults: Fault) -> None:
        """Do so, from the next request on; those told before come first."""
        self._faults.extend(faults)

    def behave(self) -> None:
        """Forget all faults, and let go of what hangs (unanswered)."""
        self._faults.clear()
        self._released.set()
        self._released = asyncio.Event()

    async def got(self, provider: str, count: int) -> None:
        """Wait until a provider has had so many requests."""
        while self.ledger.count(provider) < count:
            self._changed.clear()
            await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False ends the connection."""
        first = await reader.readexactly(1)
        if first == _HELLO_OF_TLS:
            writer.write(_as_http(Reply(status=400)))
            await writer.drain()
            return False
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.strip().split("\r\n")
        method, target, _ = line.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        parts = urlsplit(target)
        provider, _, path = parts.path.lstrip("/").partition("/")
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(
            method=method, provider=provider, path=f"/{path}", query=parts.query, headers=headers, body=body
        )
        if provider.startswith("_"):
            writer.write(_as_http(self._told(request)))
            await writer.drain()
            return True
        fault = self._fault(request, head)
        if fault is None:
            await self._answer(writer, request, self._reply(request), "")
            return True
        return await self._misbehave(writer, request, fault)

    def _reply(self, request: Request) -> Reply:
        speaker = SPEAKERS.get(request.provider)
        return speaker(request, self.ledger) if speaker else said(404, {}, problem="no such provider")

    def _fault(self, request: Request, head: str) -> Fault | None:
        text = head + request.body.decode("utf-8", "replace")
        fault = next((one for one in self._faults if one.meets(request.provider, text)), None)
        if fault is not None and fault.times != ALWAYS:
            fault.times -= 1
        return fault

    async def _misbehave(self, writer: asyncio.StreamWriter, request: Request, fault: Fault) -> bool:
        match fault.kind:
            case "delay":
                await timesource.pause(fault.seconds, unless=self._released)
                await self._answer(writer, request, self._reply(request), fault.kind)
                return True
            case "trickle":
                reply = self._reply(request)
                self._keep(request, reply, fault.kind)
                for byte in _as_http(reply):
                    writer.write(bytes((byte,)))
                    await writer.drain()
                    await timesource.pause(fault.seconds, unless=self._released)
                return True
            case "redirect":
                reply = Reply(status=307, headers={"location": f"{self.base}/_landed"})
                await self._answer(writer, request, reply, fault.kind)
                return True
        done = self._reply(request) if fault.is_handled else Reply(status=fault.status)
        if fault.kind == "status":
            headers = {"content-type": "application/json"}
            if fault.retry_after:
                headers["retry-after"] = fault.retry_after
            reply = Reply(status=fault.status, body=fault.body.encode(), headers=headers, effects=done.effects)
            await self._answer(writer, request, reply, fault.kind)
            return True
        self._keep(request, msgspec.structs.replace(done, status=0), fault.kind)
        if fault.kind == "hang":
            await self._released.wait()
        elif fault.kind == "garbage":
            writer.write(fault.body.encode() or b"\x00\xff no HTTP at all\r\n\r\n")
            await writer.drain()
        writer.transport.abort() if fault.kind == "close" else writer.close()
        return False

    async def _answer(self, writer: asyncio.StreamWriter, request: Request, reply: Reply, fault: str) -> None:
        self._keep(request, reply, fault)
        writer.write(_as_http(reply))
        await writer.drain()

    def _keep(self, request: Request, reply: Reply, fault: str) -> None:
        self.ledger.write(
            request,
            timesource.unix_time(),
            status=reply.status or None,
            problem=reply.problem,
            fault=fault,
            effects=reply.effects,
        )
        self._changed.set()

    def _told(self, request: Request) -> Reply:
        """What is said to the server itself."""
        match request.method, request.provider:
            case "POST", "_faults":
                given = request.body if request.body.startswith(b"[") else b"[%s]" % request.body
                self.misbehave(*msgspec.json.decode(given, type=list[Fault]))
            case "DELETE", "_faults":
                self.behave()
            case "GET", "_items":
                return said(200, self.ledger.items())
            case "GET", "_requests":
                return said(200, self.ledger.requests())
            case _, "_landed":
                self._keep(request, Reply(status=200), "")
        return said(200, {"faults": len(self._faults)})


def _untrusted() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("untrusted.pem"))
    return context


def _as_http(reply: Reply) -> bytes:
    headers = {**reply.headers, "content-length": str(len(reply.body))}
    if reply.status == 204:
        headers.pop("content-length")
    lines = [f"HTTP/1.1 {reply.status} {'OK' if reply.status < 300 else 'No'}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + reply.body
