"""Somebody answers: the escalation stops climbing, sleeps, or goes on, in one transaction with the pages not yet begun (R9).

By the link of a page, which takes over its whole group as far as it was shown (R28), or by API key. The first answer counts
and is told to everybody after (R10); one that was resolved meanwhile stays resolved.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from msgspec import Struct

from services.escalation import news, tokens
from services.escalation.domain import answer as rules
from services.escalation.domain.answer import CHANGING, Action, Decision, Standing
from services.escalation.domain.ladder import Kind
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import answers
from services.escalation.store.answers import Answerable, Given, Held, Member, Told
from shared.jetstream.relay import Relay
from shared.ledger.policies import PolicyShelf
from shared.policy.document import Ladder
from shared.postgres import time as database_time
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Pool
from shared.runtime import points
from shared.runtime.logs import Log
from shared.runtime.points import Point

SNOOZES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))
"""What a page's link offers."""
_STORY = 50
_PERSON = "person/"

_log = Log(__name__)


class Answer(Struct, frozen=True, kw_only=True):
    """Where the escalation stands after somebody answered."""

    escalation: UUID | None
    """None of a test page."""
    standing: Standing
    acknowledged_by: str | None
    """Whoever answered first; None where nobody has it."""
    acknowledged_at: datetime | None
    resolution: str | None = None
    wakes_at: datetime | None = None
    """Of a snooze: when they are paged again."""
    waits_for: tuple[str, ...] = ()
    """Of a step that all must answer: who hasn't yet."""
    tickets: int = 1
    """Of a page about several: how many this answer changed."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What somebody wants who answers."""

    action: Action = Action.ACKNOWLEDGE
    until: datetime | None = None
    """Of a snooze: when it ends; or `length`."""
    length: timedelta | None = None
    version: int | None = None
    """Of a page about several tickets: how many joined when it was shown; None: when it was sent."""
    generation: int | None = None
    """That of the escalation when they looked at it; None: whichever it is."""


class Impossible(Exception):
    """It can't be done so; the text says the way out."""


class Shown(Struct, frozen=True, kw_only=True):
    """All that a link's page shows."""

    page: Answerable
    ladder: Ladder
    members: tuple[Member, ...] = ()
    """The tickets it takes over; empty where there is one alone."""
    told: tuple[Told, ...] = ()
    given: tuple[Given, ...] = ()
    names: Mapping[str, str] = {}
    """Of those who are paged next, or have still to answer, by their keys."""


