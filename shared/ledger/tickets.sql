-- name: lock_tickets
-- The stored tickets among the given ones, locked in the order of their ids until the transaction ends.
SELECT t.id, t.tenant, t.source, t.external_id, t.status, t.opened_at, t.solved_at, t.channel, t.urgency, t.theme,
       t.language, t.subject, t.requester_key, t.requester_tier, t.team, t.matched, t.needs, t.prefers, t.rules, t.pool,
       t.policy_version, t.insists
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, source, external_id)
JOIN ticket t USING (tenant, source, external_id)
ORDER BY t.id
FOR NO KEY UPDATE OF t;

-- name: lock_free_tickets
-- Stored tickets by id, locked until the transaction ends; those locked elsewhere are left out.
SELECT t.id, t.tenant, t.source, t.external_id, t.status, t.opened_at, t.solved_at, t.channel, t.urgency, t.theme,
       t.language, t.subject, t.requester_key, t.requester_tier, t.team, t.matched, t.needs, t.prefers, t.rules, t.pool,
       t.policy_version, t.insists
FROM ticket t
WHERE t.id = ANY($1::uuid[])
ORDER BY t.id
FOR NO KEY UPDATE OF t SKIP LOCKED;

-- name: read_tickets
-- Stored tickets by id, only to look at.
SELECT t.id, t.tenant, t.source, t.external_id, t.status, t.opened_at, t.solved_at, t.channel, t.urgency, t.theme,
       t.language, t.subject, t.requester_key, t.requester_tier, t.team, t.matched, t.needs, t.prefers, t.rules, t.pool,
       t.policy_version, t.insists
FROM ticket t
WHERE t.id = ANY($1::uuid[])
ORDER BY t.id;

-- name: known_events
-- Which of the given events the log already has.
SELECT e.tenant, e.event_id, e.ticket_id
FROM unnest($1::text[], $2::text[]) AS k (tenant, event_id)
JOIN ticket_event e USING (tenant, event_id);

-- name: full_logs
-- Those of the tickets whose logs have so many events.
SELECT ticket_id FROM ticket_event WHERE ticket_id = ANY($1::uuid[]) GROUP BY ticket_id HAVING count(*) >= $2;

-- name: load_events
-- The logs of the given tickets.
SELECT e.ticket_id, e.event_id, e.occurred_at, e.received_at, e.data
FROM ticket_event e
WHERE e.ticket_id = ANY($1::uuid[]);

-- name: load_assignments
-- Who had the given tickets, and until when; what was only offered was nobody's.
SELECT id, ticket_id, agent, accepted_at, ended_at
FROM assignment
WHERE ticket_id = ANY($1::uuid[]) AND accepted_at IS NOT NULL;

-- name: update_tickets
-- What the fold says now of stored tickets.
UPDATE ticket t
SET status = k.status, opened_at = k.opened_at, solved_at = k.solved_at, channel = k.channel, urgency = k.urgency,
    theme = k.theme, language = k.language, subject = k.subject, requester_key = k.requester_key,
    requester_tier = k.requester_tier, team = k.team, matched = k.matched, needs = k.needs, prefers = k.prefers::text[],
    rules = k.rules::text[], pool = k.pool, policy_version = k.policy_version, insists = k.insists
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::jsonb[], $15::text[],
            $16::text[], $17::text[], $18::integer[], $19::jsonb[])
     AS k (id, status, opened_at, solved_at, channel, urgency, theme, language, subject, requester_key,
           requester_tier, team, matched, needs, prefers, rules, pool, policy_version, insists)
WHERE t.id = k.id;
