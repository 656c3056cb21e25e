"""What a month on Google Cloud costs: `prices.toml` times `load.toml`, written into the tables of `docs/costs.md`.

    python -m docs.costs.table

Money and quantities are `Decimal`, a month has 730 hours, sizes are binary (GiB, TiB). An amount is rounded to cents
before it is added up, so that a reader can add up the table.
"""

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parent / "costs.md"

HOURS = Decimal(730)
SECONDS = HOURS * 3600
DAYS = HOURS / 24
MILLION = Decimal(1_000_000)
GIB = Decimal(2**30)
TIB = Decimal(2**40)
# Cloud Run's free tier is a discount of as much as 180,000 vCPU-seconds and 360,000 GiB-seconds of a service cost;
# 240,000 and 450,000 of a job cost the same, so it is one and not two.
FREE_VCPU_SECONDS = Decimal(180_000)
FREE_GIB_SECONDS = Decimal(360_000)
LEAST_PUBSUB_BYTES = Decimal(1000)
RECENT_DAYS = Decimal(90)
SERVICES = ("ingest", "record", "query", "admin")
_BY_EVENT = ("ingest", "record")  # whose work events are, more than requests


@dataclass(frozen=True)
class Price:
    """What `unit` costs beyond `free` of them a month."""

    what: str
    dollars: Decimal
    unit: str
    source: str
    read: date
    page: date | None = None
    free: Decimal = Decimal(0)
    doubt: str = ""

    @property
    def shown(self) -> str:
        """The dollars, with a question mark where they are not confirmed."""
        return f"{self.dollars:f}{' ?' if self.doubt else ''}"


@dataclass(frozen=True)
class Line:
    """One line of the bill: so much of what `price` names, free share included."""

    name: str
    price: Price
    quantity: Decimal

    @property
    def amount(self) -> Decimal:
        """Dollars, in cents."""
        return cents(max(self.quantity - self.price.free, Decimal(0)) * self.price.dollars)


@dataclass(frozen=True)
class Case:
    """One column: a size, and what differs from how it is deployed by default.

    `each` is the number of events in a request, and so in a message.
    """

    size: Mapping[str, Any]
    each: int = 1
    raw_days: int = 400
    request_logs: bool = True
    rollup_minutes: int | None = None
    warehouse: bool = False
    dedicated: bool = False


