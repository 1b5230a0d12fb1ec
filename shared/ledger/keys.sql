-- name: insert_key
-- A new API key; of its secret only the digest is kept.
INSERT INTO api_key (id, tenant, secret_sha256, scopes, label) VALUES ($1, $2, $3, $4, $5)
RETURNING created_at;

-- name: find_key
-- The key of that id that is still valid.
SELECT id, tenant, secret_sha256, scopes FROM api_key WHERE id = $1 AND revoked_at IS NULL;

-- name: list_keys
-- All keys of a tenant, the newest first; revoked ones too.
SELECT id, label, scopes, created_at, revoked_at FROM api_key WHERE tenant = $1 ORDER BY created_at DESC, id;

-- name: revoke_key
-- Take a key back; a row only if it was valid and the tenant's own.
UPDATE api_key SET revoked_at = clock_timestamp() WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL
RETURNING id;
