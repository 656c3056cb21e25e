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

-- Between two currencies on some days: an amount times `multiplier` by `divisor` is the amount in `quote`, so that an
-- inverse rate is not rounded. The newest rate up to the day counts, `dated` says of when it is; of equally new ones
-- a rate between the two, then its inverse, then by way of US dollars, as old as its older half. A pair and day
-- without any rate has no row.
CREATE FUNCTION conversions(quote text, bases text[], days date[])
RETURNS TABLE (base text, day date, multiplier numeric, divisor numeric, dated date)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH legs AS (
        SELECT wanted.base, wanted.day, pair.leg, way.*
        FROM unnest(bases, days) AS wanted (base, day)
        CROSS JOIN LATERAL (
            VALUES ('direct', wanted.base, conversions.quote), ('to', wanted.base, 'USD'), ('from', 'USD', conversions.quote)
        ) AS pair (leg, given, asked)
        CROSS JOIN LATERAL (
            SELECT *
            FROM (
                (SELECT rate AS multiplier, 1::numeric AS divisor, date AS dated, 1 AS steps
                 FROM exchange_rates AS known
                 WHERE known.base = pair.given AND known.quote = pair.asked AND known.date <= wanted.day
                 ORDER BY known.date DESC LIMIT 1)
                UNION ALL
                (SELECT 1::numeric, rate, date, 2
                 FROM exchange_rates AS known
                 WHERE known.base = pair.asked AND known.quote = pair.given AND known.date <= wanted.day
                 ORDER BY known.date DESC LIMIT 1)
            ) AS ways
            ORDER BY dated DESC, steps
            LIMIT 1
        ) AS way
        WHERE pair.given <> pair.asked
    ), found AS (
        SELECT base, day, multiplier, divisor, dated, steps FROM legs WHERE leg = 'direct'
        UNION ALL
        SELECT one.base, one.day, one.multiplier * other.multiplier, one.divisor * other.divisor,
               least(one.dated, other.dated), 3
        FROM legs AS one JOIN legs AS other ON other.base = one.base AND other.day = one.day
        WHERE one.leg = 'to' AND other.leg = 'from'
    )
    SELECT DISTINCT ON (found.base, found.day) found.base, found.day, found.multiplier, found.divisor, found.dated
    FROM found
    ORDER BY found.base, found.day, found.dated DESC, found.steps;
END;

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
