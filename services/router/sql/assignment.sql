-- name: open_run
-- Lock a pool for one matching run (`$3`), and see whether there is anything to do: probes of indexes, and the units that
-- its agents who are there have free for real-time work, for interruptible work, and for what is bound on arrival, where it is enough
-- for the smallest piece of it (`$4`, `$5`).
SELECT pg_try_advisory_xact_lock($3) AS is_mine,
       deskclock_now() AS now,
       coalesce((SELECT dirty FROM pool WHERE tenant = $1 AND name = $2), 0) AS dirty,
       (SELECT true FROM queued WHERE tenant = $1 AND pool = $2 ORDER BY signature LIMIT 1) AS has_waiting,
       (SELECT true FROM queued WHERE tenant = $1 AND guest_of = $2 ORDER BY signature LIMIT 1) AS has_guests,
       (SELECT true FROM queued WHERE tenant = $1 AND pool = $2 AND reason = 'new' LIMIT 1) AS has_new,
       (SELECT latest_start_at FROM queued WHERE tenant = $1 AND pool = $2 AND band = 1
        ORDER BY latest_start_at LIMIT 1) AS next_late_at,
       (SELECT rescue_at FROM queued WHERE tenant = $1 AND pool = $2 AND band = 2
        ORDER BY rescue_at LIMIT 1) AS next_rescue_at,
       (SELECT relax_at[1] FROM queued WHERE tenant = $1 AND pool = $2 AND relax_at <> '{}'
        ORDER BY relax_at[1] LIMIT 1) AS next_relax_at,
       (SELECT overflow_at FROM queued WHERE tenant = $1 AND pool = $2 AND overflow_pool IS NOT NULL
        AND guest_of IS NULL ORDER BY overflow_at LIMIT 1) AS next_overflow_at,
       coalesce(free.real_time, 0)::bigint AS real_time, coalesce(free.interruptible, 0)::bigint AS interruptible,
       coalesce(free.at_once, 0)::bigint AS at_once
FROM (SELECT sum(capacity - primary_used) FILTER (WHERE capacity - primary_used >= $4) AS real_time,
             sum(capacity - primary_used - interruptible_used)
                 FILTER (WHERE capacity - primary_used - interruptible_used >= $5) AS interruptible,
             sum(2 * capacity - primary_used - interruptible_used)
                 FILTER (WHERE 2 * capacity - primary_used - interruptible_used >= $5) AS at_once
      FROM agent
      WHERE tenant = $1 AND active AND deskclock_is_there(status, presence, present_until, (SELECT deskclock_now()))
        AND calls = 0 AND NOT over_capacity AND (pools = '{}' OR $2 = ANY (pools))) free;

-- name: mark_dirty
-- Tell whoever holds the pool that something changed, so that it runs again.
INSERT INTO pool AS p (tenant, name, dirty) VALUES ($1, $2, 1)
ON CONFLICT (tenant, name) DO UPDATE SET dirty = p.dirty + 1;

-- name: load_dirty
-- How often somebody found the pool locked.
SELECT coalesce((SELECT dirty FROM pool WHERE tenant = $1 AND name = $2), 0);

-- name: advance_bands
-- Savable tickets whose latest start has passed become late, late ones whose rescue has come are rescued.
WITH late AS (
    SELECT ticket_id FROM queued WHERE tenant = $1 AND pool = $2 AND band = 1 AND latest_start_at < $3
    ORDER BY latest_start_at LIMIT $4 FOR UPDATE SKIP LOCKED
), lost AS (
    SELECT ticket_id FROM queued WHERE tenant = $1 AND pool = $2 AND band = 2 AND rescue_at < $3
    ORDER BY rescue_at LIMIT $4 FOR UPDATE SKIP LOCKED
)
UPDATE queued q
SET band = CASE WHEN q.rescue_at < $3 THEN 0 ELSE 2 END,
    order_rank = CASE WHEN q.rescue_at < $3 THEN 0 ELSE q.urgency_rank END,
    order_at = CASE WHEN q.rescue_at < $3 THEN q.rescue_at ELSE q.due_at END
FROM (SELECT ticket_id FROM late UNION ALL SELECT ticket_id FROM lost) due
WHERE q.ticket_id = due.ticket_id
RETURNING 1;

