-- Statements of `tally up` on a laptop.

-- name: has_events
-- Whether any event was ever stored; sample data goes into an empty store only.
SELECT EXISTS (SELECT FROM usage_events) AS has_events;

-- name: roles
-- The roles of the server.
SELECT rolname FROM pg_roles;
