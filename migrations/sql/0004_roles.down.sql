DROP FUNCTION make_key_partition(integer);
DROP FUNCTION make_event_partition(timestamptz, timestamptz);
DROP FUNCTION attach_partition(text, text, text);
DELETE FROM settings WHERE name = 'works_from';
