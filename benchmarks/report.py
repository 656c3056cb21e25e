"""The table of results, as Markdown."""

import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime

from benchmarks.ceiling import Ceiling
from benchmarks.harness import Figure, Result, Target

_HEADER = """\
| Tally | against | figure | Tally | other | ratio | reach | stretch | |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def table(results: Iterable[Result]) -> str:
    lines = []
    for result in results:
        words = (result.ours, result.against)
        for figure in result.figures:
            lines.append(f"| {' | '.join((*words, *_cells(figure)))} |\n")
            words = ("", "")
    return _HEADER + "".join(lines)


def document(
    results: Iterable[Result],
    *,
    machine: Iterable[str],
    ceiling: Ceiling,
    notes: Iterable[str],
    started: datetime,
    runs: int,
    seconds: float,
) -> str:
    """The whole of RESULTS.md."""
    facts, noted = ("".join(f"- {line}\n" for line in lines) for lines in (machine, notes))
    return f"""\
# Results of `make bench`

{started:%Y-%m-%d}. Medians of {runs} runs of {seconds:g} s for each side, after a warm-up, the sides taking
turns; in brackets the least and the most. Ratios count, absolute times are noise.

{table(results)}
## How

{facts}- Client, services and PostgreSQL share the machine, for both sides alike. PostgreSQL is the embedded
  one with its defaults: every confirmed event is on disk. Services run as `make up` starts them, one worker
  process each.
- Before it is timed, each pair of services gets the same calls, Tally twice and shuffled: what both then
  report is the same. After each run the rows stored are counted: as many as events were confirmed. A failed
  request fails the benchmark.
- Each run sends new events, of the day after the run before, as system D's gateway reports them; the
  recorder's runs have those of all four systems. Tables keep what earlier runs stored.
- The load driver by itself, against a server that only answers 204: {ceiling.requests_per_second:,.0f}
  requests/s at {ceiling.cpu_microseconds:.1f} µs of CPU each.
- Questions are asked of the calls of a year: 40 % of a content platform's 1,000 users (the heaviest has 5 % of all
  calls), 40 % of a gateway's 200 tokens, 15 % of bots in three organizations, 5 % of a text generator; by day more
  than by night. They are made in SQL, the same every time but for the year's end: a flat table with the indexes that
  the four systems have; from it Tally's raw events, which the rollup folds, and ClickHouse's table, merged into one
  part. Both sides of PostgreSQL are vacuumed and analyzed; only while loading are settings changed.
- A question is timed from its Python object to the rows as Python values, on open connections; ClickHouse runs in
  this process, PostgreSQL in its own. A run is the mean of {seconds / 12:.2g} s of repetitions, the sides taking turns;
  for times ratios say how many times faster Tally is, but between its own figures how many times slower. All sides
  have to answer the same, costs to the last digit, before they are timed.
{noted}"""


def _cells(figure: Figure) -> Sequence[str]:
    target = figure.target
    verdict = {None: "", True: "reached", False: "**missed**"}[figure.met]
    return (
        figure.name,
        _spread(figure.ours),
        _spread(figure.theirs),
        f"{figure.ratio:.3g}",
        _bound(target, target.reach) if target else "",
        _bound(target, target.stretch) if target and target.stretch is not None else "",
        verdict,
    )


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return _number(values[0])
    return f"{_number(statistics.median(values))} ({_number(min(values))}–{_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bound(target: Target, value: float) -> str:
    return f"{'≥' if target.more_is_better else '≤'} {value:g}"
