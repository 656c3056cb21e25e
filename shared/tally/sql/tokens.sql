-- name: find_token
-- The token of a secret, by its hash, and whether it may be used now by the database's clock.
SELECT id, name, scopes, organization_id, team_id, user_id, revoked_at IS NOT NULL AS revoked,
       coalesce(expires_at <= now(), false) AS expired
FROM api_tokens
WHERE token_hash = :token_hash AND cardinality(scopes) > 0;

-- name: add_token
-- A new token. Known by its hash only; no row where another token has that hash.
INSERT INTO api_tokens (id, name, token_hash, scopes, organization_id, team_id, user_id, expires_at)
VALUES (:id, :name, :token_hash, CAST(:scopes AS text[]), :organization_id, :team_id, :user_id,
        CAST(:expires_at AS timestamptz))
ON CONFLICT (token_hash) DO NOTHING;

-- name: put_token
-- A token whose secret was chosen elsewhere: made, or given its scopes and life back.
INSERT INTO api_tokens (id, name, token_hash, scopes)
VALUES (:id, :name, :token_hash, CAST(:scopes AS text[]))
ON CONFLICT (token_hash) DO UPDATE
SET name = excluded.name, scopes = excluded.scopes, revoked_at = NULL, expires_at = NULL;

-- name: report_tokens
-- Names and teams of tokens that others issued, for reporting by their hash.
INSERT INTO api_tokens (id, name, token_hash, team_id)
SELECT id, name, token_hash, team_id
FROM json_to_recordset(CAST(:tokens AS json)) AS token (id text, name text, token_hash text, team_id text)
ON CONFLICT (token_hash) DO NOTHING;

-- name: revoke_token
-- Ends a token; what it sent stays.
UPDATE api_tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = :id RETURNING id;
