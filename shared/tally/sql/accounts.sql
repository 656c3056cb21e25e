-- name: page_of_accounts
-- Organizations by id (in the order of code points) after :after: those that are registered, and those that are known
-- from events only, which have neither name nor settings. A caller who may not see :everybody sees :organization_id.
SELECT id, key, name, plan, timezone, free_requests_limit, period_start_day, updated_at
FROM (
    SELECT coalesce(organizations.id, named.value) COLLATE "C" AS id, named.key, organizations.name, plan, timezone,
           free_requests_limit, period_start_day, updated_at
    FROM organizations
    FULL JOIN (SELECT key, value FROM dimensions WHERE kind = 'organization') AS named
        ON named.value = organizations.id
) AS accounts
WHERE id > :after AND (CAST(:everybody AS boolean) OR id = CAST(:organization_id AS text))
ORDER BY id
LIMIT :rows;
