-- name: tokens_named
-- The keys of the tokens whose registered name has a text in it, in any case.
SELECT dimensions.key
FROM api_tokens
JOIN dimensions ON dimensions.kind = 'token' AND dimensions.scope = 0
    AND dimensions.digest = CAST(left(encode(sha256(convert_to(api_tokens.token_hash, 'UTF8')), 'hex'), 32) AS uuid)
WHERE strpos(lower(api_tokens.name), lower(:text)) > 0;
