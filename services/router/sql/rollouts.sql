-- name: insert_rollout
-- A version sets out for tickets that are open already.
INSERT INTO policy_rollout (id, tenant, version, scope, at, opened_from, rejudges, cursor)
VALUES ($1, $2, $3, $4, $5, $6, $7, '00000000-0000-0000-0000-000000000000');

-- name: load_rollout
-- One rollout.
SELECT id, tenant, version, scope, at, opened_from, rejudges, state, seen_at, cursor, total, done, failed, recomputed,
       earlier, later, started, cancelled, breached, retracted, finished_at
FROM policy_rollout WHERE id = $1;

-- name: list_rollouts
-- The rollouts of a tenant, the newest first, from before `$2`.
SELECT id, tenant, version, scope, at, opened_from, rejudges, state, seen_at, cursor, total, done, failed, recomputed,
       earlier, later, started, cancelled, breached, retracted, finished_at
FROM policy_rollout WHERE tenant = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3;

-- name: claim_rollout
-- The next one to work on, of a tenant or of all: those of a tenant in the order of their versions, tenants in turn.
SELECT r.id, r.tenant, r.version, r.scope, r.at, r.opened_from, r.rejudges, r.state, r.seen_at, r.cursor, r.total,
       r.done, r.failed, r.recomputed, r.earlier, r.later, r.started, r.cancelled, r.breached, r.retracted, r.finished_at
FROM policy_rollout r
WHERE r.state = 'running' AND ($1::text IS NULL OR r.tenant = $1)
  AND NOT EXISTS (SELECT FROM policy_rollout o
                  WHERE o.tenant = r.tenant AND o.state = 'running' AND (o.version, o.id) < (r.version, r.id))
ORDER BY r.touched_at
LIMIT 1
FOR NO KEY UPDATE OF r SKIP LOCKED;

-- name: mark_rollout_seen
-- From now on nobody begins anything by an older version.
UPDATE policy_rollout SET seen_at = clock_timestamp(), touched_at = clock_timestamp() WHERE id = $1;

-- name: may_begin_rollout
-- Whether all that began before it was seen has ended, or has been waited for long enough.
SELECT clock_timestamp() > $1::timestamptz + $2::interval
       OR NOT EXISTS (SELECT FROM pg_stat_activity
                      WHERE datname = current_database() AND backend_type = 'client backend'
                        AND pid <> pg_backend_pid() AND xact_start <= $1);

-- name: count_rollout_tickets
-- How many open tickets a version is for.
SELECT count(*) FROM ticket
WHERE tenant = $1 AND status IN ('open', 'pending_customer', 'on_hold') AND opened_at IS NOT NULL
  AND (policy_version < $2 OR (policy_version = $2 AND $3)) AND ($4::timestamptz IS NULL OR opened_at >= $4);

-- name: find_rollout_tickets
-- The next open tickets a version is for, among the next so many tickets of all, and the last of these.
WITH looked_at AS MATERIALIZED (
    SELECT id, status IN ('open', 'pending_customer', 'on_hold') AND opened_at IS NOT NULL
               AND (policy_version < $2 OR (policy_version = $2 AND $3))
               AND ($4::timestamptz IS NULL OR opened_at >= $4) AS is_meant
    FROM ticket WHERE tenant = $1 AND id > $5 ORDER BY id LIMIT $6
)
SELECT ARRAY(SELECT id FROM looked_at WHERE is_meant ORDER BY id LIMIT $7) AS ids,
       (SELECT id FROM looked_at ORDER BY id DESC LIMIT 1) AS last_id;

-- name: lock_rollout_tickets
-- Those of the tickets that a version is for still, locked in the order of their ids until the transaction ends.
SELECT t.id, t.tenant, t.source, t.external_id, t.status, t.opened_at, t.solved_at, t.channel, t.urgency, t.theme,
       t.language, t.subject, t.requester_key, t.requester_tier, t.team, t.matched, t.needs, t.prefers, t.rules, t.pool,
       t.policy_version
FROM ticket t
WHERE t.id = ANY($1::uuid[]) AND t.status IN ('open', 'pending_customer', 'on_hold')
  AND (t.policy_version < $2 OR (t.policy_version = $2 AND $3))
ORDER BY t.id
FOR NO KEY UPDATE OF t;

-- name: restamp_tickets
-- Locked tickets that a version leaves where they are.
UPDATE ticket SET policy_version = $2 WHERE id = ANY($1::uuid[]) AND policy_version <> $2;

-- name: restamp_clocks
-- Their running clocks, but for those that were broken before it held (null: it always held).
UPDATE clock SET policy_version = $2
WHERE ticket_id = ANY($1::uuid[]) AND policy_version <> $2
  AND NOT coalesce(coalesce(late_from, due_at) < $3::timestamptz, false);

-- name: advance_rollout
-- One batch is done; another state than `running` ends it.
UPDATE policy_rollout
SET cursor = $2, done = done + $3, failed = failed + $4, recomputed = recomputed + $5, earlier = earlier + $6,
    later = later + $7, started = started + $8, cancelled = cancelled + $9, breached = breached + $10,
    retracted = retracted + $11, touched_at = clock_timestamp(), state = $12,
    finished_at = CASE WHEN $12 <> 'running' THEN $13::timestamptz END
WHERE id = $1;

-- name: set_rollout_total
-- It begins.
UPDATE policy_rollout SET total = $2, touched_at = clock_timestamp() WHERE id = $1;

-- name: count_rollouts_left
-- How many tickets running rollouts still have before them.
SELECT coalesce(sum(greatest(coalesce(total, 1) - done, 0)), 0)::bigint FROM policy_rollout WHERE state = 'running';

-- name: wait_briefly
-- Whoever holds a lock that we want is not waited for long: we hold some ourselves.
SELECT set_config('lock_timeout', '500ms', true);

-- name: tickets_with_events
-- Those of the tickets whose logs hold an event of one of these kinds.
SELECT DISTINCT ticket_id FROM ticket_event
WHERE ticket_id = ANY($1::uuid[]) AND data ->> 'kind' = ANY($2::text[]);