-- name: load_heads
-- The first tickets of each signature: up to `$3` of real-time work, `$4` of interruptible work, and about `$5` in all; and
-- one more than that (`depth`) where there are more.
-- Signatures are found by one index probe each, up to `$8` of them from after `$7`; all of one are the same kind of work, so
-- the first one tells. `following` is the last one where there may be more. A signature of which nothing is wanted has one
-- row without a ticket.
WITH RECURSIVE kind (signature, interruptible, n) AS (
    (SELECT signature, interruptible, 1 FROM queued
     WHERE tenant = $1 AND pool = $2 AND signature > $7::bigint ORDER BY signature LIMIT 1)
    UNION ALL
    SELECT following.signature, following.interruptible, kind.n + 1 FROM kind CROSS JOIN LATERAL (
        SELECT q.signature, q.interruptible FROM queued q
        WHERE q.tenant = $1 AND q.pool = $2 AND q.signature > kind.signature ORDER BY q.signature LIMIT 1) following
    WHERE kind.n < $8::integer
), share AS (
    SELECT greatest($6::bigint, $5::bigint / greatest(count(*), 1)) AS n FROM kind
), page AS (
    SELECT signature, least(CASE WHEN interruptible THEN $4::bigint ELSE $3::bigint END, share.n) AS depth
    FROM kind CROSS JOIN share
)
SELECT head.ticket_id, head.channel, head.units, head.interruptible, head.needs, head.prefers, head.signature,
       head.queued_at, head.band, head.order_rank, head.order_at, head.previous_owner, head.affinity_until, head.excluded,
       head.reason, page.depth, (SELECT max(signature) FROM kind HAVING count(*) >= $8) AS following
FROM page LEFT JOIN LATERAL (
    SELECT q.ticket_id, q.channel, q.units, q.interruptible, q.needs, q.prefers, q.signature, q.queued_at, q.band,
           q.order_rank, q.order_at, q.previous_owner, q.affinity_until, q.excluded, q.reason
    FROM queued q
    WHERE q.tenant = $1 AND q.pool = $2 AND q.signature = page.signature
    ORDER BY q.band, q.order_rank, q.order_at, q.queued_at, q.ticket_id
    LIMIT page.depth + sign(page.depth)::bigint
) head ON true;

-- name: load_new
-- Tickets that no matching run has judged yet.
SELECT q.ticket_id, q.channel, q.units, q.interruptible, q.needs, q.prefers, q.signature, q.queued_at, q.band,
       q.order_rank, q.order_at, q.previous_owner, q.affinity_until, q.excluded, q.reason
FROM queued q
WHERE q.tenant = $1 AND q.pool = $2 AND q.reason = 'new'
LIMIT $3;

-- name: load_desks
-- Everybody who works tickets of a pool (`$2`); those who may get some now (`$3`: even where they are busy) are locked, in
-- the order of their keys. What is said of them is what holds once they are locked, not what held before the wait.
WITH held AS (
    SELECT key, skills, channels, capacity, primary_used, interruptible_used, calls, last_assigned_at, closed_channels,
           at_most, status, presence, present_until
    FROM agent
    WHERE tenant = $1 AND active AND deskclock_is_there(status, presence, present_until, (SELECT deskclock_now()))
      AND calls = 0 AND (primary_used < capacity OR $3) AND channels <> '{}' AND (pools = '{}' OR $2 = ANY (pools))
    ORDER BY key FOR NO KEY UPDATE
), since AS MATERIALIZED (
    SELECT deskclock_now() AS now FROM (SELECT count(*) FROM held) locked
)
SELECT a.key, coalesce(held.skills, a.skills) AS skills, coalesce(held.channels, a.channels) AS channels,
       coalesce(held.capacity, a.capacity) AS capacity, held.key IS NOT NULL AS is_held,
       CASE WHEN held.key IS NULL
            THEN deskclock_is_there(a.status, a.presence, a.present_until, (SELECT now FROM since))
            ELSE deskclock_is_there(held.status, held.presence, held.present_until, (SELECT now FROM since)) END AS is_online,
       coalesce(held.primary_used, a.primary_used) AS primary_used,
       coalesce(held.interruptible_used, a.interruptible_used) AS interruptible_used,
       coalesce(held.calls, a.calls) AS calls,
       coalesce(held.last_assigned_at, a.last_assigned_at) AS last_assigned_at,
       coalesce(held.closed_channels, a.closed_channels) AS closed_channels, coalesce(held.at_most, a.at_most) AS at_most
