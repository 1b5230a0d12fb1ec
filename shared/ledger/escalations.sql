-- name: lock_live_escalations
-- The live escalations of tickets, in the lock order.
SELECT e.id FROM escalation e WHERE e.ticket_id = ANY($1::uuid[]) AND e.state <> 'resolved' ORDER BY e.id FOR NO KEY UPDATE;

-- name: hold_escalations
-- Promises are paused: what was left until the next step of their escalations, or until they wake, is kept (R15).
WITH live AS (
    SELECT e.id
    FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS k (ticket_id, target, cycle)
    JOIN escalation e USING (ticket_id, target, cycle)
    WHERE e.held_for IS NULL AND (e.state = 'acknowledged' OR e.state = 'open' AND e.next_step_at IS NOT NULL)
    ORDER BY e.id FOR NO KEY UPDATE OF e
)
UPDATE escalation e
SET held_for = greatest(coalesce(e.next_step_at, e.wakes_at, $4) - $4, interval '0'), next_step_at = NULL, wakes_at = NULL
FROM live
WHERE e.id = live.id AND e.held_for IS NULL AND (e.state = 'acknowledged' OR e.state = 'open' AND e.next_step_at IS NOT NULL);

-- name: resume_escalations
-- Promises go on: so do their escalations, with what was left, and the steps behind the next one keep their distance (R15).
WITH held AS (
    SELECT e.id
    FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS k (ticket_id, target, cycle)
    JOIN escalation e USING (ticket_id, target, cycle)
    WHERE e.held_for IS NOT NULL AND e.state <> 'resolved'
    ORDER BY e.id FOR NO KEY UPDATE OF e
), going AS (
    SELECT e.id, $4::timestamptz + e.held_for AS at, e.state = 'open' AND e.next_step_at IS NULL AS steps,
           e.wakes_for IS NOT NULL AND e.wakes_at IS NULL AS wakes
    FROM escalation e JOIN held ON held.id = e.id
    WHERE e.held_for IS NOT NULL
)
UPDATE escalation e
SET next_step_at = CASE WHEN going.steps THEN going.at ELSE e.next_step_at END,
    anchor_at = CASE WHEN going.steps THEN going.at ELSE e.anchor_at END,
    since_loop = CASE WHEN going.steps THEN e.loop ELSE e.since_loop END,
    since_step = CASE WHEN going.steps THEN e.step ELSE e.since_step END,
    wakes_at = CASE WHEN going.wakes THEN going.at ELSE e.wakes_at END, held_for = NULL
FROM going
WHERE e.id = going.id;

-- name: replan_escalations
-- Broken promises broke at another instant, or have another ladder: stepping works out when the next step is due; what was
-- sent stays sent, and the step is never an earlier one (R15, R17).
WITH live AS (
    SELECT e.id, k.shift, k.ladder, k.policy_version
    FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::interval[], $5::text[], $6::integer[])
         AS k (ticket_id, target, cycle, shift, ladder, policy_version)
    JOIN escalation e USING (ticket_id, target, cycle)
    WHERE e.state <> 'resolved' AND e.reason <> 'warned'
    ORDER BY e.id FOR NO KEY UPDATE OF e
)
UPDATE escalation e
SET anchor_at = CASE WHEN e.since_loop IS NULL THEN e.anchor_at + live.shift ELSE e.anchor_at END,
    policy_version = CASE WHEN coalesce(live.ladder, e.ladder) = e.ladder THEN e.policy_version ELSE live.policy_version END,
    ladder = coalesce(live.ladder, e.ladder), is_replanned = e.next_step_at IS NOT NULL OR e.is_replanned,
    next_step_at = CASE WHEN e.next_step_at IS NOT NULL THEN $7::timestamptz END
FROM live
WHERE e.id = live.id AND e.state <> 'resolved';

-- name: withdraw_warnings
-- Warnings that nobody answered, or only snoozed, of promises whose due time has moved away: nobody need be told any more (R15).
WITH live AS (
    SELECT e.id
    FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS k (ticket_id, target, cycle)
    JOIN escalation e USING (ticket_id, target, cycle)
    WHERE e.reason = 'warned' AND (e.state = 'open' OR e.wakes_for IS NOT NULL)
    ORDER BY e.id FOR NO KEY UPDATE OF e
)
UPDATE escalation e
SET state = 'resolved', resolved_at = $4, next_step_at = NULL, wakes_at = NULL, wakes_for = NULL, held_for = NULL,
    resolution = 'withdrawn'
FROM live
WHERE e.id = live.id AND e.reason = 'warned' AND (e.state = 'open' OR e.wakes_for IS NOT NULL)
RETURNING e.id, e.ticket_id, e.target, e.cycle, e.generation, e.resolution, e.acknowledged_by;

-- name: supersede_escalations
-- Tickets that another team has: those who were called are told so, whoever had acknowledged (R17).
WITH live AS (
    SELECT e.id
    FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS k (ticket_id, target, cycle)
    JOIN escalation e USING (ticket_id, target, cycle)
    WHERE e.state <> 'resolved'
    ORDER BY e.id FOR NO KEY UPDATE OF e
)
UPDATE escalation e
SET state = 'resolved', resolved_at = $4, next_step_at = NULL, wakes_at = NULL, wakes_for = NULL, held_for = NULL,
    resolution = 'superseded'
FROM live
WHERE e.id = live.id AND e.state <> 'resolved'
RETURNING e.id, e.ticket_id, e.target, e.cycle, e.generation, e.resolution, e.acknowledged_by, e.reason, e.step;

-- name: open_anew
-- The other team's own escalations of them: from the first step, now (R17).
INSERT INTO escalation (id, tenant, ticket_id, target, cycle, policy_version, ladder, reason, state, opened_at, anchor_at, step,
                        next_step_at)
SELECT id, tenant, ticket_id, target, cycle, policy_version, ladder, reason, 'open', $10, $10, step, $10
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::integer[], $6::integer[], $7::text[], $8::text[], $9::integer[])
     AS k (id, tenant, ticket_id, target, cycle, policy_version, ladder, reason, step)
ON CONFLICT (ticket_id, target, cycle) WHERE state <> 'resolved' DO NOTHING;

-- name: end_snoozes
-- Tickets that have become more urgent: who snoozed one is asked now, or as soon as its promise goes on (R16).
UPDATE escalation
SET wakes_at = CASE WHEN held_for IS NULL THEN $2 ELSE wakes_at END, held_for = CASE WHEN held_for IS NOT NULL THEN interval '0' END
WHERE id IN (SELECT e.id FROM escalation e
             WHERE e.ticket_id = ANY($1::uuid[]) AND e.state = 'acknowledged' AND e.wakes_for = 'snooze'
             ORDER BY e.id FOR NO KEY UPDATE);
