-- name: keys_of_values
-- The keys of dimension values, whichever organization they belong to.
SELECT wanted.position, dimensions.key
FROM json_to_recordset(CAST(:wanted AS json)) AS wanted (position integer, kind text, digest uuid)
JOIN dimensions USING (kind, digest);

-- name: key_of_scoped_value
-- The key of one value within one organization.
SELECT key FROM dimensions WHERE kind = :kind AND digest = CAST(:digest AS uuid) AND scope = CAST(:scope AS integer);

-- name: values_of_keys
-- The texts that keys stand for; tokens with the name, team and id under which they are registered.
SELECT dimensions.key, dimensions.value, api_tokens.id AS token_id, api_tokens.name AS token_name,
       api_tokens.team_id AS token_team_id
FROM dimensions
LEFT JOIN api_tokens ON dimensions.kind = 'token' AND api_tokens.token_hash = dimensions.value
WHERE dimensions.key = ANY(CAST(:keys AS integer[]));

-- name: snapshot
-- What this transaction sees, as text: later pages of an answer leave out what it does not see.
SELECT pg_current_snapshot()::text;