class Model:
    """Turns a case into a bill."""

    def __init__(self, prices: Mapping[str, Price], load: Mapping[str, Any]) -> None:
        self.prices = prices
        self.load = load
        self._measured = load["measured"]
        self._assumed = load["assumed"]

    def bill(self, case: Case) -> list[Line]:
        """The lines of the bill; two of one name differ in what they are billed by."""
        lines = [*self._cloud_run(case), *self._cloud_sql(case), *self._pubsub(case), *self._edge(case)]
        return [line for line in lines if line.quantity]

    def total(self, case: Case) -> Decimal:
        """Dollars a month."""
        return sum((line.amount for line in self.bill(case)), Decimal(0))

    def requests(self, case: Case) -> dict[str, Decimal]:
        """Requests to each service."""
        messages = Decimal(case.size["events"]) / case.each
        return {
            "ingest": messages,
            "record": messages,
            "query": Decimal(case.size["questions"]),
            "admin": Decimal(self._assumed["admin_requests"]),
        }

    def working_seconds(self, case: Case, service: str) -> Decimal:
        """Seconds for which instances of a service are billed as working.

        A request that is alone is billed for a tenth of a second, and requests at the same time share an instance: one
        that is busy all month serves them, until CPU needs more.
        """
        environment = self._environment(case)
        requests = self.requests(case)[service]
        alone = min(requests * self._assumed["request_seconds"], SECONDS)
        events = Decimal(case.size["events"])
        microseconds = self._measured[f"{service}_cpu"][str(case.each)] if service in _BY_EVENT else 0
        cpu = events * microseconds / MILLION * self._assumed["cpu_factor"] / self._assumed["busy_share"]
        starts = 0 if service in environment["warm"] else self._assumed["starts"] * self._assumed["start_seconds"]
        return Decimal(max(alone, cpu) + starts)

    def _cloud_run(self, case: Case) -> Iterator[Line]:
        environment = self._environment(case)
        working = {service: self.working_seconds(case, service) for service in SERVICES}
        warm = {
            service: max(SECONDS - working[service], Decimal(0)) if service in environment["warm"] else Decimal(0)
            for service in SERVICES
        }
        gib_seconds = sum(
            ((working[service] + warm[service]) * environment["gib"][service] for service in SERVICES), Decimal(0)
        )
        minutes = case.rollup_minutes or environment["rollup_minutes"]
        runs = HOURS * 60 / minutes
        job_seconds = runs * self._assumed["job_run_seconds"]
        yield self._line("Services: working", "run_cpu", sum(working.values(), Decimal(0)), free=FREE_VCPU_SECONDS)
        yield self._line("Services: kept warm", "run_warm_cpu", sum(warm.values(), Decimal(0)))
        yield self._line("Services: memory", "run_memory", gib_seconds, free=FREE_GIB_SECONDS)
        yield self._line("Services: requests", "run_requests", sum(self.requests(case).values(), Decimal(0)) / MILLION)
        yield self._line("Rollup: working", "job_cpu", job_seconds)
        yield self._line("Rollup: memory", "job_memory", job_seconds * self._assumed["job_gib"])

    def data_gib(self, case: Case) -> Decimal:
        """What the database holds once the retention is reached."""
        daily = Decimal(case.size["events"]) / DAYS
        raw = daily * case.raw_days * self._measured["raw_bytes"]
        keys = daily * (case.raw_days + self._assumed["key_extra_days"]) * self._measured["key_bytes"]
        cubes = daily * self._assumed["cube_days"] * self._measured["cube_bytes"]
        return Decimal((raw + keys + cubes) / GIB)

    def disk_gib(self, case: Case) -> Decimal:
        """Size of the disk, in whole GiB."""
        needed = Decimal(self.data_gib(case) * self._assumed["disk_room"])
        return max(needed, Decimal(self._environment(case)["disk_gib"])).to_integral_value(ROUND_HALF_UP)

    def _cloud_sql(self, case: Case) -> Iterator[Line]:
        environment = self._environment(case)
        if environment["regional"]:
            yield self._line("Database: CPU", "sql_cpu_ha", HOURS * case.size["vcpu"])
            yield self._line("Database: memory", "sql_memory_ha", HOURS * case.size["memory_gib"])
            yield self._line("Database: disk, regional", "sql_disk_ha", HOURS * self.disk_gib(case))
        else:
            if case.dedicated:
                yield self._line("Database: CPU", "sql_cpu", HOURS * self.load["dedicated"]["vcpu"])
                yield self._line("Database: memory", "sql_memory", HOURS * self.load["dedicated"]["memory_gib"])
            else:
                yield self._line("Database: `db-g1-small`", "sql_small", HOURS)
            yield self._line("Database: disk", "sql_disk", HOURS * self.disk_gib(case))
        of_each = self._measured["raw_bytes"] + self._measured["key_bytes"] + self._measured["cube_bytes"]
        daily = Decimal(case.size["events"]) / DAYS * of_each / GIB
        backups = self.data_gib(case) + environment["backups"] * daily
        yield self._line("Database: backups", "sql_backup", HOURS * backups)

    def message_bytes(self, case: Case) -> Decimal:
        """Bytes of a message, with what comes with it."""
        return Decimal(case.each * self._measured["message_bytes"] + self._assumed["message_overhead_bytes"])

    def _pubsub(self, case: Case) -> Iterator[Line]:
        messages = Decimal(case.size["events"]) / case.each
        size = self.message_bytes(case)
        yield self._line("Pub/Sub: in and out", "pubsub", 2 * messages * max(size, LEAST_PUBSUB_BYTES) / TIB)
        yield self._line("Pub/Sub: kept", "pubsub_kept", messages * size / GIB * self._assumed["topic_days"] / DAYS)
        if case.warehouse:
            daily = messages * size / DAYS / GIB
            recent = min(RECENT_DAYS, Decimal(self._assumed["cube_days"]))
            yield self._line("BigQuery: writing", "warehouse", messages * max(size, LEAST_PUBSUB_BYTES) / TIB)
            yield self._line("BigQuery: recent", "warehouse_recent", daily * recent * HOURS)
            older = self._assumed["cube_days"] - recent
            yield self._line("BigQuery: older", "warehouse_old", daily * older * HOURS)

    def _edge(self, case: Case) -> Iterator[Line]:
        environment = self._environment(case)
        requests = self.requests(case)
        from_outside = requests["ingest"] + requests["query"] + requests["admin"]
        events = Decimal(case.size["events"])
        received = events * self._measured["message_bytes"] + from_outside * self._assumed["request_head_bytes"]
        answered = (
            requests["ingest"] * self._assumed["answer_bytes"]
            + events * self._assumed["answer_event_bytes"]
            + (requests["query"] + requests["admin"]) * self._assumed["question_bytes"]
        )
        logged = sum(requests.values(), Decimal(0))
        if environment["domain"]:
            logged += from_outside
            yield self._line("Load balancer: rules", "balancer", HOURS)
            yield self._line("Load balancer: bytes", "balancer_data", (received + answered) / GIB)
            yield self._line("Cloud Armor: policy", "armor_policy", HOURS)
            yield self._line("Cloud Armor: rules", "armor_rule", HOURS * self._assumed["armor_rules"])
            yield self._line("Cloud Armor: requests", "armor_requests", from_outside / MILLION)
        yield self._line("Answers to internet", "internet", answered / GIB)
        if case.request_logs:
            yield self._line("Logs of requests", "logging", logged * self._assumed["log_entry_bytes"] / GIB)
        conditions = Decimal(self._assumed["alert_conditions"])
        yield self._line("Alerts: conditions", "alerts", conditions)
        looks = SECONDS / self._assumed["alert_seconds"]
        yield self._line("Alerts: time series", "alert_series", conditions * looks / MILLION)
        yield self._line("Images", "registry", Decimal(self._assumed["image_gb"]))

    def _environment(self, case: Case) -> Mapping[str, Any]:
        environment: Mapping[str, Any] = self.load["environments"][case.size["environment"]]
        return environment

    def _line(self, name: str, price: str, quantity: Decimal, free: Decimal | None = None) -> Line:
        found = self.prices[price]
        return Line(name, found if free is None else replace(found, free=free), quantity)


