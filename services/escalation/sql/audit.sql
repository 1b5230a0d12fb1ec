-- name: audit_rows
-- What waits though its time has come, by kind, in real seconds: while a trial warps the time, no row can have waited longer
-- than since it was warped last. What is held back on purpose is not due until then. Written apart from the engine's own queries, so that no mistake is made twice.
WITH clocks AS (
    SELECT deskclock_now() AS now, clock_timestamp() AS server_at, w.rate, w.real_anchor
    FROM (SELECT) one LEFT JOIN time_warp w ON true
), waiting (kind, due_at) AS (
    SELECT 'clocks', min(next_fire_at) FROM clock
    UNION ALL SELECT 'requests', min(due_at) FROM escalation_request
    UNION ALL SELECT 'steps', min(next_step_at) FROM escalation
    UNION ALL SELECT 'wakings', min(wakes_at) FROM escalation
    UNION ALL SELECT 'wakings', min(ends_at) FROM escalation WHERE state <> 'resolved'
    UNION ALL SELECT 'wakings', min(hands_over_at) FROM escalation WHERE state <> 'resolved'
    UNION ALL SELECT 'groups', min(next_at) FROM page_group
    UNION ALL SELECT 'pages', min(next_attempt_at) FROM page WHERE deferred_until IS NULL
    UNION ALL SELECT 'pages', min(greatest(next_attempt_at, deferred_until)) FROM page WHERE deferred_for IS NOT NULL AND state = 'pending'
    UNION ALL SELECT 'pages', min(fallback_at) FROM page
    UNION ALL SELECT 'pages', min(verify_by) FROM page
), oldest AS (
    SELECT kind, min(due_at) AS due_at FROM waiting GROUP BY kind
)
SELECT c.server_at, w.kind,
       CASE WHEN w.due_at < c.now
            THEN least(CASE WHEN c.rate = 0 THEN 'Infinity' ELSE extract(epoch FROM c.now - w.due_at) / coalesce(c.rate, 1) END,
                       coalesce(extract(epoch FROM c.server_at - c.real_anchor), 'Infinity'))
            ELSE 0 END::double precision AS seconds
FROM oldest w CROSS JOIN clocks c;

-- name: audit_left_over
-- For how many seconds a lease that ran out was left lying, and the oldest event was not published.
SELECT coalesce((SELECT extract(epoch FROM clock_timestamp() - min(lease_until)) FROM page WHERE lease IS NOT NULL), 0)::double precision AS lease_seconds,
       coalesce((SELECT extract(epoch FROM clock_timestamp() - min(written_at)) FROM outbox), 0)::double precision AS outbox_seconds;

-- name: audit_forgotten
-- Escalations that nobody took responsibility for, and for which nothing follows: no step, no pause that ends, no page that
-- arrived or is on its way. A page that its group is to tell of is on its way only while somebody will look at the group. Of
-- one that only warned, the breach follows.
SELECT count(*) FROM escalation e
WHERE e.state <> 'resolved' AND e.state IN ('open', 'exhausted') AND e.next_step_at IS NULL AND e.held_for IS NULL
  AND NOT (e.reason = 'warned' AND EXISTS (
      SELECT FROM clock c
      WHERE c.ticket_id = e.ticket_id AND c.target = e.target AND c.cycle = e.cycle AND c.state IN ('running', 'paused')))
  AND NOT EXISTS (
      SELECT FROM page p LEFT JOIN page_group g ON g.id = p.group_id
      WHERE p.escalation_id = e.id AND p.kind NOT IN ('resolve', 'copy')
        AND (p.state IN ('pending', 'sending') OR p.accepted_at IS NOT NULL
             OR p.state = 'grouped' AND (p.told_by IS NOT NULL OR g.next_at IS NOT NULL)));

-- name: audit_unescalated
-- Promises that are broken and for which the policy has an escalation, but none was ever opened. A version that was applied
-- after they broke, and holds for them as though it always had, owes them none.
SELECT count(*) FROM clock c
WHERE c.state = 'breached' AND c.escalate IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM escalation e WHERE e.ticket_id = c.ticket_id AND e.target = c.target AND e.cycle = c.cycle)
  AND NOT EXISTS (
      SELECT FROM policy_version v
      WHERE v.tenant = c.tenant AND v.version = c.policy_version AND v.applied_at > coalesce(c.detected_at, c.breached_at));