class Answering:
    """Takes answers, by the link of a page or by API key."""

    def __init__(self, pool: Pool, shelf: PolicyShelf, relay: Relay, metrics: EscalationMetrics) -> None:
        self._pool = pool
        self._shelf = shelf
        self._relay = relay
        self._metrics = metrics

    async def look(self, token: str) -> Shown | None:
        """What a link leads to; changes nothing, so scanners and previews may follow it (R11)."""
        async with self._pool.acquire() as connection:
            found = await answers.find_by_token(connection, tokens.digest(token))
            if found is None:
                return None
            members: list[Member] = []
            if found.group_id is not None and found.members is not None:
                members = await answers.list_members(connection, found.group_id, found.members)
            told: list[Told] = []
            given: list[Given] = []
            if found.escalation_id is not None:
                told, given = await answers.list_story(connection, found.escalation_id, _STORY)
            ladder = await self._ladder(connection, found.tenant, found.policy_version, found.ladder)
            named = (*(name for step in ladder.steps for name in step.page), *ladder.otherwise)
            wanted = {name.removeprefix(_PERSON) for name in named}
            names = await answers.load_names(connection, found.tenant, wanted)
        is_group = len(members) > 1 or found.escalation_id is None
        return Shown(
            page=found,
            ladder=ladder,
            members=tuple(members) if is_group else (),
            told=tuple(told),
            given=tuple(given),
            names=names,
        )

    async def by_token(self, token: str, wanted: Wanted | None = None) -> Answer | None:
        """Answer as the person the page was sent to; None where no page has this token. Raises Impossible."""
        wanted = wanted or Wanted()
        async with self._pool.acquire() as connection:
            found = await answers.find_by_token(connection, tokens.digest(token))
        if found is None:
            return None
        if found.kind == Kind.CANARY:
            return await self._confirm(found)
        version = None
        if found.group_id is not None:
            version = min(wanted.version or found.group_version or 0, found.members or 0)
        return await self._answer(found.tenant, found.escalation_id, found.who, wanted, found, version)

    async def by_key(self, tenant: str, escalation_id: UUID, by: str, wanted: Wanted | None = None) -> Answer | None:
        """Answer in somebody's name; None where the tenant has no such escalation. Raises Impossible."""
        return await self._answer(tenant, escalation_id, by, wanted or Wanted(), None, None)

    async def _confirm(self, page: Answerable) -> Answer:
        """Whoever got a test page says so; the first time counts."""
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            accepted_at = await answers.mark_page_answered(connection, page.page_id, now)
        if page.answered_at is None:
            self._observe(accepted_at, now)
        return Answer(
            escalation=None,
            standing=Standing.NOW if page.answered_at is None else Standing.BEFORE,
            acknowledged_by=page.who,
            acknowledged_at=page.answered_at or now,
        )

    async def _answer(
        self,
        tenant: str,
        escalation_id: UUID | None,
        by: str,
        wanted: Wanted,
        page: Answerable | None,
        version: int | None,
    ) -> Answer | None:
        async with self._pool.acquire() as connection, connection.transaction():
            held = await answers.lock(
                connection,
                tenant,
                escalation_id,
                page_id=page.page_id if page else None,
                is_used=page is not None and page.answered_at is not None,
                group_id=page.group_id if page else None,
                version=version,
            )
            if not held:
                return None
            now = held[0].now
            decided = await self._decide(connection, held, by, wanted, now)
            changed = [(one, decision) for one, decision in decided if decision.change is not None]
            batch = None
            if changed:
                if page is not None and page.group_id is not None and version is not None:
                    await self._take_over(connection, page.group_id, version, wanted.action, now)
                outbox = Outbox(now)
                await self._store(connection, changed, by, wanted, page, now)
                for one, decision in changed:
                    _announce(outbox, one, decision, by, page, now)
                batch = await outbox.save(connection)
            points.passing(Point.K10_ANSWERING)
        self._relay.post(batch)
        answer = _answer(decided, escalation_id, by)
        self._metrics.ladders.answers.labels(wanted.action, "link" if page else "key", answer.standing).inc()
        return answer

    async def _decide(
        self, connection: Connection, held: Sequence[Held], by: str, wanted: Wanted, now: datetime
    ) -> list[tuple[Held, Decision]]:
        decided = []
        for one in held:
            ladder = await self._ladder(connection, one.tenant, one.policy_version, one.ladder)
            if wanted.generation is not None and wanted.generation != one.subject.generation:
                decided.append((one, Decision(standing=Standing.STALE)))
                continue
            until = _until(wanted, ladder, now) if wanted.action is Action.SNOOZE else None
            decided.append((one, rules.decide(one.subject, ladder, wanted.action, by, now, until)))
        return decided

    async def _take_over(
        self, connection: Connection, group_id: UUID, version: int, action: Action, now: datetime
    ) -> None:
        await answers.lock_group(connection, group_id)
        if action is not Action.HAND_BACK:
            await answers.take_over_group(connection, group_id, version, now)

    async def _store(
        self,
        connection: Connection,
        changed: Sequence[tuple[Held, Decision]],
        by: str,
        wanted: Wanted,
        page: Answerable | None,
        now: datetime,
    ) -> None:
        await answers.save(connection, [(one.id, decision.change) for one, decision in changed if decision.change], by)
        until = next((d.change.wakes_at for _, d in changed if d.change and d.standing is Standing.SNOOZED), None)
        await answers.note(
            connection,
            [one for one, _ in changed],
            wanted.action,
            by,
            now,
            until=until,
            page_id=page.page_id if page else None,
        )
        if page is not None and wanted.action is not Action.HAND_BACK:
            self._observe(await answers.mark_page_answered(connection, page.page_id, now), now)

    def _observe(self, accepted_at: datetime | None, now: datetime) -> None:
        if accepted_at is not None:
            self._metrics.pages.acknowledged(accepted_at, now)

    async def _ladder(self, connection: Connection, tenant: str, version: int | None, name: str | None) -> Ladder:
        """The ladder of an escalation; one without steps where its policy version can't be had."""
        if version is None or name is None:
            return Ladder(name="", steps=())
        try:
            policy = await self._shelf.version(connection, tenant, version)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            raise  # the database's trouble, not the policy's
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, somebody may answer
            _log.error("policy_missing", "A policy version can't be used", error=error, tenant=tenant, version=version)
            return Ladder(name=name, steps=())
        return policy.escalations.get(name) or Ladder(name=name, steps=())


