"""A real SMTP server on this host that keeps what it gets and fails as told."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

USER, PASSWORD = b"desk", b"a pass word"


class MailServer:
    """What aiosmtpd asks at every step; `fails` names a step (`EHLO`, `MAIL`, `RCPT`, `DATA`) and what happens there.

    A code and text is answered; `hang` never answers, `drop` closes the connection. `hang` and `drop` at `DATA` come after
    the whole message has.
    """

    def __init__(self) -> None:
        self.port = 0
        self.fails: dict[str, str] = {}
        self.mails: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.was_secure: list[bool] = []
        self.logins: list[bytes] = []
        self.calls = 0
        self._over = asyncio.Event()

    def let_go(self) -> None:
        """Nothing hangs any more."""
        self._over.set()

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """A greeting."""
        self.calls += 1
        session.host_name = hostname
        failed = await self._failure("EHLO", server)
        return [failed] if failed else responses

    async def handle_MAIL(self, server: Any, _session: Any, envelope: Any, address: str, _options: list[str]) -> str:  # noqa: N802
        """A sender."""
        envelope.mail_from = address
        return await self._failure("MAIL", server) or "250 OK"

    async def handle_RCPT(self, server: Any, _session: Any, envelope: Any, address: str, _options: list[str]) -> str:  # noqa: N802
        """A recipient."""
        envelope.rcpt_tos.append(address)
        return await self._failure("RCPT", server) or "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """A message."""
        self.mails.append(message_from_bytes(envelope.content, EmailMessage, policy=policy.SMTP))
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        self.was_secure.append(session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None)
        return await self._failure("DATA", server) or "250 2.0.0 OK: queued as 4f2"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        """A login."""
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        return AuthResult(success=(data.login, data.password) == (USER, PASSWORD), handled=False)

    async def _failure(self, step: str, server: Any) -> str:
        fault = self.fails.get(step, "")
        if fault == "hang":
            await self._over.wait()
            return "421 too late"
        if fault == "drop":
            server.transport.abort()
            return "421 gone"
        return fault


@asynccontextmanager
async def serving(
    *, starttls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None, asks_login: bool = False
) -> AsyncIterator[MailServer]:
    """A mail server on a free port of 127.0.0.1."""
    made = MailServer()
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            made, hostname="mail.test", loop=loop, tls_context=starttls, require_starttls=starttls is not None,
            authenticator=made.authenticate, auth_required=asks_login and implicit is None, auth_require_tls=implicit is None,
        )  # fmt: skip

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=implicit)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.let_go()
        server.close()
        await server.wait_closed()


def certificate(folder: Path, name: str = "localhost") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side for this name, and the side of a client that believes it."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))
