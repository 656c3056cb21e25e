-- One transaction's worth of the flat table as rows of usage_events, as the recorder would have stored them.
INSERT INTO usage_events (
    time, txid, received_at, sender_key, source_key, id,
    organization_key, team_key, user_key, token_key, token_type_key,
    route_key, method_key, error_type_key, provider_key, model_key, agent_key, operation_key, platform_key,
    content_type_key, task_type_key, currency_key, status, input_tokens, output_tokens, total_tokens,
    cached_input_tokens, response_time_ms, cost, cost_usd, cost_rub,
    user_name, error_message, ip_address, user_agent,
    workflow_id, content_id, request_id, topic, labels, request_metadata, response_metadata
)
SELECT created_at, (SELECT event_txid()), created_at + interval '80 ms', sender.key, source.key, event_id,
       organization.key, team.key, "user".key, token.key, token_type.key,
       route.key, method.key, error_type.key, provider.key, model.key, agent.key, operation.key, platform.key,
       content_type.key, task_type.key, currency.key, status, input_tokens, output_tokens, total_tokens,
       cached_tokens, response_time_ms::numeric, coalesce(cost_usd, cost_rub), cost_usd, cost_rub,
       user_name, error_message, ip_address, user_agent,
       workflow_id, content_id, request_id, topic, labels, request_metadata, response_metadata
FROM service.usage_log AS log
JOIN dimensions AS sender ON sender.kind = 'sender' AND sender.value = log.source
JOIN dimensions AS source ON source.kind = 'source' AND source.value = log.source
LEFT JOIN dimensions AS organization ON organization.kind = 'organization' AND organization.value = log.organization_id
LEFT JOIN dimensions AS team ON team.kind = 'team' AND team.value = log.team_id
LEFT JOIN dimensions AS "user"
       ON "user".kind = 'user' AND "user".value = log.user_id AND "user".scope = organization.key
LEFT JOIN dimensions AS token ON token.kind = 'token' AND token.value = log.token_hash
LEFT JOIN dimensions AS token_type ON token_type.kind = 'token_type' AND token_type.value = log.token_type
LEFT JOIN dimensions AS route ON route.kind = 'route' AND route.value = log.route
LEFT JOIN dimensions AS method ON method.kind = 'method' AND method.value = log.method
LEFT JOIN dimensions AS error_type ON error_type.kind = 'error_type' AND error_type.value = log.error_type
LEFT JOIN dimensions AS provider ON provider.kind = 'provider' AND provider.value = log.provider
LEFT JOIN dimensions AS model ON model.kind = 'model' AND model.value = log.model
LEFT JOIN dimensions AS agent ON agent.kind = 'agent' AND agent.value = log.agent_id
LEFT JOIN dimensions AS operation ON operation.kind = 'operation' AND operation.value = log.operation
LEFT JOIN dimensions AS platform ON platform.kind = 'platform' AND platform.value = log.platform
LEFT JOIN dimensions AS content_type ON content_type.kind = 'content_type' AND content_type.value = log.content_type
LEFT JOIN dimensions AS task_type ON task_type.kind = 'task_type' AND task_type.value = log.task_type
LEFT JOIN dimensions AS currency
       ON currency.kind = 'currency'
      AND currency.value = concat_ws(',', CASE WHEN cost_usd IS NOT NULL THEN 'USD' END,
                                          CASE WHEN cost_rub IS NOT NULL THEN 'RUB' END)
WHERE log.id >= %(first)s AND log.id < %(last)s
ORDER BY log.id;
