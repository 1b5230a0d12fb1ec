"""Due steps of open escalations become pages for whoever is on call at that instant.

One transaction per batch: claim, resolve recipients, insert pages, move on, outbox (R31). Nobody to page is never
silence: the step is skipped at once, and at the end of the ladder the console is paged (R7, R22).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from services.escalation import composing, grouping, news, resuming
from services.escalation.channels import Channel
from services.escalation.composing import Composing, Told
from services.escalation.domain import ladder as ladders
from services.escalation.domain import notice
from services.escalation.domain import recipient as recipients
from services.escalation.domain.ladder import MIN_ACK_WINDOW, Climb, Kind, Standing
from services.escalation.domain.recipient import Circle, Reached
from services.escalation.gathering import Gathering, Rules
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import Pulse, escalations
from services.escalation.store.escalations import DueStep, Stepped
from services.escalation.store.pages import NewPage
from services.escalation.tokens import Tokens
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Handoff
from shared.postgres import time as database_time
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Pool
from shared.runtime import points
from shared.runtime.points import Point

BATCH = 200


class Taken(Struct, frozen=True):
    """A due step, what taking it does, and the pages of it."""

    due: DueStep
    rules: Rules
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
        is_halted: Callable[[], bool] = lambda: False,
        batch: int = BATCH,
    ) -> None:
        """While `is_halted` says so, as after a jump of the database's clock, nothing is due (R33)."""
        self._is_halted = is_halted
        self._pool = pool
        self._relay = relay
        self._metrics = metrics
        self._gathering = Gathering(shelf, channels)
        self._composing = Composing(token_maker, channels)
        self._batch = batch

    async def pulse(self) -> Pulse:
        """Look at what is due."""
        async with self._pool.acquire() as connection:
            seen = await escalations.pulse_step(connection)
        self._metrics.pages.rate = seen.rate
        return replace(seen, due_at=None) if self._is_halted() else seen

    async def run_once(self) -> int:
        """Take one batch of due steps; returns how many."""
        points.passing(Point.K3_DUE)
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            due = await escalations.claim_due_steps(connection, now, self._batch)
            if not due:
                return 0
            rules = await self._gathering.rules(connection, due)
            circles = await self._gathering.circles(connection, due, rules, now)
            resumed = await resuming.resume(connection, due, rules, circles, self._composing, now)
            taken = await self._take(connection, [one for one in due if one.id not in resumed], rules, circles, now)
            await escalations.save_steps(connection, [_stepped(one, now) for one in taken])
            made = [(page, one.rules.paging) for one in taken for page in one.pages]
            made += [(page, rules[one.due.id].paging) for one in resumed.values() for page in one.copies]
            if made:
                await grouping.admit(connection, made, now)
            outbox = Outbox(now)
            done = [one for one in taken if not one.climb.is_put_off]
            for one in done:
                _announce(outbox, one, now)
            for again in resumed.values():
                resuming.announce(outbox, again, now)
            batch = await outbox.save(connection)
            points.passing(Point.K4_STEPPING)
        points.passing(Point.K5_STEPPED)
        self._relay.post(batch)
        for one in done:
            self._metrics.ladders.steps.labels(one.due.channel, _step_label(one.climb), one.due.reason).inc()
        for again in resumed.values():
            self._metrics.ladders.steps.labels(again.due.channel, "resumed", again.due.reason).inc()
        for page, _ in made:
            self._metrics.pages.committed(page.due_at, now)
        return len(due)

    async def _take(
        self,
        connection: Connection,
        due: Sequence[DueStep],
        rules: Mapping[UUID, Rules],
        circles: Mapping[UUID, Circle],
        now: datetime,
    ) -> list[Taken]:
        before = await escalations.load_paged(
            connection,
            [
                (one.id, ladders.before(rules[one.id].ladder, one.position), one.generation)
                for one in due
                if one.position.step > 0
            ],
        )
        taken = []
        for one in due:
            its, circle = rules[one.id], circles[one.id]
            climb = ladders.climb(
                its.ladder,
                _standing(one),
                now,
                partial(recipients.reach, circle=circle),
                before.get(one.id, frozenset()),
                its.hours,
            )
            taken.append(Taken(one, its, climb, self._pages(one, its, climb, circle, now)))
        return taken

    def _pages(
        self, due: DueStep, rules: Rules, climb: "Climb[Reached]", circle: Circle, now: datetime
    ) -> list[NewPage]:
        ladder = rules.ladder
        told = Told(
            kind=climb.kind,
            at=climb.taken,
            due_at=due.next_step_at,
            now=now,
            next_step_at=climb.next_step_at,
            next_recipients=ladders.recipients_of(ladder, climb.next) if climb.next_step_at else (),
            subject=rules.subject_of(due),
            note=notice.raised(due.raised_by, due.raised_for) if due.raised_by else None,
            is_by_hand=due.raised_by is not None,
        )
        made = [self._composing.page(due, to, told) for to in climb.reached]
        if ladder.copy and climb.reached and climb.kind is Kind.PAGE:
            copy = replace(told, kind=Kind.COPY)
            readers = recipients.reach(ladder.copy, self._gathering.for_information(circle))
            made += [self._composing.page(due, to, copy) for to in readers]
        return [composing.unless_quiet(page, ladder, circle, now) for page in made]


def _standing(due: DueStep) -> Standing:
    return Standing(
        reason=due.reason,
        anchor_at=due.anchor_at,
        position=due.position,
        has_reached=due.has_reached,
        since=due.since,
        is_replanned=due.is_replanned,
        answer_until=due.accepted_at + MIN_ACK_WINDOW if due.accepted_at else None,
        answered=due.answered,
        also=due.also,
        is_raised=due.raised_by is not None,
    )


def _stepped(one: Taken, now: datetime) -> Stepped:
    is_page = one.climb.kind is Kind.PAGE
    return Stepped(
        id=one.due.id,
        state="exhausted" if one.climb.is_exhausted else "open",
        position=one.climb.next,
        next_step_at=one.climb.next_step_at,
        is_taken=not one.climb.is_put_off,
        ends_at=now + one.rules.ladder.ends_after if is_page else None,
        hands_over_at=_hands_over_at(one) if is_page else None,
    )


def _hands_over_at(one: Taken) -> datetime | None:
    """When the first shift of those whom the step pages ends, where pages follow the shift (R13)."""
    if one.rules.ladder.handoff is Handoff.KEEP:
        return None
    return min((to.evidence.shift_ends_at for to in one.climb.reached if to.evidence.shift_ends_at), default=None)


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
            if page.kind is climb.kind
        ),
        skipped=tuple(news.SkippedStep(loop=skip.loop, step=skip.step, reason=skip.reason) for skip in climb.skipped),
    )
    kind = "escalation.exhausted" if climb.is_exhausted else "escalation.stepped"
    outbox.add(due.tenant, kind, due.external_id, stepped)


def _step_label(climb: "Climb[Reached]") -> str:
    if climb.is_exhausted:
        return "exhausted"
    return "warning" if climb.kind is ladders.Kind.WARNING else str(climb.taken.step + 1)
