-- name: newest_policy_version
-- The number of the version that new tickets get: the newest whose time has come; null where the tenant has none.
SELECT version FROM policy_version
WHERE tenant = $1 AND (holds_from IS NULL OR holds_from <= deskclock_now())
ORDER BY version DESC LIMIT 1;

-- name: load_policy_document
-- One version, as it was resolved when it was applied.
SELECT document FROM policy_version WHERE tenant = $1 AND version = $2;
