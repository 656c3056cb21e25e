"""What each function may do in the database, where it has a database user of its own.

The user of the jobs `migrate` and `rollup` owns every table: partitions can be detached without locking out everybody
(`DETACH … CONCURRENTLY`) by nobody else. All others own nothing.
"""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy.dialects import postgresql

from tally.cubes import COST_CUBES, CUBES
from tally.database import Store, statement
from tally.settings import GrantedFunction

_SCHEMA = ("alembic_version", "settings")  # which migration the database is at

# What figures come from.
_USAGE = (
    "detailed_users",
    "dimensions",
    "exchange_rates",
    "fold_state",
    "usage_events",
    *(cube.table.name for cube in CUBES),
)

# What pricing events again changes, besides these columns of theirs.
_COSTS = tuple(cube.table.name for cube in COST_CUBES)
_COLUMNS_OF_COSTS = "cost, cost_usd, cost_rub, currency_key, list_cost, list_currency_key, price_id"

# Privilege to tables, by function.
TABLES: Mapping[GrantedFunction, Mapping[str, Sequence[str]]] = {
    "ingest": {"SELECT": (*_SCHEMA, "api_tokens")},
    "record": {
        # Of what it writes, it reads the keys that it may have to find again.
        "SELECT": (*_SCHEMA, "dimensions", "dedupe_keys", "dead_letters", "fold_state", "price_book", "prices"),
        "INSERT": ("dimensions", "dedupe_keys", "usage_events", "dead_letters"),
    },
    "query": {
        "SELECT": (
            *_SCHEMA,
            "api_tokens",
            "organizations",
            "users",
            *_USAGE,
        )
    },
    "admin": {
        "SELECT": (
            *_SCHEMA,
            "api_tokens",
            "audit_log",
            "budget_crossings",
            "budgets",
            "deliveries",
            "price_book",
            "prices",
            "repricings",
            *_USAGE,
        ),
        "INSERT": (
            "api_tokens",
            "audit_log",
            "budgets",
            "dimensions",
            "exchange_rates",
            "prices",
            "repricings",
            "webhooks",
            *_COSTS,
        ),
        "UPDATE": (
            "api_tokens",
            "budgets",
            "exchange_rates",
            "fold_state",
            "price_book",
            "prices",
            "repricings",
            "webhooks",
            *_COSTS,
        ),
        "DELETE": ("budget_crossings", "budgets", "exchange_rates", "webhooks"),
    },
}
# What is no table, by function.
OTHERS: Mapping[GrantedFunction, Sequence[str]] = {
    "record": (
        "USAGE ON SEQUENCE usage_events_seq",
        "EXECUTE ON FUNCTION make_event_partition, make_key_partition",
    ),
    "admin": (
        # All but the secret.
        "SELECT (id, url) ON TABLE webhooks",
        # Who holds the fold needs the privilege to change it.
        f"UPDATE ({_COLUMNS_OF_COSTS}) ON TABLE usage_events",
        "SELECT ON SEQUENCE usage_events_seq",
    ),
}
_quoted = postgresql.dialect().identifier_preparer.quote_identifier  # type: ignore[no-untyped-call]


def grants(users: Mapping[GrantedFunction, str]) -> Iterator[str]:
    """The statements that give each database user what its function needs; `users` by function.

    They take nothing away: while a version is deployed, the one before runs on with the same users.
    """
    for function, user in users.items():
        to = _quoted(user)
        for privilege, tables in TABLES[function].items():
            yield f"GRANT {privilege} ON {', '.join(tables)} TO {to}"
        for privilege in OTHERS.get(function, ()):
            yield f"GRANT {privilege} TO {to}"


def grant(store: Store, users: Mapping[GrantedFunction, str]) -> None:
    """Runs `grants` as the owner of the tables.

    Raises:
        SchemaMismatch: the store's user does not own the tables.
        StoreUnavailable: the database is away.
    """
    with store.transaction() as connection:
        # Both change what the catalogue says of a table; unordered, one of them would be ended for a deadlock.
        connection.execute(statement("partitions", "lock_partitions"))
        for one in grants(users):
            connection.exec_driver_sql(one)
