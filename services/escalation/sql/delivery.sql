-- name: pulse_page
-- How things stand before a tick: the time that decides, how fast it passes, the next page to attempt, here or another way.
SELECT deskclock_now() AS now, coalesce((SELECT rate FROM time_warp), 1) AS rate,
       (SELECT next_attempt_at FROM page WHERE next_attempt_at IS NOT NULL ORDER BY next_attempt_at LIMIT 1) AS due_at,
       (SELECT fallback_at FROM page WHERE fallback_at IS NOT NULL ORDER BY fallback_at LIMIT 1) AS fallback_at;

-- name: insert_pages
-- New pages, due at once unless they are grouped or wait for the end of quiet hours; one that is there already stays as it
-- is (R34).
WITH accounts AS (
    INSERT INTO sending_account (tenant, account, method, tokens, refilled_at)
    SELECT DISTINCT ON (k.tenant, k.account) k.tenant, k.account, k.method, 'infinity'::float8, $16::timestamptz
    FROM unnest($2::text[], $18::text[], $9::text[]) AS k (tenant, account, method)
    WHERE NOT EXISTS (SELECT FROM sending_account a WHERE (a.tenant, a.account) = (k.tenant, k.account))
    ORDER BY k.tenant, k.account
    ON CONFLICT DO NOTHING
)
INSERT INTO page (id, tenant, escalation_id, kind, step, loop, recipient, person, method, address, secret, evidence,
                  body, state, due_at, committed_at, next_attempt_at, token_hash, options, account, urgency, group_id,
                  group_version, told_by, digest_at, deferred_until, deferred_for)
SELECT id, tenant, escalation_id, kind, step, loop, recipient, person, method, address, secret, evidence, body,
       state, due_at, $16, CASE WHEN state = 'pending' THEN greatest($16, quiet_until) END, token_hash, options, account,
       urgency, group_id, group_version, told_by, digest_at, quiet_until,
       CASE WHEN quiet_until IS NULL THEN NULL WHEN kind = 'alarm' THEN 'throttle' ELSE 'quiet_hours' END
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::integer[], $6::integer[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::jsonb[], $13::jsonb[], $14::timestamptz[], $15::bytea[], $17::jsonb[],
            $18::text[], $19::text[], $20::text[], $21::uuid[], $22::integer[], $23::uuid[], $24::timestamptz[],
            $25::timestamptz[])
     AS k (id, tenant, escalation_id, kind, step, loop, recipient, person, method, address, secret, evidence, body,
           due_at, token_hash, options, account, urgency, state, group_id, group_version, told_by, digest_at, quiet_until)
ON CONFLICT (id) DO NOTHING;

-- name: load_lost_pages
-- Pages whose lease ran out while they were being sent: nobody knows whether the provider has them (R35).
SELECT p.id, p.tenant, p.escalation_id, p.group_id, p.group_version, p.told_by, p.kind, p.step, p.loop, p.recipient, p.person,
       p.method, p.address, p.secret, p.options, p.account, p.urgency, p.evidence, p.body, p.due_at, p.committed_at,
       p.attempted_at, p.attempts, p.lease, p.token_hash, NULL::timestamptz AS next_step_at, p.receipt, p.replayed_at, p.replayed_at,
       (SELECT count(*) FROM page_attempt a WHERE a.page_id = p.id AND a.outcome = 'unknown'
          AND a.started_at >= coalesce(p.replayed_at, a.started_at)) AS unknowns
FROM page p
WHERE p.lease IS NOT NULL AND p.lease_until < clock_timestamp()
ORDER BY p.lease_until
LIMIT $1;

-- name: load_closed
-- What a resolve makes moot: the pages, and what their provider calls them (R14).
SELECT id, provider_id FROM page WHERE id = ANY($1::uuid[]) ORDER BY committed_at, id;

-- name: lock_told
-- Hold the escalations that a page is about before it is written, in the lock order: its own, or those of the members of its
-- group that it tells of.
SELECT e.id, e.ticket_id, e.target, e.cycle, e.generation, e.state, e.reason, e.loop, e.step, e.next_step_at, e.policy_version,
       e.ladder
