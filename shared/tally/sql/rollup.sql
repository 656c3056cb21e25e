-- name: lock_fold_state
-- One fold at a time; no row where another one runs. `horizon` is the oldest transaction that may still write:
-- all before it are committed or gone. `behind` is true where transaction ids went back (a restored database).
SELECT watermark,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint + txid_offset AS horizon,
       pg_current_xact_id()::text::bigint + txid_offset < watermark AS behind
FROM fold_state
FOR UPDATE SKIP LOCKED;

-- name: start_epoch
-- After a restore into a younger cluster: the next transaction continues above every event that is stored.
UPDATE fold_state
SET txid_offset = greatest(watermark, (SELECT coalesce(max(txid), 0) + 1 FROM usage_events))
                  - pg_current_xact_id()::text::bigint;

-- name: step_end
-- The transaction at which a step of about :events events ends, if there are more: transactions are folded
-- whole, and the first one always, however large it is.
SELECT greatest(cut.txid, first.txid + 1)
FROM (SELECT txid FROM usage_events WHERE txid >= :low AND txid < :high ORDER BY txid LIMIT 1) AS first,
     (SELECT txid FROM usage_events WHERE txid >= :low AND txid < :high ORDER BY txid OFFSET :events LIMIT 1) AS cut;

-- name: touch_tokens
-- When each API token was used last, by the events that name its hash.
UPDATE api_tokens SET last_used_at = greatest(last_used_at, used.time)
FROM (
    SELECT dimensions.value AS token_hash, max(usage_events.time) AS time
    FROM usage_events JOIN dimensions ON dimensions.key = usage_events.token_key
    WHERE txid >= :low AND txid < :high
    GROUP BY dimensions.value
) AS used
WHERE api_tokens.token_hash = used.token_hash;

-- name: add_detailed_users
-- Users of the events just folded who have become detailed with them.
WITH users AS MATERIALIZED (
    SELECT user_key FROM usage_events WHERE txid >= :low AND txid < :high AND user_key IS NOT NULL
    EXCEPT
    SELECT user_key FROM detailed_users
)
INSERT INTO detailed_users (user_key)
SELECT user_key
FROM users
WHERE (SELECT sum(requests) FROM cube_user_month WHERE cube_user_month.user_key = users.user_key) >= :events
RETURNING user_key;

-- name: advance
-- What is below the watermark is in the cubes, what is not below it is not.
UPDATE fold_state SET watermark = :high, folded_at = now();
