-- name: resolve_pages
-- Pages of resolved escalations: those nobody has begun to send are cancelled, and whoever was sent one hears once, the
-- same way, that it is moot (escalation-rules R14). One being sent is left to its sender, who asks again when he knows.
WITH ended AS (
    SELECT e.id, e.resolution, e.acknowledged_by, coalesce(c.due_at, f.due_at) AS due_at, f.met_at,
           CASE WHEN e.target = 'routing' THEN (
               SELECT coalesce(g.name, a.agent) FROM assignment a LEFT JOIN agent g ON g.tenant = a.tenant AND g.key = a.agent
               WHERE a.ticket_id = e.ticket_id AND a.ended_at IS NULL AND a.accepted_at IS NOT NULL) END AS owner
    FROM escalation e
    LEFT JOIN clock c ON (c.ticket_id, c.target, c.cycle) = (e.ticket_id, e.target, e.cycle)
    LEFT JOIN clock_finished f ON (f.ticket_id, f.target, f.cycle) = (e.ticket_id, e.target, e.cycle)
    WHERE e.id = ANY($1::uuid[]) AND e.state = 'resolved'
), cancelled AS (
    UPDATE page p SET state = 'cancelled', next_attempt_at = NULL
    FROM ended WHERE p.escalation_id = ended.id AND p.state IN ('pending', 'grouped') AND p.kind <> 'resolve'
), told AS (
    SELECT p.*, coalesce(p.person, p.recipient) AS who FROM page p
    WHERE p.escalation_id IN (SELECT id FROM ended) AND p.kind <> 'resolve' AND p.state <> 'sending' AND p.told_by IS NULL
      AND (p.accepted_at IS NOT NULL
           OR EXISTS (SELECT FROM page_attempt a WHERE a.page_id = p.id AND a.outcome = 'unknown'))
      AND NOT EXISTS (SELECT FROM page r
                      WHERE r.escalation_id = p.escalation_id AND r.kind = 'resolve' AND r.body -> 'resolves' ? p.id::text)
), newest AS (
    SELECT DISTINCT ON (t.escalation_id, t.who, t.method, t.address) t.*, array_agg(t.id::text) OVER same AS resolves
    FROM told t
    WINDOW same AS (PARTITION BY t.escalation_id, t.who, t.method, t.address)
    ORDER BY t.escalation_id, t.who, t.method, t.address, t.committed_at DESC, t.id
)
INSERT INTO page (id, tenant, escalation_id, kind, step, loop, recipient, person, method, address, secret, options, account, urgency,
                  evidence, body, state, due_at, committed_at, next_attempt_at)
SELECT md5('resolve ' || n.id::text)::uuid, n.tenant, n.escalation_id, 'resolve', n.step, n.loop, n.recipient, n.person,
       n.method, n.address, n.secret, n.options, n.account, n.urgency, n.evidence - 'fallback',
       n.body - '{next_step_at,next_recipients,is_last,fallback_of}'::text[] || jsonb_build_object(
           'at', $2::timestamptz, 'due_at', ended.due_at, 'was_due_at', n.body -> 'due_at', 'met_at', ended.met_at,
           'resolution', ended.resolution, 'acknowledged_by', ended.acknowledged_by, 'resolves', to_jsonb(n.resolves))
           || CASE WHEN ended.owner IS NULL THEN '{}' ELSE jsonb_build_object('owner', ended.owner) END,
       'pending', $2, $2, $2
FROM newest n
JOIN ended ON ended.id = n.escalation_id
ON CONFLICT (id) DO NOTHING;

-- name: lock_told_groups
-- Groups in which another page told of these escalations, held: of two members that end at once, one is the last.
SELECT g.id FROM page_group g
WHERE g.id IN (SELECT p.group_id FROM page p WHERE p.escalation_id = ANY($1::uuid[]) AND p.told_by IS NOT NULL)
ORDER BY g.tenant, g.who, g.kind, g.urgency, g.step, g.id
FOR NO KEY UPDATE;

-- name: resolve_groups
-- Pages about held groups of which the last member has ended: whoever was sent one hears once, the same way, that all is over.
WITH told AS (
    SELECT s.*, coalesce(s.person, s.recipient) AS who, coalesce(s.told_by, s.id) AS root FROM page s
    WHERE s.group_id = ANY($1::uuid[]) AND s.escalation_id IS NULL AND s.kind IN ('summary', 'digest') AND s.state <> 'sending'
      AND (s.accepted_at IS NOT NULL
           OR EXISTS (SELECT FROM page_attempt a WHERE a.page_id = s.id AND a.outcome = 'unknown'))
      AND NOT EXISTS (SELECT FROM page m JOIN escalation e ON e.id = m.escalation_id
                      WHERE m.group_id = s.group_id AND m.told_by = coalesce(s.told_by, s.id) AND e.state <> 'resolved')
      AND NOT EXISTS (SELECT FROM page r
                      WHERE r.group_id = s.group_id AND r.kind = 'resolve' AND r.body -> 'resolves' ? s.id::text)
), newest AS (
    SELECT DISTINCT ON (t.root, t.who, t.method, t.address) t.*, array_agg(t.id::text) OVER same AS resolves
    FROM told t
    WINDOW same AS (PARTITION BY t.root, t.who, t.method, t.address)
    ORDER BY t.root, t.who, t.method, t.address, t.committed_at DESC, t.id
)
INSERT INTO page (id, tenant, group_id, group_version, kind, step, loop, recipient, person, method, address, secret, options,
                  account, urgency, evidence, body, state, due_at, committed_at, next_attempt_at)
SELECT md5('resolve ' || n.id::text)::uuid, n.tenant, n.group_id, n.group_version, 'resolve', n.step, n.loop, n.recipient, n.person,
       n.method, n.address, n.secret, n.options, n.account, n.urgency, n.evidence - 'fallback',
       n.body - '{next_step_at,next_recipients,is_last,fallback_of}'::text[] || jsonb_build_object(
           'at', $2::timestamptz, 'resolution', 'answered', 'resolves', to_jsonb(n.resolves)),
       'pending', $2, $2, $2
FROM newest n
ON CONFLICT (id) DO NOTHING;
