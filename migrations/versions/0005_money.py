"""Prices, exchange rates, how events were priced, and the audit log.

Revision ID: 0005_money
Revises: 0004_roles
"""

from pathlib import Path

from alembic import op

revision = "0005_money"
down_revision = "0004_roles"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    op.execute((_SQL / "0005_money.up.sql").read_text("utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "0005_money.down.sql").read_text("utf-8"))
