-- name: forget_waits
-- Delete up to `$2` waits that ended before `$1`, tenant by tenant, the oldest first; one index probe where there is none.
WITH RECURSIVE place (tenant) AS (
    (SELECT tenant FROM wait ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT following.tenant FROM place CROSS JOIN LATERAL (
        SELECT w.tenant FROM wait w WHERE w.tenant > place.tenant ORDER BY w.tenant LIMIT 1) following
), old AS (
    SELECT found.spot FROM place CROSS JOIN LATERAL (
        SELECT w.ctid AS spot FROM wait w WHERE w.tenant = place.tenant AND w.until < $1 ORDER BY w.until LIMIT $2) found
    LIMIT $2
)
DELETE FROM wait WHERE ctid = ANY (ARRAY(SELECT spot FROM old)) RETURNING 1;
