-- name: list_clock_calendars
-- The calendars, each with its policy version, by which the clocks of a tenant run. Looks at all running clocks: an index
-- that would spare this would cost every clock that starts and fires.
SELECT DISTINCT policy_version, calendar FROM clock WHERE tenant = $1;

-- name: widen_memory
-- Let the queries of this transaction sort and hash in memory: a report is worth a moment of it.
SELECT set_config('work_mem', '32MB', true), set_config('jit', 'off', true);

-- name: forecast_deadlines
-- Running clocks by team (else the pool) and target: how many are due by which horizon, numbered from 0 ($3 to $6),
-- later than all (as many as there are horizons), late already (-1) or paused (-2).
WITH horizon AS (
    SELECT h.policy_version, h.calendar, array_agg(coalesce(h.ends_at, 'infinity') + interval '1 microsecond' ORDER BY h.place) AS ends
    FROM unnest($3::integer[], $4::text[], $5::integer[], $6::timestamptz[]) AS h (policy_version, calendar, place, ends_at)
    GROUP BY h.policy_version, h.calendar
), counted AS (
    SELECT t.team, CASE WHEN t.team IS NULL THEN t.pool END AS pool, c.target,
           CASE WHEN c.state = 'paused' THEN -2
                WHEN c.state = 'breached' OR coalesce(c.late_from, c.due_at) < $2 THEN -1
                ELSE width_bucket(coalesce(c.late_from, c.due_at), h.ends) END AS place,
           count(*) AS clocks, min(coalesce(c.late_from, c.due_at)) AS first_at
    FROM clock c
    JOIN horizon h ON h.policy_version = c.policy_version AND h.calendar = c.calendar
    JOIN ticket t ON t.id = c.ticket_id
    WHERE c.tenant = $1
    GROUP BY t.team, pool, c.target, place
)
SELECT team, pool, target, array_agg(place) AS places, array_agg(clocks) AS clocks,
       min(first_at) FILTER (WHERE place >= 0) AS next_at
FROM counted
GROUP BY team, pool, target
ORDER BY min(first_at) NULLS LAST, team, pool, target
LIMIT $7;

-- name: next_deadlines
-- A ticket for each of the given teams (else pools), targets and instants at which a running clock of theirs is due.
SELECT DISTINCT ON (t.team, t.pool, c.target) t.team, CASE WHEN t.team IS NULL THEN t.pool END AS pool, c.target,
       t.id AS ticket_id, t.source, t.external_id
FROM clock c
JOIN ticket t ON t.id = c.ticket_id
JOIN unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[]) AS k (team, pool, target, due_at)
     ON k.target = c.target AND k.due_at = coalesce(c.late_from, c.due_at)
        AND k.team IS NOT DISTINCT FROM t.team AND (k.team IS NOT NULL OR k.pool = t.pool)
WHERE c.tenant = $1 AND c.state = 'running'
ORDER BY t.team, t.pool, c.target, t.id;

-- name: report_attainment
-- Promises whose verdict fell in [$2, $3), once each: kept when they were, broken at the deadline; grouped by what is in $4.
WITH verdict AS (
    SELECT ticket_id, target, matched, breached_at IS NULL AS is_kept, met_at, open_used, wall_used
    FROM clock_finished
    WHERE tenant = $1 AND coalesce(breached_at, met_at) >= $2 AND coalesce(breached_at, met_at) < $3
    UNION ALL
    SELECT ticket_id, target, matched, false, NULL, NULL, NULL
    FROM clock
    WHERE tenant = $1 AND breached_at >= $2 AND breached_at < $3
), labelled AS (
    SELECT CASE WHEN 'target' = ANY($4::text[]) THEN v.target END AS target,
           CASE WHEN 'channel' = ANY($4::text[]) THEN t.channel END AS channel,
           CASE WHEN 'urgency' = ANY($4::text[]) THEN t.urgency END AS urgency,
           CASE WHEN 'team' = ANY($4::text[]) THEN t.team END AS team,
           CASE WHEN 'team' = ANY($4::text[]) AND t.team IS NULL THEN t.pool END AS pool,
           CASE WHEN 'matched' = ANY($4::text[]) THEN v.matched END AS matched,
           v.is_kept, v.met_at IS NOT NULL AS is_answered,
           extract(epoch FROM v.open_used)::float8 AS open_seconds, extract(epoch FROM v.wall_used)::float8 AS wall_seconds
    FROM verdict v JOIN ticket t ON t.id = v.ticket_id
)
SELECT target, channel, urgency, team, pool, matched,
       count(*) FILTER (WHERE is_kept) AS met, count(*) FILTER (WHERE NOT is_kept) AS breached,
       count(*) FILTER (WHERE is_answered) AS answered,
       percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY open_seconds) FILTER (WHERE is_answered) AS open_seconds,
       percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY wall_seconds) FILTER (WHERE is_answered) AS wall_seconds
FROM labelled
GROUP BY target, channel, urgency, team, pool, matched
ORDER BY breached DESC, met DESC, target, channel, urgency, team, pool, matched
LIMIT $5;

-- name: policies_in_force
-- The version that the new tickets of each tenant get: of those that have a policy or a key; null: the built-in one.
SELECT k.tenant, (SELECT v.version FROM policy_version v
                  WHERE v.tenant = k.tenant AND (v.holds_from IS NULL OR v.holds_from <= deskclock_now())
                  ORDER BY v.version DESC LIMIT 1) AS version
FROM (SELECT tenant FROM policy_version UNION SELECT tenant FROM api_key WHERE revoked_at IS NULL) k
ORDER BY k.tenant
LIMIT $1;