FROM agent a LEFT JOIN held ON held.key = a.key
WHERE a.tenant = $1 AND a.active AND a.channels <> '{}' AND (a.pools = '{}' OR $2 = ANY (a.pools));

-- name: count_held
-- How many tickets of these channels (`$2`) each agent has, or is offered; to be asked once the agents are locked. What is
-- parked doesn't count.
SELECT agent, channel, count(*) AS tickets FROM assignment
WHERE tenant = $1 AND ended_at IS NULL AND state <> 'parked' AND channel = ANY($2::text[])
GROUP BY agent, channel;

-- name: take
-- Take chosen tickets out of the queue; returns those that are to be given. A ticket that somebody else is changing, or
-- that isn't what it was when it was read, is passed over; one that has an owner already is only taken out. What they
-- waited for until now (`$8`) is kept.
WITH chosen AS (
    SELECT * FROM unnest($3::uuid[], $4::text[], $5::bigint[], $6::integer[], $7::boolean[])
         AS c (ticket_id, agent, signature, units, interruptible)
), free AS (
    SELECT q.ticket_id, q.is_asked, q.was_cleared, q.pool <> $2 AS is_guest,
           EXISTS (SELECT FROM assignment a WHERE a.ticket_id = q.ticket_id AND a.ended_at IS NULL) AS has_owner
    FROM queued q JOIN chosen c ON c.ticket_id = q.ticket_id
    WHERE q.signature = c.signature AND q.units = c.units AND q.interruptible = c.interruptible
      AND q.tenant = $1 AND (q.pool = $2 OR q.guest_of = $2) AND NOT c.agent = ANY (q.excluded)
    FOR UPDATE OF q SKIP LOCKED
), taken AS (
    DELETE FROM queued q USING free WHERE q.ticket_id = free.ticket_id
    RETURNING q.tenant, q.ticket_id, q.pool, q.channel, q.needs, q.units, q.reason, q.reason_at
), waited AS (
    INSERT INTO wait (tenant, ticket_id, pool, channel, needs, units, reason, since, until)
    SELECT tenant, ticket_id, pool, channel, needs, units, reason, reason_at, greatest(reason_at, $8) FROM taken
    WHERE reason <> 'new'
)
SELECT t.id, t.source, t.external_id, free.is_asked, free.was_cleared, free.is_guest, t.matched IS NOT NULL AS is_promised
FROM free JOIN ticket t ON t.id = free.ticket_id WHERE NOT free.has_owner;

-- name: add_loads
-- Add what agents were given to their loads; `last_assigned_at` keeps whose turn it was last.
UPDATE agent a
SET primary_used = a.primary_used + n.primary_units, interruptible_used = a.interruptible_used + n.interruptible_units,
    calls = a.calls + n.calls, last_assigned_at = n.stamp
FROM unnest($2::text[], $3::integer[], $4::integer[], $5::integer[], $6::timestamptz[])
     AS n (key, primary_units, interruptible_units, calls, stamp)
WHERE a.tenant = $1 AND a.key = n.key;

-- name: save_reasons
-- Why tickets still wait, where that changed at `$3`; returns those for which help is asked, or was.
WITH told AS (
    SELECT q.ticket_id, n.reason, q.reason AS was, q.reason_at AS since, q.is_asked
    FROM unnest($1::uuid[], $2::text[]) AS n (ticket_id, reason) JOIN queued q ON q.ticket_id = n.ticket_id
    WHERE q.reason <> n.reason
    FOR UPDATE OF q SKIP LOCKED
), changed AS (
    UPDATE queued q SET reason = told.reason, reason_at = $3,
                        is_asked = q.is_asked OR told.reason IN ('no_skill', 'offline', 'excluded')
    FROM told WHERE q.ticket_id = told.ticket_id
    RETURNING q.tenant, q.ticket_id, q.pool, q.channel, q.needs, q.units, q.reason, q.latest_start_at, q.was_cleared,
              cardinality(q.excluded) AS declined, told.was, told.since, told.is_asked
), waited AS (
    INSERT INTO wait (tenant, ticket_id, pool, channel, needs, units, reason, since, until)
    SELECT tenant, ticket_id, pool, channel, needs, units, was, since, greatest(since, $3) FROM changed
    WHERE was <> 'new'
)
SELECT c.ticket_id, c.reason, c.channel, c.needs, c.latest_start_at, c.was_cleared, c.declined, c.is_asked,
       t.source, t.external_id
