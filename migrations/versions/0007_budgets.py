"""Budgets, their crossings, and the outbox of notifications.

Revision ID: 0007_budgets
Revises: 0006_cost_cubes
"""

from pathlib import Path

from alembic import op

revision = "0007_budgets"
down_revision = "0006_cost_cubes"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    op.execute((_SQL / "0007_budgets.up.sql").read_text("utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "0007_budgets.down.sql").read_text("utf-8"))
