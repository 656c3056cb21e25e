-- Every value that a call may have, as dimensions. Tokens and routes get their keys in alphabetical order, so that
-- "the earlier known one first" and "the first in the alphabet" break a tie the same way.
CREATE FUNCTION service.digest(value text) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN left(encode(sha256(convert_to(value, 'UTF8')), 'hex'), 32)::uuid;

INSERT INTO dimensions (kind, digest, value)
SELECT kind, service.digest(value), value
FROM (
    SELECT 'source' AS kind, source AS value FROM service.systems
    UNION SELECT 'sender', source FROM service.systems
    UNION SELECT 'organization', organization_id FROM service.users
    UNION SELECT 'organization', organization_id FROM service.tokens
    UNION SELECT 'team', team_id FROM service.tokens
    UNION SELECT 'token', token_hash FROM service.tokens
    UNION SELECT 'token_type', unnest(ARRAY['personal', 'team', 'guest'])
    UNION SELECT 'route', route FROM service.endpoints
    UNION SELECT 'method', method FROM service.endpoints
    UNION SELECT 'operation', operation FROM service.endpoints
    UNION SELECT 'error_type', error_type FROM service.errors
    UNION SELECT 'provider', provider FROM service.models
    UNION SELECT 'model', model FROM service.models
    UNION SELECT 'agent', unnest(ARRAY['copywriter', 'strategist', 'editor', 'illustrator', 'researcher'])
    UNION SELECT 'platform', unnest(ARRAY['telegram', 'vk', 'instagram', 'dzen', 'web', 'api'])
    UNION SELECT 'content_type', unnest(ARRAY['post', 'story', 'article', 'caption'])
    UNION SELECT 'task_type', unnest(ARRAY['draft', 'rewrite', 'translate', 'summarize'])
    UNION SELECT 'currency', unnest(ARRAY['USD', 'RUB', 'USD,RUB'])
) AS found
WHERE value IS NOT NULL
ORDER BY kind, value;

INSERT INTO dimensions (kind, scope, digest, value)
SELECT 'user', organization.key, service.digest(user_id), user_id
FROM service.users
JOIN dimensions AS organization ON organization.kind = 'organization' AND organization.value = organization_id
ORDER BY system, users.rank;

INSERT INTO api_tokens (id, name, token_hash, team_id)
SELECT 'tok-' || rank, name, token_hash, team_id FROM service.tokens;

ANALYZE dimensions;
