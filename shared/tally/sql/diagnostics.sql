-- What was received lately, by the time of receipt. The keys of the caller's own organization and user keep it to its
-- own; null is everybody's.

-- name: received
-- How many events were received since :hour, and how many since :recent; and how many organizations have an event that
-- was received since :recent or were themselves changed since then.
WITH own AS NOT MATERIALIZED (
    SELECT received_at, organization_key
    FROM usage_events
    WHERE (CAST(:organization_key AS integer) IS NULL OR organization_key = CAST(:organization_key AS integer))
      AND (CAST(:user_key AS integer) IS NULL OR user_key = CAST(:user_key AS integer))
)
SELECT count(*) AS last_hour,
       count(*) FILTER (WHERE received_at > :recent) AS recent,
       (
           SELECT count(*)
           FROM (
               SELECT value
               FROM dimensions
               WHERE key IN (SELECT organization_key FROM own WHERE received_at > :recent)
               UNION
               SELECT id
               FROM organizations
               WHERE updated_at > :recent AND (CAST(:everybody AS boolean) OR id = CAST(:organization_id AS text))
           ) AS updated
       ) AS updated_accounts
FROM own
WHERE received_at > :hour;

-- name: errors
-- The errors received since :day by status and route, the most first, then the route known earlier. `last_error` is
-- the message received last.
SELECT status, route_key, count(*) AS errors,
       (array_agg(error_message ORDER BY received_at DESC, seq DESC) FILTER (WHERE error_message IS NOT NULL))[1]
           AS last_error
FROM usage_events
WHERE received_at > :day
  AND (status >= 400 OR (status IS NULL AND (error_message IS NOT NULL OR error_type_key IS NOT NULL)))
  AND (CAST(:organization_key AS integer) IS NULL OR organization_key = CAST(:organization_key AS integer))
  AND (CAST(:user_key AS integer) IS NULL OR user_key = CAST(:user_key AS integer))
GROUP BY status, route_key
ORDER BY errors DESC, status NULLS LAST, route_key NULLS LAST
LIMIT :rows;

-- name: slowest
-- Response times (milliseconds) of the calls received since :hour by route and method, the slowest on average first.
SELECT route_key, method_key, count(*) AS calls, count(response_time_ms) AS timed_requests,
       sum(response_time_ms) AS response_time_ms, max(response_time_ms) AS longest,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY response_time_ms) AS p95
FROM usage_events
WHERE received_at > :hour
  AND (CAST(:organization_key AS integer) IS NULL OR organization_key = CAST(:organization_key AS integer))
  AND (CAST(:user_key AS integer) IS NULL OR user_key = CAST(:user_key AS integer))
GROUP BY route_key, method_key
HAVING count(response_time_ms) > 0
ORDER BY sum(response_time_ms) / count(response_time_ms) DESC, route_key NULLS LAST, method_key NULLS LAST
LIMIT :rows;
