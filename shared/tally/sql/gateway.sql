-- name: find_token
-- The token of an id or else of a hash, and what is known about it.
SELECT id, name, team_id, token_hash, scopes, organization_id, user_id, routes, created_at, expires_at, revoked_at,
       last_used_at
FROM api_tokens
WHERE id = :token OR token_hash = lower(:token)
ORDER BY id = :token DESC
LIMIT 1;
