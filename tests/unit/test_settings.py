"""Settings are read when asked for, and what cannot be meant is refused by name."""

import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tally.errors import ConfigurationError
from tally.settings import Settings, expected, read, settings, shown, variable

Environment = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """Sets TALLY_ variables; none is set before."""
    for name in os.environ:
        if name.startswith("TALLY_"):
            monkeypatch.delenv(name)

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    yield set_variables
    settings.cache_clear()


@pytest.mark.usefixtures("environment")
def test_defaults_need_no_environment() -> None:
    chosen = read()
    assert (chosen.port, chosen.data_dir, chosen.sample) == (8080, Path(".tally"), True)
    assert (chosen.raw_retention_days, chosen.log_level) == (400, "INFO")
    assert (chosen.token_ttl_seconds, chosen.query_timeout_seconds) == (2, 4.5)


def test_each_setting_has_a_variable_a_meaning_and_an_expectation() -> None:
    for name, field in Settings.model_fields.items():
        assert variable(name) == f"TALLY_{name.upper()}"
        assert field.description
        assert expected(name)


def test_the_environment_is_read_once_until_it_is_read_again(environment: Environment) -> None:
    environment(TALLY_PORT="9000")
    assert settings() is settings()
    assert settings().port == 9000
    environment(TALLY_PORT="9001")
    assert settings().port == 9001


def test_options_win_and_none_is_no_option(environment: Environment) -> None:
    environment(TALLY_PORT="9000", TALLY_SAMPLE="0")
    chosen = read(port=9001, sample=None)
    assert (chosen.port, chosen.sample) == (9001, False)


def test_an_empty_variable_is_not_set(environment: Environment) -> None:
    environment(TALLY_PORT="", TALLY_ADMIN_TOKEN="")
    assert (read().port, read().admin_token) == (8080, None)


@pytest.mark.usefixtures("environment")
def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("TALLY_PROT", "TALLY_PORT"), ("TALLY_DATABASE", "TALLY_DATABASE_"), ("tally_sampel", "TALLY_SAMPLE")],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known_name(
    environment: Environment, name: str, nearest: str
) -> None:
    environment(**{name: "1"})
    with pytest.raises(ConfigurationError, match=rf"^{name} is not a setting.*did you mean {nearest}"):
        settings()


def test_an_unknown_variable_near_to_nothing_is_refused_with_all_names(environment: Environment) -> None:
    environment(TALLY_QQQQ="1")
    with pytest.raises(ConfigurationError, match=r"TALLY_QQQQ.*TALLY_PORT.*TALLY_QUERY_TIMEOUT_SECONDS"):
        settings()


def test_variables_of_others_are_none_of_our_business(environment: Environment) -> None:
    environment(_TALLY_STACK="x", TALLYHO="1", PORT="nonsense")
    assert read().port == 8080


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TALLY_PORT", "http"),
        ("TALLY_PORT", "0"),
        ("TALLY_PORT", "65536"),
        ("TALLY_SAMPLE", "perhaps"),
        ("TALLY_FUNCTION", "dashbord"),
        ("TALLY_TOPIC", "usage-events"),
        ("TALLY_RECORD_URL", "localhost:8082"),
        ("TALLY_RAW_RETENTION_DAYS", "0"),
        ("TALLY_RAW_RETENTION_DAYS", "1.5"),
        ("TALLY_LOG_LEVEL", "LOUD"),
        ("TALLY_TOKEN_TTL_SECONDS", "-1"),
        ("TALLY_TOKEN_TTL_SECONDS", "inf"),
        ("TALLY_QUERY_TIMEOUT_SECONDS", "nan"),
        ("TALLY_QUERY_TIMEOUT_SECONDS", "0"),
        ("TALLY_CLOUD_SQL_INSTANCE", "instance"),
        ("TALLY_DATABASE_USERS", "reader"),
        ("TALLY_DATABASE_USERS", "[]"),
        ("TALLY_CHARACTERS_PER_TOKEN", "2.5"),
    ],
)
def test_a_malformed_value_is_refused_with_what_was_expected(environment: Environment, name: str, value: str) -> None:
    environment(**{name: value})
    with pytest.raises(ConfigurationError) as refused:
        settings()
    wanted = expected(name.removeprefix("TALLY_").lower())
    assert str(refused.value) == f"{name}: expected {wanted}, not {value!r}"


