"""Rows for the benchmarks, made by the database itself: so many tickets with one running clock each."""

from shared.postgres.pool import Connection

TENANT = "bench"

_TICKETS = """
INSERT INTO ticket (id, tenant, source, external_id, status, opened_at, channel, urgency, theme, policy_version)
SELECT ('01900000-0000-7000-8000-' || lpad(to_hex($1::bigint + n), 12, '0'))::uuid, $3::text, 'bench', ($1 + n)::text,
       'open', deskclock_now(), 'email', 'normal', 'unknown', 0
FROM generate_series(1, $2::bigint) n
"""

_CLOCKS = """
INSERT INTO clock (ticket_id, target, cycle, tenant, matched, policy_version, calendar, state, started_at, due_at,
                   next_fire_at, escalate)
SELECT ('01900000-0000-7000-8000-' || lpad(to_hex($1::bigint + n), 12, '0'))::uuid, 'first_response', 1, $6::text,
       'everything else', 0, 'office', 'running', $3::timestamptz - interval '1 hour', at, at, $5
FROM generate_series(1, $2::bigint) n,
     LATERAL (SELECT $3::timestamptz + $4::interval * (n::double precision / $2::bigint) AS at) due
"""


async def running_clocks(
    connection: Connection,
    *,
    first: int,
    count: int,
    due_from: object,
    within: object,
    ladder: str | None,
    tenant: str = TENANT,
) -> None:
    """Store `count` tickets numbered from `first`, their clocks due evenly from `due_from` on, `within` that long."""
    await connection.execute(_TICKETS, first, count, tenant, timeout=600)
    await connection.execute(_CLOCKS, first, count, due_from, within, ladder, tenant, timeout=600)


async def empty(connection: Connection) -> None:
    """Take everything out again."""
    await connection.execute(
        "TRUNCATE ticket, ticket_event, clock, clock_finished, queued, assignment, escalation, escalation_answer, page, page_attempt, "
        "page_group, sending_account, outbox",
        timeout=600,
    )
    await connection.execute("UPDATE agent SET primary_used = 0, interruptible_used = 0")
