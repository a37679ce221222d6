"""Runs the migrations: alembic calls it with the connection that `station.registry.database` passes."""

from alembic import context

from station.registry.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
