-- name: names_of_users
-- The ids of users by key, and what they are called: as in the latest of their last thousand events that has a name
-- (of a user without any name, all would be read), else as registered.
SELECT dimensions.key, dimensions.value AS user_id, COALESCE(latest.user_name, users.name) AS user_name
FROM dimensions
LEFT JOIN dimensions AS organization ON organization.key = dimensions.scope
LEFT JOIN users ON users.organization_id = COALESCE(organization.value, '') AND users.id = dimensions.value
LEFT JOIN LATERAL (
    SELECT user_name
    FROM (
        SELECT user_name, time, seq
        FROM usage_events
        WHERE user_key = dimensions.key
        ORDER BY time DESC, seq DESC
        LIMIT 1000
    ) AS last
    WHERE user_name IS NOT NULL
    ORDER BY time DESC, seq DESC
    LIMIT 1
) AS latest ON true
WHERE dimensions.key = ANY(CAST(:keys AS integer[]));
