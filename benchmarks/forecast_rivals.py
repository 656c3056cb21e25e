"""The forecasting methods that are compared: Tally's own, what it had before, and those of well-kept libraries.

Each takes daily values, oldest first, and gives the coming days. A library that cannot make anything of a series (too
short) is given the plain average in its place, as Tally would have to.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist, mean, stdev
from typing import Any

from tally.usage.forecast import average, forecast, history_begins, weekday_or_average
from tally.usage.interval import CONFIDENCE, Forecast
from tally.usage.weekday import LEAST_WEEKS, MOST_WEEKS
from tally.usage.weeks import usual, weeks_of, without_outliers

SEASON = 7
_SIMULATIONS = 500
Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Coming days, the bounds of each, and those of their sum (None where a method has none)."""

    days: Sequence[float]
    bounds: Sequence[Bounds]
    of_sum: Bounds | None


Method = Callable[[Sequence[int], int], Foreseen]


@dataclass(frozen=True, slots=True)
class Rival:
    """A method by name, and what has to be imported and installed for it."""

    name: str
    method: Method
    module: str
    packages: Sequence[str] = ()


def rivals() -> list[Rival]:
    """All that are compared, Tally's own first."""
    ours = "tally.usage.forecast"
    return [
        Rival("Tally", _ours(forecast), ours),
        Rival("Tally, never the average from two weeks on", _ours(weekday_or_average), ours),
        Rival("average since first use", _ours(average), ours),
        Rival("average of all days", _plain, ours),
        Rival("statsmodels ETS", _statsmodels, "statsmodels.tsa.exponential_smoothing.ets", ["statsmodels"]),
        *(
            Rival(f"statsforecast {name}", _statsforecast(name), "statsforecast.models", ["statsforecast"])
            for name in ("AutoETS", "AutoTheta", "MSTL")
        ),
        Rival(
            "AutoETS, mended first",
            _statsforecast("AutoETS", is_mended=True),
            "statsforecast.models",
            ["statsforecast"],
        ),
    ]


def _since_first_use(history: Sequence[int]) -> Sequence[int]:
    return history if not history or history[0] else history[history_begins(history) :]


def _ours(method: Callable[[Sequence[Decimal], int], Forecast]) -> Method:
    def foresee(history: Sequence[int], days: int) -> Foreseen:
        found = method([Decimal(value) for value in _since_first_use(history)], days)
        return Foreseen(
            [float(day.expected) for day in found.days],
            [(float(day.lower), float(day.upper)) for day in found.days],
            (float(found.total.lower), float(found.total.upper)),
        )

    return foresee


def _plain(history: Sequence[int], days: int) -> Foreseen:
    """Every day is the mean of the days, those before the first use too, with bounds of the normal distribution."""
    count, deviations = len(history), NormalDist().inv_cdf((1 + float(CONFIDENCE)) / 2)
    middle, spread = mean(history), stdev(history)
    of_day = deviations * spread * (1 + 1 / count) ** 0.5
    of_sum = deviations * spread * (days + days**2 / count) ** 0.5
    return Foreseen(
        [middle] * days,
        [(max(middle - of_day, 0), middle + of_day)] * days,
        (max(middle * days - of_sum, 0), middle * days + of_sum),
    )


def _statsmodels(history: Sequence[int], days: int) -> Foreseen:
    """Holt and Winters' method with a damped trend as a state space model; bounds by simulation."""
    import numpy as np
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    values = np.array(_since_first_use(history), dtype=float)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = ETSModel(
                values, error="add", trend="add", damped_trend=True, seasonal="add", seasonal_periods=SEASON
            ).fit(disp=False)
            runs = model.simulate(days, anchor="end", repetitions=_SIMULATIONS, rng=np.random.default_rng(1))
    except ValueError:  # fewer than two weeks
        return _ours(average)(history, days)
    lower, upper = np.maximum(np.quantile(runs, [0.1, 0.9], axis=1), 0)
    of_sum = np.maximum(np.quantile(runs.sum(axis=0), [0.1, 0.9]), 0)
    return Foreseen(
        days=np.maximum(model.forecast(days), 0).tolist(),
        bounds=[*zip(lower.tolist(), upper.tolist(), strict=True)],
        of_sum=(float(of_sum[0]), float(of_sum[1])),
    )


def _statsforecast(name: str, *, is_mended: bool = False) -> Method:
    """A model of statsforecast with its own bounds for each day; it has none for their sum."""

    def foresee(history: Sequence[int], days: int) -> Foreseen:
        import numpy as np
        from statsforecast import models

        values = _mended(_since_first_use(history)) if is_mended else _since_first_use(history)
        level = int(CONFIDENCE * 100)
        model: Any = getattr(models, name)(season_length=SEASON)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = model.forecast(y=np.array(values, dtype=float), h=days, level=[level])
        except (ValueError, IndexError, ZeroDivisionError, NotImplementedError):
            return _ours(average)(history, days)
        lower, upper = np.maximum(found[f"lo-{level}"], 0), np.maximum(found[f"hi-{level}"], 0)
        bounds = [*zip(lower.tolist(), upper.tolist(), strict=True)]
        return Foreseen(np.maximum(found["mean"], 0).tolist(), bounds, None)

    return foresee


def _mended(history: Sequence[int]) -> Sequence[int]:
    """The history with Tally's remedy for outliers and outages, before a library sees it."""
    weeks = weeks_of([Decimal(value) for value in history], MOST_WEEKS)
    expected = usual(weeks) if len(weeks) >= LEAST_WEEKS else None
    if expected is None:
        return history
    return [round(value) for week in without_outliers(weeks, expected) for value in week]
