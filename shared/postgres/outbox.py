"""What a transaction has to say: written in it, published after it.

One row holds all events of one transaction, in order. Who committed the row publishes it at once and deletes it; what a
crash left behind is published by whichever process finds it. The event `n` of row `id` has the message id `<id>.<n>`, so
JetStream drops what it already has.
"""

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


async def claim_left_behind(connection: Connection, limit: int = 20) -> list[Batch]:
    """Rows whose writer did not publish them; call in a transaction that lasts until they are deleted."""
    rows = await connection.fetch(
        """
        SELECT id, subjects, payloads FROM outbox WHERE written_at < clock_timestamp() - $1::interval
        ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
        """,
        LEFT_BEHIND,
        limit,
    )
    return [Batch(row["id"], row["subjects"], row["payloads"]) for row in rows]
