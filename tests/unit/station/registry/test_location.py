"""The registry's address comes from the data directory, as its path stands."""

from __future__ import annotations

from pathlib import Path

from station.registry.location import REGISTRY_NAME, registry_url
from station.registry.sqlite import path_of


def test_the_registry_is_a_file_of_the_data_directory() -> None:
    assert registry_url(Path("bench/a b%20?")) == "sqlite:bench/a b%20?/registry.sqlite"
    assert path_of(registry_url(Path("/x"))) == Path("/x") / REGISTRY_NAME
