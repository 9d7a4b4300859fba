"""Run by Alembic: applies migrations on the connection that ``_migrate.upgrade`` hands over.

The version is kept in ``headrace_schema``, the table that ``schema.sql`` makes. To write a migration: change
``schema.sql``, add a file to ``versions``, raise ``SCHEMA_VERSION``; a test compares the two ways to get there.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="headrace_schema",
    transactional_ddl=False,  # the transaction around it all is the caller's
)
context.run_migrations()
