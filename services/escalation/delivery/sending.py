"""Pages claimed and sent: so many as each channel, account and tenant may have in flight (R29), outside of any transaction.

What can't go now says until when it waits, and why (R30). A page whose provider hangs is held by its channel's timeout.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from services.escalation.channels import Channel, Closed, Page
from services.escalation.delivery import paging
from services.escalation.domain import notice, sharing
from services.escalation.domain.ladder import Kind
from services.escalation.domain.promptness import NOT_OURS
from services.escalation.domain.retry import FALLBACK_AFTER, Outcome, Result
from services.escalation.domain.sharing import Hold, Limits
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import pages
from services.escalation.store import sending as store
from services.escalation.store.pages import LeasedPage, NewPage, SentPage
from services.escalation.tokens import Tokens, digest
from shared.postgres import time as database_time
from shared.postgres.pool import Connection, Pool
from shared.runtime.logs import Log

_HELD_AT_ONCE = 500
_FALLBACKS_AT_ONCE = 200
_FALLS_BACK = frozenset({Kind.PAGE, Kind.WARNING, Kind.SUMMARY, Kind.DIGEST, Kind.ALARM})

_log = Log(__name__)


class Sending:
    """Leases pages and hands them to their channels; any number of these may run beside each other."""

    def __init__(
        self,
        pool: Pool,
        metrics: EscalationMetrics,
        token_maker: Tokens,
        channels: Mapping[str, Channel],
        lease_for: timedelta,
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._tokens = token_maker
        self._channels = channels
        self._lease_for = lease_for
        self._in_flight: Tally[tuple[str, str]] = Tally()
        self._holds: tuple[Sequence[Hold], datetime | None] = ([], None)
        self.is_short = False
        """More was due than there were places for: look again as soon as one comes free."""

    async def claim(self) -> list[LeasedPage]:
        """Lease what may go now. Whoever calls this calls `done` for each, and `hold_back` for the rest."""
        limits = self._limits()
        if not any(limit.free > 0 for limit in limits.values()):
            self.is_short = True
            return []
        most = max(limit.concurrency for limit in limits.values()) + 1
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            lanes = await store.look_at_lanes(connection, list(limits), now, most)
            shares = sharing.share(lanes, limits, self._in_flight, now, self._lease_for)
            claimed = []
            if shares.grants:
                claimed = await store.claim(
                    connection, shares.grants, limits, now, uuid4(), self._lease_for, FALLBACK_AFTER
                )
        self._holds = shares.holds, now
        self.is_short = sum(lane.due for lane, _ in lanes) > len(claimed)
        self._in_flight.update((page.method, page.tenant) for page in claimed)
        for page in claimed:
            if page.attempts == 1 and page.kind is not Kind.RESOLVE:
                planned_at = None if page.body.fallback_of or page.held_for in NOT_OURS else page.due_at
                self._metrics.pages.attempted(planned_at, page.committed_at, page.attempted_at)
        return claimed

    async def hold_back(self) -> None:
        """Note on what the last claim left until when it waits and why (R30); not before what it took is on its way."""
        (holds, at), self._holds = self._holds, ([], None)
        if not holds or at is None:
            return
        each = max(_HELD_AT_ONCE // len(holds), 1)
        async with self._pool.acquire() as connection:
            await store.hold(connection, holds, at, each, FALLBACK_AFTER)

    def done(self, page: LeasedPage) -> None:
        """A claimed page is no longer in flight."""
        self._in_flight[page.method, page.tenant] -= 1

    async def begin_fallbacks(self) -> int:
        """Try the next contact for pages that were not accepted in time, whatever holds them up (R37); returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            late = await store.take_fallbacks(connection, now, _FALLBACKS_AT_ONCE)
            wanted = [page for page in late if page.kind in _FALLS_BACK]
            ways = [paging.by_next_contact(page, self._tokens, self._channels) for page in wanted]
            made = [(way, page) for way, page in zip(ways, wanted, strict=True) if way is not None]
            made += await self._last_resorts(
                connection, [page for way, page in zip(ways, wanted, strict=True) if way is None]
            )
            if made:
                await pages.insert_ways(connection, made, now)
        return len(made)

    async def _last_resorts(self, connection: Connection, alone: Sequence[SentPage]) -> list[tuple[NewPage, SentPage]]:
        """The console, for pages without another contact after which nobody else is paged (R7)."""
        if not alone:
            return []
        unanswered = await pages.load_unanswered(connection, [page.id for page in alone])
        ends = {one.id for one in unanswered if one.is_last}
        ways = ((paging.by_last_resort(page, self._tokens, self._channels), page) for page in alone)
        return [(way, page) for way, page in ways if way is not None and page.escalation_id in ends]

    async def send(self, page: LeasedPage) -> Outcome:
        """Try a claimed page once; every failure is an outcome. What its provider said of it by itself stands for an answer."""
        if page.receipt is not None:
            return page.receipt
        channel = self._channels[page.method]
        seconds = channel.capabilities.timeout.total_seconds()
        made = await self._made(page)
        try:
            async with asyncio.timeout(seconds):
                return await channel.send(made)
        except TimeoutError:
            return Outcome(result=Result.UNKNOWN, detail=f"no answer within {seconds:g} seconds")
        except Exception as error:  # noqa: BLE001 - whatever a provider answers, the other pages go on
            _log.error("channel_failed", "A paging channel failed", error=error, channel=page.method, page=str(page.id))
            return Outcome(result=Result.UNKNOWN, detail=f"the channel failed: {type(error).__name__}")

    async def _made(self, page: LeasedPage) -> Page:
        link = "" if page.token_hash is None else self._tokens.link(page.id)
        hashed = digest(self._tokens.token(page.id))
        is_rekeyed = page.token_hash is not None and hashed != page.token_hash
        closes: tuple[Closed, ...] = ()
        if page.body.resolves or is_rekeyed:
            async with self._pool.acquire() as connection:
                if is_rekeyed:  # the key of the links was changed since the page was made
                    await pages.renew_token(connection, page, hashed)
                closes = await _closed(connection, page)
        return Page(
            id=page.id,
            kind=page.kind,
            address=page.address,
            secret=page.secret,
            options=page.options,
            urgency=page.urgency,
            attempt=page.attempts,
            claimed_at=page.claimed_at,
            closes=closes,
            recipient=page.recipient,
            person=page.person,
            facts=page.body,
            text=notice.text(page.body, page.evidence, page.kind, link),
            link=link,
        )

    def _limits(self) -> dict[str, Limits]:
        busy: Tally[str] = Tally()
        for (method, _), count in self._in_flight.items():
            busy[method] += count
        return {
            name: Limits(
                concurrency=can.concurrency,
                free=can.concurrency - busy[name],
                per_account=can.per_account,
                per_second=can.per_second,
                burst=can.burst,
            )
            for name, can in ((name, channel.capabilities) for name, channel in self._channels.items())
        }


async def _closed(connection: Connection, page: LeasedPage) -> tuple[Closed, ...]:
    """The pages that a resolve makes moot, by the names that their provider knows (R14)."""
    if not page.body.resolves:
        return ()
    found = await pages.load_closed(connection, page.body.resolves)
    return tuple(Closed(id=page_id, provider_id=provider_id) for page_id, provider_id in found)
