"""Tokens: made once, known by their hash, and remembered no longer than they may be."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tally import tokens
from tally.database import Store
from tally.errors import StoreUnavailable, Unauthenticated, Unprocessable
from tally.local import roles
from tally.tokens import Verifier
from tests.support.postgres import rows, scalar, settings_of


def test_a_secret_is_tly_and_43_characters_that_no_other_has() -> None:
    secrets = {tokens.new_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    assert all(re.fullmatch(r"tly_[A-Za-z0-9_-]{43}", secret) for secret in secrets)


def test_only_the_hash_of_a_secret_is_stored(store: Store, database_url: str) -> None:
    created = tokens.create(store, "app", ["ingest"])
    [row] = rows(database_url, "SELECT api_tokens::text FROM api_tokens")
    assert created.secret not in row[0]
    assert tokens.hash_of(created.secret) in row[0]


@pytest.mark.parametrize(
    ("name", "scopes", "bound"),
    [
        ("", ["ingest"], {}),
        ("x" * 201, ["ingest"], {}),
        ("a\0b", ["ingest"], {}),
        ("app", [], {}),
        ("app", ["ingest", "write"], {}),
        ("app", ["ingest"], {"organization_id": ""}),
        ("app", ["ingest"], {"user_id": "x" * 2001}),
        ("app", ["ingest"], {"team_id": "a\0b"}),
    ],
)
def test_a_token_that_could_not_be_used_is_not_made(
    store: Store, database_url: str, name: str, scopes: list[str], bound: dict[str, str]
) -> None:
    with pytest.raises(Unprocessable):
        tokens.create(store, name, scopes, **bound)  # type: ignore[arg-type]
    assert scalar(database_url, "SELECT count(*) FROM api_tokens") == 0


@pytest.mark.parametrize("token_hash", ["", "tly_secret", "0" * 63, "0" * 65, "G" * 64, "A" * 64, f"{'0' * 64}\n"])
def test_what_is_no_sha256_is_not_registered(store: Store, database_url: str, token_hash: str) -> None:
    with pytest.raises(Unprocessable, match="SHA-256"):
        tokens.register(store, "app", ["ingest"], token_hash)
    assert scalar(database_url, "SELECT count(*) FROM api_tokens") == 0


def test_a_secret_made_elsewhere_is_good_once_its_hash_is_registered(database_url: str) -> None:
    store = Store(settings_of(roles.url_of(database_url, "admin")), "tests")  # the cloud's job has no more rights
    secret = tokens.new_secret()
    made = tokens.register(store, "app", ["ingest"], tokens.hash_of(secret), organization_id="acme")
    principal = Verifier(store, 0).verify(secret)
    assert (principal.token_id, principal.name, principal.organization_id) == (made.id, "app", "acme")
    with pytest.raises(Unprocessable, match="there already"):
        tokens.register(store, "other", ["admin"], tokens.hash_of(secret))
    assert Verifier(store, 0).verify(secret).scopes == {"ingest"}
    store.dispose()


def test_a_principal_is_what_the_token_was_made_for(store: Store) -> None:
    created = tokens.create(store, "app", ["read:all", "ingest"], organization_id="acme", team_id="red", user_id="anna")
    principal = Verifier(store, 60).verify(created.secret)
    assert (principal.token_id, principal.name) == (created.id, "app")
    assert (principal.organization_id, principal.team_id, principal.user_id) == ("acme", "red", "anna")
    assert principal.scopes == {"read:all", "read", "ingest"}


def test_admin_implies_every_scope(store: Store) -> None:
    created = tokens.create(store, "app", ["admin"])
    assert Verifier(store, 60).verify(created.secret).scopes == set(tokens.SCOPES)


def test_a_good_answer_is_remembered_and_a_bad_one_is_not(store: Store) -> None:
    created, verifier = tokens.create(store, "app", ["ingest"]), Verifier(store, 60)
    assert verifier.remembered(created.secret) is None
    assert verifier.verify(created.secret) == verifier.remembered(created.secret)
    with pytest.raises(Unauthenticated):
        verifier.verify("tly_unknown")
    assert verifier.remembered("tly_unknown") is None


def test_nothing_is_remembered_for_no_time(store: Store) -> None:
    created, verifier = tokens.create(store, "app", ["ingest"]), Verifier(store, 0)
    verifier.verify(created.secret)
    assert verifier.remembered(created.secret) is None


def test_a_revoked_token_is_forgotten_when_it_is_asked_for_again(store: Store) -> None:
    created, verifier = tokens.create(store, "app", ["ingest"]), Verifier(store, 60, without_store=True)
    verifier.verify(created.secret)
    tokens.revoke(store, created.id)
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        verifier.verify(created.secret)
    assert verifier.remembered(created.secret) is None


def test_an_expired_token_is_unknown(store: Store) -> None:
    now = datetime.now(UTC)
    good = tokens.create(store, "app", ["ingest"], expires_at=now + timedelta(hours=1))
    gone = tokens.create(store, "app", ["ingest"], expires_at=now - timedelta(seconds=1))
    verifier = Verifier(store, 60)
    assert verifier.verify(good.secret).name == "app"
    with pytest.raises(Unauthenticated):
        verifier.verify(gone.secret)


def test_a_token_for_reporting_only_opens_nothing(store: Store) -> None:
    secret = "ntk_issued_elsewhere"
    tokens.register_reported(store, [(tokens.hash_of(secret), "gateway token", "team")])
    with pytest.raises(Unauthenticated):
        Verifier(store, 60).verify(secret)


def test_without_the_database_only_a_verifier_that_may_knows_what_it_knew(store: Store) -> None:
    created = tokens.create(store, "app", ["ingest"])
    settings = settings_of("postgresql://tally@/tally?host=/nowhere")
    for without_store in (True, False):
        verifier = Verifier(store, 0, without_store=without_store)
        known = verifier.verify(created.secret)
        verifier._store = Store(settings, "tests")
        if without_store:
            assert verifier.verify(created.secret) == known
        else:
            with pytest.raises(StoreUnavailable):
                verifier.verify(created.secret)
        with pytest.raises(StoreUnavailable):
            verifier.verify("tly_unknown")


def test_the_memory_of_tokens_is_bounded_whoever_asks_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_REMEMBERED_TOKENS", 3)
    secrets = [tokens.create(store, f"app {number}", ["ingest"]).secret for number in range(12)]
    verifier = Verifier(store, 60)
    with ThreadPoolExecutor(4) as threads:
        assert len({one.name for one in threads.map(verifier.verify, secrets * 3)}) == 12
    assert len(verifier._good) <= 3


def test_the_admins_own_secret_is_registered_once_and_lives_again(store: Store, database_url: str) -> None:
    secret = "chosen by the operator"
    for _ in range(2):
        tokens.register_admin(store, secret)
    assert scalar(database_url, "SELECT count(*) FROM api_tokens") == 1
    principal = Verifier(store, 0).verify(secret)
    tokens.revoke(store, principal.token_id)
    tokens.register_admin(store, secret)
    assert Verifier(store, 0).verify(secret).token_id == principal.token_id
