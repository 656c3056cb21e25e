"""What system D is told of tokens, routes and the week equals a count by hand, whatever of it is folded already."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tally import jsontext
from tally.errors import NotFound
from tally.principal import Principal
from tally.usage import gateway
from tally.usage.inquiry import Inquiry
from tests.support.callers import CALLERS, is_own
from tests.support.events import TOKENS
from tests.support.functions import read_json
from tests.support.gateway_oracle import GatewayOracle
from tests.support.half_folded import EVERYBODY, MOMENTS, NAMES, NOW, HalfFolded, half_folded
from tests.support.postgres import Server, rows

ZONES = (
    "UTC", "Europe/Moscow", "Asia/Taipei", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe",
)  # fmt: skip


@pytest.fixture(scope="module")
def half(postgres: Server) -> Iterator[HalfFolded]:
    with half_folded(postgres) as made:
        yield made


@pytest.fixture(scope="module")
def known(half: HalfFolded) -> dict[str, int]:
    kinds = "SELECT value, key FROM dimensions WHERE kind IN ('route', 'token', 'error_type')"
    return dict(rows(half.url, kinds))


@pytest.fixture(params=CALLERS)
def caller(request: pytest.FixtureRequest) -> Principal:
    return CALLERS[request.param]


@pytest.fixture
def oracle(half: HalfFolded, known: dict[str, int], caller: Principal) -> GatewayOracle:
    """Knows the caller's own events."""
    return GatewayOracle([fact for fact in half.oracle.facts if is_own(fact, caller)], NAMES, known)


def asked(half: HalfFolded, caller: Principal, function: Any, *given: Any, now: datetime = NOW) -> Any:
    """An answer as a client reads it."""
    with half.store.snapshot() as connection:
        return read_json(jsontext.dump_answer(function(Inquiry(connection, caller, now), *given)))


def without(name: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != name} for row in found]


def values(oracle: GatewayOracle, dimension: str) -> list[str]:
    """What the events have in a dimension, in the order that it came in."""
    return sorted({fact.dimension(dimension) for fact in oracle.facts} - {None}, key=lambda value: oracle.known[value])


def by_time_and_text(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls of the same time have no order."""
    return sorted(calls, key=lambda call: (call["used_at"], str(call)), reverse=True)


@pytest.mark.parametrize("zone", ZONES)
def test_a_token_is_told_with_all_its_calls(
    half: HalfFolded, oracle: GatewayOracle, caller: Principal, zone: str
) -> None:
    for token in values(oracle, "token")[:3]:
        found = asked(half, caller, gateway.token, token, ZoneInfo(zone))
        facts = found.pop("token")
        assert (facts["name"], facts["team_id"]) == NAMES.get(token, (None, None))
        assert facts["token_hash"] == token
        assert facts["last_used_at"] == found["stats"]["last_used"]
        expected = oracle.token(token, zone)
        recent = without("error_message", found.pop("recent_usage"))
        assert [call["used_at"] for call in recent] == [call["used_at"] for call in expected["recent_usage"]]
        assert by_time_and_text(recent) == by_time_and_text(expected.pop("recent_usage"))
        assert found == expected


def test_a_registered_token_is_found_by_its_id_as_by_its_hash(half: HalfFolded) -> None:
    by_hash = asked(half, EVERYBODY, gateway.token, TOKENS[0].upper(), ZoneInfo("UTC"))
    by_id = asked(half, EVERYBODY, gateway.token, by_hash["token"]["id"], ZoneInfo("UTC"))
    assert by_id == by_hash


@pytest.mark.parametrize("now", [NOW, MOMENTS[-4], MOMENTS[-4] + timedelta(days=3)], ids=str)
@pytest.mark.parametrize("hours", [1, 24 * 10])
def test_a_route_is_told_with_all_its_calls_and_the_trend_of_the_last_hours(
    half: HalfFolded, oracle: GatewayOracle, caller: Principal, hours: int, now: datetime
) -> None:
    for route in values(oracle, "route")[:3]:
        found = asked(half, caller, gateway.route, route, hours, now=now)
        found["tokens"] = without("id", found["tokens"])
        assert found == oracle.route(route, hours, now)


@pytest.mark.parametrize("zone", ZONES)
def test_the_dashboard_tells_the_week_of_the_zone(
    half: HalfFolded, oracle: GatewayOracle, caller: Principal, zone: str
) -> None:
    # Where clocks change and the year does, and at every fourth hour about the beginning of a week.
    sunday = NOW.replace(hour=0) - timedelta(days=1)
    nows = [NOW, MOMENTS[2], MOMENTS[4], MOMENTS[7], MOMENTS[12], *(sunday + timedelta(hours=4 * n) for n in range(12))]
    for now in nows:
        found = asked(half, caller, gateway.dashboard, ZoneInfo(zone), now=now)
        found["top_tokens"] = without("id", found["top_tokens"])
        assert found == oracle.dashboard(zone, now)


@pytest.mark.parametrize("hours", [1, 24, 24 * 200])
def test_the_top_of_the_last_hours_is_in_order_and_equal_ones_as_they_became_known(
    half: HalfFolded, oracle: GatewayOracle, caller: Principal, hours: int
) -> None:
    found = asked(half, caller, gateway.stats, hours)
    running = NOW.replace(minute=0, second=0, microsecond=0)
    lower, upper = running - timedelta(hours=hours - 1), running + timedelta(hours=1)
    facts = [fact for fact in oracle.facts if lower <= fact.time < upper]
    assert without("id", found["top_tokens"]) == oracle.tokens(facts)[:10]
    assert found["top_routes"] == oracle.routes(facts)[:10]


def test_what_the_caller_has_no_call_of_is_not_found(
    half: HalfFolded, oracle: GatewayOracle, caller: Principal
) -> None:
    for value in oracle.known.keys() - {*values(oracle, "token"), *values(oracle, "route")}:
        for function, given in ((gateway.token, ZoneInfo("UTC")), (gateway.route, 1)):
            with pytest.raises(NotFound):
                asked(half, caller, function, value, given)


@pytest.mark.parametrize("unknown", ["ab" * 32, "no such id", "é"])
def test_a_token_that_nobody_knows_is_not_found(half: HalfFolded, unknown: str) -> None:
    with pytest.raises(NotFound):
        asked(half, EVERYBODY, gateway.token, unknown, ZoneInfo("UTC"))


def test_a_route_that_nobody_called_is_not_found(half: HalfFolded) -> None:
    with pytest.raises(NotFound):
        asked(half, EVERYBODY, gateway.route, "/unheard-of", 24)
