-- Who the calls of a quarter come from and what they call. Of each list, an entry is drawn with the share that its
-- weight has among those of its system. Everything is made from ordinal numbers, so it is the same every time.

CREATE SCHEMA service;

CREATE TABLE service.systems (name text PRIMARY KEY, rank integer, source text, weight float8);
INSERT INTO service.systems VALUES
    ('content', 1, 'content-platform', 40),
    ('gateway', 2, 'gateway', 40),
    ('bots', 3, 'bot-platform', 15),
    ('generator', 4, 'generator', 5);

-- Few heavy and many light users: their weights follow Zipf's law, the first of a system is its heaviest.
CREATE TABLE service.users (
    system text, rank integer, organization_id text, user_id text, user_name text, weight float8,
    PRIMARY KEY (system, rank)
);
INSERT INTO service.users
SELECT 'content', n, 'org-content', (10000 + 37 * n)::text, 'Пользователь № ' || n, 1.0 / n
FROM generate_series(1, 1000) AS n
UNION ALL
SELECT 'bots', n, (ARRAY['org-shopbots', 'org-helpdesk', 'org-languages'])[1 + n % 3], 'bot-' || 1000 + n, NULL, 1.0 / n
FROM generate_series(1, 500) AS n
UNION ALL
SELECT 'generator', n, 'org-studio', 'c-' || 1000 + n, 'Автор № ' || n, 1.0 / n
FROM generate_series(1, 300) AS n;

CREATE TABLE service.tokens (
    system text, rank integer, organization_id text, team_id text, name text, token_hash text, weight float8,
    PRIMARY KEY (system, rank)
);
INSERT INTO service.tokens
SELECT 'gateway', n, 'org-gateway', 'team-' || 1 + n % 10, 'client-' || n,
       encode(sha256(convert_to('ntk_' || n, 'UTF8')), 'hex'), 1.0 / n
FROM generate_series(1, 200) AS n;

-- What is called: a route, or with the generator an operation. Response times are log-normal.
CREATE TABLE service.endpoints (
    system text, rank integer, route text, method text, operation text,
    median_ms float8, sigma float8, error_rate float8, weight float8,
    PRIMARY KEY (system, rank)
);
INSERT INTO service.endpoints VALUES
    ('content', 1, '/api/v1/content/generate', 'POST', NULL, 4200, 0.6, 0.024, 10),
    ('content', 2, '/api/v1/content/rewrite', 'POST', NULL, 2600, 0.6, 0.017, 6),
    ('content', 3, '/api/v1/content/plan', 'POST', NULL, 6100, 0.5, 0.031, 5),
    ('content', 4, '/api/v1/agents/run', 'POST', NULL, 7800, 0.7, 0.043, 4),
    ('content', 5, '/api/v1/content/hashtags', 'POST', NULL, 1100, 0.5, 0.009, 3),
    ('content', 6, '/api/v1/images/generate', 'POST', NULL, 11000, 0.4, 0.058, 2),
    ('bots', 1, '/api/v1/bots/messages', 'POST', NULL, 140, 0.7, 0.013, 8),
    ('bots', 2, '/api/v1/bots/updates', 'GET', NULL, 25, 0.5, 0.004, 4),
    ('bots', 3, '/api/v1/dialogs', 'GET', NULL, 60, 0.6, 0.008, 3),
    ('bots', 4, '/api/v1/ai/reply', 'POST', NULL, 1700, 0.6, 0.033, 3),
    ('bots', 5, '/api/v1/dialogs/search', 'POST', NULL, 230, 0.8, 0.027, 2),
    ('bots', 6, '/api/v1/broadcasts', 'POST', NULL, 380, 0.7, 0.041, 1),
    ('generator', 1, NULL, NULL, 'TEXT_GENERATION', 3200, 0.5, 0.015, 70),
    ('generator', 2, NULL, NULL, 'IMAGE_PROMPT', 1500, 0.5, 0.010, 18),
    ('generator', 3, NULL, NULL, 'IMAGE_GENERATION', 14000, 0.5, 0.060, 12);
INSERT INTO service.endpoints
SELECT 'gateway', n, '/' || service || '/v1/' || resource, method, NULL,
       20 + n * 7919 % 1500, 0.4 + n % 6 * 0.1, 0.004 + n * 31 % 50 / 1000.0, n ^ -0.8
FROM (
    SELECT service, resource, method, row_number() OVER (ORDER BY resource, service) AS n
    FROM (VALUES ('openai'), ('anthropic'), ('aws'), ('google'), ('stripe'), ('twilio'), ('sendgrid'), ('github'),
                 ('slack'), ('elastic'), ('weather'), ('internal')) AS services (service),
         (VALUES ('messages', 'POST'), ('search', 'POST'), ('objects', 'GET'), ('profile', 'GET'), ('orders', 'PUT'))
             AS resources (resource, method)
) AS routes;

