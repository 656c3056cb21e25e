"""Cubes of costs.

Revision ID: 0006_cost_cubes
Revises: 0005_money
"""

from pathlib import Path

from alembic import op

revision = "0006_cost_cubes"
down_revision = "0005_money"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    op.execute((_SQL / "0006_cost_cubes.up.sql").read_text("utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "0006_cost_cubes.down.sql").read_text("utf-8"))
