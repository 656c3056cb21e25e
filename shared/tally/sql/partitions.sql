-- name: lock_partitions
-- One process at a time changes partitions.
SELECT pg_advisory_xact_lock(hashtext('tally partitions'));

-- name: try_retention_lock
-- Whether this session may drop partitions now: one at a time.
SELECT pg_try_advisory_lock(hashtext('tally retention'));

-- name: unlock_retention
-- Lets the next one drop partitions.
SELECT pg_advisory_unlock(hashtext('tally retention'));

-- name: clock
-- The database's clock, and the generation of dedupe keys that is claimed now.
SELECT now() AS now, floor(extract(epoch FROM now()) / 86400 / 120)::integer AS generation;

-- name: event_partitions
-- The bounds of the partitions of raw events, as PostgreSQL writes them.
SELECT child.relname AS name, inhdetachpending AS detaching,
       (regexp_match(pg_get_expr(child.relpartbound, child.oid), 'FROM \(''(.+?)''\)'))[1]::timestamptz AS lower,
       (regexp_match(pg_get_expr(child.relpartbound, child.oid), 'TO \(''(.+?)''\)'))[1]::timestamptz AS upper
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'usage_events'::regclass
ORDER BY lower;

-- name: key_partitions
-- The generations of dedupe keys that have a partition.
SELECT child.relname AS name, inhdetachpending AS detaching,
       (regexp_match(pg_get_expr(child.relpartbound, child.oid), '\((\d+)\)'))[1]::integer AS generation
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'dedupe_keys'::regclass
ORDER BY generation;

-- name: make_event_partition
-- A partition of raw events, made and attached with its owner's rights.
SELECT make_event_partition(:lower, :upper);

-- name: make_key_partition
-- A partition of dedupe keys, likewise.
SELECT make_key_partition(:generation);

-- name: has_unfolded
-- Whether a partition has events that are not in the cubes yet.
SELECT EXISTS (
    SELECT FROM usage_events
    WHERE time >= :lower AND time < :upper AND txid >= (SELECT watermark FROM fold_state)
);

-- name: detached_partitions
-- Partitions that were detached but not dropped: a run was interrupted in between.
SELECT relname AS name
FROM pg_class
WHERE relkind = 'r' AND NOT relispartition
  AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'usage_events'::regclass)
  AND relname ~ '^(usage_events_[0-9]{8}|dedupe_keys_[0-9]+)$'
ORDER BY relname;
