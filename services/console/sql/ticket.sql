-- name: ticket_find
-- Tickets by the helpdesk's id or by ours; several where more than one source uses the id.
SELECT t.id, t.source, t.external_id, t.status, t.opened_at, t.solved_at, t.channel, t.urgency, t.theme, t.language,
       t.subject, t.requester_key, t.requester_tier, t.team, t.matched, t.needs, t.prefers, t.rules, t.pool,
       t.policy_version, a.agent AS owner, a.accepted_at AS assigned_at, q.reason AS waiting_reason, q.queued_at
FROM ticket t
LEFT JOIN assignment a ON a.ticket_id = t.id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL
LEFT JOIN queued q ON q.ticket_id = t.id
WHERE t.tenant = $1 AND (t.external_id = $2 OR t.id::text = $2) AND ($3::text IS NULL OR t.source = $3)
ORDER BY t.source LIMIT 20

-- name: ticket_clocks
-- Every clock of one ticket, running and ended, in the order of their start.
SELECT target, cycle, matched, policy_version, calendar, state, started_at, due_at, warned, warned_at, breached_at,
       detected_at, NULL::timestamptz AS met_at, NULL::timestamptz AS ended_at, open_used, NULL::interval AS wall_used
FROM clock WHERE ticket_id = $1
UNION ALL
SELECT target, cycle, matched, policy_version, calendar, state, started_at, due_at, warned, warned_at, breached_at,
       detected_at, met_at, ended_at, open_used, wall_used
FROM clock_finished WHERE ticket_id = $1
ORDER BY started_at, target, cycle

-- name: ticket_events
-- The log of one ticket, in the order in which things happened.
SELECT event_id, occurred_at, received_at, data FROM ticket_event WHERE ticket_id = $1 ORDER BY occurred_at, event_id

-- name: ticket_assignments
-- Who had the ticket, or was offered it, and until when.
SELECT agent, by_hand, assigned_at, accepted_at, state, ended_at, end_reason FROM assignment WHERE ticket_id = $1 ORDER BY assigned_at, id

-- name: ticket_pages
-- Whom the ticket's escalations reached.
SELECT e.target, e.reason, e.state AS escalation, p.kind, p.step, p.recipient, p.person, p.method, p.state, p.due_at, p.accepted_at,
       p.acknowledged_at
FROM escalation e LEFT JOIN page p ON p.escalation_id = e.id
WHERE e.ticket_id = $1 ORDER BY e.opened_at, e.id, p.committed_at, p.id

-- name: leads
-- Who leads whom on the roster.
SELECT key, lead FROM agent WHERE tenant = $1 AND active AND lead IS NOT NULL
