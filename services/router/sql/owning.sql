-- name: list_owned_unsettled
-- Tickets that somebody has and whose ownership is still waited for.
SELECT DISTINCT c.ticket_id
FROM clock c
JOIN assignment a ON a.ticket_id = c.ticket_id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL
WHERE c.target IN ('ownership', 'internal_ownership') AND c.ticket_id > $1
ORDER BY c.ticket_id
LIMIT $2;

-- name: list_owned_of
-- Those of the given tickets that somebody has and whose ownership is still waited for.
SELECT DISTINCT c.ticket_id
FROM clock c
JOIN assignment a ON a.ticket_id = c.ticket_id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL
WHERE c.target IN ('ownership', 'internal_ownership') AND c.ticket_id = ANY($1::uuid[])
ORDER BY c.ticket_id;

-- name: list_owned_once
-- Those of the given tickets whose promise of an owner is over; where they have lost the owner it begins anew.
SELECT DISTINCT ticket_id FROM clock_finished
WHERE target IN ('ownership', 'internal_ownership') AND state <> 'cancelled' AND ticket_id = ANY($1::uuid[])
ORDER BY ticket_id;

-- name: list_released_unsettled
-- Tickets that wait again because their owner went or gave them back, and whose ownership nobody waits for.
SELECT DISTINCT q.ticket_id
FROM queued q
JOIN clock_finished f ON f.ticket_id = q.ticket_id AND f.target IN ('ownership', 'internal_ownership')
                     AND f.state <> 'cancelled'
WHERE q.ticket_id > $1
  AND NOT EXISTS (SELECT FROM clock c WHERE c.ticket_id = q.ticket_id AND c.target = f.target)
  AND EXISTS (SELECT FROM assignment a
              WHERE a.ticket_id = q.ticket_id AND a.accepted_at IS NOT NULL AND a.ended_at >= f.ended_at
                AND a.end_reason NOT IN ('solved', 'closed', 'spam', 'merged'))
ORDER BY q.ticket_id
LIMIT $2;
