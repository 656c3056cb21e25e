-- name: has_version_table
-- Whether any migration ever ran.
SELECT to_regclass('alembic_version') IS NOT NULL;

-- name: version
-- The migration that the database is at.
SELECT version_num FROM alembic_version;

-- name: works_from
-- The oldest migration whose code works with this database.
SELECT value #>> '{}' FROM settings WHERE name = 'works_from';

-- name: lock_migrations
-- One migration job at a time, the others wait.
SELECT pg_advisory_xact_lock(hashtext('tally migrate'));

-- name: clock
-- The clock that every process goes by.
SELECT clock_timestamp();
