-- name: pulse_step
-- How things stand before a tick: the time that decides, how fast it passes, the next due step.
SELECT deskclock_now() AS now, coalesce((SELECT rate FROM time_warp), 1) AS rate,
       (SELECT next_step_at FROM escalation WHERE next_step_at IS NOT NULL ORDER BY next_step_at LIMIT 1) AS due_at;

-- name: claim_due_steps
-- Escalations whose next step is due, locked, with what a page says of the ticket, its promise and its owner.
SELECT e.id, e.tenant, e.ticket_id, e.target, e.cycle, e.generation, e.policy_version, e.ladder, e.reason,
       e.opened_at, e.anchor_at, e.since_loop, e.since_step, e.step, e.loop, e.next_step_at, e.is_replanned, e.also, e.answered,
       e.raised_by, e.raised_for,
       t.source, t.external_id, t.channel, t.urgency, t.requester_tier, t.matched, t.subject,
       coalesce(c.due_at, c.breached_at) AS due_at, c.calendar,
       EXISTS (SELECT FROM page p WHERE p.escalation_id = e.id AND p.kind = 'page' AND p.accepted_at IS NOT NULL
               AND (p.evidence ->> 'generation')::integer = e.generation) AS has_reached,
       CASE WHEN e.is_replanned THEN (
           SELECT p.accepted_at FROM page p
           WHERE p.escalation_id = e.id AND p.kind = 'page' AND p.accepted_at IS NOT NULL
             AND (p.evidence ->> 'generation')::integer = e.generation AND NOT p.evidence ? 'quiet_until'
           ORDER BY p.loop DESC, p.step DESC, p.accepted_at LIMIT 1) END AS accepted_at,
       a.agent AS owner, g.name AS owner_name, g.lead, e.about,
       CASE WHEN q.reason = 'offline' THEN next_shift_at(q.tenant, q.pool, q.channel, q.needs, q.excluded) END AS next_shift_at,
       (SELECT min(o.due_at) FROM clock o WHERE o.ticket_id = q.ticket_id AND o.state = 'running') AS answer_due_at
FROM escalation e
JOIN ticket t ON t.id = e.ticket_id
LEFT JOIN queued q ON q.ticket_id = e.ticket_id AND e.target = 'routing'
LEFT JOIN clock c ON (c.ticket_id, c.target, c.cycle) = (e.ticket_id, e.target, e.cycle)
LEFT JOIN assignment a ON a.ticket_id = e.ticket_id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL
LEFT JOIN agent g ON g.tenant = e.tenant AND g.key = a.agent
WHERE e.next_step_at <= $1 AND e.state = 'open'
ORDER BY e.next_step_at, e.id
LIMIT $2
FOR NO KEY UPDATE OF e SKIP LOCKED;

-- name: load_people
-- Those of the given people who are on the roster, with how and when to reach them.
SELECT g.tenant, g.key, g.name, g.contacts, g.timezone, g.quiet_hours
FROM agent g
JOIN unnest($1::text[], $2::text[]) AS k (tenant, key) ON (g.tenant, g.key) = (k.tenant, k.key)
WHERE g.active;

-- name: load_paged
-- Whom the step before paged, by escalation; a page that failed reached nobody, nor has yet one that waits for the morning.
SELECT p.escalation_id, coalesce(p.person, p.recipient) AS who
FROM page p
JOIN unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[]) AS k (escalation_id, loop, step, generation)
  ON (p.escalation_id, p.loop, p.step) = (k.escalation_id, k.loop, k.step)
WHERE p.kind = 'page' AND p.state <> 'failed' AND p.deferred_for IS DISTINCT FROM 'quiet_hours'
  AND (p.evidence ->> 'generation')::integer = k.generation;

-- name: save_steps
-- Where claimed escalations stand after their step; one that was only put off keeps what the step is to do.
UPDATE escalation e
SET state = k.state, step = k.step, loop = k.loop, next_step_at = k.next_step_at, is_replanned = false,
    also = CASE WHEN k.is_taken THEN '{}' ELSE e.also END,
    raised_by = CASE WHEN NOT k.is_taken THEN e.raised_by END, raised_for = CASE WHEN NOT k.is_taken THEN e.raised_for END,
    ends_at = coalesce(e.ends_at, k.ends_at),
    hands_over_at = CASE WHEN k.is_taken THEN k.hands_over_at ELSE e.hands_over_at END
FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::integer[], $5::timestamptz[], $6::boolean[], $7::timestamptz[],
            $8::timestamptz[])
     AS k (id, state, step, loop, next_step_at, is_taken, ends_at, hands_over_at)
WHERE e.id = k.id;
