-- name: find_by_token
-- The page that a link was sent with, and where its escalation or its group stands; a test's has neither.
SELECT p.id AS page_id, p.tenant, p.escalation_id, p.group_id, p.group_version, p.kind, p.recipient, p.person, p.method, p.evidence,
       p.committed_at, p.acknowledged_at AS answered_at, coalesce(w.name, p.person, p.recipient) AS person_name,
       e.state, e.acknowledged_by, coalesce(k.name, e.acknowledged_by) AS acknowledged_name, e.acknowledged_at, e.answered,
       e.resolved_at, e.resolution, e.reason, e.target, e.cycle, e.generation, e.policy_version, e.ladder, e.step, e.loop,
       e.next_step_at, e.anchor_at, e.wakes_at, e.wakes_for, e.about,
       t.source, t.external_id, t.channel, t.urgency, t.requester_tier,
       coalesce(c.due_at, c.breached_at, f.due_at) AS due_at, coalesce(o.name, a.agent) AS owner_name,
       v.members, v.is_open AS is_group_open, deskclock_now() AS now
FROM page p
LEFT JOIN escalation e ON e.id = p.escalation_id
LEFT JOIN ticket t ON t.id = e.ticket_id
LEFT JOIN page_group v ON v.id = p.group_id
LEFT JOIN agent w ON w.tenant = p.tenant AND w.key = p.person
LEFT JOIN agent k ON k.tenant = p.tenant AND k.key = e.acknowledged_by
LEFT JOIN clock c ON (c.ticket_id, c.target, c.cycle) = (e.ticket_id, e.target, e.cycle)
LEFT JOIN clock_finished f ON (f.ticket_id, f.target, f.cycle) = (e.ticket_id, e.target, e.cycle)
LEFT JOIN assignment a ON a.ticket_id = e.ticket_id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL
LEFT JOIN agent o ON o.tenant = e.tenant AND o.key = a.agent
WHERE p.token_hash = $1;

-- name: list_members
-- The tickets of a group up to a version, in the order in which they joined it (R28).
SELECT DISTINCT ON (e.id) e.id AS escalation_id, p.group_version, t.external_id, t.source, t.channel, t.urgency, e.target, e.reason,
       e.state, e.acknowledged_by, coalesce(k.name, e.acknowledged_by) AS acknowledged_name, e.wakes_at, e.next_step_at,
       coalesce(c.due_at, c.breached_at, f.due_at) AS due_at
FROM page p
JOIN escalation e ON e.id = p.escalation_id
JOIN ticket t ON t.id = e.ticket_id
LEFT JOIN agent k ON k.tenant = e.tenant AND k.key = e.acknowledged_by
LEFT JOIN clock c ON (c.ticket_id, c.target, c.cycle) = (e.ticket_id, e.target, e.cycle)
LEFT JOIN clock_finished f ON (f.ticket_id, f.target, f.cycle) = (e.ticket_id, e.target, e.cycle)
WHERE p.group_id = $1 AND p.group_version <= $2
ORDER BY e.id, p.group_version;

-- name: load_names
-- What people are called.
SELECT key, name FROM agent WHERE tenant = $1 AND key = ANY($2::text[]);

-- name: list_told
-- Who was paged about an escalation so far, for its timeline.
SELECT p.committed_at AS at, p.kind, coalesce(w.name, p.person, p.recipient) AS name, p.method, p.state, p.accepted_at
FROM page p
LEFT JOIN agent w ON w.tenant = p.tenant AND w.key = p.person
WHERE p.escalation_id = $1 AND p.kind IN ('warning', 'page')
ORDER BY p.committed_at DESC, p.id
LIMIT $2;

-- name: list_answers
-- What people answered to an escalation, for its timeline.
SELECT a.at, a.action, a.until_at, a.generation, coalesce(k.name, a.by) AS name
FROM escalation_answer a
JOIN escalation e ON e.id = a.escalation_id
LEFT JOIN agent k ON k.tenant = e.tenant AND k.key = a.by
WHERE a.escalation_id = $1
ORDER BY a.at DESC, a.n DESC
LIMIT $2;

-- name: lock_for_answer
-- Escalations of a tenant, held while they are answered: one, or those of a group up to a version, in the lock order (R28).
SELECT e.id, e.tenant, e.state, e.target, e.cycle, e.generation, e.acknowledged_by, e.acknowledged_at, e.answered, e.resolved_at,
       e.resolution, e.reason, e.anchor_at, e.step, e.loop, e.policy_version, e.ladder, t.source, t.external_id, t.channel,
       t.urgency, deskclock_now() AS now
FROM escalation e
JOIN ticket t ON t.id = e.ticket_id
WHERE e.tenant = $1
  AND e.id IN (SELECT $2::uuid UNION ALL SELECT m.escalation_id FROM page m WHERE m.group_id = $3 AND m.group_version <= $4)
ORDER BY e.id
FOR NO KEY UPDATE OF e;

-- name: load_asked
-- The newest step of each held escalation and whom it paged, and of which generation the link's page of it is.
SELECT e.id, n.loop, n.step, coalesce(n.asked, '{}') AS asked,
       (SELECT max((m.evidence ->> 'generation')::integer) FROM page m
        WHERE m.escalation_id = e.id AND (m.id = $2 OR m.group_id = $3 AND m.group_version <= $4)) AS page_generation