def test_every_fault_is_told_at_once(environment: Environment) -> None:
    environment(TALLY_PORT="x", TALLY_SAMPLE="perhaps")
    with pytest.raises(ConfigurationError, match=r"TALLY_PORT.*TALLY_SAMPLE"):
        settings()


def test_database_users_are_those_of_functions(environment: Environment) -> None:
    environment(TALLY_DATABASE_USERS='{"query": "reader"}')
    assert settings().database_users == {"query": "reader"}
    assert shown(settings(), "database_users") == '{"query": "reader"}'
    environment(TALLY_DATABASE_USERS='{"rollup": "owner"}')
    with pytest.raises(ConfigurationError, match=r"TALLY_DATABASE_USERS: expected .* not 'rollup'"):
        settings()


def test_characters_a_token_are_exact_and_above_0(environment: Environment) -> None:
    environment(TALLY_CHARACTERS_PER_TOKEN='{"default": 2.3, "gigachat": "3.15"}')
    assert settings().characters_per_token == {"default": Decimal("2.3"), "gigachat": Decimal("3.15")}
    assert shown(settings(), "characters_per_token") == '{"default": 2.3, "gigachat": 3.15}'
    for ratio in ("0", "-1", "NaN", "1001", '"many"'):
        environment(TALLY_CHARACTERS_PER_TOKEN=f'{{"default": {ratio}}}')
        with pytest.raises(ConfigurationError, match="TALLY_CHARACTERS_PER_TOKEN: expected a JSON object from a prov"):
            settings()


@pytest.mark.parametrize(
    ("name", "value"), [("TALLY_ADMIN_TOKEN", "se cret"), ("TALLY_DATABASE_URL", "mysql://u:se cret@h/d")]
)
def test_a_refusal_does_not_tell_a_secret(environment: Environment, name: str, value: str) -> None:
    environment(**{name: value})
    with pytest.raises(ConfigurationError, match=name) as refused:
        settings()
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize(
    "variables",
    [
        {
            "TALLY_DATABASE_URL": "postgresql://t@/tally",
            "TALLY_CLOUD_SQL_INSTANCE": "p:r:i",
            "TALLY_DATABASE_USER": "u",
        },
        {"TALLY_TOPIC": "projects/p/topics/t", "TALLY_RECORD_URL": "http://127.0.0.1:1"},
    ],
)
def test_two_answers_to_one_question_are_refused(environment: Environment, variables: dict[str, str]) -> None:
    environment(**variables)
    with pytest.raises(ConfigurationError, match="set one of them"):
        settings()


def test_a_cloud_sql_instance_needs_a_user(environment: Environment) -> None:
    environment(TALLY_CLOUD_SQL_INSTANCE="project:region:instance")
    with pytest.raises(ConfigurationError, match="needs TALLY_DATABASE_USER"):
        settings()


def test_secrets_are_masked_when_settings_are_shown(environment: Environment) -> None:
    environment(TALLY_ADMIN_TOKEN="tly_secret", TALLY_DATABASE_URL="postgresql://me:secret@db:5432/tally")
    chosen = settings()
    assert shown(chosen, "admin_token") == "********"
    assert shown(chosen, "database_url") == "postgresql://me:********@db:5432/tally"
    assert "secret" not in repr(chosen)


def test_a_url_without_password_is_shown_whole(environment: Environment) -> None:
    environment(TALLY_DATABASE_URL="postgresql://tally@/tally?host=/run/socket")
    assert shown(settings(), "database_url") == "postgresql://tally@/tally?host=/run/socket"
