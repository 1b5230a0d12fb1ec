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

-- name: report_arrivals
-- Tickets opened from `$2` to `$3` by channel, what they need, and the local hour of the week; those of channel `$5`, skill `$6`
-- and pool `$7`, where these are given. None of them has an id before `$4`. `$8` says from which second on local time is
-- ahead by which of `$9`, counted so that hour 0 is that from Monday midnight on.
SELECT channel, needs, hour, count(*) AS tickets
FROM (SELECT coalesce(t.channel, 'other') AS channel, t.needs,
             (floor((date_part('epoch', t.opened_at)
                     + ($9::float8[])[width_bucket(date_part('epoch', t.opened_at), $8::float8[])]) / 3600)::bigint
              % 168)::integer AS hour
      FROM ticket t
      WHERE t.tenant = $1 AND t.id >= $4 AND t.opened_at >= $2 AND t.opened_at <= $3
        AND ($5::text IS NULL OR t.channel = $5)
        AND ($6::text IS NULL OR jsonb_path_query_array(t.needs, '$[*][0]') ? $6)
        AND ($7::text IS NULL OR t.pool = $7)
      OFFSET 0) opened  -- so that the planner doesn't take hours to be as many as tickets, and sort these
GROUP BY channel, needs, hour;

-- name: report_waits
-- Of the same tickets (`$1` to `$9` as above), those that waited. A ticket counts once for each sort (channel, needs and
-- reason) in which it did, at the hour in which it first began to, and once in all (without a channel). Rows are `hour`:
-- tickets of a sort by hour, those of them that wait yet, and units times what each waited, but not beyond how long
-- somebody has a ticket of its channel (`$10`, `$11`: seconds); `span`: tickets of a sort by the minutes they waited, rounded
-- up, from four hours on to a quarter of an hour; `other`: those that waited as what they aren't now, by the hour of
-- their opening.
WITH stretch AS (
    SELECT w.ticket_id, w.channel, w.needs, w.units, w.reason, w.since, w.until, false AS is_waiting
    FROM wait w WHERE w.tenant = $1 AND w.until >= $2
    UNION ALL
    SELECT q.ticket_id, q.channel, q.needs, q.units, q.reason, q.reason_at, greatest(q.reason_at, $3), true
    FROM queued q WHERE q.tenant = $1 AND q.reason <> 'new'
), waited AS MATERIALIZED (
    SELECT t.id AS ticket_id, s.channel, s.needs, CASE s.reason WHEN 'fragmented' THEN 'full' ELSE s.reason END AS reason,
           min(s.since) AS since, date_part('epoch', sum(s.until - s.since)) AS seconds, max(s.units) AS units,
           bool_or(s.is_waiting) AS is_waiting, min(t.opened_at) AS opened_at,
           bool_or(s.channel <> coalesce(t.channel, 'other') OR s.needs <> t.needs) AS is_other
    FROM stretch s JOIN ticket t ON t.id = s.ticket_id
    WHERE t.tenant = $1 AND t.id >= $4 AND t.opened_at >= $2 AND t.opened_at <= $3
      AND ($5::text IS NULL OR t.channel = $5)
      AND ($6::text IS NULL OR jsonb_path_query_array(t.needs, '$[*][0]') ? $6)
      AND ($7::text IS NULL OR t.pool = $7)
    GROUP BY 1, 2, 3, 4
), held AS (
    SELECT * FROM unnest($10::text[], $11::float8[]) AS h (channel, seconds)
), counted AS MATERIALIZED (
    SELECT w.channel, w.needs, w.reason, w.since, w.is_waiting, w.seconds,
           least(w.seconds, h.seconds) * w.units AS unit_seconds
    FROM waited w JOIN held h ON h.channel = w.channel
    UNION ALL
    SELECT NULL, NULL, NULL, min(w.since), bool_or(w.is_waiting), sum(w.seconds),
           least(sum(w.seconds), max(h.seconds)) * max(w.units)
    FROM waited w JOIN held h ON h.channel = w.channel GROUP BY w.ticket_id
)
SELECT 'hour' AS kind, channel, needs, reason,
       (floor((date_part('epoch', since) + ($9::float8[])[width_bucket(date_part('epoch', since), $8::float8[])])
              / 3600)::bigint % 168)::integer AS place,
       count(*) AS tickets, count(*) FILTER (WHERE is_waiting) AS waiting, sum(unit_seconds) AS unit_seconds
FROM counted GROUP BY 2, 3, 4, 5
UNION ALL
SELECT 'span', channel, needs, reason,
       CASE WHEN seconds <= 14400 THEN ceil(seconds / 60) ELSE ceil(seconds / 900) * 15 END::integer,
       count(*), NULL, NULL
FROM counted GROUP BY 2, 3, 4, 5
UNION ALL
SELECT 'other', channel, needs, NULL,
       (floor((date_part('epoch', opened_at) + ($9::float8[])[width_bucket(date_part('epoch', opened_at), $8::float8[])])
              / 3600)::bigint % 168)::integer,
       count(*), NULL, NULL
FROM (SELECT DISTINCT ticket_id, channel, needs, opened_at FROM waited WHERE is_other) o
GROUP BY 2, 3, 5;

-- name: report_holds
-- How long somebody has a ticket of each channel: the median of the last `$3` of a tenant that ended and have no id before
-- `$2`.
SELECT channel, extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY ended_at - accepted_at))::float8 AS seconds
FROM (SELECT channel, accepted_at, ended_at FROM assignment
      WHERE id >= $2 AND tenant = $1 AND ended_at > accepted_at
      ORDER BY id DESC LIMIT $3) a
GROUP BY channel;

-- name: mean_capacity
-- Units of those who work tickets, in the mean; null: nobody does.
SELECT avg(capacity)::float8 FROM agent WHERE tenant = $1 AND active AND channels <> '{}' AND capacity > 0;

-- name: policies_in_force
-- The version that the new tickets of each tenant get: of those that have a policy or a key; null: the built-in one.
SELECT k.tenant, (SELECT v.version FROM policy_version v
                  WHERE v.tenant = k.tenant AND (v.holds_from IS NULL OR v.holds_from <= deskclock_now())
                  ORDER BY v.version DESC LIMIT 1) AS version
FROM (SELECT tenant FROM policy_version UNION SELECT tenant FROM api_key WHERE revoked_at IS NULL) k
ORDER BY k.tenant
LIMIT $1;
