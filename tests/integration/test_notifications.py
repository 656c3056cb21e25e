"""What is told is told once to each channel: signed, again until it is taken or given up, and to nobody inside."""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tally.database import Store
from tally.notifications import outbox, webhooks
from tally.notifications.outbox import Target
from tally.notifications.telling import tell
from tally.settings import Settings
from tests.support.logs import Log
from tests.support.postgres import execute, rows, scalar
from tests.support.receiver import Receiver, receiving, status
from tests.support.waiting import eventually

SECRET = webhooks.new_secret()
PAYLOAD = {"name": "b", "amount": 100, "subject": {"user_id": "anna"}}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def webhook(store: Store, url: str, secret: str = SECRET) -> Target:
    with store.connect() as connection:
        return Target("webhook", webhooks.add(connection, url, secret))


def notify(store: Store, *targets: Target, payload: Mapping[str, Any] = PAYLOAD) -> str:
    notification_id = outbox.new_id()
    with store.transaction() as connection:
        outbox.notify(connection, notification_id, "test.happened", payload, targets)
    return notification_id


def told(store: Store, *, private: bool = True) -> dict[str, int]:
    """What came out of telling what is due."""
    return {str(outcome): count for outcome, count in tell(store, "tests", private_webhooks=private).items()}


def due_again(url: str) -> None:
    """As if the time until the next attempt had passed."""
    execute(url, "UPDATE deliveries SET next_attempt_at = now() WHERE told_at IS NULL")


def errors(url: str) -> list[Any]:
    return [reason for (reason,) in rows(url, "SELECT last_error FROM deliveries ORDER BY id")]


def test_a_webhook_is_posted_what_happened_with_a_signature_that_verifies(store: Store, receiver: Receiver) -> None:
    made = notify(store, webhook(store, receiver.url))
    assert told(store) == {"told": 1}
    [(headers, body)] = receiver.posts
    [said] = receiver.verified(SECRET)
    assert headers["webhook-id"] == made
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("Tally/")
    assert said.keys() == {"type", "timestamp", "data"}
    assert (said["type"], said["data"]) == ("test.happened", PAYLOAD)
    assert datetime.fromisoformat(said["timestamp"]).tzinfo is not None
    for wrong_secret, wrong_body in [(webhooks.new_secret(), body), (SECRET, body + b" ")]:
        with pytest.raises(WebhookVerificationError):
            Webhook(wrong_secret).verify(wrong_body, headers)
    assert told(store) == {}


def test_a_receiver_that_refuses_is_told_the_same_again_until_it_takes_it(
    store: Store, database_url: str, receiver: Receiver
) -> None:
    receiver.answers = [status(500), status(404), status(400), status(201)]
    made = notify(store, webhook(store, receiver.url))
    for code in (500, 404, 400):
        assert told(store) == {"not told": 1}
        assert errors(database_url) == [f"answered {code}"]
        assert told(store) == {}
        due_again(database_url)
    assert told(store) == {"told": 1}
    assert receiver.ids == [made] * 4
    assert len({body for _, body in receiver.posts}) == 1
    receiver.verified(SECRET)
    assert rows(database_url, "SELECT attempts, last_error, given_up_at FROM deliveries") == [(4, None, None)]


def test_the_next_attempt_is_later_each_time(store: Store, database_url: str, receiver: Receiver) -> None:
    notify(store, webhook(store, receiver.url))
    for attempts in range(1, 6):
        receiver.answers = [status(503)]
        told(store)
        [(wait,)] = rows(database_url, "SELECT extract(epoch FROM next_attempt_at - now()) FROM deliveries")
        longest = 10 * 2 ** (attempts - 1)
        assert longest / 2 - 5 < wait <= longest
        due_again(database_url)


def test_a_redirect_is_not_followed(store: Store, database_url: str, receiver: Receiver) -> None:
    receiver.answers = [status(307, Location=receiver.url)]
    notify(store, webhook(store, receiver.url))
    assert told(store) == {"not told": 1}
    assert len(receiver.posts) == 1
    assert errors(database_url) == ["answered 307; redirects are not followed"]


