"""The command `birthmark-agent`. Commands parse and print; other packages do the work."""

from device_agent.cli.main import main

__all__ = ["main"]
