-- name: enqueue
-- Put tickets in the queue, or move those that wait already; a ticket that somebody has is left alone. Where other people
-- are to be looked for, what one waited for until now is kept.
WITH moved AS (
    SELECT q.tenant, q.ticket_id, q.pool, q.channel, q.needs, q.units, q.reason, q.reason_at
    FROM unnest($1::uuid[], $3::text[], $9::bigint[]) AS n (ticket_id, pool, signature)
    JOIN queued q ON q.ticket_id = n.ticket_id
    WHERE q.reason <> 'new' AND (q.signature <> n.signature OR q.pool <> n.pool)
), waited AS (
    INSERT INTO wait (tenant, ticket_id, pool, channel, needs, units, reason, since, until)
    SELECT tenant, ticket_id, pool, channel, needs, units, reason, reason_at,
           greatest(reason_at, (SELECT deskclock_now()))
    FROM moved
)
INSERT INTO queued AS q (ticket_id, tenant, pool, channel, units, interruptible, needs, prefers, signature, urgency_rank,
                         queued_at, due_at, latest_start_at, rescue_at, band, order_rank, order_at, previous_owner,
                         affinity_until, excluded, insists, relax_at, overflow_pool, overflow_at, is_asked)
SELECT n.ticket_id, n.tenant, n.pool, n.channel, n.units, n.interruptible, n.needs, string_to_array(n.prefers, chr(31)),
       n.signature, n.urgency_rank, n.queued_at, n.due_at, n.latest_start_at, n.rescue_at, n.band, n.order_rank,
       n.order_at, n.previous_owner, n.affinity_until, string_to_array(n.excluded, chr(31)), n.insists,
       string_to_array(n.relax_at, chr(31))::timestamptz[], n.overflow_pool, n.overflow_at,
       EXISTS (SELECT FROM escalation_request r WHERE r.ticket_id = n.ticket_id)
           OR EXISTS (SELECT FROM escalation e
                      WHERE e.ticket_id = n.ticket_id AND e.target = 'routing' AND e.state <> 'resolved')
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::boolean[], $7::jsonb[], $8::text[],
            $9::bigint[], $10::smallint[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[],
            $15::smallint[], $16::smallint[], $17::timestamptz[], $18::text[], $19::timestamptz[], $20::text[],
            $21::jsonb[], $22::text[], $23::text[], $24::timestamptz[])
     AS n (ticket_id, tenant, pool, channel, units, interruptible, needs, prefers, signature, urgency_rank, queued_at,
           due_at, latest_start_at, rescue_at, band, order_rank, order_at, previous_owner, affinity_until, excluded,
           insists, relax_at, overflow_pool, overflow_at)
WHERE NOT EXISTS (SELECT FROM assignment a WHERE a.ticket_id = n.ticket_id AND a.ended_at IS NULL)
ORDER BY n.ticket_id
ON CONFLICT (ticket_id) DO UPDATE
SET pool = excluded.pool, channel = excluded.channel, units = excluded.units, interruptible = excluded.interruptible,
    needs = excluded.needs, prefers = excluded.prefers, signature = excluded.signature,
    urgency_rank = excluded.urgency_rank, queued_at = least(q.queued_at, excluded.queued_at), due_at = excluded.due_at,
    latest_start_at = excluded.latest_start_at, rescue_at = excluded.rescue_at, band = excluded.band,
    order_rank = excluded.order_rank, order_at = excluded.order_at,
    previous_owner = coalesce(excluded.previous_owner, q.previous_owner),
    affinity_until = least(q.affinity_until, excluded.affinity_until),
    excluded = CASE WHEN excluded.excluded = '{}' THEN q.excluded ELSE excluded.excluded END,
    insists = excluded.insists, relax_at = excluded.relax_at, overflow_pool = excluded.overflow_pool,
    overflow_at = excluded.overflow_at,
    guest_of = CASE WHEN q.guest_of = excluded.overflow_pool AND excluded.overflow_at <= q.overflow_at THEN q.guest_of END,
    reason = CASE WHEN q.signature = excluded.signature AND q.pool = excluded.pool THEN q.reason ELSE 'new' END,
    reason_at = CASE WHEN q.signature = excluded.signature AND q.pool = excluded.pool THEN q.reason_at END;