FROM escalation e
LEFT JOIN LATERAL (
    SELECT p.loop, p.step, array_agg(DISTINCT coalesce(p.person, p.recipient)) FILTER (WHERE p.state <> 'failed') AS asked
    FROM page p
    WHERE p.escalation_id = e.id AND p.kind = 'page' AND (p.evidence ->> 'generation')::integer = e.generation
    GROUP BY p.loop, p.step
    ORDER BY p.loop DESC, p.step DESC
    LIMIT 1
) n ON true
WHERE e.id = ANY($1::uuid[]);

-- name: lock_group
-- The group of a page, held; its escalations are already.
SELECT members, is_open FROM page_group WHERE id = $1 FOR NO KEY UPDATE;

-- name: take_over_group
-- Somebody took over its members up to a version: those who joined since are looked at now, who joins from now on is paged anew (R28).
UPDATE page_group
SET acknowledged = greatest(acknowledged, $2), closes_at = least(closes_at, greatest($3, opened_at)), is_open = members > $2,
    next_at = CASE WHEN members > least($2, told) THEN $3 END
WHERE id = $1 AND is_open;

-- name: save_answers
-- Held escalations as they stand after an answer (R9); what goes up again while its promise is paused waits until that goes on (R15).
UPDATE escalation e
SET state = k.state, generation = k.generation, loop = k.loop, step = k.step,
    anchor_at = CASE WHEN k.state = 'open' AND NOT k.goes_on THEN k.anchor_at ELSE e.anchor_at END,
    since_loop = CASE WHEN k.state = 'open' AND NOT k.goes_on THEN k.loop ELSE e.since_loop END,
    since_step = CASE WHEN k.state = 'open' AND NOT k.goes_on THEN k.step ELSE e.since_step END,
    next_step_at = CASE WHEN k.goes_on THEN e.next_step_at WHEN e.held_for IS NULL THEN k.next_step_at END,
    held_for = CASE WHEN e.held_for IS NOT NULL AND k.state = 'open' AND NOT k.goes_on THEN interval '0' ELSE e.held_for END,
    is_replanned = e.is_replanned AND (k.goes_on OR k.state <> 'open'), acknowledged_by = k.acknowledged_by,
    acknowledged_at = k.acknowledged_at, answered = ARRAY(SELECT jsonb_array_elements_text(k.answered)),
    wakes_at = k.wakes_at, wakes_for = k.wakes_for,
    raised_by = CASE WHEN k.goes_on THEN e.raised_by END, raised_for = CASE WHEN k.goes_on THEN e.raised_for END
FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::integer[], $5::integer[], $6::timestamptz[], $7::timestamptz[],
            $8::boolean[], $9::text[], $10::timestamptz[], $11::jsonb[], $12::timestamptz[], $13::text[])
     AS k (id, state, generation, loop, step, anchor_at, next_step_at, goes_on, acknowledged_by, acknowledged_at, answered,
           wakes_at, wakes_for)
WHERE e.id = k.id;

-- name: note_answers
-- What somebody answered.
INSERT INTO escalation_answer (escalation_id, at, action, by, generation, until_at, page_id)
SELECT k.id, $2, $3, $4, k.generation, $5, $6 FROM unnest($1::uuid[], $7::integer[]) AS k (id, generation);

-- name: cancel_pages
-- Pages of answered escalations that nobody has begun to send or has told in another one; with a name, those to them alone (R6).
UPDATE page SET state = 'cancelled', next_attempt_at = NULL, fallback_at = NULL, deferred_until = NULL, deferred_for = NULL
WHERE escalation_id = ANY($1::uuid[]) AND kind NOT IN ('resolve', 'copy') AND (state = 'pending' OR state = 'grouped' AND told_by IS NULL)
  AND ($2::text IS NULL OR coalesce(person, recipient) = $2);

-- name: cancel_told
-- Pages about a group that was taken over, as far as they show nothing else and nobody has begun to send them (R28).
UPDATE page SET state = 'cancelled', next_attempt_at = NULL, fallback_at = NULL, deferred_until = NULL, deferred_for = NULL
WHERE group_id = $1 AND escalation_id IS NULL AND state = 'pending' AND group_version <= $2;

-- name: mark_page_answered
-- The page whose link was used.
UPDATE page SET acknowledged_at = $2 WHERE id = $1 AND acknowledged_at IS NULL
RETURNING accepted_at;

-- name: cancel_moot_pages
-- Pages that nobody needs any more: their escalation was answered or resolved, or has begun anew, or the promise they warned
-- of has broken.
WITH moot AS (
    SELECT p.id FROM page p
    JOIN escalation e ON e.id = p.escalation_id
    WHERE p.state = 'pending' AND p.next_attempt_at IS NOT NULL AND p.kind <> 'resolve'
      AND (e.state = 'resolved' OR e.state = 'acknowledged' AND p.kind <> 'copy' OR p.kind = 'warning' AND e.reason <> 'warned'
           OR p.kind IN ('page', 'warning') AND (p.evidence ->> 'generation')::integer <> e.generation
           OR coalesce(p.person, p.recipient) = ANY(e.answered))
    LIMIT $1
    FOR NO KEY UPDATE OF p SKIP LOCKED
)
UPDATE page p SET state = 'cancelled', next_attempt_at = NULL, fallback_at = NULL, deferred_until = NULL, deferred_for = NULL
FROM moot WHERE p.id = moot.id;

-- name: outbox_oldest
-- Seconds for which the oldest unpublished row has waited.
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(written_at)), 0)::double precision FROM outbox;

-- name: count_live
-- Escalations that are not resolved, by state.
SELECT state, count(*) AS escalations FROM escalation WHERE state <> 'resolved' GROUP BY state;