def _until(wanted: Wanted, ladder: Ladder, now: datetime) -> datetime:
    """When a snooze ends; raises Impossible where that is past, or later than the ladder allows (R16)."""
    until = wanted.until if wanted.until is not None else now + (wanted.length or SNOOZES[0])
    if until <= now:
        raise Impossible(f"the snooze would end at {until:%Y-%m-%d %H:%M:%S} UTC, which is past: give a later time")
    if until - now > ladder.snooze_at_most:
        longest = now + ladder.snooze_at_most
        raise Impossible(
            f"it can be snoozed until {longest:%Y-%m-%d %H:%M:%S} UTC at the longest (`snooze_at_most` of the escalation): "
            "give an earlier time, or hand it back"
        )
    return until


def _answer(decided: Sequence[tuple[Held, Decision]], escalation_id: UUID | None, by: str) -> Answer:
    """What is told of the whole: what was changed, else what the page's own escalation met."""
    changed = [one for one in decided if one[1].standing in CHANGING]
    own = next((one for one in decided if one[0].id == escalation_id), decided[0])
    held, decision = own if own in changed or not changed else changed[0]
    change = decision.change
    is_taken = change is not None and change.state == "acknowledged"
    return Answer(
        escalation=held.id,
        standing=decision.standing,
        acknowledged_by=change.acknowledged_by if change and is_taken else _taker(held, decision, by),
        acknowledged_at=change.acknowledged_at if change and is_taken else _taken_at(held, decision),
        resolution=held.resolution,
        wakes_at=change.wakes_at if change and decision.standing is Standing.SNOOZED else None,
        waits_for=decision.waits_for,
        tickets=len({(held.source, held.external_id) for held, _ in changed}),
    )


def _taker(held: Held, decision: Decision, by: str) -> str | None:
    if decision.standing is Standing.HANDED_BACK:
        return None
    return by if decision.waits_for else held.subject.acknowledged_by


def _taken_at(held: Held, decision: Decision) -> datetime | None:
    if decision.standing is Standing.HANDED_BACK:
        return None
    return held.now if decision.waits_for and decision.change else held.subject.acknowledged_at


def _announce(outbox: Outbox, held: Held, decision: Decision, by: str, page: Answerable | None, now: datetime) -> None:
    change = decision.change
    if change is None:
        return
    facts = {
        "escalation": held.id,
        "generation": change.generation,
        "source": held.source,
        "ticket": held.external_id,
        "target": held.target,
        "cycle": held.cycle,
        "by": by,
        "at": now,
        "page": page.page_id if page else None,
    }
    if change.goes_on:
        told = news.EscalationAnswered(**facts, waits_for=decision.waits_for)  # type: ignore[arg-type]
        outbox.add(held.tenant, "escalation.answered", held.external_id, told)
        return
    if change.state == "acknowledged" and held.subject.state != "acknowledged":
        taken = news.EscalationAcknowledged(**facts)  # type: ignore[arg-type]
        outbox.add(held.tenant, "escalation.acknowledged", held.external_id, taken)
    if decision.standing is Standing.SNOOZED and change.wakes_at is not None:
        asleep = news.EscalationSnoozed(**facts, wakes_at=change.wakes_at)  # type: ignore[arg-type]
        outbox.add(held.tenant, "escalation.snoozed", held.external_id, asleep)
    elif decision.standing is Standing.HANDED_BACK:
        back = news.EscalationHandedBack(**facts, loop=change.position.loop, step=change.position.step)  # type: ignore[arg-type]
        outbox.add(held.tenant, "escalation.handed_back", held.external_id, back)
