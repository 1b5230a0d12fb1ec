"""Settings of the escalation service, each from its DESKCLOCK_ variable."""

import hashlib
import hmac
from typing import Annotated, Literal

from msgspec import Meta, Struct

from shared.runtime.settings import SECRET

_WEB = r"^https?://[^\s@?#]+$"


class Settings(Struct, frozen=True, kw_only=True):
    """What an operator may decide about this process."""

    database_url: Annotated[str, Meta(description="PostgreSQL, as postgresql://user@host/database."), SECRET]
    nats_url: Annotated[str, Meta(description="NATS, as nats://host:4222."), SECRET] = "nats://127.0.0.1:4222"
    environment: Annotated[
        Literal["development", "production"],
        Meta(description="`production` refuses the embedded servers and warped time."),
    ] = "development"
    http_host: Annotated[str, Meta(description="Address the HTTP server listens on.")] = "127.0.0.1"
    escalation_port: Annotated[int, Meta(ge=0, le=65535, description="Port of escalation's HTTP server.")] = 8081
    public_url: Annotated[
        str,
        Meta(
            description="Where people reach escalation from outside; links in pages begin with it. Empty: its host and port."
        ),
    ] = ""
    fault_point: Annotated[
        str,
        Meta(
            description="Only for trials: where this process is to die, as K6_CLAIMED:3, or to stand still, as K6_CLAIMED:3:stop; "
            "refused in production."
        ),
    ] = ""
    log_format: Annotated[Literal["text", "json"], Meta(description="Lines for a person, or JSON lines.")] = "text"
    metrics_open: Annotated[bool, Meta(description="Whether /metrics answers without an API key.")] = False
    page_allow_hosts: Annotated[
        str,
        Meta(
            description="Hosts or addresses, separated by commas, that pages may be sent to although they are private or "
            "loopback, and without https."
        ),
    ] = ""
    jsm_url: Annotated[str, Meta(description="API of Jira Service Management, for its alerts.", pattern=_WEB)] = (
        "https://api.atlassian.com"
    )
    ntfy_url: Annotated[str, Meta(description="The ntfy server of contacts that name only a topic.", pattern=_WEB)] = (
        "https://ntfy.sh"
    )
    pagerduty_url: Annotated[
        str, Meta(description="PagerDuty's Events API; its EU region has another.", pattern=_WEB)
    ] = "https://events.pagerduty.com"
    slack_url: Annotated[str, Meta(description="Slack's Web API.", pattern=_WEB)] = "https://slack.com"
    smtp_server: Annotated[
        str,
        Meta(
            description="Mail server for contacts that name none, as smtp.example.org:587. Logins go to it and to allowed hosts only."
        ),
    ] = ""
    twilio_url: Annotated[str, Meta(description="Twilio's API, for text messages and calls.", pattern=_WEB)] = (
        "https://api.twilio.com"
    )
    secrets_dir: Annotated[
        str,
        Meta(description="Folder of the files that a contact's `secret: file:NAME` may name. Empty: none may."),
    ] = ""
    heartbeat_url: Annotated[
        str,
        Meta(
            description="Address of a check outside, asked for (GET) as long as all that must hold for paging does; it is to alarm "
            "when it hears nothing for two periods. Empty: only the metric tells."
        ),
        SECRET,
    ] = ""
    heartbeat_seconds: Annotated[
        float, Meta(ge=0.1, le=3600, description="Seconds between two heartbeats; looked at three times as often.")
    ] = 30
    ack_key: Annotated[
        str,
        Meta(
            description="Key that acknowledgement links are made with; the same in all replicas. Empty: made from DATABASE_URL."
        ),
        SECRET,
    ] = ""
    docs_open: Annotated[bool, Meta(description="Whether the API's description answers without an API key.")] = False
    pool_size: Annotated[int, Meta(ge=2, le=100, description="Connections to PostgreSQL.")] = 8

    def link_base(self, port: int) -> str:
        """What acknowledgement links begin with, without a slash at the end; `port` is where we listen."""
        return self.public_url.rstrip("/") or f"http://{self.http_host}:{port}"

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Lower-case names and addresses that pages may go to in spite of being private."""
        return _hosts(self.page_allow_hosts)

    @property
    def token_key(self) -> bytes:
        """Secret key of the tokens in links."""
        secret = self.ack_key or self.database_url
        return hmac.new(b"deskclock acknowledgement links", secret.encode(), hashlib.sha256).digest()


class FeedSettings(Struct, frozen=True, kw_only=True):
    """What the command that imports calendars needs to know of the same settings."""

    page_allow_hosts: Annotated[
        str, Meta(description="Hosts, separated by commas, that calendars may be read from although they are private.")
    ] = ""

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """As those of the service."""
        return _hosts(self.page_allow_hosts)


def _hosts(text: str) -> frozenset[str]:
    return frozenset(host.strip().lower() for host in text.split(",") if host.strip())
