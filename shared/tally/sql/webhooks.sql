-- name: add
-- A place to post to.
INSERT INTO webhooks (id, url, secret) VALUES (:id, :url, :secret);

-- name: move
-- Another place, which is sent what is still to be told.
UPDATE webhooks SET url = :url WHERE id = :id;

-- name: rotate
-- From now on everything is signed with another secret, also what is sent again.
UPDATE webhooks SET secret = :secret WHERE id = :id;

-- name: remove
-- Nothing more is sent there.
DELETE FROM webhooks WHERE id = :id;
