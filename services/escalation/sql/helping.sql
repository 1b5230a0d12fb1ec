-- name: pulse_request
-- How things stand before a tick: the time that decides, how fast it passes, the next request for help.
SELECT deskclock_now() AS now, coalesce((SELECT rate FROM time_warp), 1) AS rate,
       (SELECT due_at FROM escalation_request ORDER BY due_at LIMIT 1) AS due_at;

-- name: take_requests
-- Take out requests for help that are due, with their tickets; those that another process takes are skipped.
WITH due AS (
    SELECT r.id FROM escalation_request r WHERE r.due_at <= $1 ORDER BY r.due_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM escalation_request r USING due, ticket t
WHERE r.id = due.id AND t.id = r.ticket_id
RETURNING r.tenant, r.ticket_id, r.reason, r.due_at, r.about, t.source, t.external_id, t.channel, t.urgency, t.matched,
          t.policy_version;

-- name: lock_help
-- Live escalations of the tickets that no promise began, held.
SELECT e.id, e.ticket_id, e.cycle, e.generation, e.state, e.policy_version, e.ladder, e.loop, e.step
FROM escalation e
WHERE e.ticket_id = ANY($1::uuid[]) AND e.target = 'routing' AND e.state <> 'resolved'
ORDER BY e.id
FOR NO KEY UPDATE;

-- name: open_help
-- Escalations of tickets that somebody has to see to, each a cycle after the one before; where one is live, it stays.
INSERT INTO escalation (id, tenant, ticket_id, target, cycle, policy_version, ladder, reason, state, opened_at, anchor_at,
                        next_step_at, about)
SELECT k.id, k.tenant, k.ticket_id, 'routing', coalesce(before.cycle, 1), k.policy_version, k.ladder, k.reason, 'open', $9,
       k.anchor_at, k.anchor_at, k.about
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[], $8::jsonb[])
     AS k (id, tenant, ticket_id, policy_version, ladder, reason, anchor_at, about)
LEFT JOIN LATERAL (
    SELECT max(e.cycle) + (CASE WHEN bool_or(e.state <> 'resolved') THEN 0 ELSE 1 END) AS cycle
    FROM escalation e WHERE e.ticket_id = k.ticket_id AND e.target = 'routing'
) before ON true
ON CONFLICT (ticket_id, target, cycle) WHERE state <> 'resolved' DO NOTHING
RETURNING id, ticket_id, cycle, generation;

-- name: reopen_help
-- Somebody asks again for help that was promised or never came: a generation of its own, at the given step (R8).
UPDATE escalation e
SET state = 'open', reason = 'manual', generation = e.generation + 1, loop = k.loop, step = k.step,
    anchor_at = k.next_step_at, since_loop = k.loop, since_step = k.step, next_step_at = k.next_step_at, about = k.about,
    raised_by = NULL, raised_for = NULL, answered = '{}', also = '{}', hands_over_at = NULL, wakes_at = NULL, wakes_for = NULL, acknowledged_by = NULL,
    acknowledged_at = NULL
FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::timestamptz[], $5::jsonb[])
     AS k (id, loop, step, next_step_at, about)
WHERE e.id = k.id
RETURNING e.id, e.ticket_id, e.cycle, e.generation;
