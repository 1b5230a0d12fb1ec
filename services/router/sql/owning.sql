-- name: list_owned_unsettled
-- Tickets that somebody has and whose ownership is still waited for.
SELECT DISTINCT c.ticket_id
FROM clock c
JOIN assignment a ON a.ticket_id = c.ticket_id AND a.ended_at IS NULL
WHERE c.target IN ('ownership', 'internal_ownership') AND c.ticket_id > $1
ORDER BY c.ticket_id
LIMIT $2;

-- name: list_released_unsettled
-- Tickets that wait for an owner again, and whose ownership nobody waits for.
SELECT DISTINCT q.ticket_id
FROM queued q
JOIN clock_finished f ON f.ticket_id = q.ticket_id AND f.target = 'ownership' AND f.state <> 'cancelled'
WHERE q.ticket_id > $1
  AND NOT EXISTS (SELECT FROM clock c WHERE c.ticket_id = q.ticket_id AND c.target = 'ownership')
ORDER BY q.ticket_id
LIMIT $2;
