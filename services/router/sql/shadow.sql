-- name: hold_shadows
-- One at a time starts or stops a candidate of a tenant, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('shadow of ' || $1::text, 0));

-- name: insert_shadow
-- A candidate is tried from now on.
INSERT INTO policy_shadow (id, tenant, source, document, started_at, started_by) VALUES ($1, $2, $3, $4, $5, $6);

-- name: load_shadow
-- The candidate of a tenant, whether it runs or has failed.
SELECT id, tenant, source, started_at, started_by, state, failure, tickets
FROM policy_shadow WHERE tenant = $1 AND state <> 'stopped';

-- name: list_shadows
-- Every candidate there is, and those whose rows are still to be removed.
SELECT id, tenant, started_at, state FROM policy_shadow ORDER BY tenant, id LIMIT $1;

-- name: claim_shadow
-- A running candidate for this process alone, until the transaction ends; no row while another has it.
SELECT id, tenant, started_at, tickets FROM policy_shadow
WHERE id = $1 AND state = 'running'
FOR NO KEY UPDATE SKIP LOCKED;

-- name: load_shadow_document
-- A candidate as it was resolved when it started.
SELECT document FROM policy_shadow WHERE id = $1;

-- name: fail_shadow
-- A candidate that can't be tried; no row where somebody was first.
UPDATE policy_shadow SET state = 'failed', failure = $2 WHERE id = $1 AND state = 'running' RETURNING id;

-- name: stop_shadow
-- A candidate is tried no more; its rows are removed bit by bit.
UPDATE policy_shadow SET state = 'stopped', stopped_at = clock_timestamp()
WHERE tenant = $1 AND state <> 'stopped' RETURNING id;

-- name: count_marks
-- About how many marks of a tenant wait: never fewer than there are.
SELECT coalesce(max(id) - min(id) + 1, 0) FROM shadow_mark WHERE tenant = $1;

-- name: take_marks
-- The oldest marks of a tenant, taken out.
DELETE FROM shadow_mark
WHERE tenant = $1 AND id IN (SELECT id FROM shadow_mark WHERE tenant = $1 ORDER BY id LIMIT $2)
RETURNING ticket_id;

-- name: find_due_trials
-- Tickets with a clock of the candidate that time has to act on, the longest overdue first.
SELECT ticket_id FROM shadow_clock WHERE shadow_id = $1 AND next_at < $2 ORDER BY next_at LIMIT $3;

-- name: load_tried_tickets
-- Those of the tickets that are tried already.
SELECT ticket_id FROM shadow_ticket WHERE shadow_id = $1 AND ticket_id = ANY($2::uuid[]);

-- name: load_shadow_clocks
-- The candidate's clocks of the given tickets.
SELECT ticket_id, target, cycle, matched, state, started_at, due_at, late_from, breached_at, detected_at, met_at, ended_at,
       open_used
FROM shadow_clock WHERE shadow_id = $1 AND ticket_id = ANY($2::uuid[]);

-- name: save_shadow_clocks
-- The candidate's clocks as they are now.
INSERT INTO shadow_clock (shadow_id, ticket_id, target, cycle, matched, state, started_at, due_at, late_from, breached_at,
                          detected_at, met_at, ended_at, open_used, next_at)
