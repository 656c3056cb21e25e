"""What every benchmark shares: two sides that take turns, and figures that compare them."""

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    """One measured quantity of both sides, a value a run, in the order of the runs."""

    name: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    target: Target | None

    @property
    def ratio(self) -> float:
        """Of the medians, ours over theirs."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def met(self) -> bool | None:
        """Whether the ratio is within reach; None where there is no target."""
        return None if self.target is None else self.target.met_by(self.ratio)


@dataclass(frozen=True)
class Side:
    """One of two compared; `run` does run number n and returns what it measured by name.

    Runs count up from 0 and the first is a warm-up whose figures are dropped. A run raises `Disagreement`
    when its work was not done right.
    """

    name: str
    run: Callable[[int], Measured]


class Disagreement(AssertionError):
    """A side did not do the work that was timed, or the sides' answers differ."""


@dataclass(frozen=True)
class Bench:
    """How a benchmark is to be run, and where."""

    databases: Databases
    log_dir: Path
    started: datetime
    runs: int
    seconds: float

    def say(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    def compare(self, ours: Side, theirs: Side, targets: Mapping[str, Target | None]) -> list[Figure]:
        """The figures that `targets` name, from runs after a warm-up; the sides take turns at being first."""
        measured: dict[str, list[Measured]] = {ours.name: [], theirs.name: []}
        for number in range(self.runs + 1):
            for side in (ours, theirs) if number % 2 else (theirs, ours):
                self.databases.checkpoint()
                result = side.run(number)
                shown = ", ".join(f"{value:,.2f} {name}" for name, value in result.items())
                self.say(f"{f'run {number}/{self.runs}' if number else 'warm-up'}  {side.name}: {shown}")
                if number:
                    measured[side.name].append(result)
        return [
            Figure(
                name,
                tuple(result[name] for result in measured[ours.name]),
                tuple(result[name] for result in measured[theirs.name]),
                target,
            )
            for name, target in targets.items()
        ]


class Benchmark(Protocol):
    """A module that measures one line of the table."""

    NAME: str
    OURS: str
    AGAINST: str

    def measure(self, bench: Bench) -> list[Figure]: ...


def agree(what: str, ours: object, theirs: object) -> None:
    """Raise `Disagreement` unless both are equal."""
    if ours != theirs:
        raise Disagreement(f"{what}: {_short(ours)} against {_short(theirs)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
