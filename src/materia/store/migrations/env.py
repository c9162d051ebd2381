"""Alembic environment: runs on the connection that `materia.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from materia.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=False
)
context.run_migrations()
