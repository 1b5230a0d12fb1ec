-- name: report_attainment
-- Promises kept and broken by channel and target; one past due counts as broken before it is answered.
SELECT t.channel, c.target, count(*) FILTER (WHERE c.kept) AS kept, count(*) FILTER (WHERE NOT c.kept) AS broken
FROM (
    SELECT ticket_id, target, breached_at IS NULL AS kept FROM clock_finished
    WHERE tenant = $1 AND (met_at IS NOT NULL OR breached_at IS NOT NULL)
    UNION ALL
    SELECT ticket_id, target, false FROM clock WHERE tenant = $1 AND state = 'breached'
) c
JOIN ticket t ON t.id = c.ticket_id
GROUP BY t.channel, c.target
ORDER BY t.channel, c.target

-- name: report_resolutions
-- The first resolution clock of every ticket, running or ended.
SELECT t.external_id, t.matched AS line, c.state, c.due_at, c.met_at, c.breached_at
FROM ticket t
LEFT JOIN (
    SELECT ticket_id, state, due_at, met_at, breached_at FROM clock_finished
    WHERE tenant = $1 AND target = 'resolution' AND cycle = 1
    UNION ALL
    SELECT ticket_id, state, due_at, NULL, breached_at FROM clock
    WHERE tenant = $1 AND target = 'resolution' AND cycle = 1
) c ON c.ticket_id = t.id
WHERE t.tenant = $1 AND t.source = $2

-- name: report_breach_lags
-- When each breach was due, and when it was noticed.
SELECT breached_at AS due_at, detected_at FROM clock_finished
WHERE tenant = $1 AND breached_at IS NOT NULL AND detected_at IS NOT NULL
UNION ALL
SELECT breached_at, detected_at FROM clock WHERE tenant = $1 AND breached_at IS NOT NULL AND detected_at IS NOT NULL

-- name: report_page_lags
-- When each accepted page was due, and when its channel accepted it.
SELECT due_at, accepted_at FROM page WHERE tenant = $1 AND kind IN ('page', 'warning') AND accepted_at IS NOT NULL

-- name: report_intake
-- When each event was taken in.
SELECT event_id, received_at FROM ticket_event WHERE tenant = $1

-- name: report_escalations
-- Escalations by state, and how far up their ladders they went.
SELECT state, count(*) AS escalations, count(*) FILTER (WHERE step > 1 OR loop > 0) AS climbed, max(step) AS highest
FROM escalation WHERE tenant = $1 GROUP BY state

-- name: report_backlog
-- Events in the log, and clocks that were due by an instant and have not fired.
SELECT (SELECT count(*) FROM ticket_event WHERE tenant = $1) AS events,
       (SELECT count(*) FROM clock WHERE tenant = $1 AND next_fire_at < $2) AS unfired
