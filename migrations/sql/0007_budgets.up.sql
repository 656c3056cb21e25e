-- Budgets, when they were crossed, and what is told to whom about it or about anything else.

-- Where notifications are posted to, and what each post is signed with. The secret cannot be a hash: it makes the
-- signature. The function that manages webhooks writes it and cannot read it.
CREATE TABLE webhooks (
    id         text PRIMARY KEY,
    url        text NOT NULL,
    secret     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What may be spent in a window of the budget's own time zone, by whom all of the given fields name; by everybody where
-- none is given.
CREATE TABLE budgets (
    id              text PRIMARY KEY,
    name            text NOT NULL,
    organization_id text,
    user_id         text,
    token_id        text REFERENCES api_tokens (id),
    agent_id        text,
    model           text,
    amount          numeric NOT NULL CHECK (amount > 0),
    currency        text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    "window"        text NOT NULL CHECK ("window" IN ('day', 'week', 'month', 'total')),
    timezone        text NOT NULL,
    thresholds      numeric[] NOT NULL,
    hard            boolean NOT NULL,
    webhook_id      text REFERENCES webhooks (id),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX budgets_webhook ON budgets (webhook_id);

-- What is told, once to each of its deliveries.
CREATE TABLE notifications (
    id         text PRIMARY KEY,
    kind       text NOT NULL,
    payload    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- To whom: `target` is the id of a webhook, the name of a topic, nothing for the log. Whoever delivers moves
-- `next_attempt_at` ahead first, so that nobody else does.
CREATE TABLE deliveries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notification_id text NOT NULL REFERENCES notifications (id),
    channel         text NOT NULL CHECK (channel IN ('log', 'webhook', 'topic')),
    target          text NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    told_at         timestamptz,
    given_up_at     timestamptz,
    last_error      text,
    UNIQUE (notification_id, channel, target)
);
CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE told_at IS NULL AND given_up_at IS NULL;

-- A threshold (percent) that was reached in a window, by what amount the budget had then: a raised budget is crossed
-- anew. The window of all time has no start.
CREATE TABLE budget_crossings (
    budget_id       text NOT NULL REFERENCES budgets (id) ON DELETE CASCADE,
    window_start    timestamptz,
    threshold       numeric NOT NULL,
    amount          numeric NOT NULL,
    spent           numeric NOT NULL,
    crossed_at      timestamptz NOT NULL DEFAULT now(),
    notification_id text NOT NULL REFERENCES notifications (id) DEFERRABLE INITIALLY DEFERRED,
    UNIQUE NULLS NOT DISTINCT (budget_id, window_start, threshold, amount)
);
CREATE INDEX budget_crossings_window ON budget_crossings (window_start);
