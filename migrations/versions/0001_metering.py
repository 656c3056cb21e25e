"""Events, keys, dimensions, cubes, tokens, dead letters.

Revision ID: 0001_metering
Revises:
"""

from pathlib import Path

from alembic import op

revision = "0001_metering"
down_revision = None
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    op.execute((_SQL / "0001_metering.up.sql").read_text("utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "0001_metering.down.sql").read_text("utf-8"))
