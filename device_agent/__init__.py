"""The agent, which runs on the Raspberry Pi. It never imports the station or the station's dependencies."""
