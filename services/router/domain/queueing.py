"""The queue entry of a ticket, for all who put one into the queue: intake, whoever takes one back, whoever gives one up.

Pure: what is stored of the ticket, the policy version that judges it and its clocks go in.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

import msgspec

from services.router.domain.queue import Groups, Needs, QueueEntry, place_in_queue
from services.router.domain.standing import owed
from shared.contract.ledger import Ticket
from shared.contract.tickets import Channel, Urgency
from shared.policy.document import Policy
from shared.sla.clock import Clock

_decode_needs = msgspec.json.Decoder(Needs).decode
_decode_groups = msgspec.json.Decoder(Groups).decode


def entry_of(
    ticket: Ticket,
    policy: Policy,
    clocks: Iterable[Clock],
    now: datetime,
    *,
    queued_at: datetime | None = None,
    previous_owner: str | None = None,
    excluded: tuple[str, ...] = (),
) -> QueueEntry:
    """The place of an opened ticket in the queue, by the policy version that judges it.

    Without `queued_at` it has waited since it was opened; a time ahead of `now` counts as now. Raises ValueError where
    the ticket has not been opened: nobody is wanted for it.
    """
    if ticket.opened_at is None:
        raise ValueError("a ticket that has not been opened waits for nobody")
    channel = Channel(ticket.channel or Channel.OTHER)
    due_at, promised = owed(clocks) or (None, None)
    return place_in_queue(
        ticket_id=ticket.id,
        tenant=ticket.tenant,
        pool=ticket.pool,
        channel=channel,
        rule=policy.channels[channel],
        needs=_needs(ticket.needs),
        prefers=tuple(ticket.prefers),
        urgency=Urgency(ticket.urgency or Urgency.NORMAL),
        queued_at=min(queued_at or ticket.opened_at, now),
        due_at=due_at,
        promised=promised,
        now=now,
        previous_owner=previous_owner,
        excluded=excluded,
        insists=_groups(ticket.insists),
        overflow=_overflow(policy, ticket.pool),
        routing=policy.routing,
    )


@lru_cache(maxsize=4096)
def _needs(stored: bytes) -> Needs:
    return _decode_needs(stored)


@lru_cache(maxsize=4096)
def _groups(stored: bytes) -> Groups:
    return _decode_groups(stored)


def _overflow(policy: Policy, pool: str) -> tuple[str, float] | None:
    rule = next((rule for rule in policy.pools if rule.name == pool), None)
    return None if rule is None or rule.overflow_to is None else (rule.overflow_to, rule.overflow_after)
