"""Due steps of open escalations become pages for whoever is on call at that instant.

One transaction per batch: claim, resolve recipients, insert pages, move on, outbox (R31). Nobody to page is never
silence: the step is skipped at once, and at the end of the ladder the console is paged (R7, R22).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import asyncpg
from msgspec import Struct

from services.escalation import news, tokens
from services.escalation.channels import Channel
from services.escalation.domain import ladder as ladders
from services.escalation.domain import recipient as recipients
from services.escalation.domain.ladder import Climb, Opens, Position, Standing
from services.escalation.domain.notice import Facts
from services.escalation.domain.recipient import Circle, Person, Reached
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import Pulse, escalations, pages
from services.escalation.store.escalations import DueStep, Stepped
from services.escalation.store.pages import NewPage
from services.escalation.tokens import Tokens
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Ladder, Policy, Rotation
from shared.postgres import time as database_time
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Pool
from shared.runtime import points
from shared.runtime.logs import Log
from shared.runtime.points import Point

BATCH = 200

_log = Log(__name__)


class Taken(Struct, frozen=True):
    """A due step, what taking it does, and the pages of it."""

    due: DueStep
    ladder: Ladder
    climb: "Climb[Reached]"
    pages: list[NewPage]


class Stepping:
    """Takes due steps; any number of these may run beside each other."""

    def __init__(
        self,
        pool: Pool,
        shelf: PolicyShelf,
        relay: Relay,
        metrics: EscalationMetrics,
        token_maker: Tokens,
        channels: Mapping[str, Channel],
        *,
        batch: int = BATCH,
    ) -> None:
        self._pool = pool
        self._shelf = shelf
        self._relay = relay
        self._metrics = metrics
        self._tokens = token_maker
        self._channels = channels
        self._batch = batch

    async def pulse(self) -> Pulse:
        """Look at what is due."""
        async with self._pool.acquire() as connection:
            seen = await escalations.pulse_step(connection)
        self._metrics.pages.rate = seen.rate
        return seen

    async def run_once(self) -> int:
        """Take one batch of due steps; returns how many."""
        points.passing(Point.K3_DUE)
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            due = await escalations.claim_due_steps(connection, now, self._batch)
            if not due:
                return 0
            taken = await self._take(connection, due, now)
            await escalations.save_steps(connection, [_stepped(one) for one in taken])
            made = [page for one in taken for page in one.pages]
            if made:
                await pages.insert(connection, made, now)
            outbox = Outbox(now)
            done = [one for one in taken if not one.climb.is_put_off]
            for one in done:
                _announce(outbox, one, now)
            batch = await outbox.save(connection)
            points.passing(Point.K4_STEPPING)
        points.passing(Point.K5_STEPPED)
        self._relay.post(batch)
        for one in done:
            self._metrics.ladders.steps.labels(one.due.channel, _step_label(one.climb), one.due.reason).inc()
        for page in made:
            self._metrics.pages.committed(page.due_at, now)
        return len(due)

    async def _take(self, connection: Connection, due: Sequence[DueStep], now: datetime) -> list[Taken]:
        rules = await self._rules(connection, due)
        circles = await self._circles(connection, due, rules, now)
        before = await escalations.load_paged(
            connection, [(one.id, _previous(one.position), one.generation) for one in due if one.position.step > 0]
        )
        taken = []
        for one in due:
            ladder, policy = rules[one.id]
            climb = ladders.climb(
                ladder,
                Standing(
                    reason=one.reason, anchor_at=one.anchor_at, position=one.position, has_reached=one.has_reached
                ),
                now,
                partial(recipients.reach, circle=circles[one.id]),
                before.get(one.id, frozenset()),
                _opens(one, policy),
            )
            taken.append(Taken(one, ladder, climb, [self._page(one, ladder, climb, to, now) for to in climb.reached]))
        return taken

    async def _rules(self, connection: Connection, due: Sequence[DueStep]) -> dict[UUID, tuple[Ladder, Policy | None]]:
        """The ladder of each escalation in its own policy version (R26); one that can't be found has no steps."""
        policies: dict[tuple[str, int], Policy | None] = {}
        for one in due:
            key = (one.tenant, one.policy_version)
            if key not in policies:
                policies[key] = await self._policy(connection, *key)
        rules: dict[UUID, tuple[Ladder, Policy | None]] = {}
        for one in due:
            policy = policies[one.tenant, one.policy_version]
            ladder = policy.escalations.get(one.ladder) if policy else None
            if ladder is None:
                _log.error(
                    "ladder_missing",
                    f"Policy version {one.policy_version} has no escalation {one.ladder!r}: the console is paged instead",
                    tenant=one.tenant,
                    escalation=str(one.id),
                )
                ladder = Ladder(name=one.ladder, steps=())
            rules[one.id] = (ladder, policy)
        return rules

    async def _policy(self, connection: Connection, tenant: str, version: int) -> Policy | None:
        """A policy version; None where it can't be had, so that one tenant's trouble holds nobody else."""
        try:
            return await self._shelf.version(connection, tenant, version)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            raise  # the database's trouble, not the policy's: the step stays due
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, somebody is paged
            _log.error("policy_missing", "A policy version can't be used", error=error, tenant=tenant, version=version)
            return None

    async def _circles(
        self,
        connection: Connection,
        due: Sequence[DueStep],
        rules: dict[UUID, tuple[Ladder, Policy | None]],
        now: datetime,
    ) -> dict[UUID, Circle]:
        """What resolving needs to know for each escalation, at this instant (R19)."""

        def circle(one: DueStep, people: dict[str, Person]) -> Circle:
            _, policy = rules[one.id]
            rotations: dict[str, Rotation] = dict(policy.on_call) if policy else {}
            return Circle(
                at=now,
                policy_version=one.policy_version,
                generation=one.generation,
                rotations=rotations,
                owner=one.owner,
                lead=one.lead,
                people=people,
                methods=frozenset(self._channels),
            )

        wanted: dict[UUID, set[str]] = {}
        for one in due:
            empty = circle(one, {})
            found = {recipients.person_of(name, empty) for name in _everybody(rules[one.id][0])}
            wanted[one.id] = {key for key in found if key}
        known = await escalations.load_people(connection, {(one.tenant, key) for one in due for key in wanted[one.id]})
        return {
            one.id: circle(one, {key: known[one.tenant, key] for key in wanted[one.id] if (one.tenant, key) in known})
            for one in due
        }

    def _page(self, due: DueStep, ladder: Ladder, climb: "Climb[Reached]", to: Reached, now: datetime) -> NewPage:
        contact = to.contact
        page_id = tokens.page_id(
            escalation=due.id,
            generation=due.generation,
            kind=climb.kind,
            loop=climb.taken.loop,
            step=climb.taken.step,
            who=to.who,
            way=tokens.way(contact),
        )
        return NewPage(
            id=page_id,
            tenant=due.tenant,
            escalation_id=due.id,
            kind=climb.kind,
            step=climb.taken.step,
            loop=climb.taken.loop,
            recipient=to.recipient,
            person=to.person,
            method=contact.method,
            address=contact.address,
            secret=contact.secret,
            options=contact.options,
            account=self._channels[contact.method].account(contact),
            urgency=due.urgency,
            evidence=to.evidence,
            body=_facts(due, ladder, climb, to, now),
            due_at=due.next_step_at,
            token_hash=tokens.digest(self._tokens.token(page_id)),
        )


