-- Money: what things cost, what currencies are worth, how an event was priced, and who changed any of it.

-- The price that an event fell under when it was stored (or priced again). Where the sender said what it cost, that
-- wins, and what the price makes of it is kept beside it. No price and no cost of the sender's: unpriced.
ALTER TABLE usage_events
    ADD COLUMN price_id integer,
    ADD COLUMN list_currency_key integer,
    ADD COLUMN list_cost numeric;

-- Prices are never changed, only retired: what an event was priced with can always be looked up. `origin` is 'own' for
-- those of the team, which win, else the data set and its version. `model` of an own price may end in *. `conditions`
-- are labels that an event must have. `rates` (tally/pricing/price.py says what is in it) has decimals as text.
CREATE TABLE prices (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin     text NOT NULL,
    provider   text NOT NULL,
    model      text NOT NULL,
    conditions jsonb NOT NULL DEFAULT '{}',
    currency   text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    valid_from timestamptz NOT NULL,
    rates      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    replaces   integer REFERENCES prices (id),
    retired_at timestamptz
);

-- Of two versions that begin at the same time, neither would be in force.
CREATE UNIQUE INDEX prices_versions
    ON prices ((origin = 'own'), lower(provider), lower(model), conditions, valid_from) WHERE retired_at IS NULL;

-- How often the prices in force have changed. Who stores priced events holds the lock shared until the commit, who
-- changes prices holds it alone: after a change, no event is stored with the prices before it.
CREATE TABLE price_book (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
);
INSERT INTO price_book (version) VALUES (1);

