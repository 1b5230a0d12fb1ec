-- name: list_agents
-- Agents of a tenant in the order of their keys, from after `$2`; or the one whose key is `$4`. With what they have of each
-- channel, but for what is parked.
SELECT a.key, a.name, a.active, a.skills, a.channels, a.capacity, a.at_most, a.pools, a.presence, a.calendar, a.status,
       a.closed_channels, a.present_until, a.next_present_at, a.lead, a.primary_used, a.interruptible_used, a.over_capacity,
       a.last_assigned_at, held.by_channel,
       a.active AND deskclock_is_there(a.status, a.presence, a.present_until, (SELECT deskclock_now())) AS is_there
FROM agent a LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(c.channel, c.tickets) AS by_channel FROM (
        SELECT s.channel, count(*) AS tickets FROM assignment s
        WHERE s.tenant = a.tenant AND s.agent = a.key AND s.ended_at IS NULL AND s.state <> 'parked' GROUP BY s.channel) c
    ) held ON true
WHERE a.tenant = $1 AND a.key > $2 AND ($4::text IS NULL OR a.key = $4) ORDER BY a.key LIMIT $3;

-- name: save_status
-- What an agent says of being there, and of channels they don't take (null: as before); nothing comes back where there is no
-- such agent on the roster.
UPDATE agent a
SET status = $3, closed_channels = coalesce($4::text[], a.closed_channels),
    expired_offers = CASE WHEN $3 = 'online' THEN 0 ELSE a.expired_offers END,
    gone_at = CASE WHEN deskclock_is_gone(a.active, $3, a.presence, a.present_until, clock.now)
                   THEN coalesce(a.gone_at, clock.now) END
FROM (SELECT deskclock_now() AS now) clock
WHERE a.tenant = $1 AND a.key = $2 AND a.active
RETURNING 1;

-- name: save_heartbeat
-- Somebody who is known by a lease is there for `$3` from now on; `was_there`: they were before. Whose presence is known in
-- another way comes back as they are.
WITH before AS (
    SELECT tenant, key, presence = 'lease' AS has_lease,
           deskclock_is_there(status, presence, present_until, (SELECT deskclock_now())) AS was_there
    FROM agent WHERE tenant = $1 AND key = $2 AND active FOR NO KEY UPDATE
), now AS MATERIALIZED (
    SELECT deskclock_now() AS at FROM (SELECT count(*) FROM before) locked
), beaten AS (
    UPDATE agent a
    SET present_until = greatest(a.present_until, now.at + $3::interval),
        gone_at = CASE WHEN a.status = 'offline' THEN coalesce(a.gone_at, now.at) END
    FROM before b CROSS JOIN now
    WHERE a.tenant = b.tenant AND a.key = b.key AND b.has_lease
    RETURNING a.present_until, a.status
)
SELECT a.presence, b.has_lease, b.was_there, beaten.present_until, coalesce(beaten.status, a.status) AS status
FROM before b JOIN agent a ON a.tenant = b.tenant AND a.key = b.key LEFT JOIN beaten ON true;
