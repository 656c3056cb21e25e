-- name: write
-- One change. Never updated, never deleted.
INSERT INTO audit_log (actor, actor_id, action, kind, subject_id, before, after)
VALUES (:actor, :actor_id, :action, :kind, :subject_id, CAST(:before AS jsonb), CAST(:after AS jsonb));

-- name: page
-- Changes of a kind and of one thing where given, newest first, from behind the entry :behind.
SELECT id, at, actor, actor_id, action, kind, subject_id, before::text AS before, after::text AS after
FROM audit_log
WHERE (CAST(:kind AS text) IS NULL OR kind = :kind)
  AND (CAST(:subject_id AS text) IS NULL OR subject_id = :subject_id)
  AND (CAST(:behind AS bigint) IS NULL OR id < :behind)
ORDER BY id DESC
LIMIT :rows;
