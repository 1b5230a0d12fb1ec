-- name: board_now
-- The time that decides, and how fast it passes.
SELECT deskclock_now() AS now, coalesce((SELECT rate FROM time_warp), 1) AS rate

-- name: board_tickets
-- Tickets that are not over, by channel and urgency: how many wait for an owner, have one, or need none at present.
SELECT t.channel, t.urgency, count(*) AS open, count(q.ticket_id) AS waiting, count(a.ticket_id) AS owned
FROM ticket t
LEFT JOIN queued q ON q.ticket_id = t.id
LEFT JOIN assignment a ON a.ticket_id = t.id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL
WHERE t.tenant = $1 AND t.status IN ('open', 'pending_customer', 'on_hold') AND t.channel IS NOT NULL
GROUP BY t.channel, t.urgency

-- name: board_totals
-- How many tickets there are, and how many of them are over.
SELECT count(*) AS tickets, count(*) FILTER (WHERE status NOT IN ('open', 'pending_customer', 'on_hold')) AS over
FROM ticket WHERE tenant = $1

-- name: board_running
-- Clocks that still run, by target: calm, warned, past due, paused.
SELECT target,
       count(*) FILTER (WHERE state = 'running' AND warned_at IS NULL) AS calm,
       count(*) FILTER (WHERE state = 'running' AND warned_at IS NOT NULL) AS at_risk,
       count(*) FILTER (WHERE state = 'breached') AS late,
       count(*) FILTER (WHERE state = 'paused') AS paused
FROM clock WHERE tenant = $1 GROUP BY target

-- name: board_finished
-- Clocks that have ended, by target: promises kept and broken; what was cancelled without a breach is neither.
SELECT target,
       count(*) FILTER (WHERE met_at IS NOT NULL AND breached_at IS NULL) AS kept,
       count(*) FILTER (WHERE breached_at IS NOT NULL) AS broken
FROM clock_finished WHERE tenant = $1 GROUP BY target

-- name: board_next_due
-- The clocks that come due next.
SELECT t.external_id, t.channel, t.urgency, c.target, c.due_at, c.warned_at IS NOT NULL AS is_warned, coalesce(g.name, a.agent) AS owner
FROM clock c
JOIN ticket t ON t.id = c.ticket_id
LEFT JOIN assignment a ON a.ticket_id = c.ticket_id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL
LEFT JOIN agent g ON g.tenant = a.tenant AND g.key = a.agent
WHERE c.tenant = $1 AND c.next_fire_at IS NOT NULL
ORDER BY c.due_at, t.external_id LIMIT $2

-- name: board_late
-- The promises that were broken last and are still unanswered.
SELECT t.external_id, t.channel, t.urgency, c.target, c.breached_at AS due_at, c.warned_at IS NOT NULL AS is_warned, coalesce(g.name, a.agent) AS owner
FROM clock c
JOIN ticket t ON t.id = c.ticket_id
LEFT JOIN assignment a ON a.ticket_id = c.ticket_id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL
LEFT JOIN agent g ON g.tenant = a.tenant AND g.key = a.agent
WHERE c.tenant = $1 AND c.state = 'breached' AND c.breached_at IS NOT NULL
ORDER BY c.breached_at DESC, t.external_id LIMIT $2

-- name: board_agents
-- Those who work tickets: presence, load, and how many tickets they own.
SELECT g.key, g.name, g.capacity, g.primary_used, g.interruptible_used, g.over_capacity,
       (SELECT count(*) FROM assignment a WHERE a.tenant = g.tenant AND a.agent = g.key AND a.ended_at IS NULL) AS tickets,
       CASE WHEN deskclock_is_gone(g.active, g.status, g.presence, g.present_until, (SELECT deskclock_now())) THEN 'offline'
            ELSE g.status END AS status
FROM agent g
WHERE g.tenant = $1 AND g.active AND cardinality(g.channels) > 0
ORDER BY g.primary_used + g.interruptible_used DESC, g.key

-- name: board_queue
-- Tickets without an owner by the reason for it, and since when the oldest waits.
SELECT reason, count(*) AS tickets, min(queued_at) AS oldest_at FROM queued WHERE tenant = $1 GROUP BY reason

-- name: board_escalations
-- Escalations by state.
SELECT state, count(*) AS escalations FROM escalation WHERE tenant = $1 GROUP BY state

-- name: board_pages
-- The newest pages, with what became of each.
SELECT p.id, p.kind, p.state, p.step, p.recipient, coalesce(g.name, p.person) AS person, p.due_at, p.accepted_at, p.acknowledged_at,
       t.external_id, e.target, e.reason
FROM page p
JOIN escalation e ON e.id = p.escalation_id
JOIN ticket t ON t.id = e.ticket_id
LEFT JOIN agent g ON g.tenant = p.tenant AND g.key = p.person
WHERE p.tenant = $1 AND p.kind <> 'resolve'
ORDER BY p.committed_at DESC, p.id DESC LIMIT $2

-- name: board_page_totals
-- How many pages there were, were accepted, were acknowledged, and were not sent as they had become moot.
SELECT count(*) FILTER (WHERE kind = 'page') AS pages,
       count(*) FILTER (WHERE kind = 'warning') AS warnings,
       count(*) FILTER (WHERE kind = 'page' AND accepted_at IS NOT NULL) AS accepted,
       count(*) FILTER (WHERE kind IN ('page', 'summary', 'digest') AND acknowledged_at IS NOT NULL) AS acknowledged,
       count(*) FILTER (WHERE kind <> 'resolve' AND state = 'failed') AS failed,
       count(*) FILTER (WHERE kind = 'page' AND state = 'cancelled' AND accepted_at IS NULL) AS moot
FROM page WHERE tenant = $1
