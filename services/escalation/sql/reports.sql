-- name: report_page_stages
-- What the pages stored in [$2, $3) took, by stage and, beside the sum, by method: each figure is one that a page took. What
-- others held back ($4) says nothing from `due` and `commit` on.
SELECT p.method, s.stage, count(*) AS pages, max(s.seconds) AS max,
       percentile_disc(ARRAY[0.5, 0.95, 0.99]::double precision[]) WITHIN GROUP (ORDER BY s.seconds) AS percentiles
FROM page p
CROSS JOIN LATERAL (
    SELECT NOT coalesce(p.held_for = ANY ($4::text[]), false) AS is_free
) held
CROSS JOIN LATERAL (SELECT is_free AND p.body ->> 'fallback_of' IS NULL AS is_first) judged
CROSS JOIN LATERAL (VALUES
    ('due_to_commit', CASE WHEN is_first THEN p.committed_at - p.due_at END),
    ('commit_to_attempt', CASE WHEN is_free THEN p.attempted_at - p.committed_at END),
    ('due_to_attempt', CASE WHEN is_first THEN p.attempted_at - p.due_at END),
    ('attempt_to_accept', p.accepted_at - p.attempted_at),
    ('accept_to_delivered', p.delivered_at - p.accepted_at),
    ('accept_to_acknowledged', p.acknowledged_at - p.accepted_at)
) took (stage, span)
CROSS JOIN LATERAL (SELECT greatest(extract(epoch FROM took.span), 0)::double precision AS seconds, took.stage) s
WHERE p.tenant = $1 AND p.committed_at >= $2 AND p.committed_at < $3 AND p.kind NOT IN ('resolve', 'copy', 'canary')
  AND took.span IS NOT NULL
GROUP BY GROUPING SETS ((s.stage), (p.method, s.stage))
ORDER BY p.method NULLS FIRST, s.stage;

-- name: report_page_counts
-- What became of the pages stored in [$2, $3); $4 are the reasons of others to hold one back, $5 is the objective.
WITH told AS (
    SELECT p.id, p.state, h.held_for, p.attempted_at, p.accepted_at, p.acknowledged_at, p.due_at,
           p.body ->> 'fallback_of' IS NOT NULL AS is_fallback,
           p.body ->> 'fallback_of' IS NULL AND p.state <> 'grouped' AND NOT coalesce(h.held_for = ANY ($4::text[]), false) AS is_first
    FROM page p
    CROSS JOIN LATERAL (
        SELECT CASE WHEN p.attempted_at IS NULL THEN p.deferred_for ELSE p.held_for END AS held_for) h
    WHERE p.tenant = $1 AND p.committed_at >= $2 AND p.committed_at < $3 AND p.kind NOT IN ('resolve', 'copy', 'canary')
)
SELECT count(*) FILTER (WHERE is_first AND attempted_at IS NOT NULL) AS attempted,
       count(*) FILTER (WHERE is_first AND attempted_at - due_at <= $5::interval) AS prompt,
       count(*) FILTER (WHERE is_first AND attempted_at IS NULL AND state = 'pending'
                          AND deskclock_now() - due_at > $5::interval) AS overdue,
       count(*) FILTER (WHERE state = 'grouped') AS grouped,
       count(*) FILTER (WHERE is_fallback) AS fallbacks,
       count(*) FILTER (WHERE accepted_at IS NOT NULL) AS accepted,
       count(*) FILTER (WHERE acknowledged_at IS NOT NULL) AS acknowledged,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       (SELECT count(*) FROM page_attempt a JOIN told ON told.id = a.page_id WHERE a.outcome = 'unknown') AS unknown_attempts,
       (SELECT coalesce(jsonb_object_agg(d.held_for, d.pages), '{}')
        FROM (SELECT held_for, count(*) AS pages FROM told WHERE held_for IS NOT NULL GROUP BY held_for) d) AS deferred
FROM told;
