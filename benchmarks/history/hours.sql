-- How many of %(events)s calls fall into each hour of the %(days)s days before %(end)s: fewer by night and at weekends.
-- Calls are numbered in the order of time.
CREATE TABLE service.hours AS
SELECT lower, lag(total, 1, 0::bigint) OVER (ORDER BY lower) AS first_id,
       total - lag(total, 1, 0::bigint) OVER (ORDER BY lower) AS calls
FROM (
    SELECT lower, round(%(events)s * sum(weight) OVER (ORDER BY lower) / sum(weight) OVER ())::bigint AS total
    FROM (
        SELECT lower,
               (1 - 0.8 * cos(2 * pi() * (extract(hour FROM lower) - 1) / 24))
               * CASE WHEN extract(isodow FROM lower) < 6 THEN 1 ELSE 0.6 END AS weight
        FROM generate_series(%(end)s - make_interval(days => %(days)s), %(end)s - interval '1 hour', interval '1 hour') AS lower
    ) AS weights
) AS totals;
