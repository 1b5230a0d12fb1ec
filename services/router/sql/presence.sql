-- name: mark_gone
-- Those whose shift or lease has ended since somebody last looked have gone since then; up to `$1`. Who is locked is left to
-- the next look: a heartbeat may be coming in.
WITH ended AS (
    SELECT tenant, key FROM agent
    WHERE present_until <= (SELECT deskclock_now()) AND gone_at IS NULL
    ORDER BY present_until LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE agent a SET gone_at = a.present_until FROM ended e WHERE a.tenant = e.tenant AND a.key = e.key
RETURNING 1;

-- name: list_tenants_of_due_shifts
-- Tenants in which a shift begins.
SELECT DISTINCT tenant FROM agent WHERE next_present_at <= (SELECT deskclock_now());

-- name: list_tenants_of_shifts
-- Tenants in which people work by shifts.
SELECT DISTINCT tenant FROM agent WHERE presence = 'shift' AND active;

-- name: list_calendars_of_shifts
-- The calendars by which people of a tenant work, each with the key of the first of them.
SELECT calendar, min(key) AS key FROM agent WHERE tenant = $1 AND presence = 'shift' AND active GROUP BY calendar;

-- name: save_shifts
-- When those who work by these calendars are there, as it is at `$5`; returns who just came. With a new shift everybody
-- begins anew: what they said of themselves held until then.
WITH shift AS (
    SELECT * FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS s (calendar, until, next_at)
), moved AS (
    SELECT a.tenant, a.key, s.until, s.next_at, s.until IS NOT NULL AND coalesce(a.present_until <= $5, true) AS begins
    FROM agent a JOIN shift s ON s.calendar = a.calendar
    WHERE a.tenant = $1 AND a.active AND a.presence = 'shift'
      AND (a.next_present_at IS DISTINCT FROM s.next_at OR s.until <> coalesce(a.present_until, '-infinity')
           OR s.until IS NULL AND coalesce(a.present_until > $5, a.gone_at IS NULL))
    ORDER BY a.key FOR NO KEY UPDATE OF a
)
UPDATE agent a
SET present_until = CASE WHEN m.until IS NULL AND a.present_until <= $5 THEN a.present_until
                         WHEN m.until IS NULL AND a.present_until > $5 THEN $5 ELSE m.until END,
    next_present_at = m.next_at,
    status = CASE WHEN m.begins THEN 'online' ELSE a.status END,
    closed_channels = CASE WHEN m.begins THEN '{}' ELSE a.closed_channels END,
    expired_offers = CASE WHEN m.begins THEN 0 ELSE a.expired_offers END,
    gone_at = CASE WHEN m.until IS NULL THEN coalesce(a.gone_at, least(a.present_until, $5)) WHEN m.begins THEN NULL
                   ELSE a.gone_at END
FROM moved m WHERE a.tenant = m.tenant AND a.key = m.key
RETURNING a.key, m.begins;

-- name: list_offers_of_absent
-- Up to `$3` tickets that are offered to somebody who isn't there, or doesn't take the channel just now: of one agent, or of
-- everybody.
SELECT a.ticket_id, a.tenant
FROM assignment a JOIN agent g ON g.tenant = a.tenant AND g.key = a.agent
WHERE a.state = 'offered' AND a.ended_at IS NULL AND ($1::text IS NULL OR a.tenant = $1 AND a.agent = $2)
  AND (NOT g.active OR a.channel = ANY(g.closed_channels)
       OR NOT deskclock_is_there(g.status, g.presence, g.present_until, (SELECT deskclock_now())))
ORDER BY a.tenant, a.ticket_id LIMIT $3;

-- name: check_offers_of_absent
-- Those of the tickets, held by the caller, of which that is still so.
SELECT a.ticket_id
FROM assignment a JOIN agent g ON g.tenant = a.tenant AND g.key = a.agent
WHERE a.ticket_id = ANY($1::uuid[]) AND a.state = 'offered' AND a.ended_at IS NULL
  AND (NOT g.active OR a.channel = ANY(g.closed_channels)
       OR NOT deskclock_is_there(g.status, g.presence, g.present_until, (SELECT deskclock_now())));

-- name: list_tenants_of_gone
-- Tenants in which somebody has gone and has work, but for what was given by hand.
SELECT DISTINCT g.tenant
FROM agent g
WHERE g.gone_at <= (SELECT deskclock_now()) AND g.active
  AND EXISTS (SELECT FROM assignment a
              WHERE a.tenant = g.tenant AND a.agent = g.key AND a.ended_at IS NULL AND NOT a.by_hand);

-- name: list_work_of_gone
-- Up to `$4` tickets, from after those of agent and id (`$3`, `$6`), of those on a tenant's roster who have gone by `$2`, but for what was given by hand:
-- what decides whether somebody else is to have them. Or of these the tickets `$5`. `owes_answer`: a response is owed;
-- `is_customer_waiting`: the customer has written last, asked only where no promise tells. `is_open` is null for a ticket
-- that nobody works on any more.
WITH page AS (
    SELECT a.ticket_id, g.key, a.channel, a.interruptible, a.state = 'parked' AS is_parked,
           a.touched_at IS NOT NULL AS is_touched, g.gone_at, g.next_present_at
    FROM agent g JOIN assignment a ON a.tenant = g.tenant AND a.agent = g.key AND a.ended_at IS NULL
    WHERE g.tenant = $1 AND g.active AND g.gone_at <= $2 AND NOT a.by_hand AND a.state <> 'offered'
      AND g.key >= $3 AND (g.key > $3 OR a.ticket_id > $6) AND ($5::uuid[] IS NULL OR a.ticket_id = ANY($5::uuid[]))
    ORDER BY g.key, a.ticket_id LIMIT $4
)
SELECT p.ticket_id, p.key, p.channel, p.interruptible, p.is_parked, p.is_touched, p.gone_at, p.next_present_at, t.is_open,
       owed.due_at, owed.due_at - owed.started_at AS promised, coalesce(owed.is_answer, false) AS owes_answer,
       CASE WHEN t.status = 'open' AND NOT coalesce(owed.is_answer, false)
                 AND (p.is_parked OR p.interruptible AND p.is_touched AND p.next_present_at IS NULL)
            THEN coalesce(
                (SELECT e.data->>'by' = 'customer' FROM ticket_event e
                 WHERE e.ticket_id = p.ticket_id AND e.data->>'kind' = 'replied'
                   AND coalesce(e.data->>'public', 'true') = 'true'
                 ORDER BY e.occurred_at DESC, e.event_id DESC LIMIT 1), true)
            ELSE false END AS is_customer_waiting
FROM page p
LEFT JOIN LATERAL (
    SELECT t.status, true AS is_open FROM ticket t
    WHERE t.id = p.ticket_id AND t.status IN ('open', 'pending_customer', 'on_hold') AND t.opened_at IS NOT NULL) t ON true
LEFT JOIN LATERAL (
    SELECT c.due_at, c.started_at, c.target IN ('first_response', 'next_response') AS is_answer FROM clock c
    WHERE c.ticket_id = p.ticket_id AND c.due_at IS NOT NULL
    ORDER BY c.target NOT IN ('first_response', 'next_response'), c.due_at LIMIT 1) owed ON true
ORDER BY p.key, p.ticket_id;

-- name: measure_agents
-- Those on the roster who work tickets, by how we know whether they are there, and whether they are.
SELECT g.presence, g.state, count(*) AS agents
FROM (SELECT presence, CASE WHEN deskclock_is_there(status, presence, present_until, (SELECT deskclock_now())) THEN 'there'
                            WHEN deskclock_is_gone(active, status, presence, present_until, (SELECT deskclock_now()))
                            THEN 'gone' ELSE 'away' END AS state
      FROM agent WHERE active AND channels <> '{}') g
GROUP BY g.presence, g.state;
