DROP TABLE cube_token_hour, cube_route_hour, cube_model_hour, cube_user_model_day, cube_user_day, cube_user_hour;
DROP TABLE dead_letters;
DROP TABLE dedupe_keys;
DROP TABLE usage_events;
DROP SEQUENCE usage_events_seq;
DROP FUNCTION event_txid();
DROP TABLE fold_state, dimensions, settings, api_tokens, users, organizations;
