"""Compares methods of forecasting on series whose future is known, and writes the tables of docs/forecast.md.

    python -m benchmarks.forecasting [--series 12]

The series are the same each time, so the errors are too; only times depend on the machine.
"""

import argparse
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from statistics import mean

from benchmarks.forecast_rivals import Bounds, Foreseen, Rival, rivals
from benchmarks.forecast_series import FUTURE, HISTORY, Series, made, sampled

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "forecast.md"
MARK = "<!-- what follows is written by `make forecasts` -->\n"
SHORT_HISTORY = 28
_COUNT = 12
# Others than those that the constants of Tally's method were chosen with.
_FIRST_SEED = 1000
_IMPORT = """
import psutil, time
begun, before = time.process_time(), psutil.Process().memory_info().rss
import {}
print(time.process_time() - begun, psutil.Process().memory_info().rss - before)
"""


class Score:
    """How a method did on the series of a kind."""

    def __init__(self) -> None:
        self.of_days: list[float] = []
        self.of_sum: list[float] = []
        self.days_inside: list[float] = []
        self.sum_inside: list[bool] = []

    def add(self, future: Sequence[int], foreseen: Foreseen) -> None:
        """One more series. Errors are in percent of all that was used: a day of 0 has no percentage of its own."""
        used = sum(future)
        errors = [abs(actual - day) for actual, day in zip(future, foreseen.days, strict=True)]
        self.of_days.append(100 * sum(errors) / used)
        self.of_sum.append(100 * abs(sum(foreseen.days) - used) / used)
        inside = [_is_inside(actual, bounds) for actual, bounds in zip(future, foreseen.bounds, strict=True)]
        self.days_inside.append(100 * mean(inside))
        if foreseen.of_sum is not None:
            self.sum_inside.append(_is_inside(used, foreseen.of_sum))


Scores = dict[str, dict[str, Score]]


def _is_inside(value: float, bounds: Bounds) -> bool:
    rounding = 1e-6 * max(value, 1)
    return bounds[0] - rounding <= value <= bounds[1] + rounding


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare methods of forecasting.")
    parser.add_argument("--series", type=int, default=_COUNT, help=f"of each kind (default {_COUNT})")
    count = parser.parse_args().series
    series = [one for seed in range(count) for one in made(_FIRST_SEED + seed)]
    series += [one for seed in range(count) for one in sampled(_FIRST_SEED + seed)]
    compared = rivals()
    whole, milliseconds = compare(compared, series)
    short, _ = compare(compared, [Series(one.kind, one.values[-FUTURE - SHORT_HISTORY :]) for one in series])
    text = "".join(f"{line}\n" for line in document(compared, whole, short, milliseconds, len(series)))
    print(text)
    if count == _COUNT:
        head, mark, _ = DOCUMENT.read_text(encoding="utf-8").partition(MARK)
        DOCUMENT.write_text(head + mark + text, encoding="utf-8")


def compare(compared: Sequence[Rival], series: Sequence[Series]) -> tuple[Scores, dict[str, float]]:
    """By kind of series and method the scores, and by method the milliseconds of CPU a forecast took."""
    scores: Scores = defaultdict(lambda: defaultdict(Score))
    milliseconds: dict[str, float] = {}
    for rival in compared:
        rival.method(series[0].history, FUTURE)  # imports and compiles
        begun = time.process_time()
        for one in series:
            scores[one.kind][rival.name].add(one.future, rival.method(one.history, FUTURE))
        milliseconds[rival.name] = 1000 * (time.process_time() - begun) / len(series)
        print(f"{rival.name}: {milliseconds[rival.name]:.1f} ms", file=sys.stderr, flush=True)
    return scores, milliseconds


