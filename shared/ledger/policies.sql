-- name: newest_policy_version
-- The number of the version that new tickets get; null where the tenant has applied none.
SELECT max(version) FROM policy_version WHERE tenant = $1;

-- name: load_policy_document
-- One version, as it was resolved when it was applied.
SELECT document FROM policy_version WHERE tenant = $1 AND version = $2;
