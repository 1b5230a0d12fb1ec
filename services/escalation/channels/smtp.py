"""Pages as e-mail: plain text, one recipient, one connection for each.

What was said before the message was handed over can be tried again; a connection lost while it was is unknown (R35), for
nobody can say whether the server took it. The Message-ID is made of the page's id, so that a repeated attempt is the same
message to whoever drops what they have already.
"""

import asyncio
import functools
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

import aiosmtplib
import httpcore
from msgspec import Struct

from services.escalation.channels import Capabilities, Page
from services.escalation.channels.answers import shown
from services.escalation.channels.guarded import GuardedBackend
from services.escalation.channels.rendering import closed, cut, title
from services.escalation.channels.secrets import Secrets
from services.escalation.domain.ladder import Kind
from services.escalation.domain.retry import Outcome, Result
from services.escalation.errors import AddressRefused, SecretMissing
from shared import timesource
from shared.policy.document import Contact
from shared.policy.methods import is_mailbox

_ATTEMPT_SECONDS = 8.0
_CONNECT_SECONDS = 3.0
_SUBMISSION, _IMPLICIT = 587, 465
_MAIL_PORTS = frozenset({25, _IMPLICIT, _SUBMISSION, 2525})
_SUBJECT_LIMIT = 150
_SEVEN_BIT = SMTP_POLICY.clone(cte_type="7bit")
_PRESSING = frozenset({"urgent", "high"})
_PERMANENT = 500