def _opens(due: DueStep, policy: Policy | None) -> Opens:
    """When the calendar of the promise is open; at any hour, where its clock or its policy is gone (sla-rules 63)."""
    calendar = policy.sla.calendars.get(due.calendar) if policy and due.calendar else None
    if calendar is None:
        return ladders.at_any_hour
    return lambda at: calendar.next_open(at) or at


def _facts(due: DueStep, ladder: Ladder, climb: "Climb[Reached]", to: Reached, now: datetime) -> Facts:
    return Facts(
        source=due.source,
        ticket=due.external_id,
        channel=due.channel,
        urgency=due.urgency,
        tier=due.requester_tier,
        target=due.target,
        matched=due.matched,
        due_at=due.due_at,
        reason=due.reason,
        at=now,
        next_step_at=climb.next_step_at,
        next_recipients=ladders.recipients_of(ladder, climb.next) if climb.next_step_at else (),
        owner=due.owner_name or due.owner,
        recipient=to.recipient,
        about=due.about,
        next_shift_at=due.next_shift_at,
        answer_due_at=due.answer_due_at,
    )


def _stepped(one: Taken) -> Stepped:
    return Stepped(
        id=one.due.id,
        state="exhausted" if one.climb.is_exhausted else "open",
        position=one.climb.next,
        next_step_at=one.climb.next_step_at,
    )


def _announce(outbox: Outbox, one: Taken, now: datetime) -> None:
    due, climb = one.due, one.climb
    stepped = news.EscalationStepped(
        escalation=due.id,
        generation=due.generation,
        source=due.source,
        ticket=due.external_id,
        target=due.target,
        cycle=due.cycle,
        reason=due.reason,
        kind=climb.kind,
        loop=climb.taken.loop,
        step=climb.taken.step,
        at=now,
        planned_at=due.next_step_at,
        next_step_at=climb.next_step_at,
        paged=tuple(
            news.PagedPerson(page=page.id, recipient=page.recipient, person=page.person, method=page.method)
            for page in one.pages
        ),
        skipped=tuple(news.SkippedStep(loop=skip.loop, step=skip.step, reason=skip.reason) for skip in climb.skipped),
    )
    kind = "escalation.exhausted" if climb.is_exhausted else "escalation.stepped"
    outbox.add(due.tenant, kind, due.external_id, stepped)


def _everybody(ladder: Ladder) -> tuple[str, ...]:
    """Every recipient the ladder names."""
    return (*(name for step in ladder.steps for name in step.page), *ladder.otherwise, *ladder.on_warning)


def _previous(position: Position) -> Position:
    return Position(position.loop, position.step - 1)


def _step_label(climb: "Climb[Reached]") -> str:
    if climb.is_exhausted:
        return "exhausted"
    return "warning" if climb.kind is ladders.Kind.WARNING else str(climb.taken.step + 1)
