"""What docs/cloud.md says of database users is what they are granted."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tally.cubes import CUBES
from tally.grants import OTHERS, TABLES

PAGE = (Path(__file__).parents[2] / "docs" / "cloud.md").read_text("utf-8")
HEADER = "| user | may | on |\n| --- | --- | --- |\n"
CUBE_TABLES = {cube.table.name for cube in CUBES}
SCHEMA = {"alembic_version", "settings"}  # said once for all


def test_the_page_has_every_grant_and_no_other() -> None:
    table = PAGE.split(HEADER)[1].split("\n\n")[0]
    assert table.splitlines() == list(_rows())


def test_everybody_reads_which_migration_the_database_is_at() -> None:
    for granted in TABLES.values():
        assert set(granted["SELECT"]) >= SCHEMA


def _rows() -> Iterator[str]:
    for function, granted in TABLES.items():
        for privilege, tables in granted.items():
            yield f"| `tally-{function}` | {privilege} | {_names(tables)} |"
            if CUBE_TABLES & set(tables):
                assert set(tables) >= CUBE_TABLES
                yield f"| `tally-{function}` | {privilege} | every cube |"
        for other in OTHERS.get(function, ()):
            privilege, _, names = other.partition(" ON ")
            _, _, names = names.partition(" ")  # SEQUENCE or FUNCTION
            yield f"| `tally-{function}` | {privilege} | {_names(names.split(', '))} |"


def _names(names: Sequence[str]) -> str:
    return ", ".join(name for name in names if name not in CUBE_TABLES | SCHEMA)