def cents(amount: Decimal) -> Decimal:
    """The amount in whole cents."""
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def read() -> Model:
    """The model of the files beside this one."""
    return model(_toml("prices.toml"), _toml("load.toml"))


def model(prices: Mapping[str, Mapping[str, Any]], load: Mapping[str, Any]) -> Model:
    """The model of what such files say."""
    exact = {
        name: {**price, "dollars": Decimal(price["dollars"]), "free": Decimal(price.get("free", 0))}
        for name, price in prices.items()
    }
    return Model({name: Price(**price) for name, price in exact.items()}, load)


def tables(model: Model) -> dict[str, str]:
    """The tables of the document, by the names of the places where they stand."""
    return {
        "prices": _prices(model),
        "one": _bills(model, 1),
        "hundred": _bills(model, 100),
        "choices": _choices(model),
        "sizes": _sizes(model),
    }


def written(document: str, found: Mapping[str, str]) -> str:
    """The document with its tables replaced.

    Raises:
        ValueError: a table has no place in it.
    """
    for name, table in found.items():
        begin, end = f"<!-- table: {name} -->\n", f"<!-- end: {name} -->"
        if document.count(begin) != 1 or document.count(end) != 1:
            raise ValueError(f"the document has no place for the table {name}")
        before, rest = document.split(begin)
        _, after = rest.split(end)
        document = f"{before}{begin}{table}{end}{after}"
    return document


