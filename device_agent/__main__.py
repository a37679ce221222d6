"""`python -m device_agent` runs `birthmark-agent`."""

from device_agent.cli import main

main(prog_name="birthmark-agent")
