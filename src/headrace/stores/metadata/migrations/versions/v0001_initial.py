"""The first schema, in the words it had then; ``v0001_initial.sql`` must never change."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from headrace.stores.metadata._sql import POSTGRES, SQLITE

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables of version 1."""
    connection = op.get_bind()
    dialect = POSTGRES if connection.dialect.name == "postgresql" else SQLITE
    for statement in dialect.schema(Path(__file__).with_suffix(".sql").read_text("utf-8")):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    """There is nothing before it."""
    raise NotImplementedError("there is no version before the first")
