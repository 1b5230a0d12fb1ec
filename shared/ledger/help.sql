-- name: ask_for_help
-- Help for tickets, each from an instant on. What was asked for before is moved, unless it is due by `$7`: then somebody is
-- about to be told.
INSERT INTO escalation_request AS r (id, tenant, ticket_id, reason, due_at, about)
SELECT id, tenant, ticket_id, reason, due_at, about
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::timestamptz[], $6::jsonb[])
     AS k (id, tenant, ticket_id, reason, due_at, about)
ORDER BY ticket_id
ON CONFLICT (ticket_id, reason) DO UPDATE SET due_at = excluded.due_at, about = excluded.about WHERE r.due_at > $7;

-- name: withdraw_help
-- The tickets wait for something that passes by itself: what was to be asked for later is not.
DELETE FROM escalation_request WHERE ticket_id = ANY($1::uuid[]) AND reason = 'unroutable' AND due_at > $2;

-- name: find_help
-- Those of the tickets for which help was asked and not yet had, and which are the named agent's (null: whoever's). One
-- snapshot sees either the request or its escalation.
SELECT k.ticket_id FROM unnest($1::uuid[], $2::text[]) AS k (ticket_id, agent)
WHERE (EXISTS (SELECT FROM escalation_request r WHERE r.ticket_id = k.ticket_id)
   OR EXISTS (SELECT FROM escalation e
              WHERE e.ticket_id = k.ticket_id AND e.target = 'routing' AND e.state <> 'resolved'))
  AND (k.agent IS NULL
       OR EXISTS (SELECT FROM assignment a
                  WHERE a.ticket_id = k.ticket_id AND a.agent = k.agent AND a.ended_at IS NULL
                    AND a.accepted_at IS NOT NULL));

-- name: drop_help_requests
-- Nobody need be told any more; what a person asked for stands until the ticket is over (`$2`).
DELETE FROM escalation_request r USING unnest($1::uuid[], $2::boolean[]) AS k (ticket_id, is_over)
WHERE r.ticket_id = k.ticket_id AND (r.reason = 'unroutable' OR k.is_over);

-- name: resolve_help
-- Nobody is paged any more for tickets that found somebody, or are over.
WITH live AS (
    SELECT e.id, k.resolution
    FROM unnest($1::uuid[], $2::boolean[], $3::text[]) AS k (ticket_id, is_over, resolution)
    JOIN escalation e ON e.ticket_id = k.ticket_id AND e.target = 'routing'
    WHERE e.state <> 'resolved' AND (e.reason = 'unroutable' OR k.is_over)
    ORDER BY e.id FOR NO KEY UPDATE OF e
)
UPDATE escalation e
SET state = 'resolved', resolved_at = $4, next_step_at = NULL, wakes_at = NULL, wakes_for = NULL, held_for = NULL,
    resolution = live.resolution
FROM live
WHERE e.id = live.id AND e.state <> 'resolved'
RETURNING e.id, e.ticket_id, e.target, e.cycle, e.generation, e.resolution, e.acknowledged_by;
