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
- Folding takes at once what the recorder has stored in a run. The recorder that it is compared with stores the same
  events in a database in which nothing is folded.
- The load driver by itself, against a server that only answers 204: {ceiling.requests_per_second:,.0f}
  requests/s at {ceiling.cpu_microseconds:.1f} µs of CPU each.
- Questions are asked of the calls of a quarter of a year: 40 % of a content platform's 1,000 users, of whom the
  heaviest makes 5 % of all calls; 40 % through a gateway with 200 tokens; 15 % of bots in three organizations; 5 % of a
  text generator; by day more than by night. SQL makes them, the same ones every time but for the end of the quarter:
  first the flat table, which gets the indexes that the four systems have; from it Tally's raw events, which the rollup
  folds, and ClickHouse's table, merged into one part. PostgreSQL is vacuumed and analyzed. Settings differ from the
  defaults only while loading.
- What is timed of a question is from its Python object to the rows as Python values, on open connections. ClickHouse
  runs in the client's process, PostgreSQL in its own. A run of one question repeats it for a twelfth of the time of
  other runs, at least once, and its figure is the mean; all sides take turns. The ratio is how many times faster
  Tally is, and of Tally's own two figures how many times slower with more events. Before it is timed, all sides give
  the same answer, costs to the last digit.
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