def test_a_receiver_that_hangs_is_given_up_for_now_and_holds_up_nobody(
    store: Store, database_url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tally.notifications.webhooks.SECONDS", 3.0)
    receiver.answers = [receiver.hang] * 20
    with receiving() as other:
        hanging = webhook(store, receiver.url)
        for _ in range(8):
            notify(store, hanging)
        for _ in range(8):
            notify(store, webhook(store, other.url), Target("log"))
        teller = threading.Thread(target=told, args=(store,))
        teller.start()
        taken = "SELECT count(*) FROM deliveries WHERE told_at IS NOT NULL"
        eventually(lambda: scalar(database_url, taken) == 16, "telling the others")
        # While five of the eight that hang are under way, no transaction is open.
        assert (len(receiver.posts), len(other.posts)) == (5, 8)
        open_ones = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tests' AND xact_start IS NOT NULL"
        assert scalar(database_url, open_ones) == 0
        teller.join()
    assert {reason for reason in errors(database_url) if reason} == {"no answer within 3 s"}


def test_an_answer_without_end_is_not_read(store: Store, receiver: Receiver) -> None:
    receiver.answers = [receiver.pour]
    notify(store, webhook(store, receiver.url))
    before = time.monotonic()
    assert told(store) == {"told": 1}
    assert time.monotonic() - before < webhooks.SECONDS


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_no_private_address_is_connected_to_however_it_is_written(
    store: Store, database_url: str, receiver: Receiver, host: str
) -> None:
    notify(store, webhook(store, f"https://{host}:{receiver.port}/"))
    assert told(store, private=False) == {"not told": 1}
    [reason] = errors(database_url)
    assert re.search("not a public address|not one of a private network|not a canonical IPv4 address", reason)
    assert receiver.posts == []


def test_where_private_places_are_not_allowed_any_more_nothing_is_posted_there(
    store: Store, database_url: str, receiver: Receiver
) -> None:
    notify(store, webhook(store, receiver.url))
    assert told(store, private=False) == {"not told": 1}
    assert errors(database_url) == ["the URL is not allowed: expected an https URL such as https://example.com/hook"]
    due_again(database_url)
    assert told(store) == {"told": 1}


def test_what_a_url_has_behind_its_host_is_in_no_log(store: Store, database_url: str, log: Log) -> None:
    for url in (
        "https://127.1/SECRET",
        "https://127.0.0.1/SECRET",
        "https://localhost:1/SECRET",
        "ftp://localhost/SECRET",
    ):
        notify(store, webhook(store, url))
    assert told(store, private=False) == {"not told": 4}
    assert len(log()) == 4
    assert not any("SECRET" in reason for reason in errors(database_url))


def test_a_receiver_that_is_not_there_is_said(store: Store, database_url: str) -> None:
    with receiving() as gone:
        pass
    notify(store, webhook(store, gone.url))
    assert told(store) == {"not told": 1}
    [reason] = errors(database_url)
    assert "Cannot connect" in reason


def test_what_nobody_takes_for_three_days_is_given_up_with_a_line_in_the_log(
    store: Store, database_url: str, receiver: Receiver, log: Log
) -> None:
    made = notify(store, webhook(store, receiver.url))
    receiver.answers = [status(500)] * 2
    execute(database_url, "UPDATE notifications SET created_at = now() - interval '2 days 23 hours'")
    assert told(store) == {"not told": 1}
    execute(database_url, "UPDATE notifications SET created_at = now() - interval '3 days'")
    due_again(database_url)
    log()
    assert told(store) == {"given up": 1}
    [line] = log()
    assert (line["severity"], line["message"]) == ("ERROR", "notification given up")
    assert (line["notification_id"], line["channel"], line["attempts"]) == (made, "webhook", 2)
    due_again(database_url)
    assert told(store) == {}
    assert scalar(database_url, "SELECT given_up_at IS NOT NULL FROM deliveries")


def test_a_webhook_that_was_removed_is_told_nothing_more(store: Store, database_url: str, receiver: Receiver) -> None:
    target = webhook(store, receiver.url)
    notify(store, target)
    with store.connect() as connection:
        webhooks.remove(connection, target.name)
    assert told(store) == {"given up": 1}
    assert (errors(database_url), receiver.posts) == (["the webhook was removed"], [])


def test_what_is_still_to_be_told_goes_to_the_new_place_signed_with_the_new_secret(
    store: Store, database_url: str, receiver: Receiver
) -> None:
    with receiving() as gone:
        pass
    target = webhook(store, gone.url)
    notify(store, target)
    assert told(store) == {"not told": 1}
    due_again(database_url)
    secret = webhooks.new_secret()
    with store.connect() as connection:
        webhooks.move(connection, target.name, receiver.url)
        webhooks.rotate(connection, target.name, secret)
    assert told(store) == {"told": 1}
    assert len(receiver.verified(secret)) == 1


def test_many_who_tell_at_once_tell_each_once(settings: Settings, store: Store, receiver: Receiver) -> None:
    made = {notify(store, webhook(store, receiver.url)) for _ in range(60)}
    stores = [Store(settings, "tests", pool_size=1) for _ in range(4)]
    tellers = [threading.Thread(target=told, args=(own,)) for own in stores]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()
    for own in stores:
        own.dispose()
    told(store)
    assert len(receiver.posts) == 60
    assert {*receiver.ids} == made


def test_what_is_under_way_is_left_to_who_tells_it(store: Store, database_url: str, receiver: Receiver) -> None:
    made = notify(store, webhook(store, receiver.url))
    [claimed] = outbox.claim(store)
    assert outbox.claim(store) == []
    # Nothing was noted in time, so somebody else tries; what the first one notes afterwards changes nothing.
    due_again(database_url)
    assert told(store) == {"told": 1}
    assert outbox.not_told(store, claimed, "late", outbox.LEASE) is False
    assert (receiver.ids, errors(database_url)) == ([made], [None])
    assert scalar(database_url, "SELECT told_at IS NOT NULL FROM deliveries")


def test_the_log_has_the_scalars_and_nothing_personal(store: Store, log: Log) -> None:
    made = notify(store, Target("log"))
    assert told(store) == {"told": 1}
    [line] = log()
    assert (line["message"], line["severity"], line["notification_id"]) == ("test happened", "WARNING", made)
    assert (line["name"], line["amount"]) == ("b", 100)
    assert "anna" not in str(line)


def test_a_topic_without_credentials_is_told_later(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    notify(store, Target("topic", "projects/p/topics/t"))
    assert told(store) == {"not told": 1}
    [reason] = errors(database_url)
    assert "/nowhere/key.json" in reason


def test_a_secret_is_in_no_text_of_a_delivery(store: Store) -> None:
    notify(store, webhook(store, "https://example.com/"))
    [claimed] = outbox.claim(store)
    assert claimed.secret == SECRET
    assert SECRET not in repr(claimed)
    assert SECRET.encode() not in claimed.body()


def test_an_unfinished_transaction_tells_nobody(store: Store, receiver: Receiver) -> None:
    target = webhook(store, receiver.url)
    with store.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        outbox.notify(connection, outbox.new_id(), "test.happened", PAYLOAD, [target])
        assert told(store) == {}
        connection.exec_driver_sql("ROLLBACK")
    assert told(store) == {}
