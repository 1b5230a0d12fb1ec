"""All channels of this process, put together from its settings in one place."""

from collections.abc import Mapping

from services.escalation.channels import Channel
from services.escalation.channels.client import HttpClient
from services.escalation.channels.console import Console
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.smtp import Email
from services.escalation.channels.twilio import Sms, Twilio, Voice
from services.escalation.channels.webhook import Webhook
from services.escalation.settings import Settings


def build_channels(settings: Settings) -> Mapping[str, Channel]:
    """Every channel by its name."""
    secrets = Secrets(settings.secrets_dir)
    channels: tuple[Channel, ...] = (
        Console(),
        Email(settings.allowed_hosts, secrets),
        Sms(_twilio(settings, secrets)),
        Voice(_twilio(settings, secrets)),
        Webhook(HttpClient(settings.allowed_hosts), secrets),
    )
    return {channel.name: channel for channel in channels}


def _twilio(settings: Settings, secrets: Secrets) -> Twilio:
    """Text messages and calls have connections of their own."""
    client = HttpClient(settings.allowed_hosts)
    return Twilio(client, secrets, url=settings.twilio_url, public_url=settings.public_url)
