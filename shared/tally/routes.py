"""Which function answers which path. Paths alone decide, in the local gateway as in a load balancer."""

from collections.abc import Mapping

# The longest prefix decides; a prefix covers itself and what lies below it. `/push` of record is not here:
# it is for Pub/Sub only and not reached through the public address.
FUNCTION_BY_PREFIX: Mapping[str, str] = {
    "/v1/events": "ingest",
    "/v1/litellm": "ingest",
    "/v1/traces": "ingest",
    "/v1/prices": "admin",
    "/v1/exchange-rates": "admin",
    "/v1/budgets": "admin",
    "/v1/audit-log": "admin",
    "/v1": "query",
    "/api/v1/events": "ingest",
    "/api/v1": "query",
    "/api/usage-log": "ingest",
    "/api/usage": "query",
    "/docs": "query",
    "/openapi.json": "query",
    "/health": "query",
}


def function_for(path: str) -> str | None:
    """The function that answers `path`, or None if nothing does."""
    prefix = path
    while prefix:
        if prefix in FUNCTION_BY_PREFIX:
            return FUNCTION_BY_PREFIX[prefix]
        prefix = prefix.rpartition("/")[0]
    return None
