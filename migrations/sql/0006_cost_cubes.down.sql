DROP TABLE cost_source_hour, cost_source_day, cost_status_day, cost_route_hour,
    cost_route_day, cost_token_hour, cost_token_day, cost_model_hour,
    cost_model_quarter_day, cost_agent_hour, cost_model_day, cost_user_hour,
    cost_user_quarter_day, cost_user_day, cost_user_agent_day, cost_user_model_day;
DROP TABLE cube_source_hour, cube_source_day, cube_status_day, cube_route_hour,
    cube_route_quarter_day, cube_route_day, cube_token_hour, cube_token_quarter_day,
    cube_token_day, cube_model_hour, cube_model_quarter_day, cube_agent_hour,
    cube_model_day, cube_route_status_month, cube_user_hour, cube_user_quarter_day,
    cube_user_day, cube_user_month, cube_token_route_month, cube_user_agent_day,
    cube_user_agent_month, cube_user_model_day, cube_user_model_month;
UPDATE settings SET value = '"0004_roles"', updated_at = now() WHERE name = 'works_from';
UPDATE fold_state SET watermark = 0;

-- Key 0 stands for "no value". Sums of tokens are numeric: a few thousand events of the largest counts would overflow
-- a bigint. Two billion requests of one key fit into no quarter of a day. Each cube is like some of the tables that follow; a cube
-- with the key of the currency also has the cost in it, so that it can be converted at its own day's rate.
CREATE TABLE cube_calls (
    requests             bigint NOT NULL,
    errors               bigint NOT NULL,
    timed_requests       bigint NOT NULL,
    response_time_ms     numeric NOT NULL
);
CREATE TABLE cube_usual (
    requests             bigint NOT NULL,
    errors               bigint NOT NULL,
    timed_requests       bigint NOT NULL,
    response_time_ms     numeric NOT NULL,
    unpriced_requests    bigint NOT NULL,
    priced_requests      bigint NOT NULL,
    usd_requests         bigint NOT NULL,
    rub_requests         bigint NOT NULL,
    input_tokens         numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    total_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    estimated_tokens     numeric NOT NULL,
    min_response_time_ms numeric,
    max_response_time_ms numeric,
    cost_usd             numeric NOT NULL,
    cost_rub             numeric NOT NULL
);
CREATE TABLE cube_usual_hour (
    requests             integer NOT NULL,
    errors               integer NOT NULL,
    timed_requests       integer NOT NULL,
    response_time_ms     numeric NOT NULL,
    unpriced_requests    integer NOT NULL,
    priced_requests      integer NOT NULL,
    usd_requests         integer NOT NULL,
    rub_requests         integer NOT NULL,
    input_tokens         numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    total_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    estimated_tokens     numeric NOT NULL,
    min_response_time_ms numeric,
    max_response_time_ms numeric,
    cost_usd             numeric NOT NULL,
    cost_rub             numeric NOT NULL
);
CREATE TABLE cube_cost (
    cost                 numeric NOT NULL
);
CREATE TABLE cube_times (
    first_time           timestamptz NOT NULL,
    last_time            timestamptz NOT NULL
);
CREATE TABLE cube_received (
    last_received        timestamptz NOT NULL
);
CREATE TABLE cube_errors (
    last_error_time      timestamptz
);
CREATE TABLE cube_histogram (
    histogram            bigint[]
);

