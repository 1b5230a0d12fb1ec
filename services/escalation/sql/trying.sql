-- name: list_dead_pages
-- Pages of a tenant that were given up, the newest first, each with what its last attempt said.
SELECT p.id, p.kind, p.state, coalesce(p.body ->> 'ticket', '') AS ticket, p.recipient, p.person, p.method, p.attempts, p.committed_at,
       l.finished_at AS failed_at, coalesce(l.detail, l.outcome) AS reason,
       coalesce(CASE p.kind WHEN 'resolve' THEN e.state = 'resolved' WHEN 'warning' THEN e.state = 'open' AND e.reason = 'warned'
                            ELSE e.state IN ('open', 'exhausted') AND (p.evidence ->> 'generation')::integer = e.generation
                END, true) AS is_wanted
FROM page p
LEFT JOIN escalation e ON e.id = p.escalation_id
LEFT JOIN LATERAL (
    SELECT a.finished_at, a.detail, a.outcome FROM page_attempt a WHERE a.page_id = p.id ORDER BY a.n DESC LIMIT 1
) l ON true
WHERE p.tenant = $1 AND p.state = 'failed' AND p.told_by IS NULL
ORDER BY p.committed_at DESC, p.id DESC
LIMIT $2;

-- name: lock_escalation_of_page
-- The escalation of a page, held before the page is: the lock order.
SELECT e.id FROM escalation e JOIN page p ON p.escalation_id = e.id
WHERE p.tenant = $1 AND p.id = $2
FOR NO KEY UPDATE OF e;

-- name: hold_page
-- One page of a tenant, held, and whether its escalation still asks for it.
SELECT p.id, p.kind, p.state, coalesce(p.body ->> 'ticket', '') AS ticket, p.recipient, p.person, p.method, p.attempts, p.committed_at,
       NULL::timestamptz AS failed_at, NULL::text AS reason,
       coalesce(CASE p.kind WHEN 'resolve' THEN e.state = 'resolved' WHEN 'warning' THEN e.state = 'open' AND e.reason = 'warned'
                            ELSE e.state IN ('open', 'exhausted') AND (p.evidence ->> 'generation')::integer = e.generation
                END, true) AS is_wanted
FROM page p
LEFT JOIN escalation e ON e.id = p.escalation_id
WHERE p.tenant = $1 AND p.id = $2
FOR NO KEY UPDATE OF p;

-- name: replay_page
-- A page that was given up is due now, under its own id and with a budget of its own; those it tells of wait with it (R39).
WITH again AS (
    UPDATE page p
    SET state = 'pending', replayed_at = $2, next_attempt_at = $2, fallback_at = NULL, deferred_until = NULL, deferred_for = NULL
    WHERE p.id = $1 AND p.state = 'failed'
    RETURNING p.id
)
UPDATE page m SET state = 'grouped' FROM again WHERE m.told_by = again.id AND m.state = 'failed' AND m.escalation_id IS NOT NULL;
