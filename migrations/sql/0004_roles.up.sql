-- What lets each function use a database user of its own that owns nothing, and two versions of the code one database.

-- The oldest migration whose code works with this database. Code that does not know the database's migration (a
-- later version made it) goes on where its own is not older than this: before new revisions take traffic, and
-- after a rollback. A migration that takes away what older code needs moves it.
INSERT INTO settings (name, value) VALUES ('works_from', '"0004_roles"');

-- Partitions are made with their owner's rights by whoever stores an event that has none: a recorder need not own
-- tables. Made apart and attached, because CREATE TABLE … PARTITION OF would lock out readers and writers of the parent.
CREATE FUNCTION attach_partition(parent text, name text, bounds text) RETURNS void LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE 'CREATE TABLE ' || quote_ident(name) || ' (LIKE ' || quote_ident(parent) || ' INCLUDING ALL)';
    EXECUTE 'ALTER TABLE ' || quote_ident(parent) || ' ATTACH PARTITION ' || quote_ident(name) || ' FOR VALUES ' || bounds;
END
$$;

CREATE FUNCTION make_event_partition(lower_bound timestamptz, upper_bound timestamptz) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF upper_bound - lower_bound NOT BETWEEN interval '1 second' AND interval '31 days' THEN
        RAISE EXCEPTION 'a partition of events covers a month at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM attach_partition(
        'usage_events', 'usage_events_' || to_char(lower_bound AT TIME ZONE 'UTC', 'YYYYMMDD'),
        'FROM (' || quote_literal(lower_bound) || ') TO (' || quote_literal(upper_bound) || ')'
    );
END
$$;

CREATE FUNCTION make_key_partition(generation integer) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM attach_partition('dedupe_keys', 'dedupe_keys_' || generation, 'IN (' || generation || ')');
END
$$;

REVOKE EXECUTE ON FUNCTION
    attach_partition(text, text, text), make_event_partition(timestamptz, timestamptz), make_key_partition(integer)
FROM PUBLIC;
