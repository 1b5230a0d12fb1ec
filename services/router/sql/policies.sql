-- name: lock_versions
-- One change of a tenant's policy or roster at a time, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('versions of ' || $1::text, 0));

-- name: newest_policy
-- The version that was applied last; its time may still be to come.
SELECT version, source, document, applied_at, applied_by, holds_from
FROM policy_version WHERE tenant = $1 ORDER BY version DESC LIMIT 1;

-- name: policy_in_force
-- The version that new tickets get.
SELECT version, source, document, applied_at, applied_by, holds_from
FROM policy_version WHERE tenant = $1 AND (holds_from IS NULL OR holds_from <= deskclock_now())
ORDER BY version DESC LIMIT 1;

-- name: load_policy
-- One version of the policy.
SELECT version, source, document, applied_at, applied_by, holds_from
FROM policy_version WHERE tenant = $1 AND version = $2;

-- name: list_policy_versions
-- The versions of a tenant's policy, newest first, from before `$2`.
SELECT version, applied_at, applied_by, octet_length(source) AS size, holds_from
FROM policy_version WHERE tenant = $1 AND version < $2 ORDER BY version DESC LIMIT $3;

-- name: insert_policy
-- A new version of the policy.
INSERT INTO policy_version (tenant, version, source, document, applied_at, applied_by, holds_from)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: newest_roster
-- The roster that was applied last.
SELECT version, source, applied_at, applied_by
FROM roster_version WHERE tenant = $1 ORDER BY version DESC LIMIT 1;

-- name: list_roster_versions
-- The versions of a tenant's roster, newest first, from before `$2`.
SELECT version, applied_at, applied_by, octet_length(source) AS size
FROM roster_version WHERE tenant = $1 AND version < $2 ORDER BY version DESC LIMIT $3;

-- name: insert_roster
-- A new version of the roster.
INSERT INTO roster_version (tenant, version, source, applied_at, applied_by) VALUES ($1, $2, $3, $4, $5);

-- name: people_on_roster
-- Who is on the roster, and whether there is a way to reach them, but by copies.
SELECT key, EXISTS (SELECT FROM jsonb_array_elements(contacts) c WHERE c ->> 'method' <> ALL ($2::text[])) AS is_reachable
FROM agent WHERE tenant = $1 AND active;

-- name: pools_of_people
-- Who on the roster works tickets, and of which pools.
SELECT key, pools FROM agent WHERE tenant = $1 AND active AND channels <> '{}' ORDER BY key;

-- name: lock_agents_of_tenant
-- All agents of a tenant, locked in the order of their keys until the transaction ends.
SELECT key, active FROM agent WHERE tenant = $1 ORDER BY key FOR NO KEY UPDATE;

-- name: upsert_agents
-- What the roster says of people; what they do right now (status, load, last assignment) stays. Who comes, and whoever's
-- presence is known in another way from now on, begins anew: by shift or lease nothing speaks against them, and by hand they
-- have to say that they are there, unless they were.
INSERT INTO agent (tenant, key, name, skills, channels, capacity, presence, lead, contacts,
                   at_most, pools, calendar, timezone, quiet_hours, status)
SELECT $1, k.key, k.name, k.skills, string_to_array(k.channels, ','), k.capacity, k.presence, k.lead, k.contacts,
       k.at_most, string_to_array(k.pools, chr(31)), k.calendar, k.timezone, k.quiet_hours,
       CASE k.presence WHEN 'manual' THEN 'offline' ELSE 'online' END
FROM unnest($2::text[], $3::text[], $4::jsonb[], $5::text[], $6::integer[], $7::text[], $8::text[], $9::jsonb[],
            $10::jsonb[], $11::text[], $12::text[], $13::text[], $14::text[])
     AS k (key, name, skills, channels, capacity, presence, lead, contacts, at_most, pools, calendar, timezone, quiet_hours)
ORDER BY k.key
ON CONFLICT (tenant, key) DO UPDATE
SET active = true, name = excluded.name, skills = excluded.skills, channels = excluded.channels,
    capacity = excluded.capacity, presence = excluded.presence, lead = excluded.lead, contacts = excluded.contacts,
    at_most = excluded.at_most, pools = excluded.pools, calendar = excluded.calendar,
    timezone = excluded.timezone, quiet_hours = excluded.quiet_hours,
    status = CASE WHEN agent.active AND agent.presence = excluded.presence THEN agent.status
                  WHEN excluded.presence <> 'manual' THEN 'online'
                  WHEN agent.active AND deskclock_is_there(agent.status, agent.presence, agent.present_until, $15)
                  THEN 'online' ELSE 'offline' END,
    present_until = CASE WHEN agent.active AND agent.presence = excluded.presence THEN agent.present_until END,
    next_present_at = CASE WHEN agent.active AND agent.presence = excluded.presence THEN agent.next_present_at END,
    over_capacity = agent.primary_used > excluded.capacity
                    OR agent.primary_used + agent.interruptible_used > 2 * excluded.capacity;

-- name: settle_gone
-- Since when people have gone, by what was just stored of them; `$2` is now.
UPDATE agent SET gone_at = CASE WHEN deskclock_is_gone(active, status, presence, present_until, $2) THEN coalesce(gone_at, $2) END
WHERE tenant = $1 AND active
  AND (gone_at IS NULL) = deskclock_is_gone(active, status, presence, present_until, $2);

-- name: deactivate_agents
-- People who are no longer on the roster: they get no new tickets.
UPDATE agent
SET active = false, status = 'offline', present_until = NULL, next_present_at = NULL, closed_channels = '{}',
    expired_offers = 0, gone_at = coalesce(gone_at, $3)
WHERE tenant = $1 AND active AND key <> ALL($2::text[])
RETURNING key;
