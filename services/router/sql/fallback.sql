-- name: clear_exclusions
-- All had declined these tickets: they are asked once more.
UPDATE queued SET excluded = '{}', was_cleared = true, reason = 'new', reason_at = NULL
WHERE ticket_id = ANY($1::uuid[]);

-- name: has_people
-- Whether anybody on the roster works tickets, whatever they can do.
SELECT EXISTS (SELECT FROM agent WHERE tenant = $1 AND active AND channels <> '{}');

-- name: list_help_ahead
-- Tickets whose people are not there, of which somebody is to be told after `$2`.
SELECT q.ticket_id, q.reason_at AS since, q.latest_start_at
FROM queued q JOIN escalation_request r ON r.ticket_id = q.ticket_id AND r.reason = 'unroutable'
WHERE q.ticket_id = ANY($1::uuid[]) AND q.reason = 'offline' AND r.due_at > $2;

-- name: move_help
-- Somebody is told of them at another instant, unless that is due by `$3`.
UPDATE escalation_request r SET due_at = k.due_at
FROM unnest($1::uuid[], $2::timestamptz[]) AS k (ticket_id, due_at)
WHERE r.ticket_id = k.ticket_id AND r.reason = 'unroutable' AND r.due_at > $3;

-- name: judge_anew
-- Tickets that nobody could take while nobody worked any, from now on new to the next run; without those that somebody is
-- changing.
WITH lost AS (
    SELECT ticket_id, reason, reason_at FROM queued WHERE tenant = $1 AND reason = 'no_skill'
    ORDER BY ticket_id FOR UPDATE SKIP LOCKED
), changed AS (
    UPDATE queued q SET reason = 'new', reason_at = NULL FROM lost WHERE q.ticket_id = lost.ticket_id
    RETURNING q.tenant, q.ticket_id, q.pool, q.channel, q.needs, q.units, lost.reason AS was, lost.reason_at AS since
)
INSERT INTO wait (tenant, ticket_id, pool, channel, needs, units, reason, since, until)
SELECT tenant, ticket_id, pool, channel, needs, units, was, since, greatest(since, $2) FROM changed;

-- name: claim_unskilled
-- Tickets that nobody on the roster can take, but for those that `$3` gave back; locked, without those that somebody is
-- changing.
SELECT q.ticket_id, q.channel, q.units, q.interruptible, q.needs, q.prefers, q.queued_at, q.excluded, q.was_cleared,
       t.source, t.external_id
FROM queued q JOIN ticket t ON t.id = q.ticket_id
WHERE q.tenant = $1 AND q.pool = $2 AND q.reason = 'no_skill' AND $3 <> ALL (q.excluded)
  AND NOT EXISTS (SELECT FROM assignment a WHERE a.ticket_id = q.ticket_id AND a.ended_at IS NULL)
ORDER BY q.queued_at
LIMIT $4
FOR UPDATE OF q SKIP LOCKED;

-- name: lock_person
-- Somebody on the roster, held.
SELECT key FROM agent WHERE tenant = $1 AND key = $2 AND active FOR NO KEY UPDATE;