-- Prices are in nano-dollars a token; where there is none, a call has no cost.
CREATE TABLE service.models (
    system text, rank integer, provider text, model text, median_input float8, median_output float8,
    input_price bigint, output_price bigint, weight float8,
    PRIMARY KEY (system, rank)
);
INSERT INTO service.models VALUES
    ('content', 1, 'openai', 'gpt-4o', 1900, 620, 2500, 10000, 10),
    ('content', 2, 'openai', 'gpt-4o-mini', 1500, 480, 150, 600, 7),
    ('content', 3, 'anthropic', 'claude-3-5-sonnet-20241022', 2600, 740, 3000, 15000, 5),
    ('content', 4, 'openai', 'gpt-4', 1200, 430, 30000, 60000, 4),
    ('content', 5, 'openai', 'o3-mini', 1400, 2300, 1100, 4400, 3),
    ('content', 6, 'huggingface', 'meta-llama/Llama-3.1-8B-Instruct', 1700, 510, NULL, NULL, 3),
    ('content', 7, 'anthropic', 'claude-3-haiku-20240307', 1300, 350, 250, 1250, 2),
    ('content', 8, 'huggingface', 'mistralai/Mistral-7B-Instruct-v0.3', 1100, 390, NULL, NULL, 2),
    ('content', 9, 'openai', 'gpt-4-turbo', 1300, 450, 10000, 30000, 1),
    ('generator', 1, 'gigachat', 'GigaChat', 420, 560, NULL, NULL, 5),
    ('generator', 2, 'gigachat', 'GigaChat-Pro', 610, 830, NULL, NULL, 2),
    ('generator', 3, 'gigachat', 'GigaChat-Max', 900, 1150, NULL, NULL, 1);

CREATE TABLE service.errors (rank integer PRIMARY KEY, status smallint, error_type text, message text, weight float8);
INSERT INTO service.errors VALUES
    (1, 429, 'rate_limit', 'Too many requests, try again later', 30),
    (2, 400, 'invalid_request', 'The request body does not match the schema', 18),
    (3, 500, 'server_error', 'Internal error of the called service', 14),
    (4, 503, 'overloaded', 'The service is overloaded', 10),
    (5, 401, 'authentication', 'The credentials were not accepted', 8),
    (6, 404, 'not_found', 'No such resource', 8),
    (7, 502, 'bad_gateway', 'Upstream closed the connection', 6),
    (8, 504, 'timeout', 'Upstream did not answer within 30 s', 4);

-- The lower bounds of the shares, for width_bucket(random(), bounds) to draw a rank. A view, because arrays that are
-- read from a table would be uncompressed for every call.
CREATE VIEW service.bounds AS
SELECT list, system, array_agg(bound ORDER BY rank) AS bounds
FROM (
    SELECT list, system, rank,
           (sum(weight) OVER (PARTITION BY list, system ORDER BY rank) - weight)
           / sum(weight) OVER (PARTITION BY list, system) AS bound
    FROM (
        SELECT 'systems' AS list, '' AS system, rank, weight FROM service.systems
        UNION ALL SELECT 'users', system, rank, weight FROM service.users
        UNION ALL SELECT 'tokens', system, rank, weight FROM service.tokens
        UNION ALL SELECT 'endpoints', system, rank, weight FROM service.endpoints
        UNION ALL SELECT 'models', system, rank, weight FROM service.models
        UNION ALL SELECT 'errors', '', rank, weight FROM service.errors
    ) AS entries
) AS shares
GROUP BY list, system;

-- One flat table of text, numbers and times, as an ORM makes it of the fields that the four systems report.
CREATE TABLE service.usage_log (
    id                bigint NOT NULL,
    event_id          text NOT NULL,
    created_at        timestamptz NOT NULL,
    source            text NOT NULL,
    organization_id   text,
    team_id           text,
    user_id           text,
    user_name         text,
    token_hash        text,
    token_type        text,
    route             text,
    method            text,
    status            integer,
    response_time_ms  double precision,
    error_type        text,
    error_message     text,
    provider          text,
    model             text,
    agent_id          text,
    operation         text,
    platform          text,
    content_type      text,
    task_type         text,
    workflow_id       text,
    content_id        text,
    request_id        text,
    topic             text,
    input_tokens      integer,
    output_tokens     integer,
    total_tokens      integer,
    cached_tokens     integer,
    cost_usd          numeric(18, 9),
    cost_rub          numeric(18, 9),
    ip_address        text,
    user_agent        text,
    labels            jsonb,
    request_metadata  jsonb,
    response_metadata jsonb
);
