"""The command `birthmark-station`. Commands only parse and print; what they do lives elsewhere."""

from station.cli.main import main

__all__ = ["main"]