def _prices(model: Model) -> str:
    rows = [
        [
            price.what,
            price.shown,
            price.unit,
            f"{price.free:f}" if price.free else "",
            f"[{_page(price)}]",
            f"{price.page or 'no date'}",
            f"{price.read}",
        ]
        for price in model.prices.values()
    ]
    doubts = [f"- {price.what}: {price.doubt}.\n" for price in model.prices.values() if price.doubt]
    links = dict.fromkeys(f"[{_page(price)}]: {price.source}\n" for price in model.prices.values())
    header = ["price of", "$", "a", "free of it", "source", "its date", "read"]
    return "\n".join([_markdown(header, rows, left=(0, 2, 4)), "".join(doubts), "".join(links)])


def _page(price: Price) -> str:
    return price.source.removeprefix("https://cloud.google.com/")


def _bills(model: Model, each: int) -> str:
    sizes = model.load["sizes"]
    bills = [{(line.name, line.price): line for line in model.bill(Case(size, each))} for size in sizes]
    lines = dict.fromkeys(key for bill in reversed(bills) for key in bill)  # the last one has the most
    topics = list(dict.fromkeys(name.partition(":")[0] for name, _ in lines))
    rows = []
    for name, price in sorted(lines, key=lambda line: topics.index(line[0].partition(":")[0])):
        row = [name, price.unit, price.shown]
        for bill in bills:
            line = bill.get((name, price))
            row += [_quantity(line.quantity), f"{line.amount:,}"] if line else ["", ""]
        rows.append(row)
    total, header = ["**Total**", "", ""], ["", "unit", "$ each"]
    for size in sizes:
        total += ["", f"**{model.total(Case(size, each)):,}**"]
        header += [size["name"], "$"]
    return _markdown(header, [*rows, total], left=(0, 1))


def _choices(model: Model) -> str:
    choices: dict[str, dict[str, Any]] = {
        "as deployed: 400 days of single events": {},
        "35 days of single events": {"raw_days": 35},
        "requests not logged": {"request_logs": False},
        "rollup every 10 minutes": {"rollup_minutes": 10},
        "all three": {"raw_days": 35, "request_logs": False, "rollup_minutes": 10},
        "all three, and 400 days in BigQuery": {
            "raw_days": 35, "request_logs": False, "rollup_minutes": 10, "warehouse": True,
        },
        "as deployed, small with a CPU of its own": {"dedicated": True},
    }  # fmt: skip
    cases = [Case(size, each) for each in (1, 100) for size in model.load["sizes"]]
    header = ["", *(f"{case.size['name']} ×{case.each}" for case in cases)]
    rows = [
        [name, *(f"{model.total(replace(case, **chosen)):,.0f}" for case in cases)] for name, chosen in choices.items()
    ]
    return _markdown(header, rows, left=(0,))


def _sizes(model: Model) -> str:
    rows = []
    for size in model.load["sizes"]:
        case = Case(size, 1)
        rate = Decimal(size["events"]) / SECONDS
        rows.append([
            size["name"],
            _quantity(rate),
            *(f"{model.disk_gib(replace(case, raw_days=days)):,}" for days in (400, 35)),
            *(_quantity(rate * model.load["measured"]["database_cpu"][each] / MILLION) for each in ("1", "100")),
        ])  # fmt: skip
    header = ["", "events/s", "GiB, 400 days", "GiB, 35 days", "database's CPU, ×1", "×100"]
    return _markdown(header, rows, left=(0,))


def _quantity(quantity: Decimal) -> str:
    """Three digits at least, no more decimals than they need."""
    places = next((places for places in range(8) if quantity >= Decimal(100).scaleb(-places)), 8)
    return f"{quantity:,.{places}f}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    rule = ["---" if at in left else "--:" for at in range(len(header))]
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, rule, *rows])


def _toml(name: str) -> dict[str, Any]:
    with (FOLDER / name).open("rb") as file:
        # Never a float: a price is what the page says, to the last digit.
        return tomllib.load(file, parse_float=Decimal)


def main() -> None:
    """Write the tables into the document."""
    DOCUMENT.write_text(written(DOCUMENT.read_text("utf-8"), tables(read())), "utf-8")
    sys.stderr.write(f"written to {DOCUMENT}\n")


if __name__ == "__main__":
    main()
