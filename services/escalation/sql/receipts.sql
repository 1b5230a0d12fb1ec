-- name: load_receipted
-- A page of which a provider tells something: how to know that it is the provider.
SELECT method, secret FROM page WHERE id = $1;

-- name: save_arrival
-- A page arrived. One whose attempt had no answer yet is looked at again, at once, and concluded by what the receipt said.
UPDATE page p
SET delivered_at = coalesce(p.delivered_at, $2), verify_by = NULL, provider_id = coalesce(p.provider_id, $3),
    accepted_at = CASE WHEN p.state = 'pending' THEN coalesce(p.accepted_at, $2) ELSE p.accepted_at END,
    receipt = CASE WHEN p.state IN ('pending', 'sending') THEN $4::jsonb END,
    next_attempt_at = CASE WHEN p.state = 'pending' THEN $2::timestamptz ELSE p.next_attempt_at END,
    deferred_until = CASE WHEN p.state <> 'pending' THEN p.deferred_until END,
    deferred_for = CASE WHEN p.state <> 'pending' THEN p.deferred_for END
FROM (SELECT id, accepted_at, delivered_at FROM page WHERE id = $1 FOR NO KEY UPDATE) was
WHERE p.id = was.id AND p.attempts >= $5
RETURNING was.accepted_at, was.delivered_at IS NULL AS is_news;

-- name: save_progress
-- A provider has a page and works on it: one whose attempt had no answer is not sent again, and a phone that rings is
-- given time to be answered.
UPDATE page
SET provider_id = coalesce(provider_id, $3),
    receipt = CASE WHEN state IN ('pending', 'sending') THEN $4::jsonb END,
    next_attempt_at = CASE WHEN state = 'pending' THEN $2::timestamptz ELSE next_attempt_at END,
    deferred_until = CASE WHEN state <> 'pending' THEN deferred_until END,
    deferred_for = CASE WHEN state <> 'pending' THEN deferred_for END,
    verify_by = CASE WHEN verify_by IS NOT NULL THEN greatest(verify_by, $6) END
WHERE id = $1 AND attempts = $5 AND delivered_at IS NULL AND state IN ('pending', 'sending', 'accepted')
  AND NOT coalesce(receipt ->> 'result' = 'rejected', false);

-- name: save_loss
-- A page that was accepted will not arrive: it is looked at again, at once, and concluded as rejected (R35, R37). So are
-- those that it names, unless another way told of them.
WITH lost AS (
    UPDATE page
    SET verify_by = NULL, receipt = $3, provider_id = CASE WHEN state = 'sending' THEN provider_id END,
        state = CASE WHEN state = 'accepted' THEN 'pending' ELSE state END,
        next_attempt_at = CASE WHEN state = 'accepted' THEN $2::timestamptz ELSE next_attempt_at END
    WHERE id = $1 AND attempts = $4 AND delivered_at IS NULL AND state IN ('accepted', 'sending') AND kind NOT IN ('resolve', 'copy')
    RETURNING id, group_id, CASE WHEN escalation_id IS NULL THEN coalesce(told_by, id) END AS root
), untold AS (
    UPDATE page m SET state = 'grouped', accepted_at = NULL
    FROM lost
    WHERE m.group_id = lost.group_id AND m.told_by = lost.root AND m.escalation_id IS NOT NULL AND m.state = 'accepted'
      AND NOT EXISTS (
          SELECT FROM page o
          WHERE o.group_id = lost.group_id AND o.escalation_id IS NULL AND o.id <> lost.id AND o.state = 'accepted'
            AND o.kind IN ('summary', 'digest') AND lost.root IN (o.id, o.told_by))
)
SELECT id FROM lost;

-- name: note_receipt
-- What a receipt said of an attempt, unless it is known to have arrived, or is still in flight.
UPDATE page_attempt SET outcome = $3, detail = coalesce($4, detail)
WHERE page_id = $1 AND n = $2 AND outcome IS NOT NULL AND outcome <> 'delivered';

-- name: take_unverified
-- Pages that were accepted, and of which nobody says that they arrived: their next contact is tried beside them (section 2).
WITH late AS (
    SELECT p.id FROM page p
    WHERE p.verify_by <= $1
    ORDER BY p.verify_by
    LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE page p
    SET verify_by = NULL, fallback_at = CASE WHEN p.evidence ? 'fallback' AND p.state = 'accepted' THEN $1::timestamptz END
    FROM late
    WHERE p.id = late.id
    RETURNING p.id, p.method, p.attempts
), noted AS (
    UPDATE page_attempt a SET detail = concat_ws('; ', a.detail, $3::text)
    FROM taken WHERE a.page_id = taken.id AND a.n = taken.attempts
)
SELECT method, count(*) AS pages FROM taken GROUP BY method;
