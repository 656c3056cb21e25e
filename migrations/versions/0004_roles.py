"""Functions with database users of their own, and old code beside a newer database.

Revision ID: 0004_roles
Revises: 0003_event_search
"""

from pathlib import Path

from alembic import op

revision = "0004_roles"
down_revision = "0003_event_search"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    op.execute((_SQL / "0004_roles.up.sql").read_text("utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "0004_roles.down.sql").read_text("utf-8"))
