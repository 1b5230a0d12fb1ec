"""What the auditor reads. Queries of its own: whatever the engine gets wrong, these don't get wrong in the same way."""

from services.escalation.domain.invariants import Invariant, Seen
from services.escalation.store import QUERIES
from shared.postgres.pool import Connection


async def look(connection: Connection) -> Seen:
    """How the database stands; reads only."""
    rows = await connection.fetch(QUERIES["audit_rows"])
    [left_over] = await connection.fetch(QUERIES["audit_left_over"])
    forgotten: int = await connection.fetchval(QUERIES["audit_forgotten"])
    unescalated: int = await connection.fetchval(QUERIES["audit_unescalated"])
    return Seen(
        server_at=rows[0]["server_at"],
        oldest_due={Invariant(row["kind"]): row["seconds"] for row in rows},
        oldest_lease_seconds=left_over["lease_seconds"],
        outbox_seconds=left_over["outbox_seconds"],
        forgotten=forgotten,
        unescalated=unescalated,
    )
