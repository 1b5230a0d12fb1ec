-- name: list_escalations
-- Escalations of a tenant, the newest first, after a cursor.
SELECT e.id, e.ticket_id, t.source, t.external_id, t.channel, t.urgency, e.target, e.cycle, e.generation,
       e.policy_version, e.ladder, e.reason, e.state, e.opened_at, e.anchor_at, e.step, e.loop, e.next_step_at,
       e.acknowledged_by, e.acknowledged_at, e.resolved_at, e.resolution, e.about,
       e.answered, e.wakes_at, e.wakes_for, e.held_for IS NOT NULL AS is_held, e.ends_at
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
       e.acknowledged_by, e.acknowledged_at, e.resolved_at, e.resolution, e.about,
       e.answered, e.wakes_at, e.wakes_for, e.held_for IS NOT NULL AS is_held, e.ends_at
FROM escalation e
JOIN ticket t ON t.id = e.ticket_id
WHERE e.tenant = $1 AND e.id = $2;

-- name: list_pages
-- The ledger: pages of a tenant, the newest first, after a cursor. Those about a group, about ourselves, or sent to try a
-- contact, are of no escalation.
SELECT p.id, p.escalation_id, (p.evidence ->> 'generation')::integer AS generation, t.source, t.external_id, e.target,
       p.kind, p.urgency, p.step, p.loop, p.recipient, p.person, p.method, p.body ->> 'fallback_of' AS fallback_of, p.state,
       p.due_at, p.committed_at, p.attempted_at, p.accepted_at, p.delivered_at, p.acknowledged_at, p.attempts,
       p.next_attempt_at, p.deferred_until, p.deferred_for, p.held_for, p.group_id, p.group_version, p.told_by, p.provider_id, p.verify_by,
       (SELECT coalesce(a.detail, a.outcome) FROM page_attempt a WHERE a.page_id = p.id ORDER BY a.n DESC LIMIT 1) AS last_detail
FROM page p
LEFT JOIN escalation e ON e.id = p.escalation_id
LEFT JOIN ticket t ON t.id = e.ticket_id
WHERE p.tenant = $1 AND ($2::uuid IS NULL OR p.id = $2) AND ($3::uuid IS NULL OR p.escalation_id = $3)
  AND ($4::text IS NULL OR p.escalation_id IN (
      SELECT of_ticket.id FROM escalation of_ticket
      JOIN ticket named ON named.id = of_ticket.ticket_id
      WHERE named.tenant = $1 AND named.external_id = $4))
  AND ($5::text IS NULL OR p.person = $5) AND ($6::text IS NULL OR p.method = $6) AND ($7::text IS NULL OR p.state = $7)
  AND ($8::text IS NULL OR p.kind = $8) AND ($9::uuid IS NULL OR p.group_id = $9)
  AND ($10::timestamptz IS NULL OR p.committed_at >= $10) AND ($11::timestamptz IS NULL OR p.committed_at < $11)
  AND ($12::timestamptz IS NULL OR (p.committed_at, p.id) < ($12, $13::uuid))
ORDER BY p.committed_at DESC, p.id DESC
LIMIT $14;

-- name: list_attempts
-- Every attempt of the given pages, in their order.
SELECT page_id, n, started_at, finished_at, outcome, detail FROM page_attempt
WHERE page_id = ANY($1::uuid[]) ORDER BY page_id, n;
