"""Why help is needed with a ticket: what the router says when it asks, and what whoever is paged reads."""

from enum import StrEnum

from msgspec import Struct

from shared.contract.tickets import Channel

ROUTING = "routing"
"""What an escalation is of that no promise began: finding somebody for the ticket."""


class Why(StrEnum):
    """What somebody has to see to; the first three are reasons why a ticket waits (routing-rules 3.6)."""

    NO_SKILL = "no_skill"
    """Nobody on the roster can take it."""
    OFFLINE = "offline"
    """Those who can are not there."""
    EXCLUDED = "excluded"
    """All of those who can have declined."""
    MANUAL = "manual"
    """Somebody wants a lead to look at it."""


class About(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why help is needed; stored with the request and with its escalation."""

    why: Why
    channel: Channel | None = None
    needs: tuple[tuple[str, int], ...] = ()
    """Skills that are wanted, with the least level."""
    declined: int = 0
    """How many of those who could take it don't get it again: they declined it, or let it lapse."""
    by: str | None = None
    """Who asked, where a person did."""
    said: str | None = None
    """And in what words."""
