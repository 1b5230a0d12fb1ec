-- name: pulse_clock
-- How things stand before a tick: the time that decides, how fast it passes, the server's own clock, the next due clock.
SELECT deskclock_now() AS now, coalesce((SELECT rate FROM time_warp), 1) AS rate, clock_timestamp() AS server_at,
       (SELECT next_fire_at FROM clock WHERE next_fire_at IS NOT NULL ORDER BY next_fire_at LIMIT 1) AS due_at;

-- name: open_escalations
-- Open an escalation for each fired clock, or send a live one up again: a breach always begins at the first step, and a
-- warning that counts from the beginning again (the due time has moved) needs pages of its own. What is fired already, or
-- answered, is left alone. Live ones are locked in the order of all, by id: those of a group are answered at once.
INSERT INTO escalation AS e (id, tenant, ticket_id, target, cycle, policy_version, ladder, reason, state, opened_at,
                             anchor_at, step, next_step_at)
SELECT k.id, k.tenant, k.ticket_id, k.target, k.cycle, k.policy_version, k.ladder, k.reason, 'open', $11, k.anchor_at, k.step,
       k.anchor_at
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::integer[], $6::integer[], $7::text[], $8::text[],
            $9::timestamptz[], $10::integer[])
     AS k (id, tenant, ticket_id, target, cycle, policy_version, ladder, reason, anchor_at, step)
LEFT JOIN escalation live ON (live.ticket_id, live.target, live.cycle) = (k.ticket_id, k.target, k.cycle) AND live.state <> 'resolved'
ORDER BY live.id, k.id
ON CONFLICT (ticket_id, target, cycle) WHERE state <> 'resolved' DO UPDATE
SET reason = excluded.reason, state = 'open', policy_version = excluded.policy_version, ladder = excluded.ladder,
    generation = e.generation + CASE WHEN excluded.reason = 'breached' OR excluded.step <= e.step THEN 1 ELSE 0 END,
    anchor_at = excluded.anchor_at, since_loop = NULL, since_step = NULL, step = excluded.step, loop = 0,
    next_step_at = excluded.next_step_at, is_replanned = false, also = '{}', answered = '{}', held_for = NULL,
    hands_over_at = NULL, ends_at = NULL, wakes_at = NULL, wakes_for = NULL, acknowledged_by = NULL, acknowledged_at = NULL
WHERE excluded.reason = 'breached'
   OR (e.reason = 'warned' AND e.state = 'open'
       AND (e.anchor_at, e.step, e.ladder) <> (excluded.anchor_at, excluded.step, excluded.ladder))
RETURNING id, ticket_id, target, cycle, generation;

-- name: load_outlooks
-- Who has each ticket, and which promise to its customer is due next.
SELECT k.ticket_id, a.agent AS owner, n.target, n.due_at
FROM unnest($1::uuid[]) AS k (ticket_id)
LEFT JOIN assignment a ON a.ticket_id = k.ticket_id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL
LEFT JOIN LATERAL (
    SELECT c.target, c.due_at
    FROM clock c
    WHERE c.ticket_id = k.ticket_id AND c.state = 'running' AND c.due_at > $2
      AND c.target IN ('first_response', 'next_response', 'update', 'resolution')
    ORDER BY c.due_at, c.target
    LIMIT 1
) n ON true;
