-- name: version
-- How often the prices in force have changed. Read before them: what is older is found out when it is used.
SELECT version FROM price_book;

-- name: in_force
-- All prices that are not retired, as one JSON text: row by row they take the driver three times as long. Their starts
-- are in microseconds since 1970.
SELECT CAST(coalesce(json_agg(json_build_array(
    id, origin, provider, model, conditions, currency, CAST(extract(epoch FROM valid_from) * 1000000 AS bigint), rates
)), '[]') AS text)
FROM prices
WHERE retired_at IS NULL;

-- name: turn
-- For who changes prices: nobody stores a priced event until the transaction ends, and then with the changed ones.
SELECT turn_price_book();

-- name: one
-- A price, retired or not, and which one replaced it.
SELECT price.*, (SELECT id FROM prices AS successor WHERE successor.replaces = price.id) AS replaced_by
FROM prices AS price
WHERE price.id = :id;

-- name: page
-- Prices that are not retired, newest first, from behind the id :behind; with :at those that hold at that time. A model
-- that ends in * finds all that begin so.
SELECT price.*, NULL::integer AS replaced_by
FROM prices AS price
WHERE price.retired_at IS NULL
  AND (CAST(:provider AS text) IS NULL OR lower(price.provider) = lower(:provider))
  AND (CAST(:model AS text) IS NULL OR lower(price.model) = lower(:model)
       OR (right(:model, 1) = '*' AND starts_with(lower(price.model), lower(rtrim(:model, '*')))))
  AND (CAST(:origin AS text) IS NULL OR price.origin = :origin)
  AND (CAST(:behind AS integer) IS NULL OR price.id < :behind)
  AND (CAST(:at AS timestamptz) IS NULL OR price.valid_from = (
      SELECT max(version.valid_from)
      FROM prices AS version
      WHERE version.retired_at IS NULL AND (version.origin = 'own') = (price.origin = 'own')
        AND lower(version.provider) = lower(price.provider) AND lower(version.model) = lower(price.model)
        AND version.conditions = price.conditions AND version.valid_from <= CAST(:at AS timestamptz)))
ORDER BY price.id DESC
LIMIT :rows;

-- name: same_version
-- The price that begins when another one of the same provider, model and conditions does.
SELECT id
FROM prices
WHERE retired_at IS NULL AND (origin = 'own') = (:origin = 'own') AND lower(provider) = lower(:provider)
  AND lower(model) = lower(:model) AND conditions = CAST(:conditions AS jsonb)
  AND valid_from = CAST(:valid_from AS timestamptz);

-- name: add
-- New prices, in the order given. No row for one that begins when another version does.
INSERT INTO prices (origin, provider, model, conditions, currency, valid_from, rates, created_by, replaces)
SELECT origin, provider, model, conditions, currency, valid_from, rates, :created_by, replaces
FROM ROWS FROM (jsonb_to_recordset(CAST(:prices AS jsonb)) AS (
    origin text, provider text, model text, conditions jsonb, currency text, valid_from timestamptz, rates jsonb,
    replaces integer)) WITH ORDINALITY
ORDER BY ordinality
ON CONFLICT DO NOTHING
RETURNING *, NULL::integer AS replaced_by;

-- name: retire
-- Ends prices for events to come. Those that were priced with them keep them.
UPDATE prices SET retired_at = now() WHERE id = ANY(CAST(:ids AS integer[])) AND retired_at IS NULL RETURNING id;

-- name: has_list
-- Whether the book ever had prices other than the team's own.
SELECT EXISTS (SELECT FROM prices WHERE origin <> 'own');
