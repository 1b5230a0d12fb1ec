-- name: lock_for_raising
-- One escalation of a tenant, held while somebody sends it up.
SELECT e.id, e.tenant, e.state, e.reason, e.target, e.cycle, e.generation, e.policy_version, e.ladder, e.loop, e.step,
       e.next_step_at, t.source, t.external_id, t.channel, deskclock_now() AS now
FROM escalation e
JOIN ticket t ON t.id = e.ticket_id
WHERE e.id = $1 AND e.tenant = $2
FOR NO KEY UPDATE OF e;

-- name: hurry_escalation
-- Its next step is due now, paused or not, and says who wants it; those behind it keep their plan (R8).
UPDATE escalation
SET next_step_at = least(next_step_at, $2), held_for = NULL, is_replanned = false, raised_by = $3, raised_for = $4
WHERE id = $1 AND state = 'open';

-- name: raise_escalation
-- Somebody sends up what had stopped: a generation of its own, at the given step, now (R8).
UPDATE escalation
SET state = 'open', reason = CASE reason WHEN 'warned' THEN 'manual' ELSE reason END, generation = generation + 1, loop = $2, step = $3,
    since_loop = $2, since_step = $3, anchor_at = $4, next_step_at = $4, is_replanned = false, also = '{}', answered = '{}',
    held_for = NULL, hands_over_at = NULL, wakes_at = NULL, wakes_for = NULL, acknowledged_by = NULL, acknowledged_at = NULL,
    raised_by = $5, raised_for = $6
WHERE id = $1
RETURNING generation;
