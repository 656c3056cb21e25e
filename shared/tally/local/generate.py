"""Sending sample events to a running Tally, with a progress bar."""

from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tally.local import sample


def load_sample(
    url: str, token: str, console: Console, *, events: int, days: int, seed: int, end: datetime | None = None
) -> sample.LoadReport:
    """Send sample events to a running Tally, with a progress bar on `console`.

    Raises:
        SampleLoadError: Events were refused, or Tally does not answer.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Loading sample data", total=events)
        return sample.load(
            url,
            token,
            events=events,
            days=days,
            seed=seed,
            end=end,
            progress=lambda done: progress.update(task, completed=done),
        )