SELECT $1::uuid, k.* FROM unnest(
    $2::uuid[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[],
    $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::interval[], $15::timestamptz[]) k
ON CONFLICT (shadow_id, ticket_id, target, cycle) DO UPDATE
SET matched = excluded.matched, state = excluded.state, started_at = excluded.started_at, due_at = excluded.due_at,
    late_from = excluded.late_from, breached_at = excluded.breached_at, detected_at = excluded.detected_at,
    met_at = excluded.met_at, ended_at = excluded.ended_at, open_used = excluded.open_used, next_at = excluded.next_at;

-- name: add_tried_tickets
-- Tickets that are tried from now on, counted.
WITH added AS (
    INSERT INTO shadow_ticket (shadow_id, ticket_id) SELECT $1::uuid, unnest($2::uuid[]) ON CONFLICT DO NOTHING RETURNING 1
)
UPDATE policy_shadow SET tickets = tickets + (SELECT count(*) FROM added) WHERE id = $1;

-- name: drop_marks
-- Marks that nobody waits for.
DELETE FROM shadow_mark
WHERE tenant = $1 AND id IN (SELECT id FROM shadow_mark WHERE tenant = $1 ORDER BY id LIMIT $2)
RETURNING 1;

-- name: drop_shadow_clocks
-- Some clocks of a stopped candidate.
DELETE FROM shadow_clock
WHERE ctid = ANY(ARRAY(SELECT ctid FROM shadow_clock WHERE shadow_id = $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING 1;

-- name: drop_tried_tickets
-- Some tickets of a stopped candidate.
DELETE FROM shadow_ticket
WHERE ctid = ANY(ARRAY(SELECT ctid FROM shadow_ticket WHERE shadow_id = $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING 1;

-- name: drop_shadow
-- A stopped candidate without rows, once no router can still take it for running.
DELETE FROM policy_shadow WHERE id = $1 AND state = 'stopped' AND stopped_at < clock_timestamp() - interval '1 minute'
  AND NOT EXISTS (SELECT FROM shadow_clock WHERE shadow_id = $1) AND NOT EXISTS (SELECT FROM shadow_ticket WHERE shadow_id = $1);

-- name: compare_shadow
-- The clocks of the tickets that are tried, under the policy in force and under the candidate, counted.
WITH tried AS (
    SELECT t.id, coalesce(t.channel, 'other') AS channel
    FROM shadow_ticket s JOIN ticket t ON t.id = s.ticket_id
    WHERE s.shadow_id = $1
), judged AS (
    SELECT 'live' AS policy, c.ticket_id, c.target, c.state, c.breached_at FROM tried JOIN clock c ON c.ticket_id = tried.id
    UNION ALL
    SELECT 'live', f.ticket_id, f.target, f.state, f.breached_at FROM tried JOIN clock_finished f ON f.ticket_id = tried.id
    UNION ALL
    SELECT 'shadow', ticket_id, target, state, breached_at FROM shadow_clock WHERE shadow_id = $1
)
SELECT j.policy, j.target, tried.channel, count(*) AS clocks,
       count(*) FILTER (WHERE j.state = 'met' AND j.breached_at IS NULL) AS met,
       count(*) FILTER (WHERE j.breached_at IS NOT NULL) AS breached,
       count(*) FILTER (WHERE j.state IN ('running', 'paused')) AS running,
       count(*) FILTER (WHERE j.state = 'cancelled' AND j.breached_at IS NULL) AS cancelled
FROM judged j JOIN tried ON tried.id = j.ticket_id
GROUP BY j.policy, j.target, tried.channel;

-- name: count_shadow_differences
-- On how many tickets a promise was broken under one of the two and not under the other.
WITH live AS (
    SELECT c.ticket_id, c.target, c.cycle, c.breached_at FROM shadow_ticket s JOIN clock c USING (ticket_id)
    WHERE s.shadow_id = $1 AND c.breached_at IS NOT NULL
    UNION ALL
    SELECT f.ticket_id, f.target, f.cycle, f.breached_at FROM shadow_ticket s JOIN clock_finished f USING (ticket_id)
    WHERE s.shadow_id = $1 AND f.breached_at IS NOT NULL
), shadow AS (
    SELECT ticket_id, target, cycle, breached_at FROM shadow_clock WHERE shadow_id = $1 AND breached_at IS NOT NULL
)
SELECT count(DISTINCT ticket_id) AS tickets,
       count(DISTINCT ticket_id) FILTER (WHERE shadow.breached_at IS NULL) AS only_live,
       count(DISTINCT ticket_id) FILTER (WHERE live.breached_at IS NULL) AS only_shadow
FROM live FULL JOIN shadow USING (ticket_id, target, cycle)
WHERE (live.breached_at IS NULL) <> (shadow.breached_at IS NULL);

-- name: list_shadow_differences
-- Some of these tickets with the promise on which the two differ, the newest tickets first.
WITH live AS (
    SELECT c.ticket_id, c.target, c.cycle, c.breached_at FROM shadow_ticket s JOIN clock c USING (ticket_id)
    WHERE s.shadow_id = $1 AND c.breached_at IS NOT NULL
    UNION ALL
    SELECT f.ticket_id, f.target, f.cycle, f.breached_at FROM shadow_ticket s JOIN clock_finished f USING (ticket_id)
    WHERE s.shadow_id = $1 AND f.breached_at IS NOT NULL
), shadow AS (
    SELECT ticket_id, target, cycle, breached_at FROM shadow_clock WHERE shadow_id = $1 AND breached_at IS NOT NULL
), differing AS (
    SELECT DISTINCT ON (ticket_id) ticket_id, target, cycle
    FROM live FULL JOIN shadow USING (ticket_id, target, cycle)
    WHERE (live.breached_at IS NULL) <> (shadow.breached_at IS NULL)
    ORDER BY ticket_id DESC, coalesce(live.breached_at, shadow.breached_at), target, cycle
    LIMIT $2
)
SELECT t.source, t.external_id, coalesce(t.channel, 'other') AS channel, d.target, d.cycle,
       coalesce(c.matched, f.matched) AS live_matched, coalesce(c.state, f.state) AS live_state,
       coalesce(c.due_at, f.due_at) AS live_due_at, coalesce(c.breached_at, f.breached_at) AS live_breached_at,
       s.matched AS shadow_matched, s.state AS shadow_state, s.due_at AS shadow_due_at, s.breached_at AS shadow_breached_at
FROM differing d
JOIN ticket t ON t.id = d.ticket_id
LEFT JOIN clock c ON (c.ticket_id, c.target, c.cycle) = (d.ticket_id, d.target, d.cycle)
LEFT JOIN clock_finished f ON (f.ticket_id, f.target, f.cycle) = (d.ticket_id, d.target, d.cycle)
LEFT JOIN shadow_clock s ON s.shadow_id = $1 AND (s.ticket_id, s.target, s.cycle) = (d.ticket_id, d.target, d.cycle)
ORDER BY d.ticket_id DESC;
