-- name: hold_models
-- One at a time adds models of a tenant or changes which are used, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('models of ' || $1::text, 0));

-- name: insert_model
-- A model is added under the next number.
INSERT INTO model (tenant, version, state, weights, report, added_at, added_by, changed_at)
SELECT $1, coalesce(max(version), 0) + 1, 'added', $2, $3, $4, $5, $4 FROM model WHERE tenant = $1
RETURNING version;

-- name: find_same_model
-- The version under which the same file is there already.
SELECT version FROM model WHERE tenant = $1 AND length(weights) = length($2::bytea) AND weights = $2 LIMIT 1;

-- name: drop_old_models
-- Models that are neither used nor among the newest; where a rollback leads is among those that were in force last.
DELETE FROM model m
WHERE m.tenant = $1 AND m.state IN ('added', 'retired')
  AND m.version NOT IN (SELECT n.version FROM model n WHERE n.tenant = $1 ORDER BY n.version DESC LIMIT $2)
  AND m.version NOT IN (SELECT n.version FROM model n WHERE n.tenant = $1 AND n.promoted_at IS NOT NULL
                        ORDER BY n.promoted_at DESC LIMIT $2);

-- name: list_models
-- A tenant's models without their weights, the newest first.
SELECT version, state, report, added_at, added_by, changed_at, promoted_at, length(weights) AS bytes
FROM model WHERE tenant = $1 ORDER BY version DESC;

-- name: load_model
-- One of them.
SELECT version, state, report, added_at, added_by, changed_at, promoted_at, length(weights) AS bytes
FROM model WHERE tenant = $1 AND version = $2;

-- name: list_used_models
-- All models that score tickets, of all tenants.
SELECT tenant, version, state FROM model WHERE state IN ('shadow', 'promoted') ORDER BY tenant, version LIMIT $1;

-- name: load_weights
-- The file of a model.
SELECT weights FROM model WHERE tenant = $1 AND version = $2;

-- name: retire_models
-- What is in the given state, is so no more.
UPDATE model SET state = 'retired', changed_at = $3 WHERE tenant = $1 AND state = $2 RETURNING version;

-- name: set_model_state
-- A model is used from now on, or no more; `$5` is when it was put in force, where it is.
UPDATE model SET state = $3, changed_at = $4, promoted_at = coalesce($5, promoted_at) WHERE tenant = $1 AND version = $2;

-- name: model_before
-- What was in force before the model that is, and is still there.
SELECT b.version
FROM model p JOIN model b ON b.tenant = p.tenant AND b.promoted_at < p.promoted_at
WHERE p.tenant = $1 AND p.state = 'promoted'
ORDER BY b.promoted_at DESC LIMIT 1;

-- name: has_skilled
-- Whether anybody on the roster has the skill.
SELECT EXISTS (SELECT FROM agent WHERE tenant = $1 AND active AND skills ? $2);

-- name: compare_model
-- What the newest scores of a model say beside the tickets as they are: where rules know the theme (their name is the theme's),
-- where only the model does, where people said otherwise since; by how sure it had to be ($3).
WITH scored AS (
    SELECT s.*, t.theme AS has_theme, t.urgency AS has_urgency, t.theme = ANY (t.rules) AS is_ruled,
           s.theme_confidence >= $3 AS is_sure, s.urgency_confidence >= $3 AS is_sure_of_urgency
    FROM (SELECT * FROM model_score WHERE tenant = $1 AND version = $2 ORDER BY scored_at DESC LIMIT $4) s
    JOIN ticket t ON t.id = s.ticket_id
), judged AS (
    SELECT s.*,
           (SELECT c.now FROM correction c WHERE c.tenant = $1 AND c.ticket_id = s.ticket_id AND c.field = 'theme'
            ORDER BY c.at DESC LIMIT 1) AS said_theme,
           (SELECT c.now FROM correction c WHERE c.tenant = $1 AND c.ticket_id = s.ticket_id AND c.field = 'urgency'
            ORDER BY c.at DESC LIMIT 1) AS said_urgency
    FROM scored s
)
SELECT count(*) AS tickets, min(scored_at) AS since, max(scored_at) AS until,
       count(*) FILTER (WHERE theme IS NOT NULL AND is_sure) AS theme_sure,
       count(*) FILTER (WHERE theme IS NOT NULL AND is_sure AND said_theme IS NULL AND is_ruled) AS theme_ruled,
       count(*) FILTER (WHERE is_sure AND said_theme IS NULL AND is_ruled AND theme = has_theme) AS theme_agrees,
       count(*) FILTER (WHERE theme IS NOT NULL AND is_sure AND said_theme IS NULL AND NOT is_ruled) AS theme_alone,
       count(*) FILTER (WHERE theme IS NOT NULL AND is_sure AND said_theme IS NOT NULL) AS theme_corrected,
       count(*) FILTER (WHERE is_sure AND theme = said_theme) AS theme_right,
       count(*) FILTER (WHERE urgency IS NOT NULL AND is_sure_of_urgency) AS urgency_sure,
       count(*) FILTER (WHERE is_sure_of_urgency AND said_urgency IS NULL AND urgency = has_urgency) AS urgency_agrees,
       count(*) FILTER (WHERE urgency IS NOT NULL AND is_sure_of_urgency AND said_urgency IS NOT NULL) AS urgency_corrected,
       count(*) FILTER (WHERE is_sure_of_urgency AND urgency = said_urgency) AS urgency_right
FROM judged;

-- name: drop_old_scores
-- Scores that are older than `$1`, some at a time.
DELETE FROM model_score
WHERE (tenant, version, ticket_id) IN (
    SELECT tenant, version, ticket_id FROM model_score WHERE scored_at < $1 ORDER BY scored_at LIMIT $2)
RETURNING 1;

-- name: insert_corrections
-- What people made of tickets; the same event says it once.
INSERT INTO correction (tenant, ticket_id, event_id, field, was, now, at)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
ON CONFLICT DO NOTHING;

-- name: export_corrections
-- Corrected tickets after `$2`, with what was said of each last and the text with which it was opened.
SELECT c.ticket_id,
       (SELECT t.now FROM correction t WHERE t.tenant = $1 AND t.ticket_id = c.ticket_id AND t.field = 'theme'
        ORDER BY t.at DESC, t.event_id DESC LIMIT 1) AS theme,
       (SELECT u.now FROM correction u WHERE u.tenant = $1 AND u.ticket_id = c.ticket_id AND u.field = 'urgency'
        ORDER BY u.at DESC, u.event_id DESC LIMIT 1) AS urgency,
       o.data ->> 'subject' AS subject, o.data ->> 'text' AS text, o.data ->> 'language' AS language
FROM (SELECT DISTINCT ticket_id FROM correction WHERE tenant = $1 AND ticket_id > $2 ORDER BY ticket_id LIMIT $3) c
JOIN LATERAL (SELECT e.data FROM ticket_event e WHERE e.ticket_id = c.ticket_id AND e.data ->> 'kind' = 'opened'
              ORDER BY e.occurred_at, e.event_id LIMIT 1) o ON true
ORDER BY c.ticket_id;
