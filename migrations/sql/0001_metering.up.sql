-- Everything that metering needs: who exists, what happened, which keys were claimed, the cubes
-- that answer questions, and what could not be read.

CREATE TABLE organizations (
    id                  text PRIMARY KEY,
    name                text NOT NULL,
    plan                text,
    timezone            text NOT NULL DEFAULT 'UTC',
    currency            text NOT NULL DEFAULT 'USD',
    free_requests_limit bigint CHECK (free_requests_limit >= 0),
    period_start_day    smallint NOT NULL DEFAULT 1 CHECK (period_start_day BETWEEN 1 AND 28),
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);

-- The same user id in two organizations is two users; no organization is the empty text.
CREATE TABLE users (
    organization_id text NOT NULL DEFAULT '',
    id              text NOT NULL,
    name            text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, id)
);

-- Only the SHA-256 of a secret is kept. A token without scopes was issued elsewhere and is known by
-- its hash for reporting only.
CREATE TABLE api_tokens (
    id              text PRIMARY KEY,
    name            text NOT NULL,
    token_hash      text NOT NULL UNIQUE CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    scopes          text[] NOT NULL DEFAULT '{}',
    organization_id text,
    team_id         text,
    user_id         text,
    routes          text[],
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz,
    revoked_at      timestamptz,
    last_used_at    timestamptz
);

-- What is deployed here, as opposed to how: values that every process must agree on.
CREATE TABLE settings (
    name       text PRIMARY KEY,
    value      jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Text becomes a small integer once. `scope` is the key of the organization for users and senders, so
-- that equal names of two tenants stay apart. `digest` is half of the value's SHA-256, because a
-- route may be longer than an index entry.
CREATE TABLE dimensions (
    key    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind   text NOT NULL,
    scope  integer NOT NULL DEFAULT 0,
    digest uuid NOT NULL,
    value  text NOT NULL,
    UNIQUE (kind, digest, scope)
);

-- One row: up to which transaction the cubes hold every event. `txid_offset` is added to transaction
-- ids of this cluster, so that they go on growing after a restore into a younger one.
CREATE TABLE fold_state (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    watermark   bigint NOT NULL,
    txid_offset bigint NOT NULL DEFAULT 0,
    folded_at   timestamptz NOT NULL DEFAULT now()
);
INSERT INTO fold_state (watermark) VALUES (0);

-- The transaction id to store with the events of this transaction. Refuses where ids went back behind
-- the watermark (a logical restore): such events would never be counted.
CREATE FUNCTION event_txid() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    state fold_state;
    txid  bigint := pg_current_xact_id()::text::bigint;
BEGIN
    SELECT * INTO STRICT state FROM fold_state;
    IF txid + state.txid_offset < state.watermark THEN
        RAISE EXCEPTION 'transaction ids are behind the fold watermark: this database was restored'
            USING ERRCODE = 'TLY01', HINT = 'Run "tally rollup" once: it starts a new epoch.';
    END IF;
    RETURN txid + state.txid_offset;
END
$$;

-- A sequence apart: a table with an identity column cannot be attached as a partition.
CREATE SEQUENCE usage_events_seq;

CREATE TABLE usage_events (
    time                 timestamptz NOT NULL,
    seq                  bigint NOT NULL DEFAULT nextval('usage_events_seq'),
    txid                 bigint NOT NULL,
    received_at          timestamptz NOT NULL,
    sender_key           integer NOT NULL,
    source_key           integer NOT NULL,
    id                   text NOT NULL,
    organization_key     integer,
    team_key             integer,
    user_key             integer,
    token_key            integer,
    token_type_key       integer,
    route_key            integer,
    method_key           integer,
    error_type_key       integer,
    provider_key         integer,
    model_key            integer,
    agent_key            integer,
    operation_key        integer,
    platform_key         integer,
    content_type_key     integer,
    task_type_key        integer,
    currency_key         integer,
    status               smallint,
    tokens_estimated     boolean NOT NULL DEFAULT false,
    input_tokens         bigint,
    output_tokens        bigint,
    total_tokens         bigint,
    cached_input_tokens  bigint,
    cache_write_tokens   bigint,
    reasoning_tokens     bigint,
    input_text_length    bigint,
    output_text_length   bigint,
    response_time_ms     numeric,
    cost                 numeric,
    cost_usd             numeric,
    cost_rub             numeric,
    user_name            text,
    error_message        text,
    ip_address           text,
    user_agent           text,
    workflow_id          text,
    content_id           text,
    request_id           text,
    topic                text,
    labels               jsonb,
    request_metadata     jsonb,
    response_metadata    jsonb
) PARTITION BY RANGE (time);

CREATE INDEX usage_events_txid ON usage_events (txid);
CREATE INDEX usage_events_time ON usage_events (time, seq);
CREATE INDEX usage_events_user ON usage_events (user_key, time) WHERE user_key IS NOT NULL;
CREATE INDEX usage_events_token ON usage_events (token_key, time) WHERE token_key IS NOT NULL;

-- Who claimed an id first. A generation is a span of days by the clock of the database; it is dropped
-- whole when all its keys are past the retention.
CREATE TABLE dedupe_keys (
    generation integer NOT NULL,
    sender_key integer NOT NULL,
    key        uuid NOT NULL,
    time       timestamptz NOT NULL,
    PRIMARY KEY (generation, sender_key, key)
) PARTITION BY LIST (generation);

-- What could not be read, with its bytes. A redelivered message is the same dead letter.
CREATE TABLE dead_letters (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    message_id  text NOT NULL,
    position    integer NOT NULL,
    source      text,
    reason      text NOT NULL,
    attributes  jsonb NOT NULL,
    data        bytea NOT NULL,
    UNIQUE (message_id, position)
);

-- Cubes: sums of all folded events by hour or by UTC day. A key of 0 stands for "no value". Costs are
-- kept by the currencies they were given in (currency_key), so that each converts at its own day's rate. Sums of
-- tokens are numeric: a few thousand events of the largest counts would overflow a bigint.

CREATE TABLE cube_user_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    currency_key         integer NOT NULL,
    requests             bigint NOT NULL,
    errors               bigint NOT NULL,
    ai_requests          bigint NOT NULL,
    unpriced_requests    bigint NOT NULL,
    input_tokens         numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    total_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    cache_write_tokens   numeric NOT NULL,
    reasoning_tokens     numeric NOT NULL,
    estimated_tokens     numeric NOT NULL,
    timed_requests       bigint NOT NULL,
    response_time_ms     numeric NOT NULL,
    min_response_time_ms numeric,
    max_response_time_ms numeric,
    cost                 numeric,
    cost_usd             numeric,
    cost_rub             numeric,
    PRIMARY KEY (user_key, bucket, organization_key, currency_key)
) WITH (fillfactor = 80);

