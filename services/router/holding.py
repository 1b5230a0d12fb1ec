"""What follows for tickets that agents have, or are offered, written: by an event of theirs, or as a timer has come.

Lock order: tickets (held by the caller), then agents; what goes back into the queue was not in it. Whoever ends an
assignment of an open ticket, or lets one go on, comes by here; tickets that are over are released by `saving`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from services.router.domain.queue import Needs
from services.router.domain.queueing import entry_of
from services.router.domain.standing import owes_answer
from services.router.domain.tenure import EXCLUDES, Ended, OfferOutcome, State, Tenure, Terms, Turn, Wants
from services.router.news import AgentAway, OfferEnded, TicketAssigned, TicketUnassigned
from services.router.store import assignments as assignments_store
from services.router.store import queue as queue_store
from services.router.store.queue import Load
from shared.contract.ledger import Ticket
from shared.contract.tickets import Channel
from shared.policy.document import Policy
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection
from shared.sla.clock import Clock

_Agent: TypeAlias = tuple[str, str]


class Case(Struct, frozen=True, kw_only=True):
    """A ticket, how an agent has it, and what becomes of that."""

    ticket: Ticket
    policy: Policy
    clocks: Sequence[Clock]
    before: Tenure
    turn: Turn

    @property
    def agent(self) -> _Agent:
        """Tenant and key of whom it is about."""
        return self.before.tenant, self.before.agent


class Happened(Struct, kw_only=True):
    """What is to be done and counted after the commit."""

    pools: set[tuple[str, str]] = field(default_factory=set)
    """(tenant, pool) where a matching run may find something to do."""
    changed_hands: list[UUID] = field(default_factory=list)
    """Tickets that got or lost their owner: their clocks of ownership are to hear of it."""
    offers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(pool, outcome) of offers that ended."""
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(pool, reason) of assignments that ended before their ticket did."""
    by_hand: Counter[str] = field(default_factory=Counter)
    """Pools of tickets that the helpdesk gave to somebody."""
    away: list[_Agent] = field(default_factory=list)
    """Agents who let too many offers lapse."""
    overflown: int = 0
    """Silent work that was not parked, as its agent has parked too much."""

    def add(self, other: "Happened") -> None:
        """Both together."""
        self.pools |= other.pools
        self.changed_hands += other.changed_hands
        self.offers += other.offers
        self.ended += other.ended
        self.by_hand += other.by_hand
        self.away += other.away
        self.overflown += other.overflown


def terms_of(
    ticket: Ticket, policy: Policy, clocks: Iterable[Clock], now: datetime, *, with_slack: bool = True
) -> Terms:
    """What the policy says of a ticket that somebody has; nothing is owed where it promises nothing.

    Without `with_slack` the latest start is left out, for callers who don't ask for it.
    """
    rule = policy.channels[Channel(ticket.channel or Channel.OTHER)]
    is_promised = with_slack and ticket.matched is not None and ticket.opened_at is not None
    return Terms(
        first_action=policy.routing.first_action,
        park=rule.park,
        start_by=entry_of(ticket, policy, clocks, now).latest_start_at if is_promised else None,
    )


async def settle(connection: Connection, cases: Sequence[Case], outbox: Outbox, now: datetime) -> Happened:
    """Write what becomes of assignments, and what there is to say of it.

    The caller holds the tickets, and the agents of those whose turn moves a load (`Turn.moves_load`).
    """
    decided = await _decide(connection, cases, now)
    happened = Happened(overflown=sum(_is_overflown(case) for case in decided))
    going_on = [
        case.turn.tenure
        for case in decided
        if case.turn.tenure != case.before and (case.turn.ended is None or case.turn.is_accepted)
    ]
    if going_on:
        await assignments_store.save(connection, going_on)
    await queue_store.change_loads(connection, _moved_loads(decided), now)
    await _give_back(connection, [case for case in decided if case.turn.ended is not None], outbox, happened, now)
    for case in decided:
        _tell(case, outbox, happened)
    await _note_answers(connection, decided, outbox, happened)
    return happened


async def _decide(connection: Connection, cases: Sequence[Case], now: datetime) -> list[Case]:
    """With what depends on how much else the agents have: whether parked work is taken back, and silent work parked."""
    wishes = [case for case in cases if case.turn.ended is None and case.turn.wants is not Wants.NOTHING]
    waking = [case for case in wishes if case.turn.wants is not Wants.PARKING]
    parking = [case for case in wishes if case.turn.wants is Wants.PARKING]
    ceilings = {case.agent: _ceilings(case.policy) for case in waking}
    rooms = await assignments_store.load_rooms(connection, ceilings, now) if waking else {}
    parked = await assignments_store.count_parked(connection, {case.agent for case in parking}) if parking else {}
    decided = []
    for case in sorted(cases, key=lambda case: (case.before.assigned_at, case.before.id)):
        if case.turn.ended is not None or case.turn.wants is Wants.NOTHING:
            decided.append(case)
        elif case.turn.wants is Wants.PARKING:
            is_owed = owes_answer(case.clocks)
            may_park = not is_owed and parked[case.agent] < case.policy.routing.parked_at_most
            parked[case.agent] += may_park
            turn = _park(case, now, may_park=may_park)
            decided.append(_with(case, replace(turn, wants=Wants.NOTHING) if is_owed else turn))
        else:
            room = rooms.get(case.agent)
            decided.append(_with(case, _wake(case.turn, fits=room is not None and room.take(case.before))))
    return decided


def _ceilings(policy: Policy) -> dict[Channel, int]:
    return {channel: rule.at_most for channel, rule in policy.channels.items() if rule.at_most is not None}


def _with(case: Case, turn: Turn) -> Case:
    return replace(case, turn=turn)


def _park(case: Case, now: datetime, *, may_park: bool) -> Turn:
    """Parked, or looked at again after as long a silence: the customer waits for us, or too much is parked already."""
    turn, rule = case.turn, case.policy.channels[case.before.channel]
    if may_park:
        return replace(turn, tenure=replace(turn.tenure, state=State.PARKED, park_at=None))
    return replace(turn, tenure=replace(turn.tenure, park_at=None if rule.park is None else now + rule.park))


def _wake(turn: Turn, *, fits: bool) -> Turn:
    if fits:
        return replace(turn, tenure=replace(turn.tenure, state=State.ACTIVE))
    if turn.wants is Wants.ROOM_OR_QUEUE:
        return replace(turn, ended=Ended.WOKEN)
    return replace(turn, tenure=replace(turn.tenure, park_at=None))


def _is_overflown(case: Case) -> bool:
    return case.turn.wants is Wants.PARKING and case.turn.ended is None and case.turn.tenure.state is State.ACTIVE


def _moved_loads(cases: Iterable[Case]) -> dict[_Agent, Load]:
    """What parking and waking do to loads; only real-time work is parked."""
    loads: dict[_Agent, Load] = {}
    for case in cases:
        before, after = case.before.state is State.PARKED, case.turn.tenure.state is State.PARKED
        if case.turn.ended is None and before is not after:
            loads.setdefault(case.agent, Load()).primary += case.before.units if before else -case.before.units
    return loads


async def _give_back(
    connection: Connection, cases: Sequence[Case], outbox: Outbox, happened: Happened, now: datetime
) -> None:
    """End assignments and queue their tickets again, with the age they have."""
    groups: dict[tuple[str, Ended], dict[UUID, Case]] = {}
    for case in cases:
        if case.turn.ended is not None:
            groups.setdefault((case.before.tenant, case.turn.ended), {})[case.before.ticket_id] = case
    entries, cleared = [], []
    for (tenant, why), mine in sorted(groups.items(), key=lambda group: group[0]):
        for one in await queue_store.release(connection, tenant, sorted(mine), why, now):
            case = mine[one.ticket_id]
            entries.append(
                entry_of(
                    case.ticket,
                    case.policy,
                    case.clocks,
                    now,
                    queued_at=one.queued_at,
                    previous_owner=one.agent if why is Ended.WOKEN else None,
                    excluded=tuple(dict.fromkeys((*one.excluded, one.agent))) if why in EXCLUDES else one.excluded,
                )
            )
            cleared += [one.ticket_id] if one.was_cleared else []
            happened.pools |= {(tenant, pool) for pool in (*one.pools, case.ticket.pool)}
            if one.was_accepted:
                happened.ended[one.pool, why] += 1
                happened.changed_hands.append(one.ticket_id)
            tell_ended(outbox, case.ticket, one, why, happened)
    if entries:
        await queue_store.enqueue(connection, entries)
    if cleared:
        await queue_store.mark_cleared(connection, cleared)


def tell_ended(outbox: Outbox, ticket: Ticket, ended: queue_store.Released, reason: str, happened: Happened) -> None:
    """Say that an agent has a ticket no more, or is no more offered it: then nobody had it."""
    if ended.was_accepted:
        news = TicketUnassigned(source=ticket.source, ticket=ticket.external_id, owner=ended.agent, reason=reason)
        outbox.add(ticket.tenant, "ticket.unassigned", ticket.external_id, news)
        return
    outcome = OfferOutcome.of(reason)
    happened.offers[ended.pool, outcome] += 1
    offer = OfferEnded(source=ticket.source, ticket=ticket.external_id, agent=ended.agent, outcome=outcome)
    outbox.add(ticket.tenant, "ticket.offer_ended", ticket.external_id, offer)


def _tell(case: Case, outbox: Outbox, happened: Happened) -> None:
    """What else is to be said of a ticket: somebody accepted it, or room was made."""
    before, tenure = case.before, case.turn.tenure
    if case.turn.is_accepted:
        ticket = case.ticket
        happened.offers[before.pool, OfferOutcome.ACCEPTED] += 1
        if case.turn.ended is None:
            happened.changed_hands.append(before.ticket_id)
        news = TicketAssigned(
            source=ticket.source,
            ticket=ticket.external_id,
            owner=before.agent,
            channel=before.channel,
            skills=msgspec.json.decode(ticket.needs, type=Needs),
            prefers=tuple(ticket.prefers),
            reasons=("accepted",),
            pool=before.pool,
        )
        outbox.add(ticket.tenant, "ticket.assigned", ticket.external_id, news)
    if case.turn.ended is None and tenure.state is State.PARKED and before.state is not State.PARKED:
        happened.pools.add((before.tenant, before.pool))


async def _note_answers(connection: Connection, cases: Sequence[Case], outbox: Outbox, happened: Happened) -> None:
    """Who answers an offer is there; who lets too many lapse in a row is not."""
    answered = {case.agent for case in cases if case.turn.is_accepted or case.turn.ended is Ended.DECLINED}
    if answered:
        await assignments_store.note_answers(connection, answered)
    expired = Counter(case.agent for case in cases if case.turn.ended is Ended.EXPIRED)
    if not expired:
        return
    most = {case.before.tenant: case.policy.routing.away_after for case in cases if case.turn.ended is Ended.EXPIRED}
    happened.away += await assignments_store.note_expiries(connection, expired, most)
    for tenant, agent in happened.away:
        outbox.add(tenant, "agent.away", agent, AgentAway(agent=agent, lapsed=most[tenant]))
