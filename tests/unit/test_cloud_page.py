"""What docs/cloud.md says of database users and connections is what they are granted and may open."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tally.cubes import COST_CUBES, CUBES
from tally.grants import OTHERS, TABLES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cloud.md").read_text("utf-8")
TERRAFORM = ROOT / "terraform"
HEADER = "| user | may | on |\n| --- | --- | --- |\n"
CUBE_TABLES = {cube.table.name for cube in CUBES}
SCHEMA = {"alembic_version", "settings"}  # said once for all


def test_the_page_has_every_grant_and_no_other() -> None:
    table = PAGE.split(HEADER)[1].split("\n\n")[0]
    assert table.splitlines() == list(_rows())


def test_everybody_reads_which_migration_the_database_is_at() -> None:
    for granted in TABLES.values():
        assert set(granted["SELECT"]) >= SCHEMA


def test_the_page_counts_connections_as_terraform_does() -> None:
    counting = (TERRAFORM / "connections.tf").read_text("utf-8")
    pools = {
        name: int(size) for name, size in re.findall(r"(\w+) = (\d+)[,\s]", counting.split("pools")[1].split("}")[0])
    }
    [spare] = re.findall(r"spare_connections = (\d+)", counting)
    others = 2 * pools["rollup"] + pools["migrate"] + pools["command"] + int(spare)
    said = []
    for environment in ("small", "production"):
        chosen = (TERRAFORM / "environments" / f"{environment}.tfvars").read_text("utf-8")
        instances = re.findall(r"^(\w+) += \{.*max_instances = (\d+)", chosen, re.MULTILINE)
        [most] = re.findall(r"max_connections += (\d+)", chosen)
        counted = others + sum(pools[name] * int(count) for name, count in instances)
        said.append(f"{counted} of {most} {environment}")
    sizes = ", ".join(str(pools[name]) for name in ("ingest", "record", "query", "admin"))
    assert f"instances × pool ({sizes}), jobs, spare: {', '.join(said)};" in PAGE


def _rows() -> Iterator[str]:
    for function, granted in TABLES.items():
        for privilege, tables in granted.items():
            yield f"| `tally-{function}` | {privilege} | {_names(tables)} |"
            if cubes := CUBE_TABLES & set(tables):
                of_costs = {cube.table.name for cube in COST_CUBES}
                assert cubes in (CUBE_TABLES, of_costs)
                yield f"| `tally-{function}` | {privilege} | every cube{' of costs' if cubes == of_costs else ''} |"
        for other in OTHERS.get(function, ()):
            privilege, _, names = other.partition(" ON ")
            _, _, names = names.partition(" ")  # SEQUENCE or FUNCTION
            yield f"| `tally-{function}` | {privilege} | {_names(names.split(', '))} |"


def _names(names: Sequence[str]) -> str:
    return ", ".join(name for name in names if name not in CUBE_TABLES | SCHEMA)
