-- name: budgets
-- Budgets in the order of their making, from behind :after: all of them, or the one :id, or those of one organization
-- (:organization_id) and one user (:user_id), in no other organization (:user_digest) where no organization is given.
SELECT budgets.id, name, budgets.organization_id, budgets.user_id, token_id, agent_id, model, amount, currency, "window",
       timezone, thresholds, hard, budgets.created_at, updated_at, webhook_id, webhooks.url AS webhook_url,
       (SELECT token_hash FROM api_tokens WHERE api_tokens.id = token_id) AS token_hash
FROM budgets
LEFT JOIN webhooks ON webhooks.id = webhook_id
WHERE (CAST(:id AS text) IS NULL OR budgets.id = :id)
  AND (CAST(:after AS text) IS NULL OR budgets.id > :after)
  AND (CAST(:organization_id AS text) IS NULL OR organization_id = :organization_id)
  AND (CAST(:user_id AS text) IS NULL OR user_id = :user_id)
  AND (
      CAST(:user_digest AS uuid) IS NULL
      OR NOT EXISTS (SELECT FROM dimensions WHERE kind = 'user' AND digest = :user_digest AND scope <> 0)
  )
ORDER BY budgets.id
LIMIT CAST(:rows AS bigint);

-- name: lock
-- One change of a budget at a time; no row where there is no such budget.
SELECT id FROM budgets WHERE id = :id FOR UPDATE;

-- name: token_exists
-- Whether a token has this id.
SELECT EXISTS (SELECT FROM api_tokens WHERE id = :id);

-- name: add
-- A new budget.
INSERT INTO budgets (id, name, organization_id, user_id, token_id, agent_id, model, amount, currency, "window", timezone,
                     thresholds, hard, webhook_id)
VALUES (:id, :name, :organization_id, :user_id, :token_id, :agent_id, :model, :amount, :currency, :window, :timezone,
        CAST(:thresholds AS numeric[]), :hard, :webhook_id);

-- name: change
-- A budget as it is from now on.
UPDATE budgets
SET name = :name, organization_id = :organization_id, user_id = :user_id, token_id = :token_id, agent_id = :agent_id,
    model = :model, amount = :amount, currency = :currency, "window" = :window, timezone = :timezone,
    thresholds = CAST(:thresholds AS numeric[]), hard = :hard, webhook_id = :webhook_id, updated_at = clock_timestamp()
WHERE id = :id;

-- name: remove
-- A budget and its crossings. What was to be told stays.
DELETE FROM budgets WHERE id = :id;

-- name: forget_crossings
-- A budget of something else begins anew.
DELETE FROM budget_crossings WHERE budget_id = :id;

-- name: crossings_since
-- What was crossed in windows that began at :since or later, and in that of all time.
SELECT budget_id, window_start, threshold, amount
FROM budget_crossings
WHERE window_start IS NULL OR window_start >= :since;

-- name: cross
-- A crossing; no row where it was noticed already, or the budget is another one than that which was evaluated.
INSERT INTO budget_crossings (budget_id, window_start, threshold, amount, spent, notification_id)
SELECT id, CAST(:window_start AS timestamptz), :threshold, amount, :spent, :notification_id
FROM budgets
WHERE id = :budget_id AND updated_at = :updated_at
FOR SHARE
ON CONFLICT DO NOTHING
RETURNING crossed_at;

-- name: latest_crossings
-- The latest crossings of a budget, and what became of telling them: a row for each delivery.
SELECT window_start, threshold, amount, spent, crossed_at, channel, attempts, told_at, next_attempt_at, given_up_at,
       last_error
FROM (
    SELECT * FROM budget_crossings WHERE budget_id = :id ORDER BY crossed_at DESC, threshold DESC LIMIT :crossings
) AS crossings
JOIN deliveries USING (notification_id)
ORDER BY crossed_at DESC, threshold DESC, deliveries.id;
