DROP TABLE audit_log, repricings;
DROP FUNCTION conversions(text, text[], date[]);
DROP TABLE exchange_rates;
DROP FUNCTION turn_price_book(), take_price_book(bigint);
DROP TABLE price_book, prices;
ALTER TABLE usage_events DROP COLUMN price_id, DROP COLUMN list_currency_key, DROP COLUMN list_cost;
