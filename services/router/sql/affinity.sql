-- name: owners_of_parents
-- Who has, or had last, the tickets from which new ones were split off.
SELECT k.id, last.agent
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS k (id, tenant, source, parent)
JOIN ticket t ON t.tenant = k.tenant AND t.source = k.source AND t.external_id = k.parent
CROSS JOIN LATERAL (
    SELECT a.agent FROM assignment a WHERE a.ticket_id = t.id AND a.accepted_at IS NOT NULL
    ORDER BY a.accepted_at DESC, a.id DESC LIMIT 1) last;

-- name: owners_of_customers
-- Who has a ticket of the same customer, or had the newest that ended since `$4`; the customer's last 20 are looked at. The
-- tickets themselves are kept for the next time.
WITH k AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) AS k (id, tenant, requester_key, since)
), kept AS (
    INSERT INTO customer_ticket (tenant, requester_key, ticket_id) SELECT tenant, requester_key, id FROM k
    ON CONFLICT DO NOTHING
)
SELECT k.id, last.agent
FROM k
CROSS JOIN LATERAL (
    SELECT a.agent
    FROM (SELECT c.ticket_id FROM customer_ticket c
          WHERE c.tenant = k.tenant AND c.requester_key = k.requester_key AND c.ticket_id <> k.id
          ORDER BY c.ticket_id DESC LIMIT 20) other
    JOIN assignment a ON a.ticket_id = other.ticket_id
    WHERE a.accepted_at IS NOT NULL AND (a.ended_at IS NULL OR a.ended_at >= k.since)
    ORDER BY a.ended_at DESC NULLS FIRST, a.accepted_at DESC, a.id DESC
    LIMIT 1) last;