class Email:
    """Sends each page as a message through the mail server that its contact names."""

    name = "email"

    def __init__(
        self,
        allowed_hosts: frozenset[str],
        secrets: Secrets,
        *,
        server: str = "",
        concurrency: int = 10,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """`server` is the operator's own, for contacts that name none; `trust` is the system's if not given.

        It and `allowed_hosts` may be private, listen on any port, and do without TLS; nobody else is logged in to, for a
        roster could name somebody else's.
        """
        self._own = server
        allowed_hosts |= {urlsplit(f"//{server}").hostname or ""}
        self.capabilities = Capabilities(
            is_keyed=False, concurrency=concurrency, per_account=max(concurrency // 2, 1), timeout=timedelta(seconds=9)
        )
        self._allowed = allowed_hosts
        self._secrets = secrets
        self._trust = trust
        self._guard = GuardedBackend(allowed_hosts, resolvers=concurrency)

    def account(self, contact: Contact) -> str:
        """The mail server."""
        return f"{self.name} {(contact.options.get('server') or self._own).lower()}"

    async def send(self, page: Page) -> Outcome:
        """Hand it to the server once."""
        try:
            server = _server(page.options, self._own, self._allowed)
            if page.secret and server.host not in self._allowed:
                raise AddressRefused(
                    "logins go only to DESKCLOCK_SMTP_SERVER and to hosts of DESKCLOCK_PAGE_ALLOW_HOSTS: add this one, or leave out the secret"
                )
            user, _, password = self._secrets.read(page.secret).partition(":") if page.secret else ("", "", "")
            written = message(page)
        except (AddressRefused, SecretMissing, ValueError) as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        progress = _Progress()
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                return await self._hand_over(progress, server, user, password, written)
        except AddressRefused as error:
            return Outcome(result=Result.REJECTED, detail=str(error))
        except (
            TimeoutError,
            OSError,
            httpcore.ConnectError,
            httpcore.TimeoutException,
            aiosmtplib.SMTPException,
        ) as error:
            return outcome(error, password, is_handed=progress.is_handed)

    async def close(self) -> None:
        """Let go of the resolver's threads."""
        self._guard.close()

    async def _hand_over(
        self, progress: "_Progress", server: "_Server", user: str, password: str, written: EmailMessage
    ) -> Outcome:
        smtp = aiosmtplib.SMTP(
            hostname=server.host,
            local_hostname=_domain(str(written["From"])),
            sock=await self._connect(server),
            timeout=_ATTEMPT_SECONDS,
            use_tls=server.tls == "implicit",
            start_tls=server.tls == "starttls",
            tls_context=None if server.tls == "none" else self._trust or _system_trust(),
        )
        try:
            await smtp.connect()
            if user:
                await smtp.login(user, password)
            await smtp.mail(str(written["From"]))
            await smtp.rcpt(str(written["To"]))
            progress.is_handed = True
            response = await smtp.data(written.as_bytes())
            with suppress(aiosmtplib.SMTPException, OSError):  # it is accepted, however they part
                await smtp.quit(timeout=1)
        finally:
            smtp.close()
        return Outcome(result=Result.ACCEPTED, detail=_said(response.code, response.message, password))

    async def _connect(self, server: "_Server") -> socket.socket:
        """A socket to a judged address; the first that answers."""
        loop = asyncio.get_running_loop()
        failure: OSError | TimeoutError = OSError("no address")
        for address in await self._guard.addresses(server.host, server.port, _CONNECT_SECONDS):
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await loop.sock_connect(sock, (address, server.port))
            except (OSError, TimeoutError) as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure


class _Server(Struct, frozen=True):
    host: str
    port: int
    tls: str


class _Progress:
    """How far an attempt has come."""

    def __init__(self) -> None:
        self.is_handed = False


def message(page: Page) -> EmailMessage:
    """The page as a message. Raises ValueError where an address would not stay one header.

    Its thread is that of the promise: what repeats a page, or says that it is moot, refers to the same first message.
    """
    sender = page.options["from"]
    if not is_mailbox(sender) or not is_mailbox(page.address):
        raise ValueError("an address of the contact is no e-mail address: write it as in `ana@example.org`")
    written = EmailMessage(policy=_SEVEN_BIT)
    written["From"] = sender
    written["To"] = page.address
    written["Subject"] = cut(title(page).replace("\n", " "), _SUBJECT_LIMIT)
    written["Date"] = format_datetime(datetime.fromtimestamp(timesource.unix_time(), UTC))
    written["Message-ID"] = _message_id(page.id, sender)
    before = [_message_id(one.id, sender) for one in closed(page)]
    thread = f"{page.facts.source}\x1f{page.facts.ticket}\x1f{page.facts.target}"
    root = _message_id(uuid5(NAMESPACE_URL, thread), sender)
    written["In-Reply-To"] = before[-1] if before else root
    written["References"] = " ".join([root, *before])
    written["Auto-Submitted"] = "auto-generated"
    written["X-Auto-Response-Suppress"] = "All"
    if page.urgency in _PRESSING and page.kind is not Kind.RESOLVE:
        written["Importance"] = "high"
    written.set_content(f"{page.text}\n\nPage {page.id}\n")
    return written


def outcome(error: Exception, password: str = "", *, is_handed: bool) -> Outcome:
    """The class of a failure (R35): by the server's code where there is one, else by whether the message was handed over."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        said = _said(error.code, error.message, password)
        if isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= _PERMANENT:
            said += ": the mail server does not take this user and password"
        return Outcome(result=Result.REJECTED if error.code >= _PERMANENT else Result.RETRYABLE, detail=said)
    said = shown(_reason(error), password)
    if is_handed:
        return Outcome(result=Result.UNKNOWN, detail=f"handed over, no answer: {said}")
    if type(error) is aiosmtplib.SMTPException or isinstance(error, aiosmtplib.SMTPNotSupported):
        detail = f"{said}: the mail server lacks what the contact asks for, TLS or a way to log in"
        return Outcome(result=Result.REJECTED, detail=detail)
    return Outcome(result=Result.RETRYABLE, detail=f"no connection: {said}")


def _server(options: Mapping[str, str], own: str, allowed: frozenset[str]) -> _Server:
    """The mail server of a contact; raises AddressRefused for what could only be something else, or listened to."""
    named = options.get("server") or own
    try:
        parts = urlsplit(f"//{named}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if not host or named != parts.netloc or "@" in named or "from" not in options:
        raise AddressRefused(
            "the contact has no mail server or sender: give it `server: smtp.example.org:587` and `from`"
        )
    tls = options.get("tls") or ("implicit" if port == _IMPLICIT else "starttls")
    port = port or (_IMPLICIT if tls == "implicit" else _SUBMISSION)
    if host not in allowed:
        if tls == "none":
            raise AddressRefused(
                "mail goes over TLS: leave `tls: none` out, or allow the host in DESKCLOCK_PAGE_ALLOW_HOSTS"
            )
        if port not in _MAIL_PORTS:
            raise AddressRefused(
                f"port {port} is not one of mail: use 587 or 465, or allow the host in DESKCLOCK_PAGE_ALLOW_HOSTS"
            )
    return _Server(host, port, tls)


def _said(code: int, text: str, password: str) -> str:
    return f"SMTP {code}: {shown(text, password)}" if text else f"SMTP {code}"


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {getattr(cause, 'verify_message', '') or cause.reason or type(cause).__name__}"
        cause = cause.__cause__ or cause.__context__
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


def _message_id(page_id: UUID, sender: str) -> str:
    return f"<{page_id}@{_domain(sender)}>"


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


@functools.cache
def _system_trust() -> ssl.SSLContext:
    """Whom the system believes to be who they say; SSL_CERT_FILE may name others."""
    return ssl.create_default_context()
