"""What new events make of one ticket: its fields, its clocks, and whether it waits for an owner.

Pure: the log and what is stored go in, what to store comes out. Everything about time is in `shared.sla.timeline`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec import Struct

from services.router.domain.classify import judge
from shared.contract.events import Assigned, Owned, PolicyChanged, Scored, StatusChanged, TicketEvent, Unowned
from shared.contract.ledger import Ticket
from shared.contract.tickets import Status, TargetKind
from shared.policy.document import DEFAULT_POOL, Policy
from shared.sla import timeline
from shared.sla.clock import Change, Clock
from shared.sla.timeline import Evaluation

_NONE = b"[]"
_RESPONSES = (TargetKind.FIRST_RESPONSE, TargetKind.NEXT_RESPONSE)


class Ownership(StrEnum):
    """What the new events mean for who has the ticket."""

    AS_IT_IS = "as_it_is"
    WAITS = "waits"
    """It came into being, or came back: somebody has to take it."""
    BY_HAND = "by_hand"
    """The helpdesk named an agent."""
    TAKEN_BACK = "taken_back"
    """The helpdesk took it from its agent."""
    CAME_BACK = "came_back"
    """It was over for a moment: whoever had it is done with it, and somebody has to take it."""
    OVER = "over"
    """Nobody works on it any more."""


class Policies(Struct, frozen=True, kw_only=True):
    """The policy versions that judge a ticket."""

    first: Policy
    """In force when it was opened."""
    later: Mapping[int, Policy] = {}
    """Those that its log names."""

    def numbered(self, version: int | None) -> Policy:
        """One of them; the first for None."""
        return self.first if version is None else self.later.get(version, self.first)


class Standing(Struct, frozen=True, kw_only=True):
    """A ticket after its events: what to store, and what to say."""

    ticket: Ticket
    policy: Policy
    """The version that judges it now."""
    cause: TicketEvent | None
    """The last thing that arrived: what changed, changed by it."""
    clocks: tuple[Clock, ...]
    changes: tuple[tuple[Change, Clock], ...]
    evaluation: Evaluation
    ownership: Ownership


class Touched(Struct, frozen=True, kw_only=True):
    """One ticket of the batch: what is stored, what arrived, and how it stands now."""

    before: Ticket | None
    stored: Sequence[Clock]
    arrived: Sequence[TicketEvent]
    standing: Standing


def stand(
    identity: tuple[UUID, str, str, str],
    before: Ticket | None,
    stored: Sequence[Clock],
    log: Sequence[TicketEvent],
    arrived: Sequence[TicketEvent],
    policies: Policies,
    now: datetime,
) -> Standing:
    """Fold a ticket's whole log (with what just `arrived` in it) over what is stored of it.

    `identity` is (id, tenant, source, external id); `before` is None for a new ticket.
    """
    first = judge(policies.first)
    later = {version: judge(policy) for version, policy in policies.later.items()}
    evaluation = timeline.place(log, first.policy, first.classify, now, later)
    policy = policies.numbered(evaluation.policy_version)
    clocks, changes = timeline.reconcile(
        stored, evaluation.clocks, now, keeps_finished=is_restated(log, evaluation.opened_at)
    )
    return Standing(
        ticket=_ticket(identity, evaluation, policy),
        policy=policy,
        cause=max((event for event in arrived if not isinstance(event.data, Scored)), key=_happened, default=None),
        clocks=clocks,
        changes=changes,
        evaluation=evaluation,
        ownership=_ownership(before, evaluation, _without_echoes(arrived, log)),
    )


def is_rerouted(item: Touched) -> bool:
    """Whether the rules say something else of it than before."""
    before, after = item.before, item.standing.ticket
    return before is None or _route(before) != _route(after)


def _route(ticket: Ticket) -> tuple[object, ...]:
    return ticket.channel, ticket.urgency, ticket.theme, ticket.needs, ticket.pool


def is_moved(item: Touched) -> bool:
    """What decides over its place in the queue, or over who may take it, has changed."""
    before, after = item.before, item.standing.ticket
    return before is None or _place(before) != _place(after)


def _place(ticket: Ticket) -> tuple[object, ...]:
    return *_route(ticket), ticket.prefers, ticket.insists, ticket.policy_version


def is_restated(log: Iterable[TicketEvent], opened_at: datetime | None) -> bool:
    """Whether a later version judges the ticket as though it had held from its opening on."""
    return opened_at is not None and any(
        isinstance(event.data, PolicyChanged) and event.occurred_at <= opened_at for event in log
    )


def versions_named(log: Iterable[TicketEvent], present: int | None) -> tuple[int | None, list[int]]:
    """Which policy version judged a ticket first, and which ones later; `present` is the stored one, None where there is none."""
    changes = [event.data for event in log if isinstance(event.data, PolicyChanged)]
    if not changes:
        return present, []
    return min(change.previous for change in changes), sorted({change.version for change in changes})


def owed(clocks: Iterable[Clock]) -> tuple[datetime, timedelta] | None:
    """What orders the queue, as due time and length: the response still owed, else whatever is due first."""
    clock = owed_clock(clocks)
    return None if clock is None or clock.due_at is None else (clock.due_at, clock.due_at - clock.started_at)


def owes_answer(clocks: Iterable[Clock]) -> bool:
    """Whether the customer waits for an answer that was promised."""
    return any(clock.target in _RESPONSES and not clock.is_finished for clock in clocks)


def owed_clock(clocks: Iterable[Clock]) -> Clock | None:
    """The clock of what is owed next; None where nothing is, or all of it is paused."""
    running = [
        ((clock.target not in _RESPONSES, clock.due_at, clock.due_at - clock.started_at), clock)
        for clock in clocks
        if clock.due_at is not None and not clock.is_finished
    ]
    return min(running, key=_rank)[1] if running else None


def _rank(running: tuple[tuple[bool, datetime, timedelta], Clock]) -> tuple[bool, datetime, timedelta]:
    return running[0]


def _happened(event: TicketEvent) -> tuple[datetime, str]:
    return event.occurred_at, event.id


def _ticket(identity: tuple[UUID, str, str, str], evaluation: Evaluation, policy: Policy) -> Ticket:
    ticket_id, tenant, source, external_id = identity
    facts, verdict = evaluation.facts, evaluation.classification
    return Ticket(
        id=ticket_id,
        tenant=tenant,
        source=source,
        external_id=external_id,
        status=evaluation.status,
        opened_at=evaluation.opened_at,
        solved_at=evaluation.solved_at,
        channel=verdict.channel if verdict else None,
        urgency=verdict.urgency if verdict else None,
        theme=verdict.theme if verdict else None,
        language=verdict.language if verdict else None,
        subject=facts.subject if facts else None,
        requester_key=facts.requester_key or None if facts else None,
        requester_tier=facts.requester_tier or None if facts else None,
        team=facts.team or None if facts else None,
        matched=evaluation.matched,
        needs=_stored(verdict.needs) if verdict else _NONE,
        insists=_stored(verdict.insists) if verdict else _NONE,
        prefers=verdict.prefers if verdict else (),
        rules=verdict.rules if verdict else (),
        pool=verdict.pool if verdict else DEFAULT_POOL,
        policy_version=policy.version,
    )


def _stored(skills: tuple[tuple[object, ...], ...]) -> bytes:
    """As the database gives it back, so that what didn't change looks so."""
    return msgspec.json.format(msgspec.json.encode(skills), indent=0) if skills else _NONE


