"""What the router tells the world of tickets: the `data` of its events."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from services.router.domain.queue import Needs, Reason
from services.router.domain.tenure import OfferOutcome
from shared.contract.tickets import Channel


class TicketRouted(Struct, frozen=True, kw_only=True):
    """`data` of `ticket.routed`: what the rules made of a ticket."""

    source: str
    ticket: str
    channel: str | None
    urgency: str | None
    theme: str | None
    pool: str
    rules: Sequence[str]
    matched: str | None


class TicketAssigned(Struct, frozen=True, kw_only=True):
    """`data` of `ticket.assigned`."""

    source: str
    ticket: str
    owner: str
    channel: Channel
    skills: Needs = ()
    """Mandatory skills with the least level; the owner has them all, unless the helpdesk chose by hand."""
    prefers: tuple[str, ...] = ()
    reasons: tuple[str, ...]
    """What decided."""
    pool: str


class TicketUnroutable(Struct, frozen=True, kw_only=True):
    """`data` of `ticket.unroutable`: nobody on the roster takes this channel with these skills."""

    source: str
    ticket: str
    channel: Channel
    skills: Needs
    reasons: tuple[str, ...] = (Reason.NO_SKILL,)
    pool: str


class TicketUnassigned(Struct, frozen=True, kw_only=True):
    """`data` of `ticket.unassigned`."""

    source: str
    ticket: str
    owner: str
    """Who had it."""
    reason: str


class TicketOffered(Struct, frozen=True, kw_only=True):
    """`data` of `ticket.offered`: an agent is asked whether they take a ticket; nobody owns it yet."""

    source: str
    ticket: str
    agent: str
    until: datetime
    """Then the offer lapses, and somebody else is asked."""
    channel: Channel
    skills: Needs = ()
    prefers: tuple[str, ...] = ()
    reasons: tuple[str, ...]
    """What decided for this agent."""
    pool: str


class OfferEnded(Struct, frozen=True, kw_only=True):
    """`data` of `ticket.offer_ended`: the agent doesn't get the ticket after all."""

    source: str
    ticket: str
    agent: str
    outcome: OfferOutcome
    """`declined`, `expired` or `withdrawn`."""


class AgentAway(Struct, frozen=True, kw_only=True):
    """`data` of `agent.away`: an agent let offers lapse and gets nothing more until they say that they are there."""

    agent: str
    lapsed: int
    """So many offers in a row."""
