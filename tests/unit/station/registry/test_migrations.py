"""The migrations make exactly the schema that the code uses."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from station.registry import database
from station.registry.location import registry_url
from station.registry.schema import metadata


def test_the_migrations_make_exactly_the_schema(tmp_path: Path) -> None:
    database.create(registry_url(tmp_path))
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(tmp_path / "registry.sqlite")))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
