-- Costs get cubes of their own: apart by currency, so that each day's amounts are converted at that day's rate, and
-- changed when events are priced again. All figures are folded again from the raw events: until the rollup has done
-- so, they count as unfolded, and every figure stays exact. The version before would fold into columns that are gone.

DO $$ BEGIN
    IF coalesce(current_setting('tally.forget_old_figures', true), '') <> 'on'
        AND EXISTS (
            SELECT FROM cube_source_day
            WHERE bucket < coalesce((SELECT date_trunc('day', min(time), 'UTC') FROM usage_events), 'infinity')
        )
    THEN
        RAISE EXCEPTION 'there are figures of days whose raw events are gone, which cannot be folded again'
            USING HINT = 'To go on without them: ALTER DATABASE … SET tally.forget_old_figures = on; then migrate again.';
    END IF;
END $$;

UPDATE settings SET value = '"0006_cost_cubes"', updated_at = now() WHERE name = 'works_from';
UPDATE fold_state SET watermark = 0;
-- squawk-ignore ban-drop-table -- a function of the version before answers 503 as soon as this migration is there
DROP TABLE cube_source_hour, cube_source_day, cube_status_day, cube_route_hour,
    cube_route_quarter_day, cube_route_day, cube_token_hour, cube_token_quarter_day,
    cube_token_day, cube_model_hour, cube_model_quarter_day, cube_agent_hour,
    cube_model_day, cube_route_status_month, cube_user_hour, cube_user_quarter_day,
    cube_user_day, cube_user_month, cube_token_route_month, cube_user_agent_day,
    cube_user_agent_month, cube_user_model_day, cube_user_model_month;

-- As they were, without costs and their currencies.
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
    input_tokens         numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    total_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    estimated_tokens     numeric NOT NULL,
    min_response_time_ms numeric,
    max_response_time_ms numeric
);
CREATE TABLE cube_usual_hour (
    requests             integer NOT NULL,
    errors               integer NOT NULL,
    timed_requests       integer NOT NULL,
    response_time_ms     numeric NOT NULL,
    input_tokens         numeric NOT NULL,
    output_tokens        numeric NOT NULL,
    total_tokens         numeric NOT NULL,
    cached_input_tokens  numeric NOT NULL,
    estimated_tokens     numeric NOT NULL,
    min_response_time_ms numeric,
    max_response_time_ms numeric
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
    LIKE cube_usual_hour,
    PRIMARY KEY (bucket, organization_key, source_key)
) WITH (fillfactor = 95);

CREATE TABLE cube_source_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    source_key           integer NOT NULL,
    LIKE cube_usual,
    LIKE cube_times,
    LIKE cube_received,
    LIKE cube_histogram,
    PRIMARY KEY (bucket, organization_key, source_key)
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
    LIKE cube_usual,
    LIKE cube_histogram,
    PRIMARY KEY (bucket, organization_key, agent_key, provider_key, model_key, operation_key, token_type_key, is_ai)
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
    LIKE cube_usual,
    PRIMARY KEY (user_key, bucket, organization_key, is_ai)
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
DROP TABLE cube_calls, cube_usual, cube_usual_hour, cube_times, cube_received, cube_errors, cube_histogram;

-- For questions about all users: rows of a day lie together, because events are folded in the order in which they came.
CREATE INDEX cube_user_day_bucket ON cube_user_day USING brin (bucket) WITH (pages_per_range = 32, autosummarize = on);
-- For questions about all tokens of a route.
CREATE INDEX cube_token_route_month_route ON cube_token_route_month (route_key, bucket);

-- Key 0 stands for "no value"; of `currency_key`, for "unpriced". `list_currency_key` is that of `list_cost`, 0 where
-- the sender did not say what it cost, or where nothing but that is known.
CREATE TABLE cost_day (
    currency_key         integer NOT NULL,
    list_currency_key    integer NOT NULL,
    billed_requests      bigint NOT NULL,
    cost                 numeric NOT NULL,
    cost_usd             numeric NOT NULL,
    cost_rub             numeric NOT NULL,
    list_cost            numeric NOT NULL
);
CREATE TABLE cost_hour (
    currency_key         integer NOT NULL,
    list_currency_key    integer NOT NULL,
    billed_requests      integer NOT NULL,
    cost                 numeric NOT NULL,
    cost_usd             numeric NOT NULL,
    cost_rub             numeric NOT NULL,
    list_cost            numeric NOT NULL
);

CREATE TABLE cost_source_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    source_key           integer NOT NULL,
    LIKE cost_hour,
    PRIMARY KEY (bucket, organization_key, source_key, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_source_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    source_key           integer NOT NULL,
    LIKE cost_day,
    PRIMARY KEY (bucket, organization_key, source_key, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_status_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    status               smallint NOT NULL,
    error_type_key       integer NOT NULL,
    LIKE cost_day,
    PRIMARY KEY (bucket, organization_key, status, error_type_key, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_route_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    route_key            integer NOT NULL,
    method_key           integer NOT NULL,
    LIKE cost_hour,
    PRIMARY KEY (bucket, organization_key, route_key, method_key, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_route_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    route_key            integer NOT NULL,
    method_key           integer NOT NULL,
    LIKE cost_day,
    PRIMARY KEY (bucket, organization_key, route_key, method_key, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_token_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    token_key            integer NOT NULL,
    LIKE cost_hour,
    PRIMARY KEY (bucket, organization_key, token_key, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_token_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    team_key             integer NOT NULL,
    token_key            integer NOT NULL,
    LIKE cost_day,
    PRIMARY KEY (bucket, organization_key, team_key, token_key, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_model_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cost_hour,
    PRIMARY KEY (bucket, organization_key, provider_key, model_key, operation_key, is_ai, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_model_quarter_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cost_hour,
    PRIMARY KEY (bucket, organization_key, provider_key, model_key, operation_key, is_ai, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_agent_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    agent_key            integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cost_hour,
    PRIMARY KEY (bucket, organization_key, agent_key, is_ai, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_model_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    agent_key            integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    token_type_key       integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cost_day,
    PRIMARY KEY (bucket, organization_key, agent_key, provider_key, model_key, operation_key, token_type_key, is_ai, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_user_hour (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    LIKE cost_hour,
    PRIMARY KEY (user_key, bucket, organization_key, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_user_quarter_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    LIKE cost_hour,
    PRIMARY KEY (user_key, bucket, organization_key, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_user_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cost_day,
    PRIMARY KEY (user_key, bucket, organization_key, is_ai, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_user_agent_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    agent_key            integer NOT NULL,
    LIKE cost_day,
    PRIMARY KEY (user_key, bucket, organization_key, agent_key, currency_key, list_currency_key)
) WITH (fillfactor = 95);

CREATE TABLE cost_user_model_day (
    bucket               timestamptz NOT NULL,
    organization_key     integer NOT NULL,
    user_key             integer NOT NULL,
    provider_key         integer NOT NULL,
    model_key            integer NOT NULL,
    operation_key        integer NOT NULL,
    is_ai                smallint NOT NULL,
    LIKE cost_day,
    PRIMARY KEY (user_key, bucket, organization_key, provider_key, model_key, operation_key, is_ai, currency_key, list_currency_key)
) WITH (fillfactor = 95);

-- squawk-ignore ban-drop-table -- made above
DROP TABLE cost_day, cost_hour;

-- For questions about all users, as cube_user_day_bucket.
CREATE INDEX cost_user_day_bucket ON cost_user_day USING brin (bucket) WITH (pages_per_range = 32, autosummarize = on);
