"""Where a station's registry is: its address, from its data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

REGISTRY_NAME: Final = "registry.sqlite"
"""The registry's file in the data directory."""


def registry_url(data_dir: Path) -> str:
    """The address to give to `station.registry.database`: `sqlite:` and a path, as it stands."""
    return f"sqlite:{data_dir / REGISTRY_NAME}"
