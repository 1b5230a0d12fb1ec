-- name: owners_of_parents
-- Who has, or had last, the tickets from which new ones were split off.
SELECT k.id, last.agent
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS k (id, tenant, source, parent)
JOIN ticket t ON t.tenant = k.tenant AND t.source = k.source AND t.external_id = k.parent
CROSS JOIN LATERAL (
    SELECT a.agent FROM assignment a WHERE a.ticket_id = t.id AND a.accepted_at IS NOT NULL
    ORDER BY a.accepted_at DESC, a.id DESC LIMIT 1) last;

-- name: owners_of_customers
-- Who has a ticket of the same customer, or had the newest that ended since `$4`; the customer's last 20 are looked at.
SELECT k.id, last.agent
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) AS k (id, tenant, requester_key, since)
CROSS JOIN LATERAL (
    SELECT a.agent
    FROM (SELECT t.id FROM ticket t WHERE t.tenant = k.tenant AND t.requester_key = k.requester_key AND t.id <> k.id
          ORDER BY t.id DESC LIMIT 20) other
    JOIN assignment a ON a.ticket_id = other.id
    WHERE a.accepted_at IS NOT NULL AND (a.ended_at IS NULL OR a.ended_at >= k.since)
    ORDER BY a.ended_at DESC NULLS FIRST, a.accepted_at DESC, a.id DESC
    LIMIT 1) last;
