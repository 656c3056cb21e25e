-- name: begin
-- A repricing that is to be done.
INSERT INTO repricings (id, created_by, provider, model, lower_time, upper_time, until_seq)
SELECT :id, :created_by, :provider, :model, CAST(:lower_time AS timestamptz), CAST(:upper_time AS timestamptz), last_value
FROM usage_events_seq;

-- name: one
-- A repricing and how far it is.
SELECT id, created_at, created_by, provider, model, lower_time, upper_time, until_seq, at_time, at_seq,
       events,
       changes::text AS changes, finished_at
FROM repricings WHERE id = :id;

-- name: page
-- Repricings, newest first, from behind the id :behind.
SELECT id, created_at, created_by, provider, model, lower_time, upper_time, until_seq, at_time, at_seq,
       events,
       changes::text AS changes, finished_at
FROM repricings
WHERE CAST(:behind AS text) IS NULL OR id < :behind
ORDER BY id DESC LIMIT :rows;

-- name: unfinished
-- Those that are not done, the oldest first.
SELECT id FROM repricings WHERE finished_at IS NULL ORDER BY id;

-- name: take
-- An unfinished repricing for the transaction that goes on with it; no row where it is finished or another one does.
SELECT id, created_at, created_by, provider, model, lower_time, upper_time, until_seq, at_time, at_seq,
       events,
       changes::text AS changes, finished_at
FROM repricings WHERE id = :id AND finished_at IS NULL FOR UPDATE SKIP LOCKED;

-- name: hold_folding
-- Nothing is folded until the transaction ends. What is below the watermark is in the cubes.
SELECT watermark FROM fold_state FOR UPDATE;

-- name: take_book
-- The prices of version :version stay in force until the transaction ends; an error where they are not any more.
SELECT take_price_book(CAST(:version AS bigint));

-- name: keys
-- The keys of the names that a repricing is about, case aside; a name may end in *.
SELECT key FROM dimensions
WHERE kind = :kind
  AND (lower(value) = lower(:name)
       OR (right(:name, 1) = '*' AND starts_with(lower(value), lower(rtrim(:name, '*')))));

-- name: currencies
-- The currencies that costs are in, the first of each before others that amounts are given in.
SELECT key, value FROM dimensions WHERE kind = 'currency';

-- name: batch
-- The next events in order of time, as JSON: all that a price is worked out from, and what they cost now.
SELECT coalesce(json_agg(json_strip_nulls(row_to_json(one)) ORDER BY time, seq), '[]')::text
FROM (
    SELECT time, seq, txid, provider.value AS provider, model.value AS model, labels, status, tokens_estimated,
           input_tokens, output_tokens, total_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens,
           CASE WHEN error_message IS NOT NULL THEN '' END AS error_message,
           CASE WHEN error_type_key IS NOT NULL THEN '' END AS error_type,
           cost, currency_key, list_cost, list_currency_key, price_id
    FROM usage_events
    LEFT JOIN dimensions AS provider ON provider.key = provider_key
    JOIN dimensions AS model ON model.key = model_key
    WHERE (CAST(:provider_keys AS integer[]) IS NULL OR provider_key = ANY(CAST(:provider_keys AS integer[])))
      AND (CAST(:model_keys AS integer[]) IS NULL OR model_key = ANY(CAST(:model_keys AS integer[])))
      AND time >= CAST(:lower_time AS timestamptz) AND time < CAST(:upper_time AS timestamptz)
      AND seq <= :until_seq AND (time, seq) > (CAST(:at_time AS timestamptz), CAST(:at_seq AS bigint))
    ORDER BY time, seq
    LIMIT :events
) AS one;

-- name: change
-- What events cost from now on, and by which price.
UPDATE usage_events AS event
SET cost = changed.cost, cost_usd = changed.cost_usd, cost_rub = changed.cost_rub, currency_key = changed.currency_key,
    list_cost = changed.list_cost, list_currency_key = changed.list_currency_key, price_id = changed.price_id
FROM json_to_recordset(CAST(:events AS json)) AS changed (
    time timestamptz, seq bigint, cost numeric, cost_usd numeric, cost_rub numeric, currency_key integer,
    list_cost numeric, list_currency_key integer, price_id integer
)
WHERE event.time = changed.time AND event.seq = changed.seq;

-- name: change_list
-- The same for events whose sender said what they cost, which stays.
UPDATE usage_events AS event
SET list_cost = changed.list_cost, list_currency_key = changed.list_currency_key, price_id = changed.price_id
FROM json_to_recordset(CAST(:events AS json)) AS changed (
    time timestamptz, seq bigint, list_cost numeric, list_currency_key integer, price_id integer
)
WHERE event.time = changed.time AND event.seq = changed.seq;

-- name: go_on
-- How far a repricing is now.
UPDATE repricings
SET at_time = CAST(:at_time AS timestamptz), at_seq = :at_seq, events = events + :events,
    changes = CAST(:changes AS jsonb), finished_at = CASE WHEN :finished THEN now() END
WHERE id = :id;
