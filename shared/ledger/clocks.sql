-- name: claim_due_clocks
-- Clocks that time has to act on, the longest overdue first, locked with their tickets; other workers skip them.
SELECT c.ticket_id, c.target, c.cycle, c.tenant, c.matched, c.policy_version, c.calendar, c.state, c.started_at, c.due_at,
       c.late_from, c.warn_at, c.warned, c.warned_at, c.breached_at, c.detected_at, c.open_used, c.escalate,
       t.source, t.external_id, t.channel, t.urgency
FROM clock c
JOIN ticket t ON t.id = c.ticket_id
WHERE c.next_fire_at < $1
ORDER BY c.next_fire_at
LIMIT $2
FOR NO KEY UPDATE OF c, t SKIP LOCKED;

-- name: save_fired_clocks
-- What time alone changed on claimed clocks.
UPDATE clock c
SET state = k.state, warned = k.warned, warned_at = k.warned_at, breached_at = k.breached_at,
    detected_at = k.detected_at, next_fire_at = k.next_fire_at
FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::smallint[], $6::timestamptz[], $7::timestamptz[],
            $8::timestamptz[], $9::timestamptz[])
     AS k (ticket_id, target, cycle, state, warned, warned_at, breached_at, detected_at, next_fire_at)
WHERE (c.ticket_id, c.target, c.cycle) = (k.ticket_id, k.target, k.cycle);

-- name: load_running_clocks
-- The running clocks of the given tickets.
SELECT c.ticket_id, c.target, c.cycle, c.tenant, c.matched, c.policy_version, c.calendar, c.state, c.started_at, c.due_at,
       c.late_from, c.warn_at, c.warned, c.warned_at, c.breached_at, c.detected_at, c.open_used, c.escalate
FROM clock c WHERE c.ticket_id = ANY($1::uuid[]);

-- name: load_finished_clocks
-- The finished clocks of the given tickets.
SELECT c.ticket_id, c.target, c.cycle, c.tenant, c.matched, c.policy_version, c.calendar, c.state, c.started_at, c.due_at,
       c.warned, c.warned_at, c.breached_at, c.detected_at, c.met_at, c.ended_at, c.open_used, c.escalate
FROM clock_finished c WHERE c.ticket_id = ANY($1::uuid[]);

-- name: delete_running_clocks
-- Take clocks out of the running ones, to be written anew or moved.
DELETE FROM clock c
USING unnest($1::uuid[], $2::text[], $3::integer[]) AS k (ticket_id, target, cycle)
WHERE (c.ticket_id, c.target, c.cycle) = (k.ticket_id, k.target, k.cycle);

-- name: delete_finished_clocks
-- Take back clocks that a late event shows to have ended otherwise, or not at all.
DELETE FROM clock_finished c
USING unnest($1::uuid[], $2::text[], $3::integer[]) AS k (ticket_id, target, cycle)
WHERE (c.ticket_id, c.target, c.cycle) = (k.ticket_id, k.target, k.cycle);

-- name: resolve_escalations
-- Nobody is paged any more for promises that were kept, withdrawn or moved, in the transaction that says so.
WITH live AS (
    SELECT e.id, k.resolution
    FROM unnest($1::uuid[], $2::text[], $3::integer[], $5::text[]) AS k (ticket_id, target, cycle, resolution)
    JOIN escalation e USING (ticket_id, target, cycle)
    WHERE e.state <> 'resolved'
    ORDER BY e.id FOR NO KEY UPDATE OF e
)
UPDATE escalation e
SET state = 'resolved', resolved_at = $4, next_step_at = NULL, wakes_at = NULL, wakes_for = NULL, held_for = NULL,
    resolution = live.resolution
FROM live
WHERE e.id = live.id AND e.state <> 'resolved'
RETURNING e.id, e.ticket_id, e.target, e.cycle, e.generation, e.resolution, e.acknowledged_by;
