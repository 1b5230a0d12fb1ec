"""Receipts: what a provider says of a page after it took it, and what follows where it says nothing.

An acceptance is a provider's word that it will try. Where it tells later what came of that, a page of which nobody hears in
time is tried another way too, and one that is lost goes on as if it had been refused (R35, R37; "accepts, never delivers").
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from services.escalation.channels import twilio, twilio_receipts
from services.escalation.channels.secrets import Secrets
from services.escalation.channels.twilio_receipts import News, Receipt
from services.escalation.domain.retry import FALLBACK_AFTER, Outcome, Result
from services.escalation.errors import SecretMissing
from services.escalation.metrics import EscalationMetrics
from services.escalation.store import receipts as store
from shared.postgres import time as database_time
from shared.postgres.pool import Connection, Pool

_AT_ONCE = 200
_RINGING = timedelta(seconds=twilio.RING_SECONDS + 5)
_TWILIO = frozenset({twilio.Sms.name, twilio.Voice.name})
_UNVERIFIED = f"no receipt within {FALLBACK_AFTER.total_seconds():g} seconds"


class Taken(Enum):
    """What became of a receipt."""

    YES = auto()
    UNKNOWN = auto()
    """There is no such page."""
    FORGED = auto()
    """It isn't signed by whom the page was sent through."""


class Receipts:
    """Takes receipts, and notices those that don't come."""

    def __init__(self, pool: Pool, metrics: EscalationMetrics, secrets: Secrets, public_url: str) -> None:
        """`public_url` is where Twilio reaches us: the address that it signs."""
        self._pool = pool
        self._metrics = metrics
        self._secrets = secrets
        self._url = f"{public_url.rstrip('/')}{twilio.RECEIPTS}"

    async def take_twilio(
        self, page_id: UUID, attempt: int, query: str, form: Sequence[tuple[str, str]], signature: str
    ) -> Taken:
        """What Twilio says of one attempt of a page; believed only with its signature."""
        async with self._pool.acquire() as connection:
            page = await store.load(connection, page_id)
        if page is None or page.method not in _TWILIO:
            return Taken.UNKNOWN
        try:
            tokens = [token for _, token in twilio.accounts(self._secrets.read(page.secret), page.secret)]
        except SecretMissing:
            tokens = []
        if not twilio_receipts.is_signed(signature, f"{self._url}?{query}", form, tokens):
            self._metrics.pages.receipts.labels(page.method, "forged").inc()
            return Taken.FORGED
        receipt = twilio_receipts.read(form)
        async with self._pool.acquire() as connection, connection.transaction():
            await self._note(connection, page_id, attempt, receipt, page.method)
        return Taken.YES

    async def run_once(self) -> int:
        """Let pages that nobody says have arrived be tried another way; returns how many."""
        async with self._pool.acquire() as connection, connection.transaction():
            now = await database_time.now(connection)
            late = await store.take_unverified(connection, now, _AT_ONCE, _UNVERIFIED)
        for method, count in late.items():
            self._metrics.pages.unverified.labels(method).inc(count)
        return sum(late.values())

    async def _note(self, connection: Connection, page_id: UUID, attempt: int, receipt: Receipt, method: str) -> None:
        now = await database_time.now(connection)
        match receipt.news:
            case News.ARRIVED:
                outcome = _outcome(Result.DELIVERED, receipt)
                arrived = await store.save_arrival(connection, page_id, attempt, outcome, now)
                if arrived is not None and arrived.is_news:
                    self._arrived(method, arrived.accepted_at, now)
            case News.LOST:
                if await store.save_loss(connection, page_id, attempt, _outcome(Result.REJECTED, receipt), now):
                    self._metrics.pages.receipts.labels(method, "lost").inc()
            case News.RINGS | News.HAS_IT as news:
                verify_by = now + _RINGING if news is News.RINGS else None
                outcome = _outcome(Result.ACCEPTED, receipt)
                await store.save_progress(connection, page_id, attempt, outcome, now, verify_by)

    def _arrived(self, method: str, accepted_at: datetime | None, now: datetime) -> None:
        self._metrics.pages.receipts.labels(method, "arrived").inc()
        if accepted_at is not None:
            self._metrics.pages.delivered(accepted_at, now)


def _outcome(result: Result, receipt: Receipt) -> Outcome:
    return Outcome(result=result, detail=receipt.detail, provider_id=receipt.sid or None)
