"""All channels of this process, put together from its settings in one place."""

from collections.abc import Mapping

from services.escalation.channels import Channel
from services.escalation.channels.apprise import Apprise
from services.escalation.channels.client import HttpClient, host_of
from services.escalation.channels.console import Console
from services.escalation.channels.jsm import Jsm
from services.escalation.channels.ntfy import Ntfy
from services.escalation.channels.pagerduty import PagerDuty
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.slack import Slack
from services.escalation.channels.smtp import Email
from services.escalation.channels.teams import Teams
from services.escalation.channels.twilio import Sms, Twilio, Voice
from services.escalation.channels.webhook import Webhook
from services.escalation.settings import Settings


def build_channels(settings: Settings) -> Mapping[str, Channel]:
    """Every channel by its name."""
    allowed, secrets = settings.allowed_hosts, Secrets(settings.secrets_dir)
    channels: tuple[Channel, ...] = (
        Apprise(secrets),
        Console(),
        Email(allowed, secrets, server=settings.smtp_server),
        Jsm(_client(settings, settings.jsm_url), secrets, url=settings.jsm_url),
        Ntfy(
            _client(settings, settings.ntfy_url),
            HttpClient(allowed),
            secrets,
            url=settings.ntfy_url,
            allowed_hosts=allowed,
        ),
        PagerDuty(_client(settings, settings.pagerduty_url), secrets, url=settings.pagerduty_url),
        Slack(_client(settings, settings.slack_url), secrets, url=settings.slack_url),
        Sms(_twilio(settings, secrets)),
        Teams(HttpClient(allowed), secrets),
        Voice(_twilio(settings, secrets)),
        Webhook(HttpClient(allowed), secrets),
    )
    return {channel.name: channel for channel in channels}


def _client(settings: Settings, url: str) -> HttpClient:
    """Connections to a provider; where the operator says it is, it may be."""
    return HttpClient(settings.allowed_hosts | {host_of(url)})


def _twilio(settings: Settings, secrets: Secrets) -> Twilio:
    """Text messages and calls have connections of their own."""
    client = _client(settings, settings.twilio_url)
    return Twilio(client, secrets, url=settings.twilio_url, public_url=settings.public_url)
