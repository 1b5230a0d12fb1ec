-- name: load_tenures
-- How agents have the given tickets; whoever holds the tickets' rows may rely on it.
SELECT id, ticket_id, tenant, agent, pool, channel, units, interruptible, by_hand, state, assigned_at, accepted_at,
       touched_at, offered_until, act_by, park_at, queued_at, excluded, was_cleared
FROM assignment WHERE ticket_id = ANY($1::uuid[]) AND ended_at IS NULL;

-- name: save_tenures
-- What became of assignments that go on.
UPDATE assignment a
SET state = k.state, accepted_at = k.accepted_at, touched_at = k.touched_at, offered_until = k.offered_until,
    act_by = k.act_by, park_at = k.park_at
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
            $7::timestamptz[])
     AS k (id, state, accepted_at, touched_at, offered_until, act_by, park_at)
WHERE a.id = k.id AND a.ended_at IS NULL;

-- name: claim_due_tenures
-- Tickets whose assignment has a timer that has come, the longest overdue first, locked; without those that somebody else
-- holds, and those of `$2`.
SELECT t.id
FROM assignment a JOIN ticket t ON t.id = a.ticket_id
WHERE a.next_at <= (SELECT deskclock_now()) AND t.id <> ALL($2::uuid[])
ORDER BY a.next_at
LIMIT $1
FOR NO KEY UPDATE OF t SKIP LOCKED;

-- name: list_replaceable
-- Those of the tickets that somebody else on the roster could have: not whoever has one now, nor who declined it.
SELECT t.id
FROM ticket t JOIN assignment a ON a.ticket_id = t.id AND a.ended_at IS NULL
WHERE t.id = ANY($1::uuid[]) AND EXISTS (
    SELECT FROM agent g
    WHERE g.tenant = t.tenant AND g.active AND g.key <> a.agent AND g.key <> ALL (a.excluded)
      AND a.channel = ANY (g.channels) AND (g.pools = '{}' OR t.pool = ANY (g.pools))
      AND NOT EXISTS (SELECT FROM jsonb_array_elements(t.needs) n
                      WHERE coalesce((g.skills ->> (n.value ->> 0))::integer, 0) < (n.value ->> 1)::integer));

-- name: load_rooms
-- What agents (locked before) can take; `held` counts what takes room, by channel.
SELECT a.tenant, a.key, a.capacity, a.primary_used, a.interruptible_used, a.calls, a.closed_channels, a.at_most,
       a.active AND deskclock_is_there(a.status, a.presence, a.present_until, $3) AS is_there,
       (SELECT coalesce(jsonb_object_agg(h.channel, h.n), '{}')
        FROM (SELECT s.channel, count(*) AS n FROM assignment s
              WHERE s.tenant = a.tenant AND s.agent = a.key AND s.ended_at IS NULL AND s.state <> 'parked'
              GROUP BY s.channel) h) AS held
FROM agent a
WHERE (a.tenant, a.key) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- name: count_parked
-- How much each of these agents has parked.
SELECT tenant, agent, count(*) AS n
FROM assignment
WHERE (tenant, agent) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND ended_at IS NULL AND state = 'parked'
GROUP BY tenant, agent;

-- name: note_answers
-- Agents who answered an offer: what lapsed before doesn't count any more.
UPDATE agent SET expired_offers = 0
WHERE (tenant, key) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND expired_offers > 0;

-- name: note_expiries
-- Agents whose offers lapsed (`$3` of them); who lets `$4` lapse in a row counts as away, and is returned.
UPDATE agent a
SET expired_offers = CASE WHEN a.expired_offers + k.n >= k.most THEN 0 ELSE a.expired_offers + k.n END,
    status = CASE WHEN a.expired_offers + k.n >= k.most AND a.status = 'online' THEN 'away' ELSE a.status END
FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[]) AS k (tenant, key, n, most)
JOIN agent b ON b.tenant = k.tenant AND b.key = k.key
WHERE a.tenant = k.tenant AND a.key = k.key
RETURNING a.tenant, a.key, b.status = 'online' AND a.status = 'away' AS is_away;

-- name: measure_tenures
-- How many assignments stand in each state, by pool.
SELECT pool, state, count(*) AS n FROM assignment WHERE ended_at IS NULL GROUP BY pool, state;
