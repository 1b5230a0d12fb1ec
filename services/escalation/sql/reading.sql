-- name: list_escalations
-- Escalations of a tenant, the newest first, after a cursor.
SELECT e.id, e.ticket_id, t.source, t.external_id, t.channel, t.urgency, e.target, e.cycle, e.generation,
       e.policy_version, e.ladder, e.reason, e.state, e.opened_at, e.anchor_at, e.step, e.loop, e.next_step_at,
       e.acknowledged_by, e.acknowledged_at, e.resolved_at, e.resolution, e.about
FROM escalation e
JOIN ticket t ON t.id = e.ticket_id
WHERE e.tenant = $1 AND ($2::text IS NULL OR e.state = $2) AND ($3::text IS NULL OR t.external_id = $3)
  AND ($4::timestamptz IS NULL OR (e.opened_at, e.id) < ($4, $5::uuid))
ORDER BY e.opened_at DESC, e.id DESC
LIMIT $6;

-- name: get_escalation
-- One escalation of a tenant.
SELECT e.id, e.ticket_id, t.source, t.external_id, t.channel, t.urgency, e.target, e.cycle, e.generation,
       e.policy_version, e.ladder, e.reason, e.state, e.opened_at, e.anchor_at, e.step, e.loop, e.next_step_at,
       e.acknowledged_by, e.acknowledged_at, e.resolved_at, e.resolution, e.about
FROM escalation e
JOIN ticket t ON t.id = e.ticket_id
WHERE e.tenant = $1 AND e.id = $2;

-- name: list_pages
-- Pages of a tenant, the newest first, after a cursor.
SELECT p.id, p.escalation_id, t.source, t.external_id, p.kind, p.step, p.loop, p.recipient, p.person, p.method, p.state,
       p.due_at, p.committed_at, p.attempted_at, p.accepted_at, p.delivered_at, p.acknowledged_at, p.attempts,
       p.next_attempt_at
FROM page p
JOIN escalation e ON e.id = p.escalation_id
JOIN ticket t ON t.id = e.ticket_id
WHERE p.tenant = $1 AND ($2::uuid IS NULL OR p.escalation_id = $2) AND ($3::text IS NULL OR p.state = $3)
  AND ($4::timestamptz IS NULL OR (p.committed_at, p.id) < ($4, $5::uuid))
ORDER BY p.committed_at DESC, p.id DESC
LIMIT $6;

-- name: list_attempts
-- Every attempt of the given pages, in their order.
SELECT page_id, n, started_at, finished_at, outcome, detail FROM page_attempt
WHERE page_id = ANY($1::uuid[]) ORDER BY page_id, n;