FROM changed c JOIN ticket t ON t.id = c.ticket_id
WHERE c.is_asked OR c.reason IN ('no_skill', 'offline', 'excluded');

-- name: spread_reasons
-- The same for the tickets deeper in the queue, which wait for what the first of their signature wait for; returns all
-- that changed.
WITH clock AS MATERIALIZED (
    SELECT deskclock_now() AS now
), told AS (
    SELECT q.ticket_id, n.reason, q.was, q.since, q.is_asked
    FROM unnest($3::bigint[], $4::integer[], $5::boolean[], $6::text[]) AS n (signature, units, interruptible, reason)
    CROSS JOIN LATERAL (
        SELECT d.ticket_id, d.reason AS was, d.reason_at AS since, d.is_asked FROM queued d
        WHERE d.tenant = $1 AND d.pool = $2 AND d.signature = n.signature AND d.units = n.units
          AND d.interruptible = n.interruptible AND d.excluded = '{}' AND d.previous_owner IS NULL
          AND d.reason <> n.reason
          AND (n.reason <> 'no_skill' OR d.overflow_pool IS NULL AND d.relax_at = '{}')
        LIMIT $7 FOR UPDATE SKIP LOCKED) q
    LIMIT $7
), changed AS (
    UPDATE queued q SET reason = told.reason, reason_at = clock.now,
                        is_asked = q.is_asked OR told.reason IN ('no_skill', 'offline', 'excluded')
    FROM told CROSS JOIN clock
    WHERE q.ticket_id = told.ticket_id
    RETURNING q.tenant, q.ticket_id, q.pool, q.channel, q.needs, q.units, q.reason, q.latest_start_at, q.was_cleared,
              cardinality(q.excluded) AS declined, told.was, told.since, told.is_asked, clock.now
), waited AS (
    INSERT INTO wait (tenant, ticket_id, pool, channel, needs, units, reason, since, until)
    SELECT tenant, ticket_id, pool, channel, needs, units, was, since, greatest(since, now) FROM changed
    WHERE was <> 'new'
)
SELECT c.ticket_id, c.reason, c.channel, c.needs, c.latest_start_at, c.was_cleared, c.declined, c.is_asked,
       t.source, t.external_id
FROM changed c JOIN ticket t ON t.id = c.ticket_id;

-- name: list_waiting_pools
-- Pools in which somebody waits, and those whose agents may take one of another pool: one index probe for each and one
-- where nobody does.
WITH RECURSIVE place (tenant, pool) AS (
    (SELECT tenant, pool FROM queued ORDER BY tenant, pool LIMIT 1)
    UNION ALL
    SELECT following.tenant, following.pool FROM place CROSS JOIN LATERAL (
        SELECT q.tenant, q.pool FROM queued q WHERE (q.tenant, q.pool) > (place.tenant, place.pool)
        ORDER BY q.tenant, q.pool LIMIT 1) following
), host (tenant, pool) AS (
    (SELECT tenant, guest_of FROM queued WHERE guest_of IS NOT NULL ORDER BY tenant, guest_of LIMIT 1)
    UNION ALL
    SELECT following.tenant, following.guest_of FROM host CROSS JOIN LATERAL (
        SELECT q.tenant, q.guest_of FROM queued q
        WHERE q.guest_of IS NOT NULL AND (q.tenant, q.guest_of) > (host.tenant, host.pool)
        ORDER BY q.tenant, q.guest_of LIMIT 1) following
)
SELECT tenant, pool FROM place UNION SELECT tenant, pool FROM host;

-- name: list_pools_of_agents
-- The pools that agents (`$2`) of a tenant take tickets of and in which somebody waits for them.
SELECT p.pool FROM deskclock_waiting_pools($1) AS p (pool)
WHERE EXISTS (SELECT FROM agent a WHERE a.tenant = $1 AND a.key = ANY ($2::text[])
                                    AND (a.pools = '{}' OR p.pool = ANY (a.pools)));

