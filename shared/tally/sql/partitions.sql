-- name: lock_partitions
-- One process at a time changes partitions.
SELECT pg_advisory_xact_lock(hashtext('tally partitions'));

-- name: clock
-- The database's clock, and the generation of dedupe keys that is claimed now.
SELECT now() AS now, floor(extract(epoch FROM now()) / 86400 / 120)::integer AS generation;

-- name: event_partitions
-- The bounds of the partitions of raw events, as PostgreSQL writes them.
SELECT child.relname AS name,
       (regexp_match(pg_get_expr(child.relpartbound, child.oid), 'FROM \(''(.+?)''\)'))[1]::timestamptz AS lower,
       (regexp_match(pg_get_expr(child.relpartbound, child.oid), 'TO \(''(.+?)''\)'))[1]::timestamptz AS upper
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'usage_events'::regclass
ORDER BY lower;

-- name: key_partitions
-- The generations of dedupe keys that have a partition.
SELECT child.relname AS name,
       (regexp_match(pg_get_expr(child.relpartbound, child.oid), '\((\d+)\)'))[1]::integer AS generation
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'dedupe_keys'::regclass
ORDER BY generation;
