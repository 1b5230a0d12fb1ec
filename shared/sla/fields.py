"""What a rule can see of a ticket, and what the rules say of it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from shared.contract.events import Scored
from shared.contract.tickets import Channel, Urgency


class Fields(Struct, frozen=True, kw_only=True, gc=False):
    """What a rule can see of a ticket at one instant."""

    channel: Channel
    urgency: Urgency = Urgency.NORMAL
    theme: str = "unknown"
    language: str = ""
    source: str = ""
    requester_key: str = ""
    requester_tier: str = ""
    team: str = ""
    """Whom the helpdesk last handed it to."""
    attributes: Mapping[str, Any] = {}
    text: str = ""
    """Subject and text, joined by a line break."""


class Facts(Struct, frozen=True, kw_only=True, gc=False):
    """What the helpdesk said of a ticket, up to one instant; what `classify` judges."""

    source: str
    channel: str
    """As the helpdesk writes it; the policy's aliases make it one of ours."""
    urgency: Urgency | None = None
    subject: str = ""
    text: str = ""
    language: str = ""
    requester_key: str = ""
    requester_tier: str = ""
    team: str = ""
    attributes: dict[str, Any] = {}
    theme: str = ""
    """Said by somebody who read it; empty: nobody has."""
    is_urgency_said: bool = False
    """Somebody has changed the urgency since it was opened: no model raises it then."""
    scored: Scored | None = None
    """What a model made of the text."""


class By(StrEnum):
    """Who says what urgency or theme a ticket has."""

    RULE = "rule"
    MODEL = "model"
    PERSON = "person"
    """Somebody who changed it."""
    HELPDESK = "helpdesk"
    """The helpdesk, when it was opened."""
    NOBODY = "nobody"


class Classification(Struct, frozen=True, kw_only=True, gc=False):
    """What the rules say of a ticket (routing-rules 2)."""

    channel: Channel
    urgency: Urgency
    theme: str
    language: str
    urgency_by: By = By.NOBODY
    theme_by: By = By.NOBODY
    needs: tuple[tuple[str, int], ...] = ()
    """Mandatory skills with the least level, 1 to 5."""
    prefers: tuple[str, ...] = ()
    insists: tuple[tuple[str, ...], ...] = ()
    """Groups of preferred skills that are needed for a while; the last is given up first."""
    pool: str = "default"
    rules: tuple[str, ...] = ()
    """Names of the rules that hit, in the order of the policy."""
