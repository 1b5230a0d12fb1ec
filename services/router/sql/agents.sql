-- name: list_agents
-- Agents of a tenant in the order of their keys, from after `$2`.
SELECT key, name, active, skills, channels, capacity, presence, status, lead, primary_used, interruptible_used,
       over_capacity, last_assigned_at
FROM agent WHERE tenant = $1 AND key > $2 ORDER BY key LIMIT $3;

-- name: load_agent
-- One agent.
SELECT key, name, active, skills, channels, capacity, presence, status, lead, primary_used, interruptible_used,
       over_capacity, last_assigned_at
FROM agent WHERE tenant = $1 AND key = $2;

-- name: save_status
-- What an agent says of being there; nothing comes back where there is no such agent on the roster.
UPDATE agent SET status = $3 WHERE tenant = $1 AND key = $2 AND active
RETURNING key, name, active, skills, channels, capacity, presence, status, lead, primary_used, interruptible_used,
          over_capacity, last_assigned_at;