-- name: lock_agents
-- Hold agents' loads still, in the order of their keys.
SELECT key FROM agent WHERE (tenant, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY tenant, key FOR NO KEY UPDATE;

-- name: reconcile_loads
-- Set the loads of agents (locked before, by another statement) to what their assignments add up to but for what is parked,
-- where they differ; returns by how many units they did.
WITH counted AS (
    SELECT h.tenant, h.key, h.primary_used, h.interruptible_used, h.calls, h.capacity,
           coalesce(sum(s.units) FILTER (WHERE NOT s.interruptible), 0)::integer AS primary_real,
           coalesce(sum(s.units) FILTER (WHERE s.interruptible), 0)::integer AS interruptible_real,
           count(s.ticket_id) FILTER (WHERE s.channel = 'phone')::integer AS calls_real
    FROM agent h LEFT JOIN assignment s ON s.tenant = h.tenant AND s.agent = h.key AND s.ended_at IS NULL
                                AND s.state <> 'parked'
    WHERE (h.tenant, h.key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
    GROUP BY h.tenant, h.key
)
UPDATE agent a
SET primary_used = c.primary_real, interruptible_used = c.interruptible_real, calls = c.calls_real,
    over_capacity = c.primary_real > c.capacity OR c.primary_real + c.interruptible_real > 2 * c.capacity
FROM counted c
WHERE a.tenant = c.tenant AND a.key = c.key
  AND (c.primary_used, c.interruptible_used, c.calls) <> (c.primary_real, c.interruptible_real, c.calls_real)
RETURNING abs(c.primary_used - c.primary_real) + abs(c.interruptible_used - c.interruptible_real) AS units;

-- name: list_drifted
-- Agents whose load isn't the sum of their active assignments, as far as one snapshot tells.
SELECT a.tenant, a.key
FROM agent a
LEFT JOIN (SELECT tenant, agent, coalesce(sum(units) FILTER (WHERE NOT interruptible), 0) AS primary_real,
                  coalesce(sum(units) FILTER (WHERE interruptible), 0) AS interruptible_real,
                  count(*) FILTER (WHERE channel = 'phone') AS calls_real
           FROM assignment WHERE ended_at IS NULL AND state <> 'parked' GROUP BY tenant, agent) s ON s.tenant = a.tenant AND s.agent = a.key
WHERE (a.primary_used, a.interruptible_used, a.calls)
   <> (coalesce(s.primary_real, 0), coalesce(s.interruptible_real, 0), coalesce(s.calls_real, 0));

-- name: list_stranded
-- Open tickets that neither wait in the queue nor are anybody's: up to `$1` of what should never be.
SELECT t.tenant, t.source, t.external_id
FROM ticket t
WHERE t.status IN ('open', 'pending_customer', 'on_hold') AND t.opened_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM queued q WHERE q.ticket_id = t.id)
  AND NOT EXISTS (SELECT FROM assignment a WHERE a.ticket_id = t.id AND a.ended_at IS NULL)
LIMIT $1;

-- name: hold_tickets_of_leavers
-- Open tickets of those of a tenant's agents who are not among `$2`, locked in the order of their ids.
SELECT t.id
FROM agent g
JOIN assignment a ON a.tenant = g.tenant AND a.agent = g.key AND a.ended_at IS NULL
JOIN ticket t ON t.id = a.ticket_id
WHERE g.tenant = $1 AND g.active AND g.key <> ALL($2::text[])
ORDER BY t.id
FOR NO KEY UPDATE OF t;

-- name: hold_left
-- Up to `$3` open tickets of the agents `$2` of a tenant who have left the roster, or of everybody who ever did but for what
-- was given by hand; locked, and without those that somebody is changing.
SELECT t.id
FROM agent g
JOIN assignment a ON a.tenant = g.tenant AND a.agent = g.key AND a.ended_at IS NULL
JOIN ticket t ON t.id = a.ticket_id
WHERE NOT g.active AND ($1::text IS NULL AND NOT a.by_hand OR g.tenant = $1 AND g.key = ANY($2::text[]))
  AND t.status IN ('open', 'pending_customer', 'on_hold') AND t.opened_at IS NOT NULL
ORDER BY t.id
LIMIT $3
FOR NO KEY UPDATE OF t SKIP LOCKED;
