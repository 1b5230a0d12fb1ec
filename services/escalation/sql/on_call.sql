-- name: lock_rotation
-- Overrides and imports of one rotation are made one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('on call ' || $1::text || '/' || $2::text, 0));

-- name: policy_version_at
-- The version that said who is on call at an instant; null where none held yet.
SELECT version FROM policy_version
WHERE tenant = $1 AND applied_at <= $2 AND (holds_from IS NULL OR holds_from <= $2)
ORDER BY version DESC LIMIT 1;

-- name: tenants_with_policies
-- Everybody who may have rotations.
SELECT DISTINCT tenant FROM policy_version ORDER BY tenant;

-- name: load_overrides
-- Overrides of rotations, given as (tenant, name), that are between two instants; one taken back ended when it was.
SELECT o.tenant, o.rotation, o.id, o.person, o.starts_at, least(o.ends_at, o.withdrawn_at) AS ends_at,
       o.made_at, o.made_by, o.withdrawn_at IS NOT NULL AS is_withdrawn
FROM on_call_override o
JOIN unnest($1::text[], $2::text[]) AS k (tenant, rotation) ON (o.tenant, o.rotation) = (k.tenant, k.rotation)
WHERE o.ends_at > $3 AND o.starts_at < $4 AND o.starts_at < coalesce(o.withdrawn_at, o.ends_at)
  AND least(o.ends_at, o.withdrawn_at) > $3
ORDER BY o.starts_at, o.made_at, o.id;

-- name: load_imported
-- Shifts of imported rotations, given as (tenant, name), that are between two instants.
SELECT s.tenant, s.rotation, s.person, s.starts_at, s.ends_at
FROM on_call_shift s
JOIN unnest($1::text[], $2::text[]) AS k (tenant, rotation) ON (s.tenant, s.rotation) = (k.tenant, k.rotation)
WHERE s.ends_at > $3 AND s.starts_at < $4
ORDER BY s.starts_at;

-- name: load_feeds
-- How imports of rotations, given as (tenant, name), stand.
SELECT f.tenant, f.rotation, f.fetched_at, f.tried_at, f.failure, f.version, f.until_at
FROM on_call_feed f
JOIN unnest($1::text[], $2::text[]) AS k (tenant, rotation) ON (f.tenant, f.rotation) = (k.tenant, k.rotation);

-- name: insert_override
-- Somebody is on call in place of whose turn it is.
INSERT INTO on_call_override (id, tenant, rotation, person, starts_at, ends_at, made_at, made_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: count_overrides
-- How many overrides of a rotation have not ended yet.
SELECT count(*) FROM on_call_override
WHERE tenant = $1 AND rotation = $2 AND ends_at > $3 AND withdrawn_at IS NULL;

-- name: get_override
-- One override of a rotation, ended or not.
SELECT tenant, rotation, id, person, starts_at, least(ends_at, withdrawn_at) AS ends_at, made_at, made_by,
       withdrawn_at IS NOT NULL AS is_withdrawn
FROM on_call_override WHERE tenant = $1 AND rotation = $2 AND id = $3;

-- name: withdraw_override
-- An override ends at once; what it was until then stays (R26).
UPDATE on_call_override SET withdrawn_at = $4
WHERE tenant = $1 AND rotation = $2 AND id = $3 AND withdrawn_at IS NULL AND ends_at > $4;

-- name: get_person
-- Somebody of the roster, active or not.
SELECT key, name, contacts, active FROM agent WHERE tenant = $1 AND key = $2;

-- name: names_on_roster
-- What people of the roster may be called in a calendar.
SELECT key, name, contacts FROM agent WHERE tenant = $1 AND active;

-- name: save_feed_failure
-- An import went wrong: what was imported before stays (R25).
INSERT INTO on_call_feed (tenant, rotation, tried_at, failure) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, rotation) DO UPDATE SET tried_at = excluded.tried_at, failure = excluded.failure;

-- name: save_feed
-- An import went well; its version is counted up where it brought another plan.
INSERT INTO on_call_feed (tenant, rotation, fetched_at, tried_at, failure, version, until_at)
VALUES ($1, $2, $3, $3, NULL, 1, $4)
ON CONFLICT (tenant, rotation) DO UPDATE
SET fetched_at = excluded.fetched_at, tried_at = excluded.tried_at, failure = NULL, until_at = excluded.until_at,
    version = on_call_feed.version + CASE WHEN $5::boolean THEN 1 ELSE 0 END
RETURNING version;

-- name: delete_imported
-- Shifts that an import replaces, and those too old to be asked for.
DELETE FROM on_call_shift WHERE tenant = $1 AND rotation = $2 AND (ends_at > $3 OR ends_at <= $4);

-- name: insert_imported
-- Shifts of one rotation.
INSERT INTO on_call_shift (tenant, rotation, person, starts_at, ends_at)
SELECT $1, $2, person, starts_at, ends_at
FROM unnest($3::text[], $4::timestamptz[], $5::timestamptz[]) AS k (person, starts_at, ends_at);
