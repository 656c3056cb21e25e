-- Statements of exchange rates: one base is rate quote from a day on.

-- name: lock
-- Held until the end of the transaction by whoever changes rates, so that what is noted as before was so.
SELECT pg_advisory_xact_lock(hashtext('tally exchange rates'));

-- name: set
-- Sets rates, no two of the same pair and day; those that change anything are in the audit log. A row for each, in order.
WITH given AS (
    SELECT base, quote, date, rate, source, number
    FROM ROWS FROM (
        json_to_recordset(CAST(:rates AS json)) AS (base text, quote text, date date, rate numeric, source text)
    ) WITH ORDINALITY AS given (base, quote, date, rate, source, number)
), before AS (
    SELECT base, quote, date, known.rate, known.source, known.created_at
    FROM given JOIN exchange_rates AS known USING (base, quote, date)
), changed AS (
    INSERT INTO exchange_rates AS known (base, quote, date, rate, source)
    SELECT base, quote, date, rate, source FROM given
    ON CONFLICT (base, quote, date) DO UPDATE
    SET rate = excluded.rate, source = excluded.source, created_at = now()
    WHERE (known.rate, known.source) IS DISTINCT FROM (excluded.rate, excluded.source)
    RETURNING base, quote, date, rate, source, created_at
), noted AS (
    INSERT INTO audit_log (actor, actor_id, action, kind, subject_id, before, after)
    SELECT :actor, :actor_id, CASE WHEN before.rate IS NULL THEN 'create' ELSE 'update' END, 'exchange rate',
           base || '/' || quote || '/' || to_char(date, 'YYYY-MM-DD'),
           CASE WHEN before.rate IS NOT NULL THEN jsonb_build_object(
               'base', base, 'quote', quote, 'rate', before.rate, 'date', date, 'source', before.source
           ) END,
           jsonb_build_object('base', base, 'quote', quote, 'rate', changed.rate, 'date', date, 'source', changed.source)
    FROM given JOIN changed USING (base, quote, date) LEFT JOIN before USING (base, quote, date)
    ORDER BY number
)
SELECT coalesce(changed.created_at, before.created_at) AS created_at, changed.rate IS NOT NULL AS changed
FROM given LEFT JOIN changed USING (base, quote, date) LEFT JOIN before USING (base, quote, date)
ORDER BY number;

-- name: page
-- Rates of a pair and of days from :lower to before :upper where given, newest day first, from behind a rate.
SELECT base, quote, date, rate, source, created_at
FROM exchange_rates
WHERE (CAST(:base AS text) IS NULL OR base = :base)
  AND (CAST(:quote AS text) IS NULL OR quote = :quote)
  AND (CAST(:lower AS date) IS NULL OR date >= CAST(:lower AS date))
  AND (CAST(:upper AS date) IS NULL OR date < CAST(:upper AS date))
  AND (
      CAST(:behind_date AS date) IS NULL OR date < CAST(:behind_date AS date)
      OR date = CAST(:behind_date AS date) AND (base, quote) > (:behind_base, :behind_quote)
  )
ORDER BY date DESC, base, quote
LIMIT :rows;

-- name: delete
-- Takes a rate away; from then on the one before it counts.
DELETE FROM exchange_rates
WHERE base = :base AND quote = :quote AND date = CAST(:date AS date)
RETURNING rate, source;

-- name: conversion
-- How an amount in :base becomes one in :quote on a day; no row where no rate is known.
SELECT multiplier, divisor, dated, way
FROM conversions(:quote, ARRAY[CAST(:base AS text)], ARRAY[CAST(:day AS date)]);
