"""Search over topics and user names of events.

Revision ID: 0003_event_search
Revises: 0002_cubes
"""

from pathlib import Path

from alembic import op

revision = "0003_event_search"
down_revision = "0002_cubes"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    op.execute((_SQL / "0003_event_search.up.sql").read_text("utf-8"))


def downgrade() -> None:
    op.execute((_SQL / "0003_event_search.down.sql").read_text("utf-8"))
