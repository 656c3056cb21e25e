-- name: find_token
-- The token of an id or else of a hash, and what is known about it.
SELECT id, name, team_id, token_hash, scopes, organization_id, user_id, routes, created_at, expires_at, revoked_at,
       last_used_at
FROM api_tokens
WHERE id = :token OR token_hash = lower(:token)
ORDER BY id = :token DESC
LIMIT 1;

-- name: errors_of_route
-- The errors of a route by status and type, the most first. The keys of the caller's own organization and user keep it
-- to its own; null is everybody's.
SELECT status, error_type_key, count(*) AS errors, max(time) AS last_seen
FROM usage_events
WHERE route_key = ANY(CAST(:route_keys AS integer[]))
  AND (status >= 400 OR (status IS NULL AND (error_message IS NOT NULL OR error_type_key IS NOT NULL)))
  AND (CAST(:organization_key AS integer) IS NULL OR organization_key = CAST(:organization_key AS integer))
  AND (CAST(:user_key AS integer) IS NULL OR user_key = CAST(:user_key AS integer))
GROUP BY status, error_type_key
ORDER BY errors DESC, status NULLS LAST, error_type_key NULLS LAST
LIMIT :rows;