FROM escalation e
WHERE e.id = $1 OR e.id IN (SELECT m.escalation_id FROM page m WHERE m.group_id = $2 AND m.told_by = $3)
ORDER BY e.id
FOR NO KEY UPDATE;

-- name: hold_group
-- Hold a group before its pages are written, and those that told of the escalations of it that are over: the lock order.
SELECT g.id FROM page_group g
WHERE g.id = $1 OR g.id IN (SELECT p.group_id FROM page p WHERE p.escalation_id = ANY($2::uuid[]) AND p.told_by IS NOT NULL)
ORDER BY g.tenant, g.who, g.kind, g.urgency, g.step, g.id
FOR NO KEY UPDATE;

-- name: load_receipt
-- The time that decides, and what the provider told of a leased page by itself; nothing, where the lease is another's by now.
SELECT deskclock_now() AS now, receipt FROM page WHERE id = $1 AND lease = $2 FOR NO KEY UPDATE;

-- name: take_up_ways
-- Other ways to send pages (`$3`): one that was dropped before it was tried is due after all, unless a third got through.
-- Returns how they stood.
WITH dropped AS (
    UPDATE page w SET state = 'pending', next_attempt_at = $2
    FROM unnest($1::uuid[], $3::uuid[]) AS k (id, instead_of)
    WHERE w.id = k.id AND w.state = 'cancelled' AND w.attempts = 0
      AND NOT EXISTS (
          SELECT FROM page o
          WHERE o.escalation_id = w.escalation_id AND o.id <> k.instead_of AND o.state = 'accepted' AND o.kind = w.kind
            AND (o.loop, o.step) = (w.loop, w.step) AND o.evidence -> 'generation' = w.evidence -> 'generation'
            AND coalesce(o.person, o.recipient) = coalesce(w.person, w.recipient))
      AND NOT EXISTS (
          SELECT FROM page o
          WHERE o.group_id = w.group_id AND w.escalation_id IS NULL AND o.escalation_id IS NULL AND o.id <> k.instead_of
            AND o.state = 'accepted' AND o.kind = w.kind AND coalesce(o.told_by, o.id) = coalesce(w.told_by, w.id))
)
SELECT state FROM page WHERE id = ANY($1::uuid[]);

-- name: is_told_otherwise
-- Whether another way to tell of a group is open still, or was taken.
SELECT EXISTS (
    SELECT FROM page o
    WHERE o.group_id = $1 AND o.escalation_id IS NULL AND $2 IN (o.id, o.told_by) AND o.id <> $3
      AND o.kind IN ('summary', 'digest') AND o.state IN ('pending', 'sending', 'accepted'));

-- name: load_told
-- Members that a page about a group names, as far as nothing became of them yet.
SELECT id FROM page WHERE group_id = $1 AND told_by = $2 AND state = 'grouped';

-- name: conclude_page
-- What became of a leased page and of its attempt; nothing, where the lease is another's by now (R31). An account that answers
-- is well: returns whether it had counted as broken (R38).
WITH concluded AS (
    UPDATE page
    SET state = $3, accepted_at = CASE WHEN $3 = 'accepted' THEN $5::timestamptz END,
        delivered_at = CASE WHEN $7 THEN $5::timestamptz ELSE delivered_at END, provider_id = coalesce($6, provider_id),
        verify_by = $8, next_attempt_at = $4, lease = NULL, lease_until = NULL,
        fallback_at = CASE WHEN $3 = 'pending' AND NOT $9 THEN fallback_at END,
        deferred_until = CASE WHEN $10::text IS NOT NULL THEN $4::timestamptz END, deferred_for = $10, receipt = NULL
    WHERE id = $1 AND lease = $2
    RETURNING id, tenant, account
), noted AS (
    UPDATE page_attempt a SET finished_at = $5, outcome = $12, detail = $13 FROM concluded c WHERE a.page_id = c.id AND a.n = $11
), was AS (
    SELECT a.tenant, a.account, a.opened_at IS NOT NULL AS was_open FROM sending_account a
    JOIN concluded c ON (a.tenant, a.account) = (c.tenant, c.account)
    WHERE $14 AND (a.failures > 0 OR a.opened_at IS NOT NULL)
), well AS (
    UPDATE sending_account a SET failures = 0, opened_at = NULL, probe_at = NULL
    FROM was WHERE (a.tenant, a.account) = (was.tenant, was.account)
)
SELECT coalesce((SELECT was_open FROM was), false) AS was_broken FROM concluded;

