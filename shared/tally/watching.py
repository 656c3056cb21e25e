"""What the job `rollup` does besides folding: notices crossed budgets, tells whom it concerns, prices events again."""

from dataclasses import dataclass

from tally.budgets.crossings import notice
from tally.clock import Clock
from tally.database import Store
from tally.log import logger
from tally.notifications.telling import tell
from tally.repricing import work
from tally.schema import SchemaGuard
from tally.settings import Settings
from tally.usage.engine import QUERY_OPTIONS

_FUNCTION = "rollup"
# The next run goes on.
_REPRICING_SECONDS = 20.0
# A question that takes longer would hold up noticing all others.
_OPTIONS = {**QUERY_OPTIONS, "statement_timeout": "15000"}


@dataclass(frozen=True, slots=True)
class WatchReport:
    """What one run did: crossings noticed; deliveries told, to be told again, and given up."""

    crossings: int
    told: int
    not_told: int
    given_up: int


def watch_once(settings: Settings) -> WatchReport:
    """One run. Does no harm beside another one.

    Raises:
        StoreUnavailable, SchemaMismatch: the database is away or behind.
    """
    store = Store(settings, "tally watching", pool_size=1, options=_OPTIONS)
    try:
        SchemaGuard(store).check()
        crossings = notice(store, Clock(store).now(), _FUNCTION, settings.notification_topic)
        outcomes = tell(store, _FUNCTION, private_webhooks=settings.private_webhooks)
        for repricing_id in work.unfinished(store):
            work.go_on(store, repricing_id, _REPRICING_SECONDS)
    finally:
        store.dispose()
    report = WatchReport(crossings, outcomes["told"], outcomes["not told"], outcomes["given up"])
    if crossings or outcomes:
        logger(_FUNCTION).info(
            "watched", crossings=crossings, told=report.told, not_told=report.not_told, given_up=report.given_up
        )
    return report
