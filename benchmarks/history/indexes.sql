-- The indexes that the four systems have.
CREATE INDEX ON service.usage_log (user_id);
CREATE INDEX ON service.usage_log (created_at);
CREATE INDEX ON service.usage_log (agent_id);
CREATE INDEX ON service.usage_log (model);
CREATE INDEX ON service.usage_log (operation);
CREATE INDEX ON service.usage_log (organization_id);
CREATE INDEX ON service.usage_log (route);
CREATE INDEX ON service.usage_log (token_hash);
CREATE INDEX ON service.usage_log (status);
