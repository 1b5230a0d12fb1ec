-- name: close_groups
-- Open groups of these recipients whose window is over; one that is about to tell of somebody stays open a little longer.
WITH over AS (
    SELECT g.id FROM page_group g
    JOIN unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::integer[]) AS k (tenant, who, kind, urgency, step)
      ON (g.tenant, g.who, g.kind, g.urgency, g.step) = (k.tenant, k.who, k.kind, k.urgency, k.step)
    WHERE g.is_open AND g.closes_at <= $1 AND (g.members <= g.told OR g.closes_at + $7::interval <= $1)
    ORDER BY g.tenant, g.who, g.kind, g.urgency, g.step
    FOR NO KEY UPDATE OF g
)
UPDATE page_group g SET is_open = false FROM over WHERE g.id = over.id;

-- name: join_groups
-- Pages join the open groups of their recipients, or open one each (R27): returns how many each group had before them. Each
-- writer takes the groups in the order of their keys.
INSERT INTO page_group AS g (id, tenant, who, recipient, person, kind, urgency, step, opened_at, closes_at, open_for,
                             next_at, members, told)
SELECT k.id, k.tenant, k.who, k.recipient, k.person, k.kind, k.urgency, k.step, $11::timestamptz, $11::timestamptz + k.open_for, k.open_for,
       CASE WHEN k.kind = 'digest' OR k.pages > 1 THEN $11::timestamptz + k.settle END, k.pages, CASE WHEN k.kind = 'digest' THEN 0 ELSE 1 END
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::integer[],
            $10::interval[], $12::interval[])
     AS k (id, tenant, who, recipient, person, kind, urgency, step, pages, open_for, settle)
ORDER BY k.tenant, k.who, k.kind, k.urgency, k.step
ON CONFLICT (tenant, who, kind, urgency, step) WHERE is_open DO UPDATE
SET members = g.members + excluded.members,
    next_at = CASE WHEN g.told_at IS NOT NULL THEN coalesce(g.next_at, g.closes_at)
                   WHEN g.kind = 'digest' THEN least(excluded.next_at, g.closes_at)
                   ELSE coalesce(g.next_at, least(g.closes_at, $11::timestamptz + (
                       SELECT k.settle
                       FROM unnest($2::text[], $3::text[], $6::text[], $7::text[], $8::integer[], $12::interval[])
                            AS k (tenant, who, kind, urgency, step, settle)
                       WHERE (k.tenant, k.who, k.kind, k.urgency, k.step) = (g.tenant, g.who, g.kind, g.urgency, g.step))))
              END
RETURNING g.id, g.tenant, g.who, g.kind, g.urgency, g.step, g.members;

-- name: load_stale_pages
-- Pages that were due long ago and never tried, while their escalations are held: they are told in a digest (R30).
SELECT p.id, p.tenant, p.recipient, p.person
FROM page p
JOIN escalation e ON e.id = p.escalation_id
WHERE p.state = 'pending' AND p.attempts = 0 AND p.digest_at <= $1 AND p.next_attempt_at <= $1
  AND e.state IN ('open', 'exhausted') AND (p.kind = 'page' OR e.reason = 'warned')
ORDER BY e.id, p.id
LIMIT $2
FOR SHARE OF e SKIP LOCKED;

-- name: group_pages
-- Pages that nobody has begun to send are told with their group.
UPDATE page p
SET state = 'grouped', group_id = k.group_id, group_version = k.version, next_attempt_at = NULL, digest_at = NULL,
    fallback_at = NULL, deferred_until = NULL, deferred_for = NULL
FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS k (id, group_id, version)
WHERE p.id = k.id AND p.state = 'pending' AND p.attempts = 0;

-- name: pulse_group
-- How things stand before a tick: the time that decides, how fast it passes, the next group or late page to look at.
SELECT deskclock_now() AS now, coalesce((SELECT rate FROM time_warp), 1) AS rate,
       least((SELECT next_at FROM page_group WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1),
             (SELECT min(next_attempt_at) FROM page
              WHERE state = 'pending' AND attempts = 0 AND digest_at <= (SELECT deskclock_now()))) AS due_at;

-- name: load_due_groups
-- Groups that are to be looked at.
SELECT id FROM page_group WHERE next_at <= $1 ORDER BY next_at LIMIT $2;

-- name: lock_untold
-- Hold the escalations of those who joined a group and were not told yet: the lock order.
SELECT e.id
FROM escalation e
JOIN page m ON m.escalation_id = e.id
WHERE m.group_id = $1 AND m.state = 'grouped' AND m.told_by IS NULL
ORDER BY e.id, m.id
FOR SHARE OF e;

-- name: lock_due_group
-- One group, held, if it is still to be looked at.
SELECT id, tenant, who, recipient, person, kind, urgency, step, opened_at, closes_at, members, told, told_at, is_open
FROM page_group WHERE id = $1 AND next_at <= $2
FOR NO KEY UPDATE SKIP LOCKED;

-- name: load_untold
-- Those who joined a held group, were not told yet and are still wanted.
SELECT m.id, m.escalation_id, m.group_version, m.kind, m.step, m.loop, m.recipient, m.person, m.method, m.address, m.secret, m.options,
       m.account, m.urgency, m.evidence, m.body, m.due_at, e.next_step_at
FROM page m
JOIN escalation e ON e.id = m.escalation_id
WHERE m.group_id = $1 AND m.state = 'grouped' AND m.told_by IS NULL
  AND e.state IN ('open', 'exhausted') AND (m.kind = 'page' OR e.reason = 'warned')
  AND (m.evidence ->> 'generation')::integer = e.generation AND NOT coalesce(m.person, m.recipient) = ANY (e.answered);

-- name: open_group
-- A group whose first page is a summary.
INSERT INTO page_group (id, tenant, who, recipient, person, kind, urgency, step, opened_at, closes_at, open_for, members, told,
                        told_at)
SELECT $2, g.tenant, g.who, g.recipient, g.person, g.kind, g.urgency, g.step, $3::timestamptz, $3::timestamptz + g.open_for, g.open_for, $4, $4,
       $3::timestamptz
FROM page_group g WHERE g.id = $1;

-- name: tell_members
-- Members of a group are told by this page, under these numbers.
UPDATE page p SET told_by = $1, group_id = $2, group_version = k.version
FROM unnest($3::uuid[], $4::integer[]) AS k (id, version)
WHERE p.id = k.id AND p.state = 'grouped';

-- name: save_group
-- How a group stands after it was looked at: all who joined it are told, or need not be.
UPDATE page_group SET told = $2, told_at = $3, next_at = NULL, is_open = $4 WHERE id = $1;

-- name: cancel_moot_summaries
-- Pages about groups that nobody began to send, of whose members none is wanted any more.
WITH moot AS (
    SELECT p.id FROM page p
    WHERE p.state = 'pending' AND p.next_attempt_at IS NOT NULL AND p.kind IN ('summary', 'digest')
      AND NOT EXISTS (
          SELECT FROM page m JOIN escalation e ON e.id = m.escalation_id
          WHERE m.group_id = p.group_id AND m.told_by = coalesce(p.told_by, p.id)
            AND e.state IN ('open', 'exhausted') AND (m.kind = 'page' OR e.reason = 'warned')
            AND NOT coalesce(m.person, m.recipient) = ANY (e.answered))
    LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE page p SET state = 'cancelled', next_attempt_at = NULL FROM moot WHERE p.id = moot.id;
