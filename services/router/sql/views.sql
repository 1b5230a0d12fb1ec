-- name: view_tickets
-- The given tickets with whoever has them or is offered them and their place in the queue; only the front of each line ($2) is counted, once.
WITH lines AS (
    SELECT DISTINCT tenant, pool, signature FROM queued WHERE ticket_id = ANY($1::uuid[])
), front AS (
    SELECT o.ticket_id, o.place
    FROM lines l
    CROSS JOIN LATERAL (
        SELECT q.ticket_id, row_number() OVER (ORDER BY q.band, q.order_rank, q.order_at, q.queued_at, q.ticket_id) AS place
        FROM queued q
        WHERE q.tenant = l.tenant AND q.pool = l.pool AND q.signature = l.signature
        ORDER BY q.band, q.order_rank, q.order_at, q.queued_at, q.ticket_id
        LIMIT $2
    ) AS o
)
SELECT t.id, t.tenant, t.source, t.external_id, t.status, t.opened_at, t.solved_at, t.channel, t.urgency, t.theme,
       t.language, t.subject, t.requester_key, t.requester_tier, t.team, t.matched, t.needs, t.rules, t.pool,
       t.policy_version, a.agent, a.state, a.by_hand, a.assigned_at, a.accepted_at, a.offered_until, a.touched_at, a.act_by,
       a.park_at, q.reason AS queue_reason, q.band, q.queued_at, front.place,
       CASE WHEN q.reason = 'offline' THEN next_shift_at(q.tenant, q.pool, q.channel, q.needs, q.excluded) END AS next_shift_at,
       CASE WHEN q.is_asked THEN (SELECT min(r.due_at) FROM escalation_request r WHERE r.ticket_id = t.id) END AS help_at
FROM ticket t
LEFT JOIN assignment a ON a.ticket_id = t.id AND a.ended_at IS NULL
LEFT JOIN queued q ON q.ticket_id = t.id
LEFT JOIN front ON front.ticket_id = t.id
WHERE t.id = ANY($1::uuid[]);

-- name: view_clocks
-- Every clock of the given tickets, running and ended, in the order of their start.
SELECT ticket_id, target, cycle, state, matched, calendar, started_at, due_at, warn_at, warned, warned_at, breached_at,
       detected_at, NULL::timestamptz AS met_at, NULL::timestamptz AS ended_at, open_used, NULL::interval AS wall_used
FROM clock WHERE ticket_id = ANY($1::uuid[])
UNION ALL
SELECT ticket_id, target, cycle, state, matched, calendar, started_at, due_at, '{}', warned, warned_at, breached_at,
       detected_at, met_at, ended_at, open_used, wall_used
FROM clock_finished WHERE ticket_id = ANY($1::uuid[])
ORDER BY started_at, target, cycle;

-- name: view_ticket_ids
-- A page of a tenant's tickets, the newest first, filtered by what is given.
SELECT t.id
FROM ticket t
WHERE t.tenant = $1
  AND ($2::text IS NULL OR t.source = $2)
  AND ($3::text IS NULL OR t.external_id = $3)
  AND ($4::text IS NULL OR t.status = $4)
  AND ($5::text IS NULL OR EXISTS (
      SELECT FROM assignment a WHERE a.ticket_id = t.id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL AND a.agent = $5))
  AND ($6::text IS NULL OR EXISTS (
      SELECT FROM assignment a
      WHERE a.ticket_id = t.id AND a.ended_at IS NULL AND a.state = 'offered' AND a.agent = $6))
  AND ($7::uuid IS NULL OR t.id < $7)
ORDER BY t.id DESC
LIMIT $8;

-- name: view_identity
-- Which ticket of which helpdesk an id of ours is; the time that decides comes along.
SELECT source, external_id, deskclock_now() AS now FROM ticket WHERE tenant = $1 AND id = $2;
