"""The command `birthmark-station`. Commands parse and print; other packages do the work."""

from station.cli.main import main

__all__ = ["main"]
