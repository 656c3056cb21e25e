"""Past days as a table of weeks and weekdays: what is usual in it, and days that are out of line with it. Pure.

A week is the seven days up to the day before a forecast, or those that end seven days earlier, and so on, whichever
weekday that is; a place is 0 to 6 in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

Week = Sequence[Decimal]

# Below this part of a usual day nothing is expected at a place of the week, such as on Sundays.
_UNUSED = Decimal("0.05")
_ROUNDS = 3
# Outliers are rare: where more than one day in 20 is out of line, that is how the days are.
_RARE = Decimal("0.05")
_LEAST_OUT_OF_LINE = Decimal(2)
# Days without usage are an outage if there are few of them, in one run or another one for every four weeks.
_OUTAGE_SHARE = Decimal("0.2")
_WEEKS_AN_OUTAGE = 4
# After that many days without usage up to now there is no telling whether it comes back.
_LONGEST_UNFINISHED = 3
_ZERO, _ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True)
class Usual:
    """What a day usually has: the level of its week times the factor of its place. The mean factor is 1.

    The level of a week without any usage is 0.
    """

    levels: Sequence[Decimal]
    factors: Sequence[Decimal]


def weeks_of(history: Sequence[Decimal], most: int) -> list[Week]:
    """The last whole weeks of daily values, oldest first, at most so many."""
    count = min(len(history) // 7, most)
    first = len(history) - 7 * count
    return [history[day : day + 7] for day in range(first, len(history), 7)]


def usual(weeks: Sequence[Week]) -> Usual | None:
    """Levels and factors that single days cannot move; None if most days of most weeks have nothing.

    Tukey's median polish ("Exploratory Data Analysis", 1977, chapter 11) of products instead of sums.
    """
    found: Usual | None = Usual([_ONE] * len(weeks), [_ONE] * 7)
    for _ in range(_ROUNDS):
        found = found and _polished(weeks, found.levels)
    return found


def without_outliers(weeks: Sequence[Week], expected: Usual) -> list[Week]:
    """The weeks with the usual value on days that are far too high or low, or without usage for an outage's sake."""
    days = [
        _Day(value, level * factor, level, factor > _UNUSED)
        for week, level in zip(weeks, _filled(expected.levels), strict=True)
        for value, factor in zip(week, expected.factors, strict=True)
    ]
    replaced = [one or other for one, other in zip(_out_of_line(days), _outages(days), strict=True)]
    mended = [day.expected if is_replaced else day.value for day, is_replaced in zip(days, replaced, strict=True)]
    return weeks_of(mended, len(weeks))


@dataclass(frozen=True, slots=True)
class _Day:
    value: Decimal
    expected: Decimal
    level: Decimal
    is_used: bool

    @property
    def times(self) -> Decimal | None:
        """How many times too high or too low it is; None for a day without usage or none expected."""
        if not (self.is_used and self.value):
            return None
        return max(self.value / self.expected, self.expected / self.value)


def _out_of_line(days: Sequence[_Day]) -> list[bool]:
    """Which days are more times too high or too low than four standard deviations of the logarithm.

    Hampel's identifier (Davies and Gather, "The identification of multiple outliers", 1993): the deviation comes from
    the median of all, which is a standard deviation of normal values when multiplied by 1.4826, thus to the sixth power
    here, where times are multiplied. Twice too high or low is never out of line.
    """
    times = [day.times for day in days]
    usually: Decimal = median([one for one in times if one is not None] or [_ONE])
    limit = max(usually**6, _LEAST_OUT_OF_LINE)
    found = [
        one > limit if one is not None else not day.is_used and day.value > max(day.level, limit * day.expected)
        for day, one in zip(days, times, strict=True)
    ]
    return found if sum(found) <= max(_ONE, _RARE * len(days)) else [False] * len(days)


def _outages(days: Sequence[_Day]) -> list[bool]:
    """Which days have no usage although they usually have, if there are few of them and in few runs."""
    empty = [not day.value for day in days if day.is_used]
    unfinished = next((back for back, is_empty in enumerate(reversed(empty)) if not is_empty), len(empty))
    is_outage = (
        sum(empty) <= _OUTAGE_SHARE * len(empty)
        and sum(_begins(empty)) <= max(1, len(days) // 7 // _WEEKS_AN_OUTAGE)
        and unfinished <= _LONGEST_UNFINISHED
    )
    return [is_outage and day.is_used and not day.value for day in days]


def _begins(flags: Sequence[bool]) -> Iterator[bool]:
    before = False
    for flag in flags:
        yield flag and not before
        before = flag


def _polished(weeks: Sequence[Week], levels: Sequence[Decimal]) -> Usual | None:
    """The factors that fit the levels, and the levels that fit these factors; None where all of either are 0."""
    ratios = [[value / level for value in week] for week, level in zip(weeks, levels, strict=True) if level]
    factors = [median(column) for column in zip(*ratios, strict=True)]
    mean = sum(factors, _ZERO) / 7
    if not mean:
        return None
    factors = [factor / mean for factor in factors]
    levels = [
        median(
            [value / factor for value, factor in zip(week, factors, strict=True) if value and factor > _UNUSED]
            or [_ZERO]
        )
        for week in weeks
    ]
    return Usual(levels, factors) if any(levels) else None


def _filled(levels: Sequence[Decimal]) -> list[Decimal]:
    """The levels, with that of the nearest other week for a week without any usage."""
    known = [week for week, level in enumerate(levels) if level]
    return [levels[min((abs(other - week), other) for other in known)[1]] for week in range(len(levels))]
