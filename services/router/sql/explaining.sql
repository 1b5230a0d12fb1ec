-- name: explain_ticket
-- One ticket of a tenant as it is stored.
SELECT t.id, t.tenant, t.source, t.external_id, t.status, t.opened_at, t.solved_at, t.channel, t.urgency, t.theme,
       t.language, t.subject, t.requester_key, t.requester_tier, t.matched, t.needs, t.prefers, t.rules, t.pool,
       t.policy_version
FROM ticket t
WHERE t.tenant = $1 AND t.id = $2;

-- name: explain_waiting
-- Why a ticket waits for an owner, when somebody comes who can take it, and when somebody is told.
SELECT q.reason, q.reason_at AS since,
       CASE WHEN q.reason = 'offline' THEN next_shift_at(q.tenant, q.pool, q.channel, q.needs, q.excluded) END AS next_shift_at,
       (SELECT min(r.due_at) FROM escalation_request r WHERE r.ticket_id = q.ticket_id) AS help_at,
       ARRAY(SELECT jsonb_array_elements_text(held) FROM jsonb_array_elements(q.insists) held) AS insists,
       q.relax_at[cardinality(q.relax_at)] AS insists_until, q.excluded AS declined
FROM queued q WHERE q.ticket_id = $1;

-- name: explain_given
-- How an agent has a ticket, or is offered it.
SELECT agent, state, coalesce(accepted_at, assigned_at) AS since, offered_until, act_by, park_at
FROM assignment WHERE ticket_id = $1 AND ended_at IS NULL;

-- name: explain_arrivals
-- When those events of a ticket reached us that came over a second after they happened.
SELECT event_id, received_at
FROM ticket_event
WHERE ticket_id = $1 AND received_at > occurred_at + interval '1 second';
