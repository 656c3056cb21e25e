"""Every setting of Tally: environment variables that start with `TALLY_`.

Settings are read when `settings()` is first called, never at import. A name that is not known or a value
that cannot be used raises `ConfigurationError`: a misspelt setting, silently ignored, is found too late.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tally.errors import ConfigurationError

PREFIX = "TALLY_"

FunctionName = Literal["ingest", "record", "query", "admin", "rollup", "migrate"]
# Those that may have a database user of their own which owns nothing.
GrantedFunction = Literal["ingest", "record", "query", "admin"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, slots=True)
class Expects:
    """What a setting's value must look like, in words for the person who sets it."""

    text: str


def _postgres_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("not a Postgres URL")
    return value


def _header_value(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{8,200}", value.get_secret_value()):
        raise ValueError("cannot be sent in a header")
    return value


def _from_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class Settings(BaseSettings):
    """The settings in force. Frozen: `settings.cache_clear()` and a new call read the environment again."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    port: Annotated[int, Field(ge=1, le=65535), Expects("a port number from 1 to 65535")] = Field(
        8080, description="Port of the one address that `tally up` serves on 127.0.0.1."
    )
    data_dir: Annotated[Path, Expects("a folder's path")] = Field(
        Path(".tally"), description="Folder of `tally up`: database, logs, admin token, stack.json."
    )
    sample: Annotated[bool, Expects("0 or 1")] = Field(
        default=True, description="Whether `tally up` loads sample data into an empty store."
    )
    admin_token: Annotated[
        Annotated[SecretStr, AfterValidator(_header_value)] | None,
        Expects("8 to 200 visible ASCII characters, such as `tly_` and 43 of base64url"),
    ] = Field(
        None,
        description="API token that `tally up` registers with scope admin; made and kept when not given.",
    )
    function: Annotated[FunctionName | None, Expects("one of ingest, record, query, admin, rollup, migrate")] = Field(
        None, description="Which function an image serves."
    )
    database_url: Annotated[
        Annotated[SecretStr, AfterValidator(_postgres_url)] | None,
        Expects("a URL such as postgresql://user@host:5432/tally or postgresql://user@/tally?host=/socket/folder"),
    ] = Field(None, description="Database as a libpq URL; instead of TALLY_CLOUD_SQL_INSTANCE.")
    cloud_sql_instance: Annotated[
        str | None,
        Field(pattern=r"^[a-z0-9.:-]+:[a-z0-9-]+:[a-z0-9-]+$"),
        Expects("a connection name such as project:region:instance"),
    ] = Field(None, description="Cloud SQL connection name; reached with IAM authentication.")
    database_name: Annotated[str, Field(min_length=1, max_length=63), Expects("a database name")] = Field(
        "tally", description="Database in the Cloud SQL instance."
    )
    database_user: Annotated[str | None, Expects("an IAM database user")] = Field(
        None, description="IAM database user of the Cloud SQL instance."
    )
    database_users: Annotated[
        dict[GrantedFunction, Annotated[str, Field(min_length=1, max_length=63)]],
        NoDecode,
        BeforeValidator(_from_json),
        Expects('a JSON object from ingest, record, query or admin to a database user, such as {"query": "reader"}'),
    ] = Field({}, description="Database users of the functions; `migrate` grants each just what its function needs.")
    topic: Annotated[
        str | None,
        Field(pattern=r"^projects/[^/]+/topics/[^/]+$"),
        Expects("projects/PROJECT/topics/TOPIC"),
    ] = Field(None, description="Pub/Sub topic that ingest publishes to.")
    record_url: Annotated[
        str | None, Field(pattern=r"^https?://[^/\s]+$"), Expects("a URL such as http://127.0.0.1:8082")
    ] = Field(
        None,
        description="Address of record; ingest hands events to it itself where there is no Pub/Sub topic.",
    )
    notification_topic: Annotated[
        str | None,
        Field(pattern=r"^projects/[^/]+/topics/[^/]+$"),
        Expects("projects/PROJECT/topics/TOPIC"),
    ] = Field(None, description="Pub/Sub topic that is told of crossed budgets.")
    private_webhooks: Annotated[bool, Expects("0 or 1")] = Field(
        default=False, description="Whether webhooks may be http, and at addresses of private networks."
    )
    raw_retention_days: Annotated[int, Field(ge=1, le=36500), Expects("a whole number of days from 1 to 36500")] = (
        Field(400, description="Days for which raw events are kept; older partitions are dropped.")
    )
    log_level: Annotated[LogLevel, BeforeValidator(_upper), Expects("one of DEBUG, INFO, WARNING, ERROR")] = Field(
        "INFO", description="Least severe level that is logged."
    )
    token_ttl_seconds: Annotated[
        float, Field(ge=0, le=300, allow_inf_nan=False), Expects("a number of seconds from 0 to 300")
    ] = Field(2.0, description="Seconds for which a function may use an API token without reading it again.")
    query_timeout_seconds: Annotated[
        float, Field(gt=0, le=3600, allow_inf_nan=False), Expects("a number of seconds above 0, at most 3600")
    ] = Field(4.5, description="Seconds after which a question is given up as too large.")

    characters_per_token: Annotated[
        dict[str, Annotated[Decimal, Field(gt=0, le=1000, allow_inf_nan=False)]],
        NoDecode,
        BeforeValidator(_from_json),
        Expects('a JSON object from a provider, or "default", to characters a token, such as {"gigachat": 3.2}'),
    ] = Field(
        {"default": Decimal("2.5")},
        description="Characters a token by provider, from which tokens are estimated where an event has none.",
    )

    @model_validator(mode="after")
    def _one_database_and_one_publisher(self) -> Self:
        if self.database_url is not None and self.cloud_sql_instance is not None:
            raise ConfigurationError(
                "TALLY_DATABASE_URL and TALLY_CLOUD_SQL_INSTANCE both name a database; set one of them"
            )
        if self.cloud_sql_instance is not None and self.database_user is None:
            raise ConfigurationError(
                "TALLY_CLOUD_SQL_INSTANCE needs TALLY_DATABASE_USER: expected an IAM database user"
            )
        if self.topic is not None and self.record_url is not None:
            raise ConfigurationError("TALLY_TOPIC and TALLY_RECORD_URL both say where events go; set one of them")
        return self


@cache
def settings() -> Settings:
    """The settings of this process's environment.

    Read once; `settings.cache_clear()` makes the next call read again.

    Raises:
        ConfigurationError: A TALLY_* variable is not known, or its value cannot be used. The message names
            the variable and what was expected, never the value of a secret.
    """
    return read()


def read(**options: object) -> Settings:
    """The settings of the environment as it is now; `options` by field name win, None stands for not given.

    Raises:
        ConfigurationError: As for `settings`.
    """
    unknown = [message for name in sorted(os.environ) if (message := _unknown(name)) is not None]
    if unknown:
        raise ConfigurationError("; ".join(unknown))
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigurationError("; ".join(_malformed(error))) from None


def variable(field: str) -> str:
    """The environment variable of a field of `Settings`."""
    return PREFIX + field.upper()


def expected(field: str) -> str:
    """What the value of a field of `Settings` must look like, in words."""
    texts = [item.text for item in Settings.model_fields[field].metadata if isinstance(item, Expects)]
    return texts[0]


def _unknown(name: str) -> str | None:
    """What is wrong with an environment variable's name, or None if nothing is."""
    if not name.upper().startswith(PREFIX):
        return None
    field = name.upper().removeprefix(PREFIX).lower()
    if field in Settings.model_fields:
        return None
    message = f"{name} is not a setting of Tally"
    if nearest := difflib.get_close_matches(field, Settings.model_fields, n=1):
        return f"{message}; did you mean {variable(nearest[0])} (expected {expected(nearest[0])})?"
    return f"{message}; expected one of {', '.join(map(variable, Settings.model_fields))}"


def shown(settings: Settings, field: str) -> str:
    """A setting's value for people to read: secrets are masked, and so is the password in a URL."""
    value = getattr(settings, field)
    if isinstance(value, SecretStr):
        masked = re.match(r"(\w+://[^:@/]*)(:[^@/]*)?(@.*)", value.get_secret_value())
        return f"{masked[1]}{':********' if masked[2] else ''}{masked[3]}" if masked else "********"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, dict):
        return json.dumps(value, default=float) if value else ""
    return "" if value is None else str(value)


def _malformed(error: ValidationError) -> Iterator[str]:
    """One message for each malformed value, without the values of secrets."""
    for fault in error.errors(include_url=False, include_context=False):
        field = str(fault["loc"][0])
        secret = "SecretStr" in str(Settings.model_fields[field].annotation)
        given = "" if secret else f", not {str(fault['input'])!r}"
        yield f"{variable(field)}: expected {expected(field)}{given}"
