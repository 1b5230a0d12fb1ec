"""What a transaction has to say: written in it, published after it.

One row holds all events of one transaction, in order. Who committed the row publishes it at once and deletes it; what a
crash left behind is published by whichever process finds it. The event `n` of row `id` has the message id `<id>.<n>`, so
JetStream drops what it already has.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from shared import ids
from shared.contract import subjects
from shared.postgres.pool import Connection

LEFT_BEHIND = timedelta(seconds=2)
"""A row this old was not published by the process that wrote it."""

_LOCK = 0x4F757442  # "OutB"


class Batch(Struct, frozen=True):
    """One row of the outbox."""

    id: UUID
    subjects: list[str]
    payloads: list[bytes]


class Outbox:
    """Collects the events of one transaction; `save` writes them with the rest."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._id = ids.uuid7(now)
        self._name = str(self._id)
        self._subjects: list[str] = []
        self._payloads: list[bytes] = []
        self._time = now.isoformat()

    def add(self, tenant: str, kind: str, ticket: str, data: dict[str, Any] | Struct) -> None:
        """Say `sla.<tenant>.<kind>` of a ticket: a CloudEvent whose `data` is given."""
        event_id = f"{self._name}.{len(self._subjects)}"
        self._subjects.append(subjects.sla(tenant, kind))
        self._payloads.append(
            _encoder.encode(
                {
                    "specversion": "1.0",
                    "id": event_id,
                    "source": "deskclock",
                    "type": f"sla.{kind}",
                    "subject": ticket,
                    "time": self._time,
                    "data": data,
                }
            )
        )

    async def save(self, connection: Connection) -> Batch | None:
        """Write the row; returns it for publishing after the commit, or None where there was nothing to say."""
        if not self._subjects:
            return None
        await connection.execute(
            "INSERT INTO outbox (id, subjects, payloads) VALUES ($1, $2, $3)", self._id, self._subjects, self._payloads
        )
        return Batch(self._id, self._subjects, self._payloads)


_encoder = msgspec.json.Encoder()


async def delete(connection: Connection, batch_ids: list[UUID]) -> None:
    """Forget rows that JetStream has acknowledged."""
    await connection.execute("DELETE FROM outbox WHERE id = ANY($1)", batch_ids)


class Span(Struct, frozen=True):
    """Rows from one id to another, both included."""

    first: UUID
    last: UUID

    def with_(self, batch_id: UUID) -> "Span":
        """The same, and this one."""
        return Span(min(self.first, batch_id), max(self.last, batch_id))


async def claim_left_behind(
    connection: Connection,
    *,
    most: int,
    ours: Iterable[UUID] = (),
    refused: Span | None = None,
    before: UUID | None = None,
) -> list[Batch]:
    """The oldest rows whose writer does not publish them, of together `most` events or a single row of more.

    Those that are `ours` are left out and not locked; those `refused` count as left behind however young they are; with
    `before`, only rows before that id. Call in a transaction that lasts until they are deleted: nobody else is given
    any row meanwhile, so that none is published twice at once and none overtakes another.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
        return []
    rows = await connection.fetch(
        """
        WITH waiting AS (
            SELECT id, cardinality(subjects) AS events
            FROM outbox
            WHERE (written_at < clock_timestamp() - $1::interval OR id BETWEEN $2 AND $3)
              AND ($4::uuid IS NULL OR id < $4)
              AND id NOT IN (SELECT unnest($5::uuid[]))
            ORDER BY id
            LIMIT 100
        ), counted AS (
            SELECT id, sum(events) OVER (ORDER BY id) AS upto, row_number() OVER (ORDER BY id) AS place FROM waiting
        )
        SELECT outbox.id, subjects, payloads
        FROM outbox JOIN counted ON counted.id = outbox.id
        WHERE upto <= $6 OR place = 1
        ORDER BY outbox.id
        FOR UPDATE OF outbox SKIP LOCKED
        """,
        LEFT_BEHIND,
        refused and refused.first,
        refused and refused.last,
        before,
        list(ours),
        most,
    )
    return [Batch(row["id"], row["subjects"], row["payloads"]) for row in rows]


async def has_any(connection: Connection, span: Span) -> bool:
    """Whether a row of these is still there."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM outbox WHERE id BETWEEN $1 AND $2)", span.first, span.last
    )
    return found
