-- name: pulse_page
-- How things stand before a tick: the time that decides, how fast it passes, the next page to attempt.
SELECT deskclock_now() AS now, coalesce((SELECT rate FROM time_warp), 1) AS rate,
       (SELECT next_attempt_at FROM page WHERE next_attempt_at IS NOT NULL ORDER BY next_attempt_at LIMIT 1) AS due_at;

-- name: claim_pages
-- Lease due pages, so many a channel, of escalations that still want them, and note the attempt (R9, R31, R32). One that is
-- over wants nothing but to be told so (R14).
WITH due AS (
    SELECT p.id, p.escalation_id
    FROM unnest($2::text[], $3::integer[]) AS k (method, free)
    CROSS JOIN LATERAL (
        SELECT p.id, p.escalation_id FROM page p
        WHERE p.next_attempt_at <= $1 AND p.method = k.method AND p.state = 'pending'
        ORDER BY p.next_attempt_at
        LIMIT k.free
    ) p
), wanted AS (
    SELECT e.id, e.state, e.reason, e.next_step_at FROM escalation e
    WHERE e.id IN (SELECT escalation_id FROM due) AND e.state IN ('open', 'exhausted', 'resolved')
    ORDER BY e.id
    FOR SHARE SKIP LOCKED
), free AS (
    SELECT p.id, w.next_step_at FROM page p
    JOIN wanted w ON w.id = p.escalation_id
    WHERE p.id IN (SELECT id FROM due) AND p.state = 'pending' AND p.next_attempt_at <= $1
      AND CASE p.kind WHEN 'resolve' THEN w.state = 'resolved' WHEN 'page' THEN w.state <> 'resolved'
                      ELSE w.state <> 'resolved' AND w.reason = 'warned' END
    ORDER BY p.escalation_id, p.id
    FOR NO KEY UPDATE OF p SKIP LOCKED
), leased AS (
    UPDATE page p
    SET state = 'sending', attempts = p.attempts + 1, attempted_at = coalesce(p.attempted_at, $1), next_attempt_at = NULL,
        lease = $4, lease_until = clock_timestamp() + $5::interval
    FROM free
    WHERE p.id = free.id
    RETURNING p.id, p.tenant, p.escalation_id, p.kind, p.step, p.loop, p.recipient, p.person, p.method, p.address, p.secret, p.options, p.account, p.urgency,
              p.evidence, p.body, p.due_at, p.committed_at, p.attempted_at, p.attempts, p.lease, p.token_hash,
              free.next_step_at
), noted AS (
    INSERT INTO page_attempt (page_id, n, started_at) SELECT id, attempts, $1 FROM leased
)
SELECT l.id, l.tenant, l.escalation_id, l.kind, l.step, l.loop, l.recipient, l.person, l.method, l.address, l.secret, l.options, l.account, l.urgency,
       l.evidence, l.body, l.due_at, l.committed_at, l.attempted_at, l.attempts, l.lease, l.token_hash, l.next_step_at,
       (SELECT count(*) FROM page_attempt a WHERE a.page_id = l.id AND a.outcome = 'unknown') AS unknowns
FROM leased l
ORDER BY l.due_at, l.id;

-- name: claim_lost_pages
-- Pages whose lease ran out while they were being sent: nobody knows whether the provider has them (R35).
WITH lost AS (
    SELECT p.id, p.escalation_id FROM page p WHERE p.lease IS NOT NULL AND p.lease_until < clock_timestamp() LIMIT $1
), held AS (
    SELECT e.id, e.next_step_at FROM escalation e WHERE e.id IN (SELECT escalation_id FROM lost)
    ORDER BY e.id
    FOR NO KEY UPDATE SKIP LOCKED
), free AS (
    SELECT p.id, h.next_step_at FROM page p
    JOIN held h ON h.id = p.escalation_id
    WHERE p.id IN (SELECT id FROM lost) AND p.lease IS NOT NULL AND p.lease_until < clock_timestamp()
    FOR NO KEY UPDATE OF p SKIP LOCKED
)
SELECT p.id, p.tenant, p.escalation_id, p.kind, p.step, p.loop, p.recipient, p.person, p.method, p.address, p.secret, p.options, p.account, p.urgency,
       p.evidence, p.body, p.due_at, p.committed_at, p.attempted_at, p.attempts, p.lease, p.token_hash, free.next_step_at,
       (SELECT count(*) FROM page_attempt a WHERE a.page_id = p.id AND a.outcome = 'unknown') AS unknowns
FROM free JOIN page p ON p.id = free.id;

-- name: lock_escalation
-- Hold one escalation before one of its pages is written: the lock order.
SELECT e.state, e.next_step_at, t.external_id
FROM escalation e JOIN ticket t ON t.id = e.ticket_id
WHERE e.id = $1
FOR NO KEY UPDATE OF e;

-- name: conclude_page
-- What became of a leased page; nothing, where the lease is another's by now (R31).
UPDATE page
SET state = $3, accepted_at = CASE WHEN $3 = 'accepted' THEN $5::timestamptz END, next_attempt_at = $4, lease = NULL, lease_until = NULL
WHERE id = $1 AND lease = $2
RETURNING id;

-- name: conclude_attempt
-- The answer to one attempt.
UPDATE page_attempt SET finished_at = $3, outcome = $4, detail = $5 WHERE page_id = $1 AND n = $2;

-- name: renew_token
-- The page's link is made with another key from now on.
UPDATE page SET token_hash = $3 WHERE id = $1 AND lease = $2;

-- name: extend_answer_window
-- The next step waits until whoever was paged first has had time to answer (R3): the first acceptance of the newest step.
UPDATE escalation e
SET next_step_at = greatest(e.next_step_at, $2)
FROM page p
WHERE p.id = $1 AND e.id = p.escalation_id AND e.state = 'open' AND e.next_step_at IS NOT NULL
  AND p.kind = 'page' AND (p.evidence ->> 'generation')::integer = e.generation
  AND NOT EXISTS (
      SELECT FROM page o
      WHERE o.escalation_id = e.id AND o.id <> p.id AND o.kind = 'page'
        AND o.evidence -> 'generation' = p.evidence -> 'generation'
        AND ((o.loop, o.step) > (p.loop, p.step) OR (o.loop, o.step) = (p.loop, p.step) AND o.accepted_at IS NOT NULL));

-- name: load_unanswered
-- A page's escalation, if no other page of the same step may get through and no later step was taken (R3).
SELECT e.id
FROM escalation e
JOIN page p ON p.escalation_id = e.id
WHERE p.id = $1 AND (p.evidence ->> 'generation')::integer = e.generation
  AND NOT EXISTS (
      SELECT FROM page o
      WHERE o.escalation_id = e.id AND o.id <> p.id AND o.kind = p.kind
        AND o.evidence -> 'generation' = p.evidence -> 'generation'
        AND ((o.loop, o.step) > (p.loop, p.step)
             OR (o.loop, o.step) = (p.loop, p.step) AND o.state IN ('pending', 'sending', 'accepted')));

-- name: hurry_step
-- The next step is due now: nobody of the last one can be reached (R3).
UPDATE escalation SET next_step_at = least(next_step_at, $2) WHERE id = $1 AND state = 'open' AND next_step_at IS NOT NULL;