-- name: dequeue
-- Tickets that no longer wait. What they waited for until now is kept.
WITH gone AS (
    DELETE FROM queued
    WHERE ticket_id IN (SELECT ticket_id FROM queued WHERE ticket_id = ANY($1::uuid[]) ORDER BY ticket_id FOR UPDATE)
    RETURNING tenant, ticket_id, pool, channel, needs, units, reason, reason_at
), waited AS (
    INSERT INTO wait (tenant, ticket_id, pool, channel, needs, units, reason, since, until)
    SELECT tenant, ticket_id, pool, channel, needs, units, reason, reason_at,
           greatest(reason_at, (SELECT deskclock_now()))
    FROM gone WHERE reason <> 'new'
)
SELECT ticket_id FROM gone;

-- name: release
-- End what agents have of these tickets and give them back the room; what is parked takes none. `pools`: where somebody may
-- wait for the agent.
WITH ended AS (
    UPDATE assignment SET ended_at = $3, end_reason = $4
    WHERE ticket_id = ANY($2::uuid[]) AND tenant = $1 AND ended_at IS NULL
    RETURNING ticket_id, agent, pool, channel, CASE WHEN state = 'parked' THEN 0 ELSE units END AS units, interruptible,
              queued_at, excluded, was_cleared, accepted_at IS NOT NULL AS was_accepted
), freed AS (
    SELECT agent, coalesce(sum(units) FILTER (WHERE NOT interruptible), 0) AS primary_units,
           coalesce(sum(units) FILTER (WHERE interruptible), 0) AS interruptible_units,
           count(*) FILTER (WHERE channel = 'phone') AS calls
    FROM ended GROUP BY agent
), waiting (pool) AS MATERIALIZED (
    SELECT * FROM deskclock_waiting_pools($1)
), held AS (
    SELECT a.key, f.primary_units, f.interruptible_units, f.calls
    FROM agent a JOIN freed f ON f.agent = a.key WHERE a.tenant = $1
    ORDER BY a.key FOR NO KEY UPDATE OF a
), relieved AS (
    UPDATE agent a
    SET primary_used = greatest(a.primary_used - f.primary_units, 0),
        interruptible_used = greatest(a.interruptible_used - f.interruptible_units, 0),
        calls = greatest(a.calls - f.calls, 0),
        over_capacity = a.over_capacity
            AND (a.primary_used - f.primary_units > a.capacity
                 OR a.primary_used + a.interruptible_used - f.primary_units - f.interruptible_units > 2 * a.capacity)
    FROM held f WHERE a.tenant = $1 AND a.key = f.key
)
SELECT e.ticket_id, e.agent, e.pool, e.queued_at, e.excluded, e.was_cleared, e.was_accepted,
       ARRAY(SELECT p.pool FROM waiting p JOIN agent a ON a.pools = '{}' OR p.pool = ANY (a.pools)
             WHERE a.tenant = $1 AND a.key = e.agent) AS pools
FROM ended e;

-- name: end_for_others
-- End assignments of tickets that the helpdesk gives to somebody else; the loads are left to `change_loads`.
UPDATE assignment a SET ended_at = $3, end_reason = 'reassigned'
FROM unnest($1::uuid[], $2::text[]) AS n (ticket_id, agent)
WHERE a.ticket_id = n.ticket_id AND a.ended_at IS NULL AND a.agent <> n.agent
RETURNING a.ticket_id, a.tenant, a.agent, a.pool, a.channel, CASE WHEN a.state = 'parked' THEN 0 ELSE a.units END AS units,
          a.interruptible, a.accepted_at IS NOT NULL AS was_accepted, false AS is_given;

-- name: confirm_by_hand
-- What the helpdesk gives to the agent to whom it is offered, or who has it parked: theirs now, and no timer takes it away.
-- Who has it already has what was asked for, and by whom they got it stays: helpdesks repeat what we told them.
UPDATE assignment a
SET state = 'active', by_hand = a.by_hand OR before.state <> 'active', accepted_at = coalesce(a.accepted_at, $3),
    offered_until = NULL,
    park_at = CASE WHEN before.state = 'active' THEN a.park_at ELSE n.park_at END
