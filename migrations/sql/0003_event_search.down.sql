DROP INDEX usage_events_search;
DROP FUNCTION search_signs(text);
DROP FUNCTION search_letters(text);
DROP FUNCTION search_text(text, text);
DROP EXTENSION pg_trgm;