CREATE TABLE cube_source_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    source_key           integer NOT NULL,
    currency_key         integer NOT NULL,
    LIKE cube_usual_hour,
    LIKE cube_cost,
    PRIMARY KEY (bucket, organization_key, source_key, currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_source_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    source_key           integer NOT NULL,
    currency_key         integer NOT NULL,
    LIKE cube_usual,
    LIKE cube_cost,
    LIKE cube_times,
    LIKE cube_received,
    LIKE cube_histogram,
    PRIMARY KEY (bucket, organization_key, source_key, currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_status_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    status               smallint NOT NULL,
    error_type_key       integer NOT NULL,
    LIKE cube_usual,
    PRIMARY KEY (bucket, organization_key, status, error_type_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_route_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    route_key            integer NOT NULL,
    method_key           integer NOT NULL,
    LIKE cube_usual_hour,
    PRIMARY KEY (bucket, organization_key, route_key, method_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_route_quarter_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    route_key            integer NOT NULL,
    method_key           integer NOT NULL,
    LIKE cube_usual_hour,
    PRIMARY KEY (bucket, organization_key, route_key, method_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_route_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    route_key            integer NOT NULL,
    method_key           integer NOT NULL,
    LIKE cube_usual,
    LIKE cube_times,
    LIKE cube_histogram,
    PRIMARY KEY (bucket, organization_key, route_key, method_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_token_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    token_key            integer NOT NULL,
    LIKE cube_usual_hour,
    PRIMARY KEY (bucket, organization_key, token_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_token_quarter_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    token_key            integer NOT NULL,
    LIKE cube_usual_hour,
    PRIMARY KEY (bucket, organization_key, token_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_token_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    team_key             integer NOT NULL,
    token_key            integer NOT NULL,
    LIKE cube_usual,
    LIKE cube_times,
    PRIMARY KEY (bucket, organization_key, team_key, token_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_model_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cube_usual_hour,
    PRIMARY KEY (bucket, organization_key, provider_key, model_key, operation_key, is_ai)
) WITH (fillfactor = 95);

CREATE TABLE cube_model_quarter_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cube_usual_hour,
    PRIMARY KEY (bucket, organization_key, provider_key, model_key, operation_key, is_ai)
) WITH (fillfactor = 95);

CREATE TABLE cube_agent_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    agent_key            integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cube_usual_hour,
    PRIMARY KEY (bucket, organization_key, agent_key, is_ai)
) WITH (fillfactor = 95);

CREATE TABLE cube_model_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    agent_key            integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    token_type_key       integer NOT NULL,
    is_ai                smallint NOT NULL,
    currency_key         integer NOT NULL,
    LIKE cube_usual,
    LIKE cube_cost,
    LIKE cube_histogram,
    PRIMARY KEY (bucket, organization_key, agent_key, provider_key, model_key, operation_key, token_type_key, is_ai, currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_route_status_month (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    route_key            integer NOT NULL,
    method_key           integer NOT NULL,
    status               smallint NOT NULL,
    error_type_key       integer NOT NULL,
    LIKE cube_calls,
    LIKE cube_errors,
    PRIMARY KEY (route_key, bucket, organization_key, method_key, status, error_type_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_user_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    LIKE cube_usual_hour,
    PRIMARY KEY (user_key, bucket, organization_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_user_quarter_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    LIKE cube_usual_hour,
    PRIMARY KEY (user_key, bucket, organization_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_user_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cube_usual,
    PRIMARY KEY (user_key, bucket, organization_key, is_ai)
) WITH (fillfactor = 95);

CREATE TABLE cube_user_month (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    is_ai                smallint NOT NULL,
    currency_key         integer NOT NULL,
    LIKE cube_usual,
    LIKE cube_cost,
    PRIMARY KEY (user_key, bucket, organization_key, is_ai, currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_token_route_month (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    token_key            integer NOT NULL,
    route_key            integer NOT NULL,
    LIKE cube_calls,
    PRIMARY KEY (token_key, bucket, organization_key, route_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_user_agent_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    agent_key            integer NOT NULL,
    LIKE cube_usual,
    PRIMARY KEY (user_key, bucket, organization_key, agent_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_user_agent_month (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    agent_key            integer NOT NULL,
    LIKE cube_usual,
    PRIMARY KEY (user_key, bucket, organization_key, agent_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_user_model_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cube_usual,
    PRIMARY KEY (user_key, bucket, organization_key, provider_key, model_key, operation_key, is_ai)
) WITH (fillfactor = 95);

CREATE TABLE cube_user_model_month (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cube_usual,
    PRIMARY KEY (user_key, bucket, organization_key, provider_key, model_key, operation_key, is_ai)
) WITH (fillfactor = 95);

-- squawk-ignore ban-drop-table -- made above
DROP TABLE cube_calls, cube_usual, cube_usual_hour, cube_cost, cube_times, cube_received, cube_errors, cube_histogram;

-- For questions about all users: rows of a day lie together, because events are folded in the order in which they came.
CREATE INDEX cube_user_day_bucket ON cube_user_day USING brin (bucket) WITH (pages_per_range = 32, autosummarize = on);
-- For questions about all tokens of a route.
CREATE INDEX cube_token_route_month_route ON cube_token_route_month (route_key, bucket);