FROM unnest($1::uuid[], $2::text[], $4::timestamptz[]) AS n (ticket_id, agent, park_at)
JOIN assignment before ON before.ticket_id = n.ticket_id AND before.agent = n.agent AND before.ended_at IS NULL
WHERE a.id = before.id
RETURNING a.ticket_id, a.tenant, a.agent, a.pool, a.channel,
          CASE WHEN before.state = 'parked' THEN a.units ELSE 0 END AS units, a.interruptible,
          before.accepted_at IS NOT NULL AS was_accepted, before.state = 'parked' AS was_parked;

-- name: insert_by_hand
-- What the helpdesk gave to an agent; where the agent has it already, nothing happens.
INSERT INTO assignment (id, tenant, ticket_id, agent, pool, channel, units, interruptible, by_hand, assigned_at,
                        accepted_at, park_at, queued_at)
SELECT n.id, n.tenant, n.ticket_id, n.agent, n.pool, n.channel, n.units, n.interruptible, true, $9, $9, n.park_at,
       n.queued_at
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::boolean[],
            $10::timestamptz[], $11::timestamptz[])
     AS n (id, tenant, ticket_id, agent, pool, channel, units, interruptible, park_at, queued_at)
ON CONFLICT (ticket_id) WHERE ended_at IS NULL DO NOTHING
RETURNING ticket_id, tenant, agent, channel, units, interruptible;

-- name: change_loads
-- Add to agents' loads, whatever their capacity: what is done by hand is obeyed, and marked where it is too much.
WITH change AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[], $5::integer[], $6::boolean[])
         AS c (tenant, agent, primary_units, interruptible_units, calls, is_given)
), held AS (
    SELECT a.tenant, a.key FROM agent a JOIN change c ON c.tenant = a.tenant AND c.agent = a.key
    ORDER BY a.tenant, a.key FOR NO KEY UPDATE OF a
)
UPDATE agent a
SET primary_used = greatest(a.primary_used + c.primary_units, 0),
    interruptible_used = greatest(a.interruptible_used + c.interruptible_units, 0),
    calls = greatest(a.calls + c.calls, 0),
    over_capacity = a.primary_used + c.primary_units > a.capacity
        OR a.primary_used + a.interruptible_used + c.primary_units + c.interruptible_units > 2 * a.capacity,
    last_assigned_at = CASE WHEN c.is_given THEN greatest(a.last_assigned_at, $7) ELSE a.last_assigned_at END
FROM change c JOIN held h ON h.tenant = c.tenant AND h.key = c.agent
WHERE a.tenant = c.tenant AND a.key = c.agent;

-- name: mark_cleared
-- Tickets that all had declined before, and were asked about once more: they aren't a second time.
UPDATE queued SET was_cleared = true WHERE ticket_id = ANY($1::uuid[]);

-- name: measure_queue
-- How many tickets wait in each pool for each reason, and since when the oldest does.
SELECT pool, reason, count(*) AS depth, extract(epoch FROM deskclock_now() - min(queued_at))::float8 AS oldest_seconds
FROM queued GROUP BY pool, reason;

-- name: hold_queued
-- Lock tickets that wait, so that no matching run gives them away meanwhile.
SELECT ticket_id FROM queued WHERE ticket_id = ANY($1::uuid[]) ORDER BY ticket_id FOR UPDATE;

-- name: hold_owners
-- Everybody whose load a batch is about to change, locked in the order of their keys before any of them is changed.
SELECT key FROM agent
WHERE (tenant, key) IN (
    SELECT tenant, agent FROM assignment WHERE ticket_id = ANY($1::uuid[]) AND ended_at IS NULL
    UNION ALL
    SELECT * FROM unnest($2::text[], $3::text[]))
ORDER BY tenant, key FOR NO KEY UPDATE;

-- name: last_owners
-- Who had these tickets last; to whom one was only offered never had it.
SELECT DISTINCT ON (ticket_id) ticket_id, agent FROM assignment
WHERE ticket_id = ANY($1::uuid[]) AND accepted_at IS NOT NULL
ORDER BY ticket_id, assigned_at DESC, id DESC;
