-- name: open_accounts
-- A row for each account that due pages go by and that has none yet.
WITH RECURSIVE lane AS (
    (SELECT p.method, p.tenant, p.account FROM page p WHERE p.next_attempt_at IS NOT NULL
     ORDER BY p.method, p.tenant, p.account LIMIT 1)
    UNION ALL
    SELECT n.method, n.tenant, n.account
    FROM lane l
    CROSS JOIN LATERAL (
        SELECT p.method, p.tenant, p.account FROM page p
        WHERE p.next_attempt_at IS NOT NULL AND (p.method, p.tenant, p.account) > (l.method, l.tenant, l.account)
        ORDER BY p.method, p.tenant, p.account LIMIT 1) n
)
INSERT INTO sending_account (tenant, account, method, tokens, refilled_at)
SELECT DISTINCT ON (l.tenant, l.account) l.tenant, l.account, l.method, 'infinity', $1
FROM lane l
WHERE NOT EXISTS (SELECT FROM sending_account a WHERE (a.tenant, a.account) = (l.tenant, l.account))
ORDER BY l.tenant, l.account
ON CONFLICT DO NOTHING;

-- name: look_at_lanes
-- What is due, by method, tenant, account and priority, counted up to a limit, and how its account stands, held (R29). The
-- lanes are found by hopping from one to the next in the index: what is behind a backlog is seen as soon as its head.
WITH RECURSIVE lane AS (
    (SELECT p.method, p.tenant, p.account FROM page p WHERE p.next_attempt_at IS NOT NULL
     ORDER BY p.method, p.tenant, p.account LIMIT 1)
    UNION ALL
    SELECT n.method, n.tenant, n.account
    FROM lane l
    CROSS JOIN LATERAL (
        SELECT p.method, p.tenant, p.account FROM page p
        WHERE p.next_attempt_at IS NOT NULL AND (p.method, p.tenant, p.account) > (l.method, l.tenant, l.account)
        ORDER BY p.method, p.tenant, p.account LIMIT 1) n
)
SELECT l.method, l.tenant, l.account, k.priority, d.due, d.oldest_at, a.tokens, a.refilled_at, a.held_until, a.opened_at,
       a.probe_at,
       (SELECT count(*) FROM page b WHERE b.lease IS NOT NULL AND b.tenant = l.tenant AND b.account = l.account
          AND b.lease_until > clock_timestamp()) AS busy
FROM lane l
CROSS JOIN unnest('{0,1,2}'::smallint[]) AS k (priority)
CROSS JOIN LATERAL (
    SELECT count(*) AS due, min(p.next_attempt_at) AS oldest_at
    FROM (SELECT p.next_attempt_at FROM page p
          WHERE p.method = l.method AND p.tenant = l.tenant AND p.account = l.account AND p.priority = k.priority
            AND p.next_attempt_at <= $1 AND p.state = 'pending'
          ORDER BY p.next_attempt_at LIMIT $3) p
) d
JOIN sending_account a ON (a.tenant, a.account) = (l.tenant, l.account)
WHERE d.due > 0 AND l.method = ANY($2::text[])
FOR NO KEY UPDATE OF a SKIP LOCKED;

