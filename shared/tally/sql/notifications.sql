-- name: add
-- Something to be told.
INSERT INTO notifications (id, kind, payload) VALUES (:id, :kind, CAST(:payload AS jsonb));

-- name: add_delivery
-- To whom.
INSERT INTO deliveries (notification_id, channel, target) VALUES (:notification_id, :channel, :target);

-- name: claim
-- Deliveries that are due, the oldest first and of each webhook only some, so that one which hangs holds up no other.
-- They are due again after :lease unless it is noted before that what became of them.
WITH due AS (
    SELECT id
    FROM (
        SELECT id, channel, next_attempt_at,
               row_number() OVER (PARTITION BY channel, target ORDER BY next_attempt_at, id) AS place
        FROM deliveries
        WHERE told_at IS NULL AND given_up_at IS NULL AND next_attempt_at <= now()
    ) AS ranked
    WHERE place <= :of_one_webhook OR channel <> 'webhook'
    ORDER BY next_attempt_at, id
    LIMIT :most
), free AS (
    SELECT id FROM deliveries
    WHERE id IN (SELECT id FROM due) AND told_at IS NULL AND given_up_at IS NULL AND next_attempt_at <= now()
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE deliveries SET attempts = attempts + 1, next_attempt_at = now() + CAST(:lease AS interval)
    FROM free
    WHERE deliveries.id = free.id
    RETURNING deliveries.*
)
SELECT claimed.id, notification_id, kind, payload::text AS payload, notifications.created_at, channel, target, attempts,
       webhooks.url, webhooks.secret
FROM claimed
JOIN notifications ON notifications.id = notification_id
LEFT JOIN webhooks ON channel = 'webhook' AND webhooks.id = target
ORDER BY claimed.id;

-- name: told
-- It was taken.
UPDATE deliveries SET told_at = clock_timestamp(), last_error = NULL WHERE id = :id AND told_at IS NULL;

-- name: not_told
-- It was not: it is due again after :delay, or given up where that is more than :patience after it was to be told. Not
-- noted where another attempt has begun since.
UPDATE deliveries
SET last_error = :reason,
    next_attempt_at = clock_timestamp() + CAST(:delay AS interval),
    given_up_at = CASE
        WHEN CAST(:is_final AS boolean)
          OR clock_timestamp() + CAST(:delay AS interval)
             > (SELECT created_at FROM notifications WHERE notifications.id = notification_id) + CAST(:patience AS interval)
        THEN clock_timestamp()
    END
WHERE id = :id AND attempts = :attempts AND told_at IS NULL
RETURNING given_up_at;
