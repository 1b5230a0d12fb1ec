-- name: explain_ticket
-- One ticket of a tenant as it is stored.
SELECT t.id, t.tenant, t.source, t.external_id, t.status, t.opened_at, t.solved_at, t.channel, t.urgency, t.theme,
       t.language, t.subject, t.requester_key, t.requester_tier, t.matched, t.needs, t.prefers, t.rules, t.pool,
       t.policy_version
FROM ticket t
WHERE t.tenant = $1 AND t.id = $2;

-- name: explain_arrivals
-- When those events of a ticket reached us that came over a second after they happened.
SELECT event_id, received_at
FROM ticket_event
WHERE ticket_id = $1 AND received_at > occurred_at + interval '1 second';
