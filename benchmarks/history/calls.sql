-- Adds the calls of the hours from %(lower)s to %(upper)s to the flat table. After setseed they are the same every
-- time.
INSERT INTO service.usage_log
WITH chances AS MATERIALIZED (
    SELECT systems.name AS system, systems.source, users.bounds AS users, tokens.bounds AS tokens,
           endpoints.bounds AS endpoints, models.bounds AS models
    FROM service.systems
    LEFT JOIN service.bounds AS users ON users.list = 'users' AND users.system = systems.name
    LEFT JOIN service.bounds AS tokens ON tokens.list = 'tokens' AND tokens.system = systems.name
    LEFT JOIN service.bounds AS endpoints ON endpoints.list = 'endpoints' AND endpoints.system = systems.name
    LEFT JOIN service.bounds AS models ON models.list = 'models' AND models.system = systems.name
),
calls AS (
    SELECT hours.first_id + n AS id,
           hours.lower + (n + random()) / hours.calls * interval '1 hour' AS created_at,
           width_bucket(random(), (SELECT bounds FROM service.bounds WHERE list = 'systems')) AS system_rank
    FROM service.hours, generate_series(0, hours.calls - 1) AS n
    WHERE hours.lower >= %(lower)s AND hours.lower < %(upper)s
),
draws AS (
    SELECT calls.id, calls.created_at, chances.system, chances.source,
           width_bucket(random(), chances.users) AS user_rank,
           width_bucket(random(), chances.tokens) AS token_rank,
           width_bucket(random(), chances.endpoints) AS endpoint_rank,
           width_bucket(random(), chances.models) AS model_rank,
           width_bucket(random(), (SELECT bounds FROM service.bounds WHERE list = 'errors')) AS error_rank,
           random() AS luck,
           random_normal() AS duration,
           random_normal() AS input,
           random_normal() AS output,
           random() AS other
    FROM calls
    JOIN service.systems ON systems.rank = calls.system_rank
    JOIN chances ON chances.system = systems.name
),
outcomes AS MATERIALIZED ( -- or each use of a field would compute it again
    SELECT draws.*,
           coalesce(users.organization_id, tokens.organization_id) AS organization_id,
           -- A guest of the generator is known by the type of the access token only.
           CASE WHEN draws.system <> 'generator' OR other < 0.75 THEN users.user_id END AS user_id,
           CASE WHEN draws.system <> 'generator' OR other < 0.75 THEN users.user_name END AS user_name,
           tokens.team_id, tokens.token_hash,
           endpoints.route, endpoints.method, endpoints.operation,
           round((endpoints.median_ms * exp(endpoints.sigma * duration))::numeric, 1)::float8 AS response_time_ms,
           errors.status, errors.error_type, errors.message,
           models.provider, models.model, models.input_price, models.output_price,
           -- Nothing is counted of a failed call. Of the bots' calls only AI replies have tokens, and only a total.
           CASE WHEN errors.status IS NOT NULL THEN NULL
                WHEN models.model IS NOT NULL THEN ceil(models.median_input * exp(0.6 * input))::integer
           END AS input_tokens,
           CASE WHEN errors.status IS NOT NULL THEN NULL
                WHEN models.model IS NOT NULL THEN ceil(models.median_output * exp(0.5 * output))::integer
                WHEN endpoints.route = '/api/v1/ai/reply' THEN ceil(780 * exp(0.5 * output))::integer
           END AS output_tokens,
           lpad(to_hex((extract(epoch FROM draws.created_at) * 1000)::bigint), 12, '0') AS hex_time,
           md5(draws.id::text) AS hex_id
    FROM draws
    JOIN service.endpoints ON endpoints.system = draws.system AND endpoints.rank = draws.endpoint_rank
    LEFT JOIN service.users ON users.system = draws.system AND users.rank = draws.user_rank
    LEFT JOIN service.tokens ON tokens.system = draws.system AND tokens.rank = draws.token_rank
    LEFT JOIN service.models ON models.system = draws.system AND models.rank = draws.model_rank
    LEFT JOIN service.errors ON errors.rank = draws.error_rank AND draws.luck < endpoints.error_rate
),
amounts AS MATERIALIZED (
    SELECT outcomes.*,
           coalesce(input_tokens, 0) + output_tokens AS total_tokens,
           CASE system
               WHEN 'content' THEN CASE WHEN status IS NULL
                                        THEN input_tokens * input_price + output_tokens * output_price ELSE 0 END
               WHEN 'bots' THEN CASE WHEN other < 0.6 THEN output_tokens * 1500 END
           END AS nano_usd,
           -- 1000 RUB for 5 million tokens
           CASE WHEN system = 'generator' THEN coalesce(input_tokens + output_tokens, 0) * 200000::bigint
           END AS nano_rub
    FROM outcomes
)
SELECT id,
       (hex_time || '7' || substr(hex_id, 1, 3) || 'a' || substr(hex_id, 4, 15))::uuid::text AS event_id,
       created_at, source, organization_id, team_id, user_id, user_name, token_hash,
       CASE WHEN system = 'generator' THEN CASE WHEN other < 0.60 THEN 'personal' WHEN other < 0.75 THEN 'team'
                                                ELSE 'guest' END END AS token_type,
       route, method,
       coalesce(status, CASE method WHEN 'PUT' THEN 201 ELSE 200 END) AS status,
       response_time_ms, error_type, message AS error_message, provider, model,
       CASE WHEN system = 'content'
            THEN (ARRAY['copywriter', 'strategist', 'editor', 'illustrator', 'researcher'])
                 [ceil(5 * (1 - random()) ^ 1.5)::integer] END AS agent_id,
       operation,
       CASE system WHEN 'content' THEN (ARRAY['telegram', 'vk', 'instagram', 'dzen'])[random(1, 4)]
                   WHEN 'generator' THEN (ARRAY['web', 'telegram', 'vk', 'api'])[random(1, 4)] END AS platform,
       CASE WHEN system = 'content'
            THEN (ARRAY['post', 'story', 'article', 'caption'])[random(1, 4)] END AS content_type,
       CASE WHEN system = 'content'
            THEN (ARRAY['draft', 'rewrite', 'translate', 'summarize'])[random(1, 4)] END AS task_type,
       CASE WHEN system = 'content'
            THEN (ARRAY['wf-daily-post', 'wf-campaign', 'wf-newsletter', 'wf-on-demand'])[random(1, 4)]
       END AS workflow_id,
       CASE WHEN system = 'content' THEN 'content-' || random(0, 1048575) END AS content_id,
       CASE system WHEN 'content' THEN 'req_' || left(hex_id, 16) WHEN 'bots' THEN hex_id END AS request_id,
       CASE WHEN system = 'generator'
            THEN (ARRAY['Новости компании', 'Рецепты на неделю', 'Путешествия по Карелии', 'Финансовая грамотность',
                        'Домашние тренировки', 'Ремонт своими руками', 'История Санкт-Петербурга'])[random(1, 7)]
       END AS topic,
       input_tokens, CASE WHEN model IS NOT NULL THEN output_tokens END AS output_tokens, total_tokens,
       CASE WHEN system = 'content' AND other < 0.7 THEN (input_tokens * other / 2)::integer END AS cached_tokens,
       nano_usd * 0.000000001 AS cost_usd,
       -- System A keeps both currencies, at 92.50 RUB for one dollar.
       CASE WHEN system = 'content' THEN nano_usd * 925 / 10 ELSE nano_rub END * 0.000000001 AS cost_rub,
       CASE WHEN system IN ('gateway', 'bots')
            THEN (ARRAY['192.0.2.', '198.51.100.', '203.0.113.', '2001:db8::'])[random(1, 4)] || random(1, 254)
       END AS ip_address,
       CASE WHEN system = 'gateway'
            THEN (ARRAY['python-httpx/0.28.1', 'axios/1.7.9', 'okhttp/4.12.0', 'Go-http-client/2.0', 'curl/8.11.1',
                        'PostmanRuntime/7.43.0'])[random(1, 6)] END AS user_agent,
       CASE WHEN system = 'content'
            THEN jsonb_build_object('tier', (ARRAY['free', 'pro', 'enterprise'])[random(1, 3)]) END AS labels,
       CASE WHEN system = 'content' AND status IS NULL
            THEN jsonb_build_object('stream', other < 0.5, 'temperature', random(1, 10) * 0.1) END AS request_metadata,
       CASE WHEN system = 'content' AND status IS NULL
            THEN jsonb_build_object('finish_reason', CASE WHEN other < 0.96 THEN 'stop' ELSE 'length' END) END
           AS response_metadata
FROM amounts
ORDER BY id;
