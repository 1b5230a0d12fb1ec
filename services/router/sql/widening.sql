-- name: load_guest_heads
-- The first tickets of each signature among those of other pools that the agents of this one may take by now; as
-- `load_heads` does it.
WITH RECURSIVE kind (signature, interruptible, n) AS (
    (SELECT signature, interruptible, 1 FROM queued
     WHERE tenant = $1 AND guest_of = $2 AND signature > $7::bigint ORDER BY signature LIMIT 1)
    UNION ALL
    SELECT following.signature, following.interruptible, kind.n + 1 FROM kind CROSS JOIN LATERAL (
        SELECT q.signature, q.interruptible FROM queued q
        WHERE q.tenant = $1 AND q.guest_of = $2 AND q.signature > kind.signature ORDER BY q.signature LIMIT 1) following
    WHERE kind.n < $8::integer
), share AS (
    SELECT greatest($6::bigint, $5::bigint / greatest(count(*), 1)) AS n FROM kind
), page AS (
    SELECT signature, least(CASE WHEN interruptible THEN $4::bigint ELSE $3::bigint END, share.n) AS depth
    FROM kind CROSS JOIN share
)
SELECT head.ticket_id, head.channel, head.units, head.interruptible, head.needs, head.prefers, head.signature,
       head.queued_at, head.band, head.order_rank, head.order_at, head.previous_owner, head.affinity_until, head.excluded,
       head.reason, page.depth, (SELECT max(signature) FROM kind HAVING count(*) >= $8) AS following
FROM page LEFT JOIN LATERAL (
    SELECT q.ticket_id, q.channel, q.units, q.interruptible, q.needs, q.prefers, q.signature, q.queued_at, q.band,
           q.order_rank, q.order_at, q.previous_owner, q.affinity_until, q.excluded, q.reason
    FROM queued q
    WHERE q.tenant = $1 AND q.guest_of = $2 AND q.signature = page.signature
    ORDER BY q.band, q.order_rank, q.order_at, q.queued_at, q.ticket_id
    LIMIT page.depth + sign(page.depth)::bigint
) head ON true;

-- name: hold_rings
-- Tickets of a pool of which a group of insisted skills is to be given up by now, locked; without those that somebody is
-- changing.
SELECT q.ticket_id, q.tenant, q.pool, q.channel, q.units, q.interruptible, q.needs, q.prefers, q.signature,
       q.urgency_rank, q.queued_at, q.due_at, q.latest_start_at, q.rescue_at, q.band, q.order_rank, q.order_at, q.insists,
       q.relax_at
FROM queued q
WHERE q.tenant = $1 AND q.pool = $2 AND q.relax_at <> '{}' AND q.relax_at[1] <= $3
ORDER BY q.relax_at[1]
LIMIT $4
FOR UPDATE SKIP LOCKED;

-- name: hold_rings_of
-- Those of the given tickets that insist on skills, locked; without those that somebody is changing.
SELECT q.ticket_id, q.tenant, q.pool, q.channel, q.units, q.interruptible, q.needs, q.prefers, q.signature,
       q.urgency_rank, q.queued_at, q.due_at, q.latest_start_at, q.rescue_at, q.band, q.order_rank, q.order_at, q.insists,
       q.relax_at
FROM queued q
WHERE q.ticket_id = ANY($1::uuid[]) AND q.relax_at <> '{}'
FOR UPDATE SKIP LOCKED;

-- name: save_rings
-- What tickets need once they insist on less; what they waited for until now (`$7`) is kept.
WITH less AS (
    SELECT * FROM unnest($1::uuid[], $2::jsonb[], $3::text[], $4::bigint[], $5::jsonb[], $6::text[])
         AS n (ticket_id, needs, prefers, signature, insists, relax_at)
), waited AS (
    INSERT INTO wait (tenant, ticket_id, pool, channel, needs, units, reason, since, until)
    SELECT q.tenant, q.ticket_id, q.pool, q.channel, q.needs, q.units, q.reason, q.reason_at, greatest(q.reason_at, $7)
    FROM less JOIN queued q ON q.ticket_id = less.ticket_id WHERE q.reason <> 'new'
)
UPDATE queued q
SET needs = less.needs, prefers = string_to_array(less.prefers, chr(31)), signature = less.signature,
    insists = less.insists, relax_at = string_to_array(less.relax_at, chr(31))::timestamptz[],
    reason = 'new', reason_at = NULL
FROM less WHERE q.ticket_id = less.ticket_id;

-- name: open_overflow
-- Tickets of a pool that agents of another one may take, too, from now on; returns these pools.
WITH due AS (
    SELECT ticket_id FROM queued
    WHERE tenant = $1 AND pool = $2 AND overflow_pool IS NOT NULL AND guest_of IS NULL AND overflow_at <= $3
    ORDER BY overflow_at LIMIT $4 FOR UPDATE SKIP LOCKED
)
UPDATE queued q SET guest_of = q.overflow_pool FROM due WHERE q.ticket_id = due.ticket_id
RETURNING q.guest_of;

-- name: open_overflow_of
-- The same for the given tickets, whose time has not come.
WITH due AS (
    SELECT ticket_id FROM queued
    WHERE ticket_id = ANY($1::uuid[]) AND overflow_pool IS NOT NULL AND guest_of IS NULL
    FOR UPDATE SKIP LOCKED
)
UPDATE queued q SET guest_of = q.overflow_pool, overflow_at = least(q.overflow_at, $2)
FROM due WHERE q.ticket_id = due.ticket_id
RETURNING q.guest_of;

-- name: list_overflowing
-- Which of the given tickets may go to another pool, now or later.
SELECT ticket_id, overflow_pool FROM queued WHERE ticket_id = ANY($1::uuid[]) AND overflow_pool IS NOT NULL;

-- name: look_at_desks
-- Everybody who works tickets of a pool, as `load_desks` gives it, but only to look at.
SELECT a.key, a.skills, a.channels, a.capacity, true AS is_held,
       deskclock_is_there(a.status, a.presence, a.present_until, (SELECT deskclock_now())) AS is_online,
       a.primary_used, a.interruptible_used, a.calls, a.last_assigned_at, a.closed_channels, a.at_most
FROM agent a
WHERE a.tenant = $1 AND a.active AND a.channels <> '{}' AND (a.pools = '{}' OR $2 = ANY (a.pools));
