"""The migrations make exactly the schema that the code uses."""

from __future__ import annotations

import warnings
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from station.registry import database
from station.registry.location import registry_url
from station.registry.schema import metadata

INDICES = sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")


def test_the_migrations_make_exactly_the_schema(tmp_path: Path) -> None:
    database.create(registry_url(tmp_path))
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(tmp_path / "registry.sqlite")))
    with engine.connect() as connection, warnings.catch_warnings():
        # alembic cannot compare an index over an expression; the other test does
        warnings.filterwarnings("ignore", message=".* expression-based index")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_migrations_make_exactly_the_indices_of_the_schema(tmp_path: Path) -> None:
    database.create(registry_url(tmp_path))
    migrated = sa.create_engine(sa.URL.create("sqlite", database=str(tmp_path / "registry.sqlite")))
    created = sa.create_engine("sqlite://")
    metadata.create_all(created)
    with migrated.connect() as one, created.connect() as other:
        assert one.execute(INDICES).all() == other.execute(INDICES).all()
    migrated.dispose()
    created.dispose()