CREATE TABLE cube_user_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    currency_key         integer NOT NULL,
    requests             bigint NOT NULL,
    errors               bigint NOT NULL,
    ai_requests          bigint NOT NULL,
    unpriced_requests    bigint NOT NULL,
    input_tokens         numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    total_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    cache_write_tokens   numeric NOT NULL,
    reasoning_tokens     numeric NOT NULL,
    estimated_tokens     numeric NOT NULL,
    timed_requests       bigint NOT NULL,
    response_time_ms     numeric NOT NULL,
    min_response_time_ms numeric,
    max_response_time_ms numeric,
    cost                 numeric,
    cost_usd             numeric,
    cost_rub             numeric,
    PRIMARY KEY (user_key, bucket, organization_key, currency_key)
) WITH (fillfactor = 80);

CREATE TABLE cube_user_model_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    agent_key            integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    currency_key         integer NOT NULL,
    requests             bigint NOT NULL,
    errors               bigint NOT NULL,
    ai_requests          bigint NOT NULL,
    unpriced_requests    bigint NOT NULL,
    input_tokens         numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    total_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    cache_write_tokens   numeric NOT NULL,
    reasoning_tokens     numeric NOT NULL,
    estimated_tokens     numeric NOT NULL,
    timed_requests       bigint NOT NULL,
    response_time_ms     numeric NOT NULL,
    min_response_time_ms numeric,
    max_response_time_ms numeric,
    cost                 numeric,
    cost_usd             numeric,
    cost_rub             numeric,
    PRIMARY KEY (user_key, bucket, organization_key, agent_key, provider_key, model_key, operation_key, currency_key)
) WITH (fillfactor = 80);

CREATE TABLE cube_model_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    agent_key            integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    currency_key         integer NOT NULL,
    requests             bigint NOT NULL,
    errors               bigint NOT NULL,
    ai_requests          bigint NOT NULL,
    unpriced_requests    bigint NOT NULL,
    input_tokens         numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    total_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    cache_write_tokens   numeric NOT NULL,
    reasoning_tokens     numeric NOT NULL,
    estimated_tokens     numeric NOT NULL,
    timed_requests       bigint NOT NULL,
    response_time_ms     numeric NOT NULL,
    min_response_time_ms numeric,
    max_response_time_ms numeric,
    cost                 numeric,
    cost_usd             numeric,
    cost_rub             numeric,
    PRIMARY KEY (bucket, organization_key, agent_key, provider_key, model_key, operation_key, currency_key)
) WITH (fillfactor = 80);

CREATE TABLE cube_route_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    route_key            integer NOT NULL,
    method_key           integer NOT NULL,
    status               smallint NOT NULL,
    currency_key         integer NOT NULL,
    requests             bigint NOT NULL,
    errors               bigint NOT NULL,
    ai_requests          bigint NOT NULL,
    unpriced_requests    bigint NOT NULL,
    input_tokens         numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    total_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    cache_write_tokens   numeric NOT NULL,
    reasoning_tokens     numeric NOT NULL,
    estimated_tokens     numeric NOT NULL,
    timed_requests       bigint NOT NULL,
    response_time_ms     numeric NOT NULL,
    min_response_time_ms numeric,
    max_response_time_ms numeric,
    cost                 numeric,
    cost_usd             numeric,
    cost_rub             numeric,
    PRIMARY KEY (bucket, organization_key, route_key, method_key, status, currency_key)
) WITH (fillfactor = 80);

CREATE TABLE cube_token_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    token_key            integer NOT NULL,
    currency_key         integer NOT NULL,
    requests             bigint NOT NULL,
    errors               bigint NOT NULL,
    ai_requests          bigint NOT NULL,
    unpriced_requests    bigint NOT NULL,
    input_tokens         numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    total_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    cache_write_tokens   numeric NOT NULL,
    reasoning_tokens     numeric NOT NULL,
    estimated_tokens     numeric NOT NULL,
    timed_requests       bigint NOT NULL,
    response_time_ms     numeric NOT NULL,
    min_response_time_ms numeric,
    max_response_time_ms numeric,
    cost                 numeric,
    cost_usd             numeric,
    cost_rub             numeric,
    PRIMARY KEY (bucket, organization_key, token_key, currency_key)
) WITH (fillfactor = 80);

CREATE INDEX cube_user_day_bucket ON cube_user_day (bucket);
