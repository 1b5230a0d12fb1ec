-- name: find_by_token
-- The page that a link was sent with, and where its escalation stands.
SELECT p.id AS page_id, p.tenant, p.escalation_id, p.recipient, p.person, p.kind, p.acknowledged_at AS answered_at,
       coalesce(g.name, p.person, p.recipient) AS person_name,
       e.state, e.acknowledged_by, e.acknowledged_at, e.resolved_at, e.resolution, e.reason, e.target, e.cycle,
       e.generation, e.about, t.source, t.external_id, t.channel, t.urgency,
       coalesce(c.due_at, c.breached_at, f.due_at) AS due_at,
       deskclock_now() AS now
FROM page p
JOIN escalation e ON e.id = p.escalation_id
JOIN ticket t ON t.id = e.ticket_id
LEFT JOIN agent g ON g.tenant = p.tenant AND g.key = p.person
LEFT JOIN clock c ON (c.ticket_id, c.target, c.cycle) = (e.ticket_id, e.target, e.cycle)
LEFT JOIN clock_finished f ON (f.ticket_id, f.target, f.cycle) = (e.ticket_id, e.target, e.cycle)
WHERE p.token_hash = $1;

-- name: lock_for_answer
-- One escalation of a tenant, held while it is answered.
SELECT e.id, e.tenant, e.state, e.target, e.cycle, e.generation, e.acknowledged_by, e.acknowledged_at, e.resolved_at,
       e.resolution, t.source, t.external_id, t.channel, t.urgency, deskclock_now() AS now
FROM escalation e
JOIN ticket t ON t.id = e.ticket_id
WHERE e.id = $1 AND e.tenant = $2
FOR NO KEY UPDATE OF e;

-- name: acknowledge_escalation
-- Somebody takes responsibility: no step follows (R9).
UPDATE escalation SET state = 'acknowledged', acknowledged_by = $2, acknowledged_at = $3, next_step_at = NULL
WHERE id = $1 AND state IN ('open', 'exhausted');

-- name: cancel_pages
-- Pages of an escalation that nobody has begun to send.
UPDATE page SET state = 'cancelled', next_attempt_at = NULL WHERE escalation_id = $1 AND state = 'pending' AND kind <> 'resolve';

-- name: mark_page_answered
-- The page whose link was used.
UPDATE page SET acknowledged_at = $2 WHERE id = $1 AND acknowledged_at IS NULL
RETURNING accepted_at;

-- name: cancel_moot_pages
-- Pages that nobody needs any more: their escalation was answered or resolved, or the promise they warned of has broken.
WITH moot AS (
    SELECT p.id FROM page p
    JOIN escalation e ON e.id = p.escalation_id
    WHERE p.state = 'pending' AND p.next_attempt_at IS NOT NULL AND p.kind <> 'resolve'
      AND (e.state IN ('acknowledged', 'resolved') OR p.kind = 'warning' AND e.reason <> 'warned')
    LIMIT $1
    FOR NO KEY UPDATE OF p SKIP LOCKED
)
UPDATE page p SET state = 'cancelled', next_attempt_at = NULL FROM moot WHERE p.id = moot.id;

-- name: outbox_oldest
-- Seconds for which the oldest unpublished row has waited.
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(written_at)), 0)::double precision FROM outbox;

-- name: count_live
-- Escalations that are not resolved, by state.
SELECT state, count(*) AS escalations FROM escalation WHERE state <> 'resolved' GROUP BY state;