def _ownership(before: Ticket | None, evaluation: Evaluation, arrived: Sequence[TicketEvent]) -> Ownership:
    """Whoever was named since the ticket was last over has it, be that said in this batch or while it was over."""
    if evaluation.opened_at is None:
        return Ownership.AS_IT_IS
    if evaluation.status.is_over:
        return Ownership.OVER
    if evaluation.assigned_by_hand and _is_named_now(before, arrived):
        return Ownership.BY_HAND
    if before is None or before.opened_at is None or Status(before.status).is_over:
        return Ownership.WAITS
    if _was_over_between(arrived):
        return Ownership.CAME_BACK
    return Ownership.TAKEN_BACK if _names(arrived) else Ownership.AS_IT_IS


def _without_echoes(arrived: Sequence[TicketEvent], log: Sequence[TicketEvent]) -> Sequence[TicketEvent]:
    """Without names of whom we had given the ticket to at that time, and took it from since: the helpdesk heard that from us."""
    if not _names(arrived):
        return arrived
    had: list[tuple[str, datetime, datetime]] = []
    since: dict[str, datetime] = {}
    for event in sorted((event for event in log if isinstance(event.data, Owned | Unowned)), key=_happened):
        if isinstance(event.data, Owned):
            since[event.data.agent] = event.occurred_at
        elif isinstance(event.data, Unowned) and event.data.agent in since:
            had.append((event.data.agent, since.pop(event.data.agent), event.occurred_at))
    return [
        event
        for event in arrived
        if not isinstance(event.data, Assigned)
        or not any(agent == event.data.agent and begun <= event.occurred_at < ended for agent, begun, ended in had)
    ]


def _is_named_now(before: Ticket | None, arrived: Sequence[TicketEvent]) -> bool:
    """Whether a name that was said has its effect now."""
    return before is None or before.opened_at is None or Status(before.status).is_over or _names(arrived)


def _names(arrived: Iterable[TicketEvent]) -> bool:
    return any(isinstance(event.data, Assigned) for event in arrived)


def _was_over_between(arrived: Iterable[TicketEvent]) -> bool:
    """Whether the batch closes the ticket and opens it again."""
    moves = sorted((event for event in arrived if isinstance(event.data, StatusChanged)), key=_happened)
    statuses = [event.data.status for event in moves if isinstance(event.data, StatusChanged)]
    return len(statuses) > 1 and any(status.is_over for status in statuses[:-1]) and not statuses[-1].is_over
