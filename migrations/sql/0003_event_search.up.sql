-- Search over the topics and user names of events, by any part of them. Only events that have one are in the index.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- What is searched, in lower case.
CREATE FUNCTION search_text(topic text, user_name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lower(coalesce(topic, '') || E'\n' || coalesce(user_name, ''));

-- For trigrams: where the database's character type is "C", pg_trgm takes only ASCII for letters. So each Cyrillic
-- letter becomes a Latin one or a digit; the most frequent come first, because translate() looks for each in turn.
CREATE FUNCTION search_letters(folded text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN translate(folded, 'оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё', 'oeaintsrvlkmdpuqy1gzb2jhxwc3456f7');

-- The signs that are neither ASCII nor Cyrillic, each by itself: a Chinese word is often one or two of them.
CREATE FUNCTION search_signs(folded text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN string_to_array(regexp_replace(folded, '[\u0001-\u007fа-яё]+', '', 'g'), NULL);

CREATE INDEX usage_events_search ON usage_events USING gin (
    search_letters(search_text(topic, user_name)) gin_trgm_ops,
    search_signs(search_text(topic, user_name))
) WHERE topic IS NOT NULL OR user_name IS NOT NULL;
