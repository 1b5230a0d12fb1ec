-- name: pulse_waking
-- How things stand before a tick: the time that decides, how fast it passes, the next escalation that wakes, ends or changes hands.
SELECT deskclock_now() AS now, coalesce((SELECT rate FROM time_warp), 1) AS rate,
       least((SELECT wakes_at FROM escalation WHERE wakes_at IS NOT NULL ORDER BY wakes_at LIMIT 1),
             (SELECT ends_at FROM escalation WHERE ends_at IS NOT NULL AND state <> 'resolved' ORDER BY ends_at LIMIT 1),
             (SELECT hands_over_at FROM escalation WHERE hands_over_at IS NOT NULL AND state <> 'resolved'
              ORDER BY hands_over_at LIMIT 1)) AS due_at;

-- name: claim_waking
-- Live escalations that wake, end or change hands by now, locked, with their newest step and whom it paged on a shift that is over.
WITH due AS (
    (SELECT id FROM escalation WHERE wakes_at <= $1 ORDER BY wakes_at LIMIT $2)
    UNION (SELECT id FROM escalation WHERE ends_at <= $1 AND state <> 'resolved' ORDER BY ends_at LIMIT $2)
    UNION (SELECT id FROM escalation WHERE hands_over_at <= $1 AND state <> 'resolved' ORDER BY hands_over_at LIMIT $2)
)
SELECT e.id, e.tenant, e.ticket_id, e.target, e.cycle, e.generation, e.policy_version, e.ladder, e.reason, e.step, e.loop,
       e.state, e.opened_at, e.next_step_at, e.acknowledged_by, e.acknowledged_at, e.wakes_at, e.wakes_for, e.held_for, e.ends_at,
       e.hands_over_at, e.answered, e.also, e.about,
       t.source, t.external_id, t.channel, t.urgency, t.requester_tier, t.matched, t.subject,
       coalesce(c.due_at, c.breached_at) AS due_at, c.calendar, a.agent AS owner, g.name AS owner_name, g.lead,
       n.loop AS newest_loop, n.step AS newest_step, coalesce(n.asked, '{}') AS asked, coalesce(n.leaving, '{}') AS leaving,
       coalesce(n.rotations, '{}') AS rotations, n.next_hands_over_at
FROM escalation e
JOIN ticket t ON t.id = e.ticket_id
LEFT JOIN clock c ON (c.ticket_id, c.target, c.cycle) = (e.ticket_id, e.target, e.cycle)
LEFT JOIN assignment a ON a.ticket_id = e.ticket_id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL
LEFT JOIN agent g ON g.tenant = e.tenant AND g.key = a.agent
LEFT JOIN LATERAL (
    SELECT p.loop, p.step, array_agg(DISTINCT coalesce(p.person, p.recipient)) AS asked,
           array_agg(DISTINCT p.person) FILTER (WHERE p.shift_ends_at <= $1) AS leaving,
           array_agg(DISTINCT p.recipient) FILTER (WHERE p.shift_ends_at <= $1) AS rotations,
           min(p.shift_ends_at) FILTER (WHERE p.shift_ends_at > $1) AS next_hands_over_at
    FROM (SELECT o.loop, o.step, o.person, o.recipient, (o.evidence ->> 'shift_ends_at')::timestamptz AS shift_ends_at
          FROM page o
          WHERE o.escalation_id = e.id AND o.kind = 'page' AND (o.evidence ->> 'generation')::integer = e.generation) p
    GROUP BY p.loop, p.step
    ORDER BY p.loop DESC, p.step DESC
    LIMIT 1
) n ON true
WHERE e.id IN (SELECT id FROM due) AND e.state <> 'resolved'
  AND (e.wakes_at <= $1 OR e.ends_at <= $1 OR e.hands_over_at <= $1)
ORDER BY e.id
FOR NO KEY UPDATE OF e SKIP LOCKED;

-- name: wake_escalations
-- Held escalations go up again, as a generation of their own, from the given step on (R12, R16).
UPDATE escalation e
SET state = 'open', generation = e.generation + 1, loop = k.loop, step = k.step, since_loop = k.loop, since_step = k.step,
    anchor_at = k.at, next_step_at = k.at, is_replanned = false, also = ARRAY(SELECT jsonb_array_elements_text(k.also)),
    raised_by = NULL, raised_for = NULL, answered = '{}', held_for = NULL, hands_over_at = NULL, wakes_at = NULL, wakes_for = NULL, acknowledged_by = NULL,
    acknowledged_at = NULL
FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::timestamptz[], $5::jsonb[]) AS k (id, loop, step, at, also)
WHERE e.id = k.id;

-- name: park_waking
-- Held escalations whose promise is paused: they wake when it goes on (R15).
UPDATE escalation SET wakes_at = NULL, held_for = interval '0' WHERE id = ANY($1::uuid[]);

-- name: expire_escalations
-- Held escalations that nobody ended in time (R12).
UPDATE escalation
SET state = 'resolved', resolved_at = $2, resolution = 'expired', next_step_at = NULL, wakes_at = NULL, wakes_for = NULL,
    held_for = NULL
WHERE id = ANY($1::uuid[]);

-- name: hand_over_escalations
-- Held escalations whose people have changed: when they next do, and the time that whoever came has to answer (R13, R3).
UPDATE escalation e
SET hands_over_at = k.hands_over_at, next_step_at = greatest(e.next_step_at, k.not_before)
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS k (id, hands_over_at, not_before)
WHERE e.id = k.id;

-- name: cancel_pages_of
-- Pages that nobody has begun to send, to people whose shift is over.
UPDATE page p SET state = 'cancelled', next_attempt_at = NULL
FROM unnest($1::uuid[], $2::text[]) AS k (escalation_id, person)
WHERE (p.escalation_id, p.person) = (k.escalation_id, k.person) AND p.state = 'pending' AND p.kind = 'page' AND p.attempts = 0;

-- name: load_swallowed_alarms
-- Those of the given alarms in whose place one that says something else was stored before.
SELECT p.id FROM page p JOIN unnest($1::uuid[], $2::jsonb[]) AS k (id, body) ON p.id = k.id WHERE p.body <> k.body;
