-- name: load_flaps
-- Of escalations that begin: what was answered or cancelled for the same ticket and target so shortly before that it goes on,
-- if somebody was paged for it (R18).
SELECT k.id, o.id AS before, o.loop, o.step, o.acknowledged_by, o.acknowledged_at, n.asked
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
            $7::interval[])
     AS k (id, ticket_id, target, ladder, broke_at, opened_at, flap_window)
CROSS JOIN LATERAL (
    SELECT e.id, e.loop, e.step, e.acknowledged_by, e.acknowledged_at, e.generation, e.ladder, e.reason, e.resolution
    FROM escalation e
    WHERE e.ticket_id = k.ticket_id AND e.target = k.target AND e.state = 'resolved'
      AND e.resolved_at >= (CASE WHEN k.broke_at >= e.resolved_at THEN k.broke_at ELSE k.opened_at END) - k.flap_window
    ORDER BY e.resolved_at DESC
    LIMIT 1
) o
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT p.recipient) AS asked FROM page p
    WHERE p.escalation_id = o.id AND p.kind = 'page' AND p.accepted_at IS NOT NULL
      AND (p.evidence ->> 'generation')::integer = o.generation
) n
WHERE o.resolution IN ('answered', 'cancelled') AND o.ladder = k.ladder AND o.reason <> 'warned' AND n.asked IS NOT NULL;

-- name: resume_flaps
-- Held escalations that go on where the one before them was.
UPDATE escalation e
SET state = k.state, loop = k.loop, step = k.step, since_loop = k.since_loop, since_step = k.since_step,
    anchor_at = $12, next_step_at = k.next_step_at, acknowledged_by = k.acknowledged_by, acknowledged_at = k.acknowledged_at,
    wakes_at = k.wakes_at, wakes_for = CASE WHEN k.wakes_at IS NOT NULL THEN 'silence' END, ends_at = coalesce(e.ends_at, k.ends_at)
FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::integer[], $5::integer[], $6::integer[], $7::timestamptz[], $8::text[],
            $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
     AS k (id, state, loop, step, since_loop, since_step, next_step_at, acknowledged_by, acknowledged_at, wakes_at, ends_at)
WHERE e.id = k.id;
