"""What system D must be told, counted by hand from the events: independent of `tally.usage`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.oracle import Fact, shown

Row = dict[str, Any]


@dataclass(frozen=True)
class GatewayOracle:
    """`facts` are the events that count; `names` the (name, team) of tokens; `known` the order that values came in."""

    facts: Sequence[Fact]
    names: Mapping[str, tuple[str, str]]
    known: Mapping[str, int]

    def dashboard(self, timezone: str, now: datetime) -> Row:
        """Calls of the ISO week of a zone."""
        zone = ZoneInfo(timezone)
        week = now.astimezone(zone).isocalendar()[:2]
        facts = [fact for fact in self.facts if fact.time.astimezone(zone).isocalendar()[:2] == week]
        return {
            "week": {"total_calls": len(facts), "success_rate": _success_rate(facts)},
            "top_tokens": self.tokens(facts)[:3],
            "top_routes": self.routes(facts)[:3],
        }

    def tokens(self, facts: Sequence[Fact]) -> list[Row]:
        """The tokens of `facts`, most used first; ids, which are random, are left out."""
        return [
            {
                "name": self.names.get(token, (None, None))[0],
                "team_id": self.names.get(token, (None, None))[1],
                "token_hash": token,
                "usage_count": count,
            }
            for token, count in self._most_common("token", facts)
        ]

    def routes(self, facts: Sequence[Fact]) -> list[Row]:
        """The routes of `facts`, most called first."""
        return [
            {
                "route_path": route,
                "call_count": count,
                "avg_response_time": _average([fact for fact in facts if fact.dimension("route") == route]),
                "success_rate": _success_rate([fact for fact in facts if fact.dimension("route") == route]),
            }
            for route, count in self._most_common("route", facts)
        ]

    def token(self, token: str, timezone: str) -> Row:
        """All calls with a token; `recent_usage` without the error messages, which facts do not have."""
        facts = [fact for fact in self.facts if fact.dimension("token") == token]
        hours = Counter(fact.time.astimezone(ZoneInfo(timezone)).hour for fact in facts)
        return {
            "stats": _stats(facts),
            "recent_usage": [_call(fact) for fact in sorted(facts, key=lambda fact: fact.time, reverse=True)][:100],
            "routes": [
                {"route_path": route, "call_count": count, "share": _percent(count, len(facts))}
                for route, count in self._most_common("route", facts)
            ],
            "hours_of_day": [{"hour": hour, "call_count": hours[hour]} for hour in range(24)],
        }

    def route(self, route: str, hours: int, now: datetime) -> Row:
        """All calls of a route; the trend of the last hours."""
        facts = [fact for fact in self.facts if fact.dimension("route") == route]
        running = _clock_hour(now)
        return {
            "route": {"route_path": route},
            "stats": _stats(facts),
            "tokens": [row | {"share": _percent(row["usage_count"], len(facts))} for row in self.tokens(facts)],
            "trend": [
                _hour(running - timedelta(hours=back), [fact for fact in facts if _hours_before(fact, running) == back])
                for back in reversed(range(hours))
            ],
            "errors": self._errors(facts),
        }

    def _errors(self, facts: Sequence[Fact]) -> list[Row]:
        kinds: dict[tuple[Any, Any], list[datetime]] = {}
        for fact in facts:
            if fact.is_error:
                kinds.setdefault((fact.dimension("status"), fact.dimension("error_type")), []).append(fact.time)

        def place(kind: tuple[Any, Any]) -> tuple[Any, ...]:
            status, error_type = kind
            return -len(kinds[kind]), status or 1000, self.known.get(error_type, 10**9)

        return [
            {
                "status": kind[0],
                "error_type": kind[1],
                "count": len(kinds[kind]),
                "last_seen": max(kinds[kind]).isoformat(),
            }
            for kind in sorted(kinds, key=place)
        ]

    def _most_common(self, dimension: str, facts: Sequence[Fact]) -> list[tuple[str, int]]:
        counts = Counter(fact.dimension(dimension) for fact in facts if fact.dimension(dimension) is not None)
        return sorted(counts.items(), key=lambda item: (-item[1], self.known[item[0]]))


def _stats(facts: Sequence[Fact]) -> Row:
    return {
        "total_calls": len(facts),
        "error_count": sum(fact.is_error for fact in facts),
        "avg_response_time": _average(facts),
        "first_used": min(fact.time for fact in facts).isoformat(),
        "last_used": max(fact.time for fact in facts).isoformat(),
    }


def _call(fact: Fact) -> Row:
    return {
        "route_path": fact.dimension("route"),
        "used_at": fact.time.isoformat(),
        "response_status": fact.dimension("status"),
        "response_time_ms": shown(fact.response_time),
        "request_method": fact.dimension("method"),
    }


def _hour(hour: datetime, facts: Sequence[Fact]) -> Row:
    times = sorted(fact.response_time for fact in facts if fact.response_time is not None)
    # nearest rank: the smallest time such that at least 95 percent are not above it
    p95 = times[-(-95 * len(times) // 100) - 1] if times else Fraction(0)
    return {
        "hour": hour.isoformat(),
        "call_count": len(facts),
        "avg_response_time": _average(facts),
        "p95_response_time": shown(p95),
    }


def _clock_hour(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _hours_before(fact: Fact, running: datetime) -> int:
    return (running - _clock_hour(fact.time)) // timedelta(hours=1)


def _average(facts: Sequence[Fact]) -> Decimal:
    times = [fact.response_time for fact in facts if fact.response_time is not None]
    return one_decimal(sum(times, Fraction(0)) / len(times)) if times else Decimal(0)


def _success_rate(facts: Sequence[Fact]) -> Decimal:
    return _percent(sum(not fact.is_error for fact in facts), len(facts))


def _percent(part: int, of: int) -> Decimal:
    return one_decimal(Fraction(100 * part, of)) if of else Decimal(0)


def one_decimal(value: Fraction) -> Decimal:
    """Rounded half up; for what is not negative."""
    return Decimal(int(value * 10 + Fraction(1, 2))).scaleb(-1)
