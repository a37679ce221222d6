"""The station: the Simulated Manufacturer Authority that a Pi is plugged into."""
