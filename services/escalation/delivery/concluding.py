"""What becomes of a page after an attempt, and what follows: another way, the next step, an alarm, a message that it is moot.

Stored under the page's lease, with its escalations held (R31): what a summary or digest comes to, it comes to for each of the
members it names.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from services.escalation.channels import Channel
from services.escalation.delivery import paging
from services.escalation.delivery.alarming import Alarming
from services.escalation.domain import breaker, retry
from services.escalation.domain.ladder import MIN_ACK_WINDOW, Kind
from services.escalation.domain.retry import FALLBACK_AFTER, LOST, Outcome, Result, Trial, Verdict
from services.escalation.domain.sharing import Reason
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import pages, sending
from services.escalation.store.pages import Conclusion, HeldEscalation, LeasedPage, NewPage
from services.escalation.tokens import Tokens
from shared.jetstream.relay import Relay
from shared.ledger import pages as ledger_pages
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Connection, Pool
from shared.runtime import points
from shared.runtime.logs import Log
from shared.runtime.points import Point

_LIVE = frozenset({"open", "exhausted"})
_ASKS = frozenset({Kind.PAGE, Kind.SUMMARY, Kind.DIGEST})
"""Whoever gets one has time to answer before the next step."""
_TELLS = _ASKS | {Kind.WARNING}
"""About escalations: moot when they are over."""
_NO_RECEIPT = frozenset({Kind.RESOLVE, Kind.COPY})

_log = Log(__name__)


class Concluding:
    """Stores outcomes; any number of these may run beside each other."""

    def __init__(
        self,
        pool: Pool,
        relay: Relay,
        metrics: EscalationMetrics,
        token_maker: Tokens,
        channels: Mapping[str, Channel],
        alarming: Alarming,
        jitter: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._relay = relay
        self._metrics = metrics
        self._tokens = token_maker
        self._channels = channels
        self._alarming = alarming
        self._jitter = jitter

    async def conclude(self, page: LeasedPage, outcome: Outcome) -> str | None:
        """Store an outcome and what follows from it; None, and nothing, where the lease is another's by now."""
        async with self._pool.acquire() as connection, connection.transaction():
            held = await pages.lock_told(connection, page)
            found = await pages.hold(connection, page)
            if found is None:
                return None
            now, receipt = found
            outcome = receipt or outcome
            outbox = Outbox(now)
            settled = await self._settle(connection, page, outcome, held, now)
            if settled is None:
                return None
            state, was_broken = settled
            paging.announce(outbox, page, state, outcome, now)
            batch = await outbox.save(connection)
            if outcome is not LOST and not _is_well(outcome):
                was_broken = await self._note_failure(connection, page, outcome, now)
        points.passing(Point.K9_CONCLUDED)
        self._relay.post(batch)
        self._count(page, outcome, state, now)
        if was_broken:
            async with self._pool.acquire() as connection:
                await sending.release(connection, page.method, page.tenant, page.account, now)
        return state

    async def _settle(
        self,
        connection: Connection,
        page: LeasedPage,
        outcome: Outcome,
        held: Sequence[HeldEscalation],
        now: datetime,
    ) -> tuple[str, bool] | None:
        """Store it; returns the page's state, and whether its account is well after having been broken."""
        is_live = page.kind not in _TELLS or any(one.state in _LIVE for one in held)
        verdict = self._judge(page, outcome, held, now)
        conclusion = self._conclusion(page, outcome, verdict, now, is_live=is_live)
        if not is_live:
            outcome = _labelled(outcome, held)
        was_broken = await pages.conclude(connection, page, conclusion, outcome, now, is_well=_is_well(outcome))
        if was_broken is None:
            return None
        ended = [one.id for one in held if one.state == "resolved"]
        if ended and page.kind is not Kind.RESOLVE:
            await ledger_pages.resolve(connection, ended, now)  # it was in flight when they ended: now we know (R14)
        if conclusion.state == "accepted":
            await self._accept(connection, page, now)
        elif is_live and verdict.fall_back and page.kind in (*_TELLS, Kind.ALARM):
            await self._fall_back(connection, page, held, conclusion.state, outcome, now)
        return conclusion.state, was_broken

    def _judge(self, page: LeasedPage, outcome: Outcome, held: Sequence[HeldEscalation], now: datetime) -> Verdict:
        steps = [one.next_step_at for one in held if one.next_step_at is not None and page.replayed_at is None]
        since = page.replayed_at or page.attempted_at
        channel = self._channels.get(page.method)
        trial = Trial(
            attempts=page.attempts,
            unknowns=page.unknowns + (outcome.result is Result.UNKNOWN),
            first_at=since,
            budget_until=retry.budget_until(min(steps, default=None), since),
            is_keyed=channel is not None and channel.capabilities.is_keyed,
            most_unknown=retry.most_unknown(page.kind),
            is_tried_once=page.kind is Kind.COPY,
        )
        return retry.judge(outcome, trial, now, self._jitter())

    def _conclusion(
        self, page: LeasedPage, outcome: Outcome, verdict: Verdict, now: datetime, *, is_live: bool
    ) -> Conclusion:
        if verdict.is_accepted:
            channel = self._channels.get(page.method)
            awaits = channel is not None and channel.capabilities.has_receipts and page.kind not in _NO_RECEIPT
            is_open = awaits and outcome.result is not Result.DELIVERED
            return Conclusion(state="accepted", verify_by=now + FALLBACK_AFTER if is_open else None)
        if not is_live:
            return Conclusion(state="cancelled")
        if verdict.retry_at is None:
            return Conclusion(state="failed", falls_back=True)
        return Conclusion(
            state="pending",
            retry_at=verdict.retry_at,
            deferred_for=Reason.RETRY_AFTER if outcome.retry_after else None,
            falls_back=verdict.fall_back,
        )

    async def _accept(self, connection: Connection, page: LeasedPage, now: datetime) -> None:
        told = await pages.load_told(connection, page)
        await pages.conclude_members(connection, page, "accepted", now)
        if page.kind in _ASKS:
            await pages.extend_answer_windows(connection, told, now + MIN_ACK_WINDOW)
        if page.evidence.fallback or page.body.fallback_of:
            await pages.cancel_other_ways(connection, page)

    async def _fall_back(
        self,
        connection: Connection,
        page: LeasedPage,
        held: Sequence[HeldEscalation],
        state: str,
        outcome: Outcome,
        now: datetime,
    ) -> None:
        """Try the person's next contact; where none is left, the next step is due, or the console is paged (R3, R7, R39)."""
        following = paging.by_next_contact(page, self._tokens, self._channels)
        if following is not None and await pages.insert_ways(connection, [(following, page)], now):
            return
        is_over = state == "failed"
        made = await (
            self._give_up(connection, page, held, outcome, now) if is_over else self._beside(connection, page)
        )
        if made:
            await pages.insert(connection, made, now)
        elif is_over:
            _log.error(
                "page_given_up", "A page reached nobody and no way is left", page=str(page.id), method=page.method
            )

    async def _beside(self, connection: Connection, page: LeasedPage) -> list[NewPage]:
        """The console, beside a page that is not accepted in time and after which nobody else is paged (R7, R37)."""
        last = paging.by_last_resort(page, self._tokens, self._channels)
        if last is None or page.kind is Kind.ALARM:
            return [] if last is None else [last]
        if await pages.is_told_otherwise(connection, page):
            return []
        unanswered = await pages.load_unanswered(connection, await pages.load_told(connection, page))
        return [last] if any(one.is_last for one in unanswered) else []

    async def _give_up(
        self,
        connection: Connection,
        page: LeasedPage,
        held: Sequence[HeldEscalation],
        outcome: Outcome,
        now: datetime,
    ) -> list[NewPage]:
        """No contact is left: hurry the next step and say so to the catch-all; where no step is left, page the console."""
        last = paging.by_last_resort(page, self._tokens, self._channels)
        if page.kind is Kind.ALARM:
            return [last] if last else []
        if not await pages.is_told_otherwise(connection, page):
            told = await pages.load_told(connection, page)
            unanswered = await pages.load_unanswered(connection, told)
            await pages.hurry_steps(connection, [one.id for one in unanswered if not one.is_last], now)
            if last is not None and any(one.is_last for one in unanswered):
                return [last]
            await pages.conclude_members(connection, page, "failed", now)
        live = [one for one in held if one.state in _LIVE]
        if not live or page.kind is Kind.WARNING or last is None:
            return []
        return await self._alarming.given_up(connection, page, live[0], outcome, now)

    async def _note_failure(self, connection: Connection, page: LeasedPage, outcome: Outcome, now: datetime) -> bool:
        """Note what fails of the provider's account, the last of all locks; returns whether it is well after having been broken."""
        before = await sending.lock_account(connection, page.tenant, page.account)
        if before is None:
            return False
        after = breaker.after(before, outcome, now)
        await sending.save_account(connection, page.tenant, page.account, after)
        if after.opened_at is not None and before.opened_at is None:
            _log.warning(
                "account_broken",
                "A provider's account fails again and again: its pages go another way until it answers",
                method=page.method,
                tenant=page.tenant,
                probe_at=str(after.probe_at),
            )
        return before.opened_at is not None and after.opened_at is None

    def _count(self, page: LeasedPage, outcome: Outcome, state: str, now: datetime) -> None:
        self._metrics.pages.outcomes.labels(page.method, outcome.result).inc()
        if state == "failed":
            self._metrics.pages.outcomes.labels(page.method, "failed").inc()
        if state == "accepted" and page.kind is not Kind.RESOLVE:
            self._metrics.pages.accepted(page.attempted_at, now)


def _is_well(outcome: Outcome) -> bool:
    """Whether the provider's account answers as it should; a refusal is an answer."""
    return outcome.result not in (Result.RETRYABLE, Result.UNKNOWN) and outcome.retry_after is None


def _labelled(outcome: Outcome, held: Sequence[HeldEscalation]) -> Outcome:
    """An attempt that was in flight when its escalation was answered or ended says so (R9)."""
    states = " and ".join(sorted({one.state for one in held})) or "over"
    detail = f"{outcome.detail}; " if outcome.detail else ""
    return Outcome(
        result=outcome.result,
        detail=f"{detail}it was in flight when its escalation was {states}",
        retry_after=outcome.retry_after,
        provider_id=outcome.provider_id,
    )
