"""The command `birthmark-agent`. Commands only parse and print; what they do lives elsewhere."""

from device_agent.cli.main import main

__all__ = ["main"]
