"""The agent: what runs on the Raspberry Pi. It never imports the station or anything only the station needs."""