-- name: claim_pages
-- Lease due pages, so many a lane, of escalations that still want them, and note the attempt and the tokens it takes (R9,
-- R29, R31, R32). One that is over wants nothing but to be told so (R14); a summary is wanted for as long as one of those
-- whom it names is; what is late and was never tried waits for its digest (R30).
WITH due AS (
    SELECT p.id, p.kind, coalesce(p.escalation_id, (
               SELECT e.id FROM page m JOIN escalation e ON e.id = m.escalation_id
               WHERE p.kind IN ('summary', 'digest') AND m.group_id = p.group_id AND m.told_by = coalesce(p.told_by, p.id)
                 AND e.state IN ('open', 'exhausted') AND (m.kind = 'page' OR e.reason = 'warned')
                 AND NOT coalesce(m.person, m.recipient) = ANY (e.answered)
               ORDER BY e.id LIMIT 1)) AS escalation_id
    FROM unnest($2::text[], $3::text[], $4::text[], $5::smallint[], $6::integer[]) AS k (method, tenant, account, priority, places)
    CROSS JOIN LATERAL (
        SELECT p.id, p.kind, p.escalation_id, p.group_id, p.told_by FROM page p
        WHERE p.method = k.method AND p.tenant = k.tenant AND p.account = k.account AND p.priority = k.priority
          AND p.next_attempt_at <= $1 AND p.state = 'pending' AND NOT (p.attempts = 0 AND coalesce(p.digest_at <= $1, false))
        ORDER BY p.next_attempt_at
        LIMIT k.places
    ) p
), wanted AS (
    SELECT e.id, e.state, e.reason, e.generation, e.answered, e.next_step_at FROM escalation e
    WHERE e.id IN (SELECT escalation_id FROM due)
    ORDER BY e.id
    FOR SHARE SKIP LOCKED
), free AS (
    SELECT p.id, w.next_step_at FROM page p
    JOIN due d ON d.id = p.id
    LEFT JOIN wanted w ON w.id = d.escalation_id
    WHERE p.state = 'pending' AND p.next_attempt_at <= $1
      AND CASE p.kind
          WHEN 'resolve' THEN p.escalation_id IS NULL OR w.state = 'resolved'
          WHEN 'page' THEN w.state IN ('open', 'exhausted') AND NOT coalesce(p.person, p.recipient) = ANY (w.answered)
          WHEN 'warning' THEN w.state IN ('open', 'exhausted') AND w.reason = 'warned'
          WHEN 'summary' THEN w.state IN ('open', 'exhausted')
          WHEN 'digest' THEN w.state IN ('open', 'exhausted')
          WHEN 'copy' THEN p.escalation_id IS NULL OR w.state <> 'resolved'
          ELSE true END
      AND (p.kind NOT IN ('page', 'warning') OR (p.evidence ->> 'generation')::integer = w.generation)
    ORDER BY d.escalation_id, p.id
    FOR NO KEY UPDATE OF p SKIP LOCKED
), leased AS (
    UPDATE page p
    SET state = 'sending', attempts = p.attempts + 1, attempted_at = coalesce(p.attempted_at, $1), next_attempt_at = NULL,
        deferred_until = NULL, deferred_for = NULL, held_for = CASE WHEN p.attempts = 0 THEN p.deferred_for ELSE p.held_for END,
        lease = $7, lease_until = clock_timestamp() + $8::interval,
        fallback_at = CASE WHEN p.attempts = 0 AND coalesce(p.deferred_for = 'quiet_hours', true) AND p.evidence ? 'fallback'
                           THEN $1 + $12::interval ELSE p.fallback_at END
    FROM free
    WHERE p.id = free.id
    RETURNING p.*, free.next_step_at
), noted AS (
    INSERT INTO page_attempt (page_id, n, started_at) SELECT id, attempts, $1 FROM leased
), spent AS (
    UPDATE sending_account a
    SET tokens = greatest(-r.burst, least(r.burst, a.tokens + greatest(extract(epoch FROM $1 - a.refilled_at), 0)::float8
                                                                * r.per_second) - s.pages),
        refilled_at = $1, probe_at = CASE WHEN a.opened_at IS NULL THEN NULL ELSE $1 + $8::interval END
    FROM (SELECT tenant, account, min(method) AS method, count(*) AS pages FROM leased GROUP BY tenant, account) s
    JOIN unnest($9::text[], $10::float8[], $11::float8[]) AS r (method, per_second, burst) ON r.method = s.method
    WHERE (a.tenant, a.account) = (s.tenant, s.account)
)
SELECT l.id, l.tenant, l.escalation_id, l.group_id, l.group_version, l.told_by, l.kind, l.step, l.loop, l.recipient, l.person,
       l.method, l.address, l.secret, l.options, l.account, l.urgency, l.evidence, l.body, l.due_at, l.committed_at,
       l.attempted_at, l.attempts, l.lease, l.token_hash, l.next_step_at, l.receipt, l.held_for, l.replayed_at,
       l.lease_until - $8::interval AS claimed_at,
       (SELECT count(*) FROM page_attempt a WHERE a.page_id = l.id AND a.outcome = 'unknown'
          AND a.started_at >= coalesce(l.replayed_at, a.started_at)) AS unknowns
FROM leased l
ORDER BY l.due_at, l.id;

