-- name: record_events
-- Claims the keys of a batch and stores the events whose claim succeeded, in one statement and so in
-- one transaction. :events is a JSON array sorted by (sender_key, key), each key once; rows are written
-- in that order, so that two recorders with the same events wait for each other and never deadlock.
-- A key is looked for in every generation, and claimed in that of now and of five minutes ago: at the
-- turn of a generation both are the same for any two transactions that run at the same time.
-- Returns how many were stored; the others are duplicates. :book is the version of the prices that they were priced
-- with, if any was: where others are in force by now, nothing is stored.
WITH incoming AS MATERIALIZED (
    SELECT * FROM json_to_recordset(:events) AS event (
        key uuid, time timestamptz, received_at timestamptz, sender_key integer, source_key integer, id text,
        organization_key integer, team_key integer, user_key integer, token_key integer,
        token_type_key integer, route_key integer, method_key integer, error_type_key integer,
        provider_key integer, model_key integer, agent_key integer, operation_key integer,
        platform_key integer, content_type_key integer, task_type_key integer, currency_key integer,
        status smallint, tokens_estimated boolean, input_tokens bigint, output_tokens bigint,
        total_tokens bigint, cached_input_tokens bigint, cache_write_tokens bigint,
        reasoning_tokens bigint, input_text_length bigint, output_text_length bigint,
        response_time_ms numeric, cost numeric, cost_usd numeric, cost_rub numeric, list_cost numeric,
        list_currency_key integer, price_id integer, user_name text,
        error_message text, ip_address text, user_agent text, workflow_id text, content_id text,
        request_id text, topic text, labels jsonb, request_metadata jsonb, response_metadata jsonb
    )
), generations AS MATERIALIZED (
    SELECT DISTINCT floor(extract(epoch FROM instant) / 86400 / 120)::integer AS generation
    FROM unnest(ARRAY[now() - interval '5 minutes', now()]) AS instant
), claimed AS (
    INSERT INTO dedupe_keys AS claim (generation, sender_key, key, time)
    SELECT generation, sender_key, key, time
    FROM incoming CROSS JOIN generations
    WHERE NOT EXISTS (
        SELECT FROM dedupe_keys AS earlier
        WHERE earlier.generation < (SELECT min(generation) FROM generations)
          AND earlier.sender_key = incoming.sender_key AND earlier.key = incoming.key
    )
    ORDER BY sender_key, key, generation
    ON CONFLICT DO NOTHING
    RETURNING claim.sender_key, claim.key
), won AS (
    SELECT sender_key, key FROM claimed
    GROUP BY sender_key, key HAVING count(*) = (SELECT count(*) FROM generations)
), stored AS (
    INSERT INTO usage_events (
        time, txid, received_at, sender_key, source_key, id, organization_key, team_key, user_key, token_key,
        token_type_key, route_key, method_key, error_type_key, provider_key, model_key, agent_key,
        operation_key, platform_key, content_type_key, task_type_key, currency_key, status,
        tokens_estimated, input_tokens, output_tokens, total_tokens, cached_input_tokens,
        cache_write_tokens, reasoning_tokens, input_text_length, output_text_length,
        response_time_ms, cost, cost_usd, cost_rub, list_cost, list_currency_key, price_id, user_name, error_message, ip_address, user_agent,
        workflow_id, content_id, request_id, topic, labels, request_metadata, response_metadata
    )
    SELECT
        time, (SELECT event_txid()), received_at, sender_key, source_key, id, organization_key, team_key, user_key, token_key,
        token_type_key, route_key, method_key, error_type_key, provider_key, model_key, agent_key,
        operation_key, platform_key, content_type_key, task_type_key, currency_key, status,
        coalesce(tokens_estimated, false), input_tokens, output_tokens, total_tokens, cached_input_tokens,
        cache_write_tokens, reasoning_tokens, input_text_length, output_text_length,
        response_time_ms, cost, cost_usd, cost_rub, list_cost, list_currency_key, price_id, user_name, error_message, ip_address, user_agent,
        workflow_id, content_id, request_id, topic, labels, request_metadata, response_metadata
    FROM incoming JOIN won USING (sender_key, key)
    WHERE (SELECT take_price_book(CAST(:book AS bigint)))
)
SELECT count(*) FROM won;

-- name: keep_dead_letters
-- Keeps what can never be stored. A message that is delivered again is the same dead letter.
INSERT INTO dead_letters (received_at, message_id, position, source, reason, attributes, data)
SELECT received_at, message_id, position, source, reason, attributes, decode(data, 'base64')
FROM json_to_recordset(CAST(:letters AS json)) AS letter (
    received_at timestamptz, message_id text, position integer, source text, reason text, attributes jsonb, data text
)
ON CONFLICT (message_id, position) DO NOTHING;
