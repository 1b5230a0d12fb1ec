-- name: measure_open
-- Tickets nobody has solved, by channel, urgency and state.
SELECT channel, urgency, status, count(*) AS tickets
FROM ticket
WHERE status IN ('open', 'pending_customer', 'on_hold') AND channel IS NOT NULL
GROUP BY channel, urgency, status;

-- name: measure_waiting
-- How long the oldest unanswered ticket of each channel and urgency has waited for its first response.
SELECT t.channel, t.urgency, extract(epoch FROM deskclock_now() - min(c.started_at))::float8 AS seconds
FROM clock c JOIN ticket t ON t.id = c.ticket_id
WHERE c.target = 'first_response'
GROUP BY t.channel, t.urgency;

-- name: measure_outbox
-- Age of the oldest event that is not published.
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(written_at)), 0)::float8 AS seconds FROM outbox;