-- name: hold_pages
-- Due pages of held lanes: until when they wait, and why (R30). Those that a throttle keeps apart come one after the other,
-- behind those that wait already. Another way is begun at once where this one can't come in time (R37, R38); after whom nobody
-- else is paged, that is the console at the latest (R7).
WITH held AS MATERIALIZED (
    SELECT k.*, greatest(k.until_at, (
               SELECT max(p.next_attempt_at) + k.apart FROM page p
               WHERE k.apart > '0'::interval AND p.method = k.method AND p.tenant = k.tenant AND p.account = k.account
                 AND p.priority = k.priority AND p.next_attempt_at > $1 AND p.deferred_for = k.reason)) AS from_at
    FROM unnest($2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::timestamptz[], $8::interval[], $9::boolean[])
         AS k (method, tenant, account, priority, reason, until_at, apart, stays_due)
), due AS (
    SELECT p.id, k.reason, k.stays_due,
           k.from_at + k.apart * (row_number() OVER (PARTITION BY k.method, k.tenant, k.account, k.priority, k.reason
                                                     ORDER BY p.next_attempt_at, p.id) - 1) AS until_at
    FROM held k
    CROSS JOIN LATERAL (
        SELECT p.id, p.next_attempt_at FROM page p
        WHERE p.method = k.method AND p.tenant = k.tenant AND p.account = k.account AND p.priority = k.priority
          AND p.next_attempt_at <= $1 AND p.state = 'pending' AND NOT (k.stays_due AND p.deferred_for IS NOT NULL)
        ORDER BY p.next_attempt_at
        LIMIT $10
        FOR NO KEY UPDATE SKIP LOCKED
    ) p
    WHERE k.reason <> 'breaker'
       OR EXISTS (SELECT FROM sending_account a WHERE (a.tenant, a.account) = (k.tenant, k.account) AND a.opened_at IS NOT NULL)
)
UPDATE page p
SET deferred_until = due.until_at, deferred_for = due.reason,
    next_attempt_at = CASE WHEN due.stays_due THEN p.next_attempt_at ELSE due.until_at END,
    fallback_at = CASE
        WHEN NOT p.evidence ? 'fallback'
             AND NOT EXISTS (SELECT FROM escalation e WHERE e.id = p.escalation_id AND (e.state = 'exhausted' OR p.kind = 'warning'))
        THEN NULL
        WHEN due.reason = 'breaker' OR due.until_at - $1 >= $11::interval
             OR due.until_at >= (SELECT e.next_step_at FROM escalation e WHERE e.id = p.escalation_id) THEN $1
        WHEN p.attempts = 0 AND p.deferred_until IS NULL THEN $1 + $11::interval
        ELSE p.fallback_at END
FROM due
WHERE p.id = due.id;

-- name: release_pages
-- Pages that waited for a broken account, which is well again.
WITH held AS (
    SELECT p.id FROM page p
    WHERE p.method = $1 AND p.tenant = $2 AND p.account = $3 AND p.next_attempt_at > $4 AND p.deferred_for = 'breaker'
      AND p.state = 'pending'
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE page p SET next_attempt_at = $4 FROM held WHERE p.id = held.id;

-- name: take_fallbacks
-- Pages that were not accepted in time: their next contact is tried beside them (R37).
WITH late AS (
    SELECT p.id FROM page p
    WHERE p.fallback_at <= $1
    ORDER BY p.fallback_at
    LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE page p SET fallback_at = NULL
FROM late
WHERE p.id = late.id
RETURNING p.id, p.tenant, p.escalation_id, p.group_id, p.group_version, p.told_by, p.kind, p.step, p.loop, p.recipient, p.person,
          p.method, p.address, p.secret, p.options, p.account, p.urgency, p.evidence, p.body, p.due_at, p.state;

-- name: lock_account
-- How an account stands, held.
SELECT failures, opened_at, probe_at, held_until FROM sending_account WHERE tenant = $1 AND account = $2 FOR NO KEY UPDATE;

-- name: save_account
-- How an account stands now.
UPDATE sending_account SET failures = $3, opened_at = $4, probe_at = $5, held_until = $6 WHERE tenant = $1 AND account = $2;

-- name: count_deferred
-- Pages that are held back, by why (R30).
SELECT deferred_for AS reason, count(*) AS pages FROM page WHERE deferred_for IS NOT NULL AND state = 'pending' GROUP BY deferred_for;

-- name: count_broken
-- Accounts that count as broken, by method (R38).
SELECT method, count(*) AS accounts FROM sending_account WHERE opened_at IS NOT NULL GROUP BY method;
