-- name: token
-- A token by its hash, whatever became of it by the database's clock; also one that is only known by its hash.
SELECT id, name, team_id, scopes, organization_id, user_id, routes, revoked_at IS NOT NULL AS revoked,
       coalesce(expires_at <= now(), false) AS expired
FROM api_tokens
WHERE token_hash = :token_hash;