-- name: conclude_members
-- Those whom a page about a group names are paged with it, or not.
UPDATE page SET state = $3, accepted_at = CASE WHEN $3 = 'accepted' THEN $4::timestamptz END
WHERE group_id = $1 AND told_by = $2 AND state = 'grouped';

-- name: cancel_other_ways
-- Ways to reach the same person that were never tried, now that one got through.
UPDATE page o SET state = 'cancelled', next_attempt_at = NULL, fallback_at = NULL, deferred_until = NULL, deferred_for = NULL
FROM page p
WHERE p.id = $1 AND o.id <> p.id AND o.state = 'pending' AND o.attempts = 0 AND o.kind = p.kind
  AND o.escalation_id = p.escalation_id AND (o.loop, o.step) = (p.loop, p.step)
  AND o.evidence -> 'generation' = p.evidence -> 'generation' AND coalesce(o.person, o.recipient) = coalesce(p.person, p.recipient);

-- name: cancel_other_ways_to_tell
-- The same of a page about a group.
UPDATE page o SET state = 'cancelled', next_attempt_at = NULL, fallback_at = NULL, deferred_until = NULL, deferred_for = NULL
WHERE o.group_id = $1 AND o.escalation_id IS NULL AND $2 IN (o.id, o.told_by) AND o.kind IN ('summary', 'digest')
  AND o.state = 'pending' AND o.attempts = 0;

-- name: renew_token
-- The page's link is made with another key from now on.
UPDATE page SET token_hash = $3 WHERE id = $1 AND lease = $2;

-- name: extend_answer_windows
-- The next step waits until whoever was paged first has had time to answer (R3): the first acceptance of the newest step. It
-- waits for nobody whose page was held back for quiet hours (R24).
UPDATE escalation e
SET next_step_at = greatest(e.next_step_at, $2)
FROM page p
WHERE p.id = ANY($1::uuid[]) AND e.id = p.escalation_id AND e.state = 'open' AND e.next_step_at IS NOT NULL
  AND p.kind = 'page' AND (p.evidence ->> 'generation')::integer = e.generation AND NOT p.evidence ? 'quiet_until'
  AND NOT EXISTS (
      SELECT FROM page o
      WHERE o.escalation_id = e.id AND o.id <> p.id AND o.kind = 'page'
        AND o.evidence -> 'generation' = p.evidence -> 'generation'
        AND ((o.loop, o.step) > (p.loop, p.step) OR (o.loop, o.step) = (p.loop, p.step) AND o.accepted_at IS NOT NULL
             AND NOT o.evidence ? 'quiet_until'));

-- name: load_unanswered
-- Escalations of pages of which no other page of the same step may get through and no later step was taken (R3).
SELECT DISTINCT e.id, p.kind = 'warning' OR e.state = 'exhausted' AS is_last
FROM escalation e
JOIN page p ON p.escalation_id = e.id
WHERE p.id = ANY($1::uuid[]) AND e.state IN ('open', 'exhausted') AND (p.evidence ->> 'generation')::integer = e.generation
  AND NOT EXISTS (
      SELECT FROM page o
      WHERE o.escalation_id = e.id AND o.id <> p.id AND o.kind = p.kind
        AND o.evidence -> 'generation' = p.evidence -> 'generation'
        AND ((o.loop, o.step) > (p.loop, p.step)
             OR (o.loop, o.step) = (p.loop, p.step) AND o.state IN ('pending', 'grouped', 'sending', 'accepted')
                AND o.deferred_for IS DISTINCT FROM 'quiet_hours'));

-- name: hurry_steps
-- The next step is due now: nobody of the last one can be reached (R3).
UPDATE escalation SET next_step_at = least(next_step_at, $2), is_replanned = false
WHERE id = ANY($1::uuid[]) AND state = 'open' AND next_step_at IS NOT NULL;
