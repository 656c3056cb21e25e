"""What every benchmark shares: two sides that take turns, and figures that compare them."""

import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from benchmarks.databases import Databases

Measured = Mapping[str, float]


@dataclass(frozen=True)
class Target:
    """What a ratio should be: at least `reach` where more is better, else at most."""

    reach: float
    stretch: float | None = None
    more_is_better: bool = True

    def met_by(self, ratio: float) -> bool:
        return ratio >= self.reach if self.more_is_better else ratio <= self.reach


@dataclass(frozen=True)
class Figure:
    """One measured quantity of both sides, a value a run, in the order of the runs.

    `speedup` is for times of which the ratio says how many times faster we are.
    """

    name: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    target: Target | None
    speedup: bool = False

    @property
    def ratio(self) -> float:
        """Of the medians, ours over theirs; of a speedup theirs over ours."""
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        return theirs / ours if self.speedup else ours / theirs

    @property
    def met(self) -> bool | None:
        """Whether the ratio is within reach; None where there is no target."""
        return None if self.target is None else self.target.met_by(self.ratio)


@dataclass(frozen=True)
class Result:
    """The figures of one comparison with the words for both sides."""

    ours: str
    against: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Side:
    """One of those compared; `run` does run number n and returns what it measured by name.

    Runs count up from 0 and the first is a warm-up whose figures are dropped. A run raises `Disagreement`
    when its work was not done right.
    """

    name: str
    run: Callable[[int], Measured]


class Disagreement(AssertionError):
    """A side did not do the work that was timed, or the sides' answers differ."""


@dataclass(frozen=True)
class Bench:
    """How a benchmark is to be run, and where.

    Attributes:
        events: how many events questions are asked of, few and many.
        notes: what benchmarks have to say below the table.
    """

    databases: Databases
    log_dir: Path
    started: datetime
    runs: int
    seconds: float
    events: tuple[int, int]
    notes: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Say it now, and below the table."""
        self.say(text)
        self.notes.append(text)

    def compare(self, ours: Side, theirs: Side, targets: Mapping[str, Target | None]) -> list[Figure]:
        """The figures that `targets` name."""
        measured = self.take_turns([ours, theirs])
        return [
            Figure(name, values_of(name, measured[ours.name]), values_of(name, measured[theirs.name]), target)
            for name, target in targets.items()
        ]

    def take_turns(self, sides: Sequence[Side]) -> dict[str, list[Measured]]:
        """What each side measured in the runs after a warm-up; the sides take turns at being first."""
        measured: dict[str, list[Measured]] = {side.name: [] for side in sides}
        for number in range(self.runs + 1):
            first = number % len(sides)
            for side in (*sides[first:], *sides[:first]):
                self.databases.checkpoint()
                result = side.run(number)
                shown = ", ".join(f"{value:,.2f} {name}" for name, value in result.items())
                self.say(f"{f'run {number}/{self.runs}' if number else 'warm-up'}  {side.name}: {shown}")
                if number:
                    measured[side.name].append(result)
        return measured


class Benchmark(Protocol):
    """A module that measures some lines of the table; `OURS` and `AGAINST` are shown when it starts."""

    NAME: str
    OURS: str
    AGAINST: str

    def measure(self, bench: Bench) -> list[Result]: ...


def values_of(name: str, runs: Iterable[Measured]) -> tuple[float, ...]:
    """One of the quantities that were measured, a value a run."""
    return tuple(measured[name] for measured in runs)


def agree(what: str, ours: object, theirs: object) -> None:
    """Raise `Disagreement` unless both are equal."""
    if ours != theirs:
        raise Disagreement(f"{what}: {_short(ours)} against {_short(theirs)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
