"""Daily tokens to forecast: of the sample data that Tally makes itself, and made up to have one difficulty each.

A series is history and future in one list, oldest first, and begins on a Monday. What goes wrong in it (outliers, gaps)
goes wrong in its history; in its future nothing happens that nobody can foresee.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import exp

from tally.local.sample import generate

FUTURE = 30
HISTORY = 84
_OFFICE = (1.1, 1.2, 1.15, 1.2, 1.05, 0.35, 0.25)
_EVENINGS = (0.9, 0.85, 0.9, 0.95, 1.1, 1.25, 1.05)
_FLAT = (1.0,) * 7
_WORKDAYS = (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
_LEVEL = 200_000
_SAMPLE_EVENTS = 20_000
_END = datetime(2026, 5, 4, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Series:
    """A series of a kind, the last `FUTURE` days of which are to be forecast from those before."""

    kind: str
    values: list[int]

    @property
    def history(self) -> list[int]:
        return self.values[:-FUTURE]

    @property
    def future(self) -> list[int]:
        return self.values[-FUTURE:]


def made(seed: int) -> Iterator[Series]:
    """One series of every kind that is made up."""
    for kind, make in _KINDS.items():
        yield Series(kind, make(random.Random(f"{kind} {seed}")))


def sampled(seed: int) -> Iterator[Series]:
    """The sample data of a seed: all of it, each system with tokens, and the organizations and models with most."""
    days = HISTORY + FUTURE
    first = (_END - timedelta(days=days)).date()
    totals: dict[str, Counter[str]] = {"source": Counter(), "organization_id": Counter(), "model": Counter()}
    by_day: dict[tuple[str, str], list[int]] = {}
    for event in generate(_SAMPLE_EVENTS, days, seed, _END):
        tokens = event.get("total_tokens") or event.get("input_tokens", 0) + event.get("output_tokens", 0)
        day = (datetime.fromisoformat(event["time"]).date() - first).days
        for name in ("all", *totals):
            value = event.get(name, "all" if name == "all" else None)
            if tokens and value is not None:
                by_day.setdefault((name, value), [0] * days)[day] += tokens
                if name in totals:
                    totals[name][value] += tokens
    yield Series("sample: everything", by_day["all", "all"])
    kinds = {"source": "sample: a system", "organization_id": "sample: an organization", "model": "sample: a model"}
    for name, kind in kinds.items():
        for value, _ in totals[name].most_common(3):
            yield Series(kind, by_day[name, value])


def _pattern(
    weekdays: tuple[float, ...],
    noise: float,
    level: Callable[[int], float] = lambda _: 1.0,
    days: int = HISTORY + FUTURE,
) -> Callable[[random.Random], list[int]]:
    """Days of a weekday pattern around a level, with lognormal noise of that spread and mean 1."""

    def make(rng: random.Random) -> list[int]:
        return [
            round(_LEVEL * weekdays[day % 7] * level(day) * exp(rng.gauss(-noise * noise / 2, noise)))
            for day in range(days)
        ]

    return make


def _with_outlier(rng: random.Random) -> list[int]:
    values = _pattern(_OFFICE, 0.15)(rng)
    values[HISTORY - rng.randint(2, 27)] *= 100
    return values


def _with_peaks(rng: random.Random) -> list[int]:
    values = _pattern(_OFFICE, 0.15)(rng)
    for day in rng.sample(range(HISTORY - 56, HISTORY), 3):
        values[day] *= rng.randint(4, 10)
    return values


def _with_gap(rng: random.Random) -> list[int]:
    values = _pattern(_OFFICE, 0.15)(rng)
    first, length = HISTORY - rng.randint(5, 25), rng.randint(1, 4)
    values[first : first + length] = [0] * length
    return values


def _with_both(rng: random.Random) -> list[int]:
    values = _with_gap(rng)
    values[HISTORY - rng.randint(26, 40)] *= 100
    return values


def _with_step(rng: random.Random) -> list[int]:
    step, factor = HISTORY - rng.randint(10, 40), rng.choice((0.4, 2.5))
    return _pattern(_OFFICE, 0.15, lambda day: factor if day >= step else 1.0)(rng)


def _short(days: int) -> Callable[[random.Random], list[int]]:
    def make(rng: random.Random) -> list[int]:
        begin = HISTORY - days
        return [0] * begin + _pattern(_OFFICE, 0.15)(rng)[begin:]

    return make


def _intermittent(rng: random.Random) -> list[int]:
    return [round(_LEVEL * exp(rng.gauss(-0.32, 0.8))) if rng.random() < 0.25 else 0 for _ in range(HISTORY + FUTURE)]


def _walk(rng: random.Random) -> list[int]:
    level, values = 1.0, []
    for day in range(HISTORY + FUTURE):
        level *= exp(rng.gauss(0, 0.05))
        values.append(round(_LEVEL * level * _OFFICE[day % 7] * exp(rng.gauss(-0.005, 0.1))))
    return values


_KINDS: dict[str, Callable[[random.Random], list[int]]] = {
    "office week": _pattern(_OFFICE, 0.15),
    "evenings and weekends": _pattern(_EVENINGS, 0.25),
    "workdays only": _pattern(_WORKDAYS, 0.2),
    "no pattern": _pattern(_FLAT, 0.3),
    "heavy tail": _pattern(_FLAT, 1.0),
    "growth, 3 % a week": _pattern(_OFFICE, 0.15, lambda day: 1.03 ** (day / 7)),
    "decline, 4 % a week": _pattern(_OFFICE, 0.15, lambda day: 0.96 ** (day / 7)),
    "a step up or down": _with_step,
    "a wandering level": _walk,
    "one day of 100 times": _with_outlier,
    "three peaks": _with_peaks,
    "outage of 1 to 4 days": _with_gap,
    "outage and outlier": _with_both,
    "intermittent, 1 day in 4": _intermittent,
    "begun 18 days ago": _short(18),
    "begun 9 days ago": _short(9),
    "begun 4 days ago": _short(4),
}