def document(
    compared: Sequence[Rival], whole: Scores, short: Scores, milliseconds: dict[str, float], series: int
) -> Iterator[str]:
    """The tables in Markdown."""
    names = [rival.name for rival in compared]
    yield f"\n### The sum of {FUTURE} days, from {HISTORY} days: error in percent of what was used\n"
    yield from _table(whole, names, "of_sum")
    yield f"\n### Each of {FUTURE} days, from {HISTORY} days: error in percent of what was used\n"
    yield from _table(whole, names, "of_days")
    yield f"\n### From {SHORT_HISTORY} days only\n"
    yield from _head("error in percent", names)
    for title, what in (("of the sum", "of_sum"), ("of each day", "of_days")):
        for kinds, figures in _means(short, names, what):
            yield _row(f"{title}, {kinds}", figures)
    yield "\n### How often what was used lay between bounds that promise 80 %, in percent\n"
    yield from _coverage(compared, whole)
    yield "\n### What each costs\n"
    yield from _costs(compared, milliseconds)
    yield f"\n{series} series; Python {sys.version.split()[0]}, " + ", ".join(
        f"{name} {metadata.version(name)}" for name in ("statsmodels", "statsforecast", "numpy")
    )


def _table(scores: Scores, names: Sequence[str], what: str) -> Iterator[str]:
    yield from _head("series", names)
    for kind, by_method in scores.items():
        yield _row(kind, [mean(getattr(by_method[name], what)) for name in names])
    for title, figures in _means(scores, names, what):
        yield _row(f"**mean: {title}**", figures)


def _means(scores: Scores, names: Sequence[str], what: str) -> Iterator[tuple[str, list[float]]]:
    """By method the means of kinds that are made up and of the sample's, each kind counting once."""
    for title, is_sample in (("made up", False), ("sample data", True)):
        chosen = [by_method for kind, by_method in scores.items() if kind.startswith("sample") == is_sample]
        yield title, [mean(mean(getattr(by_method[name], what)) for by_method in chosen) for name in names]


def _coverage(compared: Sequence[Rival], scores: Scores) -> Iterator[str]:
    yield from _head("method", ["days", "sum"])
    for rival in compared:
        found = [by_method[rival.name] for by_method in scores.values()]
        days = mean(mean(score.days_inside) for score in found)
        if all(len(score.sum_inside) == len(score.of_sum) for score in found):
            sums = f"{mean(100 * mean(score.sum_inside) for score in found):.0f}"
        else:
            sums = "none given"
        yield f"| {rival.name} | {days:.0f} | {sums} |"


def _costs(compared: Sequence[Rival], milliseconds: dict[str, float]) -> Iterator[str]:
    yield from _head("method", ["CPU ms a forecast", "CPU s to import", "MB of memory to import", "MB to install"])
    for rival in compared:
        seconds, memory = _imported(rival.module)
        size = _size(rival.packages) / 2**20
        figures = f"{milliseconds[rival.name]:.1f} | {seconds:.2f} | {memory / 2**20:.0f} | {size:.0f}"
        yield f"| {rival.name} | {figures} |"


def _head(first: str, names: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join([first, *names])} |"
    yield f"| --- |{' ---: |' * len(names)}"


def _row(title: str, figures: Sequence[float]) -> str:
    least = min(figures)
    shown = [f"**{figure:.1f}**" if round(figure, 1) <= round(least, 1) else f"{figure:.1f}" for figure in figures]
    return f"| {' | '.join([title, *shown])} |"


def _imported(module: str) -> tuple[float, float]:
    """Seconds of CPU and bytes of memory that importing takes in a new process."""
    command = [sys.executable, "-c", _IMPORT.format(module)]
    best = min(_measured(command) for _ in range(3))
    return best[0], best[1]


def _measured(command: Sequence[str]) -> tuple[float, float]:
    seconds, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(memory)


def _size(packages: Sequence[str]) -> int:
    """Bytes of the packages and all that they need."""
    wanted, found = [*packages], dict[str, int]()
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        distribution = metadata.distribution(name)
        paths = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
        found[name] = sum(path.stat().st_size for path in paths if path.is_file())
        wanted += [_name(line) for line in distribution.requires or () if ";" not in line]
    return sum(found.values())


def _name(requirement: str) -> str:
    """The name in a requirement such as `numpy>=2`."""
    return next(part for part in requirement.replace("[", " ").split() if part).rstrip("<>=!~,0123456789.*()")


if __name__ == "__main__":
    main()
