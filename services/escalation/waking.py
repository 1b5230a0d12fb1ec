"""Escalations that somebody had acknowledged wake, those that nobody ends are ended, and shifts that end hand over.

One transaction per batch, like every step. A snooze and a silence (R12, R16) go up again from a step that stepping then
takes; a hard end (R12) resolves and alarms; a hand-off (R13) pages whoever came, at the same step.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct, structs

from services.escalation import composing, grouping, news, tokens
from services.escalation.channels import Channel
from services.escalation.composing import Composing, Told
from services.escalation.domain import ladder as ladders
from services.escalation.domain import recipient as recipients
from services.escalation.domain import waking as rules_of_waking
from services.escalation.domain.ladder import LAST_RESORT, MIN_ACK_WINDOW, Kind, Position
from services.escalation.domain.recipient import Circle, Reached
from services.escalation.gathering import Gathering, Rules
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import Pulse, pages
from services.escalation.store import waking as waking_store
from services.escalation.store.pages import NewPage
from services.escalation.store.waking import HandedOver, Sleeper, Waking
from services.escalation.tokens import Tokens
from shared.jetstream.relay import Relay
from shared.ledger import pages as ledger_pages
from shared.ledger.clocks import Resolved
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Paging
from shared.policy.paging import PERSON
from shared.postgres import time as database_time
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Pool

BATCH = 200
EXPIRED = "expired"
_NAMED = 20
"""Tickets that one alarm names."""


class _Batch(Struct, frozen=True):
    """What the use cases of one transaction share."""

    connection: Connection
    outbox: Outbox
    now: datetime
    rules: Mapping[UUID, Rules]
    circles: Mapping[UUID, Circle]
    made: list[tuple[NewPage, Paging]]


class WakingUp:
    """Does what instants bring that no step is due at; any number of these may run beside each other."""

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
        self._pool = pool
        self._relay = relay
        self._metrics = metrics
        self._gathering = Gathering(shelf, channels)
        self._composing = Composing(token_maker, channels)
        self._is_halted = is_halted
        self._batch = batch

    async def pulse(self) -> Pulse:
        """Look at what is due."""
        async with self._pool.acquire() as connection:
            seen = await waking_store.pulse(connection)
        return structs.replace(seen, due_at=None) if self._is_halted() else seen

    async def run_once(self) -> int:
        """Do one batch of what is due; returns how many escalations changed."""
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            due = [_with_people(one) for one in await waking_store.claim(connection, now, self._batch)]
            if not due:
                return 0
            rules = await self._gathering.rules(connection, due)
            circles = await self._gathering.circles(connection, due, rules, now)
            batch = _Batch(connection, Outbox(now), now, rules, circles, [])
            over = [one for one in due if one.ends_at is not None and one.ends_at <= now]
            rest = [] if over else due  # ends lock groups of their own, and those of other pages would come behind them
            asleep = [one for one in rest if one.wakes_at is not None and one.wakes_at <= now]
            await self._expire(batch, over)
            await self._wake(batch, asleep)
            await self._hand_over(batch, [one for one in rest if one not in asleep])
            if batch.made:
                await grouping.admit(connection, batch.made, now)
            if over:
                await _tell_later(connection, [page for page, _ in batch.made], now)
            said = await batch.outbox.save(connection)
        self._relay.post(said)
        for label, some in (("expired", over), ("woken", asleep)):
            for one in some:
                self._metrics.ladders.steps.labels(one.channel, label, one.reason).inc()
        for page, _ in batch.made:
            self._metrics.pages.committed(page.due_at, now)
        return len(over) or len(due)

    async def _expire(self, batch: _Batch, over: Sequence[Sleeper]) -> None:
        if not over:
            return
        await waking_store.expire(batch.connection, [one.id for one in over], batch.now)
        await ledger_pages.resolve(batch.connection, [one.id for one in over], batch.now)
        alarms = self._alarms(batch, over)
        for one in over:
            ended = Resolved(
                id=one.id,
                ticket_id=one.ticket_id,
                target=one.target,
                cycle=one.cycle,
                generation=one.generation,
                resolution=EXPIRED,
                at=batch.now,
                acknowledged_by=one.acknowledged_by,
            )
            batch.outbox.add(one.tenant, "escalation.resolved", one.external_id, ended)
            expired = news.EscalationExpired(
                escalation=one.id,
                generation=one.generation,
                source=one.source,
                ticket=one.external_id,
                target=one.target,
                cycle=one.cycle,
                opened_at=one.opened_at,
                acknowledged_by=one.acknowledged_by,
                at=batch.now,
                alarmed=_paged(alarms[one.id]),
            )
            batch.outbox.add(one.tenant, "escalation.expired", one.external_id, expired)

    def _alarms(self, batch: _Batch, over: Sequence[Sleeper]) -> dict[UUID, list[NewPage]]:
        """One alarm to each recipient, of all that ended by themselves for a while (R12); returns those of each escalation."""
        told_of: dict[tuple[str, str, str], list[tuple[Sleeper, Reached]]] = {}
        for one in sorted(over, key=_longest_first):
            circle, ladder = batch.circles[one.id], batch.rules[one.id].ladder
            for to in recipients.reach(ladder.otherwise, circle) or recipients.reach([LAST_RESORT], circle):
                told_of.setdefault((one.tenant, to.who, tokens.way(to.contact)), []).append((one, to))
        made: dict[UUID, list[NewPage]] = {one.id: [] for one in over}
        for (tenant, who, way), several in told_of.items():
            first, to = several[0]
            told = Told(
                kind=Kind.ALARM,
                at=first.position,
                due_at=first.ends_at or batch.now,
                now=batch.now,
                note=_left([one for one, _ in several], batch.now),
            )
            alarm = structs.replace(
                self._composing.page(first, to, told),
                id=tokens.alarm_id(tenant=tenant, about=EXPIRED, who=who, way=way, now=batch.now),
            )
            batch.made.append((alarm, batch.rules[first.id].paging))
            for one, _ in several:
                made[one.id].append(alarm)
        return made

    async def _wake(self, batch: _Batch, asleep: Sequence[Sleeper]) -> None:
        paused = [one.id for one in asleep if one.held_for is not None]
        if paused:
            await waking_store.park(batch.connection, paused)
        waking = []
        for one in asleep:
            if one.held_for is not None:
                continue
            ladder, wakes_for = batch.rules[one.id].ladder, one.wakes_for or rules_of_waking.SILENCE
            position = rules_of_waking.goes_on_at(ladder, wakes_for, one.reason, one.newest, one.position)
            also = rules_of_waking.besides(ladder, wakes_for, one.acknowledged_by)
            waking.append(Waking(id=one.id, position=position, at=one.wakes_at or batch.now, also=also))
            batch.outbox.add(
                one.tenant, "escalation.woken", one.external_id, _woken(one, wakes_for, position, batch.now)
            )
        if waking:
            await waking_store.wake(batch.connection, waking)

    async def _hand_over(self, batch: _Batch, handed: Sequence[Sleeper]) -> None:
        """Whoever came on call is paged in place of those who left; what was acknowledged is theirs to ask for (R13)."""
        changes, leaving = [], []
        for one in handed:
            is_taken = one.state == "acknowledged"
            came = [
                to
                for to in recipients.reach(one.rotations, batch.circles[one.id])
                if to.who not in one.asked and to.who not in one.answered
            ]
            ends = [to.evidence.shift_ends_at for to in came if to.evidence.shift_ends_at] + [one.next_hands_over_at]
            made: list[NewPage] = []
            if not is_taken:
                made = [self._composing.page(one, to, self._same_step(one, batch)) for to in came]
                leaving += [(one.id, person) for person in sorted(one.leaving)] if made else []
            elif one.acknowledged_by in one.leaving and came:
                acker = recipients.reach([f"{PERSON}{one.acknowledged_by}"], batch.circles[one.id])
                told = _question(one, came[0].name, batch.rules[one.id].subject_of(one), batch.now)
                made = [self._composing.page(one, to, told) for to in (*acker, *came)]
            changes.append(
                HandedOver(
                    id=one.id,
                    hands_over_at=min((at for at in ends if at is not None), default=None),
                    not_before=batch.now + MIN_ACK_WINDOW if made and one.next_step_at else None,
                )
            )
            if made:
                its, circle = batch.rules[one.id], batch.circles[one.id]
                batch.made.extend(
                    (composing.unless_quiet(page, its.ladder, circle, batch.now), its.paging) for page in made
                )
                batch.outbox.add(one.tenant, "escalation.handed_over", one.external_id, _handed(one, made, batch.now))
                self._metrics.ladders.steps.labels(one.channel, "handed_over", one.reason).inc()
        if changes:
            await waking_store.hand_over(batch.connection, changes, leaving)

    def _same_step(self, one: Sleeper, batch: _Batch) -> Told:
        return Told(
            kind=Kind.PAGE,
            at=one.newest or one.position,
            due_at=one.hands_over_at or batch.now,
            now=batch.now,
            next_step_at=one.next_step_at,
            next_recipients=ladders.recipients_of(batch.rules[one.id].ladder, one.position) if one.next_step_at else (),
            subject=batch.rules[one.id].subject_of(one),
            note=f"HANDED OVER: the shift of {', '.join(sorted(one.leaving))} is over, and nobody has acknowledged it",
        )


def _with_people(one: Sleeper) -> Sleeper:
    """With whoever acknowledged it among those who are looked up."""
    return one if one.acknowledged_by is None else structs.replace(one, also=(f"{PERSON}{one.acknowledged_by}",))


async def _tell_later(connection: Connection, alarms: Sequence[NewPage], now: datetime) -> None:
    """Whoever was alarmed a while ago hears once, when that while is over, that there was more."""
    swallowed = await waking_store.load_swallowed(connection, alarms)
    again = tokens.alarms_again_at(now)
    note = f"MORE ENDED BY THEMSELVES before {_at(again)}: `GET /v1/escalations?state=resolved` lists them; the first of them:"
    later = [
        structs.replace(
            one,
            id=tokens.later(one.id),
            body=structs.replace(one.body, note=note),
            due_at=again,
            quiet_until=again,
        )
        for one in alarms
        if one.id in swallowed
    ]
    if later:
        await pages.insert(connection, later, now)


def _longest_first(one: Sleeper) -> tuple[datetime, UUID]:
    return one.opened_at, one.id


def _left(ended: Sequence[Sleeper], now: datetime) -> str:
    one, *others = ended
    again = f"what else ends like this is told of after {_at(tokens.alarms_again_at(now))}"
    if others:
        named = ", ".join(each.external_id for each in ended[:_NAMED])
        more = f" and {len(ended) - _NAMED} more" if len(ended) > _NAMED else ""
        return (
            f"NOBODY ENDED THEM: {len(ended)} escalations, the oldest since {_at(one.opened_at)}; nobody is paged for them "
            f"any more: tickets {named}{more}; {again}"
        )
    taken = (
        f"{one.acknowledged_by} acknowledged it {_at(one.acknowledged_at)}" if one.acknowledged_by else "nobody has it"
    )
    return f"NOBODY ENDED IT: it began {_at(one.opened_at)}, {taken}; nobody is paged for it any more; {again}"


def _question(one: Sleeper, incoming: str, subject: str | None, now: datetime) -> Told:
    note = f"HAND IT OVER? {one.acknowledged_by} acknowledged it {_at(one.acknowledged_at)}, and their shift is over: {incoming} is on call"
    return Told(
        kind=Kind.COPY,
        at=one.newest or Position(0, 0),
        due_at=one.hands_over_at or now,
        now=now,
        subject=subject,
        note=note,
    )


def _at(at: datetime | None) -> str:
    return "at an unknown time" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def _woken(one: Sleeper, wakes_for: str, position: Position, now: datetime) -> news.EscalationWoken:
    return news.EscalationWoken(
        escalation=one.id,
        generation=one.generation + 1,
        source=one.source,
        ticket=one.external_id,
        target=one.target,
        cycle=one.cycle,
        wakes_for=wakes_for,
        acknowledged_by=one.acknowledged_by,
        acknowledged_at=one.acknowledged_at,
        loop=position.loop,
        step=position.step,
        at=now,
    )


def _handed(one: Sleeper, made: Sequence[NewPage], now: datetime) -> news.EscalationHandedOver:
    return news.EscalationHandedOver(
        escalation=one.id,
        generation=one.generation,
        source=one.source,
        ticket=one.external_id,
        target=one.target,
        cycle=one.cycle,
        left=tuple(sorted(one.leaving)),
        acknowledged_by=one.acknowledged_by,
        paged=_paged(made),
        at=now,
    )


def _paged(made: Sequence[NewPage]) -> tuple[news.PagedPerson, ...]:
    return tuple(
        news.PagedPerson(page=page.id, recipient=page.recipient, person=page.person, method=page.method)
        for page in made
    )
