-- name: hold_for_escalation
-- A ticket for which somebody asks for help, held.
SELECT t.id, t.status, t.channel, t.matched, t.policy_version, t.opened_at FROM ticket t
WHERE t.tenant = $1 AND t.id = $2
FOR NO KEY UPDATE;

-- name: look_at_help
-- The live escalation of a ticket that no promise began, as it stands.
SELECT e.id, e.state, e.generation, e.loop, e.step, e.policy_version, e.ladder, e.next_step_at, e.acknowledged_by
FROM escalation e
WHERE e.ticket_id = $1 AND e.target = 'routing' AND e.state <> 'resolved';
