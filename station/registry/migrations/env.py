"""What alembic runs to reach the registry. The connection is handed in by `station.registry.database`."""

from alembic import context

from station.registry.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
