-- name: find_dimensions
-- The keys of those (kind, scope, digest) that are known.
SELECT wanted.position, dimensions.key
FROM json_to_recordset(CAST(:wanted AS json)) AS wanted (position integer, kind text, scope integer, digest uuid)
JOIN dimensions USING (kind, scope, digest);

-- name: add_dimensions
-- Makes keys for new values. Sorted, so that two processes with the same new values never deadlock.
INSERT INTO dimensions (kind, scope, digest, value)
SELECT kind, scope, digest, value
FROM json_to_recordset(CAST(:wanted AS json)) AS wanted (kind text, scope integer, digest uuid, value text)
ORDER BY kind, digest, scope
ON CONFLICT (kind, digest, scope) DO NOTHING;