-- For who stores priced events: true where `known` is the version of the prices in force, which stays so until the
-- transaction ends; else an error that says to read them again. Nothing to look at for events without a price.
CREATE FUNCTION take_price_book(known bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF known IS NULL THEN
        RETURN true;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(hashtext('tally price book'));
    IF known IS DISTINCT FROM (SELECT version FROM price_book) THEN
        RAISE EXCEPTION 'the prices in force have changed' USING ERRCODE = 'TLY02';
    END IF;
    RETURN true;
END
$$;

-- For who changes prices.
CREATE FUNCTION turn_price_book() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    turned bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tally price book'));
    UPDATE price_book SET version = version + 1 RETURNING version INTO turned;
    RETURN turned;
END
$$;

-- One `base` is `rate` `quote` on that day (UTC), as `source` says.
CREATE TABLE exchange_rates (
    base       text NOT NULL CHECK (base ~ '^[A-Z]{3}$'),
    quote      text NOT NULL CHECK (quote ~ '^[A-Z]{3}$' AND quote <> base),
    date       date NOT NULL,
    rate       numeric NOT NULL CHECK (rate > 0),
    source     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (base, quote, date)
);

-- Between two currencies on some days (UTC): an amount times `multiplier` by `divisor` is the amount in `quote`, so that
-- an inverse rate is not rounded. The newest rate up to the day counts, `dated` says of when it is; of equally new ones a
-- rate between the two (`way` is direct), then one the other way round (inverse), then by way of US dollars (cross), as
-- old as its older half. What is in `quote` already stays as it is (same). A pair and day without any rate has no row.
--
-- In PL/pgSQL, so that it is planned once a connection and costs nothing where nothing is asked. Of each leg, the rates from the last one before the days asked for to the last day are read once and spread over the
-- days on which they count; grouped by day, not joined, since the planner cannot know how few they are.
CREATE FUNCTION conversions(quote text, bases text[], days date[])
RETURNS TABLE (base text, day date, multiplier numeric, divisor numeric, dated date, way text)
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH wanted AS MATERIALIZED (
        SELECT DISTINCT pair.base, pair.day FROM unnest(bases, days) AS pair (base, day)
    ), bounds AS MATERIALIZED (
        SELECT min(wanted.day) AS first_day, max(wanted.day) AS last_day FROM wanted
    ), sides AS MATERIALIZED (
        SELECT one.base, row_number() OVER () AS side
        FROM (SELECT DISTINCT wanted.base FROM wanted) AS one
        WHERE one.base <> conversions.quote
    ), legs AS (
        SELECT sides.side, 'direct' AS leg, sides.base AS given, conversions.quote AS asked FROM sides
        UNION ALL
        SELECT sides.side, half.leg, half.given, half.asked
        FROM sides CROSS JOIN LATERAL (
            VALUES ('to', sides.base, 'USD'), ('from', 'USD', conversions.quote)
        ) AS half (leg, given, asked)
        WHERE 'USD' NOT IN (sides.base, conversions.quote)
    ), stretches AS (
        SELECT legs.side, legs.leg, rate.multiplier, rate.divisor, rate.date, rate.steps,
               greatest(rate.date, bounds.first_day) AS first_day,
               coalesce(
                   lead(rate.date) OVER (PARTITION BY legs.side, legs.leg ORDER BY rate.date, rate.steps DESC) - 1,
                   bounds.last_day
               ) AS last_day
        FROM legs CROSS JOIN bounds CROSS JOIN LATERAL (
            SELECT known.rate AS multiplier, 1::numeric AS divisor, known.date, 1 AS steps
            FROM exchange_rates AS known
            WHERE known.base = legs.given AND known.quote = legs.asked AND known.date <= bounds.last_day
              AND known.date >= coalesce((
                  SELECT max(before.date) FROM exchange_rates AS before
                  WHERE before.base = legs.given AND before.quote = legs.asked AND before.date <= bounds.first_day
              ), bounds.first_day)
            UNION ALL
            SELECT 1, known.rate, known.date, 2
            FROM exchange_rates AS known
            WHERE known.base = legs.asked AND known.quote = legs.given AND known.date <= bounds.last_day
              AND known.date >= coalesce((
                  SELECT max(before.date) FROM exchange_rates AS before
                  WHERE before.base = legs.asked AND before.quote = legs.given AND before.date <= bounds.first_day
              ), bounds.first_day)
        ) AS rate
    ), marks AS (
        SELECT stretches.side, stretches.first_day + number.ahead AS day, stretches.leg, stretches.multiplier,
               stretches.divisor, stretches.date AS dated, stretches.steps, NULL AS base
        FROM stretches
        CROSS JOIN LATERAL generate_series(0, stretches.last_day - stretches.first_day) AS number (ahead)
        UNION ALL
        SELECT sides.side, wanted.day, 'wanted', NULL, NULL, NULL, NULL, wanted.base
        FROM wanted JOIN sides ON sides.base = wanted.base
    ), found AS (
        SELECT max(marks.base) AS base, marks.day,
               max(marks.multiplier) FILTER (WHERE marks.leg = 'direct') AS multiplier,
               max(marks.divisor) FILTER (WHERE marks.leg = 'direct') AS divisor,
               max(marks.dated) FILTER (WHERE marks.leg = 'direct') AS dated,
               max(marks.steps) FILTER (WHERE marks.leg = 'direct') AS steps,
               max(marks.multiplier) FILTER (WHERE marks.leg = 'to')
                   * max(marks.multiplier) FILTER (WHERE marks.leg = 'from') AS cross_multiplier,
               max(marks.divisor) FILTER (WHERE marks.leg = 'to')
                   * max(marks.divisor) FILTER (WHERE marks.leg = 'from') AS cross_divisor,
               CASE WHEN count(*) FILTER (WHERE marks.leg IN ('to', 'from')) = 2
                   THEN min(marks.dated) FILTER (WHERE marks.leg IN ('to', 'from')) END AS cross_dated
        FROM marks
        GROUP BY marks.side, marks.day
    )
    SELECT found.base, found.day,
           CASE WHEN choice.is_cross THEN found.cross_multiplier ELSE found.multiplier END,
           CASE WHEN choice.is_cross THEN found.cross_divisor ELSE found.divisor END,
           CASE WHEN choice.is_cross THEN found.cross_dated ELSE found.dated END,
           CASE WHEN choice.is_cross THEN 'cross' WHEN found.steps = 1 THEN 'direct' ELSE 'inverse' END
    FROM found
    CROSS JOIN LATERAL (SELECT found.dated IS NULL OR found.cross_dated > found.dated) AS choice (is_cross)
    WHERE found.base IS NOT NULL AND coalesce(found.dated, found.cross_dated) IS NOT NULL
    UNION ALL
    SELECT wanted.base, wanted.day, 1, 1, wanted.day, 'same'
    FROM wanted
    WHERE wanted.base = conversions.quote;
END
$$;

-- Events to be priced again with the prices in force, those from `lower_time` up to `upper_time` of a provider and a model
-- where given. Events behind `until_seq` were stored with them anyway. It goes on behind (`at_time`, `at_seq`); `changes`
-- adds up what it did.
CREATE TABLE repricings (
    id           text PRIMARY KEY,
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL,
    provider     text,
    model        text,
    lower_time   timestamptz,
    upper_time   timestamptz,
    until_seq    bigint NOT NULL,
    at_time      timestamptz,
    at_seq       bigint,
    events       bigint NOT NULL DEFAULT 0,
    changes      jsonb NOT NULL DEFAULT '[]',
    finished_at  timestamptz
);

-- Who changed what, and how it was before. Names of tokens, never secrets.
CREATE TABLE audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      text NOT NULL,
    actor_id   text,
    action     text NOT NULL,
    kind       text NOT NULL,
    subject_id text NOT NULL,
    before     jsonb,
    after      jsonb
);
CREATE INDEX audit_log_subject ON audit_log (kind, subject_id, id);
