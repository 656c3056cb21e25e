"""Cubes by hour, day and month that answer the questions of all four systems, with histograms of response times.

Revision ID: 0002_cubes
Revises: 0001_metering
"""

from pathlib import Path

from alembic import op

revision = "0002_cubes"
down_revision = "0001_metering"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    op.execute((_SQL / "0002_cubes.up.sql").read_text("utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "0002_cubes.down.sql").read_text("utf-8"))
